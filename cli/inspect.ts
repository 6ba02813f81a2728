/** `mdi inspect`: what a model is made of. */
import { fetchModel, openFiles } from "../engine/load_model.ts";
import {
  describeModel,
  type InspectedBlock,
  type ModelDescription,
} from "../engine/model/inspect.ts";
import { defaultHome } from "../engine/store/layout.ts";
import { openStore } from "../engine/store/store.ts";
import { showEvents } from "./events.ts";
import { recordOf } from "./output.ts";
import type { CommandContext } from "./program.ts";
import { formatBytes } from "../engine/format_bytes.ts";
import { formatCount, renderTable } from "./table.ts";

/** Inspects a model. */
export async function inspectCommand(
  model: string | undefined,
  options: { dtype?: string; tokenizer?: string },
  { output, signal }: CommandContext,
): Promise<void> {
  using events = showEvents(output);
  const store = await openStore(defaultHome(), {
    onNote: (message) => events.show({ type: "note", message }),
  });
  const files = await fetchModel(model, { store, signal, onEvent: events.show });
  await using source = await openFiles(files, {
    dtype: options.dtype,
    tokenizerDir: options.tokenizer,
    signal,
  });
  const description = await describeModel(source);
  output.record(recordOf("model", description));
  output.text(`${describeText(description)}\n`);
}

const FILES: Record<ModelDescription["source"], string> = {
  gguf: "GGUF",
  onnx: "ONNX export",
  safetensors: "safetensors",
};

/** The description for people; layers that are alike are one line. */
function describeText(model: ModelDescription): string {
  const { config } = model;
  const facts: [string, string][] = [
    ["model", model.name],
    ["file", FILES[model.source]],
    ["licence", model.license ?? "not stated"],
    ["architecture", config.architecture],
    ["layers", `${config.layers}`],
    [
      "width",
      `${config.hidden}; ${
        config.heads || "?"
      } heads, ${config.kvHeads} for keys and values, of ${config.headDim}`,
    ],
    ["vocabulary", `${config.vocab} tokens`],
    ["context", `${config.context} tokens`],
    ["parameters", formatCount(model.parameters)],
    ["weights", model.dtypes.join(", ")],
    ["size", formatBytes(model.bytes)],
    ["KV cache", `${formatBytes(model.kvBytesPerToken)} a token`],
  ];
  const width = Math.max(...facts.map(([name]) => name.length));
  const rows = groups(model.blocks).map(({ names, block }) => [
    names,
    formatBytes(block.bytes),
    formatCount(block.parameters),
    block.dtypes.join(", ") || "-",
  ]);
  return [
    ...facts.map(([name, value]) => `${name.padEnd(width)}  ${value}`),
    "",
    renderTable(["block", "size", "parameters", "weights"], rows),
  ].join("\n");
}

/** Runs of blocks of the same size and make. */
function groups(blocks: readonly InspectedBlock[]): { names: string; block: InspectedBlock }[] {
  const out: { first: string; last: string; block: InspectedBlock }[] = [];
  for (const block of blocks) {
    const run = out.at(-1);
    const alike = run && run.first.startsWith("layer.") && block.name.startsWith("layer.") &&
      run.block.bytes === block.bytes && run.block.dtypes.join() === block.dtypes.join();
    if (alike) run.last = block.name;
    else out.push({ first: block.name, last: block.name, block });
  }
  return out.map(({ first, last, block }) => ({
    names: first === last ? first : `${first} to ${last.replace("layer.", "")}, each`,
    block,
  }));
}
