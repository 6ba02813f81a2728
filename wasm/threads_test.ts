import { assert, assertEquals } from "@std/assert";
import { countCores, defaultThreads } from "./threads.ts";

Deno.test("countCores() counts processors that share a core once", () => {
  assertEquals(countCores(["0\n", "1\n", "2\n", "3\n"]), 4);
  assertEquals(countCores(["0,4\n", "1,5\n", "0,4\n", "1,5\n"]), 2);
  assertEquals(countCores(["0-1", "0-1", "2-3", "2-3", "4"]), 3);
  assertEquals(countCores([]), 0);
});

Deno.test("defaultThreads() is a number of threads that there may be", () => {
  const threads = defaultThreads();
  assert(Number.isInteger(threads) && threads >= 1);
  assert(threads <= Math.min(64, navigator.hardwareConcurrency));
});

Deno.test({
  name: "defaultThreads() is the processors where /sys may not be read",
  permissions: { read: false },
  fn() {
    assertEquals(defaultThreads(), Math.min(64, navigator.hardwareConcurrency));
  },
});
