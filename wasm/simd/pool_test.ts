import { assert, assertEquals, assertThrows } from "@std/assert";
import { MdiError } from "../error.ts";
import { CLAIM_BYTES, DONE, OP_BYTES, OP_NORM, POOL_THREADS, THREAD_LOST } from "./abi.ts";
import { KernelMemory } from "./memory.ts";
import { compileKernels, instantiateKernels, type Kernels } from "./module.ts";
import { ThreadPool } from "./pool.ts";

/** A program of operations over one row. */
interface Setup {
  memory: KernelMemory;
  kernels: Kernels;
  pool: ThreadPool;
  /** Where its 16 rows of 32 values are, which every operation replaces. */
  row: number;
  /** Runs it once. */
  run(): number;
  runWith(rows: number, threads: number): number;
}

async function setUp(threads: number, opcodes: readonly number[]): Promise<Setup> {
  const { module } = (await compileKernels())!;
  const memory = new KernelMemory();
  const kernels = instantiateKernels(module, memory.memory);
  const row = memory.take(20 * 32 * 4);
  const gamma = memory.take(32 * 4);
  memory.floats(gamma, 32).fill(1.01);
  const ops = memory.take(opcodes.length * OP_BYTES);
  const claims = memory.take(opcodes.length * CLAIM_BYTES * (threads + 1));
  opcodes.forEach((code, i) =>
    memory.words.set([code, row, 128, gamma, 32, 0, row, 128, 0, 0], (ops + i * OP_BYTES) / 4)
  );
  memory.words[POOL_THREADS / 4] = threads;
  const pool = await ThreadPool.start(module, memory, kernels, threads);
  const rows = threads + 1; // more than are done by whoever finished the operation before
  const runWith = (count: number, most: number) =>
    kernels.run(ops, opcodes.length, claims, count, most);
  return { memory, kernels, pool, row, run: () => runWith(rows, threads), runWith };
}

Deno.test("ThreadPool runs ten thousand operations over three threads and ends", async () => {
  const { pool, run } = await setUp(3, Array(100).fill(OP_NORM));
  await using _pool = pool;
  for (let i = 0; i < 100; i++) {
    assertEquals(run(), DONE);
    pool.check();
  }
});

Deno.test("run() is right while the number of threads changes and there are too few cores", async () => {
  const THREADS = 6;
  const { memory, pool, runWith, row } = await setUp(THREADS, Array(8).fill(OP_NORM));
  await using _pool = pool;
  const values = memory.floats(row, 16 * 32);
  const start = () => values.forEach((_, i) => values[i] = Math.sin(i));
  start();
  assertEquals(runWith(16, 1), DONE);
  const expected = values.slice();
  for (let call = 0; call < 20_000; call++) {
    start();
    assertEquals(runWith(16, THREADS - call % 2), DONE);
    assertEquals(values.findIndex((value, i) => value !== expected[i]), -1, `call ${call}`);
  }
});

Deno.test("ThreadPool.check() tells of a thread that closed itself within a second", async () => {
  const { pool, kernels, run } = await setUp(3, [OP_NORM, OP_NORM]);
  await using _pool = pool;
  assertEquals(run(), DONE);
  pool.check();
  kernels.stop(); // every thread leaves, and says nothing
  await new Promise((resolve) => setTimeout(resolve, 100));
  const start = performance.now();
  const error = assertThrows(() => {
    for (;;) {
      assertEquals(run(), DONE);
      pool.check();
      if (performance.now() - start > 3000) return;
    }
  }, MdiError);
  assert(performance.now() - start < 1500, `${performance.now() - start} ms`);
  assert(error.message.includes("stopped answering"), error.message);
});

Deno.test("ThreadPool costs no time of a processor while nothing runs", async () => {
  const { pool, run } = await setUp(3, [OP_NORM]);
  await using _pool = pool;
  run();
  await new Promise((resolve) => setTimeout(resolve, 100));
  const before = processTime();
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const used = processTime() - before;
  assert(used <= 0.05, `${used} s of a second`);
});

Deno.test("run() gives up where a thread dies with an item in its hands", async () => {
  const BROKEN = 99; // an opcode that traps
  const { pool, run } = await setUp(2, [OP_NORM, BROKEN]);
  await using _pool = pool;
  const start = performance.now();
  let result: number | Error;
  try {
    result = run();
  } catch (error) {
    result = error as Error; // this thread took the item itself
  }
  assert(result === THREAD_LOST || result instanceof WebAssembly.RuntimeError, String(result));
  assert(performance.now() - start < 1500);
  // The worker's own trap, where it had the item, arrives as an event.
  await new Promise((resolve) => setTimeout(resolve, 50));
});

/** Seconds of processor time that this process has used, from /proc (clock ticks of 10 ms). */
function processTime(): number {
  const fields = Deno.readTextFileSync("/proc/self/stat").split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
