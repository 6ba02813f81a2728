/**
 * The report: one HTML file that holds everything it shows, runs no script and loads nothing. Charts are
 * drawn when it is made, once for a wide page and once for a narrow one; style sheets choose among them and
 * among the themes.
 */
import { formatBytes } from "../../engine/format_bytes.ts";
import { VERSION } from "../../rpc/version.ts";
import { benchFigures, benchTable } from "./bench_figures.ts";
import { BENCH_GROUPS, type BenchGroup, type BenchResult } from "./bench_result.ts";
import { calibrationFigure, nodesFigure } from "./comparison_figures.ts";
import { type Drawer, type Figure, openDrawer } from "./figure.ts";
import { Html, html } from "./html.ts";
import type { ReportInput, ReportTable } from "./input.ts";
import { PAGE_STYLE } from "./page_style.ts";
import { timelineFigures } from "./timeline_figures.ts";

const GROUP_TITLES: Record<BenchGroup, string> = {
  kernels: "Kernels",
  stage: "Stage",
  codec: "Frame codec",
  link: "Link",
  ring: "Ring",
};

/** Renders a report as an HTML page. */
export async function renderReport(input: ReportInput): Promise<string> {
  const { title, subtitle, bench, byNodes = [], calibration, timeline, timelines = [] } = input;
  const drawer = await openDrawer();
  const show = (figure: Figure) => figureHtml(figure, drawer);
  const facts = [...input.facts ?? [], ...bench ? machineFacts(bench) : []];
  const page = html`
    <!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <meta http-equiv="Content-Security-Policy"
          content="default-src 'none'; style-src 'unsafe-inline'">
        <title>${title}</title>
        <style>${new Html(PAGE_STYLE)}</style>
      </head>
      <body>
        <header>
    <h1>${title}</h1>
    ${subtitle === undefined ? undefined : html`<p class="subtitle">${subtitle}</p>`}
    ${facts.length === 0 ? undefined : factsHtml(facts)}
        </header>
        <main>
    ${input.nodes && section("Nodes", tableHtml(input.nodes))}
    ${byNodes.length > 0 ? section(undefined, show(nodesFigure(byNodes))) : undefined}
    ${calibration && calibration.rows.length > 0
      ? section(undefined, show(calibrationFigure(calibration.rows, calibration.unit)))
      : undefined}
    ${timeline && timelineFigures(timeline).map((figure) => section(undefined, show(figure)))}
    ${timelines.map(({ title, timeline }, i) => [
      html`<h2 class="run">${title}</h2>`,
      timelineFigures(timeline, `run-${i + 1}`).map((figure) => section(undefined, show(figure))),
    ])}
    ${bench && benchFigures(bench).map((figure) => section(undefined, show(figure)))}
    ${bench && benchSection(bench)}
        </main>
        <footer>Made by mdi ${VERSION}. This page is whole: it runs no script and loads nothing.</footer>
      </body>
    </html>
  `;
  return page.toString();
}

function section(title: string | undefined, content: Html): Html {
  return html`
    <section>
    ${title === undefined ? undefined : html`<h2>${title}</h2>`}
    ${content}
    </section>
  `;
}

function figureHtml(figure: Figure, drawer: Drawer): Html {
  const { id, title, caption, alt, table } = figure;
  return html`<h2 id="${id}">${title}</h2>
<figure aria-labelledby="${id}">
<p class="alt" id="${id}-alt">${alt}</p>
${new Html(drawer.draw(figure, "wide"))}
${new Html(drawer.draw(figure, "narrow"))}
<figcaption>${caption}</figcaption>
</figure>
<details><summary>The figures behind it</summary>${tableHtml(table)}</details>`;
}

/** A table; columns of numbers are aligned to the right. */
function tableHtml({ header, rows }: ReportTable): Html {
  const numeric = header.map((_, i) =>
    i > 0 && rows.every((row) => /^[-+−–\d]/.test(row[i] ?? ""))
  );
  const cells = (row: readonly string[]) =>
    header.map((_, i) =>
      i === 0
        ? html`<th scope="row">${row[i]}</th>`
        : html`<td${numeric[i] ? new Html(' class="number"') : undefined}>${row[i]}</td>`
    );
  return html`
    <div class="table" tabindex="0" role="region" aria-label="Table">
      <table>
        <thead>
          <tr>${header.map((name, i) =>
            html`
              <th scope="col" ${numeric[i] ? new Html(' class="number"') : undefined}>${name}</th>
            `
          )}</tr>
        </thead>
        <tbody>${rows.map((row) => html`<tr>${cells(row)}</tr>\n`)}</tbody>
      </table>
    </div>
  `;
}

function factsHtml(facts: readonly (readonly [string, string])[]): Html {
  return html`<dl>${
    facts.map(([name, value]) =>
      html`
        <div>
          <dt>${name}</dt>
          <dd>${value}</dd>
        </div>
      `
    )
  }</dl>`;
}

function machineFacts({ machine, model, quick }: BenchResult): [string, string][] {
  const { cpu, arch, os, cores, memoryBytes, deno, v8, mdi, simd, dotProduct, date } = machine;
  return [
    ["machine", `${cpu ?? "CPU not named"}, ${arch}, ${os}`],
    ["cores", String(cores)],
    ["memory", formatBytes(memoryBytes)],
    ["SIMD", `${simd}, ${dotProduct}`],
    ["versions", `mdi ${mdi}, Deno ${deno}, V8 ${v8}`],
    ["model", model.generated ? `${model.name}: generated, for want of a real one` : model.name],
    ["measured", `${date.slice(0, 16).replace("T", " ")} UTC${quick ? ", --quick" : ""}`],
  ];
}

/** All figures of a result by groups; open where no chart has them. */
function benchSection({ figures }: BenchResult): Html {
  const groups = BENCH_GROUPS.flatMap((group) => {
    const own = figures.filter((figure) => figure.group === group);
    if (own.length === 0) return [];
    const open = group === "codec" || group === "link" ? new Html(" open") : undefined;
    return [
      html`<details${open}><summary>${GROUP_TITLES[group]}</summary>${
        tableHtml(benchTable(own))
      }</details>`,
    ];
  });
  return section("All figures, medians and ranges over the rounds", html`${groups}`);
}
