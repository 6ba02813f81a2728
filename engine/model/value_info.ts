/** The description of a graph's input or output. */
import { create } from "@bufbuild/protobuf";
import {
  type TensorProto_DataType,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from "../../wasm/gen/onnx/onnx_pb.ts";

/** Describes a tensor; a dimension is a number or the name of one that varies. */
export function valueInfo(
  name: string,
  elemType: TensorProto_DataType,
  dims: readonly (number | string)[],
): ValueInfoProto {
  const dim = dims.map((size) => ({
    value: typeof size === "number"
      ? { case: "dimValue" as const, value: BigInt(size) }
      : { case: "dimParam" as const, value: size },
  }));
  return create(ValueInfoProtoSchema, {
    name,
    type: { value: { case: "tensorType", value: { elemType, shape: { dim } } } },
  });
}
