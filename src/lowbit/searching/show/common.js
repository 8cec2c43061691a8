"use strict";
const D = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id), NS = "http://www.w3.org/2000/svg";
const known = v => typeof v === "number" && Number.isFinite(v);
function el(parent, tag, attrs, text) { const e = document.createElementNS(NS, tag); for (const k in attrs) e.setAttribute(k, attrs[k]); if (text !== undefined) e.textContent = text; parent.appendChild(e); return e; }
function node(parent, tag, text, cls) { const e = document.createElement(tag); if (text !== undefined) e.textContent = text; if (cls) e.className = cls; parent.appendChild(e); return e; }
// numbers as the tables of the terminal write them
function plain(v) { if (!known(v)) return "–"; const a = Math.abs(v); return a >= 1e15 || (a && a < 1e-4) ? v.toExponential(2) : Number.isInteger(v) || a >= 1e4 ? Math.round(v).toLocaleString("en-US") : String(Number(v.toPrecision(4))); }
function decimals(e) { let x = Math.floor(Math.log10(Math.abs(e))); if (Math.abs(e) / 10 ** x < 1.95) x -= 1; return Math.min(12, Math.max(0, -x)); }
function figure(v, e, unit) { if (!known(v)) return "–"; const fixed = (n, d) => n.toLocaleString("en-US", { minimumFractionDigits: d, maximumFractionDigits: d }); const text = known(e) && e ? fixed(v, decimals(e)) + " ± " + fixed(e, decimals(e)) : plain(v); return unit ? text + " " + unit : text; }
// the tip at the mouse, or at an element; ``fill`` puts what it likes into it
const tip = $("tip");
function show(fill, x, y) { tip.replaceChildren(); fill(tip); tip.style.display = "block"; const w = tip.offsetWidth, h = tip.offsetHeight; tip.style.left = Math.max(4, Math.min(x + 14, innerWidth - w - 8)) + "px"; tip.style.top = Math.max(4, y + h + 24 > innerHeight ? y - h - 10 : y + 14) + "px"; }
function hide() { tip.style.display = "none"; }
function hover(e, fill, enter, leave) { e.addEventListener("mousemove", m => show(fill, m.clientX, m.clientY)); if (enter) e.addEventListener("mouseenter", enter); e.addEventListener("mouseleave", () => { hide(); if (leave) leave(); }); }
const words = text => t => { node(t, "div", text); };
const press = (e, go) => { e.tabIndex = 0; e.addEventListener("click", go); e.addEventListener("keydown", k => { if (k.key === "Enter" || k.key === " ") { k.preventDefault(); go(); } }); };
// axes
function extent(values) { let lo = Infinity, hi = -Infinity; for (const v of values) if (known(v)) { lo = Math.min(lo, v); hi = Math.max(hi, v); } if (lo > hi) return [0, 1]; const pad = hi > lo ? .05 * (hi - lo) : Math.abs(hi) * .05 || .5; return [lo - pad, hi + pad]; }
function ticks(lo, hi, most) { const rough = (hi - lo) / most, p = 10 ** Math.floor(Math.log10(rough)), step = [1, 2, 5, 10].map(k => k * p).find(s => s >= rough) || 10 * p, out = []; for (let i = Math.ceil(lo / step); i * step <= hi && out.length < 50; i++) out.push(i * step); return out.map(v => Number(v.toPrecision(12))); }
const brief = v => { const a = Math.abs(v); return a >= 1e15 || (a && a < 1e-3) ? v.toExponential(1) : a >= 1e9 ? Number((v / 1e9).toPrecision(4)) + " G" : a >= 1e6 ? Number((v / 1e6).toPrecision(4)) + " M" : a >= 1e4 ? Number((v / 1e3).toPrecision(4)) + " k" : String(Number(v.toPrecision(6))); };
function frame(svg, w, h, xs, ys, xtext, ytext) {
  svg.replaceChildren(); svg.setAttribute("width", w); svg.setAttribute("height", h);
  const x = v => 64 + (w - 84) * (v - xs[0]) / (xs[1] - xs[0]), y = v => 26 + (h - 72) * (1 - (v - ys[0]) / (ys[1] - ys[0]));
  for (const v of ticks(ys[0], ys[1], 7)) { el(svg, "line", { x1: 64, x2: w - 20, y1: y(v), y2: y(v), stroke: "var(--line)" }); el(svg, "text", { x: 58, y: y(v) + 4, "text-anchor": "end", class: "soft" }, brief(v)); }
  for (const v of ticks(xs[0], xs[1], Math.max(3, w / 110))) { el(svg, "line", { x1: x(v), x2: x(v), y1: 26, y2: h - 46, stroke: "var(--line)" }); el(svg, "text", { x: x(v), y: h - 30, "text-anchor": "middle", class: "soft" }, brief(v)); }
  el(svg, "text", { x: 6, y: 14, class: "axis" }, ytext); el(svg, "text", { x: w - 20, y: h - 8, "text-anchor": "end", class: "axis" }, xtext);
  return [x, y];
}
const room = e => Math.max(420, Math.min(1180, e.parentElement.clientWidth || 900));
// from narrow to wide, readable for the colour-blind
const STOPS = [[159,28,52],[222,94,45],[246,193,86],[150,203,190],[38,130,142]];
function colour(t) { t = Math.max(0, Math.min(1, t)) * (STOPS.length - 1); const i = Math.min(STOPS.length - 2, Math.floor(t)), f = t - i; return "rgb(" + STOPS[i].map((a, k) => Math.round(a + (STOPS[i + 1][k] - a) * f)).join(",") + ")"; }
const LINE = ["#0b6e99","#d9622b","#2f9e75","#a3245f","#c99700","#6b4fbb","#8a8f98","#4db2dd"];
// a table whose columns sort: [heading, value, text, left?]; missing values stay at the end either way
function sortable(table, columns, rows, draw, by, up) {
  const head = table.tHead, body = table.tBodies[0]; head.replaceChildren(); body.replaceChildren(); const tr = node(head, "tr");
  columns.forEach(([name, , , left], i) => { const th = node(tr, "th", name, left ? "left" : ""); if (i === by) th.setAttribute("aria-sort", up ? "ascending" : "descending"); press(th, () => { sortable(table, columns, rows, draw, i, i === by ? !up : true); table.querySelectorAll("th")[i].focus(); }); });
  const value = columns[by][1], none = v => v === null || v === undefined || v === "" || Number.isNaN(v);
  const order = rows.slice().sort((a, b) => { const x = value(a), y = value(b); if (none(x) || none(y)) return none(x) - none(y); const o = typeof x === "string" ? x.localeCompare(y, undefined, { numeric: true }) : x - y; return up ? o : -o; });
  for (const r of order) { const line = node(body, "tr"); for (const [, get, text, left] of columns) node(line, "td", text ? text(get(r), r) : String(get(r)), left ? "left" : ""); draw(line, r); }
}
