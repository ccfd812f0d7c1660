// Small helpers that every view uses: elements, numbers as text, dragging.

export const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
export function el(tag, attributes = {}, parent = null, text = null) {
  const node = document.createElementNS(SVG, tag);
  set(node, attributes);
  if (text !== null) node.textContent = text;
  if (parent) parent.append(node);
  return node;
}
export function html(tag, attributes = {}, ...children) {   // children are elements, or text that stays text
  const node = document.createElement(tag);
  set(node, attributes);
  node.append(...children);
  return node;
}
// Sets attributes that differ from the last time: most do not change in a frame.
export function set(node, attributes) {
  const last = node.lastAttributes ??= {};
  for (const key in attributes) {
    const value = attributes[key];
    if (last[key] !== value) { last[key] = value; if (value === null) node.removeAttribute(key); else node.setAttribute(key, value); }
  }
}
export function say(node, text) { if (node.lastText !== text) { node.lastText = text; node.textContent = text; } }

const SUBSCRIPTS = "₀₁₂₃₄₅₆₇₈₉", SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";
export const sub = (n) => String(n).replace(/\d/g, (d) => SUBSCRIPTS[d]);
export const sup = (n) => String(n).replace(/\d/g, (d) => SUPERSCRIPTS[d]);

// Three digits that count, a real minus, no exponents where a reader need not meet one.
export function fmt(v, digits = 3) {
  if (!Number.isFinite(v)) return Number.isNaN(v) ? "nan" : v > 0 ? "∞" : "−∞";
  const a = Math.abs(v);
  const text = Number.isInteger(a) && a < 1000 ? String(a) : a >= 10000 || a < 0.00005 ? power(a) : a >= 100 ? a.toFixed(0)
    : a >= 10 ? a.toFixed(1) : a < 0.0005 ? a.toFixed(5) : a < 0.005 ? a.toFixed(4) : a.toFixed(a >= 1 || digits < 3 ? 2 : 3);
  return (v < 0 ? "−" : "") + text;
}
function power(a) {
  const [digits, exponent] = a.toExponential(0).split("e");
  return `${digits === "1" ? "" : digits + "·"}10${exponent.startsWith("-") ? "⁻" : ""}${sup(exponent.replace(/[+-]/, ""))}`;
}
// The same in little room: two decimals where that is enough.
export const brief = (v) => Number.isFinite(v) && Math.abs(v) < 100 ? v.toFixed(2).replace("-", "−").replace("−0.00", "0.00") : fmt(v, 2);
// A target as its class is called.
export const called = (labels, y) => labels ? labels[y > 0 ? y : 0] ?? fmt(y) : fmt(y);
export const signed = (v, digits = 3) => (v > 0 ? "+" : "") + fmt(v, digits);
export const paren = (v, digits = 3) => v < 0 ? `(${fmt(v, digits)})` : fmt(v, digits);
export const way = (g) => g > 0 ? "raises" : g < 0 ? "lowers" : "";
export const arrow = (g) => g > 0 ? "▼" : g < 0 ? "▲" : "";
export const clamp = (v, low, high) => Math.max(low, Math.min(high, v));
export const finite = (v, limit = 1e4) => Number.isFinite(v) ? clamp(v, -limit, limit) : v > 0 || Number.isNaN(v) ? limit : -limit;
export const round = (v) => Math.round(v * 10) / 10;
// The next larger round number.
export function nice(v) {
  const unit = 10 ** Math.floor(Math.log10(Math.max(v, 1e-300)));
  return Number(([1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((m) => m * unit >= v * 0.999999) * unit).toPrecision(3));
}

// Pointer dragging, for mouse, pen and touch. A press that does not move is a tap.
export function drag(node, { start = () => ({}), move, end = () => {}, tap = null, filter = () => true }) {
  // A finger on it drags and does not scroll; touch-action alone is not heeded inside of an SVG everywhere.
  node.addEventListener("touchstart", (e) => { if (filter(e)) e.preventDefault(); }, { passive: false });
  node.addEventListener("pointerdown", (e) => {
    if (e.button || !filter(e)) return;
    e.preventDefault(); e.stopPropagation();
    node.setPointerCapture(e.pointerId);
    if (node.focus && node.tabIndex >= 0) node.focus({ preventScroll: true });
    const began = { x: e.clientX, y: e.clientY, moved: false, state: start(e) };
    const follow = (event) => {
      if (Math.hypot(event.clientX - began.x, event.clientY - began.y) > 3) began.moved = true;
      if (began.moved || !tap) move(event, began);
    };
    const done = (event) => {
      node.removeEventListener("pointermove", follow);
      if (tap && !began.moved && event.type === "lostpointercapture") tap(event, began);
      end(event, began);
    };
    node.addEventListener("pointermove", follow);
    node.addEventListener("lostpointercapture", done, { once: true });
    if (!tap) move(e, began);
  });
}

// Colours of the style, as numbers for canvases.
const hidden = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
export function rgb(name) { const hex = hidden(name); return [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16)); }
export const tints = {};
export function readTints() {
  for (const name of ["noMap", "midMap", "yesMap", "no", "yes", "raises", "lowers", "card", "panel", "ink", "muted", "core", "line", "paper", "pen"]) tints[name] = rgb(`--${name}`);
}
// Numbers from −1 over 0 to 1 as pixels between three colours.
export function paint(image, values, [low, mid, high], scale = 1) {
  const { data } = image;
  for (let k = 0; k < values.length; k++) {
    const t = clamp(values[k] / scale, -1, 1) || 0, to = t < 0 ? low : high, a = Math.abs(t);
    for (let c = 0; c < 3; c++) data[4 * k + c] = mid[c] + (to[c] - mid[c]) * a;
    data[4 * k + 3] = 255;
  }
  return image;
}
