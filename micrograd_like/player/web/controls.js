// Hands and keys: transport, learning rate, undo, comparing, links, exports, the sheet of keys.

import { Program, Training } from "./engine.js";
import { DATA, P, S, T, TASKS, changed, edit, frame, goto, horizon, names, onChange, quiet, rebuild, redo, release, reset, startWorker, undo } from "./state.js";
import { $, clamp, fmt, html, paint, readTints, say, set, signed, tints } from "./base.js";
import { choose, draw, grasp, nudge, stepBy } from "./diagram.js";
import { drawBars, ranked } from "./panels.js";
import { repaintPictures, startData, startKinds } from "./data.js";

// ---------- time ----------
const phaseEnds = () => S.ops.map((op, k) => S.ops[k + 1]?.phase !== op.phase ? k : -1).filter((k) => k >= 0);
const resting = () => S.ops.findLastIndex((op) => op.phase !== "move");
export function next() {
  if (S.gran === "step" || S.gran === "epoch") return goto(S.step + (S.gran === "epoch" ? T.perEpoch : 1), resting());
  const to = S.gran === "op" ? S.op + 1 : phaseEnds().find((k) => k > S.op) ?? S.ops.length;
  if (to < S.ops.length) goto(S.step, to); else goto(S.step + 1, S.gran === "op" ? 0 : phaseEnds()[0]);
}
export function back() {
  if (S.gran === "step" || S.gran === "epoch") return goto(S.step - (S.gran === "epoch" ? T.perEpoch : 1), resting());
  const to = S.gran === "op" ? S.op - 1 : phaseEnds().findLast((k) => k < S.op) ?? -1;
  if (to >= 0) goto(S.step, to); else if (S.step) goto(S.step - 1, S.ops.length - 1);
}
const still = matchMedia("(prefers-reduced-motion: reduce)");
function stop() { clearTimeout(S.playing); S.playing = 0; say($("play"), "▶ play"); $("play").setAttribute("aria-label", "play"); }
function play() {
  if (S.playing) return stop();
  say($("play"), "❚❚ pause"); $("play").setAttribute("aria-label", "pause");
  const beat = () => {
    const before = `${S.step} ${S.op}`;
    if (S.loop && S.step >= horizon() - 1) goto(0, 0); else next();
    if (`${S.step} ${S.op}` === before) return stop();
    const pace = { op: 1100, pass: 900, step: still.matches ? 500 : 90, epoch: still.matches ? 500 : 160 }[S.gran];
    S.playing = setTimeout(beat, pace / S.speed);
  };
  S.playing = 1; beat();
}
function granularity(g) { S.gran = g; for (const b of document.querySelectorAll("[data-g]")) { b.setAttribute("aria-checked", b.dataset.g === g); b.tabIndex = b.dataset.g === g ? 0 : -1; } if ((g === "step" || g === "epoch") && S.op === S.ops.length - 1) S.op = resting(); changed(); }

function drawOps() {
  const list = $("ops"), many = S.ops.length > 26;
  list.replaceChildren(...S.ops.map((op, k) => {
    const button = html("button", { "aria-label": `${op.phase}: ${op.name}`, title: `${op.phase}: ${op.name}`, tabindex: -1 }, many ? "" : op.short ?? op.name);
    button.addEventListener("click", () => { stop(); goto(S.step, k); });
    return html("li", {}, button);
  }));
  const count = (phase) => S.ops.filter((op) => op.phase === phase).length;
  ["forward", "backward", "move"].forEach((phase) => { $(`phase-${phase}`).style.flexGrow = count(phase); });
}
onChange((v) => {
  [...$("ops").children].forEach((li, k) => {
    li.className = (k < S.op ? "done" : k === S.op ? "on" : "") + (k && S.ops[k].phase !== S.ops[k - 1].phase ? " turn" : "");
    if (k === S.op) li.firstChild.setAttribute("aria-current", "step"); else li.firstChild.removeAttribute("aria-current");
  });
  $("undo").disabled = !S.edits.length; $("redo").disabled = !S.undone.length;
  const rate = T.rateAt(S.step);
  if (document.activeElement !== $("lr")) $("lr").value = Math.log10(rate);
  if (document.activeElement !== $("lrBox")) $("lrBox").value = fmt(rate).includes("·") ? rate : Number(rate.toPrecision(3));
  $("lr").setAttribute("aria-valuetext", fmt(rate));
  table(v); address();
});

