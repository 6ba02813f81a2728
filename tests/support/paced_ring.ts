/** Rings of real processes that stand for slower devices. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { RingOptions } from "../../mod.ts";
import type { Pace } from "../../wasm/pace.ts";
import { type Secondary, startSecondary } from "./mdi_process.ts";
import type { RingRun, Workload } from "./paced_starter.ts";
import { type ProxiedLink, TcpProxy } from "./tcp_proxy.ts";

/** How a ring is made. */
export interface PacedRingOptions {
  model: string;
  /** The device that each node stands for, the starter first. */
  paces: readonly Pace[];
  /** Layers of each. */
  layers: readonly number[];
  /** Samples in the ring at once, at most. */
  slots: number;
  /** Frames that they share. @default {as many as nodes} */
  decodeFrames?: number;
  /** The way from each node to the next, where it is not this machine's own. */
  link?: ProxiedLink;
  /** What else the starter is told. */
  starter?: Partial<RingOptions>;
}

const STARTER = fileURLToPath(new URL("paced_starter.ts", import.meta.url));

/** A ring that is ready: secondaries and the starter are processes of their own, each with one thread. */
export class PacedRing implements AsyncDisposable {
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #lines: AsyncGenerator<string, void>;
  readonly #owned: AsyncDisposableStack;

  private constructor(child: Deno.ChildProcess, owned: AsyncDisposableStack) {
    this.#input = child.stdin.getWriter();
    this.#lines = linesOf(child.stdout);
    this.#owned = owned;
  }

  /** Starts the processes and loads the model over them. */
  static async start(options: PacedRingOptions): Promise<PacedRing> {
    const { model, paces, layers, slots, link } = options;
    const { decodeFrames = paces.length } = options;
    await using owned = new AsyncDisposableStack();
    const directory = await Deno.makeTempDir({ prefix: "mdi-paced-" });
    owned.defer(() => Deno.remove(directory, { recursive: true }));
    const secondaries = await startAll(paces.slice(1), directory, owned);
    const peers: string[] = [];
    for (const { address } of secondaries) {
      peers.push(link ? owned.use(TcpProxy.listen(address, link)).address : address);
    }
    const home = join(directory, "starter");
    const ends: Partial<RingOptions> = {};
    if (link && paces.length > 1) {
      const listen = freeAddress();
      Object.assign(ends, { listen, advertise: owned.use(TcpProxy.listen(listen, link)).address });
    }
    const ring: RingOptions = {
      ...{ model, home, peers, slots, decodeFrames, threads: 1, layers, pace: paces[0]! },
      ...ends,
      ...options.starter,
    };
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-prompt", "--allow-all", STARTER, JSON.stringify(ring)],
      env: { NO_COLOR: "1" },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const complaint = textOf(child.stderr);
    owned.defer(async () => {
      await child.status;
      await complaint;
    });
    const started = new PacedRing(child, owned.move());
    try {
      if ((await started.#lines.next()).value === "ready") return started;
      throw new Error(`The starter ended: ${await complaint}`);
    } catch (error) {
      await started[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Generates. */
  async run(workload: Workload): Promise<RingRun> {
    await this.#input.write(new TextEncoder().encode(`${JSON.stringify(workload)}\n`));
    const line = (await this.#lines.next()).value;
    if (line === undefined) throw new Error("The starter ended in the midst of a run");
    return JSON.parse(line);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#input.close().catch(() => {});
    for await (const _ of this.#lines);
    await this.#owned.disposeAsync();
  }
}

/** Tokens that are drawn from one frame are there at once, or nearly so. */
const SAME_FRAME_MS = 3;

/**
 * Tokens a second in the steady part of a run, over whole intervals between frames.
 * @throws {RangeError} where there is no such part.
 */
export function steadyTokensPerSecond({ tokens, steady }: RingRun): number {
  const times = tokens.flat().sort((a, b) => a - b);
  const inside = times.filter((at) => steady && at >= steady.from && at <= steady.to);
  const [first, last] = [inside[0], inside.at(-1)];
  if (first === undefined || last === undefined || last - first < 2 * SAME_FRAME_MS) {
    throw new RangeError("The run has no steady part: give more tokens");
  }
  const after = (at: number) => times.filter((each) => each > at + SAME_FRAME_MS).length;
  return 1000 * (after(first) - after(last)) / (last - first);
}

async function startAll(
  paces: readonly Pace[],
  directory: string,
  owned: AsyncDisposableStack,
): Promise<Secondary[]> {
  return await Promise.all(paces.map(async (pace, i) => {
    const file = join(directory, `pace-${i + 1}.json`);
    await Deno.writeTextFile(file, JSON.stringify(pace));
    return owned.use(
      await startSecondary(
        { home: join(directory, `secondary-${i + 1}`) },
        ["--threads", "1", "--pace", file],
      ),
    );
  }));
}

/** An address that nobody listens at; the proxy in front of it must know it before the starter does. */
function freeAddress(): string {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return `127.0.0.1:${listener.addr.port}`;
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream() as TransformStream)) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}

async function textOf(stream: ReadableStream<Uint8Array>): Promise<string> {
  return await new Response(stream).text();
}
