/** `mdi doctor`: whether this device, and the peers that it is to work with, are fit for mdi. */
import { DEFAULT_PORT, parseListen } from "../rpc/address.ts";
import { resolvePeers } from "../rpc/ring_options.ts";
import { examine } from "./doctor/examine.ts";
import { failureOf } from "./doctor/finding.ts";
import { countStatuses, findingsText, summaryText } from "./doctor/findings_text.ts";
import type { CommandContext } from "./program.ts";

/** What `mdi doctor` takes. */
export interface DoctorOptions {
  /** HOST[:PORT],… */
  peers?: string;
  /** HOST:PORT that a node is to listen on. */
  listen?: string;
  /** The ring's token. */
  token?: string;
}

/**
 * Looks, shows a line for each thing, and fails where one is bad.
 * @throws {MdiError} with the code of the first bad line.
 * @throws {TypeError | RangeError} where an address is none.
 */
export async function doctorCommand(
  { peers, listen: given, token }: DoctorOptions,
  { output, signal }: CommandContext,
): Promise<void> {
  const listen = parseListen(given ?? `0.0.0.0:${DEFAULT_PORT}`);
  const listenGiven = given !== undefined;
  const findings = await examine({
    peers: resolvePeers(peers, { listen, listenGiven }),
    listen,
    listenGiven,
    token,
    signal,
  });
  for (const { code: _, ...finding } of findings) output.record({ type: "check", ...finding });
  output.record({ type: "doctor", ...countStatuses(findings) });
  output.text(`${findingsText(findings)}\n\n${summaryText(findings)}\n`);
  const failure = failureOf(findings);
  if (failure) throw failure;
}
