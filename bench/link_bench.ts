/**
 * What a link costs: the round trip of a frame of one row of 576 values through a ring of two processes,
 * and the CPU time of a hop, both ends together. Frames go one after another (busy) and with a pause of
 * 4 ms after each (paced, as when decoding); the CPU that the same time costs without frames is
 * subtracted.
 *
 *     deno run -A bench/link_bench.ts
 */
import process from "node:process";
import type { FrameMessage } from "../engine/ring/message.ts";
import { createFrameCodec } from "../rpc/frame.ts";
import { deriveIdentity, type RingIdentity } from "../rpc/identity.ts";
import type { LinkReceiver } from "../rpc/link.ts";
import { connectLink } from "../rpc/link_connect.ts";
import { createLinkHandler } from "../rpc/link_handler.ts";
import { type NodeServer, serve } from "../rpc/server.ts";

const D_MODEL = 576;
const PAUSE_MS = 4;
const WARM_UP = 1500;
const codec = createFrameCodec({
  dModel: D_MODEL,
  dtype: "f32",
  edge: "stage",
  maxRows: 32,
  context: 2 ** 20,
});

if (Deno.args[0] === "peer") await echo(Number(Deno.args[1]), await identityOf(Deno.args[2]!));
else for (const security of ["h2c", "tls"]) await measure(security);

async function measure(security: string): Promise<void> {
  const identity = await identityOf(security);
  const node = await listen(identity);
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", import.meta.filename!, "peer", String(node.server.address.port), security],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const words = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const stdin = child.stdin.getWriter();
  const port = Number((await words.read()).value);
  const sender = await connectLink({ host: "127.0.0.1", port }, {
    identity,
    codec,
    epoch: 1,
    from: 0,
  });
  const frames = (await node.link)[Symbol.asyncIterator]();
  let position = 0;

  async function roundTrip(): Promise<number> {
    const start = performance.now();
    await sender.send(frame(position++));
    await frames.next();
    return performance.now() - start;
  }
  /** CPU time of both processes, in ms. */
  async function cpu(): Promise<number> {
    await stdin.write(new Uint8Array([10]));
    return cpuMs() + Number((await words.read()).value);
  }

  for (let i = 0; i < WARM_UP; i++) await roundTrip();
  for (const [mode, count, pauseMs] of [["busy", 5000, 0], ["paced", 800, PAUSE_MS]] as const) {
    const times: number[] = [];
    const before = await cpu();
    for (let i = 0; i < count; i++) {
      times.push(await roundTrip());
      if (pauseMs) await pause(pauseMs);
    }
    const spent = await cpu() - before;
    const idleBefore = await cpu();
    if (pauseMs) { for (let i = 0; i < count; i++) await pause(pauseMs); }
    const idle = await cpu() - idleBefore;
    times.sort((a, b) => a - b);
    const p = (share: number) => times[Math.floor(share * count)]!.toFixed(3);
    const hop = ((spent - idle) / count / 2).toFixed(3);
    await print(
      `${security} ${mode}: round trip p50 ${p(0.5)} ms, p99 ${p(0.99)} ms; CPU a hop ${hop} ms\n`,
    );
  }
  await sender[Symbol.asyncDispose]();
  await stdin.close();
  await words.cancel();
  await child.status;
  await node.server.close();
}

/** The other process: sends back what arrives and prints its CPU time for every line on stdin. */
async function echo(port: number, identity: RingIdentity | undefined): Promise<void> {
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
    routes: createLinkHandler(() => ({ codec, credits: 16, receive: resolve })),
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

async function identityOf(security: string): Promise<RingIdentity | undefined> {
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
