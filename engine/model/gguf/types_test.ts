import { assert, assertEquals } from "@std/assert";
import { GGUF_TYPES, isGgufType } from "../../../wasm/gguf/types.ts";
import { LoadedSource } from "../emit/_loaded_source.ts";
import type { TensorToWrite } from "./_gguf_writer.ts";
import { asF32, TinyGguf, type TinyOptions, type TypeOf, vector } from "./_tiny_gguf.ts";
import { openGguf } from "./source.ts";

const IDS = [506, 3, 77, 77, 200, 511, 0];
const TYPES = Object.keys(GGUF_TYPES).filter(isGgufType);

/** Logits of a tiny model as it is, as raw bits. */
async function logitBits(typeOf: TypeOf, options: TinyOptions = {}): Promise<Uint32Array> {
  await using file = await TinyGguf.write(typeOf, options);
  await using source = await openGguf(file.path);
  await using loaded = await LoadedSource.load(source);
  const logits = await loaded.logits(IDS);
  assert(logits.every(Number.isFinite));
  return new Uint32Array(logits.buffer, logits.byteOffset, logits.length);
}

for (const type of TYPES) {
  Deno.test(`openGguf() runs ${type} as its dequantised weights, bit for bit`, async () => {
    assertEquals(await logitBits(() => type), await logitBits(() => type, { edit: asF32 }));
  });
}

Deno.test("openGguf() takes a type of its own for every tensor", async () => {
  const mixed: TypeOf = (name) => TYPES[name.length * 7 % TYPES.length]!;
  assertEquals(await logitBits(mixed), await logitBits(mixed, { edit: asF32 }));
});

/** q and k rows as llama.cpp's converter stores them, from rows in half-rotation order, and biases. */
function interleaved(tensor: TensorToWrite, headDim: number): TensorToWrite {
  const rows = tensor.dims.at(-1)!;
  const rowBytes = tensor.data.length / rows;
  const data = new Uint8Array(tensor.data.length);
  for (let row = 0; row < rows; row++) {
    const head = row - row % headDim;
    const half = Math.floor((row - head) / (headDim / 2));
    const to = head + 2 * ((row - head) % (headDim / 2)) + half;
    data.set(tensor.data.subarray(row * rowBytes, (row + 1) * rowBytes), to * rowBytes);
  }
  return { ...tensor, data };
}

Deno.test("openGguf() undoes llama's interleaving of q and k, biases too, and leaves qwen2's alone", async () => {
  const biases = [["q", 256], ["k", 128], ["v", 128]].map(([name, length]) =>
    vector(
      `blk.0.attn_${name}.bias`,
      Float32Array.from({ length: length as number }, (_, i) => Math.sin(i * i)),
    )
  );
  const plain = await logitBits(() => "Q8_0", {
    architecture: "qwen2",
    edit: (tensors) => [...tensors, ...biases],
  });
  const llama = await logitBits(() => "Q8_0", {
    edit: (tensors) =>
      [...tensors, ...biases].map((tensor) =>
        /attn_[qk]\./.test(tensor.name) ? interleaved(tensor, 64) : tensor
      ),
  });
  assertEquals(llama, plain);
});

Deno.test("openGguf() reads qwen3's norms of heads and a head of its own", async () => {
  const norm = (name: string) =>
    vector(name, Float32Array.from({ length: 64 }, (_, i) => 1 + Math.cos(i) / 2));
  const norms = [norm("blk.0.attn_q_norm.weight"), norm("blk.0.attn_k_norm.weight")];
  const plain = await logitBits(() => "Q4_0", { architecture: "qwen3" });
  const normed = await logitBits(() => "Q4_0", {
    architecture: "qwen3",
    edit: (tensors) => [...tensors, ...norms, { ...tensors[0]!, name: "output.weight" }],
  });
  assert(plain.some((bits, i) => bits !== normed[i]));
});
