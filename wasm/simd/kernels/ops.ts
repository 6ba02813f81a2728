// The operations of a program, each split into items that any thread may take.
import {
  BF16, BLOCK, GROUP, OP_ATTEND, OP_CACHE, OP_EMBED, OP_GATE_UP, OP_LINEAR, OP_MERGE, OP_NORM, OP_QUANTISE,
  PAGE, PARTIALS, READING, ROTATION_STRIDE, ROTATIONS, ROW_BYTES, ROWS, SCRATCH, SCRATCH_STRIDE,
} from "../abi";
import { attendPage, finishHeads, mergePage } from "./attention";
import { partialBytes } from "./attention_rows";
import { storeKey, storeValue } from "./cache";
import { embedRow } from "./embed";
import { linear } from "./linear";
import { headNorm, rmsNorm } from "./norm";
import { quantiseRow } from "./quantise";
import { rotate } from "./rope";
import { swigluBlock, swigluFloat } from "./swiglu";

@inline function word(op: usize, i: usize): i32 { return load<i32>(op + (i << 2)); }
@inline function address(op: usize, i: usize): usize { return <usize>load<u32>(op + (i << 2)); }
@inline function float(op: usize, i: usize): f32 { return load<f32>(op + (i << 2)); }
@inline function rowOf(r: i32): usize { return <usize>load<u32>(ROWS) + <usize>r * ROW_BYTES; }
/** Whether a weight's input is quantised: all kinds but the three of floating point. */
@inline function isQuantised(kind: i32): bool { return kind > BF16; }

/** One row alone is attended in parts, a page each, so that several threads have work. */
@inline function isSplit(rows: i32, threads: i32): bool { return rows == 1 && threads > 1; }

/** Number of items of an operation over that many rows. */
export function items(op: usize, rows: i32, threads: i32): i32 {
  const code = word(op, 0);
  if (code == OP_LINEAR) {
    let groups = 0;
    const parts = word(op, 8);
    for (let p = 0; p < parts; p++) groups += word(op, 9 + <usize>p * 5 + 2);
    return groups;
  }
  if (code == OP_GATE_UP) return word(op, 12);
  if (code == OP_ATTEND) {
    const kvHeads = word(op, 4);
    return isSplit(rows, threads) ? kvHeads * pages(op, 0) : kvHeads * rows;
  }
  return rows;
}

/** Whether an operation over so few rows is better done at once by who finished the one before. */
export function isSmall(op: usize, rows: i32, threads: i32): bool {
  const code = word(op, 0);
  return rows <= threads && code != OP_LINEAR && code != OP_GATE_UP && code != OP_ATTEND;
}

/** Does items from..to of an operation. */
export function execute(op: usize, from: i32, to: i32, rows: i32, threads: i32, thread: i32): void {
  const code = word(op, 0);
  if (code == OP_LINEAR) linearItems(op, from, to, rows);
  else if (code == OP_GATE_UP) gateUpItems(op, from, to, rows);
  else if (code == OP_ATTEND) attendItems(op, from, to, rows, threads, thread);
  else if (code == OP_NORM) normItems(op, from, to);
  else if (code == OP_CACHE) cacheItems(op, from, to);
  else if (code == OP_MERGE) mergeItems(op, from, to, rows, threads, thread);
  else if (code == OP_EMBED) embedItems(op, from, to);
  else if (code == OP_QUANTISE) quantiseItems(op, from, to);
  else unreachable();
}

function embedItems(op: usize, from: i32, to: i32): void {
  const stride = <usize>word(op, 5);
  for (let r = from; r < to; r++) {
    embedRow(word(op, 1), load<i32>(READING), address(op, 2), word(op, 3), load<i32>(rowOf(r)),
      address(op, 4) + <usize>r * stride);
  }
}

function normItems(op: usize, from: i32, to: i32): void {
  const outF = address(op, 6), outQ = address(op, 8);
  for (let r: usize = from; r < <usize>to; r++) {
    rmsNorm(address(op, 1) + r * address(op, 2), address(op, 3), word(op, 4), float(op, 5),
      outF ? outF + r * address(op, 7) : 0, outQ ? outQ + r * address(op, 9) : 0);
  }
}

