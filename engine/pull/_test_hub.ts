/** A hub on loopback for tests: the API and the files, with what goes wrong on real networks. */
import { createHash } from "node:crypto";

/** What the hub does instead of answering a request well; undefined lets it. */
export type Mischief = (request: Request, url: URL) => Response | undefined | Promise<Response>;

/** Options of {@linkcode withHub}. */
export interface TestHubOptions {
  files: Record<string, Uint8Array<ArrayBuffer>>;
  /** Beside `sha` and `siblings` in the API's answer. */
  card?: Record<string, unknown>;
  /** Asked before every request is answered. */
  mischief?: Mischief;
  /** False for a server that always sends whole files. */
  ranges?: boolean;
}

/** A running hub. */
export interface TestHub {
  endpoint: string;
  /** "PATH RANGE" of each request, without the API's. */
  requests: string[];
  /** Authorization headers that came. */
  authorizations: (string | null)[];
}

/** The commit that the hub is at. */
export const COMMIT = "c0ffee".padEnd(40, "0");

/** Runs a test with a hub, which is ended afterwards. */
export async function withHub(
  options: TestHubOptions,
  fn: (hub: TestHub) => Promise<void>,
): Promise<void> {
  const hub: TestHub = { endpoint: "", requests: [], authorizations: [] };
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, async (request) => {
    const url = new URL(request.url);
    hub.authorizations.push(request.headers.get("authorization"));
    if (!url.pathname.startsWith("/api/")) {
      const range = request.headers.get("range") ?? "";
      hub.requests.push(`${url.pathname} ${range}`.trim());
    }
    return await options.mischief?.(request, url) ?? answer(request, url, options);
  });
  hub.endpoint = `http://127.0.0.1:${server.addr.port}`;
  try {
    await fn(hub);
  } finally {
    await server.shutdown();
  }
}

function answer(request: Request, url: URL, options: TestHubOptions): Response {
  const { files, card = {}, ranges = true } = options;
  if (url.pathname.startsWith("/api/models/")) {
    const siblings = Object.entries(files).map(([rfilename, bytes]) => sibling(rfilename, bytes));
    return Response.json({ sha: COMMIT, siblings, ...card });
  }
  const name = decodeURIComponent(url.pathname.split(/\/resolve\/[^/]+\//)[1] ?? "");
  const bytes = files[name];
  if (!bytes) return new Response("Entry not found", { status: 404 });
  const etag = `"${createHash("sha256").update(bytes).digest("hex")}"`;
  const start = Number(/^bytes=(\d+)-$/.exec(request.headers.get("range") ?? "")?.[1] ?? 0);
  const condition = request.headers.get("if-range");
  if (!ranges || start === 0 || (condition !== null && condition !== etag)) {
    return new Response(bytes, { headers: { etag } });
  }
  if (start >= bytes.length) return new Response("", { status: 416 });
  const range = `bytes ${start}-${bytes.length - 1}/${bytes.length}`;
  return new Response(bytes.subarray(start), {
    status: 206,
    headers: { etag, "content-range": range },
  });
}

/** How the hub describes a file: with a sha256 above 10 kB, with git's id below. */
function sibling(rfilename: string, bytes: Uint8Array): Record<string, unknown> {
  const hash = (name: string, prefix = "") =>
    createHash(name).update(prefix).update(bytes).digest("hex");
  const size = bytes.length;
  if (size > 10_000) return { rfilename, size, lfs: { sha256: hash("sha256"), size } };
  return { rfilename, size, blobId: hash("sha1", `blob ${size}\0`) };
}

/** An answer that announces all of `bytes` and breaks off after some. */
export function cutAfter(bytes: Uint8Array<ArrayBuffer>, start: number, count: number): Response {
  let sent = false;
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      if (sent) {
        // Let the first part leave before the server sees that the length is wrong and resets the connection.
        await new Promise((done) => setTimeout(done, 50));
        return controller.close();
      }
      sent = true;
      controller.enqueue(bytes.subarray(start, start + count));
    },
  });
  const headers: Record<string, string> = { "content-length": String(bytes.length - start) };
  if (start > 0) headers["content-range"] = `bytes ${start}-${bytes.length - 1}/${bytes.length}`;
  return new Response(body, { status: start > 0 ? 206 : 200, headers });
}

/** Whether a command is on this machine and succeeds. */
export async function runs(command: string, ...args: string[]): Promise<boolean> {
  try {
    return (await new Deno.Command(command, { args, stdout: "null", stderr: "null" }).output())
      .success;
  } catch {
    return false;
  }
}
