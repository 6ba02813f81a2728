/**
 * ONNX Runtime's stages on the test's own thread. It puts Node's Worker in the place of the global one there, so a
 * test that imports this cannot start compute workers or threads.
 */
import { createSession } from "../../wasm/ort/runtime.ts";
import { loadOrtStage } from "../../wasm/ort/stage.ts";
import type { Stage, StageSpec } from "../../wasm/stage.ts";

// ONNX Runtime's first call opens a message port that stays open: outside of any test.
await createSession("nothing", new Uint8Array(1), []).catch(() => {});

/** Loads a stage. */
export function loadOrt(spec: StageSpec): Promise<Stage> {
  return loadOrtStage(spec);
}
