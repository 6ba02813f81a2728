/** Weights on their way from block files into a session. */
import { align } from "../block.ts";
import type { OpenBlocks } from "../block_file.ts";
import { PageBuffer } from "../page_buffer.ts";
import type { ExternalTensor } from "./runtime.ts";
import type { WeightJob } from "./weights.ts";

/** Bytes that {@linkcode StagedWeights.read} takes meanwhile. */
export function stagedBytes(jobs: readonly WeightJob[]): number {
  return weightBytes(jobs) + sourceBytes(jobs);
}

/** The weights of one session as ONNX Runtime takes them; disposing frees them. */
export class StagedWeights implements Disposable {
  /** A tensor of each job. */
  readonly tensors: ExternalTensor[] = [];
  readonly #memory: PageBuffer;

  private constructor(bytes: number) {
    this.#memory = new PageBuffer(bytes);
  }

  /**
   * Reads the weights, or makes them from what is read.
   * @throws {MdiError} model_corrupt where a file is too short.
   */
  static async read(jobs: readonly WeightJob[], blocks: OpenBlocks): Promise<StagedWeights> {
    for (const source of jobs.flatMap((job) => job.sources)) blocks.check(source);
    using memory = new DisposableStack();
    const staged = memory.use(new StagedWeights(weightBytes(jobs)));
    using scratch = new PageBuffer(sourceBytes(jobs));
    let at = 0;
    for (const job of jobs) {
      const data = staged.#memory.bytes(at, job.bytes);
      at += align(job.bytes);
      if (job.make) job.make(await readSources(job, blocks, scratch), data);
      else await blocks.read(job.sources[0]!, data);
      staged.tensors.push({ path: job.name, data });
    }
    memory.move();
    return staged;
  }

  /** Frees the memory. */
  [Symbol.dispose](): void {
    this.#memory[Symbol.dispose]();
  }
}

async function readSources(
  job: WeightJob,
  blocks: OpenBlocks,
  scratch: PageBuffer,
): Promise<Uint8Array[]> {
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const source of job.sources) {
    const part = scratch.bytes(at, source.length);
    at += align(source.length);
    await blocks.read(source, part);
    parts.push(part);
  }
  return parts;
}

function weightBytes(jobs: readonly WeightJob[]): number {
  return jobs.reduce((sum, job) => sum + align(job.bytes), 0);
}

/** Of the job that needs most. */
function sourceBytes(jobs: readonly WeightJob[]): number {
  return jobs.reduce((most, { make, sources }) => {
    const bytes = sources.reduce((sum, source) => sum + align(source.length), 0);
    return make ? Math.max(most, bytes) : most;
  }, 0);
}
