/** Speeds in messages and tables. */

/** Tokens a second with as many digits as tell: "187.3", "9.09", "0.53". */
export function formatRate(tokensPerSecond: number): string {
  if (tokensPerSecond < 1) return `${Number(tokensPerSecond.toPrecision(2))}`;
  return tokensPerSecond.toFixed(tokensPerSecond < 10 ? 2 : 1);
}
