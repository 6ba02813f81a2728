/** What `mdi doctor` finds: one line each. */
import { MdiError, type MdiErrorCode, messageOf } from "../../wasm/error.ts";

/** What a line comes to. "bad" keeps mdi from working, "warning" makes it slower or is about to be bad. */
export type Status = "good" | "warning" | "bad" | "unknown";

/** A figure, a word, or several under names in snake case with their units. */
export type FindingValue =
  | string
  | number
  | null
  | Readonly<Record<string, string | number | null>>;

/** One line. */
export interface Finding {
  /** What was looked at, like "memory" or "peer pi-a:9470". */
  name: string;
  status: Status;
  /** For programs; null where it is not known. */
  value: FindingValue;
  /** For people. */
  message: string;
  /** What to do; null where there is nothing to be done. */
  action: string | null;
  /** What a command would fail with; null where it would not. */
  code: FailureCode | null;
}

/** Codes that a bad line may have; each has an exit status. */
export type FailureCode = MdiErrorCode | "usage";

/** What to do where Deno may not look. */
export const ALL_PERMISSIONS =
  'for all of it, give all permissions: "deno run --allow-all cli/main.ts doctor"';

/** All is well. */
export function good(name: string, value: FindingValue, message: string): Finding {
  return { name, status: "good", value, message, action: null, code: null };
}

/** It works, and could be better. */
export function warning(
  name: string,
  value: FindingValue,
  message: string,
  action: string,
): Finding {
  return { name, status: "warning", value, message, action, code: null };
}

/** It does not work; `code` is what the command that needs it fails with. */
export function bad(
  name: string,
  value: FindingValue,
  message: string,
  action: string,
  code: FailureCode,
): Finding {
  return { name, status: "bad", value, message, action, code };
}

/** It cannot be told. */
export function unknown(name: string, message: string, action: string | null = null): Finding {
  return { name, status: "unknown", value: null, message, action, code: null };
}

/**
 * What the system shows in files that Deno opens with all permissions only.
 * @param readable whether it may open them.
 */
export function untold(name: string, readable: boolean): Finding {
  return readable
    ? unknown(name, "this system does not tell")
    : unknown(name, "not readable", ALL_PERMISSIONS);
}

/**
 * What an error comes to: "Cannot X: why; what to do" is a bad line, a missing permission an unknown one.
 * @param otherwise what to do where the message does not say.
 */
export function findingOf(
  name: string,
  error: unknown,
  otherwise = 'type the command again with "--log-level debug"',
): Finding {
  if (error instanceof MdiError) {
    const [message, action = otherwise] = splitAdvice(error.message);
    return bad(name, null, message, action, error.code);
  }
  if (error instanceof Deno.errors.NotCapable) {
    return unknown(name, "not permitted", ALL_PERMISSIONS);
  }
  return unknown(name, `not checked: ${messageOf(error)}`);
}

/** The advice stands behind the last semicolon of a message. */
function splitAdvice(message: string): [string, string?] {
  const at = message.lastIndexOf("; ");
  return at < 0 ? [message] : [message.slice(0, at), message.slice(at + 2)];
}

/** What the command fails with: the first bad line's code; null where none is bad. */
export function failureOf(findings: readonly Finding[]): Error | null {
  const all = findings.filter(({ status }) => status === "bad");
  const code = all[0]?.code;
  if (!code) return null;
  const names = all.map(({ name }) => name).join(", ");
  const why = all.length === 1
    ? `1 check is bad (${names}); do what its line says`
    : `${all.length} checks are bad (${names}); do what their lines say`;
  const message = `Cannot run mdi as asked: ${why}`;
  return code === "usage" ? new RangeError(message) : new MdiError(code, message);
}
