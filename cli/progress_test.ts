import { assert, assertEquals } from "@std/assert";
import { progressLine, type ProgressSink, startProgress } from "./progress.ts";

/** A sink whose time is set by hand. */
function fakeSink(terminal: boolean, columns = 200) {
  const sink = {
    terminal,
    columns: () => columns,
    written: "",
    time: 0,
    write: (text: string) => void (sink.written += text),
    now: () => sink.time,
  };
  return sink satisfies ProgressSink;
}

Deno.test("progressLine() counts bytes, or blocks as they are", () => {
  assertEquals(
    progressLine("fetching", { done: 41e6, total: 98e6, elapsedMs: 2000 }),
    "fetching  [##########..............]  42 %  41.0 MB of 98.0 MB  20.5 MB/s  3 s left",
  );
  assertEquals(
    progressLine("cutting", { done: 3, total: 6, elapsedMs: 1000 }, { unit: "blocks" }),
    "cutting  [############............]  50 %  3 of 6 blocks  1 s left",
  );
  assertEquals(
    progressLine("measuring", { done: 5, total: 10, elapsedMs: 1000 }, { unit: "ms" }),
    "measuring  [############............]  50 %",
  );
  assertEquals(
    progressLine("fetching", { done: 5000, total: 0, elapsedMs: 0 }),
    "fetching  5.0 kB",
  );
});

Deno.test("progressLine() takes the speed of what has come since, and says the time of nothing", () => {
  const resumed = progressLine("a", { done: 60e6, total: 98e6, elapsedMs: 1000, from: 50e6 });
  assert(resumed.endsWith(" 60.0 MB of 98.0 MB  10.0 MB/s  4 s left"), resumed);
  const waiting = progressLine("a", { done: 0, total: 98e6, elapsedMs: 7300 });
  assert(waiting.endsWith("  0 %  0 bytes of 98.0 MB  after 7 s"), waiting);
});

Deno.test("progressLine() shortens the bar, then the name, and never the figures", () => {
  const state = { done: 33e6, total: 98e6, elapsedMs: 3000 };
  const figures = " 34 %  33.0 MB of 98.0 MB  11.0 MB/s  6 s left";
  const name = "fetching SmolLM2-135M.Q4_1.gguf";
  const lines = [120, 90, 80, 60, 50].map((columns) => progressLine(name, state, { columns }));
  assertEquals(lines, [
    `${name}  [########................] ${figures}`,
    `${name}  [##....] ${figures}`,
    `${name}  ${figures}`,
    `fetching Sm…  ${figures}`,
    `f…  ${figures}`,
  ]);
});

Deno.test("startProgress() shows nothing of what is over at once", () => {
  for (const terminal of [true, false]) {
    const sink = fakeSink(terminal);
    const progress = startProgress("x", sink);
    for (sink.time = 0; sink.time < 400; sink.time += 10) progress.update(sink.time, 400);
    progress.update(400, 400);
    progress.end();
    assertEquals(sink.written, "");
  }
});

Deno.test("startProgress() writes whole lines now and then where there is no terminal", () => {
  const sink = fakeSink(false);
  const progress = startProgress("x", sink);
  for (; sink.time <= 12_000; sink.time += 100) progress.update(sink.time, 12_000);
  progress.end();
  const lines = sink.written.split("\n");
  assertEquals(lines.pop(), "");
  assertEquals(lines.map((line) => /(\d+) %/.exec(line)![1]), ["17", "58", "100"]);
  assert(!sink.written.includes("\r"));
});

Deno.test("startProgress() redraws one line of a terminal, never longer than it", () => {
  const sink = fakeSink(true, 60);
  const progress = startProgress("a long name of what takes time", sink);
  for (; sink.time <= 3000; sink.time += 50) progress.update(sink.time, 3000);
  const draws = sink.written.split("\r");
  assert(draws.length > 10 && draws.every((draw) => draw.trimEnd().length <= 59));
  assertEquals(sink.written.split("\n").length, 2, "it ended its line by itself");
});

Deno.test("startProgress() gives the line of a terminal to one of several", () => {
  const sink = fakeSink(true);
  const [a, b] = [startProgress("a", sink), startProgress("b", sink)];
  sink.time = 1000;
  a.update(1, 4);
  b.update(1, 4);
  sink.time = 1500;
  b.update(2, 4);
  a.update(4, 4);
  sink.time = 3000;
  b.update(4, 4);
  assertEquals(sink.written.split("\n").map((line) => line.replace(/\r/g, "|").trim()[1]), [
    "a",
    "b",
    undefined,
  ]);
});

Deno.test("startProgress() takes an unfinished line off the terminal, and writes it again", () => {
  const sink = fakeSink(true, 60);
  const progress = startProgress("a", sink, "ms");
  sink.time = 1000;
  progress.update(50, 100);
  const shown = sink.written.trimEnd();
  progress.end();
  assert(/^\ra {2}\[#+\.+\] {2}50 %\r +\r$/.test(sink.written), JSON.stringify(sink.written));
  sink.time = 2000;
  progress.update(50, 100);
  assert(sink.written.endsWith(`\r${shown}`), JSON.stringify(sink.written));
});

Deno.test("startProgress() gives the line of what stands still to what goes on", () => {
  const sink = fakeSink(true, 60);
  const [a, b] = [startProgress("a", sink, "ms"), startProgress("b", sink, "ms")];
  for (sink.time = 1000; sink.time < 3000; sink.time += 100) {
    if (sink.time < 1500) a.update(sink.time, 10_000);
    b.update(sink.time, 10_000);
  }
  const draws = sink.written.split("\r").map((draw) => draw.trim()).filter(Boolean);
  const firstB = draws.findIndex((draw) => draw.startsWith("b"));
  assert(firstB > 0 && draws.slice(firstB).every((draw) => draw.startsWith("b")), draws.join("|"));
  assert(!sink.written.includes("\n"), "neither has ended");
});
