// Where everything of the network stands. A scene has boxes (numbers), wires between them, knobs (numbers to grasp),
// and the operations of one step in their order; the graph of a recorded loss comes with its own from Python.

import { DATA, P, S } from "./state.js";
import { clamp, round, sub, sup } from "./base.js";

export function neuronName(layer, j) {
  const L = DATA.programs[S.variant].layers, last = layer === L.length - 1;
  if (last) return L[layer].length === 1 ? "out" : DATA.classes ? DATA.labels?.[j] ?? `${j}` : `out${sub(j + 1)}`;
  return L.length === 2 ? `h${sub(j + 1)}` : `h${sup(layer + 1)}${sub(j + 1)}`;
}

export function buildScene(narrow) {
  if (S.depth === "scalars") return graphScene(narrow);
  const layers = DATA.programs[S.variant].layers, n = DATA.inputs;
  const rows = (layer) => layer.reduce((h, neuron) => h + (neuron.weights.length + 1) * 26 + 20, 0);
  const ported = n <= 6 && layers.every((layer) => layer.length <= 6 && rows(layer) <= 560);
  const scene = { boxes: [], wires: [], knobs: [], ops: [], ported, narrow, image: DATA.shape && n > 6 };
  (narrow ? placeDown : placeAcross)(scene, layers, n);
  connect(scene, layers, n);
  listOperations(scene, layers, n);
  return scene;
}

// Left to right, as the computation runs.
function placeAcross(scene, layers, n) {
  const { ported } = scene, right = 770, left = scene.image ? 168 : 80, pitch = (right - left - 10) / layers.length;
  const least = layers.every((layer) => layer.length < 3) && n < 4 ? 270 : 404;
  const tall = ported ? Math.max(least, ...layers.map((layer) => layer.reduce((h, neuron) => h + height(neuron) + 8, 0)))
    : Math.max(404, ...layers.map((layer) => layer.length * clamp(500 / layer.length, 24, 40)));
  Object.assign(scene, { width: 922, height: round(tall) });
  inputs(scene, n, (k) => scene.image ? { x: 4, y: tall / 2 - 100, w: 156, h: 200 }
    : { x: 8, y: tall / 2 + (k - (n - 1) / 2) * Math.min(144, (tall - 60) / Math.max(1, n - 1)) - 28, w: 72, h: 56 });
  layers.forEach((layer, l) => {
    const last = l === layers.length - 1, picture = scene.thumbs = DATA.view !== "none";
    const w = ported ? (last ? 96 : picture ? 138 : 110) : last && layer.length === 1 ? 96 : scene.image ? 168 : 148;
    const x = left + pitch * (l + 1) - w - (last ? (layers.length === 1 ? 90 : 48) : 26);
    const heights = layer.map((neuron) => ported ? height(neuron) : layer.length === 1 ? 92 : Math.min(40, tall / layer.length - 3));
    const total = heights.reduce((a, b) => a + b, 0), gap = layer.length > 1 ? Math.min(16, (tall - total) / (layer.length - 1)) : 0;
    let y = (tall - total - gap * (layer.length - 1)) / 2;
    layer.forEach((neuron, j) => {
      scene.boxes.push({ key: `n${l}.${j}`, layer: l, j, neuron, place: P.base + neuron.out, title: neuronName(l, j), x: round(x), y: round(y), w, h: round(heights[j]),
        tile: !ported && layer.length > 1, picture: picture && (!last || scene.image) });
      y += heights[j] + gap;
    });
  });
  scene.boxes.push({ key: "loss", place: P.loss, title: DATA.lossText, x: 770, y: tall / 2 - 104, w: 150, h: 84, role: "loss" });
  if (S.rows.length > 1 || DATA.rows.length > 1) scene.boxes.push({ key: "mean", place: null, title: "loss = mean of ℓ", x: 770, y: tall / 2 + 24, w: 150, h: 84, role: "loss" });
  function height(neuron) { return Math.max(last1(neuron) ? 150 : 56, (neuron.weights.length + 1) * 26 + 14); }
  function last1(neuron) { return layers.at(-1).length === 1 && layers.at(-1)[0] === neuron; }
}

