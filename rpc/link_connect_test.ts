import { assertAlmostEquals } from "@std/assert";
import { type LinkKind, row, SMALL, testLink } from "./_link_contract.ts";
import { relayTo } from "./_test_util.ts";
import { createFrameCodec } from "./frame.ts";
import { deriveIdentity } from "./identity.ts";
import type { RingIdentity } from "./identity.ts";
import type { LinkAcceptor, LinkReceiver } from "./link.ts";
import { connectLink, openLink } from "./link_connect.ts";
import { createLinkHandler } from "./link_handler.ts";
import { serve } from "./server.ts";
import { openSession } from "./session.ts";

const ringIdentity = await deriveIdentity(new Uint8Array(16), "test");

testLink("openLink() over one session", () => start(undefined, true));
testLink("connectLink() with mutual TLS", () => start(ringIdentity, false));

for (const [how, identity] of [["plain", undefined], ["with TLS", ringIdentity]] as const) {
  Deno.test(`bytesSent counts what crosses the connection, ${how}`, async () => {
    const received: Promise<void>[] = [];
    const codec = createFrameCodec({ ...SMALL, dModel: 4096 });
    await using server = await serve({
      listen: { host: "127.0.0.1", port: 0 },
      identity,
      routes: createLinkHandler(() => ({
        codec,
        credits: 8,
        receive: (link) => received.push(drain(link)),
      })),
    });
    await using relay = await relayTo(server.address);
    await using session = openSession(relay.address, { identity });
    await session.ready();
    const before = relay.carried();
    const sender = await openLink(session, { codec, epoch: 7, from: 0 });
    for (let i = 0; i < 200; i++) {
      const rows = i % 10 === 0 ? 32 : 1;
      await sender.send(row(i, {
        segments: [{ sample: 1, position: i, rows, wanted: 1 }],
        hidden: new Float32Array(rows * 4096).fill(i),
      }));
    }
    await sender[Symbol.asyncDispose]();
    await Promise.all(received);
    const carried = relay.carried() - before;
    // The stream's headers, credits and pings come on top.
    assertAlmostEquals(sender.bytesSent / carried, 1, 0.01);
  });
}

async function drain(link: LinkReceiver): Promise<void> {
  for await (const _ of link);
}

/** A server whose links each go to the acceptor that was given when they were opened. */
async function start(
  identity: RingIdentity | undefined,
  shared: boolean,
): Promise<LinkKind> {
  const acceptors: LinkAcceptor[] = [];
  const server = await serve({
    listen: { host: "127.0.0.1", port: 0 },
    identity,
    routes: createLinkHandler((hello) => acceptors.shift()!(hello)),
  });
  const session = openSession(server.address, { identity });
  return {
    open(accept, options) {
      if (!options.signal?.aborted) acceptors.push(accept);
      return shared
        ? openLink(session, options)
        : connectLink(server.address, { ...options, identity });
    },
    async [Symbol.asyncDispose]() {
      await session[Symbol.asyncDispose]();
      await server.close();
    },
  };
}
