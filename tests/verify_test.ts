/** `mdi verify` on this device and on a ring of real processes. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { GOLDEN } from "../cli/verify/golden.ts";
import { DEFAULT_FILE } from "../engine/pull/default_model.ts";
import { DEFAULT_MODEL } from "../engine/pull/model_name.ts";
import { layoutOf } from "../engine/store/layout.ts";
import { MAIN, runMdi, startSecondaries } from "./support/mdi_process.ts";
import { modelNote, SMOLLM2_GGUF } from "./support/real_models.ts";
import { assertRefused, temporaryDirectory } from "./support/refusal.ts";

Deno.test({
  name: `mdi verify finds all tokens equal on one node and on three${
    modelNote(SMOLLM2_GGUF, "set MDI_TEST_MODEL or run `mdi pull`")
  }`,
  ignore: SMOLLM2_GGUF === undefined,
  async fn() {
    await using directory = await temporaryDirectory();
    const home = await homeWithModel(directory.path);
    await using stack = new AsyncDisposableStack();
    const peers = (await startSecondaries(2, directory.path, stack)).map(({ address }) => address);
    const args = ["verify", "--name", "pi", "--peers", peers.join(), "--threads", "1", "--json"];
    const { code, stderr, records } = await runMdi(args, { home });
    assertEquals(code, 0, stderr);
    const all = { tokens: 144, equal: 144, differences: [], unclear: [], deviations: [] };
    const node = (name: string) => ({ name, backend: "simd", backend_reason: null });
    assertEquals(records, [
      { type: "verification", nodes: [node("pi")], ...all },
      { type: "verification", nodes: ["pi", ...peers].map(node), ...all },
    ]);
  },
});

Deno.test({
  name: `mdi verify ends with status 1 where a token is not the golden one${
    modelNote(SMOLLM2_GGUF, "set MDI_TEST_MODEL or run `mdi pull`")
  }`,
  ignore: SMOLLM2_GGUF === undefined,
  async fn() {
    await using directory = await temporaryDirectory();
    const home = await homeWithModel(directory.path);
    const altered = structuredClone(GOLDEN);
    altered.prompts[1]!.ids[20] = 1;
    const file = join(directory.path, "golden.json");
    await Deno.writeTextFile(file, JSON.stringify(altered));
    // The same mdi with other golden tokens.
    const { imports } = JSON.parse(
      await Deno.readTextFile(new URL("../deno.json", import.meta.url)),
    );
    const golden = import.meta.resolve("../cli/verify/golden.json");
    const map = join(directory.path, "map.json");
    const mapped = { ...imports, [golden]: pathToFileURL(file).href };
    await Deno.writeTextFile(map, JSON.stringify({ imports: mapped }));
    const deno = ["run", "--no-prompt", "--allow-all", "--import-map", map, MAIN];
    const { code, stdout, stderr } = await runMdi(["verify", "--name", "pi"], { home, deno });
    assertEquals(code, 1, stderr);
    const [result, different, advice, verdict] = stdout.split("\n");
    assertEquals(result, "116 of 144 tokens equal on pi alone");
    assertMatch(different!, /^DIFFERENT: answer to "chat": token 21 is \d+ instead of 1 \(margin/);
    assertMatch(advice!, /^what to do: on this device: "mdi store verify"/);
    assertEquals(verdict, "not verified: 1 ring of 1 gave other tokens");
    assert(!stderr.includes("mdi: error"), stderr);
  },
});

/** A home that has the default model's file. */
async function homeWithModel(directory: string): Promise<string> {
  const home = join(directory, "starter");
  const models = join(layoutOf(home).models, DEFAULT_MODEL);
  await Deno.mkdir(models, { recursive: true });
  await Deno.copyFile(SMOLLM2_GGUF!, join(models, DEFAULT_FILE.file));
  return home;
}

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
