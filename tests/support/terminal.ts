/**
 * A program on a pseudo-terminal: what a person at a keyboard sees and does. Python's pty module makes the
 * terminal, in which the kernel echoes, edits lines and turns Ctrl-C into a signal as ever.
 */

const SCRIPT = `
import os, pty, sys
columns = sys.argv[1]
command = ["sh", "-c", "stty cols " + columns + ' rows 24 && exec "$@"', "sh", *sys.argv[2:]]
sys.exit(os.waitstatus_to_exitcode(pty.spawn(command)) & 255)
`;

/** Whether this machine can do it. */
export const hasTerminal: boolean = Deno.build.os !== "windows" &&
  await new Deno.Command("python3", { args: ["-c", "import pty"] }).output()
    .then(({ success }) => success, () => false);

/** A program and its screen. Disposing kills it. */
export class Terminal implements AsyncDisposable {
  #child: Deno.ChildProcess;
  #keys: WritableStreamDefaultWriter<Uint8Array>;
  #reading: Promise<void>;
  #waiting = new Set<() => void>();
  #screen = "";
  #over = false;

  /** Starts a program. */
  constructor(command: readonly string[], env: Record<string, string>, columns = 80) {
    this.#child = new Deno.Command("python3", {
      args: ["-c", SCRIPT, `${columns}`, ...command],
      env,
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    this.#keys = this.#child.stdin.getWriter();
    this.#reading = this.#read();
  }

  /** All that it has written so far, as it went to the terminal. */
  get screen(): string {
    return this.#screen;
  }

  /** Types. "\x03" is Ctrl-C, "\x04" Ctrl-D. */
  async type(keys: string): Promise<void> {
    await this.#keys.write(new TextEncoder().encode(keys));
  }

  /** Waits for a text after `from`; returns where it ends. */
  async see(pattern: RegExp, from = 0, timeoutMs = 20_000): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const fail = (why: string) =>
      reject(new Error(`${why} before ${pattern}: ${JSON.stringify(this.#screen.slice(from))}`));
    const look = () => {
      const found = pattern.exec(this.#screen.slice(from));
      if (found) resolve(from + found.index + found[0].length);
      else if (this.#over) fail("it ended");
    };
    const timer = setTimeout(() => fail(`${timeoutMs} ms were over`), timeoutMs);
    this.#waiting.add(look);
    look();
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(look);
    }
  }

  /** Waits for its end; returns the exit status. */
  async ended(): Promise<number> {
    const { code } = await this.#child.status;
    await this.#reading;
    return code;
  }

  async #read(): Promise<void> {
    for await (const text of this.#child.stdout.pipeThrough(new TextDecoderStream())) {
      this.#screen += text;
      for (const look of this.#waiting) look();
    }
    this.#over = true;
    for (const look of this.#waiting) look();
  }

  /** Ends it, and with its terminal the program. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.#keys.close().catch(() => {});
    await this.ended();
  }
}
