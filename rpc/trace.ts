/** Spans of a ring's nodes: how they come over the control plane and onto one clock. */
import { create } from "@bufbuild/protobuf";
import {
  alignSpans,
  type ClockReading,
  readClock,
  type RecordedNode,
  type Recording,
} from "../engine/ring/recording.ts";
import { MAX_SPANS, type Span, SPAN_KINDS, type SpanRecorder } from "../engine/ring/spans.ts";
import { MdiError, messageOf } from "../wasm/error.ts";
import { type Spans, SpansSchema } from "./gen/mdi/v1/control_pb.ts";
import type { Peer } from "./peer.ts";

/** What a node announces that can record spans. */
export const TRACE_CAPABILITY = "trace";

/** Spans of a message: about 300 kB. */
const MESSAGE_SPANS = 8192;
/** Exchanges of one comparison of clocks. */
const CLOCK_ROUNDS = 16;

/** What {@linkcode RingTrace} is to say of a node. */
export interface TracedNode {
  name: string;
  layers: readonly [number, number] | null;
}

/** A ring whose nodes record what they do. */
export class RingTrace {
  readonly #spans: SpanRecorder;
  readonly #peers: readonly Peer[];
  readonly #started: ClockReading[] = [];

  /** @param spans the starter's own recorder. */
  constructor(spans: SpanRecorder, peers: readonly Peer[]) {
    this.#spans = spans;
    this.#peers = peers;
  }

  /** Compares the clocks; called once every node is configured. */
  async start(): Promise<void> {
    this.#started.push(
      ...await Promise.all(
        this.#peers.map((peer) => readClock(() => peer.clock(), CLOCK_ROUNDS)),
      ),
    );
  }

  /**
   * Compares the clocks again and fetches what every node has. A node that is gone has no spans, and the
   * reason with it.
   * @param nodes in the order of the ring, the starter first.
   */
  async collect(model: string, nodes: readonly TracedNode[]): Promise<Recording> {
    const own: RecordedNode = {
      ...nodes[0]!,
      spans: this.#spans.read(0, MAX_SPANS),
      forgotten: this.#spans.first,
      uncertaintyMs: 0,
      missing: null,
    };
    const others = await Promise.all(this.#peers.map(async (peer, i): Promise<RecordedNode> => {
      const node = nodes[i + 1]!;
      try {
        const now = await readClock(() => peer.clock(), CLOCK_ROUNDS);
        const { spans, forgotten } = await fetchSpans(peer);
        const readings = [this.#started[i] ?? now, now];
        const uncertaintyMs = Math.max(...readings.map((reading) => reading.uncertaintyMs));
        return {
          ...node,
          spans: alignSpans(spans, readings),
          forgotten,
          uncertaintyMs,
          missing: null,
        };
      } catch (error) {
        const missing = messageOf(error);
        return { ...node, spans: [], forgotten: 0, uncertaintyMs: 0, missing };
      }
    }));
    return { model, nodes: [own, ...others] };
  }
}

/** A part of a recorder for the wire: the spans from number `from` on, as many as a message holds. */
export function spansMessage(recorder: SpanRecorder | undefined, from: bigint): Spans {
  if (!recorder) {
    throw new MdiError("protocol", "Cannot send spans: the node was not told to record any");
  }
  const first = Math.max(recorder.first, Number(from));
  const spans = recorder.read(first, MESSAGE_SPANS);
  return create(SpansSchema, {
    first: BigInt(first),
    count: BigInt(recorder.count),
    kind: spans.map(({ kind }) => SPAN_KINDS.indexOf(kind)),
    frame: spans.map(({ frame }) => frame),
    rows: spans.map(({ rows }) => rows),
    sample: spans.map(({ sample }) => sample),
    startMs: spans.map(({ start }) => start),
    endMs: spans.map(({ end }) => end),
    bytes: spans.map(({ bytes }) => bytes),
  });
}

/**
 * Checks a part that came.
 * @throws {MdiError} protocol
 */
export function readSpans(message: Spans): Span[] {
  const { kind, frame, rows, sample, startMs, endMs, bytes } = message;
  const columns = [frame, rows, sample, startMs, endMs, bytes];
  if (kind.length > MESSAGE_SPANS || columns.some(({ length }) => length !== kind.length)) {
    throw refusal(`it has columns of ${kind.length} and other lengths`);
  }
  return kind.map((number, i) => {
    const name = SPAN_KINDS[number];
    const start = startMs[i]!;
    const end = endMs[i]!;
    if (name === undefined) throw refusal(`there is no kind number ${number}`);
    if (!Number.isFinite(start) || !Number.isFinite(end) || end < start) {
      throw refusal(`one is from ${start} to ${end}`);
    }
    return {
      kind: name,
      frame: frame[i]!,
      rows: rows[i]!,
      sample: sample[i]!,
      start,
      end,
      bytes: bytes[i]!,
    };
  });
}

/** All that a peer had recorded when it was first asked, as far as it keeps it. */
async function fetchSpans(peer: Peer): Promise<{ spans: Span[]; forgotten: number }> {
  const spans: Span[] = [];
  let next = 0;
  let forgotten = 0;
  let count: number | undefined;
  while (count === undefined || next < count) {
    const message = await peer.spans(next);
    const part = readSpans(message);
    const first = Number(message.first);
    count ??= Number(message.count);
    if (first < next) throw refusal(`it begins at ${first} where ${next} was asked for`);
    forgotten += first - next;
    if (part.length === 0) break;
    if (spans.length + part.length > MAX_SPANS) throw refusal(`there are over ${MAX_SPANS}`);
    for (const span of part) spans.push(span);
    next = first + part.length;
  }
  return { spans, forgotten };
}

function refusal(what: string): MdiError {
  return new MdiError("protocol", `Cannot read a node's spans: ${what}`);
}
