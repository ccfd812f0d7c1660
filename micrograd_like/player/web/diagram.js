// The network or the graph: a fixed layout, drawn once, then only its numbers, widths and colours change.

import { DATA, P, S, T, changed, edit, names, onChange, release } from "./state.js";
import { $, arrow, brief, called, clamp, drag, el, finite, fmt, say, set, signed, tints, way } from "./base.js";
import { buildScene, timetable } from "./scene.js";

let scene = null, times = null, parts = null, picture = null;
export const theScene = () => scene;
export const nudge = (p) => Math.max(0.05, Math.abs(T.at(S.step)[p]) > 20 ? 1 : 0.05);

export function draw() {
  const graph = $("graph"), narrow = matchMedia("(max-width: 720px)").matches;
  scene = buildScene(narrow); times = timetable(scene.ops); S.ops = scene.ops; S.op = clamp(S.op, 0, S.ops.length - 1);
  document.body.classList.toggle("graph", Boolean(scene.graph));
  $("wires").width = $("thumbs").width = 0;
  graph.replaceChildren();
  graph.setAttribute("viewBox", `${scene.left ?? 0} 0 ${scene.width} ${scene.height}`);
  graph.style.minWidth = scene.graph ? `${Math.round(scene.width * 0.72)}px` : "";   // a wide graph scrolls rather than shrinks
  graph.classList.toggle("dense", !scene.ported && !scene.graph);
  $("net").classList.toggle("wide", Boolean(scene.graph && scene.width > 1000));
  const dense = !scene.ported && !scene.graph;
  const wires = el("g", {}, graph), boxes = el("g", {}, graph), knobs = el("g", {}, graph);
  parts = {
    wires: scene.wires.map((w) => {
      if (dense && w.p !== null && !w.bundle) {            // many wires: they are painted, and only felt here
        const grip = el("path", { d: w.d, class: "grip fine" }, wires);
        if (!narrow) grasp(grip, w.p);                     // a finger would meet one wherever it scrolls
        return { w, grip, path: new Path2D(w.d) };
      }
      const casing = el("path", { d: w.d, class: "casing" }, wires), core = el("path", { d: w.d, class: "core" }, wires), pulse = el("path", { d: w.d, class: "pulse" }, wires);
      if (w.p !== null && w.p !== undefined) grasp(el("path", { d: w.d, class: "grip" }, wires), w.p);
      return { w, casing, core, pulse };
    }),
    boxes: scene.boxes.map((b) => box(b, boxes)),
    knobs: scene.knobs.map((k) => knob(k, knobs)),
  };
  if (!scene.ported && !scene.graph) parts.loose = looseKnob(knobs);
  picture = scene.boxes.find((b) => b.image) ?? null;
}
export const imageBox = () => picture;

export function grasp(node, p) {
  drag(node, {
    start: () => { choose(typeof p === "function" ? p() : p); S.held = true; return T.at(S.step)[S.chosen]; },
    move: (e, began) => { if (began.moved) edit("w", S.chosen, tidy(began.state + (e.clientX - began.x) * 0.01)); },
    end: release,
  });
}
// Of some parameters the one that the loss reacts to most.
function strongest(ps) {
  const g = T.gradientAt(S.step);
  return ps.reduce((a, b) => Math.abs(g[b]) > Math.abs(g[a]) ? b : a);
}
const tidy = (v) => Number(v.toFixed(6));
export function choose(p) { if (S.chosen !== p) { S.chosen = p; changed(); } }
export function stepBy(p, by) { edit("w", p, tidy(T.at(S.step)[p] + by)); }

