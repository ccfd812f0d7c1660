// The sentence of the moment, and the formula with its numbers in it.

import { DATA, P, S, T, names, onChange } from "./state.js";
import { $, fmt, html, paren, say, signed } from "./base.js";
import { neuronName } from "./scene.js";

const chip = (value, note, kind = "") => html("span", { class: `chip ${kind}` }, html("b", {}, typeof value === "number" ? fmt(value) : value), html("small", {}, note));
const text = (t) => html("span", {}, t);
const plus = () => text("+"), is = () => text("="), by = () => text("×");
const MOST_TERMS = 4;

// ∂(line)/∂(operand) for each operand, by the row's own rule with 1 coming in.
function local(v, n) {
  const a = P.operands[n], M = Float64Array.from(a, (x) => v.M[x]), D = new Float64Array(a.length), F = new Uint8Array(a.length);
  P.rules[n](1, v.M[P.base + n], M, Int32Array.from(a.keys()), D, F);
  return D;
}

function neuronOf(v, op) {
  const layer = DATA.programs[S.variant].layers[op.layer];
  const own = layer.findIndex((neuron) => [...neuron.weights, neuron.bias].includes(S.chosen)), slope = (neuron) => Math.abs(v.D[P.base + neuron.out]);
  const j = op.j ?? (own >= 0 ? own : [...layer.keys()].reduce((a, b) => slope(layer[b]) > slope(layer[a]) ? b : a));
  const name = neuronName(op.layer, j);
  return { neuron: layer[j], name: DATA.classes && op.layer === DATA.programs[S.variant].layers.length - 1 ? `output ${name}` : name, j, many: op.j === null && layer.length > 1 };
}
const sourceName = (op, k) => op.layer === 0 ? (DATA.inputNames[k] ?? `pixel ${k + 1}`) : neuronName(op.layer - 1, k);
const bends = (neuron) => neuron.out !== neuron.sum;
const symbol = (n) => DATA.programs[S.variant].symbols[n];

function terms(v, op, neuron) {
  // The largest terms first where there are many; a sum reads from its weights on.
  const all = neuron.weights.map((w, k) => ({ k, w: v.p[w], x: v.M[neuron.sources[k]] }));
  const shown = all.length <= MOST_TERMS ? all : all.toSorted((a, b) => Math.abs(b.w * b.x) - Math.abs(a.w * a.x)).slice(0, MOST_TERMS);
  const found = [];
  shown.forEach(({ k, w, x }, i) => { if (i) found.push(plus()); found.push(chip(`${fmt(w, 2)} · ${paren(x, 2)}`, `w·${sourceName(op, k)} = ${fmt(w * x, 2)}`)); });
  if (shown.length < all.length) {
    const rest = all.filter((t) => !shown.includes(t)).reduce((sum, { w, x }) => sum + w * x, 0);
    found.push(plus(), chip(rest, `${all.length - shown.length} others`));
  }
  found.push(plus(), chip(v.p[neuron.bias], "bias"));
  return found;
}

