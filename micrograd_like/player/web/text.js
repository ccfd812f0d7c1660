// The page of a language model: its text, what comes next, attention, and every weight. LOOPS runs the model there and back.

import { $, arrow, brief, clamp, drag, el, fmt, html, nice, readTints, say, set, signed, tints, way } from "./base.js";

const DATA = JSON.parse($("data").textContent), LETTERS = DATA.letters, BLOCK = DATA.block, KINDS = LETTERS.length;
const trained = Float64Array.from(DATA.parameters), p = trained.slice(), g = new Float64Array(p.length), x = new Float64Array(2 * BLOCK + 1);
const LOSSES = 1, SCORES = LOSSES + BLOCK, LOOKS = SCORES + BLOCK * KINDS, TRIANGLE = BLOCK * (BLOCK + 1) / 2;
const S = { text: DATA.text, at: DATA.text.length, only: false, group: 0, chosen: 0, past: [], out: null, seed: 1 };
const percent = (share) => share >= 0.995 || share < 0.0005 && share > 0 ? `${share < 0.5 ? "<0.1" : ">99"} %` : `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;

// ---------- the model ----------
const tokens = (text) => [0, ...[...text].map((letter) => LETTERS.indexOf(letter))];
function feed(text, place = null) {                         // place: the only one that counts; all of the text's without
  const known = tokens(text);
  x.fill(0);
  known.forEach((token, t) => { x[t] = token; x[BLOCK + 1 + t] = place === null ? 1 / known.length : t === place ? 1 : 0; });
}
function forward() { return LOOPS.forward(p, x); }
function run() {
  feed(S.text, S.only ? S.at : null);
  S.out = forward().slice();
  g.fill(0);
  LOOPS.backward(p, x, g);
}
function softmax(scores) {
  const most = Math.max(...scores), powers = scores.map((s) => Math.exp(s - most)), total = powers.reduce((a, b) => a + b);
  return powers.map((e) => e / total);
}
const scoresAt = (t, out = S.out) => Array.from(out.subarray(SCORES + t * KINDS, SCORES + (t + 1) * KINDS));
const lookAt = (layer, head, t) => { const begin = LOOKS + (layer * DATA.heads + head) * TRIANGLE + t * (t + 1) / 2; return S.out.subarray(begin, begin + t + 1); };
const groupOf = (name) => DATA.groups.find((group) => group.name === name);
// How the loss would change if the letter at a place counted a little more: its embedding times the gradient that comes back.
function back(t) {
  const place = groupOf("place"), token = groupOf("token"), letter = tokens(S.text)[t];
  let total = 0;
  for (let j = 0; j < DATA.width; j++) total += g[place.start + t * DATA.width + j] * p[token.start + letter * DATA.width + j];
  return total;
}
function random() {                                         // the same numbers on every page: mulberry32
  S.seed = S.seed + 0x6d2b79f5 | 0;
  let t = Math.imul(S.seed ^ S.seed >>> 15, 1 | S.seed);
  t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
  return ((t ^ t >>> 14) >>> 0) / 4294967296;
}
function invent() {
  let text = "";
  while (text.length < BLOCK - 1) {
    feed(text);
    const shares = softmax(scoresAt(text.length, forward()).map((s) => s / Number($("temperature").value)));
    let rest = random(), letter = 0;
    while (letter < KINDS - 1 && rest >= shares[letter]) rest -= shares[letter++];
    if (letter === 0) break;
    text += LETTERS[letter];
  }
  write(text);
}

// ---------- changes ----------
function write(text) {
  S.text = [...text.toLowerCase()].filter((letter) => LETTERS.indexOf(letter) > 0).slice(0, BLOCK - 1).join("");
  S.at = S.text.length;
  if ($("text").value !== S.text) $("text").value = S.text;
  draw();
}
function keep() { S.past.push(p.slice()); if (S.past.length > 200) S.past.shift(); }
function change(k, value) { if (Number.isFinite(value)) { p[k] = value; draw(); } }
function choose(k) {
  S.chosen = k; S.group = DATA.groups.findLastIndex((group) => group.start <= k); $("group").value = S.group;
  const group = DATA.groups[S.group], box = $("matrix").parentElement, at = (k - group.start) % group.columns * CELL + EDGE, down = Math.floor((k - group.start) / group.columns) * CELL;
  if (at < box.scrollLeft || at + CELL > box.scrollLeft + box.clientWidth) box.scrollLeft = at - box.clientWidth / 2;
  if (down < box.scrollTop || down + CELL > box.scrollTop + box.clientHeight) box.scrollTop = down - box.clientHeight / 2;
  draw();
}
const rate = () => Number($("lr").value.replace(",", "."));

// ---------- views ----------
const shown = (t) => t < 0 ? "" : LETTERS[tokens(S.text)[t]], after = (t) => t < S.text.length ? S.text[t] : LETTERS[0];
function drawTiles() {
  const count = S.text.length + 1, box = $("tiles"), effects = Array.from({ length: count }, (_, t) => back(t)), most = Math.max(...effects.map(Math.abs), 1e-9);
  while (box.children.length > count) box.lastChild.remove();
  while (box.children.length < count) {
    const t = box.children.length, button = html("button", {}, html("b"), html("span", { class: "way" }), html("i"), html("small"));
    button.addEventListener("click", () => { S.at = t; draw(); });
    box.append(button);
  }
  [...box.children].forEach((button, t) => {
    const [letter, word, bar, next] = button.children, effect = effects[t], share = softmax(scoresAt(t))[LETTERS.indexOf(after(t))];
    set(button, { "aria-pressed": t === S.at, "aria-label": `place ${t}, ${t ? shown(t) : "the start"}: after it ${after(t) === LETTERS[0] ? "the end" : after(t)} has ${percent(share)}; gradient back to it ${signed(effect)}` });
    say(letter, shown(t)); say(word, `${arrow(effect)} ${effect > 0 ? "+" : ""}${brief(effect)}`); set(word, { class: `way ${way(effect)}` });
    set(bar, { class: way(effect) }); bar.style.width = `${Math.max(4, 54 * Math.sqrt(Math.abs(effect) / most))}px`;
    say(next, `${after(t)} ${percent(share)}`);
  });
  const only = S.only ? `after ${[...tokens(S.text)].slice(0, S.at + 1).map((k) => LETTERS[k]).join("")} the loss is` : "the loss per letter is";
  say($("say"), `${only} ${fmt(S.out[0])}: as unsure as a choice among ${fmt(Math.exp(S.out[0]), 2)} letters (knowing nothing: ${fmt(Math.log(KINDS))}, ${KINDS} letters)`);
  set($("whole"), { "aria-pressed": !S.only }); set($("only"), { "aria-pressed": S.only });
}
const nextRows = LETTERS.map((letter, k) => {
  const row = html("button", {}, html("b", {}, letter), html("i"), html("span"));
  row.addEventListener("click", () => { if (k) write(S.text.slice(0, S.at) + letter); });
  $("next").append(row);
  return row;
});
function drawNext() {
  const shares = softmax(scoresAt(S.at)), came = after(S.at), most = Math.max(...shares);
  say($("nextTitle"), `What comes after ${tokens(S.text).slice(0, S.at + 1).map((k) => LETTERS[k]).join("")}? Click a letter to put it there.`);
  nextRows.forEach((row, k) => {
    row.children[1].style.width = `${Math.max(1, 100 * shares[k] / most)}%`;
    say(row.children[2], percent(shares[k]));
    set(row, { class: LETTERS[k] === came ? "came" : "", "aria-label": `${k ? LETTERS[k] : "the end"}: ${percent(shares[k])}${LETTERS[k] === came ? ", this one came" : ""}` });
  });
}
const SIDE = 22, LEFT = 20;
function drawHeads() {
  const count = S.text.length + 1, wide = LEFT + Math.max(count, 6) * SIDE + 4, signs = tokens(S.text).map((k) => LETTERS[k]);
  say($("attentionTitle"), `Which earlier letter does each letter look at?`);
  $("heads").replaceChildren();
  for (let layer = 0; layer < DATA.layers; layer++) for (let head = 0; head < DATA.heads; head++) {
    const svg = el("svg", { viewBox: `0 0 ${wide} ${count * SIDE + 20}`, role: "img" }), name = (DATA.layers > 1 ? `layer ${layer + 1}, ` : "") + `head ${head + 1}`;
    for (let t = 0; t < count; t++) {
      const row = el("g", { class: t === S.at ? "look chosen" : "look" }, svg), shares = lookAt(layer, head, t);
      el("rect", { class: "hit", x: 0, y: t * SIDE, width: LEFT + (t + 1) * SIDE, height: SIDE }, row);
      el("text", { x: 6, y: t * SIDE + 16, class: "small" }, row, signs[t]);
      shares.forEach((share, u) => {
        const side = (SIDE - 2) * Math.sqrt(share), mid = LEFT + (u + 0.5) * SIDE;
        el("rect", { class: "cell", x: mid - SIDE / 2 + 0.5, y: t * SIDE + 0.5, width: SIDE - 1, height: SIDE - 1 }, row);
        el("rect", { class: "share", x: (mid - side / 2).toFixed(2), y: ((t + 0.5) * SIDE - side / 2).toFixed(2), width: side.toFixed(2), height: side.toFixed(2) }, row);
      });
      row.addEventListener("click", () => { S.at = t; draw(); });
    }
    signs.forEach((sign, u) => el("text", { x: LEFT + (u + 0.5) * SIDE, y: count * SIDE + 14, "text-anchor": "middle", class: "small" }, svg, sign));
    const here = [...lookAt(layer, head, S.at)], best = here.indexOf(Math.max(...here)), text = `${name}: ${signs[S.at]} looks most at ${best === S.at ? "itself" : `${signs[best]}, place ${best}`} (${percent(here[best])})`;
    svg.setAttribute("aria-label", text);
    $("heads").append(html("figure", {}, svg, html("figcaption", {}, text)));
  }
}
const CELL = 13, EDGE = 22;
const rowName = (group, row) => group.name === "token" || group.name === "head" ? LETTERS[row] : String(row);
function weightName(k) {
  const group = DATA.groups.findLast((each) => each.start <= k), at = k - group.start, row = Math.floor(at / group.columns);
  const kind = group.name.replace(/^.*\./, "").replace("token", "embedding").replace("head", "scores");
  return `${kind} of ${rowName(group, row)}, number ${at % group.columns}`;
}
function drawMatrix() {
  const group = DATA.groups[S.group], canvas = $("matrix"), ratio = window.devicePixelRatio || 1, w = EDGE + group.columns * CELL, h = group.rows * CELL;
  if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) { canvas.width = Math.round(w * ratio); canvas.height = Math.round(h * ratio); canvas.style.width = `${w}px`; canvas.style.height = `${h}px`; }
  const c = canvas.getContext("2d"), css = (rgb) => `rgb(${rgb.join()})`;
  c.setTransform(ratio, 0, 0, ratio, 0, 0); c.fillStyle = css(tints.panel); c.fillRect(0, 0, w, h);
  c.font = "11px system-ui, sans-serif"; c.textAlign = "center"; c.textBaseline = "middle";
  let most = 1e-12;
  for (let k = 0; k < group.rows * group.columns; k++) most = Math.max(most, Math.abs(g[group.start + k]));
  for (let row = 0; row < group.rows; row++) {
    c.fillStyle = css(tints.ink); c.fillText(rowName(group, row), EDGE / 2, row * CELL + CELL / 2 + 0.5);
    for (let column = 0; column < group.columns; column++) {
      const slope = g[group.start + row * group.columns + column], part = Math.sqrt(Math.abs(slope) / most), to = slope > 0 ? tints.raises : tints.lowers;
      c.fillStyle = css(tints.card.map((v, i) => Math.round(v + (to[i] - v) * part)));
      c.fillRect(EDGE + column * CELL, row * CELL, CELL - 1, CELL - 1);
      if (part > 0.35) { c.fillStyle = css(tints.panel); c.fillRect(EDGE + column * CELL + CELL / 2 - 3, row * CELL + (slope > 0 ? 8 : 3), 5, 1.5); }   // low: goes down; high: goes up
    }
  }
  const at = S.chosen - group.start;
  c.strokeStyle = css(tints.ink); c.lineWidth = 2;
  c.strokeRect(EDGE + at % group.columns * CELL - 0.5, Math.floor(at / group.columns) * CELL - 0.5, CELL, CELL);
  set(canvas, { "aria-valuemax": group.rows * group.columns - 1, "aria-valuenow": at, "aria-valuetext": `${weightName(S.chosen)}: ${fmt(p[S.chosen])}, gradient ${fmt(g[S.chosen])}` });
  say($("about"), `${group.rows} × ${group.columns}: ${group.about}`);
}
const SX = 40, SW = 366, SH = 140, POINTS = 40, view = { lo: -3, hi: 3 };
function drawSlice() {
  const k = S.chosen, here = p[k], slope = g[k], loss = S.out[0], svg = $("slice");
  if (!S.held) { view.hi = Math.max(3, nice(Math.abs(here) * 1.2)); view.lo = -view.hi; }
  const heights = [];
  for (let i = 0; i <= POINTS; i++) { p[k] = view.lo + (view.hi - view.lo) * i / POINTS; heights.push(forward()[0]); }
  p[k] = here;
  const low = Math.min(...heights, loss), high = Math.max(...heights, low + 1e-6), X = (w) => SX + SW * (w - view.lo) / (view.hi - view.lo), Y = (l) => 8 + (SH - 8) * (1 - (l - low) / (high - low));
  svg.replaceChildren();
  for (const l of [low, high]) { el("path", { d: `M${SX} ${Y(l)}H${SX + SW}`, class: "axis" }, svg); el("text", { x: SX - 6, y: Y(l) + 4, "text-anchor": "end", class: "small" }, svg, fmt(l)); }
  for (const w of [view.lo, 0, view.hi]) el("text", { x: X(w), y: SH + 20, "text-anchor": w > 0 ? "end" : w < 0 ? "start" : "middle", class: "small" }, svg, fmt(w));
  const reach = (view.hi - view.lo) / 6;
  el("path", { d: `M${X(here - reach)} ${clamp(Y(loss - slope * reach), -200, 400)}L${X(here + reach)} ${clamp(Y(loss + slope * reach), -200, 400)}`, class: "tangent" }, svg);
  el("path", { d: "M" + heights.map((l, i) => `${(SX + SW * i / POINTS).toFixed(1)} ${Y(l).toFixed(1)}`).join("L"), class: "ink" }, svg);
  el("circle", { cx: X(here), cy: Y(loss), r: 6, class: "nowDot" }, svg);
  svg.setAttribute("aria-label", `The loss over ${weightName(k)}, from ${fmt(low)} to ${fmt(high)}; now ${fmt(loss)}`);
  say($("knobName"), weightName(k)); say($("read-value"), fmt(here)); say($("read-gradient"), `${signed(slope)} ${arrow(slope)}`); set($("read-gradient"), { class: way(slope) ? `t-${way(slope)}` : "" });
  const range = $("value"), box = $("valueBox");
  set(range, { min: view.lo, max: view.hi, "aria-valuetext": `${fmt(here)}, gradient ${fmt(slope)}` }); range.value = here;
  if (document.activeElement !== box) box.value = fmt(here).replace("−", "-");
}
function drawTable() {
  if (!$("table").open) return;
  $("tableBody").replaceChildren(...tokens(S.text).map((token, t) => html("tr", {}, html("th", { scope: "row" }, String(t)), ...[LETTERS[token], after(t), percent(softmax(scoresAt(t))[LETTERS.indexOf(after(t))]), fmt(S.out[LOSSES + t]), signed(back(t))].map((text) => html("td", {}, text)))));
}
let waiting = false;
function draw() {                                            // once for each frame, however many changes come
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; run(); drawTiles(); drawNext(); drawHeads(); drawMatrix(); drawSlice(); drawTable(); $("undo").disabled = !S.past.length; });
}

// ---------- gestures and keys ----------
$("text").addEventListener("input", () => write($("text").value));
$("invent").addEventListener("click", invent);
const warm = () => say($("temperatureOut"), Number($("temperature").value).toFixed(1));
$("temperature").addEventListener("input", warm);
for (const [id, only] of [["whole", false], ["only", true]]) $(id).addEventListener("click", () => { S.only = only; draw(); });
$("group").append(...DATA.groups.map((group, k) => html("option", { value: k }, group.name)));
$("group").addEventListener("change", () => choose(DATA.groups[Number($("group").value)].start));
function cellAt(e) {
  const box = $("matrix").getBoundingClientRect(), group = DATA.groups[S.group];
  const column = clamp(Math.floor((e.clientX - box.left - EDGE) / CELL), 0, group.columns - 1), row = clamp(Math.floor((e.clientY - box.top) / CELL), 0, group.rows - 1);
  return group.start + row * group.columns + column;
}
drag($("matrix"), {
  start: (e) => { const k = cellAt(e); choose(k); return { k, from: p[k], kept: false }; },
  move: (e, began) => { if (!began.moved) return; if (!began.state.kept) { keep(); began.state.kept = S.held = true; } change(began.state.k, began.state.from + (e.clientX - began.x) / 100); },
  end: () => { S.held = false; draw(); },
});
$("matrix").addEventListener("keydown", (e) => {
  const group = DATA.groups[S.group], by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -group.columns, ArrowDown: group.columns }[e.key], turn = { "+": 0.05, "-": -0.05 }[e.key];
  if (by) { const to = S.chosen - group.start + by; if (to >= 0 && to < group.rows * group.columns) choose(group.start + to); e.preventDefault(); }
  if (turn) { keep(); change(S.chosen, p[S.chosen] + turn); e.preventDefault(); }
});
drag($("slice"), {
  start: () => { keep(); S.held = true; return {}; },
  move: (e) => { const box = $("slice").getBoundingClientRect(), at = ((e.clientX - box.left) / box.width * 416 - SX) / SW; change(S.chosen, view.lo + clamp(at, 0, 1) * (view.hi - view.lo)); },
  end: () => { S.held = false; draw(); },
});
$("value").addEventListener("pointerdown", () => { keep(); S.held = true; });
$("value").addEventListener("input", () => { if (!S.held) keep(); change(S.chosen, Number($("value").value)); });
$("value").addEventListener("change", () => { S.held = false; draw(); });
$("valueBox").addEventListener("change", () => { keep(); change(S.chosen, Number($("valueBox").value.replace("−", "-").replace(",", "."))); });
$("step").addEventListener("click", () => { const lr = rate(); if (!(Number.isFinite(lr) && lr >= 0)) { $("lr").value = DATA.lr; return; } keep(); for (let k = 0; k < p.length; k++) p[k] -= lr * g[k]; draw(); });
function undo() { if (S.past.length) { p.set(S.past.pop()); draw(); } }
$("undo").addEventListener("click", undo);
$("reset").addEventListener("click", () => { keep(); p.set(trained); draw(); });
$("table").addEventListener("toggle", drawTable);
document.addEventListener("keydown", (e) => {
  if (e.target.matches("input[type=text]")) return;
  if (e.key === "z" && (e.ctrlKey || e.metaKey)) { undo(); e.preventDefault(); }
  else if ((e.key === "ArrowLeft" || e.key === "ArrowRight") && !e.target.matches("input, select, canvas")) { S.at = clamp(S.at + (e.key === "ArrowLeft" ? -1 : 1), 0, S.text.length); draw(); e.preventDefault(); }
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readTints(); draw(); });

// ---------- begin ----------
// Python's own numbers of a few texts travel with the page.
function check() {
  let worst = 0, count = 0;
  for (const { text, loss, every, gradient } of DATA.checkpoints) {
    feed(text);
    const mine = forward()[0];
    g.fill(0); LOOPS.backward(p, x, g);
    const most = Math.max(...gradient.map(Math.abs), 1e-12);
    worst = Math.max(worst, Math.abs(mine - loss) / Math.abs(loss), ...gradient.map((slope, k) => Math.abs(slope - g[k * every]) / most));
    count += 1 + gradient.length;
  }
  const agrees = worst < 1e-9;
  say($("agrees"), agrees ? `The numbers are Python’s: ${count} of them were computed again, and differ by ${worst ? worst.toExponential(0) : 0} at most.` : `This browser does not reproduce Python’s numbers: they differ by ${worst.toExponential(1)}.`);
  $("agrees").dataset.worst = worst;
}
document.title = DATA.title; say($("title"), DATA.title);
$("hints").append(...DATA.hints.map((hint) => html("li", {}, hint)));
$("tryBox").hidden = !DATA.hints.length;
$("lr").value = DATA.lr; $("text").value = S.text; set($("text"), { maxlength: BLOCK - 1 });
readTints(); warm(); check(); run();
const first = groupOf("token"), row = first.start + tokens(S.text).at(-1) * first.columns;
choose([...Array(first.columns).keys()].map((j) => row + j).reduce((best, k) => Math.abs(g[k]) > Math.abs(g[best]) ? k : best));
window.player = { S, p, g, run, write, choose, change, lookAt, shares: (t) => softmax(scoresAt(t)), back, forward: (text) => { feed(text); return forward()[0]; } };
