/** A peer in a process of its own, asked over its standard input. */
import { linesOf, type LoadOptions, type Reply, type Request } from "./runner.ts";

/** A peer's process that loaded its model. */
export class RunnerProcess implements AsyncDisposable {
  /** What the peer says it is. */
  description = "";
  readonly #child: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;
  readonly #lines: AsyncGenerator<string, void>;

  private constructor(args: readonly string[], verbose: boolean) {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", ...args],
      cwd: import.meta.dirname!,
      stdin: "piped",
      stdout: "piped",
      stderr: verbose ? "inherit" : "null",
    }).spawn();
    this.#stdin = this.#child.stdin.getWriter();
    this.#lines = linesOf(this.#child.stdout);
  }

  /**
   * Starts a runner and loads the model.
   * @param args of `deno run` in this folder: options, script and what the script is given.
   * @throws {Error} with the peer's own words, where it cannot.
   */
  static async start(
    args: readonly string[],
    options: LoadOptions,
    verbose = false,
  ): Promise<RunnerProcess> {
    const process = new RunnerProcess(args, verbose);
    try {
      const reply = await process.#ask({ op: "load", ...options });
      if ("description" in reply) process.description = reply.description;
      return process;
    } catch (error) {
      await process[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** As {@linkcode Peer.decode}. */
  async decode(at: number, tokens: number): Promise<number> {
    return valueOf(await this.#ask({ op: "decode", at, tokens }));
  }

  /** As {@linkcode Peer.prefill}. */
  async prefill(tokens: number): Promise<number> {
    return valueOf(await this.#ask({ op: "prefill", tokens }));
  }

  async #ask(request: Request): Promise<Reply> {
    await this.#stdin.write(new TextEncoder().encode(`${JSON.stringify(request)}\n`));
    const { value, done } = await this.#lines.next();
    if (done) throw new Error("the process ended; see why with --verbose");
    const reply: Reply = JSON.parse(value);
    if ("error" in reply) throw new Error(reply.error);
    return reply;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ask({ op: "quit" }).catch(() => {});
    await this.#stdin.close().catch(() => {});
    await this.#child.status;
    await this.#lines.return(undefined);
  }
}

function valueOf(reply: Reply): number {
  if (!("value" in reply)) throw new Error("the process gave no figure");
  return reply.value;
}
