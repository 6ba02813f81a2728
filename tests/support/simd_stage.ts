/** Stages of mdi's own kernels on the test's own thread, which may have others beside it. */
import { loadSimdStage } from "../../wasm/simd/stage.ts";
import type { Stage, StageSpec } from "../../wasm/stage.ts";

/** How to load a stage with so many threads, or why it cannot be. */
export function loadSimd(threads: number): (spec: StageSpec) => Promise<Stage> {
  return async (spec) => {
    const loaded = await loadSimdStage({ ...spec, threads });
    if ("unusable" in loaded) throw new Error(`Cannot load: ${loaded.unusable}`);
    return loaded;
  };
}
