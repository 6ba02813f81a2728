import { assert, assertEquals, assertFalse, assertMatch, assertStringIncludes } from "@std/assert";
import { madeUpTimeline } from "./_made_up.ts";
import type { BenchFigure, BenchResult } from "./bench_result.ts";
import type { ReportInput } from "./input.ts";
import { renderReport as render } from "./render.ts";

const HOSTILE = `<img src=x onerror="alert('1')">&{b|c}\u202e\x1b[31m`;

Deno.test("renderReport() draws every part, in both themes and widths", async () => {
  const page = await renderReport(everything());
  for (
    const id of [
      ...["by-nodes", "calibration", "run-tokens", "run-strip", "run-gantt", "run-memory"],
      ...["run-1-gantt", "bench-kernels", "bench-decode", "bench-prefill", "bench-ring"],
    ]
  ) {
    assertEquals(page.split(`aria-labelledby="${id}-alt"`).length, 3, `${id}: wide and narrow`);
    assertStringIncludes(page, `id="${id}-alt"`);
  }
  assertStringIncludes(page, "prefers-color-scheme:dark");
  assertEquals(page.match(/--bg:#/g)?.length, 2);
  assertMatch(page, /<svg class="wide" viewBox="0 0 864 \d+"/);
  assertMatch(page, /<svg class="narrow" viewBox="0 0 340 \d+"/);
});

Deno.test("renderReport() makes a page that runs nothing and loads nothing", async () => {
  const page = await renderReport(everything());
  assertFalse(/<script|<link|<iframe|<object|<image|@import/i.test(page));
  assertFalse(/https?:|\/\/\w|url\((?!#)|(?:src|href)=/i.test(page));
  assertFalse(/\son\w+=/i.test(page));
  assertStringIncludes(page, "default-src 'none'");
});

Deno.test("renderReport() escapes what comes from data", async () => {
  const page = await renderReport(everything(HOSTILE));
  assertFalse(page.includes("<img"));
  assertFalse(page.includes("\x1b"));
  assertStringIncludes(page, "&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp;");
});

Deno.test("renderReport() has all colours from the theme, and opens every name it uses", async () => {
  const page = await renderReport(everything());
  const drawings = page.match(/<svg[\s\S]*?<\/svg>/g)!;
  for (const svg of drawings) {
    assertEquals(svg.match(/(?:fill|stroke)="#(?!000")[0-9a-f]+"/gi), null);
    assertFalse(/zr\d|ecmeta|<style/.test(svg));
    for (const [, name] of svg.matchAll(/url\(#([^)]+)\)/g)) {
      assertStringIncludes(svg, `id="${name}"`);
    }
  }
  const ids = [...page.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
  assertEquals(ids.length, new Set(ids).size);
});

Deno.test("renderReport() gives the same page for the same input", async () => {
  assertEquals(await renderReport(everything()), await renderReport(everything()));
});

Deno.test("renderReport() takes large and empty runs", async () => {
  const nodes = Array.from({ length: 16 }, (_, i) => [`node-${i}`, 1 + i % 3] as const);
  const timeline = madeUpTimeline({ nodes, samples: 200, tokens: 20 });
  const page = await renderReport({ title: "Large", timeline });
  assertStringIncludes(page, "48 of 200 samples");
  assert(page.length < 2e6, `${page.length} characters`);
  const empty = { kind: "measured", nodes: [], links: [], samples: [], ms: 0 } as const;
  const none = { ...empty, nodes: [], links: [], samples: [] };
  assertFalse((await renderReport({ title: "Empty", timeline: none })).includes("<svg"));
});

/** Renders, and waits for the frame that the chart library had asked for before its chart was disposed of. */
async function renderReport(input: ReportInput): Promise<string> {
  const page = await render(input);
  await new Promise((resolve) => setTimeout(resolve, 60));
  return page;
}

function everything(name = "pi-a"): ReportInput {
  const timeline = madeUpTimeline({
    nodes: [["starter", 2], [name, 3]],
    samples: 3,
    tokens: 12,
  });
  return {
    title: `Ring with ${name}`,
    subtitle: name,
    facts: [[name, name]],
    nodes: { header: ["node", name], rows: [[name, "1"]] },
    byNodes: [{ nodes: 1, measured: 10, predicted: 11 }, { nodes: 2, measured: 19, published: 17 }],
    calibration: { unit: "ms", rows: [{ name, predicted: 2, measured: 2.1 }] },
    timeline,
    timelines: [{ title: name, timeline }],
    bench: benchResult(name),
  };
}

function benchResult(name: string): BenchResult {
  const of = (group: BenchFigure["group"], unit: string, of: BenchFigure["of"]): BenchFigure => ({
    group,
    name: `${name} ${group} ${JSON.stringify(of)}`,
    unit,
    better: "more",
    values: [1, 2, 3],
    of,
  });
  return {
    format: "mdi-bench",
    version: 1,
    quick: true,
    model: { name, generated: true },
    machine: {
      date: "2026-01-01T00:00:00.000Z",
      arch: "aarch64",
      os: "linux",
      cpu: name,
      cores: 4,
      memoryBytes: 8e9,
      deno: "2",
      v8: "15",
      mdi: "0.1.0",
      simd: "relaxed",
      dotProduct: "signed",
      load: [0, 0, 0],
    },
    figures: [
      of("kernels", "GMAC/s", { kind: name, rows: 1 }),
      of("kernels", "GMAC/s", { kind: "Q4_H", rows: 4 }),
      of("stage", "tokens/s", { what: "decode", rows: 1, context: 32, threads: 1 }),
      of("stage", "tokens/s", { what: "prefill", tokens: 32, threads: 1 }),
      of("codec", "µs", { rows: 1 }),
      of("link", "ms", { security: "tls" }),
      of("ring", "tokens/s", { nodes: 2 }),
    ],
  };
}
