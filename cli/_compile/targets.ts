/** What files are built for. */

/** A kind of machine. */
export interface Target {
  /** As in the file's name, like "aarch64-linux". */
  name: string;
  /** As Deno has it. */
  triple: string;
  os: "linux" | "darwin" | "windows";
}

/** Every target, those that are built where none is asked for first. */
export const TARGETS: readonly Target[] = [
  { name: "x86_64-linux", triple: "x86_64-unknown-linux-gnu", os: "linux" },
  { name: "aarch64-linux", triple: "aarch64-unknown-linux-gnu", os: "linux" },
  { name: "x86_64-macos", triple: "x86_64-apple-darwin", os: "darwin" },
  { name: "aarch64-macos", triple: "aarch64-apple-darwin", os: "darwin" },
  { name: "x86_64-windows", triple: "x86_64-pc-windows-msvc", os: "windows" },
];

/** A target by its name or Deno's; undefined where there is none. */
export function findTarget(name: string): Target | undefined {
  return TARGETS.find((target) => target.name === name || target.triple === name);
}

/** The name of a target's file. */
export function fileName(target: Target): string {
  return `mdi-${target.name}${target.os === "windows" ? ".exe" : ""}`;
}
