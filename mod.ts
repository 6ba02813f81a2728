/**
 * mdi runs one language model on several small computers: each holds a range of its layers, and tokens
 * travel round the ring of them.
 *
 * @example Generate over this device and two others
 * ```ts no-eval
 * import { openRing } from "@mdi/mdi";
 *
 * await using ring = await openRing({ peers: ["pi-a", "pi-b"] });
 * for await (const piece of ring.generate("Once upon a time", { maxTokens: 64 })) {
 *   console.log(piece.text);
 * }
 * ```
 *
 * @module
 */
export { openRing, type RingOptions } from "./rpc/open_ring.ts";
export {
  type PeersPlan,
  type PlannedPeer,
  planPeers,
  type PlanPeersOptions,
} from "./rpc/plan_peers.ts";
export type { ToldFacts } from "./rpc/device_facts.ts";
export type { Chat } from "./rpc/chat.ts";
export type { GenerateOptions, Prompt, Ring, TraceOptions } from "./rpc/ring.ts";
export type { RecordedNode, Recording } from "./engine/ring/recording.ts";
export { type Span, SPAN_KINDS, type SpanKind } from "./engine/ring/spans.ts";
export type { NodeSummary, Summary } from "./rpc/summary.ts";
export type { KvType } from "./wasm/stage.ts";
export { type MdiNode, serveNode, type ServeNodeOptions } from "./rpc/serve_node.ts";
export type { NodeOptions, RingEvent } from "./rpc/ring_options.ts";
export { inspectModel, type ModelOptions, type PulledModel, pullModel } from "./engine/models.ts";
export type { LoadModelEvent } from "./engine/load_model.ts";
export type { Generation, GenerationResult, Piece } from "./engine/generation.ts";
export type { FinishReason } from "./engine/ring/sample.ts";
export type { SlotStay } from "./engine/ring/schedule.ts";
export type { Plan, PlanNode } from "./engine/plan/plan.ts";
export type {
  PlanDevice,
  PlanGoal,
  PlanLink,
  PlanModel,
  PlanProblem,
} from "./engine/plan/problem.ts";
export type { PlannedRing } from "./engine/plan/planner.ts";
export type { Replicas, SingleNode } from "./engine/plan/alone.ts";
export type { Bottleneck, RingCost } from "./engine/plan/cost.ts";
export type { StageProfile } from "./wasm/profile.ts";
export type { Pace } from "./wasm/pace.ts";
export type { RowTimes } from "./wasm/row_times.ts";
export type {
  Timeline,
  TimelineFrame,
  TimelineLink,
  TimelineNode,
  TimelineSample,
  TimelineSpan,
  TimelineWork,
} from "./engine/plan/timeline.ts";
export type { SamplingRequest } from "./engine/text/sampling_options.ts";
export type { ChatMessage } from "./engine/text/chat_template.ts";
export type { InspectedBlock, ModelDescription } from "./engine/model/inspect.ts";
export type {
  BlockEntry,
  EdgeKind,
  Manifest,
  ModelConfig,
  ModelKind,
  RopeScaling,
} from "./engine/model/types.ts";
export { MdiError, type MdiErrorCode, type MdiErrorOptions } from "./wasm/error.ts";
