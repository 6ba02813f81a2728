/** Imports the model at the first argument into the store at the second, and says what it took. */
import { importModel } from "../../engine/model/import.ts";
import { openModel } from "../../engine/model/open.ts";
import { openStore } from "../../engine/store/store.ts";

const [path, home] = Deno.args;
await using source = await openModel(path!);
const manifest = await importModel(source, await openStore(home!));
const status = await Deno.readTextFile("/proc/self/status");
const peakBytes = 1024 * Number(/^VmHWM:\s*(\d+) kB$/m.exec(status)![1]);
const blockBytes = manifest.blocks.reduce((sum, block) => sum + block.bytes, 0);
// deno-lint-ignore no-console -- read by the test that started this process
console.log(JSON.stringify({ peakBytes, blockBytes }));
