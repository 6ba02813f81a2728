/**
 * The spans of all nodes of a run on one clock, the starter's, and what is drawn from them. Clocks are
 * compared by asking a node for its time: it answered somewhere between question and answer, so half the
 * round trip is how wrong the middle can be (Cristian, "Probabilistic clock synchronization", 1989). Of
 * several exchanges the shortest counts. As quartz clocks drift by some ten millionths, they are compared
 * before and after the run, with a straight line between.
 */
import type { Timeline, TimelineFrame, TimelineSample } from "../plan/timeline.ts";
import type { Span } from "./spans.ts";

/** One comparison of a node's clock with the starter's. */
export interface ClockReading {
  /** When, by the starter's clock, in ms. */
  at: number;
  /** The node's clock less the starter's, in ms. */
  offsetMs: number;
  /** Half the round trip: how far the offset can be off. */
  uncertaintyMs: number;
}

/** What one node recorded. */
export interface RecordedNode {
  /** How messages name it. */
  name: string;
  /** First and last layer, inclusive and counted from 0; null where it holds none. */
  layers: readonly [number, number] | null;
  /** In the order recorded; times by the starter's `performance.now()`. */
  spans: Span[];
  /** Spans recorded and forgotten: the recorder keeps the newest. */
  forgotten: number;
  /** How far its times can be off against the starter's; 0 on the starter. */
  uncertaintyMs: number;
  /** Why it has no spans, where it could not be asked. */
  missing: string | null;
}

/** What all nodes recorded, in the order of the ring; the first is the starter. */
export interface Recording {
  /** The model's name. */
  model: string;
  /** In the order of the ring. */
  nodes: RecordedNode[];
}

/** Weights and caches of a node, for {@linkcode timelineOf}. */
export interface NodeMemory {
  weightBytes: number;
  kvBytes: number;
}

/**
 * Asks a clock several times and takes the exchange with the shortest round trip.
 * @param ask answers with the other clock's time.
 * @param now this side's clock.
 */
export async function readClock(
  ask: () => Promise<number>,
  rounds: number,
  now: () => number = () => performance.now(),
): Promise<ClockReading> {
  let best: ClockReading | undefined;
  for (let i = 0; i < rounds; i++) {
    const asked = now();
    const theirs = await ask();
    const answered = now();
    const at = (asked + answered) / 2;
    const uncertaintyMs = (answered - asked) / 2;
    if (!best || uncertaintyMs < best.uncertaintyMs) {
      best = { at, offsetMs: theirs - at, uncertaintyMs };
    }
  }
  if (!best) throw new RangeError("Cannot read a clock in no rounds");
  return best;
}

/** Puts a node's spans on the starter's clock; before, between and after the readings it runs straight. */
export function alignSpans(spans: readonly Span[], readings: readonly ClockReading[]): Span[] {
  const first = readings[0]!;
  const last = readings.at(-1)!;
  const ms = last.at - first.at;
  const drift = ms > 0 ? (last.offsetMs - first.offsetMs) / ms : 0;
  const toStarter = (at: number) => at - first.offsetMs - drift * (at - first.offsetMs - first.at);
  return spans.map((span) => ({
    ...span,
    start: toStarter(span.start),
    end: toStarter(span.end),
  }));
}

/** The recording from a moment of the starter's clock on. */
export function recordedSince(recording: Recording, since: number): Recording {
  const nodes = recording.nodes.map((node) => ({
    ...node,
    spans: node.spans.filter(({ start }) => start >= since),
  }));
  return { ...recording, nodes };
}

/** The recording as a timeline, which starts when the first sample got its slot. */
export function timelineOf(
  { nodes }: Recording,
  memory: readonly NodeMemory[],
): Timeline {
  const all = nodes.flatMap(({ spans }) => spans);
  const starter = nodes[0]!.spans;
  const first = starter.find(({ kind }) => kind === "slot") ?? starter[0];
  const zero = first?.start ?? 0;
  const end = all.reduce((last, span) => Math.max(last, span.end), zero);
  return {
    kind: "measured",
    nodes: nodes.map(({ name, layers, spans }, i) => ({
      name,
      layers,
      busy: spans.flatMap(({ kind, start, end, rows }) =>
        kind === "forward" || kind === "head"
          ? [{ from: start - zero, to: end - zero, rows, what: kind }]
          : []
      ).sort((a, b) => a.from - b.from),
      weightBytes: memory[i]?.weightBytes ?? 0,
      kvBytes: memory[i]?.kvBytes ?? 0,
    })),
    links: nodes.length === 1 ? [] : nodes.map(({ spans }, from) => {
      const to = (from + 1) % nodes.length;
      return { from, to, frames: framesBetween(spans, nodes[to]!.spans, zero) };
    }),
    samples: samplesOf(starter, zero),
    ms: end - zero,
  };
}

/** Frames that one node sent and the next one has; none arrives before it was sent. */
function framesBetween(
  from: readonly Span[],
  to: readonly Span[],
  zero: number,
): TimelineFrame[] {
  const arrivals = new Map<number, number>();
  for (const { kind, frame, start } of to) if (kind === "decode") arrivals.set(frame, start - zero);
  const frames: TimelineFrame[] = [];
  for (const { kind, frame, rows, bytes, start } of from) {
    const arrived = arrivals.get(frame);
    if (kind !== "send" || frame === 0 || arrived === undefined) continue;
    const sent = start - zero;
    frames.push({ sent, arrived: Math.max(sent, arrived), rows, bytes });
  }
  return frames;
}

/** Every stay of a sample in a slot, one entry each, in the order of their starts. */
function samplesOf(spans: readonly Span[], zero: number): TimelineSample[] {
  const samples: TimelineSample[] = [];
  const running = new Map<number, TimelineSample>();
  for (const { kind, sample, rows, start } of spans) {
    const at = start - zero;
    if (kind === "slot") {
      const stay = { sample, promptTokens: rows, tokens: [], slot: { from: at, to: at } };
      samples.push(stay);
      running.set(sample, stay);
    }
    const stay = running.get(sample);
    if (kind === "token") {
      stay?.tokens.push(at);
      if (stay) stay.slot.to = at;
    } else if (kind === "finish" && stay) {
      stay.slot.to = at;
      running.delete(sample);
    }
  }
  return samples;
}
