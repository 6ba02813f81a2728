/** What holds for the whole tree. Each rule is a pure function from files to the places that break it. */
import type { SourceFile } from "./import_graph.ts";

/** The layers from the lowest up; a file imports from its own layer and those before it. */
const LAYERS = ["wasm", "engine", "rpc", "cli"];
/** The library's entry gives to programs what cli gives to people: it stands beside cli, on rpc. */
const ENTRY = "mod.ts";
/** Nobody ships these: they may import everything. */
const FREE = ["tests", "bench", "examples"];
const MAX_LINES = 400;

/** Imports that go up the layers, and files that are in none. */
export function layerViolations(files: readonly SourceFile[]): string[] {
  return files.flatMap(({ path, imports }) => {
    const place = path.split("/")[0]!;
    if (FREE.includes(place)) return [];
    const layer = place === ENTRY ? LAYERS.indexOf("rpc") : LAYERS.indexOf(place);
    if (layer < 0) return [`${path} is in no layer: there are ${LAYERS.join(", ")}`];
    return imports.flatMap(({ file }) => {
      if (file === null) return [];
      const target = file.split("/")[0]!;
      if (target === "tests" && isTestCode(path)) return [];
      const below = LAYERS.indexOf(target);
      return below >= 0 && below <= layer ? [] : [`${path} imports ${file}`];
    });
  });
}

/** Groups of files that need each other at run time; types alone may refer both ways. */
export function cycles(files: readonly SourceFile[]): string[] {
  const targets = new Map(files.map(({ path, imports }) => [
    path,
    imports.flatMap(({ file, typeOnly }) => file === null || typeOnly ? [] : [file]),
  ]));
  const state = new Map<string, "open" | "done">();
  const found: string[] = [];
  const trail: string[] = [];
  const visit = (path: string) => {
    if (state.get(path) === "done") return;
    if (state.get(path) === "open") {
      found.push([...trail.slice(trail.indexOf(path)), path].join(" -> "));
      return;
    }
    state.set(path, "open");
    trail.push(path);
    targets.get(path)?.forEach(visit);
    trail.pop();
    state.set(path, "done");
  };
  for (const path of targets.keys()) visit(path);
  return found;
}

/** Specifiers that belong into the import map: versions stand in one place, and publishing sees them. */
export function specifierViolations(files: readonly SourceFile[]): string[] {
  return files.flatMap(({ path, imports }) =>
    imports
      .filter(({ specifier }) => /^(npm|jsr|https?|data|file):|node_modules/.test(specifier))
      .map(({ specifier }) => `${path} imports "${specifier}"`)
  );
}

/** Tests and their helpers that product code imports: they are not published. */
export function testHelperViolations(files: readonly SourceFile[]): string[] {
  return files.filter(({ path }) => !isTestCode(path)).flatMap(({ path, imports }) =>
    imports.flatMap(({ file }) =>
      file !== null && isTestCode(file) ? [`${path} imports ${file}`] : []
    )
  );
}

/** Product code below cli that reads the command line, ends the process or writes to the terminal. */
export function processViolations(files: readonly SourceFile[]): string[] {
  const rule =
    /\bDeno\s*\.\s*(?:args|exit|exitCode)\b|\bconsole\s*\.|\bprocess\s*\.\s*(?:argv|exit)\b/;
  return matches(files, ({ path }) => !isTestCode(path) && !path.startsWith("cli/"), rule);
}

/** Constructs that the project does without. */
export function constructViolations(files: readonly SourceFile[]): string[] {
  const rule =
    /\bexport\s+default\b|\benum\s+\w+\s*\{|\bnamespace\s+\w+\s*\{|@ts-(?:ignore|nocheck)/;
  return matches(files, ({ path }) => !isGenerated(path), rule);
}

/** Files that are too long to be one idea. */
export function lengthViolations(files: readonly SourceFile[]): string[] {
  return files.filter(({ path }) => !isGenerated(path)).flatMap(({ path, text }) => {
    const lines = text.trimEnd().split("\n").length;
    return lines > MAX_LINES ? [`${path} has ${lines} lines`] : [];
  });
}

/** Exported declarations of product code that no doc comment stands above. */
export function docViolations(files: readonly SourceFile[]): string[] {
  const declaration =
    /^export (?:declare )?(?:abstract )?(?:async )?(?:function\*?|class|interface|type|const|let) (\w+)/;
  return files.filter(({ path }) => !isTestCode(path) && !isGenerated(path)).flatMap(
    ({ path, text }) => {
      const lines = text.split("\n");
      const documented = new Set<string>();
      return lines.flatMap((line, i) => {
        const name = declaration.exec(line)?.[1];
        if (name === undefined || documented.has(name)) return [];
        documented.add(name); // an overload's first signature speaks for all
        // AssemblyScript's kernels have decorators between.
        const above = lines[i - 1]?.startsWith("@") ? lines[i - 2] : lines[i - 1];
        return above?.trimEnd().endsWith("*/") ? [] : [`${path}: ${name} has no doc comment`];
      });
    },
  );
}

/** Whether a file is a test, a benchmark or their helper, by its place or its name. */
export function isTestCode(path: string): boolean {
  const name = path.slice(path.lastIndexOf("/") + 1);
  return FREE.includes(path.split("/")[0]!) || name.startsWith("_") ||
    /_(?:test|bench)\.ts$/.test(name);
}

function isGenerated(path: string): boolean {
  return path.split("/").includes("gen");
}

function matches(
  files: readonly SourceFile[],
  which: (file: SourceFile) => boolean,
  rule: RegExp,
): string[] {
  return files.filter(which).flatMap((file) =>
    withoutTexts(file.text).split("\n").flatMap((line, i) =>
      rule.test(line) ? [`${file.path}:${i + 1}: ${line.trim()}`] : []
    )
  );
}

/** A source without its comments and string contents; lines stay where they are. */
function withoutTexts(source: string): string {
  return source.replace(
    /"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`|\/\/[^\n]*|\/\*[\s\S]*?\*\//g,
    (text) => (text.startsWith("// @ts-") ? text : "") + "\n".repeat(text.split("\n").length - 1),
  );
}
