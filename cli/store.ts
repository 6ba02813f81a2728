/** `mdi store list|verify|remove`: what is stored on this device. */
import { join } from "node:path";
import { namesIn } from "../engine/store/disk.ts";
import { defaultHome } from "../engine/store/layout.ts";
import { removeModel } from "../engine/store/collect.ts";
import { listStore } from "../engine/store/report.ts";
import { verifyStore } from "../engine/store/verify.ts";
import { openStore, type Store } from "../engine/store/store.ts";
import { MdiError } from "../wasm/error.ts";
import { type Output, recordOf } from "./output.ts";
import { startProgress } from "./progress.ts";
import { demoHome } from "./demo_home.ts";
import type { CommandContext } from "./program.ts";
import { formatBytes } from "../engine/format_bytes.ts";
import { renderTable } from "./table.ts";

/** Lists the stored models. */
export async function storeListCommand({ output }: CommandContext): Promise<void> {
  const store = await openOwnStore(output);
  const list = await listStore(store.layout);
  output.record(recordOf("store", list));
  const rows = [
    ...list.models.map((model) => [
      model.name,
      `blocks ${model.blocks.present}/${model.blocks.total}`,
      formatBytes(model.bytes),
      model.license ?? "not stated",
      day(model.lastUsed),
      model.inUse ? "yes" : "no",
    ]),
    ...list.pulled.map((model) => [
      model.name,
      model.complete ? "pulled file" : "pulled in part",
      formatBytes(model.bytes),
      model.license ?? "not stated",
      day(model.lastUsed),
      model.inUse ? "yes" : "no",
    ]),
  ];
  if (rows.length === 0) output.text('Nothing is stored yet; "mdi pull" fetches a model.\n');
  else {
    output.text(
      `${renderTable(["model", "what", "size", "licence", "last used", "in use"], rows)}\n\n`,
    );
  }
  const free = list.freeBytes === null ? "" : `, ${formatBytes(list.freeBytes)} free on its disk`;
  output.text(`${list.path}: ${formatBytes(list.bytes)}${free}\n`);
  const demo = await namesIn(demoHome());
  if (demo.length > 0) {
    output.text(
      `The secondaries of "mdi --demo" have stores of their own: ${
        demo.map((name) => join(demoHome(), name)).join(", ")
      }\n`,
    );
  }
  if (list.orphanBytes > 0) {
    output.text(
      `${formatBytes(list.orphanBytes)} belong to no model here (layers kept for a ring).\n`,
    );
  }
}

/** Checks every stored byte; damaged files go, and come again when they are needed. */
export async function storeVerifyCommand({ output, signal }: CommandContext): Promise<void> {
  const store = await openOwnStore(output);
  const progress = startProgress("checking", output.progress());
  const report = await verifyStore(store.layout, {
    signal,
    onProgress: ({ checkedBytes, totalBytes }) => progress.update(checkedBytes, totalBytes),
  });
  progress.end();
  output.record(recordOf("verify", report));
  for (const { path, reason, models } of report.damaged) {
    output.text(
      `removed ${path}: ${reason}${models.length > 0 ? `; needed by ${models.join(", ")}` : ""}\n`,
    );
  }
  const damaged = report.damaged.length === 0 ? "all whole" : `${report.damaged.length} damaged`;
  output.text(`${report.files} files, ${formatBytes(report.bytes)}: ${damaged}\n`);
  if (report.damaged.length > 0) {
    throw new MdiError(
      "model_corrupt",
      `Found ${report.damaged.length} damaged ${
        report.damaged.length === 1 ? "file" : "files"
      }: removed, and cut, packed or fetched again when needed; if it goes on, the disk is failing`,
    );
  }
}

/** Removes a model. */
export async function storeRemoveCommand(model: string, { output }: CommandContext): Promise<void> {
  const store = await openOwnStore(output);
  const removal = await removeModel(store.layout, model);
  output.record(recordOf("remove", removal));
  output.text(`removed ${model}: ${formatBytes(removal.bytes)} freed\n`);
}

function openOwnStore(output: Output): Promise<Store> {
  return openStore(defaultHome(), { onNote: (message) => output.log(message, { event: "note" }) });
}

function day(date: Date): string {
  return date.toISOString().slice(0, 10);
}
