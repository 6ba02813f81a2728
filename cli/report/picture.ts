/** A figure as a file of its own: SVG, in the colours of one theme, on nothing. */
import { type Drawer, type Figure, PIXELS } from "./figure.ts";
import { html } from "./html.ts";
import { type Theme, withColours } from "./theme.ts";

/** Draws a figure for a document that has no style sheet of ours. */
export function pictureOf(figure: Figure, theme: Theme, drawer: Drawer): string {
  const size = `0 0 ${PIXELS.wide} ${figure.height("wide")}`;
  const open = html`
    <svg xmlns="http://www.w3.org/2000/svg" viewBox="${size}" role="img" aria-labelledby="title"
      font-family="system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif">
      <title id="title">${figure.title}</title>
      <desc>${figure.alt}</desc>
  `;
  return `${
    withColours(drawer.draw(figure, "wide").replace(/^<svg[^>]*>/, () => open.toString()), theme)
  }\n`;
}