function box(b, parent) {
  const g = el("g", { transform: `translate(${b.x} ${b.y})`, class: `box ${b.role ?? ""}` }, parent), part = { b, g };
  el("rect", { class: "card", width: b.w, height: b.h, rx: b.tile ? 5 : 8 }, g);
  if (b.param !== undefined && b.param !== null) {         // a leaf of a graph: the whole card is a knob
    set(g, { tabindex: 0, role: "slider", "aria-label": names()[b.param] });
    g.classList.add("w"); g.dataset.p = b.param;
    grasp(g, b.param);
  } else if (b.neuron) {
    set(g, { tabindex: -1 });
    if (!scene.ported) { set(g, { tabindex: 0, role: "button", "aria-label": `neuron ${b.title}: show its weights` }); g.dataset.neuron = b.key; }
    g.addEventListener("click", () => { const { weights, bias } = b.neuron; if (![...weights, bias].includes(S.chosen)) choose(strongest(weights)); });
  } else if (b.input !== undefined && b.input !== null) {
    set(g, { tabindex: 0, role: "slider", "aria-label": `input ${b.title} of this sample` });
    g.classList.add("w"); g.dataset.input = b.input;
    drag(g, {
      start: () => { S.held = true; return S.rows[S.focus][b.input]; },
      move: (e, began) => { if (began.moved) edit("x", S.focus, b.input, tidy(began.state + (e.clientX - began.x) * 0.01)); },
      end: release,
    });
  }
  const t = (x, y, anchor, cls) => el("text", { x, y, "text-anchor": anchor, class: cls }, g);
  if (b.tile && !b.below) {
    const size = b.h - 6, pictures = b.picture ? (scene.image && b.layer === 0 ? 2 : 1) : 0, x = 6 + pictures * (size + 3) + (pictures ? 3 : 2);
    part.thumb = b.picture ? { x: b.x + 4, y: b.y + 3, size, pictures } : null;
    part.name = t(x, b.h / 2 + 4.5, "start", "tiny"); say(part.name, b.title);
    part.value = t(b.w - 58, b.h / 2 + 5, "end", "mid"); part.slope = t(b.w - 5, b.h / 2 + 4.5, "end", "small");
  } else if (b.below) {
    const size = Math.min(b.w - 6, 62), pictures = b.picture ? 1 : 0;
    part.thumb = pictures ? { x: b.x + (b.w - size) / 2, y: b.y + 3, size, pictures } : null;
    part.value = t(b.w / 2, pictures ? size + 16 : 20, "middle", "mid"); part.slope = t(b.w / 2, pictures ? size + 29 : 36, "middle", "small");
    if (!pictures) { part.name = t(b.w / 2, 16, "middle", "small"); say(part.name, b.title); part.value.setAttribute("y", b.tile ? 30 : 36); part.slope.setAttribute("y", b.tile ? 43 : 54); }
  } else if (b.image) {
    part.name = t(b.w / 2, b.h - 26, "middle", "small"); part.value = t(b.w / 2, b.h - 9, "middle", "mid"); part.slope = null;
    part.thumb = { x: b.x + 14, y: b.y + 12, size: b.w - 28, pictures: 1, input: true };
  } else {
    const thumb = b.picture && !b.stacked, x = thumb ? 72 : b.w / 2, anchor = thumb ? "start" : "middle", mid = b.stacked ? 28 : b.h / 2, tall = b.h > 60;
    if (thumb) part.thumb = { x: b.x + 8, y: b.y + b.h / 2 - 28, size: 56, pictures: 1 };
    if (b.stacked && b.picture) part.thumb = { x: b.x + 6, y: b.y + 6, size: 40, pictures: 1 };
    const X = b.stacked && b.picture ? 52 : x, A = b.stacked && b.picture ? "start" : anchor;
    part.name = t(X, mid - (tall ? 18 : b.param !== undefined ? 13 : 7) + (b.stacked ? 4 : 0), A, b.formula ? "title" : "small"); say(part.name, b.title);
    part.value = t(X, mid + (tall ? 4 : b.param !== undefined ? 5 : 13), A, "big"); part.slope = t(X, mid + (b.param !== undefined && !tall ? 22 : 25) - (b.stacked ? 4 : 0), A, "small");
    if (!tall && b.param === undefined) part.slope.setAttribute("y", mid + 27);
  }
  return part;
}

