import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { DeviceSpeed, type Throttle } from "./device_speed.ts";

Deno.test("DeviceSpeed works at full speed until it throttles", () => {
  const speed = new DeviceSpeed([{ atMs: 100, factor: 2 }]);
  assertEquals(speed.finish(0, 10), 10);
  assertEquals(speed.finish(100, 10), 120);
  assertEquals(speed.finish(95, 10), 110);
});

Deno.test("DeviceSpeed may recover", () => {
  const speed = new DeviceSpeed([{ atMs: 20, factor: 1 }, { atMs: 10, factor: 4 }]);
  assertEquals(speed.finish(8, 10), 25.5);
});

Deno.test("DeviceSpeed stands still for a part of each period", () => {
  const speed = new DeviceSpeed([{ atMs: 50, periodMs: 10, share: 0.4 }]);
  assertEquals(speed.finish(50, 4), 54);
  assertEquals(speed.finish(50, 5), 61);
  assertEquals(speed.finish(56, 4), 64);
  assertEquals(speed.finish(48, 8), 62);
  assertEquals(speed.finish(56, 0), 56);
});

Deno.test("DeviceSpeed does not wait a period for what rounding left of its work", () => {
  const speed = new DeviceSpeed([{ atMs: 0, periodMs: 1, share: 0.1 }]);
  for (let first = 1; first < 40; first++) {
    for (let second = 1; second < 40; second++) {
      const whole = speed.finish(0, first + second);
      assertAlmostEquals(speed.finish(speed.finish(0, first), second), whole, 1e-6);
    }
  }
});

Deno.test("DeviceSpeed ends its work with its life", () => {
  const speed = new DeviceSpeed([], 30);
  assertEquals(speed.finish(10, 10), 20);
  assertEquals(speed.finish(25, 10), 30);
  assertEquals([speed.isAlive(29.9), speed.isAlive(30)], [true, false]);
});

Deno.test("DeviceSpeed takes as long for work in two pieces as in one", () => {
  const throttle: fc.Arbitrary<Throttle> = fc.oneof(
    fc.record({ atMs: fc.nat(100), factor: fc.integer({ min: 1, max: 5 }) }),
    fc.record({
      atMs: fc.nat(100),
      periodMs: fc.integer({ min: 1, max: 20 }),
      share: fc.constantFrom(0.1, 0.25, 0.5, 1),
    }),
  );
  fc.assert(
    fc.property(
      fc.array(throttle, { maxLength: 4 }),
      fc.nat(50),
      fc.integer({ min: 1, max: 50 }),
      fc.integer({ min: 1, max: 50 }),
      (throttles, from, first, second) => {
        const speed = new DeviceSpeed(throttles);
        const whole = speed.finish(from, first + second);
        assertAlmostEquals(speed.finish(speed.finish(from, first), second), whole, 1e-6);
      },
    ),
  );
});

Deno.test("DeviceSpeed refuses what is no speed", () => {
  assertThrows(() => new DeviceSpeed([{ atMs: -1, factor: 2 }]), RangeError);
  assertThrows(() => new DeviceSpeed([{ atMs: 0, periodMs: 0, share: 0.5 }]), RangeError);
  assertThrows(() => new DeviceSpeed([{ atMs: 0, periodMs: 9, share: 1.5 }]), RangeError);
  assertThrows(() => new DeviceSpeed([], NaN), RangeError);
});
