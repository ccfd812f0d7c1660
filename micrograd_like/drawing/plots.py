"""Plots by matplotlib in one house style: legible on light and dark pages, and the same bytes for the same numbers."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Protocol

from micrograd_like._extras import require
from micrograd_like.drawing.style import LOWERS, NEUTRAL, RAISES
from micrograd_like.engine import Value
from micrograd_like.ieee import as_float

STYLE = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.color": NEUTRAL,
    "legend.frameon": False,
    "legend.labelcolor": NEUTRAL,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), NEUTRAL),
    "svg.fonttype": "path",
    "svg.hashsalt": "micrograd_like",
}
PLAIN = ("#7b3294", "#f7f7f7", "#00843d")  # negative, zero, positive: purple and green
SIGNED = (LOWERS, "#f7f7f7", RAISES)  # the same for gradients, in the colours of the drawings


@contextmanager
def house_style() -> Iterator[Any]:
    """matplotlib in the house style for the length of a block; gives matplotlib with `figure`, `colors` and `ticker`.

    Raises:
        ImportError: matplotlib is missing; the error names the extra that installs it.
    """
    matplotlib = require("matplotlib", extra="plots")
    for module in ("figure", "colors", "ticker"):
        require(f"matplotlib.{module}", extra="plots")
    with matplotlib.rc_context(STYLE):
        yield matplotlib


class Plot:
    """A matplotlib figure that shows itself in a notebook and saves to the same bytes every time.

    Args:
        figure: the `matplotlib.figure.Figure`, made within `house_style()`.
    """

    def __init__(self, figure: Any) -> None:
        self.figure = figure
        with house_style():  # a layout that is computed again on every saving moves a little each time
            figure.draw_without_rendering()
            figure.draw_without_rendering()  # the second time it knows how high square pictures came out
            figure.set_layout_engine("none")

    def to_svg(self) -> str:
        """The plot as SVG."""
        file = io.StringIO()
        self.savefig(file, format="svg")
        return file.getvalue()

    def savefig(self, path: Any, **options: Any) -> None:
        """Write the plot to a file, in the format of its name; the options are those of matplotlib's `savefig`."""
        format = options.get("format") or Path(path).suffix.removeprefix(".")
        undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
        with house_style():
            self.figure.savefig(path, **{"metadata": undated.get(format), **options})

    def _repr_svg_(self) -> str:
        return self.to_svg()


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
    """Loss and, where it was measured, accuracy over the steps of a training, on its own and on held-out samples.

    Args:
        history: what `fit` returns.

    Raises:
        ImportError: matplotlib is missing.
        ValueError: the history has no steps.
    """
    if not history.losses:
        raise ValueError("expected a history with at least one step, got an empty one")
    epochs = history.epochs
    with_accuracy = any(epoch.accuracy is not None for epoch in epochs)
    with house_style() as matplotlib:
        figure = _figure(matplotlib, (9.0 if with_accuracy else 5.0, 3.4))
        axes = figure.subplots(1, 1 + with_accuracy, squeeze=False)[0]
        steps = range(1, len(history.losses) + 1)
        axes[0].plot(steps, history.losses, color=LOWERS, alpha=0.35, linewidth=0.6, label="one step's mini-batch")
        _lines(axes[0], epochs, "loss", "held_out_loss")
        axes[0].set_title(_from_to("Loss", [epoch.held_out_loss for epoch in epochs], "{:.4g}"))
        axes[0].set_ylabel("loss")
        axes[0].set_ylim(bottom=min(0.0, *history.losses))
        if with_accuracy:
            _lines(axes[1], epochs, "accuracy", "held_out_accuracy")
            axes[1].set_title(_from_to("Accuracy", [epoch.held_out_accuracy for epoch in epochs], "{:.1%}"))
            axes[1].set_ylabel("share told right")
            axes[1].yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1.0))
        for ax in axes:
            ax.set_xlabel(f"steps ({len(epochs)} epochs, a dot for each)" if epochs else "steps")
            ax.legend()
    return Plot(figure)


def _lines(axes: Any, epochs: Sequence[_Epoch], training: str, held_out: str) -> None:
    """A line through the epochs for the training samples, and one for those held out."""
    for attribute, label, colour, marker in (
        (training, "training, mean of the epoch", LOWERS, "o"),
        (held_out, "held-out", RAISES, "s"),
    ):
        points = [(epoch.steps, y) for epoch in epochs if (y := getattr(epoch, attribute)) is not None]
        if points:
            axes.plot(*zip(*points, strict=True), color=colour, marker=marker, markersize=3.5, label=label)


