import { assertEquals, assertThrows } from "@std/assert";
import { flatten } from "./bundles.ts";

Deno.test("flatten() names files as they lie in the folder", () => {
  const cases = {
    'new Worker(c(new URL("./pool_worker.ts",import.meta.url)))':
      'new Worker(c(new URL("./pool_worker.js",import.meta.url)))',
    "new URL(`./kernels_${e}.wasm`,import.meta.url)":
      "new URL(`./kernels_${e}.bin`,import.meta.url)",
    'import.meta.resolve("onnxruntime-web/ort-wasm-simd-threaded.wasm")':
      'import.meta.resolve("./ort-wasm-simd-threaded.bin")',
    'import.meta.resolve("../main.ts")': 'import.meta.resolve("./mdi.js")',
    'new URL("https://huggingface.co")': 'new URL("https://huggingface.co")',
  };
  for (const [code, flat] of Object.entries(cases)) assertEquals(flatten(code), flat);
});

Deno.test("flatten() refuses what it would leave behind", () => {
  for (
    const code of [
      'new URL("./another_worker.ts",import.meta.url)',
      'new URL("../assets/x.css",import.meta.url)',
      'import.meta.resolve("somewhere/else.wasm")',
    ]
  ) {
    assertThrows(() => flatten(code), Error, "is loaded by its name");
  }
});
