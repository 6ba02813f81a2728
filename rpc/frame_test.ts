import { assert, assertEquals, assertThrows } from "@std/assert";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import {
  type FrameMessage,
  type FrameSegment,
  type RingMessage,
  wantedRows,
} from "../engine/ring/message.ts";
import { MdiError } from "../wasm/error.ts";
import { ENVELOPE_BYTES } from "./envelope.ts";
import { createFrameCodec, type FrameCodecOptions } from "./frame.ts";
import { type LinkRequest, LinkRequestSchema } from "./gen/mdi/v1/ring_pb.ts";

const SHAPE: FrameCodecOptions = {
  dModel: 8,
  dtype: "f32",
  edge: "stage",
  maxRows: 16,
  context: 1000,
};

Deno.test("createFrameCodec() carries any frame over the wire bit for bit", () => {
  fc.assert(fc.property(segmentLists(), fc.nat(1000), (segments, epoch) => {
    const rows = segments.reduce((sum, segment) => sum + segment.rows, 0);
    const hidden = new Float32Array(rows * SHAPE.dModel).map(() => Math.random() - 0.5);
    const message: FrameMessage = { kind: "frame", epoch, segments, hidden };
    assertEquals(overTheWire(message), message);
  }));
});

Deno.test("createFrameCodec() keeps NaN, infinities and the bits of packed f16 pairs", () => {
  const bits = new Uint32Array([
    0x7fc12345,
    0xff800001,
    0x7f800000,
    0xff800000,
    1,
    0,
    0x80000000,
    9,
  ]);
  const message = frame({ hidden: new Float32Array(bits.buffer) });
  const { hidden } = overTheWire(message) as FrameMessage;
  assertEquals(new Uint32Array(hidden.slice().buffer), bits);
});

Deno.test("createFrameCodec() rounds to the nearest f16 and clamps", () => {
  const hidden = new Float32Array([0.1, -0.1, 1, 65504, 65520, -1e9, Infinity, NaN]);
  const got = overTheWire(frame({ hidden }), { ...SHAPE, dtype: "f16" }) as FrameMessage;
  const small = Math.f16round(0.1);
  assertEquals([...got.hidden], [small, -small, 1, 65504, 65504, -65504, 65504, NaN]);
});

Deno.test("createFrameCodec() carries the wanted rows only on a return edge", () => {
  const segments = [segment({ sample: 1, rows: 4, wanted: 0 }), segment({ sample: 2, wanted: 1 })];
  const all = new Float32Array(5 * SHAPE.dModel).map((_, i) => i);
  const hidden = wantedRows(segments, all, SHAPE.dModel);
  assertEquals(hidden, all.slice(4 * SHAPE.dModel));
  const message = frame({ segments, hidden });
  assertEquals(overTheWire(message, { ...SHAPE, edge: "return" }), message);
  const none = frame({ segments: [segment({ wanted: 0 })], hidden: new Float32Array(0) });
  assertEquals(overTheWire(none, { ...SHAPE, edge: "return" }), none);
});

Deno.test("createFrameCodec() carries cache changes", () => {
  for (const [length, capacity] of [[0, 1000], [5, 7], [0, 0]] as const) {
    const message: RingMessage = { kind: "cache", epoch: 3, sample: 2 ** 32 - 1, length, capacity };
    assertEquals(overTheWire(message), message);
  }
});

Deno.test("createFrameCodec() takes at most 4·d_model + 64 bytes a row, envelope included", () => {
  for (const dModel of [576, 4096]) {
    const context = 2 ** 32 - 1;
    const codec = createFrameCodec({ ...SHAPE, dModel, context });
    const message = codec.encode(frame({
      epoch: 2 ** 32 - 1,
      segments: [segment({ sample: 2 ** 32 - 1, position: context - 1 })],
      hidden: new Float32Array(dModel),
    }));
    const bytes = ENVELOPE_BYTES + toBinary(LinkRequestSchema, message).length;
    assert(bytes <= 4 * dModel + 64, `${bytes} bytes for ${dModel}`);
    // Nine more are HTTP/2's for each frame of 16 KB.
    assert(bytes + 9 * Math.ceil(bytes / 16384) <= 4 * dModel + 64, `${bytes} bytes for ${dModel}`);
  }
});

