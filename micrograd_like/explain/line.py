"""The loss along a straight line through the parameters: where it bends, and how each parameter shares in its change.

The share of a parameter in a step is the integral of its gradient along the step, ∫ ∂L/∂p dp: the shares of all
parameters add up to the change of the loss (the fundamental theorem of calculus; "LCA: Loss Change Allocation for Neural
Network Training", arXiv 1909.01440, and the path integrals of Aumann and Shapley).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Any

from micrograd_like import ieee
from micrograd_like.explain.exact import FINEST, NotPolynomialError, Polynomial, roots
from micrograd_like.explain.replay import Backward, Replay, operation, run
from micrograd_like.ieee import Number
from micrograd_like.jobs import Crew

_SHORTEST = 1e-12  # a piece of the line shorter than this is not cut further
_TOGETHER = 64  # panels whose rates are in memory at a time
_MOST_NODES = 64  # Gauss–Legendre nodes on a piece, before it is halved instead


@dataclass(frozen=True)
class Look:
    """A point of the line: its position, the loss there, and the quantities whose signs name the active pieces."""

    t: Number
    loss: Number
    switches: list[Number]


@dataclass(frozen=True)
class Shares:
    """How the change along a line splits over the parameters that moved."""

    by_slot: dict[int, Number]
    cuts: list[Number]  # the positions from 0 to 1 at which the line was cut because a relu, abs, max or min switches
    method: str  # "exact", "Gauss-Legendre" or "composite"
    evaluations: int  # of the gradient
    highest: Number = 0  # the largest |loss| seen on the way; nan or infinite where it was no finite number


class Line:
    """The points start + t · delta, for t from 0 to 1, of a graph that can be evaluated again.

    Args:
        replay: the graph, with its loss as the only root.
        delta: slot of a node → how far it moves.
    """

    def __init__(self, replay: Replay, delta: Mapping[int, Number], backward: Backward | None = None) -> None:
        self.replay = replay
        self.delta = dict(delta)
        self.backward = backward or Backward(replay, list(delta))
        self.base = replay.base
        self._switching: list[tuple[Any, Any]] = []
        for slot, _, fetch in self.backward.forward:
            if (switches := operation(replay, slot).switches) is not None:
                self._switching.append((switches, fetch))

    def on_floats(self) -> Line:
        """The same line, computed with floats."""
        line = Line(self.replay, {slot: ieee.as_float(x) for slot, x in self.delta.items()}, self.backward)
        line.base = list(map(ieee.as_float, self.base))
        return line

    def at(self, t: Number) -> list[Number]:
        """All numbers at a position. Costs the evaluation of what depends on the parameters that move."""
        values = list(self.base)
        for slot, delta in self.delta.items():
            values[slot] += t * delta
        self.evaluate(values)
        return values

    def evaluate(self, values: list[Number]) -> None:
        """Compute in place what depends on the parameters that move."""
        run(values, self.backward.forward)

    def look(self, t: Number, values: list[Number] | None = None) -> Look:
        """The loss and the switches at a position, from all numbers there if they are known."""
        values = self.at(t) if values is None else values
        switches = [s for quantities, fetch in self._switching for s in quantities(*fetch(values))]
        return Look(t, values[self.replay.roots[0]], switches)

    def rates(self, t: Number) -> tuple[Look, dict[int, Number]]:
        """The look at a position, and the rate at which each parameter changes the loss there. Costs a gradient."""
        values = self.at(t)
        adjoints = self.backward(values)
        look = self.look(t, values)
        defined = 1 if math.isfinite(look.loss) else math.nan  # where there is no loss there is no rate either
        return look, {slot: adjoints[slot] * delta * defined for slot, delta in self.delta.items()}

    def kinks(self, points: Sequence[Number]) -> list[Number]:
        """The positions between the first and the last point where something switches, in ascending order.

        Exact for a piecewise polynomial of fractions. Else each gap between neighbouring points is searched for a change
        of sign, so a quantity that switches twice within a gap is missed.
        """
        try:
            return [low for low, _, _ in self.polynomial_pieces(points[0], points[-1])][1:]
        except NotPolynomialError:
            looks = [self.look(t) for t in points]
        found = [cut.t for left, right in pairwise(looks) for _, cut in self.pieces(left, right)[:-1]]
        for left, look, right in zip(looks, looks[1:], looks[2:], strict=False):
            signs = zip(left.switches, look.switches, right.switches, strict=True)
            found += [look.t] if any(s == 0 and _cross(a, b) for a, s, b in signs) else []
        return sorted(found)

    def pieces(self, left: Look, right: Look) -> list[tuple[Look, Look]]:
        """The parts between two looks, cut where a switch has changed its sign."""
        done, todo = [], [(left, right)]
        while todo:
            a, b = todo.pop()
            changed = next((i for i, s in enumerate(a.switches) if _cross(s, b.switches[i])), None)
            if changed is None or b.t - a.t < _SHORTEST:
                done.append((a, b))
            else:  # the first in the order of the graph: nothing that it depends on switches here, so it is smooth
                cut = self._root(changed, a, b)
                todo += [(cut, b), (a, cut)]
        return done

    def _root(self, i: int, a: Look, b: Look) -> Look:
        """Where a switch is zero, between two looks that see opposite signs of it (regula falsi, Illinois variant)."""
        low, high, at_low, at_high = a.t, b.t, a.switches[i], b.switches[i]
        guess, kept = low, ""
        while True:
            last, guess = guess, low - at_low * ((high - low) / (at_high - at_low))
            if not low < guess < high:
                guess = (low + high) / 2
            look = self.look(guess)
            found = look.switches[i]
            if abs(guess - last) < _SHORTEST / 8 or high - low < _SHORTEST / 8 or not _cross(at_low, at_high):
                look.switches[i] = ieee.zero(found)  # without the rounding that is left of it
            if look.switches[i] == 0:
                return look
            if _cross(found, at_high):
                low, at_low, at_high, kept = guess, found, at_high / 2 if kept == "high" else at_high, "high"
            else:
                high, at_high, at_low, kept = guess, found, at_low / 2 if kept == "low" else at_low, "low"

    def polynomial_pieces(self, start: Number, end: Number) -> Iterator[tuple[Number, Number, list[Any]]]:
        """(low, high, all numbers as polynomials on that piece) from start to end, between the switches.

        Raises:
            NotPolynomialError: the graph is not a piecewise polynomial of fractions.
        """
        if not all(type(x) in (Fraction, int) for x in (start, end, *self.delta.values(), *self.base)):
            raise NotPolynomialError("a number that is no fraction")
        todo = [(Fraction(start), Fraction(end))]
        while todo:
            low, high = todo.pop()
            middle, half = (low + high) / 2, (high - low) / 2
            values: list[Any] = list(self.base)
            for slot, delta in self.delta.items():
                values[slot] = Polynomial(values[slot] + middle * delta, delta)
            cuts = self._run_until_switch(values, half)
            if cuts:
                todo += reversed(list(pairwise([low, *[middle + cut for cut in cuts], high])))
            else:
                yield low, high, values

    def _run_until_switch(self, values: list[Any], half: Fraction) -> list[Fraction]:
        """Evaluate polynomials in place, up to the first node that switches on the piece; where it does."""
        for step in self.backward.forward:
            if (switches := operation(self.replay, step[0]).switches) is not None:
                for s in switches(*step[2](values)):
                    if isinstance(s, Polynomial) and (
                        cuts := roots(s.coefficients, FINEST * 2 - half, half - FINEST * 2)
                    ):
                        return cuts
            run(values, [step])
        return []


def _cross(x: Number, y: Number) -> bool:
    return bool(x < 0 < y or y < 0 < x)


def shares(
    line: Line,
    start: Number,
    end: Number,
    tolerance: float,
    budget: int,
    n_jobs: int | None = None,
    done: Callable[[int], object] | None = None,
) -> Shares:
    """The integral of each parameter's gradient along the line, from the loss `start` to the loss `end`.

    A piecewise polynomial of fractions is integrated exactly. Else the line is cut where something switches, and on each
    piece the number of Gauss–Legendre nodes is doubled until the integrals add up to the piece's change, and none moves
    any more, within the tolerance times the larger of the change and its prediction. When the switches are too many for
    the budget (a number of gradient evaluations), a composite rule of equal pieces is used instead. `done` is told how many
    more evaluations are finished. Processes (`n_jobs`) share the nodes, where all numbers are floats.
    """
    try:
        return _exact_shares(line)
    except NotPolynomialError:
        if any(isinstance(x, Fraction) for x in line.delta.values()):
            line, start, end = line.on_floats(), ieee.as_float(start), ieee.as_float(end)
    with Crew(line.rates, n_jobs if type(end) is float else 1) as crew:
        quadrature = _Quadrature(line, crew, done)
        predicted = ieee.added(quadrature.at([0 * start])[0][1].values())
        scale = max(abs(end - start), abs(predicted))
        rounding = 1e-14 if type(end) is float else 0.0
        target = max(tolerance * scale, rounding * (abs(start) + abs(end)))
        first, last = line.look(0 * start), line.look(0 * start + 1)
        if sum(map(_cross, first.switches, last.switches)) > budget // 16:
            return quadrature.composite(first, last, budget // 2)
        return quadrature.adaptive(first, last, target, budget)


def _exact_shares(line: Line) -> Shares:
    by_slot = dict.fromkeys(line.delta, Fraction(0))
    cuts: list[Number] = []
    pieces = 0
    for low, high, values in line.polynomial_pieces(0, 1):
        adjoints = line.backward(values)
        for slot, delta in line.delta.items():
            by_slot[slot] += delta * (adjoints[slot] * Polynomial(1)).integral((high - low) / 2)
        cuts += [high]
        pieces += 1
    return Shares(by_slot, cuts[:-1], "exact", pieces)


class _Quadrature:
    """Gauss–Legendre integrals of every parameter's gradient along a line."""

    def __init__(self, line: Line, crew: Crew, done: Callable[[int], object] | None) -> None:
        self.line = line
        self.crew = crew
        self.done = done
        self.evaluations = 0
        self.highest: Number = 0

    def at(self, positions: Sequence[Number]) -> list[tuple[Look, dict[int, Number]]]:
        """The look at each position, and the rate at which each parameter changes the loss there."""
        found = self.crew.map(positions, self.done)
        self.evaluations += len(found)
        for look, _ in found:
            if not abs(look.loss) <= self.highest and self.highest == self.highest:  # once nan, always nan
                self.highest = abs(look.loss)
        return found

    def integrals(self, pieces: Sequence[tuple[Look, Look]], nodes: int) -> list[tuple[dict[int, Number], list[Look]]]:
        """Each parameter's share of every piece, and the looks at the piece's nodes."""
        rule = gauss_legendre(nodes, pieces[0][1].loss)
        halves = [(b.t - a.t) / 2 for a, b in pieces]
        positions = [a.t + half * (1 + x) for (a, _), half in zip(pieces, halves, strict=True) for x, _ in rule]
        seen = iter(self.at(positions))
        shares = []
        for (_, b), half in zip(pieces, halves, strict=True):
            found, looks = dict.fromkeys(self.line.delta, 0 * b.loss), []
            for (_, weight), (look, rates) in zip(rule, seen, strict=False):
                looks.append(look)
                for slot, rate in rates.items():
                    found[slot] += half * weight * rate
            shares.append((found, looks))
        return shares

    def composite(self, a: Look, b: Look, panels: int) -> Shares:
        """Two nodes on each of so many equal panels: errors where something switches, which the residual shows."""
        total = dict.fromkeys(self.line.delta, 0 * b.loss)
        ends = [Look(a.t + (b.t - a.t) * i / panels, b.loss, []) for i in range(panels + 1)]
        pieces = list(pairwise(ends))
        for first in range(0, panels, _TOGETHER):
            for shares, _ in self.integrals(pieces[first : first + _TOGETHER], 2):
                for slot, share in shares.items():
                    total[slot] += share
        return Shares(total, [], "composite", self.evaluations, self.highest)

    def adaptive(self, a: Look, b: Look, target: Number, budget: int) -> Shares:
        """Cut at the switches; more nodes on each piece, then smaller pieces, until the target is met."""
        total = dict.fromkeys(self.line.delta, 0 * b.loss)
        todo = self.line.pieces(a, b)[::-1]
        cuts = [piece[1].t for piece in todo[1:]][::-1]
        while todo:
            low, high = todo.pop()
            found: dict[int, Number] | None = None
            nodes = 2
            while True:
                previous, ((found, looks),) = found, self.integrals([(low, high)], nodes)
                error = high.loss - low.loss - ieee.added(found.values())
                settled = previous is not None and all(abs(found[s] - previous[s]) <= target for s in found)
                if (settled and abs(error) <= target) or self.evaluations >= budget or error != error:
                    break
                if high.t - low.t > _SHORTEST:
                    if (inside := _first_switched([low, *looks, high])) is not None:  # it switches there and back
                        parts = [*self.line.pieces(low, inside), *self.line.pieces(inside, high)]
                        cuts += [part[1].t for part in parts if part[1] not in (inside, high)]
                    elif nodes == _MOST_NODES:
                        middle = self.line.look((low.t + high.t) / 2)
                        parts = [(low, middle), (middle, high)]
                    else:
                        nodes *= 2
                        continue
                    todo += reversed(parts)
                    found = {}
                break
            for slot, share in found.items():
                total[slot] += share
        return Shares(total, sorted(cuts), "Gauss-Legendre", self.evaluations, self.highest)


