import { assert, assertEquals } from "@std/assert";
import { type JsonRecord, startMdi, startSecondaries } from "./support/mdi_process.ts";
import { modelNote, SMOLLM2_GGUF } from "./support/real_models.ts";

const PROMPT_TOKENS = 450;
const TOKENS = 50;
/** Beyond weights and caches, with some 500 tokens cached. */
const MAX_BYTES = 300e6;

type Node = Record<"weight_bytes" | "kv_bytes" | "rss_bytes", number> & {
  layers: [number, number];
};

Deno.test({
  name: "each node of a ring of three takes at most 300 MB beyond weights and caches" +
    modelNote(SMOLLM2_GGUF, "set MDI_TEST_MODEL or run `mdi pull`"),
  ignore: SMOLLM2_GGUF === undefined,
  fn: async () => {
    const directory = await Deno.makeTempDir({ prefix: "mdi-test-" });
    try {
      await ringOfThree(directory); // cuts the model and sends the weights, which is not measured here
      const nodes = await ringOfThree(directory);
      assertEquals(nodes.map(({ layers }) => layers), [[0, 9], [10, 19], [20, 29]]);
      for (const { weight_bytes, kv_bytes, rss_bytes, layers } of nodes) {
        const bytes = rss_bytes - weight_bytes - kv_bytes;
        assert(bytes <= MAX_BYTES, `layers ${layers}: ${Math.round(bytes / 1e6)} MB`);
      }
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
});

/** Runs a ring with one long sample. Returns what its summary says of the nodes. */
async function ringOfThree(directory: string): Promise<Node[]> {
  await using stack = new AsyncDisposableStack();
  const secondaries = await startSecondaries(2, directory, stack);
  const ids = Array.from({ length: PROMPT_TOKENS }, (_, i) => 100 + 37 * i);
  const starter = stack.use(startMdi([
    ...["--starter", "--peers", secondaries.map(({ address }) => address).join()],
    ...["--model", SMOLLM2_GGUF!, "--backend", "ort", "--layers", "10,10,10"],
    ...["--prompt-ids", ids.join(), "--tokens", String(TOKENS)],
    ...["--greedy", "--ignore-eos", "--json"],
  ], { home: `${directory}/starter`, timeoutMs: 120_000 }));
  const summary = await starter.record(({ type }: JsonRecord) => type === "summary");
  return summary.nodes as Node[];
}
