/** `--trace FILE` over a ring of real processes, and what the file says of one token's way. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { TraceEvent } from "../engine/ring/trace_events.ts";
import { openRing } from "../rpc/open_ring.ts";
import { runMdi, startMdi, startSecondaries } from "./support/mdi_process.ts";

const MODEL = fileURLToPath(new URL("fixtures/tiny-llama-tied", import.meta.url));

/** The file's JSON. */
interface TraceFile {
  displayTimeUnit: string;
  otherData: {
    model: string;
    nodes: { name: string; uncertainty_ms: number; missing: string | null }[];
  };
  traceEvents: TraceEvent[];
}

Deno.test("--trace writes the way of every frame through a ring of processes", async (t) => {
  await using stack = new AsyncDisposableStack();
  const directory = await Deno.makeTempDir();
  stack.defer(() => Deno.remove(directory, { recursive: true }));
  const secondaries = await startSecondaries(2, directory, stack);
  const peers = secondaries.map(({ address }) => address);
  const path = join(directory, "trace.json");
  const home = join(directory, "starter");
  const args = [
    ...["--starter", "--json", "--model", MODEL, "--peers", peers.join(",")],
    ..."--prompt-ids 1,2,3 --samples 3 --tokens 20 --ignore-eos --greedy --layers 1,1,2".split(" "),
  ];
  const { code, stderr, records } = await runMdi([...args, "--trace", path], { home });
  assertEquals(code, 0, stderr);
  const tokens = records.filter(({ type }) => type === "token").length;
  assertEquals(tokens, 60);
  const trace: TraceFile = JSON.parse(await Deno.readTextFile(path));
  const { nodes } = trace.otherData;
  const events = trace.traceEvents;
  const slices = events.filter(({ ph, cat }) => ph === "X" && cat === "frame");
  const tolerance = 1000 * Math.max(...nodes.map(({ uncertainty_ms }) => uncertainty_ms));

  await t.step("the file is in its place alone", async () => {
    const names = await Array.fromAsync(Deno.readDir(directory), ({ name }) => name);
    assertEquals(names.filter((name) => name.includes("trace")), ["trace.json"]);
  });

  await t.step("it names the nodes and says how sure its times are", () => {
    assertEquals(nodes.length, 3);
    assertEquals(nodes.map(({ missing }) => missing), [null, null, null]);
    assertEquals(nodes[0]!.uncertainty_ms, 0);
    for (const { uncertainty_ms } of nodes.slice(1)) {
      assert(uncertainty_ms > 0 && uncertainty_ms < 50, `${uncertainty_ms}`);
    }
    const processes = events.filter(({ name }) => name === "process_name");
    assertEquals(processes.map(({ pid }) => pid), [1, 2, 3]);
    assertStringIncludes(String(processes[2]!.args!.name), "layers 2-3");
  });

  await t.step("what a thread did does not overlap, and is in order", () => {
    for (const pid of [1, 2, 3]) {
      for (const tid of [1, 2]) {
        const thread = events.filter((event) =>
          event.ph === "X" && event.pid === pid && event.tid === tid
        );
        assert(thread.length >= 20, `${thread.length} slices`);
        for (const [i, { ts, dur, name }] of thread.entries()) {
          const next = thread[i + 1];
          if (!next) continue;
          // Times are rounded to a nanosecond.
          assert(ts + dur! <= next.ts + 0.01, `${pid}.${tid}: ${name} at ${ts}, ${next.name}`);
        }
      }
    }
  });

  await t.step("every frame passes the nodes in order", () => {
    const frames = Map.groupBy(slices, ({ args }) => args!.frame as number);
    for (const [frame, passed] of frames) {
      const forward = [1, 2, 3].map((pid) =>
        passed.filter((slice) => slice.pid === pid && slice.tid === 1 && slice.name !== "head")
      );
      assertEquals(forward.map(({ length }) => length), [1, 1, 1], `frame ${frame}`);
      for (const [i, [slice]] of forward.slice(1).entries()) {
        const before = forward[i]![0]!;
        const early = before.ts + before.dur! - slice!.ts;
        assert(early <= 2 * tolerance, `frame ${frame} is ${early} µs early at node ${i + 1}`);
        assertEquals(slice!.args!.samples, before.args!.samples);
        assertEquals(slice!.args!.rows, before.args!.rows);
      }
    }
  });

  await t.step("tokens' ways are whole, from embed to the draw", () => {
    const flows = Map.groupBy(events.filter(({ cat }) => cat === "flow"), ({ id }) => id!);
    const ways = [...flows.values()].map((flow) =>
      flow.map(({ ph, pid, tid, ts }) => {
        const around = events.filter((event) =>
          event.ph === "X" && event.pid === pid && event.tid === tid && event.ts <= ts &&
          ts <= event.ts + event.dur!
        );
        assertEquals(around.length, 1, "a flow event lies in one slice");
        return `${ph} ${pid} ${around[0]!.name}`;
      })
    );
    const whole = [
      ...["s 1 embed and layers", "t 1 encode", "t 1 send"],
      ...[2, 3].flatMap((pid) =>
        ["decode", "layers", "encode", "send"].map((n) => `t ${pid} ${n}`)
      ),
      ...["t 1 decode", "t 1 head", "f 1 draw"],
    ];
    const complete = ways.filter((way) => way.join() === whole.join()).length;
    const draws = slices.filter(({ name }) => name === "draw");
    assertEquals(complete, draws.length);
    const drawn = draws.reduce((sum, { args }) => sum + (args!.samples as number[]).length, 0);
    assertEquals(drawn, tokens);
  });

  await t.step("what waits has a begin and an end", () => {
    const begins = events.filter(({ ph }) => ph === "b");
    const ends = new Map(events.filter(({ ph }) => ph === "e").map((event) => [event.id, event]));
    assertEquals(begins.length, ends.size);
    for (const { id, ts } of begins) assert(ends.get(id)!.ts >= ts);
    const names = new Set(begins.map(({ name }) => name));
    for (const name of ["wait for the stage", "wait for head", `link to ${peers[0]}`]) {
      assert(names.has(name), name);
    }
  });

  await t.step("a file that cannot be written is refused before a model is loaded", async () => {
    for (const bad of [join(directory, "none", "trace.json"), directory]) {
      const run = await runMdi([...args, "--trace", bad], { home: join(directory, "unused") });
      assertEquals(run.code, 6, run.stderr);
      assertStringIncludes(run.stderr, `Cannot write the trace to ${bad}`);
      assertEquals(run.records.filter(({ type }) => type !== "error"), []);
    }
  });

  await t.step("Ring.trace() gives the same as a timeline", async () => {
    await using ring = await openRing({
      ...{ model: MODEL, peers, layers: "1,1,2", home, listen: "127.0.0.1:0", trace: true },
    });
    const generate = async () => {
      const options = { maxTokens: 8, greedy: true, ignoreEos: true };
      const both = [1, 2].map((id) => ring.generate([id, 2, 3], options).result);
      return await Promise.all(both);
    };
    await generate();
    const since = performance.now();
    await generate();
    const all = await ring.trace();
    const timeline = await ring.trace({ since });
    assertEquals([all.samples.length, timeline.samples.length], [4, 2]);
    for (const { tokens, promptTokens, slot } of timeline.samples) {
      assertEquals([tokens.length, promptTokens], [8, 3]);
      assert(slot.from >= 0 && slot.to <= timeline.ms && tokens.at(-1)! <= slot.to);
    }
    assertEquals(timeline.nodes.map(({ layers }) => layers), [[0, 0], [1, 1], [2, 3]]);
    assert(timeline.nodes.every(({ busy }) => busy.length >= 8));
    assertEquals(timeline.links.map(({ from, to }) => [from, to]), [[0, 1], [1, 2], [2, 0]]);
    const frames = timeline.links.map((link) => link.frames.length);
    assertEquals(new Set(frames).size, 1, "every frame passes every link");
    for (const link of timeline.links) {
      assert(link.frames.every(({ sent, arrived, bytes }) => arrived >= sent && bytes > 0));
    }
  });

  const endless = ["--starter", "--json", "--model", MODEL, "--peers", peers.join(",")].concat(
    "--prompt-ids 1,2,3 --tokens 100000 --ignore-eos --layers 1,1,2".split(" "),
  );
  for (const [what, status] of [["is interrupted", 130], ["loses a node", 4]] as const) {
    await t.step(`a run that ${what} leaves what there is`, async () => {
      const broken = join(directory, `${status}.json`);
      await using starter = startMdi([...endless, "--trace", broken], { home });
      await starter.record(({ type }) => type === "token");
      if (status === 130) starter.kill("SIGINT");
      else secondaries[1]!.kill("SIGKILL");
      const ended = await starter.ended;
      assertEquals(ended.code, status, ended.stderr);
      const { otherData, traceEvents }: TraceFile = JSON.parse(await Deno.readTextFile(broken));
      assert(traceEvents.some(({ pid, name }) => pid === 1 && name === "draw"));
      if (status === 4) assertStringIncludes(otherData.nodes[2]!.missing!, peers[1]!);
    });
  }
});

Deno.test("Ring.recording() has what a ring of one did, and refuses where it records nothing", async () => {
  const home = await Deno.makeTempDir();
  try {
    {
      await using ring = await openRing({ model: MODEL, home, trace: true });
      await ring.generate([1, 2, 3], { maxTokens: 4, ignoreEos: true }).result;
      const { nodes } = await ring.recording();
      const kinds = nodes.map(({ spans }) =>
        spans.filter(({ frame }) => frame === 1).map(({ kind }) => kind)
      );
      assertEquals(kinds, [["forward", "segment", "head", "token", "draw"]]);
      const { links, samples } = await ring.trace();
      assertEquals([links, samples.map(({ tokens }) => tokens.length)], [[], [4]]);
    }
    await using ring = await openRing({ model: MODEL, home });
    const error = await ring.recording().catch((error) => error);
    assert(error instanceof TypeError);
    assertStringIncludes(error.message, "open the ring with the option trace");
  } finally {
    await Deno.remove(home, { recursive: true });
  }
});
