import { assertEquals } from "@std/assert";
import { MdiError } from "../../wasm/error.ts";
import { exitStatus } from "../exit.ts";
import { bad, failureOf, findingOf, good, unknown, untold, warning } from "./finding.ts";
import { findingsText, summaryText } from "./findings_text.ts";

const FINE = good("threads", 4, "4 threads of 4 processors");
const FULL = bad("disk", 0, "0 bytes free", "free some", "disk");
const GONE = bad("peer a", null, "Cannot reach a", "start it", "peer_unreachable");

Deno.test("findingOf() takes a message apart, and calls what is not permitted unknown", () => {
  const error = new MdiError("disk", "Cannot open x: it is a; b at c; set MDI_HOME");
  assertEquals(
    findingOf("store", error),
    bad("store", null, "Cannot open x: it is a; b at c", "set MDI_HOME", "disk"),
  );
  const bare = new MdiError("protocol", "Lost a: it is silent");
  assertEquals(findingOf("peer a", bare, "look there").action, "look there");
  assertEquals(findingOf("store", new Deno.errors.NotCapable("no")).status, "unknown");
  assertEquals(findingOf("store", new Error("odd")).message, "not checked: odd");
});

Deno.test("failureOf() has the exit status of the first bad line", () => {
  const loud = warning("wifi", "on", "on", "switch it off");
  assertEquals(failureOf([FINE, loud, unknown("x", "?")]), null);
  assertEquals(exitStatus(failureOf([FINE, FULL, GONE])), 6);
  assertEquals(exitStatus(failureOf([GONE, FULL])), 4);
  assertEquals(
    failureOf([FULL])!.message,
    "Cannot run mdi as asked: 1 check is bad (disk); do what its line says",
  );
  assertEquals(
    failureOf([GONE, FULL])!.message,
    "Cannot run mdi as asked: 2 checks are bad (peer a, disk); do what their lines say",
  );
  const twice = bad("peer b", null, "the same node as a", "leave one out", "usage");
  assertEquals(exitStatus(failureOf([twice])), 2);
});

Deno.test("findingsText() aligns, marks with words, and says once what neighbours want", () => {
  const findings = [FINE, untold("page size", false), untold("wifi", false), FULL];
  const lines = findingsText(findings).split("\n");
  assertEquals(lines.slice(0, 3), [
    "ok    threads    4 threads of 4 processors",
    "?     page size  not readable",
    "?     wifi       not readable",
  ]);
  assertEquals(lines.slice(4), ["BAD   disk       0 bytes free", "                 -> free some"]);
  assertEquals(lines[3]!.startsWith("                 -> for all of it"), true);
  const long = findingsText([bad("a", null, "b", "type\n  c", "usage")]);
  assertEquals(long, "BAD   a  b\n         -> type\n              c");
  assertEquals(summaryText(findings), "1 ok, 0 warnings, 1 bad, 2 not known");
});
