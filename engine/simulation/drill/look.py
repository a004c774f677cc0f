"""How the page of a drill looks, and the few lines that tell what is pointed at.

Colours are Okabe and Ito's, told apart by the colour-blind; each line has a dash of its own, too.
"""

from typing import Final

STYLE: Final = """
:root { color-scheme: light dark; --back: #fff; --text: #1c2127; --soft: #5b6570; --rule: #d9dee3;
  --good: #00694c; --bad: #b03a00; --blue: #0072b2; --green: #009e73; --orange: #c98500;
  --red: #d55e00; --pink: #b4528a; --sky: #3a9bd0; --grey: #6b7580; --fault: #d55e0026; }
@media (prefers-color-scheme: dark) { :root { --back: #14181d; --text: #e6e9ec; --soft: #9aa5b0;
  --rule: #333c46; --good: #3fd0a4; --bad: #ff8a4d; --blue: #56b4e9; --green: #2fc79b;
  --orange: #f0b429; --red: #ff8a4d; --pink: #e08fc0; --sky: #9ad4f5; --grey: #98a2ad;
  --fault: #ff8a4d33; } }
* { box-sizing: border-box; }
body { font: 13px/1.4 system-ui, sans-serif; margin: 0 auto; padding: 10px 16px 40px;
  max-width: 1600px; background: var(--back); color: var(--text); }
h1 { font-size: 20px; margin: 0; } p { margin: 3px 0; }
h2 { font-size: 13px; margin: 12px 0 3px; } h2 small { font-weight: 400; color: var(--soft); }
a { color: inherit; } .told, .unit, dt { color: var(--soft); font-size: 12px; }
header { display: flex; gap: 20px; align-items: center; border-bottom: 1px solid var(--rule);
  padding-bottom: 8px; }
header > div { min-width: 0; flex: 1 1 auto; overflow-wrap: anywhere; }
.verdict { font-size: 26px; font-weight: 700; padding: 3px 16px; border-radius: 6px; margin: 0;
  border: 2px solid; white-space: nowrap; }
.passed .verdict { color: var(--good); } .failed .verdict { color: var(--bad); }
.facts { display: flex; gap: 4px 16px; margin: 0; text-align: right; white-space: nowrap; }
.facts dd { margin: 0; font-size: 16px; font-weight: 600; font-variant-numeric: tabular-nums; }
.first { display: grid; grid-template-columns: minmax(395px, 1fr) minmax(0, 820px); gap: 20px; }
.why { margin: 2px 0; padding-left: 18px; } p.why { padding: 0; }
.failed ~ .first ul.why { color: var(--bad); font-weight: 600; }
.marks { list-style: none; padding: 0; margin: 0; columns: 2; column-gap: 14px; font-size: 12px; }
.marks li { break-inside: avoid; } .marks .missed { font-weight: 600; }
.warn { color: var(--bad); font-weight: 600; } .certificate { overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 2px 5px; border-bottom: 1px solid var(--rule);
  vertical-align: top; overflow-wrap: break-word; }
th:first-child, td:first-child { padding-left: 0; } tbody th, tr > th[scope] { font-weight: 400; }
thead th { color: var(--soft); font-weight: 400; font-size: 12px; } .n { text-align: right; }
.bars td { white-space: nowrap; } .missed { color: var(--bad); }
.missed th[scope], .missed .n { font-weight: 600; } .bars .met td:last-child { color: var(--good); }
.gauge { width: 54px; height: 12px; fill: currentColor; stroke: currentColor; }
.gauge rect { stroke: none; } .gauge .all { opacity: .15; } .met .gauge rect { fill: var(--good); }
figure { margin: 8px 0 0; position: relative; } figcaption { display: flex; gap: 8px;
  align-items: baseline; flex-wrap: wrap; } .key { margin-left: auto; display: flex; gap: 12px;
  flex-wrap: wrap; font-size: 12px; } .swatch { width: 22px; height: 8px; margin-right: 4px; }
figure > svg { width: 100%; height: auto; display: block; } .none { color: var(--soft); }
svg text { font-size: 11px; fill: var(--soft); font-variant-numeric: tabular-nums; }
.grid { stroke: var(--rule); fill: none; } .line { fill: none; stroke-width: 1.4;
  stroke-linejoin: round; vector-effect: non-scaling-stroke; }
.fault { fill: var(--fault); } .faultline { stroke: var(--bad); stroke-width: 1.5; }
svg .faultword { fill: var(--bad); font-weight: 600; }
.cursor { stroke: var(--text); opacity: .6; display: none; }
output { position: absolute; left: 56px; right: 12px; bottom: 26px; font-size: 12px;
  pointer-events: none; font-variant-numeric: tabular-nums; }
output:not(:empty) { background: var(--back); border: 1px solid var(--rule); padding: 1px 6px;
  right: auto; border-radius: 4px; }
.planned { stroke: var(--grey); stroke-width: 5; opacity: .4; } .sent { stroke: var(--blue); }
.accepted { stroke: var(--green); stroke-width: 2; }
.refused { stroke: var(--orange); stroke-dasharray: 7 2; }
.failed.line, .line.failed { stroke: var(--red); stroke-dasharray: 3 2; }
.dropped { stroke: var(--pink); stroke-dasharray: 1.5 2; }
.p50 { stroke: var(--green); } .p90 { stroke: var(--sky); stroke-dasharray: 7 2; }
.p99 { stroke: var(--blue); stroke-width: 2; } .p999 { stroke: var(--red); stroke-dasharray: 3 2; }
.lag { stroke: var(--blue); } .cpu0 { stroke: var(--blue); }
.cpu1 { stroke: var(--green); stroke-dasharray: 7 2; }
.cpu2 { stroke: var(--orange); stroke-dasharray: 3 2; } .cpu3 { stroke: var(--pink); }
.cpu4 { stroke: var(--red); stroke-dasharray: 1.5 2; }
.cpu5 { stroke: var(--sky); stroke-dasharray: 9 2 2 2; }
.more { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 4px 20px;
  border-top: 1px solid var(--rule); margin-top: 14px; }
.tables { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 0 28px; }
.wide { font-size: 11px; } summary { cursor: pointer; color: var(--soft); }
@media (max-width: 1100px) { header, .facts { flex-wrap: wrap; }
  .first, .more, .tables { grid-template-columns: minmax(0, 1fr); } }
"""

