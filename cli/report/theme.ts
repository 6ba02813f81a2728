/**
 * Colours of charts and pages, by what they are for. A chart is drawn once with names, `var(--ink)`; a page
 * gives them values in its style sheet, by the reader's theme, and a picture of its own has them put in.
 *
 * The eight of the series keep their order under the common kinds of colour blindness (after Okabe and Ito,
 * https://jfly.uni-koeln.de/color/), each at least 3:1 against the background; beside the colour, lines differ
 * in their symbols and bars in their order.
 */

/** "light" or "dark". */
export type Theme = "light" | "dark";

/** Series colours. */
export const SERIES = [1, 2, 3, 4, 5, 6, 7, 8].map((i) => `var(--c${i})`);
/** Text. */
export const INK = "var(--ink)";
/** Secondary text and axes. */
export const MUTED = "var(--muted)";
/** Grid lines and what is empty. */
export const GRID = "var(--grid)";
/** What a chart stands on. */
export const SURFACE = "var(--surface)";

const COLOURS: Record<Theme, Record<string, string>> = {
  light: {
    bg: "#f6f7f9",
    surface: "#ffffff",
    ink: "#1a1f27",
    muted: "#59626f",
    grid: "#e3e6eb",
    c1: "#0068a8",
    c2: "#c65200",
    c3: "#00805c",
    c4: "#a8508a",
    c5: "#94690a",
    c6: "#3585b5",
    c7: "#646c78",
    c8: "#7c2f2f",
  },
  dark: {
    bg: "#101418",
    surface: "#181d23",
    ink: "#e8ebef",
    muted: "#a0a9b5",
    grid: "#2c343d",
    c1: "#5cb3ee",
    c2: "#f08a45",
    c3: "#3cc79c",
    c4: "#e094c2",
    c5: "#dcb24a",
    c6: "#9cc4e6",
    c7: "#a8b0bb",
    c8: "#e58f8f",
  },
};

/** The theme as declarations of a style sheet. */
export function themeCss(theme: Theme): string {
  return Object.entries(COLOURS[theme]).map(([name, value]) => `--${name}:${value};`).join("");
}

/** A drawing with the colours of one theme in place of their names. */
export function withColours(svg: string, theme: Theme): string {
  return svg.replace(/var\(--([a-z0-9]+)\)/g, (name, key) => COLOURS[theme][key] ?? name);
}