// ---------- a weight of a neuron that is not written at its wire: the chosen neuron opens below the network ----------
let opened = null;
function openNeuron(v) {
  const box = $("neuron"), layers = DATA.programs[S.variant].layers ?? [];
  const found = layers.flat().find((n) => [...n.weights, n.bias].includes(S.chosen));
  const hiddenNow = $("graph").querySelector(".w[data-p]") || !found;
  box.hidden = Boolean(hiddenNow);
  if (hiddenNow) { opened = null; return; }
  const shown = [...found.weights, found.bias].slice(0, 33), key = shown.join();
  if (opened !== key) {
    opened = key;
    const asPicture = found.weights.length > 33 && DATA.shape;
    box.style.gridTemplateColumns = asPicture ? `repeat(${DATA.shape[1]}, 24px)` : "";
    box.classList.toggle("picture", Boolean(asPicture));
    box.replaceChildren(...(asPicture ? [...found.weights, found.bias] : shown).map((p) => {
      const button = html("span", { class: "weight", role: "slider", tabindex: 0, "aria-label": names()[p] }, html("small", {}, names()[p].replace(/→.*/, "").replace(/bias of .*/, "bias")), html("b", {}), html("i", {}));
      button.dataset.p = p;
      button.addEventListener("focus", () => choose(p)); grasp(button, p);
      return button;
    }));
  }
  for (const node of box.children) {
    const p = +node.dataset.p, g = v.g[p];
    say(node.children[1], fmt(v.shown[p], 2)); say(node.children[2], g > 0 ? "▼" : g < 0 ? "▲" : ""); node.children[2].className = g > 0 ? "t-raises" : "t-lowers";
    node.classList.toggle("chosen", p === S.chosen);
    if (box.classList.contains("picture")) { const grey = Math.round(clamp(128 + 127 * v.shown[p] / Math.max(0.2, ...found.weights.map((w) => Math.abs(v.shown[w]))), 0, 255)); node.style.background = `rgb(${grey} ${grey} ${grey})`; node.style.color = grey > 110 ? "#14181e" : "#ffffff"; }
    set(node, { "aria-valuenow": v.shown[p].toFixed(4), "aria-valuetext": `${fmt(v.shown[p])}, gradient ${fmt(g)}` });
  }
}
onChange(openNeuron);

// ---------- the learning rate ----------
$("lr").addEventListener("input", (e) => { S.held = true; edit("rate", Number((10 ** e.target.value).toPrecision(3))); });
$("lr").addEventListener("change", release);
$("lrBox").addEventListener("change", (e) => { const x = Number(e.target.value.replace(",", ".")); if (Number.isFinite(x) && x > 0) edit("rate", x); e.target.blur(); changed(); });

