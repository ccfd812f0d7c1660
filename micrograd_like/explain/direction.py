"""Which way to go, and how far: probing each parameter up and down, and sweeping the learning rate."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import isfinite
from typing import Any

from micrograd_like.checks import listed
from micrograd_like.drawing.figure import Plot, canvas, name_axes
from micrograd_like.drawing.formula import number as shown
from micrograd_like.drawing.style import LOWERS, NEUTRAL, RAISES
from micrograd_like.engine import Value
from micrograd_like.explain.canvas import BARS, ROW, number_at, short_names
from micrograd_like.explain.line import Line
from micrograd_like.explain.replay import Backward, Curvature, Replay
from micrograd_like.explain.report import (
    Parameters,
    Report,
    Table,
    cell,
    check_loss,
    check_positive,
    in_carrier,
    named,
    rest,
    show,
    signed,
)
from micrograd_like.ieee import Number, added, as_float, number
from micrograd_like.jobs import Crew

_DOUBLINGS = 60  # how far beyond the swept rates the largest helpful one is looked for


@dataclass(frozen=True)
class Probe:
    """Say what a little more and a little less of one parameter does to the loss.

    >>> from micrograd_like import Value
    >>> w, b = Value(2.0, label="w"), Value(-1.0, label="b")
    >>> loss = (w * 3.0 + b - 4.0) ** 2
    >>> probe = probe_direction(loss, [w], epsilon=0.5).probes[0]
    >>> probe.up, probe.down, probe.slope, probe.gradient
    (5.25, -0.75, 6.0, 6.0)

    Attributes:
        name: the parameter's
        value: its number
        up: the change of the loss at value + ε
        down: the change of the loss at value - ε
        gradient: ∂L/∂p
        epsilon: ε, how far the probes go
    """

    name: str
    value: Number
    up: Number
    down: Number
    gradient: Number
    epsilon: Number

    @property
    def slope(self) -> Number:
        """(up - down) / 2ε: the gradient as far as the two probes can tell."""
        return (self.up - self.down) / (2 * self.epsilon)

    @property
    def direction(self) -> int:
        """Which probe lowers the loss more: 1 up, -1 down, 0 neither."""
        if self.up < 0 or self.down < 0:
            return 1 if self.up < self.down else -1 if self.down < self.up else 0
        return 0

    @property
    def downhill(self) -> int:
        """Which way the gradient says is down: 1 up, -1 down, 0 neither."""
        return 1 if self.gradient < 0 else -1 if self.gradient > 0 else 0


@dataclass(frozen=True, repr=False)
class ProbeReport(Report):
    """Compare directions found by trying with the gradient's.

    >>> from micrograd_like import Value
    >>> w, b = Value(2.0, label="w"), Value(-1.0, label="b")
    >>> loss = (w * 3.0 + b - 4.0) ** 2
    >>> report = probe_direction(loss, [w, b])
    >>> report.agreeing, report.probe_evaluations, report.gradient_evaluations
    (2, 5, 2)

    Attributes:
        probes: a `Probe` for each parameter, in the order given
        epsilon: how far the probes go
        nodes: how many nodes one evaluation of the loss computes again
    """

    probes: tuple[Probe, ...]
    epsilon: Number
    nodes: int

    @property
    def probe_evaluations(self) -> int:
        """Evaluations of the loss that probing needs: two for each parameter, and the one to compare with."""
        return 2 * len(self.probes) + 1

    @property
    def gradient_evaluations(self) -> int:
        """What the gradient needs: the loss once, and once backwards."""
        return 2

    @property
    def agreeing(self) -> int:
        """For how many parameters both say the same."""
        return sum(probe.direction == probe.downhill for probe in self.probes)

    @property
    def title(self) -> str:
        return (
            f"Trying ±{show(self.epsilon)} finds the gradient's direction for {self.agreeing} of {len(self.probes)} "
            f"parameters, with {self.probe_evaluations} evaluations of the loss where the gradient needs "
            f"{self.gradient_evaluations}"
        )

    def _table(self, rows: int | None) -> Table:
        ways = {1: "up", -1: "down", 0: "neither"}
        ranked = sorted(self.probes, key=lambda p: -abs(p.gradient))
        body = [
            (
                p.name,
                cell(p.up),
                cell(p.down),
                ways[p.direction],
                ways[p.downhill],
                cell(p.slope),
                cell(p.gradient),
            )
            for p in ranked[:rows]
        ]
        columns = ("parameter", "at p+ε", "at p−ε", "tried", "gradient says", "slope tried", "gradient")
        return Table(columns, body, notes=rest(len(self.probes), rows, "parameters"), spare=("slope tried",))

    def plot(self) -> Plot:
        """What p+ε and p−ε do to the loss, for the parameters of the largest gradients."""
        called = short_names(probe.name for probe in self.probes)
        found = sorted(self.probes, key=lambda p: -abs(p.gradient))[:BARS]
        ways = {1: "▲ up", -1: "▼ down", 0: "neither"}
        with canvas(84 + 2 * ROW * len(found), title=self.title) as (figure, grid):
            axes = grid[0, 0]
            for shift, attribute, hatch in ((-0.2, "up", ""), (0.2, "down", "////")):
                changes = [as_float(getattr(probe, attribute)) for probe in found]
                tints = [LOWERS if x < 0 else RAISES for x in changes]
                face = ["none"] * len(tints) if hatch else tints
                places = [i + shift for i in range(len(found))]
                axes.barh(places, changes, height=0.36, facecolor=face, edgecolor=tints, hatch=hatch)
                for place, change in zip(places, changes, strict=True):
                    number_at(axes, change, place)
            axes.set_yticks(
                [i + shift for i in range(len(found)) for shift in (-0.2, 0.2)],
                [text for p in found for text in (f"{called[p.name]} at p + ε", "at p − ε")],
            )
            for i, probe in enumerate(found):
                axes.annotate(f"gradient: {ways[probe.downhill]}", (1.02, i), xycoords=("axes fraction", "data"),
                              va="center", ha="left", annotation_clip=False)  # fmt: skip
            axes.set_ylim(len(found) - 0.4, -0.6)
            axes.margins(x=0.18)
            axes.tick_params(axis="y", length=0)
            axes.axvline(0, color=NEUTRAL, linewidth=0.8)
            axes.grid(False, axis="y")
            name_axes(axes, f"change of the loss, ε = {shown(self.epsilon)}")
        return Plot(figure, f"{self.agreeing} of {len(self.probes)} directions agree with the gradient's.")


def probe_direction(loss: Value, parameters: Parameters, epsilon: Any = 1e-3) -> ProbeReport:
    """Try each parameter a little higher and a little lower, and compare with what the gradient says at once.

    Costs two evaluations of each parameter's own dependents; a program without a graph evaluates the whole loss each time.

    >>> w = Value(2.0, label="w")
    >>> report = probe_direction(w * w, [w], epsilon=0.5)
    >>> report.probes[0].down, report.probes[0].up, report.probes[0].direction
    (-1.75, 2.25, -1)

    Raises:
        TypeError: the loss or a parameter is not a Value, or epsilon is no number.
        ValueError: epsilon is not above 0, the loss is not finite, a parameter occurs twice, or the graph is out of date.
    """
    check_loss(loss)
    epsilon = number(check_positive("epsilon", epsilon))
    by_name = named(parameters)
    replay = Replay(loss)
    slots = [replay.slots[p] for p in by_name.values() if p in replay.slots]
    backward = Backward(replay, slots)
    adjoints = backward(replay.base)
    found = []
    for name, parameter in by_name.items():
        step = in_carrier(epsilon, parameter.data)
        slot = replay.slots.get(parameter)
        if slot is None:
            found.append(Probe(name, parameter.data, 0, 0, 0, step))
            continue
        up, down = (replay.root_moved(slot, x) - loss.data for x in (parameter.data + step, parameter.data - step))
        found.append(Probe(name, parameter.data, up, down, adjoints[slot], step))
    return ProbeReport(tuple(found), epsilon, len(backward.forward))


@dataclass(frozen=True)
class Rate:
    """Say what one step with one learning rate does.

    >>> from micrograd_like import Value
    >>> w, b = Value(2.0, label="w"), Value(-1.0, label="b")
    >>> loss = (w * 3.0 + b - 4.0) ** 2
    >>> [(rate.lr, rate.verdict) for rate in step_sweep(loss, [w, b], [0.01, 0.08, 0.2]).rates]
    [(0.01, 'helps'), (0.08, 'overshoots'), (0.2, 'hurts')]

    Attributes:
        lr: the learning rate
        after: the loss after the step
        change: after minus before; below 0 is for the better
        predicted: the change that the gradient predicts: -lr · Σ gradient²
        slope: of the loss along the step, where it ends: above 0 behind the valley
    """

    lr: Number
    after: Number
    change: Number
    predicted: Number
    slope: Number

    @property
    def verdict(self) -> str:
        """ "helps", "overshoots" (past the valley's floor, but still lower than before), "hurts" or "stays"."""
        if not self.change < 0:
            return "stays" if self.change == 0 else "hurts"
        return "overshoots" if self.slope > 0 else "helps"


@dataclass(frozen=True, repr=False)
class Sweep(Report):
    """Compare one step from the same place, with many learning rates.

    >>> from micrograd_like import Value
    >>> w, b = Value(2.0, label="w"), Value(-1.0, label="b")
    >>> loss = (w * 3.0 + b - 4.0) ** 2
    >>> sweep = step_sweep(loss, [w, b], [0.01, 0.05, 0.2])
    >>> sweep.best.lr, round(sweep.theory, 6)
    (0.05, 0.1)

    Attributes:
        before: the loss
        rates: a `Rate` for each learning rate, ascending
        largest: the largest rate that still helps; None when none was found to hurt
        curvature: of the loss along the gradient: gᵀHg / gᵀg
        tolerance: how exactly `largest` is known, relative to it
    """

    before: Number
    rates: tuple[Rate, ...]
    largest: Number | None
    curvature: Number
    tolerance: float

    @property
    def theory(self) -> Number | None:
        """2 / curvature: the largest helpful rate if the loss were a parabola; None where it bends down."""
        return 2 / self.curvature if self.curvature > 0 else None

    @property
    def best(self) -> Rate:
        """The swept rate after which the loss is lowest."""
        return min(self.rates, key=lambda rate: (rate.after != rate.after, rate.after))

    @property
    def title(self) -> str:
        if self.largest is None:
            text = "No learning rate was found to hurt"
        else:
            text = f"A step helps up to learning rate {show(self.largest)}"
        theory = "the loss bends down there" if self.theory is None else f"2/curvature says {show(self.theory)}"
        return f"{text} ({theory}); of the {len(self.rates)} tried, {show(self.best.lr)} lowers it most"

    def _table(self, rows: int | None) -> Table:
        body = [
            (show(r.lr), show(r.after), signed(r.predicted), signed(r.change), r.verdict)
            for r in (self.rates if rows is None else self.rates[:rows])
        ]
        notes = rest(len(self.rates), rows, "learning rates")
        return Table(("learning rate", "loss after", "predicted", "change", "verdict"), body, 0, notes)

    def plot(self) -> Plot:
        """The change of the loss over the learning rate, with the prediction, the largest helpful rate and 2/curvature."""
        rates = [as_float(rate.lr) for rate in self.rates]
        changes = [as_float(rate.change) for rate in self.rates]
        predicted = [as_float(rate.predicted) for rate in self.rates]
        low = min([*filter(isfinite, changes), 0.0])
        ends = (1.6 * low or -1.0, max(-1.2 * low, 1e-12) or 1.0)
        with canvas(400, title=self.title) as (figure, grid):
            axes = grid[0, 0]
            axes.set_xscale("log", base=2)
            axes.set_ylim(*ends)
            axes.plot(rates, changes, color=NEUTRAL, linewidth=1.5)
            axes.plot(rates, predicted, color=NEUTRAL, linestyle="--", linewidth=1.2)
            seen = [(x, y) for x, y in zip(rates, predicted, strict=True) if ends[0] <= y <= ends[1]]
            if seen:
                axes.annotate(
                    "as the gradient predicted", seen[-1], xytext=(-8, -2), textcoords="offset points", ha="right"
                )
            for verdict, tint, marker, words in (
                ("helps", LOWERS, "o", "helps"),
                ("overshoots", LOWERS, "s", "overshoots, still lower"),
                ("hurts", RAISES, "X", "hurts"),
                ("stays", NEUTRAL, "o", "changes nothing"),
            ):
                points = [(x, y) for x, y, r in zip(rates, changes, self.rates, strict=True) if r.verdict == verdict]
                if points:
                    axes.plot(*zip(*points, strict=True), marker, color=tint, linestyle="none", markersize=8)
                    inside = [point for point in points if ends[0] <= point[1] <= ends[1]]
                    if inside:
                        spot = inside[len(inside) // 2] if verdict == "helps" else inside[-1]
                        axes.annotate(
                            words, spot, xytext=(10, -12), textcoords="offset points", color=tint, va="center"
                        )
            drawn = 0.0
            for x, style, words, height in (
                (self.largest, "-", "helps up to", 0.97),
                (self.theory, ":", "2/curvature =", 0.89),
            ):
                if x:
                    if abs(as_float(x) - drawn) > 0.05 * drawn:  # else two lines would look like one
                        axes.axvline(as_float(x), color=NEUTRAL, linestyle=style, linewidth=1.5)
                    drawn = as_float(x)
                    axes.annotate(f"{words} {shown(x, 3)} ", (as_float(x), height), xycoords=("data", "axes fraction"),
                                  xytext=(-6, 0), textcoords="offset points", ha="right", va="top")  # fmt: skip
            axes.axhline(0, color=NEUTRAL, linewidth=0.8)
            name_axes(axes, "learning rate", "change of the loss")
        return Plot(figure, f"{len(self.rates)} learning rates from {shown(rates[0], 3)} to {shown(rates[-1], 3)}.")


def step_sweep(
    loss: Value,
    parameters: Parameters,
    rates: Iterable[Any] | None = None,
    tolerance: float = 1e-6,
    n_jobs: int | None = None,
) -> Sweep:
    """Try one step of gradient descent from here with many learning rates: which help, which overshoot, which hurt.

    The largest rate that still helps is where the loss after the step, seen along the rates, first is as high again as
    before: bracketed by the rates swept (and their doubles or halves if need be), then bisected to a relative tolerance.
    The theory beside it, 2/curvature, takes the loss for a parabola along its gradient.

    Costs a gradient per rate and an evaluation per bisection. `rates` are 2^-10 to 2^4 times 1/curvature by default (or
    times 1, where the curvature is not positive). `n_jobs` processes share the rates, as in `explain_step`; the bisection
    is one process's.

    >>> w = Value(3.0, label="w")
    >>> report = step_sweep(w * w, [w], [0.25, 0.75, 1.5])
    >>> [rate.verdict for rate in report.rates], round(report.largest, 5), report.theory
    (['helps', 'overshoots', 'hurts'], 1.0, 1.0)

    Raises:
        TypeError: the loss or a parameter is not a Value, or a rate is no number.
        ValueError: a rate is not above 0, there are none, the loss or its gradient is not finite, or the gradient is 0.
    """
    check_loss(loss)
    check_positive("tolerance", tolerance)
    by_name = named(parameters)
    replay = Replay(loss)
    slots = [replay.slots[p] for p in by_name.values() if p in replay.slots]
    backward = Backward(replay, slots)
    adjoints = backward(replay.base)
    direction = {slot: -adjoints[slot] for slot in slots}
    size = added(g * g for g in direction.values())
    if not (isfinite(size) and size > 0):
        raise ValueError(f"expected a gradient that is finite and not 0, but its square is {size}: no step to sweep")
    curvature = Curvature(replay, backward, adjoints).along(direction) / size
    line = Line(replay, direction, backward)
    tried = _default(curvature) if rates is None else listed("rates", rates, "learning rates")
    exact = {lr: in_carrier(number(check_positive("every rate", lr)), size) for lr in tried}
    if not exact:
        raise ValueError("expected at least one learning rate, got none")

    def step(lr: Number) -> Rate:
        values = line.at(lr)
        here = backward(values)
        slope = added(here[slot] * d for slot, d in direction.items())
        after = values[replay.roots[0]]
        return Rate(lr, after, after - loss.data, -lr * size, slope)

    with Crew(step, n_jobs if type(loss.data) is float else 1) as crew:
        found = crew.map(sorted(exact.values()))
    losses = {rate.lr: rate.after for rate in found}

    def helps(lr: Number) -> bool:
        return bool((losses[lr] if lr in losses else line.at(lr)[replay.roots[0]]) < loss.data)

    largest = _largest(helps, list(losses), tolerance)
    return Sweep(loss.data, tuple(found), largest, curvature, tolerance)


def _default(curvature: Number) -> list[Number]:
    unit = 1 / curvature if curvature > 0 else 1
    return [unit * 2**k if k >= 0 else unit / 2**-k for k in range(-10, 5)]


def _largest(helps: Callable[[Number], bool], rates: list[Number], tolerance: float) -> Number | None:
    """The rate at which steps stop helping, seen from small ones; None when none stops."""
    good, bad = 0 * rates[0], None
    for lr in rates:
        if not helps(lr):
            bad = lr
            break
        good = lr
    for _ in range(_DOUBLINGS):
        if bad is not None:
            break
        good, bad = (good * 2, None) if helps(good * 2) else (good, good * 2)
    if bad is None:
        return None
    for _ in range(_DOUBLINGS):
        if good:
            break
        good, bad = (bad / 2, bad) if helps(bad / 2) else (good, bad / 2)
    while good and bad - good > tolerance * good:
        middle = (good + bad) / 2
        if not good < middle < bad:  # no number lies between them
            break
        good, bad = (middle, bad) if helps(middle) else (good, middle)
    return good
