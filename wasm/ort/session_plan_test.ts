import { assert, assertEquals, assertThrows } from "@std/assert";
import { TINY, tinyBlocks, TinyFiles } from "../_tiny_blocks.ts";
import { OpenBlocks } from "../block_file.ts";
import { MdiError } from "../error.ts";
import { planSessions, weightBytes } from "./session_plan.ts";

const { dModel, vocab, layers, heads, kvHeads, headDim } = TINY;
/** Weights of the products of a layer and of the head. */
const LAYER_WEIGHTS = dModel * headDim * (2 * heads + 2 * kvHeads);
const HEAD_WEIGHTS = dModel * vocab;

async function withPlan(
  fn: (
    plan: (memoryBytes: number | null, head?: boolean) => ReturnType<typeof planSessions>,
  ) => void,
  blocks = tinyBlocks(),
): Promise<void> {
  await using files = await TinyFiles.write(blocks);
  using open = await OpenBlocks.open(files.spec().blocks);
  fn((memoryBytes, head = true) =>
    planSessions(files.spec({ embed: false, head }, memoryBytes), open, null)
  );
}

Deno.test("planSessions() expands weights where there is memory for it, and says so", () =>
  withPlan((plan) => {
    const { body, head, notes } = plan(null);
    assertEquals(body.map(weightBytes), [4 * layers * LAYER_WEIGHTS]);
    assertEquals(weightBytes(head!), 4 * HEAD_WEIGHTS);
    assertEquals(notes.length, 1);
    assert(notes[0]!.startsWith("weights expanded to f32: 1 MB"), notes[0]);
    assertEquals([body[0]!.oneRow, head!.oneRow], [false, true]);
  }));

Deno.test("planSessions() keeps weights quantised where f32 does not fit, and says so", () =>
  withPlan((plan) => {
    const expanded = plan(null);
    assertEquals(plan(expanded.peakBytes).notes, expanded.notes);
    const packed = plan(expanded.peakBytes - 1);
    assert(packed.peakBytes < expanded.peakBytes);
    // Q4_1: half a byte a weight, a scale and a minimum of 4 bytes and a zero of 4 bits for 32 of them.
    const each = 1 / 2 + 4 / 32 + 4 / 32 + 1 / 2 / 32;
    assertEquals(weightBytes(packed.body[0]!), layers * LAYER_WEIGHTS * each);
    assertEquals(packed.notes.length, 1);
    assert(
      /^weights kept quantised: 1 MB, 10 to 25 times slower.*needs 121 MB/.test(packed.notes[0]!),
      packed.notes[0],
    );
  }));

Deno.test("planSessions() says what is needed and what is there before it fails", () =>
  withPlan((plan) => {
    const { peakBytes } = plan(plan(null).peakBytes - 1);
    const error = assertThrows(() => plan(Math.floor(peakBytes) - 1), MdiError);
    assertEquals(error.code, "memory");
    assertEquals(error.details, {
      requiredBytes: Math.ceil(peakBytes),
      availableBytes: Math.floor(peakBytes) - 1,
    });
    assertEquals(
      error.message,
      "Cannot load layers 0 to 2, head of tiny: that needs 121 MB of memory and 121 MB are free; " +
        "give this node fewer layers with --layers, add a node, or take a smaller model",
    );
  }));

Deno.test("planSessions() counts what each session needs while it is made", () =>
  withPlan((plan) => {
    const all = plan(null);
    const without = plan(null, false);
    const weights = 4 * layers * LAYER_WEIGHTS;
    assert(without.peakBytes > 2 * weights + 50e6);
    assert(all.peakBytes > without.peakBytes + 4 * HEAD_WEIGHTS);
  }));

Deno.test("planSessions() refuses what WebAssembly cannot address", () => {
  const blocks = tinyBlocks();
  for (const { model } of blocks) {
    for (const node of model.graph!.node.filter(({ opType }) => opType === "MatMulGguf")) {
      const n = node.attribute.find(({ name }) => name === "N")!;
      const weight = model.graph!.initializer.find(({ name }) => name === node.input[1])!;
      const length = weight.externalData.find(({ key }) => key === "length")!;
      n.i *= 2n ** 17n;
      length.value = String(Number(length.value) * 2 ** 17);
    }
  }
  return withPlan((plan) => {
    const error = assertThrows(() => plan(null), MdiError, "3795 MB can be addressed");
    assertEquals(error.code, "memory");
  }, blocks);
});
