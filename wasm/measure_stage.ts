/**
 * Measures what a node takes to compute, by real stages: the very code, files, threads and caches of a run.
 * One layer is held in so many copies that their weights come from memory as a model's do, and calls of the
 * layers and of the head take turns. Rounds are repeated until time is up or they agree. Lower quartiles count,
 * as what else the device does makes times longer, never shorter. Where the process had a part of a processor only,
 * because other programs run or a quota holds it back, what calls took of it counts, over that part.
 */
import { cpuUsage } from "node:process";
import { MeasuredTimes } from "./measured_times.ts";
import { PROFILE_CACHED, type StageProfile } from "./profile.ts";
import type { RowTimes } from "./row_times.ts";
import type { Stage, StageInfo } from "./stage.ts";
import { type CallTime, type MeasuredSample, StageTimer } from "./stage_timer.ts";

/** What is measured. */
export interface MeasuredStages {
  /** Holds nothing but copies of one layer. */
  layers: Stage;
  /** How many. */
  copies: number;
  /** Holds embed and head and nothing else; null where they are not measured. */
  ends: Stage | null;
  /** Width of a hidden row in values. */
  dModel: number;
  /** Tokens of the vocabulary. */
  vocab: number;
  /** Positions that the model was made for. */
  context: number;
}

/** How {@linkcode measureStages} goes about it. */
export interface MeasureOptions {
  /** How long it may take, in ms; a little more on a device that needs it for a single round. */
  budgetMs?: number;
  /** Bytes that KV caches may take meanwhile; by default as many as are wanted. */
  kvBytes?: number;
  /** Ends it. */
  signal?: AbortSignal | undefined;
  /** Told how much of the time is over. */
  onProgress?: ((done: number, total: number) => void) | undefined;
}

/** Rows of the measured decode frames: kernels take rows four at a time, so the steps are at 3 and 4, 7 and 8. */
const DECODE_ROWS = [1, 2, 3, 4, 5, 7, 8, 16];
/** Cached tokens of the sample that tells what more of them cost: at most, at least. */
const LONG = 256;
const LEAST_LONG = 96;
/** Rows of the longer of the measured prompts. */
const LONG_PREFILL = 128;
/** Pages of the long sample, the long prompt, and one more. */
const OTHER_PAGES = (LONG + LONG_PREFILL) / (2 * PROFILE_CACHED) + 1;
/** Pause before a call whose way to the compute thread is timed. */
const PAUSE_MS = 2;
/** Rows of the shorter one. */
const SHORT_PREFILL = 32;
/** A stage learns which number of threads helps: calls that it needs for frames of one row and of a few. */
const SETTLING_CALLS = 12;
/** Parts of the time after which it is not made to learn more, and prompts are not measured again. */
const SETTLING_SHARE = 0.6;
const AGAIN_SHARE = 0.7;
/** Rounds before they may be found to agree; at most. */
const AGREEING_ROUNDS = 7;
const MOST_ROUNDS = 40;
/** Rounds agree where the middle half of all times of a kind lies within this share of their median. */
const AGREEMENT = 0.04;
/** The kinds of times that count for that. */
const COMPARED = /^(?:decode|head|long)/;
/** What a clock and a wake-up make times differ by, in ms. */
const JITTER_MS = 0.05;

/** One thread alone has the processor for this part of its time at least, where nothing else runs. */
const UNDISTURBED_SHARE = 0.85;
/** Where nothing else runs, times of a kind are this near to each other, as a share of their median. */
const UNDISTURBED_SPREAD = 0.25;

/** What was measured. */
export interface MeasuredProfile {
  profile: StageProfile;
  /** Whether the process had the processor for a part of the time only: the profile is of the device as it was. */
  busy: boolean;
}

/**
 * Measures, and leaves the stages without samples.
 * @throws {MdiError} what the stages say.
 */
export async function measureStages(
  stages: MeasuredStages,
  options: MeasureOptions = {},
): Promise<MeasuredProfile> {
  return await new Measurement(stages, options).run();
}

class Measurement {
  readonly #stages: MeasuredStages;
  readonly #options: MeasureOptions;
  readonly #budgetMs: number;
  readonly #started = performance.now();
  readonly #body: StageTimer;
  readonly #edges: StageTimer | null;
  readonly #times = new MeasuredTimes();
  #paused = 0;
  #opened = 0;

  constructor(stages: MeasuredStages, options: MeasureOptions) {
    this.#stages = stages;
    this.#options = options;
    this.#budgetMs = options.budgetMs ?? 3000;
    this.#body = new StageTimer(stages.layers, stages);
    this.#edges = stages.ends && new StageTimer(stages.ends, stages);
  }

