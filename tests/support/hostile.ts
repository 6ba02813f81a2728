/** Hostile input for property tests: what was right, damaged. */
import fc from "fast-check";
import { MdiError } from "../../wasm/error.ts";

/** Values that parsers trip over. */
const JUNK = [null, true, -1, 0, 0.5, 2 ** 31, 2 ** 53, 1e300, "", "__proto__", "\0", [], {}, [[]]];

/** The given bytes with up to eight of them changed, a run set to one value, or an end cut off. */
export function damagedBytes(
  bytes: Uint8Array,
  { first = 0, end = bytes.length }: { first?: number; end?: number } = {},
): fc.Arbitrary<Uint8Array<ArrayBuffer>> {
  const at = fc.integer({ min: first, max: end - 1 });
  const value = fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 0x7f, 0x80, 0xff));
  const changed = fc.array(fc.tuple(at, value), { minLength: 1, maxLength: 8 }).map((changes) => {
    const copy = bytes.slice();
    for (const [i, byte] of changes) copy[i] = byte;
    return copy;
  });
  const filled = fc.tuple(at, fc.integer({ min: 1, max: 9 }), value)
    .map(([i, length, byte]) => bytes.slice().fill(byte, i, Math.min(end, i + length)));
  const cut = at.map((i) => bytes.slice(0, i));
  return fc.oneof({ weight: 4, arbitrary: changed }, { weight: 2, arbitrary: filled }, cut);
}

/** The given JSON value with one to three of its parts replaced by something else, or removed. */
export function damagedJson<T>(value: T): fc.Arbitrary<T> {
  const junk = fc.oneof(fc.constantFrom(...JUNK), fc.jsonValue({ maxDepth: 2 }));
  const change = fc.tuple(fc.infiniteStream(fc.nat(999)), fc.boolean(), junk);
  return fc.array(change, { minLength: 1, maxLength: 3 }).map((changes) => {
    const copy = structuredClone(value);
    for (const [steps, remove, replacement] of changes) {
      damage(copy, steps, remove, structuredClone(replacement));
    }
    return copy;
  });
}

/** Walks down at random, and changes what it ends at. */
function damage(root: unknown, steps: Stream, remove: boolean, replacement: unknown): void {
  let holder = root;
  while (typeof holder === "object" && holder !== null) {
    const keys = Object.keys(holder);
    if (keys.length === 0) return;
    const key = keys[next(steps) % keys.length]!;
    const child = (holder as Record<string, unknown>)[key];
    const leaf = typeof child !== "object" || child === null || Object.keys(child).length === 0;
    if (!leaf && next(steps) % 3 !== 0) {
      holder = child;
      continue;
    }
    if (!remove) (holder as Record<string, unknown>)[key] = replacement;
    else if (Array.isArray(holder)) holder.splice(Number(key), 1);
    else delete (holder as Record<string, unknown>)[key];
    return;
  }
}

type Stream = Iterator<number>;

function next(stream: Stream): number {
  return stream.next().value as number;
}

/** Runs a reader: it may accept what it is given, or refuse it as an MdiError; all else is a defect. */
export function acceptOrRefuse<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof MdiError && error.code !== "internal") return undefined;
    throw error;
  }
}

/** As {@linkcode acceptOrRefuse}, for readers of files. */
export async function acceptOrRefuseAsync<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof MdiError && error.code !== "internal") return undefined;
    throw error;
  }
}
