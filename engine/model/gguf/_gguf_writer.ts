/** For tests: writes small GGUF files. */
import { GGUF_TYPES, type GgufType } from "../../../wasm/gguf/types.ts";

/** A metadata value with its GGUF type: 4 u32, 6 f32, 7 bool, 8 string, 9 an array, 10 u64, 12 f64 … */
export type TypedValue =
  | readonly [type: 0 | 1 | 2 | 3 | 4 | 5 | 6 | 12, value: number]
  | readonly [type: 7, value: boolean]
  | readonly [type: 8, value: string]
  | readonly [type: 9, element: number, values: readonly TypedValue[]]
  | readonly [type: 10 | 11, value: bigint];

/** A tensor as a header tells of it; `type` may be a number that mdi does not know. */
export interface TensorToDescribe {
  name: string;
  dims: number[];
  type: GgufType | number;
  /** Bytes of its data. */
  bytes: number;
}

/** A tensor to write. */
export interface TensorToWrite extends Omit<TensorToDescribe, "bytes"> {
  data: Uint8Array;
}

interface Format {
  version?: number;
  alignment?: number;
}

/** The bytes of a GGUF file before its data section. */
export function writeGgufHeader(
  metadata: Record<string, TypedValue>,
  tensors: TensorToDescribe[],
  { version = 3, alignment = 32 }: Format = {},
): Uint8Array<ArrayBuffer> {
  const out = new ByteWriter();
  out.bytes(new TextEncoder().encode("GGUF"));
  out.u32(version);
  out.u64(BigInt(tensors.length));
  out.u64(BigInt(Object.keys(metadata).length));
  for (const [key, value] of Object.entries(metadata)) {
    out.string(key);
    out.u32(value[0]);
    out.value(value);
  }
  let offset = 0;
  for (const { name, dims, type, bytes } of tensors) {
    out.string(name);
    out.u32(dims.length);
    for (const dim of dims) out.u64(BigInt(dim));
    out.u32(typeof type === "number" ? type : GGUF_TYPES[type].id);
    out.u64(BigInt(offset));
    offset += Math.ceil(bytes / alignment) * alignment;
  }
  out.pad(alignment);
  return out.finish();
}

/** The bytes of a GGUF file. */
export function writeGguf(
  metadata: Record<string, TypedValue>,
  tensors: TensorToWrite[],
  format: Format = {},
): Uint8Array<ArrayBuffer> {
  const { alignment = 32 } = format;
  const described = tensors.map(({ data, ...tensor }) => ({ ...tensor, bytes: data.length }));
  const out = new ByteWriter();
  out.bytes(writeGgufHeader(metadata, described, format));
  for (const { data } of tensors) {
    out.bytes(data);
    out.pad(alignment);
  }
  return out.finish();
}

class ByteWriter {
  #parts: Uint8Array[] = [];
  #length = 0;

  bytes(part: Uint8Array): void {
    this.#parts.push(part);
    this.#length += part.length;
  }

  u32(value: number): void {
    this.#number(4, (view) => view.setUint32(0, value, true));
  }

  u64(value: bigint): void {
    this.#number(8, (view) => view.setBigUint64(0, value, true));
  }

  string(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.u64(BigInt(bytes.length));
    this.bytes(bytes);
  }

  value(value: TypedValue): void {
    switch (value[0]) {
      case 0:
      case 1:
        return this.bytes(Uint8Array.of(value[1]));
      case 2:
      case 3:
        return this.#number(2, (view) => view.setUint16(0, value[1], true));
      case 4:
      case 5:
        return this.u32(value[1]);
      case 6:
        return this.#number(4, (view) => view.setFloat32(0, value[1], true));
      case 7:
        return this.bytes(Uint8Array.of(value[1] ? 1 : 0));
      case 8:
        return this.string(value[1]);
      case 9:
        this.u32(value[1]);
        this.u64(BigInt(value[2].length));
        return value[2].forEach((item) => this.value(item));
      case 10:
      case 11:
        return this.u64(BigInt.asUintN(64, value[1]));
      case 12:
        return this.#number(8, (view) => view.setFloat64(0, value[1], true));
    }
  }

  pad(alignment: number): void {
    this.bytes(new Uint8Array((alignment - this.#length % alignment) % alignment));
  }

  finish(): Uint8Array<ArrayBuffer> {
    const out = new Uint8Array(this.#length);
    let at = 0;
    for (const part of this.#parts) {
      out.set(part, at);
      at += part.length;
    }
    return out;
  }

  #number(bytes: number, set: (view: DataView) => void): void {
    const part = new Uint8Array(bytes);
    set(new DataView(part.buffer));
    this.bytes(part);
  }
}
