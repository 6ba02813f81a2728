/** Model files that are missing, cut short, damaged or of a kind that mdi does not run. */
import { assertEquals } from "@std/assert";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  assertNothingHalfWritten,
  assertRefused,
  inPairs,
  type Refusal,
  temporaryDirectory,
} from "./support/refusal.ts";

const FIXTURES = fileURLToPath(new URL("./fixtures", import.meta.url));
const RUN = ["--starter", "--prompt", "Hi", "--tokens", "1"];

const missing = (message: RegExp): Refusal => ({ status: 3, code: "model_missing", message });
const corrupt = (message: RegExp): Refusal => ({ status: 3, code: "model_corrupt", message });
const unsupported = (message: RegExp): Refusal => ({
  status: 3,
  code: "model_unsupported",
  message,
});

Deno.test("mdi refuses model files that are broken, and says which and why", async () => {
  await using dir = await temporaryDirectory();
  const cases: Record<string, Refusal> = {
    "broken/external_missing.onnx": missing(/missing\.onnx_data.*put it into/),
    "broken/external_outside.onnx": corrupt(/outside the model's directory/),
    "broken/external_short.onnx": corrupt(/256 bytes, and short\.onnx_data has 128; fetch/),
    "broken/truncated.onnx": corrupt(/truncated\.onnx \(361 bytes\).*fetch it again/),
    "broken/unknown_domain.onnx": unsupported(/export it with past/),
    "broken/huge_count.gguf": corrupt(/4611686018427387904, more than 65536/),
    "broken/truncated.gguf": corrupt(/ends at byte 672 where the file has 416/),
    "broken/truncated_metadata.gguf": corrupt(/needs 8 bytes where the file has 4 left/),
    "broken/unknown_type.gguf": unsupported(/type is number 999; mdi computes with F32/),
    "nowhere.gguf": missing(/nowhere\.gguf": there is no such file/),
    "text": missing(/no model file.*give a GGUF file/),
  };
  await inPairs(Object.entries(cases), async ([file, refusal]) => {
    const home = join(dir.path, file.replaceAll("/", "-"));
    await assertRefused([...RUN, "--model", join(FIXTURES, file)], { home }, refusal);
    assertEquals(await assertNothingHalfWritten(home), []);
  });
});

/** A directory as fixtures have it, with one thing wrong. */
interface Damage {
  /** The files of which format stay. */
  format: "onnx" | "safetensors";
  damage: (dir: string) => Promise<void>;
  refusal: Refusal;
  /** What only ONNX Runtime knows is said after the model has been cut. */
  cut?: true;
}

const edit = (file: string, change: (text: string) => string) => async (dir: string) =>
  await Deno.writeTextFile(join(dir, file), change(await Deno.readTextFile(join(dir, file))));
const cut = (file: string, bytes: number) => (dir: string) => Deno.truncate(join(dir, file), bytes);
const remove = (file: string) => (dir: string) => Deno.remove(join(dir, file));

const DAMAGES: Record<string, Damage> = {
  "no config.json": {
    format: "onnx",
    damage: remove("config.json"),
    refusal: missing(/no config\.json/),
  },
  "config.json cut short": {
    format: "safetensors",
    damage: cut("config.json", 40),
    refusal: corrupt(/config\.json: it is not JSON/),
  },
  "config.json of another kind": {
    format: "onnx",
    damage: edit("config.json", () => "null"),
    refusal: corrupt(/config\.json: it is not a JSON object/),
  },
  "an unknown architecture": {
    format: "safetensors",
    damage: edit("config.json", (text) => text.replaceAll("Llama", "Mamba")),
    refusal: unsupported(/MambaForCausalLM; mdi runs LlamaForCausalLM/),
  },
  "layers without number": {
    format: "safetensors",
    damage: edit(
      "config.json",
      (text) => text.replace(/"num_hidden_layers": \d+/, '"num_hidden_layers": 1e9'),
    ),
    refusal: corrupt(/num_hidden_layers/),
  },
  "no tokenizer.json": {
    format: "onnx",
    damage: remove("tokenizer.json"),
    refusal: missing(/no tokenizer\.json; say where one is with --tokenizer/),
  },
  "tokenizer.json cut short": {
    format: "safetensors",
    damage: cut("tokenizer.json", 500),
    refusal: corrupt(/tokenizer\.json: it is not JSON/),
  },
  "safetensors cut short": {
    format: "safetensors",
    damage: cut("model.safetensors", 300_000),
    refusal: corrupt(/where the file has 300000/),
  },
  "safetensors without a header": {
    format: "safetensors",
    damage: cut("model.safetensors", 4),
    refusal: corrupt(/model\.safetensors: it has 4 bytes/),
  },
  "an unknown tensor type": {
    format: "safetensors",
    damage: (dir) => replaceBytes(join(dir, "model.safetensors"), '"F32"', '"X99"'),
    refusal: unsupported(/its dtype is X99; mdi computes with/),
  },
  "an empty ONNX file": {
    format: "onnx",
    damage: cut("onnx/model.onnx", 0),
    refusal: corrupt(/model\.onnx \(0 bytes\)/),
  },
  "an unknown operator": {
    format: "onnx",
    damage: (dir) => replaceBytes(join(dir, "onnx/model.onnx"), "Softmax", "Hardmix"),
    refusal: unsupported(/Hardmix/),
    cut: true,
  },
};

Deno.test("mdi refuses model directories with one thing wrong, and stores nothing", async () => {
  await using dir = await temporaryDirectory();
  await inPairs(Object.entries(DAMAGES), async ([name, { format, damage, refusal, cut }]) => {
    const model = join(dir.path, name);
    await copyModel(model, format);
    await damage(model);
    const home = join(dir.path, `${name} home`);
    await assertRefused([...RUN, "--model", model], { home }, refusal);
    assertEquals(await assertNothingHalfWritten(home), cut ? [name] : [], name);
  });
});

async function copyModel(to: string, format: Damage["format"]): Promise<void> {
  const from = join(FIXTURES, "tiny-llama-tied");
  const weights = format === "onnx" ? "onnx/model.onnx" : "model.safetensors";
  await Deno.mkdir(join(to, "onnx"), { recursive: true });
  for (const file of ["config.json", "tokenizer.json", "tokenizer_config.json", weights]) {
    await Deno.copyFile(join(from, file), join(to, file));
  }
  if (format === "safetensors") await Deno.remove(join(to, "onnx"));
}

/** Replaces every occurrence of a text by another of the same length. */
async function replaceBytes(path: string, from: string, to: string): Promise<void> {
  const text = new TextDecoder("latin1").decode(await Deno.readFile(path));
  const bytes = await Deno.readFile(path);
  const replacement = new TextEncoder().encode(to);
  for (let at = text.indexOf(from); at >= 0; at = text.indexOf(from, at + 1)) {
    bytes.set(replacement, at);
  }
  await Deno.writeFile(path, bytes);
}
