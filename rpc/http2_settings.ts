/** What both ends of an HTTP/2 connection between nodes agree on. */
import type { Settings } from "node:http2";

/**
 * Flow-control window of a stream and of a connection, in bytes. HTTP/2's 64 KB halts a link of 4 ms
 * round trip at a tenth of a gigabit network; with 16 MB, small frames wait behind bulk.
 */
export const WINDOW_BYTES = 2 ** 20;
/** Longest message that is read, in bytes: a prefill chunk or a manifest with room to spare. */
export const READ_MAX_BYTES = 16 * 2 ** 20;
/** Streams that one connection may have open. */
export const MAX_STREAMS = 64;
/** Bytes of a request's or response's headers. */
const MAX_HEADER_BYTES = 16 * 1024;

/** The SETTINGS that a node sends. */
export function http2Settings(windowSize: number): Settings {
  return {
    enablePush: false,
    initialWindowSize: windowSize,
    maxConcurrentStreams: MAX_STREAMS,
    maxHeaderListSize: MAX_HEADER_BYTES,
  };
}
