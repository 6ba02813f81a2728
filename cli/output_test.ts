import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { newToken } from "../rpc/token.ts";
import { Output, outputOptionsOf, printable, recordOf, withoutTokens } from "./output.ts";

Deno.test("printable() leaves text and takes what steers a terminal", () => {
  assertEquals(printable("naïve 😀\n\tyes"), "naïve 😀\n\tyes");
  assertEquals(printable("a\r\nb"), "a\nb");
  assertEquals(printable("\x1b[31mred\x07\x9b"), "\ufffd[31mred\ufffd\ufffd");
  // deno-lint-ignore no-control-regex
  const steers = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/;
  fc.assert(
    fc.property(fc.string({ unit: "binary-ascii" }), (text) => !steers.test(printable(text))),
  );
});

Deno.test("withoutTokens() takes every spelling of a token out of a text", () => {
  assertEquals(withoutTokens("mdi is on mdi-1 and mdi1"), "mdi is on mdi-1 and mdi1");
  for (let i = 0; i < 100; i++) {
    const token = newToken();
    const [, ...groups] = token.split("-");
    for (
      const text of [token, token.toUpperCase(), token.replaceAll("-", ""), token.slice(0, 20)]
    ) {
      const safe = withoutTokens(`Cannot use '${text}': no`).toLowerCase();
      assert(groups.slice(0, 3).every((group) => !safe.includes(group)), safe);
      assert(safe.startsWith("cannot use '") && safe.endsWith("': no"), safe);
    }
  }
});

Deno.test("outputOptionsOf() finds the flags of output among any others", () => {
  assertEquals(outputOptionsOf(["--x"]), { json: false, quiet: false, log: "text" });
  assertEquals(outputOptionsOf(["json", "--log"]), { json: false, quiet: false, log: "text" });
  for (const log of [["--log", "json"], ["--log=json"]]) {
    assertEquals(outputOptionsOf(["--y", ...log, "--json", "--quiet"]), {
      json: true,
      quiet: true,
      log: "json",
    });
  }
});

Deno.test("recordOf() names fields as all records do", () => {
  const at = new Date(0);
  assertEquals(
    recordOf("model", { kvHeads: 2, blocks: [{ lastUsed: at, sharedBytes: 1 }], license: null }),
    { type: "model", kv_heads: 2, blocks: [{ last_used: at, shared_bytes: 1 }], license: null },
  );
});

Deno.test("Output takes an unfinished progress line away before it writes", () => {
  const output = new Output({ json: false, quiet: false, log: "text" });
  let ended = 0;
  output.progress().holder = { shownAt: 0, update() {}, end: () => void ended++ };
  output.text("");
  assertEquals(ended, 1);
});
