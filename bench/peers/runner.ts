/** What a peer's process does: one JSON line in for each request, one out for each answer. */

/** How a peer is loaded. */
export interface LoadOptions {
  /** A GGUF file, or the directory of an export for transformers.js. */
  model: string;
  /** Threads to compute with. */
  threads: number;
  /** Tokens that the cache must hold. */
  context: number;
  /** What only some peers know: mdi's backend, transformers.js's dtype. */
  variant?: string | undefined;
}

/** A peer that was loaded. */
export interface Loaded {
  /** Name, version and what else decides the figures. */
  description: string;
}

/** What a peer can be asked. */
export interface Peer {
  /** Loads the model. */
  load(options: LoadOptions): Promise<Loaded>;
  /** Decodes `tokens` tokens one by one from a cache that holds `at`. @returns ms per token. */
  decode(at: number, tokens: number): Promise<number>;
  /** Computes a prompt from an empty cache. @returns ms. */
  prefill(tokens: number): Promise<number>;
  /** Frees everything. */
  close(): Promise<void>;
}

/** A request to a peer's process. */
export type Request =
  | ({ op: "load" } & LoadOptions)
  | { op: "decode"; at: number; tokens: number }
  | { op: "prefill"; tokens: number }
  | { op: "quit" };

/** Its answer: ms, a description, nothing, or what went wrong. */
export type Reply = { value: number } | Loaded | { error: string } | Record<string, never>;

/** Answers requests on standard input until "quit" or its end. */
export async function servePeer(peer: Peer): Promise<void> {
  try {
    for await (const line of linesOf(Deno.stdin.readable)) {
      const request: Request = JSON.parse(line);
      const reply = await answer(peer, request).catch((error): Reply => ({
        error: error instanceof Error ? error.message : String(error),
      }));
      await Deno.stdout.write(new TextEncoder().encode(`${JSON.stringify(reply)}\n`));
      if (request.op === "quit") break;
    }
  } finally {
    await peer.close();
  }
}

async function answer(peer: Peer, request: Request): Promise<Reply> {
  switch (request.op) {
    case "load":
      return await peer.load(request);
    case "decode":
      return { value: await peer.decode(request.at, request.tokens) };
    case "prefill":
      return { value: await peer.prefill(request.tokens) };
    case "quit":
      return {};
  }
}

/** Lines of a stream of UTF-8. */
export async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}
