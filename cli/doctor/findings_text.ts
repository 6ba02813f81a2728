/** Findings for people. */
import type { Finding, Status } from "./finding.ts";
import { plural } from "../table.ts";

/** Words and not colours: they are in logs and mails too. */
const MARKS: Record<Status, string> = { good: "ok", warning: "warn", bad: "BAD", unknown: "?" };

/** A line each, what to do below it; neighbours that want the same say it once. */
export function findingsText(findings: readonly Finding[]): string {
  const width = Math.max(0, ...findings.map(({ name }) => name.length));
  const lines = findings.flatMap(({ name, status, message, action }, i) => {
    const line = `${MARKS[status].padEnd(4)}  ${name.padEnd(width)}  ${message}`;
    const said = action === null || findings[i + 1]?.action === action;
    if (said) return [line];
    const indent = " ".repeat(6 + width);
    return [line, `${indent}  -> ${action.replaceAll("\n", `\n${indent}     `)}`];
  });
  return lines.join("\n");
}

/** How many of each there are. */
export function countStatuses(findings: readonly Finding[]): Record<Status, number> {
  const counts = { good: 0, warning: 0, bad: 0, unknown: 0 };
  for (const { status } of findings) counts[status]++;
  return counts;
}

/** The last line. */
export function summaryText(findings: readonly Finding[]): string {
  const { good, warning, bad, unknown } = countStatuses(findings);
  const told = [`${good} ok`, plural(warning, "warning"), `${bad} bad`];
  return [...told, ...(unknown > 0 ? [`${unknown} not known`] : [])].join(", ");
}
