import { assertEquals, assertThrows } from "@std/assert";
import { fitsLargePages, padToLargePages } from "./elf.ts";

/** The head of an ELF file whose mapped segments are [address, bytes in memory]. */
function elf(...segments: [number, number][]): Uint8Array {
  const bytes = new Uint8Array(64 + 56 * (segments.length + 1));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x7f454c46);
  view.setBigUint64(0x20, 64n, true);
  view.setUint16(0x36, 56, true);
  view.setUint16(0x38, segments.length + 1, true);
  view.setUint32(64, 6, true); // PT_PHDR is not mapped
  segments.forEach(([start, size], i) => {
    const at = 64 + 56 * (i + 1);
    view.setUint32(at, 1, true);
    view.setBigUint64(at + 16, BigInt(start), true);
    view.setBigUint64(at + 40, BigInt(size), true);
  });
  return bytes;
}

Deno.test("fitsLargePages() finds a last segment that shares a page of 64 KB", () => {
  assertEquals(fitsLargePages(elf()), true);
  assertEquals(fitsLargePages(elf([0, 0x1234])), true);
  assertEquals(fitsLargePages(elf([0, 0x1234], [0x2000, 0x1000])), false);
  assertEquals(fitsLargePages(elf([0, 0x1234], [0x1f000, 0x1000])), true);
  assertEquals(fitsLargePages(elf([0x10000, 0x10000], [0x20000, 1])), true);
  assertEquals(fitsLargePages(elf([0x10000, 0x10001], [0x2f000, 1])), false);
  assertThrows(() => fitsLargePages(new Uint8Array(64)), TypeError, "It is no ELF file");
});

Deno.test("padToLargePages() ends a program on a page of 64 KB, behind all that is mapped", () => {
  const small = elf([0, 0x1234]);
  const padded = padToLargePages(small);
  assertEquals(padded.length, 0x10000);
  assertEquals(padded.subarray(0, small.length), small);
  assertEquals(padToLargePages(elf([0, 0x20000], [0x30000, 0x10001])).length, 0x50000);
  assertEquals(padToLargePages(padded).length, 0x10000);
});
