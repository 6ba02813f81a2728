import { stageContract } from "../_stage_contract.ts";
import { loadWorkerStage } from "../worker_stage.ts";

// In a worker, as it is always used: there ONNX Runtime leaves the globals of this thread alone.
stageContract("ort", (spec) => loadWorkerStage("ort", spec));
