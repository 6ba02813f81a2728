/** `deno task demo`: three processes that start, generate and end together, whatever ends them. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type MdiProcess, runMdi, startMdi } from "./support/mdi_process.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const MODEL = join(ROOT, "tests/fixtures/tiny-llama-tied");
const TASK = ["task", "--quiet", "--config", join(ROOT, "deno.json"), "demo"];
/** Far more than a test waits for. */
const LONG = ["--model", MODEL, "--prompt", "one two", "--samples", "1000", "--tokens", "100"];
/** Nothing may outlive the demo by more. */
const LEFT_MS = 3000;

Deno.test("deno task demo generates over three processes, and the second run moves nothing", async () => {
  await using home = await TempHome.make();
  const args = ["--model", MODEL, "--tokens", "8", "--layers", "0,2,2"];
  const first = await runMdi(args, { home: home.path, deno: TASK });
  assertEquals(first.code, 0, first.stderr);
  assertMatch(first.stdout, /\[sample 2\] In Paris you should see\n/);
  assertMatch(first.stdout, /starter \(starter\) +none/);
  assertMatch(
    first.stdout,
    /Downloaded: 0 bytes\. Weights sent to the secondaries: .*[1-9].* The next run needs neither\./,
  );

  const second = await runMdi(["--json", ...args], { home: home.path, deno: TASK });
  assertEquals(second.code, 0, second.stderr);
  assertEquals(second.records.find(({ type }) => type === "pull")!.bytes_downloaded, 0);
  const { nodes } = summaryOf(second.records);
  assertEquals(nodes.map(({ role }) => role), ["starter", "secondary", "secondary"]);
  assertEquals(nodes.map((node) => node.weight_bytes_received), [0, 0, 0]);
  for (const { type, text } of second.records) {
    if (type === "sample") assert(first.stdout.includes(`\n${text}\n`), "other text");
  }
  assertEquals(await home.processes(), []);

  const list = await runMdi(["store", "list"], { home: home.path });
  assert(list.stdout.includes(`${join(home.path, "demo/1")}, ${join(home.path, "demo/2")}\n`));
});

Deno.test("deno task demo passes its arguments on and refuses peers", async () => {
  await using home = await TempHome.make();
  const { code, stderr } = await runMdi(["--peers", "a"], { home: home.path, deno: TASK });
  assertEquals(code, 2);
  assertMatch(stderr, /Cannot use --peers or --listen with --demo/);
});

Deno.test({
  name: "deno task demo ends all three on Ctrl-C, SIGTERM and SIGKILL",
  ignore: Deno.build.os !== "linux",
  async fn(t) {
    await using home = await TempHome.make();
    const endings: [name: string, end: (demo: MdiProcess) => Promise<void> | void, code: number][] =
      [
        ["Ctrl-C", (demo) => Deno.kill(-demo.pid, "SIGINT"), 130],
        ["SIGTERM", async () => Deno.kill(await home.starter(), "SIGTERM"), 143],
        ["SIGKILL", async () => Deno.kill(await home.starter(), "SIGKILL"), 137],
      ];
    for (const [name, end, code] of endings) {
      await t.step(name, async () => {
        await using demo = startMdi(["--json", ...LONG], {
          home: home.path,
          deno: TASK,
          leadsGroup: true,
        });
        await demo.record(({ type }) => type === "token");
        assertEquals((await home.processes()).length, 4); // the task itself, and the three
        const start = performance.now();
        await end(demo);
        assertEquals((await demo.ended).code, code);
        while ((await home.processes()).length > 0) {
          assert(performance.now() - start < LEFT_MS, "a process is left");
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      });
    }
  },
});

interface SummaryRecord {
  nodes: { role: string; weight_bytes_received: number }[];
}

function summaryOf(records: readonly { type: string }[]): SummaryRecord {
  return records.find(({ type }) => type === "summary") as unknown as SummaryRecord;
}

/** A home for a demo; every process of the demo has it in its environment. */
class TempHome implements AsyncDisposable {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  static async make(): Promise<TempHome> {
    return new TempHome(await Deno.makeTempDir({ prefix: "mdi-demo-" }));
  }

  /** Process ids of all that run with this home or one below it. */
  async processes(): Promise<number[]> {
    if (Deno.build.os !== "linux") return [];
    const found: number[] = [];
    for await (const { name } of Deno.readDir("/proc")) {
      if (!/^\d+$/.test(name)) continue;
      const environment = await Deno.readTextFile(`/proc/${name}/environ`).catch(() => "");
      if (environment.includes(`MDI_HOME=${this.path}`)) found.push(Number(name));
    }
    return found;
  }

  /** The process that is the demo and its starter. */
  async starter(): Promise<number> {
    for (const pid of await this.processes()) {
      const command = (await Deno.readTextFile(`/proc/${pid}/cmdline`)).split("\0");
      if (command.includes("run") && command.includes("--demo")) return pid;
    }
    throw new Error("the demo does not run");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}
