// The products alone, over a dot product in software: what is built for tests.
export { readAs } from "./_soft_dot";
export { embedRow } from "./embed";
export { flip8, linear, probe } from "./linear";
export { quantiseRow } from "./quantise";