def _from_to(what: str, held_out: Sequence[float | None], form: str) -> str:
    known = [form.format(value) for value in held_out if value is not None]
    return f"{what}: held-out from {known[0]} to {known[-1]}" if known else what


@dataclass(frozen=True)
class Pictures:
    """One picture for each neuron: a number for each of its inputs."""

    title: str
    values: Sequence[Sequence[float]]
    meaning: str  # below the colour scale
    colours: tuple[str, str, str] = PLAIN  # of negative numbers, zero and positive ones


def plot_weights(layer: Any, shape: tuple[int, int] = (8, 8), *, gradients: bool = True) -> Plot:
    """Every neuron's weights as a picture, beside the same for their gradients.

    Args:
        layer: a `Layer`, or anything with `neurons` that have weights `w`.
        shape: (height, width) of the picture that the neurons look at.
        gradients: whether to show them; before any backward pass there are none to show.

    Raises:
        ImportError: matplotlib is missing.
        ValueError: a neuron has not as many weights as the shape has pixels.
    """
    rows: list[list[Value]] = [list(neuron.w) for neuron in layer.neurons]
    weights = [[as_float(w.data) for w in row] for row in rows]
    kinds = [Pictures("weights", weights, "weight: green lets its input raise the neuron, purple lower it")]
    if gradients and any(type(w.grad) is not int for row in rows for w in row):
        slopes = [[as_float(w.grad) for w in row] for row in rows]
        kinds.append(
            Pictures(
                "gradients",
                slopes,
                "gradient: raising a red weight raises the loss, a blue one lowers it",
                SIGNED,
            )
        )
    return plot_pictures([f"neurons[{i}]" for i in range(len(rows))], kinds, shape)


def plot_pictures(names: Sequence[str], kinds: Sequence[Pictures], shape: tuple[int, int]) -> Plot:
    """Pictures of every neuron, side by side: one of each kind, each kind with one colour scale for all neurons.

    Raises:
        ImportError: matplotlib is missing.
        ValueError: there is nothing to show, or a picture has not as many numbers as the shape has pixels.
    """
    height, width = shape
    if not names or not kinds:
        raise ValueError("expected at least one neuron and one kind of picture")
    for kind in kinds:
        for name, values in zip(names, kind.values, strict=True):
            if len(values) != height * width:
                raise ValueError(
                    f"expected {height} × {width} = {height * width} {kind.title}, {name} has {len(values)}"
                )
    across = min(4, len(names))
    down = -(-len(names) // across)
    with house_style() as matplotlib:
        tile = 1.15
        size = (across * len(kinds) * tile + 0.6, down * tile * (height / width + 0.3) + 0.9)
        figure = _figure(matplotlib, (max(size[0], 4.5 * len(kinds)), size[1]))
        grid = figure.add_gridspec(down + 1, across * len(kinds), height_ratios=[1.0] * down + [0.06])
        for k, kind in enumerate(kinds):
            limit = max((abs(x) for values in kind.values for x in values if isfinite(x)), default=0.0) or 1.0
            colours = matplotlib.colors.LinearSegmentedColormap.from_list(kind.title, kind.colours).with_extremes(
                bad=NEUTRAL
            )
            for i, (name, values) in enumerate(zip(names, kind.values, strict=True)):
                ax = figure.add_subplot(grid[i // across, i % across * len(kinds) + k])
                ax.grid(False)
                ax.spines[:].set_visible(True)
                pixels = [values[row * width : (row + 1) * width] for row in range(height)]
                mesh = ax.pcolormesh(pixels, cmap=colours, vmin=-limit, vmax=limit, edgecolors="face", linewidth=0.2)
                ax.invert_yaxis()
                ax.set_aspect("equal")
                ax.set(xticks=[], yticks=[])
                ax.set_title(f"{name}\n{kind.title}" if k == 0 else f"\n{kind.title}", fontsize=8)
            below = figure.add_subplot(grid[down, k * across : (k + 1) * across])
            bar = figure.colorbar(mesh, cax=below, orientation="horizontal")
            below.grid(False)
            bar.set_label(kind.meaning, fontsize=8)
    return Plot(figure)


def _figure(matplotlib: Any, size: tuple[float, float]) -> Any:
    return matplotlib.figure.Figure(figsize=size, layout="constrained")
