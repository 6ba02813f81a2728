/** `mdi doctor` with nodes that are there: what it finds, and how it exits. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { serveNode } from "../mod.ts";
import { formatAddress } from "../rpc/address.ts";
import { Control } from "../rpc/gen/mdi/v1/control_pb.ts";
import { serve } from "../rpc/server.ts";
import { newToken } from "../rpc/token.ts";
import { WIRE_VERSION } from "../rpc/version.ts";
import { type Ended, type JsonRecord, runMdi, startSecondary } from "./support/mdi_process.ts";
import { temporaryDirectory } from "./support/refusal.ts";

const LOCAL = { host: "127.0.0.1", port: 0 };

function checkOf({ records, stderr }: Ended, name: string): JsonRecord {
  const found = records.find((record) => record.type === "check" && record.name === name);
  if (!found) throw new Error(`no ${name}: ${JSON.stringify(records)} ${stderr}`);
  return found;
}

Deno.test("mdi doctor tells good peers from bad ones", async (t) => {
  await using stack = new AsyncDisposableStack();
  const directory = stack.use(await temporaryDirectory());
  const home = (name: string) => join(directory.path, name);
  const [ours, theirs] = [newToken(), newToken()];
  const env = { MDI_TOKEN: ours };
  const doctor = (...args: string[]) =>
    runMdi(["doctor", "--listen", "127.0.0.1:0", ...args], { home: home("doctor"), env });

  const member = stack.use(await startSecondary({ home: home("member"), env }));
  const stranger = stack.use(
    await serveNode({ home: home("stranger"), listen: "127.0.0.1:0", token: theirs }),
  );
  const plain = stack.use(await serveNode({ home: home("plain"), listen: "127.0.0.1:0" }));
  const future = stack.use(
    await serve({
      listen: LOCAL,
      routes: (router) =>
        router.service(Control, {
          hello: () => ({ node: { wireVersion: WIRE_VERSION + 1, version: "99.0.0" } }),
        }),
    }),
  );

  await t.step("a good one", async () => {
    const ended = await doctor("--json", "--peers", member.address);
    assertEquals(ended.code, 0, ended.stderr);
    const peer = checkOf(ended, `peer ${member.address}`);
    assertEquals(peer.status, "good");
    const { rtt_ms: rtt, serving } = peer.value as { rtt_ms: number; serving: null };
    assert(rtt > 0 && rtt < 1000 && serving === null);
    const clock = checkOf(ended, `clock of ${member.address}`);
    assert(Math.abs(Number(clock.value)) < 1000 && clock.status === "good");
    assertEquals(checkOf(ended, "token").value, "$MDI_TOKEN");
    for (const name of ["simd", "memory", "store", "disk speed"]) checkOf(ended, name);
    assertEquals(ended.records.at(-1)?.type, "doctor");
    assert(!(ended.stdout + ended.stderr).includes(ours), "the token is shown");
  });

  await t.step("another token, and nobody there", async () => {
    const nobody = "127.0.0.1:1";
    const ended = await doctor("--json", "--peers", `${stranger.address},${nobody}`);
    assertEquals(ended.code, 5, ended.stderr);
    const refused = checkOf(ended, `peer ${stranger.address}`);
    assertEquals(refused.status, "bad");
    assertMatch(String(refused.action), /same token/);
    assertEquals(checkOf(ended, `peer ${nobody}`).status, "bad");
    assertEquals((await doctor("--peers", nobody)).code, 4);
  });

  await t.step("another wire version", async () => {
    const address = formatAddress(future.address);
    const { code, stdout } = await runMdi(
      ["doctor", "--listen", "127.0.0.1:0", "--peers", address],
      { home: home("doctor") },
    );
    assertEquals(code, 5, stdout);
    assertMatch(stdout, /BAD +peer \S+ +Cannot join with .*99\.0\.0/);
    assertMatch(stdout, /-> run the same release on both/);
  });

  await t.step("the port that a node of this device has", async () => {
    const ended = await runMdi(["doctor", "--json", "--listen", plain.address], {
      home: home("doctor"),
    });
    assertEquals(ended.code, 0, ended.stderr);
    const port = plain.address.split(":")[1];
    assertMatch(String(checkOf(ended, `port ${port}`).message), /mdi .* listens there/);
  });

  await t.step("the port that another program has", async () => {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr;
    const ended = await runMdi(["doctor", "--json", "--listen", `127.0.0.1:${port}`], {
      home: home("doctor"),
    });
    assertEquals(ended.code, 2, ended.stderr);
    assertEquals(checkOf(ended, `port ${port}`).status, "bad");
  });
});

Deno.test("mdi doctor goes on where a store or a token cannot be used", async () => {
  await using directory = await temporaryDirectory();
  const file = join(directory.path, "file");
  await Deno.writeTextFile(file, "");
  const ended = await runMdi(["doctor", "--json", "--token", "mdi1-no"], { home: file });
  assertEquals(ended.code, 6, ended.stderr);
  assertEquals(checkOf(ended, "store").status, "bad");
  assertEquals(checkOf(ended, "token").status, "bad");
  assertEquals(checkOf(ended, "network").status, "unknown");
  assert(!ended.stdout.includes("mdi1-no"));
});
