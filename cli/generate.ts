/**
 * Runs all prompts at once and writes what comes. On a terminal, and wherever only one sample runs,
 * text is written as it comes; with several samples the first one streams and the others follow whole,
 * because interleaved texts cannot be read. `--json` has every token as it comes.
 */
import type { GenerationResult } from "../engine/generation.ts";
import type { GenerateOptions, Prompt, Ring } from "../rpc/ring.ts";
import type { Output } from "./output.ts";

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
  const screen = new Screen(output, jobs.length);
  const seeded = options.seed === undefined ? {} : { seed: options.seed };
  await Promise.all(jobs.map(async (job) => {
    const generation = ring.generate(job.input, { ...options, ...seeded, stream: job.sample });
    for await (const { id, text } of generation) {
      output.record({ type: "token", sample: job.sample, id, text });
      screen.piece(job.sample, text);
    }
    const result = await generation.result;
    output.record(sampleRecord(job, result));
    screen.finish(job.sample);
  }));
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
  #count: number;
  #texts: string[];
  #done: boolean[];
  #current = 0;
  #written = 0;

  constructor(output: Output, count: number) {
    this.#output = output;
    this.#count = count;
    this.#texts = new Array(count).fill("");
    this.#done = new Array(count).fill(false);
    this.#title();
  }

  piece(sample: number, text: string): void {
    this.#texts[sample] += text;
    if (sample === this.#current) this.#flush();
  }

  finish(sample: number): void {
    this.#done[sample] = true;
    while (this.#current < this.#count && this.#done[this.#current]) {
      this.#flush();
      this.#output.text("\n");
      this.#current++;
      this.#written = 0;
      this.#title();
    }
    if (this.#current < this.#count) this.#flush();
  }

  #title(): void {
    if (this.#count > 1 && this.#current < this.#count) {
      this.#output.text(`${this.#current > 0 ? "\n" : ""}[sample ${this.#current}]\n`);
    }
  }

  #flush(): void {
    const text = this.#texts[this.#current]!;
    if (text.length === this.#written) return;
    this.#output.text(text.slice(this.#written));
    this.#written = text.length;
  }
}
