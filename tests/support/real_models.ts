/**
 * Where real models lie on this device, for tests that need one: none is committed, and a test whose
 * model is absent is ignored and says so in its name.
 */
import { join } from "node:path";
import { DEFAULT_FILE } from "../../engine/pull/default_model.ts";
import { DEFAULT_MODEL } from "../../engine/pull/model_name.ts";
import { defaultHome, layoutOf } from "../../engine/store/layout.ts";

/** The default model's GGUF file: `$MDI_TEST_MODEL`, else where `mdi pull` put it. */
export const SMOLLM2_GGUF: string | undefined = defaultGguf();

/** A directory with an ONNX export of the default model: `$MDI_TEST_ONNX`. */
export const SMOLLM2_ONNX: string | undefined = Deno.env.get("MDI_TEST_ONNX");

/** What a test's name says of its model. */
export function modelNote(path: string | undefined, remedy: string): string {
  return path === undefined ? ` (no model: ${remedy})` : "";
}

function defaultGguf(): string | undefined {
  const given = Deno.env.get("MDI_TEST_MODEL");
  if (given !== undefined) return given;
  try {
    const path = join(layoutOf(defaultHome()).models, DEFAULT_MODEL, DEFAULT_FILE.file);
    return Deno.statSync(path).size === DEFAULT_FILE.bytes ? path : undefined;
  } catch {
    return undefined;
  }
}
