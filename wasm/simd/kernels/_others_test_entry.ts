/** What the tests beside this folder call: built by them alone, never shipped. */
import { exp, f32ToF16 } from "./math";

export { attendPage, finishHeads, mergePage } from "./attention";
export { storeKey, storeValue } from "./cache";
export { headNorm, rmsNorm } from "./norm";
export { rotate } from "./rope";
export { argMax, topK } from "./select";
export { swigluBlock, swigluFloat } from "./swiglu";

/** exp() of n f32, n % 4 == 0, in place. */
export function expRow(p: usize, n: i32): void {
  for (const end = p + (<usize>n << 2); p < end; p += 16) v128.store(p, exp(v128.load(p)));
}

/** f32ToF16() of n f32, n % 4 == 0, to i32 at `out`. */
export function halfRow(p: usize, n: i32, out: usize): void {
  for (const end = p + (<usize>n << 2); p < end; p += 16, out += 16) {
    v128.store(out, f32ToF16(v128.load(p)));
  }
}
