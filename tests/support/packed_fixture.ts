/** A fixture's blocks in a store, as `simd` stages are loaded from them. */
import { join } from "node:path";
import { openModel } from "../../engine/model/open.ts";
import { loadSimdStage, type SimdOptions } from "../../wasm/simd/stage.ts";
import type { StageSpec } from "../../wasm/stage.ts";
import { ImportedModel } from "./imported_model.ts";
import { FIXTURES } from "./oracle.ts";

/** What a stage is loaded from, with a place for packed weights. */
export type PackedSpec = StageSpec & { packed: string };

/** Runs a test with the whole of a model file of tests/fixtures. */
export async function withFixture(
  file: string,
  fn: (spec: PackedSpec, model: ImportedModel) => Promise<void>,
): Promise<void> {
  await using source = await openModel(join(FIXTURES, file));
  await using model = await ImportedModel.from(source);
  const spec = model.spec({ embed: true, layers: [0, source.config.layers - 1], head: true });
  await fn({ ...spec, packed: model.store.layout.packed }, model);
}

/** Loads a stage and lets go of it: why it cannot run, or null. */
export async function refusal(spec: StageSpec, options?: SimdOptions): Promise<string | null> {
  const loaded = await loadSimdStage(spec, options);
  if ("unusable" in loaded) return loaded.unusable;
  await loaded[Symbol.asyncDispose]();
  return null;
}

/** Names of the files in a directory that match, sorted. */
export async function filesIn(directory: string, pattern: RegExp): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(directory)) if (pattern.test(name)) names.push(name);
  return names.sort();
}
