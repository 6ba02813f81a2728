/**
 * What happened in a run of the ring, measured or simulated: when each node computed, what travelled on
 * each link, when each token was drawn. Plain data; all times are in ms from the run's start.
 */

/** What a node computed: forward is embed and layers of the starter, or layers, measured in one piece. */
export type TimelineWork = "embed" | "layers" | "head" | "forward";

/** A stretch of time in which a node computed. */
export interface TimelineSpan {
  /** When it began. */
  from: number;
  /** When it ended. */
  to: number;
  /** Rows of the frame, or of head. */
  rows: number;
  /** What it computed. */
  what: TimelineWork;
}

/** One node of the run. */
export interface TimelineNode {
  /** How messages name it. */
  name: string;
  /** First and last layer, inclusive and counted from 0; null where it holds none. */
  layers: readonly [number, number] | null;
  /** In the order of time; a node does one thing at a time, so they do not overlap. */
  busy: TimelineSpan[];
  /** Bytes of its weights. */
  weightBytes: number;
  /** Most that its KV caches took at once. */
  kvBytes: number;
}

/** A frame on a link. */
export interface TimelineFrame {
  /** When its first byte was on the link. */
  sent: number;
  /** When its last byte was at the next node. */
  arrived: number;
  /** Rows of the frame. */
  rows: number;
  /** Length of the message. */
  bytes: number;
}

/** A link of the run, by the indexes of its nodes in the ring. */
export interface TimelineLink {
  /** The node that sends. */
  from: number;
  /** The node that receives. */
  to: number;
  /** In the order sent. */
  frames: TimelineFrame[];
}

/** One sample of the run. */
export interface TimelineSample {
  /** Its number, from 0. */
  sample: number;
  /** Tokens of its prompt. */
  promptTokens: number;
  /** When each token was drawn. */
  tokens: number[];
  /** When it had a slot. */
  slot: { from: number; to: number };
}

/** A run of the ring. */
export interface Timeline {
  /** Whether it was a run of real nodes. */
  kind: "measured" | "simulated";
  /** In the order of the ring; the first is the starter. */
  nodes: TimelineNode[];
  /** `links[i]` is the way out of node i; a ring of one has none. */
  links: TimelineLink[];
  /** Every stay of a sample in a slot. */
  samples: TimelineSample[];
  /** Length of the run. */
  ms: number;
}

/** A stretch of the run, in ms from its start. */
export interface Window {
  from: number;
  to: number;
}

/** Share of a window, 0 to 1, in which the node computed; 0 where the window has no length. */
export function busyFraction(node: TimelineNode, { from, to }: Window): number {
  if (to <= from) return 0;
  let ms = 0;
  for (let i = firstEndingAfter(node.busy, from); i < node.busy.length; i++) {
    const span = node.busy[i]!;
    if (span.from >= to) break;
    ms += Math.min(to, span.to) - Math.max(from, span.from);
  }
  return Math.min(1, ms / (to - from));
}

/** Tokens drawn in a window, from its start to before its end, per second. */
export function tokensPerSecond(timeline: Timeline, { from, to }: Window): number {
  if (to <= from) return 0;
  let count = 0;
  for (const { tokens } of timeline.samples) count += before(tokens, to) - before(tokens, from);
  return count / (to - from) * 1000;
}

/**
 * The part of a run in which the ring is as full as it gets: from the moment that as many samples as are
 * in flight at once have drawn their first token, to the moment that fewer than these are left. Null
 * where there is no such part. Samples that drew nothing are not looked at.
 */
export function steadyWindow({ samples }: Timeline, inFlight: number): Window | null {
  const drawn = samples.filter(({ tokens }) => tokens.length > 0);
  const most = Math.min(inFlight, drawn.length);
  const firsts = drawn.map(({ tokens }) => tokens[0]!).sort((a, b) => a - b);
  const lasts = drawn.map(({ tokens }) => tokens.at(-1)!).sort((a, b) => a - b);
  const from = firsts[most - 1];
  const to = lasts[drawn.length - most];
  return from !== undefined && to !== undefined && from < to ? { from, to } : null;
}

/** The timeline as CSV: one busy span, frame or token a line, in an order that never varies. */
export function timelineCsv({ nodes, links, samples }: Timeline): string {
  const lines = ["kind,of,from_ms,to_ms,rows,bytes,what"];
  nodes.forEach(({ busy }, node) => {
    for (const { from, to, rows, what } of busy) {
      lines.push(`busy,${node},${fixed(from)},${fixed(to)},${rows},,${what}`);
    }
  });
  links.forEach(({ frames }, link) => {
    for (const { sent, arrived, rows, bytes } of frames) {
      lines.push(`frame,${link},${fixed(sent)},${fixed(arrived)},${rows},${bytes},`);
    }
  });
  for (const { sample, tokens } of samples) {
    for (const at of tokens) lines.push(`token,${sample},${fixed(at)},${fixed(at)},1,,`);
  }
  return `${lines.join("\n")}\n`;
}

/** Index of the first span that ends after a moment; spans are in the order of time. */
function firstEndingAfter(spans: readonly TimelineSpan[], at: number): number {
  let low = 0;
  let high = spans.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (spans[middle]!.to > at) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** How many of the ascending times are before a moment. */
function before(times: readonly number[], at: number): number {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle]! >= at) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Microseconds, without trailing zeros. */
function fixed(ms: number): string {
  return String(Number(ms.toFixed(3)));
}
