/** For `crash_test.ts`: pins a block, receives half of it, says so, and waits to be killed. */
import { noise, sha256 } from "./_test_util.ts";
import { openStore } from "./store.ts";

const bytes = noise(200_000, 1);
const hash = sha256(bytes);
const store = await openStore(Deno.args[0]!);
const pin = await store.pin(Deno.args[1]!);
const writer = await store.writer(hash, bytes.length, { pin });
await writer.write(bytes.subarray(0, 100_000));
await Deno.stdout.write(new TextEncoder().encode("half\n"));
setInterval(() => {}, 1000);
