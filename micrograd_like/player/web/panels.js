// Three plots: the loss over one number, what the next step does, and the loss over time.

import { AHEAD, DATA, P, S, T, changed, edit, goto, horizon, losses, names, onChange, onFound, release } from "./state.js";
import { $, arrow, clamp, drag, el, finite, fmt, html, nice, say, set, signed, way } from "./base.js";
import { choose } from "./diagram.js";

// ---------- one number: the loss over it, what the gradient predicts, what happens ----------
const SX = 44, SW = 388, SH = 178;
const slice = $("slice"), part = {};
for (const [key, tag, cls] of [["grid", "g", ""], ["gap", "path", "gap"], ["curve", "path", "ink"], ["tangent", "path", "tangent"], ["path", "g", ""], ["now", "circle", "nowDot"], ["hollow", "circle", "hollowDot"], ["full", "circle", "fullDot"]]) part[key] = el(tag, { class: cls }, slice);
let view = { lo: -4, hi: 4, top: 2, low: 0 };
// Of a recorded loss: a window around the number, which stands still while the number and its next step stay inside.
function around(p, at, move) {
  const to = clamp(at + move, at - 100, at + 100), margin = (view.hi - view.lo) * 0.06;
  if (view.p === p && Math.min(at, to) > view.lo + margin && Math.max(at, to) < view.hi - margin) return;
  const reach = Math.max(1.5, Math.abs(to - at) * 1.4, Math.abs(at) * 0.6), unit = nice(reach / 4);
  view.p = p; view.lo = Math.floor((at - reach) / unit) * unit; view.hi = view.lo + Math.ceil(2 * reach / (4 * unit)) * 4 * unit;
}
function drawSlice(v) {
  const p = S.chosen, at = v.p[p], g = v.g[p], move = v.to[p] - at, steps = S.held && DATA.rows.length > 50 ? 32 : 80;
  if (!S.held) {
    const far = nice(Math.max(DATA.reach, Math.abs(finite(at, 1e6)) * 1.1, Math.min(Math.abs(finite(at + move, 1e6)), 3 * DATA.reach)));
    if (DATA.kind === "network") { view.lo = -far; view.hi = far; } else around(p, at, move);
  }
  const xs = [], to = at + move;
  for (let k = 0; k <= steps; k++) xs.push(view.lo + (view.hi - view.lo) * k / steps);
  const ys = P.slice(v.p, v.rows, p, [...xs, to]), truth = ys[steps + 1], alone = truth - v.loss, predicted = g * move;
  const curve = ys.slice(0, steps + 1);
  if (!S.held) {
    const high = [...curve].filter(Number.isFinite), most = high.length ? Math.max(...high) : 1, least = high.length ? Math.min(...high) : 0;
    const near = Math.max(finite(v.loss, 1e9), 1e-9) * 1.8, told = finite(v.loss + predicted, 1e9);
    const below = Math.min(least, Math.max(told, -near));
    view.low = below < -1e-9 * near ? -nice(-below) : 0;
    const k = Math.round((at - view.lo) / (view.hi - view.lo) * steps), beside = Math.max(...[k - 5, k + 5].map((i) => finite(curve[clamp(i, 0, steps)], 1e9)));
    view.top = nice(Math.max(1e-9, Math.min(most, Math.max(near, Math.min(beside, Math.max(20 * near, DATA.scale)), Math.min(finite(truth, 1e9) * 1.1, 4 * near)))));
    if (view.top <= view.low) view.top = view.low + 1;
  }
  const X = (a) => SX + SW * (a - view.lo) / (view.hi - view.lo), Y = (l) => clamp(SH - (SH - 12) * (finite(l, 1e9) - view.low) / (view.top - view.low), -400, 600);
  part.grid.replaceChildren();
  for (const t of [view.low, (view.low + view.top) / 2, view.top]) { el("path", { d: `M${SX} ${Y(t)}H${SX + SW}`, class: "axis" }, part.grid); el("text", { x: SX - 6, y: Y(t) + 4, "text-anchor": "end", class: "small" }, part.grid, fmt(t, 2)); }
  for (let k = 0; k <= 4; k++) { const t = view.lo + (view.hi - view.lo) * k / 4; el("text", { x: X(t), y: SH + 19, "text-anchor": k === 4 ? "end" : k ? "middle" : "start", class: "small" }, part.grid, fmt(t)); }
  let d = "", pen = "M";
  curve.forEach((l, k) => { if (Number.isFinite(l)) { d += `${pen}${X(xs[k]).toFixed(1)} ${Y(l).toFixed(1)}`; pen = "L"; } else pen = "M"; });
  set(part.curve, { d: d || null });
  const length = Math.max((view.hi - view.lo) * 0.13, Math.abs(finite(move, view.hi * 4)) * 1.25);
  set(part.tangent, { d: Number.isFinite(g) ? `M${X(at - length).toFixed(1)} ${clamp(SH - (SH - 12) * (v.loss - g * length - view.low) / (view.top - view.low), -4000, 4000).toFixed(1)}L${X(at + length).toFixed(1)} ${clamp(SH - (SH - 12) * (v.loss + g * length - view.low) / (view.top - view.low), -4000, 4000).toFixed(1)}` : null });
  const px = clamp(X(finite(to, 1e6)), -300, 800), py = Y(v.loss + predicted), ty = Y(truth);
  set(part.now, { cx: X(at), cy: Y(v.loss), r: 6.5 });
  set(part.hollow, { cx: px, cy: py, r: 5 });
  set(part.full, { cx: px, cy: ty, r: 5.5, class: `fullDot ${alone > 0 ? "raises" : "lowers"}` });
  set(part.gap, { d: `M${px} ${py}V${ty}` });
  drawPath(X, Y, p);
  for (const [key, value, cls] of [["now", fmt(v.loss), ""], ["predicted", signed(predicted), way(predicted)], ["alone", signed(alone), way(alone)]]) {
    const node = $(`read-${key}`); say(node, value); set(node, { class: cls });
  }
  say($("knobName"), names()[p]);
  const input = $("value"), box = $("valueBox");
  set(input, { min: view.lo, max: view.hi, step: "any" });
  if (document.activeElement !== input || !S.held) input.value = at;
  input.setAttribute("aria-valuetext", `${fmt(at)}, gradient ${fmt(g)}`);
  if (document.activeElement !== box) box.value = fmt(at).replace("−", "-");
  say($("gradientOut"), Number.isFinite(g) ? `gradient ${signed(g)} ${arrow(g)}` : `gradient ${fmt(g)}`); set($("gradientOut"), { class: way(g) });
}
// The next ten steps on the curve, where this number alone moves: how a step that is too large bounces.
function drawPath(X, Y, p) {
  part.path.replaceChildren();
  if (P.count > 1 || S.held) return;
  let x0 = T.at(S.step)[p], l0 = T.lossAt(S.step);
  for (let k = S.step + 1; k <= S.step + 10; k++) {
    if (T.tryTo(k) < k) break;
    const x = T.past[k].p[p], l = T.lossAt(k);
    if (!Number.isFinite(l)) break;
    el("path", { d: `M${clamp(X(x0), -400, 900).toFixed(1)} ${Y(l0).toFixed(1)}L${clamp(X(x), -400, 900).toFixed(1)} ${Y(l).toFixed(1)}`, class: "hop", opacity: (1 - (k - S.step) / 12).toFixed(2) }, part.path);
    [x0, l0] = [x, l];
  }
}
const sliceAt = (e) => { const box = slice.getBoundingClientRect(); return view.lo + (view.hi - view.lo) * clamp(((e.clientX - box.left) / box.width * 442 - SX) / SW, 0, 1); };
drag(slice, { start: () => { S.held = true; }, move: (e) => edit("w", S.chosen, Number(sliceAt(e).toPrecision(5))), end: release });
$("value").addEventListener("input", (e) => { S.held = true; edit("w", S.chosen, +e.target.value); });
$("value").addEventListener("change", release);
$("valueBox").addEventListener("change", (e) => {
  const x = Number(e.target.value.replace("−", "-").replace(",", "."));
  if (e.target.value.trim() && Number.isFinite(x)) edit("w", S.chosen, x);
  e.target.blur(); changed();
});

