/** The processes of a ring on this device: what starts samples, and secondaries; one thread each. */
import { join } from "node:path";
import type { RunFigures, RunOptions } from "./_ring_process.ts";

/** A process that runs as many samples as it is told. */
export interface Runner extends AsyncDisposable {
  run(samples: number): Promise<RunFigures>;
}

/** Starts a process that holds a ring, and waits until it is ready. */
export async function startRunner(options: RunOptions): Promise<Runner> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", join(import.meta.dirname!, "_ring_process.ts"), JSON.stringify(options)],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const stdin = child.stdin.getWriter();
  const lines = linesOf(child.stdout);
  await lines.next();
  return {
    async run(samples) {
      await stdin.write(new TextEncoder().encode(`${samples}\n`));
      return JSON.parse((await lines.next()).value!);
    },
    async [Symbol.asyncDispose]() {
      await stdin.close().catch(() => {});
      await child.status;
      await lines.return(undefined);
    },
  };
}

/** Starts `mdi --secondary` with one thread on a free port. */
export async function startSecondary(home: string): Promise<AsyncDisposable & { address: string }> {
  const main = join(import.meta.dirname!, "../cli/main.ts");
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", main, "--secondary", "--listen", "127.0.0.1:0", "--threads", "1"],
      ...["--json", "--quiet"],
    ],
    env: { MDI_HOME: home },
    stdout: "piped",
  }).spawn();
  const lines = linesOf(child.stdout);
  const ready = JSON.parse((await lines.next()).value!);
  return {
    address: ready.address,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.status;
      await lines.return(undefined);
    },
  };
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}
