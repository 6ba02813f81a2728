import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { MdiError } from "../../wasm/error.ts";
import { manifestOf } from "../store/_test_util.ts";
import { blockNames, validateManifest } from "./manifest.ts";

const HASH = "0123456789abcdef".repeat(4);
const good = manifestOf("tiny", Array(3).fill({ hash: HASH, bytes: 1000 }), HASH);

/** A copy of the good manifest as JSON gives it, changed. */
// deno-lint-ignore no-explicit-any -- the point is to break its type
function changed(change: (manifest: any) => void): unknown {
  const copy = JSON.parse(JSON.stringify(good));
  change(copy);
  return copy;
}

Deno.test("validateManifest() gives back what is right, and only what it knows", () => {
  assertEquals(validateManifest(good), good);
  assertEquals(validateManifest(changed((m) => m.config.surprise = 1)), good);
  const text = JSON.stringify(good).replace('"version":1', '"version":1,"__proto__":{"name":"x"}');
  assertEquals(validateManifest(JSON.parse(text)), good);
  const shared = changed((m) => {
    m.blocks.unshift({ ...m.blocks[0], name: "shared" });
    m.blocks[2].requires = ["shared", "embed"];
  });
  assertEquals(validateManifest(shared).blocks.map(({ name }) => name), [
    "shared",
    ...blockNames(1),
  ]);
});

Deno.test("validateManifest() keeps every kind of rope scaling", () => {
  const llama3 = { factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalContext: 8192 };
  for (
    const ropeScaling of [
      { type: "linear", factor: 2 },
      { type: "llama3", ...llama3 },
      { type: "factors", factors: [1, 2] },
    ]
  ) {
    const manifest = validateManifest(changed((m) => m.config.ropeScaling = ropeScaling));
    assertEquals<unknown>(manifest.config.ropeScaling, ropeScaling);
  }
});

Deno.test("validateManifest() refuses each wrong field by its name", () => {
  // deno-lint-ignore no-explicit-any -- the point is to break its type
  const cases: [(manifest: any) => void, string][] = [
    [(m) => m.version = 2, "version is 2, expected 1"],
    [(m) => m.name = "a\x1b[2J", "name"],
    [(m) => m.source = "pickle", "source"],
    [(m) => m.config.layers = 5000, "config.layers is 5000, expected an integer from 1 to 1024"],
    [(m) => m.config.layers = 2, "the number of edges is 2, expected 3"],
    [(m) => m.config.hidden = 65_537, "config.hidden"],
    [(m) => m.config.vocab = 10_000_001, "config.vocab"],
    [(m) => m.config.context = 1.5, "config.context"],
    [(m) => m.config.eosTokens = [-1], "config.eosTokens[0]"],
    [(m) => m.config.normEpsilon = null, "config.normEpsilon"],
    [(m) => m.config.ropeScaling = { type: "yarn" }, "config.ropeScaling.type"],
    [(m) => m.edges[0] = "f64", "edges[0]"],
    [(m) => m.blocks.pop(), "the number of blocks is 2, expected 3 or 4"],
    [(m) => m.blocks[1].name = "../evil", 'blocks[1].name is "../evil", expected "layer.0"'],
    [(m) => m.blocks[0].hash = HASH.toUpperCase(), "blocks[0].hash"],
    [(m) => m.blocks[0].bytes = 2 ** 50, "blocks[0].bytes"],
    [(m) => m.blocks[0].bytes = -1, "blocks[0].bytes"],
    [(m) => m.blocks[0].requires = ["head"], "blocks[0].requires[0]"],
    [(m) => m.blocks[2].requires = ["head"], "blocks[2].requires[0]"],
    [(m) => m.textHash = "..", "textHash"],
    [(m) => m.kvBytesPerTokenLayer = 0, "kvBytesPerTokenLayer"],
  ];
  for (const [change, message] of cases) {
    const error = assertThrows(() => validateManifest(changed(change)), MdiError, message);
    assertEquals(error.code, "protocol");
  }
});

Deno.test("validateManifest() throws nothing but MdiError, whatever comes", () => {
  fc.assert(fc.property(fc.jsonValue(), fc.nat(), (junk, where) => {
    const copy = JSON.parse(JSON.stringify(good));
    const targets = [copy, copy.config, copy.blocks, copy.blocks[1]];
    const target = targets[where % targets.length];
    const keys = Object.keys(target);
    target[keys[where % keys.length]!] = junk;
    for (const value of [junk, copy]) {
      try {
        validateManifest(value);
      } catch (error) {
        if (!(error instanceof MdiError)) throw error;
      }
    }
  }));
});
