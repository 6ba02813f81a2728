/** What a frame costs to become bytes and a frame again, without any socket. */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { createFrameCodec } from "../rpc/frame.ts";
import { LinkRequestSchema } from "../rpc/gen/mdi/v1/ring_pb.ts";

/** Values in a row, as the link's frames have. */
const D_MODEL = 576;
/** Frames for one value, after some that are not timed: cold code takes several times as long. */
const FRAMES = 400;
const WARM_UP = 3000;

/** Microseconds of a frame with so many rows: encoded, written, read, decoded and checked; a value a round. */
export function measureCodec(rows: number, rounds: number): number[] {
  const codec = createFrameCodec({
    dModel: D_MODEL,
    dtype: "f32",
    edge: "stage",
    maxRows: rows,
    context: 4096,
  });
  const segments = Array.from(
    { length: rows },
    (_, sample) => ({ sample, position: 7, rows: 1, wanted: 1 }),
  );
  const hidden = Float32Array.from({ length: rows * D_MODEL }, (_, i) => Math.sin(i));
  const pass = (frames: number) => {
    for (let i = 0; i < frames; i++) {
      const request = codec.encode({ kind: "frame", epoch: 1, segments, hidden });
      codec.decode(fromBinary(LinkRequestSchema, toBinary(LinkRequestSchema, request)));
    }
  };
  pass(WARM_UP);
  return Array.from({ length: rounds }, () => {
    const start = performance.now();
    pass(FRAMES);
    return 1000 * (performance.now() - start) / FRAMES;
  });
}
