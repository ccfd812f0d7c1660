"""The curves of a training: loss and accuracy over its steps."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any, Protocol

from micrograd_like._extras import require
from micrograd_like.checks import shown
from micrograd_like.drawing.figure import Plot, canvas, label_end, name_axes
from micrograd_like.drawing.style import NEUTRAL, SERIES


class _Epoch(Protocol):
    @property
    def steps(self) -> int: ...
    @property
    def loss(self) -> float: ...
    @property
    def accuracy(self) -> float | None: ...
    @property
    def held_out_loss(self) -> float | None: ...
    @property
    def held_out_accuracy(self) -> float | None: ...


class _History(Protocol):
    @property
    def losses(self) -> list[float]: ...
    @property
    def epochs(self) -> Sequence[_Epoch]: ...


def plot_learning(history: _History) -> Plot:
    """Plot loss and, where it was measured, accuracy over the steps of a training, on its own and on held-out samples.

    >>> import micrograd_like as mg
    >>> model = mg.Neuron(1, nonlin=False, rng=0)
    >>> optimizer = mg.SGD(model.parameters(), lr=0.1)
    >>> history = mg.fit(model, [([1.0], 2.0)], mg.mse_loss, optimizer, epochs=3, correct=None)
    >>> print(plot_learning(history).title)
    The loss falls from 1.72 to 0.223

    Args:
        history: what `fit` returns.

    Raises:
        ImportError: matplotlib is missing.
        TypeError: it is no history.
        ValueError: the history has no steps.
    """
    if not isinstance(getattr(history, "losses", None), list):
        raise TypeError(f"expected a history, which `fit` returns, got {type(history).__name__}: {shown(history)}")
    if not history.losses:
        raise ValueError("expected a history with at least one step, got an empty one")
    epochs = history.epochs
    with_accuracy = any(epoch.accuracy is not None for epoch in epochs)
    message = _learned(history)
    with canvas(380, 1, 1 + with_accuracy, title=message) as (figure, grid):
        loss = grid[0, 0]
        steps = range(1, len(history.losses) + 1)
        loss.plot(steps, history.losses, color=NEUTRAL, alpha=0.55, linewidth=0.8, label="one step's mini-batch")
        _epoch_lines(loss, epochs, "loss", "held_out_loss")
        if not epochs:
            label_end(loss, "each step's mini-batch", steps, history.losses, NEUTRAL)
        batches = " (grey: each step's mini-batch)" if epochs else ""
        highest = max(filter(isfinite, history.losses), default=1.0)
        measured = [y for e in epochs for y in (e.loss, e.held_out_loss) if y is not None and isfinite(y)]
        # The noise of single batches does not set the scale: what was measured over epochs does.
        loss.set_ylim(
            min(0.0, *filter(isfinite, history.losses)), 1.05 * min(highest, 2 * max([*measured, 0.0]) or highest)
        )
        across = f"steps ({len(epochs)} epochs, a dot for each)" if epochs else "steps"
        name_axes(loss, across, f"loss{batches}")
        if with_accuracy:
            _epoch_lines(grid[0, 1], epochs, "accuracy", "held_out_accuracy")
            grid[0, 1].yaxis.set_major_formatter(
                require("matplotlib.ticker", extra="plots").PercentFormatter(1.0, decimals=0)
            )
            name_axes(grid[0, 1], across, "share that it gets right")
    return Plot(figure, message + ".")


def _learned(history: _History) -> str:
    """What a training came to, in a sentence."""
    epochs = history.epochs
    lost = [epoch.held_out_loss for epoch in epochs if epoch.held_out_loss is not None]
    told = [epoch.held_out_accuracy for epoch in epochs if epoch.held_out_accuracy is not None]
    unseen = " on samples it never saw" if lost else ""
    losses = lost or [epoch.loss for epoch in epochs] or history.losses
    told = told or [epoch.accuracy for epoch in epochs if epoch.accuracy is not None and not lost]
    words = f"{_moved(losses, '{:.3g}', 'The loss')}{unseen}"
    return f"{words}; {_moved(told, '{:.1%}', 'right')}" if told else words


def _moved(numbers: Sequence[float], form: str, what: str) -> str:
    first, last = numbers[0], numbers[-1]
    ends = f"from {form.format(first)} to {form.format(last)}"
    if what == "right":
        return f"it gets {form.format(last)} right, {form.format(first)} after the first epoch"
    verb = "falls" if last < first else "rises" if last > first else "stays"
    best = min(numbers)
    lowest = f" ({form.format(best)} at its lowest)" if best < min(first, last) else ""
    return f"{what} {verb} {ends}{lowest}"


def _epoch_lines(axes: Any, epochs: Sequence[_Epoch], training: str, held_out: str) -> None:
    """A line through the epochs for the training samples, and one for those held out."""
    for attribute, label, colour, style in (
        (training, "training", SERIES[0][1], "-"),
        (held_out, "held-out", SERIES[1][1], "--"),
    ):
        points = [(float(epoch.steps), y) for epoch in epochs if (y := getattr(epoch, attribute)) is not None]
        if points:
            xs, ys = zip(*points, strict=True)
            axes.plot(xs, ys, color=colour, linestyle=style, marker="o", markersize=5, label=label)
            label_end(axes, label, xs, ys, colour)
