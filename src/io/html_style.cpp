#include "io/html_style.h"

namespace stepstone {

const char* const kReportStyle = R"css(
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --edge: #e3e6eb; --text: #1b1f27; --quiet: #626b7a;
  --accent: #1f5fd6; --tint: #eaf1fe; --grid: #e9ecf1; --code: #f3f5f8;
  --c0: #1f5fd6; --c1: #d9660a; --c2: #11845b; --c3: #b5299e; --c4: #0e87a8; --c5: #8a6d00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0f1217; --card: #181c23; --edge: #2a303a; --text: #e6e9ef; --quiet: #98a2b3;
    --accent: #7aa9ff; --tint: #1d2b45; --grid: #272d37; --code: #12161c;
    --c0: #7aa9ff; --c1: #ff9f5a; --c2: #4fd1a1; --c3: #ee85dc; --c4: #5cc8e6; --c5: #e0c04a;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body {
  margin: 0; background: var(--page); color: var(--text); overflow-wrap: anywhere;
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Noto Sans CJK SC",
        "PingFang SC", "Microsoft YaHei", sans-serif;
}
main, header > div, footer { max-width: 1080px; margin: 0 auto; padding: 0 20px; }
header { background: var(--card); border-bottom: 1px solid var(--edge); padding: 26px 0 0; }
header svg { width: 34px; height: 34px; flex: none; margin-top: 3px; fill: var(--accent); }
.head { display: flex; gap: 14px; align-items: flex-start; }
h1 { font-size: 25px; line-height: 1.25; margin: 0; letter-spacing: -0.01em; }
.head p { margin: 3px 0 0; color: var(--quiet); }
nav { display: flex; gap: 22px; margin-top: 16px; overflow-x: auto; scrollbar-width: none; }
nav a {
  color: var(--quiet); text-decoration: none; padding: 8px 0 10px; white-space: nowrap;
  border-bottom: 2px solid transparent;
}
nav a:hover, nav a:focus-visible { color: var(--text); border-color: var(--accent); }
section { margin: 34px 0; }
h2 { font-size: 18px; margin: 0 0 12px; letter-spacing: -0.005em; }
.grid { display: grid; gap: 16px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); }
.tiles { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(min(46%, 165px), 1fr)); }
.card, .chart, .tile {
  background: var(--card); border: 1px solid var(--edge); border-radius: 10px; padding: 16px 18px;
  margin: 0; min-width: 0;
}
.tile { padding: 13px 16px; }
.tile span { color: var(--quiet); font-size: 13px; display: block; }
.tile b { font-size: 24px; line-height: 1.3; font-weight: 650; letter-spacing: -0.01em; display: block; }
.tile b, td, .score b, .legend b, .hover { font-variant-numeric: tabular-nums; }
h3, figcaption { font-size: 15px; font-weight: 600; margin: 0 0 8px; }

.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 0 0 12px; padding: 0;
  color: var(--quiet); font-size: 13px; }
