/**
 * A recording in the Trace Event Format, which Perfetto and chrome://tracing open (JSON Object Format;
 * "Trace Event Format", Google, 2016). One process a node, with a thread for what it computes and one for
 * its sockets; times are in µs from the first span.
 *
 * - Complete events ("X"): what a thread did.
 * - Async events ("b", "e"): what a frame waited for, and its way over a link. Several may be under way at
 *   once, which slices of a thread cannot show.
 * - Flow events ("s", "t", "f"): a frame's way through all of it; their id is the frame's number.
 */
import { layersText } from "../plan/plan.ts";
import type { RecordedNode, Recording } from "./recording.ts";
import type { Span, SpanKind } from "./spans.ts";

/** An event of the format. */
export interface TraceEvent {
  ph: "X" | "b" | "e" | "s" | "t" | "f" | "M";
  name: string;
  cat?: string;
  pid: number;
  tid: number;
  /** µs. */
  ts: number;
  /** µs. */
  dur?: number;
  id?: number;
  /** "e": the flow's end belongs to the slice around it. */
  bp?: "e";
  args?: Record<string, unknown>;
}

const COMPUTE = 1;
const SOCKETS = 2;

/** The thread of each kind that has a length, in the order in which a frame passes them on a node. */
const THREADS = new Map<SpanKind, number>([
  ["decode", SOCKETS],
  ["forward", COMPUTE],
  ["encode", SOCKETS],
  ["send", SOCKETS],
  ["head", COMPUTE],
  ["draw", SOCKETS],
]);

/** What a frame waits for between the end of one thing and the start of the next, on one node. */
const WAITS: readonly (readonly [SpanKind, SpanKind, string])[] = [
  ["decode", "forward", "wait for the stage"],
  ["forward", "encode", "wait to leave"],
  ["decode", "head", "wait for head"],
  ["forward", "head", "wait for head"],
  ["head", "draw", "wait to be drawn"],
];

/** What the file says beside its events. */
export function traceMetadata({ model, nodes }: Recording): Record<string, unknown> {
  return {
    model,
    clock: "the starter's; another node's times may be off by its uncertainty_ms",
    nodes: nodes.map(({ name, layers, uncertaintyMs, forgotten, missing }) => ({
      name,
      layers,
      uncertainty_ms: rounded(uncertaintyMs),
      forgotten_spans: forgotten,
      missing,
    })),
  };
}

/** All events, metadata first; those of one thread in the order of time. */
export function* traceEvents(recording: Recording): Generator<TraceEvent> {
  const { nodes } = recording;
  const zero = nodes.reduce(
    (least, { spans }) => spans.reduce((least, { start }) => Math.min(least, start), least),
    Infinity,
  );
  const micros = (ms: number) => rounded((ms - zero) * 1000);
  for (const [node, each] of nodes.entries()) yield* nameNode(each, node);
  const frames = framesOf(nodes);
  const samples = samplesOf(nodes[0]!);
  for (const [node, { spans }] of nodes.entries()) {
    const sorted = spans.filter(({ kind }) => THREADS.has(kind)).sort((a, b) => a.start - b.start);
    for (const span of sorted) {
      const { kind, frame, rows, start, end, bytes } = span;
      yield {
        ph: "X",
        name: nameOf(span, node),
        cat: frame === 0 ? "cache" : "frame",
        pid: node + 1,
        tid: THREADS.get(kind)!,
        ts: micros(start),
        dur: rounded((end - start) * 1000),
        args: {
          ...(frame > 0 && { frame, rows, samples: samples.get(frame) ?? [span.sample] }),
          ...(frame === 0 && { sample: span.sample }),
          ...(bytes > 0 && { bytes }),
        },
      };
    }
  }
  let id = 0;
  for (const [frame, passed] of frames) {
    for (const { name, node, from, to } of waitsOf(passed, nodes)) {
      const common = { name, cat: "wait", pid: node + 1, tid: SOCKETS, id: ++id };
      yield { ph: "b", ...common, ts: micros(from), args: { frame } };
      yield { ph: "e", ...common, ts: micros(to) };
    }
    yield* flow(frame, passed, micros);
  }
}

/** A span and where it was. */
interface Passed extends Span {
  node: number;
  /** Whether it belongs to the frame's way back to the starter. */
  back: boolean;
}

