/** Types of KV caches as the control plane names them, and what a ring needs to use one. */
import { MdiError } from "../wasm/error.ts";
import type { KvType } from "../wasm/stage.ts";
import { backendOf } from "./device.ts";
import { type Device, KvType as WireKvType } from "./gen/mdi/v1/control_pb.ts";

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

/**
 * Refuses nodes that say before anything is loaded that ONNX Runtime computes there, which has f32 alone. One that
 * takes it because it cannot do otherwise says so when it has looked at its layers.
 * @throws {MdiError} model_unsupported
 */
export function requireKvBackend(
  type: KvType,
  peers: readonly { name: string; device: Pick<Device, "backend"> }[],
): void {
  const without = peers.filter(({ device }) => backendOf(device) === "ort").map(({ name }) => name);
  if (type === "f32" || without.length === 0) return;
  const names = without.join(" and ");
  throw new MdiError(
    "model_unsupported",
    `Cannot keep KV caches as ${type}: the backend of ${names} is ort, which has f32 alone; start ${names} with --backend auto, or leave --kv out`,
    { details: { kv: type, peer: without[0]! } },
  );
}
