/** Where the secondaries of `mdi --demo` keep what they are given. */
import { join } from "node:path";
import { defaultHome } from "../engine/store/layout.ts";

/** The directory of their stores, "1" and "2"; it need not be there. */
export function demoHome(): string {
  return join(defaultHome(), "demo");
}
