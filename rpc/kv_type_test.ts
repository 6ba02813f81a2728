import { assertEquals, assertThrows } from "@std/assert";
import {
  KV_TYPES,
  kvCapabilities,
  kvFromWire,
  kvToWire,
  requireKvBackend,
  requireKvType,
} from "./kv_type.ts";
import { MdiError } from "../wasm/error.ts";
import { checkIdentity, ownIdentity } from "./version.ts";

Deno.test("kvFromWire() undoes kvToWire() and knows no other number", () => {
  for (const type of KV_TYPES) assertEquals(kvFromWire(kvToWire(type)), type);
  assertEquals([-1, 3, NaN].map(kvFromWire), [undefined, undefined, undefined]);
});

Deno.test("requireKvType() refuses what is no type", () => {
  for (const value of ["f64", "", "toString", null, 1]) {
    assertThrows(() => requireKvType(value), RangeError, '"f32", "f16", "int8"');
  }
  assertEquals(requireKvType("int8"), "int8");
});

Deno.test("kvCapabilities() are announced, and a node without one is refused by name", () => {
  for (const type of KV_TYPES) checkIdentity("pi", ownIdentity("pi"), kvCapabilities(type));
  const older = { ...ownIdentity("pi"), capabilities: ["wire-f16"] };
  checkIdentity("pi", older, kvCapabilities("f32"));
  const refused = () => checkIdentity("pi", older, kvCapabilities("int8"));
  assertEquals(assertThrows(refused, MdiError, "lacks kv-int8").code, "refused_version");
});

Deno.test("requireKvBackend() names the nodes that have f32 alone", () => {
  const peers = ["auto", "ort", "simd", ""].map((backend, i) => ({
    name: `pi-${i}`,
    device: { backend },
  }));
  requireKvBackend("f32", peers);
  requireKvBackend("f16", [peers[0]!, peers[2]!]);
  const error = assertThrows(
    () => requireKvBackend("f16", peers),
    MdiError,
    "as f16: the backend of pi-1 and pi-3 is ort, which has f32 alone; start pi-1 and pi-3 with",
  );
  assertEquals([error.code, error.details.peer], ["model_unsupported", "pi-1"]);
});
