// The engine of the page: a program of scalar operations, run forward and backward on one memory of 64-bit floats.
// Its kernels are traced from the library's table, so nothing is differentiated by hand here.

export class Program {
  // Memory: parameters, inputs, constants, then one number for each line. `spec.lines` are [kernel, operand, operand, …].
  constructor(spec, kernels) {
    this.spec = spec;
    this.count = spec.start.length;                        // of parameters
    this.inputs = this.count;                              // where the inputs begin
    this.base = this.count + spec.inputs + spec.constants.length;
    this.size = this.base + spec.lines.length;
    this.M = new Float64Array(this.size);
    this.D = new Float64Array(this.size);
    this.F = new Uint8Array(this.size);
    this.M.set(spec.start);
    this.M.set(spec.constants, this.count + spec.inputs);
    this.operands = spec.lines.map((line) => Int32Array.from(line.slice(1)));
    this.values = spec.lines.map((line) => kernels[line[0]].f);
    this.rules = spec.lines.map((line) => kernels[line[0]].b);
    this.switching = spec.lines.flatMap((line, n) => kernels[line[0]].s ? [[kernels[line[0]].s, this.operands[n], n]] : []);
    this.loss = spec.outputs[0];
    this.outputs = spec.outputs.slice(1);
    this.all = Int32Array.from(spec.lines.keys());
    this.order = Int32Array.from(spec.backward);
    this.groups = this.findGroups();
  }

  // Parameters with the same dependents, each group with the lines that have to run when one of them changes.
  findGroups() {
    const users = Array.from({ length: this.size }, () => []);
    this.operands.forEach((a, n) => { for (const x of new Set(a)) users[x].push(n); });
    const groups = new Map();
    for (let p = 0; p < this.count; p++) {
      const reached = new Set(users[p]), key = users[p].join();
      if (groups.has(key)) { groups.get(key).parameters.push(p); continue; }
      for (const n of reached) for (const m of users[this.base + n]) reached.add(m);
      groups.set(key, { parameters: [p], lines: Int32Array.from([...reached].sort((a, b) => a - b)) });
    }
    return [...groups.values()];
  }

  group(p) { return this.groups.find((g) => g.parameters.includes(p)); }
  set(parameters) { this.M.set(parameters); }
  feed(row) { this.M.set(row, this.inputs); }

  run(lines = this.all) {
    const { M, values, operands, base } = this;
    for (let k = 0; k < lines.length; k++) { const n = lines[k]; M[base + n] = values[n](M, operands[n]); }
    return M[this.loss];
  }
  forward() {
    const { M, values, operands, base } = this;
    for (let n = 0; n < values.length; n++) M[base + n] = values[n](M, operands[n]);
    return M[this.loss];
  }
  // Adds seed · ∂loss/∂x to D; the derivatives of parameters add up over calls, until `clear`.
  backward(seed) {
    const { M, D, F, rules, operands, base, order } = this;
    D.fill(0, this.count); F.fill(0, this.count);
    D[this.loss] += seed; F[this.loss] = 1;
    for (let k = 0; k < order.length; k++) { const n = order[k]; if (F[base + n]) rules[n](D[base + n], M[base + n], M, operands[n], D, F); }
  }
  clear() { this.D.fill(0); this.F.fill(0); }
  switches() {
    const found = [];
    for (const [s, a] of this.switching) for (const x of s(this.M, a)) found.push(x);
    return found;
  }

