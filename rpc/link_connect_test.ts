import { type LinkKind, testLink } from "./_link_contract.ts";
import { deriveIdentity } from "./identity.ts";
import type { RingIdentity } from "./identity.ts";
import type { LinkAcceptor } from "./link.ts";
import { connectLink, openLink } from "./link_connect.ts";
import { createLinkHandler } from "./link_handler.ts";
import { serve } from "./server.ts";
import { openSession } from "./session.ts";

const identity = await deriveIdentity(new Uint8Array(16), "test");

testLink("openLink() over one session", () => start(undefined, true));
testLink("connectLink() with mutual TLS", () => start(identity, false));

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
