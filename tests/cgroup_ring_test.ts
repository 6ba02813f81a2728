/** A ring of really slow devices, each a process with a part of a core and little memory. */
import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { planRing } from "../engine/plan/planner.ts";
import { Cgroup, type CgroupLimits, noCgroups } from "./support/cgroup.ts";
import { type MdiProcess, startMdi } from "./support/mdi_process.ts";
import { device, pacedProblem } from "./support/paced_devices.ts";
import { modelNote, SMOLLM2_GGUF } from "./support/real_models.ts";

/** A starter and two secondaries. */
const DEVICES: readonly CgroupLimits[] = [
  { cores: 1, memoryBytes: 1e9 },
  { cores: 0.4, memoryBytes: 300e6 },
  { cores: 0.2, memoryBytes: 300e6 },
];
/** The model's layers, and how many of them its head weighs. */
const LAYERS = 30;
const HEAD_LAYERS = 14;
const SAMPLES = 6;
const TOKENS = 64;

const reason = await noCgroups();
const full = Deno.env.get("MDI_TEST_FULL") !== undefined;

Deno.test({
  name:
    `A ring of devices with a part of a core and 300 MB each runs, and nobody is killed for memory${
      reason === undefined
        ? modelNote(SMOLLM2_GGUF, "mdi pull, or set MDI_TEST_MODEL")
        : ` (no control groups: ${reason})`
    }`,
  ignore: reason !== undefined || SMOLLM2_GGUF === undefined || !full,
  async fn() {
    await using owned = new AsyncDisposableStack();
    const directory = await Deno.makeTempDir();
    owned.defer(() => Deno.remove(directory, { recursive: true }));
    const groups: Cgroup[] = [];
    for (const limits of DEVICES) groups.push(owned.use(await Cgroup.make(limits)));
    const start = async (node: number, args: readonly string[]): Promise<MdiProcess> => {
      const process = startMdi(
        [...args, "--json", "--threads", "1", "--name", `node-${node}`],
        { home: join(directory, `${node}`), timeoutMs: 240_000 },
      );
      await groups[node]!.add(process.pid);
      return process;
    };
    const { order, counts } = planRing(pacedProblem(
      DEVICES.map(({ cores }) => device(1 / cores, 0, HEAD_LAYERS / cores)),
      { layers: LAYERS, samples: SAMPLES },
    ));
    const peers: string[] = [];
    for (const node of order.slice(1)) {
      const secondary = owned.use(await start(node, ["--secondary", "--listen", "127.0.0.1:0"]));
      peers.push(String((await secondary.record(({ type }) => type === "ready")).address));
    }
    await using starter = await start(0, [
      ...["--starter", "--peers", peers.join(","), "--layers", counts.join(",")],
      ...["--model", SMOLLM2_GGUF!, "--context", "128", "--prompt-ids", "5"],
      ...["--greedy", "--ignore-eos", "--samples", `${SAMPLES}`, "--tokens", `${TOKENS}`],
    ]);
    const { code, records, stderr } = await starter.ended;
    assertEquals(code, 0, stderr);
    const uses = await Promise.all(groups.map((group) => group.use()));
    assertEquals(uses.map(({ killed }) => killed), uses.map(() => 0));
    uses.forEach(({ peakBytes }, i) => assert(peakBytes <= DEVICES[i]!.memoryBytes));
    const summary = records.find(({ type }) => type === "summary")!;
    assertEquals(summary.tokens, SAMPLES * TOKENS);
  },
});
