/**
 * A step of the AssemblyScript compiler, for `_build.ts`: makes constant additions to addresses in the products'
 * loops the offsets of their loads, which saves an instruction a load on arm64. Only there: the
 * same pass makes vectors constants too, which costs other kernels' loops more than it gains.
 */
export default class OffsetsTransform {
  /** Called with the compiled module, before the passes of the command line. */
  afterCompile(module) {
    // Addresses are above 1024, so that adding less than that to them never wraps around.
    this.binaryen.setLowMemoryUnused(true);
    for (let i = 0; i < module.getNumFunctions(); i++) {
      const reference = module.getFunctionByIndex(i);
      const { name } = this.binaryen.getFunctionInfo(reference);
      if (/^linear_/.test(name)) {
        module.runPassesOnFunction(name, ["precompute-propagate", "optimize-added-constants"]);
      }
    }
  }
}
