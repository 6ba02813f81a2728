import { assertEquals } from "@std/assert";
import { formatRate } from "./format_rate.ts";

Deno.test("formatRate() has as many digits as tell", () => {
  const rates = [187.3456, 100, 12.34, 9.0909, 0.528, 0.00219, 0];
  assertEquals(rates.map(formatRate), ["187.3", "100.0", "12.3", "9.09", "0.53", "0.0022", "0"]);
});
