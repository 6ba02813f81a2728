/** The end of a run: a table for people, a record for programs. */
import type { NodeSummary, Summary } from "../rpc/summary.ts";
import { formatBytes } from "../engine/format_bytes.ts";
import { formatLayers, formatShare, joinClauses, renderTable, widthOf } from "./table.ts";

/** The `{"type":"summary"}` record. */
export function summaryRecord(summary: Summary): Record<string, unknown> {
  return {
    type: "summary",
    model: summary.model,
    samples: summary.samples,
    tokens: summary.tokens,
    seconds: round(summary.seconds, 6),
    tokens_per_second: round(summary.tokensPerSecond, 3),
    predicted_tokens_per_second: roundOrNull(summary.predictedTokensPerSecond, 3),
    prompt_tokens_per_second: round(summary.promptTokensPerSecond, 3),
    time_to_first_token_ms: round(summary.timeToFirstTokenMs, 3),
    // 64 bits: more than a JSON number holds exactly.
    seed: summary.seed === null ? null : summary.seed.toString(),
    nodes: summary.nodes.map((node) => ({
      name: node.name,
      role: node.role,
      layers: node.layers,
      backend: node.backend,
      backend_reason: node.backendReason,
      threads: node.threads,
      paced: node.paced,
      busy_fraction: round(node.busyFraction, 4),
      compute_ms_per_token: round(node.computeMsPerToken, 4),
      predicted_ms_per_token: roundOrNull(node.predictedMsPerToken, 4),
      bytes_sent_per_token: round(node.bytesSentPerToken, 1),
      weight_bytes: node.weightBytes,
      kv: node.kv,
      kv_bytes: node.kvBytes,
      rss_bytes: node.rssBytes,
      weight_bytes_received: node.weightBytesReceived,
    })),
    deviations: summary.deviations,
  };
}

/** A column of the table: its title and what it has of a node. */
interface Column {
  title: string;
  cell(node: NodeSummary): string;
}

const COLUMNS: readonly Column[] = [
  { title: "node", cell: ({ name, role }) => `${name} (${role})` },
  { title: "layers", cell: ({ layers }) => formatLayers(layers) },
  { title: "backend", cell: backendOf },
  { title: "busy", cell: ({ busyFraction }) => formatShare(busyFraction) },
  { title: "ms/token", cell: ({ computeMsPerToken }) => computeMsPerToken.toFixed(1) },
  { title: "weights", cell: ({ weightBytes }) => formatBytes(weightBytes) },
  { title: "KV", cell: ({ kvBytes }) => formatBytes(kvBytes) },
  { title: "memory", cell: ({ rssBytes }) => formatBytes(rssBytes) },
  { title: "sent/token", cell: ({ bytesSentPerToken }) => formatBytes(bytesSentPerToken) },
  { title: "received", cell: ({ weightBytesReceived }) => formatBytes(weightBytesReceived) },
];

function backendOf({ backend, paced }: NodeSummary): string {
  return paced ? `${backend}, paced` : backend;
}

/** What a narrow terminal does without, the least important first. */
const DISPENSABLE: readonly string[] = [
  ...["received", "sent/token", "KV", "weights", "memory", "backend", "layers"],
];

/**
 * The table that ends a run.
 * @param columns characters of a line; where the table has more, it does without some of its columns.
 */
export function summaryText(summary: Summary, columns = Infinity): string {
  const { tokens, seconds, tokensPerSecond, promptTokensPerSecond, timeToFirstTokenMs, seed } =
    summary;
  const first = joinClauses([
    `${summary.model}: ${tokens} tokens in ${seconds.toFixed(1)} s, ${
      tokensPerSecond.toFixed(1)
    } tokens/s`,
    `prompts ${promptTokensPerSecond.toFixed(1)} tokens/s`,
    `first token after ${Math.round(timeToFirstTokenMs)} ms`,
    ...(seed === null ? [] : [`seed ${seed}`]),
  ], columns);
  const calibration = joinClauses(calibrationClauses(summary), columns);
  const table = nodesTable(summary.nodes, columns);
  return `\n${first}\n\n${table}${calibration && `\n\n${calibration}`}`;
}

/** The nodes' figures; what `columns` have no room for is named below, or said there where all nodes have the same. */
function nodesTable(nodes: readonly NodeSummary[], columns: number): string {
  const render = (shown: readonly Column[]) =>
    renderTable(
      shown.map(({ title }) => title),
      nodes.map((node) => shown.map((c) => c.cell(node))),
    );
  let shown = COLUMNS;
  let table = render(shown);
  const notes: string[] = [];
  const leave = (title: string) => {
    shown = shown.filter((column) => column.title !== title);
    table = render(shown);
  };
  const backends = new Set(nodes.map(backendOf));
  if (widthOf(table) > columns && backends.size === 1) {
    leave("backend");
    notes.push(`backend ${[...backends].join()}`);
  }
  const left: string[] = [];
  for (const title of DISPENSABLE) {
    if (widthOf(table) <= columns) break;
    if (!shown.some((column) => column.title === title)) continue;
    leave(title);
    left.unshift(title);
  }
  if (left.length > 0) notes.push(`not shown in so few columns: ${left.join(", ")}`);
  return notes.length > 0 ? `${table}\n${joinClauses(notes, columns)}` : table;
}

/**
 * What was to be expected of the run against what came of it, and the node that differs most; none without a plan.
 * It is not what the plan said before the run, which did not know the samples and lengths that were to come.
 */
export function calibrationClauses(
  { predictedTokensPerSecond, tokensPerSecond, nodes }:
    & Pick<
      Summary,
      "predictedTokensPerSecond" | "tokensPerSecond"
    >
    & { nodes: readonly Pick<NodeSummary, "name" | "computeMsPerToken" | "predictedMsPerToken">[] },
): string[] {
  if (predictedTokensPerSecond === null) return [];
  const rate = `predicted ${
    predictedTokensPerSecond.toFixed(1)
  } tokens/s for these samples and lengths, measured ${tokensPerSecond.toFixed(1)} (${
    signedShare(tokensPerSecond / predictedTokensPerSecond - 1)
  })`;
  const compared = nodes.flatMap(({ name, computeMsPerToken: measured, predictedMsPerToken }) =>
    predictedMsPerToken !== null && predictedMsPerToken > 0 && measured > 0
      ? [{ name, measured, predicted: predictedMsPerToken }]
      : []
  ).sort((a, b) => apart(b) - apart(a));
  const [most] = compared;
  if (!most) return [rate];
  const { name, measured, predicted } = most;
  const ms = (value: number) => value.toFixed(value < 1 ? 2 : 1);
  return [
    rate,
    `${name}: predicted ${ms(predicted)} ms/token, measured ${ms(measured)} (${
      signedShare(measured / predicted - 1)
    })`,
  ];
}

function apart({ measured, predicted }: { measured: number; predicted: number }): number {
  return Math.abs(Math.log(measured / predicted));
}

/** A difference as a percentage with its sign. */
function signedShare(share: number): string {
  const percent = Math.round(100 * share);
  return `${percent > 0 ? "+" : ""}${percent} %`;
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

function roundOrNull(value: number | null, digits: number): number | null {
  return value === null ? null : round(value, digits);
}
