/** A whole decoder, small enough to be written by a test, as block files: norms, rotation, attention, MLP. */
import { Builder, EMBEDDING, generator, ggufBytes, TINY, type TinyBlock } from "./_tiny_blocks.ts";
import { type GgufType, rowBytes } from "./gguf/types.ts";

/** Width of the MLP. */
const INNER = 96;
/** Positions of the rotation's tables. */
const POSITIONS = 512;
const FLOAT = 1;
const UINT8 = 2;
const INT32 = 6;
const INT64 = 7;

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

function embedBlock(): TinyBlock {
  const { vocab, dModel } = TINY;
  const graph = new Builder();
  graph.input("input_ids", INT64, [1, "T"]);
  graph.weight("table", UINT8, [vocab, rowBytes("Q8_0", dModel)], EMBEDDING);
  graph.node("GatherGguf", ["table", "input_ids"], ["hidden_out"], {
    domain: "mdi",
    ints: { K: dModel, N: vocab },
    type: "Q8_0",
  });
  graph.output("hidden_out", FLOAT, [1, "T", dModel]);
  return graph.build("embed");
}

function layerBlock(index: number, type: GgufType): TinyBlock {
  const { dModel, heads, kvHeads, headDim } = TINY;
  const graph = new Builder();
  graph.input("hidden", FLOAT, [1, "T", dModel]);
  graph.input("attention_mask", INT64, [1, "total"]);
  for (const name of ["past.key", "past.value"]) {
    graph.input(name, FLOAT, [1, kvHeads, "P", headDim]);
  }
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
  graph.inline("axis", INT64, [1], BigInt64Array.of(1n));
  graph.inline("one", INT64, [], BigInt64Array.of(1n));
  graph.node("ReduceSum", ["attention_mask", "axis"], ["sum"], { ints: { keepdims: 0 } });
  graph.node("Sub", ["sum", "one"], ["less"]);
  graph.node("Cast", ["less"], ["seqlens"], { ints: { to: INT32 } });
  graph.node("Shape", ["attention_mask"], ["shape"]);
  graph.node("Gather", ["shape", "one"], ["total"]);
  graph.node("Cast", ["total"], ["total32"], { ints: { to: INT32 } });
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
  graph.output("hidden_out", FLOAT, [1, "T", dModel]);
  for (const name of ["present.key", "present.value"]) {
    graph.output(name, FLOAT, [1, kvHeads, "total", headDim]);
  }
  return graph.build(`layer.${index}`);
}

function headBlock(): TinyBlock {
  const { vocab, dModel } = TINY;
  const graph = new Builder();
  graph.input("hidden", FLOAT, [1, "T", dModel]);
  norm(graph, "norm", "hidden", 1000);
  graph.borrowed("weight", UINT8, [vocab, rowBytes("Q8_0", dModel)], {
    location: "embed",
    offset: 0,
    length: EMBEDDING.length,
  });
  graph.node("MatMulGguf", ["norm", "weight"], ["logits"], {
    domain: "mdi",
    ints: { K: dModel, N: vocab },
    type: "Q8_0",
  });
  graph.output("logits", FLOAT, [1, "T", vocab]);
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
