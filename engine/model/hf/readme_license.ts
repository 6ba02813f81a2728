/** The licence that a model's README.md states in its front matter, where hubs keep it. */
import { join } from "node:path";
import { readTextFile } from "./json_file.ts";

const MAX_README_BYTES = 2 ** 20;

/** The `license:` of the first directory whose README.md has one; null where none has. */
export async function readmeLicense(directories: readonly string[]): Promise<string | null> {
  for (const directory of directories) {
    const readme = await readTextFile(join(directory, "README.md"), MAX_README_BYTES);
    const head = readme && /^---\r?\n([\s\S]*?)\r?\n---/.exec(readme)?.[1];
    const license = head && /^license:[ \t]*["']?([\w.+-]{1,64})["']?[ \t]*$/m.exec(head)?.[1];
    if (license) return license;
  }
  return null;
}
