/** Bounds of a decoder's shape, wide for every real model and narrow for a hostile file. */

/** Most layers. */
export const MAX_LAYERS = 1024;
/** Widest residual stream or MLP. */
export const MAX_WIDTH = 2 ** 20;
/** Most heads. */
export const MAX_HEADS = 1024;
/** Widest head. */
export const MAX_HEAD_DIM = 1024;
/** ONNX Runtime's GroupQueryAttention rotates only heads of such a width. */
const HEAD_DIM_MULTIPLE = 16;
/** Most token ids. */
export const MAX_VOCAB = 2 ** 22;
/**
 * Most positions that mdi emits rotary tables for: two tables of context · headDim / 2 values in every
 * node's memory. A model made for more is run up to here.
 */
export const MAX_CONTEXT = 2 ** 17;

/** Why the attention that mdi emits cannot have such heads; undefined where it can. */
export function headProblem(heads: number, kvHeads: number, headDim: number): string | undefined {
  if (heads % kvHeads !== 0) return `${heads} query heads do not share ${kvHeads} key heads`;
  if (headDim % HEAD_DIM_MULTIPLE !== 0) {
    return `its heads are ${headDim} wide, not a multiple of ${HEAD_DIM_MULTIPLE}`;
  }
}
