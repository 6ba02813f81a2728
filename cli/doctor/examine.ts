/** Each look at the device and its peers, with whatever it may fail with as a finding. */
import { freeBytes } from "../../engine/store/disk.ts";
import { defaultHome } from "../../engine/store/layout.ts";
import { measureDisk } from "../../engine/store/measure_disk.ts";
import { listStore } from "../../engine/store/report.ts";
import { openStore } from "../../engine/store/store.ts";
import { type Address, formatAddress } from "../../rpc/address.ts";
import { deriveIdentity, type RingIdentity } from "../../rpc/identity.ts";
import { probePeer } from "../../rpc/probe_peer.ts";
import { serve, servesTls } from "../../rpc/server.ts";
import { findToken } from "../../rpc/token.ts";
import { MdiError } from "../../wasm/error.ts";
import { checkDevice } from "./device_checks.ts";
import { ALL_PERMISSIONS, type Finding, findingOf, good, unknown } from "./finding.ts";
import { checkMemory } from "./memory_checks.ts";
import { checkOwnFile, hashOfOwnFile, sumsBeside } from "./own_file.ts";
import {
  checkClock,
  checkPeers,
  checkToken,
  checkUnaskedPeers,
  type PeerAnswer,
} from "./peer_checks.ts";
import { checkPower } from "./power_checks.ts";
import { readHost, readMemory } from "./read_host.ts";
import { checkStore, LEAST_DISK_BYTES } from "./store_checks.ts";

/** What is to be examined. */
export interface Examination {
  peers: readonly Address[];
  /** Where a node is to listen. */
  listen: Address;
  /** Whether the user chose that; without a token it is else on this device only. */
  listenGiven: boolean;
  /** The value of `--token`. */
  token: string | undefined;
  signal: AbortSignal;
}

/** How this device introduces itself to peers. */
const NAME = "doctor";
/** Peers that are asked at once. */
const AT_ONCE = 8;

const READ: Deno.PermissionDescriptor = { name: "read" };
const WRITE: Deno.PermissionDescriptor = { name: "write" };
const NET: Deno.PermissionDescriptor = { name: "net" };
const MEMORY: Deno.PermissionDescriptor = { name: "sys", kind: "systemMemoryInfo" };
const HOME: Deno.PermissionDescriptor = { name: "env", variable: "MDI_HOME" };
const TOKEN: Deno.PermissionDescriptor = { name: "env", variable: "MDI_TOKEN" };

/** Looks at everything, in the order in which people read it. */
export async function examine(examination: Examination): Promise<Finding[]> {
  const { peers, signal } = examination;
  const findings = [
    ...await look("system", [READ, MEMORY], async () => {
      const host = await readHost();
      return [...checkDevice(host), ...checkPower(host)];
    }),
    ...await look("memory", [MEMORY], () => checkMemory(readMemory())),
    ...await look("own file", [READ], () => lookAtOwnFile(signal)),
    ...await look("store", [READ, WRITE, HOME], () => lookAtStore(signal)),
    checkClock(new Date()),
  ];
  let identity: RingIdentity | undefined;
  const token = await look("token", [READ, HOME, TOKEN], async () => {
    const { token: flag } = examination;
    const found = await findToken({ flag, env: Deno.env, homeDir: defaultHome() });
    identity = found && await deriveIdentity(found.token, NAME);
    return [checkToken(found?.from ?? null, peers)];
  });
  findings.push(...token);
  if (token.some(({ status }) => status === "bad" || status === "unknown")) {
    return [...findings, unknown("network", "not looked at without knowing the token")];
  }
  findings.push(...await look("port", [NET], () => lookAtPort(examination, identity)));
  findings.push(
    ...await look("peers", [NET], async () => {
      if (identity && !servesTls()) return checkUnaskedPeers(peers);
      return checkPeers(await askPeers(peers, identity, signal));
    }),
  );
  return findings;
}

/** Runs one look where it is permitted. */
async function look(
  name: string,
  needs: readonly Deno.PermissionDescriptor[],
  run: () => Finding[] | Promise<Finding[]>,
): Promise<Finding[]> {
  for (const each of needs) {
    const { state } = await Deno.permissions.query(each);
    if (state !== "granted") return [unknown(name, "not permitted", ALL_PERMISSIONS)];
  }
  try {
    return await run();
  } catch (error) {
    if (error instanceof MdiError && error.code === "cancelled") throw error;
    return [findingOf(name, error)];
  }
}

async function lookAtOwnFile(signal: AbortSignal): Promise<Finding[]> {
  const own = await hashOfOwnFile({ signal });
  return own ? [checkOwnFile(own, await sumsBeside(own.path))] : [];
}

async function lookAtStore(signal: AbortSignal): Promise<Finding[]> {
  const { layout } = await openStore(defaultHome());
  const { models, bytes } = await listStore(layout);
  const free = await freeBytes(layout.root);
  const measurable = free === null || free >= LEAST_DISK_BYTES;
  return checkStore({
    path: layout.root,
    models: models.length,
    bytes,
    freeBytes: free,
    speed: measurable ? await measureDisk(layout, { signal }) : null,
  });
}

/** Listens for a moment. Where that fails, mdi itself may be what listens there. */
async function lookAtPort(
  { listen, listenGiven, signal }: Examination,
  identity: RingIdentity | undefined,
): Promise<Finding[]> {
  const at = listenGiven || identity ? listen : { ...listen, host: "127.0.0.1" };
  const name = `port ${at.port}`;
  try {
    await using server = await serve({ listen: at, identity, routes: () => {}, signal });
    const text = formatAddress(server.address);
    return [good(name, text, `${text} is free`)];
  } catch (error) {
    if (!(error instanceof MdiError) || error.code === "cancelled") throw error;
    if (error.code !== "address_in_use") return [findingOf(name, error)];
    const local = { host: "127.0.0.1", port: at.port };
    const [found] = await askPeers([local], identity, signal);
    if (found?.answer.status !== "fulfilled") return [findingOf(name, error)];
    const { version } = found.answer.value;
    return [good(name, formatAddress(at), `mdi ${version} listens there now`)];
  }
}

/** Asks all peers, some at a time, each within its own limits. */
async function askPeers(
  peers: readonly Address[],
  identity: RingIdentity | undefined,
  signal: AbortSignal,
): Promise<PeerAnswer[]> {
  const answers: PeerAnswer[] = [];
  for (let at = 0; at < peers.length; at += AT_ONCE) {
    const some = peers.slice(at, at + AT_ONCE);
    const settled = await Promise.allSettled(
      some.map((address) => probePeer(address, { identity, name: NAME, signal })),
    );
    signal.throwIfAborted();
    answers.push(...settled.map((answer, i) => ({ address: some[i]!, answer })));
  }
  return answers;
}
