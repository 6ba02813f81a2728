import { assertEquals, assertRejects } from "@std/assert";
import { AsyncQueue } from "../async_queue.ts";
import { HashStage } from "./_hash_stage.ts";
import type { RingMessage } from "./message.ts";
import { relay } from "./relay.ts";

function frame(sample: number, position: number, rows: number, wanted = 0): RingMessage {
  const hidden = Float32Array.from({ length: rows }, (_, i) => position + i);
  return { kind: "frame", epoch: 1, segments: [{ sample, position, rows, wanted }], hidden };
}

function open(sample: number): RingMessage {
  return { kind: "cache", epoch: 1, sample, length: 0, capacity: 8 };
}

/** A relay on its way, and what left it. */
function start(options: { last?: boolean; send?: () => Promise<void> } = {}) {
  const input = new AsyncQueue<RingMessage>();
  const sent: RingMessage[] = [];
  const ended = relay({
    stage: new HashStage(),
    dModel: 1,
    last: options.last ?? false,
    input,
    output: {
      send: async (message) => {
        await options.send?.();
        sent.push(message);
      },
    },
  });
  return { input, sent, ended };
}

Deno.test("relay() passes all on in order, and ends with its input", async () => {
  const { input, sent, ended } = start({ last: true });
  const messages = [open(1), frame(1, 0, 3), open(2), frame(2, 0, 1, 1), frame(1, 3, 2, 1)];
  for (const message of messages) input.push(message);
  input.end();
  await ended;
  assertEquals(sent.map(({ kind }) => kind), messages.map(({ kind }) => kind));
  const rows = sent.map((message) => message.kind === "frame" ? message.hidden.length : null);
  assertEquals(rows, [null, 0, null, 1, 1], "only wanted rows leave the last node");
});

for (
  const [what, message] of [
    ["a frame for an unknown cache", frame(7, 0, 1)],
    ["a frame at a wrong position", frame(1, 5, 1)],
    ["a truncate that lengthens", { ...open(1), length: 5 } as RingMessage],
  ] as const
) {
  Deno.test(`relay() fails by ${what} though nothing else comes`, async () => {
    const { input, sent, ended } = start();
    input.push(open(1));
    input.push(message);
    await assertRejects(() => ended, RangeError);
    assertEquals(sent.length, 1);
    assertEquals(await input.next(), { value: undefined, done: true }, "the input is let go");
  });
}

Deno.test("relay() fails where its successor is lost though nothing else comes", async () => {
  const { input, ended } = start({ send: () => Promise.reject(new Error("lost")) });
  input.push(open(1));
  await assertRejects(() => ended, Error, "lost");
});

Deno.test("relay() fails by its stage while an iterator without return() waits", async () => {
  const messages = [open(1), frame(1, 3, 1)];
  const ended = relay({
    stage: new HashStage(),
    dModel: 1,
    last: false,
    input: {
      [Symbol.asyncIterator]: () => ({
        next: () => {
          const value = messages.shift();
          return value ? Promise.resolve({ value, done: false }) : new Promise(() => {});
        },
      }),
    },
    output: { send: () => Promise.resolve() },
  });
  await assertRejects(() => ended, RangeError);
});
