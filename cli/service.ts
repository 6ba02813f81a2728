/** `mdi service install|uninstall|print`: a systemd unit that keeps a secondary running. */
import { join, resolve } from "node:path";
import { type BuildInfo, buildInfo } from "./build_info.ts";
import { ownCommand } from "./own_command.ts";
import type { CommandContext } from "./program.ts";
import type { PlaceOptions, ServiceOptions } from "./service/flags.ts";
import { nextSteps, stepsAfterRemoval } from "./service/next_steps.ts";
import { inHome, inTemporary, type Scope, UNIT, unitText, wantedBy } from "./service/unit.ts";
import { removeUnit, writeUnit } from "./service/unit_file.ts";

/** The mdi that the service runs. */
export interface ServedMdi {
  /** How it was made. */
  made: BuildInfo["made"];
  /** What starts it: an absolute path, and what stands before mdi's own arguments. */
  words: string[];
}

/** Where the units of the whole device lie. */
const SYSTEM_UNITS = "/etc/systemd/system";

/** Writes the unit and says what to type next. */
export async function serviceInstallCommand(
  options: ServiceOptions,
  { output }: CommandContext,
): Promise<void> {
  requireSystemd();
  const own = thisMdi();
  const text = unitOf(options, own);
  const path = unitPath(options);
  await writeUnit(path, text);
  output.record({ type: "service", action: "install", path });
  output.text(`wrote ${path}\n`);
  if (own.words[0]!.includes("/_npx/")) {
    output.log(
      `It runs ${
        own.words[0]
      }, which npm may remove; install Deno, or use the compiled file of mdi, and install again`,
    );
  }
  output.log(nextSteps(scopeOf(options)), { event: "next" });
}

/** Removes the unit that mdi wrote. */
export async function serviceUninstallCommand(
  options: PlaceOptions,
  { output }: CommandContext,
): Promise<void> {
  requireSystemd();
  const path = unitPath(options);
  const scope = scopeOf(options);
  const found = await removeUnit(path, wantedBy(scope));
  output.record({ type: "service", action: "uninstall", path, found });
  output.text(found ? `removed ${path}\n` : `there is no ${path}\n`);
  if (found) output.log(stepsAfterRemoval(scope), { event: "next" });
}

/** Shows the unit. */
export function servicePrintCommand(options: ServiceOptions, { output }: CommandContext): void {
  requireSystemd();
  const text = unitOf(options, thisMdi());
  output.record({ type: "service", action: "print", path: unitPath(options), text });
  output.text(text);
}

/**
 * The unit for flags and the mdi that is to run.
 * @throws {RangeError} where the unit could not work.
 */
export function unitOf(options: ServiceOptions, own: ServedMdi): string {
  const scope = scopeOf(options);
  const { user, memory } = options;
  const [home, pace] = [options.home, options.pace].map((path) =>
    path === undefined ? undefined : resolve(path)
  );
  if (user !== undefined && (scope === "user" || !/^[a-z_][\w-]*\$?$/i.test(user))) {
    throw new RangeError(
      scope === "user"
        ? "Cannot use --user without --system: a unit of your own runs as you; leave it out"
        : `Cannot use "${user}" as a user: it is no user's name`,
    );
  }
  const temporary = [...(own.made === "source" ? [] : own.words), home, pace].find(inTemporary);
  if (temporary !== undefined) {
    throw new RangeError(
      `Cannot write a unit that uses ${temporary}: a service sees temporary directories of its own; move it, or name another place`,
    );
  }
  const hidden = own.made === "source" || [...own.words, home, pace].some(inHome);
  if (scope === "system" && user === undefined && hidden) {
    throw new RangeError(
      `Cannot run ${
        own.words[0]
      } as a user of its own: it needs a person's home directory; put the compiled file in /usr/local/bin, or name that person with --user NAME`,
    );
  }
  return unitText({
    scope,
    command: [...own.words, ...nodeArguments({ ...options, pace })],
    ...(home !== undefined && { home }),
    ...(user !== undefined && { user }),
    ...(memory !== undefined && { memoryBytes: memory }),
    unpacks: own.made === "self-extracting",
  });
}

/** The one that runs now. */
function thisMdi(): ServedMdi {
  // What may be written is the unit's to say.
  const { program, args } = ownCommand("secondary");
  return { made: buildInfo().made, words: [program, ...args] };
}

function nodeArguments(options: ServiceOptions): string[] {
  const { listen, name, backend, threads, pace, memory, storeLimit, log, logLevel } = options;
  const flags = {
    ...{ listen, name, backend, threads, memory, log },
    "log-level": logLevel,
    "store-limit": storeLimit,
    pace,
  };
  // One word each: a value that begins with a dash is no flag.
  const words = Object.entries(flags).flatMap(([flag, value]) =>
    value === undefined ? [] : [`--${flag}=${value}`]
  );
  return ["--secondary", ...words];
}

function scopeOf({ system }: PlaceOptions): Scope {
  return system ? "system" : "user";
}

function unitPath({ system, dir }: PlaceOptions): string {
  return join(dir === undefined ? system ? SYSTEM_UNITS : personalUnits() : resolve(dir), UNIT);
}

/** A person's manager looks there unless its own environment, not a shell's, says otherwise. */
function personalUnits(): string {
  const home = Deno.env.get("HOME");
  if (home) return join(home, ".config", "systemd", "user");
  throw new RangeError("Cannot place the unit: HOME is not set; name a directory with --dir");
}

function requireSystemd(): void {
  if (Deno.build.os === "linux") return;
  throw new RangeError(
    `Cannot make a systemd unit on ${Deno.build.os}: run "mdi --secondary" from what starts programs there`,
  );
}
