import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import { MdiError } from "../../wasm/error.ts";
import { namesIn } from "../store/disk.ts";
import { listStore } from "../store/report.ts";
import { removeModel } from "../store/collect.ts";
import { openStore, type Store } from "../store/store.ts";
import { verifyStore } from "../store/verify.ts";
import { noise, withStore } from "../store/_test_util.ts";
import { hubSettings } from "./hub_settings.ts";
import { type PullEvent, pullFiles, type PullOptions } from "./pull.ts";
import { COMMIT, cutAfter, type TestHub, type TestHubOptions, withHub } from "./_test_hub.ts";

const encode = (text: string) => new TextEncoder().encode(text);
const EXPORT = {
  "config.json": encode("{}"),
  "tokenizer.json": encode('{"version":"1.0"}'),
  "onnx/model_q4.onnx": noise(20_000, 1),
  "onnx/model_q4.onnx_data": noise(200_000, 2),
  "onnx/model.onnx": noise(400_000, 3),
};

/** Runs a test with an empty store, a hub, and the options that join them. */
async function withPull(
  hubOptions: TestHubOptions,
  fn: (options: PullOptions, hub: TestHub, store: Store, home: string) => Promise<void>,
  env: Record<string, string> = {},
): Promise<void> {
  await withHub(hubOptions, (hub) =>
    withStore(async (store, home) => {
      const all = { HF_ENDPOINT: hub.endpoint, HF_HOME: join(home, "hf"), ...env };
      const values = new Map(Object.entries(all));
      await fn({ store, env: values, backoffMs: 5, connectMs: 1000 }, hub, store, home);
    }));
}

Deno.test("pullFiles() takes a path as it is", async () => {
  await withPull({ files: {} }, async (options, hub, _store, home) => {
    const pulled = await pullFiles(home, options);
    assertEquals([pulled.path, pulled.source, hub.requests], [home, "path", []]);
  });
});

Deno.test("pullFiles() fetches an export once, with its licence and its progress", async () => {
  const card = { cardData: { license: "apache-2.0" } };
  await withPull({ files: EXPORT, card }, async (options, hub, store) => {
    const events: PullEvent[] = [];
    const name = "o/n:q4";
    const pulled = await pullFiles(name, { ...options, onProgress: (event) => events.push(event) });
    assertEquals(pulled.license, "apache-2.0");
    assertEquals([pulled.dtype, pulled.source], ["q4", "hub"]);
    const { "onnx/model.onnx": _, ...wanted } = EXPORT;
    for (const [path, bytes] of Object.entries(wanted)) {
      assertEquals(await Deno.readFile(join(pulled.path, path)), bytes);
    }
    assert(!(await namesIn(join(pulled.path, "onnx"))).includes("model.onnx"));
    const total = Object.values(wanted).reduce((sum, bytes) => sum + bytes.length, 0);
    assertEquals(pulled.downloadedBytes, total);
    assertEquals(events.map(({ type }) => type).slice(0, 2), ["try", "license"]);
    const file = "onnx/model_q4.onnx_data";
    assertEquals(events.at(-1), { type: "progress", file, received: total, total });
    assert(hub.requests.every((request) => request.includes(`/resolve/${COMMIT}/`)));

    const asked = hub.authorizations.length;
    const again = await pullFiles("o/n", { ...options, dtype: "q4" });
    assertEquals(again, { ...pulled, source: "store", downloadedBytes: 0 });
    assertEquals(hub.authorizations.length, asked);
    assertEquals((await listStore(store.layout)).pulled.map((each) => each.name), ["o/n:q4"]);
    await removeModel(store.layout, "o/n:q4");
    assertEquals((await listStore(store.layout)).bytes, 0);
  });
});

Deno.test("pullFiles() fetches nothing of a model that the nodes cannot hold", async () => {
  await withPull({ files: EXPORT }, async (options, hub) => {
    const pulling = pullFiles("o/n:q4", { ...options, memoryBytes: 1000 });
    assertEquals((await assertRejects(() => pulling, MdiError)).code, "memory");
    assertEquals(hub.requests, []);
  });
});