// ---------- all parameters, ranked: three lanes with one scale ----------
const bars = $("bars"), LANES = [["predicted", "predicted", "gradient × move"], ["alone", "alone", "if only it moved"], ["share", "share", "of what happens"]], laneX = (k) => 144 + 108 * k, HALF = 50, MOST = 12;
let rows = [], foot = null, more = null, order = [], showAll = false;
export const ranked = () => order;
export function drawBars() {
  bars.replaceChildren();
  const count = showAll ? P.count : Math.min(P.count, MOST), bottom = 40 + 20 * count;
  LANES.forEach(([, name, note], k) => { el("text", { x: laneX(k), y: 12, "text-anchor": "middle" }, bars, name); el("text", { x: laneX(k), y: 27, "text-anchor": "middle", class: "small" }, bars, note); el("path", { d: `M${laneX(k)} 33V${bottom}`, class: "axis" }, bars); });
  rows = [...Array(count).keys(), -1].map((place) => {
    const g = el("g", { class: "row", transform: `translate(0 ${place < 0 ? bottom + 4 : 35 + 20 * place})` }, bars), total = place < 0;
    el("rect", { x: -8, width: 432, height: 20, class: "hit", rx: 4 }, g);
    const name = el("text", { x: 0, y: 15, class: "name" }, g, total ? "all together" : "");
    const row = { g, name, p: null, total, lanes: LANES.map(() => [el("rect", { y: 4, height: 12 }, g), el("text", { y: 14.5, class: total ? "sum" : "small" }, g)]) };
    if (!total) g.addEventListener("click", () => choose(row.p));
    return row;
  });
  foot = el("text", { y: bottom + 43, class: "small" }, bars);
  bars.setAttribute("viewBox", `0 0 416 ${bottom + 50}`);
  $("moreBars").hidden = P.count <= MOST;
  say($("moreBars"), showAll ? `show the ${MOST} largest` : `show all ${P.count}`);
}
$("moreBars").addEventListener("click", () => { showAll = !showAll; drawBars(); changed(); });
function drawRank({ report }) {
  if (!report) return;
  const size = (p) => Math.abs(finite(report.share[p], 1e12)) || Math.abs(finite(report.predicted[p], 1e12)) * 1e-9;
  if (!S.held || order.length !== P.count) order = [...Array(P.count).keys()].sort((a, b) => size(b) - size(a));
  let scale = 1e-300;
  for (const p of order.slice(0, rows.length - 1)) for (const [key] of LANES) scale = Math.max(scale, Math.abs(finite(report[key][p], 1e12)));
  const unit = scale < 1e-5 ? 1e-6 : scale < 0.01 ? 1e-3 : 1, top = scale / unit;
  const digits = top < 1 ? 3 : Math.max(0, 2 - Math.floor(Math.log10(top)) * (top >= 10));
  const plain = (x) => Math.abs(x / unit) < 1e4 ? (x > 0 ? "+" : "") + (x / unit).toFixed(digits).replace("-", "−") : signed(x);
  say($("unit"), `← lowers the loss · raises it →${{ 1: "", 0.001: ", in thousandths", 0.000001: ", in millionths" }[unit]}`);
  const all = { predicted: report.predictedSum, alone: report.aloneSum, share: report.change };
  rows.forEach((row, place) => {
    if (!row.total) { row.p = order[place]; say(row.name, names()[row.p]); row.g.classList.toggle("chosen", row.p === S.chosen); }
    LANES.forEach(([key], k) => {
      const x = row.total ? all[key] : report[key][row.p], length = row.total ? 0 : Math.min(HALF, HALF * Math.abs(finite(x, 1e12)) / scale), [bar, text] = row.lanes[k];
      set(bar, { x: (laneX(k) - (x < 0 ? length : 0)).toFixed(1), width: length.toFixed(1), class: way(x) });
      say(text, plain(x));
      set(text, { x: laneX(k) + (row.total ? 0 : x < 0 ? 5 : -5), "text-anchor": row.total ? "middle" : x < 0 ? "start" : "end", class: row.total ? `sum ${way(x)}` : "small" });
    });
  });
  say(foot, `moving together: ${signed(report.change - report.aloneSum)} · residual ${fmt(report.residual)}${report.cuts ? ` · cut at ${report.cuts} switches` : ""}`);
  const big = Math.abs(report.change - report.predictedSum) > 0.5 * Math.abs(report.predictedSum);
  say($("verdict"), !Number.isFinite(report.after) ? "This step throws the loss out of all numbers: the learning rate is far too large."
    : report.change > 0 && report.predictedSum < 0 ? "The step overshoots: the gradient predicted a lower loss, but the loss rises. Try a smaller learning rate."
    : big ? "The loss falls, but not by what was predicted: the slope changes on the way." : "The step does about what the gradient predicted.");
  set($("verdict"), { class: `verdict ${report.change > 0 || !Number.isFinite(report.after) ? "raises" : "lowers"}` });
}

