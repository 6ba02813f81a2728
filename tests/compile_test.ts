/**
 * What `deno task compile` makes, as people run it: one file in an empty directory with an empty HOME and a PATH
 * without Deno. Compiled files here are of Deno 2.7, which cannot serve TLS with certificates of both sides; a ring
 * with a token is tested with the self-extracting form, which has the same bundles.
 */
import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { newToken } from "../rpc/token.ts";
import { VERSION } from "../rpc/version.ts";
import { compileFiles, DENORT_CACHE, DENORT_NOTE, output } from "./support/compiled.ts";
import {
  type JsonRecord,
  runMdi,
  type StartOptions,
  startSecondary,
} from "./support/mdi_process.ts";
import { SMOLLM2_GGUF } from "./support/real_models.ts";

const TINY = fileURLToPath(new URL("fixtures/tiny-llama-tied", import.meta.url));
const MODEL = SMOLLM2_GGUF ?? TINY;
const PROMPT = ["--model", MODEL, "--prompt", "a", "--tokens", "12", "--greedy"];
const ignore = DENORT_CACHE === undefined || Deno.build.target !== "x86_64-unknown-linux-gnu";

/** An empty machine: where the file is started, and with what. */
async function emptyMachine(file: string): Promise<StartOptions & { place: string }> {
  const place = await Deno.makeTempDir({ prefix: "mdi-single-" });
  await Deno.mkdir(join(place, "home"));
  return {
    place,
    file,
    home: join(place, "store"),
    cwd: join(place, "home"),
    env: { HOME: join(place, "home"), XDG_CACHE_HOME: "", PATH: "/usr/bin:/bin" },
    timeoutMs: 120_000,
  };
}

function ids(records: readonly JsonRecord[]): unknown {
  return records.find(({ type }) => type === "sample")?.ids;
}

/** A ring of three, each from a copy of the file: the ids that it gives. */
async function ringIds(file: string, token: string | undefined): Promise<unknown> {
  const machine = await emptyMachine(file);
  try {
    const env = { ...machine.env, ...(token && { MDI_TOKEN: token }) };
    await using ring = new AsyncDisposableStack();
    const secondaries = await Promise.all(["1", "2"].map(async (name) => {
      const copy = join(machine.place, `mdi-${name}`);
      await Deno.copyFile(file, copy);
      const home = join(machine.place, `store-${name}`);
      return ring.use(await startSecondary({ ...machine, file: copy, home, env }));
    }));
    const peers = secondaries.map(({ address }) => address).join(",");
    const args = ["--starter", ...PROMPT, "--peers", peers, "--layers", "even", "--json"];
    const { code, stderr, records } = await runMdi(args, { ...machine, env });
    assertEquals(code, 0, stderr);
    return ids(records);
  } finally {
    await Deno.remove(machine.place, { recursive: true });
  }
}

async function idsFromSource(): Promise<unknown> {
  const home = await Deno.makeTempDir({ prefix: "mdi-single-" });
  try {
    const { code, stderr, records } = await runMdi(["--starter", ...PROMPT, "--json"], { home });
    assertEquals(code, 0, stderr);
    return ids(records);
  } finally {
    await Deno.remove(home, { recursive: true });
  }
}

/** What `mdi --demo` gives: all samples' ids. */
async function demoIds(options: StartOptions): Promise<unknown[]> {
  const args = ["--demo", "--model", MODEL, "--tokens", "12", "--json"];
  const { code, stderr, records } = await runMdi(args, options);
  assertEquals(code, 0, stderr);
  return records.filter(({ type }) => type === "sample").map((sample) => sample.ids);
}

async function demoIdsFromSource(): Promise<unknown[]> {
  const home = await Deno.makeTempDir({ prefix: "mdi-single-" });
  try {
    return await demoIds({ home });
  } finally {
    await Deno.remove(home, { recursive: true });
  }
}

/** What doctor says of the file that it is. */
async function ownFile(machine: StartOptions, file: string): Promise<JsonRecord | undefined> {
  const { records } = await runMdi(["doctor", "--json"], { ...machine, file });
  return records.find(({ name }) => name === "own file");
}

/** ONNX Runtime from inside a file. */
async function assertOrtRuns(machine: StartOptions): Promise<void> {
  const args = ["--starter", ...PROMPT, "--backend", "ort", "--json"];
  const { code, stderr, records } = await runMdi(args, machine);
  assertEquals(code, 0, stderr);
  assertEquals((ids(records) as number[]).length, 12);
}

/** Changes the first byte of the last `mark` in a file, into a copy. */
async function alter(file: string, mark: string, copy: string): Promise<void> {
  const bytes = await Deno.readFile(file);
  const at = new TextDecoder("latin1").decode(bytes).lastIndexOf(mark);
  assertNotEquals(at, -1, mark);
  bytes[at] = bytes[at]! ^ 1;
  await Deno.writeFile(copy, bytes, { mode: 0o755 });
}

