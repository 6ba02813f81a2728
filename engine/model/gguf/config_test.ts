import { assert, assertEquals, assertRejects } from "@std/assert";
import { MdiError } from "../../../wasm/error.ts";
import type { TypedValue } from "./_gguf_writer.ts";
import { TinyGguf } from "./_tiny_gguf.ts";
import { openGguf } from "./source.ts";

Deno.test("openGguf() reads the tokens that begin and end a text", async () => {
  await using file = await TinyGguf.write(() => "Q4_0", {
    metadata: {
      "tokenizer.ggml.eot_token_id": [4, 510],
      "general.license": [8, "apache-2.0"],
      "$.rope.scaling.type": [8, "linear"],
      "$.rope.scaling.factor": [6, 4],
    },
  });
  await using source = await openGguf(file.path);
  assertEquals(source.license, "apache-2.0");
  assertEquals(source.config.eosTokens.slice(0, 2), [511, 510]);
  assertEquals(source.config.bosToken, 506);
  assertEquals(source.config.ropeScaling, { type: "linear", factor: 4 });
  assertEquals(source.files[0]!.bytes, (await Deno.stat(file.path)).size);
});

const META: [string, Record<string, TypedValue>, MdiError["code"], string][] = [
  [
    "another architecture",
    { "general.architecture": [8, "mamba"] },
    "model_unsupported",
    '"mamba"',
  ],
  ["a mixture of experts", { "$.expert_count": [4, 8] }, "model_unsupported", "8 experts"],
  ["one part of a split model", { "split.count": [2, 3] }, "model_unsupported", "one of 3 parts"],
  ["another rotary scaling", { "$.rope.scaling.type": [8, "yarn"] }, "model_unsupported", '"yarn"'],
  [
    "a partial rotation",
    { "$.rope.dimension_count": [4, 32] },
    "model_unsupported",
    "rotates 32 of the 64",
  ],
  [
    "heads of a width that cannot be",
    { "$.attention.head_count": [4, 32] },
    "model_unsupported",
    "8 wide, not a multiple of 16",
  ],
  [
    "values of another width",
    { "$.attention.value_length": [4, 32] },
    "model_unsupported",
    "64 wide and its values 32",
  ],
  [
    "a size of another type",
    { "$.block_count": [8, "many"] },
    "model_corrupt",
    'llama.block_count is "many"',
  ],
  ["no layers", { "$.block_count": [4, 0] }, "model_corrupt", 'llama.block_count is "0"'],
  [
    "a layer too many",
    { "$.block_count": [4, 2] },
    "model_corrupt",
    "tensor blk.1.attn_norm.weight",
  ],
  [
    "a width that is not the tensors'",
    { "$.embedding_length": [4, 512] },
    "model_corrupt",
    "[256, 512]",
  ],
  [
    "a token beyond the vocabulary",
    { "tokenizer.ggml.eos_token_id": [4, 512] },
    "model_corrupt",
    '"512"',
  ],
];

for (const [what, metadata, code, message] of META) {
  Deno.test(`openGguf() refuses ${what}`, async () => {
    await using file = await TinyGguf.write(() => "Q4_0", { metadata });
    const error = await assertRejects(() => openGguf(file.path), MdiError);
    assertEquals(error.code, code, error.message);
    assert(error.message.includes(message), error.message);
  });
}
