/** The tree's TypeScript files and what each imports, as Deno itself resolves it. */
import { join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/** One import statement, or one file named by URL. */
export interface Import {
  /** As it is written. */
  specifier: string;
  /** Path of the file below the root; null for what is not a file of the tree. */
  file: string | null;
  /** Whether it is gone once types are erased. */
  typeOnly: boolean;
}

/** One file of the tree. */
export interface SourceFile {
  /** Below the root, with forward slashes: "engine/models.ts". */
  path: string;
  text: string;
  imports: Import[];
}

/** What `deno info --json` says, as far as it is used here. */
interface InfoModule {
  specifier: string;
  error?: string;
  dependencies?: {
    specifier: string;
    code?: { specifier?: string; error?: string };
    type?: { specifier?: string; error?: string };
  }[];
}

const SKIPPED = new Set(["node_modules", "dist", "coverage", "fixtures"]);

/** Reads every TypeScript file below `root` with its imports. */
export async function readSourceTree(root: string): Promise<SourceFile[]> {
  const paths = (await Array.fromAsync(walk(root))).map((path) => toSlashes(relative(root, path)));
  const modules = await denoInfo(root, paths);
  return await Promise.all(
    paths.toSorted().map(async (path): Promise<SourceFile> => {
      const text = await Deno.readTextFile(join(root, path));
      const module = modules.get(path);
      if (module === undefined || module.error !== undefined) {
        throw new Error(`Cannot read the imports of ${path}: ${module?.error ?? "Deno skips it"}`);
      }
      const imports = (module.dependencies ?? []).map(({ specifier, code, type }): Import => ({
        specifier,
        file: inTree(root, code?.specifier ?? type?.specifier),
        typeOnly: code === undefined,
      }));
      return { path, text, imports: [...imports, ...urlImports(path, text)] };
    }),
  );
}

async function* walk(folder: string): AsyncGenerator<string> {
  for await (const entry of Deno.readDir(folder)) {
    if (SKIPPED.has(entry.name) || entry.name.startsWith(".")) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory) yield* walk(path);
    else if (entry.name.endsWith(".ts")) yield path;
  }
}

/** Asks Deno once for the whole tree: through one module that imports every file. */
async function denoInfo(root: string, paths: readonly string[]): Promise<Map<string, InfoModule>> {
  const folder = await Deno.makeTempDir();
  try {
    const entry = join(folder, "all.ts");
    const urls = paths.map((path) => pathToFileURL(join(root, path)).href);
    await Deno.writeTextFile(entry, urls.map((url) => `import ${JSON.stringify(url)};\n`).join(""));
    const command = new Deno.Command(Deno.execPath(), {
      args: ["info", "--json", "--config", join(root, "deno.json"), entry],
      stdin: "null",
    });
    const { success, stdout, stderr } = await command.output();
    if (!success) throw new Error(`deno info failed: ${new TextDecoder().decode(stderr)}`);
    const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as { modules: InfoModule[] };
    return new Map(
      modules.flatMap((module) => {
        const path = inTree(root, module.specifier);
        return path === null ? [] : [[path, module] as const];
      }),
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Workers and scripts: files that are named by `new URL("./x.ts", import.meta.url)`. */
function urlImports(path: string, text: string): Import[] {
  const named = text.matchAll(/new URL\(\s*"(\.[^"]*\.ts)",\s*import\.meta\.url/g);
  return Array.from(named, ([, specifier]): Import => {
    const { pathname } = new URL(specifier!, `file:///${path}`);
    return { specifier: specifier!, file: pathname.slice(1), typeOnly: false };
  });
}

function inTree(root: string, url: string | undefined): string | null {
  if (url === undefined || !url.startsWith("file:")) return null;
  const path = toSlashes(relative(root, fileURLToPath(url)));
  return path.startsWith("../") ? null : path;
}

function toSlashes(path: string): string {
  return path.replaceAll("\\", "/");
}
