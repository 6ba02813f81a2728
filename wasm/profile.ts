/** What one node takes to compute, as it was measured: JSON, checked wherever it comes in. */
import { MdiError, messageOf } from "./error.ts";
import { readRowTimes, type RowTimes } from "./row_times.ts";
import { MAX_THREADS } from "./stage.ts";

/** Cached tokens that a profile's decode times are for. */
export const PROFILE_CACHED = 32;

/** What a node takes per model shape, weight type and thread count; `measure_stage.ts` measures it. Times in ms. */
export interface StageProfile {
  /** What computed: "simd" or "ort". */
  backend: string;
  /** Threads it computed with. */
  threads: number;
  /** Processors that the process had on average: those of the device, or less where it did not get even one. */
  processors: number;
  /** One layer, decode rows of different samples with {@linkcode PROFILE_CACHED} tokens each. */
  layer: RowTimes;
  /** Added for each layer, row and cached token beyond these: attention over the cache. */
  layerCachedMs: number;
  /** One layer, rows of one sample from position 0. */
  prefillLayer: RowTimes;
  /** From token ids to hidden rows; null where it was not measured: on secondaries. */
  embed: RowTimes | null;
  /** From hidden rows to a candidate each; null where it was not measured. */
  head: RowTimes | null;
  /** What a call takes beside computing: to the compute thread and back. */
  callMs: number;
  /** Bytes of weights of a layer, in the form computed with. */
  layerWeightBytes: number;
  /** Bytes of KV cache of one token in one layer. */
  kvBytesPerTokenLayer: number;
  /** How long the measurement took, without loading. */
  measuredMs: number;
}

/** Longer takes no device. */
const MAX_MS = 1e9;
const MAX_BYTES = 2 ** 50;
const MAX_PROCESSORS = 4096;

/**
 * Checks a profile that came from the wire or a disk, and copies what it knows of it.
 * @throws {MdiError} protocol, naming the first field that is wrong.
 */
export function readStageProfile(json: unknown): StageProfile {
  const root = record(json, "the profile");
  const { backend } = root;
  if (backend !== "simd" && backend !== "ort") throw wrong("backend", backend, '"simd" or "ort"');
  const threads = number(root.threads, "threads", MAX_THREADS);
  if (!Number.isInteger(threads) || threads < 1) throw wrong("threads", threads, "1 or more");
  const processors = number(root.processors, "processors", MAX_PROCESSORS);
  if (!(processors > 0)) throw wrong("processors", processors, "above 0");
  const optional = (key: string) => root[key] === null ? null : points(root[key], key);
  return {
    backend,
    threads,
    processors,
    layer: points(root.layer, "layer"),
    layerCachedMs: number(root.layerCachedMs, "layerCachedMs", MAX_MS),
    prefillLayer: points(root.prefillLayer, "prefillLayer"),
    embed: optional("embed"),
    head: optional("head"),
    callMs: number(root.callMs, "callMs", MAX_MS),
    layerWeightBytes: number(root.layerWeightBytes, "layerWeightBytes", MAX_BYTES),
    kvBytesPerTokenLayer: number(root.kvBytesPerTokenLayer, "kvBytesPerTokenLayer", MAX_BYTES),
    measuredMs: number(root.measuredMs, "measuredMs", MAX_MS),
  };
}

/** Measured points, refused as what came from outside. */
function points(json: unknown, field: string): RowTimes {
  try {
    return readRowTimes(json, field);
  } catch (cause) {
    throw new MdiError("protocol", `Cannot read profile: ${messageOf(cause)}`, {
      cause,
      details: { field },
    });
  }
}

function record(value: unknown, field: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw wrong(field, value, "an object");
  }
  return value as Record<string, unknown>;
}

function number(value: unknown, field: string, most: number): number {
  if (typeof value !== "number" || !(value >= 0 && value <= most)) {
    throw wrong(field, value, `a number from 0 to ${most}`);
  }
  return value;
}

function wrong(field: string, met: unknown, expected: string): MdiError {
  const shown = JSON.stringify(met)?.slice(0, 80) ?? String(met);
  return new MdiError(
    "protocol",
    `Cannot read profile: ${field} is ${shown}, expected ${expected}`,
    { details: { field } },
  );
}
