/** What a pool's thread is told when it starts. */
export interface PoolStart {
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  /** Its number, from 1. */
  thread: number;
}
