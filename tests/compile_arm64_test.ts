/**
 * The arm64 file on boards with pages of 4 and of 16 KB, under qemu. What it computes is compared with x86_64 bit for
 * bit, which holds for mdi's own kernels. ONNX Runtime is not compared: it rounds differently on the two, and takes
 * most of a minute to start under emulation. It does run: a secondary holds the kernels against it at first loading.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { randomStream } from "../engine/text/random.ts";
import { openRing, serveNode } from "../mod.ts";
import { TestStarter } from "../rpc/_test_starter.ts";
import { VERSION } from "../rpc/version.ts";
import { BOARDS, emulate, EMULATOR_NOTE } from "./support/arm64_boards.ts";
import { compileFiles, DENORT_NOTE, output } from "./support/compiled.ts";
import { runMdi, startSecondary } from "./support/mdi_process.ts";
import { equalBits } from "./support/numbers.ts";
import { temporaryDirectory } from "./support/refusal.ts";

const MODEL = fileURLToPath(new URL("fixtures/tiny-llama-tied", import.meta.url));
/** Weights that are multiplied as floats, and 8-bit codes, which are stored in the way that the host reads them. */
const FILES = ["onnx/model.onnx", "gguf/model-q8_0.gguf"];
/** A prompt of two chunks. */
const PROMPT = Array.from({ length: 40 }, (_, i) => 3 + (i * i * 31 + i * 7) % 450);
/** Rows of a sample's frames: a chunk, then one at a time. */
const ROWS = [32, 1, 1];

const NOTE = EMULATOR_NOTE || DENORT_NOTE;
const ignore = NOTE !== "" || Deno.build.target !== "x86_64-unknown-linux-gnu";

/** What one node of this process, or it and a secondary with half of the layers, says to the prompt. */
async function greedyIds(home: string, secondary?: string): Promise<readonly number[]> {
  await using ring = await openRing({
    ...{ home, model: MODEL, dtype: "fp32" },
    ...(secondary !== undefined && { peers: secondary, layers: "2,2" }),
  });
  const options = { maxTokens: 16, greedy: true, ignoreEos: true };
  const { ids } = await ring.generate(PROMPT, options).result;
  const { nodes, deviations } = await ring.summary();
  assertEquals(nodes.map(({ backend }) => backend), nodes.map(() => "simd"));
  assertEquals(deviations, []);
  if (secondary !== undefined) assert(nodes[1]!.weightBytesReceived > 0);
  return ids;
}

/** The hidden rows that a secondary sends on when it is given these, by its two layers of the model's file. */
async function hiddenRows(address: string, home: string, file: string): Promise<Float32Array[]> {
  await using owned = new AsyncDisposableStack();
  const starter = owned.use(await TestStarter.start(home, file));
  const peer = owned.use(await starter.claim({ address }));
  const { backend } = await peer.configure(starter.configuration(), () => {});
  assertEquals(backend, "simd");
  const link = owned.use(await starter.link({ address }));
  await peer.open();
  const { hidden: width } = starter.manifest.config;
  const random = randomStream(6n, 0);
  await link.send(starter.cache(1, 64));
  let position = 0;
  for (const rows of ROWS) {
    const hidden = Float32Array.from({ length: rows * width }, () => 2 * random.nextFloat() - 1);
    const segments = [{ sample: 1, position, rows, wanted: rows }];
    await link.send({ ...starter.row(1, 0), kind: "frame", segments, hidden });
    position += rows;
  }
  const returned: Float32Array[] = [];
  for await (const message of await starter.returned) {
    if (message.kind === "frame") returned.push(message.hidden.slice());
    if (returned.length === ROWS.length) break;
  }
  assertEquals(returned.map(({ length }) => length), ROWS.map((rows) => rows * width));
  assert(returned.every((rows) => rows.every((value) => Number.isFinite(value) && value !== 0)));
  return returned;
}

/** The script that a self-extracting file begins with. */
async function beginning(path: string): Promise<string> {
  using file = await Deno.open(path);
  const bytes = new Uint8Array(4096);
  const length = await file.read(bytes);
  return new TextDecoder().decode(bytes.subarray(0, length ?? 0));
}

/** How a program ends. */
async function ends(program: string, args: string[], env: Record<string, string> = {}) {
  const { code, stderr } = await new Deno.Command(program, { args, env }).output();
  return { code, stderr: new TextDecoder().decode(stderr) };
}

