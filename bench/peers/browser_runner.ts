/**
 * A peer that lives in a browser: a page of `pages/` in headless Chromium, asked over a socket.
 *
 *     deno run -A bench/peers/browser_runner.ts wllama_2|wllama_3|transformers
 *
 * Chromium is $CHROMIUM, or the first that is found under its usual names.
 */
import { join, normalize } from "node:path";
import { type Loaded, type LoadOptions, type Request, servePeer } from "./runner.ts";

const HERE = import.meta.dirname!;
const CHROMIUMS = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"];
/** Longest wait for a page: a slow peer takes 20 s for a prompt. */
const LIMIT_MS = 300_000;

const TYPES: Record<string, string> = {
  html: "text/html",
  js: "text/javascript",
  json: "application/json",
  mjs: "text/javascript",
  wasm: "application/wasm",
};

const page = Deno.args[0];
if (!page) throw new TypeError("Give the name of a page");
const owned = new AsyncDisposableStack();
let socket: WebSocket | undefined;
let model = "";

await servePeer({
  async load(options) {
    model = options.model;
    socket = await openPage();
    return await ask({ op: "load", ...options }) as Loaded;
  },
  decode: async (at, tokens) => await ask({ op: "decode", at, tokens }) as number,
  prefill: async (tokens) => await ask({ op: "prefill", tokens }) as number,
  close: () => owned.disposeAsync(),
});

/** Serves the folder and the model, and starts Chromium. @returns the page's socket. */
async function openPage(): Promise<WebSocket> {
  const connected = Promise.withResolvers<WebSocket>();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    if (new URL(request.url).pathname !== "/socket") return serveFile(request);
    const { socket, response } = Deno.upgradeWebSocket(request, { idleTimeout: 0 });
    socket.onopen = () => connected.resolve(socket);
    return response;
  });
  owned.defer(() => server.shutdown());
  const profile = await Deno.makeTempDir({ prefix: "mdi-bench-chromium-" });
  owned.defer(() => Deno.remove(profile, { recursive: true }).catch(() => {}));
  const chromium = await findChromium();
  const child = new Deno.Command(chromium, {
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--disable-background-networking",
      "--disable-background-timer-throttling",
      "--disable-renderer-backgrounding",
      "--no-first-run",
      `--user-data-dir=${profile}`,
      "--enable-logging=stderr",
      `http://127.0.0.1:${server.addr.port}/pages/${page}`,
    ],
    stdin: "null",
    stdout: "null",
    stderr: "inherit",
    detached: true,
  }).spawn();
  owned.defer(async () => {
    // The whole group: what is started may be a script, which would leave the browser behind.
    Deno.kill(-child.pid, "SIGKILL");
    await child.status;
  });
  child.status.then(({ code }) => connected.reject(new Error(`${chromium} ended with ${code}`)));
  const late = setTimeout(() => connected.reject(new Error("the page does not start")), 60_000);
  const socket = await connected.promise.finally(() => clearTimeout(late));
  owned.defer(() => socket.close());
  return socket;
}

async function findChromium(): Promise<string> {
  const given = Deno.env.get("CHROMIUM");
  if (given) return given;
  for (const directory of (Deno.env.get("PATH") ?? "").split(":")) {
    for (const name of CHROMIUMS) {
      const path = join(directory, name);
      if ((await Deno.stat(path).catch(() => null))?.isFile) return path;
    }
  }
  throw new Error(`no Chromium: set CHROMIUM, or install one of ${CHROMIUMS.join(", ")}`);
}

/** `/pages/NAME` is a page around `NAME.js`; `/model` is the model's file or, below it, its directory. */
async function serveFile(request: globalThis.Request): Promise<Response> {
  const path = normalize(decodeURIComponent(new URL(request.url).pathname));
  // Threads need a page that is isolated from other origins.
  const headers = {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
  };
  if (path === `/pages/${page}`) {
    return new Response(html(), { headers: { ...headers, "content-type": TYPES["html"]! } });
  }
  const name = path.startsWith("/model")
    ? join(model, path.slice("/model".length))
    : join(HERE, path);
  const file = await Deno.open(name.replace(/\/$/, "")).catch(() => undefined);
  if (!file) return new Response("not found", { status: 404, headers });
  const { size, isFile } = await file.stat();
  if (!isFile) {
    file.close();
    return new Response("not a file", { status: 404, headers });
  }
  const type = TYPES[name.slice(name.lastIndexOf(".") + 1)] ?? "application/octet-stream";
  return new Response(file.readable, {
    headers: { ...headers, "content-type": type, "content-length": String(size) },
  });
}

function html(): string {
  const packages = "/packages/node_modules";
  const imports = {
    "wllama-2": `${packages}/wllama-2/esm/index.js`,
    "wllama-3": `${packages}/wllama-3/esm/index.js`,
    "@huggingface/transformers": `${packages}/@huggingface/transformers/dist/transformers.web.js`,
    "@huggingface/jinja": `${packages}/@huggingface/jinja/dist/index.js`,
    "@huggingface/tokenizers": `${packages}/@huggingface/tokenizers/dist/tokenizers.mjs`,
    "onnxruntime-common": `${packages}/onnxruntime-common/dist/esm/index.js`,
    "onnxruntime-web/webgpu": `${packages}/onnxruntime-web/dist/ort.wasm.bundle.min.mjs`,
  };
  return `<!doctype html><title>${page}</title>
<script type="importmap">${JSON.stringify({ imports })}</script>
<script type="module" src="/pages/${page}.js"></script>`;
}

/** Asks the page. @throws {Error} with its own words, or where it takes too long. */
function ask(request: Request | ({ op: "load" } & LoadOptions)): Promise<unknown> {
  return new Promise((resolve, reject) => {
    if (!socket) throw new Error("there is no page");
    const late = setTimeout(() => reject(new Error("the page does not answer")), LIMIT_MS);
    socket.onclose = () => reject(new Error("the page closed its socket"));
    socket.onmessage = ({ data }) => {
      clearTimeout(late);
      const reply = JSON.parse(data);
      if ("error" in reply) reject(new Error(reply.error));
      else resolve(reply.value);
    };
    socket.send(JSON.stringify(request));
  });
}
