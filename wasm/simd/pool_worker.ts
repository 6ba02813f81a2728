/** A thread of a stage's pool: it lives in the kernels' serve() until the pool stops. */
/// <reference lib="deno.worker" />
import { instantiateKernels } from "./module.ts";
import type { PoolStart } from "./pool_protocol.ts";

const scope = self as unknown as DedicatedWorkerGlobalScope;

scope.onmessage = ({ data: { module, memory, thread } }: MessageEvent<PoolStart>) => {
  const kernels = instantiateKernels(module, memory);
  scope.postMessage("ready");
  kernels.serve(thread);
  scope.close();
};
