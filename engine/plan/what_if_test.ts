import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import { MdiError } from "../../wasm/error.ts";
import { planRing } from "./planner.ts";
import { planReport } from "./report.ts";
import { WHAT_IF } from "./_what_if.ts";
import { MAX_WHAT_IF_BYTES, readWhatIf } from "./what_if.ts";

/** Reads the file with some fields changed. */
function read(changes: Record<string, unknown> = {}) {
  return readWhatIf(JSON.stringify({ ...WHAT_IF, ...changes }));
}

/** Reads it with the second node changed. */
function readNode(changes: Record<string, unknown>) {
  return read({ nodes: [WHAT_IF.nodes[0], { ...WHAT_IF.nodes[1], ...changes }] });
}

Deno.test("readWhatIf() reads devices, and links one way each", () => {
  const { problem, notes } = read();
  assertEquals(notes, []);
  assertEquals(problem.model, {
    layers: 30,
    layerBytes: 2_212_000,
    kvBytesPerTokenLayer: 1536,
    embedBytes: 0,
    headBytes: 0,
    rowBytes: 4 * 576 + 64,
  });
  assertEquals(problem.nodes[1], {
    name: "pi4",
    memoryBytes: 3e9,
    layer: { rows: [1], ms: [5.2] },
    embed: { rows: [1], ms: [0.3] },
    head: { rows: [1], ms: [12] },
    frameMs: 0,
  });
  assertEquals(problem.link(0, 1), { rttMs: 2, mbit: 50 });
  assertEquals(problem.link(1, 0), { rttMs: 0.4, mbit: 940 });
  assertEquals([problem.samples, problem.context, problem.goal], [8, 1024, "throughput"]);
  assertEquals(readWhatIf(`\ufeff${JSON.stringify(WHAT_IF)}`).problem.model, problem.model);
  assertEquals(readNode({ layer_ms: { rows: [1, 4], ms: [5, 8] } }).problem.nodes[1]!.layer, {
    rows: [1, 4],
    ms: [5, 8],
  });
});

Deno.test("readWhatIf() says which defaults stand for what is not given, and what nothing reads", () => {
  const { samples: _s, context: _c, link: _l, links: _ls, ...rest } = WHAT_IF;
  const nodes = [{ name: "a", memory_bytes: 1e9, layer_ms: 1 }, WHAT_IF.nodes[1]];
  const { problem, notes } = readWhatIf(JSON.stringify({ ...rest, nodes, layer_bits: 4 }));
  assertEquals([problem.samples, problem.context, problem.link(0, 1).mbit], [8, 1024, 940]);
  assertEquals(notes, [
    "embed_ms is not given for a: 0 taken, also in what they would give alone",
    "head_ms is not given for a: 0 taken, also in what they would give alone",
    "link is not given: 0.4 ms round trip, 940 Mbit/s taken",
    "samples is not given: 8 taken",
    "context is not given: 1024 taken",
    "layer_bits is not a field that is used",
  ]);
  assertEquals(read({ links: [{ from: "pi4", to: "pi5", rtt_ms: 9 }] }).notes, [
    "links[0].mbit is not given: 940 taken",
  ]);
});

Deno.test("readWhatIf() prefers what the caller says", () => {
  const options = { samples: 3, context: 20, goal: "latency" } as const;
  const { problem } = readWhatIf(JSON.stringify(WHAT_IF), options);
  assertEquals([problem.samples, problem.context, problem.goal], [3, 20, "latency"]);
});

