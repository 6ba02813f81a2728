/** Which backend computes: the one that a node was told to take, or the best that can run its blocks. */
import { MdiError } from "./error.ts";
import type { StartThread } from "./simd/pool_thread.ts";
import type { Backend, LoadHooks, Stage, StageSpec } from "./stage.ts";

/** What a load tells and asks, and where its threads are started from: this thread where that is absent. */
export interface LoadOptions extends LoadHooks {
  /** Starts a thread of the stage. */
  startThread?: StartThread;
}

/**
 * Loads a stage. A backend's code is loaded only when it is wanted: ONNX Runtime's alone is 14 MB.
 * @throws {MdiError} model_unsupported where the backend cannot run the blocks or keep such KV caches;
 * else what the backend says.
 */
export async function loadStage(
  backend: Backend,
  spec: StageSpec,
  options: LoadOptions = {},
): Promise<Stage> {
  switch (backend) {
    case "ort":
      return await loadOrt(spec, null);
    case "simd":
    case "auto":
      break;
    default:
      throw new MdiError(
        "model_unsupported",
        `Cannot load backend "${String(backend)}": there are "auto", "simd" and "ort"`,
      );
  }
  const { loadSimdStage } = await import("./simd/stage.ts");
  const loaded = await loadSimdStage(spec, options);
  if (!("unusable" in loaded)) return loaded;
  if (backend === "auto") return await loadOrt(spec, loaded.unusable);
  throw new MdiError(
    "model_unsupported",
    `Cannot compute ${spec.model} with backend "simd": ${loaded.unusable}; use --backend ort, or leave --backend out`,
    { details: { backend } },
  );
}

/** @param reason why `simd` cannot; null where it was not asked. */
async function loadOrt(spec: StageSpec, reason: string | null): Promise<Stage> {
  if (spec.kv !== "f32") throw kvUnsupported(spec.kv, reason);
  const { loadOrtStage } = await import("./ort/stage.ts");
  return await loadOrtStage(spec, reason);
}

/** The refusal of a type of KV caches that only `simd` has. */
export function kvUnsupported(kv: string, reason: string | null): MdiError {
  return new MdiError(
    "model_unsupported",
    reason === null
      ? `Cannot keep KV caches as ${kv}: this node was started with --backend ort, which has none; start it with --backend auto, or leave --kv out`
      : `Cannot keep KV caches as ${kv}: only backend "simd" can, and ${reason}; leave --kv out`,
    { details: { kv } },
  );
}
