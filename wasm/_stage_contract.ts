/** What every stage does, whatever computes it: run by the tests of each backend. */
import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { generator, TINY, TinyFiles } from "./_tiny_blocks.ts";
import { tinyDecoder } from "./_tiny_decoder.ts";
import { candidatesOfRow, MAX_CANDIDATES } from "./candidates.ts";
import { MdiError } from "./error.ts";
import { MAX_KV_PAGE_TOKENS, type Segment, type Stage, type StageSpec } from "./stage.ts";

const { dModel, vocab, layers } = TINY;
const LAYERS = { embed: false, layers: [0, layers - 1], head: false } as const;

/** Registers the tests of a backend. */
export function stageContract(name: string, load: (spec: StageSpec) => Promise<Stage>): void {
  const test = (
    what: string,
    range: Parameters<TinyFiles["spec"]>[0],
    fn: (stage: Stage) => Promise<void>,
  ) =>
    Deno.test(`${name} stage ${what}`, async () => {
      await using files = await TinyFiles.write(tinyDecoder());
      await using stage = await load(files.spec(range));
      await fn(stage);
    });

  test("tells what it is", {}, ({ info }) => {
    assertNotEquals(info.backend, "");
    assert(info.threads >= 1);
    assert(info.weightBytes > 0);
    const { kvPageTokens } = info;
    assert(Number.isInteger(Math.log2(kvPageTokens)) && kvPageTokens <= MAX_KV_PAGE_TOKENS);
    assertEquals(info.kvBytesPerToken, layers * 2 * TINY.kvHeads * TINY.headDim * 4);
    return Promise.resolve();
  });

  test("gives a row of a ragged batch the bits that it has alone", LAYERS, async (stage) => {
    const rows = randomRows(5 + 1 + 3, 1);
    const alone: Float32Array[] = [];
    for (const [sample, from, to] of [[1, 0, 5], [2, 5, 6], [3, 6, 9]] as const) {
      stage.open(sample, 8);
      alone.push(await forward(stage, rows, from, to, { sample, position: 0 }));
      stage.release(sample);
    }
    for (const sample of [1, 2, 3]) stage.open(sample, 8);
    const together = await stage.forward({
      segments: [
        { sample: 1, position: 0, rows: 5 },
        { sample: 2, position: 0, rows: 1 },
        { sample: 3, position: 0, rows: 3 },
      ],
      hidden: rows,
    });
    assertEquals(bits(together), alone.flatMap(bits));
  });

  test("executes calls in the order they are made", LAYERS, async (stage) => {
    const rows = randomRows(3, 2);
    stage.open(1, 3);
    const pending = [0, 1, 2].map((at) =>
      forward(stage, rows, at, at + 1, { sample: 1, position: at })
    );
    stage.release(1);
    stage.open(1, 3);
    const again: Float32Array[] = [];
    for (const at of [0, 1, 2]) {
      again.push(await forward(stage, rows, at, at + 1, { sample: 1, position: at }));
    }
    assertEquals((await Promise.all(pending)).flatMap(bits), again.flatMap(bits));
  });

  test("goes on after truncate() as if the rest had never been", LAYERS, async (stage) => {
    const rows = randomRows(6, 3);
    const other = randomRows(4, 4);
    stage.open(1, 10);
    await forward(stage, rows, 0, 4, { sample: 1, position: 0 });
    await forward(stage, other, 0, 4, { sample: 1, position: 4 });
    stage.truncate(1, 9); // more than there is: nothing happens
    stage.truncate(1, 4);
    const cut = await forward(stage, rows, 4, 6, { sample: 1, position: 4 });
    stage.open(2, 10);
    await forward(stage, rows, 0, 4, { sample: 2, position: 0 });
    const fresh = await forward(stage, rows, 4, 6, { sample: 2, position: 4 });
    assertEquals(bits(cut), bits(fresh));
    stage.truncate(1, 0);
    const begun = await forward(stage, rows, 0, 4, { sample: 1, position: 0 });
    stage.truncate(2, 0);
    assertEquals(bits(begun), bits(await forward(stage, rows, 0, 4, { sample: 2, position: 0 })));
  });

  test("keeps what a cache holds when its capacity changes", LAYERS, async (stage) => {
    const rows = randomRows(3, 5);
    for (const sample of [1, 2]) {
      stage.open(sample, sample === 1 ? 2 : 3);
      await forward(stage, rows, 0, 2, { sample, position: 0 });
    }
    stage.open(1, 3);
    const [grown, never] = [
      await forward(stage, rows, 2, 3, { sample: 1, position: 2 }),
      await forward(stage, rows, 2, 3, { sample: 2, position: 2 }),
    ];
    assertEquals(bits(grown), bits(never));
  });

  test("refuses rows that do not follow their cache, and goes on", LAYERS, async (stage) => {
    const rows = randomRows(4, 6);
    const refused = async (segment: Omit<Segment, "rows">, count: number, why: string) => {
      const error = await assertRejects(
        () => forward(stage, rows, 0, count, segment),
        MdiError,
        why,
      );
      assertEquals(error.code, "protocol");
    };
    await refused({ sample: 1, position: 0 }, 1, "not open");
    stage.open(1, 3);
    await refused({ sample: 1, position: 1 }, 1, "holds 0 tokens");
    await refused({ sample: 1, position: 0 }, 4, "capacity of 3 tokens");
    await forward(stage, rows, 0, 3, { sample: 1, position: 0 });
    await refused({ sample: 1, position: 3 }, 1, "capacity of 3 tokens");
    stage.release(1);
    stage.release(1);
    stage.truncate(1, 0);
    await refused({ sample: 1, position: 3 }, 1, "not open");
  });

  test("embeds, runs the layers and gives logits", {}, async (stage) => {
    stage.open(1, 8);
    const ids = Int32Array.of(3, 1, 4, 1);
    const hidden = await stage.forward({ segments: [{ sample: 1, position: 0, rows: 4 }], ids });
    assertEquals(hidden.length, 4 * dModel);
    const both = bits(await stage.logits(hidden.slice(2 * dModel)));
    assertEquals(both.length, 2 * vocab);
    const each: number[] = [];
    for (const row of [2, 3]) {
      each.push(...bits(await stage.logits(hidden.slice(row * dModel, (row + 1) * dModel))));
    }
    assertEquals(both, each);
    const out = new Float32Array(2 * vocab);
    assertEquals(await stage.logits(hidden.slice(2 * dModel), out), out);
    assertEquals(bits(out), both);
    assert(stage.computeMs() > 0);
  });

  test("refuses a token id that is not in the vocabulary", {}, async (stage) => {
    stage.open(1, 8);
    for (const id of [vocab, -1]) {
      const segments = [{ sample: 1, position: 0, rows: 1 }];
      await assertRejects(
        () => stage.forward({ segments, ids: Int32Array.of(id) }),
        Error,
        `token id ${id}`,
      );
    }
    await stage.forward({ segments: [{ sample: 1, position: 0, rows: 1 }], ids: Int32Array.of(1) });
  });

  test("tells as candidates what sorting the logits gives", {}, async (stage) => {
    const hidden = randomRows(9, 8);
    const logits = Float32Array.from(await stage.logits(hidden));
    for (const count of [1, 2, 7, vocab - 1, vocab, vocab + 1, MAX_CANDIDATES]) {
      const found = await stage.candidates(hidden, count);
      assertEquals(found.count, Math.min(count, vocab));
      const ids = Array.from({ length: 9 }, (_, row) => {
        const values = logits.subarray(row * vocab, (row + 1) * vocab);
        return largest(values).slice(0, count).map((id) => row * vocab + id);
      }).flat();
      assertEquals(Array.from(found.ids), ids.map((id) => id % vocab));
      assertEquals(bits(found.logits), bits(Float32Array.from(ids, (id) => logits[id]!)));
    }
    for (const count of [0, 1.5, NaN, MAX_CANDIDATES + 1]) {
      await assertRejects(() => stage.candidates(hidden, count), Error, `take ${count} candidates`);
    }
  });

  test("puts equal candidates in the order of their ids", {}, async (stage) => {
    // The norm makes zeros of zeros, and so does the head.
    for (const count of [1, 5]) {
      const { ids, logits } = await stage.candidates(new Float32Array(dModel), count);
      assertEquals(Array.from(ids), Array.from({ length: count }, (_, id) => id));
      assertEquals(Array.from(logits, Math.abs), new Array<number>(count).fill(0));
    }
  });

  test("tells of a row without order its first NaN", {}, async (stage) => {
    const hidden = randomRows(3, 9);
    hidden[dModel + 5] = NaN;
    const logits = await stage.logits(hidden);
    const first = logits.findIndex(Number.isNaN) - vocab;
    assert(first >= 0 && first < vocab);
    for (const count of [1, 3]) {
      const found = await stage.candidates(hidden, count);
      for (const row of [0, 1, 2]) {
        const { ids, logits } = candidatesOfRow(found, row);
        assertEquals(Array.from(logits, Number.isNaN), new Array<boolean>(count).fill(row === 1));
        if (row === 1) assertEquals(Array.from(ids), new Array<number>(count).fill(first));
      }
    }
  });

  test("without a head has no logits", LAYERS, async (stage) => {
    await assertRejects(() => stage.logits(randomRows(1, 7)), Error, "without a head");
    await assertRejects(() => stage.candidates(randomRows(1, 7), 1), Error, "without a head");
  });

  test("of a starter without layers only embeds", { layers: null }, async (stage) => {
    assertEquals(stage.info.kvBytesPerToken, 0);
    stage.open(1, 4);
    const segments = [{ sample: 1, position: 0, rows: 2 }];
    const hidden = await stage.forward({ segments, ids: Int32Array.of(5, 6) });
    assertEquals(hidden.length, 2 * dModel);
    assertEquals((await stage.logits(hidden)).length, 2 * vocab);
  });
}

/** Hidden rows with values from -1 to 1. */
function randomRows(count: number, seed: number): Float32Array {
  const random = generator(seed);
  return Float32Array.from({ length: count * dModel }, () => 2 * random() - 1);
}

function forward(
  stage: Stage,
  rows: Float32Array,
  from: number,
  to: number,
  segment: Omit<Segment, "rows">,
): Promise<Float32Array> {
  return stage.forward({
    segments: [{ ...segment, rows: to - from }],
    hidden: rows.slice(from * dModel, to * dModel),
  });
}

/** Ids by falling logit, then rising id. */
function largest(logits: Float32Array): number[] {
  return Array.from(logits, (_, id) => id).sort((a, b) => logits[b]! - logits[a]! || a - b);
}

function bits(values: Float32Array): number[] {
  return Array.from(new Uint32Array(Float32Array.from(values).buffer));
}
