/** Rings that know their devices: real processes measure themselves, and the plan decides. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { create } from "@bufbuild/protobuf";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { formatAddress, parseAddress } from "../rpc/address.ts";
import { ControlService } from "../rpc/control_service.ts";
import { describeDevice } from "../rpc/device.ts";
import { type Control, HelloResponseSchema, IdentitySchema } from "../rpc/gen/mdi/v1/control_pb.ts";
import { Peer } from "../rpc/peer.ts";
import { ringRoutes } from "../rpc/ring_service.ts";
import { serve } from "../rpc/server.ts";
import { openStore } from "../engine/store/store.ts";
import { type JsonRecord, runMdi, startSecondary } from "./support/mdi_process.ts";

const MODEL = fileURLToPath(new URL("fixtures/tiny-llama-tied", import.meta.url));
const RUN = ["--starter", "--json", "--model", MODEL, "--threads", "1", "--greedy", "--ignore-eos"];

/** A node of a summary's record. */
interface NodeRecord {
  name: string;
  layers: [number, number] | null;
  compute_ms_per_token: number;
  predicted_ms_per_token: number | null;
}

/** A directory until the stack is disposed. */
async function temporary(stack: AsyncDisposableStack): Promise<string> {
  const directory = await Deno.makeTempDir({ prefix: "mdi-test-" });
  stack.defer(() => Deno.remove(directory, { recursive: true }));
  return directory;
}

/** A file that makes a node as slow as that, in ms for each layer and the head. */
async function paceFile(directory: string, layer: number): Promise<string> {
  const path = join(directory, `pace-${layer}.json`);
  await Deno.writeTextFile(path, JSON.stringify({ layer, head: layer }));
  return path;
}

/** Free nodes of these paces, in ms for each layer. */
async function pacedNodes(
  directory: string,
  paces: readonly number[],
  stack: AsyncDisposableStack,
): Promise<string[]> {
  const started = await Promise.all(paces.map(async (layer, i) => {
    const pace = await paceFile(directory, layer);
    return await startSecondary(
      { home: join(directory, `secondary-${i}`) },
      ["--threads", "1", "--pace", pace],
    );
  }));
  return started.map((each) => stack.use(each).address);
}

/** Fails where the node is not free. */
async function requireFree(address: string): Promise<void> {
  const options = { identity: undefined, name: "test", needed: [] };
  await using _free = await Peer.connect(parseAddress(address), options);
}

