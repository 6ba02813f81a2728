/** The check that a manifest passes once, at the door, before anything is allocated or fetched by it. */
import { MdiError } from "../../wasm/error.ts";
import type { BlockEntry, EdgeKind, Manifest, ModelConfig, RopeScaling } from "./types.ts";

/** A manifest's JSON is refused above this many bytes; a real one is below 300 kB. */
export const MAX_MANIFEST_BYTES = 4 * 2 ** 20;
const MAX_LAYERS = 1024;
const MAX_HIDDEN = 65_536;
const MAX_VOCAB = 10_000_000;
const MAX_BLOCK_BYTES = 2 ** 40;
const MAX_INT32 = 2 ** 31 - 1;
/** A block file's header and padding. */
const MIN_BLOCK_BYTES = 16;

/**
 * Checks a manifest that came from the wire or a disk, and copies what it knows of it: unknown fields
 * do not get past.
 * @throws {MdiError} protocol, naming the first field that is wrong and the value met.
 */
export function validateManifest(json: unknown): Manifest {
  const root = record(json, "the manifest");
  if (root.version !== 1) throw wrong("version", root.version, "1");
  const config = validateConfig(root.config);
  const edges = list(root.edges, "edges", config.layers + 1)
    .map((value, i) => oneOf<EdgeKind>(value, `edges[${i}]`, ["f32", "f16x2"]));
  if (edges.length !== config.layers + 1) {
    throw wrong("the number of edges", edges.length, `${config.layers + 1}`);
  }
  return {
    version: 1,
    name: text(root.name, "name", 200),
    source: oneOf(root.source, "source", ["gguf", "onnx", "safetensors"]),
    license: root.license === null ? null : text(root.license, "license", 200),
    config,
    kvBytesPerTokenLayer: integer(root.kvBytesPerTokenLayer, "kvBytesPerTokenLayer", 1, MAX_INT32),
    edges,
    blocks: validateBlocks(root.blocks, config.layers),
    textHash: hash(root.textHash, "textHash"),
  };
}

/** Names of a model's blocks in their order, without `shared`. */
export function blockNames(layers: number): string[] {
  return ["embed", ...Array.from({ length: layers }, (_, i) => `layer.${i}`), "head"];
}

function validateBlocks(value: unknown, layers: number): BlockEntry[] {
  const entries = list(value, "blocks", layers + 3);
  const names = blockNames(layers);
  if (entries.length === layers + 3) names.unshift("shared");
  if (entries.length !== names.length) {
    throw wrong("the number of blocks", entries.length, `${layers + 2} or ${layers + 3}`);
  }
  return entries.map((entry, i) => {
    const at = `blocks[${i}]`;
    const block = record(entry, at);
    if (block.name !== names[i]) throw wrong(`${at}.name`, block.name, `"${names[i]}"`);
    const earlier = names.slice(0, i);
    return {
      name: names[i]!,
      hash: hash(block.hash, `${at}.hash`),
      bytes: integer(block.bytes, `${at}.bytes`, MIN_BLOCK_BYTES, MAX_BLOCK_BYTES),
      parameters: integer(block.parameters, `${at}.parameters`, 0, Number.MAX_SAFE_INTEGER),
      dtypes: list(block.dtypes, `${at}.dtypes`, 64)
        .map((dtype, j) => text(dtype, `${at}.dtypes[${j}]`, 64)),
      requires: list(block.requires, `${at}.requires`, 16)
        .map((name, j) => oneOf(name, `${at}.requires[${j}]`, earlier)),
    };
  });
}

