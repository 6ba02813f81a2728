/** Downloads one file: resumed after a break, of the size and hash that were announced, or not at all. */
import { MdiError } from "../../wasm/error.ts";
import { type Digest, sha256Of } from "../store/digest.ts";
import type { StoreLayout } from "../store/layout.ts";
import { publishChecked } from "../store/publish.ts";
import { Receiver } from "../store/receiver.ts";
import { get, type HttpAnswer, type HttpOptions, TransientError, withRetries } from "./http.ts";

/** A file to be fetched. */
export interface Download {
  /** For messages. */
  name: string;
  /** Where it is. */
  url: string;
  /** The store that it goes into. */
  layout: StoreLayout;
  /** Where in it; the partial file lies beside it. */
  destination: string;
  /** Its exact size. */
  bytes: number;
  /** Without one only the size is checked, and a broken download starts anew. */
  digest: Digest | undefined;
}

/** How a file is fetched. */
export interface DownloadOptions extends HttpOptions {
  /** Told the bytes that are there, of the whole. */
  onProgress?: ((received: number) => void) | undefined;
}

/**
 * Downloads a file. A partial file of an earlier attempt that turns out to be of other bytes is dropped.
 * @returns bytes that came over the network.
 * @throws {MdiError} model_missing where it cannot be had, model_corrupt where it is another file, disk.
 */
export async function download(file: Download, options: DownloadOptions): Promise<number> {
  await using receiver = await Receiver.open(file.destination, {
    what: file.name,
    bytes: file.bytes,
    digest: file.digest,
    resumable: file.digest !== undefined,
    signal: options.signal,
  });
  const resumed = receiver.offset > 0;
  let fetched = 0;
  let sealed: string;
  try {
    fetched = await receive(file, receiver, options);
    sealed = await receiver.seal();
  } catch (error) {
    const wrong = error instanceof MdiError && error.code === "model_corrupt";
    if (!wrong || !resumed) throw error;
    return await download(file, options);
  }
  const digest = file.digest ?? sha256Of(sealed);
  await publishChecked(file.layout, receiver, file.destination, digest);
  return fetched;
}

/** Fetches what is missing. @returns bytes that came. */
async function receive(
  file: Download,
  receiver: Receiver,
  options: DownloadOptions,
): Promise<number> {
  let fetched = 0;
  let best = receiver.offset;
  let etag: string | null = null;
  options.onProgress?.(receiver.offset);
  const attempt = async () => {
    if (receiver.offset === file.bytes) return;
    if (file.digest === undefined && etag === null) await receiver.restart();
    const answer = await get(file.url, rangeHeaders(receiver.offset, etag), options);
    try {
      await checkAnswer(file, answer, receiver);
      etag = strongEtag(answer.response);
      for await (const chunk of answer.body()) {
        await receiver.write(chunk);
        fetched += chunk.length;
        options.onProgress?.(receiver.offset);
      }
    } finally {
      await answer.done();
    }
    if (receiver.offset < file.bytes) {
      throw new TransientError(`it ended after ${receiver.offset} of ${file.bytes} bytes`);
    }
  };
  await withRetries(`fetch ${file.name}`, attempt, options, () => {
    const progressed = receiver.offset > best;
    best = Math.max(best, receiver.offset);
    return progressed;
  });
  return fetched;
}

/** An encoded body has another length than the file, so none is asked for. */
function rangeHeaders(offset: number, etag: string | null): Record<string, string> {
  const headers: Record<string, string> = { "accept-encoding": "identity" };
  if (offset > 0) headers.range = `bytes=${offset}-`;
  if (offset > 0 && etag !== null) headers["if-range"] = etag;
  return headers;
}

/** A weak etag may stand for other bytes, so it must not be used with If-Range (RFC 9110, 13.1.5). */
function strongEtag(response: Response): string | null {
  const etag = response.headers.get("etag");
  return etag?.startsWith('"') ? etag : null;
}

async function checkAnswer(file: Download, answer: HttpAnswer, receiver: Receiver): Promise<void> {
  const { status, headers } = answer.response;
  if (status === 416) {
    await receiver.restart();
    throw new TransientError("the server has no such range");
  }
  const type = headers.get("content-type") ?? "";
  if (type.startsWith("text/html") && !file.name.endsWith(".html")) {
    throw new MdiError(
      "model_missing",
      `Cannot fetch ${file.name}: ${answer.url.host} answered with a web page; a proxy or a login page ` +
        "may stand in between",
    );
  }
  let expected = file.bytes;
  if (status === 206) {
    const start = /^bytes (\d+)-/.exec(headers.get("content-range") ?? "")?.[1];
    if (Number(start) !== receiver.offset) {
      await receiver.restart();
      throw new TransientError(`the server sent the range ${headers.get("content-range")}`);
    }
    expected -= receiver.offset;
  } else if (receiver.offset > 0) {
    await receiver.restart();
  }
  const length = headers.get("content-length");
  if (length !== null && Number(length) !== expected) {
    throw new MdiError(
      "model_corrupt",
      `Cannot fetch ${file.name}: ${answer.url.host} announced ${length} bytes, expected ${expected}`,
      { details: { announced: Number(length), expected } },
    );
  }
}
