/** Runs mdi as processes of its own, the way its users do. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** mdi's entry. */
export const MAIN = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));

/** One line of `--json` output. */
export type JsonRecord = Record<string, unknown> & { type: string };

/** How a process is started. */
export interface StartOptions {
  /** Its `$MDI_HOME`; a ring's nodes each need their own. */
  home: string;
  env?: Record<string, string>;
  /** The directory that it runs in; ours where absent. */
  cwd?: string;
  /** What standard input holds; closed at once where absent. */
  stdin?: string | Uint8Array;
  /** A test's limit on the whole run in ms. Default 60,000. */
  timeoutMs?: number;
  /** A single file of mdi to start, instead of Deno with the source. */
  file?: string;
  /** What Deno is told before the arguments. Default: `run` with all permissions and mdi's entry. */
  deno?: readonly string[];
  /** Whether it leads a process group of its own, as a terminal's command does. */
  leadsGroup?: boolean;
}

/** How a process ended. */
export interface Ended {
  code: number;
  stdout: string;
  stderr: string;
  /** Standard output's lines, where they are JSON. */
  records: JsonRecord[];
}

/** A running mdi. Disposing kills it and waits for its end. */
export interface MdiProcess extends AsyncDisposable {
  readonly pid: number;
  readonly ended: Promise<Ended>;
  /** All that it has written on standard error so far. */
  stderr(): string;
  /** Waits for the first JSON record for which `accept` holds; rejects where the process ends first. */
  record(accept: (record: JsonRecord) => boolean): Promise<JsonRecord>;
  kill(signal?: Deno.Signal): void;
}

/** Starts `mdi ...args`, from source where nothing else is said. */
export function startMdi(args: readonly string[], options: StartOptions): MdiProcess {
  const { MDI_TOKEN: _ours, INIT_CWD: _where, ...environment } = Deno.env.toObject();
  const deno = options.file ? [] : options.deno ?? ["run", "--no-prompt", "--allow-all", MAIN];
  const child = new Deno.Command(options.file ?? Deno.execPath(), {
    args: [...deno, ...args],
    detached: options.leadsGroup ?? false,
    ...(options.cwd !== undefined && { cwd: options.cwd }),
    env: { ...environment, NO_COLOR: "1", MDI_HOME: options.home, ...options.env },
    clearEnv: true,
    stdin: options.stdin === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const kill = (signal: Deno.Signal = "SIGKILL") => {
    try {
      child.kill(signal);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // it has ended
    }
  };
  const timer = setTimeout(kill, options.timeoutMs ?? 60_000);
  const records: JsonRecord[] = [];
  const waiting = new Set<() => void>();
  let stdout = "";
  let stderr = "";
  const wake = () => {
    for (const each of [...waiting]) each();
  };
  const readOut = (async () => {
    let line = "";
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      stdout += text;
      const lines = (line + text).split("\n");
      line = lines.pop()!;
      for (const each of lines) if (each.startsWith("{")) records.push(JSON.parse(each));
      wake();
    }
  })();
  const readErr = (async () => {
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) stderr += text;
  })();
  const writeIn = (async () => {
    if (options.stdin === undefined) return;
    const { stdin } = options;
    const writer = child.stdin.getWriter();
    try {
      await writer.write(typeof stdin === "string" ? new TextEncoder().encode(stdin) : stdin);
      await writer.close();
    } catch {
      // It ended without reading all of it.
    }
  })();
  let over = false;
  const ended = (async () => {
    const [{ code }] = await Promise.all([child.status, readOut, readErr, writeIn]);
    clearTimeout(timer);
    over = true;
    wake();
    return { code, stdout, stderr, records };
  })();
  return {
    pid: child.pid,
    ended,
    stderr: () => stderr,
    record(accept) {
      const { promise, resolve, reject } = Promise.withResolvers<JsonRecord>();
      const look = () => {
        const found = records.find(accept);
        if (!found && !over) return;
        waiting.delete(look);
        if (found) resolve(found);
        else reject(new Error(`mdi ${args.join(" ")} ended: ${stderr || stdout}`));
      };
      waiting.add(look);
      look();
      return promise;
    },
    kill,
    async [Symbol.asyncDispose]() {
      kill();
      await ended;
    },
  };
}

/** Runs `mdi ...args` to its end. */
export async function runMdi(args: readonly string[], options: StartOptions): Promise<Ended> {
  await using process = startMdi(args, options);
  return await process.ended;
}

/** A secondary that listens. */
export interface Secondary extends MdiProcess {
  /** HOST:PORT. */
  readonly address: string;
}

/** Starts `mdi --secondary` on a free port of 127.0.0.1 and waits until it listens. */
export async function startSecondary(
  options: StartOptions,
  args: readonly string[] = [],
): Promise<Secondary> {
  const process = startMdi(
    ["--secondary", "--listen", "127.0.0.1:0", "--json", ...args],
    { timeoutMs: 300_000, ...options },
  );
  try {
    const ready = await process.record((record) => record.type === "ready");
    return Object.assign(process, { address: String(ready.address) });
  } catch (error) {
    await process[Symbol.asyncDispose]();
    throw error;
  }
}

/** Secondaries on this device, each with a home of its own under `directory`. */
export async function startSecondaries(
  count: number,
  directory: string,
  stack: AsyncDisposableStack,
): Promise<Secondary[]> {
  const started = await Promise.all(
    Array.from(
      { length: count },
      (_, i) => startSecondary({ home: join(directory, `secondary-${i + 1}`) }),
    ),
  );
  for (const each of started) stack.use(each);
  return started;
}
