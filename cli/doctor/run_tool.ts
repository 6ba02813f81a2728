/** Small programs of the system that know what no file tells. */

const LIMIT_MS = 2000;

/**
 * What a program prints; null where it is not there, fails, takes long, or may not be started.
 * @param names where it may be: not every user's PATH has all of them.
 */
export async function runTool(
  names: readonly string[],
  args: readonly string[],
): Promise<string | null> {
  for (const name of names) {
    const { state } = await Deno.permissions.query({ name: "run", command: name });
    if (state !== "granted") continue;
    try {
      const { success, stdout } = await new Deno.Command(name, {
        args: [...args],
        env: { LC_ALL: "C" },
        stdin: "null",
        stdout: "piped",
        stderr: "null",
        signal: AbortSignal.timeout(LIMIT_MS),
      }).output();
      if (success) return new TextDecoder().decode(stdout);
    } catch {
      // Not there, or not to be started here.
    }
  }
  return null;
}
