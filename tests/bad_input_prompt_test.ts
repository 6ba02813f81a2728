/** Prompts that are empty, too long, not text or not there; what happens to a closed or full output. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runMdi, type StartOptions } from "./support/mdi_process.ts";
import {
  assertNothingHalfWritten,
  assertRefused,
  inPairs,
  type Refusal,
  temporaryDirectory,
} from "./support/refusal.ts";

const MODEL = fileURLToPath(
  new URL("./fixtures/tiny-llama-tied/gguf/model-f32.gguf", import.meta.url),
);
const MAIN = fileURLToPath(new URL("../cli/main.ts", import.meta.url));
const RUN = ["--starter", "--model", MODEL];

const usage = (message: RegExp): Refusal => ({ status: 2, code: "usage", message });
const tooLong = (message: RegExp): Refusal => ({ status: 2, code: "context_exceeded", message });

Deno.test("mdi refuses prompts that are none", async () => {
  await using dir = await temporaryDirectory();
  const home = join(dir.path, "home");
  const blank = join(dir.path, "blank.txt");
  await Deno.writeTextFile(blank, " \n\n");
  const invalid = Uint8Array.of(0x61, 0xc3, 0x28, 0xff);
  const cases: [string[], Refusal, Partial<StartOptions>?][] = [
    [["--prompt", ""], usage(/empty prompt: give it some text/)],
    [["--chat", "  "], usage(/empty prompt/)],
    [["--prompt", "-"], usage(/empty prompt from standard input/), { stdin: "" }],
    [["--prompt", "-"], usage(/standard input: it is not UTF-8 text/), { stdin: invalid }],
    [["--prompt", "-", "--chat", "-"], usage(/standard input twice/), { stdin: "once" }],
    [["--prompt", `@${blank}`], usage(/empty prompt from file/)],
    [["--prompt", `@${dir.path}/missing`], usage(/missing": .*; a prompt that begins with @/)],
    [["--prompt", `@${dir.path}`], usage(/Cannot read the prompt file.*is a directory/i)],
    [["--prompt-ids", ""], usage(/"" is not a token id/)],
    [["--prompt-ids", "1,,2"], usage(/"" is not a token id; give whole numbers/)],
    [["--prompt-ids", "1,-2"], usage(/"-2" is not a token id/)],
    [["--prompt-ids", "1,2.5"], usage(/"2.5" is not a token id/)],
    [["--prompt-ids", "99999999999"], usage(/"99999999999" is not a token id/)],
    [["--prompt-ids", "1,512"], usage(/token id 512: the vocabulary has ids from 0 to 511/)],
    [[], usage(/Cannot chat with --json: give --prompt/)],
  ];
  await inPairs(cases, async ([args, refusal, options]) => {
    await assertRefused([...RUN, ...args], { home, ...options }, refusal);
  });
  await assertNothingHalfWritten(home);
});

Deno.test("mdi refuses a prompt that is longer than the context, of 10 MB quickly and in bounded memory", async () => {
  await using dir = await temporaryDirectory();
  const home = join(dir.path, "home");
  const ids = (count: number) => Array(count).fill(65).join(",");
  const megabytes = new TextEncoder().encode("All work and no play. ".repeat(477_000));
  assert(megabytes.length > 10e6);
  const file = join(dir.path, "long.txt");
  await Deno.writeFile(file, megabytes);
  await assertRefused([...RUN, "--prompt-ids", ids(512)], { home }, tooLong(/512 tokens/));
  await assertRefused(
    [...RUN, "--context", "8", "--prompt-ids", ids(9)],
    { home },
    tooLong(/9 tokens: the context holds 8/),
  );
  await assertRefused([...RUN, "--context", "513"], { home }, usage(/Cannot chat with --json/));
  await assertRefused(
    [...RUN, "--context", "513", "--prompt", "a"],
    { home },
    usage(/context of 513: .* takes 1 to 512/),
  );

  const start = performance.now();
  await assertRefused([...RUN, "--prompt", `@${file}`], { home }, tooLong(/more than 512 tokens/));
  await assertRefused(
    [...RUN, "--chat", "-"],
    { home, stdin: megabytes },
    tooLong(/more than 512 tokens/),
  );
  assert(performance.now() - start < 20_000, "alone on a machine it takes 2 s");
  const peak = await peakMemory([...RUN, "--prompt", `@${file}`], home);
  if (peak !== undefined) assert(peak < 450e6, `${peak} bytes`);
});

/** Runs mdi, and has Python read its largest resident memory; undefined where there is no Python. */
async function peakMemory(args: string[], home: string): Promise<number | undefined> {
  const script = `
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)`;
  if (Deno.build.os !== "linux") return undefined;
  const run = new Deno.Command("python3", {
    args: ["-c", script, Deno.execPath(), "run", "-A", MAIN, ...args],
    env: { MDI_HOME: home, NO_COLOR: "1" },
  });
  try {
    return Number(new TextDecoder().decode((await run.output()).stdout));
  } catch {
    return undefined;
  }
}

Deno.test("mdi ends when nobody reads its output any more, and says when that is full", async () => {
  await using dir = await temporaryDirectory();
  const home = join(dir.path, "home");
  const run = [...RUN, "--prompt", "Hi", "--tokens", "500", "--ignore-eos", "--json"];
  const shell = async (script: string) => {
    const { code, stdout, stderr } = await new Deno.Command("bash", {
      args: ["-c", `set -o pipefail; ${script}`, "mdi", Deno.execPath(), "run", "-A", MAIN, ...run],
      env: { MDI_HOME: home, NO_COLOR: "1" },
    }).output();
    const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { code, stdout: decode(stdout), stderr: decode(stderr) };
  };
  const head = await shell('"$@" | head -n 1');
  assertEquals(JSON.parse(head.stdout).type, "token");
  assertEquals(head.code, 0);
  assert(!head.stderr.includes("error"), head.stderr);
  if (Deno.build.os !== "linux") return;
  const full = await shell('"$@" > /dev/full');
  assertEquals(full.code, 6);
  assertMatch(full.stderr, /Cannot write to standard output: No space left/);
});

Deno.test("mdi without a terminal and without a prompt says what to give", async () => {
  await using dir = await temporaryDirectory();
  const { code, stdout, stderr } = await runMdi(RUN, { home: dir.path });
  assertEquals([code, stdout], [2, ""]);
  assertMatch(stderr, /Cannot chat without a terminal: give --prompt TEXT/);
});
