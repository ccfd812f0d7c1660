"""One step of gradient descent, explained parameter by parameter: what was predicted, and what happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import isfinite
from typing import Any, Protocol

import graphviz

from micrograd_like import graph
from micrograd_like._extras import progress_bar
from micrograd_like.checks import mapped
from micrograd_like.drawing.dot import draw_dot
from micrograd_like.drawing.figure import Plot, canvas, stacked
from micrograd_like.drawing.formula import signed as shown_signed
from micrograd_like.drawing.images import Pictures, plot_pictures, weights_of
from micrograd_like.drawing.style import EFFECTS, NEUTRAL, SMALL
from micrograd_like.engine import Value, one
from micrograd_like.explain.canvas import BARS, ROW, colour, number_at, short_names
from micrograd_like.explain.line import Line, shares
from micrograd_like.explain.replay import Backward, Curvature, Replay
from micrograd_like.explain.report import (
    Parameters,
    Report,
    Table,
    cell,
    check_count,
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
from micrograd_like.optim import Optimizer


@dataclass(frozen=True)
class ParameterStep:
    """Say what one parameter did in a step. Changes are of the loss: below 0 is for the better.

    >>> from micrograd_like import Value
    >>> w, b = Value(2.0, label="w"), Value(-1.0, label="b")
    >>> loss = (w * 3.0 + b - 4.0) ** 2
    >>> entry = explain_step(loss, [w, b], lr=0.01)["w"]
    >>> entry.gradient, round(entry.predicted, 6), round(entry.alone, 6), round(entry.share, 6)
    (6.0, -0.36, -0.3276, -0.324)

    Attributes:
        name: the parameter's
        value: before the step
        gradient: ∂L/∂p
        step: how far it moves: -lr · gradient
        predicted: gradient · step: the change if the loss were a straight line
        alone: the change if only this parameter moved, by evaluating the loss again
        curvature: ∂²L/∂p²
        share: its part of the whole step's change: the integral of the gradient along the step
        has_path: False where the loss does not depend on it
    """

    name: str
    value: Number
    gradient: Number
    step: Number
    predicted: Number
    alone: Number
    curvature: Number
    share: Number
    has_path: bool = True


@dataclass(frozen=True, repr=False)
class StepReport(Report):
    """Account for one step, parameter by parameter.

    `report["layers[0].neurons[2].b"]` is one parameter's entry; `report.parameters` are all, in the order given, and so are
    those that a loop over the report meets.

    >>> from micrograd_like import Value
    >>> w, b = Value(2.0, label="w"), Value(-1.0, label="b")
    >>> loss = (w * 3.0 + b - 4.0) ** 2
    >>> report = explain_step(loss, [w, b], lr=0.01)
    >>> round(report.change, 6), round(report.predicted, 6), [entry.name for entry in report.by_share]
    (-0.36, -0.4, ['w', 'b'])

    Attributes:
        before: the loss
        after: the loss after the step
        predicted: the sum of the parameters' predictions
        alone: the sum of the changes that each parameter would make alone
        parameters: a `ParameterStep` for each, in the order given
        lr: the learning rate; None for a move that is not -lr · gradient
        method: how the shares were computed: "exact", "Gauss-Legendre" or "composite"
        cuts: where on the way, from 0 to 1, a relu, abs, max or min switched and the line was cut
        highest: the largest |loss| seen on the way; infinite or nan where the way leads through a pole
        loss: what was explained, to be drawn
    """

    before: Number
    after: Number
    predicted: Number
    alone: Number
    parameters: tuple[ParameterStep, ...]
    lr: Number | None
    method: str
    cuts: tuple[Number, ...]
    highest: Number = 0
    loss: Value | None = field(default=None, compare=False)

    @property
    def change(self) -> Number:
        """after - before."""
        return self.after - self.before

    @property
    def interaction(self) -> Number:
        """What the changes that each parameter makes alone leave unexplained: change - alone."""
        return self.change - self.alone

    @property
    def residual(self) -> Number:
        """What the shares leave unexplained: change - Σ share. The numerical error of the shares, 0 where exact."""
        return self.change - added(entry.share for entry in self.parameters)

    @property
    def by_share(self) -> list[ParameterStep]:
        """The parameters, the largest share first, whether it helps or hurts."""
        return sorted(self.parameters, key=lambda entry: -abs(entry.share))

    def __getitem__(self, name: str) -> ParameterStep:
        for entry in self.parameters:
            if entry.name == name:
                return entry
        raise KeyError(f"no parameter {name!r} in this report")

    def __iter__(self) -> Iterator[ParameterStep]:
        return iter(self.parameters)

    def __len__(self) -> int:
        return len(self.parameters)

    @property
    def title(self) -> str:
        change = self.change
        verb = "lowers" if change < 0 else "raises" if change > 0 else "does not change"
        step = "The step" if self.lr is None else f"The step with learning rate {show(self.lr)}"
        fall = f" from {show(self.before)} to {show(self.after)}" if change else ""
        return f"{step} {verb} the loss{fall}: {signed(change)}, where the gradient predicted {signed(self.predicted)}"

    @property
    def lesson(self) -> str:
        """Why the prediction and the truth differ, in two sentences with their numbers."""
        count = len(self.parameters)
        alone = sum(entry.alone > 0 for entry in self.parameters)
        together = sum(entry.share > 0 for entry in self.parameters)
        lost = [entry.name for entry in self.parameters if not isfinite(entry.alone)]
        if lost:
            return (
                f"Alone, {_listed(lost)} would make the loss infinite or no number at all; moving together, "
                f"{together or 'none'} of {count} hurt in the shares of what happened."
            )
        return (
            f"Alone, {alone or 'none'} of {count} parameters would raise the loss, and their changes add up to "
            f"{signed(self.alone)}. Moving together they interact by {signed(self.interaction)}, and "
            f"{together or 'none'} of {count} hurt in the shares of what happened."
        )

    @property
    def exactness(self) -> str:
        """How well the shares add up to the change, and where they do not, why."""
        left = self.residual
        scale = max(abs(self.change), abs(self.predicted))
        fractions = any(isinstance(entry.value, Fraction) for entry in self.parameters)
        if self.method == "exact":
            if left == 0:
                return "The shares are exact fractions: they add up to the change, and nothing is left over."
            return (
                f"The shares leave {signed(left)} over: on the way something switches at an irrational place, which is "
                "known to 2^-120."
            )
        if not isfinite(self.highest) or self.highest > 1e6 * max(scale, abs(self.before), abs(self.after)):
            return (
                "On the way the loss goes through infinity (a pole), where no gradient can be added up: the shares "
                f"leave {signed(left)} over, and explain nothing."
            )
        how = f" ({self.method}, cut at {len(self.cuts)} switches)" if self.cuts else f" ({self.method})"
        if not abs(left) <= 1e-3 * scale:
            return (
                f"The shares do not add up to the change, {signed(left)} is left over: the loss jumps on the way{how}."
            )
        if fractions:
            return (
                f"The shares leave {signed(left)} over: along the step the loss is no polynomial of fractions, so they "
                f"were computed with floats{how}."
            )
        return f"The shares add up to the change but for {signed(left)}{how}."

    def _table(self, rows: int | None) -> Table:
        body = [_row(entry) for entry in self.by_share[:rows]]
        total = ("all", "", "", "", cell(self.predicted), cell(self.alone), "", cell(self.change - self.residual))
        notes = [*rest(len(self.parameters), rows, "parameters"), self.lesson, self.exactness]
        columns = ("parameter", "value", "gradient", "step", "predicted", "alone", "curvature", "share")
        return Table(columns, [*body, total], notes=notes, spare=("curvature", "value", "step"))

    def plot(self) -> Plot:
        """The network coloured by shares above its parameters' predictions, changes alone and shares as bars.

        The network is in the SVG, where the step was explained for neurons and they still have the weights of the step;
        matplotlib's figure is the bars.
        """
        return _StepPlot(self)


class _StepPlot(Plot):
    """The bars of a step, and in the SVG the network above them."""

    def __init__(self, report: StepReport) -> None:
        self.report = report
        lesson = " ".join((report.lesson, report.exactness))
        super().__init__(_lanes(report, report.title), lesson)

    def to_svg(self) -> str:
        network = _network(self.report)
        if network is None:
            return super().to_svg()
        lanes = Plot(_lanes(self.report, ""))
        return stacked(self.report.title, self.summary, [network, lanes.to_svg()])


def _network(report: StepReport) -> str | None:
    """The network that the step was explained for, its weights coloured by their shares; None where there is none."""
    if report.loss is None:
        return None
    nodes = {node.label: node for node in graph.leaves(report.loss) if node.label}
    if any(entry.name not in nodes or nodes[entry.name].data != entry.value for entry in report.parameters):
        return None
    try:
        return draw_dot(report.loss, depth="neurons", report=report).to_svg()
    except (ValueError, ImportError, graphviz.ExecutableNotFound):  # no neurons, or nothing to lay them out with
        return None


LANES = {"predicted": "gradient · step", "alone": "if only it moved", "share": "of what happened"}


def _lanes(report: StepReport, title: str) -> Any:
    """Three columns of bars on one scale, the largest share first; a longer prediction is cut off, with its number."""
    called = short_names(entry.name for entry in report.parameters)
    found = [entry for entry in report.by_share[:BARS] if entry.has_path]
    others = report.by_share[len(found) :]
    names = [called[entry.name] for entry in found]
    columns: dict[str, list[Number]] = {kind: [getattr(e, kind) for e in found] for kind in LANES}
    if others:
        names.append(f"{len(others)} others")
        for kind in LANES:
            columns[kind].append(added(getattr(entry, kind) for entry in others))
    totals = {"predicted": report.predicted, "alone": report.alone, "share": report.change}
    numbers = {kind: [as_float(x) for x in column] for kind, column in columns.items()}
    true = [abs(x) for kind in ("alone", "share") for x in numbers[kind] if isfinite(x)]
    predicted = [abs(x) for x in numbers["predicted"] if isfinite(x)]
    limit = min(max([*true, *predicted], default=0.0), 3 * max(true, default=0.0)) or max([*predicted, 1e-300])
    room = 1.9 * limit
    signs = [x for column in numbers.values() for x in column]
    sides = (-room if any(x < 0 for x in signs) else -0.15 * limit, room if any(x > 0 for x in signs) else 0.15 * limit)
    with canvas(74 + ROW * (len(names) + 1), 1, 3, title=title, sharey=True) as (figure, grid):
        for axes, (kind, meaning) in zip(grid[0], LANES.items(), strict=True):
            for place, x in enumerate(numbers[kind]):
                tip = max(min(x, 1.12 * limit), -1.12 * limit) if isfinite(x) else 0.0
                axes.barh(place, tip, color=colour(x), height=0.72)
                if abs(x) > 1.12 * limit:  # a white gap says that the bar is longer
                    axes.barh(place, 0.03 * limit, left=0.9 * tip, color="white", height=0.76)
                number_at(axes, x, place, tip)
            left = sides[0] < -limit
            axes.annotate(f"all {shown_signed(totals[kind], 3)}", (0, len(names)), xytext=(-4 if left else 4, 0),
                          textcoords="offset points", va="center", fontweight="bold",
                          ha="right" if left else "left", color=colour(totals[kind]))  # fmt: skip
            axes.axvline(0, color=NEUTRAL, linewidth=0.8)
            axes.set_xlim(*sides)
            axes.set_title(f"{kind}: {meaning}", fontsize=SMALL)
            axes.grid(False)
            axes.set_xticks([])
            axes.spines[:].set_visible(False)
            axes.tick_params(axis="y", length=0)
        grid[0, 0].set_ylim(len(names) + 0.6, -0.6)
        grid[0, 0].set_yticks(range(len(names) + 1), [*names, "the whole step"])
        figure.supxlabel("change of the loss: blue lowers it, orange raises it; one scale", fontsize=SMALL)
    return figure


def weight_pictures(report: _Entries, layer: Any, shape: tuple[int, int] = (8, 8)) -> Plot:
    """Draw every neuron's weights as two pictures: what each did to the loss, and what was predicted.

    >>> import micrograd_like as mg
    >>> model = mg.MLP(4, [2, 1], rng=0)
    >>> report = explain_step(mg.mse_loss(model([1.0, 0.0, 0.5, 1.0]), 1.0), model, lr=0.01)
    >>> weight_pictures(report, model.layers[0], shape=(2, 2)).title
    'The weights of neuron 0 lowered the loss most, by 0.000192 of −0.000192 that all did'

    Args:
        report: an explained step of a model that holds the layer, or many steps' sums.
        layer: its parameters' labels are their names in the report.
        shape: (height, width) of the picture that the neurons look at.

    Raises:
        ImportError: matplotlib is missing.
        KeyError: the report does not have one of the layer's weights.
        TypeError: the report or the layer is none.
        ValueError: a neuron has not as many weights as the shape has pixels.
    """
    if not (isinstance(report, Report) and hasattr(report, "parameters")):
        raise TypeError(f"expected a report of `explain_step`, or `ExplainSteps`, got {type(report).__name__}")
    entries = {entry.name: entry for entry in report.parameters}
    found = [[entries[w.label] for w in row] for row in weights_of(layer)]
    shares = [[as_float(entry.share) for entry in row] for row in found]
    predictions = [[as_float(entry.predicted) for entry in row] for row in found]
    sums = [added(row) for row in shares]
    most = max(range(len(sums)), key=lambda i: abs(sums[i]))
    verb = "lowered" if sums[most] < 0 else "raised" if sums[most] > 0 else "did not change"
    by = f", by {cell(abs(sums[most]), sign=False)} of {cell(added(sums))} that all did" if sums[most] else ""
    longest = max((abs(x) for row in predictions for x in row if isfinite(x)), default=0.0)
    largest = max((abs(x) for row in shares for x in row if isfinite(x)), default=0.0)
    near = longest <= 4 * largest  # else nothing would be seen of the shares
    top = max(longest, largest) if near else 0.0
    kinds = [
        Pictures("share", shares, "what the weight did to the loss: blue lowered it, orange raised it", EFFECTS, top),
        Pictures(
            "predicted", predictions, f"what its gradient predicted{'' if near else '; on its own scale'}", EFFECTS, top
        ),
    ]
    title = f"The weights of neuron {most} {verb} the loss{' most' if sums[most] else ''}{by}"
    return plot_pictures([f"neuron {i}" for i in range(len(found))], kinds, shape, title)


class _Entry(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def share(self) -> Number: ...
    @property
    def predicted(self) -> Number: ...


class _Entries(Protocol):
    @property
    def parameters(self) -> Sequence[_Entry]: ...


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} others" if len(names) > 3 else shown


def _row(entry: ParameterStep) -> tuple[str, ...]:
    if not entry.has_path:
        return entry.name, cell(entry.value, sign=False), "no path", "0", "0", "0", "0", "0"
    changes = (entry.gradient, entry.step, entry.predicted, entry.alone, entry.curvature, entry.share)
    return entry.name, cell(entry.value, sign=False), *map(cell, changes)


def explain_step(
    loss: Value,
    parameters: Parameters | Optimizer,
    lr: Any = None,
    *,
    tolerance: float = 1e-9,
    budget: int | None = None,
    progress: bool | None = None,
    n_jobs: int | None = None,
) -> StepReport:
    """Explain what a step -lr · gradient would do to a recorded loss, and what each parameter's part in it is.

    An optimizer in place of the parameters explains the step that it would make, with its own rate and its momentum, from
    the gradients that `backward` has left. Nothing moves: the graph, its `.data` and its `.grad` stay as they are.

    Cost, with N the nodes of the graph that depend on a parameter: the gradient, a constant times N. Each parameter's
    `alone` evaluates its own dependents again (a neuron in one node costs its fan-in); its `curvature` is a
    multiplication for each of their edges. The shares cost one gradient per Gauss–Legendre node, at most about `budget`
    of them.

    Args:
        loss: a recorded loss, of one sample or of many.
        parameters: a module, names to Values, Values (named by their labels), or an optimizer.
        lr: the learning rate; not for an optimizer, which has its own. Beside fractions it is taken as a fraction. None is
            1/curvature, where the curvature is the loss's along its gradient: the step to the floor of the parabola that
            the loss looks like from here. Where it does not bend up there is no such floor, and lr must be given.
        tolerance: how exactly the shares are to add up, relative to the change (or its prediction, if that is larger).
        budget: the most gradients to compute for the shares; None for 64 to 4,096, fewer for larger graphs.
        progress: True for a progress bar (tqdm), False for none, None for one on a terminal that has tqdm.
        n_jobs: how many processes share the parameters and the gradients, as in scikit-learn: None is 1, or what
            `joblib.parallel_config` says, -1 all cores. The numbers are the same for any. The others are forked after
            0.1 s of work, each with memory of its own; numbers that are no floats, and systems that cannot fork
            (Windows, macOS), are explained by one.

    >>> w, b = Value(2.0, label="w"), Value(0.5, label="b")
    >>> report = explain_step((w * 3.0 + b) ** 2, [w, b], lr=0.01)
    >>> report.before, round(report.after, 4), round(report["w"].share, 4)
    (42.25, 27.04, -13.689)
    >>> report = explain_step((w * 3.0 + b) ** 2, [w, b])
    >>> report.lr, round(report.after, 12)
    (0.05, 0.0)

    Raises:
        TypeError: the loss or a parameter is not a Value, a number is none, or there is an lr beside an optimizer, or none
            where the loss does not bend up along its gradient.
        ValueError: the loss or its gradient is not finite, before or after the step; a number is out of its range; a
            parameter occurs twice; none of the parameters is one that the loss depends on; or the graph is out of date.
    """
    if isinstance(parameters, Optimizer):
        if lr is not None:
            raise TypeError("expected no lr beside an optimizer, which has its own rate")
        by_name = named(parameters.parameters)
        moves = dict(zip(by_name, parameters.moves(), strict=True))
        return _explain(loss, by_name, None, moves, tolerance, budget, progress, n_jobs)
    lr = None if lr is None else number(check_positive("lr", lr))
    return _explain(loss, parameters, lr, None, tolerance, budget, progress, n_jobs)


def explain_move(
    loss: Value,
    parameters: Parameters,
    moves: Mapping[str, Any],
    *,
    tolerance: float = 1e-9,
    budget: int | None = None,
    progress: bool | None = None,
    n_jobs: int | None = None,
) -> StepReport:
    """Explain any step, as `explain_step` explains -lr · gradient.

    `moves` says how far each parameter goes, by name; 0 where it says nothing.

    >>> from micrograd_like import Value
    >>> w, b = Value(2.0, label="w"), Value(-1.0, label="b")
    >>> loss = (w * 3.0 + b - 4.0) ** 2
    >>> report = explain_move(loss, [w, b], {"w": 0.5})
    >>> report.change, report["b"].share
    (5.25, 0.0)

    Raises:
        TypeError: as `explain_step`, or `moves` is no mapping.
        ValueError: as `explain_step`, or a name in `moves` is not a parameter's.
    """
    mapped("moves", moves, "names to numbers")
    return _explain(loss, parameters, None, moves, tolerance, budget, progress, n_jobs)


def _explain(
    loss: Value,
    parameters: Parameters,
    lr: Number | None,
    moves: Mapping[str, Any] | None,
    tolerance: float,
    budget: int | None,
    progress: bool | None,
    n_jobs: int | None,
) -> StepReport:
    check_loss(loss)
    check_positive("tolerance", tolerance)
    if not (progress is None or isinstance(progress, bool)):
        raise TypeError(f"expected progress as True, False or None, got {type(progress).__name__}: {progress!r:.60}")
    by_name = named(parameters)
    replay = Replay(loss)
    slots = {name: replay.slots[p] for name, p in by_name.items() if p in replay.slots}
    if not slots:
        raise ValueError(
            f"the loss depends on none of the {len(by_name)} parameters ({next(iter(by_name))}, …): "
            "was it computed by another model, by a copy, or by a compiled fit, whose losses have no graph?"
        )
    backward = Backward(replay, list(slots.values()))
    budget = _budget(len(backward.forward)) if budget is None else check_count("budget", budget)
    base = replay.base
    adjoints = backward(base)
    for name, slot in slots.items():
        if not isfinite(adjoints[slot]):
            raise ValueError(f"the gradient of {name} is {adjoints[slot]}; expected a finite number")
    curvature = Curvature(replay, backward, adjoints)
    if lr is None and moves is None:
        lr = _to_the_floor(curvature, {slot: adjoints[slot] for slot in slots.values()})
    delta = {slots[name]: step for name, step in _steps(by_name, slots, adjoints, lr, moves).items() if name in slots}
    line = Line(replay, delta, backward)
    before, after = loss.data, line.look(one(loss.data)).loss
    if after != after:
        raise ValueError("the step would make the loss nan, which is no number: it leaves the domain of an operation")
    if not isfinite(after):
        raise ValueError(f"the step would make the loss {after}: it is too large to be explained")

    def by_itself(slot: int) -> tuple[Number, Number]:
        alone = replay.root_moved(slot, base[slot] + delta[slot]) - before
        return alone, curvature.along({slot: one(base[slot])})

    jobs = n_jobs if type(before) is float else 1  # others' precision is a matter of their process
    with progress_bar(progress, len(slots), "parameter") as bar, Crew(by_itself, jobs) as crew:
        by_themselves = dict(zip(slots, crew.map(list(slots.values()), _update(bar)), strict=True))
    with progress_bar(progress, budget, "gradient") as bar:
        found = shares(line, before, after, tolerance, budget, n_jobs, _update(bar))
    steps = []
    for name, parameter in by_name.items():
        if name in slots:
            slot, (alone, bend) = slots[name], by_themselves[name]
            g, step = adjoints[slot], delta[slot]
            steps.append(ParameterStep(name, base[slot], g, step, g * step, alone, bend, found.by_slot[slot]))
        else:
            steps.append(ParameterStep(name, parameter.data, 0, 0, 0, 0, 0, 0, has_path=False))
    return StepReport(
        before=before,
        after=after,
        predicted=added(entry.predicted for entry in steps),
        alone=added(entry.alone for entry in steps),
        parameters=tuple(steps),
        lr=lr,
        method=found.method,
        cuts=tuple(found.cuts),
        highest=found.highest,
        loss=loss,
    )


def _to_the_floor(curvature: Curvature, gradient: Mapping[int, Number]) -> Number:
    """The learning rate that would lead to the floor of the loss, were it a parabola along its gradient."""
    bend = curvature.along(gradient)
    if not (isfinite(bend) and bend > 0):
        raise TypeError(
            "expected a learning rate lr, or an optimizer in place of the parameters: the loss does not bend up along its "
            "gradient, so no step suggests itself"
        )
    return added(g * g for g in gradient.values()) / bend


def _update(bar: Any) -> Callable[[int], object] | None:
    return None if bar is None else bar.update


def _budget(size: int) -> int:
    return min(max(6_000_000 // max(size, 1), 64), 4096)


def _steps(
    by_name: Mapping[str, Value], slots: Mapping[str, int], adjoints: Any, lr: Number | None, moves: Any
) -> dict[str, Number]:
    """How far each parameter moves, in its own carrier."""
    if moves is None:
        return {name: -in_carrier(lr, by_name[name].data) * adjoints[slot] for name, slot in slots.items()}
    for name in moves:
        if name not in by_name:
            raise ValueError(f"expected moves for the parameters, got one for {name!r:.60}")
    steps = {name: in_carrier(number(moves.get(name, 0)), by_name[name].data) for name in slots}
    for name, step in steps.items():
        if not isfinite(step):
            raise ValueError(f"expected a finite move for {name}, got {step}")
    return steps
