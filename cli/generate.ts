/**
 * Runs all prompts at once, as far as the ring takes them, and writes what comes. Text is written as it
 * comes; of several samples the first unfinished one streams and the others follow whole, because
 * interleaved texts cannot be read. `--json` has every token as it comes.
 */
import type { GenerationResult } from "../engine/generation.ts";
import type { GenerateOptions, Prompt, Ring } from "../rpc/ring.ts";
import type { Output } from "./output.ts";

/**
 * Samples that are asked for at once: what waits for a slot does not pile up in the ring, which refuses
 * more than 1024, and no slot of the 512 that there may be stays empty.
 */
const MAX_AT_ONCE = 1024;

/** Characters of a prompt that a sample's title shows. */
const TITLE_LENGTH = 60;

/** One sample to generate. */
export interface Job {
  /** Its number, from 0. */
  sample: number;
  /** Its prompt as text; null for ids. */
  prompt: string | null;
  input: Prompt;
}

/** Generates all samples; those cancelled by the signal end with what they have. */
export async function generateAll(
  ring: Ring,
  jobs: readonly Job[],
  options: GenerateOptions,
  output: Output,
): Promise<void> {
  const screen = new Screen(output, jobs);
  const seeded = options.seed === undefined ? {} : { seed: options.seed };
  const run = async (job: Job) => {
    const generation = ring.generate(job.input, { ...options, ...seeded, stream: job.sample });
    for await (const { id, text } of generation) {
      output.record({ type: "token", sample: job.sample, id, text });
      screen.piece(job.sample, text);
    }
    const result = await generation.result;
    output.record(sampleRecord(job, result));
    screen.finish(job.sample);
  };
  // One generator for all: the error of one sample ends it, and so keeps the others from starting more.
  const queue = inOrder(jobs);
  await Promise.all(Array.from({ length: Math.min(MAX_AT_ONCE, jobs.length) }, async () => {
    for (const job of queue) {
      if (!options.signal?.aborted) await run(job);
    }
  }));
}

function* inOrder(jobs: readonly Job[]): Generator<Job> {
  yield* jobs;
}

function sampleRecord(job: Job, result: GenerationResult): Record<string, unknown> {
  return {
    type: "sample",
    sample: job.sample,
    prompt: job.prompt,
    text: result.text,
    ids: result.ids,
    finish_reason: result.finishReason,
  };
}

/** Shows samples in their order: the first unfinished one streams. */
class Screen {
  #output: Output;
  #jobs: readonly Job[];
  #texts: string[];
  #done: boolean[];
  #current = 0;
  #written = 0;

  constructor(output: Output, jobs: readonly Job[]) {
    this.#output = output;
    this.#jobs = jobs;
    this.#texts = jobs.map(() => "");
    this.#done = jobs.map(() => false);
    this.#title();
  }

  piece(sample: number, text: string): void {
    this.#texts[sample] += text;
    if (sample === this.#current) this.#flush();
  }

  finish(sample: number): void {
    this.#done[sample] = true;
    while (this.#current < this.#jobs.length && this.#done[this.#current]) {
      this.#flush();
      this.#output.text("\n");
      this.#current++;
      this.#written = 0;
      this.#title();
    }
    if (this.#current < this.#jobs.length) this.#flush();
  }

  #title(): void {
    const job = this.#jobs[this.#current];
    if (this.#jobs.length === 1 || !job) return;
    const prompt = job.prompt === null ? "" : ` ${shortened(job.prompt)}`;
    this.#output.text(`${this.#current > 0 ? "\n" : ""}[sample ${this.#current}]${prompt}\n`);
  }

  #flush(): void {
    const text = this.#texts[this.#current]!;
    if (text.length === this.#written) return;
    this.#output.text(text.slice(this.#written));
    this.#written = text.length;
  }
}

/** The beginning of a prompt, for a title. */
function shortened(prompt: string): string {
  const characters = [...prompt.replace(/\s+/gu, " ").trim()];
  return characters.length <= TITLE_LENGTH
    ? characters.join("")
    : `${characters.slice(0, TITLE_LENGTH - 1).join("")}…`;
}
