import { assertEquals } from "@std/assert";
import { Underway } from "./underway.ts";

Deno.test("Underway.settled() waits for the last call to end", async () => {
  const underway = new Underway();
  await underway.settled();
  const events: string[] = [];
  const first = underway.enter();
  const second = underway.enter();
  const settled = underway.settled().then(() => events.push("settled"));
  first[Symbol.dispose]();
  await new Promise((resolve) => setTimeout(resolve, 5));
  events.push("last");
  second[Symbol.dispose]();
  await settled;
  assertEquals(events, ["last", "settled"]);
});

Deno.test("Underway.settled() does not wait for ever", async () => {
  const underway = new Underway();
  using _hangs = underway.enter();
  await underway.settled(5);
});
