/** ONNX element types: their widths, and the size of a tensor by its header. */
import {
  type TensorProto,
  TensorProto_DataType as DataType,
} from "../../../wasm/gen/onnx/onnx_pb.ts";
import { MdiError } from "../../../wasm/error.ts";

/** Bits of one element, by data type. Strings have no fixed width and are not weights. */
const BITS: ReadonlyMap<number, number> = new Map([
  [DataType.FLOAT, 32],
  [DataType.UINT8, 8],
  [DataType.INT8, 8],
  [DataType.UINT16, 16],
  [DataType.INT16, 16],
  [DataType.INT32, 32],
  [DataType.INT64, 64],
  [DataType.BOOL, 8],
  [DataType.FLOAT16, 16],
  [DataType.DOUBLE, 64],
  [DataType.UINT32, 32],
  [DataType.UINT64, 64],
  [DataType.COMPLEX64, 64],
  [DataType.COMPLEX128, 128],
  [DataType.BFLOAT16, 16],
  [DataType.FLOAT8E4M3FN, 8],
  [DataType.FLOAT8E4M3FNUZ, 8],
  [DataType.FLOAT8E5M2, 8],
  [DataType.FLOAT8E5M2FNUZ, 8],
  [DataType.UINT4, 4],
  [DataType.INT4, 4],
  [DataType.FLOAT4E2M1, 4],
]);

/** The name of an element type as ONNX writes it: "FLOAT16", or "type 99" for one it does not have. */
export function dataTypeName(type: number): string {
  return DataType[type] ?? `type ${type}`;
}

/** Number of elements of a tensor; 1 for a scalar. */
export function elementCount(tensor: TensorProto): number {
  let count = 1;
  for (const dim of tensor.dims) {
    count *= Number(dim);
    if (dim < 0n || !Number.isSafeInteger(count)) {
      throw new MdiError(
        "model_corrupt",
        `Cannot read initializer "${tensor.name}": its shape is [${tensor.dims}]`,
        { details: { initializer: tensor.name } },
      );
    }
  }
  return count;
}

/**
 * Bytes that a tensor's elements take; 4-bit elements are packed two to a byte.
 * @throws {MdiError} model_unsupported for an element type without a fixed width.
 */
export function tensorBytes(tensor: TensorProto): number {
  const bits = BITS.get(tensor.dataType);
  if (bits === undefined) {
    throw new MdiError(
      "model_unsupported",
      `Cannot use initializer "${tensor.name}": its elements are ${dataTypeName(tensor.dataType)}`,
      { details: { initializer: tensor.name, type: tensor.dataType } },
    );
  }
  return Math.ceil(elementCount(tensor) * bits / 8);
}
