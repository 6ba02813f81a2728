import { stageContract } from "../_stage_contract.ts";
import { loadWorkerStage } from "../worker_stage.ts";

stageContract("simd", (spec) => loadWorkerStage("simd", spec));
stageContract("simd on three threads", (spec) => loadWorkerStage("simd", { ...spec, threads: 3 }));
