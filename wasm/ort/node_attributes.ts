/** Reading what a node's attributes say, checked. */
import type { NodeProto } from "../gen/onnx/onnx_pb.ts";
import { MdiError } from "../error.ts";
import { GGUF_TYPES, type GgufType, isGgufType } from "../gguf/types.ts";

/**
 * A positive whole-number attribute.
 * @throws {MdiError} model_corrupt where it is absent or none.
 */
export function attribute(node: NodeProto, name: string): number {
  const value = Number(node.attribute.find((attribute) => attribute.name === name)?.i ?? 0n);
  if (!Number.isSafeInteger(value) || value <= 0 || value > 2 ** 31) {
    throw new MdiError(
      "model_corrupt",
      `Cannot run ${node.opType} ${node.name}: ${name} is ${value}`,
    );
  }
  return value;
}

/**
 * The GGUF tensor type that one of mdi's own operators names.
 * @throws {MdiError} model_unsupported where there is none of that name.
 */
export function ggufType(node: NodeProto): GgufType {
  const bytes = node.attribute.find((attribute) => attribute.name === "type")?.s;
  const type = new TextDecoder().decode(bytes);
  if (!isGgufType(type)) {
    throw new MdiError(
      "model_unsupported",
      `Cannot run ${node.name}: weight type "${type}" is none of ${
        Object.keys(GGUF_TYPES).join(", ")
      }`,
    );
  }
  return type;
}
