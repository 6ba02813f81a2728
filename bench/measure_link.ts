/**
 * What a link costs: frames of one row go through a ring of two processes, one after another (busy) or
 * with a pause after each (paced, as when decoding).
 */
import process from "node:process";
import { type FrameMessage, LINK_CREDITS } from "../engine/ring/message.ts";
import { createFrameCodec } from "../rpc/frame.ts";
import { deriveIdentity, type RingIdentity } from "../rpc/identity.ts";
import type { LinkReceiver } from "../rpc/link.ts";
import { connectLink } from "../rpc/link_connect.ts";
import { createLinkHandler } from "../rpc/link_handler.ts";
import { type NodeServer, serve } from "../rpc/server.ts";

/** Whether a link is over plain HTTP/2 or mutual TLS. */
export type Security = "h2c" | "tls";

/** A run of frames. */
export interface LinkRun {
  /** Number of frames. */
  count: number;
  /** Milliseconds between an answer and the next frame. */
  pauseMs: number;
}

/** What a run of frames cost. A hop is one frame from one process to the other. */
export interface LinkCost {
  security: Security;
  pauseMs: number;
  /** Of every frame, two hops, to the microsecond. */
  roundTripMs: number[];
  /** CPU time of a hop, both ends together, without what the same time costs when nothing is sent. */
  cpuMsPerHop: number;
  /** Time in which this process encoded a frame and gave it to its socket. */
  encodeMsPerFrame: number;
}

const D_MODEL = 576;
/** Frames before anything is measured: cold code takes several times as long. */
const WARM_UP = 3000;
const codec = createFrameCodec({
  dModel: D_MODEL,
  dtype: "f32",
  edge: "stage",
  maxRows: 32,
  context: 2 ** 20,
});

/** Measures runs of frames over one link, with the other process running `peerScript peer PORT SECURITY`. */
export async function measureLink(
  peerScript: string,
  security: Security,
  runs: readonly LinkRun[],
): Promise<LinkCost[]> {
  await using stack = new AsyncDisposableStack();
  const identity = await identityOf(security);
  const node = await listen(identity);
  stack.defer(() => node.server.close());
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", peerScript, "peer", String(node.server.address.port), security],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const words = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const stdin = child.stdin.getWriter();
  stack.defer(async () => {
    await stdin.close();
    await words.cancel();
    await child.status;
  });
  const port = Number((await words.read()).value);
  const sender = stack.use(
    await connectLink({ host: "127.0.0.1", port }, { identity, codec, epoch: 1, from: 0 }),
  );
  const frames = (await node.link)[Symbol.asyncIterator]();
  let position = 0;

  async function roundTrip(): Promise<number> {
    const start = performance.now();
    await sender.send(frame(position++));
    await frames.next();
    return Math.round((performance.now() - start) * 1000) / 1000;
  }
  /** CPU time of both processes, in ms. */
  async function cpu(): Promise<number> {
    await stdin.write(new Uint8Array([10]));
    return cpuMs() + Number((await words.read()).value);
  }

  for (let i = 0; i < WARM_UP; i++) await roundTrip();
  const costs: LinkCost[] = [];
  for (const { count, pauseMs } of runs) {
    const roundTripMs: number[] = [];
    const encodeBefore = sender.encodeMs;
    const before = await cpu();
    for (let i = 0; i < count; i++) {
      roundTripMs.push(await roundTrip());
      if (pauseMs > 0) await pause(pauseMs);
    }
    const spent = await cpu() - before;
    const encodeMsPerFrame = (sender.encodeMs - encodeBefore) / count;
    const idleBefore = await cpu();
    if (pauseMs > 0) { for (let i = 0; i < count; i++) await pause(pauseMs); }
    const idle = await cpu() - idleBefore;
    costs.push({
      security,
      pauseMs,
      roundTripMs,
      cpuMsPerHop: (spent - idle) / count / 2,
      encodeMsPerFrame,
    });
  }
  return costs;
}

/** The other process: sends back what arrives and prints its CPU time for every line on stdin. */
export async function echoLink(port: number, security: Security): Promise<void> {
  const identity = await identityOf(security);
  const node = await listen(identity);
  await print(`${node.server.address.port}\n`);
  const sender = await connectLink({ host: "127.0.0.1", port }, {
    identity,
    codec,
    epoch: 1,
    from: 1,
  });
  const answering = (async () => {
    for await (const _ of Deno.stdin.readable) await print(`${cpuMs()}\n`);
  })();
  for await (const message of await node.link) await sender.send(message);
  await answering;
  await sender[Symbol.asyncDispose]();
  await node.server.close();
}

async function listen(
  identity: RingIdentity | undefined,
): Promise<{ server: NodeServer; link: Promise<LinkReceiver> }> {
  const { promise, resolve } = Promise.withResolvers<LinkReceiver>();
  const server = await serve({
    listen: { host: "127.0.0.1", port: 0 },
    identity,
    routes: createLinkHandler(() => ({ codec, credits: LINK_CREDITS, receive: resolve })),
  });
  return { server, link: promise };
}

function frame(position: number): FrameMessage {
  return {
    kind: "frame",
    epoch: 1,
    segments: [{ sample: 1, position, rows: 1, wanted: 1 }],
    hidden: new Float32Array(D_MODEL),
  };
}

async function identityOf(security: Security): Promise<RingIdentity | undefined> {
  return security === "tls" ? await deriveIdentity(new Uint8Array(16), "bench") : undefined;
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

async function print(text: string): Promise<void> {
  await Deno.stdout.write(new TextEncoder().encode(text));
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