.legend i { display: inline-block; width: 14px; height: 3px; border-radius: 2px; margin-right: 6px;
  vertical-align: middle; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.legend b { color: var(--text); font-weight: 600; }
.plot { position: relative; height: 230px; margin: 8px 10px 44px 46px; touch-action: pan-y; }
.plot svg { position: absolute; inset: 0; width: 100%; height: 100%; overflow: visible; }
.plot path { fill: none; vector-effect: non-scaling-stroke; stroke-linejoin: round; stroke-linecap: round; }
.plot .grid { stroke: var(--grid); stroke-width: 1; }
.plot .line { stroke-width: 2; }
.plot .faint { stroke-width: 1; opacity: 0.28; }
.plot span { position: absolute; color: var(--quiet); font-size: 12px; line-height: 1; white-space: nowrap; }
.plot .yt { right: calc(100% + 8px); transform: translateY(-50%); }
.plot .xt { top: calc(100% + 10px); transform: translateX(-50%); }
.plot .xl { top: calc(100% + 28px); left: 50%; transform: translateX(-50%); }
.hover { position: absolute; inset: 0; pointer-events: none; }
.hover s { position: absolute; top: 0; bottom: 0; width: 1px; background: var(--quiet); opacity: 0.5; }
.hover i { position: absolute; width: 9px; height: 9px; margin: -4.5px; border-radius: 50%;
  border: 2px solid var(--card); }
.hover div { position: absolute; top: 0; background: var(--card); border: 1px solid var(--edge);
  border-radius: 8px; padding: 6px 10px; font-size: 12.5px; line-height: 1.5; white-space: nowrap;
  box-shadow: 0 4px 14px rgb(0 0 0 / 0.16); z-index: 1; }
.hover em { font-style: normal; color: var(--quiet); display: block; }
.hover b { font-weight: 600; }

.score { display: grid; grid-template-columns: minmax(90px, 190px) 1fr minmax(96px, auto); gap: 4px 16px;
  align-items: center; padding: 9px 0; border-top: 1px solid var(--edge); }
.score:first-of-type { border-top: 0; }
small { font-size: 12.5px; }
.score small, .tile small, .note { color: var(--quiet); font-size: 12.5px; display: block; }
.score .value { text-align: right; }
.note { margin: 8px 2px 0; }
.bar { position: relative; height: 12px; border-radius: 6px; background: var(--grid);
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.bar i { position: absolute; left: 0; top: 0; bottom: 0; border-radius: 6px; background: var(--c0); opacity: 0.85; }
.bar s { position: absolute; top: -4px; bottom: -4px; border: solid var(--text); border-width: 0 1.5px; min-width: 3px; }
.bar s::after { content: ""; position: absolute; left: 0; right: 0; top: 50%; border-top: 1.5px solid var(--text); }

.chat { display: flex; flex-direction: column; gap: 10px; }
.chat div { max-width: min(680px, 88%); padding: 9px 14px; border-radius: 14px; white-space: pre-wrap;
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.chat small { display: block; color: var(--quiet); font-size: 12px; line-height: 1.4; }
.chat .user { align-self: flex-end; background: var(--tint); border-bottom-right-radius: 4px; }
.chat .other { align-self: flex-start; background: var(--code); border-bottom-left-radius: 4px; }
.chat .system { align-self: center; max-width: 100%; color: var(--quiet); font-size: 14px; padding: 4px 14px;
  text-align: center; }
.sample p { margin: 0; white-space: pre-wrap; }
.sample strong { color: var(--accent); font-weight: 600; }
.sample small { color: var(--quiet); display: block; margin-bottom: 6px; }

table { width: 100%; border-collapse: collapse; }
th, td { text-align: left; padding: 6px 0; border-top: 1px solid var(--edge); vertical-align: top; }
tr:first-child > * { border-top: 0; }
th { font-weight: 400; color: var(--quiet); width: 42%; padding-right: 14px; }
pre { margin: 0; padding: 14px 18px; background: var(--card); border: 1px solid var(--edge); border-radius: 10px; overflow-x: auto;
  font: 13px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  white-space: pre-wrap; }
footer { color: var(--quiet); font-size: 13px; padding-bottom: 36px; }

@media (max-width: 560px) {
  main, header > div, footer { padding: 0 14px; }
  header { padding-top: 18px; }
  nav { gap: 15px; font-size: 14px; }
  h1 { font-size: 21px; }
  section { margin: 26px 0; }
  .card, .chart { padding: 14px; }
  .plot { height: 200px; margin-left: 42px; margin-right: 6px; }
  .score { grid-template-columns: 1fr auto; }
  .score .bar { grid-column: 1 / -1; grid-row: 2; margin: 4px 0; }
}
@media print {
  :root { --page: #fff; --card: #fff; --edge: #d5d9e0; --text: #000; --quiet: #444; --accent: #1f5fd6;
    --tint: #eaf1fe; --grid: #e4e7ec; --code: #f5f6f8;
    --c0: #1f5fd6; --c1: #d9660a; --c2: #11845b; --c3: #b5299e; --c4: #0e87a8; --c5: #8a6d00; }
  body { font-size: 11pt; }
  nav, .hover { display: none; }
  header { padding-top: 0; border: 0; }
  main, header > div, footer { max-width: none; padding: 0; }
  .tile, .chart, .score, .sample, .chat div, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
}
)css";

const char* const kReportScript = R"js(
for (const figure of document.querySelectorAll(".chart")) {
  const chart = JSON.parse(figure.querySelector("script").textContent);
  const plot = figure.querySelector(".plot");
  const layer = figure.querySelector(".hover");
  const make = (parent, name, text) => {
    const node = parent.appendChild(document.createElement(name));
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const nearest = (points, x) => {
    let low = 0, high = points.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (points[middle][0] < x) low = middle; else high = middle;
    }
    return x - points[low][0] < points[high][0] - x ? points[low] : points[high];
  };
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const pointer = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    const found = chart.series.map((s) => nearest(s.points, pointer));
    const at = found.reduce((a, b) => Math.abs(b[0] - pointer) < Math.abs(a[0] - pointer) ? b : a);
    layer.replaceChildren();
    layer.hidden = false;
    make(layer, "s").style.left = 100 * at[0] + "%";
    const note = make(layer, "div");
    make(note, "em", (chart.x ? chart.x + " " : "") + at[2]);
    chart.series.forEach((series, i) => {
      const dot = make(layer, "i");
      dot.style.cssText = `left:${100 * found[i][0]}%;top:${100 * found[i][1]}%;` +
                          `background:var(--c${series.colour})`;
      const row = make(note, "span", series.name + " ");
      row.style.cssText = "position:static;display:block;font-size:inherit;line-height:inherit";
      make(row, "b", found[i][3] + (found[i][2] === at[2] ? "" : " at " + found[i][2]));
    });
    if (at[0] < 0.5) note.style.left = `calc(${100 * at[0]}% + 12px)`;
    else note.style.right = `calc(${100 - 100 * at[0]}% + 12px)`;
  });
  for (const name of ["pointerleave", "pointercancel"]) {
    plot.addEventListener(name, () => { layer.hidden = true; });
  }
}
)js";

}  // namespace stepstone
