/**
 * The starter's loop: it tells the scheduler what happened and does what the scheduler answers, with
 * the stage of this node, the link to the next one and the link from the last one.
 *
 *     scheduler --compute--> stage.forward --> link ... ring ... link --returned--> scheduler
 *     scheduler --head-----> readHead      --> sampler --> accept --drawn--> scheduler
 *
 * In a ring of one the frame returns as soon as it is computed. All methods are called on one thread;
 * nothing here waits without a frame being under way.
 */
import { MdiError } from "../../wasm/error.ts";
import type { Stage } from "../../wasm/stage.ts";
import { type FinishReason, Sample } from "./sample.ts";
import type { Sampler } from "../text/sampler.ts";
import { type FrameMessage, type MessageSender, type RingMessage, wantedRows } from "./message.ts";
import { drawToken, readHead, type WantedRow } from "./next_token.ts";
import type { FrameSegment, RingAction, RingEvent, Scheduler } from "./schedule.ts";
import { describeSegments, sameSegments } from "./segments.ts";
import { RecordedHead, type SpanRecorder } from "./spans.ts";

/** The ring beyond this node. */
export interface RingPort extends MessageSender {
  /** What comes back from the last node. */
  readonly input: AsyncIterable<RingMessage>;
}

/** What a driver is made from. */
export interface DriverOptions {
  stage: Stage;
  scheduler: Scheduler;
  /** Absent in a ring of one. */
  port?: RingPort;
  epoch: number;
  dModel: number;
  vocab: number;
  /** Records what this node does, where the run is traced. */
  spans?: SpanRecorder;
}

/** One turn of one sample. */
export interface TurnRequest {
  /** Token ids of the whole prompt; at least one. */
  prompt: ArrayLike<number>;
  /** Tokens generated at most. */
  limit: number;
  /** Token ids that end it. */
  endTokens: readonly number[];
  /** Draws its tokens. */
  sampler: Sampler;
  /**
   * Told every drawn id, and whether the sample ends with it.
   * @returns whether it is to stop with it all the same (a stop string).
   */
  accept(id: number, last: boolean): boolean;
  /**
   * Told once what it came to, or why the ring ended under it, in the very step that ends it: a chat
   * may go on from here. It is in the midst of the driver's work and must not call back.
   */
  ended(outcome: TurnResult | Error): void;
}

/** What one turn came to. */
export interface TurnResult {
  finish: FinishReason;
  /** The generated ids, the end token included. */
  ids: number[];
  /** Tokens of the prompt that the caches held already. */
  cached: number;
}

/** A first turn; a chat says how much its caches are to hold over all turns. */
export interface SubmitRequest extends TurnRequest {
  /**
   * Tokens that the caches must hold.
   *
   * @default {prompt and limit}
   */
  capacity?: number;
  /** Whether the sample pauses at its end and can be continued. */
  keep?: boolean;
}

/** A turn under way. */
export interface Turn {
  /** The sample's id in the ring. */
  readonly sample: number;
  /** Ends it now; a kept sample pauses, another one goes. Does nothing once it has ended. */
  stop(): void;
}

interface Running {
  sample: Sample;
  request: TurnRequest;
}

/** A row in head and whose token is drawn from it. */
interface Draw extends WantedRow {
  running: Running;
}

/** Runs samples through the ring. */
export class RingDriver {
  #samplingMs = 0;
  /** Settles when the driver can do nothing more: with the reason, or undefined where it was closed. */
  readonly ended: Promise<Error | undefined>;
  #end: (reason: Error | undefined) => void;
  #options: DriverOptions;
  #running = new Map<number, Running>();
  #nextSample = 0;
  #failure: Error | undefined;
  /** Messages to the next node leave in the order they are given. */
  #sending: Promise<void> = Promise.resolve();
  #heads: Promise<void> = Promise.resolve();
  #paused = new Map<number, Sample>();
  /** Frames given to the stage, and frames that came back: the number of the last one. */
  #computed = 0;
  #back = 0;
  #recordedHead: RecordedHead | undefined;

  /** Makes a driver and starts to listen to the ring. */
  constructor(options: DriverOptions) {
    const ended = Promise.withResolvers<Error | undefined>();
    this.ended = ended.promise;
    this.#end = ended.resolve;
    this.#options = options;
    if (options.spans) this.#recordedHead = new RecordedHead(options.stage, options.spans);
    if (options.port) {
      this.#receive(options.port.input).catch((error) => this.fail(error));
    }
  }

