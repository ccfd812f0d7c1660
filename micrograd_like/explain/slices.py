"""The loss as a function of one parameter, and of two: the true shape beside what the gradient believes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from micrograd_like.checks import MOST, whole_number
from micrograd_like.drawing.figure import Plot, canvas, label_end, name_axes, one_line
from micrograd_like.drawing.formula import number as shown
from micrograd_like.drawing.formula import signed as shown_signed
from micrograd_like.drawing.plots import plot_walks
from micrograd_like.drawing.style import LOWERS, NEUTRAL, SMALL
from micrograd_like.engine import Value, one
from micrograd_like.explain.canvas import colour, short_names
from micrograd_like.explain.line import Line
from micrograd_like.explain.replay import Backward, Curvature, Replay
from micrograd_like.explain.report import (
    Parameters,
    Report,
    Table,
    check_count,
    check_loss,
    check_positive,
    find,
    in_carrier,
    name_of,
    named,
    show,
    signed,
)
from micrograd_like.ieee import Number, as_float, number
from micrograd_like.optim import Optimizer


@dataclass(frozen=True, repr=False)
class Slice(Report):
    """Follow the loss along one parameter, all others held.

    >>> from micrograd_like import Value
    >>> w, b = Value(2.0, label="w"), Value(-1.0, label="b")
    >>> loss = (w * 3.0 + b - 4.0) ** 2
    >>> curve = loss_slice(loss, w, span=1.0, lr=0.01)
    >>> curve.gradient, curve.curvature, curve.tangent(2.5), curve.parabola(2.5)
    (6.0, 18.0, 4.0, 6.25)

    Attributes:
        name: the parameter's
        value: the parameter, where it is
        loss: the loss there
        points: (parameter, loss) on the true curve, kinks included
        gradient: ∂L/∂p
        curvature: ∂²L/∂p²
        kinks: where the curve has a corner: a relu, abs, max or min switches
        lr: the learning rate; None where none was given
        step: how far the parameter would move: -lr · gradient, 0 without a learning rate
        alone: the change of the loss after the step
        has_path: False where the loss does not depend on the parameter
        called: its name in the picture; empty for the same
    """

    name: str
    value: Number
    loss: Number
    points: tuple[tuple[Number, Number], ...]
    gradient: Number
    curvature: Number
    kinks: tuple[Number, ...]
    lr: Number | None
    step: Number
    alone: Number
    has_path: bool
    called: str = ""

    @property
    def predicted(self) -> Number:
        """The change after the step that the tangent predicts."""
        return self.gradient * self.step

    def tangent(self, x: Number) -> Number:
        """The loss at x if it were the straight line that the gradient sees."""
        return self.loss + self.gradient * (number(x) - self.value)

    def parabola(self, x: Number) -> Number:
        """The loss at x if it were the parabola that gradient and curvature see."""
        return self.tangent(x) + self.curvature * (number(x) - self.value) ** 2 / 2

    @property
    def title(self) -> str:
        return self._title(self.name)

    def _title(self, name: str) -> str:
        if not self.has_path:
            return f"no path: the loss does not depend on {name}"
        if self.lr is None:
            slope = f"the slope {signed(self.gradient)} and the curvature {signed(self.curvature)}"
            return f"At {name} = {show(self.value)} the loss has {slope}"
        verb = "lower" if self.alone < 0 else "raise" if self.alone > 0 else "change"
        predicted = f"the gradient predicted {show(abs(self.predicted))}"
        return f"{name} alone would {verb} the loss by {show(abs(self.alone))}; {predicted}"

    def _table(self, rows: int | None) -> Table:
        count = len(self.points) if rows is None else min(max(rows, 2), len(self.points))
        shown = [self.points[i * (len(self.points) - 1) // (count - 1)] for i in range(count)]
        body = [(show(x), show(y), show(self.tangent(x)), show(self.parabola(x))) for x, y in shown]
        notes = [f"{len(self.kinks)} kinks" + ("" if not self.kinks else f": {', '.join(map(show, self.kinks[:8]))}")]
        return Table((self.name, "loss", "tangent", "parabola"), body, 0, notes)

    def plot(self) -> Plot:
        """The loss over the parameter, with tangent, parabola, kinks and the step at its predicted and its true height."""
        name = self.called or self.name
        with canvas(400, title=self._title(name)) as (figure, grid):
            _draw(grid[0, 0], self)
            name_axes(grid[0, 0], one_line(name), "loss")
        return Plot(figure, f"From {shown(self.points[0][0])} to {shown(self.points[-1][0])} in {name}.")


def _draw(axes: Any, curve: Slice, labels: bool = True) -> tuple[float, float]:
    """Draw a slice into axes, every line and mark with its name, or none of them; returns where it begins and ends."""
    xs, ys = zip(*[(as_float(x), as_float(y)) for x, y in curve.points], strict=True)
    value, loss = as_float(curve.value), as_float(curve.loss)
    there = as_float(curve.value + curve.step)
    predicted, true = as_float(curve.loss + curve.predicted), as_float(curve.loss + curve.alone)
    steps = curve.lr is not None and bool(curve.step)
    heights = [y for y in (*ys, loss, *((predicted, true) if steps else ())) if isfinite(y)]
    low, high = min(heights), max(heights)
    pad = (0.16 if steps and labels else 0.08) * (high - low) or 1.0  # the names of the step's ends stand beyond them
    axes.set_ylim(low - pad, high + pad)
    axes.set_xlim(xs[0], xs[-1])
    lines = {
        word: [as_float(height(x)) for x, _ in curve.points]
        for word, height in (("tangent", curve.tangent), ("parabola", curve.parabola))
    }
    hidden = all(abs(a - b) <= 0.003 * (high - low) for a, b in zip(lines["parabola"], ys, strict=True))
    for word, style in (("tangent", "--"), ("parabola", ":")):
        line = lines[word]
        if hidden and word == "parabola":  # it would lie under the loss
            continue
        axes.plot(xs, line, color=NEUTRAL, linewidth=1.2, linestyle=style)
        if labels:
            _name_line(axes, word, xs, line, (low - pad, high + pad))
    axes.plot(xs, ys, color=LOWERS if labels else NEUTRAL, linewidth=2.2)
    if labels:
        label_end(axes, "the loss, a parabola" if hidden else "the loss", xs, ys, LOWERS)
    marks = [("now", value, loss, "o", NEUTRAL, "full")]
    if curve.kinks:
        at = dict(zip(xs, ys, strict=True))
        corners = [as_float(kink) for kink in curve.kinks]
        axes.plot(corners, [at[x] for x in corners], "|", color=NEUTRAL, markersize=12, markeredgewidth=1.5)
        if labels:
            axes.annotate(
                "kink", (corners[-1], at[corners[-1]]), xytext=(0, 10), textcoords="offset points", ha="center"
            )
    if steps:
        axes.plot([there, there], [predicted, true], color=NEUTRAL, linewidth=1)
        marks += [
            ("predicted", there, predicted, "D", NEUTRAL, "none"),
            ("true", there, true, "D", colour(curve.alone), "full"),
        ]
    for word, x, y, marker, tint, fill in marks:
        axes.plot([x], [y], marker, color=tint, fillstyle=fill, markersize=9 if labels else 6)
        if labels:
            up = (word == "predicted") == (predicted > true) if steps and word != "now" else True
            axes.annotate(word, (x, y), xytext=(0, 12 if up else -12), textcoords="offset points", ha="center",
                          va="bottom" if up else "top", color=tint)  # fmt: skip
    return low - pad, high + pad


def _name_line(axes: Any, word: str, xs: Sequence[float], ys: Sequence[float], ends: tuple[float, float]) -> None:
    """Name a line at its right end, or where it leaves the picture through its floor or its ceiling."""
    seen = [(x, y) for x, y in zip(xs, ys, strict=True) if ends[0] <= y <= ends[1]]
    if seen and seen[-1][0] == xs[-1]:
        label_end(axes, word, xs, ys, NEUTRAL)
    elif seen:
        axes.annotate(word, seen[-1], xytext=(8, 4), textcoords="offset points", ha="left", va="bottom")


def small_multiples(loss: Value, parameters: Parameters, lr: Any, *, span: Any = None, count: int = 12) -> Plot:
    """Draw a slice of the loss for each of the parameters that a step would change it most through.

    All slices have one scale, so that steep is steep. A full diamond is where the step ends, a hollow one where
    the gradient predicted that it would.

    >>> from micrograd_like import Value
    >>> w, b = Value(2.0, label="w"), Value(-1.0, label="b")
    >>> loss = (w * 3.0 + b - 4.0) ** 2
    >>> small_multiples(loss, [w, b], lr=0.01).title
    'With learning rate 0.01, none of these 2 parameters would raise the loss alone'

    Args:
        loss: a recorded loss.
        parameters: a module, names to Values, or Values.
        lr: the learning rate.
        span: how far a slice reaches to each side of the parameter's value; by default half as far again as its step.
        count: the most slices.

    Raises:
        ImportError: matplotlib is missing.
        TypeError, ValueError: as `loss_slice`, or none of the parameters moves.
    """
    check_count("count", count)
    by_name = named(parameters)
    slices = []
    for name, parameter in by_name.items():
        probe = loss_slice(loss, parameter, 1, lr, points=3)
        if probe.step:
            slices.append((name, probe, parameter))
    if not slices:
        raise ValueError("expected a parameter that the step moves: the gradient of each is 0")
    slices.sort(key=lambda each: -abs(each[1].alone))
    curves = {
        name: loss_slice(loss, parameter, span if span is not None else abs(probe.step) * 3 / 2, lr)
        for name, probe, parameter in slices[:count]
    }
    hurt = sum(curve.alone > 0 for curve in curves.values())
    title = (
        f"With learning rate {show(lr)}, {hurt or 'none'} of these {len(curves)} parameters would raise the loss alone"
    )
    called = short_names(by_name)
    columns = min(4, len(curves))
    rows = -(-len(curves) // columns)
    heights: list[tuple[float, float]] = []
    with canvas(190 * rows, rows, columns, title=title, sharey=True) as (figure, grid):
        for axes, (name, curve) in zip(grid.flat, curves.items(), strict=False):
            heights.append(_draw(axes, curve, labels=False))
            words = f"predicted {shown_signed(curve.predicted, 3)}\ntrue {shown_signed(curve.alone, 3)}"
            axes.set_title(f"{called[name]}\n{words}", fontsize=SMALL)
            axes.locator_params(nbins=4)
        grid[0, 0].set_ylim(min(low for low, _ in heights), max(high for _, high in heights))
        for axes in list(grid.flat)[len(curves) :]:
            axes.remove()
    return Plot(figure, "; ".join(f"{called[name]} {shown_signed(c.alone, 3)}" for name, c in curves.items()) + ".")


def loss_slice(loss: Value, parameter: Value | str, span: Any = None, lr: Any = None, points: int = 101) -> Slice:
    """Evaluate the loss as a function of one parameter, from `span` below its value to `span` above.

    Without a span it reaches as far as the parameter is large, at least 1, and half as far again as the step, if one is
    asked for.

    With a learning rate, or an optimizer that has one, the step that this parameter would make is part of the answer, at
    its predicted and its true height. Without one there is no step: the curve needs none. Costs an evaluation of what
    depends on the parameter for each point, and a few for each kink.

    >>> w = Value(1.0, label="w")
    >>> curve = loss_slice((w - 2.0).relu() + w * w, w, span=2.0, lr=0.5)
    >>> curve.gradient, curve.curvature, curve.kinks, curve.predicted, curve.alone
    (2.0, 2.0, (2.0,), -2.0, -1.0)

    Raises:
        TypeError: the loss is not a Value, the parameter neither a Value nor a label, or span or lr no number.
        ValueError: span or lr is not above 0, there are fewer than 3 points, the loss is not finite, no single node has
            that label, the Value was computed in another graph, or the graph is out of date.
    """
    replay = Replay(check_loss(loss))
    node = find(replay.slots, parameter)
    if span is not None:
        span = in_carrier(number(check_positive("span", span)), node.data)
    points = whole_number("points", points, at_least=3, at_most=MOST)
    if lr is not None:
        lr = in_carrier(number(check_positive("lr", _rate(lr))), node.data)
    value, slot = node.data, replay.slots.get(node)
    if slot is None:
        span = _scale(value) if span is None else span
        ends = ((value - span, loss.data), (value + span, loss.data))
        return Slice(name_of(node), value, loss.data, ends, 0, 0, (), lr, 0, 0, False)
    backward = Backward(replay, [slot])
    adjoints = backward(replay.base)
    gradient = adjoints[slot]
    if not isfinite(gradient):
        raise ValueError(f"the gradient of {name_of(node)} is {gradient}; expected a finite number")
    step = 0 * value if lr is None else -lr * gradient
    span = max(_scale(value), abs(step) * 3 / 2) if span is None else span
    line = Line(replay, {slot: span}, backward)
    unit = one(value)
    grid = [unit * (2 * k) / (points - 1) - unit for k in range(points)]
    kinks = line.kinks(grid)
    curve = tuple((value + t * span, line.look(t).loss) for t in sorted({*grid, *kinks}))
    curvature = Curvature(replay, backward, adjoints).along({slot: unit})
    return Slice(
        name=name_of(node),
        value=value,
        loss=loss.data,
        points=curve,
        gradient=gradient,
        curvature=curvature,
        kinks=tuple(value + t * span for t in kinks),
        lr=lr,
        step=step,
        alone=replay.root_moved(slot, value + step) - loss.data,
        has_path=True,
        called=_called(replay, name_of(node)),
    )


def _called(replay: Replay, name: str) -> str:
    """What a picture calls a parameter of this loss: what is short depends on what else there is."""
    return short_names([*(node.label for node in replay.slots if node.op is None and node.label), name])[name]


def _rate(lr: Any) -> Any:
    """The learning rate of an optimizer's next step; a number as it is."""
    return lr.rates(lr.steps)[0] if isinstance(lr, Optimizer) else lr


