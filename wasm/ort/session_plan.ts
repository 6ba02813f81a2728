/**
 * Which sessions a stage consists of and in which form their weights are, as memory allows. Nothing is
 * loaded before it is known that all of it fits.
 */
import type { OpenBlocks } from "../block_file.ts";
import { MdiError } from "../error.ts";
import { wholeMegabytes } from "../whole_megabytes.ts";
import type { StageSpec } from "../stage.ts";
import { joinBlocks } from "./join.ts";
import { RESIDENT_SHARE, RUNTIME_BYTES } from "./memory.ts";
import { liftSequenceLengths } from "./sequence_lengths.ts";
import { stagedBytes } from "./staged_weights.ts";
import { planWeights, type WeightForm, type WeightPlan } from "./weights.ts";

/**
 * Weights of one session of layers, about. They are in memory twice while a session is made, so fewer
 * bytes a session need less; each further session costs a little at every token.
 */
const SESSION_BYTES = 48e6;
/** Its WebAssembly memory has 32-bit addresses; some of it is for caches and intermediate results. */
const ADDRESSABLE_BYTES = 2 ** 32 - 500e6;

/** A session to make. */
export interface PlannedSession {
  /** For messages: "layer.0 to layer.4". */
  what: string;
  plan: WeightPlan;
  /** Whether it runs for one row at a time. */
  oneRow: boolean;
}

/** The sessions of a stage. */
export interface SessionPlan {
  /** In the order in which they are to be made: what the head needs meanwhile serves the others. */
  head: PlannedSession | undefined;
  /** Embed (where it is a graph) and layers, in their order. */
  body: PlannedSession[];
  /** Bytes that loading takes at its peak. */
  peakBytes: number;
  /** What a person should know. */
  notes: string[];
}

/**
 * Plans the sessions: with quantised weights expanded to f32 where there is memory for it, else with as
 * many as possible quantised.
 * @param tableBytes what the stage holds beside its sessions; null where embed is one of them.
 * @throws {MdiError} memory, model_corrupt, model_unsupported
 */
export function planSessions(
  spec: StageSpec,
  blocks: OpenBlocks,
  tableBytes: number | null,
): SessionPlan {
  const body = bodyBlocks(spec, tableBytes !== null);
  const plan = (form: WeightForm) => planForm(spec, blocks, body, form, tableBytes ?? 0);
  const available = spec.memoryBytes ?? Infinity;
  const expanded = plan("expanded");
  if (fits(expanded, available)) {
    const { expandedBytes, packedBytes } = totals(expanded);
    if (expandedBytes > 0) {
      expanded.notes.push(
        `weights expanded to f32: ${wholeMegabytes(expandedBytes)}, 10 to 25 times faster than ` +
          "quantised in ONNX Runtime's WebAssembly build",
      );
    }
    if (packedBytes > 0) expanded.notes.push(packedNote(packedBytes));
    return expanded;
  }
  const packed = plan("packed");
  if (!fits(packed, available)) throw tooLarge(spec, packed, available);
  packed.notes.push(
    `${packedNote(totals(packed).packedBytes)}; loading them as f32 needs ${
      wholeMegabytes(expanded.peakBytes)
    } of memory, and ${wholeMegabytes(available)} are free`,
  );
  return packed;
}

function planForm(
  spec: StageSpec,
  blocks: OpenBlocks,
  body: readonly string[],
  form: WeightForm,
  tableBytes: number,
): SessionPlan {
  const plan = (names: readonly string[]): PlannedSession => {
    const model = joinBlocks(names.map((name) => ({ name, model: blocks.header(name).model })));
    liftSequenceLengths(model);
    return {
      what: `${spec.model} ${names.length === 1 ? names[0]! : `${names[0]} to ${names.at(-1)}`}`,
      plan: planWeights(model, form),
      oneRow: names[0] === "head",
    };
  };
  const groups = groupBySize(body, (name) => weightBytes(plan([name])));
  const sessions: SessionPlan = {
    head: spec.range.head ? plan(["head"]) : undefined,
    body: groups.map(plan),
    peakBytes: 0,
    notes: [],
  };
  let resident = RUNTIME_BYTES + tableBytes;
  for (const session of allOf(sessions)) {
    resident += RESIDENT_SHARE * weightBytes(session);
    sessions.peakBytes = Math.max(
      sessions.peakBytes,
      resident + stagedBytes(session.plan.jobs),
    );
  }
  return sessions;
}

function fits(sessions: SessionPlan, available: number): boolean {
  return sessions.peakBytes <= available && addressedBytes(sessions) <= ADDRESSABLE_BYTES;
}

function addressedBytes(sessions: SessionPlan): number {
  return allOf(sessions).reduce((sum, each) => sum + RESIDENT_SHARE * weightBytes(each), 0);
}

/** Names of the blocks that make the sessions before the head. */
function bodyBlocks({ range }: StageSpec, hasTable: boolean): string[] {
  const names = range.embed && !hasTable ? ["embed"] : [];
  if (range.layers) {
    for (let i = range.layers[0]; i <= range.layers[1]; i++) names.push(`layer.${i}`);
  }
  return names;
}

/** Cuts a list of blocks into runs of about SESSION_BYTES. */
function groupBySize(names: readonly string[], size: (name: string) => number): string[][] {
  const groups: string[][] = [];
  let bytes = Infinity;
  for (const name of names) {
    const more = size(name);
    if (bytes + more > SESSION_BYTES) {
      groups.push([]);
      bytes = 0;
    }
    groups.at(-1)!.push(name);
    bytes += more;
  }
  return groups;
}

function allOf({ body, head }: SessionPlan): PlannedSession[] {
  return head ? [head, ...body] : body;
}

/** Bytes of a session's weights. */
export function weightBytes({ plan }: PlannedSession): number {
  return plan.jobs.reduce((sum, job) => sum + job.bytes, 0);
}

function totals(sessions: SessionPlan): { expandedBytes: number; packedBytes: number } {
  let expandedBytes = 0;
  let packedBytes = 0;
  for (const { plan } of allOf(sessions)) {
    expandedBytes += plan.expandedBytes;
    packedBytes += plan.packedBytes;
  }
  return { expandedBytes, packedBytes };
}

function packedNote(bytes: number): string {
  return `weights kept quantised: ${
    wholeMegabytes(bytes)
  }, 10 to 25 times slower than f32 in ONNX Runtime's WebAssembly build`;
}

function tooLarge(spec: StageSpec, sessions: SessionPlan, available: number): MdiError {
  const { embed, layers, head } = spec.range;
  const parts = [
    embed ? "embed" : "",
    layers ? `layers ${layers[0]} to ${layers[1]}` : "",
    head ? "head" : "",
  ].filter((part) => part !== "").join(", ");
  const addressed = addressedBytes(sessions);
  const [required, limit, what] = sessions.peakBytes > available
    ? [sessions.peakBytes, available, "are free"]
    : [addressed, ADDRESSABLE_BYTES, "can be addressed by WebAssembly"];
  return new MdiError(
    "memory",
    `Cannot load ${parts} of ${spec.model}: that needs ${wholeMegabytes(required)} of memory and ${
      wholeMegabytes(limit)
    } ${what}; give this node fewer layers with --layers, add a node, or take a smaller model`,
    { details: { requiredBytes: Math.ceil(required), availableBytes: Math.floor(limit) } },
  );
}
