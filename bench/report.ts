/** What every benchmark leaves behind: lines for people, and its raw values for programs. */
import { join } from "node:path";

/** Writes a line. */
export async function print(line: string): Promise<void> {
  await Deno.stdout.write(new TextEncoder().encode(`${line}\n`));
}

/** Keeps raw values under bench/results, with the machine they were measured on. */
export async function keep(name: string, values: unknown): Promise<void> {
  const directory = join(import.meta.dirname!, "results");
  await Deno.mkdir(directory, { recursive: true });
  const path = join(directory, `${name}.json`);
  const machine = {
    date: new Date().toISOString(),
    deno: Deno.version.deno,
    arch: Deno.build.arch,
    cores: navigator.hardwareConcurrency,
    load: Deno.loadavg(),
  };
  await Deno.writeTextFile(path, `${JSON.stringify({ machine, values })}\n`);
  await print(`raw values: ${path}`);
}
