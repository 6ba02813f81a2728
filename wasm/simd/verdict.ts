/**
 * Whether the kernels may run a kind of block: decided once by a comparison with ONNX Runtime, then kept
 * beside the packed weights, so that later starts do not load ONNX Runtime.
 */
import { join } from "node:path";
import { createHash } from "node:crypto";
import { MdiError, messageOf } from "../error.ts";
import type { Stage, StageRange, StageSpec } from "../stage.ts";
import { BF16 } from "./abi.ts";
import { answer, makeProbe, relativeError, TOLERANCE } from "./compare.ts";
import type { PackedBlock } from "./packed_block.ts";
import type { PackedFiles } from "./packed_store.ts";
import { askReference } from "./reference.ts";

/** ONNX Runtime may take this much for a block's weights; beyond it, it computes them packed. */
const REFERENCE_BYTES = 256e6;

/** What is kept of a comparison. */
interface Verdict {
  /** Relative L2 error; null where ONNX Runtime could not run the block. */
  error: number | null;
  agrees: boolean;
}

/** What a stage's verdicts come to. */
export interface Verdicts {
  /** Why the kernels may not run it, a clause; null where they may. */
  refusal: string | null;
  /** For a person: what could not be compared. */
  notes: string[];
}

/**
 * Finds the verdict on each kind of block of a stage, or makes it.
 * @param version of the kernels: other kernels need other verdicts.
 * @param load loads a `simd` stage of a single block, without asking for verdicts.
 */
export async function judge(
  spec: StageSpec & { packed: string },
  names: Iterable<string>,
  packed: PackedFiles,
  version: string,
  load: (spec: StageSpec) => Promise<Stage>,
): Promise<Verdicts> {
  const known = await knownVerdicts(spec.packed);
  const notes: string[] = [];
  const seen = new Set<string>();
  for (const name of names) {
    const { block } = packed.get(name);
    const signature = signatureOf(block, version);
    if (seen.has(signature)) continue;
    seen.add(signature);
    const verdict = await known(signature) ??
      await compareAndKeep(spec, name, block, signature, load);
    if (verdict.error === null) {
      notes.push(`${name} was not compared with ONNX Runtime, which could not run it`);
    }
    if (verdict.agrees) continue;
    const refusal = `its ${name} differs from ONNX Runtime's by ${verdict.error?.toPrecision(2)}`;
    return { refusal, notes };
  }
  return { refusal: null, notes };
}

/** Verdicts on the disk, by signature: their names end with it. */
async function knownVerdicts(
  directory: string,
): Promise<(signature: string) => Promise<Verdict | undefined>> {
  const paths = new Map<string, string>();
  for await (const { name } of Deno.readDir(directory)) {
    const signature = /\.verdict-([0-9a-f]+)$/.exec(name)?.[1];
    if (signature) paths.set(signature, join(directory, name));
  }
  return async (signature) => {
    const path = paths.get(signature);
    if (path === undefined) return undefined;
    try {
      const verdict: unknown = JSON.parse(await Deno.readTextFile(path));
      return isVerdict(verdict) ? verdict : undefined;
    } catch {
      return undefined; // damaged, or removed meanwhile: it is made again
    }
  };
}

function isVerdict(value: unknown): value is Verdict {
  if (typeof value !== "object" || value === null) return false;
  const { error, agrees } = value as Partial<Verdict>;
  return (error === null || typeof error === "number") && typeof agrees === "boolean";
}

async function compareAndKeep(
  spec: StageSpec & { packed: string },
  name: string,
  block: PackedBlock,
  signature: string,
  load: (spec: StageSpec) => Promise<Stage>,
): Promise<Verdict> {
  const verdict = await compare(alone(spec, name), block, load);
  const hash = spec.blocks.find((it) => it.name === name)?.hash;
  if (hash) {
    const path = join(spec.packed, `${hash}.verdict-${signature}`);
    const temporary = `${path}.${crypto.randomUUID()}`;
    try {
      await Deno.writeTextFile(temporary, JSON.stringify(verdict));
      await Deno.rename(temporary, path);
    } catch (cause) {
      throw new MdiError("disk", `Cannot write ${path}: ${messageOf(cause)}; make room`, { cause });
    }
  }
  return verdict;
}

async function compare(
  spec: StageSpec,
  block: PackedBlock,
  load: (spec: StageSpec) => Promise<Stage>,
): Promise<Verdict> {
  const probe = makeProbe(block.kind, spec);
  let expected: Float32Array[];
  try {
    expected = await askReference(spec, probe);
  } catch (error) {
    if (!(error instanceof MdiError)) throw error;
    if (error.code !== "memory" && error.code !== "model_unsupported") throw error;
    return { error: null, agrees: true };
  }
  await using stage = await load(spec);
  const error = relativeError(probe, await answer(stage, probe), expected);
  const tolerance = isFloat(block) ? TOLERANCE.float : TOLERANCE.quantised;
  return { error, agrees: error <= tolerance };
}

/** The stage of one block. */
function alone(spec: StageSpec, name: string): StageSpec {
  const index = Number(/^layer\.(\d+)$/.exec(name)?.[1] ?? NaN);
  const range: StageRange = {
    embed: name === "embed",
    layers: Number.isNaN(index) ? null : [index, index],
    head: name === "head",
  };
  const blocks = spec.blocks.filter((block) =>
    block.name === name || block.name === "shared" || (name === "head" && block.name === "embed")
  );
  const memoryBytes = Math.min(spec.memoryBytes ?? Infinity, REFERENCE_BYTES);
  return { ...spec, range, blocks, memoryBytes, threads: 1, kv: "f32" };
}

/** Whether nothing is quantised to int8 on its way through a block. */
function isFloat(block: PackedBlock): boolean {
  const matrices = block.kind === "layer"
    ? [...block.qkv, block.output, block.gate, block.up, block.down].map((it) => it.weight)
    : [];
  return matrices.every(({ kind }) => kind <= BF16) && block.kind !== "head";
}

/** Names a kind of block: its shapes and forms, but no place or hash of its weights. */
function signatureOf(block: PackedBlock, version: string): string {
  const form = JSON.stringify(
    block,
    (key, value) => key === "offset" || key === "sha256" ? undefined : value,
  );
  return createHash("sha256").update(`${version}\n${form}`).digest("hex").slice(0, 32);
}
