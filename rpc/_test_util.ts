/** What the tests of this folder share: services to call, certificates to refuse, descriptors to count. */
import "reflect-metadata"; // before x509, which needs it
import { RING_SERVER_NAME, type RingIdentity } from "./identity.ts";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { type ConnectRouter, createClient } from "@connectrpc/connect";
import type { Client } from "@connectrpc/connect";
import {
  BasicConstraintsExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";
import type { Address } from "./address.ts";
import { Control } from "./gen/mdi/v1/control_pb.ts";
import { Ring } from "./gen/mdi/v1/ring_pb.ts";
import { peerOf } from "./request_handler.ts";
import { type NodeServer, serve, type ServeOptions } from "./server.ts";
import { openSession, type Session, type SessionOptions } from "./session.ts";

/** What the test services saw. */
export interface Seen {
  /** Names of the callers of Hello. */
  callers: (string | undefined)[];
  /** How many messages Fetch handlers have sent. */
  fetchedMessages: number;
  /** How many Fetch handlers have ended. */
  fetchesEnded: number;
  /** How many Link handlers have ended. */
  linksEnded: number;
}

/** A server of test services on a free port of loopback. */
export async function serveTest(
  options: Partial<ServeOptions> = {},
): Promise<{ server: NodeServer; seen: Seen } & AsyncDisposable> {
  const seen: Seen = { callers: [], fetchedMessages: 0, fetchesEnded: 0, linksEnded: 0 };
  const server = await serve({
    listen: { host: "127.0.0.1", port: 0 },
    routes: testRoutes(seen),
    ...options,
  });
  return { server, seen, [Symbol.asyncDispose]: () => server.close() };
}

/** Hello names the caller, Fetch sends `offset` messages of 64 KB, Link grants a credit a message. */
export function testRoutes(seen: Seen): (router: ConnectRouter) => void {
  return (router) => {
    router.service(Control, {
      hello(_, context) {
        const { name } = peerOf(context);
        seen.callers.push(name);
        return { serving: name ?? "nobody" };
      },
      async *fetch(request) {
        try {
          for (let i = 0n; i < request.offset; i++) {
            seen.fetchedMessages++;
            yield { data: new Uint8Array(65536) };
          }
        } finally {
          seen.fetchesEnded++;
        }
      },
    });
    router.service(Ring, {
      async *link(messages) {
        try {
          yield { credits: 1 };
          for await (const _ of messages) yield { credits: 1 };
        } finally {
          seen.linksEnded++;
        }
      },
    });
  };
}

/** A session to a test server. */
export function sessionTo(server: NodeServer, options: SessionOptions = {}): Session {
  return openSession({ ...server.address }, options);
}

/** A client of the Control service. */
export function controlOf(session: Session): Client<typeof Control> {
  return createClient(Control, session.transport);
}

/** An HTTP/2 connection to a test server with nothing of mdi in between. */
export interface RawConnection extends AsyncDisposable {
  readonly session: ClientHttp2Session;
}

/**
 * Connects without mdi's own session. Disposing destroys the socket: the session's own close() and
 * destroy() send a GOAWAY, on which Deno 2.9 may crash (denoland/deno#36788).
 */
export function rawConnectionTo(server: NodeServer): RawConnection {
  const { host, port } = server.address;
  const socket = connect(port, host);
  const session = connectHttp2(`http://${host}:${port}`, { createConnection: () => socket });
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  socket.on("error", () => {});
  session.on("error", () => {});
  return {
    session,
    async [Symbol.asyncDispose]() {
      socket.destroy();
      await closed;
    },
  };
}

/** What Hello says about the caller. */
export async function hello(session: Session): Promise<string> {
  return (await controlOf(session).hello({})).serving;
}

/** Open descriptors of this process; undefined where the system does not tell. */
export function openDescriptors(): number | undefined {
  try {
    return [...Deno.readDirSync("/proc/self/fd")].length;
  } catch {
    return undefined;
  }
}

/** Waits until a condition holds. */
export async function until(condition: () => boolean, limitMs = 3000): Promise<void> {
  const end = performance.now() + limitMs;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`Condition does not hold after ${limitMs} ms`);
    await pause(5);
  }
}

/** Waits. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** A port on which nothing listens. */
export async function freePort(): Promise<number> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  await pause(0);
  return port;
}

/** A TCP relay that can fall silent in both directions without closing, as a pulled cable does. */
export async function relayTo(target: Address): Promise<Relay> {
  const sockets = new Set<Socket>();
  let silent = false;
  let carried = 0;
  const relay = createServer((near) => {
    const far = connect(target.port, target.host);
    for (const [from, to] of [[near, far], [far, near]] as const) {
      sockets.add(from);
      from.on("data", (data) => {
        if (from === near) carried += data.length;
        if (!silent) to.write(data);
      });
      from.on("error", () => {});
      from.on("close", () => silent || to.destroy());
    }
  });
  await new Promise<void>((resolve) => relay.listen(0, "127.0.0.1", resolve));
  return {
    address: { host: "127.0.0.1", port: (relay.address() as AddressInfo).port },
    carried: () => carried,
    silence: () => silent = true,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => relay.close(resolve));
    },
  };
}

/** What {@linkcode relayTo} makes. */
export interface Relay extends AsyncDisposable {
  /** Where it listens. */
  address: Address;
  /** Bytes that came to it from those who connected. */
  carried(): number;
  /** Stops passing bytes on. */
  silence(): void;
}

/** A TCP server that does as told with every connection. */
export async function tcpServer(
  onConnection: (socket: Socket) => void,
): Promise<{ address: Address } & AsyncDisposable> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: { host: "127.0.0.1", port: (server.address() as AddressInfo).port },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A ring whose authority the tests hold: a good member, and one whose certificate has expired. */
export async function ringWithExpiredMember(): Promise<Record<"good" | "expired", RingIdentity>> {
  const algorithm = { name: "Ed25519" } as const;
  const makeKeys = () => crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const authority = await makeKeys() as CryptoKeyPair;
  const ca = await X509CertificateGenerator.createSelfSigned({
    name: "CN=mdi ring",
    notBefore: new Date(0),
    notAfter: new Date("2100-01-01"),
    signingAlgorithm: algorithm,
    keys: authority,
    extensions: [new BasicConstraintsExtension(true, 0, true)],
  });
  const member = async (name: string, notAfter: Date): Promise<RingIdentity> => {
    const keys = await makeKeys() as CryptoKeyPair;
    const cert = await X509CertificateGenerator.create({
      issuer: ca.subject,
      subject: `CN=${name}`,
      notBefore: new Date(0),
      notAfter,
      signingAlgorithm: algorithm,
      publicKey: keys.publicKey,
      signingKey: authority.privateKey,
      extensions: [new SubjectAlternativeNameExtension([{ type: "dns", value: RING_SERVER_NAME }])],
    });
    const key = PemConverter.encode(
      await crypto.subtle.exportKey("pkcs8", keys.privateKey),
      PemConverter.PrivateKeyTag,
    );
    return { name, ca: ca.toString("pem"), cert: cert.toString("pem"), key, fingerprint: "" };
  };
  return {
    good: await member("good", new Date("2100-01-01")),
    expired: await member("expired", new Date("2001-01-01")),
  };
}
