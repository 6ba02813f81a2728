import { assert } from "@std/assert";

/** Takes 64 MB of WebAssembly memory, drops it, and tells what the process has then and after collectGarbage(). */
const PROGRAM = `
import { collectGarbage } from "${new URL("./memory.ts", import.meta.url)}";
function take() {
  const memory = new WebAssembly.Memory({ initial: 1024, maximum: 65536, shared: true });
  new Uint8Array(memory.buffer).fill(1);
}
take();
const before = Deno.memoryUsage().rss;
await new Promise((resolve) => setTimeout(resolve, 10));
collectGarbage();
await new Promise((resolve) => setTimeout(resolve, 100));
console.log(JSON.stringify({ before, after: Deno.memoryUsage().rss }));
`;

Deno.test("collectGarbage() gives back the memory of what was dropped, where V8 lets it", async () => {
  const run = async (...flags: string[]) => {
    const program = `data:text/typescript,${encodeURIComponent(PROGRAM)}`;
    const args = ["eval", "--no-lock", ...flags, `await import(${JSON.stringify(program)})`];
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
    const text = new TextDecoder().decode(stdout);
    assert(text.startsWith("{"), new TextDecoder().decode(stderr));
    const { before, after } = JSON.parse(text);
    return before - after;
  };
  assert(await run("--v8-flags=--expose-gc") > 50e6);
  await run(); // and does no harm where it does not
});
