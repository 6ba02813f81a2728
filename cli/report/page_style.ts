/** The report's style sheet. */
import { themeCss } from "./theme.ts";

/** Both themes by the reader's setting, both widths by the window's; prints in the light one. */
export const PAGE_STYLE = `
:root{${
  themeCss("light")
}color-scheme:light dark;--font:system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
@media screen and (prefers-color-scheme:dark){:root{${themeCss("dark")}}}
*{box-sizing:border-box}
body{margin:0;padding:2.5rem 1.25rem 3rem;background:var(--bg);color:var(--ink);font:1rem/1.55 var(--font);-webkit-text-size-adjust:100%}
header,main,footer{max-width:58rem;margin:0 auto}
h1{margin:0;font-size:clamp(1.5rem,1.1rem + 1.8vw,2.15rem);line-height:1.2;letter-spacing:-.015em;overflow-wrap:anywhere}
h2{margin:0 0 .75rem;font-size:1.15rem;line-height:1.3;overflow-wrap:anywhere}
h2.run{margin:2.5rem 0 0;font-size:1.4rem}
.subtitle{margin:.4rem 0 0;color:var(--muted);max-width:46rem;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:.9rem 1.5rem;margin:1.5rem 0 0}
dt{color:var(--muted);font-size:.82rem}
dd{margin:0;font-weight:550;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
section{margin:1.25rem 0 0;padding:1.25rem 1.5rem;background:var(--surface);border:1px solid var(--grid);border-radius:.6rem}
figure{margin:0}
figure svg{display:block;width:100%;height:auto;font-family:var(--font)}
svg.narrow{display:none}
figcaption{margin-top:.6rem;color:var(--muted);font-size:.92rem;max-width:46rem}
.alt{position:absolute;width:1px;height:1px;margin:-1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
details{margin-top:.6rem;font-size:.92rem}
summary{cursor:pointer;color:var(--muted);width:fit-content}
summary:hover{color:var(--ink)}
.table{overflow-x:auto;margin-top:.5rem}
.table:focus-visible,summary:focus-visible{outline:2px solid var(--c1);outline-offset:2px}
table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:.35rem .9rem .35rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--grid);overflow-wrap:break-word;max-width:22rem}
tbody tr:last-child>*{border-bottom:0}
thead th{color:var(--muted);font-weight:500;white-space:nowrap}
tbody th{font-weight:550;min-width:7.5rem}
.number{text-align:right;white-space:nowrap}
footer{margin-top:2rem;color:var(--muted);font-size:.85rem}
@media (max-width:44rem){
body{padding:1.5rem .75rem 2rem}
section{padding:1rem .9rem}
dl{grid-template-columns:1fr 1fr;gap:.8rem 1rem}
svg.wide{display:none}
svg.narrow{display:block;max-width:30rem;margin:0 auto}
h2.run{margin-top:2rem}
}
@media print{body{padding:0}section{break-inside:avoid}}
`;
