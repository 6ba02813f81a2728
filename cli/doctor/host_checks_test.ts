/** Memory and store. */
import { assertEquals, assertMatch } from "@std/assert";
import { checkMemory, type MemoryFacts } from "./memory_checks.ts";
import { checkStore, type StoreFacts } from "./store_checks.ts";

/** A Raspberry Pi Zero 2 W: MemTotal 426 MB, MemAvailable 260 MB, SwapTotal 105 MB of its /proc/meminfo. */
const ZERO2: MemoryFacts = {
  totalBytes: 426_000e3,
  freeBytes: 260_000e3,
  limitBytes: null,
  swapTotalBytes: 104_857_600,
  swapFreeBytes: 104_857_600,
};
const STORE: StoreFacts = {
  path: "/home/pi/.cache/mdi",
  models: 1,
  bytes: 98e6,
  freeBytes: 20e9,
  speed: { writeBytesPerSecond: 25e6, readBytesPerSecond: 900e6 },
};

Deno.test("checkMemory() tells room from little and from none", () => {
  const statuses = (facts: Partial<MemoryFacts>) =>
    checkMemory({ ...ZERO2, ...facts }).map(({ status }) => status);
  assertEquals(statuses({}), ["warning", "good"]);
  assertEquals(statuses({ totalBytes: 8e9, freeBytes: 7e9, swapTotalBytes: 0 }), ["good", "good"]);
  assertEquals(statuses({ freeBytes: 50e6 }), ["bad", "good"]);
  assertEquals(statuses({ swapTotalBytes: 1e9, swapFreeBytes: 0.7e9 }), ["warning", "warning"]);
  const [limited] = checkMemory({ ...ZERO2, limitBytes: 200e6 });
  assertMatch(limited!.message, /limited to 200 MB by its cgroup/);
  assertEquals(checkMemory({ ...ZERO2, freeBytes: 0 })[0]!.code, "memory");
});

Deno.test("checkStore() tells a full disk and a slow one", () => {
  const statuses = (facts: Partial<StoreFacts>) =>
    checkStore({ ...STORE, ...facts }).map(({ status }) => status);
  assertEquals(statuses({}), ["good", "good", "good"]);
  assertEquals(statuses({ freeBytes: 0.5e9 }), ["good", "warning", "good"]);
  assertEquals(statuses({ freeBytes: 1e6, speed: null }), ["good", "bad"]);
  assertEquals(statuses({ freeBytes: null }), ["good", "unknown", "good"]);
  const slow = { writeBytesPerSecond: 4e6, readBytesPerSecond: 900e6 };
  assertEquals(statuses({ speed: slow }), ["good", "good", "warning"]);
  assertMatch(checkStore({ ...STORE, speed: slow })[2]!.message, /1 GB takes 4 minutes/);
});
