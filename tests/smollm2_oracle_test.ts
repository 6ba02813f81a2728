/**
 * The default model against tests/fixtures/smollm2/oracle.json: with weights expanded to f32 the same
 * next token at all 576 steps, teacher-forced, and bit for bit the same numbers over rings of stages.
 */
import { assert, assertEquals } from "@std/assert";
import { openGguf } from "../engine/model/gguf/source.ts";
import { DEFAULT_FILE } from "../engine/pull/default_model.ts";
import { hashFile } from "../engine/store/digest.ts";
import type { ChatMessage } from "../engine/text/chat_template.ts";
import { createTokenizer } from "../engine/text/tokenizer.ts";
import { argmax, equalBits } from "./support/numbers.ts";
import { modelNote, SMOLLM2_GGUF } from "./support/real_models.ts";
import { ImportedModel } from "./support/imported_model.ts";
import { loadOrt } from "./support/ort_stage.ts";
import { StageRing } from "./support/stage_ring.ts";

interface Prompt {
  name: string;
  prompt?: string;
  messages?: ChatMessage[];
  ids: number[];
  greedy_ids: number[];
  margins: number[];
}

const { prompts }: { prompts: Prompt[] } = JSON.parse(
  await Deno.readTextFile(new URL("fixtures/smollm2/oracle.json", import.meta.url)),
);
/** Rows of a chunk of a prompt. */
const CHUNK = 32;
/** Stages of 12, 9 and 9 layers, and of 30 behind a starter without any. */
const RINGS = [[12, 21], [0]];

const note = modelNote(SMOLLM2_GGUF, "set MDI_TEST_MODEL or run `mdi pull`");

/** Hidden rows and logits of the last row of a chunk. */
interface Step {
  hidden: Float32Array;
  logits: Float32Array;
}

/** Feeds a prompt in chunks and then the oracle's tokens; yields what the head says of each. */
async function* teacherForced(ring: StageRing, { ids, greedy_ids }: Prompt): AsyncGenerator<Step> {
  ring.reset();
  let hidden: Float32Array = new Float32Array(0);
  for (let at = 0; at < ids.length; at += CHUNK) {
    hidden = await ring.forward(ids.slice(at, at + CHUNK));
  }
  yield { hidden, logits: await ring.logits(hidden.slice(-ring.width)) };
  for (const id of greedy_ids.slice(0, -1)) {
    const row = await ring.forward([id]);
    yield { hidden: row, logits: await ring.logits(row) };
  }
}

Deno.test({
  name: `the default model's next token is torch's at all 576 steps, whole and in rings${note}`,
  ignore: SMOLLM2_GGUF === undefined,
  fn: async () => {
    assertEquals(await hashFile(SMOLLM2_GGUF!), DEFAULT_FILE.sha256);
    await using source = await openGguf(SMOLLM2_GGUF!);
    await using model = await ImportedModel.from(source);
    /** Of the prompts that the rings repeat. */
    const steps = new Map<string, Step[]>();
    let same = 0;
    {
      await using whole = await StageRing.load(model, { load: loadOrt });
      for (const prompt of prompts) {
        const taken: Step[] = [];
        for await (const step of teacherForced(whole, prompt)) taken.push(step);
        const got = taken.map(({ logits }) => argmax(logits));
        same += got.filter((id, i) => id === prompt.greedy_ids[i]).length;
        assertEquals(got, prompt.greedy_ids, prompt.name);
        if (/^(short_fact|chat_multi)$/.test(prompt.name)) steps.set(prompt.name, taken);
      }
    }
    assertEquals(same, 576);
    for (const cuts of RINGS) {
      await using ring = await StageRing.load(model, { cuts, load: loadOrt });
      for (const [name, expected] of steps) {
        let i = 0;
        for await (const step of teacherForced(ring, prompts.find((it) => it.name === name)!)) {
          const { hidden, logits } = expected[i++]!;
          assert(
            equalBits(step.hidden, hidden) && equalBits(step.logits, logits),
            `step ${i} of ${name} differs when cut at ${cuts}`,
          );
        }
      }
    }
  },
});

Deno.test({
  name: `the default model's own file gives the oracle's prompt ids${note}`,
  ignore: SMOLLM2_GGUF === undefined,
  fn: async () => {
    await using source = await openGguf(SMOLLM2_GGUF!);
    const tokenizer = createTokenizer(source.text);
    for (const { prompt, messages, ids } of prompts) {
      assertEquals(messages ? tokenizer.chat(messages) : tokenizer.encode(prompt!), ids);
    }
  },
});