  // The mean loss of rows, added up from the first to the last.
  lossOf(parameters, rows) {
    this.set(parameters);
    let total = 0;
    for (let k = 0; k < rows.length; k++) { this.feed(rows[k]); const l = this.forward(); total = k ? total + l : l; }
    return total / rows.length;
  }
  // The mean loss and, in g, its gradient: added up in the order of the library's backward pass.
  gradientOf(parameters, rows, g) {
    this.set(parameters); this.clear();
    const losses = new Float64Array(rows.length), seed = 1 / rows.length;
    for (let k = 0; k < rows.length; k++) { this.feed(rows[k]); losses[k] = this.forward(); this.backward(seed); }
    g.set(this.D.subarray(0, this.count));
    let total = losses[0];
    for (let k = 1; k < losses.length; k++) total += losses[k];
    return total / rows.length;
  }
  // The mean loss at several numbers of one parameter; only what depends on it is computed again.
  slice(parameters, rows, p, numbers) {
    const { lines } = this.group(p), found = new Float64Array(numbers.length);
    this.set(parameters);
    for (const row of rows) {
      this.feed(row); this.M[p] = parameters[p]; this.forward();
      for (let k = 0; k < numbers.length; k++) { this.M[p] = numbers[k]; found[k] += lines.length ? this.run(lines) : this.M[this.loss]; }
    }
    return found.map((total) => total / rows.length);
  }
  // The mean loss when each parameter alone is where `to` has it.
  alone(parameters, to, rows, wanted = null) {
    const { M, base } = this, found = new Float64Array(this.count), kept = new Float64Array(this.values.length);
    this.set(parameters);
    for (const row of rows) {
      this.feed(row);
      const here = this.forward();
      for (const { parameters: members, lines } of this.groups) {
        for (let k = 0; k < lines.length; k++) kept[k] = M[base + lines[k]];
        for (const p of members) {
          if (wanted && !wanted.has(p)) continue;
          if (to[p] === parameters[p]) { found[p] += here; continue; }
          M[p] = to[p]; found[p] += lines.length ? this.run(lines) : here; M[p] = parameters[p];
        }
        for (let k = 0; k < lines.length; k++) M[base + lines[k]] = kept[k];
      }
    }
    return found.map((total) => total / rows.length);
  }
}

const rules = new Map();
// Nodes and weights on 0…1, by Newton's method for the roots of the Legendre polynomial.
export function gaussLegendre(count) {
  if (rules.has(count)) return rules.get(count);
  const rule = [];
  for (let i = 0; i < count; i++) {
    let t = Math.cos(Math.PI * (i + 0.75) / (count + 0.5)), slope = 1;
    for (let round = 0; round < 50; round++) {
      let a = 1, b = 0;
      for (let m = 0; m < count; m++) [a, b] = [((2 * m + 1) * t * a - m * b) / (m + 1), a];
      slope = count * (t * a - b) / (t * t - 1);
      const dt = a / slope; t -= dt;
      if (Math.abs(dt) < 1e-16) break;
    }
    rule.push([(1 + t) / 2, 1 / ((1 - t * t) * slope * slope)]);
  }
  rules.set(count, rule);
  return rule;
}

const SHORTEST = 1e-12, MOST_NODES = 64;                   // as in the library's explain_step
const cross = (x, y) => x < 0 && y > 0 || y < 0 && x > 0;

// The loss of one row on the straight way from one set of parameters to another; t runs from 0 to 1.
class Line {
  constructor(program, from, delta, row) { Object.assign(this, { program, from, delta }); program.feed(row); this.evaluations = 0; }
  place(t) { const { M, count } = this.program, { from, delta } = this; for (let p = 0; p < count; p++) M[p] = from[p] + t * delta[p]; }
  look(t) { this.place(t); const loss = this.program.forward(); return { t, loss, switches: this.program.switches() }; }
  // The parts between two looks, cut where a switch changes its sign.
  pieces(left, right) {
    const done = [], todo = [[left, right]];
    while (todo.length) {
      const [a, b] = todo.pop(), changed = a.switches.findIndex((s, i) => cross(s, b.switches[i]));
      if (changed < 0 || b.t - a.t < SHORTEST) done.push([a, b]);
      else { const cut = this.root(changed, a, b); todo.push([cut, b], [a, cut]); }
    }
    return done;
  }
  root(i, a, b) {                                          // regula falsi, Illinois variant
    let low = a.t, high = b.t, atLow = a.switches[i], atHigh = b.switches[i], guess = low, kept = "";
    for (;;) {
      const last = guess;
      guess = low - atLow * ((high - low) / (atHigh - atLow));
      if (!(low < guess && guess < high)) guess = (low + high) / 2;
      const look = this.look(guess), found = look.switches[i];
      if (Math.abs(guess - last) < SHORTEST / 8 || high - low < SHORTEST / 8 || !cross(atLow, atHigh)) look.switches[i] = 0;
      if (look.switches[i] === 0) return look;
      if (cross(found, atHigh)) { low = guess; atLow = found; atHigh = kept === "high" ? atHigh / 2 : atHigh; kept = "high"; }
      else { high = guess; atHigh = found; atLow = kept === "low" ? atLow / 2 : atLow; kept = "low"; }
    }
  }
  integral(a, b, nodes, into) {                            // each parameter's ∫ ∂loss/∂p dp on a piece
    const { program, delta } = this, { D, count } = program, width = b.t - a.t, looks = [];
    into.fill(0);
    for (const [position, weight] of gaussLegendre(nodes)) {
      const look = this.look(a.t + width * position);
      program.clear(); program.backward(1); this.evaluations++;
      for (let p = 0; p < count; p++) into[p] += width * weight * D[p] * delta[p];
      looks.push(look);
    }
    return looks;
  }
}
const sum = (xs) => { let total = 0; for (const x of xs) total += x; return total; };

