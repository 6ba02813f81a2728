/**
 * Slow devices by the kernel's own means: control groups (version 1) that hold a process to a share of a core
 * and to some memory. Where the machine does not let the test make groups, {@linkcode noCgroups} says why.
 */
import { join } from "node:path";

const ROOT = "/sys/fs/cgroup";
/** The shortest time for which the kernel lets a group run in each period: the finer, the more like a slow core. */
const QUOTA_US = 1000;

/** What a group may take. */
export interface CgroupLimits {
  /** Share of a core; above 1, several. */
  cores: number;
  memoryBytes: number;
}

/** What became of a group's processes. */
export interface CgroupUse {
  /** Most memory at once, page cache included. */
  peakBytes: number;
  /** Processes that were killed because there was no more. */
  killed: number;
}

/** A group of its own in both controllers; disposing removes it once its processes have ended. */
export class Cgroup implements AsyncDisposable {
  readonly #directories: { cpu: string; memory: string };

  private constructor(name: string) {
    this.#directories = { cpu: join(ROOT, "cpu", name), memory: join(ROOT, "memory", name) };
  }

  /** Makes a group. */
  static async make({ cores, memoryBytes }: CgroupLimits): Promise<Cgroup> {
    const group = new Cgroup(`mdi-test-${crypto.randomUUID()}`);
    const { cpu, memory } = group.#directories;
    try {
      for (const directory of [cpu, memory]) await Deno.mkdir(directory);
      await Deno.writeTextFile(join(cpu, "cpu.cfs_period_us"), `${Math.round(QUOTA_US / cores)}`);
      await Deno.writeTextFile(join(cpu, "cpu.cfs_quota_us"), `${QUOTA_US}`);
      await Deno.writeTextFile(join(memory, "memory.limit_in_bytes"), `${memoryBytes}`);
    } catch (error) {
      await group[Symbol.asyncDispose]();
      throw error;
    }
    return group;
  }

  /** Puts a process in; what it starts later is in too. */
  async add(pid: number): Promise<void> {
    for (const directory of Object.values(this.#directories)) {
      await Deno.writeTextFile(join(directory, "cgroup.procs"), `${pid}`);
    }
  }

  /** What its processes have taken so far. */
  async use(): Promise<CgroupUse> {
    const read = (name: string) => Deno.readTextFile(join(this.#directories.memory, name));
    const killed = /^oom_kill (\d+)$/m.exec(await read("memory.oom_control"))?.[1] ?? 0;
    return { peakBytes: Number(await read("memory.max_usage_in_bytes")), killed: Number(killed) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const directory of Object.values(this.#directories)) {
      // The kernel lets go of ended processes a moment later.
      for (let tries = 0; tries < 50; tries++) {
        try {
          await Deno.remove(directory);
          break;
        } catch (error) {
          if (error instanceof Deno.errors.NotFound) break;
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      }
    }
  }
}

/** Why groups cannot be made here; undefined where they can. */
export async function noCgroups(): Promise<string | undefined> {
  try {
    await using _group = await Cgroup.make({ cores: 0.5, memoryBytes: 2 ** 28 });
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
