// deno-lint-ignore-file no-console
/**
 * mdi against its peers, each in a process of its own on the same weights: time of a token at 32 and at
 * 500 cached tokens, and of a prompt of 256.
 *
 *     deno run -A bench/peers/peers_bench.ts --model FILE.gguf [--onnx DIR] [--genai DIR]
 *         [--peers mdi,llama.cpp,…]
 *         [--only decode32,decode500,prefill256] [--rounds 5] [--tokens 32] [--threads 1]
 *         [--backend simd] [--name peers] [--verbose]
 *
 * In every round each figure is taken of one peer after another while the others wait, so that what the
 * machine does besides meets all of them; ratios are those of a round, and their median is told. Raw
 * values are kept in bench/results.
 */
import { basename, resolve } from "node:path";
import { parseArgs } from "node:util";
import { keep, print } from "../report.ts";
import { median } from "../statistics.ts";
import { RunnerProcess } from "./runner_process.ts";

/** How a peer is started. */
interface PeerSpec {
  /** Options of `deno run` and the script. */
  args: string[];
  /** Which of the options names what it loads. */
  loads: "model" | "onnx" | "genai";
  variant?: string;
}

/** Tokens that a sample may have: what the longest figure needs. */
const CONTEXT = 1024;

/** What is measured: ms in, tokens/s out. */
const FIGURES: Record<
  string,
  { title: string; tokens: number; of(peer: RunnerProcess): Promise<number> }
> = {
  decode32: {
    title: "decode at 32",
    tokens: 1,
    of: (peer) => peer.decode(32, tokens),
  },
  decode500: {
    title: "decode at 500",
    tokens: 1,
    of: (peer) => peer.decode(500, tokens),
  },
  prefill256: {
    title: "prefill of 256",
    tokens: 256,
    of: (peer) => peer.prefill(256),
  },
};

const { values: options } = parseArgs({
  args: Deno.args,
  options: {
    model: { type: "string" },
    onnx: { type: "string" },
    genai: { type: "string" },
    peers: { type: "string" },
    only: { type: "string", default: Object.keys(FIGURES).join(",") },
    rounds: { type: "string", default: "5" },
    tokens: { type: "string", default: "32" },
    threads: { type: "string", default: "1" },
    backend: { type: "string", default: "simd" },
    name: { type: "string", default: "peers" },
    verbose: { type: "boolean", default: false },
  },
});
const tokens = Number(options.tokens);
const rounds = Number(options.rounds);
const threads = Number(options.threads);

const TRANSFORMERS = [
  "--no-config",
  "--import-map=packages/import_map.json",
  "transformers_runner.ts",
];

const PEERS: Record<string, PeerSpec> = {
  mdi: { args: ["mdi_runner.ts"], loads: "model", variant: options.backend },
  "llama.cpp": { args: ["llama_cpp_runner.ts"], loads: "model" },
  "wllama-2": { args: ["browser_runner.ts", "wllama_2"], loads: "model" },
  "wllama-3": { args: ["browser_runner.ts", "wllama_3"], loads: "model" },
  ...Object.fromEntries(
    ["q4", "q8", "fp32", "genai"].flatMap((variant): [string, PeerSpec][] => {
      const loads = variant === "genai" ? "genai" : "onnx";
      const page = ["browser_runner.ts", "transformers"];
      return [
        [`transformers-${variant}`, { args: TRANSFORMERS, loads, variant }],
        [`transformers-${variant}-chromium`, { args: page, loads, variant }],
      ];
    }),
  ),
};

if (!options.model) throw new TypeError("Give a model with --model FILE.gguf");
const names = options.peers?.split(",") ?? Object.keys(PEERS);
const figures = options.only.split(",");
for (const name of names) if (!PEERS[name]) throw new TypeError(`There is no peer "${name}"`);
for (const name of figures) if (!FIGURES[name]) throw new TypeError(`There is no figure "${name}"`);

