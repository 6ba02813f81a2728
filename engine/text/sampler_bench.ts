import { takeCandidates } from "../../wasm/candidates.ts";
import { createSampler } from "./sampler.ts";
import { resolveSampling, type SamplingRequest } from "./sampling_options.ts";

const REQUESTS: [string, SamplingRequest][] = [
  ["greedy", { greedy: true }],
  ["top-p 0.95", { temperature: 0.7, topP: 0.95 }],
  ["top-k 50", { temperature: 0.7, topK: 50, topP: 1 }],
  ["top-k 50, top-p 0.95, penalty", { topK: 50, topP: 0.95, repetitionPenalty: 1.1 }],
];

for (const vocab of [49_152, 151_936]) {
  // The sum of four uniform numbers, times 8: about the spread of a language model's logits.
  const uniform = () => Math.random() + Math.random() + Math.random() + Math.random();
  const logits = Float32Array.from({ length: vocab }, () => 8 * uniform());
  for (const [name, request] of REQUESTS) {
    const sampler = createSampler(resolveSampling({ ...request, seed: 1n }, {}));
    Deno.bench(`sampler/${vocab}/${name}`, () => {
      sampler.sample(logits, [1, 2, 3]);
    });
    if (sampler.candidates === null) continue;
    const row = takeCandidates(logits, vocab, sampler.candidates);
    if (!sampler.isDecidedBy(row)) continue;
    Deno.bench(`sampler/${vocab}/${name}, from candidates`, () => {
      sampler.sampleCandidates(row);
    });
  }
}