function knob(k, parent) {
  const g = el("g", { class: "w", tabindex: 0, role: "slider", "aria-label": names()[k.p], transform: `translate(${k.x} ${k.y})` }, parent);
  g.dataset.p = k.p;
  el("rect", { width: k.w, height: 22, rx: 5 }, g);
  if (k.bias || k.inside) say(el("text", { x: 3, y: 15.5, class: "small" }, g), k.inside ? k.name : "b");
  const text = el("text", { x: k.w - 22, y: 15.5, "text-anchor": "end" }, g), mark = el("text", { x: k.w - 4, y: 15.5, "text-anchor": "end" }, g);
  say(el("title", {}, g), `${names()[k.p]}, in the library ${DATA.programs[S.variant].names[k.p]}. Drag sideways, or use the arrow keys.`);
  grasp(g, k.p);
  return { p: k.p, g, text, mark };
}
// In a dense network only the chosen weight has its number at its wire.
function looseKnob(parent) {
  const g = el("g", { class: "w chosen", "aria-hidden": "true" }, parent);
  el("rect", { x: -42, y: -11, width: 84, height: 22, rx: 5 }, g);
  const text = el("text", { x: 16, y: 4.5, "text-anchor": "end" }, g), mark = el("text", { x: 36, y: 4.5, "text-anchor": "end" }, g);
  grasp(g, () => S.chosen);
  return { g, text, mark };
}

// What is known at this operation: 0 not yet, 1 fresh; a step later everything is out of date.
export const isKnown = (place) => S.op >= (times.forward.get(place) ?? 0) && S.op < S.ops.length - 1;
export const gradientKnown = (place) => S.op >= (times.backward.get(place) ?? Infinity) && S.op < S.ops.length - 1;
const meanDone = () => { const k = S.ops.findIndex((op) => op.phase === "backward" && op.kind === "mean"); return k < 0 || S.op >= k; };
// The gradient of a parameter that the page may show now: none yet, this sample's, or the mean's.
export function shownGradient(v, p, place) {
  if (S.op === S.ops.length - 1) return v.g[p];
  if (!gradientKnown(place)) return null;
  return meanDone() ? v.g[p] : v.D[p];
}

