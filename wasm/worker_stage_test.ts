import { assert, assertEquals, assertRejects } from "@std/assert";
import { TINY, tinyBlocks, TinyFiles } from "./_tiny_blocks.ts";
import { MdiError } from "./error.ts";
import { readPace } from "./pace.ts";
import type { Backend } from "./stage.ts";
import { loadWorkerStage } from "./worker_stage.ts";
import { tinyDecoder } from "./_tiny_decoder.ts";

const LAYERS = { embed: false, layers: [0, TINY.layers - 1], head: false } as const;
const row = (sample: number) => ({
  segments: [{ sample, position: 0, rows: 1 }],
  hidden: new Float32Array(TINY.dModel),
});

Deno.test("loadWorkerStage() rejects with what the backend says", async () => {
  await using files = await TinyFiles.write();
  const unknown = await assertRejects(
    () => loadWorkerStage("abacus" as Backend, files.spec()),
    MdiError,
    'backend "abacus"',
  );
  assertEquals(unknown.code, "model_unsupported");
  const memory = await assertRejects(() => loadWorkerStage("ort", files.spec({}, 1e6)), MdiError);
  assertEquals([memory.code, memory.details.availableBytes], ["memory", 1e6]);
});

Deno.test("loadWorkerStage() rejects with ONNX Runtime's reason where it refuses a graph", async () => {
  const blocks = tinyBlocks();
  for (const { model } of blocks) {
    for (const node of model.graph!.node) if (node.opType === "Add") node.opType = "Adds";
  }
  await using files = await TinyFiles.write(blocks);
  const error = await assertRejects(
    () => loadWorkerStage("ort", files.spec(LAYERS)),
    MdiError,
    "Cannot load tiny layer.0 to layer.2 in ONNX Runtime",
  );
  assertEquals(error.code, "model_unsupported");
  assert(error.message.includes("Adds"), error.message);
});

Deno.test("loadWorkerStage() ends with its signal, before and during the load", async () => {
  await using files = await TinyFiles.write();
  const reason = new Error("enough");
  const load = (signal: AbortSignal) => loadWorkerStage("ort", files.spec(), { signal });
  assertEquals(await assertRejects(() => load(AbortSignal.abort(reason))), reason);
  const controller = new AbortController();
  const loading = load(controller.signal);
  controller.abort(reason);
  assertEquals(await assertRejects(() => loading), reason);
});

Deno.test("a worker stage whose worker dies rejects all that waits and all that comes", async () => {
  await using files = await TinyFiles.write();
  await using stage = await loadWorkerStage("ort", files.spec(LAYERS));
  stage.open(1, 4);
  await stage.forward(row(1));
  stage.truncate(1, -1); // no length: what nobody answers for must not be lost either
  const waiting = assertRejects(() => stage.forward(row(1)), MdiError, "worker died");
  assertEquals((await waiting).code, "internal");
  await assertRejects(() => stage.forward(row(1)), MdiError, "worker died");
  stage.open(2, 4);
});

Deno.test("a worker stage that was closed rejects what waits and what comes", async () => {
  await using files = await TinyFiles.write();
  const stage = await loadWorkerStage("ort", files.spec(LAYERS));
  stage.open(1, 4);
  const waiting = assertRejects(() => stage.forward(row(1)), MdiError);
  await stage[Symbol.asyncDispose]();
  assertEquals((await waiting).code, "cancelled");
  assertEquals((await assertRejects(() => stage.forward(row(1)), MdiError)).code, "cancelled");
  await stage[Symbol.asyncDispose]();
});

Deno.test("a worker stage gives its memory back when it is disposed", async () => {
  await using files = await TinyFiles.write();
  const loadAndDispose = async () => {
    await using stage = await loadWorkerStage("ort", files.spec());
    assert(stage.info.weightBytes > 0);
  };
  for (let i = 0; i < 3; i++) await loadAndDispose();
  const before = Deno.memoryUsage().rss;
  for (let i = 0; i < 6; i++) await loadAndDispose();
  // Each has about 100 MB of code and memory of its own.
  assert(Deno.memoryUsage().rss - before < 200e6);
});

Deno.test("a worker stage ends its threads when it is disposed", async () => {
  await using files = await TinyFiles.write(tinyDecoder());
  const threads = () => [...Deno.readDirSync("/proc/self/task")].length;
  const load = async () => {
    await using stage = await loadWorkerStage("simd", { ...files.spec(), threads: 3 });
    assertEquals(stage.info.threads, 3);
  };
  await load(); // what Deno itself starts once
  const before = threads();
  for (let i = 0; i < 4; i++) await load();
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert(threads() <= before + 2, `${threads()} threads after four stages, ${before} before`);
});

Deno.test("a worker stage with a pace answers in time, and no sooner", async () => {
  await using files = await TinyFiles.write();
  const pace = readPace({ layer: 20 });
  await using stage = await loadWorkerStage("ort", files.spec(LAYERS), { pace });
  assertEquals(stage.info.paced, true);
  const samples = [1, 2, 3];
  for (const sample of samples) stage.open(sample, 4);
  const start = performance.now();
  const ends = await Promise.all(samples.map(async (sample) => {
    await stage.forward(row(sample));
    return performance.now() - start;
  }));
  const each = 20 * TINY.layers;
  ends.forEach((ms, i) => assert(ms >= (i + 1) * each - 1, `call ${i} after ${ms} ms`));
  assertEquals(stage.computeMs(), samples.length * each);
});
