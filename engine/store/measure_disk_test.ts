import { assert, assertEquals, assertRejects } from "@std/assert";
import { MdiError } from "../../wasm/error.ts";
import { measureDisk } from "./measure_disk.ts";

Deno.test("measureDisk() measures, and leaves nothing behind", async () => {
  const tmp = await Deno.makeTempDir();
  try {
    const { writeBytesPerSecond, readBytesPerSecond } = await measureDisk({ tmp });
    assert(writeBytesPerSecond > 0 && readBytesPerSecond > 0);
    const stop = AbortSignal.abort(new MdiError("cancelled", "Ended"));
    await assertRejects(() => measureDisk({ tmp }, { signal: stop }), MdiError, "Ended");
    assertEquals(await Array.fromAsync(Deno.readDir(tmp)), []);
  } finally {
    await Deno.remove(tmp, { recursive: true });
  }
});

Deno.test("measureDisk() says where it cannot write", async () => {
  const tmp = await Deno.makeTempFile();
  try {
    const error = await assertRejects(() => measureDisk({ tmp }), MdiError);
    assertEquals(error.code, "disk");
  } finally {
    await Deno.remove(tmp);
  }
});
