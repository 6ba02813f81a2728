/**
 * Reads one member of a zip file (a Python wheel is one) by its central directory.
 * Format: PKWARE APPNOTE.TXT 6.3.10. Stored and deflated members below 4 GB; nothing encrypted, no zip64.
 */
import { MdiError } from "../../wasm/error.ts";

const END_SIGNATURE = 0x06054b50;
const CENTRAL_SIGNATURE = 0x02014b50;
const LOCAL_SIGNATURE = 0x04034b50;
/** The end record and the longest comment that may follow it. */
const MAX_END_BYTES = 22 + 65_535;
const MAX_DIRECTORY_BYTES = 16 * 2 ** 20;
const READ_CHUNK = 256 * 1024;
const STORED = 0;
const DEFLATED = 8;

interface Member {
  method: number;
  flags: number;
  compressed: number;
  bytes: number;
  localOffset: number;
}

/**
 * Yields the bytes of one member.
 * @param bytes the size it must have; more is never yielded.
 * @throws {MdiError} model_corrupt where the file is not such a zip or the member is not as expected.
 */
export async function* readZipMember(
  path: string,
  name: string,
  bytes: number,
): AsyncGenerator<Uint8Array> {
  using file = await Deno.open(path);
  const fail = (why: string) =>
    new MdiError("model_corrupt", `Cannot read ${name} from ${path}: ${why}`);
  const { size } = await file.stat();
  const member = await findMember(file, size, name, fail);
  if (member === undefined) throw fail("the zip file does not hold it");
  if (member.bytes !== bytes) throw fail(`it has ${member.bytes} bytes, expected ${bytes}`);
  if (member.flags & 1) throw fail("it is encrypted");

  const local = viewOf(await readAt(file, member.localOffset, 30, fail));
  if (local.getUint32(0, true) !== LOCAL_SIGNATURE) throw fail("its local header is damaged");
  const start = member.localOffset + 30 + local.getUint16(26, true) + local.getUint16(28, true);
  if (start + member.compressed > size) throw fail("it lies beyond the end of the file");
  const raw = rangeOf(file, start, member.compressed, fail);
  if (member.method === STORED && member.compressed === bytes) return yield* raw;
  if (member.method !== DEFLATED) {
    throw fail(`compression method ${member.method} is not supported`);
  }

  let produced = 0;
  const inflated = ReadableStream.from(raw).pipeThrough(new DecompressionStream("deflate-raw"));
  try {
    for await (const chunk of inflated) {
      produced += chunk.length;
      if (produced > bytes) throw fail(`it inflates to more than ${bytes} bytes`);
      yield chunk;
    }
  } catch (error) {
    throw error instanceof TypeError ? fail(`it does not inflate (${error.message})`) : error;
  }
}

type Fail = (why: string) => MdiError;

async function findMember(
  file: Deno.FsFile,
  size: number,
  name: string,
  fail: Fail,
): Promise<Member | undefined> {
  const tailBytes = Math.min(size, MAX_END_BYTES);
  const tail = viewOf(await readAt(file, size - tailBytes, tailBytes, fail));
  let end = tailBytes - 22;
  while (end >= 0 && tail.getUint32(end, true) !== END_SIGNATURE) end--;
  if (end < 0) throw fail("it is not a zip file");
  const directoryBytes = tail.getUint32(end + 12, true);
  const offset = tail.getUint32(end + 16, true);
  if (offset === 0xffffffff) throw fail("zip64 is not supported");
  if (directoryBytes > MAX_DIRECTORY_BYTES || offset + directoryBytes > size) {
    throw fail("its directory lies beyond the end of the file");
  }
  const directory = viewOf(await readAt(file, offset, directoryBytes, fail));
  const decoder = new TextDecoder();
  for (let at = 0; at + 46 <= directoryBytes;) {
    if (directory.getUint32(at, true) !== CENTRAL_SIGNATURE) throw fail("its directory is damaged");
    const nameBytes = directory.getUint16(at + 28, true);
    const next = at + 46 + nameBytes + directory.getUint16(at + 30, true) +
      directory.getUint16(at + 32, true);
    if (next > directoryBytes) throw fail("its directory is damaged");
    const text = new Uint8Array(directory.buffer, directory.byteOffset + at + 46, nameBytes);
    if (decoder.decode(text) === name) {
      return {
        flags: directory.getUint16(at + 8, true),
        method: directory.getUint16(at + 10, true),
        compressed: directory.getUint32(at + 20, true),
        bytes: directory.getUint32(at + 24, true),
        localOffset: directory.getUint32(at + 42, true),
      };
    }
    at = next;
  }
  return undefined;
}

async function* rangeOf(
  file: Deno.FsFile,
  start: number,
  length: number,
  fail: Fail,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  for (let at = 0; at < length; at += READ_CHUNK) {
    yield await readAt(file, start + at, Math.min(READ_CHUNK, length - at), fail);
  }
}

async function readAt(
  file: Deno.FsFile,
  offset: number,
  length: number,
  fail: Fail,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  await file.seek(offset, Deno.SeekMode.Start);
  for (let at = 0; at < length;) {
    const read = await file.read(bytes.subarray(at));
    if (read === null) throw fail("the file is cut off");
    at += read;
  }
  return bytes;
}

function viewOf(bytes: Uint8Array<ArrayBuffer>): DataView<ArrayBuffer> {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