function validateConfig(value: unknown): ModelConfig {
  const config = record(value, "config");
  const count = (key: keyof ModelConfig, min: number, max: number) =>
    integer(config[key], `config.${key}`, min, max);
  const positive = (key: keyof ModelConfig) =>
    config[key] === undefined ? {} : { [key]: positiveNumber(config[key], `config.${key}`) };
  return {
    architecture: text(config.architecture, "config.architecture", 64),
    layers: count("layers", 1, MAX_LAYERS),
    hidden: count("hidden", 1, MAX_HIDDEN),
    heads: count("heads", 0, MAX_HIDDEN),
    kvHeads: count("kvHeads", 1, MAX_HIDDEN),
    headDim: count("headDim", 1, MAX_HIDDEN),
    intermediate: count("intermediate", 0, 2 ** 24),
    vocab: count("vocab", 1, MAX_VOCAB),
    context: count("context", 1, MAX_INT32),
    bosToken: config.bosToken === null ? null : count("bosToken", 0, MAX_VOCAB),
    eosTokens: list(config.eosTokens, "config.eosTokens", 256)
      .map((id, i) => integer(id, `config.eosTokens[${i}]`, 0, MAX_VOCAB)),
    ...positive("normEpsilon"),
    ...positive("ropeTheta"),
    ...(config.ropeScaling === undefined
      ? {}
      : { ropeScaling: validateRopeScaling(config.ropeScaling) }),
  };
}

function validateRopeScaling(value: unknown): RopeScaling {
  const at = "config.ropeScaling";
  const scaling = record(value, at);
  const number = (key: string) => positiveNumber(scaling[key], `${at}.${key}`);
  switch (oneOf(scaling.type, `${at}.type`, ["linear", "llama3", "factors"])) {
    case "linear":
      return { type: "linear", factor: number("factor") };
    case "llama3":
      return {
        type: "llama3",
        factor: number("factor"),
        lowFreqFactor: number("lowFreqFactor"),
        highFreqFactor: number("highFreqFactor"),
        originalContext: number("originalContext"),
      };
    case "factors":
      return {
        type: "factors",
        factors: list(scaling.factors, `${at}.factors`, MAX_HIDDEN)
          .map((factor, i) => positiveNumber(factor, `${at}.factors[${i}]`)),
      };
  }
}

function wrong(field: string, met: unknown, expected: string): MdiError {
  const shown = JSON.stringify(met)?.slice(0, 80) ?? String(met);
  return new MdiError(
    "protocol",
    `Cannot read manifest: ${field} is ${shown}, expected ${expected}`,
    {
      details: { field },
    },
  );
}

function record(value: unknown, field: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw wrong(field, value, "an object");
  }
  return value as Record<string, unknown>;
}

function list(value: unknown, field: string, max: number): unknown[] {
  if (!Array.isArray(value)) throw wrong(field, value, "an array");
  if (value.length > max) throw wrong(`the length of ${field}`, value.length, `at most ${max}`);
  return value;
}

function integer(value: unknown, field: string, min: number, max: number): number {
  if (!Number.isSafeInteger(value) || (value as number) < min || (value as number) > max) {
    throw wrong(field, value, `an integer from ${min} to ${max}`);
  }
  return value as number;
}

function positiveNumber(value: unknown, field: string): number {
  if (typeof value !== "number" || !Number.isFinite(value) || value <= 0) {
    throw wrong(field, value, "a number above 0");
  }
  return value;
}

function text(value: unknown, field: string, max: number): string {
  // deno-lint-ignore no-control-regex -- names are printed on terminals
  if (typeof value !== "string" || value.length > max || /[\x00-\x1f\x7f-\x9f]/.test(value)) {
    throw wrong(field, value, `a text of at most ${max} characters without control characters`);
  }
  return value;
}

function hash(value: unknown, field: string): string {
  if (typeof value !== "string" || !/^[0-9a-f]{64}$/.test(value)) {
    throw wrong(field, value, "64 lower-case hex digits");
  }
  return value;
}

function oneOf<T extends string>(value: unknown, field: string, allowed: readonly T[]): T {
  const found = allowed.find((each) => each === value);
  if (found === undefined) throw wrong(field, value, `one of ${allowed.join(", ") || "nothing"}`);
  return found;
}
