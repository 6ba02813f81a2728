import { assertAlmostEquals, assertEquals } from "@std/assert";
import {
  busyFraction,
  steadyWindow,
  type Timeline,
  timelineCsv,
  type TimelineNode,
  tokensPerSecond,
} from "./timeline.ts";

const NODE: TimelineNode = {
  name: "pi5",
  layers: [0, 3],
  busy: [
    { from: 0, to: 2, rows: 1, what: "layers" },
    { from: 2, to: 3, rows: 1, what: "head" },
    { from: 6, to: 10, rows: 4, what: "layers" },
  ],
  weightBytes: 100,
  kvBytes: 10,
};

const TIMELINE: Timeline = {
  kind: "measured",
  nodes: [NODE],
  links: [{ from: 0, to: 1, frames: [{ sent: 2, arrived: 2.5004, rows: 1, bytes: 64 }] }],
  samples: [
    { sample: 0, promptTokens: 3, tokens: [1, 2, 3, 4], slot: { from: 0, to: 4 } },
    { sample: 1, promptTokens: 3, tokens: [2, 4, 6, 8], slot: { from: 0, to: 8 } },
    { sample: 2, promptTokens: 3, tokens: [], slot: { from: 8, to: 10 } },
  ],
  ms: 10,
};

Deno.test("busyFraction() counts what lies within the window", () => {
  assertEquals(busyFraction(NODE, { from: 0, to: 10 }), 0.7);
  assertEquals(busyFraction(NODE, { from: 1, to: 3 }), 1);
  assertEquals(busyFraction(NODE, { from: 3, to: 6 }), 0);
  assertEquals(busyFraction(NODE, { from: 4, to: 8 }), 0.5);
  assertEquals(busyFraction(NODE, { from: 4, to: 4 }), 0);
  assertAlmostEquals(busyFraction(NODE, { from: 0, to: 100 }), 0.07);
});

Deno.test("tokensPerSecond() counts the tokens of all samples from a window's start to before its end", () => {
  assertEquals(tokensPerSecond(TIMELINE, { from: 0, to: 10 }), 800);
  assertEquals(tokensPerSecond(TIMELINE, { from: 2, to: 4 }), 1500);
  assertEquals(tokensPerSecond(TIMELINE, { from: 8.5, to: 10 }), 0);
  assertEquals(tokensPerSecond(TIMELINE, { from: 3, to: 3 }), 0);
});

Deno.test("steadyWindow() is where as many samples as go draw tokens", () => {
  assertEquals(steadyWindow(TIMELINE, 2), { from: 2, to: 4 });
  assertEquals(steadyWindow(TIMELINE, 9), { from: 2, to: 4 });
  assertEquals(steadyWindow(TIMELINE, 1), { from: 1, to: 8 });
  assertEquals(steadyWindow({ ...TIMELINE, samples: [] }, 1), null);
  assertEquals(steadyWindow({ ...TIMELINE, samples: TIMELINE.samples.slice(2) }, 1), null);
});

Deno.test("timelineCsv() has a line for each span, frame and token", () => {
  const lines = timelineCsv(TIMELINE).split("\n");
  assertEquals(lines.length, 1 + 3 + 1 + 8 + 1);
  assertEquals(lines.slice(0, 2), [
    "kind,of,from_ms,to_ms,rows,bytes,what",
    "busy,0,0,2,1,,layers",
  ]);
  assertEquals(lines[4], "frame,0,2,2.5,1,64,");
  assertEquals(lines[5], "token,0,1,1,1,,");
});