def _scale(value: Number) -> Number:
    """How far from a parameter to look: as far as it is large, at least 1."""
    return max(abs(value), one(value))


@dataclass(frozen=True, repr=False)
class Contour(Report):
    """Map the loss over two parameters, all others held, with the way that gradient descent takes in this plane.

    >>> from micrograd_like import Value
    >>> w, b = Value(2.0, label="w"), Value(-1.0, label="b")
    >>> loss = (w * 3.0 + b - 4.0) ** 2
    >>> valley = loss_contour(loss, w, b, span=1.0, points=3)
    >>> valley.xs, valley.losses[0]
    ((1.0, 2.0, 3.0), (9.0, 0.0, 9.0))

    Attributes:
        names: of the two parameters
        xs: of the first parameter
        ys: of the second
        losses: a row for each y
        path: (first, second, loss) before the first and after each step
        lr: the learning rate of the path; None where none was given
        called: the two names in the picture; empty for the same
    """

    names: tuple[str, str]
    xs: tuple[Number, ...]
    ys: tuple[Number, ...]
    losses: tuple[tuple[Number, ...], ...]
    path: tuple[tuple[Number, Number, Number], ...]
    lr: Number | None
    called: tuple[str, ...] = ()

    @property
    def rising(self) -> int:
        """How many steps of the path end higher than they began."""
        return sum(not after[2] <= before[2] for before, after in zip(self.path, self.path[1:], strict=False))

    @property
    def title(self) -> str:
        return self._title(*self.names)

    def _title(self, first: str, second: str) -> str:
        if len(self.path) < 2:
            return f"The loss over {first} and {second}; here it is {show(self.path[0][2])}"
        steps = len(self.path) - 1
        return (
            f"{steps} steps on {first} and {second} lead from {show(self.path[0][2])} to {show(self.path[-1][2])}; "
            f"{self.rising or 'none'} of them uphill"
        )

    def _table(self, rows: int | None) -> Table:
        shown = self.path if rows is None else self.path[:rows]
        body = [(str(i), show(x), show(y), show(z)) for i, (x, y, z) in enumerate(shown)]
        return Table(("step", *self.names, "loss"), body, 0)

    def plot(self) -> Plot:
        """The loss over the two parameters as a map, with the path of gradient descent."""
        steps = len(self.path) - 1
        walk = {f"after {steps} step{'s' * (steps != 1)}" if steps else "here": [(x, y) for x, y, _ in self.path]}
        names = self.called or self.names
        return plot_walks(self.xs, self.ys, self.losses, walk, self._title(*names), *names)


