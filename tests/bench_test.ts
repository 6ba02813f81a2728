/** The bench measures, keeps and compares. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { compareResults, comparisonText } from "../bench/compare.ts";
import { generateModel } from "../bench/generated_model.ts";
import { describeMachine } from "../bench/machine.ts";
import { type Extent, measureDevice } from "../bench/measure_device.ts";
import { wholeModel } from "../bench/model_spec.ts";
import { pictures } from "../bench/pictures.ts";
import {
  BENCH_GROUPS,
  type BenchFigure,
  type BenchResult,
  readBenchResult,
} from "../cli/report/bench_result.ts";
import { renderReport } from "../cli/report/render.ts";

/** The least that has every kind of figure. */
const LEAST: Extent = {
  rounds: 1,
  kernelRounds: 1,
  kernelBytes: 1 << 20,
  rows: [1, 2],
  contexts: [8],
  prompts: [8],
  frames: 50,
  nodes: 2,
  samples: 2,
  tokens: 4,
};

async function resultOf(figures: BenchFigure[], model = "m"): Promise<BenchResult> {
  return {
    format: "mdi-bench",
    version: 1,
    machine: await describeMachine(),
    model: { name: model, generated: false },
    quick: true,
    figures,
  };
}

Deno.test("measureDevice() measures everything with the generated model", async () => {
  const home = await Deno.makeTempDir({ prefix: "mdi-bench-test-" });
  try {
    const model = await generateModel(home);
    const spec = await wholeModel(model, home);
    const figures = await measureDevice({ extent: LEAST, model, spec, home, onProgress() {} });
    const groups = new Set(figures.map(({ group }) => group));
    assertEquals(BENCH_GROUPS.filter((group) => !groups.has(group)), []);
    const result = await resultOf(figures);
    assertEquals(readBenchResult(JSON.stringify(result), "it"), result);
    for (const { name, values, unit } of figures) {
      const fine = unit === "ms"
        ? values.every((each) => each >= -0.1)
        : values.every((each) => each > 0);
      assert(fine, `${name}: ${values} ${unit}`);
    }
    const rings = figures.filter(({ group }) => group === "ring");
    assertEquals(rings.map(({ of }) => of.nodes), [1, 2]);
    assertMatch(await renderReport({ title: "Bench", bench: result }), /id="bench-ring"/);
  } finally {
    await Deno.remove(home, { recursive: true });
  }
});

function figure(values: number[], more: Partial<BenchFigure> = {}): BenchFigure {
  return {
    group: "codec",
    name: "a",
    unit: "µs",
    better: "less",
    values,
    of: {},
    ...more,
  };
}

Deno.test("compareResults() says what differs by more than the noise", async () => {
  const verdict = async (a: number[], b: number[], better: "more" | "less") => {
    const [first, second] = await Promise.all(
      [a, b].map((values) => resultOf([figure(values, { better })])),
    );
    return compareResults(first!, second!).figures[0]!.verdict;
  };
  assertEquals(await verdict([10, 11, 12], [8, 8.5, 9], "less"), "better");
  assertEquals(await verdict([10, 11, 12], [8, 8.5, 9], "more"), "worse");
  assertEquals(await verdict([10, 11, 12], [13, 14, 15], "less"), "worse");
  // Ranges overlap.
  assertEquals(await verdict([10, 11, 12], [12, 14, 15], "less"), "same");
  // Apart, but hardly.
  assertEquals(await verdict([10, 10.1, 10.2], [10.3, 10.4, 10.5], "less"), "same");
  // Two values say nothing of the noise.
  assertEquals(await verdict([10, 11], [20, 21], "less"), "unknown");
});

Deno.test("compareResults() leaves out what is not comparable", async () => {
  const ring = figure([1, 2, 3], { group: "ring", name: "ring", unit: "tokens/s" });
  const a = await resultOf([figure([1, 2, 3]), ring, figure([1], { name: "gone" })], "one");
  const b = await resultOf([figure([1, 2, 3]), ring], "two");
  const comparison = compareResults(a, b);
  assertEquals(comparison.figures.map(({ figure }) => figure.name), ["a"]);
  const text = comparisonText(comparison);
  assertStringIncludes(text, "A ran one, B two");
  assertStringIncludes(text, "1 figures of A are not in B");
});

Deno.test("bench compare says by its exit status what came out", async () => {
  const home = await Deno.makeTempDir({ prefix: "mdi-bench-test-" });
  try {
    const write = async (name: string, values: number[]) => {
      const path = join(home, name);
      await Deno.writeTextFile(path, JSON.stringify(await resultOf([figure(values)])));
      return path;
    };
    const fast = await write("fast.json", [1, 2, 3]);
    const slow = await write("slow.json", [7, 8, 9]);
    const other = join(home, "other.json");
    await Deno.writeTextFile(other, "{}");
    assertEquals((await compare(fast, fast)).code, 0);
    assertEquals((await compare(slow, fast)).code, 0);
    const worse = await compare(fast, slow);
    assertEquals(worse.code, 1);
    assertMatch(worse.out, /codec +a +2\.00 +8\.00 +µs +4\.00 +worse/);
    const refused = await compare(fast, other);
    assertEquals(refused.code, 2);
    assertStringIncludes(
      refused.error,
      'other.json as a result of deno task bench: it has no "format"',
    );
    assertEquals((await compare(fast, join(home, "missing.json"))).code, 2);
  } finally {
    await Deno.remove(home, { recursive: true });
  }
});

async function compare(
  a: string,
  b: string,
): Promise<{ code: number; out: string; error: string }> {
  const main = new URL("../bench/bench.ts", import.meta.url).pathname;
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", main, "compare", a, b],
  }).output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), error: decoder.decode(stderr) };
}

Deno.test("docs/ has the pictures that deno task docs:pictures draws", async () => {
  for (const [name, text] of await pictures()) {
    const path = new URL(`../docs/${name}`, import.meta.url);
    assert(await Deno.readTextFile(path) === text, `docs/${name}: run deno task docs:pictures`);
  }
  // The chart library had asked for a frame before its charts were disposed of.
  await new Promise((resolve) => setTimeout(resolve, 60));
});
