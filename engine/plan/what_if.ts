/**
 * Devices from a file: what a person has, or thinks of buying.
 *
 *     {"layers":30,"d_model":576,"layer_bytes":2212000,"kv_bytes_per_token_layer":1536,"samples":8,"context":1024,
 *      "nodes":[{"name":"pi5","memory_bytes":7e9,"layer_ms":2.1,"embed_ms":0.1,"head_ms":5}],
 *      "link":{"rtt_ms":0.4,"mbit":940},"links":[{"from":"pi5","to":"pi4","rtt_ms":2,"mbit":50}]}
 *
 * The first node is the starter. `link` is the default between all nodes, `links` are one way each.
 */
import { readRowTimes } from "../../wasm/row_times.ts";
import { MAX_FRAME_ROWS } from "../ring/message.ts";
import type { PlanDevice, PlanGoal, PlanLink, PlanModel, PlanProblem } from "./problem.ts";
import { fieldsOf, type JsonFields } from "./json_fields.ts";

/** The longest file that is read, in bytes. */
export const MAX_WHAT_IF_BYTES = 1_000_000;

const MAX_NODES = 64;
const MAX_LAYERS = 1024;
const MAX_BYTES = 1e15;
const MAX_MS = 3_600_000;

/** A wired network of today; where the file says nothing of links. */
const WIRED: PlanLink = { rttMs: 0.4, mbit: 940 };
/** As a ring has slots for each node where nobody says how many. */
const SAMPLES_PER_NODE = 4;
const CONTEXT = 1024;
/** Bytes of a frame beside its rows. */
const HEADER_BYTES = 64;

/** What takes the place of the file's own. */
export interface WhatIfOptions {
  /** Samples in the ring at once. */
  samples?: number;
  /** Tokens that a sample's caches have room for. */
  context?: number;
  /** What is wanted. */
  goal?: PlanGoal;
}

/** What the file asks, and what was taken for granted. */
export interface WhatIf {
  /** What the planner is asked. */
  readonly problem: PlanProblem;
  /** One line each: defaults that stand for what the file does not say, fields that nothing reads. */
  readonly notes: readonly string[];
}

/**
 * Reads a what-if file.
 *
 * Not needed: `samples` (4 a node), `context` (1024), `embed_bytes`, `head_bytes`, `embed_ms`, `head_ms`, `frame_ms`
 * (what each frame takes from computing where no processor is free for messages; 0 each),
 * `link` (0.4 ms, 940 Mbit/s), `links`, `goal` ("throughput"). A time may be given by rows of a frame:
 * `"layer_ms":{"rows":[1,4],"ms":[2.1,3.5]}`.
 *
 * @throws {RangeError} where it is not such a file; the message names the field.
 */
