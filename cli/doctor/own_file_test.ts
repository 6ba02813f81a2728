import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { join } from "node:path";
import { checkOwnFile, hashOfOwnFile, parseSums, sumsBeside } from "./own_file.ts";

/** Any hash. */
const HASH = "c0a2d8a4d5b7f7fd1fa0d7f84ea7f1cbf9c7d9b6f8e25a4f5d6c7b8a9e0f1d2c";
const OTHER = "0".repeat(64);

Deno.test("hashOfOwnFile() and sumsBeside() read the file and the list beside it", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const path = join(directory, "mdi-x86_64-linux");
    await Deno.writeTextFile(path, "abc");
    const own = await hashOfOwnFile({ path });
    const hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assertEquals(own, { path, hash });
    assertEquals(await sumsBeside(path), null);
    await Deno.writeTextFile(join(directory, "SHA256SUMS"), `${hash}  mdi-x86_64-linux\n`);
    assertEquals(checkOwnFile(own!, await sumsBeside(path)).status, "good");
    assertEquals(await hashOfOwnFile(), null); // tests run from the sources
    await Deno.remove(join(directory, "SHA256SUMS"));
    await Deno.mkdir(join(directory, "SHA256SUMS"));
    assertEquals(await sumsBeside(path), null);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("checkOwnFile() tells damaged, renamed and unknown files", () => {
  const sums = `${HASH}  mdi-aarch64-linux\n${OTHER} *mdi-x86_64-linux\n`;
  const statusOf = (path: string, hash: string, list: string | null = sums) =>
    checkOwnFile({ path, hash }, list).status;
  assertEquals(statusOf("/opt/mdi-aarch64-linux", HASH), "good");
  assertEquals(statusOf("/usr/local/bin/mdi", HASH), "good");
  assertEquals(statusOf("/opt/mdi-x86_64-linux", HASH.replace("c", "d")), "bad");
  assertEquals(statusOf("/opt/mdi", HASH.replace("c", "d")), "warning");
  assertEquals(statusOf("/opt/mdi", HASH, null), "unknown");
});

Deno.test("parseSums() takes any text", () => {
  assertEquals([...parseSums(`${HASH}  ./a b\r\n# no\n${HASH.slice(1)}  c\n`)], [["a b", HASH]]);
  fc.assert(fc.property(fc.string(), (text) => assert(parseSums(text).size <= text.length)));
});
