/** Brings a small tensor into one form: whatever field its elements are written in, they become raw_data. */
import { create } from "@bufbuild/protobuf";
import {
  type TensorProto,
  TensorProto_DataType as DataType,
  TensorProtoSchema,
} from "../../../wasm/gen/onnx/onnx_pb.ts";
import { MdiError } from "../../../wasm/error.ts";
import { elementCount, tensorBytes } from "./tensor_type.ts";

/**
 * A copy with its elements in raw_data (little-endian), under the given name and with nothing else.
 * @throws {MdiError} model_corrupt where its elements do not fill its shape.
 */
export function rawTensor(tensor: TensorProto, name = tensor.name): TensorProto {
  const rawData = tensor.rawData.length > 0 ? tensor.rawData : typedBytes(tensor);
  if (rawData.length !== tensorBytes(tensor)) {
    throw new MdiError(
      "model_corrupt",
      `Cannot read initializer "${name}": it has ${rawData.length} bytes, its shape [${tensor.dims}] needs ${
        tensorBytes(tensor)
      }`,
      { details: { initializer: name } },
    );
  }
  return create(TensorProtoSchema, {
    name,
    dims: tensor.dims,
    dataType: tensor.dataType,
    rawData: rawData.slice(),
  });
}

/** Which typed field holds which element type: see TensorProto in onnx.proto. */
function typedBytes(tensor: TensorProto): Uint8Array {
  const { floatData, doubleData, int64Data, uint64Data, int32Data } = tensor;
  switch (tensor.dataType) {
    case DataType.FLOAT:
    case DataType.COMPLEX64:
      return bytesOf(Float32Array.from(floatData));
    case DataType.DOUBLE:
    case DataType.COMPLEX128:
      return bytesOf(Float64Array.from(doubleData));
    case DataType.INT64:
      return bytesOf(BigInt64Array.from(int64Data));
    case DataType.UINT64:
      return bytesOf(BigUint64Array.from(uint64Data));
    case DataType.UINT32:
      return bytesOf(Uint32Array.from(uint64Data, Number));
  }
  switch (tensorBytes(tensor) / elementCount(tensor)) {
    case 4:
      return bytesOf(Int32Array.from(int32Data));
    case 2:
      return bytesOf(Uint16Array.from(int32Data));
    default:
      return Uint8Array.from(int32Data);
  }
}

function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
