/** Names of files that a stranger chose. */

/** Whether a path that a server or a file gave stays below the directory it is joined to, on every system. */
export function isSafePath(path: string): boolean {
  if (path.length === 0 || path.length > 500) return false;
  // deno-lint-ignore no-control-regex -- that is what is looked for
  if (/[\x00-\x1f\x7f\\:*?"<>|]/.test(path)) return false;
  return path.split("/").every((part) =>
    part !== "" && !/^\.+$/.test(part) && !/[. ]$/.test(part) && part.length <= 200
  );
}
