/**
 * What a decoder's graph is fed and what it gives: ids, masks, positions, one pair of KV tensors per
 * layer, logits. Only these names count; everything inside is told by structure.
 */
import { TensorProto_DataType as DataType } from "../../../wasm/gen/onnx/onnx_pb.ts";
import { MdiError } from "../../../wasm/error.ts";
import { declaredShape, elementType, type Graph } from "./graph.ts";
import { dataTypeName } from "./tensor_type.ts";

/** The KV tensors of one layer, by name. */
export interface LayerCache {
  /** Inputs [1,KV,P,D]. */
  past: { key: string; value: string };
  /** Outputs [1,KV,P+T,D]. */
  present: { key: string; value: string };
}

/** The inputs and outputs of a decoder. */
export interface DecoderInterface {
  /** One per layer. */
  caches: LayerCache[];
  /** Small inputs that every block may read: of attention_mask and position_ids, those there are. */
  sideInputs: string[];
  /** How many positions to keep for the head, where the graph asks; 0 keeps all. */
  keepInput: string | null;
  /** Key and value heads; 0 where the graph does not say. */
  kvHeads: number;
  /** Width of a head; 0 where the graph does not say. */
  headDim: number;
  /** Element type of the caches. */
  cacheType: number;
  /** Length of a row of logits; 0 where the graph does not say. */
  vocab: number;
}

const SIDE_INPUTS = ["attention_mask", "position_ids"];
const KEEP_INPUTS = new Set(["num_logits_to_keep", "logits_to_keep"]);
/** past_key_values.0.key, present.0.value, past_key_0, present_key_values.0.value … */
const PAST = /^past(?!.*(?:encoder|decoder))\D*(\d+)?\D*?(key|value)(?:\D*?(\d+))?$/;

/**
 * Recognises the interface.
 * @throws {MdiError} model_unsupported naming what is missing or not known.
 */
export function decoderInterface(graph: Graph): DecoderInterface {
  const past = new Map<string, string>();
  const sideInputs: string[] = [];
  let keepInput: string | null = null;
  for (const name of graph.inputs.keys()) {
    const slot = cacheSlot(name, "past");
    if (slot) past.set(slot, name);
    else if (SIDE_INPUTS.includes(name)) sideInputs.push(name);
    else if (KEEP_INPUTS.has(name)) keepInput = name;
    else if (name !== "input_ids") throw unsupported(whyNotInput(name));
  }
  if (!graph.inputs.has("input_ids")) throw unsupported("it has no input input_ids");
  if (!graph.outputs.has("logits")) throw unsupported("it has no output logits");
  for (const name of ["input_ids", ...sideInputs]) {
    const type = elementType(graph, name);
    if (type !== DataType.INT64) {
      throw unsupported(`its input ${name} is ${dataTypeName(type)}, not INT64`);
    }
  }
  const present = new Map<string, string>();
  for (const name of graph.outputs.keys()) {
    const slot = cacheSlot(name, "present");
    if (slot) present.set(slot, name);
    else if (name !== "logits") throw unsupported(`its output ${name} is not known`);
  }
  if (past.size === 0) {
    throw unsupported("it has no KV inputs (past_key_values.*): export it with past");
  }
  const caches = pairCaches(past, present);
  return {
    caches,
    sideInputs,
    keepInput,
    ...cacheShape(graph, caches),
    vocab: lastDim(graph, "logits"),
  };
}

/** "3.key" for a KV tensor of layer 3; undefined for other names. */
function cacheSlot(name: string, prefix: "past" | "present"): string | undefined {
  if (!name.startsWith(prefix)) return undefined;
  const match = PAST.exec(`past${name.slice(prefix.length)}`);
  const layer = match?.[1] ?? match?.[3];
  return layer === undefined ? undefined : `${Number(layer)}.${match![2]}`;
}

function whyNotInput(name: string): string {
  if (/encoder|decoder/.test(name)) return `its input ${name} is that of an encoder-decoder`;
  if (name === "inputs_embeds") {
    return "its input inputs_embeds takes embeddings instead of token ids";
  }
  if (name === "use_cache_branch") return "its input use_cache_branch chooses between two graphs";
  return `its input ${name} is not one of input_ids, attention_mask, position_ids and past_key_values.*`;
}

function pairCaches(past: Map<string, string>, present: Map<string, string>): LayerCache[] {
  const take = (names: Map<string, string>, what: string, layer: number, kind: string) => {
    const name = names.get(`${layer}.${kind}`);
    if (name === undefined) throw unsupported(`it has no ${what} ${kind} for layer ${layer}`);
    return name;
  };
  if (past.size !== present.size) {
    throw unsupported(`it has ${past.size} past KV inputs and ${present.size} present KV outputs`);
  }
  return Array.from({ length: Math.ceil(past.size / 2) }, (_, layer) => ({
    past: { key: take(past, "past", layer, "key"), value: take(past, "past", layer, "value") },
    present: {
      key: take(present, "present", layer, "key"),
      value: take(present, "present", layer, "value"),
    },
  }));
}

/** All layers must have caches of one shape: a node counts its room in tokens. */
function cacheShape(
  graph: Graph,
  caches: readonly LayerCache[],
): Pick<DecoderInterface, "kvHeads" | "headDim" | "cacheType"> {
  const shapes = new Set<string>();
  let first = { kvHeads: 0, headDim: 0, cacheType: 0 };
  for (const name of caches.flatMap(({ past }) => [past.key, past.value])) {
    const shape = declaredShape(graph, name);
    if (shape && shape.length !== 4) {
      throw unsupported(`its input ${name} has the shape [${shape}]`);
    }
    const constant = (dim: number | string | undefined) => typeof dim === "number" ? dim : 0;
    const type = elementType(graph, name);
    if (type !== DataType.FLOAT && type !== DataType.FLOAT16) {
      throw unsupported(`its input ${name} is ${dataTypeName(type)}, not FLOAT or FLOAT16`);
    }
    if (shapes.size === 0) {
      first = { kvHeads: constant(shape?.[1]), headDim: constant(shape?.[3]), cacheType: type };
    }
    shapes.add(`${constant(shape?.[1])} heads of ${constant(shape?.[3])} as ${dataTypeName(type)}`);
  }
  if (shapes.size > 1) throw unsupported(`its layers' caches differ: ${[...shapes].join(", ")}`);
  return first;
}

function lastDim(graph: Graph, value: string): number {
  const dim = declaredShape(graph, value)?.at(-1);
  return typeof dim === "number" ? dim : 0;
}

function unsupported(why: string): MdiError {
  return new MdiError("model_unsupported", `Cannot cut the model: ${why}`);
}
