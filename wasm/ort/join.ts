/**
 * Joins adjacent blocks into one graph, because a session per block costs about 10 % at decode and one
 * session per stage does not. Pure: graphs in, graph out; the weights stay where they are.
 */
import { clone, create } from "@bufbuild/protobuf";
import {
  type GraphProto,
  GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  NodeProtoSchema,
  type OperatorSetIdProto,
  OperatorSetIdProtoSchema,
  type TensorProto,
  TensorProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from "../gen/onnx/onnx_pb.ts";
import { tensorLocation } from "../block.ts";
import { MdiError } from "../error.ts";

/** A block's graph and its name in the manifest. */
export interface NamedGraph {
  /** "embed", "layer.3", "head". */
  name: string;
  /** Its graph, with the canonical names of wasm/block.ts. */
  model: ModelProto;
}

/** Inputs that all blocks of a stage share under one name. */
const SHARED_INPUTS = new Set(["input_ids", "attention_mask", "position_ids"]);
/** Inputs that come from the block before. */
const HIDDEN_INPUT = /^hidden(\.[01])?$/;
/** Inputs whose shape is the same in every block of a stage: [1,T,d] and [1,KV,P,D]. */
const SAME_SHAPE_INPUT = /^(hidden(\.[01])?|past\.(key|value))$/;

/**
 * Joins blocks that follow one another. The result has the first block's `hidden` (or `input_ids`), the
 * last one's `hidden_out` (or `logits`), and `past.<i>.key` … `present.<i>.value` for layer block i of
 * the stage, counted from 0. An initializer's external location becomes the name "block@offset", so that
 * two references to the same bytes are one initializer.
 * @throws {MdiError} model_corrupt where two neighbours do not fit.
 */
export function joinBlocks(blocks: readonly NamedGraph[]): ModelProto {
  const out = create(GraphProtoSchema, { name: "stage" });
  const inputs = new Map<string, ValueInfoProto>();
  const initializers = new Map<string, TensorProto>();
  const opsets = new Map<string, bigint>();
  let irVersion = 0n;
  let previous = new Map<string, string>();
  let layer = 0;
  /** Where a shape is read from, so that equal shape computations of all layers become one. */
  const shapeSource = new Map<string, string>();

  for (const { name: block, model } of blocks) {
    const graph = model.graph!;
    if (model.irVersion > irVersion) irVersion = model.irVersion;
    for (const opset of model.opsetImport) mergeOpset(block, opsets, opset);
    const rename = new Map<string, string>();
    const isLayer = graph.input.some((input) => input.name === "past.key");

    for (const input of graph.input) {
      let outer: string | undefined;
      if (HIDDEN_INPUT.test(input.name) && previous.size > 0) {
        outer = previous.get(input.name.replace("hidden", "hidden_out"));
        if (outer === undefined) throw misfit(block, `no block before it gives ${input.name}`);
      } else {
        outer = input.name.startsWith("past.")
          ? input.name.replace("past.", `past.${layer}.`)
          : input.name;
        if (!SHARED_INPUTS.has(input.name) && inputs.has(outer)) {
          throw misfit(block, `two inputs ${outer}`);
        }
        if (!inputs.has(outer)) inputs.set(outer, renamed(input, outer));
      }
      rename.set(input.name, outer);
    }
    for (const tensor of graph.initializer) {
      const place = tensorLocation(tensor);
      const outer = place
        ? `${place.block === "self" ? block : place.block}@${place.offset}`
        : `${block}/${tensor.name}`;
      rename.set(tensor.name, outer);
      if (initializers.has(outer)) continue;
      const copy = clone(TensorProtoSchema, tensor);
      copy.name = outer;
      initializers.set(outer, copy);
    }
    const outputs = new Map<string, string>();
    for (const output of graph.output) {
      const outer = output.name.startsWith("present.")
        ? output.name.replace("present.", `present.${layer}.`)
        : HIDDEN_INPUT.test(output.name.replace("hidden_out", "hidden"))
        ? `${block}/${output.name}`
        : output.name;
      rename.set(output.name, outer);
      outputs.set(output.name, outer);
      if (!output.name.startsWith("hidden_out")) out.output.push(renamed(output, outer));
    }
    const inner = (value: string) => value === "" ? "" : rename.get(value) ?? `${block}/${value}`;
    for (const node of graph.node) {
      const copy = clone(NodeProtoSchema, node);
      copy.name = `${block}/${node.name}`;
      copy.input = node.input.map((value) => {
        if (node.opType !== "Shape" || !SAME_SHAPE_INPUT.test(value)) return inner(value);
        const first = shapeSource.get(value) ?? inner(value);
        shapeSource.set(value, first);
        return first;
      });
      copy.output = node.output.map(inner);
      out.node.push(copy);
    }
    previous = outputs;
    if (isLayer) layer++;
  }
  finishHidden(out, blocks.at(-1), previous);
  out.input = [...inputs.values()];
  out.initializer = [...initializers.values()];
  return create(ModelProtoSchema, {
    irVersion,
    opsetImport: [...opsets].map(([domain, version]) =>
      create(OperatorSetIdProtoSchema, { domain, version })
    ),
    producerName: "mdi",
    graph: out,
  });
}

/** The last block's hidden outputs become the stage's, under their canonical names. */
function finishHidden(
  out: GraphProto,
  last: NamedGraph | undefined,
  edge: Map<string, string>,
): void {
  for (const output of last?.model.graph?.output ?? []) {
    if (!output.name.startsWith("hidden_out")) continue;
    out.node.push(create(NodeProtoSchema, {
      opType: "Identity",
      name: `stage/${output.name}`,
      input: [edge.get(output.name)!],
      output: [output.name],
    }));
    out.output.push(renamed(output, output.name));
  }
}

function mergeOpset(block: string, opsets: Map<string, bigint>, opset: OperatorSetIdProto): void {
  const domain = opset.domain === "ai.onnx" ? "" : opset.domain;
  const known = opsets.get(domain);
  if (known !== undefined && known !== opset.version) {
    throw misfit(
      block,
      `it needs version ${opset.version} of the operators "${domain}", others ${known}`,
    );
  }
  opsets.set(domain, opset.version);
}

function renamed(value: ValueInfoProto, name: string): ValueInfoProto {
  const copy = clone(ValueInfoProtoSchema, value);
  copy.name = name;
  return copy;
}

function misfit(block: string, why: string): MdiError {
  return new MdiError("model_corrupt", `Cannot join block ${block}: ${why}`, {
    details: { block },
  });
}
