/** What ONNX Runtime takes beside weights. */

/** What ONNX Runtime takes without any weights: its code, compiled, and its thread. */
export const RUNTIME_BYTES = 120e6;
/** Weights in its memory, and what a session needs beside them, as a multiple of the weights. */
export const RESIDENT_SHARE = 1.1;
