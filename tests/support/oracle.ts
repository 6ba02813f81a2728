/** The oracles of tests/fixtures/tiny-*: what torch and native ONNX Runtime say of each model file. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readNpy } from "./npy.ts";

/** The fixtures' directory. */
export const FIXTURES: string = fileURLToPath(new URL("../fixtures", import.meta.url));

/** Whether everything is to be tested, and not the subset that fits a continuous run. */
export const FULL: boolean = Deno.env.get("MDI_TEST_FULL") === "1";

/** One prompt of an oracle. */
export interface OraclePrompt {
  ids: number[];
  /** 24 greedy ids, the end token ignored. */
  greedy: number[];
  /** f32 [ids, vocab]. */
  logits: Float32Array;
}

/** What a model file holds; "gguf" and "safetensors" compute in f32 whatever their weights are. */
export type FileDtype = "fp32" | "fp16" | "q8" | "q4" | "q4f16" | "gguf" | "safetensors";

/**
 * Largest difference of a logit from its oracle. Where weights are f32 or expanded to f32 only the order
 * of additions differs: measured, at most 4e-5. Of f16 it is also where a build of ONNX Runtime rounds.
 * Quantised weights are compared with the oracle of the dequantised ones where there is one.
 */
export const TOLERANCE: Readonly<Record<FileDtype, number>> = {
  fp32: 1e-4,
  q8: 1e-4,
  q4: 1e-4,
  gguf: 1e-4,
  safetensors: 1e-4,
  fp16: 2e-2,
  q4f16: 6e-2,
};

/** Whether the greedy tokens must be the oracle's: nothing is computed in f16 or int8. */
export function isExact(dtype: FileDtype): boolean {
  return TOLERANCE[dtype] === 1e-4 && dtype !== "q8";
}

/** How the `simd` stage computes with what a model file holds. */
export type SimdForm = "float" | "half" | "quantised" | "int8";

/**
 * Largest ‖difference‖ / ‖oracle‖ of a prompt's logits from `simd`. The fixtures' weights are random, so that
 * errors grow from layer to layer more than a trained model's do. Measured, at most:
 *
 * - float: 2e-6, where only the order of additions differs.
 * - half: 7e-3. Graphs of f16 are computed in f32; what differs is where the oracle's ONNX Runtime rounds to
 *   f16, which takes it farther from torch's f32 than `simd` is.
 * - quantised: 5.4e-2, by activations of int8 in blocks of 32.
 * - int8: 1.1e-1. The oracle's ONNX Runtime has activations of int8, too, with one scale for all of a tensor, and
 *   is itself 5e-2 to 1.4e-1 from torch.
 */
export const SIMD_TOLERANCE: Readonly<Record<SimdForm, number>> = {
  float: 1e-5,
  half: 1e-2,
  quantised: 7e-2,
  int8: 1.3e-1,
};

/** How `simd` computes with a model file, by its path below the fixture. */
export function simdFormOf(file: string): SimdForm {
  switch (dtypeOf(file)) {
    case "gguf":
      return /-(f32|f16|bf16)\.gguf$/.test(file) ? "float" : "quantised";
    case "fp32":
    case "safetensors":
      return "float";
    case "fp16":
      return "half";
    case "q4":
    case "q4f16":
      return "quantised";
    case "q8":
      return "int8";
  }
}

interface RawPrompt {
  ids?: number[];
  "greedy_ids": number[];
  "logits_file": string;
}

interface RawRun {
  prompts: RawPrompt[];
  "dequantised_fp32"?: RawRun;
}

interface RawOracle extends RawRun {
  onnx?: Record<string, RawRun>;
  gguf?: Record<string, RawRun>;
}

/** The directories of the tiny models. */
export function fixtureNames(): string[] {
  return namesIn(FIXTURES).filter((name) => name.startsWith("tiny-"));
}

/** The model files of a fixture as paths below it: ONNX exports, GGUF files, "model.safetensors". */
export function modelFilesOf(fixture: string): string[] {
  const root = join(FIXTURES, fixture);
  const nested = namesIn(root)
    .filter((name) => /^(onnx|genai|gguf)/.test(name))
    .flatMap((name) => namesIn(join(root, name)).map((file) => `${name}/${file}`))
    .filter((path) => /\.(onnx|gguf)$/.test(path));
  return namesIn(root).includes("model.safetensors") ? [...nested, "model.safetensors"] : nested;
}

/** What a model file of a fixture holds, by its path below it. */
export function dtypeOf(file: string): FileDtype {
  if (/q4f16|webgpu-int4/.test(file)) return "q4f16";
  if (file.startsWith("gguf/")) return "gguf";
  if (file.endsWith(".safetensors")) return "safetensors";
  if (/q4|int4/.test(file)) return "q4";
  if (/fp16/.test(file)) return "fp16";
  return /quantized|int8/.test(file) ? "q8" : "fp32";
}

/** Reads the oracle of one model file, by its path below the fixture. */
export async function readOracle(fixture: string, file: string): Promise<OraclePrompt[]> {
  // The external data are those of tiny-llama-untied's export.
  const root = join(FIXTURES, fixture.replace(/-external$/, ""));
  const raw: RawOracle = JSON.parse(await Deno.readTextFile(join(root, "oracle.json")));
  const own = raw.onnx?.[file] ?? raw.gguf?.[file];
  // The oracle's native ONNX Runtime 1.23.2 reads local_window_size as one position more than torch and
  // the WebAssembly build do.
  const otherWindow = fixture.endsWith("-window") && file.startsWith("genai");
  const torch = file.endsWith(".safetensors") || otherWindow;
  const run = torch ? raw : own?.dequantised_fp32 ?? own;
  if (run === undefined) throw new Error(`${fixture} has no oracle of ${file}`);
  return await Promise.all(run.prompts.map(async (answer, i) => ({
    ids: raw.prompts[i]!.ids!,
    greedy: answer.greedy_ids,
    logits: (await readNpy(join(root, answer.logits_file))).data,
  })));
}

function namesIn(directory: string): string[] {
  return [...Deno.readDirSync(directory)].map(({ name }) => name).sort();
}
