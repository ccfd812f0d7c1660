// The data: a plane with its points, a line with its samples, or pictures; and what each neuron makes of them.

import { DATA, P, S, T, changed, edit, onChange, release } from "./state.js";
import { $, called, clamp, drag, el, fmt, html, paint, say, set, tints } from "./base.js";
import { imageBox, theScene, thumbs } from "./diagram.js";

const W = 440, H = 300;
const map = $("map"), points = $("points");
let area = null, layer = null, bound = null, ring = null, axes = null, fitted = null, kind = 1;
export const startData = () => {
  $("mapBox").hidden = DATA.view === "none";
  if (DATA.view === "none") return;
  const xs = DATA.rows.map((r) => r[0]), ys = DATA.rows.map((r) => r[1]), span = (v) => [Math.min(...v), Math.max(...v)];
  if (DATA.view === "plane") {
    const [a, b] = span(xs), [c, d] = span(ys), unit = Math.min(W / (b - a + 1), H / (d - c + 1));
    area = { centre: [(a + b) / 2, (c + d) / 2], unit };
  } else if (DATA.view === "line") {
    const [a, b] = span(xs), [c, d] = span(ys), px = (b - a) * 0.15 || 1, py = (d - c) * 0.3 || 1;
    area = { lo: a - px, hi: b + px, bottom: c - py, top: d + py };
  }
  axes = el("g", {}, points); fitted = el("path", { class: "ink thick" }, points); bound = el("path", { class: "bound" }, points); layer = el("g", {}, points); ring = el("circle", { class: "ring", r: 11 }, points);
};
const toPage = (row) => DATA.view === "plane" ? [W / 2 + (row[0] - area.centre[0]) * area.unit, H / 2 - (row[1] - area.centre[1]) * area.unit]
  : [(row[0] - area.lo) / (area.hi - area.lo) * W, H - (row[1] - area.bottom) / (area.top - area.bottom) * H];
const toData = (x, y) => DATA.view === "plane" ? [(x - W / 2) / area.unit + area.centre[0], (H / 2 - y) / area.unit + area.centre[1]]
  : [area.lo + x / W * (area.hi - area.lo), area.bottom + (H - y) / H * (area.top - area.bottom)];
const place = (e) => { const box = points.getBoundingClientRect(); return toData((e.clientX - box.left) / box.width * W, (e.clientY - box.top) / box.height * H).map((x) => Number(x.toFixed(3))); };
// The class that an output means, and what is drawn for it, from −1 to 1.
const threshold = DATA.target === "real" ? null : 0;
export function isRight(row, outputs) {
  if (outputs.length > 1) return outputs.indexOf(Math.max(...outputs)) === row.at(-1);
  return outputs[0] > 0 === row.at(-1) > 0;
}
const outs = () => P.outputs.map((k) => P.M[k]);
const TS = 28;
const thumbImage = new ImageData(TS, TS), small = document.createElement("canvas"); small.width = small.height = TS;
const mapCanvas = document.createElement("canvas");

