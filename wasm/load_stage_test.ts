import { assertEquals, assertRejects } from "@std/assert";
import { TinyFiles } from "./_tiny_blocks.ts";
import { MdiError } from "./error.ts";
import type { Backend, KvType } from "./stage.ts";
import { loadWorkerStage } from "./worker_stage.ts";

Deno.test("a stage keeps KV caches in the type that it is told, or says why it cannot", async () => {
  await using files = await TinyFiles.write();
  const cases: [Backend, KvType][] = [["ort", "f16"], ["ort", "int8"]];
  for (const [backend, kv] of cases) {
    const loading = loadWorkerStage(backend, { ...files.spec(), kv });
    const error = await assertRejects(() => loading, MdiError, `as ${kv}: this node was started`);
    assertEquals([error.code, error.details.kv], ["model_unsupported", kv]);
  }
  await using stage = await loadWorkerStage("ort", files.spec());
  assertEquals([stage.info.kv, stage.info.backendReason], ["f32", null]);
});

Deno.test("a stage of blocks that simd cannot run is ort's, or none where only simd may be", async () => {
  await using files = await TinyFiles.write(); // its layers have neither norms nor an MLP
  await using stage = await loadWorkerStage("auto", files.spec());
  const { backend, backendReason, notes } = stage.info;
  assertEquals(backend, "ort");
  assertEquals(notes[0], `ort (ONNX Runtime) computes, because ${backendReason}`);
  for (
    const [wanted, kv, words] of [
      ["simd", "f32", `with backend "simd": ${backendReason}; use --backend ort`],
      ["auto", "int8", `as int8: only backend "simd" can, and ${backendReason}; leave --kv out`],
    ] as const
  ) {
    const loading = loadWorkerStage(wanted, { ...files.spec(), kv });
    const error = await assertRejects(() => loading, MdiError, words);
    assertEquals(error.code, "model_unsupported");
  }
});
