/** Typed looks into parsed JSON. Only own properties count, and a wrong type is as good as none. */

/** A parsed JSON object. */
export type JsonObject = Record<string, unknown>;

/** A property's value; undefined where the object has none of its own. */
export function valueAt(object: JsonObject | undefined, key: string): unknown {
  return object && Object.hasOwn(object, key) ? object[key] : undefined;
}

/** An object within an object. */
export function objectAt(object: JsonObject | undefined, key: string): JsonObject | undefined {
  const value = valueAt(object, key);
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? value as JsonObject
    : undefined;
}

/** A finite number. */
export function numberAt(object: JsonObject | undefined, key: string): number | undefined {
  const value = valueAt(object, key);
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}

/** An integer from 0 to 2^31 - 1: a count or a token id. */
export function countAt(object: JsonObject | undefined, key: string): number | undefined {
  const value = numberAt(object, key);
  return value !== undefined && Number.isInteger(value) && value >= 0 && value < 2 ** 31
    ? value
    : undefined;
}

/** A string. */
export function stringAt(object: JsonObject | undefined, key: string): string | undefined {
  const value = valueAt(object, key);
  return typeof value === "string" ? value : undefined;
}

/** A token id or a list of them, as generation configs write end tokens; empty where there is none. */
export function tokensAt(object: JsonObject | undefined, key: string): number[] {
  const value = valueAt(object, key);
  return (Array.isArray(value) ? value : [value]).filter((id): id is number =>
    Number.isInteger(id) && id >= 0 && id < 2 ** 31
  );
}
