/**
 * What happens to a ring of processes when one of them goes in the midst of a generation. Two secondaries
 * serve every ring of this file: that a ring starts shows that the one before it left them free.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  type JsonRecord,
  type MdiProcess,
  runMdi,
  type Secondary,
  startMdi,
  startSecondaries,
} from "./support/mdi_process.ts";

const MODEL = fileURLToPath(new URL("fixtures/tiny-llama-tied", import.meta.url));
/** How soon a lost process must have its consequence, in ms. */
const SOON_MS = 1000;

Deno.test("A ring of processes outlives whichever of them goes", async (t) => {
  await using stack = new AsyncDisposableStack();
  const directory = await Deno.makeTempDir();
  stack.defer(() => Deno.remove(directory, { recursive: true }));
  const home = join(directory, "starter");
  const [a, b, c] = await startSecondaries(3, directory, stack) as [
    Secondary,
    Secondary,
    Secondary,
  ];

  for (const [signal, status] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGKILL", 137]] as const) {
    await t.step(`the starter gets ${signal}: the secondaries are free at once`, async () => {
      await using starter = await generating([a, b], home);
      if (signal === "SIGINT") await refusesAnother([b, a], home);
      const free = [a, b].map((each) => freed(each));
      const start = performance.now();
      starter.kill(signal);
      await Promise.all(free);
      assert(performance.now() - start < SOON_MS, "the secondaries took too long");
      assertEquals((await starter.ended).code, status);
    });
  }

  for (const [which, silent, other] of [["first", b, a], ["last", a, b]] as const) {
    await t.step(
      `the ${which} secondary falls silent: it is lost, and wakes to serve again`,
      async () => {
        await using starter = await generating([b, a], home);
        const free = freed(other);
        const start = performance.now();
        silent.kill("SIGSTOP");
        try {
          // A ping is due within 250 ms and waited for during 1500; nothing waits for a link to it.
          await Promise.all([lost(starter, silent), free]);
          assert(performance.now() - start < 1750 + SOON_MS, "it took too long");
        } finally {
          silent.kill("SIGCONT");
        }
        await until(() => timesFree(silent) === timesClaimed(silent));
      },
    );
  }

  await t.step("a secondary is killed while it loads: the starter names it", async () => {
    await using starter = startMdi([...starterArgs([a, c]), "--layers", "1,1,2"], { home });
    await until(() => c.stderr().includes("loading layers"));
    c.kill("SIGKILL");
    await lost(starter, c);
    await until(() => timesFree(a) === timesClaimed(a));
  });

  await t.step("a secondary is killed: the starter names it, the other one is free", async () => {
    await using starter = await generating([b, a], home);
    const free = freed(a);
    const start = performance.now();
    b.kill("SIGKILL");
    await Promise.all([lost(starter, b), free]);
    assert(performance.now() - start < SOON_MS, "the starter took too long");
  });

  await t.step("the one that is left serves the next starter", async () => {
    const args = [...starterArgs([a]), ..."--layers 2,2 --tokens 3".split(" ")];
    const { code, stderr } = await runMdi(args, { home });
    assertEquals(code, 0, stderr);
  });
});

/** A starter in the midst of a generation that would take many seconds. */
async function generating(secondaries: Secondary[], home: string): Promise<MdiProcess> {
  const args = "--name first --layers 0,2,2 --samples 16 --tokens 500".split(" ");
  const starter = startMdi([...starterArgs(secondaries), ...args], { home });
  try {
    await starter.record(({ type }) => type === "token");
    return starter;
  } catch (error) {
    await starter[Symbol.asyncDispose]();
    throw error;
  }
}

function starterArgs(secondaries: Secondary[]): string[] {
  return [
    ..."--starter --json --quiet --dtype fp32 --ignore-eos --prompt-ids 3,4,5".split(" "),
    ...[
      "--model",
      MODEL,
      "--layers",
      "even",
      "--peers",
      secondaries.map(({ address }) => address).join(","),
    ],
  ];
}

async function refusesAnother(secondaries: Secondary[], home: string): Promise<void> {
  const { code, records } = await runMdi(starterArgs(secondaries), { home });
  assertEquals(code, 5);
  const { code: reason, message } = errorOf(records);
  assertEquals(reason, "busy");
  assertStringIncludes(message, secondaries[0]!.address);
  assertStringIncludes(message, '"first"');
}

/** The starter ends, and says whom it lost. */
async function lost(starter: MdiProcess, secondary: Secondary): Promise<void> {
  const { code, records } = await starter.ended;
  const { code: reason, message } = errorOf(records);
  assertEquals(reason, "peer_lost", message);
  assertStringIncludes(message, `Lost ${secondary.address}`);
  assertEquals(code, 4);
}

function errorOf(records: JsonRecord[]): { code: string; message: string } {
  const { code, message } = records.at(-1)!;
  return { code: String(code), message: String(message) };
}

/** Resolves when the secondary has said once more that it is free. */
async function freed(secondary: Secondary): Promise<void> {
  const before = timesFree(secondary);
  await until(() => timesFree(secondary) > before);
}

function timesFree(secondary: Secondary): number {
  return secondary.stderr().split("free again").length - 1;
}

function timesClaimed(secondary: Secondary): number {
  return secondary.stderr().split("serving ").length - 1;
}

async function until(condition: () => boolean, limitMs = 5000): Promise<void> {
  const end = performance.now() + limitMs;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`Condition does not hold after ${limitMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
