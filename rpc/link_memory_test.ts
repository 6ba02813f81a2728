import { testLink } from "./_link_contract.ts";
import { openMemoryLink } from "./link_memory.ts";

testLink("openMemoryLink()", () =>
  Promise.resolve({
    open: openMemoryLink,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }));