def loss_contour(
    loss: Value,
    first: Value | str,
    second: Value | str,
    span: Any,
    lr: Any = None,
    steps: int = 20,
    points: int = 41,
) -> Contour:
    """Evaluate the loss over a square of two parameters, and follow gradient descent in it.

    The square reaches from `span` below each parameter's value to `span` above, with `points` values a side. With a
    learning rate, `steps` steps of gradient descent on these two parameters alone are followed (so that the path lies on
    the surface drawn), up to the first that leaves the finite numbers. Costs an evaluation of what depends on the two for
    each point, and a gradient for each step.

    >>> from micrograd_like import Value
    >>> w, b = Value(2.0, label="w"), Value(-1.0, label="b")
    >>> loss = (w * 3.0 + b - 4.0) ** 2
    >>> valley = loss_contour(loss, w, b, span=1.0, lr=0.01, steps=3)
    >>> [round(at, 3) for _, _, at in valley.path]
    [1.0, 0.64, 0.41, 0.262]

    Raises:
        TypeError: the loss is not a Value, a parameter neither a Value nor a label, or span or lr no number.
        ValueError: span or lr is not above 0, points below 2, steps below 1, twice the same parameter, one the loss does
            not depend on, or as for `loss_slice`.
    """
    replay = Replay(check_loss(loss))
    parameters = [find(replay.slots, first), find(replay.slots, second)]
    check_positive("span", span)
    points = whole_number("points", points, at_least=2, at_most=MOST)
    steps = check_count("steps", steps)
    if parameters[0] is parameters[1]:
        raise ValueError(f"expected two different parameters, got {name_of(parameters[0])} twice")
    for node in parameters:
        if node not in replay.slots:
            raise ValueError(f"no path: the loss does not depend on {name_of(node)}")
    slots = [replay.slots[node] for node in parameters]
    spans = [in_carrier(number(span), node.data) for node in parameters]
    line = Line(replay, dict(zip(slots, spans, strict=True)))
    values = list(replay.base)

    def at(place: Sequence[Number]) -> Number:
        for slot, x in zip(slots, place, strict=True):
            values[slot] = x
        line.evaluate(values)
        return values[replay.roots[0]]

    xs, ys = (
        tuple(node.data + s * (2 * k - points + 1) / (points - 1) for k in range(points))
        for node, s in zip(parameters, spans, strict=True)
    )
    losses = tuple(tuple(at((x, y)) for x in xs) for y in ys)
    place = [node.data for node in parameters]
    path = [(*place, at(place))]
    if lr is not None:
        rates = [in_carrier(number(check_positive("lr", lr)), node.data) for node in parameters]
        for _ in range(steps):
            adjoints = line.backward(values)
            place = [x - rate * adjoints[slot] for x, rate, slot in zip(place, rates, slots, strict=True)]
            path.append((*place, at(place)))
            if not all(map(isfinite, path[-1])):
                path.pop()
                break
    names = name_of(parameters[0]), name_of(parameters[1])
    return Contour(names, xs, ys, losses, tuple(path), lr, tuple(_called(replay, name) for name in names))
