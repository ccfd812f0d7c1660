"""The loss as a function of one parameter, and of two: the true shape beside what the gradient believes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from micrograd_like.drawing.plots import Plot
from micrograd_like.engine import Value, one
from micrograd_like.explain.line import Line
from micrograd_like.explain.replay import Backward, Curvature, Replay
from micrograd_like.explain.report import (
    Report,
    Table,
    check_count,
    check_loss,
    check_positive,
    find,
    in_carrier,
    name_of,
    show,
    signed,
)
from micrograd_like.ieee import Number, number


@dataclass(frozen=True, repr=False)
class Slice(Report):
    """The loss along one parameter, all others held."""

    name: str
    value: Number  # the parameter's, where it is
    loss: Number
    points: tuple[tuple[Number, Number], ...]  # (parameter, loss) on the true curve, kinks included
    gradient: Number
    curvature: Number
    kinks: tuple[Number, ...]  # where the curve has a corner: a relu, abs, max or min switches
    lr: Number | None
    step: Number  # -lr · gradient, 0 without a learning rate
    alone: Number  # the change of the loss after the step
    has_path: bool

    @property
    def predicted(self) -> Number:
        """The change after the step that the tangent promises."""
        return self.gradient * self.step

    def tangent(self, x: Number) -> Number:
        """The loss at x if it were the straight line that the gradient sees."""
        return self.loss + self.gradient * (x - self.value)

    def parabola(self, x: Number) -> Number:
        """The loss at x if it were the parabola that gradient and curvature see."""
        return self.tangent(x) + self.curvature * (x - self.value) ** 2 / 2

    @property
    def title(self) -> str:
        if not self.has_path:
            return f"no path: the loss does not depend on {self.name}"
        if self.lr is None:
            slope = f"the slope {signed(self.gradient)} and the curvature {signed(self.curvature)}"
            return f"At {self.name} = {show(self.value)} the loss has {slope}"
        verb = "lower" if self.alone < 0 else "raise" if self.alone > 0 else "change"
        promise = f"{show(abs(self.predicted))}"
        return f"{self.name} alone would {verb} the loss by {show(abs(self.alone))}; the gradient promised {promise}"

    def _table(self, rows: int | None) -> Table:
        count = len(self.points) if rows is None else min(max(rows, 2), len(self.points))
        shown = [self.points[i * (len(self.points) - 1) // (count - 1)] for i in range(count)]
        body = [(show(x), show(y), show(self.tangent(x)), show(self.parabola(x))) for x, y in shown]
        notes = [f"{len(self.kinks)} kinks" + ("" if not self.kinks else f": {', '.join(map(show, self.kinks[:8]))}")]
        return Table((self.name, "loss", "tangent", "parabola"), body, 0, notes)

    def plot(self) -> Plot:
        from micrograd_like.explain.pictures import slice_plot

        return slice_plot(self)


def loss_slice(loss: Value, parameter: Value | str, span: Any, lr: Any = None, points: int = 101) -> Slice:
    """The loss as a function of one parameter, from `span` below its value to `span` above.

    With a learning rate the step that this parameter would make is part of the answer, at its predicted and its true
    height. Costs an evaluation of what depends on the parameter for each point, and a few for each kink.

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
    node = find(replay, parameter)
    span = in_carrier(number(check_positive("span", span)), node.data)
    check_count("points", points, at_least=3)
    if lr is not None:
        lr = in_carrier(number(check_positive("lr", lr)), node.data)
    value, slot = node.data, replay.slots.get(node)
    if slot is None:
        ends = ((value - span, loss.data), (value + span, loss.data))
        return Slice(name_of(node), value, loss.data, ends, 0, 0, (), lr, 0, 0, False)
    backward = Backward(replay, [slot])
    adjoints = backward(replay.base)
    gradient = adjoints[slot]
    if not isfinite(gradient):
        raise ValueError(f"the gradient of {name_of(node)} is {gradient}; expected a finite number")
    line = Line(replay, {slot: span}, backward)
    unit = one(value)
    grid = [unit * (2 * k) / (points - 1) - unit for k in range(points)]
    kinks = line.kinks(grid)
    curve = tuple((value + t * span, line.look(t).loss) for t in sorted({*grid, *kinks}))
    curvature = Curvature(replay, backward, adjoints).along({slot: unit})
    step = 0 * value if lr is None else -lr * gradient
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
    )


@dataclass(frozen=True, repr=False)
class Contour(Report):
    """The loss over two parameters, all others held, with the way that gradient descent takes in this plane."""

    names: tuple[str, str]
    xs: tuple[Number, ...]  # of the first parameter
    ys: tuple[Number, ...]  # of the second
    losses: tuple[tuple[Number, ...], ...]  # a row for each y
    path: tuple[tuple[Number, Number, Number], ...]  # (first, second, loss) before the first and after each step
    lr: Number | None

    @property
    def rising(self) -> int:
        """How many steps of the path end higher than they began."""
        return sum(not after[2] <= before[2] for before, after in zip(self.path, self.path[1:], strict=False))

    @property
    def title(self) -> str:
        first, second = self.names
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
        from micrograd_like.explain.pictures import contour

        return contour(self)


def loss_contour(
    loss: Value,
    first: Value | str,
    second: Value | str,
    span: Any,
    lr: Any = None,
    steps: int = 20,
    points: int = 41,
) -> Contour:
    """The loss over a square of two parameters, and the way of gradient descent in it.

    The square reaches from `span` below each parameter's value to `span` above, with `points` values a side. With a
    learning rate, `steps` steps of gradient descent on these two parameters alone are followed (so that the path lies on
    the surface drawn), up to the first that leaves the finite numbers. Costs an evaluation of what depends on the two for
    each point, and a gradient for each step.

    Raises:
        TypeError: the loss is not a Value, a parameter neither a Value nor a label, or span or lr no number.
        ValueError: span or lr is not above 0, points below 2, steps below 1, twice the same parameter, one the loss does
            not depend on, or as for `loss_slice`.
    """
    replay = Replay(check_loss(loss))
    parameters = [find(replay, first), find(replay, second)]
    check_positive("span", span)
    check_count("points", points, at_least=2)
    check_count("steps", steps)
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
    return Contour((name_of(parameters[0]), name_of(parameters[1])), xs, ys, losses, tuple(path), lr)