function render(v) {
  const active = S.ops[S.op], lit = new Set(active.places), onWay = active.phase === "forward" ? "on" : "on rev";
  const dense = !scene.ported && !scene.graph, unit = dense ? 6 : 15, top = dense ? 8 : 16;
  const most = dense ? strong(v) : null, opened = dense ? scene.boxes.find((b) => b.neuron && [...b.neuron.weights, b.neuron.bias].includes(S.chosen)) : null;
  const onPath = reach(S.chosen), chosenPath = scene.graph ? onPath : null;
  if (dense) paintWires(v, most, opened);
  for (const { w, casing, core, pulse, grip } of parts.wires) {
    if (grip) {
      if (w.p === S.chosen) setLoose(v, w, grip);
      continue;
    }
    let width, g = null, negative = false;
    if (w.bundle) { let s = 0; for (const p of w.bundle) s += v.shown[p] ** 2; width = 0.6 + 0.8 * Math.sqrt(s); g = gradientKnown(w.to) ? signedNorm(v, w.bundle) : null; }
    else if (w.p !== null && w.p !== undefined) { const x = v.shown[w.p]; width = dense ? 0.5 + 1.1 * Math.abs(finite(x)) : 0.8 + 1.7 * Math.abs(finite(x)); negative = x < 0; g = shownGradient(v, w.p, w.to); }
    else { width = 1.5; if (scene.graph && gradientKnown(w.to)) g = through(v, w); }
    width = clamp(width, 0.4, dense ? 5 : 9);
    const chosen = w.p === S.chosen && w.p !== null;
    set(core, { "stroke-width": width.toFixed(1), "stroke-dasharray": negative ? `${(5 + width).toFixed(1)} ${(3 + width / 2).toFixed(1)}` : null, class: chosen || chosenPath?.has(w.from) && chosenPath.has(w.to) ? "core chosen" : "core" });
    set(casing, { "stroke-width": g ? (width + Math.min(top, unit * Math.sqrt(Math.abs(finite(g))))).toFixed(1) : "0", class: `casing ${way(g ?? 0)}` });
    set(pulse, { class: `pulse ${lit.has(w.to) && (!dense || chosen || w.p === null || w.bundle) ? onWay : ""}` });
  }
  if (parts.loose && !parts.wires.some(({ w }) => w.p === S.chosen && !w.bundle)) set(parts.loose.g, { visibility: "hidden" });
  const owner = new Map(scene.boxes.filter((b) => b.neuron).flatMap((b) => [...b.neuron.weights, b.neuron.bias].map((p) => [p, b.place])));
  for (const k of parts.knobs) {
    const g = shownGradient(v, k.p, owner.get(k.p));
    label(k, v, k.p, g);
    set(k.g, { class: `w ${S.chosen === k.p ? "chosen" : ""}`, "aria-valuenow": v.shown[k.p].toFixed(4), "aria-valuetext": `${fmt(v.shown[k.p])}${g === null ? "" : `, gradient ${fmt(g)}`}` });
  }
  for (const part of parts.boxes) { number(part, v, lit); part.g.classList.toggle("path", part.b.place >= P.base && onPath.has(part.b.place)); }
  scene.boxes.forEach((b, i) => { if (b.neuron && dense) parts.boxes[i].g.classList.toggle("chosen", [...b.neuron.weights, b.neuron.bias].includes(S.chosen)); });
}
// The number of the chosen weight, at its wire.
function setLoose(v, w, grip) {
  const at = grip.getPointAtLength(grip.getTotalLength() * 0.72);
  set(parts.loose.g, { transform: `translate(${at.x.toFixed(1)} ${at.y.toFixed(1)})`, visibility: null });
  label(parts.loose, v, w.p, shownGradient(v, w.p, w.to));
}
// Hundreds of wires on a canvas; while a number is held, not in every frame.
let painted = 0;
function paintWires(v, strongest, opened) {
  if (S.held && painted++ % 6) return;
  const canvas = $("wires"), scale = Math.min(2, devicePixelRatio || 1), [cw, ch] = [Math.round(scene.width * scale), Math.round(scene.height * scale)];
  if (canvas.width !== cw || canvas.height !== ch) { canvas.width = cw; canvas.height = ch; }
  const pen = canvas.getContext("2d"), colour = (name, alpha) => `rgb(${tints[name].join(" ")} / ${alpha})`;
  pen.setTransform(scale, 0, 0, scale, 0, 0); pen.clearRect(0, 0, scene.width, scene.height);
  const near = [];
  const one = ({ w, path }, isNear) => {
    const x = v.shown[w.p], width = clamp(0.5 + 1.1 * Math.abs(finite(x)), 0.4, 5), g = strongest.has(w.p) || isNear ? shownGradient(v, w.p, w.to) : null;
    if (g) { pen.strokeStyle = colour(way(g), 0.75); pen.lineWidth = width + Math.min(8, 6 * Math.sqrt(Math.abs(finite(g)))); pen.stroke(path); }
    pen.strokeStyle = colour("core", isNear ? 1 : 0.3); pen.lineWidth = w.p === S.chosen ? Math.max(3.5, width) : width;
    if (isNear && x < 0) pen.setLineDash([5 + width, 3 + width / 2]);
    pen.stroke(path); pen.setLineDash([]);
  };
  for (const part of parts.wires) if (part.path) { if (opened && part.w.to === opened.place) near.push(part); else one(part, false); }
  for (const part of near) one(part, true);
}
// In a dense network only the weights with the largest gradients are coloured, and those of the chosen neuron.
function strong(v) {
  if (S.op < S.ops.length / 2 - 1) return new Set();
  return new Set([...v.g.keys()].sort((a, b) => Math.abs(v.g[b]) - Math.abs(v.g[a])).slice(0, 40));
}
function label(k, v, p, g) {
  say(k.text, fmt(v.shown[p], 2)); say(k.mark, g === null ? "" : arrow(g)); set(k.mark, { class: g === null ? "" : way(g) });
}
function signedNorm(v, bundle) { let s = 0, sign = 0; for (const p of bundle) { const g = v.D[p]; s += g * g; sign += g; } return Math.sqrt(s) * Math.sign(sign); }
// What flows back through one wire of a graph: the part of the operand's derivative that comes this way.
function through(v, w) {
  const n = w.to - P.base, a = P.operands[n], D = new Float64Array(P.size), F = new Uint8Array(P.size);
  if (!v.F[w.to]) return 0;
  P.rules[n](v.D[w.to], v.M[w.to], v.M, a, D, F);
  return D[w.from];
}
let reached = { p: null, program: null, found: null };
function reach(p) {                                        // everything between a parameter and the loss: its paths
  if (reached.p === p && reached.program === P) return reached.found;
  const found = new Set([p]);
  P.operands.forEach((a, n) => { if (a.some((x) => found.has(x))) found.add(P.base + n); });
  reached = { p, program: P, found };
  return found;
}
function number({ b, g, value, slope, name }, v, lit) {
  const at = b.place;
  g.classList.toggle("on", lit.has(b.key === "mean" ? "mean" : at));
  if (b.image) { say(name, `sample ${S.focus + 1} of ${S.rows.length}`); say(value, `a ${called(DATA.labels, v.row.at(-1))}`); return; }
  if (b.key === "mean") { known(value, fmt(v.loss, 3), isKnown("mean")); say(slope, `of all ${v.rows.length}${DATA.batch ? " of this batch" : " samples"}`); return; }
  const leaf = b.param !== undefined && b.param !== null, p = b.param;
  const x = leaf ? v.shown[p] : v.M[at];
  known(value, b.tile ? brief(x) : fmt(x, b.picture ? 2 : 3), leaf || b.role === "input" || isKnown(at));
  if (b.key === "loss") { say(slope, targetText(v)); return; }
  if (leaf) {
    const gradient = S.op === S.ops.length - 1 ? v.g[p] : S.op >= lastUse(p) ? v.D[p] : null;
    set(g, { "aria-valuenow": x.toFixed(4), "aria-valuetext": `${fmt(x)}${gradient === null ? "" : `, gradient ${fmt(gradient)}`}` });
    g.classList.toggle("chosen", S.chosen === p);
    slopeText(slope, gradient, b);
    return;
  }
  if (b.role === "input") { say(slope, ""); set(g, { "aria-valuenow": x.toFixed(4), "aria-valuetext": fmt(x) }); return; }
  slopeText(slope, gradientKnown(at) ? v.D[at] : null, b);
}
function slopeText(slope, gradient, b) {
  say(slope, gradient === null ? (scene.graph ? "∂ ?" : "") : `∂ ${b.tile ? (gradient > 0 ? "+" : "") + brief(gradient) : signed(gradient, 3)}${scene.graph && b.param !== undefined && b.param !== null && gradient ? " " + arrow(gradient) : ""}`);
  set(slope, { class: `small ${gradient === null ? "" : way(gradient)}` });
}
// A leaf's derivative is known when the last of its users has passed its part back.
function lastUse(p) {
  let last = 0;
  P.operands.forEach((a, n) => { if (a.includes(p)) last = Math.max(last, times.backward.get(P.base + n) ?? 0); });
  return last;
}
function known(node, text, fresh) { say(node, text); if (node.fresh !== fresh) { node.fresh = fresh; node.classList.toggle("stale", !fresh); } }
function targetText(v) {
  const y = v.row.at(-1);
  return DATA.kind === "graph" ? "" : `this ${DATA.word}, y = ${fmt(y, 2)}`;
}
export const thumbs = () => parts.boxes.filter((part) => part.thumb).map(({ thumb, b }) => ({ ...thumb, b }));
onChange(render);
