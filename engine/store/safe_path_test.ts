import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { join, relative } from "node:path";
import { isSafePath } from "./safe_path.ts";

Deno.test("isSafePath() keeps a path below its directory", () => {
  for (const path of ["a", "a/b.gguf", "onnx/model.onnx_data", "..a", ".hidden", "a b"]) {
    assertEquals(isSafePath(path), true, path);
  }
  const bad = [
    "",
    "/a",
    "a/",
    "a//b",
    "..",
    "a/../b",
    ".",
    "a\\b",
    "C:a",
    "a\0",
    "a\n",
    "a.",
    "a ",
  ];
  for (const path of [...bad, "x".repeat(600)]) assertEquals(isSafePath(path), false, path);
});

Deno.test("isSafePath() lets no text leave the directory", () => {
  const part = fc.oneof(fc.constantFrom("..", ".", "", "a", "a.b", "\\", "~"), fc.string());
  fc.assert(fc.property(fc.array(part, { maxLength: 5 }), (parts) => {
    const path = parts.join("/");
    if (isSafePath(path)) {
      assert(!/^\.\.(\/|$)/.test(relative("/models/x", join("/models/x", path))));
    }
  }));
});
