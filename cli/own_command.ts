/** Starting mdi once more: from source through Deno, from a single file by that very file. */
import { SINGLE_FILE } from "../wasm/single_file.ts";
import {
  permissionFlags,
  type PermissionOptions,
  type Role,
  RUNTIME_FLAGS,
} from "./permissions.ts";

/** A program, and what it is told before mdi's own arguments. */
export interface OwnCommand {
  program: string;
  args: string[];
}

/** Path of the single file that this is; undefined where mdi runs from source. */
export function singleFilePath(): string | undefined {
  if (!SINGLE_FILE) return undefined;
  // One that unpacks its own Deno says where it lies.
  return SINGLE_FILE.made === "self-extracting" ? Deno.env.get("MDI_FILE") : Deno.execPath();
}

/** How to start mdi in a role. A single file's permissions are inside it and cannot be narrowed. */
export function ownCommand(role: Role, options: PermissionOptions = {}): OwnCommand {
  const file = singleFilePath();
  if (file !== undefined) return { program: file, args: [] };
  return {
    program: Deno.execPath(),
    args: [
      ...["run", "--quiet", "--no-prompt", ...RUNTIME_FLAGS],
      ...permissionFlags(role, options),
      import.meta.resolve("./main.ts"),
    ],
  };
}