function drawPlane(v) {
  const coarse = S.held && cost > 4 ? 2 : 1, MW = 88 / coarse, MH = 60 / coarse, began = performance.now();
  P.set(v.shown);
  const field = new Float64Array(MW * MH);
  let scale = 1;
  for (let r = 0; r < MH; r++) for (let c = 0; c < MW; c++) {
    P.feed(toData((c + 0.5) * W / MW, (r + 0.5) * H / MH).concat(1)); P.forward();
    field[r * MW + c] = P.M[P.outputs[0]];
  }
  if (!coarse || coarse === 1) cost = performance.now() - began;
  scale = DATA.target === "sign" ? 1 : 3;
  mapCanvas.width = MW; mapCanvas.height = MH;
  mapCanvas.getContext("2d").putImageData(paint(new ImageData(MW, MH), field, [tints.noMap, tints.midMap, tints.yesMap], scale), 0, 0);
  if (map.width !== W) { map.width = W; map.height = H; }
  const pen = map.getContext("2d"); pen.imageSmoothingQuality = "high"; pen.drawImage(mapCanvas, 0, 0, W, H);
  set(bound, { d: contour(field, MW, MH) });
}
let cost = 0, pixels = null;
const stronger = (name) => tints[name].map((c, k) => (c + tints[`${name}Map`][k]) / 2);   // small pictures need more colour
function contour(field, MW, MH) {                          // marching squares along out = 0
  let d = "";
  const sx = W / MW, sy = H / MH;
  for (let r = 0; r < MH - 1; r++) for (let c = 0; c < MW - 1; c++) {
    const k = r * MW + c, hits = [];
    for (const [a, b, x0, y0, x1, y1] of [[k, k + 1, 0, 0, 1, 0], [k + 1, k + MW + 1, 1, 0, 1, 1], [k + MW, k + MW + 1, 0, 1, 1, 1], [k, k + MW, 0, 0, 0, 1]]) {
      if (field[a] > 0 !== field[b] > 0) { const t = field[a] / (field[a] - field[b]); hits.push(`${((c + x0 + (x1 - x0) * t + 0.5) * sx).toFixed(1)} ${((r + y0 + (y1 - y0) * t + 0.5) * sy).toFixed(1)}`); }
    }
    for (let m = 0; m + 1 < hits.length; m += 2) d += `M${hits[m]}L${hits[m + 1]}`;
  }
  return d || null;
}
function drawLine(v) {
  P.set(v.shown);
  let d = "";
  for (let k = 0; k <= 110; k++) {
    const x = area.lo + (area.hi - area.lo) * k / 110;
    P.feed([x, 0]); P.forward();
    const [px, py] = toPage([x, P.M[P.outputs[0]]]);
    d += `${k ? "L" : "M"}${px.toFixed(1)} ${clamp(py, -500, 900).toFixed(1)}`;
  }
  set(fitted, { d });
  axes.replaceChildren();
  const zero = toPage([0, 0]);
  el("path", { d: `M0 ${zero[1]}H${W}M${zero[0]} 0V${H}`, class: "axis" }, axes);
  el("text", { x: W - 8, y: zero[1] - 6, "text-anchor": "end", class: "small" }, axes, "x");
  el("text", { x: zero[0] + 6, y: 14, class: "small" }, axes, "y, and out");
  S.rows.forEach((row, k) => { if (v.rows.length <= 24) { const [x, y] = toPage(row); P.feed(row); P.forward(); el("path", { d: `M${x} ${y}V${clamp(toPage([0, P.M[P.outputs[0]]])[1], -500, 900)}`, class: "error" }, axes); } });
}
function drawPoints(v) {
  while (layer.children.length > S.rows.length) layer.lastChild.remove();
  S.rows.forEach((row, k) => {
    let g = layer.children[k];
    if (!g) {
      g = el("g", { class: "pt", tabindex: -1, role: "slider" }, layer);
      drag(g, { start: () => { S.focus = [...layer.children].indexOf(g); S.held = true; changed(); }, move: (e, began) => { if (began.moved) { const [a, b] = place(e); edit("x", S.focus, 0, a); edit("x", S.focus, 1, b); } }, end: release });
    }
    const [x, y] = toPage(row), sign = DATA.target === "real" ? "real" : row.at(-1) > 0 ? "yes" : "no";
    if (g.dataset.kind !== sign) {
      g.dataset.kind = sign; g.replaceChildren();
      if (sign === "no") el("rect", { x: -4.5, y: -4.5, width: 9, height: 9, class: "pt no" }, g); else el("circle", { r: 5, class: `pt ${sign}` }, g);
    }
    set(g, { transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})`, tabindex: k === S.focus ? 0 : -1, "aria-valuenow": row[0], "aria-label": `${DATA.word} ${k + 1}, class ${called(DATA.labels, row.at(-1))}`, "aria-valuetext": `${fmt(row[0])}, ${fmt(row[1])}` });
  });
  while (layer.children.length < S.rows.length) break;
  const held = $("heldPoints") ?? el("g", { id: "heldPoints" }, null);
  if (!held.parentNode && DATA.heldOut.length) {
    points.insertBefore(held, layer);
    for (const row of DATA.heldOut) { const [x, y] = toPage(row); if (row.at(-1) > 0) el("circle", { cx: x, cy: y, r: 3.5, class: "held yes" }, held); else el("rect", { x: x - 3, y: y - 3, width: 6, height: 6, class: "held no" }, held); }
  }
  if (S.rows[S.focus]) { const [x, y] = toPage(S.rows[S.focus]); set(ring, { cx: x.toFixed(1), cy: y.toFixed(1), visibility: null }); } else set(ring, { visibility: "hidden" });
}
points.addEventListener("pointerdown", (e) => {
  if (e.target !== points || !area || e.button) return;
  const [a, b] = place(e), other = DATA.target === "binary" ? 0 : -1;
  S.gesture = null;
  if (DATA.view === "line") edit("add", a, b); else edit("add", a, b, e.shiftKey !== (kind < 0) ? other : 1);
  S.focus = S.rows.length - 1; changed();
});

// ---------- accuracy ----------
let scored = null;
function drawScore(v) {
  if (S.held || DATA.target === "real") return;
  const key = `${S.version} ${S.step} ${S.op === S.ops.length - 1}`;
  if (scored === key || S.playing && DATA.rows.length > 300 && S.step % 5) return;
  scored = key;
  const count = (rows) => { let right = 0; for (const row of rows) { P.feed(row); P.forward(); right += isRight(row, outs()); } return right; };
  P.set(v.shown);
  const train = count(S.rows), rest = DATA.heldOut.length ? count(DATA.heldOut) : null, percent = (k, n) => `${(100 * k / n).toFixed(k === n ? 0 : 1)} %`;
  say($("score"), `right: ${percent(train, S.rows.length)} of ${S.rows.length}${rest === null ? "" : ` · of ${DATA.heldOut.length} never trained on: ${percent(rest, DATA.heldOut.length)}`}`);
}

// ---------- what every neuron says everywhere, or the weights that look at a picture ----------
function drawThumbs(v) {
  const scene = theScene(), canvas = $("thumbs"), wanted = thumbs(), scale = Math.min(2, devicePixelRatio || 1) * (scene.width < 500 ? 1.5 : 1);
  const [cw, ch] = [Math.round(scene.width * scale), Math.round(scene.height * scale)];
  if (canvas.width !== cw || canvas.height !== ch) { canvas.width = cw; canvas.height = ch; }
  if (!wanted.length) return;
  const pen = canvas.getContext("2d"); pen.setTransform(scale, 0, 0, scale, 0, 0); pen.clearRect(0, 0, scene.width, scene.height);
  if (DATA.view === "plane") {
    const fields = wanted.map(() => new Float64Array(TS * TS)), side = S.held && cost > 4 ? 14 : TS;
    P.set(v.shown);
    for (let r = 0; r < side; r++) for (let c = 0; c < side; c++) {
      P.feed(toData(W / 2 - H / 2 + H * (c + 0.5) / side, H * (r + 0.5) / side).concat(1)); P.forward();
      wanted.forEach(({ b }, k) => { fields[k][r * side + c] = P.M[b.place]; });
    }
    wanted.forEach(({ x, y, size }, k) => {
      const values = fields[k].subarray(0, side * side), top = Math.max(1, ...values.map(Math.abs));
      small.width = small.height = side;
      small.getContext("2d").putImageData(paint(new ImageData(side, side), values, [stronger("no"), tints.midMap, stronger("yes")], top), 0, 0);
      pen.imageSmoothingQuality = "high"; pen.drawImage(small, x, y, size, size);
    });
  } else if (DATA.view === "line") {
    wanted.forEach(({ x, y, size, b }) => {
      P.set(v.shown); pen.strokeStyle = `rgb(${tints.ink})`; pen.fillStyle = `rgb(${tints.panel})`; pen.fillRect(x, y, size, size); pen.beginPath();
      const values = []; for (let k = 0; k <= 24; k++) { P.feed([area.lo + (area.hi - area.lo) * k / 24, 0]); P.forward(); values.push(P.M[b.place]); }
      const top = Math.max(1e-9, ...values.map(Math.abs));
      values.forEach((l, k) => pen.lineTo(x + size * k / 24, y + size / 2 - l / top * size * 0.45)); pen.stroke();
    });
  } else if (DATA.view === "pictures") {
    const [h, w] = DATA.shape;
    if (!pixels) { pixels = new ImageData(w, h); mapCanvas.width = w; mapCanvas.height = h; }
    pen.imageSmoothingEnabled = false;
    for (const { x, y, size, b, pictures, input } of wanted) {
      const show = (values, colours, top, at) => {
        mapCanvas.getContext("2d").putImageData(paint(pixels, values, colours, top), 0, 0);
        pen.drawImage(mapCanvas, at, y, size, size * h / w);
      };
      if (input) { show(v.row.slice(0, w * h), [tints.paper, tints.paper, tints.pen], 1, x); continue; }
      if (b.layer > 0) { bar(pen, v, x, y, size, b); continue; }
      const ws = b.neuron.weights.map((p) => v.shown[p]), gs = b.neuron.weights.map((p) => v.D[p]);
      show(ws, [[0, 0, 0], [128, 128, 128], [255, 255, 255]], Math.max(0.2, ...ws.map(Math.abs)), x);
      if (pictures > 1) {
        const known = S.op >= S.ops.findIndex((op) => op.phase === "backward" && op.layer === 0) && S.op < S.ops.length - 1;
        show(known ? gs : gs.map(() => 0), [tints.lowers, tints.midMap, tints.raises], Math.max(1e-3, ...gs.map(Math.abs)), x + size + 3);
      }
    }
  }
}
// What outputs mean: the class of the largest, or the side of 0 of a single one.
const reading = (values) => values.length > 1 ? values.indexOf(Math.max(...values)) : values[0] > 0 ? 1 : DATA.target === "sign" ? -1 : 0;
// How certain that is: the class's part after softmax, or the sigmoid of a single output.
function certainty(v, k) {
  const values = P.outputs.map((place) => v.M[place]);
  if (values.length === 1) return sigmoid(k > 0 ? values[0] : -values[0]);
  const top = Math.max(...values), total = values.reduce((sum, l) => sum + Math.exp(l - top), 0);
  return Math.exp(values[k] - top) / total;
}
// An output as the share of certainty that it gets: softmax over all outputs.
function bar(pen, v, x, y, size, b) {
  const share = certainty(v, P.outputs.length > 1 ? P.outputs.indexOf(b.place) : 1);
  pen.fillStyle = `rgb(${tints.line})`; pen.fillRect(x, y, size, size);
  pen.fillStyle = `rgb(${tints.core})`; pen.fillRect(x, y + size * (1 - share), size, size * share);
}

// ---------- pictures: choose one, or draw your own ----------
let strip = null, drawnPicture = "";
function drawPictures(v) {
  if (!strip) startPictures();
  const [h, w] = DATA.shape, canvas = $("draw"), pen = canvas.getContext("2d");
  const look = v.row.slice(0, w * h).join();
  if (look !== drawnPicture) {
    drawnPicture = look;
    if (!pixels) { pixels = new ImageData(w, h); mapCanvas.width = w; mapCanvas.height = h; }
    mapCanvas.getContext("2d").putImageData(paint(pixels, v.row.slice(0, w * h), [tints.paper, tints.paper, tints.pen]), 0, 0);
    pen.imageSmoothingEnabled = false; pen.drawImage(mapCanvas, 0, 0, 240, 240);
  }
  const values = P.outputs.map((k) => v.M[k]), target = v.row.at(-1), best = reading(values), sure = `certain to ${(100 * certainty(v, best)).toFixed(0)} %`;
  say($("reads"), S.sketch ? `your drawing is read as ${called(DATA.labels, best)}, ${sure}` : `a ${called(DATA.labels, target)}, read as ${called(DATA.labels, best)}, ${sure}: ${best === target ? "right" : "wrong"}`);
  strip.forEach(({ button, k }) => button.setAttribute("aria-pressed", !S.sketch && k === S.focus));
}
function startPictures() {
  const [h, w] = DATA.shape, list = $("strip");
  strip = S.rows.slice(0, 24).map((row, k) => {
    const canvas = html("canvas", { width: w, height: h, "aria-hidden": "true" }), button = html("button", { "aria-label": `picture ${k + 1}, a ${called(DATA.labels, row.at(-1))}`, "aria-pressed": "false" }, canvas);
    canvas.getContext("2d").putImageData(paint(new ImageData(w, h), row.slice(0, w * h), [tints.paper, tints.paper, tints.pen]), 0, 0);
    button.addEventListener("click", () => { S.focus = k; S.sketch = null; changed(); });
    list.append(button);
    return { button, k };
  });
  let stroke = null;
  drag($("draw"), {
    start: () => { S.held = true; stroke = (S.sketch ?? S.rows[S.focus].map((x, k) => k < w * h ? 0 : x)).slice(); },
    move(e) {
      const box = $("draw").getBoundingClientRect(), cx = (e.clientX - box.left) / box.width * w - 0.5, cy = (e.clientY - box.top) / box.height * h - 0.5;
      for (let r = 0; r < h; r++) for (let c = 0; c < w; c++) { const d = Math.hypot(r - cy, c - cx), ink = clamp(1.35 - d, 0, 1); if (ink > stroke[r * w + c]) stroke[r * w + c] = Number(ink.toFixed(2)); }
      S.sketch = stroke.slice(); changed();
    },
    end: release,
  });
  $("clear").addEventListener("click", () => { S.sketch = S.rows[S.focus].map((x, k) => k < w * h ? 0 : x); changed(); });
}

export const repaintPictures = () => { drawnPicture = ""; };
export function startKinds() {
  $("heldNote").hidden = !DATA.heldOut.length || DATA.view !== "plane";
  if (DATA.view !== "plane") { $("kinds").hidden = true; return; }
  for (const b of document.querySelectorAll("[data-kind]")) b.addEventListener("click", () => { kind = +b.dataset.kind; for (const other of document.querySelectorAll("[data-kind]")) other.setAttribute("aria-pressed", other === b); });
}
let turn = 0;
onChange((v) => {
  const slow = S.held && cost > 4, first = !slow || ++turn % 2;   // where a frame is too short for both pictures they take turns
  if (DATA.view === "plane") { if (first) drawPlane(v); drawPoints(v); }
  if (DATA.view === "line") { drawLine(v); drawPoints(v); }
  if (DATA.view === "pictures") drawPictures(v);
  if (!slow || !first) drawThumbs(v);
  if (DATA.view !== "none") drawScore(v);
});
