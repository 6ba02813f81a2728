/** Starting a ring leaves nothing behind, on either side. */
import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runMdi, startSecondaries } from "./support/mdi_process.ts";

const MODEL = fileURLToPath(new URL("fixtures/tiny-qwen2", import.meta.url));
const RUNS = 6;
/** Resident memory swings by some 60 MB with the time of the last garbage collection. */
const TOLERANCE_BYTES = 30e6;

Deno.test(`A ring of three starts ${RUNS} times in a row, and the secondaries stay as they are`, async () => {
  await using stack = new AsyncDisposableStack();
  const directory = await Deno.makeTempDir();
  stack.defer(() => Deno.remove(directory, { recursive: true }));
  const secondaries = await startSecondaries(2, directory, stack);
  const answers: unknown[] = [];
  const residents: number[][] = [];
  for (let run = 0; run < RUNS; run++) {
    const { code, records, stderr } = await runMdi([
      ..."--starter --json --quiet --dtype fp32 --layers 0,1,1 --greedy --tokens 8".split(" "),
      ...["--model", MODEL, "--prompt-ids", "5,6,7"],
      ...["--peers", secondaries.map(({ address }) => address).join(",")],
    ], { home: join(directory, "starter") });
    assertEquals(code, 0, stderr);
    const [sample, summary] = records.slice(-2) as unknown as [
      { ids: number[] },
      { nodes: { rss_bytes: number; weight_bytes_received: number }[] },
    ];
    answers.push(sample.ids);
    const nodes = summary.nodes.slice(1);
    residents.push(nodes.map((node) => node.rss_bytes));
    const received = nodes.map((node) => node.weight_bytes_received > 0);
    assertEquals(received, [run === 0, run === 0]);
  }
  assertEquals(answers, answers.map(() => answers[0]));
  secondaries.forEach((_, i) => {
    const resident = residents.map((run) => run[i]!);
    const half = RUNS / 2;
    const growth = Math.min(...resident.slice(half)) - Math.max(...resident.slice(0, half));
    assert(growth < TOLERANCE_BYTES, `a secondary grows: ${resident.join(", ")} bytes`);
  });
  for (const secondary of secondaries) {
    secondary.kill("SIGTERM");
    const { code, stderr } = await secondary.ended;
    assertEquals(code, 143, stderr);
    assertEquals(stderr.split("free again").length - 1, RUNS);
  }
});
