import { assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import type { Recording } from "../engine/ring/recording.ts";
import { MdiError } from "../wasm/error.ts";
import { openTraceFile } from "./trace.ts";

function recording(spans: number): Recording {
  return {
    model: 'a "model"',
    nodes: [{
      name: "a",
      layers: null,
      forgotten: 0,
      uncertaintyMs: 0,
      missing: null,
      spans: Array.from({ length: spans }, (_, i) => ({
        ...{ kind: "forward" as const, frame: i + 1, rows: 1, sample: 0, bytes: 0 },
        start: i,
        end: i + 0.5,
      })),
    }],
  };
}

async function inDirectory(test: (directory: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir();
  try {
    await test(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

async function names(directory: string): Promise<string[]> {
  return await Array.fromAsync(Deno.readDir(directory), ({ name }) => name);
}

Deno.test("openTraceFile() takes the file's place once it is whole", () =>
  inDirectory(async (directory) => {
    const path = join(directory, "trace.json");
    await Deno.writeTextFile(path, "old");
    {
      await using file = await openTraceFile(path);
      assertEquals(await Deno.readTextFile(path), "old");
      await file.write(recording(5000));
    }
    const { otherData, traceEvents } = JSON.parse(await Deno.readTextFile(path));
    assertEquals(otherData.model, 'a "model"');
    assertEquals(traceEvents.filter(({ ph }: { ph: string }) => ph === "X").length, 5000);
    assertEquals(await names(directory), ["trace.json"]);
  }));

Deno.test("openTraceFile() writes a recording of nothing as JSON", () =>
  inDirectory(async (directory) => {
    const path = join(directory, "trace.json");
    await using file = await openTraceFile(path);
    await file.write(recording(0));
    assertEquals(JSON.parse(await Deno.readTextFile(path)).traceEvents.length, 4);
  }));

Deno.test("openTraceFile() leaves what is there where nothing was written", () =>
  inDirectory(async (directory) => {
    const path = join(directory, "trace.json");
    await Deno.writeTextFile(path, "old");
    {
      await using _file = await openTraceFile(path);
    }
    assertEquals(await Deno.readTextFile(path), "old");
    assertEquals(await names(directory), ["trace.json"]);
  }));

Deno.test("openTraceFile() says why there can be no such file", () =>
  inDirectory(async (directory) => {
    const cases: [string, string][] = [
      [join(directory, "none", "t.json"), `there is no directory ${join(directory, "none")}`],
      [directory, "it is a directory"],
    ];
    for (const [path, why] of cases) {
      const error = await assertRejects(() => openTraceFile(path), MdiError, why);
      assertEquals(error.code, "disk");
    }
    assertEquals(await names(directory), []);
  }));
