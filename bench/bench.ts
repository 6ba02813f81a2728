/**
 * What this device can do: kernels, a stage, frames, a link, rings of several processes.
 *
 *     deno task bench [--quick] [--model FILE] [--out FILE] [--report FILE]
 *     deno task bench compare A.json B.json
 *
 * The result goes to `--out`, else into `$MDI_HOME/bench`; progress to standard error, a table to standard
 * output. `compare` exits with 0 where nothing got worse, 1 where something did, 2 where it cannot compare.
 */
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import {
  BENCH_FORMAT,
  BENCH_GROUPS,
  BENCH_VERSION,
  type BenchResult,
  readBenchResult,
} from "../cli/report/bench_result.ts";
import { benchTable } from "../cli/report/bench_figures.ts";
import { renderTable } from "../cli/table.ts";
import { typedPath } from "../cli/typed_path.ts";
import { formatBytes } from "../engine/format_bytes.ts";
import { DEFAULT_FILE } from "../engine/pull/default_model.ts";
import { DEFAULT_MODEL } from "../engine/pull/model_name.ts";
import { defaultHome, layoutOf } from "../engine/store/layout.ts";
import { messageOf } from "../wasm/error.ts";
import { compareResults, comparisonText } from "./compare.ts";
import { GENERATED_NAME, generateModel } from "./generated_model.ts";
import { describeMachine } from "./machine.ts";
import { FULL, measureDevice, QUICK } from "./measure_device.ts";
import { wholeModel } from "./model_spec.ts";
import { print } from "./report.ts";

const USAGE = `deno task bench [--quick] [--model FILE] [--out FILE] [--report FILE]
deno task bench compare A.json B.json
    exits with 0 where nothing got worse, 1 where something did, 2 where it cannot compare`;

const options = {
  quick: { type: "boolean", default: false },
  model: { type: "string" },
  out: { type: "string" },
  report: { type: "string" },
  help: { type: "boolean", short: "h", default: false },
} as const;

/** What was asked for. */
interface BenchOptions {
  quick: boolean;
  model?: string | undefined;
  out?: string | undefined;
  report?: string | undefined;
}

if (import.meta.main) Deno.exitCode = await main(Deno.args);

async function main(args: string[]): Promise<number> {
  try {
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
    if (values.help) await print(USAGE);
    else if (positionals[0] === "compare" && positionals.length === 3) {
      return await compare(positionals[1]!, positionals[2]!);
    } else if (positionals.length > 0) {
      throw new TypeError(`Cannot understand "${positionals.join(" ")}": usage is\n${USAGE}`);
    } else await bench(values);
    return 0;
  } catch (error) {
    await say(`bench: error: ${messageOf(error)}`);
    return error instanceof TypeError ? 2 : 1;
  }
}

/** @returns 1 where a figure of the second got worse. */
async function compare(a: string, b: string): Promise<number> {
  const [first, second] = await Promise.all(
    [a, b].map(async (path) => readBenchResult(await readText(path), path)),
  );
  const comparison = compareResults(first!, second!);
  await print(comparisonText(comparison));
  return comparison.figures.some(({ verdict }) => verdict === "worse") ? 1 : 0;
}

async function readText(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(typedPath(path));
  } catch (cause) {
    throw new TypeError(`Cannot read ${path}: ${messageOf(cause)}`, { cause });
  }
}

async function bench({ quick, model, out, report }: BenchOptions): Promise<void> {
  const start = performance.now();
  const machine = await describeMachine();
  await say(
    `${machine.cpu ?? "CPU not named"}, ${machine.arch}, ${machine.cores} cores, ${
      formatBytes(machine.memoryBytes)
    }, SIMD ${machine.simd} (${machine.dotProduct})`,
  );
  const home = await Deno.makeTempDir({ prefix: "mdi-bench-" });
  try {
    const chosen = model === undefined ? await modelHere(home) : typedPath(model);
    const generated = chosen.endsWith(GENERATED_NAME);
    await say(
      generated
        ? `model: ${GENERATED_NAME}, small and made up, as ${DEFAULT_MODEL} is not on this device; deno task mdi pull brings it`
        : `model: ${chosen}`,
    );
    const spec = await wholeModel(chosen, home);
    const figures = await measureDevice({
      extent: quick ? QUICK : FULL,
      model: chosen,
      spec,
      home,
      onProgress: (line) => void say(`${seconds(start)}  ${line}`),
    });
    const name = generated ? GENERATED_NAME : spec.model;
    const result: BenchResult = {
      format: BENCH_FORMAT,
      version: BENCH_VERSION,
      machine,
      model: { name, generated },
      quick,
      figures,
    };
    await print(tableOf(result));
    const path = out === undefined ? resultPath(machine.date) : typedPath(out);
    await write(path, `${JSON.stringify(result, null, 1)}\n`);
    await print(`\n${seconds(start)}; result: ${path}`);
    if (report !== undefined) await writeReport(result, typedPath(report));
  } finally {
    await Deno.remove(home, { recursive: true });
  }
}

async function writeReport(bench: BenchResult, path: string): Promise<void> {
  const { renderReport } = await import("../cli/report/render.ts");
  const { cpu, arch } = bench.machine;
  await write(path, await renderReport({ title: `mdi on ${cpu ?? arch}`, bench }));
  await print(`report: ${path}`);
}

/** The default model where it is on this device, else one that is made up below a directory. */
async function modelHere(directory: string): Promise<string> {
  const path = join(layoutOf(defaultHome()).models, DEFAULT_MODEL, DEFAULT_FILE.file);
  const size = await Deno.stat(path).then((info) => info.size, () => 0);
  return size === DEFAULT_FILE.bytes ? path : await generateModel(directory);
}

function resultPath(date: string): string {
  return join(defaultHome(), "bench", `${date.slice(0, 19).replaceAll(":", "-")}.json`);
}

function tableOf({ figures }: BenchResult): string {
  return BENCH_GROUPS.flatMap((group) => {
    const own = figures.filter((figure) => figure.group === group);
    if (own.length === 0) return [];
    const { header, rows } = benchTable(own);
    return [`\n${renderTable([group, ...header.slice(1)], rows)}`];
  }).join("\n");
}

async function write(path: string, text: string): Promise<void> {
  await Deno.mkdir(dirname(path), { recursive: true });
  await Deno.writeTextFile(path, text);
}

function seconds(start: number): string {
  return `${((performance.now() - start) / 1000).toFixed(1).padStart(6)} s`;
}

async function say(line: string): Promise<void> {
  await Deno.stderr.write(new TextEncoder().encode(`${line}\n`));
}
