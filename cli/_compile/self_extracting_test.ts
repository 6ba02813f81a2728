import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { ENTRY } from "./bundles.ts";
import { run } from "./denort.ts";
import { writeBehindScript } from "./self_extracting.ts";
import { findTarget } from "./targets.ts";

/** Stands for Deno: says what it was given last, and where the file lies. */
const STAND_IN = `#!/bin/sh
for last; do :; done
printf "%s of %s\\n" "$last" "$MDI_FILE"
`;

/** A file that unpacks a stand-in for Deno, in a folder of its own with a cache. */
async function makeFile() {
  const root = await Deno.realPath(await Deno.makeTempDir({ prefix: "mdi-self-" }));
  const content = join(root, "content");
  const folder = join(root, 'it\'s a "place" $(x) \\n');
  const cache = join(root, "cache");
  await Promise.all([content, folder, cache].map((each) => Deno.mkdir(each)));
  await Deno.writeTextFile(join(content, "deno"), STAND_IN, { mode: 0o755 });
  const files = ["deno", ENTRY, "build.json"];
  for (const name of files.slice(1)) await Deno.writeTextFile(join(content, name), "");
  const archive = join(root, "archive.tar.gz");
  await run("tar", ["-czf", archive, "-C", content, ...files]);
  const file = join(folder, "mdi");
  await writeBehindScript(findTarget("x86_64-linux")!, archive, files, file);
  return {
    ...{ root, folder, file, cache },
    async start(program: string, args: string[], env: Record<string, string> = {}) {
      const { code, stdout, stderr } = await new Deno.Command(program, {
        args,
        cwd: folder,
        env: { XDG_CACHE_HOME: cache, HOME: "", TMPDIR: join(root, "tmp"), ...env },
      }).output();
      const text = new TextDecoder();
      return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
    },
    async unpacked(): Promise<string[]> {
      return (await Array.fromAsync(Deno.readDir(cache))).map(({ name }) => name);
    },
    [Symbol.asyncDispose]: () => Deno.remove(root, { recursive: true }),
  };
}

const test = (name: string, fn: () => Promise<void>) =>
  Deno.test({ name, ignore: Deno.build.os !== "linux", fn });

test("a self-extracting file finds itself however it is started", async () => {
  await using made = await makeFile();
  const { folder, file, root } = made;
  const said = { code: 0, stdout: `--x y of ${file}\n`, stderr: "" };
  const args = ["--x y"];
  const other = join(root, "other");
  await Deno.mkdir(join(other, "sub"), { recursive: true });
  await Deno.mkdir(join(folder, "sub"));
  await Deno.copyFile(file, join(folder, "sub", "mdi"));
  assertEquals(await made.start(file, args), said);
  for (const shell of ["sh", "bash"]) {
    assertEquals(await made.start(shell, ["mdi", ...args]), said);
    assertEquals(await made.start(shell, ["./mdi", ...args]), said);
    const fromPath = await made.start(shell, ["-c", 'mdi "$@"', shell, ...args], {
      PATH: `${folder}:${Deno.env.get("PATH")}`,
    });
    assertEquals(fromPath, said);
  }
  const { stdout } = await made.start("sh", ["sub/mdi", ...args], { CDPATH: other });
  assertEquals(stdout, `--x y of ${join(folder, "sub", "mdi")}\n`);
  const link = join(root, "link");
  await Deno.symlink(file, link);
  assertEquals((await made.start(link, args)).stdout, `--x y of ${link}\n`);
});

test("a self-extracting file mends what it has unpacked, and leaves nothing else", async () => {
  await using made = await makeFile();
  const { file, cache } = made;
  const first = await Promise.all(Array.from({ length: 6 }, () => made.start(file, ["a"])));
  for (const { code, stdout } of first) assertEquals([code, stdout], [0, `a of ${file}\n`]);
  const [name, ...more] = await made.unpacked();
  assertMatch(name!, /^mdi-[0-9a-f]{64}$/);
  assertEquals(more, []);
  const place = join(cache, name!);
  assertEquals((await Deno.stat(place)).mode! & 0o777, 0o700);
  for (const lost of ["deno", ENTRY, "build.json"]) {
    await Deno.remove(join(place, lost));
    assertEquals((await made.start(file, ["a"])).code, 0, lost);
    assert((await Deno.stat(join(place, lost))).isFile);
  }
  await Deno.remove(place, { recursive: true });
  await Deno.writeTextFile(place, "");
  assertEquals((await made.start(file, ["a"])).code, 0);
  assertEquals(await made.unpacked(), [name]);
});

test("a self-extracting file takes a cache by any name, and none that is relative", async () => {
  await using made = await makeFile();
  const { file, folder, root } = made;
  for (const name of ["a\\nb", "a\nb", "-a 'b'"]) {
    const { code, stderr } = await made.start(file, [], { XDG_CACHE_HOME: join(root, name) });
    assertEquals([code, stderr], [0, ""], name);
  }
  assertEquals((await made.start(file, [], { XDG_CACHE_HOME: "cache" })).code, 0);
  assertEquals((await Array.fromAsync(Deno.readDir(folder))).map((each) => each.name), ["mdi"]);
  await Deno.truncate(file, (await Deno.stat(file)).size - 1);
  const { code, stderr } = await made.start(file, [], { XDG_CACHE_HOME: join(root, "new") });
  assertEquals(code, 1);
  assertMatch(stderr, /this file was altered or is cut off; copy it anew/);
});