Deno.test("A ring of three is planned by what its processes measure, in the order that is best", async (t) => {
  await using stack = new AsyncDisposableStack();
  const directory = await temporary(stack);
  const home = join(directory, "starter");
  const peers = await pacedNodes(directory, [20, 20, 200], stack);
  const slow = peers[2]!;
  const paced = ["--pace", await paceFile(directory, 20)];
  const prompts = ["--prompt-ids", "5,6,7", "--samples", "6", "--tokens", "12"];

  await t.step("the plan is the default, leaves the slow node out and says so", async () => {
    const { code, records, stderr } = await runMdi(
      [...RUN, ...paced, ...prompts, "--peers", peers.join()],
      { home },
    );
    assertEquals(code, 0, stderr);
    assertMatch(stderr, new RegExp(`Leave ${slow} out: [\\d.]+ tokens/s with it, [\\d.]+ without`));
    assertMatch(stderr, /predicted: [\d.]+ tokens\/s/);
    const summary = records.at(-1) as JsonRecord & {
      nodes: NodeRecord[];
      tokens_per_second: number;
      predicted_tokens_per_second: number;
    };
    const names = summary.nodes.map(({ name }) => name);
    assertEquals(names.slice(1).sort(), peers.slice(0, 2).sort());
    const counts = summary.nodes.map(({ layers }) => layers ? layers[1] - layers[0] + 1 : 0);
    // Head takes as long as a layer: one layer and head, two layers, one layer; or the like.
    assertEquals([Math.max(...counts), counts.reduce((a, b) => a + b)], [2, 4]);
    const share = summary.tokens_per_second / summary.predicted_tokens_per_second;
    assert(share > 0.7 && share < 1.15, `${share} of what was predicted`);
    for (const { predicted_ms_per_token: predicted, compute_ms_per_token: ms } of summary.nodes) {
      assert(Math.abs(ms / predicted! - 1) < 0.25, `${ms} ms, predicted ${predicted}`);
    }
    await requireFree(slow);
  });

  await t.step("one sample takes no node for which it would only wait", async () => {
    const { records, stderr } = await runMdi(
      [...RUN, ...paced, "--prompt-ids", "5", "--tokens", "2", "--peers", peers[0]!],
      { home },
    );
    const { nodes } = records.at(-1) as JsonRecord & { nodes: NodeRecord[] };
    assertEquals(nodes.map(({ layers }) => layers), [[0, 3]], stderr);
    await requireFree(peers[0]!);
  });

  await t.step("--layers says it for those who know better", async () => {
    const { records, stderr } = await runMdi(
      [
        ...[...RUN, ...paced, "--prompt-ids", "5", "--tokens", "2"],
        ...["--peers", `${slow},${peers[0]}`, "--layers", "2,1,1"],
      ],
      { home },
    );
    assert(!stderr.includes("predicted"), stderr);
    const { nodes, predicted_tokens_per_second: predicted } = records.at(-1) as JsonRecord & {
      nodes: NodeRecord[];
    };
    assertEquals(nodes.slice(1).map(({ name }) => name), [slow, peers[0]]);
    assertEquals([predicted, nodes[0]!.predicted_ms_per_token], [null, null]);
  });

  await t.step("mdi plan --peers tells it without a ring", async () => {
    const args = ["plan", "--model", MODEL, ...paced, "--peers", peers.join(), "--samples", "6"];
    const text = await runMdi([...args, "--threads", "1"], { home });
    assertEquals(text.code, 0, text.stderr);
    for (const part of ["round trip ms", "Mbit/s", "left out", "ring of 4", `Leave ${slow} out`]) {
      assertStringIncludes(text.stdout, part);
    }
    const json = await runMdi([...args, "--threads", "1", "--json", "--measure"], { home });
    assertEquals(json.records.length, 1, json.stderr);
    const [record] = json.records as [JsonRecord & Record<string, unknown[]>];
    assertEquals(record.left_out, [slow]);
    assertEquals([record.nodes!.length, record.by_nodes!.length, record.links!.length], [4, 4, 12]);
    for (const peer of peers) await requireFree(peer);
  });
});

Deno.test("A node of a release that does not measure itself gets its share by cores and memory", async () => {
  await using stack = new AsyncDisposableStack();
  const directory = await temporary(stack);
  const older = await olderNode(join(directory, "older"), stack);
  const { code, stderr, records } = await runMdi(
    [...RUN, "--prompt-ids", "5", "--tokens", "2", "--peers", older],
    { home: join(directory, "starter") },
  );
  assertEquals(code, 0, stderr);
  assertStringIncludes(stderr, `Cannot measure ${older} (mdi 0.0.9)`);
  const { nodes } = records.at(-1) as JsonRecord & { nodes: NodeRecord[] };
  assertEquals(nodes.length, 2);
  const plan = await runMdi(["plan", "--model", MODEL, "--peers", older], {
    home: join(directory, "starter"),
  });
  assertEquals(plan.code, 5, plan.stderr);
});

/** A node that has all but the capability, and not the services that go with it. */
async function olderNode(home: string, stack: AsyncDisposableStack): Promise<string> {
  const store = await openStore(home);
  const node = { store, identity: undefined, backend: "auto", threads: 1 } as const;
  const limits = { backend: "auto", threads: 1, memoryBytes: null } as const;
  const control = new ControlService({
    name: "older",
    store,
    describe: () => describeDevice(home, limits),
    serve: { ...node, memoryBytes: null, pace: null },
    log() {},
  });
  const server = stack.use(
    await serve({
      listen: { host: "127.0.0.1", port: 0 },
      routes(router) {
        const service = router.service.bind(router);
        control.routes(Object.assign(router, {
          service: ((definition: typeof Control, implementation: object) => {
            const { profile: _p, measureLinks: _m, echo: _e, hello: _h, ...rest } =
              implementation as Record<string, unknown>;
            return service(definition, {
              ...rest,
              hello: async () =>
                create(HelloResponseSchema, {
                  node: create(IdentitySchema, { wireVersion: 1, version: "0.0.9", name: "older" }),
                  device: await describeDevice(home, limits),
                  instance: "older",
                }),
            });
          }) as typeof router.service,
        }));
        router.service = service;
        ringRoutes(router, () => control.membership);
      },
    }),
  );
  return formatAddress(server.address);
}
