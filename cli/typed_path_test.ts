import { assertEquals } from "@std/assert";
import { join } from "node:path";
import { typedModel, typedPath } from "./typed_path.ts";

Deno.test("typedPath() starts where the person is, if that is elsewhere", () => {
  assertEquals(typedPath("../a.txt", "/home/x"), "/home/a.txt");
  assertEquals(typedPath("/a.txt", "/home/x"), "/a.txt");
  assertEquals(typedPath("", "/home/x"), "");
  assertEquals(typedPath("a.txt", undefined), "a.txt");
});

Deno.test("typedModel() takes for a path only what is there", async () => {
  const dir = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(join(dir, "m.gguf"), "");
    assertEquals(typedModel("m.gguf", dir), join(dir, "m.gguf"));
    assertEquals(typedModel(".", dir), dir);
    for (const name of ["owner/name", "owner/name:q4", "", "a\0b"]) {
      assertEquals(typedModel(name, dir), name);
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