  async run(): Promise<MeasuredProfile> {
    const { layers, ends, context } = this.#stages;
    const long = this.#open();
    const prompts = [Math.min(SHORT_PREFILL, context - 1)];
    // The first call meets code that is not compiled yet, and pages of memory that are not there.
    await this.#body.append(long, prompts[0]!);
    const rowMs = await this.#prefill(long, prompts[0]!) / prompts[0]!;
    const { kvBytes = Infinity } = this.#options;
    const plan = planMeasurement(rowMs, this.#budgetMs, samplesWithin(kvBytes, layers), context);
    if (plan.long >= LONG_PREFILL) {
      prompts.push(LONG_PREFILL);
      await this.#prefill(long, LONG_PREFILL);
    }
    while (long.cached < plan.long) {
      this.#check();
      await this.#body.append(long, Math.min(64, plan.long - long.cached));
    }
    const samples = Array.from({ length: plan.rows.at(-1)! }, () => this.#open());
    for (let i = 0; i < samples.length; i += 2) {
      this.#check();
      await this.#body.fill(samples.slice(i, i + 2), plan.cached);
    }
    await this.#settle(samples);
    const before = this.#use();
    await this.#rounds(plan.rows, samples, long, prompts);
    const after = this.#use();
    for (let sample = 0; sample < this.#opened; sample++) {
      layers.release(sample);
      ends?.release(sample);
    }
    const cpuMs = after.cpuMs - before.cpuMs;
    // Where the system does not tell, it is 0.
    const lacking = cpuMs > 0 && cpuMs < UNDISTURBED_SHARE * (after.computeMs - before.computeMs);
    const spread = this.#times.spread(COMPARED, JITTER_MS);
    return {
      profile: this.#profile(plan, prompts, lacking ? cpuMs / (after.ms - before.ms) : null),
      busy: lacking || spread > UNDISTURBED_SPREAD,
    };
  }

  /** Milliseconds so far: of processors, of computing, and in all but for pauses. */
  #use(): { cpuMs: number; computeMs: number; ms: number } {
    const { layers, ends } = this.#stages;
    const { user, system } = cpuUsage();
    return {
      cpuMs: (user + system) / 1000,
      computeMs: layers.computeMs() + (ends?.computeMs() ?? 0),
      ms: this.#spent() - this.#paused,
    };
  }

  /** Time since the start, in ms. */
  #spent(): number {
    return performance.now() - this.#started;
  }

  /** Between two calls. */
  #check(): void {
    const { signal, onProgress } = this.#options;
    signal?.throwIfAborted();
    onProgress?.(Math.min(this.#spent(), this.#budgetMs), this.#budgetMs);
  }

  #open(): MeasuredSample {
    const sample = this.#opened++;
    this.#stages.layers.open(sample, LONG + 1);
    this.#stages.ends?.open(sample, LONG + 1);
    return { sample, cached: 0 };
  }

