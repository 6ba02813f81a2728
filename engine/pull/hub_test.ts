import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { MdiError } from "../../wasm/error.ts";
import { acceptOrRefuse, damagedJson } from "../../tests/support/hostile.ts";
import { isSafePath } from "../store/safe_path.ts";
import { parseHubInfo } from "./hub.ts";

const SHA256 = "ab".repeat(32);
const ANSWER = {
  sha: "0123456789abcdef0123456789abcdef01234567",
  cardData: { license: "apache-2.0" },
  tags: ["license:mit"],
  siblings: [
    { rfilename: "config.json", size: 686, blobId: "cd".repeat(20) },
    { rfilename: "onnx/model.onnx", size: 133, lfs: { size: 9_000_000, sha256: SHA256 } },
  ],
};

Deno.test("parseHubInfo() reads licence, sizes and hashes, and drops unsafe files", () => {
  const sha256 = "a".repeat(64);
  const siblings = [
    { rfilename: "m.gguf", size: 5, lfs: { sha256, size: 5, pointerSize: 130 } },
    { rfilename: "config.json", size: 2, blobId: "b".repeat(40) },
    { rfilename: "x", size: -1 },
    { rfilename: "/etc/passwd", size: 1 },
    null,
  ];
  const parse = (extra: unknown) =>
    parseHubInfo(JSON.stringify({ sha: ANSWER.sha, siblings, ...extra as object }), "http://h");
  assertEquals(parse({}).files, [
    { path: "m.gguf", bytes: 5, digest: { algorithm: "sha256", hex: sha256 } },
    { path: "config.json", bytes: 2, digest: { algorithm: "git-sha1", hex: "b".repeat(40) } },
  ]);
  assertEquals(parse({ tags: ["x", "license:mit"] }).license, "mit");
  assertEquals(parse({ cardData: { license: "other", license_name: "llama3" } }).license, "llama3");
  assertEquals(parse({}).license, null);
  for (const junk of ["", "[]", "null", '{"sha":1,"siblings":[]}', `{"sha":"${ANSWER.sha}"}`]) {
    const error = assertThrows(() => parseHubInfo(junk, "http://h"), MdiError);
    assertEquals(error.code, "model_missing", junk);
  }
});

Deno.test("parseHubInfo() meets any answer with files of safe paths and sizes, or an MdiError", () => {
  const answer = fc.oneof(
    damagedJson<unknown>(ANSWER).map((json) => JSON.stringify(json)),
    fc.json(),
    fc.string(),
  );
  fc.assert(
    fc.property(answer, (text) => {
      const info = acceptOrRefuse(() => parseHubInfo(text, "https://hub/api"));
      for (const { path, bytes } of info?.files ?? []) {
        assert(isSafePath(path) && Number.isSafeInteger(bytes) && bytes >= 0);
      }
    }),
    { numRuns: 1000 },
  );
});
