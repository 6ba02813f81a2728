/**
 * The ring's token: 128 random bits that make a device a member (see `identity.ts`), in a form that
 * people can read out, type and copy:
 *
 *     mdi1-008j-4ct4-ank7-f24s-naxw-sqfe-zz9n-dsn3
 *
 * After the prefix come 32 digits of Crockford's base32: 16 random bytes and 4 bytes of checksum, the
 * first of SHA-256("mdi token 1" ‖ random bytes). Case, hyphens and white space do not matter; o is
 * read as 0, i and l as 1. No message of this file holds the text of a token.
 */
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { MdiError, messageOf } from "../wasm/error.ts";

/** Random bytes in a token. */
const TOKEN_BYTES = 16;
const CHECKSUM_BYTES = 4;
/** No spelling of a token is longer; a longer text or file is not looked at. */
const MAX_TOKEN_TEXT = 256;
/** Crockford's base32: no i, l, o, u. */
const DIGITS = "0123456789abcdefghjkmnpqrstvwxyz";

/** A token and where it came from. */
export interface FoundToken {
  /** The 16 random bytes. */
  token: Uint8Array;
  /** "--token", "$MDI_TOKEN" or the path of a file. */
  from: string;
}

/** Where {@linkcode findToken} looks. */
export interface FindTokenOptions {
  /** The value of `--token`. */
  flag?: string | undefined;
  /** The environment; `Deno.env` fits. Only MDI_TOKEN is read. */
  env: { get(name: string): string | undefined };
  /** `$MDI_HOME`: the directory whose file `token` is looked at last. */
  homeDir: string;
}

/** Makes a new token's text. */
export function newToken(): string {
  return formatToken(crypto.getRandomValues(new Uint8Array(TOKEN_BYTES)));
}

/**
 * The text of a token's 16 bytes.
 * @throws {RangeError} where there are not 16.
 */
export function formatToken(token: Uint8Array): string {
  if (token.length !== TOKEN_BYTES) {
    throw new RangeError(`Cannot write a token of ${token.length} bytes: it has ${TOKEN_BYTES}`);
  }
  const bytes = [...token, ...checksum(token)];
  let digits = "";
  for (let i = 0; i < bytes.length; i += 5) {
    let bits = bytes.slice(i, i + 5).reduce((sum, byte) => sum * 256 + byte, 0);
    let group = "";
    for (let k = 0; k < 8; k++) {
      group = DIGITS[bits % 32] + group;
      bits = Math.floor(bits / 32);
    }
    digits += group;
  }
  return ["mdi1", ...digits.match(/.{4}/g)!].join("-");
}

/**
 * Reads a token's text.
 * @returns its 16 random bytes.
 * @throws {MdiError} refused_token where it is anything else; the message does not repeat the text.
 */
export function parseToken(text: string): Uint8Array {
  return parseTokenFrom("a token", text);
}

function parseTokenFrom(source: string, text: string): Uint8Array {
  const refuse = (why: string) =>
    new MdiError(
      "refused_token",
      `Cannot use ${source}: ${why}; give it as "mdi token new" printed it`,
    );
  if (text.length > MAX_TOKEN_TEXT) throw refuse(`it is longer than ${MAX_TOKEN_TEXT} characters`);
  const plain = text.toLowerCase().replace(/[-\s]/g, "").replaceAll("o", "0").replace(/[il]/g, "1");
  if (plain === "") throw refuse("it is empty");
  if (!plain.startsWith("md11")) throw refuse('it does not start with "mdi1-"');
  const digits = plain.slice(4);
  if (digits.length !== 32) throw refuse(`it has ${digits.length} digits and not 32`);
  const bytes = new Uint8Array(TOKEN_BYTES + CHECKSUM_BYTES);
  for (let group = 0; group < 4; group++) {
    let bits = 0;
    for (let k = 0; k < 8; k++) {
      const digit = DIGITS.indexOf(digits[8 * group + k]!);
      if (digit < 0) throw refuse("it has a character that no token has");
      bits = bits * 32 + digit;
    }
    for (let k = 4; k >= 0; k--) {
      bytes[5 * group + k] = bits % 256;
      bits = Math.floor(bits / 256);
    }
  }
  const token = bytes.slice(0, TOKEN_BYTES);
  if (checksum(token).some((byte, i) => byte !== bytes[TOKEN_BYTES + i])) {
    throw refuse("its checksum is wrong, so a character is mistyped");
  }
  return token;
}

