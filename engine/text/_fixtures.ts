/** Tokenizers and oracles that the tests of this folder share. */
import type { GgufValue } from "../model/gguf/reader.ts";
import { ggufTextAssets } from "./gguf_tokenizer.ts";
import { createTokenizer, type Tokenizer } from "./tokenizer.ts";

const FOLDER = new URL("../../tests/fixtures/text/", import.meta.url);

/** A parsed JSON fixture. */
export async function readJson<T>(name: string): Promise<T> {
  return JSON.parse(await Deno.readTextFile(new URL(name, FOLDER)));
}

/** SmolLM2's metadata as in its GGUF file. */
export async function smollm2Metadata(): Promise<Map<string, GgufValue>> {
  const gzip = await Deno.readFile(new URL("smollm2_gguf_metadata.json.gz", FOLDER));
  const stream = new Blob([gzip]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Map(Object.entries(await new Response(stream).json()));
}

/** SmolLM2's tokenizer: byte-level BPE. */
export async function smollm2(): Promise<Tokenizer> {
  return createTokenizer(ggufTextAssets(await smollm2Metadata()));
}

/** The metadata of the tiny SentencePiece vocabulary. */
export async function sentencePieceMetadata(): Promise<Map<string, GgufValue>> {
  return new Map(Object.entries(await readJson<object>("spm_gguf_metadata.json")));
}

/** The tiny SentencePiece tokenizer with byte fallback. */
export async function sentencePiece(): Promise<Tokenizer> {
  return createTokenizer(ggufTextAssets(await sentencePieceMetadata()));
}
