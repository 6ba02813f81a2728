/**
 * Whether a compiled file starts on a system with 64 KB or 16 KB pages, as Raspberry Pi 5's. From 2.9 `deno compile`
 * appends what it was given as a segment that is mapped at a multiple of 4 KB; where that lies in one page with the
 * segment before, the kernel refuses the file. ELF-64, little-endian:
 * https://refspecs.linuxfoundation.org/elf/gabi4+/ch5.pheader.html
 */

const LARGEST_PAGE = 64 * 1024;
const PT_LOAD = 1;

interface Segment {
  start: number;
  end: number;
}

/** Whether the last segment that is mapped has all its pages for itself, on any kernel. */
export function fitsLargePages(elf: Uint8Array): boolean {
  const segments = mapped(elf);
  const [before, last] = [segments.at(-2), segments.at(-1)];
  return !before || !last || roundDown(last.start) >= before.end;
}

/** The program with zeros at its end, so that what is appended begins a page of its own. */
export function padToLargePages(elf: Uint8Array): Uint8Array<ArrayBuffer> {
  const end = Math.max(elf.length, ...mapped(elf).map((segment) => segment.end));
  const padded = new Uint8Array(roundDown(end + LARGEST_PAGE - 1));
  padded.set(elf);
  return padded;
}

/** The segments that are mapped, by address. */
function mapped(elf: Uint8Array): Segment[] {
  const view = new DataView(elf.buffer, elf.byteOffset, elf.length);
  if (elf.length < 64 || view.getUint32(0) !== 0x7f454c46) throw new TypeError("It is no ELF file");
  const [offset, size, count] = [
    Number(view.getBigUint64(0x20, true)),
    view.getUint16(0x36, true),
    view.getUint16(0x38, true),
  ];
  return Array.from({ length: count }, (_, i) => offset + i * size)
    .filter((at) => view.getUint32(at, true) === PT_LOAD)
    .map((at) => {
      const start = Number(view.getBigUint64(at + 16, true));
      return { start, end: start + Number(view.getBigUint64(at + 40, true)) };
    })
    .sort((a, b) => a.start - b.start);
}

function roundDown(address: number): number {
  return address - address % LARGEST_PAGE;
}
