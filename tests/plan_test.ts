/** `mdi plan --what-if` as its users run it. */
import { assert, assertAlmostEquals, assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { WHAT_IF } from "../engine/plan/_what_if.ts";
import { runMdi } from "./support/mdi_process.ts";
import { temporaryDirectory } from "./support/refusal.ts";

/** Two of a kind that need each other, and one that would hold them up. */
const DEVICES = {
  ...WHAT_IF,
  nodes: [
    { name: "pi5", memory_bytes: 4e8, layer_ms: 2, embed_ms: 0.1, head_ms: 5 },
    { name: "laptop", memory_bytes: 3e8, layer_ms: 2, embed_ms: 0.1, head_ms: 5 },
    { name: "old", memory_bytes: 9e8, layer_ms: 90, embed_ms: 1, head_ms: 200 },
  ],
  links: [],
};

Deno.test("mdi plan --what-if prints tables and advice, or one object", async () => {
  await using dir = await temporaryDirectory();
  const file = join(dir.path, "devices.json");
  await Deno.writeTextFile(file, JSON.stringify(DEVICES));
  const plan = (...args: string[]) =>
    runMdi(["plan", "--what-if", file, ...args], { home: dir.path });
  const [people, program, again] = await Promise.all([
    plan(),
    plan("--json"),
    plan("--json", "--samples", "4", "--latency"),
  ]);
  assertEquals([people.code, people.stderr], [0, ""]);
  assertMatch(people.stdout, /^pi5 \(starter\) +0-13 /m);
  assertMatch(people.stdout, /^laptop +14-29 /m);
  assertMatch(people.stdout, /^old +left out /m);
  assertMatch(people.stdout, /^ring of 2 \(the plan\) +30\.2$/m);
  assertMatch(people.stdout, /^bottleneck: node pi5$/m);
  assertMatch(people.stdout, /^advice: Leave old out: 11\.1 tokens\/s with it, 30\.2 without; /m);
  assert(!people.stdout.includes("█"), "bars are for terminals");

  assertEquals([program.code, program.records.length], [0, 1]);
  const record = program.records[0]!;
  const nodes = record.plan as Record<string, unknown>[];
  assertEquals(nodes.map(({ node, layers }) => [node, layers]), [
    ["pi5", [0, 13]],
    ["laptop", [14, 29]],
  ]);
  assertEquals(nodes.map(({ memory_bytes: bytes }) => bytes), [
    14 * (2_212_000 + 8 * 1024 * 1536),
    16 * (2_212_000 + 8 * 1024 * 1536),
  ]);
  assertAlmostEquals(nodes[0]!.stage_ms as number, 33.1);
  assertEquals([record.left_out, record.bottleneck], [["old"], "pi5"]);
  assertAlmostEquals(record.tokens_per_second as number, 1000 / 33.1);
  const byNodes = record.by_nodes as (number | null)[];
  assertEquals(byNodes.map((each) => each !== null), [false, true, true]);
  // Only the old one holds all by itself.
  assertAlmostEquals(record.single_node as number, 1000 / (30 * 90 + 201));

  const fewer = again.records[0]!;
  assertEquals([fewer.samples, fewer.goal], [4, "latency"]);
});

Deno.test("mdi plan --what-if says what is wrong with the file, and what memory is missing", async () => {
  await using dir = await temporaryDirectory();
  const path = (name: string) => join(dir.path, name);
  const small = DEVICES.nodes.map((node) => ({ ...node, memory_bytes: 1e8 }));
  await Promise.all([
    Deno.writeTextFile(path("typo.json"), JSON.stringify({ ...DEVICES, layers: "30" })),
    Deno.writeTextFile(path("small.json"), JSON.stringify({ ...DEVICES, nodes: small })),
  ]);
  const refused: [string, number, RegExp][] = [
    ["absent.json", 2, /^mdi: error: Cannot read the what-if file \S+absent\.json: /],
    [
      "typo.json",
      2,
      /^mdi: error: Cannot use layers of the what-if file: it is "30"; give a number/,
    ],
    ["small.json", 6, /^mdi: error: Cannot place the model: .*so 178 MB are missing; free memory/],
  ];
  await Promise.all(refused.map(async ([name, code, message]) => {
    const ended = await runMdi(["plan", "--what-if", path(name)], { home: dir.path });
    assertEquals([ended.code, ended.stdout], [code, ""]);
    assertMatch(ended.stderr, message);
  }));
});