Deno.test("readWhatIf() names the field that is wrong", () => {
  const refused: [() => unknown, string][] = [
    [() => readWhatIf(""), "Cannot read the what-if file: it is not JSON"],
    [() => readWhatIf("[]"), "Cannot use the what-if file: it is []; give an object"],
    [() => readWhatIf("x".repeat(MAX_WHAT_IF_BYTES + 1)), "it is over"],
    [() => readWhatIf("[".repeat(100_000)), "it is not JSON"],
    [
      () => readWhatIf("{}"),
      "Cannot read the what-if file: layers is missing; give a number from 1 to 1024",
    ],
    [() => readWhatIf('{"__proto__":{"layers":3}}'), "layers is missing"],
    [() => read({ layers: 0 }), "it is 0; give a number from 1 to 1024"],
    [() => read({ layers: 2.5 }), "it is 2.5; give a whole number"],
    [() => read({ layers: 1e9 }), "Cannot use layers"],
    [() => read({ layer_bytes: -1 }), "Cannot use layer_bytes"],
    [() => read({ layer_bytes: NaN }), "it is null"],
    [() => read({ kv_bytes_per_token_layer: "1" }), 'it is "1"; give a number'],
    [() => read({ d_model: undefined }), "the what-if file: d_model is missing; give a number"],
    [() => read({ samples: 513 }), "Cannot use samples"],
    [() => read({ goal: "speed" }), 'it is "speed"; give one of throughput, latency'],
    [() => read({ nodes: {} }), "Cannot use nodes of the what-if file: it is {}; give a list"],
    [() => read({ nodes: [] }), "it has 0 entries; give 1 to 64"],
    [() => read({ nodes: Array(65).fill(WHAT_IF.nodes[0]) }), "it has 65 entries"],
    [() => read({ nodes: [3] }), "Cannot use nodes[0] of the what-if file: it is 3"],
    [() => read({ nodes: [WHAT_IF.nodes[0], WHAT_IF.nodes[0]] }), 'two nodes named "pi5"'],
    [() => readNode({ name: "" }), "Cannot use nodes[1].name"],
    [() => readNode({ name: "a\nb" }), 'it is "a\\nb"; give a text without control characters'],
    [() => readWhatIf(JSON.stringify(WHAT_IF).replace("7000000000", "1e999")), "it is Infinity"],
    [() => readNode({ name: "x".repeat(65) }), "give a text of 1 to 64 characters"],
    [() => readNode({ memory_bytes: null }), "Cannot use nodes[1].memory_bytes"],
    [() => readNode({ layer_ms: undefined }), "nodes[1].layer_ms is missing; give milliseconds"],
    [() => readNode({ layer_ms: 0 }), "Cannot use nodes[1].layer_ms of the what-if file: it is 0"],
    [
      () => readNode({ layer_ms: { rows: [1, 2], ms: [1, 0] } }),
      "it is 0; give what a layer takes",
    ],
    [() => readNode({ layer_ms: -3 }), "Cannot use nodes[1].layer_ms: it is -3"],
    [() => readNode({ head_ms: { rows: [2], ms: [1] } }), "Cannot use nodes[1].head_ms: rows[0]"],
    [() => read({ link: { rtt_ms: -1 } }), "Cannot use link.rtt_ms"],
    [() => read({ link: { mbit: 0 } }), "Cannot use link.mbit"],
    [() => read({ link: 5 }), "Cannot use link of the what-if file: it is 5"],
    [
      () => read({ links: [{ from: "pi5", to: "pi6" }] }),
      "links[0].to of the what-if file: there is no",
    ],
    [() => read({ links: [{ from: "__proto__", to: "pi5" }] }), 'no node "__proto__"'],
    [() => read({ links: [{ from: "pi5", to: "pi5" }] }), "the node that the link comes from"],
    [() => read({ links: [...WHAT_IF.links, ...WHAT_IF.links] }), "the same link is there twice"],
  ];
  for (const [each, message] of refused) assertThrows(each, RangeError, message);
});

Deno.test("readWhatIf() meets any change of the file with a plan or an error that says what to do", () => {
  const path = fc.constantFrom(
    ...["layers", "layer_bytes", "kv_bytes_per_token_layer", "samples", "context", "nodes", "link"],
    ...["links", "d_model", "nodes.0", "nodes.1.name", "nodes.0.layer_ms", "nodes.1.memory_bytes"],
    ...["nodes.1.head_ms", "link.mbit", "link.rtt_ms", "links.0", "links.0.to", "goal"],
  );
  const value = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.double(), fc.constantFrom("pi4", 1e300));
  fc.assert(
    fc.property(path, value, (path, value) => {
      const file = structuredClone(WHAT_IF) as Record<string, unknown>;
      const keys = path.split(".");
      const parent = keys.slice(0, -1).reduce(
        (at, key) => at[key] as Record<string, unknown>,
        file,
      );
      parent[keys.at(-1)!] = value;
      try {
        const { problem } = readWhatIf(JSON.stringify(file));
        const planned = planRing(problem);
        assert(JSON.stringify(planReport(problem, planned)).includes('"tokens_per_second":'));
      } catch (error) {
        if (error instanceof MdiError) return assertEquals(error.code, "memory");
        if (!(error instanceof RangeError)) throw error;
        assertStringIncludes(error.message, "Cannot ");
      }
    }),
    { seed: 9, numRuns: 2000 },
  );
});
