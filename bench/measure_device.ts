/** Everything that `deno task bench` measures, one part after another. */
import { join } from "node:path";
import type { BenchFigure, BenchGroup } from "../cli/report/bench_result.ts";
import { compileKernels } from "../wasm/simd/module.ts";
import type { StageSpec } from "../wasm/stage.ts";
import { defaultThreads } from "../wasm/threads.ts";
import { loadWorkerStage } from "../wasm/worker_stage.ts";
import { measureCodec } from "./measure_codec.ts";
import { measureKernels } from "./measure_kernels.ts";
import { measureLink } from "./measure_link.ts";
import { fill, prefill, timeDecode } from "./measure_stage.ts";
import { startRunner, startSecondary } from "./ring_processes.ts";
import { median } from "./statistics.ts";

/** How much is measured. */
export interface Extent {
  /** Values of each figure, but of those of the kernels. */
  rounds: number;
  kernelRounds: number;
  /** Bytes of weights of a kernel's call. */
  kernelBytes?: number;
  /** Rows of a decode step: each of another sample. */
  rows: readonly number[];
  /** Tokens that are cached then. */
  contexts: readonly number[];
  /** Lengths of prompts. */
  prompts: readonly number[];
  /** Frames of a link for one value. */
  frames: number;
  /** Most processes of a ring; no more than the device has cores. */
  nodes: number;
  /** Samples of a ring, and tokens of each. */
  samples: number;
  tokens: number;
}

/** Under a minute. */
export const QUICK: Extent = {
  rounds: 3,
  kernelRounds: 5,
  rows: [1, 2, 4],
  contexts: [32, 256],
  prompts: [32, 128],
  frames: 400,
  nodes: 2,
  samples: 4,
  tokens: 24,
};

/** A few minutes. */
export const FULL: Extent = {
  rounds: 7,
  kernelRounds: 9,
  rows: [1, 2, 4, 8],
  contexts: [32, 512],
  prompts: [32, 128, 256],
  frames: 1500,
  nodes: 4,
  samples: 8,
  tokens: 64,
};

/** What is measured with, and who is told. */
export interface MeasureDeviceOptions {
  extent: Extent;
  /** The model's path. */
  model: string;
  /** The same, loaded into the store at `home`. */
  spec: StageSpec;
  /** A directory for stores, that goes away afterwards. */
  home: string;
  /** Told a line for people. */
  onProgress(line: string): void;
}

/** Measures this device. */
export async function measureDevice(options: MeasureDeviceOptions): Promise<BenchFigure[]> {
  const figures: BenchFigure[] = [];
  for (const part of [kernels, stage, codec, link, ring]) figures.push(...await part(options));
  return figures;
}

async function kernels({ extent, onProgress }: MeasureDeviceOptions): Promise<BenchFigure[]> {
  const compiled = await compileKernels();
  if (!compiled) return [];
  onProgress("kernels: every kind of weights with 1, 4 and 32 rows");
  const { build } = compiled;
  const { costs } = await measureKernels({
    build,
    rounds: extent.kernelRounds,
    ...(extent.kernelBytes !== undefined && { bytes: extent.kernelBytes }),
  });
  return costs.flatMap(({ kind, rows, products, bytes, ms }) => {
    const name = `${kind}, ${rows} row${rows === 1 ? "" : "s"}`;
    const of = { kind, rows };
    const perSecond = (amount: number) => ms.map((each) => amount / each / 1e6);
    const speed = figure("kernels", name, "GMAC/s", perSecond(products), of);
    if (rows > 1) return [speed];
    return [speed, figure("kernels", `${name}, weights`, "GB/s", perSecond(bytes), of)];
  });
}

