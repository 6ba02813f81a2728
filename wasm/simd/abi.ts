/**
 * What the kernels (AssemblyScript) and the stage (TypeScript) agree on. The file is compiled as both, so it
 * holds plain integer constants only. README.md beside it draws the layouts.
 */

/** Rows of a weight matrix that are stored together, one lane each: four vectors of four. */
export const GROUP = 16;
/** Weights of a row that share a quantised activation block. */
export const BLOCK = 32;
/** Weights of a super-block of the K types. */
export const SUPER = 256;
/** Positions in a page of a KV cache, which are also what attention takes at a time. */
export const PAGE = 64;

// Kinds of packed weights: the width of the codes and the form of their scales.
/** f32, k-major: for each k the 16 values of the group. */
export const F32 = 0;
/** The same in f16. */
export const F16 = 1;
/** The same in bf16. */
export const BF16 = 2;
/** 4-bit codes, an f16 scale: w = s · (q - 8). */
export const Q4_H = 3;
/** 4-bit codes, an f16 scale and minimum: w = s · q + m. */
export const Q4_HM = 4;
/** 4-bit codes, an f32 scale and a u8 zero point: w = s · (q - z). */
export const Q4_FZ = 5;
/** As Q4_FZ, with a scale and a zero point for each half of the block of 32. */
export const Q4_F2 = 6;
/** 4-bit codes of a super-block: w = d · c · q - e · m with u8 c, m a block and f16 d, e a super-block. */
export const Q4_K = 7;
/** 5-bit codes, an f16 scale: w = s · (q - 16). */
export const Q5_H = 8;
/** 5-bit codes, an f16 scale and minimum. */
export const Q5_HM = 9;
/** 5-bit codes of a super-block. */
export const Q5_K = 10;
/** 6-bit codes of a super-block: w = d · c · (q - 32) with an i8 c for each half of a block and an f16 d. */
export const Q6_K = 11;
/** 8-bit codes, an f16 scale: w = s · (q - 128). */
export const Q8_H = 12;
/** 8-bit codes, an f32 scale and a u8 zero point. */
export const Q8_FZ = 13;
/** As Q8_FZ, with a scale and a zero point for each half of the block of 32. */
export const Q8_F2 = 14;

// How the host reads the second operand of the relaxed dot product (WebAssembly leaves it open above 127).
/** As unsigned, exactly: 8-bit codes are stored as they are. */
export const READS_U8 = 0;
/** As signed, exactly: 8-bit codes are stored with their top bit flipped. */
export const READS_I8 = 1;
/** As unsigned, with pair sums that saturate at 16 bits: 8-bit codes are multiplied in 16 bits. */
export const SATURATES = 2;

// Types of KV caches.
/** 4 bytes a value. */
export const KV_F32 = 0;
/** 2 bytes a value. */
export const KV_F16 = 1;
/** A byte a value, and an f32 scale for each position and head. */
export const KV_I8 = 2;

// The control block: fixed addresses below 64 KB, each shared word in a cache line of its own.
/** i32: number of the current call; a parked thread waits on it. */
export const JOB = 1024;
/** i32: threads that wait on JOB. */
export const JOB_SLEEPERS = 1088;
/** i32: operations completed, over all calls; a thread that runs ahead waits on it. */
export const PHASE = 1152;
/** i32: threads that wait on PHASE. */
export const PHASE_SLEEPERS = 1216;
/** Twice eight i32, of a call and the next: operations, their count, claims, rows, first phase, threads. */
export const CALL = 1280;
/** A line for each thread: i32 heartbeat, i32 number of the last call it joined. */
export const BEATS = 2048;
/** f64 milliseconds by opcode, where profiling is on; i32 switch before it. */
export const PROFILE = 8192;
/** The host's reading (READS_U8 …), an i32. */
export const READING = 8320;
/** i32: address of the call's rows: for each an i32 token, position and address of its page table. */
export const ROWS = 8324;
/** i32: address of the call's rotations: for each row cosines, then sines. */
export const ROTATIONS = 8328;
/** i32: bytes of a row's rotations. */
export const ROTATION_STRIDE = 8332;
/** i32: address of the threads' scratch. */
export const SCRATCH = 8336;
/** i32: bytes of a thread's scratch: attention's states of all kv heads, a partial result, scores. */
export const SCRATCH_STRIDE = 8344;
/** i32: address where attention leaves its parts: for each page and kv head, what its query heads have. */
export const PARTIALS = 8340;
/** i32: threads of the pool, which claims have room for. */
export const POOL_THREADS = 8348;
/** First address that is not of the control block. */
export const CONTROL_END = 65536;

/** Bytes of a row in the table at ROWS. */
export const ROW_BYTES = 16;
/** Bytes of a cache line: of an operation's items left, and of each thread's share of them. */
export const CLAIM_BYTES = 64;
/** Bytes of an operation: 32 words, the first its opcode. */
export const OP_BYTES = 128;

// Opcodes; program.ts names the words of each.
/** Rows of a table to hidden rows. */
export const OP_EMBED = 1;
/** RMSNorm of hidden rows, quantised or not. */
export const OP_NORM = 2;
/** Up to three matrices with the same input. */
export const OP_LINEAR = 3;
/** Norms and rotates queries and keys, and stores keys and values in the caches. */
export const OP_CACHE = 4;
/** Attention. */
export const OP_ATTEND = 5;
/** Merges what attention left in parts, and quantises. */
export const OP_MERGE = 6;
/** down's input: silu(gate · x) · (up · x). */
export const OP_GATE_UP = 7;
/** Rows of f32 to quantised ones. */
export const OP_QUANTISE = 8;

/** What run() returns where a thread did not answer. */
export const THREAD_LOST = -1;
/** What run() returns where all went well. */
export const DONE = 0;