// Which parameter caused how much of the change on the way: the integral of its gradient. Each row has its own cuts.
export function shares(program, from, to, rows, target, budget = 200) {
  const delta = to.map((x, p) => x - from[p]), total = new Float64Array(program.count), cuts = new Set();
  let evaluations = 0, now = new Float64Array(program.count), before = new Float64Array(program.count);
  for (const row of rows) {
    const line = new Line(program, from, delta, row), first = line.look(0), last = line.look(1), todo = line.pieces(first, last).reverse();
    for (const [, right] of todo.slice(1)) cuts.add(right.t);
    while (todo.length) {
      const [low, high] = todo.pop();
      let parts = null;
      for (let nodes = 2, round = 0; ; nodes *= 2, round++) {
        [now, before] = [before, now];
        const looks = line.integral(low, high, nodes, now), error = high.loss - low.loss - sum(now);
        let settled = round > 0;
        for (let p = 0; settled && p < now.length; p++) settled = Math.abs(now[p] - before[p]) <= target;
        if (settled && Math.abs(error) <= target || line.evaluations >= budget || error !== error || high.t - low.t <= SHORTEST) break;
        const inside = switched([low, ...looks, high]);
        if (inside) {                                      // it switches there and back within the piece
          parts = [...line.pieces(low, inside), ...line.pieces(inside, high)];
          for (const [, right] of parts) if (right !== inside && right !== high) cuts.add(right.t);
          break;
        }
        if (nodes === MOST_NODES) { const middle = line.look((low.t + high.t) / 2); parts = [[low, middle], [middle, high]]; break; }
      }
      if (parts) todo.push(...parts.reverse());
      else for (let p = 0; p < now.length; p++) total[p] += now[p];
    }
    evaluations += line.evaluations;
  }
  return { shares: total.map((x) => x / rows.length), cuts: cuts.size, evaluations };
}
function switched(looks) {
  const signs = looks[0].switches.slice();
  for (const look of looks.slice(1)) {
    for (let i = 0; i < signs.length; i++) if (cross(signs[i], look.switches[i])) return look;
    for (let i = 0; i < signs.length; i++) if (look.switches[i] !== 0) signs[i] = look.switches[i];
  }
  return null;
}

// One step explained, parameter by parameter: predicted (gradient · step), alone, and its share of what happens.
export function explain(program, parameters, g, to, rows, before, tolerance = 1e-9) {
  const after = program.lossOf(to, rows), predicted = parameters.map((x, p) => g[p] * (to[p] - x));
  const alone = program.alone(parameters, to, rows).map((loss) => loss - before);
  const predictedSum = sum(predicted), change = after - before;
  const target = Math.max(tolerance * Math.max(Math.abs(change), Math.abs(predictedSum)), 1e-14 * (Math.abs(before) + Math.abs(after)));
  const found = Number.isFinite(after) ? shares(program, parameters, to, rows, target) : { shares: new Float64Array(program.count).fill(NaN), cuts: 0, evaluations: 0 };
  return { before, after, change, predicted, alone, share: found.shares, cuts: found.cuts, evaluations: found.evaluations,
    predictedSum, aloneSum: sum(alone), shareSum: sum(found.shares), residual: change - sum(found.shares) };
}

