import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { ThreadChooser } from "./thread_chooser.ts";

/** Runs calls of one row; returns how many were made with each number of threads. */
function calls(
  chooser: ThreadChooser,
  count: number,
  time: (threads: number, call: number) => number,
): Map<number, number> {
  const made = new Map<number, number>();
  for (let call = 0; call < count; call++) {
    const threads = chooser.choose(1);
    made.set(threads, (made.get(threads) ?? 0) + 1);
    chooser.record(1, threads, time(threads, call));
  }
  return made;
}

Deno.test("ThreadChooser takes all threads where they help, and rarely tries others", () => {
  const made = calls(new ThreadChooser(4), 2000, (threads) => 4 / threads);
  assert(made.get(4)! > 1960, `${made.get(4)}`);
});

Deno.test("ThreadChooser gives threads up within 40 calls of their starting to hurt, and takes them again", () => {
  const chooser = new ThreadChooser(2);
  calls(chooser, 500, (threads) => threads === 2 ? 3 : 4);
  calls(chooser, 40, (threads) => threads === 2 ? 6 : 4);
  const busy = calls(chooser, 500, (threads) => threads === 2 ? 6 : 4);
  assert(busy.get(1)! > 480, `${busy.get(1)}`);
  calls(chooser, 400, (threads) => threads === 2 ? 3 : 4);
  const quiet = calls(chooser, 500, (threads) => threads === 2 ? 3 : 4);
  assert(quiet.get(2)! > 480, `${quiet.get(2)}`);
});

Deno.test("ThreadChooser leaves one thread out where another program has its core", () => {
  const chooser = new ThreadChooser(4);
  const time = (threads: number) => threads === 4 ? 3 : 4 / threads;
  calls(chooser, 300, time);
  assert(calls(chooser, 300, time).get(3)! > 280);
});

Deno.test("ThreadChooser keeps its choice while calls grow slower and noisy", () => {
  fc.assert(
    fc.property(fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })), (noise) => {
      const chooser = new ThreadChooser(2);
      const time = (threads: number, call: number) =>
        (1 + call / 1000) * (threads === 2 ? 1 : 1.5) * (1 + 0.1 * noise.next().value!);
      const made = calls(chooser, 1000, time);
      assert(made.get(2)! > 900, `${made.get(2)}`);
    }),
    { numRuns: 50 },
  );
});

Deno.test("ThreadChooser with one thread has no choice", () => {
  assertEquals([...calls(new ThreadChooser(1), 100, () => 1)], [[1, 100]]);
});
