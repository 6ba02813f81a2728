import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { CommanderError } from "@commander-js/extra-typings";
import type { OutputOptions } from "./output.ts";
import { createProgram } from "./program.ts";
import { usageMessage } from "./usage.ts";

const OUTPUT: OutputOptions = { json: false, quiet: false, log: "text" };

/** Parses arguments; returns how the command was to write, without running it. */
async function parse(...args: string[]): Promise<OutputOptions | undefined> {
  let started: OutputOptions | undefined;
  const program = createProgram((output) => {
    started = output;
    return Promise.resolve();
  }, OUTPUT);
  await program.parseAsync(args, { from: "user" });
  return started;
}

async function refusal(...args: string[]): Promise<string> {
  const program = createProgram(() => Promise.resolve(), OUTPUT);
  const parsing = () => program.parseAsync(args, { from: "user" });
  const error = await assertRejects(parsing, CommanderError, "");
  return usageMessage(error, program.commands.find((command) => command.name() === args[0]));
}

Deno.test("createProgram() refuses what no numeric flag takes", async () => {
  const whole = ["--slots", "--context", "--samples", "--tokens", "--top-k", "--seed", "--threads"];
  const decimal = ["--temperature", "--top-p", "--min-p", "--repetition-penalty"];
  const bytes = ["--memory", "--store-limit"];
  const bad = ["NaN", "-1", "", "Infinity", "1e99", "9".repeat(30), "two", "-0.5", "null"];
  for (const flag of [...whole, ...decimal, ...bytes]) {
    for (const value of bad) {
      const message = await refusal("--starter", flag, value);
      assert(message.includes(flag) && message.includes(`'${value}'`), message);
      assertMatch(message, /It must be/);
    }
  }
  for (const flag of whole) await refusal("--starter", flag, "1.5");
  for (const flag of whole.filter((flag) => !["--top-k", "--seed"].includes(flag))) {
    await refusal("--starter", flag, "0");
  }
  assertMatch(await refusal("--secondary", "--threads", "65"), /whole number from 1 to 64/);
});

Deno.test("createProgram() takes the flags that tests of every issue rely on", async () => {
  assertEquals(
    await parse(
      ...["--starter", "--listen", "127.0.0.1:0", "--peers", "a,b:9471,[::1]:7", "--model", "x"],
      ...[
        "--dtype",
        "q4",
        "--prompt",
        "-x",
        "--chat",
        "y",
        "--prompt-ids",
        "1,2",
        "--samples",
        "3",
      ],
      ...["--tokens", "8", "--greedy", "--temperature", "0", "--top-k", "0", "--top-p", "1"],
      ...["--min-p", "0", "--repetition-penalty", "1.1", "--seed", "18446744073709551615"],
      ...["--stop", "a", "--stop", "b", "--ignore-eos", "--context", "64", "--layers", "12,9,9"],
      ...["--backend", "auto", "--threads", "1", "--kv", "f32", "--wire", "f16", "--json"],
      ...["--log", "json", "--quiet", "--token", "t"],
    ),
    { json: true, quiet: true, log: "json" },
  );
  for (const backend of ["auto", "simd", "ort"]) await parse("--secondary", "--backend", backend);
  for (const kv of ["f32", "f16", "int8"]) await parse("--starter", "--kv", kv);
  await parse("--secondary", "--threads", "64");
});

Deno.test("createProgram() gives every command the flags of the root", async () => {
  const commands = [
    ...[["pull"], ["inspect", "x"], ["store", "list"], ["store", "verify"]],
    ...[["store", "remove", "x"], ["token", "new"], ["plan", "--what-if", "x"], ["doctor"]],
  ];
  for (const command of commands) {
    assertEquals(await parse(...command), OUTPUT);
    const flagged = { json: true, quiet: true, log: "json" as const };
    assertEquals(await parse(...command, "--json", "--quiet", "--log", "json"), flagged);
    assertEquals(await parse("--json", "--quiet", "--log", "json", ...command), flagged);
    assertEquals(await parse(...command, "--log-level", "warn"), { ...OUTPUT, level: "warn" });
  }
});

Deno.test("createProgram() says in one line what is wrong and where to look", async () => {
  assertEquals(
    await refusal("--strater"),
    `Unknown option '--strater' (Did you mean --starter?); see "mdi --help"`,
  );
  assertMatch(await refusal("--starter", "Hello"), /no command "Hello".*goes after --prompt/);
  for (const role of ["starter", "secondary", "demo"]) {
    assertMatch(
      await refusal(role),
      new RegExp(`no command "${role}".*; did you mean --${role}\\?`),
    );
  }
  assertMatch(await refusal("help"), /did you mean --help\?/);
  assertMatch(await refusal("--prompt", "x"), /Say what this node is/);
  assertMatch(await refusal("--starter", "pull"), /--starter does not go with pull/);
  assertMatch(await refusal("pull", "a", "b"), /Too many arguments(?!.*did you mean)/);
  assertMatch(await refusal("doctor", "pi-a"), /arguments.*; did you mean --peers pi-a\?/);
  assertMatch(await refusal("token"), /Say which: new/);
  assertMatch(await refusal("service"), /Say which: install, uninstall, print/);
  assertMatch(await refusal("completions", "csh"), /Allowed choices are bash, zsh, fish/);
  assertMatch(await refusal("--wire", "f8", "--starter"), /Allowed choices are f32, f16/);
  assertMatch(await refusal("--kv", "f64", "--starter"), /Allowed choices are f32, f16, int8/);
  assertMatch(await refusal("--backend", "gpu", "--secondary"), /choices are auto, simd, ort/);
});
