/** Markdown documents, as far as tests look into them. */

/** The code of fenced blocks in a language; with none, of all. */
export function codeBlocks(text: string, language?: string): string[] {
  return [...text.matchAll(/^```([\w-]*)[^\n]*\n(.*?)^```$/gms)]
    .filter(([, name]) => language === undefined || name === language).map(([, , code]) => code!);
}

/** Relative targets of a document's links and pictures. */
export function linksOf(text: string): string[] {
  const prose = withoutCode(text);
  const targets = [
    ...prose.matchAll(/\]\(([^()\s]+)\)/g),
    ...prose.matchAll(/(?:src|srcset|href)="([^"]+)"/g),
  ].map(([, target]) => target!);
  return targets.filter((target) => !/^[a-z]+:/.test(target));
}

/** The anchors of a document's headings, as GitHub makes them. */
export function anchorsOf(text: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading] of withoutCode(text, "blocks").matchAll(/^#{1,6} (.+)$/gm)) {
    const plain = heading!.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase();
    const slug = plain.replace(/[^\p{L}\p{N}\s_-]/gu, "").trim().replace(/\s/g, "-");
    let anchor = slug;
    for (let k = 1; anchors.has(anchor); k++) anchor = `${slug}-${k}`;
    anchors.add(anchor);
  }
  return anchors;
}

/** The messages that headings quote: each as its clauses without what differs, for which "…" stands. */
export function messagesIn(text: string): string[][] {
  return [...text.matchAll(/^### `(.+)`$/gm)].map(([, message]) =>
    message!.split(/…|[:;] /).map((part) => part.trim()).filter((part) => /[a-z]{2}/i.test(part))
  );
}

/** The product's sources below some folders, a text a folder, with strings that lines break joined. */
export async function sourceTexts(folders: readonly string[], root: URL): Promise<string[]> {
  return await Promise.all(folders.map(async (folder) => {
    const texts = await Array.fromAsync(sourcesIn(new URL(`${folder}/`, root)));
    return texts.join("\n").replace(/["'`] \+\s+["'`]/g, "");
  }));
}

async function* sourcesIn(folder: URL): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) yield* sourcesIn(new URL(`${name}/`, folder));
    else if (/(?<!_test)\.ts$/.test(name)) yield await Deno.readTextFile(new URL(name, folder));
  }
}

function withoutCode(text: string, what: "all" | "blocks" = "all"): string {
  const prose = text.replace(/^```.*?^```$/gms, "");
  return what === "blocks" ? prose : prose.replace(/`[^`\n]*`/g, "");
}
