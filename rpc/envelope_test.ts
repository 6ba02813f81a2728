import { assert, assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { MdiError } from "../wasm/error.ts";
import { encodeEnvelope, type Envelope, ENVELOPE_BYTES, EnvelopeDecoder } from "./envelope.ts";

Deno.test("EnvelopeDecoder gives the envelopes however the bytes are cut", () => {
  const message = fc.record({ flags: fc.nat(255), data: fc.uint8Array({ maxLength: 40 }) });
  fc.assert(
    fc.property(fc.array(message), fc.array(fc.integer({ min: 1, max: 30 })), (messages, cuts) => {
      const bytes = messages.flatMap(({ flags, data }) => [...encodeEnvelope(data, flags)]);
      const decoder = new EnvelopeDecoder(40);
      const got: Envelope[] = [];
      let at = 0;
      for (let i = 0; at < bytes.length; i++) {
        const length = cuts[i] ?? bytes.length;
        got.push(...decoder.decode(new Uint8Array(bytes.slice(at, at + length))));
        at += length;
      }
      assertEquals(
        got.map(({ flags, data }) => [flags, [...data]]),
        messages.map((m) => [m.flags, [...m.data]]),
      );
      assert(!decoder.partial);
    }),
  );
});

Deno.test("EnvelopeDecoder refuses a long message by its header", () => {
  const decoder = new EnvelopeDecoder(100);
  const header = encodeEnvelope(new Uint8Array(0));
  new DataView(header.buffer).setUint32(1, 2 ** 30);
  const error = assertThrows(() => [...decoder.decode(header)], MdiError, "1073741824 bytes");
  assertEquals(error.code, "protocol");
});

Deno.test("EnvelopeDecoder takes a new limit between two messages", () => {
  const decoder = new EnvelopeDecoder(1);
  const two = new Uint8Array([
    ...encodeEnvelope(new Uint8Array(1)),
    ...encodeEnvelope(new Uint8Array(9)),
  ]);
  const lengths: number[] = [];
  for (const { data } of decoder.decode(two)) {
    lengths.push(data.length);
    decoder.maxBytes = 9;
  }
  assertEquals(lengths, [1, 9]);
});

Deno.test("EnvelopeDecoder says when the bytes end inside an envelope", () => {
  for (const length of [1, 4, 5, 7]) {
    const decoder = new EnvelopeDecoder(10);
    assertEquals([...decoder.decode(encodeEnvelope(new Uint8Array(3)).subarray(0, length))], []);
    assert(decoder.partial);
  }
});

Deno.test("EnvelopeDecoder meets any bytes, cut anyhow, with envelopes or an MdiError", () => {
  const limit = 64;
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 100 }), { maxLength: 8 }), (chunks) => {
      const decoder = new EnvelopeDecoder(limit);
      const given = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
      let taken = 0;
      try {
        for (const chunk of chunks) {
          for (const { data } of decoder.decode(chunk)) {
            assert(data.length <= limit);
            taken += ENVELOPE_BYTES + data.length;
          }
        }
        assertEquals(decoder.partial, taken < given);
      } catch (error) {
        assert(error instanceof MdiError && error.code === "protocol", String(error));
      }
    }),
    { numRuns: 1000 },
  );
});
