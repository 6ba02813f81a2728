/** The end of a run: a table for people, a record for programs. */
import type { NodeSummary, Summary } from "../rpc/summary.ts";
import { formatBytes } from "../engine/format_bytes.ts";
import { formatLayers, formatShare, renderTable } from "./table.ts";

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

/** The table that ends a run. */
export function summaryText(summary: Summary): string {
  const { tokens, seconds, tokensPerSecond, promptTokensPerSecond, timeToFirstTokenMs, seed } =
    summary;
  const first = `\n${summary.model}: ${tokens} tokens in ${seconds.toFixed(1)} s, ${
    tokensPerSecond.toFixed(1)
  } tokens/s; prompts ${promptTokensPerSecond.toFixed(1)} tokens/s; first token after ${
    Math.round(timeToFirstTokenMs)
  } ms${seed === null ? "" : `; seed ${seed}`}`;
  const rows = summary.nodes.map((node) => [
    `${node.name} (${node.role})`,
    formatLayers(node.layers),
    node.paced ? `${node.backend}, paced` : node.backend,
    formatShare(node.busyFraction),
    node.computeMsPerToken.toFixed(1),
    formatBytes(node.weightBytes),
    formatBytes(node.kvBytes),
    formatBytes(node.rssBytes),
    formatBytes(node.bytesSentPerToken),
    formatBytes(node.weightBytesReceived),
  ]);
  const header = [
    "node",
    "layers",
    "backend",
    "busy",
    "ms/token",
    "weights",
    "KV",
    "memory",
    "sent/token",
    "received",
  ];
  const calibration = calibrationText(summary);
  return `${first}\n\n${renderTable(header, rows)}${calibration && `\n\n${calibration}`}`;
}

/** What the plan said against what came of it, and the node that differs most; empty without a plan. */
export function calibrationText(
  { predictedTokensPerSecond, tokensPerSecond, nodes }:
    & Pick<
      Summary,
      "predictedTokensPerSecond" | "tokensPerSecond"
    >
    & { nodes: readonly Pick<NodeSummary, "name" | "computeMsPerToken" | "predictedMsPerToken">[] },
): string {
  if (predictedTokensPerSecond === null) return "";
  const rate = `predicted ${predictedTokensPerSecond.toFixed(1)} tokens/s, measured ${
    tokensPerSecond.toFixed(1)
  } (${signedShare(tokensPerSecond / predictedTokensPerSecond - 1)})`;
  const compared = nodes.flatMap(({ name, computeMsPerToken: measured, predictedMsPerToken }) =>
    predictedMsPerToken !== null && predictedMsPerToken > 0 && measured > 0
      ? [{ name, measured, predicted: predictedMsPerToken }]
      : []
  ).sort((a, b) => apart(b) - apart(a));
  const [most] = compared;
  if (!most) return rate;
  const { name, measured, predicted } = most;
  const ms = (value: number) => value.toFixed(value < 1 ? 2 : 1);
  return `${rate}; ${name}: predicted ${ms(predicted)} ms/token, measured ${ms(measured)} (${
    signedShare(measured / predicted - 1)
  })`;
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
