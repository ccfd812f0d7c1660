// The state: everything on the page is computed from the data and a list of edits. Time is (step, operation).

import { Program, Training, explain } from "./engine.js";
import { $, clamp } from "./base.js";

export const DATA = JSON.parse($("data").textContent);
export const HAS_ROWS = DATA.kind === "network";
export const AHEAD = DATA.ahead;

// What a worker computes where it takes longer than a frame; the same functions run here where it does not.
export const TASKS = {
  explain: (P, a) => explain(P, a.p, a.g, a.to, a.rows, a.before),
  future(P, a) {
    const T = new Training(P, a.rows, a.p, { rates: a.rates, optimizer: DATA_OPTIMIZER, batch: a.batch, seed: a.seed });
    T.past = []; T.past[a.step] = { p: a.p, states: a.states };
    const last = T.tryTo(a.until);
    for (let k = a.step; k <= last; k++) T.lossAt(k);
    return { losses: T.losses.slice(a.step), step: a.step };
  },
};

export const S = {
  step: 0, op: 0, gran: "op", chosen: 0, focus: 0, playing: 0, speed: 1, loop: false, held: false, variant: 0,
  depth: DATA.kind === "graph" || !DATA.programs[0].layers.length ? "scalars" : "neurons", edits: [], undone: [], ghost: null, future: [], report: null, compare: null, frames: [],
};
export let P = null, T = null;
const listeners = [], readers = [];
export const onChange = (listener) => listeners.push(listener);       // draws the moment
export const onFound = (reader) => readers.push(reader);               // draws what has been found out about it later

export const names = () => DATA.programs[S.variant].short;
export const current = () => T.at(S.step);
export const rateNow = () => T.rateAt(S.step);

// ---------- edits: [kind, step, …]; replayed in order they give the state ----------
const APPLY = {
  w: (step, p, value) => { const q = T.at(step).slice(); q[p] = value; T.change(step, q); },
  rate: (step, value) => { T.cut(step); T.rates = [...T.rates.filter(([from]) => from < step), [step, value]]; },
  x: (step, row, column, value) => { S.rows[row] = S.rows[row].slice(); S.rows[row][column] = value; data(step); },
  add: (step, ...row) => { S.rows.push(row); data(step); },
  del: (step, row) => { S.rows.splice(row, 1); S.focus = clamp(S.focus, 0, S.rows.length - 1); data(step); },
  all: (step, ...numbers) => { T.change(step, numbers); },
};
function data(step) { T.rows = S.rows; T.orders = []; T.cut(step); T.losses = []; }
export function rebuild() {
  const program = DATA.programs[S.variant];
  P = new Program(program.spec, KERNELS);
  S.rows = DATA.rows.map((row) => row.map(Number));
  T = new Training(P, S.rows, program.spec.start, { rates: [[0, DATA.rate]], optimizer: DATA_OPTIMIZER, batch: DATA.batch, seed: DATA.seed });
  for (const edit of S.edits) APPLY[edit[0]](...edit.slice(1));
  S.chosen = clamp(S.chosen, 0, P.count - 1);
  forgetFuture();
}
// A change now. What would have come without it stays as a ghost; edits of the same number in one gesture are one.
export function edit(kind, ...what) {
  if (!S.gesture) keepGhost();
  const key = kind + (kind === "w" || kind === "del" ? what[0] : kind === "x" ? what.slice(0, 2).join() : "");
  const last = S.edits.at(-1);
  if (S.gesture && S.gesture === key && last[1] === S.step) S.edits[S.edits.length - 1] = [kind, S.step, ...what];
  else S.edits.push([kind, S.step, ...what]);
  if (S.held) S.gesture = key;
  S.undone = [];
  APPLY[kind](S.step, ...what);
  forgetFuture(); changed();
}
export function undo() { if (S.edits.length) { S.undone.push(S.edits.pop()); keepGhost(); rebuild(); changed(); } }
export function redo() { if (S.undone.length) { S.edits.push(S.undone.pop()); keepGhost(); rebuild(); changed(); } }
export function reset() { S.edits = []; S.undone = []; S.ghost = null; S.step = 0; S.op = 0; rebuild(); changed(); }
export function release() { S.held = false; S.gesture = null; changed(); }
function keepGhost() { S.ghost = losses().slice(); }
function forgetFuture() { S.futureOf = null; S.reportOf = null; S.version = (S.version ?? 0) + 1; }

