/** For tests: a source's blocks written to a temporary directory and loaded as one whole stage. */
import { join } from "node:path";
import { toBinary } from "@bufbuild/protobuf";
import { ModelProtoSchema } from "../../../wasm/gen/onnx/onnx_pb.ts";
import { createSession } from "../../../wasm/ort/runtime.ts";
import { loadOrtStage } from "../../../wasm/ort/stage.ts";
import type { BlockFile, Stage } from "../../../wasm/stage.ts";
import { type BlockLayout, planBlock } from "../block_writer.ts";
import type { ModelSource } from "../types.ts";
import { GraphBuilder } from "./graph_builder.ts";

// ONNX Runtime keeps a message port for the life of the process once it has started: start it outside of
// any test, or the first test that computes is said to leak it.
await startOnnxRuntime();

async function startOnnxRuntime(): Promise<void> {
  const graph = new GraphBuilder("nothing");
  graph.node("Identity", "y", [graph.input("x", "FLOAT", [1])]);
  graph.output("y", "FLOAT", [1]);
  const session = await createSession(
    "nothing",
    toBinary(ModelProtoSchema, graph.build().model),
    [],
  );
  await session.release();
}

/** What of a source a stage is made from. */
export type Blocks = Pick<ModelSource, "name" | "config" | "blocks">;

/** Writes all blocks of a source into a directory. */
export async function writeBlocks(source: Blocks, directory: string): Promise<BlockFile[]> {
  const layouts = new Map<string, BlockLayout>();
  const files: BlockFile[] = [];
  for await (const recipe of source.blocks()) {
    const plan = planBlock(recipe, layouts);
    layouts.set(recipe.name, plan.layout);
    const path = join(directory, `${recipe.name}.block`);
    using file = await Deno.open(path, { write: true, createNew: true });
    let bytes = 0;
    for await (const chunk of plan.chunks()) {
      for (let at = 0; at < chunk.length;) at += await file.write(chunk.subarray(at));
      bytes += chunk.length;
    }
    if (bytes !== plan.bytes) {
      throw new Error(`${recipe.name}: ${bytes} bytes, planned ${plan.bytes}`);
    }
    files.push({ name: recipe.name, path, hash: null });
  }
  return files;
}

/** A model as one stage. */
export class LoadedSource implements AsyncDisposable {
  readonly stage: Stage;

  private constructor(stage: Stage) {
    this.stage = stage;
  }

  /** Writes, loads, and removes the files again. */
  static async load(source: Blocks): Promise<LoadedSource> {
    const directory = await Deno.makeTempDir();
    try {
      const { layers, hidden, vocab } = source.config;
      const stage = await loadOrtStage({
        model: source.name,
        range: { embed: true, layers: [0, layers - 1], head: true },
        blocks: await writeBlocks(source, directory),
        dModel: hidden,
        vocab,
        memoryBytes: null,
        threads: 1,
        kv: "f32",
        packed: null,
      });
      return new LoadedSource(stage);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  }

  /** Logits [ids, vocab] of a prompt, computed in one chunk with a fresh cache. */
  async logits(ids: number[]): Promise<Float32Array> {
    this.stage.open(0, ids.length);
    const rows = await this.stage.forward({
      segments: [{ sample: 0, position: 0, rows: ids.length }],
      ids: Int32Array.from(ids),
    });
    const logits = await this.stage.logits(rows);
    this.stage.release(0);
    return logits;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stage[Symbol.asyncDispose]();
  }
}
