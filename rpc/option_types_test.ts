import { assertEquals, assertRejects } from "@std/assert";
import { openRing, type RingOptions } from "./open_ring.ts";
import { serveNode } from "./serve_node.ts";

Deno.test("openRing() and serveNode() name an option of another type than it must be", async () => {
  const cases: [Record<string, unknown>, string][] = [
    [{ home: "" }, 'Cannot use option "home": it is empty, and must be a text that is not empty'],
    [{ token: 5 }, 'Cannot use option "token": it is of type number, and must be a text'],
    [{ model: 5 }, 'Cannot use option "model": it is of type number, and must be a text'],
    [{ peers: [5] }, 'Cannot use option "peers": it is an array, and must be a text or an array'],
    [{ layers: {} }, 'Cannot use option "layers": it is an object, and must be'],
    [{ threads: "2" }, 'Cannot use option "threads": it is of type string, and must be a number'],
    [{ slots: null }, 'Cannot use option "slots": it is null, and must be a number'],
    [{ onSlot: 1 }, 'Cannot use option "onSlot": it is of type number, and must be a function'],
    [{ trace: "x" }, 'Cannot use option "trace": it is of type string, and must be true or false'],
    [{ signal: 1 }, 'Cannot use option "signal": it is of type number, and must be an AbortSignal'],
  ];
  const before = await Array.fromAsync(Deno.readDir("."), ({ name }) => name);
  for (const [options, message] of cases) {
    await assertRejects(() => openRing(options as RingOptions), TypeError, message);
  }
  await assertRejects(() => serveNode({ listen: 9470 } as object), TypeError, '"listen"');
  await assertRejects(() => serveNode({ onLog: "x" } as object), TypeError, '"onLog"');
  assertEquals(await Array.fromAsync(Deno.readDir("."), ({ name }) => name), before);
});
