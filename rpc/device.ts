/** What this device is and has, as far as Deno tells without any native code. */
import { statfs } from "node:fs/promises";
import { create } from "@bufbuild/protobuf";
import { type Device, DeviceSchema } from "./gen/mdi/v1/control_pb.ts";

/** What the node's own flags say of it. */
export interface DeviceLimits {
  /** Threads it computes with. */
  threads: number;
  /** Bytes that mdi may use; null for what is free. */
  memoryBytes: number | null;
}

/** Bytes of memory that this process may still take: what is free, within its own limit. */
export function freeMemory(limitBytes: number | null): number {
  const { available } = Deno.systemMemoryInfo();
  if (limitBytes === null) return available;
  return Math.max(0, Math.min(available, limitBytes - Deno.memoryUsage().rss));
}

/** Part of the free memory that KV caches may take: ONNX Runtime copies a cache in and out. */
const KV_SHARE = 0.4;

/** Bytes that KV caches may take, once the weights are loaded. */
export function freeForCaches(limitBytes: number | null): number {
  return KV_SHARE * freeMemory(limitBytes);
}

/** Describes this device. */
export async function describeDevice(storeDir: string, limits: DeviceLimits): Promise<Device> {
  let diskFree = 0n;
  try {
    const { bavail, bsize } = await statfs(storeDir);
    diskFree = BigInt(bavail) * BigInt(bsize);
  } catch {
    // A file system that does not tell; the store checks again before it writes.
  }
  return create(DeviceSchema, {
    arch: Deno.build.arch,
    os: Deno.build.os,
    cores: navigator.hardwareConcurrency,
    memoryBytes: BigInt(limits.memoryBytes ?? Deno.systemMemoryInfo().total),
    memoryFreeBytes: BigInt(freeMemory(limits.memoryBytes)),
    diskFreeBytes: diskFree,
    threads: limits.threads,
  });
}
