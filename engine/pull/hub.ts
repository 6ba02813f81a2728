/** The Hugging Face hub's API, as far as a pull needs it. */
import { MdiError, messageOf } from "../../wasm/error.ts";
import { type Digest, sha256Of } from "../store/digest.ts";
import { isSafePath } from "../store/safe_path.ts";
import type { RepoFile } from "./choose_files.ts";
import type { HubSettings } from "./hub_settings.ts";
import { get, type HttpOptions, withRetries } from "./http.ts";

/** An answer of the API is refused above this many bytes. */
const MAX_INFO_BYTES = 32 * 2 ** 20;

/** A file on the hub. */
export interface HubFile extends RepoFile {
  /** What its bytes must hash to, where the hub says it. */
  digest: Digest | undefined;
}

/** What the hub says of a repository at one revision. */
export interface HubInfo {
  /** The commit. */
  revision: string;
  /** Licence of the model card: an SPDX-like id, or its own name. */
  license: string | null;
  /** Files with a safe path and a known size. */
  files: HubFile[];
}

/**
 * Asks for a repository's files with sizes and hashes
 * (`GET /api/models/OWNER/NAME/revision/REV?blobs=true`).
 * @throws {MdiError} model_missing
 */
export async function hubInfo(
  repo: string,
  revision: string,
  hub: HubSettings,
  options: HttpOptions,
): Promise<HubInfo> {
  const url = `${hub.endpoint}/api/models/${repo}/revision/${revision}?blobs=true`;
  return await withRetries(`ask ${hub.endpoint} for ${repo}`, async () => {
    const answer = await get(url, { accept: "application/json" }, { ...options, token: hub.token });
    const decoder = new TextDecoder();
    let text = "";
    try {
      for await (const chunk of answer.body()) {
        text += decoder.decode(chunk, { stream: true });
        if (text.length > MAX_INFO_BYTES) throw malformed(url, "the answer is too long");
      }
    } finally {
      await answer.done();
    }
    return parseHubInfo(text, url);
  }, options);
}

/** Address of a file at a commit. */
export function hubFileUrl(repo: string, revision: string, path: string, hub: HubSettings): string {
  const encoded = path.split("/").map(encodeURIComponent).join("/");
  return `${hub.endpoint}/${repo}/resolve/${revision}/${encoded}`;
}

function malformed(url: string, reason: string, cause?: unknown): MdiError {
  return new MdiError("model_missing", `Cannot understand ${url}: ${reason}`, { cause });
}

/** Reads the API's answer. Files whose path would leave the directory are not in the result. */
export function parseHubInfo(text: string, url: string): HubInfo {
  let json: Record<string, unknown>;
  try {
    json = objectOf(JSON.parse(text));
  } catch (cause) {
    throw malformed(url, `the answer is not JSON (${messageOf(cause)})`, cause);
  }
  const { sha, siblings } = json;
  if (typeof sha !== "string" || !/^[0-9a-f]{7,64}$/.test(sha) || !Array.isArray(siblings)) {
    throw malformed(url, "the answer has no commit or no list of files");
  }
  const files: HubFile[] = [];
  for (const each of siblings) {
    const file = hubFile(objectOf(each));
    if (file) files.push(file);
  }
  return { revision: sha, license: licenseOf(json), files };
}

function hubFile(sibling: Record<string, unknown>): HubFile | undefined {
  const lfs = objectOf(sibling.lfs);
  const bytes = lfs.size ?? sibling.size;
  const path = sibling.rfilename;
  if (typeof path !== "string" || !isSafePath(path)) return undefined;
  if (!Number.isSafeInteger(bytes) || (bytes as number) < 0) return undefined;
  return { path, bytes: bytes as number, digest: digestOf(lfs.sha256 ?? lfs.oid, sibling.blobId) };
}

function digestOf(sha256: unknown, blobId: unknown): Digest | undefined {
  if (typeof sha256 === "string" && /^[0-9a-f]{64}$/.test(sha256)) {
    return sha256Of(sha256);
  }
  if (sha256 === undefined && typeof blobId === "string" && /^[0-9a-f]{40}$/.test(blobId)) {
    return { algorithm: "git-sha1", hex: blobId };
  }
  return undefined;
}

function licenseOf(json: Record<string, unknown>): string | null {
  const card = objectOf(json.cardData);
  const tags = Array.isArray(json.tags) ? json.tags : [];
  const tag = tags.find((each) => typeof each === "string" && each.startsWith("license:"));
  const id = typeof card.license === "string" ? card.license : tag?.slice("license:".length);
  const named = id === "other" && typeof card.license_name === "string" ? card.license_name : id;
  // deno-lint-ignore no-control-regex -- it is printed on a terminal
  return named ? named.replace(/[\x00-\x1f\x7f-\x9f]/g, "").slice(0, 200) : null;
}

function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? value as Record<string, unknown> : {};
}
