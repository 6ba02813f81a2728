/** `--json`: the records that programs read, exactly. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type JsonRecord, runMdi, startMdi, startSecondary } from "./support/mdi_process.ts";
import { assertOnlyJson, temporaryDirectory } from "./support/refusal.ts";

const FIXTURE = fileURLToPath(new URL("./fixtures/tiny-llama-tied", import.meta.url));
const RUN = ["--starter", "--model", join(FIXTURE, "gguf/model-f32.gguf"), "--json"];

/** What a value of a record is. */
const isNumber = (value: unknown) => typeof value === "number" && Number.isFinite(value);
const isCount = (value: unknown) =>
  isNumber(value) && Number.isInteger(value) && Number(value) >= 0;
const isAmount = (value: unknown) => isNumber(value) && Number(value) >= 0;
const isShare = (value: unknown) => isAmount(value) && Number(value) <= 1;
const isText = (value: unknown) => typeof value === "string";
const isNull = (value: unknown) => value === null;
const isName = (value: unknown) => typeof value === "string" && value !== "";
const isArrayOf = (is: (value: unknown) => boolean) => (value: unknown) =>
  Array.isArray(value) && value.every(is);

type Shape = Record<string, (value: unknown) => boolean>;

const NODE: Shape = {
  name: isName,
  role: (value) => value === "starter" || value === "secondary",
  layers: (value) =>
    value === null || isArrayOf(isCount)(value) && (value as number[]).length === 2,
  backend: (value) => value === "simd",
  backend_reason: (value) => value === null,
  threads: (value) => isCount(value) && Number(value) >= 1,
  paced: (value) => value === false,
  busy_fraction: isShare,
  compute_ms_per_token: isAmount,
  predicted_ms_per_token: isNull,
  bytes_sent_per_token: isAmount,
  weight_bytes: isCount,
  kv: (value) => value === "f32",
  kv_bytes: isCount,
  rss_bytes: isCount,
  weight_bytes_received: isCount,
};
const SHAPES: Record<string, Shape> = {
  ready: { type: isName, address: (value) => /^127\.0\.0\.1:\d+$/.test(`${value}`), name: isName },
  token: { type: isName, sample: isCount, id: isCount, text: isText },
  sample: {
    type: isName,
    sample: isCount,
    prompt: (value) => value === null || isName(value),
    text: isText,
    ids: isArrayOf(isCount),
    finish_reason: (value) => ["stop", "length", "cancel"].includes(`${value}`),
  },
  summary: {
    type: isName,
    model: isName,
    samples: isCount,
    tokens: isCount,
    seconds: isAmount,
    tokens_per_second: isAmount,
    predicted_tokens_per_second: isNull,
    prompt_tokens_per_second: isAmount,
    time_to_first_token_ms: isAmount,
    seed: (value) => value === null || /^\d+$/.test(`${value}`),
    nodes: isArrayOf((node) => assertShape(node as Record<string, unknown>, NODE)),
    deviations: (value) => Array.isArray(value) && value.length === 0,
  },
  error: { type: isName, code: isName, message: isName },
};

function assertShape(record: Record<string, unknown>, shape: Shape): true {
  assertEquals(Object.keys(record).sort(), Object.keys(shape).sort());
  for (const [key, is] of Object.entries(shape)) {
    assert(is(record[key]), `${key} of ${JSON.stringify(record)}`);
  }
  return true;
}

interface SampleRecord {
  sample: number;
  prompt: string | null;
  text: string;
  ids: number[];
  finish_reason: string;
}

