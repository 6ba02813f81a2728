import { join } from "node:path";
import { assert, assertEquals } from "@std/assert";
import { fromBinary } from "@bufbuild/protobuf";
import { ModelProtoSchema } from "../../../wasm/gen/onnx/onnx_pb.ts";
import { tensorLocation } from "../../../wasm/block.ts";
import { FIXTURES } from "./_fixtures.ts";
import { readRange } from "./file_range.ts";
import { inverseFrequencies, rotaryTable } from "./rope.ts";
import type { RopeScaling, TensorData } from "../types.ts";

/** A table that onnxruntime-genai's builder wrote with torch. */
async function builderTable(fixture: string, name: string): Promise<Float32Array> {
  const directory = join(FIXTURES, fixture, "genai-fp32");
  const model = fromBinary(ModelProtoSchema, await Deno.readFile(join(directory, "model.onnx")));
  const tensor = model.graph!.initializer.find((tensor) => tensor.name === name);
  const place = tensorLocation(tensor!)!;
  const bytes = await readRange(join(directory, place.block), place.offset, place.length);
  return new Float32Array(bytes.buffer);
}

async function tableOf(data: TensorData): Promise<Float32Array> {
  const bytes = new Uint8Array(data.bytes);
  let at = 0;
  for await (const chunk of data.chunks()) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  assertEquals(at, data.bytes);
  return new Float32Array(bytes.buffer);
}

const LLAMA3: RopeScaling = {
  type: "llama3",
  factor: 4,
  lowFreqFactor: 1,
  highFreqFactor: 4,
  originalContext: 64,
};
const CASES = [
  { fixture: "tiny-llama-untied", config: { headDim: 16, context: 512, ropeTheta: 10000 } },
  {
    fixture: "tiny-llama3-rope-tied",
    config: { headDim: 16, context: 512, ropeTheta: 500000, ropeScaling: LLAMA3 },
  },
];

for (const { fixture, config } of CASES) {
  Deno.test(`rotaryTable() equals torch's tables for ${fixture}`, async () => {
    for (const [name, of] of [["cos_cache", Math.cos], ["sin_cache", Math.sin]] as const) {
      const expected = await builderTable(fixture, name);
      const got = await tableOf(rotaryTable(config, of));
      assertEquals(got.length, expected.length);
      // The angle is the same f32; torch's sine and cosine may differ from ours in the last bit.
      const worst = got.reduce((max, value, i) => Math.max(max, Math.abs(value - expected[i]!)), 0);
      assert(worst <= 2 ** -23, `off by ${worst}`);
    }
  });
}

Deno.test("inverseFrequencies() divides by a linear factor, or by a file's own factors", () => {
  const plain = inverseFrequencies({ headDim: 8, context: 1 });
  assertEquals(plain, Float32Array.of(1, 0.1, 0.01, 0.001));
  const linear = inverseFrequencies({
    headDim: 8,
    context: 1,
    ropeScaling: { type: "linear", factor: 4 },
  });
  assertEquals(linear, plain.map((frequency) => frequency / 4));
  const factors = inverseFrequencies({
    headDim: 8,
    context: 1,
    ropeScaling: { type: "factors", factors: [1, 2, 4, 8] },
  });
  assertEquals(factors, plain.map((frequency, i) => frequency / 2 ** i));
});
