/**
 * Opens and cuts a model in a thread of its own, which ends afterwards: parsing a vocabulary and reading
 * every weight once leaves a heap 100 MB larger, and only an ended thread gives that back.
 */
/// <reference lib="deno.worker" />
import { MdiError, messageOf } from "../wasm/error.ts";
import type { ImportReply, ImportRequest } from "./import_protocol.ts";
import { importModel } from "./model/import.ts";
import { openModel } from "./model/open.ts";
import { openStore } from "./store/store.ts";

const scope = self as unknown as DedicatedWorkerGlobalScope;
const aborting = new AbortController();
const released = Promise.withResolvers<void>();

scope.onmessage = ({ data }: MessageEvent<ImportRequest>) => {
  if (data.op === "abort") aborting.abort(new MdiError("cancelled", "The import was cancelled"));
  else if (data.op === "release") released.resolve();
  else run(data);
};

async function run(request: ImportRequest & { op: "import" }): Promise<void> {
  const { path, root, limitBytes, name, dtype, tokenizerDir } = request;
  const { signal } = aborting;
  try {
    const store = await openStore(root, {
      limitBytes,
      onNote: (message) => reply({ type: "note", message }),
    });
    // What is found or made stays until whoever asked has pinned it too.
    await using pin = await store.pin();
    await using source = await openModel(path, { dtype, tokenizerDir, signal });
    const manifest = await importModel(source, store, {
      pin,
      name,
      signal,
      onProgress: (progress) => reply({ type: "progress", progress }),
    });
    reply({ type: "manifest", manifest });
    await released.promise;
  } catch (error) {
    const { code, details } = error instanceof MdiError
      ? error
      : { code: "internal" as const, details: {} };
    reply({ type: "failed", code, message: messageOf(error), details });
    return;
  }
  reply({ type: "ended" });
}

function reply(message: ImportReply): void {
  scope.postMessage(message);
}
