import { assert, assertEquals } from "@std/assert";
import { MeasuredTimes } from "./measured_times.ts";

/** Times of a kind, one each. */
function measured(kinds: Record<string, number[]>): MeasuredTimes {
  const times = new MeasuredTimes();
  for (const [kind, list] of Object.entries(kinds)) for (const ms of list) times.add(kind, ms, ms);
  return times;
}

Deno.test("MeasuredTimes.spread() is the usual width of the middle half, whatever one kind does", () => {
  const even = [10, 10.1, 10.2, 10.1, 10];
  const torn = [10, 18, 11, 25, 40];
  const kinds = /^(?:decode|head)/;
  assert(measured({ "decode 1": even, "decode 2": even, "head 1": torn }).spread(kinds, 0) < 0.02);
  assert(measured({ "decode 1": torn, "decode 2": torn, "head 1": even }).spread(kinds, 0) > 0.5);
  // What does not count does not count.
  assertEquals(measured({ call: torn }).spread(kinds, 0), 0);
  // A wake-up more or less makes short times differ much and says nothing.
  assertEquals(measured({ "decode 1": [0.01, 0.02, 0.03, 0.02, 0.05] }).spread(kinds, 0.05), 0);
});

Deno.test("MeasuredTimes.undisturbed() is of calls that run through, held() of all in the long run", () => {
  const times = new MeasuredTimes();
  // A quota of half a processor: bursts run through, then all stands still.
  for (const ms of [4, 4, 12, 4, 4, 20]) times.add("decode 1", ms, 4);
  assertEquals(times.undisturbed("decode 1"), 4);
  assertEquals(times.held("decode 1", 0.5), 8);
});
