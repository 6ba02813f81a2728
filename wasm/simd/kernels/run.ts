// Runs a program over the threads of one shared memory. Each thread has a share of the items of an operation and,
// when that is done, takes of the others'; whoever finishes the last item opens the next operation. A thread that
// comes late skips what others did, so nobody waits for one that the system has put aside, unless it holds an item.
import {
  BEATS, CALL, CLAIM_BYTES, DONE, JOB, JOB_SLEEPERS, OP_BYTES, PHASE, PHASE_SLEEPERS, POOL_THREADS, PROFILE, THREAD_LOST,
} from "../abi";
import { execute, isSmall, items } from "./ops";

/** Milliseconds, for the profile. */
@external("env", "now") declare function now(): f64;

/**
 * Looks at a shared word before a thread goes to sleep: some 40 µs within a call, 100 µs between calls. A sleeping
 * thread takes longer to wake than most waits last, and each late one makes the others late.
 */
const SPINS: i32 = 20000;
const JOB_SPINS: i32 = 50000;
/** Nanoseconds of one sleep, and how many without any progress mean that a thread is lost: 0.8 s. */
const SLEEP: i64 = 100_000_000;
const SLEEPS: i32 = 8;
/** Items between two signs of life: milliseconds of work even on a slow board. */
const ITEMS_PER_BEAT: i32 = 8;

@inline function beatOf(thread: i32): usize { return <usize>BEATS + (<usize>thread << 6); }

/** The claims of an operation: i64 items left, and a share for each thread of the pool, in cache lines of their own. */
@inline
function claimOf(claims: usize, k: i32): usize {
  return claims + <usize>k * (<usize>CLAIM_BYTES * (<usize>load<i32>(POOL_THREADS) + 1));
}

/** A call's parameters: two places in turn, so that those of a call are whole as long as JOB has its number. */
@inline
function parametersOf(call: i32): usize {
  return <usize>CALL + (<usize>(call & 1) << 5);
}

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

/** Where a thread's share of an operation is claimed. */
@inline
function shareOf(claim: usize, thread: i32): usize {
  return claim + 64 + (<usize>thread << 6);
}

/** A share, of 22 bits of the call's number, then 21 of the next item and 21 of the end of the items that are left. */
@inline
function share(call: i32, next: i32, end: i32): u64 {
  return (<u64>(call & 0x3fffff) << 42) | (<u64>next << 21) | <u64>end;
}

/**
 * Runs `count` operations over `rows` rows, as thread 0 of `threads`. `claims` has CLAIM_BYTES for each operation and
 * as many for each of its threads in the pool. Returns DONE, or THREAD_LOST where another thread holds an item and has not
 * moved for 0.8 s.
 */
export function run(ops: usize, count: i32, claims: usize, rows: i32, threads: i32): i32 {
  if (threads == 1) {
    runAlone(ops, count, rows);
    return DONE;
  }
  const call = atomic.load<i32>(JOB) + 1, first = atomic.load<i32>(PHASE);
  for (let k = 0; k < count; k++) {
    const claim = claimOf(claims, k), n = items(ops + <usize>k * OP_BYTES, rows, threads);
    atomic.store<i64>(claim, n);
    for (let t = 0; t < threads; t++) atomic.store<u64>(shareOf(claim, t), share(call, n * t / threads, n * (t + 1) / threads));
  }
  const parameters = parametersOf(call);
  atomic.store<i32>(parameters, <i32>ops);
  atomic.store<i32>(parameters + 4, count);
  atomic.store<i32>(parameters + 8, <i32>claims);
  atomic.store<i32>(parameters + 12, rows);
  atomic.store<i32>(parameters + 16, first);
  atomic.store<i32>(parameters + 20, threads);
  atomic.store<i32>(JOB, call);
  if (atomic.load<i32>(JOB_SLEEPERS) > 0) atomic.notify(JOB, -1);
  return participate(call, 0);
}

