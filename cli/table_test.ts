import { assertEquals } from "@std/assert";
import { formatCount, formatLayers, formatShare, joinClauses, renderTable } from "./table.ts";

Deno.test("renderTable() aligns words to the left and numbers to the right", () => {
  assertEquals(
    renderTable(["node", "size", "busy"], [["pi-a", "1.2 MB", "7 %"], ["b", "900 kB", "100 %"]]),
    [
      "node    size   busy",
      "----  ------  -----",
      "pi-a  1.2 MB    7 %",
      "b     900 kB  100 %",
    ].join("\n"),
  );
  assertEquals(renderTable(["a"], []), "a\n-");
});

Deno.test("formatCount(), formatShare() and formatLayers() write what people read", () => {
  assertEquals([0, 64, 999, 32_800, 999_600, 134_515_008, 7e9].map(formatCount), [
    ...["0", "64", "999", "32.8 k", "1.0 M", "134.5 M", "7.0 B"],
  ]);
  assertEquals([0, 0.456, 1].map(formatShare), ["0 %", "46 %", "100 %"]);
  assertEquals([formatLayers([0, 9]), formatLayers([3, 3]), formatLayers(null)], [
    "0-9",
    "3",
    "none",
  ]);
});

Deno.test("joinClauses() begins a line where a clause has no room", () => {
  const clauses = ["first clause", "second", "third one"];
  assertEquals(joinClauses(clauses, Infinity), "first clause; second; third one");
  assertEquals(joinClauses(clauses, 22), "first clause; second;\n  third one");
  assertEquals(joinClauses(clauses, 5), "first clause;\n  second;\n  third one");
  assertEquals(joinClauses([], 80), "");
});
