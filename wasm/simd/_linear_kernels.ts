/** What tests of the products need: the committed builds, a third with a dot product in software, and weights. */
import { testBuild } from "./_test_build.ts";
import * as abi from "./abi.ts";
import { groupBytes } from "./packed_layout.ts";

/** The products as AssemblyScript exports them; addresses are bytes. `kernels/linear.ts` documents them. */
export interface LinearKernels {
  quantiseRow(x: number, out: number, k: number): void;
  linear(
    kind: number,
    reading: number,
    w: number,
    x: number,
    xStride: number,
    y: number,
    yStride: number,
    m: number,
    k: number,
    g0: number,
    g1: number,
    add: number,
    bias: number,
  ): void;
  embedRow(kind: number, reading: number, w: number, k: number, row: number, out: number): void;
  flip8(kind: number, w: number, groups: number, k: number): void;
  probe(): number;
  /** How the build in software reads; not in the others. */
  readAs?(reading: number): void;
}

/** A module over 8 MB of its own, and the reading that its products are called with. */
export interface LinearBench {
  readonly name: string;
  readonly kernels: LinearKernels;
  readonly memory: ArrayBuffer | SharedArrayBuffer;
  readonly reading: number;
}

/** The kinds, by name. */
export const KINDS: readonly (readonly [string, number])[] = [
  ["F32", abi.F32],
  ["F16", abi.F16],
  ["BF16", abi.BF16],
  ["Q4_H", abi.Q4_H],
  ["Q4_HM", abi.Q4_HM],
  ["Q4_FZ", abi.Q4_FZ],
  ["Q4_F2", abi.Q4_F2],
  ["Q4_K", abi.Q4_K],
  ["Q5_H", abi.Q5_H],
  ["Q5_HM", abi.Q5_HM],
  ["Q5_K", abi.Q5_K],
  ["Q6_K", abi.Q6_K],
  ["Q8_H", abi.Q8_H],
  ["Q8_FZ", abi.Q8_FZ],
  ["Q8_F2", abi.Q8_F2],
];

/** Whether a kind's codes depend on the host's reading. */
export function isEightBit(kind: number): boolean {
  return kind >= abi.Q8_H;
}

/**
 * Relaxed as this host reads it, plain, and in software all three readings. The first two are the committed
 * modules; a host that reads bytes as unsigned runs the relaxed one as if it saturated, too.
 */
export async function openLinearBenches(): Promise<LinearBench[]> {
  const read = (name: string) => Deno.readFile(new URL(name, import.meta.url));
  const relaxed = await read("kernels_relaxed.wasm");
  const soft = await testBuild("_linear_test_entry.ts", "relaxed");
  const benches = [
    open("plain", await read("kernels_plain.wasm")),
    open("relaxed", relaxed),
    open("software u8", soft, abi.READS_U8),
    open("software i8", soft, abi.READS_I8),
    open("software saturating", soft, abi.SATURATES),
  ];
  if (benches[1]!.reading === abi.READS_U8) {
    benches.push({ ...open("relaxed split", relaxed), reading: abi.SATURATES });
  }
  return benches;
}

function open(name: string, bytes: Uint8Array<ArrayBuffer>, readAs?: number): LinearBench {
  const memory = new WebAssembly.Memory({ initial: 128, maximum: 65536, shared: true });
  const env = { memory, now: () => 0, abort: () => {} };
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env });
  const kernels = exports as unknown as LinearKernels;
  if (readAs !== undefined) kernels.readAs!(readAs);
  return { name, kernels, memory: memory.buffer, reading: kernels.probe() };
}

/** Random packed weights of a kind: any codes and zero points, scales of ordinary size and either sign. */
export function randomPacked(
  kind: number,
  groups: number,
  k: number,
  random: () => number,
): Uint8Array<ArrayBuffer> {
  const packed = new Uint8Array(groups * groupBytes(kind, k));
  const view = new DataView(packed.buffer);
  const halves = (at: number, count: number, size: number) => {
    for (let i = 0; i < count; i++) view.setFloat16(at + 2 * i, (random() * 2 - 1) * size, true);
  };
  const floats = (at: number, count: number) => {
    for (let i = 0; i < count; i++) view.setFloat32(at + 4 * i, (random() * 2 - 1) * 0.01, true);
  };
  for (let i = 0; i < packed.length; i++) packed[i] = random() * 256;
  if (kind === abi.F32) floats(0, packed.length / 4);
  if (kind === abi.F16) halves(0, packed.length / 2, 0.1);
  if (kind === abi.BF16) {
    for (let at = 0; at < packed.length; at += 2) {
      view.setUint16(at, (random() * 0x200 | 0) + 0x3b00 | (random() < 0.5 ? 0x8000 : 0), true);
    }
  }
  if (kind < abi.Q4_H) return packed;
  const codes = 64 * (kind < abi.Q5_H ? 4 : kind < abi.Q6_K ? 5 : kind < abi.Q8_H ? 6 : 8);
  const superBlock = kind === abi.Q4_K || kind === abi.Q5_K ? 64 : kind === abi.Q6_K ? 32 : 0;
  const halved = kind === abi.Q4_F2 || kind === abi.Q8_F2;
  const step = superBlock > 0 ? codes + 32 : groupBytes(kind, 32);
  let block = 0;
  for (let at = 0; at < packed.length; at += step) {
    block++;
    if (superBlock > 0) {
      if (block % 8 !== 0) continue;
      halves(at + step, superBlock / 2, 1e-3);
      at += superBlock;
    } else if (kind === abi.Q4_HM || kind === abi.Q5_HM) halves(at + codes, 32, 0.02);
    else if (step === codes + 32) halves(at + codes, 16, 0.02);
    else floats(at + codes, halved ? 32 : 16);
  }
  return packed;
}
