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
    progressLine("fetching", 41e6, 98e6, 2000),
    "fetching  [##########..............]  42 %  41.0 MB of 98.0 MB  20.5 MB/s  3 s left",
  );
  assertEquals(
    progressLine("cutting", 3, 6, 1000, "blocks"),
    "cutting  [############............]  50 %  3 of 6 blocks  1 s left",
  );
  assertEquals(progressLine("fetching", 5000, 0, 0), "fetching  5.0 kB");
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
  const sink = fakeSink(true, 40);
  const progress = startProgress("a long name of what takes time", sink);
  for (; sink.time <= 3000; sink.time += 50) progress.update(sink.time, 3000);
  const draws = sink.written.split("\r");
  assert(draws.length > 10 && draws.every((draw) => draw.trimEnd().length <= 39));
  assertEquals(sink.written.split("\n").length, 2, "it ended its line by itself");
});

Deno.test("startProgress() gives the line of a terminal to one of several", () => {
  const sink = fakeSink(true);
  const [a, b] = [startProgress("a", sink), startProgress("b", sink)];
  sink.time = 1000;
  a.update(1, 4);
  b.update(1, 4);
  sink.time = 2000;
  b.update(2, 4);
  a.update(4, 4);
  sink.time = 3000;
  b.update(3, 4);
  b.end();
  assertEquals(sink.written.split("\n").map((line) => line.replace(/\r/g, "|").trim()[1]), [
    "a",
    "b",
    undefined,
  ]);
});