// The loss at each step: what happened, then what comes.
export function losses() {
  const found = [];
  for (let k = 0; k <= Math.min(S.step, T.last); k++) found.push(T.lossAt(k));
  for (let k = S.step + 1; k <= horizon(); k++) {
    const known = T.losses[k] ?? S.future[k];
    if (known === undefined) break;
    found.push(known);
  }
  return found;
}
export const horizon = () => Math.max(AHEAD, Math.ceil((S.step + AHEAD / 4) / 50) * 50 * (S.step + AHEAD / 4 > AHEAD));

export function goto(step, op = S.op) {
  step = Math.max(0, Math.round(step));
  if (T.last < step) step = Math.max(S.step, T.tryTo(step));
  S.step = Math.min(step, T.last); S.op = op; S.reportOf = null;
  changed();
}

// ---------- one picture of the state for each animation frame ----------
let waiting = false;
export function changed() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; frame(); });
}
function tell() { if (now) { now.report = S.report; for (const reader of readers) reader(now); } }
let now = null;
export function frame() {
  const began = performance.now(), v = now = moment();
  for (const listener of listeners) listener(v);
  for (const reader of readers) reader(v);
  S.frames.push(performance.now() - began);
  if (S.frames.length > 600) S.frames.shift();
}
function moment() {
  const p = current(), rows = T.rowsAt(S.step), g = new Float64Array(P.count);
  const loss = T.losses[S.step] = P.gradientOf(p, rows, g), next = T.moved(S.step, g);
  const row = S.sketch ?? S.rows[S.focus] ?? [];            // what runs through the network: a sample, or your drawing
  P.set(p); P.feed(row); P.clear(); P.forward(); P.backward(1);
  const v = { p, rows, g, loss, to: next.p, row, M: P.M.slice(), D: P.D.slice(), F: P.F.slice() };
  v.shown = isMove(S.op) ? v.to : p;
  request(v);
  v.report = S.report;
  return v;
}
export const isMove = (op) => op === S.ops.length - 1;

// ---------- heavy work: here while it is small, in a worker where it is not ----------
let worker = null;
const busy = {}, waitingFor = {}, resolvers = [];
export function startWorker() {
  if (P.operands.reduce((n, a) => n + a.length, 0) * Math.max(1, DATA.rows.length) < 1000) return;
  const text = [...document.querySelectorAll("script.engine")].map((s) => s.textContent).join("\n");
  const tail = `
const TASKS = { explain: ${TASKS.explain}, ${TASKS.future} };
let programs = [];
onmessage = ({ data: { name, variant, specs, a, stamp } }) => {
  if (specs) { programs = specs.map((spec) => new Program(spec, KERNELS)); return; }
  postMessage({ name, stamp, found: TASKS[name](programs[variant], a) });
};`;
  try {
    worker = new Worker(URL.createObjectURL(new Blob([text, tail], { type: "text/javascript" })));
    worker.postMessage({ specs: DATA.programs.map((program) => program.spec) });
    worker.onerror = () => { worker = null; for (const name in busy) busy[name] = false; changed(); };
    worker.onmessage = ({ data: { name, stamp, found } }) => {
      busy[name] = false;
      receive(name, stamp, found);
      if (waitingFor[name]) { const again = waitingFor[name]; waitingFor[name] = null; ask(name, ...again); }
      if (!waiting) requestAnimationFrame(tell);
    };
  } catch { worker = null; }
}
function ask(name, stamp, a) {
  if (!worker) { receive(name, stamp, TASKS[name](P, a)); return; }
  if (busy[name]) { waitingFor[name] = [stamp, a]; return; }
  busy[name] = true;
  worker.postMessage({ name, variant: S.variant, a, stamp });
}
function receive(name, stamp, found) {
  if (name === "explain") { S.report = found; S.report.stamp = stamp; }
  else {
    S.future = []; found.losses.forEach((l, k) => { S.future[found.step + k] = l; });
    if (stamp === S.futureOf) S.futureDone = stamp;
  }
  if (settled()) while (resolvers.length) resolvers.pop()();
}
function request(v) {
  const of = `${S.version} ${S.step}`;
  if (S.reportOf !== of) {
    S.reportOf = of;
    ask("explain", of, { p: v.p, g: v.g, to: v.to, rows: v.rows, before: v.loss });
  }
  const until = horizon(), future = `${S.version} ${until}`;
  if (S.futureOf !== future) {
    S.futureOf = future;
    const { p, states } = T.past[S.step];
    ask("future", future, { p, states, rates: T.rates, rows: S.rows, batch: T.batch, seed: T.seed, step: S.step, until });
  }
}
const settled = () => S.report?.stamp === S.reportOf && S.futureDone === S.futureOf;
// Resolves when nothing is being computed any more.
export const quiet = () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => settled() ? resolve() : resolvers.push(resolve))));
