import { assertEquals, assertThrows } from "@std/assert";
import { MdiError } from "../wasm/error.ts";
import { requireTokenBeyondLoopback } from "./admission.ts";

const LOCAL = { host: "127.0.0.1", port: 9471 };
const EVERYWHERE = { host: "0.0.0.0", port: 9470 };
const OTHER = { host: "10.0.0.2", port: 9470 };

Deno.test("requireTokenBeyondLoopback() allows loopback, and everything with a token", () => {
  requireTokenBeyondLoopback({ hasToken: false });
  requireTokenBeyondLoopback({ hasToken: false, listen: LOCAL, peers: [LOCAL] });
  requireTokenBeyondLoopback({ hasToken: true, listen: EVERYWHERE, peers: [OTHER] });
});

Deno.test("requireTokenBeyondLoopback() refuses the rest and says what to type", () => {
  for (
    const [reach, what] of [
      [{ listen: EVERYWHERE }, "listen on 0.0.0.0:9470"],
      [{ listen: LOCAL, peers: [LOCAL, OTHER] }, "dial 10.0.0.2:9470"],
      [{ peers: [{ host: "localhost.evil.com", port: 1 }] }, "dial localhost.evil.com:1"],
    ] as const
  ) {
    const refuse = () => requireTokenBeyondLoopback({ hasToken: false, ...reach });
    const error = assertThrows(refuse, MdiError, what);
    assertEquals(error.code, "refused_token");
    for (const words of ["mdi token new", "export MDI_TOKEN=", "--listen 127.0.0.1"]) {
      assertEquals(error.message.includes(words), true);
    }
  }
});
