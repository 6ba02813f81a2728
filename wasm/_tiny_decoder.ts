/** A whole decoder, small enough to be written by a test, as block files: norms, rotation, attention, MLP. */
import {
  addLayerInputs,
  addLayerOutputs,
  addSequenceLengths,
  addTiedLogits,
  Builder,
  embedBlock,
  generator,
  ggufBytes,
  TINY,
  type TinyBlock,
} from "./_tiny_blocks.ts";
import { type GgufType, rowBytes } from "./gguf/types.ts";

/** Width of the MLP. */
const INNER = 96;
/** Positions of the rotation's tables. */
const POSITIONS = 512;
const FLOAT = 1;
const UINT8 = 2;

/** All its blocks; the layers' weights have the given type. */
export function tinyDecoder(type: GgufType = "Q4_1"): TinyBlock[] {
  const layers = Array.from({ length: TINY.layers }, (_, i) => layerBlock(i, type));
  return [sharedBlock(), embedBlock(), ...layers, headBlock()];
}

function sharedBlock(): TinyBlock {
  const graph = new Builder();
  const half = TINY.headDim / 2;
  for (const [name, of] of [["cos_cache", Math.cos], ["sin_cache", Math.sin]] as const) {
    const table = Float32Array.from(
      { length: POSITIONS * half },
      (_, i) => of(Math.floor(i / half) * 100 ** (-(i % half) / half)),
    );
    graph.weight(name, FLOAT, [POSITIONS, half], new Uint8Array(table.buffer));
  }
  return graph.build("shared");
}

function layerBlock(index: number, type: GgufType): TinyBlock {
  const { dModel, heads, kvHeads, headDim } = TINY;
  const graph = new Builder();
  addLayerInputs(graph);
  let seed = 100 * index;
  const linear = (name: string, x: string, n: number, k = dModel) => {
    graph.weight(`${name}.weight`, UINT8, [n, rowBytes(type, k)], ggufBytes(type, n, k, ++seed));
    graph.node("MatMulGguf", [x, `${name}.weight`], [name], {
      domain: "mdi",
      ints: { K: k, N: n },
      type,
    });
  };
  norm(graph, "input_norm", "hidden", ++seed);
  linear("query", "input_norm", heads * headDim);
  linear("key", "input_norm", kvHeads * headDim);
  linear("value", "input_norm", kvHeads * headDim);
  addSequenceLengths(graph);
  const bytes = POSITIONS * headDim / 2 * 4;
  ["cos_cache", "sin_cache"].forEach((name, i) =>
    graph.borrowed(name, FLOAT, [POSITIONS, headDim / 2], {
      location: "shared",
      offset: i * bytes,
      length: bytes,
    })
  );
  graph.node(
    "GroupQueryAttention",
    [
      ...["query", "key", "value", "past.key", "past.value", "seqlens", "total32"],
      ...["cos_cache", "sin_cache"],
    ],
    ["attended", "present.key", "present.value"],
    {
      domain: "com.microsoft",
      ints: { num_heads: heads, kv_num_heads: kvHeads, do_rotary: 1 },
    },
  );
  linear("projected", "attended", dModel, heads * headDim);
  graph.node("Add", ["hidden", "projected"], ["residual"]);
  norm(graph, "post_norm", "residual", ++seed);
  linear("gate", "post_norm", INNER);
  linear("up", "post_norm", INNER);
  graph.node("Sigmoid", ["gate"], ["sigmoid"]);
  graph.node("Mul", ["gate", "sigmoid"], ["silu"]);
  graph.node("Mul", ["silu", "up"], ["gated"]);
  linear("down", "gated", dModel, INNER);
  graph.node("Add", ["residual", "down"], ["hidden_out"]);
  addLayerOutputs(graph);
  return graph.build(`layer.${index}`);
}

function headBlock(): TinyBlock {
  const { dModel } = TINY;
  const graph = new Builder();
  graph.input("hidden", FLOAT, [1, "T", dModel]);
  norm(graph, "norm", "hidden", 1000);
  addTiedLogits(graph, "norm");
  return graph.build("head");
}

function norm(graph: Builder, name: string, input: string, seed: number): void {
  const random = generator(seed);
  const weight = Float32Array.from({ length: TINY.dModel }, () => 0.5 + random());
  graph.inline(`${name}.weight`, FLOAT, [TINY.dModel], weight);
  graph.node("SimplifiedLayerNormalization", [input, `${name}.weight`], [name], {
    ints: { axis: -1, stash_type: 1 },
    floats: { epsilon: 1e-5 },
  });
}