Deno.test("createFrameCodec() decodes in place where the bytes are aligned", () => {
  const codec = createFrameCodec(SHAPE);
  const buffer = new ArrayBuffer(SHAPE.dModel * 4 + 4);
  for (const [offset, shared] of [[0, true], [4, true], [1, false], [2, false]] as const) {
    const hidden = new Uint8Array(buffer, offset, SHAPE.dModel * 4);
    const message = codec.decode(request({ hidden })) as FrameMessage;
    assertEquals(message.hidden.buffer === buffer, shared);
  }
});

Deno.test("createFrameCodec() encodes nothing longer than it says", () => {
  const shape = { ...SHAPE, context: 2 ** 32 - 1, maxSamples: 16 };
  const codec = createFrameCodec(shape);
  const segments = Array.from(
    { length: 16 },
    (_, i) => segment({ sample: 2 ** 32 - 1 - i, position: 2 ** 32 - 3 }),
  );
  const hidden = new Float32Array(16 * SHAPE.dModel);
  const message = codec.encode(frame({ epoch: 2 ** 32 - 1, segments, hidden }));
  assert(toBinary(LinkRequestSchema, message).length <= codec.maxMessageBytes);
});

Deno.test("createFrameCodec() refuses what a frame must not be and names the field", () => {
  const bytes = (rows: number) => new Uint8Array(rows * SHAPE.dModel * 4);
  const cases: [string, Parameters<typeof request>[0]][] = [
    ["dtype is F16, expected F32", { dtype: 1 }],
    ["dtype is 99", { dtype: 99 }],
    ["position is 2 entries", { position: [1, 2] }],
    ["rows is 0 entries", { rows: [] }],
    ["wanted is 2 entries", { wanted: [1, 1] }],
    ["sample is no segments", { sample: [], position: [], rows: [], wanted: [], hidden: bytes(0) }],
    ["sample is 1 twice", {
      sample: [1, 1],
      position: [0, 0],
      rows: [1, 1],
      wanted: [1, 1],
      hidden: bytes(2),
    }],
    ["rows is 0", { rows: [0], wanted: [0], hidden: bytes(0) }],
    ["rows is 17 in all", { rows: [17], hidden: bytes(17) }],
    ["rows is 4294967295 in all", { rows: [2 ** 32 - 1], position: [0] }],
    ["wanted is 2", { wanted: [2] }],
    ["position is 1000 with 1 rows", { position: [1000] }],
    ["hidden is 31 bytes", { hidden: new Uint8Array(31) }],
    ["hidden is 33 bytes", { hidden: new Uint8Array(33) }],
    ["hidden is 64 bytes", { hidden: bytes(2) }],
    ["hidden is 0 bytes", { hidden: bytes(0) }],
    ["sample is 17 segments", {
      sample: Array.from({ length: 17 }, (_, i) => i),
      position: Array(17).fill(0),
      rows: Array(17).fill(1),
      wanted: Array(17).fill(1),
      hidden: bytes(17),
    }],
  ];
  const codec = createFrameCodec({ ...SHAPE, context: 1000 });
  const wide = createFrameCodec({ ...SHAPE, context: 2 ** 32 - 1 });
  for (const [expected, fields] of cases) {
    const decoder = expected.startsWith("rows is 4294967295") ? wide : codec;
    refuses(() => decoder.decode(request(fields)), expected);
  }
  refuses(() => codec.decode(create(LinkRequestSchema, {})), "message is empty");
  refuses(() => codec.decode(hello()), "message is hello");
});

