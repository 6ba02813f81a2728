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
const MAX_STREAMS = 64;
/** Bytes of a request's or response's headers. */
const MAX_HEADER_BYTES = 16 * 1024;

/** Most bytes of a DATA frame, where the peer does not ask for larger ones, and of a TLS record. */
const MAX_FRAME_BYTES = 2 ** 14;
/** Header of a DATA frame. */
const FRAME_HEADER_BYTES = 9;
/** Header, content type and authentication tag of a TLS 1.3 record. */
const RECORD_BYTES = 5 + 1 + 16;

/**
 * Bytes that `length` bytes of a stream take on a connection when they are written at once. Deno does not
 * count a socket's bytes under HTTP/2, so this follows from RFC 9113 (frames) and RFC 8446 (records).
 */
export function connectionBytes(length: number, encrypted: boolean): number {
  const framed = length + FRAME_HEADER_BYTES * Math.ceil(length / MAX_FRAME_BYTES);
  return encrypted ? framed + RECORD_BYTES * Math.ceil(framed / MAX_FRAME_BYTES) : framed;
}

/** The SETTINGS that a node sends. */
export function http2Settings(windowSize: number): Settings {
  return {
    enablePush: false,
    initialWindowSize: windowSize,
    maxConcurrentStreams: MAX_STREAMS,
    maxHeaderListSize: MAX_HEADER_BYTES,
  };
}
