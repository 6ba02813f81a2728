/** A plan for nodes that are there, without making a ring of them. */
import { cancellable } from "../engine/cancellable.ts";
import type { PlannedRing } from "../engine/plan/planner.ts";
import type { PlanLink, PlanProblem } from "../engine/plan/problem.ts";
import type { StageProfile } from "../wasm/profile.ts";
import { measureForPlan, planMeasured } from "./choose_plan.ts";
import type { ToldFacts } from "./device_facts.ts";
import type { RingOptions } from "./open_ring.ts";
import { samplesOf, slotsOf } from "./plan_ring.ts";
import { prepareRing, requireRingTypes } from "./prepare_ring.ts";
import { listenForPeers } from "./starter_server.ts";

/** What {@linkcode planPeers} may be told. */
export interface PlanPeersOptions extends Omit<RingOptions, "layers" | "onSlot" | "trace"> {
  /**
   * Measures the nodes, whatever they measured before.
   *
   * @default {false}
   */
  again?: boolean;
}

/** A node as it was measured. */
export interface PlannedPeer {
  /** How messages name it. */
  name: string;
  /** What it takes to compute. */
  profile: StageProfile;
  /** What its device tells of itself. */
  facts: ToldFacts;
}

/** What was planned, and from what. */
export interface PeersPlan {
  /** What was asked of the planner. */
  problem: PlanProblem;
  /** The best ring, and what else there is. */
  planned: PlannedRing;
  /** This node, then the peers as they were given. */
  nodes: PlannedPeer[];
  /** `links[i][j]` is the way from node i to node j; undefined where there is none. */
  links: (PlanLink | undefined)[][];
}

/**
 * Measures this node, the peers and the links between them, and plans. The peers get no more of the model than
 * one layer, and are free again afterwards.
 * @throws {MdiError} peer_unreachable, busy, refused_version, memory …
 * @throws {TypeError | RangeError} where an option is not what it must be.
 */
export async function planPeers(options: PlanPeersOptions): Promise<PeersPlan> {
  requireRingTypes(options);
  return await cancellable("plan", options.signal, () => measureAndPlan(options));
}

async function measureAndPlan(options: PlanPeersOptions): Promise<PeersPlan> {
  await using owned = new AsyncDisposableStack();
  const prepared = await prepareRing(options, owned);
  const { node, peers, store, signal } = prepared;
  const server = owned.use(await listenForPeers(node, peers, store, () => undefined, signal));
  const measuring = {
    samples: samplesOf(options.samples, slotsOf(options.slots, peers.length + 1)),
    context: options.context,
    listen: server.address,
    again: options.again ?? false,
  };
  const measured = await measureForPlan(prepared, measuring);
  const { problem, planned } = planMeasured(prepared, measuring, measured);
  return {
    problem,
    planned,
    nodes: measured.nodes.map(({ profile, facts }, i) => ({
      name: problem.nodes[i]!.name,
      profile,
      facts,
    })),
    links: measured.links,
  };
}
