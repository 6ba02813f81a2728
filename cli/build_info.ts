/** How this mdi was made, for people and for `mdi doctor`. */
import { VERSION } from "../rpc/version.ts";
import { SINGLE_FILE } from "../wasm/single_file.ts";

/** How this mdi was made. */
export interface BuildInfo {
  /** "source" where Deno runs the sources. */
  made: "source" | "deno compile" | "self-extracting";
  /** Version of the Deno that runs it. */
  deno: string;
  /** What it runs on, as Rust's and Deno's target triple. */
  target: string;
}

/** How this mdi was made. */
export function buildInfo(): BuildInfo {
  const { made } = SINGLE_FILE ?? { made: "source" };
  return { made, deno: Deno.version.deno, target: Deno.build.target };
}

/** What `mdi --version` prints, like "0.1.0 (deno compile, Deno 2.9.5, x86_64-unknown-linux-gnu)". */
export function versionText(): string {
  const { made, deno, target } = buildInfo();
  return `${VERSION} (${made}, Deno ${deno}, ${target})`;
}
