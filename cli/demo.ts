/**
 * `mdi --demo`: a ring of three on this device. This process is the starter; two secondaries are
 * processes of their own with stores of their own, `$MDI_HOME/demo/1` and `2`, linked as over a network,
 * under a token made for the run where this Deno can serve with one. They share the cores.
 *
 * A secondary ends when its standard input does, and the other end of that pipe is held here: so it goes
 * with this process, however that ends. It is no member of the terminal's process group: Ctrl-C
 * reaches the starter alone, which closes the ring and then the pipes.
 */
import { join } from "node:path";
import { formatBytes } from "../engine/format_bytes.ts";
import { servesTls } from "../rpc/server.ts";
import { newToken } from "../rpc/token.ts";
import { MdiError, type MdiErrorCode, messageOf } from "../wasm/error.ts";
import { defaultThreads } from "../wasm/threads.ts";
import { demoHome } from "./demo_home.ts";
import { LineReader } from "./line_reader.ts";
import { ownCommand } from "./own_command.ts";
import type { CommandContext, RootOptions } from "./program.ts";
import { pullCommand } from "./pull.ts";
import { starterCommand } from "./starter.ts";

const SECONDARIES = 2;
/** Samples of a single prompt. */
const SAMPLES = 3;
const TOKENS = 80;
/** How long a secondary may take to end by itself, in ms. */
const GRACE_MS = 2000;

/** Questions that the default model answers well for its size. */
const QUESTIONS = [
  "What should I see in Paris?",
  "Why is the sky blue?",
  "Write a haiku about the sea.",
];
/** Beginnings for another model, which need not know chats. */
const BEGINNINGS = ["Once upon a time", "The sky is blue because", "In Paris you should see"];

/** Runs the ring until the samples are done. */
export async function demoCommand(options: RootOptions, context: CommandContext): Promise<void> {
  const { output, signal } = context;
  if (options.peers !== undefined || options.listen !== undefined) {
    throw new RangeError(
      "Cannot use --peers or --listen with --demo: it starts its own secondaries on this device",
    );
  }
  const downloaded = await pullCommand(options.model, options, context);
  const token = options.token ?? (servesTls() ? newToken() : undefined);
  const threads = options.threads ?? (options.backend === "ort" ? 1 : threadsEach());
  await using secondaries = new AsyncDisposableStack();
  const peers = await startSecondaries(
    { ...options, threads, ...(token !== undefined && { token }) },
    secondaries,
    signal,
  );
  const summary = await starterCommand({
    ...withPrompts(options),
    name: options.name ?? "starter",
    listen: "127.0.0.1:0",
    ...(token !== undefined && { token }),
    threads,
    peers: peers.join(","),
    // A plan would leave out what only takes cores from this very process.
    layers: options.layers ?? "even",
  }, context);
  if (!summary || options.quiet) return;
  const sent = summary.nodes.reduce((sum, node) => sum + node.weightBytesReceived, 0);
  const next = downloaded + sent > 0 ? " The next run needs neither." : "";
  output.text(
    `\nDownloaded: ${formatBytes(downloaded)}. Weights sent to the secondaries: ${
      formatBytes(sent)
    }.${next}\n`,
  );
}

/** The cores of this device, shared out. */
function threadsEach(): number {
  return Math.max(1, Math.floor(defaultThreads() / (1 + SECONDARIES)));
}

/** Fills in what a person who types nothing gets: the same text in every run. */
function withPrompts(options: RootOptions): RootOptions {
  const given = [options.prompt, options.chat, options.promptIds].flatMap((list) => list ?? []);
  const { temperature, topK, topP, minP, seed } = options;
  const draws = [temperature, topK, topP, minP, seed].some((value) => value !== undefined);
  return {
    ...options,
    ...(given.length === 0 && (options.model ? { prompt: BEGINNINGS } : { chat: QUESTIONS })),
    ...(given.length === 1 && { samples: options.samples ?? SAMPLES }),
    ...(!draws && given.length !== 1 && { greedy: true }),
    tokens: options.tokens ?? TOKENS,
  };
}

/** Starts the secondaries, and waits until they listen. */
async function startSecondaries(
  options: RootOptions,
  owner: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<string[]> {
  const started = Array.from(
    { length: SECONDARIES },
    (_, i) => owner.use(new SecondaryProcess(i + 1, options)),
  );
  return await Promise.all(started.map((secondary) => secondary.address(signal)));
}

/** A secondary in a process of its own; disposing ends it. */
class SecondaryProcess implements AsyncDisposable {
  #name: string;
  #child: Deno.ChildProcess;

  constructor(number: number, options: RootOptions) {
    const { backend, threads, memory, storeLimit, token } = options;
    this.#name = `secondary-${number}`;
    const home = join(demoHome(), `${number}`);
    const flags = { "--name": this.#name, "--listen": "127.0.0.1:0", "--backend": backend };
    const limits = { "--threads": threads, "--memory": memory, "--store-limit": storeLimit };
    try {
      const { program, args } = ownCommand("secondary", { home });
      this.#child = new Deno.Command(program, {
        args: [
          ...args,
          ...["--secondary", "--end-with-stdin", "--json", "--quiet"],
          ...Object.entries({ ...flags, ...limits }).flatMap(([flag, value]) =>
            value === undefined ? [] : [flag, `${value}`]
          ),
        ],
        env: { MDI_HOME: home, ...(token !== undefined && { MDI_TOKEN: token }) },
        detached: true,
        stdin: "piped",
        stdout: "piped",
        stderr: "inherit",
      }).spawn();
    } catch (cause) {
      if (cause instanceof Deno.errors.NotCapable) {
        throw new TypeError(
          'Cannot start processes: Deno may not; type "deno task demo", or give it --allow-run',
          { cause },
        );
      }
      throw new MdiError("internal", `Cannot start ${this.#name}: ${messageOf(cause)}`, { cause });
    }
  }

  /** HOST:PORT, once it listens. */
  async address(signal: AbortSignal): Promise<string> {
    using lines = new LineReader(this.#child.stdout, signal);
    const line = await lines.next();
    signal.throwIfAborted();
    const { type, address, code, message } = JSON.parse(line ?? "{}");
    if (type === "ready") return address;
    throw new MdiError(
      type === "error" ? code as MdiErrorCode : "internal",
      `Cannot start ${this.#name}: ${message ?? "it ended before it listened"}`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), GRACE_MS);
    await this.#child.stdin.close().catch(() => {}); // it has ended
    await this.#child.status;
    clearTimeout(timer);
  }
}
