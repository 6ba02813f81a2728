/** Times single calls of a stage, by the stage's own count of computing. */
import { cpuUsage } from "node:process";
import type { Batch, Stage } from "./stage.ts";

/** A sample of a measured stage, and how many tokens its cache holds. */
export interface MeasuredSample {
  sample: number;
  cached: number;
}

/** What a call took, in ms. */
export interface CallTime {
  /** Computing. */
  computeMs: number;
  /** All of it, with the way to the compute thread and back. */
  ms: number;
  /** What all of the process's threads had of processors meanwhile. */
  cpuMs: number;
}

/** Calls of one stage with made-up rows. */
export class StageTimer {
  readonly stage: Stage;
  #dModel: number;
  #vocab: number;

  /** @param shape widths of hidden rows and of rows of logits. */
  constructor(stage: Stage, { dModel, vocab }: { dModel: number; vocab: number }) {
    this.stage = stage;
    this.#dModel = dModel;
    this.#vocab = vocab;
  }

  /** Appends `rows` rows to a sample's cache. */
  async append(to: MeasuredSample, rows: number): Promise<CallTime> {
    const segments = [{ sample: to.sample, position: to.cached, rows }];
    const time = await this.#time(() => this.stage.forward(this.#hidden(segments)));
    to.cached += rows;
    return time;
  }

  /** Fills the caches of several samples in one call. */
  async fill(samples: readonly MeasuredSample[], rows: number): Promise<void> {
    const segments = samples.map(({ sample, cached }) => ({ sample, position: cached, rows }));
    await this.stage.forward(this.#hidden(segments));
    for (const each of samples) each.cached += rows;
  }

  /** Decodes one row of each sample, and takes it back. */
  async decode(samples: readonly MeasuredSample[]): Promise<CallTime> {
    const segments = samples.map(({ sample, cached }) => ({ sample, position: cached, rows: 1 }));
    const time = await this.#time(() => this.stage.forward(this.#hidden(segments)));
    for (const { sample, cached } of samples) this.stage.truncate(sample, cached);
    return time;
  }

  /** Embeds rows of an empty sample, on a stage that holds nothing but embed and head. */
  async embed(sample: number, rows: number): Promise<CallTime> {
    const ids = Int32Array.from({ length: rows }, (_, i) => (i + 1) * 7919 % this.#vocab);
    const batch = { segments: [{ sample, position: 0, rows }], ids };
    const time = await this.#time(() => this.stage.forward(batch));
    this.stage.truncate(sample, 0);
    return time;
  }

  /** Runs the head as greedy decoding does. */
  head(rows: number): Promise<CallTime> {
    return this.#time(() => this.stage.candidates(hiddenRows(rows * this.#dModel), 1));
  }

  #hidden(segments: Batch["segments"]): Batch {
    const rows = segments.reduce((sum, each) => sum + each.rows, 0);
    return { segments, hidden: hiddenRows(rows * this.#dModel) };
  }

  async #time(call: () => Promise<unknown>): Promise<CallTime> {
    const computed = this.stage.computeMs();
    const usage = cpuUsage();
    const start = performance.now();
    await call();
    const ms = performance.now() - start;
    const { user, system } = cpuUsage(usage);
    return { computeMs: this.stage.computeMs() - computed, ms, cpuMs: (user + system) / 1000 };
  }
}

/** Values from -1 to 1 without a pattern that a norm would end; times do not depend on them. */
function hiddenRows(values: number): Float32Array {
  return Float32Array.from({ length: values }, (_, i) => Math.sin(12.9898 * (i + 1)));
}
