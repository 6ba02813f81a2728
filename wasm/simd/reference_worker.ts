/** ONNX Runtime for comparisons, in a worker of its own that gives its memory back when it ends. */
/// <reference lib="deno.worker" />
import { MdiError, messageOf } from "../error.ts";
import { loadOrtStage } from "../ort/stage.ts";
import { answer } from "./compare.ts";
import type { ReferenceReply, ReferenceRequest } from "./reference_protocol.ts";

const scope = self as unknown as DedicatedWorkerGlobalScope;

scope.onmessage = async ({ data: { spec, probe } }: MessageEvent<ReferenceRequest>) => {
  scope.postMessage(await reply({ spec, probe }));
};

async function reply({ spec, probe }: ReferenceRequest): Promise<ReferenceReply> {
  try {
    await using stage = await loadOrtStage(spec);
    return { ok: true, answers: await answer(stage, probe) };
  } catch (error) {
    const code = error instanceof MdiError ? error.code : "internal";
    return { ok: false, code, message: messageOf(error) };
  }
}
