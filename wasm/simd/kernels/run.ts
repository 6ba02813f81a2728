// Runs a program over the threads of one shared memory. A thread claims items of the current operation until
// none is left; whoever finishes the last one opens the next operation. A thread that comes late skips what
// others did, so nobody waits for a thread that the system has put aside, unless it holds an item.
import {
  BEATS, CALL, CLAIM_BYTES, DONE, JOB, JOB_SLEEPERS, OP_BYTES, PHASE, PHASE_SLEEPERS, PROFILE, THREAD_LOST,
} from "../abi";
import { execute, isSmall, items } from "./ops";

/** Milliseconds, for the profile. */
@external("env", "now") declare function now(): f64;

/** Looks at a shared word before a thread goes to sleep: a few microseconds. */
const SPINS: i32 = 2000;
/** Nanoseconds of one sleep, and how many without any progress mean that a thread is lost: 0.8 s. */
const SLEEP: i64 = 100_000_000;
const SLEEPS: i32 = 8;

@inline function beatOf(thread: i32): usize { return <usize>BEATS + (<usize>thread << 6); }

/** One thread alone: no claims, no waits. */
function runAlone(ops: usize, count: i32, rows: i32): void {
  const profile = load<i32>(PROFILE);
  for (let k = 0; k < count; k++) {
    const op = ops + <usize>k * OP_BYTES;
    const start = profile ? now() : 0;
    execute(op, 0, items(op, rows, 1), rows, 1, 0);
    if (profile) {
      const slot = <usize>PROFILE + (<usize>load<i32>(op) << 3);
      f64.store(slot, f64.load(slot) + now() - start);
    }
  }
}

/**
 * Runs `count` operations over `rows` rows, as thread 0 of `threads`. `claims` has CLAIM_BYTES for each.
 * Returns DONE, or THREAD_LOST where another thread holds an item and has not moved for 0.8 s.
 */
export function run(ops: usize, count: i32, claims: usize, rows: i32, threads: i32): i32 {
  if (threads == 1) {
    runAlone(ops, count, rows);
    return DONE;
  }
  const call = atomic.load<i32>(JOB) + 1, first = atomic.load<i32>(PHASE);
  for (let k = 0; k < count; k++) {
    const claim = claims + <usize>k * CLAIM_BYTES;
    atomic.store<i64>(claim, <i64>call << 32);
    atomic.store<i32>(claim + 8, 0);
  }
  atomic.store<i32>(CALL, <i32>ops);
  atomic.store<i32>(CALL + 4, count);
  atomic.store<i32>(CALL + 8, <i32>claims);
  atomic.store<i32>(CALL + 12, rows);
  atomic.store<i32>(CALL + 16, first);
  atomic.store<i32>(CALL + 20, threads);
  atomic.store<i32>(JOB, call);
  if (atomic.load<i32>(JOB_SLEEPERS) > 0) atomic.notify(JOB, -1);
  const result = participate(call, 0);
  // Closes the claims: the rows that items() looks at may change now, and a late thread may still look.
  for (let k = 0; k < count; k++) atomic.store<i64>(claims + <usize>k * CLAIM_BYTES, (<i64>call << 32) | 0x7fffffff);
  return result;
}

/** The life of thread 1 and up: waits for calls and takes part in them; ends with a call of no operations. */
export function serve(thread: i32): void {
  let seen = 0;
  for (;;) {
    let spins = 0;
    while (atomic.load<i32>(JOB) == seen) {
      if (++spins < SPINS) continue;
      atomic.add<i32>(JOB_SLEEPERS, 1);
      atomic.wait<i32>(JOB, seen, -1);
      atomic.sub<i32>(JOB_SLEEPERS, 1);
    }
    seen = atomic.load<i32>(JOB);
    if (atomic.load<i32>(CALL + 4) < 0) return;
    atomic.store<i32>(beatOf(thread) + 4, seen);
    if (thread < atomic.load<i32>(CALL + 20)) participate(seen, thread);
  }
}

/** Ends serve() in every thread. */
export function stop(): void {
  atomic.store<i32>(CALL + 4, -1);
  atomic.add<i32>(JOB, 1);
  atomic.notify(JOB, -1);
}

/**
 * A call's parameters may already be those of the next one: then its claims are too, and a claim of another
 * call is never taken. They are written before JOB and read with sequential consistency for that.
 */
function participate(call: i32, thread: i32): i32 {
  const ops = <usize>atomic.load<u32>(CALL), count = atomic.load<i32>(CALL + 4);
  const claims = <usize>atomic.load<u32>(CALL + 8), rows = atomic.load<i32>(CALL + 12);
  const first = atomic.load<i32>(CALL + 16), threads = atomic.load<i32>(CALL + 20);
  let k = 0;
  while (k < count) {
    const done = atomic.load<i32>(PHASE) - first;
    if (done > k) {
      k = done;
      continue;
    }
    const op = ops + <usize>k * OP_BYTES, claim = claims + <usize>k * CLAIM_BYTES, n = items(op, rows, threads);
    let opened = false;
    for (;;) {
      const seen = atomic.load<i64>(claim);
      if (<i32>(seen >> 32) != call) return DONE;
      const next = <i32>seen;
      if (next >= n) break;
      // Guided self-scheduling: large pieces first, single items at the end.
      const take = max((n - next) / (2 * threads), 1);
      if (atomic.cmpxchg<i64>(claim, seen, seen + take) != seen) continue;
      atomic.add<i32>(beatOf(thread), 1);
      execute(op, next, next + take, rows, threads, thread);
      if (atomic.add<i32>(claim + 8, take) + take == n) {
        open(ops, k + 1, count, rows, threads, thread, first);
        opened = true;
        break;
      }
    }
    if (!opened && !waitFor(first, k, threads)) return THREAD_LOST;
  }
  return DONE;
}

/** Does the small operations that follow, then opens the one after them. */
function open(ops: usize, k: i32, count: i32, rows: i32, threads: i32, thread: i32, first: i32): void {
  while (k < count) {
    const op = ops + <usize>k * OP_BYTES;
    if (!isSmall(op, rows, threads)) break;
    execute(op, 0, items(op, rows, threads), rows, threads, thread);
    k++;
  }
  atomic.store<i32>(PHASE, first + k);
  if (atomic.load<i32>(PHASE_SLEEPERS) > 0) atomic.notify(PHASE, -1);
}

/** Waits until operation k is done: spins a little, then sleeps. False where no thread makes progress. */
function waitFor(first: i32, k: i32, threads: i32): bool {
  for (let i = 0; i < SPINS; i++) if (atomic.load<i32>(PHASE) - first > k) return true;
  let beats = 0, idle = 0;
  atomic.add<i32>(PHASE_SLEEPERS, 1);
  for (;;) {
    const phase = atomic.load<i32>(PHASE);
    if (phase - first > k) break;
    if (atomic.wait<i32>(PHASE, phase, SLEEP) != 2) continue;
    let sum = 0;
    for (let t = 0; t < threads; t++) sum += atomic.load<i32>(beatOf(t));
    idle = sum == beats ? idle + 1 : 0;
    beats = sum;
    if (idle >= SLEEPS) break;
  }
  atomic.sub<i32>(PHASE_SLEEPERS, 1);
  return atomic.load<i32>(PHASE) - first > k;
}
