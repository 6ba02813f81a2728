/** Reads the index of a packed file: everything in it is checked before anything is loaded by it. */
import { align, BLOCK_ALIGNMENT } from "../block.ts";
import type { Linear, Norm } from "./decoder.ts";
import type {
  Packed,
  PackedBlock,
  PackedHead,
  PackedLayer,
  PackedMatrix,
  PackedVector,
  TiedMatrix,
} from "./packed_block.ts";
import { packedBytes, packedKindInfo } from "./packed_layout.ts";

/** What is wrong with an index: "layer.gate.weight: kind is 99". */
class BadIndex extends Error {
  override readonly name = "BadIndex";
}

/**
 * Checks an index: kinds are known, shapes agree with each other, places lie within the data.
 * @param dataBytes length of the data section.
 * @returns a new object that holds nothing else.
 * @throws {BadIndex}
 */
export function checkPackedIndex(value: unknown, dataBytes: number): PackedBlock {
  const fields = new Fields(value, "index", dataBytes);
  const kind = fields.text("kind");
  switch (kind) {
    case "embed":
      return { kind, table: matrix(fields.fields("table")) };
    case "layer":
      return layer(fields);
    case "head":
      return head(fields);
  }
  throw new BadIndex(`it holds a block of kind "${kind}"`);
}

function layer(fields: Fields): PackedLayer {
  const dModel = fields.int("dModel");
  const heads = fields.int("heads");
  const kvHeads = fields.int("kvHeads");
  const headDim = fields.int("headDim");
  if (heads % kvHeads !== 0) throw fields.bad(`${heads} heads share ${kvHeads}`);
  const queries = heads * headDim;
  const keys = kvHeads * headDim;
  const parts = fields.list("qkv");
  const outputs = parts.length === 1 ? [queries + 2 * keys] : [queries, keys, keys];
  if (parts.length !== outputs.length) throw fields.bad(`qkv has ${parts.length} parts`);
  const half = fields.int("half");
  if (2 * half > headDim) throw fields.bad(`it rotates ${2 * half} of ${headDim} values`);
  const inner = fields.fields("gate").fields("weight").int("n");
  return {
    ...{ kind: "layer", dModel, heads, kvHeads, headDim },
    scale: fields.number("scale"),
    window: fields.isNull("window") ? null : fields.int("window"),
    half,
    inputNorm: norm(fields.fields("inputNorm"), dModel),
    qkv: parts.map((part, i) => linear(part, outputs[i]!, dModel)),
    queryNorm: optionalNorm(fields, "queryNorm", headDim),
    keyNorm: optionalNorm(fields, "keyNorm", headDim),
    output: linear(fields.fields("output"), dModel, queries),
    postNorm: norm(fields.fields("postNorm"), dModel),
    gate: linear(fields.fields("gate"), inner, dModel),
    up: linear(fields.fields("up"), inner, dModel),
    down: linear(fields.fields("down"), dModel, inner),
    outputNorm: optionalNorm(fields, "outputNorm", dModel),
  };
}

function head(fields: Fields): PackedHead {
  const product = fields.fields("weight");
  const place = product.fields("weight");
  const weight = place.has("tied") ? tiedMatrix(place) : matrix(place);
  return {
    kind: "head",
    norm: optionalNorm(fields, "norm", weight.k),
    weight: { weight, bias: bias(product, weight.n) },
  };
}

function norm(fields: Fields, length: number): Packed<Norm> {
  const epsilon = fields.number("epsilon");
  if (epsilon < 0) throw fields.bad(`epsilon is ${epsilon}`);
  return { weight: vector(fields.fields("weight"), length), epsilon };
}

function optionalNorm(fields: Fields, key: string, length: number): Packed<Norm> | null {
  return fields.isNull(key) ? null : norm(fields.fields(key), length);
}

function linear(fields: Fields, n: number, k: number): Packed<Linear> {
  const weight = matrix(fields.fields("weight"));
  if (weight.n !== n || weight.k !== k) {
    throw fields.bad(`its weight is [${weight.n}, ${weight.k}], not [${n}, ${k}]`);
  }
  return { weight, bias: bias(fields, n) };
}

function bias(fields: Fields, n: number): PackedVector | null {
  return fields.isNull("bias") ? null : vector(fields.fields("bias"), n);
}

function matrix(fields: Fields): PackedMatrix {
  const kind = fields.int("kind", 0);
  const n = fields.int("n");
  const k = fields.int("k");
  const info = packedKindInfo(kind);
  if (!info) throw fields.bad(`kind is ${kind}`);
  if (k % info.run !== 0) throw fields.bad(`rows of ${k} are not whole runs of ${info.name}`);
  const bytes = fields.int("bytes");
  const needed = packedBytes(kind, n, k);
  if (bytes !== needed) throw fields.bad(`it has ${bytes} bytes, not ${needed}`);
  return { kind, n, k, offset: fields.place(bytes), bytes };
}

function tiedMatrix(fields: Fields): TiedMatrix {
  const tied = fields.text("tied");
  if (tied !== "embed") throw fields.bad(`it is tied to "${tied}"`);
  return { tied, n: fields.int("n"), k: fields.int("k") };
}

function vector(fields: Fields, length: number): PackedVector {
  const met = fields.int("length");
  if (met !== length) throw fields.bad(`it has ${met} values, not ${length}`);
  return { length, offset: fields.place(4 * length) };
}

/** The fields of a JSON object whose values are checked as they are read. */
class Fields {
  readonly #value: Record<string, unknown>;
  readonly #what: string;
  readonly #dataBytes: number;

  constructor(value: unknown, what: string, dataBytes: number) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new BadIndex(`${what} is no object`);
    }
    this.#value = value as Record<string, unknown>;
    this.#what = what;
    this.#dataBytes = dataBytes;
  }

  bad(why: string): BadIndex {
    return new BadIndex(`${this.#what}: ${why}`);
  }

  has(key: string): boolean {
    return Object.hasOwn(this.#value, key);
  }

  isNull(key: string): boolean {
    return this.#get(key) === null;
  }

  text(key: string): string {
    const value = this.#get(key);
    if (typeof value !== "string") throw this.bad(`${key} is no text`);
    return value;
  }

  number(key: string): number {
    const value = this.#get(key);
    if (typeof value !== "number" || !Number.isFinite(value)) {
      throw this.bad(`${key} is no number`);
    }
    return value;
  }

  /** A whole number of at least `least`. Products of two of them are exact or too large. */
  int(key: string, least = 1): number {
    const value = this.number(key);
    if (!Number.isSafeInteger(value) || value < least) throw this.bad(`${key} is ${value}`);
    return value;
  }

  fields(key: string): Fields {
    return new Fields(this.#get(key), `${this.#what}.${key}`, this.#dataBytes);
  }

  list(key: string): Fields[] {
    const value = this.#get(key);
    if (!Array.isArray(value)) throw this.bad(`${key} is no list`);
    return value.map((each, i) => new Fields(each, `${this.#what}.${key}.${i}`, this.#dataBytes));
  }

  /** The offset of so many bytes, which lie within the data up to the next multiple of 64. */
  place(bytes: number): number {
    const offset = this.int("offset", 0);
    if (offset % BLOCK_ALIGNMENT !== 0 || !(offset + align(bytes) <= this.#dataBytes)) {
      throw this.bad(`${bytes} bytes at ${offset} do not fit ${this.#dataBytes} bytes of data`);
    }
    return offset;
  }

  #get(key: string): unknown {
    return this.has(key) ? this.#value[key] : undefined;
  }
}