// Python's random numbers (the Mersenne Twister), so that samples are shuffled as in `fit`.
export class Random {
  constructor(state) { this.state = Uint32Array.from(state.slice(0, 624)); this.index = state[624]; }
  next() {
    const mt = this.state;
    if (this.index >= 624) {
      for (let k = 0; k < 624; k++) {
        const y = mt[k] & 0x80000000 | mt[(k + 1) % 624] & 0x7fffffff;
        mt[k] = mt[(k + 397) % 624] ^ y >>> 1 ^ (y & 1 ? 0x9908b0df : 0);
      }
      this.index = 0;
    }
    let y = mt[this.index++];
    y ^= y >>> 11; y ^= y << 7 & 0x9d2c5680; y ^= y << 15 & 0xefc60000; y ^= y >>> 18;
    return y >>> 0;
  }
  // The numbers from 0 to count - 1, sorted by a random key of 64 bits for each: its low half is drawn first.
  order(count) {
    const low = new Uint32Array(count), high = new Uint32Array(count);
    for (let k = 0; k < count; k++) { low[k] = this.next(); high[k] = this.next(); }
    return [...low.keys()].sort((a, b) => high[a] - high[b] || low[a] - low[b]);
  }
}

// A training: every step's parameters from the first on, computed when they are asked for and kept.
export class Training {
  // optimizer: { step: (p, g, state, rates, moving, to, next) fills to and next by the rule, states: how many numbers it keeps for each parameter,
  //   columns: the rates, each one number or one for every step, scaled: which of them follow the learning rate }.
  // rates: [[from which step on, learning rate], …].
  constructor(program, rows, start, options) {
    Object.assign(this, { program, rows, rates: options.rates, optimizer: options.optimizer, seed: options.seed });
    this.batchSize = options.batch;
    const states = Array.from({ length: this.optimizer.states }, () => new Float64Array(program.count));
    this.past = [{ p: Float64Array.from(start), states }];
    this.losses = [];
    this.orders = []; this.g = new Float64Array(program.count);
  }
  get batch() { return this.batchSize; }
  get size() { return this.batchSize || this.rows.length; }
  get last() { return this.past.length - 1; }
  get perEpoch() { return Math.ceil(this.rows.length / this.size); }
  order(epoch) {
    if (!this.seed) return this.orders[0] ??= [...this.rows.keys()];
    if (!this.orders.length) this.random = new Random(this.seed);
    while (this.orders.length <= epoch) this.orders.push(this.random.order(this.rows.length));
    return this.orders[epoch];
  }
  batchAt(step) {                                          // the numbers of the rows that a step looks at
    const epoch = Math.floor(step / this.perEpoch), at = (step % this.perEpoch) * this.size;
    return this.order(epoch).slice(at, at + this.size);
  }
  rowsAt(step) { return this.batchAt(step).map((k) => this.rows[k]); }
  at(step) { while (this.last < step) this.advance(); return this.past[step].p; }
  // As far as the numbers stay numbers, at most to that step; returns how far.
  tryTo(step) {
    while (this.last < step) {
      if (!this.past[this.last].p.every(Number.isFinite)) break;
      this.advance();
    }
    return this.last;
  }
  lossAt(step) {                                           // of the step's batch, before the step
    if (this.losses[step] === undefined) this.losses[step] = this.program.lossOf(this.at(step), this.rowsAt(step));
    return this.losses[step];
  }
  gradientAt(step, g = new Float64Array(this.program.count)) {
    this.losses[step] = this.program.gradientOf(this.at(step), this.rowsAt(step), g);
    return g;
  }
  rateAt(step) { return this.rates.findLast(([from]) => from <= step)[1]; }
  ratesAt(step) {                                          // what the optimizer's rule reads at a step
    const { columns, scaled, rate } = this.optimizer, factor = this.rateAt(step) / rate;
    return columns.map((c, i) => {
      const x = typeof c === "number" ? c : c[Math.min(step, c.length - 1)];
      return scaled[i] && factor !== 1 ? x * factor : x;
    });
  }
  // Where a step leads from its parameters with a gradient.
  moved(step, g) {
    const { p, states } = this.past[step], q = new Float64Array(p.length), next = states.map(() => new Float64Array(p.length));
    this.optimizer.step(p, g, states, this.ratesAt(step), this.program.spec.moving, q, next);
    return { p: q, states: next };
  }
  advance() { this.past.push(this.moved(this.last, this.gradientAt(this.last, this.g))); }
  // What comes after a step is forgotten: something has changed there.
  cut(step) { this.at(step); this.past.length = Math.min(this.past.length, step + 1); this.losses.length = Math.min(this.losses.length, step); }
  change(step, parameters) { this.cut(step); this.past[step] = { p: Float64Array.from(parameters), states: this.past[step].states }; }
}
