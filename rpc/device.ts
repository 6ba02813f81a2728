/** What this device is and has, as far as Deno tells without any native code. */
import { statfs } from "node:fs/promises";
import { create } from "@bufbuild/protobuf";
import type { Backend, StageInfo } from "../wasm/stage.ts";
import { collectGarbage, freeMemory, memoryLimit } from "../engine/device/memory.ts";
import { type Device, DeviceSchema } from "./gen/mdi/v1/control_pb.ts";

/** What the node's own flags say of it. */
export interface DeviceLimits {
  /** What it is to compute with. */
  backend: Backend;
  /** Threads it is to compute with. */
  threads: number;
  /** Bytes that mdi may use; null for what is free. */
  memoryBytes: number | null;
}

/** Addresses of a WebAssembly memory, which holds weights and caches, without what else is in it. */
export const ADDRESSABLE_BYTES = 2 ** 32 - 200e6;

/** Part of the free memory that KV caches may take in ONNX Runtime, which copies a cache in and out. */
const ORT_KV_SHARE = 0.4;
/** The same where caches stay in their place. */
export const KV_SHARE = 0.8;

/** Bytes that KV caches may take, once the weights are loaded. */
export function freeForCaches(
  limitBytes: number | null,
  { backend, weightBytes }: Pick<StageInfo, "backend" | "weightBytes">,
): number {
  collectGarbage(); // of fetching and packing
  const free = freeMemory(limitBytes);
  if (backend === "ort") return ORT_KV_SHARE * free;
  return Math.max(0, Math.min(KV_SHARE * free, ADDRESSABLE_BYTES - weightBytes));
}

/** Threads that a node computes with, as far as it is known before anything is loaded. */
export function plannedThreads(limits: Pick<DeviceLimits, "backend" | "threads">): number {
  return limits.backend === "ort" ? 1 : limits.threads;
}

/** What another device says it is to compute with; one that says nothing has ONNX Runtime alone. */
export function backendOf({ backend }: Pick<Device, "backend">): Backend {
  return backend === "auto" || backend === "simd" ? backend : "ort";
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
    memoryBytes: BigInt(limits.memoryBytes ?? memoryLimit() ?? Deno.systemMemoryInfo().total),
    memoryFreeBytes: BigInt(freeMemory(limits.memoryBytes)),
    diskFreeBytes: diskFree,
    threads: plannedThreads(limits),
    backend: limits.backend,
  });
}
