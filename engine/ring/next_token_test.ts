import { assert, assertEquals } from "@std/assert";
import { takeCandidates } from "../../wasm/candidates.ts";
import { createSampler } from "../text/sampler.ts";
import { resolveSampling, type SamplingRequest } from "../text/sampling_options.ts";
import { begin, hashRing } from "./_hash_stage.ts";
import { drawToken, type Head, readHead } from "./next_token.ts";

const OFF: SamplingRequest = { temperature: 1, topK: 0, topP: 1, minP: 0, seed: 1n };
const sampler = (request: SamplingRequest) =>
  createSampler(resolveSampling({ ...OFF, ...request }, {}));

/** Rows of logits; the hidden row of each is its place. */
const LOGITS = [[1, 5, 3, 2], [4, 4, 4, 0], [0, 1, 2, 3]];

/** A head that looks them up, and what it was asked. */
function tableHead() {
  const asked: [string, number[]][] = [];
  const look = (hidden: Float32Array) =>
    Float32Array.from(Array.from(hidden, (row) => LOGITS[row]!).flat());
  const head: Head = {
    dModel: 1,
    vocab: 4,
    stage: {
      logits(hidden) {
        asked.push(["logits", [...hidden]]);
        return Promise.resolve(look(hidden));
      },
      candidates(hidden, count) {
        asked.push([`${count} candidates`, [...hidden]]);
        return Promise.resolve(takeCandidates(look(hidden), 4, count));
      },
    },
  };
  return { head, asked };
}

/** What one call asks of the head for rows with these samplers; its tokens are those of all logits. */
async function asks(rows: number[], requests: SamplingRequest[]): Promise<[string, number[]][]> {
  const { head, asked } = tableHead();
  const wanted = rows.map((row, i) => ({ row, sampler: sampler(requests[i]!) }));
  const read = await readHead(head, Float32Array.of(0, 1, 2), wanted);
  wanted.forEach(({ row, sampler: made }, i) => {
    const history = Int32Array.of(3);
    assertEquals(
      drawToken(made, read[i]!, history),
      sampler(requests[i]!).sample(Float32Array.from(LOGITS[row]!), history),
    );
  });
  return asked;
}

Deno.test("readHead() asks for as many candidates as the most curious sampler", async () => {
  const greedy = { greedy: true };
  assertEquals(await asks([0, 1, 2], [greedy, greedy, greedy]), [["1 candidates", [0, 1, 2]]]);
  assertEquals(await asks([0, 2], [greedy, { topK: 2 }]), [["3 candidates", [0, 2]]]);
  assertEquals(await asks([2], [{ topK: 50 }]), [["51 candidates", [2]]]);
});

Deno.test("readHead() asks for all logits of all rows where one sampler has to see them", async () => {
  const requests = [{ greedy: true }, { topP: 0.5 }];
  assertEquals(await asks([0, 2], requests), [["logits", [0, 2]]]);
  const penalty = { greedy: true, repetitionPenalty: 5 };
  assertEquals(await asks([2], [penalty]), [["logits", [2]]]);
});

Deno.test("readHead() asks again for rows that their candidates do not decide", async () => {
  const few = { topK: 2 };
  assertEquals(await asks([0, 1, 2], [few, few, few]), [
    ["3 candidates", [0, 1, 2]],
    ["logits", [1]],
  ]);
  assertEquals(await asks([1], [{ topK: 3 }]), [["4 candidates", [1]]]);
});

Deno.test("RingDriver draws the same ids whatever samples come with one", async () => {
  const prompt = [3, 1, 4, 1, 5, 9, 2, 6];
  const samplings: SamplingRequest[] = [
    { greedy: true },
    { topK: 3, temperature: 20, seed: 5n },
    { topK: 5, topP: 0.8, temperature: 20, seed: 6n },
    { topP: 0.9, temperature: 20, seed: 7n },
    { greedy: true, repetitionPenalty: 1.3 },
  ];
  const run = async (some: SamplingRequest[]) => {
    const { driver } = hashRing();
    const turns = some.map((each) => begin(prompt, 30, (it) => driver.submit(it), each));
    return await Promise.all(turns.map(async ({ result }) => (await result).ids));
  };
  const alone = (await Promise.all(samplings.map((each) => run([each])))).flat();
  assert(new Set(alone.map((ids) => ids.join())).size === samplings.length);
  assertEquals(await run(samplings), alone);
  assertEquals(await run(samplings.slice(0, 3)), alone.slice(0, 3));
});
