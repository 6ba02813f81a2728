/** Rings of really slow devices: each a process with a part of a core and little memory. */
import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { Cgroup, type CgroupLimits, noCgroups } from "./support/cgroup.ts";
import { type MdiProcess, startMdi } from "./support/mdi_process.ts";
import { modelNote, SMOLLM2_GGUF } from "./support/real_models.ts";

/** Cores of the starter and of two secondaries, which have 1 GB and 300 MB of memory. */
const RINGS: readonly (readonly number[])[] = [[0.4, 0.4, 0.4], [0.4, 0.2, 1], [0.2, 0.4, 1]];
const ROUNDS = 3;
const SAMPLES = 6;
const TOKENS = 100;
/** How far from what was predicted a ring of each kind may be: the median of its rounds. */
const TOLERANCE = 0.25;

const reason = await noCgroups();
const full = Deno.env.get("MDI_TEST_FULL") !== undefined;

/** Runs a ring as it plans itself: the tokens/s that it gave, over those that were predicted. */
async function measuredOverPredicted(cores: readonly number[]): Promise<number> {
  await using owned = new AsyncDisposableStack();
  const directory = await Deno.makeTempDir();
  owned.defer(() => Deno.remove(directory, { recursive: true }));
  const devices: CgroupLimits[] = cores.map((share, i) => ({
    cores: share,
    memoryBytes: i === 0 ? 1e9 : 300e6,
  }));
  const groups: Cgroup[] = [];
  for (const limits of devices) groups.push(owned.use(await Cgroup.make(limits)));
  const start = async (node: number, args: readonly string[]): Promise<MdiProcess> => {
    const process = startMdi(
      [...args, "--json", "--threads", "1", "--name", `node-${node}`],
      { home: join(directory, `${node}`), timeoutMs: 240_000 },
    );
    await groups[node]!.add(process.pid);
    return process;
  };
  const peers: string[] = [];
  for (let node = 1; node < cores.length; node++) {
    const secondary = owned.use(await start(node, ["--secondary", "--listen", "127.0.0.1:0"]));
    peers.push(String((await secondary.record(({ type }) => type === "ready")).address));
  }
  await using starter = await start(0, [
    ...["--starter", "--peers", peers.join(","), "--model", SMOLLM2_GGUF!, "--context", "256"],
    ...["--prompt-ids", "5", "--greedy", "--ignore-eos"],
    ...["--samples", `${SAMPLES}`, "--tokens", `${TOKENS}`],
  ]);
  const { code, records, stderr } = await starter.ended;
  assertEquals(code, 0, stderr);
  const uses = await Promise.all(groups.map((group) => group.use()));
  assertEquals(uses.map(({ killed }) => killed), uses.map(() => 0));
  uses.forEach(({ peakBytes }, i) => assert(peakBytes <= devices[i]!.memoryBytes));
  const summary = records.find(({ type }) => type === "summary")!;
  assertEquals(summary.tokens, SAMPLES * TOKENS);
  return Number(summary.tokens_per_second) / Number(summary.predicted_tokens_per_second);
}

for (const cores of RINGS) {
  Deno.test({
    name: `A ring of ${cores.join(", ")} cores gives what was predicted, and fits into its memory${
      reason === undefined
        ? modelNote(SMOLLM2_GGUF, "mdi pull, or set MDI_TEST_MODEL")
        : ` (no control groups: ${reason})`
    }`,
    ignore: reason !== undefined || SMOLLM2_GGUF === undefined || !full,
    async fn() {
      const ratios: number[] = [];
      for (let round = 0; round < ROUNDS; round++) ratios.push(await measuredOverPredicted(cores));
      const shown = ratios.map((ratio) => `${Math.round(100 * ratio)} %`).join(", ");
      // deno-lint-ignore no-console -- it is what the test is for
      console.log(`measured over predicted: ${shown}`);
      const median = ratios.sort((a, b) => a - b)[ROUNDS >> 1]!;
      assert(Math.abs(median - 1) <= TOLERANCE, shown);
    },
  });
}