  /** Times a prompt from position 0. */
  async #prefill(sample: MeasuredSample, rows: number): Promise<number> {
    this.#check();
    this.#stages.layers.truncate(sample.sample, sample.cached = 0);
    const { computeMs, cpuMs } = await this.#body.append(sample, rows);
    this.#times.add(`prefill ${rows}`, computeMs, cpuMs);
    return computeMs;
  }

  /** Makes the calls from which a stage learns how many threads to take. */
  async #settle(samples: readonly MeasuredSample[]): Promise<void> {
    for (let call = 0; call < SETTLING_CALLS; call++) {
      if (this.#spent() > SETTLING_SHARE * this.#budgetMs) return;
      this.#check();
      for (const rows of [1, 2]) {
        await this.#body.decode(samples.slice(0, rows));
        await this.#edges?.head(rows);
      }
    }
  }

  async #rounds(
    rows: readonly number[],
    samples: readonly MeasuredSample[],
    long: MeasuredSample,
    prompts: readonly number[],
  ): Promise<void> {
    const prompt = this.#open();
    let longest = 0;
    for (let round = 0; round < MOST_ROUNDS; round++) {
      const start = this.#spent();
      if (round >= 1 && start + longest > this.#budgetMs) return;
      if (round >= AGREEING_ROUNDS && this.#times.agree(COMPARED, AGREEMENT)) return;
      for (const each of rows) await this.#decode(samples.slice(0, each), prompt);
      this.#add("long", await this.#body.decode([long]));
      // The long prompt once more, the short one twice: they take as long as several rounds.
      const again = prompts[[0, 1, 0][round] ?? prompts.length];
      if (again !== undefined && this.#spent() < AGAIN_SHARE * this.#budgetMs) {
        await this.#prefill(prompt, again);
      }
      longest = Math.max(longest, this.#spent() - start);
    }
  }

  /** One frame through layers, head and embed. */
  async #decode(samples: readonly MeasuredSample[], empty: MeasuredSample): Promise<void> {
    this.#check();
    const rows = samples.length;
    this.#add(`decode ${rows}`, await this.#body.decode(samples));
    if (rows === 1) await this.#call(samples);
    if (!this.#edges) return;
    this.#add(`head ${rows}`, await this.#edges.head(rows));
    this.#add(`embed ${rows}`, await this.#edges.embed(empty.sample, rows));
  }

  #add(name: string, { computeMs, cpuMs }: CallTime): void {
    this.#times.add(name, computeMs, cpuMs);
  }

  /** The way to the compute thread and back, when that has to be woken as a frame that arrives finds it. */
  async #call(samples: readonly MeasuredSample[]): Promise<void> {
    const start = this.#spent();
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    this.#paused += this.#spent() - start;
    const { computeMs, ms } = await this.#body.decode(samples);
    this.#times.add("call", ms - computeMs, 0);
  }

  #profile(
    { rows, cached, long }: MeasurementPlan,
    prompts: readonly number[],
    heldTo: number | null,
  ): StageProfile {
    const { layers: { info }, copies, ends } = this.#stages;
    const usual = (name: string) =>
      heldTo === null ? this.#times.undisturbed(name) : this.#times.held(name, heldTo);
    const cachedMs = Math.max(0, usual("long") - usual("decode 1")) /
      (copies * Math.max(1, long - cached));
    const layerMs = rows.map((each) =>
      usual(`decode ${each}`) / copies + cachedMs * each * (PROFILE_CACHED - cached)
    );
    const over = (name: string): RowTimes => ({
      rows,
      ms: rows.map((each) => usual(`${name} ${each}`)),
    });
    const longer = prompts.filter((each) => each > 1);
    return {
      backend: info.backend,
      threads: info.threads,
      processors: heldTo ?? navigator.hardwareConcurrency,
      layer: { rows, ms: layerMs },
      layerCachedMs: cachedMs,
      prefillLayer: {
        rows: [1, ...longer],
        ms: [layerMs[0]!, ...longer.map((each) => usual(`prefill ${each}`) / copies)],
      },
      embed: ends && over("embed"),
      head: ends && over("head"),
      // What calls take of a part of a processor is in their times already.
      callMs: heldTo === null ? this.#times.undisturbed("call") : 0,
      layerWeightBytes: Math.round(info.weightBytes / copies),
      kvBytesPerTokenLayer: info.kvBytesPerToken / copies,
      measuredMs: this.#spent(),
    };
  }
}

/** How much of it a device has time and memory for. */
interface MeasurementPlan {
  /** Rows of the decode frames. */
  rows: number[];
  /** Tokens in the caches of their samples. */
  cached: number;
  /** Tokens in the cache of the long sample. */
  long: number;
}

/** @param rowMs what a row of a prompt takes in all copies. */
function planMeasurement(
  rowMs: number,
  budgetMs: number,
  samples: number,
  context: number,
): MeasurementPlan {
  const rowsWithin = (share: number) => Math.floor(share * budgetMs / rowMs);
  const clamp = (value: number, least: number, most: number) =>
    Math.min(Math.max(value, least), most);
  let sum = 0;
  const rows = DECODE_ROWS.filter((each) => {
    sum += each;
    return each === 1 || (each <= samples && sum <= Math.max(6, rowsWithin(0.15)));
  });
  return {
    rows,
    cached: clamp(
      Math.floor(rowsWithin(0.3) / rows.at(-1)!),
      1,
      Math.min(PROFILE_CACHED, context - 1),
    ),
    long: clamp(32 * Math.floor(rowsWithin(0.2) / 32), LEAST_LONG, Math.min(LONG, context - 1)),
  };
}

/** Samples of a page or two that so many bytes hold beside the long one. */
function samplesWithin(kvBytes: number, { info }: Stage): number {
  const page = pageBytes(info);
  return page === 0 ? Infinity : Math.floor(kvBytes / page) - OTHER_PAGES;
}

/** Bytes of caches that a measurement of frames of so many rows takes in the layers of a stage. */
export function measurementKvBytes(info: StageInfo, rows: number): number {
  return pageBytes(info) * (rows + OTHER_PAGES);
}

function pageBytes({ kvBytesPerToken, kvPageTokens }: StageInfo): number {
  return kvBytesPerToken * Math.max(kvPageTokens, 2 * PROFILE_CACHED);
}
