/** What a starter tells a secondary to be, checked once where it comes in. */
import { MdiError, messageOf } from "../wasm/error.ts";
import { MAX_MANIFEST_BYTES, validateManifest } from "../engine/model/manifest.ts";
import type { BlockEntry, Manifest } from "../engine/model/types.ts";
import { MAX_RING_NODES } from "../engine/ring/message.ts";
import { MAX_SPANS } from "../engine/ring/spans.ts";
import type { KvType } from "../wasm/stage.ts";
import { type Address, parseAddress } from "./address.ts";
import { type Configure, Configure_Dtype } from "./gen/mdi/v1/control_pb.ts";
import { kvFromWire } from "./kv_type.ts";

/** Nodes that a ring may have. */
export const MAX_NODES = MAX_RING_NODES;

/** A secondary's part in a ring. */
export interface Configuration {
  manifest: Manifest;
  /** The ring's wiring. */
  epoch: number;
  /** Index in the ring, where 0 is the starter. */
  index: number;
  /** Whether the successor is the starter. */
  last: boolean;
  /** First and last layer, inclusive. */
  layers: readonly [number, number];
  /** The blocks of these layers and those that they refer to. */
  blocks: BlockEntry[];
  successor: Address;
  /** Nodes that may have blocks, best first. */
  providers: Address[];
  /** Form of the hidden states on the wire. */
  wire: "f32" | "f16";
  /** Positions that a sample may have at most. */
  context: number;
  /** Type of the KV caches. */
  kv: KvType;
  /** Spans to keep of what the node does; 0 records none. */
  spans: number;
}

/**
 * Reads a configuration.
 * @throws {MdiError} protocol where it contradicts itself, what is wrong with the manifest.
 */
export function readConfiguration(config: Configure): Configuration {
  const { epoch, index, nodes, firstLayer, lastLayer, context } = config;
  const manifest = readManifest(config.manifest);
  const { layers } = manifest.config;
  if (firstLayer > lastLayer || lastLayer >= layers) {
    throw refusal(`layers ${firstLayer} to ${lastLayer} of a model of ${layers}`);
  }
  if (nodes < 2 || nodes > MAX_NODES || index < 1 || index >= nodes) {
    throw refusal(`it makes this node number ${index} of ${nodes}`);
  }
  if (context < 1 || context > manifest.config.context) {
    throw refusal(`a context of ${context} for a model of ${manifest.config.context}`);
  }
  if (config.wire !== Configure_Dtype.F32 && config.wire !== Configure_Dtype.F16) {
    throw refusal(`a wire format number ${config.wire}`);
  }
  const kv = kvFromWire(config.kv);
  if (kv === undefined) throw refusal(`a type of KV caches number ${config.kv}`);
  if (config.spans > MAX_SPANS) throw refusal(`${config.spans} spans to keep`);
  if (config.providers.length > MAX_NODES) {
    throw refusal(`${config.providers.length} nodes to fetch blocks from`);
  }
  return {
    manifest,
    epoch,
    index,
    last: index === nodes - 1,
    layers: [firstLayer, lastLayer],
    blocks: blocksFor(manifest, [firstLayer, lastLayer]),
    successor: readAddress(config.successor),
    providers: config.providers.map(readAddress),
    wire: config.wire === Configure_Dtype.F16 ? "f16" : "f32",
    context,
    kv,
    spans: config.spans,
  };
}

/** The blocks of a range of layers and of these names, and those that they refer to, in the manifest's order. */
export function blocksFor(
  manifest: Manifest,
  layers: readonly [number, number] | null,
  also: readonly string[] = [],
): BlockEntry[] {
  const names = new Set(also);
  if (layers) { for (let i = layers[0]; i <= layers[1]; i++) names.add(`layer.${i}`); }
  const named = manifest.blocks.filter((block) => names.has(block.name));
  for (const { requires } of named) for (const name of requires) names.add(name);
  return manifest.blocks.filter((block) => names.has(block.name));
}

/**
 * Reads a manifest that came from the wire.
 * @throws {MdiError} protocol, or what is wrong with it.
 */
export function readManifest(text: string): Manifest {
  if (text.length > MAX_MANIFEST_BYTES) {
    throw refusal(`its manifest has ${text.length} characters`);
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw refusal(`its manifest is not JSON (${messageOf(cause)})`);
  }
  return validateManifest(json);
}

/**
 * Reads an address that came from the wire.
 * @throws {MdiError} protocol
 */
export function readAddress(text: string): Address {
  try {
    return parseAddress(text);
  } catch (cause) {
    throw refusal(messageOf(cause).slice(0, 300));
  }
}

function refusal(why: string): MdiError {
  return new MdiError("protocol", `Cannot take the configuration: ${why}`);
}