  /** Milliseconds spent in drawing tokens and telling of them, since the start. */
  get samplingMs(): number {
    return this.#samplingMs;
  }

  /**
   * Takes a sample in.
   * @throws {MdiError} busy, memory, or what ended the ring.
   */
  submit(request: SubmitRequest): Turn {
    const id = this.#nextSample++;
    const sample = new Sample({
      id,
      prompt: request.prompt,
      limit: request.limit,
      endTokens: request.endTokens,
    });
    return this.#begin(sample, request, {
      type: "submit",
      sample: id,
      tokens: sample.promptLength,
      capacity: request.capacity ?? sample.capacity,
      keep: request.keep ?? false,
    });
  }

  /**
   * Starts the next turn of a paused sample: rows start where its ids first differ.
   * @throws {MdiError} busy, memory, or what ended the ring.
   * @throws {RangeError} where the sample is not paused.
   */
  continue(id: number, request: TurnRequest): Turn {
    if (this.#failure) throw this.#failure;
    const sample = this.#paused.get(id);
    if (!sample) throw new RangeError(`Cannot continue sample ${id}: it is not paused`);
    const length = sample.nextTurn(request.prompt, request.limit);
    return this.#begin(sample, request, {
      type: "continue",
      sample: id,
      length,
      tokens: sample.promptLength,
    });
  }

  /** Ends a sample now and frees its caches, paused or not. */
  cancel(id: number): void {
    this.#paused.delete(id);
    if (this.#failure) return;
    this.#running.get(id)?.sample.end("cancel");
    this.#step({ type: "cancel", sample: id });
  }

  /** Ends the driver: everything under way ends with the reason. */
  fail(reason: Error): void {
    this.#halt(reason, reason);
  }

  /** Ends the driver in order: what is under way is cancelled. */
  close(): void {
    this.#halt(new MdiError("cancelled", "The ring was closed"), undefined);
  }

  #halt(failure: Error, reason: Error | undefined): void {
    if (this.#failure) return;
    this.#failure = failure;
    for (const { request } of this.#running.values()) request.ended(failure);
    this.#running.clear();
    this.#end(reason);
  }

  #begin(sample: Sample, request: TurnRequest, event: RingEvent): Turn {
    if (this.#failure) throw this.#failure;
    const running: Running = { sample, request };
    this.#running.set(sample.id, running);
    this.#paused.delete(sample.id);
    const rejected = this.#step(event);
    if (rejected) {
      this.#running.delete(sample.id);
      if (event.type === "continue") this.#paused.set(sample.id, sample);
      throw rejected;
    }
    return { sample: sample.id, stop: () => this.#stop(running) };
  }

  #stop(running: Running): void {
    const { sample } = running;
    if (this.#running.get(sample.id) !== running) return;
    sample.end("cancel");
    this.#step({ type: "stop", sample: sample.id });
  }

  /** Tells the scheduler and does what it answers. Returns why a submit or continue is rejected. */
  #step(event: RingEvent): MdiError | undefined {
    let rejected: MdiError | undefined;
    for (const action of this.#options.scheduler.step(event)) {
      if (action.type === "reject") rejected = action.error;
      else this.#act(action);
    }
    return rejected;
  }

  #act(action: Exclude<RingAction, { type: "reject" }>): void {
    const { stage } = this.#options;
    switch (action.type) {
      case "open":
        stage.open(action.sample, action.capacity);
        this.#cache(action.sample, 0, action.capacity);
        break;
      case "truncate":
        stage.truncate(action.sample, action.length);
        this.#cache(action.sample, action.length, action.capacity);
        break;
      case "release":
        stage.release(action.sample);
        this.#cache(action.sample, 0, 0);
        break;
      case "compute":
        this.#compute(action.segments).catch((error) => this.fail(error));
        break;
      case "head":
        throw new TypeError("Cannot run head: no frame came back");
      case "finish":
        this.#finish(action.sample, action.kept, action.cached);
        break;
    }
  }

  #cache(sample: number, length: number, capacity: number): void {
    if (this.#options.spans && capacity > 0) {
      const tokens = this.#running.get(sample)?.sample.promptLength ?? 0;
      this.#options.spans.mark("slot", sample, tokens);
    }
    this.#send({ kind: "cache", epoch: this.#options.epoch, sample, length, capacity })
      .catch((error) => this.fail(error));
  }

  /** Gives a message to the next node after those before it. */
  #send(message: RingMessage): Promise<void> {
    const { port } = this.#options;
    if (!port) return Promise.resolve();
    const sent = this.#sending.then(() => port.send(message));
    this.#sending = sent.catch(() => {});
    return sent;
  }

  async #compute(segments: readonly FrameSegment[]): Promise<void> {
    const { stage, port, epoch, dModel, spans } = this.#options;
    const ids = this.#rowIds(segments);
    const number = ++this.#computed;
    const asked = spans ? performance.now() : 0;
    const hidden = await stage.forward({ segments: [...segments], ids });
    if (spans) {
      spans.forwarded(stage, segments, number, asked);
      for (const { sample, rows } of segments) spans.mark("segment", sample, rows, number);
    }
    if (this.#failure) return;
    const frame: FrameMessage = { kind: "frame", epoch, segments: [...segments], hidden };
    if (port) {
      // The link's time is not this node's: the next frame computes while this one leaves.
      const sent = this.#send(frame);
      this.#step({ type: "computed" });
      await sent;
      return;
    }
    this.#returned({ ...frame, hidden: wantedRows(segments, hidden, dModel) });
    this.#step({ type: "computed" });
  }

  /** The token ids of a frame's rows; rows of a sample that has gone meanwhile are 0. */
  #rowIds(segments: readonly FrameSegment[]): Int32Array {
    const ids = new Int32Array(segments.reduce((sum, segment) => sum + segment.rows, 0));
    let row = 0;
    for (const { sample, position, rows } of segments) {
      const running = this.#running.get(sample);
      if (running) ids.set(running.sample.ids(position, position + rows), row);
      row += rows;
    }
    return ids;
  }

  async #receive(input: AsyncIterable<RingMessage>): Promise<void> {
    for await (const message of input) {
      if (this.#failure) return;
      if (message.kind === "frame") this.#returned(message);
    }
    this.fail(new MdiError("peer_lost", "The ring was closed by its last node"));
  }

  #returned(frame: FrameMessage): void {
    const expected = this.#options.scheduler.expected;
    if (!expected || !sameSegments(expected, frame.segments)) {
      throw new MdiError(
        "protocol",
        `Cannot take the frame that came back: it holds ${describeSegments(frame.segments)}, not ${
          describeSegments(expected ?? [])
        }`,
      );
    }
    const number = ++this.#back;
    for (const action of this.#options.scheduler.step({ type: "returned" })) {
      if (action.type !== "head") {
        if (action.type !== "reject") this.#act(action);
        continue;
      }
      const draws = action.rows.map(({ sample, row }): Draw => {
        const running = this.#running.get(sample)!;
        return { row, running, sampler: running.request.sampler };
      });
      this.#heads = this.#heads.then(() => this.#head(draws, frame.hidden, number))
        .catch((error) => this.fail(error));
    }
  }

  async #head(draws: readonly Draw[], hidden: Float32Array, number: number): Promise<void> {
    if (this.#failure) return;
    const { spans, stage, dModel, vocab } = this.#options;
    const first = draws[0]!.running.sample.id;
    this.#recordedHead?.begin(number, draws.length, first);
    const head = { stage: this.#recordedHead ?? stage, dModel, vocab };
    const rows = await readHead(head, hidden, draws);
    if (this.#failure) return;
    const start = performance.now();
    const ended: number[] = [];
    draws.forEach(({ running, sampler }, i) => {
      const { sample, request } = running;
      // A turn that was stopped while its row was in head draws no more, even if the next one runs.
      if (this.#running.get(sample.id) !== running || sample.finish !== null) return;
      const token = drawToken(sampler, rows[i]!, sample.ids());
      const last = sample.append(token) !== null;
      spans?.mark("token", sample.id, 1, number);
      if (request.accept(token, last)) sample.end("stop");
      if (sample.finish !== null) ended.push(sample.id);
    });
    const end = performance.now();
    this.#samplingMs += end - start;
    spans?.add("draw", number, draws.length, first, start, end);
    this.#step({ type: "drawn", ended });
  }

  #finish(id: number, kept: boolean, cached: number): void {
    const running = this.#running.get(id);
    if (!running) return;
    this.#running.delete(id);
    this.#options.spans?.mark("finish", id, 0);
    const { sample, request } = running;
    if (kept) this.#paused.set(id, sample);
    // The scheduler ends a sample by itself only where its cache is full.
    sample.end("length");
    const ids = Array.from(sample.ids(sample.promptLength));
    request.ended({ finish: sample.finish!, ids, cached });
  }
}
