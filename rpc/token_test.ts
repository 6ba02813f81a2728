import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { join } from "node:path";
import { MdiError } from "../wasm/error.ts";
import { findToken, formatToken, newToken, parseToken, saveToken } from "./token.ts";

const bytes16 = fc.uint8Array({ minLength: 16, maxLength: 16 });
const NO_ENV = { get: () => undefined };

async function withHome(test: (home: string) => Promise<void>): Promise<void> {
  const home = await Deno.makeTempDir();
  try {
    await test(home);
  } finally {
    await Deno.remove(home, { recursive: true });
  }
}

function assertSecret(error: Error, token: string): void {
  const digits = token.toLowerCase().replace(/[-\s]/g, "").slice(4);
  const message = error.message.toLowerCase().replaceAll("-", "");
  for (let i = 0; i + 6 <= digits.length; i++) assert(!message.includes(digits.slice(i, i + 6)));
}

Deno.test("newToken() gives different tokens of one form", () => {
  assertMatch(newToken(), /^mdi1(-[0-9a-hjkmnp-tv-z]{4}){8}$/);
  assert(newToken() !== newToken());
});

Deno.test("formatToken() writes known bytes in the published form", () => {
  const token = Uint8Array.from({ length: 16 }, (_, i) => i * 17);
  assertEquals(formatToken(token), "mdi1-008j-4ct4-ank7-f24s-naxw-sqfe-zz9n-dsn3");
  assertThrows(() => formatToken(new Uint8Array(15)), RangeError, "15 bytes");
});

Deno.test("parseToken() reads what formatToken() wrote, however it is typed", () => {
  fc.assert(fc.property(bytes16, (token) => {
    const text = formatToken(token);
    const sloppy = text.toUpperCase().replaceAll("-", " ").replaceAll("0", "O").replaceAll(
      "1",
      "l",
    );
    for (const spelling of [text, sloppy, ` ${text}\n`, text.replaceAll("-", "")]) {
      assertEquals(parseToken(spelling), token);
    }
  }));
});

Deno.test("parseToken() notices a mistyped digit and does not repeat the text", () => {
  fc.assert(fc.property(bytes16, fc.nat(31), fc.integer({ min: 1, max: 31 }), (token, at, by) => {
    const alphabet = "0123456789abcdefghjkmnpqrstvwxyz";
    const digits = [...formatToken(token).slice(5).replaceAll("-", "")];
    digits[at] = alphabet[(alphabet.indexOf(digits[at]!) + by) % 32]!;
    const text = `mdi1-${digits.join("")}`;
    const error = assertThrows(() => parseToken(text), MdiError, "checksum");
    assertEquals(error.code, "refused_token");
    assertSecret(error, text);
  }));
});

Deno.test("parseToken() refuses anything else", () => {
  const token = newToken();
  for (
    const text of [
      "",
      "mdi1-",
      "secret",
      token.slice(0, -1),
      token + "0",
      "x" + token,
      "mdi2" + token.slice(4),
      token.slice(0, -1) + "u",
      token.slice(0, -1) + "é",
      "x".repeat(1e6),
    ]
  ) {
    const error = assertThrows(() => parseToken(text), MdiError);
    assertEquals(error.code, "refused_token");
    assert(error.message.length < 200);
    assertSecret(error, token);
  }
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
    assertThrows(() => parseToken(text), MdiError);
  }));
});

Deno.test("findToken() takes the flag, else the environment, else the file", () =>
  withHome(async (home) => {
    const [a, b, c] = [newToken(), newToken(), newToken()];
    const env = { get: (name: string) => name === "MDI_TOKEN" ? b : undefined };
    assertEquals(await findToken({ env: NO_ENV, homeDir: home }), undefined);
    assertEquals(await findToken({ env: NO_ENV, homeDir: join(home, "none") }), undefined);
    const path = await saveToken(home, c);
    const found = (from: string, token: string) => ({ from, token: parseToken(token) });
    assertEquals(await findToken({ flag: a, env, homeDir: home }), found("--token", a));
    assertEquals(await findToken({ env, homeDir: home }), found("$MDI_TOKEN", b));
    assertEquals(await findToken({ env: NO_ENV, homeDir: home }), found(path, c));
  }));

Deno.test("findToken() does not pass over a malformed token", () =>
  withHome(async (home) => {
    await saveToken(home, newToken());
    const find = (flag: string | undefined, value: string | undefined) => () =>
      findToken({ flag, env: { get: () => value }, homeDir: home });
    await assertRejects(find("hello", undefined), MdiError, "Cannot use --token");
    await assertRejects(find("", newToken()), MdiError, "it is empty");
    await assertRejects(find(undefined, "hello"), MdiError, "Cannot use $MDI_TOKEN");
    await assertRejects(find(undefined, ""), MdiError, "it is empty");
    await Deno.writeTextFile(join(home, "token"), "hello");
    await assertRejects(find(undefined, undefined), MdiError, join(home, "token"));
  }));

Deno.test("findToken() refuses a file that others can read, and what is no file", () =>
  withHome(async (home) => {
    const path = join(home, "token");
    const find = () => findToken({ env: NO_ENV, homeDir: home });
    const token = newToken();
    await Deno.writeTextFile(path, token, { mode: 0o600 });
    for (const mode of [0o640, 0o604, 0o660, 0o644, 0o601]) {
      await Deno.chmod(path, mode);
      const error = await assertRejects(find, MdiError, `chmod 600 ${path}`);
      assertEquals(error.code, "refused_token");
      assertSecret(error, token);
    }
    await Deno.chmod(path, 0o400);
    assertEquals((await find())?.token, parseToken(token));
    await Deno.rename(path, join(home, "elsewhere"));
    await Deno.symlink(join(home, "elsewhere"), path);
    await assertRejects(find, MdiError, "symbolic link");
    await Deno.remove(path);
    await Deno.mkdir(path, { mode: 0o700 });
    await assertRejects(find, MdiError, "not a file");
    await Deno.remove(path);
    await Deno.writeTextFile(path, token + " ".repeat(500), { mode: 0o600 });
    await assertRejects(find, MdiError, "are no token");
    await Deno.remove(path);
    await new Deno.Command("mkfifo", { args: ["-m", "600", path] }).output();
    await assertRejects(find, MdiError, "not a file");
  }));

Deno.test("saveToken() writes a private file and keeps another token unless forced", () =>
  withHome(async (parent) => {
    const home = join(parent, "deep", "home");
    const [a, b] = [newToken(), newToken()];
    const path = await saveToken(home, a.toUpperCase());
    assertEquals(await Deno.readTextFile(path), a + "\n");
    assertEquals((await Deno.stat(path)).mode! & 0o777, 0o600);
    assertEquals((await Deno.stat(home)).mode! & 0o777, 0o700);
    assertEquals(await saveToken(home, a), path);
    const error = await assertRejects(() => saveToken(home, b), MdiError, "has one already");
    assertSecret(error, a);
    assertSecret(error, b);
    await saveToken(home, b, { force: true });
    assertEquals(await Deno.readTextFile(path), b + "\n");
    const entries = await Array.fromAsync(Deno.readDir(home), (entry) => entry.name);
    assertEquals(entries, ["token"]);
    await assertRejects(() => saveToken(home, "hello"), MdiError);
  }));

Deno.test("saveToken() says that it cannot write", () =>
  withHome(async (home) => {
    await Deno.writeTextFile(join(home, "file"), "");
    const error = await assertRejects(() => saveToken(join(home, "file"), newToken()), MdiError);
    assertEquals(error.code, "disk");
  }));
