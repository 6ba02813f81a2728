/** `mdi simulate` as its users run it. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { WHAT_IF } from "../engine/plan/_what_if.ts";
import { runMdi } from "./support/mdi_process.ts";
import { temporaryDirectory } from "./support/refusal.ts";

Deno.test("mdi simulate runs the plan for the devices of a file", async (t) => {
  await using dir = await temporaryDirectory();
  const home = dir.path;
  const file = join(home, "devices.json");
  await Deno.writeTextFile(file, JSON.stringify(WHAT_IF));
  const mdi = (...args: string[]) => runMdi(["simulate", "--what-if", file, ...args], { home });

  await t.step("5,000 samples, the same for the same seed", async () => {
    const args = ["--samples", "5000", "--tokens", "20-60", "--jitter", "1", "--json"];
    const [first, second] = [await mdi(...args, "--seed", "3"), await mdi(...args, "--seed", "3")];
    assertEquals(first.code, 0, first.stderr);
    const { simulated_in_ms: _a, ...record } = first.records[0]!;
    const { simulated_in_ms: _b, ...again } = second.records[0]!;
    assertEquals(record.lost_samples, 0);
    assertEquals(record.samples, 5000);
    assertEquals(again, record);
  });

  await t.step("as the plan predicts, where prompts are short", async () => {
    const args = ["--samples", "8", "--tokens", "500", "--prompt-tokens", "1", "--json"];
    const { records: [record] } = await mdi(...args);
    const { steady_tokens_per_second: got, predicted_tokens_per_second: predicted } = record!;
    assert(Math.abs(Number(got) / Number(predicted) - 1) < 0.01, `${got} of ${predicted}`);
  });

  await t.step("a split of one's own, a device that dies, and a report", async () => {
    const report = join(home, "run.html");
    const { code, stdout, stderr } = await mdi(
      ...["--layers", "20,10", "--die", "pi4@30", "--throttle", "pi5=2@10", "--report", report],
    );
    assertEquals(code, 0, stderr);
    assertMatch(stdout, /pi4 +20-29/);
    assertMatch(stdout, /died: pi4 after 30\.0 s/);
    assertMatch(await Deno.readTextFile(report), /^\s*<!doctype html>/);
  });

  await t.step("and says what is wrong", async () => {
    const wrong: [string[], RegExp][] = [
      [["--die", "pi6@3"], /"pi6": the file's devices are pi5, pi4/],
      [["--layers", "20,20"], /adds up to 40/],
      [["--loss", "2"], /from 0 to 0\.5/],
      [["--tokens", "9-3"], /like 50-200/],
    ];
    for (const [args, message] of wrong) {
      const { code, stderr } = await mdi(...args);
      assertEquals(code, 2, stderr);
      assertMatch(stderr, message);
    }
  });
});
