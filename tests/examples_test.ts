/** The examples, run as their comments say: with those permissions and no more. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { fileURLToPath } from "node:url";
import { type MdiProcess, startMdi } from "./support/mdi_process.ts";
import { SMOLLM2_GGUF } from "./support/real_models.ts";
import { temporaryDirectory } from "./support/refusal.ts";

const TINY = fileURLToPath(new URL("./fixtures/tiny-llama-tied", import.meta.url));
const LINES = 100;

/** Starts an example with the flags that its own comment gives. */
async function startExample(
  name: string,
  args: readonly string[],
  home: string,
): Promise<MdiProcess> {
  const path = fileURLToPath(new URL(`../examples/${name}`, import.meta.url));
  const text = await Deno.readTextFile(path);
  assert(text.split("\n").length <= LINES + 1, `${name} is longer than ${LINES} lines`);
  const flags = /^ \* {5}deno run (.+) \\$/m.exec(text)![1]!.split(" ");
  return startMdi(args, { home, deno: ["run", "--quiet", "--no-prompt", ...flags, path] });
}

Deno.test("examples/generator.ts writes the continuation and says how it ended", async () => {
  await using dir = await temporaryDirectory();
  await using example = await startExample(
    "generator.ts",
    ["one two", "--model", TINY, "--tokens", "8"],
    dir.path,
  );
  const { code, stdout, stderr } = await example.ended;
  assertEquals(code, 0, stderr);
  assertMatch(stdout, /.\n$/s);
  assertMatch(stderr, /\d tokens, ended by (length|stop)\n$/);
});

Deno.test("examples/generator.ts says what is wrong without a stack", async () => {
  await using dir = await temporaryDirectory();
  await using example = await startExample(
    "generator.ts",
    ["x", "--model", "./none.gguf"],
    dir.path,
  );
  const { code, stderr } = await example.ended;
  assertEquals(code, 1);
  assertMatch(stderr, /^model_missing: Cannot find model/m);
  assert(!/^ {4}at /m.test(stderr), stderr);
});

Deno.test("examples/batch.ts keeps the order, and goes on behind the last whole line", async () => {
  await using dir = await temporaryDirectory();
  const [input, output] = [`${dir.path}/in.jsonl`, `${dir.path}/out.jsonl`];
  const lines = Array.from({ length: 12 }, (_, i) => JSON.stringify({ prompt: `number ${i}` }));
  lines[3] = "no JSON";
  lines[5] = JSON.stringify({ prompt: "word ".repeat(2000) });
  await Deno.writeTextFile(input, lines.join("\n"));
  const args = [input, output, "--model", TINY, "--tokens", "6", "--slots", "3"];
  const run = async () => {
    await using example = await startExample("batch.ts", args, dir.path);
    const { code, stderr } = await example.ended;
    assertEquals(code, 0, stderr);
    return await Deno.readTextFile(output);
  };
  const whole = await run();
  const answers = whole.trimEnd().split("\n").map((line) => JSON.parse(line));
  assertEquals(
    answers.map(({ prompt, line }) => prompt ?? line),
    lines.map((_, i) => i === 3 || i === 5 ? i : `number ${i}`),
  );
  assertMatch(answers[5].error, /^Cannot use a text of/);

  const cut = whole.split("\n").slice(0, 7).join("\n") + '\n{"prompt":"numb';
  await Deno.writeTextFile(output, cut);
  assertEquals(await run(), whole);
});

Deno.test({
  name: "examples/batch.ts leaves whole lines behind on Ctrl-C",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using dir = await temporaryDirectory();
    const [input, output] = [`${dir.path}/in.jsonl`, `${dir.path}/out.jsonl`];
    await Deno.writeTextFile(input, '{"prompt":"one two"}\n'.repeat(5000));
    await using example = await startExample(
      "batch.ts",
      [input, output, "--model", TINY, "--tokens", "20"],
      dir.path,
    );
    const written = () => Deno.readTextFile(output).catch(() => "");
    while (!(await written()).includes("\n")) await new Promise((next) => setTimeout(next, 20));
    example.kill("SIGINT");
    const { code, stderr } = await example.ended;
    assertEquals(code, 130, stderr);
    const lines = (await written()).split("\n");
    assertEquals(lines.pop(), "");
    assert(lines.length < 5000);
    for (const line of lines) assertEquals(typeof JSON.parse(line).text, "string");
  },
});

Deno.test({
  name: "examples/http_service.ts streams, refuses what it should, and notices who leaves",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using dir = await temporaryDirectory();
    const port = freePort();
    const args = ["--model", SMOLLM2_GGUF ?? TINY, "--port", String(port)];
    await using example = await startExample("http_service.ts", args, dir.path);
    const base = `http://127.0.0.1:${port}`;
    await listening(`${base}/health`, example);
    const post = (body: string, headers: HeadersInit = { "content-type": "application/json" }) =>
      fetch(`${base}/generate`, { method: "POST", headers, body });
    const statusOf = async (answer: Promise<Response>) => {
      const { status, body } = await answer;
      await body?.cancel();
      return status;
    };

    const answer = await post('{"prompt":"one two","max_tokens":6}');
    assertEquals(answer.headers.get("content-type"), "text/event-stream");
    const events = (await answer.text()).split("\n\n").filter(Boolean)
      .map((event) => JSON.parse(event.replace(/^data: /, "")));
    assert(events.some(({ text }) => text));
    assertMatch(events.at(-1).finish_reason, /^(length|stop)$/);

    assertEquals(await statusOf(post('{"prompt":"x"}', {})), 415);
    assertEquals(await statusOf(post(`{"prompt":"${"x".repeat(70_000)}"}`)), 413);
    const bad = ["", "null", "{}", '{"prompt":""}', '{"prompt":"x","max_tokens":"6"}'];
    for (const body of bad) assertEquals(await statusOf(post(body)), 400, body);
    assertEquals(await statusOf(fetch(`${base}/other`)), 404);
    assertEquals(await statusOf(fetch(`http://[::ffff:127.0.0.1]:${port}/health`)), 421);

    const long = '{"prompt":"one two","max_tokens":400}';
    const many = await Promise.all(Array.from({ length: 40 }, () => post(long)));
    const statuses = many.map(({ status }) => status);
    assert(statuses.includes(200));
    // A tiny model may have answered the first before the last came.
    if (SMOLLM2_GGUF !== undefined) assert(statuses.includes(503), String(statuses));
    await Promise.all(many.map(({ body }) => body?.cancel()));
    const underWay = async () => (await (await fetch(`${base}/health`)).json()).underWay;
    const start = performance.now();
    while (await underWay() > 0) assert(performance.now() - start < 5000, "nobody noticed");

    example.kill("SIGTERM");
    const { code, stderr } = await example.ended;
    assertEquals(code, 0, stderr);
  },
});

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

async function listening(url: string, example: MdiProcess): Promise<void> {
  const gone = example.ended.then(({ stderr }) => {
    throw new Error(`The service ended: ${stderr}`);
  });
  gone.catch(() => {});
  for (;;) {
    const answer = await fetch(url).catch(() => undefined);
    await answer?.body?.cancel();
    if (answer?.ok) return;
    await Promise.race([gone, new Promise((next) => setTimeout(next, 50))]);
  }
}
