/**
 * Importing and cutting read by range: a process that imports a model of 600 MB stays under 400 MB
 * (measured: 145, half of which is Deno itself), so memory does not grow with the model. GGUF always,
 * the other kinds with `MDI_TEST_FULL=1`.
 */
import { assert } from "@std/assert";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { FULL } from "./support/oracle.ts";
import { sparseGguf, sparseOnnx, sparseSafetensors } from "./support/sparse_models.ts";

const CHILD = fileURLToPath(new URL("./support/import_child.ts", import.meta.url));
const LIMIT = 400e6;
const MODEL_BYTES = 600e6;

const KINDS = { "a GGUF file": sparseGguf, safetensors: sparseSafetensors, ONNX: sparseOnnx };

for (const [kind, make] of Object.entries(KINDS)) {
  Deno.test({
    name: `importing ${kind} of 600 MB stays under 400 MB resident`,
    ignore: Deno.build.os !== "linux" || (!FULL && make !== sparseGguf),
    fn: async () => {
      const directory = await Deno.makeTempDir({ prefix: "mdi-test-" });
      try {
        await Deno.mkdir(join(directory, "model"));
        const path = await make(join(directory, "model"));
        const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
          args: ["run", "--no-prompt", "--allow-all", CHILD, path, join(directory, "home")],
        }).output();
        assert(success, new TextDecoder().decode(stderr));
        const { peakBytes, blockBytes } = JSON.parse(new TextDecoder().decode(stdout));
        assert(blockBytes > MODEL_BYTES, `its blocks have only ${blockBytes} bytes`);
        assert(peakBytes < LIMIT, `its peak was ${peakBytes} bytes`);
      } finally {
        await Deno.remove(directory, { recursive: true });
      }
    },
  });
}
