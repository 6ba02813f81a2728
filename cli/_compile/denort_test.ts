import { assert, assertEquals, assertRejects } from "@std/assert";
import { fileURLToPath } from "node:url";
import { innermostCause, isUnavailable, run } from "./denort.ts";

/** What Deno 2.9 says without a network. */
const OFFLINE =
  `deno compile failed: error: Writing deno compile executable to temporary file 'a.tmp-5f'

Caused by:
    0: Setting up base binary.
    1: error sending request for url (https://host/denort.zip): client error (Connect): dns error
    2: client error (Connect)
    3: failed to lookup address information: Name or service not known`;

Deno.test("innermostCause() is one line", () => {
  assertEquals(
    innermostCause(OFFLINE),
    "failed to lookup address information: Name or service not known",
  );
  assertEquals(innermostCause("error: x\n\nCaused by:\n    no route"), "no route");
  assertEquals(innermostCause("error: download failed"), "download failed");
  assertEquals(innermostCause(""), "no reason is given");
});

Deno.test("isUnavailable() is not taken in by a path", () => {
  for (const text of [OFFLINE, "error: Download could not be found", "error: download failed"]) {
    assert(isUnavailable(text), text);
  }
  const full = "/home/me/Downloads/connect/deno compile failed: error: No space left on device";
  assert(!isUnavailable(full));
});

Deno.test("run() says what a program wrote, without escape codes", async () => {
  const failing = () =>
    run(Deno.execPath(), ["eval", "console.error('\\x1b[31mbad'); Deno.exit(1)"]);
  const error = await assertRejects(failing, Error, "eval failed: bad");
  assert(!error.message.includes("\x1b"));
});

Deno.test("deno task compile --help prints the usage", async () => {
  const script = fileURLToPath(new URL("compile.ts", import.meta.url));
  const usage = await run(Deno.execPath(), ["run", "--quiet", "-A", script, "--help"]);
  assert(usage.startsWith("Usage: deno task compile"));
  assert(usage.split("\n").every((line) => line.length <= 80), usage);
});