// Top to bottom, for a phone: the numbers keep their size, the layers become rows.
function placeDown(scene, layers, n) {
  const { ported } = scene, width = 366;
  let y = 4;
  scene.width = width;
  inputs(scene, n, (k) => scene.image ? { x: width / 2 - 78, y: 4, w: 156, h: 190 } : { x: 8 + k * Math.min(120, 350 / n) + Math.max(0, (350 - n * 120) / 2), y: 4, w: Math.min(96, 350 / n - 6), h: 52 });
  y += (scene.image ? 190 : 52) + (ported ? 40 : 46);
  layers.forEach((layer, l) => {
    const last = l === layers.length - 1, picture = scene.thumbs = DATA.view !== "none";
    if (ported) {
      const across = layer.length > 3 ? 2 : layer.length, w = Math.min(160, (width - 8) / across - 8);
      layer.forEach((neuron, j) => {
        const row = Math.floor(j / across), h = 22 * (neuron.weights.length + 1) + 72;
        scene.boxes.push({ key: `n${l}.${j}`, layer: l, j, neuron, place: P.base + neuron.out, title: neuronName(l, j), stacked: true,
          x: round(width / 2 + (j % across - (Math.min(across, layer.length - row * across) - 1) / 2) * (w + 8) - w / 2), y: y + row * (h + 26), w: round(w), h, picture: picture && !last && w > 80 });
      });
      y += Math.ceil(layer.length / across) * (22 * (layer[0].weights.length + 1) + 72 + 26) + 14;
    } else {
      const across = Math.min(layer.length, scene.image && !last ? 4 : layer.length > 10 ? 6 : 5), w = Math.min(96, (width - 4) / across - 5), h = layer.length === 1 ? 64 : picture && (!last || scene.image) ? Math.min(w, 62) + 32 : 46;
      layer.forEach((neuron, j) => {
        const row = Math.floor(j / across);
        scene.boxes.push({ key: `n${l}.${j}`, layer: l, j, neuron, place: P.base + neuron.out, title: neuronName(l, j), small: true,
          x: round(width / 2 + (j % across - (across - 1) / 2) * (w + 5) - w / 2), y: round(y + row * (h + 6)), w: round(w), h: round(h), tile: layer.length > 1, below: true, picture: picture && (!last || scene.image) && layer.length > 1 });
      });
      y += Math.ceil(layer.length / across) * (h + 6) + 40;
    }
  });
  scene.boxes.push({ key: "loss", place: P.loss, title: DATA.lossText, x: S.rows.length > 1 ? 30 : 117, y, w: 140, h: 78, role: "loss" });
  if (S.rows.length > 1) scene.boxes.push({ key: "mean", place: null, title: "loss = mean of ℓ", x: 196, y, w: 140, h: 78, role: "loss" });
  scene.height = y + 84;
}

function inputs(scene, n, where) {
  const base = P.inputs;
  if (scene.image) scene.boxes.push({ key: "image", place: null, title: "", role: "input", image: true, ...where(0) });
  else for (let k = 0; k < n; k++) scene.boxes.push({ key: `x${k}`, place: base + k, input: k, title: DATA.inputNames[k], role: "input", ...where(k) });
}

function connect(scene, layers, n) {
  const box = new Map(scene.boxes.map((b) => [b.place, b])), { narrow, ported } = scene;
  scene.boxes.filter((b) => b.neuron).forEach((b) => {
    const all = [...b.neuron.weights, b.neuron.bias], count = all.length;
    if (scene.image && b.layer === 0) {                    // one wire for a whole picture
      const from = scene.boxes[0];
      scene.wires.push({ d: path(from, b, narrow, (b.j + 0.5) / layers[0].length), bundle: b.neuron.weights, to: b.place, from: null, target: b, source: from });
    }
    all.forEach((p, i) => {
      const bias = i === count - 1, source = bias ? null : box.get(b.neuron.sources[i]);
      if (!bias && !source) return;
      if (ported && !narrow) {
        const port = round(b.y + b.h / 2 + (i - (count - 1) / 2) * Math.min(30, (b.h - 14) / count)), end = b.x, begin = end - 92;
        const from = source && exit(source, b);
        const d = bias ? `M${begin} ${port}H${end}` : `M${from.x} ${from.y}C${from.x + 70} ${from.y} ${begin - 60} ${port} ${begin} ${port}H${end}`;
        scene.wires.push({ d, p, to: b.place, from: source?.place ?? null, bias });
        scene.knobs.push({ p, x: end - 84, y: port - 11, w: 76, bias });
      } else if (ported) {                                 // the labels are a list inside of the neuron
        const port = b.y + 66 + 22 * i;
        if (source) scene.wires.push({ d: path(source, b, true, (i + 0.5) / count), p, to: b.place, from: source.place });
        scene.knobs.push({ p, x: b.x + 4, y: port - 14, w: b.w - 8, bias, name: bias ? "b" : source.title, inside: true });
      } else if (!bias) scene.wires.push({ d: path(source, b, narrow, narrow ? 0.5 : (i + 0.5) / count), p, to: b.place, from: source.place });
    });
  });
  const loss = box.get(P.loss), mean = scene.boxes.find((b) => b.key === "mean");
  for (const b of scene.boxes.filter((b) => b.layer === layers.length - 1)) scene.wires.push({ d: path(b, loss, narrow, 0.5), p: null, from: b.place, to: P.loss });
  if (mean) scene.wires.push({ d: narrow ? `M${loss.x + loss.w} ${loss.y + loss.h / 2}H${mean.x}` : `M${loss.x + loss.w / 2} ${loss.y + loss.h}V${mean.y}`, p: null, from: P.loss, to: "mean" });
}
function exit(from) { return { x: from.x + from.w, y: round(from.y + from.h / 2) }; }
function path(from, to, narrow, part) {
  if (narrow) {
    const x = round(from.x + from.w / 2), y = from.y + from.h, x1 = round(to.x + to.w * (0.2 + 0.6 * part)), bend = Math.min(40, (to.y - y) / 2);
    return `M${x} ${y}C${x} ${y + bend} ${x1} ${to.y - bend} ${x1} ${to.y}`;
  }
  const { x, y } = exit(from), y1 = round(to.y + to.h * (0.15 + 0.7 * part)), bend = round((to.x - x) * 0.45);
  return `M${x} ${y}C${x + bend} ${y} ${to.x - bend} ${y1} ${to.x} ${y1}`;
}

