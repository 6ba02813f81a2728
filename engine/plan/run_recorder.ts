/** Keeps what happens in a simulated run, and sums it up. */
import type { RingAction } from "../ring/schedule.ts";
import type { VirtualClock } from "../ring/virtual_clock.ts";
import type { SimulatedRing } from "./simulated_ring.ts";
import type {
  Timeline,
  TimelineFrame,
  TimelineNode,
  TimelineSample,
  TimelineSpan,
  Window,
} from "./timeline.ts";

/** A share of the time above which a node or link is what holds the ring up. */
const BOTTLENECK_SHARE = 0.95;

/** How much of the time a node or a link was in use. */
export interface SimulatedUse {
  /** Share of the steady window, or of the whole run where there is none; 0 to 1. */
  readonly busyFraction: number;
  /** Milliseconds over the whole run. */
  readonly busyMs: number;
}

/** The sums of a run. */
export interface SimulationTotals {
  /** Length of the run in ms: to its last token. */
  readonly ms: number;
  /** Tokens drawn. */
  readonly tokens: number;
  /** Over the whole run, prompts included. */
  readonly tokensPerSecond: number;
  /** While the ring was as full as it gets: what a plan predicts. Null where there is no such time. */
  readonly steady: Window & { readonly tokensPerSecond: number } | null;
  /** From a sample's arrival to its first token, in ms; null where none was drawn. */
  readonly timeToFirstTokenMs: { readonly median: number; readonly longest: number } | null;
  /** In the ring's order. */
  readonly nodes: readonly SimulatedUse[];
  /** `links[i]` is the way out of node i; empty in a ring of one. */
  readonly links: readonly SimulatedUse[];
  /** What holds the ring up; "samples" where nothing is in use nearly all the time. */
  readonly bottleneck: { readonly kind: "node" | "link" | "samples"; readonly index: number };
  /** Samples that came and never ended, as a device died. */
  readonly lost: readonly number[];
}

/** What is known before the run. */
export interface RunRecorderOptions {
  clock: VirtualClock;
  /** The ring's nodes, without what they do. */
  nodes: readonly Omit<TimelineNode, "busy" | "kvBytes">[];
  /** Bytes of each node's KV caches for one token. */
  kvBytesPerToken: readonly number[];
  /** Samples in the ring at once. */
  inFlight: number;
  /** Samples that are to come. */
  samples: number;
}

/** A sample under way. */
interface Running extends TimelineSample {
  arrived: number;
  /** Tokens to be drawn. */
  limit: number;
  ended: boolean;
}

/** A moment of the run and what has been until then. */
interface Moment {
  at: number;
  tokens: number;
  busyMs: number[];
  linkBusyMs: number[];
}

/** Keeps what happens. */
export class RunRecorder {
  readonly #options: RunRecorderOptions;
  readonly #nodes: TimelineNode[];
  readonly #links: Timeline["links"];
  readonly #samples: Running[] = [];
  #ring: SimulatedRing | undefined;
  #tokens = 0;
  #started = 0;
  #ended = 0;
  #lastAt = 0;
  #from: Moment | undefined;
  #to: Moment | undefined;

