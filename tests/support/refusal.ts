/** What every refusal of the command line has in common, checked on a real process. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { openStore } from "../../engine/store/store.ts";
import { listStore } from "../../engine/store/report.ts";
import { verifyStore } from "../../engine/store/verify.ts";
import { type Ended, runMdi, type StartOptions } from "./mdi_process.ts";

/** How mdi is to refuse something. */
export interface Refusal {
  /** Exit status. */
  status: number;
  /** Code of the error record. */
  code: string;
  /** What its message says: the value met, and what to do. */
  message: RegExp;
}

/**
 * Runs `mdi ...args --json` and checks that it refuses: the status, one error record as the last line of a
 * standard output of nothing but JSON, the same in one line on standard error, and no stack.
 */
export async function assertRefused(
  args: readonly string[],
  options: StartOptions,
  refusal: Refusal,
): Promise<Ended> {
  const ended = await runMdi([...args, "--json"], { timeoutMs: 30_000, ...options });
  const what = `mdi ${args.join(" ").slice(0, 200)}: ${ended.stderr.slice(-2000)}`;
  assertEquals(ended.code, refusal.status, what);
  assertOnlyJson(ended);
  const errors = ended.records.filter((record) => record.type === "error");
  assertEquals(errors.length, 1, what);
  const [error] = errors;
  assertEquals(ended.records.at(-1), error, what);
  assertEquals(Object.keys(error!), ["type", "code", "message"]);
  assertEquals(error!.code, refusal.code, what);
  assertMatch(String(error!.message), refusal.message);
  assert(String(error!.message).length < 800, what);
  assert(ended.stderr.includes(`mdi: error: ${error!.message}\n`), what);
  assert(!/^ {4}at /m.test(ended.stderr), what);
  return ended;
}

/** Checks that standard output has nothing but JSON objects, one a line. */
export function assertOnlyJson({ stdout, records }: Ended): void {
  assert(stdout === "" || stdout.endsWith("\n"), stdout.slice(-200));
  assertEquals(stdout.split("\n").length - 1, records.length, stdout.slice(0, 500));
}

/** Checks that a store holds whole things only, and nothing in `tmp`. @returns names of its models. */
export async function assertNothingHalfWritten(home: string): Promise<string[]> {
  const { layout } = await openStore(home);
  const left: string[] = [];
  for await (const { name } of Deno.readDir(layout.tmp)) left.push(name);
  assertEquals(left, [], `files left in ${join(home, "tmp")}`);
  assertEquals((await verifyStore(layout)).damaged, []);
  const { models } = await listStore(layout);
  for (const { name, blocks } of models) assertEquals(blocks.present, blocks.total, name);
  return models.map((model) => model.name);
}

/** Runs checks two at a time: most of a refusal is the start of its process. */
export async function inPairs<T>(items: readonly T[], check: (item: T) => Promise<unknown>) {
  const waiting = [...items];
  const worker = async () => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await check(item);
  };
  // Both end before the test does, whatever fails.
  const ends = await Promise.allSettled([worker(), worker()]);
  for (const end of ends) if (end.status === "rejected") throw end.reason;
}

/** A directory for the length of a test. */
export async function temporaryDirectory(): Promise<AsyncDisposable & { path: string }> {
  const path = await Deno.makeTempDir({ prefix: "mdi-test-" });
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}
