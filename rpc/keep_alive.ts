/**
 * Pings over HTTP/2. A killed process closes its sockets and is seen at once; a cable pulled out or a
 * machine without power is seen only by a ping that is not answered.
 */
import type { Http2Session } from "node:http2";

/** How often to ping, and how long to wait. */
export interface KeepAliveOptions {
  /** Time between two pings in ms. */
  intervalMs: number;
  /** How long to wait for an answer in ms. */
  timeoutMs: number;
  /** Called with the round trip of every answered ping, in ms. */
  onRoundTrip?: (ms: number) => void;
  /** Called once, when a ping was not answered in time. */
  onSilence: () => void;
}

/**
 * After the limit the event loop gets this long to read the socket: a thread that was busy itself finds
 * the answer there before it blames the peer.
 */
const GRACE_MS = 50;

/** Pings a session until it closes. */
export function keepAlive(session: Http2Session, options: KeepAliveOptions): void {
  let limit: ReturnType<typeof setTimeout> | undefined;
  const alive = () => {
    clearTimeout(limit);
    limit = undefined;
  };
  const interval = setInterval(() => {
    if (limit !== undefined || session.destroyed || session.closed) return;
    const start = performance.now();
    limit = setTimeout(() => {
      limit = setTimeout(options.onSilence, GRACE_MS);
    }, options.timeoutMs);
    session.ping(new Uint8Array(8), (error) => {
      alive();
      if (!error) options.onRoundTrip?.(performance.now() - start);
    });
  }, options.intervalMs);
  // A ping from the peer shows as much as an answer, and Deno 2.7 reports answers as pings.
  session.on("ping", alive);
  session.once("close", () => {
    clearInterval(interval);
    clearTimeout(limit);
  });
}
