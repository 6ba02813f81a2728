/**
 * What is inside a single file of mdi, and that it is whole. `deno task compile` puts `build.json` beside the
 * bundles, with the sha256 of each file that they load; whoever loads one asks here first. Run from source there
 * is no such list, and nothing to ask: the files are those of the checkout or of the registry.
 */
import { createHash } from "node:crypto";
import { MdiError } from "./error.ts";

/** How the file was made. */
export interface SingleFile {
  /** "deno compile", or a shell script that unpacks its own Deno where none could be compiled into a file. */
  made: "deno compile" | "self-extracting";
  /** Version of the Deno inside. */
  deno: string;
  /** What it runs on, as Rust's and Deno's target triple. */
  target: string;
  /** sha256 in hex of what the bundles load, by file name. */
  assets: Record<string, string>;
}

/** The single file that this is; undefined where mdi runs from source. */
export const SINGLE_FILE: SingleFile | undefined = read();

/**
 * Checks what was read from a file inside the single file.
 * @throws {MdiError} disk where it is not what was put there.
 */
export function checkAsset(url: URL, bytes: Uint8Array): void {
  if (!SINGLE_FILE) return;
  const name = url.pathname.slice(url.pathname.lastIndexOf("/") + 1);
  if (createHash("sha256").update(bytes).digest("hex") === SINGLE_FILE.assets[name]) return;
  const advice = SINGLE_FILE.made === "self-extracting"
    ? `remove ${decodeURIComponent(new URL(".", url).pathname)}, and the file unpacks itself anew`
    : "copy the file anew and compare it with SHA256SUMS";
  throw new MdiError(
    "disk",
    `Cannot use ${name} inside this mdi: its bytes were altered since it was built; ${advice}`,
    { details: { asset: name } },
  );
}

/**
 * Checks a script that Deno is about to load by itself, as a worker or a module.
 * @throws {MdiError} as {@linkcode checkAsset}.
 */
export function checkedScript(url: URL): URL {
  if (SINGLE_FILE) checkAsset(url, Deno.readFileSync(url));
  return url;
}

function read(): SingleFile | undefined {
  // Sources are TypeScript; what is bundled is not.
  if (import.meta.url.endsWith(".ts")) return undefined;
  try {
    return JSON.parse(Deno.readTextFileSync(new URL("./build.json", import.meta.url)));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined; // somebody else's bundle
    throw error;
  }
}