// ---------- comparing: the same start with another rate, seed or activation ----------
function comparisons() {
  const list = [["", "nothing", null]], { rate } = DATA;
  for (const factor of [0.1, 0.3, 3, 10]) list.push([`r${factor}`, `learning rate ${fmt(Number((rate * factor).toPrecision(2)))}`, { rate: Number((rate * factor).toPrecision(2)) }]);
  for (const [k, start] of DATA.starts.entries()) list.push([`s${k}`, start.name, { start: start.numbers }]);
  for (const [k, program] of DATA.programs.entries()) if (k !== S.variant) list.push([`v${k}`, program.name, { variant: k }]);
  return list;
}
function compare(name) {
  const found = comparisons().find(([key]) => key === name) ?? ["", "", null];
  S.comparing = found[2] ? found[0] : "";
  $("compare").value = S.comparing;
  if (!found[2]) { S.compare = null; $("other").hidden = true; changed(); return; }
  const { rate, start, variant = S.variant } = found[2], program = DATA.programs[variant], Q = new Program(program.spec, KERNELS);
  const other = new Training(Q, S.rows, start ?? (variant === S.variant ? T.past[0].p : program.spec.start), { rates: rate ? [[0, rate]] : T.rates, optimizer: DATA_OPTIMIZER, batch: DATA.batch, seed: DATA.seed });
  S.compare = { name: found[1], Q, T: other, losses: [], version: S.version };
  const until = horizon();
  (function more() {                                       // a few steps at a time: the page stays awake
    if (S.compare?.T !== other) return;
    const end = performance.now() + 8;
    while (S.compare.losses.length <= until && performance.now() < end) {
      const k = S.compare.losses.length;
      if (other.tryTo(k) < k) { S.compare.done = true; break; }
      S.compare.losses.push(other.lossAt(k));
    }
    changed();
    if (S.compare.losses.length <= until && !S.compare.done) setTimeout(more);
  })();
}
$("compare").addEventListener("change", (e) => compare(e.target.value));
onChange((v) => {
  const box = $("other"), c = S.compare;
  if (!c) { box.hidden = true; return; }
  if (c.version !== S.version && !S.held) { c.version = S.version; compare(S.comparing); return; }
  const there = c.losses[S.step];
  box.hidden = false;
  say($("otherText"), there === undefined ? `${c.name}: still being computed, or no number any more` : `step ${S.step}: loss ${fmt(v.loss)} here, ${fmt(there)} with ${c.name}`);
  const canvas = $("otherMap");
  canvas.hidden = DATA.view !== "plane";
  if (DATA.view === "plane" && there !== undefined && c.T.last >= S.step) {
    const W = 66, H = 45, field = new Float64Array(W * H), xs = DATA.rows.map((r) => r[0]), ys = DATA.rows.map((r) => r[1]);
    const [a, b, d, e] = [Math.min(...xs) - 0.5, Math.max(...xs) + 0.5, Math.min(...ys) - 0.5, Math.max(...ys) + 0.5];
    c.Q.set(c.T.at(S.step));
    for (let r = 0; r < H; r++) for (let k = 0; k < W; k++) { c.Q.feed([a + (b - a) * (k + 0.5) / W, e - (e - d) * (r + 0.5) / H, 1]); c.Q.forward(); field[r * W + k] = c.Q.M[c.Q.outputs[0]]; }
    canvas.width = W; canvas.height = H;
    canvas.getContext("2d").putImageData(paint(new ImageData(W, H), field, [tints.noMap, tints.midMap, tints.yesMap], DATA.target === "sign" ? 1 : 3), 0, 0);
  }
});

// ---------- who did it: shares summed from a marked step to here ----------
function whoDidIt() {
  const from = S.mark ?? 0, to = S.step, body = $("who");
  body.replaceChildren();
  if (to <= from) { say($("whoTitle"), `Go to a step after ${from}: then this adds up what each parameter did from step ${from} to there.`); return; }
  const sums = new Float64Array(P.count), began = performance.now();
  let change = 0, k = from, cuts = 0;
  (function more() {
    const end = performance.now() + 30;
    while (k < to && performance.now() < end) {
      const g = new Float64Array(P.count), rows = T.rowsAt(k), before = P.gradientOf(T.at(k), rows, g), report = TASKS.explain(P, { p: T.at(k), g, to: T.at(k + 1), rows, before });
      report.share.forEach((x, p) => { sums[p] += x; }); change += report.change; cuts += report.cuts; k++;
    }
    say($("whoTitle"), k < to ? `adding up, step ${k} of ${to} …` : `From step ${from} to step ${to} the loss changed by ${signed(change)}. Shares of it, added up over all steps:`);
    if (k < to) { setTimeout(more); return; }
    const order = [...sums.keys()].sort((a, b) => Math.abs(sums[b]) - Math.abs(sums[a])).slice(0, 20), top = Math.max(1e-300, ...sums.map(Math.abs));
    body.replaceChildren(...order.map((p) => {
      const bar = html("span", { class: `whoBar ${sums[p] > 0 ? "raises" : "lowers"}` });
      bar.style.width = `${Math.abs(sums[p]) / top * 100}%`;
      return html("tr", {}, html("th", { scope: "row" }, names()[p]), html("td", {}, signed(sums[p])), html("td", { class: "wide" }, bar));
    }));
  })();
}
$("whoButton").addEventListener("click", () => { $("whoDialog").showModal(); whoDidIt(); });
$("mark").addEventListener("click", () => { S.mark = S.step; say($("mark"), `marked: step ${S.step}`); changed(); });
onChange((v) => {
  const node = $("sinceMark");
  if (S.mark === undefined || S.mark === S.step) { say(node, ""); return; }
  const then = T.past[Math.min(S.mark, T.last)], most = [...then.p.keys()].reduce((a, b) => Math.abs(v.p[b] - then.p[b]) > Math.abs(v.p[a] - then.p[a]) ? b : a);
  say(node, `from step ${S.mark} to ${S.step}: loss ${signed(v.loss - T.lossAt(Math.min(S.mark, T.last)))}; ${names()[most]} moved furthest, by ${signed(v.p[most] - then.p[most])}`);
});