const STORY = {
  input: (v) => [`Forward. ${cap(DATA.word)} ${S.focus + 1} of ${S.rows.length} comes in.`,
    DATA.inputs <= 6 ? [...DATA.inputNames.map((name, k) => chip(v.row[k], name)), text("should give"), chip(v.row.at(-1), "y, the target", "res")]
      : [text(`${DATA.inputs} numbers, 0 for white and 1 for black; it should be read as`), chip(v.row.at(-1), "the target", "res")]],
  neuron(v, op) {
    const { neuron, name, many } = neuronOf(v, op), sum = v.M[P.base + neuron.sum], out = v.M[P.base + neuron.out], f = symbol(neuron.out);
    const who = many ? `Each neuron of this layer multiplies its inputs by its weights and adds its bias. For ${name}:` : `${name} multiplies each input by its weight and adds its bias${bends(neuron) ? `; ${f} bends the sum` : ""}.`;
    return [`Forward. ${who}`, [...(bends(neuron) ? [text(`${f}(`)] : []), ...terms(v, op, neuron), ...(bends(neuron) ? [text(`) = ${f}(`), chip(sum, "the sum"), text(")")] : []), is(), chip(out, out === 0 && f === "ReLU" ? `${name}: silent` : name, "res")]];
  },
  loss: (v) => [`Forward. How wrong is it? The loss ℓ of this ${DATA.word}.`, [text(`${DATA.lossText} with`), ...outputs(v), text("and"), chip(v.row.at(-1), "y"), is(), chip(v.M[P.loss], `ℓ, this ${DATA.word}`, "res")]],
  mean: (v) => { const n = v.rows.length, l = v.M[P.loss]; return [`Forward. The loss is the mean over all ${n}: the one number that training lowers.`, [text("("), chip(l, `ℓ, this ${DATA.word}`), plus(), chip(v.loss * n - l, `ℓ of ${n - 1} others`), text(`) / ${n} =`), chip(v.loss, "loss", "res")]]; },
  leaves: (v) => ["Forward. The numbers that everything starts from. Drag any of them sideways.", [...P.spec.start.keys()].slice(0, 7).map((p) => chip(v.p[p], names()[p])).concat([...v.row.keys()].map((k) => chip(v.row[k], title(P.inputs + k))))],
  line(v, op) {
    const place = op.places[0], box = DATA.graph.boxes.find((b) => b.place === place);
    return [`Forward. ${box.says}`, [...filled(v, place, box), is(), chip(v.M[place], box.short, "res")]];
  },
  move(v) {
    const p = S.chosen, plain = DATA.optimizer.plain;
    return [`The step: ${names()[p]} moves against its gradient, as all parameters do at once; the other numbers are old now.`,
      plain ? [chip(v.p[p], "old"), text("−"), chip(T.rateAt(S.step), "learning rate"), by(), chip(v.g[p], "gradient", "up"), is(), chip(v.to[p], "new", "res")]
        : [chip(v.p[p], "old"), plus(), chip(v.to[p] - v.p[p], `${DATA.optimizer.name}'s move`), is(), chip(v.to[p], "new", "res")]];
  },
};
const BACK = {
  loss(v) {
    const outs = P.outputs.slice(0, MOST_TERMS).map((place, k) => [chip(v.D[place], `∂ℓ/∂${P.outputs.length > 1 ? neuronName(DATA.programs[S.variant].layers.length - 1, k) : "out"}`, "res")]).flat();
    return [`Backward. If the output rose a little, how fast would ℓ rise? That slope starts the way back.`, [text(DATA.lossText.includes("=") ? `the slope of ${DATA.lossText} is` : "the slopes of ℓ are"), ...outs, ...(P.outputs.length > MOST_TERMS ? [text("…")] : [])]];
  },
  neuron(v, op) {
    const { neuron, name, many } = neuronOf(v, op), out = P.base + neuron.out, up = v.D[out], d = v.D[P.base + neuron.sum], slope = bends(neuron) ? local(v, neuron.out)[0] : 1;
    const largest = [...neuron.weights.keys()].reduce((a, b) => Math.abs(v.D[neuron.weights[b]]) > Math.abs(v.D[neuron.weights[a]]) ? b : a);
    const k = neuron.weights.includes(S.chosen) ? neuron.weights.indexOf(S.chosen) : largest, x = v.M[neuron.sources[k]], f = symbol(neuron.out);
    const start = `Backward. The slope that arrives at ${name}${bends(neuron) ? ` is multiplied by the slope of ${f}, then` : " is multiplied"} by each weight's input.`;
    return [start, [chip(up, "from behind", "up"), ...(bends(neuron) ? [by(), chip(slope, `slope of ${f}`), is(), chip(d, "at the sum", "res"), text("then")] : []), by(), chip(x, sourceName(op, k)), is(), chip(v.D[neuron.weights[k]], `∂ℓ/∂w, ${names()[neuron.weights[k]]}`, "res"), text("and for the bias × 1 ="), chip(v.D[neuron.bias], "∂ℓ/∂b", "res")]];
  },
  mean(v) {
    const p = S.chosen, n = v.rows.length, g = v.g[p];
    return [`Backward. The gradient of a weight is the mean over all ${n}. For ${names()[p]}:`, [text("("), chip(v.D[p], `this ${DATA.word}'s`), plus(), chip(g * n - v.D[p], `of ${n - 1} others`), text(`) / ${n} =`), chip(g, "gradient", "res"), text(g ? `raising it would ${g > 0 ? "raise" : "lower"} the loss, so it goes ${g > 0 ? "down ▼" : "up ▲"}` : "no effect just now")]];
  },
  line(v, op) {
    const place = op.places[0], n = place - P.base, box = DATA.graph.boxes.find((b) => b.place === place), slopes = local(v, n), up = v.D[place];
    const seen = new Set(), shown = [...P.operands[n]].map((x, i) => ({ x, i })).filter(({ x }) => P_active(x) && !seen.has(x) && seen.add(x)).slice(0, 3);
    const parts = shown.flatMap(({ x, i }, k) => {
      const l = [...P.operands[n]].reduce((sum, other, j) => sum + (other === x ? slopes[j] : 0), 0);
      return [...(k ? [text("and")] : []), text(`∂${DATA.kind === "graph" ? "loss" : "ℓ"}/∂${/[ ·/→]/.test(title(x)) ? `(${title(x)})` : title(x)} =`), chip(up, "comes in", "up"), by(), chip(l, "local slope"), is(), chip(up * l, `to ${title(x)}`, "res")];
    });
    const start = place === P.loss ? `Backward. It starts at the loss with 1. That is multiplied by how fast ${box.short} changes with what it is made of.` : `Backward. What comes in at ${box.short} is multiplied by how fast ${box.short} changes with each of its operands.`;
    return [start, parts.length ? parts : [text("nothing flows on from here")]];
  },
};
const P_active = (place) => DATA.graph.boxes.some((b) => b.place === place);
const title = (place) => DATA.graph.boxes.find((b) => b.place === place)?.short ?? fmt(P.M[place]);
function filled(v, place, box) {                           // the row's formula with the operands' numbers in it
  const operands = P.operands[place - P.base];
  return box.template.map((part, k) => {
    if (typeof part === "string") return text(part);
    const x = operands[part[0]];
    const bracket = v.M[x] < 0 && (k > 0 || /^[⁰¹²³⁴-⁹^]/.test(box.template[k + 1] ?? ""));
    return chip(bracket ? `(${fmt(v.M[x])})` : fmt(v.M[x]), P_active(x) ? title(x) : "");
  });
}
function outputs(v) { return P.outputs.length > MOST_TERMS ? [text(`${P.outputs.length} outputs`)] : P.outputs.map((place, k) => chip(v.M[place], P.outputs.length > 1 ? neuronName(DATA.programs[S.variant].layers.length - 1, k) : "out")); }
const cap = (t) => t.charAt(0).toUpperCase() + t.slice(1);

export function story(v) {
  const op = S.ops[S.op];
  return (op.phase === "backward" ? BACK[op.kind] : STORY[op.kind])(v, op);
}
onChange((v) => {
  const [sentence, formula] = story(v);
  say($("say"), sentence);
  $("formula").replaceChildren(...formula);
});
