/** `--trace FILE`: what every node did, as a file that Perfetto (https://ui.perfetto.dev) opens. */
import { dirname } from "node:path";
import type { Recording } from "../engine/ring/recording.ts";
import { traceEvents, traceMetadata } from "../engine/ring/trace_events.ts";
import { MdiError, messageOf } from "../wasm/error.ts";

/** Characters that are written at once. */
const CHUNK = 1 << 16;

const encoder = new TextEncoder();

/** A file that is going to be written; disposing removes what is there of it. */
export interface TraceFile extends AsyncDisposable {
  /**
   * Writes the recording and puts the file in its place.
   * @throws {MdiError} disk
   */
  write(recording: Recording): Promise<void>;
}

/**
 * Finds out, before a run, whether there can be such a file after it.
 * @throws {MdiError} disk
 */
export async function openTraceFile(path: string): Promise<TraceFile> {
  // Beside its place, so that it can take it in one step.
  const part = `${path}.${crypto.randomUUID().slice(0, 8)}.part`;
  const file = await writing(path, async () => {
    const old = await Deno.stat(path).catch(() => null);
    if (old?.isDirectory) throw new Error("it is a directory");
    return await Deno.open(part, { write: true, createNew: true });
  });
  let placed = false;
  return {
    write: (recording) =>
      writing(path, async () => {
        await writeText(file, lines(recording));
        await Deno.rename(part, path);
        placed = true;
      }),
    async [Symbol.asyncDispose]() {
      file.close();
      if (!placed) await Deno.remove(part).catch(() => {}); // it is somebody else's by now
    },
  };
}

function* lines(recording: Recording): Generator<string> {
  yield `{"displayTimeUnit":"ms","otherData":${JSON.stringify(traceMetadata(recording))},\n`;
  yield '"traceEvents":[';
  let separator = "\n";
  for (const event of traceEvents(recording)) {
    yield separator + JSON.stringify(event);
    separator = ",\n";
  }
  yield "\n]}\n";
}

async function writeText(file: Deno.FsFile, texts: Iterable<string>): Promise<void> {
  let text = "";
  const flush = async () => {
    const bytes = encoder.encode(text);
    for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
    text = "";
  };
  for (const each of texts) {
    text += each;
    if (text.length >= CHUNK) await flush();
  }
  await flush();
}

async function writing<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const directory = await Deno.stat(dirname(path)).catch(() => null);
    const what = directory ? messageOf(cause) : `there is no directory ${dirname(path)}`;
    throw new MdiError(
      "disk",
      `Cannot write the trace to ${path}: ${what}; name another file with --trace`,
      { cause, details: { path } },
    );
  }
}