// ---------- links, code, pictures ----------
let addressed = 0;
function address() {
  clearTimeout(addressed);
  addressed = setTimeout(() => { try { history.replaceState(null, "", link()); } catch { /* a page inside of another has no address */ } }, 300);
}
export function link() {
  const state = new URLSearchParams({ step: S.step, op: S.op, w: S.chosen, by: S.gran });
  if (S.focus) state.set("sample", S.focus);
  if (!$("depth").hidden && S.depth === "scalars") state.set("depth", "scalars");
  if (S.variant) state.set("variant", S.variant);
  if (S.comparing) state.set("with", S.comparing);
  if (S.edits.length) state.set("edits", JSON.stringify(S.edits));
  return `#${state}`;
}
function fromAddress() {
  const asked = new URLSearchParams(location.hash.slice(1)), whole = (key, most) => clamp(Math.floor(Number(asked.get(key)) || 0), 0, most);
  S.variant = whole("variant", DATA.programs.length - 1);
  try { S.edits = asked.has("edits") ? JSON.parse(asked.get("edits")).filter(valid) : []; } catch { S.edits = []; }
  rebuild();
  S.chosen = asked.has("w") ? whole("w", P.count - 1) : DATA.chosen;
  S.focus = whole("sample", Math.max(0, S.rows.length - 1));
  if (["op", "pass", "step", "epoch"].includes(asked.get("by"))) S.gran = asked.get("by");
  if (!$("depth").hidden) depth(asked.get("depth") === "scalars" ? "scalars" : "neurons"); else draw();
  S.step = Math.min(whole("step", 100000), T.tryTo(whole("step", 100000)));
  S.op = asked.has("op") ? whole("op", S.ops.length - 1) : S.depth === "neurons" || DATA.firstOp === "end" && DATA.kind === "graph" ? S.ops.length - 2 : 0;
  if (asked.get("with")) setTimeout(() => compare(asked.get("with")));
}
// An edit from an address: only numbers where numbers belong.
function valid(e) {
  const size = { w: 2, rate: 1, x: 3, add: DATA.rows[0]?.length, del: 1, all: DATA.programs[S.variant].spec.start.length };
  return Array.isArray(e) && size[e[0]] === e.length - 2 && e.slice(1).every((x) => typeof x === "number" && Number.isFinite(x)) && e[1] >= 0 && e[1] < 1e5
    && (e[0] !== "w" || e[2] < DATA.programs[S.variant].spec.start.length) && (e[0] !== "rate" || e[2] > 0);
}
const literal = (x) => Number.isInteger(x) ? `${x}.0` : String(x);
export function code() {
  const p = T.at(S.step), lines = [...DATA.code.head];
  if (DATA.kind === "graph") {
    const start = names().map((_, k) => literal(p[k]));
    lines.push(...DATA.code.leaves.map((text, k) => text.replace("⟦value⟧", start[k])), ...DATA.code.body);
  } else {
    const numbers = [...p].map(literal).join(", ");
    lines.push(`numbers = [${numbers}]  # after step ${S.step}`, "for parameter, number in zip(model.parameters(), numbers, strict=True):", "    parameter.data = number", "");
    const n = DATA.inputs;
    lines.push("data = [", ...S.rows.map((row) => `    (${n === 1 && DATA.code.scalar ? literal(row[0]) : `[${row.slice(0, n).map(literal).join(", ")}]`}, ${Number.isInteger(row.at(-1)) ? row.at(-1) : literal(row.at(-1))}),`), "]");
    lines.push(...DATA.code.tail.map((text) => text.replace("⟦rate⟧", literal(T.rateAt(S.step)))));
  }
  return lines.join("\n") + "\n";
}
function svg() {
  const copy = $("graph").cloneNode(true), sheet = [...document.styleSheets].flatMap((s) => [...s.cssRules]).map((r) => r.cssText).filter((t) => !t.startsWith("@media (max")).join("\n");
  const box = $("graph").viewBox.baseVal, style = document.createElementNS("http://www.w3.org/2000/svg", "style");
  style.textContent = sheet;
  copy.prepend(style);
  for (const canvas of [$("wires"), $("thumbs")]) {
    if (!canvas.width || S.depth === "scalars") continue;
    const image = document.createElementNS("http://www.w3.org/2000/svg", "image");
    for (const [key, value] of Object.entries({ x: 0, y: 0, width: box.width, height: box.height, href: canvas.toDataURL() })) image.setAttribute(key, value);
    if (canvas.id === "wires") copy.children[0].after(image); else copy.append(image);
  }
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg"); copy.setAttribute("width", box.width); copy.setAttribute("height", box.height);
  return new XMLSerializer().serializeToString(copy);
}
function download(name, text, type) {
  const a = html("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  a.click(); setTimeout(() => URL.revokeObjectURL(a.href), 1000);
}
$("codeButton").addEventListener("click", () => { $("codeText").value = code(); $("codeDialog").showModal(); });
$("copyCode").addEventListener("click", async () => { $("codeText").select(); try { await navigator.clipboard.writeText($("codeText").value); } catch { document.execCommand("copy"); } say($("copyCode"), "copied"); });
$("svgButton").addEventListener("click", () => download("micrograd_like.svg", svg(), "image/svg+xml"));
$("linkButton").addEventListener("click", async () => { const url = location.href.replace(/#.*/, "") + link(); try { await navigator.clipboard.writeText(url); say($("linkButton"), "copied"); } catch { location.hash = link(); say($("linkButton"), "in the address"); } setTimeout(() => say($("linkButton"), "link"), 1500); });

// ---------- the step as a table of text ----------
function table(v) {
  if (!$("table").open || S.held) return;
  const r = v.report;
  $("tableBody").replaceChildren(...[...v.p.keys()].map((p) => html("tr", {}, html("th", { scope: "row" }, names()[p]), ...[v.p[p], v.g[p], v.to[p], r?.predicted[p], r?.alone[p], r?.share[p]].map((x) => html("td", {}, x === undefined ? "" : fmt(x))))));
}
$("table").addEventListener("toggle", changed);

// ---------- Python's own numbers at a few steps: does the page reproduce them? ----------
function check() {
  const Q = new Program(DATA.programs[0].spec, KERNELS), again = new Training(Q, DATA.rows, DATA.programs[0].spec.start, { rates: [[0, DATA.rate]], optimizer: DATA_OPTIMIZER, batch: DATA.batch, seed: DATA.seed });
  let worst = 0, where = null, equal = true;
  for (const { step, loss, parameters } of DATA.checkpoints) {
    const here = again.lossAt(step), p = again.at(step), pairs = [[here, loss], ...parameters.map((x, k) => [p[k], x])];
    for (const [a, b] of pairs) {
      if (a !== b) equal = false;
      const off = a === b || a !== a && b !== b ? 0 : Math.abs(a - b) / Math.max(1e-9, Math.abs(b));
      if (!(off <= worst)) { worst = off; where = step; }
    }
  }
  const steps = DATA.checkpoints.map((c) => c.step).join(", ");
  S.agreement = worst <= 1e-9 ? equal ? "bits" : "digits" : "no";
  say($("agrees"), !DATA.checkpoints.length ? "" : equal ? `The same numbers as Python's to the last bit, at steps ${steps}.` : worst <= 1e-9 ? `The same numbers as Python's to nine digits, at steps ${steps}; this browser's exp or tanh differ in the last bits.` : `This browser does not reproduce Python's numbers: at step ${where} they differ by ${(100 * worst).toPrecision(2)} %.`);
  $("agrees").classList.toggle("t-raises", worst > 1e-9);
}

// ---------- keys ----------
const ARROWS = { ArrowUp: 1, ArrowDown: -1, ArrowRight: 1, ArrowLeft: -1, PageUp: 5, PageDown: -5 };
addEventListener("keydown", (e) => {
  if (document.querySelector("dialog[open]")) return;
  const t = e.target, mod = e.ctrlKey || e.metaKey;
  if (mod && !e.altKey && (e.key === "z" || e.key === "Z" || e.key === "y") && t.type !== "text") { (e.shiftKey || e.key === "y" ? redo : undo)(); e.preventDefault(); return; }
  if (mod || e.altKey || /SELECT|TEXTAREA|SUMMARY/.test(t.tagName) || t.type === "text") return;
  if (t.type === "range" && e.key in ARROWS) return;
  const by = (e.shiftKey ? 5 : 1), own = t.dataset ?? {};
  if (e.key in ARROWS && own.p !== undefined) { stepBy(+own.p, ARROWS[e.key] * nudge(+own.p) * by); e.preventDefault(); return; }
  if (e.key in ARROWS && own.input !== undefined) { edit("x", S.focus, +own.input, Number((S.rows[S.focus][+own.input] + ARROWS[e.key] * 0.05 * by).toFixed(6))); e.preventDefault(); return; }
  if (e.key in ARROWS && t.classList?.contains("pt")) {
    const row = S.rows[S.focus], [c, d] = e.key === "ArrowLeft" || e.key === "ArrowRight" ? [0, ARROWS[e.key]] : [1, ARROWS[e.key]];
    edit("x", S.focus, c, Number((row[c] + d * 0.05 * by).toFixed(6))); e.preventDefault(); return;
  }
  if (e.key in ARROWS && t.id === "curve") { stop(); goto(S.step + ARROWS[e.key] * by, S.op); e.preventDefault(); return; }
  if ((e.key === "ArrowRight" || e.key === "ArrowLeft") && t.getAttribute?.("role") === "radio") { const all = [...document.querySelectorAll("[data-g]")].filter((b) => !b.hidden), at = clamp(all.indexOf(t) + ARROWS[e.key], 0, all.length - 1); granularity(all[at].dataset.g); all[at].focus(); e.preventDefault(); return; }
  if ((e.key === "Enter" || e.key === " ") && own.neuron) { t.dispatchEvent(new MouseEvent("click")); e.preventDefault(); return; }
  if (t.tagName === "BUTTON" && (e.key === " " || e.key === "Enter")) return;
  const order = ranked(), at = order.indexOf(S.chosen), add = (sign) => { if (DATA.view === "plane") { edit("add", ...view2(), sign); S.focus = S.rows.length - 1; changed(); } };
  const keys = {
    ArrowRight: () => { stop(); next(); }, ArrowLeft: () => { stop(); back(); }, " ": play,
    ArrowDown: () => choose(order[Math.min(order.length - 1, at + 1)]), ArrowUp: () => choose(order[Math.max(0, at - 1)]),
    "+": () => stepBy(S.chosen, nudge(S.chosen)), "=": () => stepBy(S.chosen, nudge(S.chosen)), "-": () => stepBy(S.chosen, -nudge(S.chosen)),
    1: () => granularity("op"), 2: () => granularity("pass"), 3: () => granularity("step"), 4: () => DATA.batch && granularity("epoch"),
    "?": () => $("keys").showModal(), Home: () => goto(0, S.op), End: () => goto(horizon(), S.op), r: () => { stop(); reset(); }, u: undo, m: () => $("mark").click(),
    n: () => { S.focus = (S.focus + 1) % Math.max(1, S.rows.length); S.sketch = null; changed(); }, p: () => { S.focus = (S.focus + S.rows.length - 1) % Math.max(1, S.rows.length); S.sketch = null; changed(); },
    a: () => add(1), b: () => add(DATA.target === "binary" ? 0 : -1),
    Delete: () => { if (DATA.kind === "network" && DATA.view !== "pictures" && S.rows.length > 1) edit("del", S.focus); },
  };
  if (keys[e.key]) { keys[e.key](); e.preventDefault(); }
});
function view2() { const row = S.rows[S.focus]; return [row[0] + 0.1, row[1] + 0.1]; }
$("graph").addEventListener("focusin", (e) => { const p = e.target.dataset?.p; if (p !== undefined) choose(+p); });

$("play").addEventListener("click", play);
$("next").addEventListener("click", () => { stop(); next(); });
$("back").addEventListener("click", () => { stop(); back(); });
$("first").addEventListener("click", () => { stop(); goto(0, 0); });
for (const b of document.querySelectorAll("[data-g]")) b.addEventListener("click", () => granularity(b.dataset.g));
$("speed").addEventListener("change", (e) => { S.speed = Number(e.target.value); });
$("loop").addEventListener("click", (e) => { S.loop = !S.loop; e.target.setAttribute("aria-pressed", S.loop); });
$("undo").addEventListener("click", undo); $("redo").addEventListener("click", redo);
$("reset").addEventListener("click", () => { stop(); reset(); });
$("help").addEventListener("click", () => $("keys").showModal());
for (const b of document.querySelectorAll("dialog .close")) b.addEventListener("click", () => b.closest("dialog").close());
$("remove")?.addEventListener("click", () => { if (S.rows.length > 1) edit("del", S.focus); });

function depth(name) {
  S.depth = name;
  for (const b of document.querySelectorAll("[data-depth]")) b.setAttribute("aria-pressed", b.dataset.depth === name);
  S.op = 0; draw(); S.op = name === "scalars" ? 0 : S.ops.length - 2; drawOps();
}
for (const b of document.querySelectorAll("[data-depth]")) b.addEventListener("click", () => { stop(); depth(b.dataset.depth); changed(); });
$("depth").hidden = DATA.kind === "graph" || !DATA.graph || !DATA.programs[0].layers.length;

// ---------- begin ----------
$("title").textContent = document.title = DATA.title;
DATA.hints.forEach((hint) => $("hints").append(html("li", {}, hint)));
$("tryBox").hidden = !DATA.hints.length;
for (const id of ["epochGran"]) $(id).hidden = !DATA.batch;
$("pictures").hidden = DATA.view !== "pictures"; $("planeStage").hidden = DATA.view === "pictures"; $("lessons").hidden = DATA.view === "pictures" || DATA.view === "line";
set($("lr"), { min: Math.log10(DATA.rate) - 2, max: Math.log10(DATA.rate) + 2, step: 0.01 });
readTints();
fromAddress();
startWorker(); startData(); startKinds(); drawBars(); drawOps(); granularity(S.gran);
for (const [key, name] of comparisons()) $("compare").append(new Option(name, key));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readTints(); repaintPictures(); changed(); });
matchMedia("(max-width: 720px)").addEventListener("change", () => { draw(); drawOps(); changed(); });
addEventListener("hashchange", () => { fromAddress(); drawOps(); changed(); });
frame();
setTimeout(check);
requestAnimationFrame(() => { document.body.classList.add("ready"); S.firstPicture = performance.now(); });
// For tests, and for the curious in the console.
window.player = { S, DATA, quiet, goto, edit, next, back, code, link, svg, frame, get P() { return P; }, get T() { return T; } };
