/** `mdi verify` on this device and on a ring of real processes. */
import { assertEquals, assertMatch } from "@std/assert";
import { basename, join } from "node:path";
import { DEFAULT_FILE } from "../engine/pull/default_model.ts";
import { DEFAULT_MODEL } from "../engine/pull/model_name.ts";
import { layoutOf } from "../engine/store/layout.ts";
import { runMdi, startSecondaries } from "./support/mdi_process.ts";
import { modelNote, SMOLLM2_GGUF } from "./support/real_models.ts";
import { assertRefused, temporaryDirectory } from "./support/refusal.ts";

Deno.test({
  name: `mdi verify finds all tokens equal on one node and on three${
    modelNote(SMOLLM2_GGUF, "set MDI_TEST_MODEL or run `mdi pull`")
  }`,
  ignore: SMOLLM2_GGUF === undefined,
  async fn() {
    await using directory = await temporaryDirectory();
    const home = join(directory.path, "starter");
    const models = join(layoutOf(home).models, DEFAULT_MODEL);
    await Deno.mkdir(models, { recursive: true });
    await Deno.copyFile(SMOLLM2_GGUF!, join(models, DEFAULT_FILE.file));
    await using stack = new AsyncDisposableStack();
    const peers = (await startSecondaries(2, directory.path, stack)).map(({ address }) => address);
    const args = ["verify", "--name", "pi", "--peers", peers.join(), "--threads", "1"];
    const { code, stdout, stderr } = await runMdi(args, { home });
    assertEquals(code, 0, stderr);
    assertEquals(
      stdout,
      `all 144 tokens equal on pi alone\nall 144 tokens equal on 3 nodes (pi, ${
        peers.join(", ")
      })\nverified: every token of ${basename(DEFAULT_FILE.file)} is the golden one\n`,
    );
    const whole = ["verify", "--peers", peers[0]!, "--layers", "0,30", "--json"];
    const { records } = await runMdi(whole, { home });
    assertEquals(records.map(({ type, equal }) => [type, equal]), [
      ["verification", 144],
      ["verification", 144],
    ]);
  },
});

Deno.test("mdi verify refuses layers without peers", async () => {
  await using directory = await temporaryDirectory();
  await assertRefused(["verify", "--layers", "30"], { home: directory.path }, {
    status: 2,
    code: "usage",
    message: /--layers without --peers.*give --peers/,
  });
  const { stdout } = await runMdi(["verify", "--help"], { home: directory.path });
  assertMatch(stdout, /1 a token differs/);
});
