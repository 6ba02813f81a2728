/** `mdi plan --peers`: what devices that are there would give together. */
import { type PeersPlan, planPeers } from "../rpc/plan_peers.ts";
import { showEvents } from "./events.ts";
import { ringOptions, type StarterFlags } from "./node_options.ts";
import { recordOf } from "./output.ts";
import type { CommandContext, RootOptions } from "./program.ts";
import { renderTable } from "./table.ts";

/** What it takes: flags of the starter, and what is its own. */
export type PlanPeersOptions =
  & StarterFlags
  & Pick<RootOptions, "samples">
  & {
    /** Plan for one sample's next token. */
    latency?: true;
    /** Measure again. */
    measure?: true;
  };

/** A plan, and what it was made from as fields of its record. */
export interface MeasuredPlan extends Pick<PeersPlan, "problem" | "planned"> {
  measured: Record<string, unknown>;
}

/** Measures, shows what was measured, and plans. */
export async function measurePlan(
  options: PlanPeersOptions,
  { output, signal }: CommandContext,
): Promise<MeasuredPlan> {
  const samples = options.latency ? 1 : options.samples;
  let plan: PeersPlan;
  {
    using events = showEvents(output);
    plan = await planPeers({
      ...ringOptions(options),
      ...(samples !== undefined && { samples, slots: options.slots ?? samples }),
      again: options.measure ?? false,
      signal,
      onEvent: events.show,
    });
  }
  const { problem, planned, nodes, links } = plan;
  output.text(`${measuredText(plan)}\n\n`);
  return { problem, planned, measured: measuredFields({ nodes, links }) };
}

/** What the nodes measured, as fields of a record. */
function measuredFields(
  { nodes, links }: Pick<PeersPlan, "nodes" | "links">,
): Record<string, unknown> {
  return {
    nodes: nodes.map(({ name, profile, facts }) => {
      const { type: _, ...fields } = recordOf("", { name, ...facts, profile });
      return fields;
    }),
    links: links.flatMap((ways, from) =>
      ways.flatMap((way, to) =>
        way
          ? [{
            from: nodes[from]!.name,
            to: nodes[to]!.name,
            rtt_ms: Number(way.rttMs.toFixed(4)),
            mbit: Number(way.mbit.toFixed(2)),
          }]
          : []
      )
    ),
  };
}

/** What the nodes measured: of themselves, and of their ways to each other. */
export function measuredText({ nodes, links }: Pick<PeersPlan, "nodes" | "links">): string {
  const known = <T>(value: T | null, text: (value: T) => string) =>
    value === null ? "-" : text(value);
  const devices = nodes.map(({ name, profile, facts }) => [
    name,
    `${profile.threads}`,
    profile.layer.ms[0]!.toFixed(3),
    (profile.layer.ms.at(-1)! / profile.layer.rows.at(-1)!).toFixed(3),
    known(profile.head, ({ ms }) => ms[0]!.toFixed(2)),
    known(facts.temperatureC, (value) => `${value.toFixed(0)} °C`),
    known(facts.clockMhz, (value) => `${value.toFixed(0)} MHz`),
    known(facts.cpu, (value) => value),
  ]);
  const most = Math.max(...nodes.map(({ profile }) => profile.layer.rows.at(-1)!));
  const header = [
    ...["node", "threads", "ms/layer", `of ${most} rows, each`],
    ...["head ms", "heat", "clock", "processor"],
  ];
  const ways = links.flatMap((row, from) =>
    row.flatMap((way, to) =>
      to === from ? [] : [[
        `${nodes[from]!.name} -> ${nodes[to]!.name}`,
        way ? way.rttMs.toFixed(2) : "-",
        way ? way.mbit.toFixed(0) : "not reached",
      ]]
    )
  );
  const table = renderTable(header, devices);
  return ways.length === 0
    ? table
    : `${table}\n\n${renderTable(["link", "round trip ms", "Mbit/s"], ways)}`;
}
