/** Every role runs with exactly the permissions that the tasks, the README and `mdi --demo` give it. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { permissionFlags, type Role, RUNTIME_FLAGS } from "../cli/permissions.ts";
import {
  type Ended,
  MAIN,
  runMdi,
  type StartOptions,
  startSecondary,
} from "./support/mdi_process.ts";

const ROOT = new URL("../", import.meta.url);
const MODEL = fileURLToPath(new URL("fixtures/tiny-llama-tied", import.meta.url));
const ROLES: Role[] = [
  ...["starter", "secondary", "demo"] as const,
  ...["doctor", "pull", "inspect", "store", "token"] as const,
];

/** What Deno is told for a role; only `home` may be written. */
function denoFor(role: Role, home: string): string[] {
  return ["run", "--quiet", "--no-prompt", ...permissionFlags(role, { home }), MAIN];
}

async function run(role: Role, args: string[], options: StartOptions): Promise<Ended> {
  const ended = await runMdi(args, { ...options, deno: denoFor(role, options.home) });
  assert(!/NotCapable|Requires \w+ access/.test(ended.stderr), ended.stderr);
  return ended;
}

Deno.test("permissionFlags() is what the tasks say", async () => {
  const { tasks } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
  const flags = (task: string): string[] =>
    tasks[task].command.match(/'[^']*'|\S+/g)
      .map((word: string) => word.replaceAll("'", ""))
      .filter((word: string) => word.startsWith("--allow"));
  for (const role of ["starter", "secondary", "demo"] as const) {
    assertEquals(flags(role), permissionFlags(role));
    assert(tasks[role].command.includes(` ${RUNTIME_FLAGS.join(" ")} `), role);
  }
  assertEquals(flags("mdi"), permissionFlags("starter"));
});

Deno.test("permissionFlags() is what the README says", async () => {
  const readme = await Deno.readTextFile(new URL("README.md", ROOT));
  for (const role of ROLES) {
    const row = readme.split("\n").find((line) =>
      line.startsWith("|") && line.includes("`--") && line.split("|")[1]!.includes(`\`${role}\``)
    );
    assertEquals(row?.match(/`(--[^`]*)`/)?.[1], permissionFlags(role).join(" "), role);
  }
});

Deno.test("every command's help needs no more than mdi's own permissions", async () => {
  const home = await Deno.makeTempDir({ prefix: "mdi-permissions-" });
  try {
    for (const args of [["--help"], ["plan", "--help"], []]) {
      // Without NO_COLOR, which other tests set: a terminal's colours are looked for in the environment.
      const { stdout, stderr } = await new Deno.Command("env", {
        args: ["-u", "NO_COLOR", Deno.execPath(), ...denoFor("token", home), ...args],
      }).output();
      const text = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
      assertMatch(text.join(""), /^Usage: mdi/, text[1]);
    }
  } finally {
    await Deno.remove(home, { recursive: true });
  }
});

Deno.test("doctor, pull, inspect, store and token run with their own permissions", async () => {
  const home = await Deno.makeTempDir({ prefix: "mdi-permissions-" });
  try {
    assertEquals((await run("token", ["token", "new"], { home })).code, 0);
    assertEquals((await run("pull", ["pull", MODEL], { home })).code, 0);
    assertMatch((await run("inspect", ["inspect", MODEL], { home })).stdout, /layer\.0/);
    assertMatch((await run("store", ["store", "list"], { home })).stdout, /free on its disk/);
    assertEquals((await run("store", ["store", "verify"], { home })).code, 0);
    const doctor = await run("doctor", ["doctor", "--listen", "127.0.0.1:0"], { home });
    assertEquals(doctor.code, 0, doctor.stdout);
    // What Linux shows in /proc and /sys takes all permissions.
    if (Deno.build.os === "linux") assertMatch(doctor.stdout, /page size +not readable/);
  } finally {
    await Deno.remove(home, { recursive: true });
  }
});

Deno.test({
  name: "pull may ask the hub and run pip",
  ignore: Deno.build.os === "windows",
  async fn() {
    const home = await Deno.makeTempDir({ prefix: "mdi-permissions-" });
    try {
      const pip = join(home, "pip");
      await Deno.writeTextFile(
        pip,
        '#!/bin/sh\n[ "$1" = --version ] || { echo not today >&2; exit 1; }',
      );
      await Deno.chmod(pip, 0o755);
      const env = {
        PATH: `${home}:${Deno.env.get("PATH")}`,
        HF_ENDPOINT: "http://127.0.0.1:9",
        HF_HOME: home,
      };
      const { code, stderr } = await run("pull", ["pull"], { home, env });
      assertEquals(code, 3);
      assertMatch(stderr, /http:\/\/127\.0\.0\.1:9.*not today/s);
    } finally {
      await Deno.remove(home, { recursive: true });
    }
  },
});

Deno.test("pull names the permission that a pip of its own place needs", async () => {
  const home = await Deno.makeTempDir({ prefix: "mdi-permissions-" });
  try {
    const env = { PIP: "/opt/venv/bin/pip", HF_ENDPOINT: "http://127.0.0.1:9", HF_HOME: home };
    const { code, stderr } = await run("pull", ["pull"], { home, env });
    assertEquals(code, 3);
    assertMatch(stderr, /start mdi with --allow-run=\/opt\/venv\/bin\/pip/);
  } finally {
    await Deno.remove(home, { recursive: true });
  }
});

Deno.test("a task takes paths from where it was typed", async () => {
  const home = await Deno.makeTempDir({ prefix: "mdi-permissions-" });
  try {
    const cwd = join(home, "here");
    await Deno.mkdir(cwd);
    await Deno.copyFile(join(MODEL, "gguf/model-f32.gguf"), join(home, "m.gguf"));
    await Deno.writeTextFile(join(cwd, "prompt.txt"), "one two");
    const deno = ["task", "--quiet", "--config", fileURLToPath(new URL("deno.json", ROOT)), "mdi"];
    const args = ["--starter", "--model", "../m.gguf", "--prompt", "@prompt.txt", "--tokens", "2"];
    const { code, stderr, records } = await runMdi([...args, "--json"], { home, cwd, deno });
    assertEquals(code, 0, stderr);
    assertEquals(records.find(({ type }) => type === "sample")?.prompt, "one two");
  } finally {
    await Deno.remove(home, { recursive: true });
  }
});

Deno.test("starter and secondary run with their own permissions", async () => {
  const home = await Deno.makeTempDir({ prefix: "mdi-permissions-" });
  try {
    const homes = ["starter", "secondary"].map((name) => join(home, name));
    await Promise.all(homes.map((path) => Deno.mkdir(path)));
    await using secondary = await startSecondary({
      home: homes[1]!,
      deno: denoFor("secondary", homes[1]!),
    });
    // Measured and planned, which leaves so small a model to the starter; and over both.
    for (const layers of [[], ["--layers", "even"]]) {
      const { code, stderr } = await run(
        "starter",
        [
          ...["--starter", "--peers", secondary.address, "--model", MODEL],
          ...["--prompt", "a", "--tokens", "4", ...layers],
        ],
        { home: homes[0]! },
      );
      assertEquals(code, 0, stderr);
      assert(!stderr.includes("split by cores"), stderr);
    }
    assert(!/NotCapable/.test(secondary.stderr()), secondary.stderr());
  } finally {
    await Deno.remove(home, { recursive: true });
  }
});
