/** One joined graph of layers in ONNX Runtime, run for one segment of one sample at a time. */
import { toBinary } from "@bufbuild/protobuf";
import {
  ModelProtoSchema,
  TensorProto_DataType,
  type ValueInfoProto,
} from "../gen/onnx/onnx_pb.ts";
import type { OpenBlocks } from "../block_file.ts";
import { createSession, free, type OrtSession, type OrtTensor, tensor } from "./runtime.ts";
import { SEQLENS_K, TOTAL_SEQUENCE_LENGTH } from "./sequence_lengths.ts";
import { StagedWeights } from "./staged_weights.ts";
import type { PlannedSession } from "./session_plan.ts";
import type { WeightPlan } from "./weights.ts";

type Half = Float16Array | Uint16Array;

/** A key or value cache of one layer: [1, KV, length, D]. */
interface CacheInput {
  /** Graph input, "past.<i>.key". */
  past: string;
  /** Graph output, "present.<i>.key". */
  present: string;
  type: "float32" | "float16";
  kvHeads: number;
  headDim: number;
}

/** A sample's caches in one session, by graph input; empty before the first run. */
export type CachePart = Map<string, OrtTensor>;

/** A loaded graph. */
export class SessionRunner implements AsyncDisposable {
  readonly weightBytes: number;
  readonly kvBytesPerToken: number;
  /** Whether the graph has its caches in f16. */
  readonly hasHalfCaches: boolean;
  #session: OrtSession;
  #caches: CacheInput[];
  #inputs: Set<string>;
  #dModel: number;
  #ones = new BigInt64Array(0);