// The operations of one step: forward by neuron (by layer where there are many), backward the other way, then the move.
function listOperations(scene, layers, n) {
  const single = layers.reduce((total, layer) => total + layer.length, 0) <= 8, groups = [];
  layers.forEach((layer, l) => {
    const places = layer.map((neuron) => P.base + neuron.out);
    if (single) layer.forEach((neuron, j) => groups.push({ places: [places[j]], layer: l, j, name: neuronName(l, j) }));
    else groups.push({ places, layer: l, j: null, name: l === layers.length - 1 ? "out" : layers.length === 2 ? "h" : `h${sup(l + 1)}` });
  });
  const mean = scene.boxes.some((b) => b.key === "mean");
  scene.ops = [
    { phase: "forward", kind: "input", name: "x", places: scene.boxes.filter((b) => b.role === "input").map((b) => b.place) },
    ...groups.map((g) => ({ phase: "forward", kind: "neuron", ...g })),
    { phase: "forward", kind: "loss", name: "ℓ", places: [P.loss] },
    ...(mean ? [{ phase: "forward", kind: "mean", name: "mean", places: ["mean"] }] : []),
    { phase: "backward", kind: "loss", name: "ℓ", places: [P.loss] },
    ...groups.toReversed().map((g) => ({ phase: "backward", kind: "neuron", ...g })),
    ...(mean ? [{ phase: "backward", kind: "mean", name: "mean", places: ["mean"] }] : []),
    { phase: "move", kind: "move", name: "move", places: [] },
  ];
}

// A recorded loss, laid out in Python.
function graphScene(narrow) {
  const { graph } = DATA, places = graph.boxes.map((b) => b.place);
  const at = narrow ? graph.down : graph.across, least = narrow ? 360 : 880, scene = { width: Math.max(least, at.width), left: Math.min(0, (at.width - least) / 2), height: at.height, knobs: [], ops: [], graph: true };
  scene.boxes = graph.boxes.map((b, k) => ({ ...b, x: at.spots[k][0], y: at.spots[k][1] }));
  scene.wires = graph.wires.map((w, k) => ({ ...w, d: at.paths[k], p: null }));
  const lines = graph.boxes.filter((b) => b.place >= P.base).map((b) => b.place).sort((a, b) => a - b);
  const backward = DATA.programs[0].spec.backward.map((n) => P.base + n).filter((place) => places.includes(place));
  const title = new Map(graph.boxes.map((b) => [b.place, b.short]));
  const sign = (place) => { const s = DATA.programs[0].symbols[place - P.base]; return { "*": "×", "-": "−", "**": "^", "w·x+b": "Σ" }[s] ?? s; };
  scene.ops = [
    { phase: "forward", kind: "leaves", name: DATA.kind === "graph" ? "start" : "x", places: graph.boxes.filter((b) => b.place < P.base).map((b) => b.place) },
    ...lines.map((place) => ({ phase: "forward", kind: "line", name: title.get(place), short: title.get(place).length <= 4 ? title.get(place) : sign(place), places: [place] })),
    ...backward.map((place) => ({ phase: "backward", kind: "line", name: title.get(place), short: title.get(place).length <= 4 ? title.get(place) : sign(place), places: [place] })),
    { phase: "move", kind: "move", name: "move", places: [] },
  ];
  return scene;
}

// When each number is known: the operation that computes it, and the one that knows its derivative.
export function timetable(ops) {
  const forward = new Map(), backward = new Map();
  ops.forEach((op, k) => { for (const place of op.places) (op.phase === "forward" ? forward : backward).set(place, k); });
  return { forward, backward };
}