// ---------- time: the loss curve is the scrub bar ----------
const timeline = $("curve"), base = el("g", {}, timeline), ghost = el("path", { class: "ghost" }, timeline), other = el("path", { class: "other" }, timeline), future = el("path", { class: "future" }, timeline), line = el("path", { class: "ink" }, timeline), head = el("path", { class: "head" }, timeline), dot = el("circle", { r: 5.5, class: "timeDot" }, timeline);
const words = el("text", { y: 12, x: 432, "text-anchor": "end" }, timeline), was = el("text", { y: 12, x: 44, class: "small" }, timeline), broken = el("text", { y: 40, class: "small raises", "text-anchor": "middle" }, timeline);
let highest = 1;
const CH = 150;
function drawTime(v) {
  const all = losses(), n = horizon(), seen = all.concat(S.ghost ?? [], S.compare?.losses ?? []).map((l) => finite(l, 1e9));
  if (!S.held) {
    const start = Math.max(1e-12, all[0] ?? 1), most = Math.max(...seen), least = Math.min(...seen, 0);
    highest = nice(Math.max(1e-9, Math.min(most, Math.max(start * 2.2, ...seen.filter((l) => l < start * 4))) * 1.02)); view.floor = least < 0 ? -nice(-least) : 0;
  }
  const X = (k) => SX + SW * k / n, Y = (l) => clamp(CH - (CH - 19) * (finite(l, 1e9) - view.floor) / (highest - view.floor), 17, CH + 2), path = (ls) => ls.length ? "M" + ls.slice(0, n + 1).map((l, k) => `${X(k).toFixed(1)} ${Y(l).toFixed(1)}`).join("L") : null;
  set(line, { d: path(all.slice(0, S.step + 1)) }); set(future, { d: path(all) }); set(ghost, { d: S.ghost ? path(S.ghost) : null }); set(other, { d: S.compare ? path(S.compare.losses) : null });
  set(head, { d: `M${X(S.step)} 18V${CH}` }); set(dot, { cx: X(S.step), cy: Y(v.loss) });
  say(was, S.compare ? `╌ ${S.compare.name}` : S.ghost ? "┄ before your change" : DATA.batch ? "thin: next" : "thin: what comes next");
  const epoch = DATA.batch ? `, epoch ${Math.floor(S.step / T.perEpoch) + 1}` : "";
  say(words, `step ${S.step}${epoch}: loss ${fmt(v.loss)}${S.report && Number.isFinite(S.report.after) ? ` → ${fmt(S.report.after)}` : ""}`);
  const lost = all.findIndex((l) => !Number.isFinite(l)), end = lost >= 0 ? lost : all.length < n && T.last === all.length - 1 && !T.past[T.last].p.every(Number.isFinite) ? all.length - 1 : -1;
  say(broken, end >= 0 ? `✕ no number any more from step ${end} on` : ""); set(broken, { x: clamp(X(Math.max(0, end)), 165, 312) });
  base.replaceChildren();
  for (const l of [view.floor, (view.floor + highest) / 2, highest]) { el("path", { d: `M${SX} ${Y(l)}H${SX + SW}`, class: "axis" }, base); el("text", { x: SX - 6, y: Y(l) + 4, "text-anchor": "end", class: "small" }, base, fmt(l, 2)); }
  for (let k = 0; k <= 5; k++) el("text", { x: X(n * k / 5), y: CH + 18, "text-anchor": k === 5 ? "end" : "middle", class: "small" }, base, (k ? "" : "step ") + n * k / 5);
  set(timeline, { "aria-valuenow": S.step, "aria-valuemin": 0, "aria-valuemax": n, "aria-valuetext": `step ${S.step}, loss ${fmt(v.loss)}` });
}
const scrub = (e) => { const box = timeline.getBoundingClientRect(); goto(clamp(((e.clientX - box.left) / box.width * 442 - SX) / SW, 0, 1) * horizon()); };
drag(timeline, { start: () => { S.scrubbing = true; }, move: scrub, end: () => { S.scrubbing = false; } });

onChange(drawSlice);
onFound((v) => { drawRank(v); drawTime(v); });
