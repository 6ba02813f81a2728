import { assert, assertEquals } from "@std/assert";
import { showEvents } from "./events.ts";
import { Output } from "./output.ts";

/** An output that keeps what it is given. */
class KeptOutput extends Output {
  lines: string[] = [];
  drawn = "";
  time = 0;

  constructor() {
    super({ json: false, quiet: false, log: "text" });
  }

  override log(message: string): void {
    this.lines.push(message);
  }

  override progress() {
    return {
      terminal: true,
      columns: () => 100,
      write: (text: string) => void (this.drawn += text),
      now: () => this.time,
    };
  }
}

Deno.test("showEvents() counts blocks of an import and bytes of everything else", () => {
  const output = new KeptOutput();
  using events = showEvents(output);
  events.show({ type: "import", message: "cutting layer.0", done: 0, total: 6 });
  events.show({ type: "pull", message: "fetching a.gguf", done: 0, total: 6000 });
  output.time = 1000;
  events.show({ type: "import", message: "cutting layer.1", done: 3, total: 6 });
  events.show({ type: "note", node: "pi", message: "said" });
  events.show({ type: "pull", message: "fetching a.gguf", done: 3000, total: 6000 });
  assertEquals(output.lines, ["pi: said"]);
  assertEquals(output.drawn.match(/cutting the model .* 3 of 6 blocks/)?.length, 1);
  const [cutting, fetching] = output.drawn.split(/\r +\r/);
  assert(cutting?.includes("cutting"), "a note takes the line before it away");
  assert(fetching?.includes("fetching a.gguf"), "and the next one goes on");
});

Deno.test("showEvents() shows how far the packing of weights is", () => {
  const output = new KeptOutput();
  using events = showEvents(output);
  const message = "pi-a: packing weights";
  events.show({ type: "load", node: "pi-a", message, done: 1e6, total: 100e6 });
  output.time = 2000;
  events.show({ type: "load", node: "pi-a", message, done: 50e6, total: 100e6 });
  assertEquals(output.drawn.match(/pi-a: packing weights .* 50 % /)?.length, 1, output.drawn);
  assertEquals(output.lines, []);
});

Deno.test("showEvents() says that something loads only where it takes long", async () => {
  const output = new KeptOutput();
  {
    using events = showEvents(output);
    events.show({ type: "load", message: "loading", done: 0, total: 0 });
  }
  assertEquals(output.lines, []);
  using events = showEvents(output);
  events.show({ type: "load", node: "pi-a", message: "pi-a: loading", done: 0, total: 0 });
  events.show({ type: "load", node: "pi-a", message: "pi-a: loading", done: 0, total: 0 });
  await new Promise((resolve) => setTimeout(resolve, 1600));
  assertEquals(output.lines, ["pi-a: loading"]);
});