Deno.test({
  name: `a compiled file does what the source does${DENORT_NOTE}`,
  ignore,
  async fn(t) {
    const out = await Deno.makeTempDir({ prefix: "mdi-compile-" });
    const dist = join(out, "dist");
    const file = join(dist, "mdi-x86_64-linux");
    const machine = await emptyMachine(file);
    try {
      const printed = await compileFiles(out);
      await t.step("the way it was made is printed", () => {
        assertMatch(printed, /mdi-x86_64-linux: deno compile, denort 2\.7\.11 of \$DENO_DIR; /);
      });
      await t.step("SHA256SUMS has both", async () => {
        const checked = await output("sha256sum", ["--check", "SHA256SUMS"], { cwd: dist });
        assertEquals(checked, "mdi-aarch64-linux: OK\nmdi-x86_64-linux: OK\n");
      });
      await t.step("built again elsewhere it has the same bytes", async () => {
        const other = join(out, "a", "longer", "way");
        await compileFiles(other);
        const sums = (folder: string) => Deno.readTextFile(join(folder, "dist/SHA256SUMS"));
        assertEquals(await sums(other), await sums(out));
      });
      await t.step("--version", async () => {
        const { stdout } = await runMdi(["--version"], machine);
        const made = "deno compile, Deno 2.7.11, x86_64-unknown-linux-gnu";
        assertEquals(stdout, `${VERSION} (${made})\n`);
      });
      await t.step("a ring of three gives the ids of the source", async () => {
        assertEquals(await ringIds(file, undefined), await idsFromSource());
      });
      await t.step("the demo gives what it gives from source", async () => {
        assertEquals(await demoIds(machine), await demoIdsFromSource());
      });
      await t.step("ONNX Runtime runs from inside", () => assertOrtRuns(machine));
      await t.step("doctor compares the file with SHA256SUMS", async () => {
        assertEquals((await ownFile(machine, file))?.status, "good");
        const other = join(machine.place, "mdi-x86_64-linux");
        await Deno.copyFile(file, other);
        const sums = `${"0".repeat(64)}  mdi-x86_64-linux\n`;
        await Deno.writeTextFile(join(machine.place, "SHA256SUMS"), sums);
        assertEquals((await ownFile(machine, other))?.status, "bad");
      });
      await t.step("a store that cannot be written: it says what it needs", async () => {
        const { code, stderr } = await runMdi(["--starter", ...PROMPT], {
          ...machine,
          home: "/proc/mdi",
        });
        assertEquals(code, 6);
        assertMatch(stderr, /set MDI_HOME to a directory that can be written/);
      });
      await t.step("it leaves nothing beside its store", async () => {
        assertEquals(await Array.fromAsync(Deno.readDir(machine.cwd!)), []);
      });
      await t.step("a token needs a newer Deno, and it says so", async () => {
        const env = { ...machine.env, MDI_TOKEN: newToken() };
        const args = ["--secondary", "--listen", "127.0.0.1:0"];
        const { code, stderr } = await runMdi(args, { ...machine, env });
        assertEquals(code, 2);
        assertMatch(stderr, /Deno 2\.7\.11, which runs this mdi, cannot ask peers for their cert/);
      });
      await t.step("an altered module and altered code are refused", async () => {
        const altered = join(machine.place, "altered");
        for (
          const [mark, name] of [
            ["\0asm", "ort-wasm-simd-threaded.bin"],
            ["async function ortWasmThreaded", "ort-wasm-simd-threaded.mjs"],
          ]
        ) {
          await alter(file, mark!, altered);
          const { code, stderr } = await runMdi(["--starter", ...PROMPT, "--backend", "ort"], {
            ...machine,
            file: altered,
          });
          assertNotEquals(code, 0, name);
          assertMatch(
            stderr,
            new RegExp(`Cannot use \\S*(${name})\\S* inside this mdi: its bytes`),
          );
        }
      });
    } finally {
      await Deno.remove(machine.place, { recursive: true });
      await Deno.remove(out, { recursive: true });
    }
  },
});

Deno.test({
  name: `a self-extracting file does what the source does${DENORT_NOTE}`,
  ignore,
  async fn(t) {
    const out = await Deno.makeTempDir({ prefix: "mdi-compile-" });
    const file = join(out, "dist", "mdi-x86_64-linux");
    const machine = await emptyMachine(file);
    const cache = join(machine.place, "home", ".cache");
    try {
      await compileFiles(out, "--self-extracting", "--target", "x86_64-linux");
      const version = `${VERSION} (self-extracting, Deno 2.9.5, x86_64-unknown-linux-gnu)\n`;
      await t.step("--version, twice", async () => {
        assertEquals((await runMdi(["--version"], machine)).stdout, version);
        assertEquals((await runMdi(["--version"], machine)).stdout, version);
      });
      await t.step("a ring of three with a token gives the ids of the source", async () => {
        assertEquals(await ringIds(file, newToken()), await idsFromSource());
      });
      await t.step("the demo gives what it gives from source", async () => {
        assertEquals(await demoIds(machine), await demoIdsFromSource());
      });
      await t.step("ONNX Runtime runs from inside", () => assertOrtRuns(machine));
      await t.step("a cache that cannot be one, and a place for another", async () => {
        await Deno.remove(cache, { recursive: true });
        await Deno.writeTextFile(cache, "");
        const env = { ...machine.env, TMPDIR: join(machine.place, "tmp") };
        assertEquals((await runMdi(["--version"], { ...machine, env })).stdout, version);
        const nowhere = { ...machine.env, TMPDIR: "/proc" };
        const { code, stderr } = await runMdi(["--version"], { ...machine, env: nowhere });
        assertEquals(code, 6);
        assertMatch(stderr, /Cannot unpack: none of \$XDG_CACHE_HOME, \$HOME\/\.cache and/);
      });
      await t.step("a file that is cut off is refused", async () => {
        const env = { ...machine.env, TMPDIR: join(machine.place, "other") };
        const cut = join(machine.place, "cut");
        await Deno.copyFile(file, cut);
        await Deno.truncate(cut, 30e6);
        const { code, stderr } = await runMdi(["--version"], { ...machine, env, file: cut });
        assert(code !== 0);
        assertMatch(stderr, /this file was altered or is cut off; copy it anew/);
      });
    } finally {
      await Deno.remove(machine.place, { recursive: true });
      await Deno.remove(out, { recursive: true });
    }
  },
});
