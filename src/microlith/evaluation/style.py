"""The style sheet of the HTML report: light and dark, wide and narrow, screen and paper."""

from __future__ import annotations

CSS = """
:root {
  color-scheme: light dark;
  --page: #fbfaf8; --card: #ffffff; --ink: #1d1f23; --soft: #5c6169; --line: #e3e0da; --grid: #ecebe7; --on: #ffffff;
  --good: #17694a; --bad: #a8321f; --hit: #1f6fb2; --miss: #c2461d;
  --c0: #1f6fb2; --c1: #c2581a; --c2: #17805a; --c3: #8a4aa8; --c4: #7a6a00; --c5: #5f6670;
  --serif: "Iowan Old Style", "Palatino Linotype", Palatino, Georgia, "Liberation Serif", serif;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif;
  --mono: ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", "DejaVu Sans Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #15171a; --card: #1c1f23; --ink: #e9e7e2; --soft: #a0a6ae; --line: #32363c; --grid: #292d32; --on: #10151a;
    --good: #6fcfa5; --bad: #f2937f; --hit: #6db3ec; --miss: #f0915f;
    --c0: #6db3ec; --c1: #f0a05f; --c2: #62cda3; --c3: #cd9be6; --c4: #d3c04a; --c5: #a6adb6;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--ink); font: 16px/1.55 var(--sans);
  font-variant-numeric: tabular-nums; text-rendering: optimizeLegibility;
}
main { max-width: 1120px; margin: 0 auto; padding: 56px 28px 80px; }
header { border-bottom: 1px solid var(--line); padding-bottom: 28px; }
h1 { font: 400 40px/1.15 var(--serif); letter-spacing: -.01em; margin: 0 0 12px; overflow-wrap: anywhere; }
h2 { font: 400 25px/1.25 var(--serif); margin: 0 0 4px; }
h3 { font: 600 15px/1.4 var(--sans); margin: 0 0 8px; }
p { margin: 0 0 12px; max-width: 74ch; text-wrap: pretty; }
section { margin-top: 56px; }
.eyebrow { color: var(--soft); font-size: 14px; margin: 0 0 10px; }
.lead { font-size: 19px; line-height: 1.5; margin: 0; max-width: 62ch; overflow-wrap: anywhere; }
.verdicts { margin: 14px 0 0; padding: 0; list-style: none; color: var(--soft); overflow-wrap: anywhere; }
.note { color: var(--soft); font-size: 14px; margin: 0 0 18px; }
.good { color: var(--good); } .bad { color: var(--bad); } .soft { color: var(--soft); }
.cards { display: grid; grid-template-columns: repeat(4, 1fr); gap: 1px; background: var(--line);
  border: 1px solid var(--line); border-radius: 10px; overflow: hidden; margin-top: 28px; }
.cards > div { background: var(--card); padding: 18px 20px 16px; }
.cards dt { color: var(--soft); font-size: 13.5px; }
.cards dd { margin: 2px 0 0; font: 400 29px/1.25 var(--serif); white-space: nowrap; }
.cards dd.sub { font: 13px/1.45 var(--sans); color: var(--soft); white-space: normal; margin-top: 3px; }
.pair { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 28px 44px; margin-top: 18px; }
.pair > * { min-width: 0; }
figure { margin: 0; }
figcaption { color: var(--soft); font-size: 14px; margin-top: 6px; max-width: 62ch; }
.scroll { overflow-x: auto; -webkit-overflow-scrolling: touch; }
table { border-collapse: collapse; width: 100%; font-size: 14.5px; }
th, td { text-align: left; padding: 7px 18px 7px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 500; color: var(--soft); font-size: 13.5px; vertical-align: bottom; }
tbody th { color: var(--ink); font-size: 14.5px; font-weight: 400; vertical-align: top; overflow-wrap: break-word; min-width: 9em; max-width: 34em; }
td.number, th.number { text-align: right; white-space: nowrap; }
td.number:last-child, th.number:last-child { padding-right: 4px; }
td small, dd small { color: var(--soft); font-size: 12.5px; }
tr.part th { color: var(--soft); font-size: 13.5px; padding-top: 20px; }
tbody tr:last-child > * { border-bottom-color: transparent; }
.best { font-weight: 650; }
.narrow { max-width: 660px; } figure.rows { max-width: 720px; margin: 4px 0 18px; }
.bounds { display: inline-block; min-width: 7.6em; margin-left: .7em; text-align: left; color: var(--soft); font-size: 12.5px; }
.case { border-bottom: 1px solid var(--line); padding: 13px 0 14px; }
.case:last-child { border-bottom: 0; }
.case p { margin: 0 0 6px; max-width: none; overflow-wrap: anywhere; white-space: pre-wrap; }
.case .facts { color: var(--soft); font-size: 13.5px; }
.case dl { display: grid; grid-template-columns: 5.4em minmax(0, 1fr); gap: 2px 10px; margin: 0; font-size: 13.5px; }
.case dt { color: var(--soft); }
.case dd { margin: 0; font-family: var(--mono); font-size: 12.5px; line-height: 1.6; overflow-wrap: anywhere; }
mark { background: none; color: var(--bad); font-weight: 600; }
details { margin-top: 14px; }
summary { cursor: pointer; color: var(--soft); font-size: 14.5px; padding: 4px 0; }
.key { display: flex; flex-wrap: wrap; gap: 2px 18px; list-style: none; padding: 0; margin: 4px 0 0; font-size: 13.5px; }
.key li { overflow-wrap: anywhere; }
.key i { display: inline-block; width: 18px; border-top: 3px solid var(--own); margin-right: 7px; vertical-align: 4px; }
svg { display: block; max-width: 100%; height: auto; overflow: visible; }
svg[width] { max-width: none; }
svg text { font: 13px var(--sans); fill: var(--ink); }
svg .tick, svg .small { fill: var(--soft); font-size: 12px; }
svg .middle, svg .count { text-anchor: middle; } svg .end { text-anchor: end; } svg .strong { font-weight: 600; }
svg .slanted { font-size: 12.5px; } svg .count { font-size: 12px; pointer-events: none; } svg .count.on { fill: var(--on); }
svg .count.long { font-size: 10.5px; }
.grid { stroke: var(--grid); stroke-width: 1; } .axis { stroke: var(--line); stroke-width: 1.5; }
.diagonal { stroke: var(--soft); stroke-dasharray: 2 4; } .guide { stroke: var(--soft); stroke-dasharray: 1 4; }
.curve { fill: none; stroke: var(--own); stroke-width: 2.2; stroke-linejoin: round; }
.curve.faint { stroke-width: 1.2; opacity: .55; stroke-dasharray: 3 3; }
.curve.thin { stroke-width: 1.4; opacity: .6; stroke-dasharray: none !important; }
.whisker { stroke: var(--own); stroke-width: 2.5; stroke-linecap: round; opacity: .55; } .whisker.thin { stroke-width: 1.5; }
.dot { fill: var(--own); stroke: var(--page); stroke-width: 1.5; } .touch { fill: transparent; }
.ground { fill: var(--grid); fill-opacity: .45; } .gap { stroke: var(--page); stroke-width: 2; } .cell.hit { fill: var(--hit); } .cell.miss { fill: var(--miss); }
.c1 i { border-top-style: dashed; } .c2 i { border-top-style: dotted; }
.c0 { --own: var(--c0); } .c1 { --own: var(--c1); } .c2 { --own: var(--c2); }
.c3 { --own: var(--c3); } .c4 { --own: var(--c4); } .c5 { --own: var(--c5); }
.c1 .curve { stroke-dasharray: 7 3; } .c2 .curve { stroke-dasharray: 2 3; } .c3 .curve { stroke-dasharray: 9 3 2 3; }
footer { margin-top: 64px; padding-top: 20px; border-top: 1px solid var(--line); color: var(--soft); font-size: 14px; }
footer dl { display: grid; grid-template-columns: 11em minmax(0, 1fr); gap: 6px 18px; margin: 10px 0 0; }
footer dt { color: var(--ink); } footer dd { margin: 0; max-width: 74ch; }
@media screen and (max-width: 860px) {
  .cards { grid-template-columns: repeat(2, 1fr); } .pair { grid-template-columns: minmax(0, 1fr); }
}
@media screen and (max-width: 560px) {
  main { padding: 30px 18px 56px; } h1 { font-size: 31px; } .lead { font-size: 17px; } section { margin-top: 44px; }
  .cards > div { padding: 14px 14px 12px; } .cards dd { font-size: 24px; } footer dl { grid-template-columns: 1fr; gap: 0; }
  footer dd { margin-bottom: 8px; } th, td { padding-right: 12px; } tbody th { min-width: 8em; }
  .bounds { display: block; min-width: 0; margin: 0; text-align: right; } .bounds:empty { display: none; }
  svg:not([width]) text, svg:not([width]) .tick, svg:not([width]) .small { font-size: 16.5px; }
  .rows svg:not([width]) text { font-size: 21px; } .rows svg:not([width]) .tick { font-size: 19px; }
}
@media print {
  :root { --page: #fff; --card: #fff; --ink: #000; --soft: #444; --line: #ccc; --grid: #e6e6e6; --on: #fff;
    --good: #17694a; --bad: #a8321f; --hit: #1f6fb2; --miss: #c2461d;
    --c0: #1f6fb2; --c1: #c2581a; --c2: #17805a; --c3: #8a4aa8; --c4: #7a6a00; --c5: #5f6670; }
  body { font-size: 10.5pt; } main { max-width: none; padding: 0; } section { margin-top: 26pt; }
  figure, .case, .cards, tr { break-inside: avoid; } h2, h3 { break-after: avoid; } .scroll { overflow: visible; } svg[width] { max-width: 100%; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
"""Complete; names no file, font or address outside itself."""
