/** Profiles that were measured before, in `profiles/` of the store: one file each, written whole or not at all. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { readStageProfile, type StageProfile } from "../../wasm/profile.ts";
import { writeAtomically } from "../store/disk.ts";
import type { StoreLayout } from "../store/layout.ts";

/** Everything that a profile depends on; any difference makes it another's. */
export interface ProfileKey {
  /** Of mdi, and of its kernels where the host runs them. */
  version: string;
  kernels: string | null;
  backend: string;
  threads: number;
  kv: string;
  dModel: number;
  /** Family of the model, as its config says. */
  architecture: string;
  /** Hashes of the measured blocks. */
  blocks: readonly string[];
  /** The processor: its kind, threads and, where it tells, its name. */
  arch: string;
  cores: number;
  cpu: string | null;
  /** Of the device: homes may be shared by several. */
  hostname: string | null;
}

/** A profile in its file. */
interface Entry {
  version: 1;
  /** Ms since 1970. */
  measuredAt: number;
  /** Whether other programs or a quota left the process a part of a processor, which may soon be over. */
  busy: boolean;
  key: ProfileKey;
  profile: StageProfile;
}

/** A profile says less of a device the older it is. */
const MOST_AGE_MS = 30 * 24 * 3600e3;
/** One of a busy device is good for starts in a row: nodes that share a device are busy whenever they are measured. */
const MOST_BUSY_AGE_MS = 600e3;
/** A real file has 2 kB. */
const MAX_FILE_BYTES = 64 * 1024;
/** Files that are kept: those of other models and settings. */
const MOST_FILES = 256;

/** Where a profile is kept. */
export function profilePath({ root }: StoreLayout, key: ProfileKey): string {
  const name = createHash("sha256").update(JSON.stringify(key)).digest("hex").slice(0, 32);
  return join(root, "profiles", `${name}.json`);
}

/**
 * Finds a profile; undefined where there is none of this key, or one that is damaged or too old.
 * @param now ms since 1970.
 */
export async function readKeptProfile(
  layout: StoreLayout,
  key: ProfileKey,
  now: number = Date.now(),
): Promise<Pick<Entry, "profile" | "busy"> | undefined> {
  try {
    const path = profilePath(layout, key);
    if ((await Deno.stat(path)).size > MAX_FILE_BYTES) return undefined;
    const json: unknown = JSON.parse(await Deno.readTextFile(path));
    const { version, measuredAt, busy, key: theirs, profile } = json as Entry;
    const mostAge = busy ? MOST_BUSY_AGE_MS : MOST_AGE_MS;
    if (version !== 1 || JSON.stringify(theirs) !== JSON.stringify(key)) return undefined;
    // One from the future was measured by another clock.
    if (!(measuredAt <= now && now - measuredAt <= mostAge)) return undefined;
    return { profile: readStageProfile(profile), busy: busy === true };
  } catch {
    return undefined; // whatever is wrong with it, it is measured again
  }
}

/**
 * Keeps a profile. A store that cannot be written loses nothing but time: it is measured again.
 * @param busy whether other programs or a quota left it a part of a processor: then it is kept for minutes.
 */
export async function keepProfile(
  layout: StoreLayout,
  key: ProfileKey,
  profile: StageProfile,
  busy: boolean,
  now: number = Date.now(),
): Promise<void> {
  const path = profilePath(layout, key);
  const entry: Entry = { version: 1, measuredAt: now, busy, key, profile };
  try {
    await Deno.mkdir(join(layout.root, "profiles"), { recursive: true, mode: 0o700 });
    await removeOld(layout, now);
    await writeAtomically(path, JSON.stringify(entry), layout.tmp);
  } catch {
    // The profile is there all the same.
  }
}

async function removeOld({ root }: StoreLayout, now: number): Promise<void> {
  const directory = join(root, "profiles");
  const files = [];
  for await (const { name } of Deno.readDir(directory)) {
    if (!/^[0-9a-f]{32}\.json$/.test(name)) continue;
    const path = join(directory, name);
    files.push({ path, time: (await Deno.stat(path)).mtime?.getTime() ?? 0 });
  }
  files.sort((a, b) => b.time - a.time);
  for (const [i, { path, time }] of files.entries()) {
    if (i < MOST_FILES - 1 && now - time <= MOST_AGE_MS) continue;
    await Deno.remove(path).catch(() => {}); // another process was first
  }
}
