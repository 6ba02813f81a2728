/** The systemd unit of a secondary: what it runs, and what it may do. Pure: nothing is read or written here. */
import { quoteWords, type Word } from "./quote.ts";

/** A unit of the whole device, or of one person. */
export type Scope = "system" | "user";

/** What a unit is made from. */
export interface UnitOptions {
  scope: Scope;
  /** The program, an absolute path, and its arguments. */
  command: readonly string[];
  /** Where the node keeps its blocks; systemd's state directory where absent. */
  home?: string | undefined;
  /** Whom a system unit runs as; a user of its own where absent. */
  user?: string | undefined;
  /** Memory that it may have. */
  memoryBytes?: number | undefined;
  /** Whether it unpacks itself into a cache when it starts. */
  unpacks?: boolean;
}

/** Name of the unit. */
export const UNIT = "mdi.service";

/** First line of what mdi writes: a file without it is somebody else's. */
export const MARK =
  '# Written by "mdi service install", which may replace this file as long as this line stands here.';

/** Paths of the file that may hold MDI_TOKEN=…, for systemd and for people. */
export const TOKEN_FILE: Record<Scope, { unit: string; shown: string }> = {
  system: { unit: "%E/mdi/environment", shown: "/etc/mdi/environment" },
  user: { unit: "%E/mdi/environment", shown: "~/.config/mdi/environment" },
};

/**
 * Writes the unit file's text.
 * @throws {RangeError} where a path or an argument cannot stand in a unit.
 */
export function unitText(options: UnitOptions): string {
  const { scope } = options;
  const sections: [string, string[]][] = [
    ["Unit", [
      "Description=mdi, a node that holds layers for whoever starts a ring",
      // A person's manager has no such target, and nobody listens on an address that is not there yet.
      ...(scope === "system" ? ["Wants=network-online.target", "After=network-online.target"] : []),
      "StartLimitIntervalSec=0",
    ]],
    ["Service", [
      ...runLines(options),
      ...limitLines(options),
      ...sandboxLines(options),
      ...(scope === "system" ? SYSTEM_SANDBOX : []),
    ]],
    ["Install", [`WantedBy=${wantedBy(scope)}`]],
  ];
  const text = sections.map(([name, lines]) => `[${name}]\n${lines.join("\n")}\n`).join("\n");
  return `${MARK}\n\n${text}`;
}

/** The target that starts the unit. */
export function wantedBy(scope: Scope): string {
  return scope === "system" ? "multi-user.target" : "default.target";
}

function runLines({ scope, command, home, user, unpacks }: UnitOptions): string[] {
  const [program, ...rest] = command;
  if (!program?.startsWith("/") || /["'\\]/.test(program)) {
    throw new RangeError(
      `Cannot write a unit that runs "${program}": systemd takes an absolute path without quotes and backslashes; move the file`,
    );
  }
  const variables: Word[] = [
    home === undefined ? { specifiers: "MDI_HOME=%S/mdi" } : `MDI_HOME=${home}`,
    // The only place that is kept and that it may write.
    ...(unpacks
      ? [home === undefined ? { specifiers: "XDG_CACHE_HOME=%S/mdi" } : `XDG_CACHE_HOME=${home}`]
      : []),
    "MALLOC_ARENA_MAX=2",
    "DENO_NO_UPDATE_CHECK=1",
  ];
  const runsAs = user === undefined ? ["DynamicUser=yes"] : [`User=${quoteWords([user])}`];
  return [
    "Type=exec",
    // The colon: no $ in an argument stands for a variable.
    `ExecStart=${quoteWords([`:${program}`, ...rest])}`,
    `Environment=${quoteWords(variables)}`,
    `EnvironmentFile=-${TOKEN_FILE[scope].unit}`,
    ...(scope === "system" ? runsAs : []),
    // mdi ends with this status when it is told to end.
    "SuccessExitStatus=143",
    "Restart=on-failure",
    "# Wrong usage does not go away.",
    "RestartPreventExitStatus=2",
    "RestartSec=2",
    "# From systemd 254 on: waits longer each time.",
    "RestartSteps=8",
    "RestartMaxDelaySec=300",
  ];
}

function limitLines({ memoryBytes }: UnitOptions): string[] {
  return [
    "LimitNOFILE=65536",
    ...(memoryBytes === undefined ? [] : [`MemoryMax=${memoryBytes}`]),
  ];
}

function sandboxLines(options: UnitOptions): string[] {
  const { scope, command, home, user } = options;
  // In a person's manager the state directory is below the home directory.
  const usesHome = scope === "user" || user !== undefined || [...command, home].some(inHome);
  return [
    "UMask=0077",
    ...(home === undefined
      ? ["StateDirectory=mdi", "StateDirectoryMode=0700"]
      : [`ReadWritePaths=${quoteWords([home])}`]),
    // An unprivileged manager makes mount namespaces in a user namespace only.
    ...(scope === "user" ? ["PrivateUsers=yes"] : []),
    "NoNewPrivileges=yes",
    "PrivateTmp=yes",
    "ProtectSystem=strict",
    `ProtectHome=${usesHome ? "read-only" : "yes"}`,
    "ProtectControlGroups=yes",
    "ProtectKernelTunables=yes",
    "# Names are looked up over AF_NETLINK too.",
    "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "SystemCallArchitectures=native",
    "# JavaScript and WebAssembly are compiled while they run.",
    "MemoryDenyWriteExecute=no",
  ];
}

/** What takes away capabilities, which a person's manager has none of. */
const SYSTEM_SANDBOX: readonly string[] = [
  "CapabilityBoundingSet=",
  "PrivateDevices=yes",
  "ProtectClock=yes",
  "ProtectHostname=yes",
  "ProtectKernelLogs=yes",
  "ProtectKernelModules=yes",
  "ProtectProc=invisible",
];

/** Whether PrivateTmp=yes hides a path. */
export function inTemporary(path: string | undefined): boolean {
  return path !== undefined && /^\/(var\/)?tmp(\/|$)/.test(path);
}

/** Whether ProtectHome=yes would hide a path. */
export function inHome(path: string | undefined): boolean {
  return path !== undefined && /^\/(home|root|run\/user)(\/|$)/.test(path);
}
