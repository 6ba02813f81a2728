// The kernels' exports. Both builds of this file are committed beside README.md, which says how they are made.
export { embedRow } from "./embed";
export { flip8, linear, probe } from "./linear";
export { quantiseRow } from "./quantise";
export { run, serve, stop } from "./run";
export { argMax, topK } from "./select";