  private constructor(session: OrtSession, plan: WeightPlan, dModel: number) {
    this.#session = session;
    this.#dModel = dModel;
    this.#inputs = new Set(plan.model.graph!.input.map((input) => input.name));
    this.#caches = plan.model.graph!.input.filter((input) => input.name.startsWith("past."))
      .map(cacheInput);
    this.weightBytes = plan.jobs.reduce((sum, job) => sum + job.bytes, 0);
    this.hasHalfCaches = this.#caches.some((cache) => cache.type === "float16");
    this.kvBytesPerToken = this.#caches.reduce(
      (sum, cache) => sum + cache.kvHeads * cache.headDim * (cache.type === "float16" ? 2 : 4),
      0,
    );
  }

  /** Reads the weights and makes the session. */
  static async load(
    session: PlannedSession,
    blocks: OpenBlocks,
    dModel: number,
  ): Promise<SessionRunner> {
    const { what, plan, oneRow } = session;
    using weights = await StagedWeights.read(plan.jobs, blocks);
    const graph = toBinary(ModelProtoSchema, plan.model);
    const made = await createSession(what, graph, weights.tensors, { prepack: !oneRow });
    return new SessionRunner(made, plan, dModel);
  }

  /**
   * Runs rows at the end of a sample's cache.
   * @param rows token ids, or hidden rows [rows, d_model].
   * @param past tokens that the cache holds.
   * @returns hidden rows [rows, d_model], or logits [rows, vocab] where the graph ends in the head.
   */
  async run(
    rows: Int32Array | Float32Array,
    past: number,
    cache: CachePart,
  ): Promise<Float32Array> {
    const count = rows instanceof Int32Array ? rows.length : rows.length / this.#dModel;
    const feeds: Record<string, OrtTensor> = {};
    if (rows instanceof Int32Array) {
      feeds["input_ids"] = tensor("int64", BigInt64Array.from(rows, BigInt), [1, count]);
    } else if (this.#inputs.has("hidden")) {
      feeds["hidden"] = tensor("float32", rows, [1, count, this.#dModel]);
    } else {
      const [residual, mlp] = splitHalves(rows, this.#dModel);
      feeds["hidden.0"] = tensor("float16", residual, [1, count, this.#dModel]);
      feeds["hidden.1"] = tensor("float16", mlp, [1, count, this.#dModel]);
    }
    if (this.#inputs.has("attention_mask")) {
      feeds["attention_mask"] = tensor("int64", this.#mask(past + count), [1, past + count]);
    }
    if (this.#inputs.has("position_ids")) {
      const positions = BigInt64Array.from({ length: count }, (_, i) => BigInt(past + i));
      feeds["position_ids"] = tensor("int64", positions, [1, count]);
    }
    if (this.#inputs.has(SEQLENS_K)) {
      feeds[SEQLENS_K] = tensor("int32", Int32Array.of(past + count - 1), [1]);
    }
    if (this.#inputs.has(TOTAL_SEQUENCE_LENGTH)) {
      feeds[TOTAL_SEQUENCE_LENGTH] = tensor("int32", Int32Array.of(past + count), []);
    }
    for (const input of this.#caches) {
      feeds[input.past] = cache.get(input.past) ?? emptyCache(input);
    }

    const results = await this.#session.run(feeds);
    for (const { past, present } of this.#caches) replace(cache, past, results[present]!);
    if (results["logits"]) return floats(results["logits"]);
    if (results["hidden_out"]) return floats(results["hidden_out"]);
    return joinHalves(results["hidden_out.0"]!, results["hidden_out.1"]!, this.#dModel);
  }

  /** A mask that hides nothing, out of one that is made for twice as many tokens when it is too short. */
  #mask(length: number): BigInt64Array {
    if (this.#ones.length < length) this.#ones = new BigInt64Array(2 * length).fill(1n);
    return this.#ones.subarray(0, length);
  }

  /** Keeps the first `keep` of the `have` tokens of a cache. */
  truncate(cache: CachePart, have: number, keep: number): void {
    for (const input of this.#caches) {
      const whole = cache.get(input.past);
      if (whole) replace(cache, input.past, firstTokens(input, whole, have, keep));
    }
  }

  /** Frees a cache. */
  release(cache: CachePart): void {
    for (const value of cache.values()) free(value.data as Float32Array);
    cache.clear();
  }

  /** Frees the session. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session.release();
  }
}

function cacheInput(input: ValueInfoProto): CacheInput {
  const value = input.type?.value;
  if (value?.case !== "tensorType") throw new TypeError(`Input ${input.name} is not a tensor`);
  const dim = (i: number) => {
    const dimension = value.value.shape?.dim[i]?.value;
    return dimension?.case === "dimValue" ? Number(dimension.value) : NaN;
  };
  return {
    past: input.name,
    present: input.name.replace("past.", "present."),
    type: value.value.elemType === TensorProto_DataType.FLOAT16 ? "float16" : "float32",
    kvHeads: dim(1),
    headDim: dim(3),
  };
}

function replace(cache: CachePart, name: string, value: OrtTensor): void {
  const old = cache.get(name);
  if (old) free(old.data as Float32Array);
  cache.set(name, value);
}

function emptyCache({ type, kvHeads, headDim }: CacheInput): OrtTensor {
  const none = type === "float16" ? new Uint16Array(0) : new Float32Array(0);
  return tensor(type, none, [1, kvHeads, 0, headDim]);
}

/** [1, KV, have, D] -> [1, KV, keep, D]. */
function firstTokens(
  { type, kvHeads, headDim }: CacheInput,
  whole: OrtTensor,
  have: number,
  keep: number,
): OrtTensor {
  const from = whole.data as Float32Array | Half;
  const size = kvHeads * keep * headDim;
  const to = type === "float16" ? new Float16Array(size) : new Float32Array(size);
  for (let head = 0; head < kvHeads; head++) {
    const start = head * have * headDim;
    to.set(from.subarray(start, start + keep * headDim) as Float32Array, head * keep * headDim);
  }
  return tensor(type, type === "float16" ? new Uint16Array(to.buffer) : to as Float32Array, [
    1,
    kvHeads,
    keep,
    headDim,
  ]);
}

/** Rows of two f16 vectors [rows, 2, d] (as 4·d bytes each) -> the two tensors [rows, d]. */
function splitHalves(rows: Float32Array, d: number): [Uint16Array, Uint16Array] {
  const bits = new Uint16Array(rows.buffer, rows.byteOffset, rows.length * 2);
  const count = rows.length / d;
  const out: [Uint16Array, Uint16Array] = [new Uint16Array(count * d), new Uint16Array(count * d)];
  for (let row = 0; row < count; row++) {
    out[0].set(bits.subarray(row * 2 * d, row * 2 * d + d), row * d);
    out[1].set(bits.subarray(row * 2 * d + d, (row + 1) * 2 * d), row * d);
  }
  return out;
}

function joinHalves(residual: OrtTensor, mlp: OrtTensor, d: number): Float32Array {
  const [a, b] = [residual, mlp].map((half) => {
    const data = half.data as unknown as Half;
    return new Uint16Array(data.buffer as ArrayBuffer, data.byteOffset, data.length);
  }) as [Uint16Array, Uint16Array];
  const out = new Uint16Array(a.length * 2);
  for (let row = 0; row * d < a.length; row++) {
    out.set(a.subarray(row * d, (row + 1) * d), row * 2 * d);
    out.set(b.subarray(row * d, (row + 1) * d), row * 2 * d + d);
  }
  return new Float32Array(out.buffer);
}

/** f32 values of a f32 or f16 tensor. */
function floats(value: OrtTensor): Float32Array {
  return value.type === "float32"
    ? value.data as Float32Array
    : Float32Array.from(value.data as unknown as Float16Array);
}
