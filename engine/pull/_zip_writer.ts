/** Writes small zip files for tests: one way only, with checksums of zero. */

/** A zip file of these members. */
export async function writeZip(
  members: Record<string, Uint8Array<ArrayBuffer>>,
  deflate: boolean,
): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  const directory: Uint8Array<ArrayBuffer>[] = [];
  let offset = 0;
  for (const [text, data] of Object.entries(members)) {
    const name = new TextEncoder().encode(text);
    const body = deflate ? await deflated(data) : data;
    const sizes = [0, body.length, data.length];
    const common = { method: deflate ? 8 : 0, sizes, nameLength: name.length };
    const local = header(30, 0x04034b50, 4, common);
    const central = header(46, 0x02014b50, 6, common);
    new DataView(central.buffer).setUint32(42, offset, true);
    parts.push(local, name, body);
    directory.push(central, name);
    offset += local.length + name.length + body.length;
  }
  const length = directory.reduce((sum, part) => sum + part.length, 0);
  const end = new Uint8Array(22);
  const view = new DataView(end.buffer);
  view.setUint32(0, 0x06054b50, true);
  view.setUint16(10, Object.keys(members).length, true);
  view.setUint32(12, length, true);
  view.setUint32(16, offset, true);
  return await new Blob([...parts, ...directory, end]).bytes();
}

/** A local or a central header; their common fields start at `at`. */
function header(
  bytes: number,
  signature: number,
  at: number,
  fields: { method: number; sizes: number[]; nameLength: number },
): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(bytes);
  const view = new DataView(result.buffer);
  view.setUint32(0, signature, true);
  view.setUint16(at + 4, fields.method, true);
  fields.sizes.forEach((size, i) => view.setUint32(at + 10 + 4 * i, size, true));
  view.setUint16(at + 22, fields.nameLength, true);
  return result;
}

async function deflated(data: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([data]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  return await new Response(stream).bytes();
}