  /** Starts without anything. */
  constructor(options: RunRecorderOptions) {
    const { nodes } = options;
    this.#options = options;
    this.#nodes = nodes.map((node) => ({ ...node, busy: [], kvBytes: 0 }));
    this.#links = nodes.length === 1 ? [] : nodes.map((_, from) => ({
      from,
      to: (from + 1) % nodes.length,
      frames: [],
    }));
  }

  /** Whose busy times are looked at. */
  watch(ring: SimulatedRing): void {
    this.#ring = ring;
  }

  /** A node computed. */
  busy(node: number, span: TimelineSpan): void {
    this.#nodes[node]!.busy.push(span);
  }

  /** A frame went over a link. */
  frame(link: number, frame: TimelineFrame): void {
    this.#links[link]!.frames.push(frame);
  }

  /** A sample comes. Returns its id. */
  arrived(promptTokens: number, limit: number): number {
    const now = this.#options.clock.now();
    const sample = this.#samples.length;
    const slot = { from: Infinity, to: Infinity };
    const rest = { arrived: now, limit, ended: false };
    this.#samples.push({ sample, promptTokens, tokens: [], slot, ...rest });
    return sample;
  }

  /** The scheduler wants something done. */
  action(action: RingAction): void {
    if (action.type !== "open" && action.type !== "finish") return;
    const { slot } = this.#samples[action.sample]!;
    if (action.type === "open") slot.from = this.#options.clock.now();
    else slot.to = this.#options.clock.now();
  }

  /** A token is drawn. Returns whether it is the sample's last. */
  token(id: number): boolean {
    const { inFlight, samples, clock } = this.#options;
    const sample = this.#samples[id]!;
    this.#lastAt = clock.now();
    sample.tokens.push(this.#lastAt);
    if (sample.tokens.length === 1 && ++this.#started === inFlight) this.#from = this.#moment();
    this.#tokens++;
    sample.ended = sample.tokens.length === sample.limit;
    if (sample.ended && ++this.#ended === samples - inFlight + 1) this.#to = this.#moment();
    return sample.ended;
  }

  /** Sums the run up. */
  end(kvPeakTokens: number): { timeline: Timeline; totals: SimulationTotals } {
    const ms = this.#lastAt;
    this.#options.kvBytesPerToken.forEach((bytes, i) => {
      this.#nodes[i]!.kvBytes = bytes * kvPeakTokens;
    });
    const samples = this.#samples.map(({ sample, promptTokens, tokens, slot }) => ({
      sample,
      promptTokens,
      tokens,
      slot: { from: Math.min(slot.from, ms), to: Math.min(slot.to, ms) },
    }));
    const { nodes, links } = this.#uses();
    const waits = this.#samples.filter(({ tokens }) => tokens.length > 0)
      .map(({ tokens, arrived }) => tokens[0]! - arrived).sort((a, b) => a - b);
    return {
      timeline: { kind: "simulated", nodes: this.#nodes, links: this.#links, samples, ms },
      totals: {
        ms,
        tokens: this.#tokens,
        tokensPerSecond: ms > 0 ? this.#tokens / ms * 1000 : 0,
        steady: this.#steady(),
        timeToFirstTokenMs: waits.length === 0
          ? null
          : { median: waits[waits.length >> 1]!, longest: waits.at(-1)! },
        nodes,
        links,
        bottleneck: bottleneckOf(nodes, links),
        lost: this.#samples.filter(({ ended }) => !ended).map(({ sample }) => sample),
      },
    };
  }

  #moment(): Moment {
    const ring = this.#ring!;
    return {
      at: this.#options.clock.now(),
      tokens: this.#tokens,
      busyMs: ring.busyMs(),
      linkBusyMs: ring.linkBusyMs(),
    };
  }

  #steady(): SimulationTotals["steady"] {
    const from = this.#from;
    const to = this.#to;
    if (!from || !to || to.at <= from.at) return null;
    const tokensPerSecond = (to.tokens - from.tokens) / (to.at - from.at) * 1000;
    return { from: from.at, to: to.at, tokensPerSecond };
  }

  #uses(): { nodes: SimulatedUse[]; links: SimulatedUse[] } {
    const end = this.#moment();
    const steady = this.#steady() !== null;
    const from = steady ? this.#from : undefined;
    const to = steady ? this.#to! : { ...end, at: this.#lastAt };
    const ms = to.at - (from?.at ?? 0);
    const use = (name: "busyMs" | "linkBusyMs") =>
      end[name].map((busyMs, i): SimulatedUse => {
        const within = to[name][i]! - (from?.[name][i] ?? 0);
        return { busyMs, busyFraction: ms > 0 ? Math.min(1, within / ms) : 0 };
      });
    return { nodes: use("busyMs"), links: use("linkBusyMs") };
  }
}

function bottleneckOf(
  nodes: readonly SimulatedUse[],
  links: readonly SimulatedUse[],
): SimulationTotals["bottleneck"] {
  const node = mostUsed(nodes);
  const link = mostUsed(links);
  const nodeShare = nodes[node]!.busyFraction;
  const linkShare = links[link]?.busyFraction ?? 0;
  const byLink = linkShare > nodeShare;
  const index = byLink ? link : node;
  if (Math.max(nodeShare, linkShare) < BOTTLENECK_SHARE) return { kind: "samples", index };
  return { kind: byLink ? "link" : "node", index };
}

function mostUsed(uses: readonly SimulatedUse[]): number {
  return uses.reduce((most, use, i) => use.busyFraction > uses[most]!.busyFraction ? i : most, 0);
}
