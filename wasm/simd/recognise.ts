/**
 * Finds in a block's ONNX graph the decoder that the kernels run: by its structure, from the outputs back
 * to the inputs, never by the names that an exporter gave. What is anything else stays unrecognised, with
 * the reason. Pure: graphs in, dimensions and places of weights out.
 */
import type { ModelProto } from "../gen/onnx/onnx_pb.ts";
import type { StageRange } from "../stage.ts";
import {
  type DecoderBlock,
  type DecoderLayer,
  matricesOf,
  type Rope,
  type Vector,
} from "./decoder.ts";
import { GraphView, Mismatch } from "./graph_view.ts";
import { packedKind } from "./pack_kind.ts";
import { recogniseEmbed } from "./recognise_embed.ts";
import { recogniseHead } from "./recognise_head.ts";
import { recogniseLayer } from "./recognise_layer.ts";

/** Why the kernels cannot run a block. */
export interface Unrecognised {
  kind: "unrecognised";
  /** A sentence without a full stop: "layer.0 has a softcap of 30 in its attention". */
  reason: string;
}

/** The blocks of a stage that the kernels can run. */
export interface RecognisedStage {
  kind: "stage";
  /** By name, in the order given: embed, layers, head; "shared" is not among them. */
  blocks: Map<string, DecoderBlock>;
}

/**
 * Recognises a block by its graph.
 * @param name of the block: "embed", "layer.0" …, "head".
 * @throws {MdiError} model_corrupt where the graph or a weight's size is broken.
 */
export function recogniseBlock(name: string, model: ModelProto): DecoderBlock | Unrecognised {
  const view = new GraphView(name, model);
  try {
    const halves = [...view.inputs, ...view.outputs].find((each) => /^hidden.*\.[01]$/.test(each));
    if (halves !== undefined) {
      throw new Mismatch("passes its hidden rows on as two f16 tensors");
    }
    return checkWeights(
      view.inputs.has("input_ids")
        ? recogniseEmbed(view)
        : view.outputs.has("logits")
        ? recogniseHead(view)
        : recogniseLayer(view),
    );
  } catch (error) {
    if (!(error instanceof Mismatch)) throw error;
    return { kind: "unrecognised", reason: `${name} ${error.message}` };
  }
}

/** Refuses weights in forms that are not packed. */
function checkWeights(block: DecoderBlock): DecoderBlock {
  for (const { form, k } of matricesOf(block)) {
    const kind = packedKind(form, k);
    if (typeof kind !== "number") throw new Mismatch(`has a weight with ${kind.unsupported}`);
  }
  return block;
}

/**
 * Recognises all blocks of a stage and checks that they fit together: rows of the same width, and in all
 * layers the same heads and the same rotation.
 * @param range of the stage; its blocks are looked up by name.
 * @param model gives a block's graph by its name.
 * @throws {MdiError} model_corrupt where a graph or a weight's size is broken.
 */
export function recogniseStage(
  range: StageRange,
  model: (name: string) => ModelProto,
): RecognisedStage | Unrecognised {
  const [first, last] = range.layers ?? [0, -1];
  const names = [
    ...(range.embed ? ["embed"] : []),
    ...Array.from({ length: last - first + 1 }, (_, i) => `layer.${first + i}`),
    ...(range.head ? ["head"] : []),
  ];
  const blocks = new Map<string, DecoderBlock>();
  for (const name of names) {
    const block = recogniseBlock(name, model(name));
    if (block.kind === "unrecognised") return block;
    const previous = [...blocks].at(-1);
    if (previous) {
      const reason = misfit(previous[1], block);
      if (reason) return { kind: "unrecognised", reason: `${name} ${reason} ${previous[0]}` };
    }
    blocks.set(name, block);
  }
  return { kind: "stage", blocks };
}

/** What a layer must have in common with the one before it. */
const SAME = ["dModel", "heads", "kvHeads", "headDim"] as const satisfies (keyof DecoderLayer)[];

/** Why a block cannot follow another; undefined where it can. */
function misfit(previous: DecoderBlock, block: DecoderBlock): string | undefined {
  if (width(previous) !== width(block)) {
    return `takes rows of ${width(block)} values where ${width(previous)} come from`;
  }
  if (previous.kind !== "layer" || block.kind !== "layer") return undefined;
  const other = SAME.find((key) => previous[key] !== block[key]);
  if (other) return `has another ${other} (${block[other]}, not ${previous[other]}) than`;
  return sameRope(previous.rope, block.rope) ? undefined : "rotates by other angles than";
}

function sameRope(a: Rope, b: Rope): boolean {
  if (a.type === "table" && b.type === "table") {
    return a.positions === b.positions && a.half === b.half && sameVector(a.cos, b.cos) &&
      sameVector(a.sin, b.sin);
  }
  return a.type === "frequencies" && b.type === "frequencies" && a.scale === b.scale &&
    sameVector(a.frequencies, b.frequencies);
}

/** Whether two vectors lie at the same place or have the same bytes in their graphs. */
function sameVector(a: Vector, b: Vector): boolean {
  if (a.length !== b.length || a.dtype !== b.dtype) return false;
  const [x, y] = [a.source, b.source];
  if (x instanceof Uint8Array || y instanceof Uint8Array) {
    return x instanceof Uint8Array && y instanceof Uint8Array && x.length === y.length &&
      x.every((byte, i) => byte === y[i]);
  }
  return x.block === y.block && x.offset === y.offset && x.length === y.length;
}

/** Values in a hidden row. */
function width(block: DecoderBlock): number {
  switch (block.kind) {
    case "embed":
      return block.table.k;
    case "layer":
      return block.dModel;
    case "head":
      return block.weight.weight.k;
  }
}
