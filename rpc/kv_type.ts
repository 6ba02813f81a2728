/** Types of KV caches as the control plane names them, and what a ring needs to use one. */
import type { KvType } from "../wasm/stage.ts";
import { KvType as WireKvType } from "./gen/mdi/v1/control_pb.ts";

const WIRE: Readonly<Record<KvType, WireKvType>> = {
  f32: WireKvType.F32,
  f16: WireKvType.F16,
  int8: WireKvType.INT8,
};

/** All types, as they are typed. */
export const KV_TYPES = Object.keys(WIRE) as readonly KvType[];

/**
 * Checks what a caller gives for a type.
 * @throws {RangeError}
 */
export function requireKvType(value: unknown): KvType {
  const type = KV_TYPES.find((each) => each === value);
  if (type !== undefined) return type;
  throw new RangeError(
    `Cannot keep KV caches as "${String(value)}": there are ${
      KV_TYPES.map((each) => `"${each}"`).join(", ")
    }`,
  );
}

/** The number that the wire has for a type. */
export function kvToWire(type: KvType): WireKvType {
  return WIRE[type];
}

/** The type of a number; undefined where there is none of that number. */
export function kvFromWire(number: number): KvType | undefined {
  return KV_TYPES.find((type) => WIRE[type] === number);
}

/** The capabilities that every node must have announced. */
export function kvCapabilities(type: KvType): string[] {
  return type === "f32" ? [] : [`kv-${type}`];
}
