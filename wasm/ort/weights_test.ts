import { assert, assertEquals, assertThrows } from "@std/assert";
import { tinyBlocks } from "../_tiny_blocks.ts";
import { MdiError } from "../error.ts";
import { joinBlocks } from "./join.ts";
import { planWeights, type WeightForm } from "./weights.ts";

/** The plan of the first layer, or of the given blocks, after a change. */
function planned(
  form: WeightForm,
  change: (blocks: ReturnType<typeof tinyBlocks>) => void = () => {},
  blocks = tinyBlocks("Q4_0").slice(1, 2),
) {
  change(blocks);
  return planWeights(joinBlocks(blocks), form);
}

const operators = ({ model }: ReturnType<typeof planned>, opType: string) =>
  model.graph!.node.filter((node) => node.opType === opType);
const domains = ({ model }: ReturnType<typeof planned>) =>
  model.opsetImport.map(({ domain }) => domain).sort();

Deno.test("planWeights() makes MatMul of every quantised product when it expands", () => {
  const plan = planned("expanded");
  assertEquals(operators(plan, "MatMulGguf").length, 0);
  assertEquals(operators(plan, "MatMul").length, 4);
  assertEquals(plan.jobs.length, 4);
  assertEquals(plan.expandedBytes, plan.jobs.reduce((sum, job) => sum + job.bytes, 0));
  assertEquals(plan.packedBytes, 0);
  assertEquals(domains(plan), ["", "com.microsoft"]);
});

Deno.test("planWeights() makes MatMulNBits of every quantised product when it packs", () => {
  const plan = planned("packed");
  assertEquals(operators(plan, "MatMulNBits").length, 4);
  assertEquals(plan.jobs.length, 4 * 3); // codes, scales, zero points
  assertEquals([plan.expandedBytes, plan.packedBytes > 0], [0, true]);
  const again = planned("packed", () => {}, [tinyBlocks().at(-1)!]);
  assertEquals(domains(again), ["", "com.microsoft"]);
});

Deno.test("planWeights() adds the minimums of types that have them", () => {
  const plan = planned("packed", () => {}, tinyBlocks("Q4_1").slice(1, 2));
  assertEquals(operators(plan, "MatMulNBits").length, 4);
  assertEquals(operators(plan, "ReduceSum").length, 4 + 1); // the graph's own sums the mask
  assertEquals(plan.jobs.length, 4 * 4);
});

Deno.test("planWeights() makes a weight that two products share once", () => {
  const plan = planned("expanded", ([layer]) => {
    const products = layer!.model.graph!.node.filter(({ opType }) => opType === "MatMulGguf");
    products[1]!.input[1] = products[2]!.input[1]!;
  });
  assertEquals(plan.jobs.length, 3);
});

Deno.test("planWeights() lists external weights that need no change, and no others", () => {
  const plan = planned("expanded", ([layer]) => {
    const { node, initializer } = layer!.model.graph!;
    const product = node.find(({ opType }) => opType === "MatMulGguf")!;
    const weight = initializer.find(({ name }) => name === product.input[1])!;
    product.domain = "";
    product.opType = "Example";
    assert(weight.externalData.length > 0);
  });
  const plain = plan.jobs.filter((job) => !job.make);
  assertEquals(plain.map(({ name, sources }) => [name, sources]), [
    ["layer.0@0", [{ block: "layer.0", offset: 0, length: plain[0]!.bytes }]],
  ]);
});

Deno.test("planWeights() refuses products whose parts contradict each other", () => {
  const refused = (
    change: (node: ReturnType<typeof operators>[number]) => void,
    code: string,
    why: string,
  ) => {
    const error = assertThrows(
      () =>
        planned(
          "expanded",
          ([layer]) =>
            change(layer!.model.graph!.node.find(({ opType }) => opType === "MatMulGguf")!),
        ),
      MdiError,
      why,
    );
    assertEquals(error.code, code);
  };
  const set = (name: string, i: bigint) => (node: ReturnType<typeof operators>[number]) => {
    node.attribute.find((attribute) => attribute.name === name)!.i = i;
  };
  refused(set("N", 65n), "model_corrupt", "has 2304 bytes where its shape needs 2340");
  refused(set("N", 0n), "model_corrupt", "N is 0");
  refused(set("K", 2n ** 40n), "model_corrupt", "K is 1099511627776");
  refused((node) => node.input[1] = "hidden", "model_unsupported", "it is computed, not constant");
  refused(
    (node) =>
      node.attribute.find(({ name }) => name === "type")!.s = new TextEncoder().encode("Q9"),
    "model_unsupported",
    'weight type "Q9" is none of',
  );
});
