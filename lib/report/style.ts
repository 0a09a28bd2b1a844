// The report's one style sheet: light and dark by the reader's setting, readable from phone width up, printable.

export const style = `
:root { color-scheme: light dark; --page: #f6f5f2; --card: #ffffff; --ink: #1d1d1b; --muted: #5f5e5a; --line: #dedcd5; --good: #1a7f4b; --bad: #b3392f; --on: #ffffff;
  --s1: #1f5fbf; --s2: #c8640a; --s3: #0d8a72; --s4: #8c3f97; --s5: #8a7400; --s6: #b3392f; }
@media (prefers-color-scheme: dark) { :root { --page: #161614; --card: #20201d; --ink: #eceae4; --muted: #a5a39b; --line: #3a3934; --good: #5cc48d; --bad: #ef8277; --on: #10100f;
  --s1: #7fb0f5; --s2: #f2a65a; --s3: #55c9b0; --s4: #d295dc; --s5: #d3c04f; --s6: #ef8277; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; overflow-wrap: anywhere; }
main { max-width: 1080px; margin: 0 auto; padding: 28px 16px 48px; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 6px; } h2 { font-size: 1.15rem; line-height: 1.3; margin: 0 0 4px; } h3 { font-size: 1rem; margin: 0 0 4px; }
p { margin: 0 0 10px; } .muted, .note, .legend, figcaption { color: var(--muted); } .note { font-size: .92rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); gap: 10px; margin: 18px 0; padding: 0; }
.facts div { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 10px 12px; }
.facts dt { color: var(--muted); font-size: .82rem; } .facts dd { margin: 0; font-size: 1.05rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.grid-of-cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); gap: 16px; align-items: start; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 16px; min-width: 0; } .wide { grid-column: 1 / -1; }
svg { display: block; width: 100%; height: auto; max-width: 640px; font: 13px system-ui, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }
svg text { fill: var(--ink); } svg .tick, svg .axis { fill: var(--muted); font-size: 12px; } svg .value { font-variant-numeric: tabular-nums; } svg .name { font-weight: 600; }
.axis-name { color: var(--muted); font-size: .82rem; margin: 0; }
.grid { stroke: var(--line); stroke-width: 1; } .zero { stroke: var(--muted); stroke-width: 1; } .mark { stroke: var(--muted); stroke-dasharray: 3 3; }
.s1 { --c: var(--s1); } .s2 { --c: var(--s2); } .s3 { --c: var(--s3); } .s4 { --c: var(--s4); } .s5 { --c: var(--s5); } .s6 { --c: var(--s6); }
.series path { fill: none; stroke: var(--c); stroke-width: 2; stroke-linejoin: round; } .series circle, .interval circle, .bar rect { fill: var(--c); } .interval line { stroke: var(--c); stroke-width: 3; stroke-linecap: round; }
.cell rect { fill: var(--s1); } .cell text { font-variant-numeric: tabular-nums; } .cell.strong text { fill: var(--on); font-weight: 600; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 8px 0 0; padding: 0; font-size: .88rem; } .legend li { display: flex; align-items: center; gap: 6px; }
.key { width: 12px; height: 12px; border-radius: 3px; background: var(--c); flex: none; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 5px 10px; border-bottom: 1px solid var(--line); white-space: nowrap; } th:first-child, td:first-child { text-align: left; } thead th { color: var(--muted); font-weight: 600; vertical-align: bottom; }
td.text { text-align: left; white-space: normal; } td.best { font-weight: 700; } td .range { display: block; color: var(--muted); font-size: .78rem; font-weight: 400; }
details { margin-top: 10px; } summary { cursor: pointer; color: var(--muted); font-size: .88rem; }
.answer { border-top: 1px solid var(--line); padding: 12px 0; } .answer:first-of-type { border-top: 0; } .pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 260px), 1fr)); gap: 10px; margin-top: 8px; }
pre { margin: 2px 0 0; padding: 8px 10px; background: var(--page); border-radius: 8px; white-space: pre-wrap; font: .86rem/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
.tag { display: inline-block; border: 1px solid var(--line); border-radius: 999px; padding: 0 9px; font-size: .82rem; margin-right: 6px; } .right { color: var(--good); } .wrong { color: var(--bad); }
footer { color: var(--muted); font-size: .85rem; margin-top: 24px; }
@media print { body { background: none; } .card { break-inside: avoid; } }
`.trim();
