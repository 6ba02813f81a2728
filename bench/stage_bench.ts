/**
 * One node's `simd` stage by itself: decode at 32 and at 500 cached tokens, prefill of 256, four samples in a batch,
 * two threads against one, also while another process uses a core, and where the time goes.
 *
 *     deno task bench:stage --model FILE [--rounds 9]
 *
 * Everything is interleaved within a round; ratios are of one round, and their median is told.
 */
import { parseArgs } from "node:util";
import type { SimdStage } from "../wasm/simd/stage_core.ts";
import { loadSimdStage } from "../wasm/simd/stage.ts";
import type { Stage, StageSpec } from "../wasm/stage.ts";
import { loadWorkerStage } from "../wasm/worker_stage.ts";
import { fill, idsOf, prefill, step, timeDecode, TOKENS } from "./measure_stage.ts";
import { wholeModel } from "./model_spec.ts";
import { keep, print } from "./report.ts";
import { median } from "./statistics.ts";

const { values } = parseArgs({
  args: Deno.args,
  options: { model: { type: "string" }, rounds: { type: "string", default: "9" } },
});
if (!values.model) throw new TypeError("Give a model with --model FILE");
const rounds = Number(values.rounds);

/** Operations by opcode (wasm/simd/abi.ts). */
const OPERATIONS = {
  1: "embed",
  2: "norm",
  3: "linear",
  4: "cache",
  5: "attend",
  6: "merge",
  7: "gate and up",
} as const;

/** Milliseconds of a step that adds a token to each sample, in caches of that length. */
async function decode(stage: Stage, samples: number, at: number): Promise<number> {
  await fill(stage, samples, at);
  return await timeDecode(stage, samples, at);
}

/** All figures of a stage in tokens per second. */
async function figures(stage: Stage): Promise<Record<string, number>> {
  return {
    "decode at 32": 1000 / await decode(stage, 1, 32),
    "decode at 500": 1000 / await decode(stage, 1, 500),
    "four samples at 32": 4000 / await decode(stage, 4, 32),
    "prefill of 256": 256_000 / await prefill(stage, 256),
  };
}

/** A process that uses one core. */
function busyProcess(): Disposable {
  const child = new Deno.Command(Deno.execPath(), { args: ["eval", "for (;;);"] }).spawn();
  return { [Symbol.dispose]: () => child.kill("SIGKILL") };
}

/** Milliseconds of a decoded token by operation; the head's product counts as linear. */
async function profile(stage: SimdStage, at: number): Promise<Record<string, number>> {
  await fill(stage, 1, at);
  stage.profile(true);
  for (let i = 0; i < TOKENS; i++) await step(stage, 1, at + i, idsOf(1));
  const ms = stage.profile(false);
  return Object.fromEntries(
    Object.entries(OPERATIONS).map(([code, name]) => [name, ms[Number(code)]! / TOKENS]),
  );
}

type Round = Record<string, Record<string, number>>;

/** Median over rounds of a quotient of two figures. */
function ratio(raw: Round[], of: (round: Round) => number): string {
  return median(raw.map(of)).toFixed(2);
}

async function measure(spec: StageSpec): Promise<void> {
  await using one = await loadWorkerStage("simd", { ...spec, threads: 1 });
  await using two = await loadWorkerStage("simd", { ...spec, threads: 2 });
  await using half = await loadWorkerStage("simd", { ...spec, threads: 1, kv: "f16" });
  await using int8 = await loadWorkerStage("simd", { ...spec, threads: 1, kv: "int8" });
  await using inProcess = await loadSimdStage(spec) as SimdStage;
  for (const stage of [one, two, half, int8, inProcess]) {
    for (let sample = 0; sample < 4; sample++) stage.open(sample, 600);
  }
  const raw: Round[] = [];
  const profiles: Record<string, Record<string, number>>[] = [];
  for (let round = -1; round < rounds; round++) {
    const figuresOf: Round = {
      one: await figures(one),
      "one, f16": await figures(half),
      "one, int8": await figures(int8),
      two: await figures(two),
    };
    {
      using _busy = busyProcess();
      await new Promise((resolve) => setTimeout(resolve, 300));
      figuresOf["one, busy"] = await figures(one);
      figuresOf["two, busy"] = await figures(two);
    }
    const each = { "at 32": await profile(inProcess, 32), "at 500": await profile(inProcess, 500) };
    if (round < 0) continue; // warms everything up
    raw.push(figuresOf);
    profiles.push(each);
  }
  const names = Object.keys(raw[0]!["one"]!);
  await print("| tokens/s, median | 1 thread | 2 threads | 2 against 1 | the same on a busy box |");
  await print("| --- | --- | --- | --- | --- |");
  for (const name of names) {
    const of = (who: string) => median(raw.map((round) => round[who]![name]!)).toFixed(0);
    const gain = ratio(raw, (round) => round["two"]![name]! / round["one"]![name]!);
    const busy = ratio(raw, (round) => round["two, busy"]![name]! / round["one, busy"]![name]!);
    await print(`| ${name} | ${of("one")} | ${of("two")} | ${gain} | ${busy} |`);
  }
  const [short, long, batch] = ["decode at 32", "decode at 500", "four samples at 32"];
  for (const [who, kv] of [["one", "f32"], ["one, f16", "f16"], ["one, int8", "int8"]] as const) {
    const falls = ratio(raw, (round) => round[who]![long!]! / round[who]![short!]!);
    await print(`decode at 500 against 32, ${kv} caches: ${falls}`);
  }
  await print(
    `four samples against one: ${ratio(raw, ({ one }) => one![batch!]! / one![short!]!)}`,
  );
  for (const at of ["at 32", "at 500"]) {
    const parts = Object.values(OPERATIONS).map((name) =>
      `${name} ${median(profiles.map((each) => each[at]![name]!)).toFixed(2)}`
    );
    await print(`ms of a token ${at}, one thread: ${parts.join(", ")}`);
  }
  await keep("stage", { rounds: raw, profiles });
}

const home = await Deno.makeTempDir({ prefix: "mdi-bench-" });
try {
  await measure(await wholeModel(values.model, home));
} finally {
  await Deno.remove(home, { recursive: true });
}
