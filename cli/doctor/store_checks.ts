/** The store and its disk. */
import { formatBytes } from "../../engine/format_bytes.ts";
import type { DiskSpeed } from "../../engine/store/measure_disk.ts";
import { bad, type Finding, good, unknown, warning } from "./finding.ts";
import { plural } from "../table.ts";

/** What is looked at. */
export interface StoreFacts {
  /** Its directory. */
  path: string;
  models: number;
  /** Bytes that it takes. */
  bytes: number;
  /** Bytes left on its disk; null where the system does not say. */
  freeBytes: number | null;
  /** Null where it was not measured, as there is no room. */
  speed: DiskSpeed | null;
}

/** Below this no model has room, and the disk is not written to measure it. */
export const LEAST_DISK_BYTES = 100e6;
/** Room for the default model as it comes, cut and packed, and as much again. */
const ROOMY_DISK_BYTES = 1e9;
/** A memory card of class 10 writes as fast. */
const SLOW_WRITE = 10e6;

/** Checks them. */
export function checkStore(facts: StoreFacts): Finding[] {
  const { path, models, bytes } = facts;
  const text = `${path}: ${plural(models, "model")}, ${formatBytes(bytes)}`;
  return [
    good("store", { path, models, bytes }, text),
    diskFinding(facts),
    ...speedFindings(facts),
  ];
}

const ROOM = 'remove models with "mdi store remove MODEL", or set MDI_HOME to a larger disk';

function diskFinding({ freeBytes }: StoreFacts): Finding {
  if (freeBytes === null) return unknown("disk", "this file system does not tell what is free");
  const text = `${formatBytes(freeBytes)} free`;
  if (freeBytes < LEAST_DISK_BYTES) {
    return bad("disk", freeBytes, `${text}: too little for a model`, ROOM, "disk");
  }
  if (freeBytes < ROOMY_DISK_BYTES) {
    return warning("disk", freeBytes, `${text}: room for a small model only`, ROOM);
  }
  return good("disk", freeBytes, text);
}

function speedFindings({ speed }: StoreFacts): Finding[] {
  if (!speed) return [];
  const { writeBytesPerSecond, readBytesPerSecond } = speed;
  const value = {
    write_bytes_per_second: Math.round(writeBytesPerSecond),
    cached_read_bytes_per_second: Math.round(readBytesPerSecond),
  };
  const text = `writes ${formatBytes(writeBytesPerSecond)}/s, reads ${
    formatBytes(readBytesPerSecond)
  }/s from the cache`;
  if (writeBytesPerSecond >= SLOW_WRITE) return [good("disk speed", value, text)];
  return [warning(
    "disk speed",
    value,
    `${text}: a model of 1 GB takes ${
      (1e9 / writeBytesPerSecond / 60).toFixed(0)
    } minutes to store`,
    "take a faster card, or an SSD for MDI_HOME",
  )];
}