/** The life of thread 1 and up: waits for calls and takes part in them; ends with a call of no operations. */
export function serve(thread: i32): void {
  let seen = 0;
  for (;;) {
    let spins = 0;
    while (atomic.load<i32>(JOB) == seen) {
      if (++spins < JOB_SPINS) continue;
      atomic.add<i32>(JOB_SLEEPERS, 1);
      atomic.wait<i32>(JOB, seen, -1);
      atomic.sub<i32>(JOB_SLEEPERS, 1);
    }
    seen = atomic.load<i32>(JOB);
    if (atomic.load<i32>(parametersOf(seen) + 4) < 0) return;
    atomic.store<i32>(beatOf(thread) + 4, seen);
    participate(seen, thread);
  }
}

/** Ends serve() in every thread. */
export function stop(): void {
  atomic.store<i32>(parametersOf(atomic.load<i32>(JOB) + 1) + 4, -1);
  atomic.add<i32>(JOB, 1);
  atomic.notify(JOB, -1);
}

/** Takes part in a call, or in what is left of it; a thread that comes after its end does nothing. */
function participate(call: i32, thread: i32): i32 {
  const parameters = parametersOf(call);
  const ops = <usize>atomic.load<u32>(parameters), count = atomic.load<i32>(parameters + 4);
  const claims = <usize>atomic.load<u32>(parameters + 8), rows = atomic.load<i32>(parameters + 12);
  const first = atomic.load<i32>(parameters + 16), threads = atomic.load<i32>(parameters + 20);
  // While JOB has this call's number nobody has written its parameters again.
  if (atomic.load<i32>(JOB) != call || thread >= threads) return DONE;
  let k = 0;
  while (k < count) {
    const done = atomic.load<i32>(PHASE) - first;
    if (done > k) {
      k = done;
      continue;
    }
    const op = ops + <usize>k * OP_BYTES, claim = claimOf(claims, k);
    let finished = takeShare(op, claim, call, rows, threads, thread, thread);
    for (let t = 1; t < threads && !finished; t++) {
      finished = takeShare(op, claim, call, rows, threads, thread, (thread + t) % threads);
    }
    if (finished) open(ops, claims, call, k + 1, count, rows, threads, thread, first);
    else if (atomic.load<i32>(JOB) != call) return DONE;
    else if (!waitFor(first, k, threads)) return THREAD_LOST;
  }
  return DONE;
}

/**
 * Does what is left of a share: its owner from the front, so that it reads weights in sequence, others from the
 * back; half of it at a time, so that there is something to take for others. True where that was the last of the operation.
 */
function takeShare(op: usize, claim: usize, call: i32, rows: i32, threads: i32, thread: i32, owner: i32): bool {
  const at = shareOf(claim, owner);
  for (;;) {
    const seen = atomic.load<u64>(at);
    const next = <i32>(seen >> 21) & 0x1fffff, end = <i32>seen & 0x1fffff, take = (end - next + 1) >> 1;
    if (<i32>(seen >> 42) != (call & 0x3fffff) || take <= 0) return false;
    const isOwner = owner == thread, from = isOwner ? next : end - take;
    const left = isOwner ? share(call, next + take, end) : share(call, next, from);
    if (atomic.cmpxchg<u64>(at, seen, left) != seen) continue;
    for (let item = from; item < from + take; item += ITEMS_PER_BEAT) {
      atomic.add<i32>(beatOf(thread), 1);
      execute(op, item, min(item + ITEMS_PER_BEAT, from + take), rows, threads, thread);
    }
    if (atomic.sub<i64>(claim, take) == take) return true;
  }
  return false;
}

/** Does the small operations that follow, then opens the one after them. */
function open(
  ops: usize, claims: usize, call: i32, k: i32, count: i32, rows: i32, threads: i32, thread: i32, first: i32,
): void {
  while (k < count) {
    const op = ops + <usize>k * OP_BYTES;
    if (!isSmall(op, rows, threads)) break;
    for (let t = 0; t < threads; t++) atomic.store<u64>(shareOf(claimOf(claims, k), t), share(call, 0, 0));
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