function quantiseItems(op: usize, from: i32, to: i32): void {
  for (let r: usize = from; r < <usize>to; r++) {
    quantiseRow(address(op, 1) + r * address(op, 2), address(op, 4) + r * address(op, 5), word(op, 3));
  }
}

function linearItems(op: usize, from: i32, to: i32, rows: i32): void {
  const parts = word(op, 8);
  let first = 0;
  for (let p = 0; p < parts; p++) {
    const part = op + 36 + <usize>p * 20, kind = word(part, 0), groups = word(part, 2);
    const a = max(from - first, 0), b = min(to - first, groups);
    if (a < b) {
      const q = isQuantised(kind);
      linear(kind, load<i32>(READING), address(part, 1), address(op, q ? 1 : 3), address(op, q ? 2 : 4),
        address(part, 3), address(op, 5), rows, word(op, 6), a, b, word(op, 7), address(part, 4));
    }
    first += groups;
  }
}

function gateUpItems(op: usize, from: i32, to: i32, rows: i32): void {
  const K = word(op, 5), blocks = <usize>word(op, 12), gate = address(op, 13), stride = address(op, 14);
  const up = gate + blocks * BLOCK * 4, perBlock = BLOCK / GROUP;
  const kind = word(op, 6), upKind = word(op, 9), q = isQuantised(kind), upQ = isQuantised(upKind);
  const reading = load<i32>(READING);
  linear(kind, reading, address(op, 7), address(op, q ? 1 : 3), address(op, q ? 2 : 4), gate, stride,
    rows, K, from * perBlock, to * perBlock, 0, address(op, 8));
  linear(upKind, reading, address(op, 10), address(op, upQ ? 1 : 3), address(op, upQ ? 2 : 4), up, stride,
    rows, K, from * perBlock, to * perBlock, 0, address(op, 11));
  const outQ = address(op, 15), outF = address(op, 17);
  for (let r: usize = 0; r < <usize>rows; r++) {
    const g = gate + r * stride, u = up + r * stride;
    for (let b: usize = from; b < <usize>to; b++) {
      const o = b << 7;
      if (outQ) {
        const row = outQ + r * address(op, 16);
        swigluBlock(g + o, u + o, row + (b << 5), row + (blocks << 5) + (b << 4));
      }
      if (outF) swigluFloat(g + o, u + o, outF + r * address(op, 18) + o);
    }
  }
}

function cacheItems(op: usize, from: i32, to: i32): void {
  const heads = <usize>word(op, 3), kvHeads = <usize>word(op, 4), D = word(op, 5), half = word(op, 6);
  const scale = float(op, 7), queryNorm = address(op, 8), keyNorm = address(op, 9);
  const offset = address(op, 11), type = word(op, 12), chunk = address(op, 13), bytes = <usize>D << 2;
  for (let r = from; r < to; r++) {
    const q = address(op, 1) + <usize>r * address(op, 2), k = q + heads * bytes, v = k + kvHeads * bytes;
    const cos = <usize>load<u32>(ROTATIONS) + <usize>r * <usize>load<u32>(ROTATION_STRIDE);
    const sin = cos + (<usize>half << 2), position = load<i32>(rowOf(r), 4);
    const page = <usize>load<u32>(<usize>load<u32>(rowOf(r), 8) + (<usize>(position / PAGE) << 2)) + offset;
    const slot = position % PAGE;
    for (let h: usize = 0; h < heads; h++) {
      const head = q + h * bytes;
      if (queryNorm) headNorm(head, queryNorm, D, float(op, 10));
      rotate(head, head, cos, sin, D, half, scale);
    }
    for (let h: usize = 0; h < kvHeads; h++) {
      const key = k + h * bytes;
      if (keyNorm) headNorm(key, keyNorm, D, float(op, 14));
      rotate(key, key, cos, sin, D, half, 1.0);
      storeKey(type, key, page + h * chunk, slot, D);
      storeValue(type, v + h * bytes, page + h * chunk, slot, D);
    }
  }
}

