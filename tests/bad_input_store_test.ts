/** A disk that is full or read-only, damaged blocks, and two processes in one store. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { listStore } from "../engine/store/report.ts";
import { openStore } from "../engine/store/store.ts";
import { runMdi, startSecondary } from "./support/mdi_process.ts";
import { assertNothingHalfWritten, assertRefused, temporaryDirectory } from "./support/refusal.ts";

const MODEL = fileURLToPath(
  new URL("./fixtures/tiny-llama-tied/gguf/model-f32.gguf", import.meta.url),
);
const MAIN = fileURLToPath(new URL("../cli/main.ts", import.meta.url));
const RUN = [
  ...["--starter", "--model", MODEL, "--prompt", "Hi", "--greedy", "--tokens", "4", "--json"],
];

const canMount = Deno.build.os === "linux" &&
  await new Deno.Command("unshare", { args: ["-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"] })
    .output().then(({ success }) => success, () => false);

/** Runs mdi with a file system of its own at its home, in a mount namespace that ends with it. */
async function onFileSystem(home: string, options: string, script: string) {
  const { code, stdout, stderr } = await new Deno.Command("unshare", {
    args: [
      ...["-m", "sh", "-c", `mount -t tmpfs -o ${options} tmpfs "$MDI_HOME" && ${script}`, "sh"],
      ...[Deno.execPath(), "run", "-A", MAIN],
    ],
    env: { MDI_HOME: home, NO_COLOR: "1" },
  }).output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { code, stdout: out!, stderr: err! };
}

Deno.test({
  name: "mdi says that the disk is full, and leaves nothing of what it began (needs `unshare -m`)",
  ignore: !canMount,
  async fn() {
    await using dir = await temporaryDirectory();
    const pull = `"$@" pull ${MODEL} --json`;
    const before = await onFileSystem(dir.path, "size=200k", pull);
    assertEquals(before.code, 6, before.stderr);
    assertMatch(before.stdout, /"code":"disk","message":".*takes 738 kB.* has \d+ kB free; free/);
    // Enough for the weights, as is asked first, and not for what is stored beside them.
    const under = await onFileSystem(
      dir.path,
      "size=740k",
      `{ ${pull}; echo "status $?"; cd "$MDI_HOME"; ls tmp manifests imports; "$@" store verify; }`,
    );
    assertMatch(under.stdout, /"code":"disk","message":"Cannot .*: the disk is full at .*needed/);
    assertMatch(under.stdout, /status 6\nimports:\n\nmanifests:\n\ntmp:\n.*: all whole\n$/);
  },
});

Deno.test({
  name: "mdi says that the store cannot be written (needs `unshare -m`)",
  ignore: !canMount,
  async fn() {
    await using dir = await temporaryDirectory();
    const readOnly = await onFileSystem(dir.path, "ro", `"$@" ${RUN.join(" ")}`);
    assertEquals(readOnly.code, 6, readOnly.stderr);
    assertMatch(readOnly.stdout, /"code":"disk".*read-only at .*; set MDI_HOME to a directory/);
  },
});

Deno.test("mdi says that $MDI_HOME is no directory", async () => {
  await using dir = await temporaryDirectory();
  const file = join(dir.path, "file");
  await Deno.writeTextFile(file, "");
  await assertRefused(RUN.slice(0, -1), { home: join(file, "home") }, {
    status: 6,
    code: "disk",
    message: /a part of the path is a file.*set MDI_HOME to a directory/,
  });
});

/** Changes one byte in the middle of a block of a layer. */
async function damageBlock(home: string): Promise<string> {
  const blocks: string[] = [];
  for await (const { name } of Deno.readDir(join(home, "blocks"))) {
    for await (const file of Deno.readDir(join(home, "blocks", name))) {
      blocks.push(join(home, "blocks", name, file.name));
    }
  }
  const sizes = await Promise.all(blocks.map(async (path) => (await Deno.stat(path)).size));
  const path = blocks[sizes.indexOf(Math.max(...sizes))]!;
  using file = await Deno.open(path, { read: true, write: true });
  const at = Math.floor(Math.max(...sizes) / 2);
  const byte = new Uint8Array(1);
  await file.seek(at, Deno.SeekMode.Start);
  await file.read(byte);
  await file.seek(at, Deno.SeekMode.Start);
  await file.write(byte.map((value) => value ^ 0x40));
  return path;
}

Deno.test("mdi notices a damaged block, and has it again: cut by a starter, fetched by a secondary", async () => {
  await using dir = await temporaryDirectory();
  const home = join(dir.path, "starter");
  await using secondary = await startSecondary({ home: join(dir.path, "secondary") });
  const run = [...RUN, "--peers", secondary.address, "--layers", "2,2"];
  const first = await runMdi(run, { home });
  assertEquals(first.code, 0, first.stderr);
  const ids = (records: typeof first.records) =>
    records.find((record) => record.type === "sample")!.ids;
  const received = (records: typeof first.records) => {
    const { nodes } = records.find((record) => record.type === "summary") as unknown as {
      nodes: { weight_bytes_received: number }[];
    };
    return nodes[1]!.weight_bytes_received;
  };
  assert(received(first.records) > 0);

  const [own, theirs] = [await damageBlock(home), await damageBlock(join(dir.path, "secondary"))];
  const verified = await runMdi(["store", "verify"], { home });
  assertEquals(verified.code, 3);
  assertMatch(verified.stdout, new RegExp(`removed ${own}: its sha256 is .*; needed by model-f32`));
  assertMatch(
    verified.stderr,
    /1 damaged file: removed, and cut, packed or fetched again when needed/,
  );

  await damageBlock(home); // another one, which verify has not seen
  const second = await runMdi(run, { home });
  assertEquals(second.code, 0, second.stderr);
  assertEquals(ids(second.records), ids(first.records));
  const again = received(second.records);
  assertEquals(again, (await Deno.stat(theirs)).size, "one block was fetched again");
  for (const stderr of [second.stderr, secondary.stderr()]) {
    assertMatch(stderr, /removed .*: its sha256 is .*, so it was damaged/);
  }
  assertEquals(received((await runMdi(run, { home })).records), 0);
  assertEquals((await runMdi(["store", "verify"], { home })).code, 0);
});

Deno.test("mdi run twice at once in an empty store cuts the model once", async () => {
  await using dir = await temporaryDirectory();
  const home = dir.path;
  const runs = await Promise.all([1, 2].map(() => runMdi(RUN, { home })));
  for (const { code, stderr } of runs) assertEquals(code, 0, stderr);
  const [a, b] = runs.map(({ records }) => records.find(({ type }) => type === "sample"));
  assertEquals(a, b);
  assertEquals(await assertNothingHalfWritten(home), ["model-f32.gguf"]);
  const { models, orphanBytes } = await listStore((await openStore(home)).layout);
  assertEquals([models.length, orphanBytes], [1, 0]);
});
