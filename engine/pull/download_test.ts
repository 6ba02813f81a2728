import { assert, assertEquals, assertRejects } from "@std/assert";
import { dirname, join } from "node:path";
import { MdiError } from "../../wasm/error.ts";
import { noise, sha256 } from "../store/_test_util.ts";
import { namesIn } from "../store/disk.ts";
import { layoutOf } from "../store/layout.ts";
import { type Download, download, type DownloadOptions } from "./download.ts";
import {
  cutAfter,
  type Mischief,
  type TestHub,
  type TestHubOptions,
  withHub,
} from "./_test_hub.ts";

const bytes = noise(300_000, 1);
const options: DownloadOptions = { backoffMs: 5, connectMs: 500, stallMs: 500 };

/** Runs a test with a hub that has one file, and what is needed to fetch it. */
async function withFile(
  hubOptions: Omit<TestHubOptions, "files">,
  fn: (file: Download, hub: TestHub, dir: string) => Promise<void>,
): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "mdi-pull-" });
  try {
    await withHub({ ...hubOptions, files: { "m.gguf": bytes } }, (hub) =>
      fn(
        {
          name: "m.gguf",
          url: `${hub.endpoint}/o/n/resolve/main/m.gguf`,
          layout: layoutOf(dir),
          destination: join(dir, "m.gguf"),
          bytes: bytes.length,
          digest: { algorithm: "sha256", hex: sha256(bytes) },
        },
        hub,
        dir,
      ));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Answers the first requests so, the later ones well. */
function first(...answers: Mischief[]): Mischief {
  return (request, url) => answers.shift()?.(request, url);
}

Deno.test("download() fetches a file and says how far it is", async () => {
  await withFile({}, async (file) => {
    const seen: number[] = [];
    const onProgress = (received: number) => seen.push(received);
    assertEquals(await download(file, { ...options, onProgress }), bytes.length);
    assertEquals(await Deno.readFile(file.destination), bytes);
    assertEquals([seen[0], seen.at(-1)], [0, bytes.length]);
  });
});

Deno.test("download() goes on after a cut connection", async () => {
  const mischief = first(() => cutAfter(bytes, 0, 100_000), () => cutAfter(bytes, 100_000, 50_000));
  await withFile({ mischief }, async (file, hub) => {
    assertEquals(await download(file, options), bytes.length);
    assertEquals(await Deno.readFile(file.destination), bytes);
    assertEquals(hub.requests.map((request) => request.split(" ")[1]), [
      undefined,
      "bytes=100000-",
      "bytes=150000-",
    ]);
  });
});

Deno.test("download() goes on with what an earlier run left", async () => {
  await withFile({}, async (file, hub) => {
    await Deno.writeFile(`${file.destination}.part`, bytes.subarray(0, 123_456));
    assertEquals(await download(file, options), bytes.length - 123_456);
    assertEquals(await Deno.readFile(file.destination), bytes);
    assertEquals(hub.requests, ["/o/n/resolve/main/m.gguf bytes=123456-"]);
  });
});

Deno.test("download() asks for nothing where all bytes are there", async () => {
  await withFile({}, async (file, hub) => {
    await Deno.writeFile(`${file.destination}.part`, bytes);
    assertEquals(await download(file, options), 0);
    assertEquals(hub.requests, []);
  });
});

Deno.test("download() drops a part of another file", async () => {
  await withFile({}, async (file) => {
    await Deno.writeFile(`${file.destination}.part`, noise(1000, 99));
    await download(file, options);
    assertEquals(await Deno.readFile(file.destination), bytes);
  });
});

Deno.test("download() copes with a server that ignores Range", async () => {
  const mischief = first(() => cutAfter(bytes, 0, 100_000));
  await withFile({ mischief, ranges: false }, async (file) => {
    await download(file, options);
    assertEquals(await Deno.readFile(file.destination), bytes);
  });
});

Deno.test("download() gives up on a server that always breaks off at the same place", async () => {
  const mischief = () => cutAfter(bytes, 0, 1000);
  await withFile({ mischief, ranges: false }, async (file, hub, dir) => {
    const error = await assertRejects(
      () => download(file, options),
      MdiError,
      "Cannot fetch m.gguf",
    );
    assertEquals(error.code, "model_missing");
    assert(hub.requests.length < 8);
    assertEquals(await namesIn(dir), ["m.gguf.part"]);
  });
});

Deno.test("download() starts anew after 416 and after a range that was not asked for", async () => {
  const wrongRange = () =>
    new Response("x", { status: 206, headers: { "content-range": "bytes 7-7/300000" } });
  const mischief = first(
    () => new Response("", { status: 416 }),
    () => cutAfter(bytes, 0, 9),
    wrongRange,
  );
  await withFile({ mischief }, async (file) => {
    await Deno.writeFile(`${file.destination}.part`, bytes.subarray(0, 10));
    await download(file, options);
    assertEquals(await Deno.readFile(file.destination), bytes);
  });
});

Deno.test("download() tries again after 500, 429 and silence, and names the last reason", async () => {
  const silence = () =>
    new Promise<Response>((done) => setTimeout(() => done(new Response("")), 800));
  const busy = () => new Response("", { status: 429, headers: { "retry-after": "0.01" } });
  await withFile(
    { mischief: first(() => new Response("", { status: 500 }), busy, silence) },
    async (file) => {
      await download(file, options);
      assertEquals(await Deno.readFile(file.destination), bytes);
    },
  );
  await withFile({ mischief: () => new Response("", { status: 503 }) }, async (file, hub) => {
    await assertRejects(() => download(file, options), MdiError, "answered with status 503");
    assertEquals(hub.requests.length, 4);
  });
});

Deno.test("download() ends a body that stalls", async () => {
  const stalled = () =>
    new Response(
      new ReadableStream({ start: (controller) => controller.enqueue(bytes.subarray(0, 10)) }),
      { headers: { "content-length": String(bytes.length) } },
    );
  await withFile({ mischief: first(stalled) }, async (file, hub) => {
    await download(file, { ...options, stallMs: 100 });
    assertEquals(await Deno.readFile(file.destination), bytes);
    assertEquals(hub.requests[1], "/o/n/resolve/main/m.gguf bytes=10-");
  });
});

Deno.test("download() refuses other bytes, other lengths and web pages, and leaves nothing", async () => {
  const other = () => new Response(noise(bytes.length, 2));
  const longer = () => new Response(new Blob([bytes, "x"]).stream());
  const shorter = () => new Response("tiny");
  const page = () => new Response("<html>", { headers: { "content-type": "text/html" } });
  const cases: [Mischief, string, string][] = [
    [other, "model_corrupt", "its sha256 is"],
    [longer, "model_corrupt", "more than 300000 bytes came"],
    [shorter, "model_corrupt", "announced 4 bytes, expected 300000"],
    [page, "model_missing", "answered with a web page"],
  ];
  for (const [mischief, code, message] of cases) {
    await withFile({ mischief }, async (file, _hub, dir) => {
      const error = await assertRejects(() => download(file, options), MdiError, message);
      assertEquals([error.code, await namesIn(dir)], [code, []]);
    });
  }
});

Deno.test("download() says what 401, 403 and 404 mean", async () => {
  const cases: [number, string | undefined, string][] = [
    [401, undefined, "set HF_TOKEN"],
    [403, "hf_x", "the token in HF_TOKEN does not give access"],
    [404, undefined, "there is no such model, revision or file"],
  ];
  for (const [status, token, message] of cases) {
    await withFile({ mischief: () => new Response("", { status }) }, async (file, hub) => {
      const error = await assertRejects(
        () => download(file, { ...options, token }),
        MdiError,
        message,
      );
      assertEquals([error.code, hub.requests.length], ["model_missing", 1]);
      assert(!error.message.includes("hf_x"));
    });
  }
});

Deno.test("download() sends the token to its own host and not where it is redirected", async () => {
  await withHub({ files: { "m.gguf": bytes } }, async (other) => {
    const mischief: Mischief = (_request, url) =>
      url.searchParams.has("again")
        ? Response.redirect(`${other.endpoint}/o/n/resolve/main/m.gguf`, 302)
        : Response.redirect(`${url.href}?again`, 307);
    await withFile({ mischief }, async (file, hub) => {
      await download(file, { ...options, token: "hf_secret" });
      assertEquals(await Deno.readFile(file.destination), bytes);
      assertEquals(hub.authorizations, ["Bearer hf_secret", "Bearer hf_secret"]);
      assertEquals(other.authorizations, [null]);
    });
  });
});

Deno.test("download() does not follow a redirect for ever, nor to a file", async () => {
  const round: Mischief = (_request, url) => Response.redirect(url.href, 302);
  const local = () =>
    new Response(null, { status: 302, headers: { location: "file:///etc/passwd" } });
  for (const [mischief, message] of [[round, "more than 5 times"], [local, "not safe"]] as const) {
    await withFile({ mischief }, async (file) => {
      await assertRejects(() => download(file, options), MdiError, message);
    });
  }
});

Deno.test("download() stops at an abort and keeps what came", async () => {
  const abort = new AbortController();
  const mischief = () => {
    setTimeout(() => abort.abort(new Error("enough")), 100);
    return cutAfter(bytes, 0, 100_000);
  };
  await withFile({ mischief: first(mischief) }, async (file, _hub, dir) => {
    const slow = { ...options, backoffMs: 10_000, signal: abort.signal };
    await assertRejects(() => download(file, slow), Error, "enough");
    assertEquals(await namesIn(dir), ["m.gguf.part"]);
  });
});

Deno.test("download() says that nobody is there", async () => {
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const url = `http://127.0.0.1:${listener.addr.port}/x`;
  listener.close();
  const destination = await Deno.makeTempFile();
  try {
    const layout = layoutOf(dirname(destination));
    const file = { name: "x", url, layout, destination, bytes: 1, digest: undefined };
    const error = await assertRejects(() => download(file, options), MdiError, "cannot be reached");
    assertEquals(error.code, "model_missing");
  } finally {
    await Deno.remove(destination);
  }
});