/** The first page that row r sees: 0 but where a window has moved on. */
@inline function firstPage(op: usize, position: i32): i32 {
  const window = word(op, 6);
  return window ? max(position + 1 - window, 0) / PAGE : 0;
}

/** How many pages row r sees. */
@inline function pages(op: usize, r: i32): i32 {
  const position = load<i32>(rowOf(r), 4);
  return position / PAGE + 1 - firstPage(op, position);
}

/** Attends the p-th page that row r sees, for the query heads of one kv head. */
function attendOne(op: usize, r: i32, h: usize, p: i32, scratch: usize, out: usize): void {
  const D = word(op, 5), q = <i32>(word(op, 3) / word(op, 4)), window = word(op, 6);
  const row = rowOf(r), position = load<i32>(row, 4), index = firstPage(op, position) + p;
  const page = <usize>load<u32>(<usize>load<u32>(row, 8) + (<usize>index << 2)) + address(op, 7) + h * address(op, 9);
  const start = index * PAGE, first = window ? max(position + 1 - window - start, 0) : 0;
  const end = min(position + 1 - start, PAGE);
  attendPage(word(op, 8), address(op, 1) + <usize>r * address(op, 2) + h * <usize>q * (<usize>D << 2), q, D,
    page, first, end - first, scratch, out);
}

/** State of no positions yet. */
function clear(state: usize, heads: i32, D: i32): void {
  memory.fill(state, 0, <usize>heads * partialBytes(D));
  for (let h = 0; h < heads; h++) f32.store(state + <usize>h * partialBytes(D) + (<usize>D << 2), -Infinity);
}

function attendItems(op: usize, from: i32, to: i32, rows: i32, threads: i32, thread: i32): void {
  const kvHeads = word(op, 4), D = word(op, 5), q = word(op, 3) / kvHeads, size = <usize>q * partialBytes(D);
  const scratch = <usize>load<u32>(SCRATCH) + <usize>thread * <usize>load<u32>(SCRATCH_STRIDE);
  const partial = scratch + <usize>kvHeads * size, scores = partial + size;
  if (isSplit(rows, threads)) {
    for (let i = from; i < to; i++) attendOne(op, 0, i % kvHeads, i / kvHeads, scores, <usize>load<u32>(PARTIALS) + <usize>i * size);
    return;
  }
  // The kv heads of a row together, page by page: their chunks lie side by side there.
  for (let i = from; i < to;) {
    const r = i / kvHeads, first = i % kvHeads, count = min(kvHeads - first, to - i), n = pages(op, r);
    clear(scratch, count * q, D);
    for (let p = 0; p < n; p++) {
      for (let h = 0; h < count; h++) {
        attendOne(op, r, first + h, p, scores, partial);
        mergePage(scratch + <usize>h * size, partial, q, D);
      }
    }
    finishHeads(scratch, count * q, D, address(op, 10) + <usize>r * address(op, 11) + <usize>first * <usize>q * (<usize>D << 2));
    i += count;
  }
}

function mergeItems(op: usize, from: i32, to: i32, rows: i32, threads: i32, thread: i32): void {
  const kvHeads = word(op, 4), D = word(op, 5), heads = word(op, 3), q = heads / kvHeads;
  const size = <usize>q * partialBytes(D), stride = address(op, 11), out = address(op, 10);
  if (isSplit(rows, threads)) {
    const scratch = <usize>load<u32>(SCRATCH) + <usize>thread * <usize>load<u32>(SCRATCH_STRIDE), n = pages(op, 0);
    for (let h = 0; h < kvHeads; h++) {
      clear(scratch, q, D);
      for (let p = 0; p < n; p++) mergePage(scratch, <usize>load<u32>(PARTIALS) + <usize>(p * kvHeads + h) * size, q, D);
      finishHeads(scratch, q, D, out + <usize>h * <usize>q * (<usize>D << 2));
    }
  }
  const outQ = address(op, 13);
  if (outQ) {
    for (let r: usize = from; r < <usize>to; r++) quantiseRow(out + r * stride, outQ + r * address(op, 14), heads * D);
  }
}
