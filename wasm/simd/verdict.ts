/**
 * Whether the kernels may run a kind of block: decided once by a comparison with ONNX Runtime, then kept
 * beside the packed weights, so that later starts do not load ONNX Runtime.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { toBinary } from "@bufbuild/protobuf";
import { MdiError, messageOf } from "../error.ts";
import { type ModelProto, NodeProtoSchema } from "../gen/onnx/onnx_pb.ts";
import type { Stage, StageRange, StageSpec } from "../stage.ts";
import { answer, makeProbe, relativeError, toleranceOf } from "./compare.ts";
import type { DecoderBlock } from "./decoder.ts";
import { PACKED_VERSION } from "./packed_file.ts";
import { Reference } from "./reference.ts";
import { writeInPlace } from "./write_in_place.ts";

/** What is kept of a comparison. */
interface Verdict {
  /** Relative L2 error; null where there is none: ONNX Runtime could not run the block, or it is not finite. */
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

/** A block of a stage, as its graph and as what was recognised in it. */
export interface BlockToJudge {
  name: string;
  block: DecoderBlock;
  model: ModelProto;
}

/** How {@linkcode judge} compares. */
export interface JudgeOptions {
  /** Of the kernels: other kernels need other verdicts. */
  version: string;
  /** Loads a `simd` stage of a single block, without asking for verdicts. */
  load: (spec: StageSpec) => Promise<Stage>;
}

/**
 * Finds the verdict on each kind of block of a stage, or makes it.
 * @throws {MdiError} disk where a verdict cannot be kept; else what ONNX Runtime or the kernels say.
 */
export async function judge(
  spec: StageSpec & { packed: string },
  blocks: Iterable<BlockToJudge>,
  { version, load }: JudgeOptions,
): Promise<Verdicts> {
  const known = await knownVerdicts(spec.packed);
  const notes: string[] = [];
  const seen = new Set<string>();
  using reference = new Reference();
  for (const { name, block, model } of blocks) {
    const signature = signatureOf(block, model, version);
    if (seen.has(signature)) continue;
    seen.add(signature);
    let verdict = await known(signature);
    if (!verdict) {
      const compared = await compare(reference, alone(spec, name), block, load);
      if (typeof compared === "string") {
        notes.push(`${name} was not compared with ONNX Runtime: ${compared}`);
        continue;
      }
      verdict = compared;
      await keep(verdict, spec, name, signature);
    }
    const { error, agrees } = verdict;
    if (!agrees) {
      const by = error === null ? "where that is finite" : `by ${error.toPrecision(2)}`;
      return { refusal: `its ${name} differs from ONNX Runtime's ${by}`, notes };
    }
    if (error === null) {
      notes.push(`${name} was not compared with ONNX Runtime, which could not run it`);
    }
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

/** Writes a verdict under the hash of its block, with which it goes; a block of no store has none. */
async function keep(
  verdict: Verdict,
  { blocks, packed }: StageSpec & { packed: string },
  name: string,
  signature: string,
): Promise<void> {
  const hash = blocks.find((it) => it.name === name)?.hash;
  if (!hash) return;
  const path = join(packed, `${hash}.verdict-${signature}`);
  try {
    await writeInPlace(path, (append) => append(new TextEncoder().encode(JSON.stringify(verdict))));
  } catch (cause) {
    throw new MdiError("disk", `Cannot write ${path}: ${messageOf(cause)}; make room`, { cause });
  }
}

/** Why it cannot be done now, a clause, where that says nothing of the block. */
async function compare(
  reference: Reference,
  spec: StageSpec,
  block: DecoderBlock,
  load: (spec: StageSpec) => Promise<Stage>,
): Promise<Verdict | string> {
  const probe = makeProbe(block, spec);
  let expected: Float32Array[];
  try {
    expected = await reference.ask(spec, probe);
  } catch (error) {
    if (!(error instanceof MdiError)) throw error;
    if (error.code === "memory") return "there is too little memory for both";
    if (error.code === "internal") return error.message;
    if (error.code !== "model_unsupported") throw error;
    return { error: null, agrees: true };
  }
  await using stage = await load(spec);
  const error = relativeError(probe, await answer(stage, probe), expected);
  return { error: Number.isFinite(error) ? error : null, agrees: error <= toleranceOf(block) };
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
  return { ...spec, range, blocks, threads: 1, kv: "f32" };
}

/**
 * Names a kind of block: its operators and what was recognised in them, but neither values nor places of weights.
 * A model's layers are of one kind, or few; another exporter's are of others.
 */
function signatureOf(block: DecoderBlock, { graph }: ModelProto, version: string): string {
  const form = JSON.stringify(
    block,
    (key, value) => key === "source" || key === "sources" ? undefined : value,
  );
  const hash = createHash("sha256").update(`${PACKED_VERSION}\n${version}\n${form}`);
  for (const node of graph!.node) {
    hash.update(toBinary(NodeProtoSchema, { ...node, name: "", docString: "" }));
  }
  return hash.digest("hex").slice(0, 32);
}