/**
 * Finds this device's token: `--token`, else `$MDI_TOKEN`, else the file `token` in `$MDI_HOME`.
 * @returns undefined where there is none.
 * @throws {MdiError} refused_token where the first one found is malformed or kept where others can
 * read it; it is never passed over for the next.
 */
export async function findToken(options: FindTokenOptions): Promise<FoundToken | undefined> {
  const { flag, env, homeDir } = options;
  if (flag !== undefined) return { token: parseTokenFrom("--token", flag), from: "--token" };
  const variable = env.get("MDI_TOKEN");
  if (variable !== undefined) {
    return { token: parseTokenFrom("$MDI_TOKEN", variable), from: "$MDI_TOKEN" };
  }
  const path = tokenPath(homeDir);
  const token = await readTokenFile(path);
  return token && { token, from: path };
}

/**
 * Keeps a token in the file `token` of `$MDI_HOME`, with mode 600, whole or not at all.
 * @returns the path of the file.
 * @throws {MdiError} refused_token where the text is no token, or where the file holds another one
 * and `force` is not set; disk where it cannot be written.
 */
export async function saveToken(
  homeDir: string,
  text: string,
  options: { force?: boolean } = {},
): Promise<string> {
  const token = parseToken(text);
  const path = tokenPath(homeDir);
  if (!options.force) {
    const kept = await readTokenFile(path);
    if (kept?.every((byte, i) => byte === token[i])) return path;
    if (kept) {
      throw new MdiError(
        "refused_token",
        `Cannot save a new token: this device has one already; "cat ${path}" shows it for the other devices, and "mdi token new --force" replaces it, so that all of them need the new one`,
        { details: { path } },
      );
    }
  }
  const temporary = `${path}.${crypto.randomUUID()}.tmp`;
  try {
    await Deno.mkdir(homeDir, { recursive: true, mode: 0o700 });
    await writePrivate(temporary, formatToken(token) + "\n");
    await Deno.rename(temporary, path);
  } catch (cause) {
    await Deno.remove(temporary).catch(() => {});
    throw new MdiError("disk", `Cannot save the token in ${path}: ${messageOf(cause)}`, {
      cause,
      details: { path },
    });
  }
  return path;
}

function tokenPath(homeDir: string): string {
  return join(homeDir, "token");
}

async function writePrivate(path: string, text: string): Promise<void> {
  using file = await Deno.open(path, { write: true, createNew: true, mode: 0o600 });
  const bytes = new TextEncoder().encode(text);
  for (let written = 0; written < bytes.length;) {
    written += await file.write(bytes.subarray(written));
  }
  await file.sync();
}

async function readTokenFile(path: string): Promise<Uint8Array | undefined> {
  const refuse = (why: string, cause?: unknown) =>
    new MdiError("refused_token", `Cannot use the token in ${path}: ${why}`, {
      cause,
      details: { path },
    });
  let file: FileHandle;
  try {
    // Checked on the open file, so that no one can change it in between; a pipe does not block.
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (cause) {
    const code = (cause as { code?: string }).code;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    if (code === "ELOOP") throw refuse("it is a symbolic link; put the file itself there", cause);
    throw refuse(messageOf(cause), cause);
  }
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw refuse("it is not a file; remove it");
    if (Deno.build.os !== "windows" && (stat.mode & 0o077) !== 0) {
      const mode = (stat.mode & 0o777).toString(8);
      throw refuse(`others may read it (mode ${mode}); type "chmod 600 ${path}"`);
    }
    if (stat.size > MAX_TOKEN_TEXT) throw refuse(`its ${stat.size} bytes are no token; remove it`);
    const buffer = new Uint8Array(MAX_TOKEN_TEXT);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
    return parseTokenFrom(path, new TextDecoder().decode(buffer.subarray(0, bytesRead)));
  } finally {
    await file.close();
  }
}

function checksum(token: Uint8Array): Uint8Array {
  const hash = createHash("sha256").update("mdi token 1").update(token).digest();
  return hash.subarray(0, CHECKSUM_BYTES);
}
