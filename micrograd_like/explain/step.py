"""One step of gradient descent, explained parameter by parameter: what was promised, and what happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from micrograd_like._extras import progress_bar
from micrograd_like.drawing.plots import Plot
from micrograd_like.engine import Value, one
from micrograd_like.explain.line import Line, shares
from micrograd_like.explain.replay import Backward, Curvature, Replay
from micrograd_like.explain.report import (
    Parameters,
    Report,
    Table,
    check_count,
    check_loss,
    check_positive,
    in_carrier,
    named,
    rest,
    show,
    signed,
)
from micrograd_like.ieee import Number, number


@dataclass(frozen=True)
class ParameterStep:
    """What one parameter did in a step. Changes are of the loss: below 0 is for the better."""

    name: str
    value: Number  # before the step
    gradient: Number  # ∂L/∂p
    step: Number  # how far it moves: -lr · gradient
    predicted: Number  # gradient · step: the change if the loss were a straight line
    alone: Number  # the change if only this parameter moved, by evaluating the loss again
    curvature: Number  # ∂²L/∂p²
    share: Number  # its part of the whole step's change: the integral of the gradient along the step
    has_path: bool = True  # False where the loss does not depend on it


@dataclass(frozen=True, repr=False)
class StepReport(Report):
    """One step, parameter by parameter.

    `report["layers[0].neurons[2].b"]` is one parameter's entry; `report.parameters` are all, in the order given.
    """

    before: Number  # the loss
    after: Number
    predicted: Number  # the sum of the parameters' predictions
    alone: Number  # the sum of the changes that each parameter would make alone
    parameters: tuple[ParameterStep, ...]
    lr: Number | None  # None for a move that is not -lr · gradient
    method: str  # how the shares were computed: "exact", "Gauss-Legendre" or "composite"
    cuts: tuple[Number, ...]  # where on the way, from 0 to 1, a relu, abs, max or min switched and the line was cut

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
        return self.change - sum(entry.share for entry in self.parameters)

    @property
    def by_share(self) -> list[ParameterStep]:
        """The parameters, the largest share first, whether it helps or hurts."""
        return sorted(self.parameters, key=lambda entry: -abs(entry.share))

    def __getitem__(self, name: str) -> ParameterStep:
        for entry in self.parameters:
            if entry.name == name:
                return entry
        raise KeyError(f"no parameter {name!r} in this report")

    @property
    def title(self) -> str:
        change = self.change
        verb = "lowers" if change < 0 else "raises" if change > 0 else "does not change"
        step = "The step" if self.lr is None else f"The step with learning rate {show(self.lr)}"
        fall = f" from {show(self.before)} to {show(self.after)}" if change else ""
        return f"{step} {verb} the loss{fall}: {signed(change)}, where the gradient promised {signed(self.predicted)}"

    @property
    def lesson(self) -> str:
        """Why the promise and the truth differ, in two sentences with their numbers."""
        count = len(self.parameters)
        alone = sum(entry.alone > 0 for entry in self.parameters)
        together = sum(entry.share > 0 for entry in self.parameters)
        return (
            f"Alone, {alone or 'none'} of {count} parameters would raise the loss, and their changes add up to "
            f"{signed(self.alone)}. Moving together they interact by {signed(self.interaction)}, and "
            f"{together or 'none'} of {count} hurt in the shares of what really happened."
        )

    def _table(self, rows: int | None) -> Table:
        body = [_row(entry) for entry in self.by_share[:rows]]
        total = ("all", "", "", "", signed(self.predicted), signed(self.alone), "", signed(self.change - self.residual))
        notes = [
            *rest(len(self.parameters), rows, "parameters"),
            self.lesson,
            f"The shares ({self.method}, cut at {len(self.cuts)} switches) leave a residual of {signed(self.residual)}.",
        ]
        columns = ("parameter", "value", "gradient", "step", "predicted", "alone", "curvature", "share")
        return Table(columns, [*body, total], notes=notes)

    def plot(self) -> Plot:
        from micrograd_like.explain.pictures import waterfall

        return waterfall(self)


def _row(entry: ParameterStep) -> tuple[str, ...]:
    if not entry.has_path:
        return entry.name, show(entry.value), "no path", "0", "0", "0", "0", "0"
    changes = (entry.gradient, entry.step, entry.predicted, entry.alone, entry.curvature, entry.share)
    return entry.name, show(entry.value), *map(signed, changes)


def explain_step(
    loss: Value,
    parameters: Parameters,
    lr: Any,
    *,
    tolerance: float = 1e-9,
    budget: int | None = None,
    progress: bool | None = None,
) -> StepReport:
    """What a step -lr · gradient would do to a recorded loss, and what each parameter's part in it is.

    Nothing moves: the graph, its `.data` and its `.grad` stay as they are.

    Cost, with N the nodes of the graph that depend on a parameter: the gradient, a constant times N. Each parameter's
    `alone` evaluates its own dependents again (a neuron in one node costs its fan-in); its `curvature` is a
    multiplication for each of their edges. The shares cost one gradient per Gauss–Legendre node, at most about `budget`
    of them.

    Args:
        loss: a recorded loss, of one sample or of many.
        parameters: a module, names to Values, or Values (named by their labels).
        lr: the learning rate. Beside fractions it is taken as a fraction.
        tolerance: how exactly the shares are to add up, relative to the change (or its prediction, if that is larger).
        budget: the most gradients to compute for the shares; None for 64 to 4,096, fewer for larger graphs.
        progress: True for a progress bar (tqdm), False for none, None for one on a terminal that has tqdm.

    >>> w, b = Value(2.0, label="w"), Value(0.5, label="b")
    >>> report = explain_step((w * 3.0 + b) ** 2, [w, b], lr=0.01)
    >>> report.before, round(report.after, 4), round(report["w"].share, 4)
    (42.25, 27.04, -13.689)

    Raises:
        TypeError: the loss or a parameter is not a Value, or a number is none.
        ValueError: the loss or its gradient is not finite, before or after the step; a number is out of its range; a
            parameter occurs twice; none of the parameters is one that the loss depends on; or the graph is out of date.
    """
    check_positive("lr", lr)
    lr = number(lr)
    return _explain(loss, parameters, lr, None, tolerance, budget, progress)


def explain_move(
    loss: Value,
    parameters: Parameters,
    moves: Mapping[str, Any],
    *,
    tolerance: float = 1e-9,
    budget: int | None = None,
    progress: bool | None = None,
) -> StepReport:
    """The same as `explain_step` for any step: `moves` says how far each parameter goes, by name; 0 where it says nothing.

    Raises:
        ValueError: as `explain_step`, or a name in `moves` is not a parameter's.
    """
    return _explain(loss, parameters, None, moves, tolerance, budget, progress)


def _explain(
    loss: Value,
    parameters: Parameters,
    lr: Number | None,
    moves: Mapping[str, Any] | None,
    tolerance: float,
    budget: int | None,
    progress: bool | None,
) -> StepReport:
    check_loss(loss)
    check_positive("tolerance", tolerance)
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
    delta = {slots[name]: step for name, step in _steps(by_name, slots, adjoints, lr, moves).items() if name in slots}
    line = Line(replay, delta, backward)
    before, after = loss.data, line.look(one(loss.data)).loss
    if not isfinite(after):
        raise ValueError(f"the step would make the loss {after}: it is too large to be explained")
    with progress_bar(progress, len(slots), "parameter") as bar:
        entries = []
        curvature = Curvature(replay, backward, adjoints)
        for name, parameter in by_name.items():
            if name not in slots:
                entries.append((name, parameter.data, 0, 0, 0, 0, False))
                continue
            slot = slots[name]
            alone = replay.root_moved(slot, base[slot] + delta[slot]) - before
            bend = curvature.along({slot: one(base[slot])})
            entries.append((name, base[slot], adjoints[slot], delta[slot], alone, bend, True))
            if bar is not None:
                bar.update()
    with progress_bar(progress, budget, "gradient") as bar:
        found = shares(line, before, after, tolerance, budget, bar.update if bar is not None else None)
    steps = tuple(
        ParameterStep(name, value, g, step, g * step, alone, bend, found.by_slot.get(slots.get(name, -1), 0), has_path)
        for name, value, g, step, alone, bend, has_path in entries
    )
    return StepReport(
        before=before,
        after=after,
        predicted=sum(entry.predicted for entry in steps),
        alone=sum(entry.alone for entry in steps),
        parameters=steps,
        lr=lr,
        method=found.method,
        cuts=tuple(found.cuts),
    )


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
