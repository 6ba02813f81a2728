/**
 * Paths as people type them: from the directory they are in. `deno task` runs in the project's directory
 * and says theirs in `$INIT_CWD`; elsewhere that variable may be another program's, and is not read.
 */
import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { SINGLE_FILE } from "../wasm/single_file.ts";

/** The project's directory; undefined where mdi does not run from its source files. */
const PROJECT = SINGLE_FILE ? undefined : import.meta.dirname && dirname(import.meta.dirname);

/** The directory that the person is in; undefined where this process is in it too. */
function typedFrom(): string | undefined {
  const here = Deno.cwd();
  const from = here === PROJECT ? Deno.env.get("INIT_CWD") : undefined;
  return from === here ? undefined : from;
}

/** A path as this process must open it. */
export function typedPath(path: string, from: string | undefined = typedFrom()): string {
  return from === undefined || path === "" ? path : resolve(from, path);
}

/** A model as typed: a path where there is such a file or directory, else its name as it is. */
export function typedModel(model: string, from: string | undefined = typedFrom()): string {
  const path = typedPath(model, from);
  return path !== model && existsSync(path) ? path : model;
}
