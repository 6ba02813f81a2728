import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { join } from "node:path";
import { damagedJson } from "../../tests/support/hostile.ts";
import {
  importPath,
  manifestPath,
  pulledPath,
  readImport,
  readManifest,
  readPulled,
  writeImport,
  writePulled,
} from "./records.ts";
import { putModel, sha256, withStore } from "./_test_util.ts";

const PULLED = {
  name: "owner/model",
  license: "mit",
  source: "the hub",
  dtype: "q4" as const,
  entry: "",
  files: [{
    path: "config.json",
    bytes: 2,
    digest: { algorithm: "sha256" as const, hex: sha256("{}") },
  }],
};

Deno.test("readPulled() and readImport() give back what was written", () =>
  withStore(async ({ layout }) => {
    await Deno.mkdir(join(layout.models, "m"));
    await writePulled(layout, "m", PULLED);
    assertEquals(await readPulled(layout, "m"), undefined, "its file is not there yet");
    await Deno.writeTextFile(join(layout.models, "m", "config.json"), "{}");
    assertEquals(await readPulled(layout, "m"), PULLED);
    const record = { manifest: sha256("manifest"), files: ["/a"] };
    await writeImport(layout, sha256("key"), record);
    assertEquals(await readImport(layout, sha256("key")), record);
  }));

Deno.test("the store's records meet any file with what is right in it, or nothing", () =>
  withStore(async (store) => {
    const { layout } = store;
    const { id, manifest } = await putModel(store, "tiny", [1, 2, 3]);
    const key = sha256("key");
    await Deno.mkdir(join(layout.models, "m"));
    const record = { manifest: id, files: ["/a"] };
    const content = fc.oneof(
      damagedJson<unknown>(manifest),
      damagedJson<unknown>(PULLED),
      damagedJson<unknown>(record),
      fc.constant({ ...PULLED, files: [{ ...PULLED.files[0], path: "a\0b", bytes: 1 }] }),
    ).map((json) => JSON.stringify(json) ?? "");
    await fc.assert(
      fc.asyncProperty(fc.oneof(content, fc.string()), async (text) => {
        await Deno.writeTextFile(manifestPath(layout, id), text);
        await Deno.writeTextFile(importPath(layout, key), text);
        await Deno.writeTextFile(pulledPath(layout, "m"), text);
        const read = await readManifest(layout, id);
        if (read) assertEquals(read, manifest);
        await readImport(layout, key);
        await readPulled(layout, "m");
      }),
      { numRuns: 400 },
    );
  }));
