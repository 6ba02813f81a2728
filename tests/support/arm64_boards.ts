/** Boards of arm64 under qemu's user emulation: their processors and page sizes. */
import { existsSync } from "node:fs";
import { join } from "node:path";

/** A kind of board. */
export interface Board {
  name: string;
  /** As qemu names it. */
  cpu: string;
  /** Bytes of a memory page. */
  page: number;
}

/** One without, and one with the dot product that V8 makes of relaxed SIMD. */
export const BOARDS: readonly Board[] = [
  { name: "Raspberry Pi 4", cpu: "cortex-a72", page: 4096 },
  { name: "Raspberry Pi 5", cpu: "cortex-a76", page: 16384 },
];

/** Where arm64's libraries are. */
const LIBRARIES = Deno.env.get("QEMU_LD_PREFIX") ?? "/usr/aarch64-linux-gnu";

/** Why nothing can be emulated here, for the name of a test; empty where it can. */
export const EMULATOR_NOTE: string = [
    "/usr/bin/qemu-aarch64",
    ...["libc.so.6", "libgcc_s.so.1"].map((name) => join(LIBRARIES, "lib", name)),
  ].every((path) => existsSync(path))
  ? ""
  : " (no qemu-aarch64 with arm64's C library)";

/**
 * Writes a command to `path` that runs an arm64 program as a board does. qemu's own processor, "max", has pointer
 * authentication, and takes five times as long.
 */
export async function emulate(program: string, board: Board, path: string): Promise<void> {
  const { cpu, page } = board;
  const command = `qemu-aarch64 -L '${LIBRARIES}' -cpu ${cpu} -p ${page} '${program}'`;
  await Deno.writeTextFile(path, `#!/bin/sh\nexec ${command} "$@"\n`, { mode: 0o755 });
}
