import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { createStopFilter } from "./stop.ts";

/** The text before the stop string that is complete first, tried place by place. */
function naive(text: string, stops: readonly string[]): string | undefined {
  for (let end = 1; end <= text.length; end++) {
    const ended = stops.filter((stop) => text.slice(0, end).endsWith(stop));
    if (ended.length > 0) {
      return text.slice(0, end - Math.max(...ended.map((stop) => stop.length)));
    }
  }
  return undefined;
}

Deno.test("StopFilter passes exactly the text before the first stop string, however it is cut", () => {
  const letters = (min: number, max: number) =>
    fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: min, maxLength: max });
  fc.assert(
    fc.property(
      fc.array(letters(0, 4), { maxLength: 20 }),
      fc.array(letters(1, 5), { maxLength: 3 }),
      (pieces, stops) => {
        const filter = createStopFilter(stops);
        const results = pieces.map((piece) => filter.push(piece));
        const text = results.map((result) => result.text).join("") + filter.flush();
        const all = pieces.join("");
        const expected = naive(all, stops);
        assertEquals(text, expected ?? all);
        assertEquals(results.at(-1)?.stopped ?? false, expected !== undefined);
      },
    ),
    { numRuns: 3000 },
  );
});

Deno.test("StopFilter holds back no more than a possible start", () => {
  const filter = createStopFilter(["\n\nUser:"]);
  assertEquals(filter.push("Hello\n"), { text: "Hello", stopped: false });
  assertEquals(filter.push("\nUs"), { text: "", stopped: false });
  assertEquals(filter.push("e it"), { text: "\n\nUse it", stopped: false });
  assertEquals(filter.push(".\n\nUser: hi"), { text: ".", stopped: true });
  assertEquals(filter.push("more"), { text: "", stopped: true });
  assertEquals(filter.flush(), "");
});

Deno.test("createStopFilter() refuses an empty stop string", () => {
  assertThrows(() => createStopFilter(["a", ""]), RangeError, "empty");
});