Deno.test("createFrameCodec() refuses what a cache change must not be", () => {
  const codec = createFrameCodec(SHAPE);
  const change = (length: number, capacity: number) =>
    create(LinkRequestSchema, { message: { case: "cache", value: { length, capacity } } });
  refuses(() => codec.decode(change(0, 1001)), "capacity is 1001");
  refuses(() => codec.decode(change(8, 7)), "length is 8");
});

Deno.test("createFrameCodec() never throws anything but protocol errors, whatever the fields", () => {
  const list = fc.array(fc.integer({ min: 0, max: 2 ** 32 - 1 }), { maxLength: 4 });
  const fields = fc.record({
    epoch: fc.nat(),
    sample: list,
    position: list,
    rows: fc.oneof(list, fc.array(fc.nat(3), { maxLength: 4 })),
    wanted: fc.oneof(list, fc.array(fc.nat(3), { maxLength: 4 })),
    dtype: fc.nat(2),
    hidden: fc.uint8Array({ maxLength: 200 }),
  });
  const codec = createFrameCodec(SHAPE);
  fc.assert(fc.property(fields, (value) => {
    try {
      codec.decode(create(LinkRequestSchema, { message: { case: "frame", value } }));
    } catch (error) {
      assert(error instanceof MdiError && error.code === "protocol", String(error));
    }
  }));
});

Deno.test("createFrameCodec() refuses to encode a caller's mistake", () => {
  const codec = createFrameCodec(SHAPE);
  for (
    const values of [
      { epoch: -1 },
      { epoch: 1.5 },
      { hidden: new Float32Array(7) },
      { segments: [] },
      { segments: [segment({ sample: 2 ** 32 })] },
      { segments: [segment({ position: NaN })] },
    ]
  ) {
    assertThrows(() => codec.encode(frame(values)), RangeError, "Cannot send the message");
  }
  assertThrows(() => createFrameCodec({ ...SHAPE, dModel: 0 }), RangeError, "dModel is 0");
});

function segment(values: Partial<FrameSegment> = {}): FrameSegment {
  return { sample: 1, position: 0, rows: 1, wanted: 1, ...values };
}

function frame(values: Partial<FrameMessage> = {}): FrameMessage {
  const hidden = new Float32Array(SHAPE.dModel);
  return { kind: "frame", epoch: 1, segments: [segment()], hidden, ...values };
}

function request(fields: {
  sample?: number[];
  position?: number[];
  rows?: number[];
  wanted?: number[];
  dtype?: number;
  hidden?: Uint8Array;
}): LinkRequest {
  const good = {
    epoch: 1,
    sample: [1],
    position: [0],
    rows: [1],
    wanted: [1],
    hidden: new Uint8Array(SHAPE.dModel * 4),
  };
  return create(LinkRequestSchema, { message: { case: "frame", value: { ...good, ...fields } } });
}

function hello(): LinkRequest {
  return create(LinkRequestSchema, { message: { case: "hello", value: { epoch: 1 } } });
}

function overTheWire(message: RingMessage, shape = SHAPE): RingMessage {
  const codec = createFrameCodec(shape);
  const bytes = toBinary(LinkRequestSchema, codec.encode(message));
  assert(bytes.length <= codec.maxMessageBytes);
  return codec.decode(fromBinary(LinkRequestSchema, bytes));
}

function refuses(run: () => unknown, expected: string): void {
  const error = assertThrows(run, MdiError, expected);
  assertEquals(error.code, "protocol");
  assert(typeof error.details.field === "string" && "met" in error.details);
}

/** Segments of different samples that fit SHAPE. */
function segmentLists(): fc.Arbitrary<FrameSegment[]> {
  const one = fc.record({
    sample: fc.nat(2 ** 32 - 1),
    position: fc.nat(900),
    rows: fc.integer({ min: 1, max: 4 }),
    wanted: fc.nat(1),
  });
  return fc.uniqueArray(one, { minLength: 1, maxLength: 4, selector: ({ sample }) => sample });
}
