/** Plain-text tables: columns as wide as their widest cell, numbers to the right. */

/** Lays out rows under a header. A column whose cells all look like numbers is aligned to the right. */
export function renderTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const widths = header.map((title, i) =>
    Math.max(title.length, ...rows.map((row) => row[i]!.length))
  );
  const numeric = header.map((_, i) =>
    rows.every((row) => /^[-\d.,]+( ?[%A-Za-z/]+)?$/.test(row[i]!))
  );
  const line = (cells: readonly string[]) =>
    cells.map((cell, i) => numeric[i] ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!))
      .join("  ").trimEnd();
  return [line(header), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join(
    "\n",
  );
}

/** Joins clauses with "; " into lines of at most `columns` characters, of which all but the first are indented. */
export function joinClauses(clauses: readonly string[], columns: number): string {
  const lines: string[] = [];
  for (const [i, clause] of clauses.entries()) {
    const last = lines.at(-1);
    const mark = i < clauses.length - 1 ? 1 : 0; // what follows the clause
    if (last !== undefined && last.length + 2 + clause.length + mark <= columns) {
      lines[lines.length - 1] = `${last}; ${clause}`;
    } else {
      if (last !== undefined) lines[lines.length - 1] += ";";
      lines.push(last === undefined ? clause : `  ${clause}`);
    }
  }
  return lines.join("\n");
}

/** The longest line of a text, in characters. */
export function widthOf(text: string): number {
  return Math.max(...text.split("\n").map((line) => line.length));
}

/** A number of things as people read it: "32.8 k", "134.5 M". */
export function formatCount(count: number): string {
  const units = ["", " k", " M", " B"];
  let unit = 0;
  let value = count;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)}${units[unit]}`;
}

/** A number of things in words: "1 layer", "8 samples". */
export function plural(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

/** A share as a percentage. */
export function formatShare(share: number): string {
  return `${(100 * share).toFixed(0)} %`;
}

/** Layers of a node: "0-9", "embed, head", "20-29". */
export function formatLayers(layers: readonly [number, number] | null): string {
  return layers ? layers[0] === layers[1] ? `${layers[0]}` : `${layers[0]}-${layers[1]}` : "none";
}