/** Checks every record and what they say of each other; returns samples by their numbers. */
function checked(records: JsonRecord[]): SampleRecord[] {
  for (const record of records) assertShape(record, SHAPES[record.type] ?? {});
  const samples = records.filter(({ type }) => type === "sample") as unknown as SampleRecord[];
  for (const { sample, text, ids } of samples) {
    const tokens = records.filter((each) => each.type === "token" && each.sample === sample);
    assertEquals(tokens.map(({ text }) => text).join(""), text);
    assertEquals(tokens.map(({ id }) => id), ids);
  }
  const summary = records.find(({ type }) => type === "summary");
  if (summary) {
    assertEquals(records.at(-1), summary);
    assertEquals(summary.samples, samples.length);
    assertEquals(summary.tokens, samples.reduce((sum, { ids }) => sum + ids.length, 0));
  }
  return samples.sort((a, b) => a.sample - b.sample);
}

Deno.test("mdi --json has the records of several samples, of a starter without layers", async () => {
  await using dir = await temporaryDirectory();
  await using secondary = await startSecondary({ home: join(dir.path, "secondary") });
  checked([await secondary.record(({ type }) => type === "ready")]);
  const ended = await runMdi([
    ...[...RUN, "--peers", secondary.address, "--layers", "0,4", "--tokens", "9", "--seed", "7"],
    ...["--prompt", "Once upon", "--chat", "Hello", "--prompt-ids", "65,66,67", "--samples", "2"],
  ], { home: join(dir.path, "starter") });
  assertEquals(ended.code, 0, ended.stderr);
  assertOnlyJson(ended);
  const samples = checked(ended.records);
  assertEquals(samples.map(({ sample }) => sample), [0, 1, 2, 3, 4, 5]);
  assertEquals(
    samples.map(({ prompt }) => prompt),
    ["Once upon", "Once upon", "Hello", "Hello", null, null],
  );
  assert(samples[4]!.ids.join() !== samples[5]!.ids.join(), "each sample has its own stream");
  const summary = ended.records.at(-1) as JsonRecord & { nodes: JsonRecord[] };
  assertEquals(summary.seed, "7");
  assertEquals(summary.nodes.map(({ role, layers }) => [role, layers]), [
    ["starter", null],
    ["secondary", [0, 3]],
  ]);
});

Deno.test("mdi --starter says that a mixed ring may differ from one node, once and in its summary", async () => {
  await using dir = await temporaryDirectory();
  await using secondary = await startSecondary(
    { home: join(dir.path, "secondary") },
    ["--backend", "ort"],
  );
  const { address } = secondary;
  const ended = await runMdi(
    [...RUN, "--peers", address, "--prompt-ids", "65", "--tokens", "1"],
    { home: join(dir.path, "starter") },
  );
  assertEquals(ended.code, 0, ended.stderr);
  const { deviations } = ended.records.at(-1) as JsonRecord & { deviations: string[] };
  assertEquals(deviations.length, 1);
  assertMatch(
    deviations[0]!,
    new RegExp(`ort on ${address} .* start ${address} with --backend auto for the same tokens$`),
  );
  assertEquals(ended.stderr.split(deviations[0]!).length, 2, ended.stderr);
});

Deno.test("mdi --json: why a sample ended, and what of its text stays", async () => {
  await using dir = await temporaryDirectory();
  const run = async (...args: string[]) => {
    const ended = await runMdi([...RUN, "--greedy", ...args], { home: dir.path });
    assertEquals(ended.code, 0, ended.stderr);
    return checked(ended.records)[0]!;
  };
  const whole = await run("--prompt-ids", "10,20,30", "--tokens", "24", "--ignore-eos");
  assertEquals([whole.finish_reason, whole.ids.length], ["length", 24]);

  // A stop text from the middle of what comes is cut, and so is all after it.
  const stop = whole.text.slice(5, 8);
  const at = whole.text.indexOf(stop);
  const stopped = await run(
    ...["--prompt-ids", "10,20,30", "--tokens", "24", "--ignore-eos", "--stop", stop],
  );
  assertEquals([stopped.finish_reason, stopped.text], ["stop", whole.text.slice(0, at)]);
  assertEquals(stopped.ids, whole.ids.slice(0, stopped.ids.length));

  // An end token is among the ids and has no text: the model is told that its fourth token is one.
  const model = join(dir.path, "model");
  await Deno.mkdir(model);
  for (const name of ["model.safetensors", "tokenizer.json", "tokenizer_config.json"]) {
    await Deno.copyFile(join(FIXTURE, name), join(model, name));
  }
  const config = JSON.parse(await Deno.readTextFile(join(FIXTURE, "config.json")));
  const end = whole.ids[3]!;
  await Deno.writeTextFile(
    join(model, "config.json"),
    JSON.stringify({ ...config, eos_token_id: [end] }),
  );
  const ended = await run("--model", model, "--prompt-ids", "10,20,30", "--tokens", "24");
  const first = whole.ids.indexOf(end);
  assertEquals(ended.finish_reason, "stop");
  assertEquals(ended.ids, whole.ids.slice(0, first + 1));
  assertEquals(ended.ids.at(-1), end);
});