Deno.test({
  name: `an arm64 file does what the source does, with pages of 4 and of 16 KB${NOTE}`,
  ignore,
  async fn(t) {
    await using stack = new AsyncDisposableStack();
    const { path: out } = stack.use(await temporaryDirectory());
    await compileFiles(out, "--target", "aarch64-linux");
    const own = join(out, "dist", "mdi-aarch64-linux");
    const starter = join(out, "starter");
    const expectedIds = await greedyIds(starter);
    await using native = await serveNode({ home: join(out, "native"), listen: "127.0.0.1:0" });
    const expectedRows = new Map<string, Float32Array[]>();
    for (const model of FILES) {
      expectedRows.set(model, await hiddenRows(native.address, starter, model));
    }

    for (const board of BOARDS) {
      const { name, page } = board;
      const file = join(out, `mdi-${page}`);
      await emulate(own, board, file);
      const machine = { file, home: join(out, `store-${page}`), timeoutMs: 120_000 };

      await t.step(`${name}: --version`, async () => {
        const { stdout } = await runMdi(["--version"], machine);
        assertEquals(stdout, `${VERSION} (deno compile, Deno 2.7.11, aarch64-unknown-linux-gnu)\n`);
      });
      await t.step(`${name}: doctor`, async () => {
        const args = ["doctor", "--json", "--listen", "127.0.0.1:0"];
        const { code, records, stderr } = await runMdi(args, machine);
        assertEquals(code, 0, stderr);
        const checks = new Map(records.map(({ name, value, status }) => [name, { value, status }]));
        assertEquals(checks.get("page size"), { value: page, status: "good" });
        const simd = { build: "relaxed", reading: "signed" };
        assertEquals(checks.get("simd"), { value: simd, status: "good" });
        assertEquals((checks.get("system")?.value as { arch: string }).arch, "aarch64");
        for (const name of ["own file", "store", "disk speed", "port 0"]) {
          assertEquals(checks.get(name)?.status, "good", name);
        }
        assertEquals(records.at(-1)?.type, "doctor");
        assertEquals(records.at(-1)?.bad, 0);
      });
      await using secondary = await startSecondary({ ...machine, timeoutMs: 300_000 });
      await t.step(`${name}: a ring with it gives the ids of one node`, async () => {
        assertEquals(await greedyIds(starter, secondary.address), expectedIds);
      });
      for (const [model, expected] of expectedRows) {
        await t.step(`${name}: frames of ${model} are x86_64's bit for bit`, async () => {
          const rows = await hiddenRows(secondary.address, starter, model);
          assert(rows.every((each, i) => equalBits(each, expected[i]!)));
        });
      }
    }
  },
});

Deno.test({
  name: `a self-extracting arm64 file starts with pages of 4 and of 16 KB${NOTE}`,
  ignore,
  async fn(t) {
    await using stack = new AsyncDisposableStack();
    const { path: out } = stack.use(await temporaryDirectory());
    const other = join(out, "a", "longer", "way");
    await Promise.all([out, other].map((folder) => compileFiles(folder, "--self-extracting")));
    const file = join(out, "dist", "mdi-aarch64-linux");
    const cache = join(out, "cache");
    const env = { XDG_CACHE_HOME: cache, HOME: "", TMPDIR: cache };
    const machine = { file, home: join(out, "store"), env, timeoutMs: 120_000 };

    await t.step("built again elsewhere both have the same bytes", async () => {
      const sums = await Deno.readTextFile(join(out, "dist", "SHA256SUMS"));
      assertEquals(await Deno.readTextFile(join(other, "dist", "SHA256SUMS")), sums);
      assertMatch(sums, /mdi-aarch64-linux\n.*mdi-x86_64-linux\n$/);
    });
    await t.step("another machine unpacks it, and is told that it cannot start it", async () => {
      const { code, stderr } = await runMdi(["--version"], machine);
      assertEquals(code, 3, stderr);
      assertMatch(
        stderr,
        /Cannot start: .* not run on this machine, Linux x86_64; .* aarch64 Linux/,
      );
      assertEquals(await Array.fromAsync(Deno.readDir(cache)), []);
    });
    const unshare = ["--user", "--map-root-user", "--mount"];
    await t.step({
      name: "a folder mounted noexec is another matter",
      ignore: !await ends("unshare", [...unshare, "true"]).then(
        ({ code }) => code === 0,
        () => false,
      ),
      async fn() {
        const script = `mount -t tmpfs -o noexec tmpfs '${cache}' && '${file}' --version`;
        const { code, stderr } = await ends("unshare", [...unshare, "sh", "-c", script], env);
        assertEquals(code, 6, stderr);
        assertMatch(stderr, /Cannot unpack: .* not mounted noexec\n$/);
      },
    });
    // Nothing here starts an arm64 program by itself: an emulator takes the place of the Deno that was unpacked.
    await t.step("an emulated machine starts it", async () => {
      const [, hash, bytes] = /^hash=(\w+)\nbytes=(\d+) /m.exec(await beginning(file))!;
      const place = join(cache, `mdi-${hash}`);
      await Deno.mkdir(place, { recursive: true });
      await output("sh", ["-c", `tail -c ${bytes} '${file}' | tar -xz -C '${place}'`]);
      const deno = join(place, "arm64-deno");
      await Deno.rename(join(place, "deno"), deno);
      for (const board of BOARDS) {
        await emulate(deno, board, join(place, "deno"));
        const { stdout, stderr } = await runMdi(["--version"], machine);
        const made = "self-extracting, Deno 2.9.5, aarch64-unknown-linux-gnu";
        assertEquals(stdout, `${VERSION} (${made})\n`, stderr);
      }
    });
  },
});
