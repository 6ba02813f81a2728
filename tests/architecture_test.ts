import { assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import {
  constructViolations,
  cycles,
  docViolations,
  layerViolations,
  lengthViolations,
  processViolations,
  specifierViolations,
  testHelperViolations,
} from "./support/architecture_rules.ts";
import { readSourceTree, type SourceFile } from "./support/import_graph.ts";

const RULES: [string, (files: readonly SourceFile[]) => string[]][] = [
  ["imports go down the layers: wasm, engine, rpc, cli", layerViolations],
  ["no files need each other in a circle", cycles],
  ["packages are named in the import map only", specifierViolations],
  ["product code imports no test code", testHelperViolations],
  ["only cli touches the process", processViolations],
  ["no default exports, enums, namespaces or unchecked lines", constructViolations],
  ["no file is over 400 lines", lengthViolations],
  ["every exported symbol has a doc comment", docViolations],
];

Deno.test("the tree follows its rules", async (t) => {
  const files = await readSourceTree(fileURLToPath(new URL("..", import.meta.url)));
  await t.step("all layers are there", () => {
    const folders = new Set(files.map(({ path }) => path.split("/")[0]!));
    for (const folder of ["wasm", "engine", "rpc", "cli", "tests", "mod.ts"]) {
      assertEquals(folders.has(folder), true, folder);
    }
  });
  await t.step("the worker is seen as an import", () => {
    const stage = files.find(({ path }) => path === "wasm/worker_stage.ts");
    assertEquals(stage?.imports.some(({ file }) => file === "wasm/worker.ts"), true);
  });
  for (const [name, rule] of RULES) {
    await t.step(name, () => assertEquals(rule(files), []));
  }
});

/** A made-up file; an import that begins with "type " is one of types only. */
function file(path: string, imports: string[] = [], text = ""): SourceFile {
  return {
    path,
    text,
    imports: imports.map((each) => {
      const specifier = each.replace(/^type /, "");
      const local = specifier.endsWith(".ts");
      return { specifier, file: local ? specifier : null, typeOnly: each.startsWith("type ") };
    }),
  };
}

Deno.test("layerViolations() finds imports that go up", () => {
  const found = layerViolations([
    file("wasm/a.ts", ["engine/b.ts"]),
    file("wasm/a_test.ts", ["type rpc/c.ts"]),
    file("engine/b.ts", ["wasm/a.ts", "engine/x.ts", "@std/assert"]),
    file("rpc/c.ts", ["engine/b.ts", "mod.ts"]),
    file("cli/d.ts", ["rpc/c.ts", "wasm/a.ts", "tests/support/e.ts"]),
    file("mod.ts", ["rpc/c.ts", "cli/d.ts"]),
    file("tests/e_test.ts", ["cli/d.ts"]),
    file("rpc/c_test.ts", ["tests/support/e.ts"]),
    file("extra/f.ts"),
  ]);
  assertEquals(found, [
    "wasm/a.ts imports engine/b.ts",
    "wasm/a_test.ts imports rpc/c.ts",
    "rpc/c.ts imports mod.ts",
    "cli/d.ts imports tests/support/e.ts",
    "mod.ts imports cli/d.ts",
    "extra/f.ts is in no layer: there are wasm, engine, rpc, cli",
  ]);
});

Deno.test("cycles() finds circles of any length, not those of types", () => {
  assertEquals(cycles([file("a.ts", ["b.ts"]), file("b.ts", ["type a.ts"])]), []);
  assertEquals(cycles([file("a.ts", ["b.ts", "c.ts"]), file("b.ts", ["c.ts"]), file("c.ts")]), []);
  assertEquals(cycles([file("a.ts", ["a.ts"])]), ["a.ts -> a.ts"]);
  assertEquals(
    cycles([
      file("x.ts", ["a.ts"]),
      file("a.ts", ["b.ts"]),
      file("b.ts", ["c.ts"]),
      file("c.ts", ["a.ts"]),
    ]),
    ["a.ts -> b.ts -> c.ts -> a.ts"],
  );
});

Deno.test("specifierViolations() finds what is not in the import map", () => {
  const found = specifierViolations([
    file("a.ts", [
      "npm:x@1",
      "jsr:@std/y",
      "https://z/",
      "../node_modules/w/w.js",
      "node:path",
      "x",
    ]),
  ]);
  assertEquals(found, [
    'a.ts imports "npm:x@1"',
    'a.ts imports "jsr:@std/y"',
    'a.ts imports "https://z/"',
    'a.ts imports "../node_modules/w/w.js"',
  ]);
});

Deno.test("testHelperViolations() finds test code in what is published", () => {
  const found = testHelperViolations([
    file("rpc/a.ts", ["rpc/_helper.ts", "rpc/b_test.ts", "rpc/gen/mdi/v1/ring_pb.ts"]),
    file("rpc/b_test.ts", ["rpc/_helper.ts"]),
    file("rpc/_helper.ts", ["tests/support/c.ts"]),
  ]);
  assertEquals(found, ["rpc/a.ts imports rpc/_helper.ts", "rpc/a.ts imports rpc/b_test.ts"]);
});

Deno.test("processViolations() reads code, not comments and strings", () => {
  const text = `/** console.log(1) */
const help = "Deno.exit(1)"; // Deno.args
/* two
lines */ console.error(help);
Deno.exit(1);`;
  assertEquals(processViolations([file("engine/a.ts", [], text)]), [
    "engine/a.ts:4: console.error(help);",
    "engine/a.ts:5: Deno.exit(1);",
  ]);
  assertEquals(processViolations([file("cli/a.ts", [], text), file("rpc/_b.ts", [], text)]), []);
});

Deno.test("constructViolations() finds each construct", () => {
  const lines = ["export default 1;", "export enum A { B }", "namespace C {}", "// @ts-ignore"];
  assertEquals(constructViolations([file("rpc/a.ts", [], lines.join("\n"))]).length, lines.length);
  assertEquals(constructViolations([file("rpc/gen/a.ts", [], lines.join("\n"))]), []);
  assertEquals(constructViolations([file("rpc/a.ts", [], 'const enumerable = "enum A {";')]), []);
});

Deno.test("lengthViolations() counts lines of what is not generated", () => {
  assertEquals(lengthViolations([file("rpc/a.ts", [], "x\n".repeat(400))]), []);
  assertEquals(lengthViolations([file("rpc/a.ts", [], "x\n".repeat(401))]), [
    "rpc/a.ts has 401 lines",
  ]);
  assertEquals(lengthViolations([file("rpc/gen/a.ts", [], "x\n".repeat(401))]), []);
});

Deno.test("docViolations() finds exports without a doc comment", () => {
  const text = `/** Documented. */
export function a(x: string): void;
export function a(x: number): void;
export async function b() {}
/** Documented. */

export const c = 1;
const d = 2;
export type { E } from "./e.ts";`;
  assertEquals(docViolations([file("rpc/a.ts", [], text)]), [
    "rpc/a.ts: b has no doc comment",
    "rpc/a.ts: c has no doc comment",
  ]);
  assertEquals(docViolations([file("rpc/a_test.ts", [], text)]), []);
});