Deno.test("mdi --samples takes more than the ring's queue does", async () => {
  await using dir = await temporaryDirectory();
  const args = [...RUN, "--prompt-ids", "65", "--samples", "1200", "--tokens", "1"];
  const { code, stderr, records } = await runMdi(args, { home: dir.path });
  assertEquals(code, 0, stderr);
  const numbers = checked(records).map(({ sample }) => sample);
  assertEquals(numbers, Array.from({ length: 1200 }, (_, i) => i));
});

Deno.test("mdi --json: Ctrl-C ends samples with what they have, and the status says so", async () => {
  await using dir = await temporaryDirectory();
  await using process = startMdi(
    [...RUN, "--prompt", "Hi", "--tokens", "500", "--ignore-eos", "--samples", "2"],
    { home: dir.path },
  );
  await process.record(({ type, sample }) => type === "token" && sample === 1);
  process.kill("SIGINT");
  const { code, records } = await process.ended;
  assertEquals(code, 130);
  const samples = checked(records);
  assertEquals(samples.map(({ finish_reason }) => finish_reason), ["cancel", "cancel"]);
  for (const { ids } of samples) assert(ids.length > 0 && ids.length < 500);
});

Deno.test("mdi --json of every other command is one record", async () => {
  await using dir = await temporaryDirectory();
  const model = join(FIXTURE, "gguf/model-q4_0.gguf");
  const commands: [string[], string, string[]][] = [
    [["inspect", model], "model", ["architecture", "Q4_0"]],
    [["pull", model], "pull", ["bytes_downloaded", "block_bytes"]],
    [["store", "list"], "store", ["model-q4_0.gguf", "free_bytes"]],
    [["store", "verify"], "verify", ["damaged"]],
    [["store", "remove", "model-q4_0.gguf"], "remove", ["bytes"]],
    [["token", "new"], "new_token", ["mdi1-"]],
    [["store", "remove", "model-q4_0.gguf"], "error", ["model_missing"]],
    [["--help"], "none", []],
  ];
  for (const [args, type, parts] of commands) {
    const ended = await runMdi([...args, "--json"], { home: dir.path });
    assertOnlyJson(ended);
    assertEquals(ended.records.map((record) => record.type), type === "none" ? [] : [type]);
    for (const part of parts) assert(ended.stdout.includes(part), `${part} in ${ended.stdout}`);
  }
});

Deno.test("mdi --log json and --quiet keep standard error to their form", async () => {
  await using dir = await temporaryDirectory();
  const home = dir.path;
  const run = [...RUN, "--prompt", "Hi", "--tokens", "2"];
  const logged = await runMdi([...run, "--log", "json"], { home });
  for (const line of logged.stderr.trim().split("\n")) {
    const { time, level, message } = JSON.parse(line);
    assertMatch(time, /^\d{4}-.*Z$/);
    assertEquals([level, typeof message], ["info", "string"]);
  }
  const quiet = await runMdi([...run, "--quiet"], { home });
  assertEquals(quiet.stderr, "");
  assert(!logged.stderr.includes("\r") && !(await runMdi(run, { home })).stderr.includes("\r"));
});
