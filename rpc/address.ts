/** Addresses as people type them: `HOST[:PORT]`, where HOST is a name, an IPv4 address or an [IPv6] one. */
import { lookup } from "node:dns/promises";
import { isIP, isIPv4, isIPv6 } from "node:net";
import { MdiError } from "../wasm/error.ts";

/** The port that a node listens on where none is given. */
export const DEFAULT_PORT = 9470;

/** A host and a port. */
export interface Address {
  /** A name in lower case, an IPv4 address, or an IPv6 address without brackets. */
  host: string;
  /** From 1 to 65535; 0 only in an address to listen on. */
  port: number;
}

const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;

/**
 * Reads the address of a peer.
 * @throws {TypeError} where the text is no address.
 * @throws {RangeError} where its port is out of range.
 */
export function parseAddress(text: string): Address {
  const address = parse(text, 1);
  if (isWildcard(address.host)) {
    throw new TypeError(
      `Cannot reach address "${text}": it stands for every address of a device; give one of them`,
    );
  }
  return address;
}

/**
 * Reads an address to listen on: port 0 lets the system choose one, 0.0.0.0 and [::] stand for all of
 * the device's addresses.
 * @throws {TypeError} where the text is no address.
 * @throws {RangeError} where its port is out of range.
 */
export function parseListen(text: string): Address {
  return parse(text, 0);
}

/**
 * Reads a list of peers, as in `a,b:9471`.
 * @throws {TypeError} where an entry is no address, or appears twice.
 * @throws {RangeError} where a port is out of range.
 */
export function parsePeers(text: string): Address[] {
  const peers = text.split(",").map((entry) => parseAddress(entry.trim()));
  requireDistinct(peers);
  return peers;
}

/**
 * Refuses a peer that is there twice or that is this node itself, as far as the addresses tell.
 * @param self what this node listens on.
 * @throws {TypeError} naming the peer.
 */
export function requireDistinct(peers: readonly Address[], self?: Address): void {
  const seen = new Set<string>();
  for (const peer of peers) {
    const text = formatAddress(peer);
    if (seen.has(text)) throw new TypeError(`Cannot use peer ${text} twice: leave one out`);
    if (self && isSelf(peer, self)) {
      throw new TypeError(`Cannot use peer ${text}: it is this node itself; leave it out`);
    }
    seen.add(text);
  }
}

/** Writes an address as {@linkcode parseAddress} reads it. */
export function formatAddress(address: Address): string {
  const { host, port } = address;
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}

/** One end of a connection as a socket tells it; an IPv4 address that it gives as IPv6 becomes IPv4. */
export function socketAddress(host: string | undefined, port: number | undefined): Address {
  return { host: (host ?? "").replace(/^::ffff:(?=\d+\.)/i, ""), port: port ?? 0 };
}

/** Whether a host can only be this very device: 127.0.0.0/8, ::1 or localhost. */
export function isLoopback(host: string): boolean {
  const plain = host.toLowerCase();
  if (isIPv4(plain)) return plain.startsWith("127.");
  return plain === "localhost" || plain === "::1" ||
    (isIPv6(plain) && /^::ffff:7f[0-9a-f]{2}:/.test(canonicalIPv6(plain)));
}

/**
 * The IP address of a host: itself, or what the system's resolver says. IPv4 is preferred, as the IPv6
 * addresses that local names resolve to are often link-local and useless without a zone.
 * @throws {MdiError} peer_unreachable where the name does not resolve; cancelled by the signal.
 */
export async function resolveHost(
  host: string,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<string> {
  if (isIP(host)) return host;
  const { signal } = options;
  const stopped = () =>
    new MdiError("cancelled", `Cannot resolve "${host}": cancelled`, { cause: signal?.reason });
  if (signal?.aborted) throw stopped();
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(stopped());
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    const found = await Promise.race([lookup(host, { all: true }), aborted.promise]);
    const best = found.find((entry) => entry.family === 4) ?? found[0];
    if (best) return best.address;
  } catch (cause) {
    if (cause instanceof MdiError) throw cause;
    throw unresolved(host, cause);
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
  throw unresolved(host);
}

function unresolved(host: string, cause?: unknown): MdiError {
  return new MdiError(
    "peer_unreachable",
    `Cannot reach "${host}": the name does not resolve; check the spelling or use its IP address`,
    { cause, details: { host } },
  );
}

function parse(text: string, minPort: number): Address {
  const refuse = (why: string) =>
    new TypeError(`Cannot read address "${text}": ${why}; write HOST or HOST:PORT`);
  if (text === "") throw refuse("it is empty");
  if (/\s/.test(text)) throw refuse("it has a space in it");
  if (/[/?#@]/.test(text)) throw refuse("it is a URL");
  const match = /^(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::([^:]*))?$/.exec(text);
  if (!match) {
    throw refuse(
      isIPv6(text) ? "an IPv6 address needs brackets, as in [::1]:9470" : "it is no address",
    );
  }
  const [, ipv6, name, port] = match;
  return {
    host: ipv6 === undefined ? parseName(name!, refuse) : parseIPv6(ipv6, refuse),
    port: port === undefined ? DEFAULT_PORT : parsePort(text, port, minPort),
  };
}

function parseIPv6(text: string, refuse: (why: string) => TypeError): string {
  if (text.includes("%")) throw refuse("IPv6 zones are not supported");
  if (!isIPv6(text)) throw refuse("what is in brackets is no IPv6 address");
  return canonicalIPv6(text);
}

function parseName(text: string, refuse: (why: string) => TypeError): string {
  if (isIPv4(text)) return text;
  const name = text.toLowerCase().replace(/\.$/, "");
  const labels = name.split(".");
  if (name === "") throw refuse("its host is empty");
  if (name.length > 253 || !labels.every((label) => LABEL.test(label))) {
    throw refuse("its host is no name");
  }
  // What ends in a number is an address to some parsers and a name to others.
  if (/^(\d+|0x[0-9a-f]*)$/.test(labels.at(-1)!)) throw refuse("its host is no IPv4 address");
  return name;
}

function parsePort(text: string, port: string, min: number): number {
  const number = /^\d{1,5}$/.test(port) ? Number(port) : NaN;
  if (!(number >= min && number <= 65535)) {
    throw new RangeError(`Cannot use port "${port}" of "${text}": it must be from ${min} to 65535`);
  }
  return number;
}

function canonicalIPv6(text: string): string {
  return new URL(`http://[${text.replace(/%.*$/, "")}]`).hostname.slice(1, -1);
}

/** Whether a host stands for all addresses of a device. */
export function isWildcard(host: string): boolean {
  return host === "0.0.0.0" || host === "::";
}

function isSelf(peer: Address, self: Address): boolean {
  if (peer.port !== self.port) return false;
  if (peer.host === self.host) return true;
  return isLoopback(peer.host) && (isLoopback(self.host) || isWildcard(self.host));
}
