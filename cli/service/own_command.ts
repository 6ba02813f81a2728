/** How this mdi was started, so that a service starts the same one. */
import { permissionFlags, RUNTIME_FLAGS } from "../permissions.ts";

/** A program and its arguments that start mdi as a secondary. */
export interface OwnCommand {
  /** The program, an absolute path, and what stands before mdi's own arguments. */
  words: string[];
  /** Whether Deno runs mdi from source, and needs the cache of whoever starts it. */
  fromSource: boolean;
}

/** The compiled file by its path, or Deno with the permissions of a secondary. */
export function ownCommand(): OwnCommand {
  if (Deno.build.standalone) return { words: [Deno.execPath()], fromSource: false };
  const { pathname } = new URL(import.meta.resolve("../main.ts"));
  return {
    words: [
      ...[Deno.execPath(), "run", "--quiet", "--no-prompt", ...RUNTIME_FLAGS],
      // What may be written is the unit's to say.
      ...permissionFlags("secondary"),
      decodeURIComponent(pathname),
    ],
    fromSource: true,
  };
}