function* nameNode({ name, layers }: RecordedNode, node: number): Generator<TraceEvent> {
  const pid = node + 1;
  const meta = (what: string, tid: number, args: Record<string, unknown>): TraceEvent => ({
    ph: "M",
    name: what,
    pid,
    tid,
    ts: 0,
    args,
  });
  const role = node === 0 ? " (starter)" : "";
  yield meta("process_name", 0, { name: `${name}${role}, ${layersText(layers)}` });
  yield meta("process_sort_index", 0, { sort_index: node });
  yield meta("thread_name", COMPUTE, { name: "compute" });
  yield meta("thread_name", SOCKETS, { name: "socket thread" });
}

function nameOf({ kind, frame }: Span, node: number): string {
  if (frame === 0) return `${kind} cache change`;
  if (kind !== "forward") return kind;
  return node === 0 ? "embed and layers" : "layers";
}

/** The ids of each frame's samples. */
function samplesOf({ spans }: RecordedNode): Map<number, number[]> {
  const samples = new Map<number, number[]>();
  for (const { kind, frame, sample } of spans) {
    if (kind !== "segment") continue;
    const list = samples.get(frame);
    if (list) list.push(sample);
    else samples.set(frame, [sample]);
  }
  return samples;
}

/** What was done with each frame, in the order of its way. */
function framesOf(nodes: readonly RecordedNode[]): Map<number, Passed[]> {
  const frames = new Map<number, Passed[]>();
  for (const [node, { spans }] of nodes.entries()) {
    for (const span of spans) {
      if (span.frame === 0 || (!THREADS.has(span.kind) && span.kind !== "credits")) continue;
      const back = node === 0 && ["decode", "head", "draw"].includes(span.kind);
      const passed = { ...span, node, back };
      const list = frames.get(span.frame);
      if (list) list.push(passed);
      else frames.set(span.frame, [passed]);
    }
  }
  // By place and not by time, which differs a little from node to node.
  for (const list of frames.values()) {
    list.sort((a, b) => Number(a.back) - Number(b.back) || a.node - b.node || a.start - b.start);
  }
  return frames;
}

function* flow(
  frame: number,
  passed: readonly Passed[],
  micros: (ms: number) => number,
): Generator<TraceEvent> {
  const slices = passed.filter(({ kind }) => kind !== "credits");
  if (slices.length < 2) return;
  for (const [i, { node, kind, start, end }] of slices.entries()) {
    const last = i === slices.length - 1;
    yield {
      ph: i === 0 ? "s" : last ? "f" : "t",
      name: "frame",
      cat: "flow",
      id: frame,
      pid: node + 1,
      tid: THREADS.get(kind)!,
      // In the midst of the slice that it goes through.
      ts: micros((start + end) / 2),
      ...(last && { bp: "e" as const }),
    };
  }
}

/** A time in which nothing was done with a frame. */
interface Wait {
  name: string;
  node: number;
  from: number;
  to: number;
}

function* waitsOf(passed: readonly Passed[], nodes: readonly RecordedNode[]): Generator<Wait> {
  for (const node of nodes.keys()) {
    const here = passed.filter((span) => span.node === node);
    const find = (kind: SpanKind) => here.find((span) => span.kind === kind);
    const credits = find("credits");
    if (credits) yield { name: "wait for credits", node, from: credits.start, to: credits.end };
    for (const [before, after, name] of WAITS) {
      // The starter computes a frame before it decodes it.
      if (node === 0 && after === "forward") continue;
      // Only in a ring of one is there no way between.
      if (before === "forward" && after === "head" && nodes.length > 1) continue;
      const from = find(before)?.end;
      const to = (after === "encode" && credits ? credits : find(after))?.start;
      if (from !== undefined && to !== undefined && to > from) yield { name, node, from, to };
    }
    const next = (node + 1) % nodes.length;
    const sent = find("send")?.start;
    const arrived = passed.find((span) => span.node === next && span.kind === "decode")?.start;
    if (sent !== undefined && arrived !== undefined) {
      const name = `link to ${nodes[next]!.name}`;
      yield { name, node, from: sent, to: Math.max(sent, arrived) };
    }
  }
}

/** Nanoseconds are more than the clocks tell. */
function rounded(value: number): number {
  return Number(value.toFixed(3));
}
