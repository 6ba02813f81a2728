/** A node to be killed: prints its port and serves the test services under the token of zeros. */
import { serveTest } from "./_test_util.ts";
import { deriveIdentity } from "./identity.ts";

const identity = await deriveIdentity(new Uint8Array(16), "victim");
const { server } = await serveTest({ identity });
await Deno.stdout.write(new TextEncoder().encode(`${server.address.port}\n`));
