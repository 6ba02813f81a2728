/**
 * Walks the fields of a protobuf message in a file without reading their contents.
 *
 * A field is a tag (varint: number << 3 | wire type) and a value: a varint (0), 8 bytes (1), a length
 * and as many bytes (2), or 4 bytes (5). https://protobuf.dev/programming-guides/encoding
 */
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { messageOf } from "../../../wasm/error.ts";
import type { FileWindow } from "./file_window.ts";

/** A tag and a length or value, each a varint of at most ten bytes. */
const MAX_HEADER_BYTES = 20;

/** One field: where its tag and its value start, and where the next field does. */
export interface WireField {
  /** The field's number in its message. */
  number: number;
  /** How its value is written. */
  wireType: WireType;
  /** Offset of the tag in the file. */
  start: number;
  /** Offset of the value; for a length-delimited one, of the first byte after the length. */
  value: number;
  /** Offset of the byte after the value. */
  end: number;
}

/**
 * Yields the fields of the message at [start, end) of a file.
 * @throws {SyntaxError} where the bytes there are not a message.
 */
export async function* wireFields(
  window: FileWindow,
  start: number,
  end: number,
): AsyncGenerator<WireField> {
  let at = start;
  while (at < end) {
    const header = await window.view(at, Math.min(MAX_HEADER_BYTES, end - at));
    const field = parseField(header, at);
    if (field.end > end) {
      throw new SyntaxError(
        `field ${field.number} at byte ${at} needs ${field.end - field.value} bytes, ${
          Math.max(0, end - field.value)
        } are left`,
      );
    }
    yield field;
    at = field.end;
  }
}

function parseField(header: Uint8Array, start: number): WireField {
  try {
    const reader = new BinaryReader(header);
    const [number, wireType] = reader.tag();
    let value = start + reader.pos;
    let length: number;
    switch (wireType) {
      case WireType.Varint:
        reader.uint64();
        length = start + reader.pos - value;
        break;
      case WireType.Bit64:
        length = 8;
        break;
      case WireType.Bit32:
        length = 4;
        break;
      case WireType.LengthDelimited:
        length = Number(reader.uint64());
        value = start + reader.pos;
        break;
      default:
        throw new RangeError(`wire type ${wireType} is not used by ONNX`);
    }
    return { number, wireType, start, value, end: value + length };
  } catch (cause) {
    throw new SyntaxError(`no field can be read at byte ${start} (${messageOf(cause)})`, { cause });
  }
}
