/**
 * A small HTTP service on this device.
 *
 *     deno run --allow-net --allow-read --allow-write --allow-env --allow-sys \
 *       examples/http_service.ts --port 8080 --peers pi-a,pi-b
 *     curl -N http://127.0.0.1:8080/generate --json '{"prompt": "Once upon a time", "max_tokens": 40}'
 *
 * `POST /generate` answers with server-sent events: `{"text": "…"}` for each piece, then `{"finish_reason": "…"}`.
 * A client that leaves ends its generation. `GET /health` names the model. Whoever is on this device may use it; for
 * others, put a proxy in front of it that knows them. Permissions as for `generator.ts`.
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { parseArgs } from "node:util";
import { type Generation, MdiError, openRing } from "../mod.ts"; // once published: "@mdi/mdi"

const MAX_BODY_BYTES = 64 * 1024;
const MAX_TOKENS = 1024;
const MAX_UNDER_WAY = 32;
const string = { type: "string" } as const;
const { values } = parseArgs({ options: { model: string, peers: string, port: string } });
const [HOST, port] = ["127.0.0.1", Number(values.port ?? 8080)];
const stop = new AbortController();
Deno.addSignalListener("SIGINT", () => stop.abort());
Deno.addSignalListener("SIGTERM", () => stop.abort());

await using ring = await openRing({
  ...(values.model !== undefined && { model: values.model }),
  ...{ peers: values.peers ?? "", signal: stop.signal },
});
let underWay = 0;

/** The body as text; undefined where it is too long, whatever its header says. */
async function bodyOf(request: Request): Promise<string | undefined> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  for await (const chunk of request.body ?? []) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) return undefined;
    chunks.push(chunk);
  }
  return await new Blob(chunks).text();
}

const event = (data: unknown) => `data: ${JSON.stringify(data)}\n\n`;
async function* eventsOf(generation: Generation): AsyncGenerator<string> {
  try {
    for await (const { text } of generation) if (text !== "") yield event({ text });
    yield event({ finish_reason: (await generation.result).finishReason });
  } catch (error) { // the ring has ended, and the status line is long gone
    yield event({ error: error instanceof MdiError ? error.code : "internal" });
  }
}

async function generate(request: Request, sent: Promise<void>): Promise<Response> {
  const failure = (status: number, error: string) => Response.json({ error }, { status });
  // A page of some web site can make a browser here post forms and text, but no JSON.
  const type = request.headers.get("content-type");
  if (!type?.startsWith("application/json")) return failure(415, "send application/json");
  const body = await bodyOf(request);
  if (body === undefined) return failure(413, `send at most ${MAX_BODY_BYTES} bytes`);
  if (underWay >= MAX_UNDER_WAY) return failure(503, "busy");
  try {
    const { prompt, max_tokens: maxTokens = 256 } = JSON.parse(body) ?? {};
    if (typeof prompt !== "string" || !Number.isInteger(maxTokens) || maxTokens > MAX_TOKENS) {
      return failure(400, `send {"prompt": TEXT, "max_tokens": at most ${MAX_TOKENS}}`);
    }
    const left = new AbortController();
    sent.catch(() => left.abort());
    const generation = ring.generate(prompt, { maxTokens, signal: left.signal });
    underWay++;
    generation.result.catch(() => {}).finally(() => underWay--);
    const stream = ReadableStream.from(eventsOf(generation)).pipeThrough(new TextEncoderStream());
    return new Response(stream, { headers: { "content-type": "text/event-stream" } });
  } catch (error) {
    if (error instanceof MdiError && error.code !== "context_exceeded") {
      return failure(503, error.code);
    }
    return failure(400, error instanceof Error ? error.message : String(error));
  }
}

const server = Deno.serve({ hostname: HOST, port }, (request, { completed }) => {
  const { hostname, pathname } = new URL(request.url);
  // Another name was made to lead here, so that a page of that name may read the answers.
  if (hostname !== HOST && hostname !== "localhost") return new Response(null, { status: 421 });
  const route = `${request.method} ${pathname}`;
  if (route === "POST /generate") return generate(request, completed);
  if (route === "GET /health") return Response.json({ model: ring.manifest.name, underWay });
  return new Response(null, { status: 404 });
});
const failure = await ring.ended;
if (failure && !stop.signal.aborted) {
  console.error(failure.message);
  Deno.exitCode = 1; // whoever supervises it starts it again
}
await server.shutdown();
