import { assert, assertEquals } from "@std/assert";
import { deviceFacts, isThrottled } from "./facts.ts";
import { freeMemory, memoryLimit } from "./memory.ts";

Deno.test("deviceFacts() tells what this device shows", async () => {
  const { cores, simd, pageBytes, temperatureC } = await deviceFacts();
  assert(cores >= 1);
  assert(simd && /^[0-9a-f]{64}$/.test(simd.version));
  assert(pageBytes === null || pageBytes >= 4096);
  assert(temperatureC === null || temperatureC > 0);
});

Deno.test("freeMemory() stays within the device, the cgroup and a limit of its own", () => {
  const { available, total } = Deno.systemMemoryInfo();
  assert(freeMemory(null) <= total);
  assertEquals(freeMemory(1), 0);
  const limit = memoryLimit();
  if (limit !== null) assert(freeMemory(null) <= limit);
  assert(freeMemory(100 * total) <= Math.max(available, Deno.systemMemoryInfo().available) * 1.1);
});

Deno.test("isThrottled() believes the firmware, else the heat", () => {
  const cold = { temperatureC: 50, throttling: null, clockMhz: 600, maxClockMhz: 2400 };
  assertEquals(isThrottled(cold), false); // a clock that rests is no throttled one
  assertEquals(isThrottled({ ...cold, temperatureC: 85 }), true);
  const throttling = { underVoltage: false, clock: false, temperature: false, before: true };
  assertEquals(isThrottled({ ...cold, temperatureC: 85, throttling }), false);
  assertEquals(isThrottled({ ...cold, throttling: { ...throttling, clock: true } }), true);
});
