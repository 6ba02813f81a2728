/**
 * The charts of the reference paper's experiment as a report: tokens over time and memory per node at each split,
 * beside what the paper published, from what `deno task bench:paper` kept.
 *
 *     deno run -A bench/paper_report.ts FILE.html
 */
import { renderReport } from "../cli/report/render.ts";
import { typedPath } from "../cli/typed_path.ts";
import type { Timeline } from "../engine/plan/timeline.ts";
import { print } from "./report.ts";

/** What bench/results/paper.json has. */
interface PaperResult {
  machine: { date: string; arch: string };
  values: {
    samples: number;
    tokens: number;
    rows: {
      split: string;
      tokensPerSecond: number;
      bound: number;
      published: number | null;
      timeline: Timeline;
    }[];
  };
}

const [out] = Deno.args;
if (out === undefined) {
  await print("Say where the report goes: deno task bench:paper:report FILE.html");
  Deno.exit(2);
}
const kept = new URL("results/paper.json", import.meta.url);
const { machine, values } = JSON.parse(await Deno.readTextFile(kept)) as PaperResult;
const splits = values.rows.map((row) => ({ ...row, nodes: row.split.split("/").length }));

await Deno.writeTextFile(
  typedPath(out),
  await renderReport({
    title: "NanoLlama on one to three emulated Jetson TX2",
    subtitle:
      `${values.samples} samples of ${values.tokens} tokens, real processes paced to the boards' speed; ` +
      `published: MDI-LLM. Measured ${machine.date.slice(0, 10)} on ${machine.arch}.`,
    nodes: {
      header: ["layers", "tokens/s", "bound of the plan", "published"],
      rows: splits.map(({ split, tokensPerSecond, bound, published }) => [
        split,
        tokensPerSecond.toFixed(1),
        bound.toFixed(1),
        published === null ? "mdi's own split" : published.toFixed(1),
      ]),
    },
    byNodes: splits.flatMap(({ nodes, tokensPerSecond, bound, published }) =>
      published === null ? [] : [{ nodes, measured: tokensPerSecond, predicted: bound, published }]
    ),
    timelines: splits.map(({ split, nodes, published, timeline }) => ({
      title: `${nodes === 1 ? "One node" : `${nodes} nodes`}, layers ${split}${
        published === null ? ", mdi's own split" : ""
      }`,
      timeline,
    })),
  }),
);
await print(`report: ${out}`);