Deno.test("pullFiles() gives the path of a GGUF file", async () => {
  const files = { "n.Q4_K_M.gguf": noise(20_000, 1), "n.Q8_0.gguf": noise(20_000, 2) };
  await withPull({ files }, async (options) => {
    const pulled = await pullFiles("o/n:q8_0", options);
    assertEquals(await Deno.readFile(pulled.path), files["n.Q8_0.gguf"]);
    await assertRejects(() => pullFiles("o/n", options), MdiError, "n.Q4_K_M.gguf, n.Q8_0.gguf");
  });
});

Deno.test("pullFiles() goes on in another run, and starts anew at another commit", async () => {
  const gguf = noise(200_000, 1);
  let cut = true;
  const mischief = (request: Request, url: URL) => {
    if (!cut || url.pathname.startsWith("/api/")) return undefined;
    return request.headers.has("range")
      ? new Response("", { status: 500 })
      : cutAfter(gguf, 0, 100_000);
  };
  await withPull({ files: { "n.gguf": gguf }, mischief }, async (options, hub, store, home) => {
    await assertRejects(() => pullFiles("o/n", options), MdiError, "status 500");
    const [half] = (await listStore(store.layout)).pulled;
    assertEquals([half!.name, half!.complete], ["o--n", false]);
    cut = false;
    const { path, downloadedBytes } = await pullFiles("o/n", {
      ...options,
      store: await openStore(home),
    });
    assertEquals(downloadedBytes, 100_000);
    assertEquals(await Deno.readFile(path), gguf);
    assertEquals(hub.requests.at(-1), `/o/n/resolve/${COMMIT}/n.gguf bytes=100000-`);
  });
});

Deno.test("pullFiles() by two at the same time fetches once", async () => {
  await withPull({ files: { "n.gguf": noise(100_000, 1) } }, async (options, hub, _store, home) => {
    const second = { ...options, store: await openStore(home) };
    const pulled = await Promise.all([pullFiles("o/n", options), pullFiles("o/n", second)]);
    assertEquals(pulled.map(({ source }) => source).sort(), ["hub", "store"]);
    assertEquals(hub.requests.length, 1);
  });
});

Deno.test("pullFiles() says before it fetches that there is no room", async () => {
  await withHub({ files: { "n.gguf": noise(100_000, 1) } }, (hub) =>
    withStore(async (store) => {
      const env = new Map([["HF_ENDPOINT", hub.endpoint]]);
      const error = await assertRejects(
        () => pullFiles("o/n", { store, env }),
        MdiError,
        "it takes",
      );
      assertEquals([error.code, hub.requests], ["disk", []]);
    }, { limitBytes: 50_000 }));
});

Deno.test("pullFiles() sends HF_TOKEN and explains a gated model", async () => {
  const mischief = (request: Request) =>
    request.headers.has("authorization") ? undefined : new Response("", { status: 401 });
  const files = { "n.gguf": noise(100, 1) };
  await withPull({ files, mischief }, async (options) => {
    await assertRejects(() => pullFiles("o/n", options), MdiError, "accept its licence");
  });
  await withPull({ files, mischief }, async (options, hub) => {
    await pullFiles("o/n", options);
    assertEquals(new Set(hub.authorizations), new Set(["Bearer hf_abc"]));
  }, { HF_TOKEN: "hf_abc" });
});

Deno.test("pullFiles() uses what Hugging Face's tools have in their cache, if it is whole", async () => {
  await withPull({ files: EXPORT }, async (options, hub, _store, home) => {
    const folder = join(home, "hf", "hub", "models--o--n");
    const snapshot = join(folder, "snapshots", COMMIT);
    await Deno.mkdir(join(folder, "refs"), { recursive: true });
    await Deno.mkdir(join(folder, "blobs"));
    await Deno.mkdir(join(snapshot, "onnx"), { recursive: true });
    await Deno.writeTextFile(join(folder, "refs", "main"), COMMIT);
    await Deno.writeTextFile(join(snapshot, "config.json"), "{}");
    assertEquals((await pullFiles("o/n:fp32", options)).source, "hub");
    await Deno.writeFile(join(folder, "blobs", "b"), noise(10, 1));
    await Deno.symlink("../../../blobs/b", join(snapshot, "onnx", "model_q4.onnx"));
    const asked = hub.authorizations.length;
    const pulled = await pullFiles("o/n:q4", options);
    assertEquals([pulled.source, pulled.path, pulled.dtype], ["cache", snapshot, "q4"]);
    assertEquals(hub.authorizations.length, asked);
  });
});

