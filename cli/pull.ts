/** `mdi pull`: bring a model to this device and cut it, so that later starts need no network. */
import { loadModel } from "../engine/load_model.ts";
import { defaultHome } from "../engine/store/layout.ts";
import { openStore } from "../engine/store/store.ts";
import { showEvents } from "./events.ts";
import type { CommandContext } from "./program.ts";
import { formatBytes } from "../engine/format_bytes.ts";

/** Pulls a model; returns the bytes that came over the network. */
export async function pullCommand(
  model: string | undefined,
  options: { dtype?: string; tokenizer?: string; storeLimit?: number },
  { output, signal }: CommandContext,
): Promise<number> {
  using events = showEvents(output);
  const store = await openStore(defaultHome(), {
    limitBytes: options.storeLimit ?? null,
    onNote: (message) => events.show({ type: "note", message }),
  });
  await using pin = await store.pin();
  const { manifest, files } = await loadModel(model, {
    store,
    pin,
    dtype: options.dtype,
    tokenizerDir: options.tokenizer,
    signal,
    onEvent: events.show,
  });
  const bytes = manifest.blocks.reduce((sum, block) => sum + block.bytes, 0);
  const license = manifest.license ?? files.license;
  output.record({
    type: "pull",
    model: manifest.name,
    path: files.path,
    source: files.source,
    license,
    bytes_downloaded: files.downloadedBytes,
    block_bytes: bytes,
  });
  output.text(
    `${manifest.name}: ${manifest.blocks.length} blocks, ${formatBytes(bytes)}; licence: ${
      license ?? "not stated"
    }; ${formatBytes(files.downloadedBytes)} downloaded\n`,
  );
  return files.downloadedBytes;
}
