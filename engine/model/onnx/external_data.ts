/**
 * Finds the bytes of initializers that an ONNX file keeps in a file beside it
 * (https://onnx.ai/onnx/repo-docs/ExternalData.html). The names come from the model: they may not lead
 * out of its directory.
 */
import { basename, dirname, join, relative, sep } from "node:path";
import type { TensorProto } from "../../../wasm/gen/onnx/onnx_pb.ts";
import { MdiError } from "../../../wasm/error.ts";
import { type FileInfo, fileInfo } from "../emit/file_range.ts";
import type { ByteRange } from "./byte_range.ts";
import { tensorBytes } from "./tensor_type.ts";

/** The files beside one model, each looked up once. */
export class ExternalData {
  readonly #modelPath: string;
  readonly #files = new Map<string, FileInfo>();

  /** For the model at the given path. */
  constructor(modelPath: string) {
    this.#modelPath = modelPath;
  }

  /** The files that were looked up. */
  get files(): FileInfo[] {
    return [...this.#files.values()];
  }

  /**
   * Finds the bytes of an initializer.
   * @throws {MdiError} model_corrupt where its location, offset or length is impossible, model_missing
   * where the file is not there.
   */
  async locate(tensor: TensorProto): Promise<ByteRange> {
    const entry = (key: string) => tensor.externalData.find((e) => e.key === key)?.value;
    const location = entry("location") ?? "";
    const file = this.#files.get(location) ?? await this.#open(location, tensor.name);
    const expected = tensorBytes(tensor);
    const offset = decimal(entry("offset") ?? "0");
    const length = decimal(entry("length") ?? String(expected));
    if (length !== expected) {
      throw this.#corrupt(
        tensor.name,
        `its external data has ${
          entry("length")
        } bytes, its shape [${tensor.dims}] needs ${expected}`,
      );
    }
    if (!(offset + length <= file.bytes)) {
      throw this.#corrupt(
        tensor.name,
        `it lies at byte ${
          entry("offset")
        } with ${length} bytes, and ${location} has ${file.bytes}; fetch that file again`,
      );
    }
    return { path: file.path, offset, length };
  }

  async #open(location: string, tensor: string): Promise<FileInfo> {
    if (!isPlainRelativePath(location)) {
      throw this.#corrupt(
        tensor,
        `its external data "${location}" is outside the model's directory`,
      );
    }
    const directory = dirname(this.#modelPath);
    let file: FileInfo;
    try {
      file = await fileInfo(await Deno.realPath(join(directory, location)));
    } catch (cause) {
      throw new MdiError(
        "model_missing",
        `Cannot open ${location}, which holds the weights of ${
          basename(this.#modelPath)
        }: put it into ${directory}`,
        { cause, details: { file: location } },
      );
    }
    // A hub cache keeps a model's files as links into one directory of blobs: a link may lead to where
    // the model file's own link leads, and nowhere else.
    const blobs = dirname(await Deno.realPath(this.#modelPath));
    if (!isWithin(await Deno.realPath(directory), file.path) && dirname(file.path) !== blobs) {
      throw this.#corrupt(
        tensor,
        `its external data "${location}" leads out of the model's directory`,
      );
    }
    this.#files.set(location, file);
    return file;
  }

  #corrupt(tensor: string, why: string): MdiError {
    return new MdiError(
      "model_corrupt",
      `Cannot read initializer "${tensor}" of ${basename(this.#modelPath)}: ${why}`,
      { details: { initializer: tensor } },
    );
  }
}

function isPlainRelativePath(location: string): boolean {
  return location !== "" && !/[\\\0:]/.test(location) && !location.startsWith("/") &&
    !location.split("/").includes("..");
}

function isWithin(directory: string, path: string): boolean {
  const way = relative(directory, path);
  return way !== "" && way !== ".." && !way.startsWith(`..${sep}`) && !way.startsWith("/");
}

/** A count as external data writes it; NaN for anything but decimal digits. */
function decimal(text: string): number {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
  return Number.isSafeInteger(value) ? value : NaN;
}
