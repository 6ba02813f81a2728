import { join } from "node:path";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { MdiError } from "../../../wasm/error.ts";
import { LoadedSource } from "../emit/_loaded_source.ts";
import { FIXTURES } from "../emit/_fixtures.ts";
import { readSafetensorsHeader } from "./header.ts";
import { openSafetensors } from "./source.ts";

const CONFIGS = [
  "config.json",
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
];

/** A copy of tiny-llama-untied in a temporary directory, its tensors dealt out to three shards. */
class ShardedCopy implements AsyncDisposable {
  private constructor(readonly path: string) {}

  static async make(): Promise<ShardedCopy> {
    const from = join(FIXTURES, "tiny-llama-untied");
    const to = await Deno.makeTempDir();
    for (const name of CONFIGS) await Deno.copyFile(join(from, name), join(to, name));
    const bytes = await Deno.readFile(join(from, "model.safetensors"));
    const shards = [1, 2, 3].map((i) => ({
      name: `model-0000${i}-of-00003.safetensors`,
      header: {} as Record<string, unknown>,
      parts: [] as Uint8Array[],
      length: 0,
    }));
    const map: Record<string, string> = {};
    let next = 0;
    for (const [name, tensor] of await readSafetensorsHeader(join(from, "model.safetensors"))) {
      const shard = shards[next++ % 3]!;
      const { dtype, shape, offset, bytes: length } = tensor;
      shard.header[name] = { dtype, shape, data_offsets: [shard.length, shard.length + length] };
      shard.parts.push(bytes.subarray(offset, offset + length));
      shard.length += length;
      map[name] = shard.name;
    }
    for (const { name, header, parts } of shards) {
      const json = new TextEncoder().encode(
        JSON.stringify({ __metadata__: { format: "pt" }, ...header }),
      );
      const length = new Uint8Array(8);
      new DataView(length.buffer).setBigUint64(0, BigInt(json.length), true);
      await Deno.writeFile(
        join(to, name),
        new Blob([length, json, ...parts as BlobPart[]]).stream(),
      );
    }
    await Deno.writeTextFile(
      join(to, "model.safetensors.index.json"),
      JSON.stringify({ metadata: {}, weight_map: map }),
    );
    return new ShardedCopy(to);
  }

  /** Changes a JSON file. */
  async edit(name: string, change: (json: Record<string, unknown>) => void): Promise<void> {
    const path = join(this.path, name);
    const json = JSON.parse(await Deno.readTextFile(path));
    change(json);
    await Deno.writeTextFile(path, JSON.stringify(json));
  }

  /** The error that opening it gives. */
  async refusal(): Promise<MdiError> {
    return await assertRejects(() => openSafetensors(this.path), MdiError);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}

Deno.test("openSafetensors() reads shards as it reads one file, to the last bit of the logits", async () => {
  await using copy = await ShardedCopy.make();
  await using sharded = await openSafetensors(copy.path);
  await using whole = await openSafetensors(join(FIXTURES, "tiny-llama-untied"));
  assertEquals(sharded.files.length, 4);
  assertEquals(sharded.config, whole.config);
  const ids = Array.from({ length: 17 }, (_, i) => 29 * i % 512);
  const logits = [];
  for (const source of [sharded, whole]) {
    await using loaded = await LoadedSource.load(source);
    logits.push(await loaded.logits(ids));
  }
  assert(logits[0]!.every(Number.isFinite));
  assertEquals(new Uint32Array(logits[0]!.buffer), new Uint32Array(logits[1]!.buffer));
});

Deno.test("openSafetensors() takes the licence from README.md and end tokens from the generation config", async () => {
  await using copy = await ShardedCopy.make();
  await Deno.writeTextFile(join(copy.path, "README.md"), "---\nlicense: apache-2.0\n---\n# Tiny\n");
  await copy.edit("generation_config.json", (json) => {
    json["eos_token_id"] = [511, 510];
    json["temperature"] = 0.2;
  });
  await using source = await openSafetensors(copy.path);
  assertEquals(source.license, "apache-2.0");
  assertEquals(source.config.eosTokens, [511, 510]);
  assertEquals(source.config.bosToken, 506);
  assertEquals(source.text.sampling.temperature, 0.2);
});

const REFUSED: [string, Record<string, unknown>, MdiError["code"], string][] = [
  [
    "another architecture",
    { architectures: ["GPT2LMHeadModel"] },
    "model_unsupported",
    "GPT2LMHeadModel",
  ],
  [
    "another rotary scaling",
    { rope_scaling: { rope_type: "yarn", factor: 4 } },
    "model_unsupported",
    '"yarn"',
  ],
  [
    "quantised weights",
    { quantization_config: { quant_method: "gptq" } },
    "model_unsupported",
    '"gptq"',
  ],
  ["another activation", { hidden_act: "gelu" }, "model_unsupported", '"gelu"'],
  [
    "a shape that is not the file's",
    { hidden_size: 32, head_dim: 16 },
    "model_corrupt",
    "[512, 32]",
  ],
  ["a size that is none", { num_hidden_layers: -1 }, "model_corrupt", "num_hidden_layers is -1"],
  ["a layer too many", { num_hidden_layers: 5 }, "model_corrupt", "model.layers.4.input_layernorm"],
  ["a bias that is not there", { attention_bias: true }, "model_corrupt", "q_proj.bias is missing"],
];

for (const [what, change, code, message] of REFUSED) {
  Deno.test(`openSafetensors() refuses ${what}`, async () => {
    await using copy = await ShardedCopy.make();
    await copy.edit("config.json", (json) => void Object.assign(json, change));
    const error = await copy.refusal();
    assertEquals(error.code, code);
    assert(error.message.includes(message), error.message);
  });
}

Deno.test("openSafetensors() refuses shards outside of the directory", async () => {
  for (const shard of ["../model.safetensors", "/etc/passwd", "a/b.safetensors", "..", 7]) {
    await using copy = await ShardedCopy.make();
    await copy.edit("model.safetensors.index.json", (json) => {
      (json["weight_map"] as Record<string, unknown>)["model.norm.weight"] = shard;
    });
    const error = await copy.refusal();
    assertEquals(error.code, "model_corrupt");
    assert(error.message.includes(JSON.stringify(shard)), error.message);
  }
});

Deno.test("openSafetensors() says which file is missing", async () => {
  await using copy = await ShardedCopy.make();
  await Deno.remove(join(copy.path, "model-00002-of-00003.safetensors"));
  const error = await copy.refusal();
  assertEquals(error.code, "model_missing");
  assert(error.message.includes("model-00002-of-00003.safetensors"), error.message);
});
