import { assert, assertEquals } from "@std/assert";
import {
  generator,
  ggufBytes,
  halfHeadBlock,
  TINY,
  tinyBlocks,
  TinyFiles,
} from "../_tiny_blocks.ts";
import { OpenBlocks } from "../block_file.ts";
import { dequantiseRow } from "../gguf/dequantise.ts";
import { type GgufType, rowBytes } from "../gguf/types.ts";
import type { Stage, StageSpec } from "../stage.ts";
import { loadWorkerStage } from "../worker_stage.ts";
import { planSessions } from "./session_plan.ts";

const { dModel, vocab } = TINY;
const ROWS = 5;

Deno.test("a session takes rows of two f16 tensors and gives f16 logits as f32", async () => {
  const random = generator(1);
  const weight = Float32Array.from({ length: dModel * vocab }, () => random() - 0.5);
  await using files = await TinyFiles.write([halfHeadBlock(weight)]);
  await using stage = await loadWorkerStage(
    "ort",
    files.spec({ embed: false, layers: null }),
  );
  const halves = Float16Array.from({ length: 2 * dModel }, () => random() - 0.5);
  const logits = await stage.logits(new Float32Array(halves.buffer));
  for (let n = 0; n < vocab; n++) {
    let sum = 0;
    for (let i = 0; i < dModel; i++) {
      sum += (halves[i]! + halves[dModel + i]!) * weight[i * vocab + n]!;
    }
    assert(Math.abs(logits[n]! - sum) < 2e-3, `logit ${n} is ${logits[n]}, expected ${sum}`);
    assertEquals(logits[n], Math.f16round(logits[n]!));
  }
});

for (const type of ["Q4_0", "Q4_1", "Q8_0"] as const) {
  Deno.test(`weights of ${type} give the same rows expanded and packed`, async () => {
    await using files = await TinyFiles.write(tinyBlocks(type));
    const range = { embed: false, layers: [0, 2], head: false } as const;
    await using expanded = await loadWorkerStage("ort", files.spec(range));
    await using packed = await loadWorkerStage("ort", await withoutRoom(files.spec(range)));
    assert(packed.info.weightBytes < expanded.info.weightBytes / 2);
    assert(packed.info.notes[0]!.startsWith("weights kept quantised"));
    const [a, b] = [await rowsOf(expanded), await rowsOf(packed)];
    a.forEach((value, i) => assert(Math.abs(value - b[i]!) < 1e-4, `${value}, ${b[i]}`));
  });
}

Deno.test("a session's product is the one of the dequantised weight", async () => {
  await using files = await TinyFiles.write();
  await using stage = await loadWorkerStage("ort", files.spec({ embed: false, layers: null }));
  const random = generator(2);
  const hidden = Float32Array.from({ length: dModel }, () => random() - 0.5);
  const logits = await stage.logits(hidden);
  const weight = dequantised("Q8_0", ggufBytes("Q8_0", vocab, dModel, 1), vocab, dModel);
  for (let n = 0; n < vocab; n++) {
    let sum = 0;
    for (let i = 0; i < dModel; i++) sum += hidden[i]! * weight[n * dModel + i]!;
    assert(Math.abs(logits[n]! - sum) < 1e-5, `logit ${n} is ${logits[n]}, expected ${sum}`);
  }
});

/** The same stage with a byte less memory than weights of f32 need. */
async function withoutRoom(spec: StageSpec): Promise<StageSpec> {
  using blocks = await OpenBlocks.open(spec.blocks);
  return { ...spec, memoryBytes: planSessions(spec, blocks, null).peakBytes - 1 };
}

async function rowsOf(stage: Stage): Promise<Float32Array> {
  const random = generator(3);
  const hidden = Float32Array.from({ length: ROWS * dModel }, () => random() - 0.5);
  stage.open(0, ROWS);
  return await stage.forward({ segments: [{ sample: 0, position: 0, rows: ROWS }], hidden });
}

function dequantised(type: GgufType, bytes: Uint8Array, n: number, k: number): Float32Array {
  const out = new Float32Array(n * k);
  for (let row = 0; row < n; row++) {
    dequantiseRow(type, bytes, row * rowBytes(type, k), k, out, row * k);
  }
  return out;
}