async function stage(
  { extent, spec, onProgress }: MeasureDeviceOptions,
): Promise<BenchFigure[]> {
  const { rounds, rows, contexts, prompts } = extent;
  const { vocab } = spec;
  const samples = Math.max(...rows);
  const figures = new Map<string, BenchFigure>();
  const note = (what: string, at: string, of: BenchFigure["of"], value: number) => {
    const name = `${what}, ${at}, ${of.threads} thread${of.threads === 1 ? "" : "s"}`;
    const known = figures.get(name);
    if (known) known.values.push(value);
    else figures.set(name, figure("stage", name, "tokens/s", [value], { what, ...of }));
  };
  for (const threads of [...new Set([1, defaultThreads()])]) {
    await using loaded = await loadWorkerStage("auto", { ...spec, threads });
    for (let sample = 0; sample < samples; sample++) {
      loaded.open(sample, Math.max(...contexts, ...prompts) + 64);
    }
    onProgress(`stage: prompts, ${threads} of ${defaultThreads()} threads`);
    for (let round = -1; round < rounds; round++) {
      for (const tokens of prompts) {
        const ms = await prefill(loaded, tokens, vocab);
        if (round >= 0) {
          note("prefill", `${tokens} tokens`, { tokens, threads }, 1000 * tokens / ms);
        }
      }
    }
    for (const context of contexts) {
      onProgress(
        `stage: decode at ${context} cached tokens, ${threads} of ${defaultThreads()} threads`,
      );
      await fill(loaded, samples, context, vocab);
      for (let round = -1; round < rounds; round++) {
        for (const count of rows) {
          const untimed = round < 0 ? 32 : 0;
          const ms = await timeDecode(loaded, count, context, { untimed, vocab });
          if (round < 0) continue;
          const of = { rows: count, context, threads };
          note("decode", `${count} at ${context} cached`, of, 1000 * count / ms);
        }
      }
    }
  }
  return [...figures.values()];
}

function codec({ extent, onProgress }: MeasureDeviceOptions): BenchFigure[] {
  onProgress("frame codec");
  return [1, 8, 32].map((rows) => {
    const name = `frame of ${rows} row${rows === 1 ? "" : "s"}, both ways`;
    return figure("codec", name, "µs", measureCodec(rows, extent.rounds), { rows });
  });
}

async function link({ extent, onProgress }: MeasureDeviceOptions): Promise<BenchFigure[]> {
  const peer = join(import.meta.dirname!, "link_bench.ts");
  const figures: BenchFigure[] = [];
  for (const security of ["h2c", "tls"] as const) {
    onProgress(`link: between two processes, ${security}`);
    const runs = new Array(extent.rounds).fill({ count: extent.frames, pauseMs: 0 });
    const costs = await measureLink(peer, security, runs);
    figures.push(
      figure(
        "link",
        `round trip of a row, ${security}`,
        "ms",
        costs.map(({ roundTripMs }) => median(roundTripMs)),
        { security },
      ),
      figure(
        "link",
        `CPU of a hop, ${security}`,
        "ms",
        costs.map(({ cpuMsPerHop }) => cpuMsPerHop),
        { security },
      ),
    );
  }
  return figures;
}

async function ring(
  { extent, model, spec, home, onProgress }: MeasureDeviceOptions,
): Promise<BenchFigure[]> {
  const { rounds, samples, tokens } = extent;
  const layers = spec.range.layers ? spec.range.layers[1] + 1 : 0;
  const most = Math.min(extent.nodes, Math.max(2, navigator.hardwareConcurrency), layers);
  const figures: BenchFigure[] = [];
  for (let nodes = 1; nodes <= most; nodes++) {
    onProgress(`ring: ${nodes} process${nodes === 1 ? "" : "es"}, ${samples} samples`);
    await using stack = new AsyncDisposableStack();
    const peers: string[] = [];
    for (let i = 1; i < nodes; i++) {
      peers.push(stack.use(await startSecondary(join(home, `secondary-${i}`))).address);
    }
    const runner = stack.use(await startRunner({ model, home, peers, tokens }));
    await runner.run(samples); // warms up
    const values: number[] = [];
    for (let round = 0; round < rounds; round++) {
      values.push((await runner.run(samples)).tokensPerSecond);
    }
    const name = `${nodes} node${nodes === 1 ? "" : "s"}, ${samples} samples`;
    figures.push(figure("ring", name, "tokens/s", values, { nodes, samples }));
  }
  return figures;
}

function figure(
  group: BenchGroup,
  name: string,
  unit: string,
  values: number[],
  of: BenchFigure["of"],
): BenchFigure {
  const digits = (value: number) => Number(value.toPrecision(6));
  const better = unit === "ms" || unit === "µs" ? "less" : "more";
  return { group, name, unit, better, values: values.map(digits), of };
}