Deno.test("pullFiles() asks nobody where HF_HUB_OFFLINE is set", async () => {
  await withPull({ files: EXPORT }, async (options, hub) => {
    await assertRejects(() => pullFiles("o/n", options), MdiError, "HF_HUB_OFFLINE");
    assertEquals(hub.authorizations, []);
  }, { HF_HUB_OFFLINE: "1" });
});

Deno.test("pullFiles() refuses names that are neither a path nor a model", async () => {
  await withPull({ files: {} }, async (options) => {
    const cases = [
      "",
      "nothing",
      "./none.gguf",
      "/no/such",
      "a/b/c",
      "o/..",
      "o/n--m",
      "../o/n:q4",
    ];
    for (
      const name of [...cases, "o/n:../x", "o/n:", "C:\\m.gguf", "o/n\0", `o/${"n".repeat(99)}`]
    ) {
      const error = await assertRejects(
        () => pullFiles(name, options),
        MdiError,
        "Cannot find model",
      );
      assertEquals(error.code, "model_missing", name);
    }
  });
});

Deno.test("pullFiles() understands what a hub must not say", async () => {
  const page = () =>
    new Response("<html>busy</html>", { headers: { "content-type": "text/html" } });
  await withPull({ files: {}, mischief: page }, async (options) => {
    await assertRejects(() => pullFiles("o/n", options), MdiError, "the answer is not JSON");
  });
  const evil = { "../../evil.gguf": noise(10, 1) };
  await withPull({ files: evil }, async (options, hub) => {
    await assertRejects(() => pullFiles("o/n", options), MdiError, "no model file");
    assertEquals(hub.requests, []);
  });
  await withPull({ files: {} }, async (options) => {
    const env = new Map([["HF_ENDPOINT", "file:///etc"]]);
    await assertRejects(() => pullFiles("o/n", { ...options, env }), MdiError, "HF_ENDPOINT");
  });
});

Deno.test("hubSettings() reads the variables that Hugging Face's tools read", async () => {
  const dir = await Deno.makeTempDir({ prefix: "mdi-hf-" });
  try {
    await Deno.writeTextFile(join(dir, "token"), "hf_file\n");
    const read = (values: Record<string, string>) => hubSettings(new Map(Object.entries(values)));
    assertEquals(await read({ HF_HOME: dir, HF_ENDPOINT: "http://h/" }), {
      endpoint: "http://h",
      token: "hf_file",
      cache: join(dir, "hub"),
      offline: false,
    });
    const { token, cache } = await read({ HF_HOME: dir, HF_TOKEN: "hf_env", HF_HUB_CACHE: "/c" });
    assertEquals([token, cache], ["hf_env", "/c"]);
    assertEquals((await read({ HOME: "/h" })).cache, "/h/.cache/huggingface/hub");
    assertEquals((await read({ XDG_CACHE_HOME: "/x" })).cache, "/x/huggingface/hub");
    assertEquals((await read({})).endpoint, "https://huggingface.co");
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("pullFiles() fetches again a file that has been damaged, and no other", async () => {
  await withPull({ files: EXPORT }, async (options, hub, store) => {
    const { path } = await pullFiles("o/n:q4", options);
    for (const name of ["config.json", "onnx/model_q4.onnx_data"] as const) {
      const file = join(path, name);
      await Deno.writeFile(file, EXPORT[name].map((byte) => byte ^ 1));
      const asked = hub.requests.length;
      const pulled = await pullFiles("o/n:q4", options);
      assertEquals([pulled.source, pulled.downloadedBytes], ["hub", EXPORT[name].length]);
      assertEquals(hub.requests.slice(asked), [`/o/n/resolve/${COMMIT}/${name}`]);
      assertEquals(await Deno.readFile(file), EXPORT[name]);
      assertEquals((await pullFiles("o/n:q4", options)).source, "store");
    }
    assertEquals((await verifyStore(store.layout)).damaged, []);
  });
});

Deno.test("pullFiles() gives other bytes of the same size another time, for the import to see", async () => {
  const times: (Date | null)[] = [];
  for (const seed of [1, 2, 1]) {
    await withPull({ files: { "n.gguf": noise(20_000, seed) } }, async (options) => {
      times.push((await Deno.stat((await pullFiles("o/n", options)).path)).mtime);
    });
  }
  assertEquals(times[0], times[2]);
  assert(times[0]!.getTime() !== times[1]!.getTime());
});