def _first_switched(looks: Sequence[Look]) -> Look | None:
    """The first look within a piece at which a switch has another sign than before."""
    signs = list(looks[0].switches)
    for look in looks[1:]:
        if any(map(_cross, signs, look.switches)):
            return look
        signs = [s or before for s, before in zip(look.switches, signs, strict=True)]
    return None


def gauss_legendre(nodes: int, like: Number) -> list[tuple[Number, Number]]:
    """(position in [-1, 1], weight) of each node, in the carrier and the precision of a number."""
    context = getattr(like, "context", None)
    return _gauss_legendre(nodes, context, context.prec if context else 53)


@cache
def _gauss_legendre(n: int, context: Any, precision: int) -> list[tuple[Number, Number]]:
    # Newton's iteration for the roots of the Legendre polynomial Pₙ; weights 2 / ((1 - x²) Pₙ'(x)²).
    rule = []
    before: Number
    for k in range(n, 0, -1):
        x = math.cos(math.pi * (k - 0.25) / (n + 0.5))
        x = context.mpf(x) if context else x
        for _ in range(4 + precision.bit_length()):
            before, p = 1, x
            for j in range(2, n + 1):
                before, p = p, ((2 * j - 1) * x * p - (j - 1) * before) / j
            slope = n * (x * p - before) / (x * x - 1)
            x -= p / slope
        rule.append((x, 2 / ((1 - x * x) * slope * slope)))
    return rule