export function readWhatIf(text: string, options: WhatIfOptions = {}): WhatIf {
  if (text.length > MAX_WHAT_IF_BYTES) {
    throw new RangeError(
      `Cannot read the what-if file: it is over ${MAX_WHAT_IF_BYTES} bytes; give one device each a few lines`,
    );
  }
  let json: unknown;
  try {
    // Some editors begin a file with a byte order mark.
    json = JSON.parse(text.replace(/^\ufeff/, ""));
  } catch (cause) {
    throw new RangeError(
      `Cannot read the what-if file: it is not JSON: ${(cause as Error).message}`,
      { cause },
    );
  }
  const notes: string[] = [];
  const file = fieldsOf(json, "");
  const model: PlanModel = {
    layers: file.whole("layers", 1, MAX_LAYERS),
    layerBytes: file.number("layer_bytes", 1, MAX_BYTES),
    kvBytesPerTokenLayer: file.number("kv_bytes_per_token_layer", 0, MAX_BYTES),
    embedBytes: file.number("embed_bytes", 0, MAX_BYTES, 0),
    headBytes: file.number("head_bytes", 0, MAX_BYTES, 0),
    rowBytes: 4 * file.whole("d_model", 1, 1_000_000) + HEADER_BYTES,
  };
  const entries = file.list("nodes", 1, MAX_NODES);
  const nodes = entries.map((node) => readDevice(node, notes));
  for (const field of ["embed_ms", "head_ms"]) {
    const without = nodes.filter((_, i) => !entries[i]!.has(field)).map(({ name }) => name);
    if (without.length === 0) continue;
    notes.push(
      `${field} is not given for ${
        without.join(", ")
      }: 0 taken, also in what they would give alone`,
    );
  }
  const names = new Map(nodes.map(({ name }, i) => [name, i]));
  if (names.size < nodes.length) {
    const twice = nodes.findIndex(({ name }, i) => names.get(name) !== i);
    throw file.refusal("nodes", `there are two nodes named "${nodes[twice]!.name}"`);
  }
  const link = readLinks(file, names, notes);
  const samples = file.whole("samples", 1, MAX_FRAME_ROWS, SAMPLES_PER_NODE * nodes.length);
  const context = file.whole("context", 1, 1e9, CONTEXT);
  const goal = file.choice("goal", ["throughput", "latency"] as const, "throughput");
  const unsaid = (name: string, given: number | undefined, value: number) => {
    if (given === undefined && !file.has(name)) notes.push(`${name} is not given: ${value} taken`);
  };
  unsaid("samples", options.samples, samples);
  unsaid("context", options.context, context);
  notes.push(...file.unread());
  return {
    problem: {
      model,
      nodes,
      link,
      samples: options.samples ?? samples,
      context: options.context ?? context,
      goal: options.goal ?? goal,
    },
    notes,
  };
}

function readDevice(node: JsonFields, notes: string[]): PlanDevice {
  const device = {
    name: node.text("name", 64),
    memoryBytes: node.number("memory_bytes", 0, MAX_BYTES),
    layer: readRowTimes(node.value("layer_ms", "milliseconds"), node.path("layer_ms")),
    embed: readRowTimes(node.value("embed_ms", "milliseconds", 0), node.path("embed_ms")),
    head: readRowTimes(node.value("head_ms", "milliseconds", 0), node.path("head_ms")),
    frameMs: node.number("frame_ms", 0, MAX_MS, 0),
  };
  if (device.layer.ms.includes(0)) {
    throw node.refusal("layer_ms", "it is 0; give what a layer takes");
  }
  notes.push(...node.unread());
  return device;
}

/** The way between any two nodes: its own where `links` has it, else `link`. */
function readLinks(
  file: JsonFields,
  names: ReadonlyMap<string, number>,
  notes: string[],
): (from: number, to: number) => PlanLink {
  const usual = file.has("link") ? readLink(file.object("link"), WIRED, notes) : WIRED;
  if (!file.has("link") && names.size > 1) {
    notes.push(`link is not given: ${WIRED.rttMs} ms round trip, ${WIRED.mbit} Mbit/s taken`);
  }
  const own = new Map<number, PlanLink>();
  const entries = file.has("links") ? file.list("links", 0, MAX_NODES ** 2) : [];
  for (const entry of entries) {
    const [from, to] = ["from", "to"].map((name) => {
      const index = names.get(entry.text(name, 64));
      if (index !== undefined) return index;
      throw entry.refusal(name, `there is no node "${entry.text(name, 64)}"`);
    }) as [number, number];
    if (from === to) throw entry.refusal("to", "it is the node that the link comes from");
    const key = from * names.size + to;
    if (own.has(key)) throw entry.refusal("to", "the same link is there twice");
    own.set(key, readLink(entry, usual, notes));
  }
  return (from, to) => own.get(from * names.size + to) ?? usual;
}

function readLink(link: JsonFields, usual: PlanLink, notes: string[]): PlanLink {
  const rttMs = link.number("rtt_ms", 0, MAX_MS, usual.rttMs);
  const mbit = link.number("mbit", 1e-3, 1e9, usual.mbit);
  for (const [name, value] of [["rtt_ms", rttMs], ["mbit", mbit]] as const) {
    if (!link.has(name)) notes.push(`${link.path(name)} is not given: ${value} taken`);
  }
  notes.push(...link.unread());
  return { rttMs, mbit };
}
