/** What a model's name means. */
import { resolve } from "node:path";
import { MdiError } from "../../wasm/error.ts";
import { statOf } from "../store/disk.ts";

/** The model that is used where none is named. */
export const DEFAULT_MODEL = "smollm2-135m-instruct";

/** A name that was understood. */
export type ModelName =
  | { kind: "default" }
  /** A file or directory that exists; absolute. */
  | { kind: "path"; path: string }
  /** A repository on the hub, and a file or type in it. */
  | { kind: "hub"; repo: string; selection: string | undefined };

/** Rules of the hub: at most 96 characters, no "--" and no ".." inside. */
const HUB_NAME = /^([A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*)(?::(.+))?$/;
const SELECTION = /^[A-Za-z0-9][\w.-]*(\/[A-Za-z0-9][\w.-]*)*$/;

/**
 * Understands a name: nothing or the default model's, a path that exists, or `owner/name[:file or dtype]`.
 * @throws {MdiError} model_missing
 */
export async function parseModelName(name: string | undefined): Promise<ModelName> {
  if (name === undefined || name.toLowerCase() === DEFAULT_MODEL) return { kind: "default" };
  const missing = (why: string) =>
    new MdiError("model_missing", `Cannot find model "${name.slice(0, 200)}": ${why}`);
  if (name === "" || name.includes("\0")) throw missing("it is not a name");
  if (await statOf(name)) return { kind: "path", path: resolve(name) };
  const [, repo, selection] = HUB_NAME.exec(name) ?? [];
  if (/^[./~\\]|\\|^[A-Za-z]:|^[^:]*\.(gguf|onnx|safetensors)$/.test(name) || repo === undefined) {
    throw missing(
      `there is no such file or directory; give a path, "owner/name" on the Hugging Face hub, ` +
        `or "${DEFAULT_MODEL}"`,
    );
  }
  if (repo.length > 96 || /--|\.\./.test(repo)) throw missing("the hub allows no such name");
  if (selection !== undefined && (selection.length > 128 || !SELECTION.test(selection))) {
    throw missing(`":${selection.slice(0, 128)}" is neither a file nor a type`);
  }
  return { kind: "hub", repo, selection };
}
