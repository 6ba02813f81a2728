/** A graph that ONNX Runtime itself cannot load is refused with its reason, and every process ends cleanly. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import { openModel } from "../engine/model/open.ts";
import { MdiError } from "../wasm/error.ts";
import {
  type ModelProto,
  ModelProtoSchema,
  OperatorSetIdProtoSchema,
} from "../wasm/gen/onnx/onnx_pb.ts";
import { runMdi } from "./support/mdi_process.ts";
import { FIXTURES } from "./support/oracle.ts";
import { ImportedModel } from "./support/imported_model.ts";
import { loadOrt } from "./support/ort_stage.ts";
import { StageRing } from "./support/stage_ring.ts";

const TIED = join(FIXTURES, "tiny-llama-tied");

/** A copy of tiny-llama-tied's export, changed. */
async function withChanged(
  change: (model: ModelProto) => void,
  body: (directory: string) => Promise<void>,
): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "mdi-test-" });
  try {
    for (const name of ["config.json", "tokenizer.json", "tokenizer_config.json"]) {
      await Deno.copyFile(join(TIED, name), join(directory, name));
    }
    const model = fromBinary(ModelProtoSchema, await Deno.readFile(join(TIED, "onnx/model.onnx")));
    change(model);
    await Deno.writeFile(join(directory, "model.onnx"), toBinary(ModelProtoSchema, model));
    await body(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** Makes the activation of the last layer an operator that nobody knows. */
function unknownOperator(model: ModelProto): void {
  const node = model.graph!.node.findLast(({ opType }) => opType === "Sigmoid")!;
  node.opType = "Unknowable";
}

const CASES: [string, (model: ModelProto) => void, RegExp][] = [
  ["an unknown operator", unknownOperator, /Unknowable/],
  [
    "an operator of an unknown domain",
    (model) => {
      unknownOperator(model);
      model.graph!.node.find(({ opType }) => opType === "Unknowable")!.domain = "com.example";
      model.opsetImport.push(create(OperatorSetIdProtoSchema, { domain: "com.example" }));
    },
    /com\.example:Unknowable/,
  ],
  [
    "an operator set of the future",
    (model) => {
      for (const opset of model.opsetImport) if (opset.domain === "") opset.version = 99n;
    },
    /[oO]pset 99/,
  ],
  [
    "a version of the format of the future",
    (model) => void (model.irVersion = 99n),
    /IR version/,
  ],
];

for (const [what, change, reason] of CASES) {
  Deno.test(`a graph with ${what} is refused with ONNX Runtime's reason`, async () => {
    await withChanged(change, async (directory) => {
      await using source = await openModel(directory);
      await using model = await ImportedModel.from(source);
      const error = await assertRejects(() => StageRing.load(model, { load: loadOrt }), MdiError);
      assertEquals(error.code, "model_unsupported");
      assert(reason.test(error.message), error.message);
    });
  });
}

Deno.test("mdi ends with status 3 and the reason where ONNX Runtime refuses the model", async () => {
  await withChanged(unknownOperator, async (directory) => {
    const home = join(directory, "home");
    const args = ["--starter", "--model", directory, "--prompt", "Hello", "--json"];
    const { code, records } = await runMdi(args, { home });
    assertEquals(code, 3);
    const error = records.find(({ type }) => type === "error");
    assertEquals(error?.code, "model_unsupported");
    assert(/Unknowable/.test(String(error?.message)), String(error?.message));
  });
});