SCRIPT: Final = """
"use strict";
const read = JSON.parse(document.getElementById("read").textContent);
const plots = [...document.querySelectorAll("svg[data-plot]")];
const tell = (event) => {
  const box = event.currentTarget.getBoundingClientRect();
  const width = event.currentTarget.viewBox.baseVal.width;
  const x = ((event.clientX - box.left) / box.width) * width;
  const part = (x - read.left) / (width - read.left - read.right);
  const inside = event.type === "pointermove" && part >= 0 && part < 1;
  const at = Math.floor(part * read.at.length);
  for (const svg of plots) {
    const here = read.left + part * (svg.viewBox.baseVal.width - read.left - read.right);
    const cursor = svg.querySelector(".cursor");
    cursor.style.display = inside ? "inline" : "none";
    cursor.setAttribute("transform", "translate(" + here.toFixed(1) + ")");
    const said = (read.plots[svg.dataset.plot] || [])
      .filter((one) => inside && one.values[at] !== null)
      .map((one) => one.name + " " + one.values[at]);
    svg.parentNode.querySelector("output").textContent =
      inside ? [read.at[at], ...said].join("  \\u00b7  ") : "";
  }
};
for (const svg of plots) {
  svg.addEventListener("pointermove", tell);
  svg.addEventListener("pointerleave", tell);
}
"""
