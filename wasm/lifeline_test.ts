import { assert, assertEquals, assertRejects } from "@std/assert";
import { TINY, TinyFiles } from "./_tiny_blocks.ts";
import { tinyDecoder } from "./_tiny_decoder.ts";
import { MdiError } from "./error.ts";
import { Lifeline } from "./lifeline.ts";
import type { Backend, Stage, StageSpec } from "./stage.ts";
import { loadWorkerStage } from "./worker_stage.ts";

/** Samples whose release is a fault of `_faulty_worker.ts`. */
const CLOSE = -1;
const BUSY = -2;

const LAYERS = { embed: false, layers: [0, TINY.layers - 1], head: false } as const;
const row = (sample: number) => ({
  segments: [{ sample, position: 0, rows: 1 }],
  hidden: new Float32Array(TINY.dModel).fill(1),
});
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Loads a stage as a node does, but for the module that its worker runs. */
async function loadFaulty(backend: Backend, spec: StageSpec): Promise<Stage> {
  const { Worker } = globalThis;
  globalThis.Worker = class extends Worker {
    constructor(url: string | URL, options?: WorkerOptions) {
      const ours = String(url).endsWith("/worker.ts");
      super(ours ? new URL("./_faulty_worker.ts", import.meta.url) : url, options);
    }
  };
  try {
    return await loadWorkerStage(backend, spec);
  } finally {
    globalThis.Worker = Worker;
  }
}

async function assertDies(call: () => Promise<unknown>): Promise<void> {
  const start = performance.now();
  const error = await assertRejects(call, MdiError, "worker died: it closed itself");
  assertEquals(error.code, "internal");
  assert(performance.now() - start < 1000, `${performance.now() - start} ms`);
}

for (const backend of ["simd", "ort"] as const) {
  Deno.test(`a ${backend} worker that closes itself is an error of what waits and what comes`, async () => {
    await using files = await TinyFiles.write(tinyDecoder());
    await using stage = await loadFaulty(backend, files.spec(LAYERS));
    stage.open(1, 4);
    stage.release(CLOSE);
    await assertDies(() => stage.forward(row(1)));
    await assertDies(() => stage.forward(row(1)));
    stage.open(2, 4);
  });

  Deno.test(`a ${backend} worker that closes itself between calls is an error of the next`, async () => {
    await using files = await TinyFiles.write(tinyDecoder());
    await using stage = await loadFaulty(backend, files.spec(LAYERS));
    stage.open(1, 4);
    await stage.forward(row(1));
    stage.release(CLOSE);
    await sleep(300);
    await assertDies(() => stage.forward(row(1)));
  });

  Deno.test(`a ${backend} worker may take its time`, async () => {
    await using files = await TinyFiles.write(tinyDecoder());
    await using stage = await loadFaulty(backend, files.spec(LAYERS));
    stage.open(1, 4);
    const start = performance.now();
    stage.release(BUSY);
    assertEquals((await stage.forward(row(1))).length, TINY.dModel);
    assert(performance.now() - start > 1000);
  });
}

Deno.test("the threads of a worker that closed itself end with it", async () => {
  await using files = await TinyFiles.write(tinyDecoder());
  const threads = () => [...Deno.readDirSync("/proc/self/task")].length;
  const die = async () => {
    await using stage = await loadFaulty("simd", { ...files.spec(LAYERS), threads: 3 });
    stage.open(1, 4);
    await stage.forward(row(1));
    stage.release(CLOSE);
    await assertDies(() => stage.forward(row(1)));
  };
  await die(); // what Deno itself starts once
  const before = threads();
  for (let i = 0; i < 3; i++) await die();
  await sleep(300);
  assert(threads() <= before + 2, `${threads()} threads after three deaths, ${before} before`);
});

Deno.test("a stage whose worker closed itself is disposed at once", async () => {
  await using files = await TinyFiles.write(tinyDecoder());
  const stage = await loadFaulty("simd", files.spec(LAYERS));
  stage.release(CLOSE);
  const start = performance.now();
  await stage[Symbol.asyncDispose]();
  assert(performance.now() - start < 1000, `${performance.now() - start} ms`);
});

/** A worker that takes a lifeline, and a promise of its end. */
function startWorker(code: string): { worker: Worker; lifeline: Lifeline; ended: Promise<void> } {
  const url = `data:application/javascript,${encodeURIComponent(code)}`;
  const worker = new Worker(url, { type: "module" });
  worker.onerror = (event) => event.preventDefault();
  const { promise, resolve } = Promise.withResolvers<void>();
  const lifeline = new Lifeline(resolve);
  worker.postMessage(lifeline.far, [lifeline.far]);
  return { worker, lifeline, ended: promise };
}

Deno.test("Lifeline tells of a worker that ended, whatever ended it", async () => {
  const ends = ["close()", "Deno.exit()", "{ throw 1; }", "setTimeout(close, 20)"];
  for (const code of ends) {
    const { worker, lifeline, ended } = startWorker(`onmessage = () => ${code}`);
    await ended;
    lifeline[Symbol.dispose]();
    worker.terminate();
  }
  const { worker, lifeline, ended } = startWorker("onmessage = () => {}");
  worker.terminate();
  await ended;
  lifeline[Symbol.dispose]();
});

Deno.test("Lifeline tells nothing after it was disposed", async () => {
  const { worker, lifeline, ended } = startWorker("onmessage = () => {}");
  const told = ended.then(() => "told");
  lifeline[Symbol.dispose]();
  worker.terminate();
  assertEquals(await Promise.race([told, sleep(300)]), undefined);
});