/** tokens/s by figure and peer, one value a round. */
type Raw = Record<string, Record<string, number[]>>;

const raw: Raw = Object.fromEntries(figures.map((figure) => [figure, {}]));
const notRun: Record<string, string> = {};
const descriptions: Record<string, string> = {};

await using owned = new AsyncDisposableStack();
const running = await startAll();
for (let round = -1; round < rounds; round++) {
  await runRound(running, round);
}
await report();

async function startAll(): Promise<Map<string, RunnerProcess>> {
  const started = new Map<string, RunnerProcess>();
  for (const name of names) {
    const { args, loads, variant } = PEERS[name]!;
    try {
      const model = options[loads];
      if (!model) throw new Error(`no export: give its directory with --${loads}`);
      const load = { model: resolve(model), threads, context: CONTEXT, variant };
      const peer = owned.use(await RunnerProcess.start(args, load, options.verbose));
      descriptions[name] = peer.description;
      started.set(name, peer);
    } catch (error) {
      notRun[name] = error instanceof Error ? error.message : String(error);
      console.error(`${name} is not run: ${notRun[name]}`);
    }
  }
  return started;
}

/** Takes every figure of every peer. The round before the first warms up and is not kept. */
async function runRound(peers: Map<string, RunnerProcess>, round: number): Promise<void> {
  for (const figure of figures) {
    const { tokens, of } = FIGURES[figure]!;
    const line: string[] = [];
    for (const [name, peer] of peers) {
      try {
        const perSecond = 1000 * tokens / await of(peer);
        line.push(`${name} ${perSecond.toFixed(1)}`);
        if (round >= 0) (raw[figure]![name] ??= []).push(perSecond);
      } catch (error) {
        notRun[name] = error instanceof Error ? error.message : String(error);
        console.error(`${name} failed: ${notRun[name]}`);
        peers.delete(name);
      }
    }
    const which = round < 0 ? "warm-up" : `round ${round + 1} of ${rounds}`;
    console.error(`${which}, ${FIGURES[figure]!.title}: ${line.join(", ")} tokens/s`);
  }
}

async function report(): Promise<void> {
  const titles = figures.map((figure) => FIGURES[figure]!.title);
  await print(`${basename(options.model!)}, ${threads} thread(s), medians of ${rounds} rounds\n`);
  await print(`| peer | ${titles.map((title) => `${title}, tokens/s | mdi is`).join(" | ")} |`);
  await print(`|---|${"---|---|".repeat(titles.length)}`);
  for (const name of names) {
    const why = notRun[name];
    const cells = figures.map((figure) => cell(raw[figure]!, name));
    await print(`| ${name} | ${why ? `not run: ${why}` : cells.join(" | ")} |`);
  }
  await print("");
  for (const [name, description] of Object.entries(descriptions)) {
    await print(`- ${name}: ${description}`);
  }
  await keep(options.name, {
    model: basename(options.model!),
    threads,
    tokens,
    rounds,
    cpu: await cpuName(),
    peers: descriptions,
    notRun,
    tokensPerSecond: raw,
  });
}

/** A peer's median, and the median of what mdi was against it in each round. */
function cell(byPeer: Record<string, number[]>, name: string): string {
  const values = byPeer[name] ?? [];
  const own = byPeer["mdi"] ?? [];
  const ratio = median(values.map((value, i) => own[i]! / value));
  return `${median(values).toFixed(1)} | ${name === "mdi" || own.length === 0 ? "" : times(ratio)}`;
}

function times(ratio: number): string {
  return `${ratio.toFixed(2)} ×`;
}

/** What Linux calls the processor. */
async function cpuName(): Promise<string> {
  const text = await Deno.readTextFile("/proc/cpuinfo").catch(() => "");
  return /^(?:model name|Model)\s*: (.+)$/m.exec(text)?.[1] ?? Deno.build.arch;
}
