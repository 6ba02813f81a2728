/** The tokens that the default model gives on mdi's own kernels, whatever the device and the ring. */
import type { ChatMessage } from "../../engine/text/chat_template.ts";
import golden from "./golden.json" with { type: "json" };

/** One prompt and its greedy answer. */
export interface GoldenPrompt {
  /** How messages name it. */
  name: string;
  /** A text to continue, or a chat under the model's template. */
  prompt: string | ChatMessage[];
  /** Token ids of the prompt. */
  prompt_ids: number[];
  /** Greedy token ids after it; end tokens do not end it. */
  ids: number[];
  /** Difference of the two largest logits at each of them. */
  margins: number[];
}

/** What `golden.json` holds; `deno task golden` makes it. */
export interface Golden {
  /** Name of the model's file. */
  file: string;
  /** Of that file, in lower-case hex. */
  sha256: string;
  /** The prompts. */
  prompts: GoldenPrompt[];
}

/** The default model's. */
export const GOLDEN: Golden = golden;
