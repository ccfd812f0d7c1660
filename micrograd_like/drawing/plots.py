"""Plots for experiments: learning curves, lines, areas, walks on a loss, a classifier's regions, images and weights."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from typing import Any, Protocol

from micrograd_like._extras import require
from micrograd_like.checks import a_function, instance, listed, mapped, picture_shape, shown, texts, whole_number
from micrograd_like.drawing.figure import (
    PX,
    Plot,
    canvas,
    house_style,
    label_end,
    name_axes,
    one_line,
    plain,
    with_minus,
    wrapped,
)
from micrograd_like.drawing.formula import signed
from micrograd_like.drawing.style import (
    CAPTION,
    EFFECTS,
    NEGATIVE,
    NEUTRAL,
    PAGE_WIDTH,
    POSITIVE,
    SERIES,
    SMALL,
    WEIGHTS,
)
from micrograd_like.engine import Value
from micrograd_like.ieee import as_float, number

Point = tuple[float, float]
Line = tuple[tuple[float, ...], tuple[float, ...]]  # the xs and the ys


def _lines(name: str, lines: Any) -> dict[str, Line]:
    """Points by name as lines by name.

    Raises:
        TypeError: it is no mapping of texts to pairs of numbers.
    """
    found: dict[str, Line] = {}
    for line, points in mapped(name, lines, "names to points (x, y)").items():
        texts(**{f"the names of {name}": line})
        pairs = [
            _pair(f"the points of {shown(line)}", point) for point in listed(name, points, "lists of points (x, y)")
        ]
        found[line] = tuple(x for x, _ in pairs), tuple(y for _, y in pairs)
    return found


def _pair(name: str, point: Any) -> Point:
    try:
        x, y = point
    except (TypeError, ValueError):
        raise TypeError(f"expected {name} as pairs (x, y), got {shown(point)}") from None
    return plain(name, x), plain(name, y)


def _ends(line: Line) -> str:
    """Where a line begins and ends, in words."""
    finite = [y for y in line[1] if isfinite(y)]
    return f"from {finite[0]:.3g} to {finite[-1]:.3g}" if finite else "nothing to draw"


def plot_lines(
    lines: Mapping[str, Iterable[tuple[Any, Any]]],
    title: str = "",
    x: str = "",
    y: str = "",
    *,
    log: str = "",
    markers: bool | Collection[str] = False,
) -> Plot:
    """Plot lines through points (x, y), each labelled where it ends. Points that are not finite leave a gap.

    >>> plot = plot_lines({"square": [(x, x * x) for x in range(4)]}, title="A square grows", x="x", y="x²")
    >>> plot.title
    'A square grows'

    Args:
        lines: name → points; numbers or Values.
        title: what is to be seen, in a sentence.
        x: the name of the horizontal axis.
        y: the name of the vertical axis.
        log: the axes with a logarithmic scale: "", "x", "y" or "xy".
        markers: whether each point has a dot, or the names of the lines whose points have one.

    Raises:
        ImportError: matplotlib is missing.
        TypeError: the lines are no mapping of names to pairs of numbers, or a text is none.
        ValueError: there is no line, or an axis in `log` is unknown.
    """
    texts(title=title, x=x, y=y, log=log)
    drawn = _lines("lines", lines)
    if not drawn:
        raise ValueError("expected at least one line to plot")
    if not set(log) <= {"x", "y"}:
        raise ValueError(f"expected log as '', 'x', 'y' or 'xy', got {log!r:.60}")
    if not isinstance(markers, (bool, Collection)):
        raise TypeError(f"expected markers as True, False or names of lines, got {shown(markers)}")
    with canvas(380, title=title) as (figure, grid):
        axes = grid[0, 0]
        for axis in log:
            getattr(axes, f"set_{axis}scale")("log")
        for i, (name, line) in enumerate(drawn.items()):
            style, colour = SERIES[i % len(SERIES)]
            dots = markers if isinstance(markers, bool) else name in markers
            axes.plot(*line, linestyle=style, color=colour, label=name, marker="o" if dots else None, markersize=5)
        for i, (name, line) in enumerate(drawn.items() if len(drawn) > 1 else ()):
            label_end(axes, name, *line, SERIES[i % len(SERIES)][1])
        name_axes(axes, x, y)
    return Plot(figure, "; ".join(f"{name} {_ends(line)}" for name, line in drawn.items()) + ".")


def plot_areas(
    areas: Mapping[str, Iterable[tuple[Any, Any]]], title: str = "", x: str = "", y: str = "", *, total: str = "total"
) -> Plot:
    """Stack areas that add up to a line: what lies above 0 upwards, what lies below it downwards.

    >>> parts = {"first layer": [(0, 0), (1, -2), (2, -3)], "last layer": [(0, 0), (1, -1), (2, 1)]}
    >>> [float(y) for y in plot_areas(parts, "Two accounts").figure.axes[0].lines[0].get_ydata()]
    [0.0, -3.0, -2.0]

    Args:
        areas: name → points (x, y), all with the same xs; numbers or Values.
        title: what is to be seen, in a sentence.
        x: the name of the horizontal axis.
        y: the name of the vertical axis.
        total: the name of the line that the areas add up to.

    Raises:
        ImportError: matplotlib is missing.
        TypeError: the areas are no mapping of names to pairs of numbers, or a text is none.
        ValueError: there is no area, two do not have the same xs, or a number is not finite.
    """
    texts(title=title, x=x, y=y, total=total)
    drawn = _lines("areas", areas)
    if not drawn or not all(xs for xs, _ in drawn.values()):
        raise ValueError("expected at least one area, each with at least one point")
    xs, _ = next(iter(drawn.values()))
    for name, line in drawn.items():
        if line[0] != xs:
            raise ValueError(f"expected the same xs for all areas, those of {name!r:.60} differ")
        if not all(map(isfinite, line[1])):
            raise ValueError(f"expected finite numbers, {name!r:.60} has others")
    above, below, sums = [0.0] * len(xs), [0.0] * len(xs), [0.0] * len(xs)
    with canvas(380, title=title) as (figure, grid):
        axes = grid[0, 0]
        for i, (name, (_, ys)) in enumerate(drawn.items()):
            starts = [above[k] if height > 0 else below[k] for k, height in enumerate(ys)]
            ends = [start + height for start, height in zip(starts, ys, strict=True)]
            colour = SERIES[i % len(SERIES)][1]
            axes.fill_between(xs, starts, ends, color=colour, alpha=0.45, linewidth=0, label=name)
            label_end(axes, f"{name} {signed(ys[-1], 3)}", xs[-1:], [(starts[-1] + ends[-1]) / 2], colour)
            above = [max(a, end) for a, end in zip(above, ends, strict=True)]
            below = [min(b, end) for b, end in zip(below, ends, strict=True)]
            sums = [s + height for s, height in zip(sums, ys, strict=True)]
        axes.plot(xs, sums, color=NEUTRAL, label=total)
        label_end(axes, f"{total} {signed(sums[-1], 3)}", xs, sums, NEUTRAL)
        axes.axhline(0, color=NEUTRAL, linewidth=0.8)
        axes.set_xlim(xs[0], xs[-1] if xs[-1] != xs[0] else xs[0] + 1)
        name_axes(axes, x, y)
    parts = ", ".join(f"{name} {signed(line[1][-1], 3)}" for name, line in drawn.items())
    return Plot(figure, f"At the end {parts}: together {signed(sums[-1], 3)}.")


def plot_walks(
    xs: Sequence[Any],
    ys: Sequence[Any],
    losses: Sequence[Sequence[Any]],
    walks: Mapping[str, Iterable[tuple[Any, Any]]],
    title: str = "",
    x: str = "",
    y: str = "",
    *,
    marks: Mapping[str, Iterable[tuple[Any, Any]]] | None = None,
) -> Plot:
    """Draw walks on a map of the loss over two parameters: bright where the loss is high, dark where it is low.

    Each walk begins at a ring and has a dot for each step; its name stands where it ends.

    >>> places = [-1.0, 0.0, 1.0]
    >>> losses = [[x * x + y * y for x in places] for y in places]
    >>> plot_walks(places, places, losses, {"downhill": [(1.0, 1.0), (0.5, 0.5)]}, title="A bowl", x="w", y="b").title
    'A bowl'

    Args:
        xs: the places of the map's columns; numbers.
        ys: the places of its rows.
        losses: a row for each y; what is not finite stays empty.
        walks: name → points (x, y); what leads out of the map is cut off at its edge.
        title: what is to be seen, in a sentence.
        x: the name of the horizontal parameter.
        y: the name of the vertical one.
        marks: name → points to be marked with a cross, beside the walks.

    Raises:
        ImportError: matplotlib is missing.
        TypeError: a place or a loss is no number, walks or marks are no mapping of names to pairs, or a text is none.
        ValueError: the losses do not fit the places, these do not grow, or a walk has no points.
    """
    texts(title=title, x=x, y=y)
    across, up = (
        [plain(name, a) for a in listed(name, places, "numbers")] for name, places in (("xs", xs), ("ys", ys))
    )
    rows = [listed("losses", row, "rows of numbers") for row in listed("losses", losses, "rows of numbers")]
    heights = [[plain("losses", z) for z in row] for row in rows]
    if len(heights) != len(up) or any(len(row) != len(across) for row in heights) or len(up) < 2 or len(across) < 2:
        raise ValueError(f"expected {len(up)} rows of {len(across)} losses, at least 2 of each")
    for name, places in (("xs", across), ("ys", up)):
        if not all(map(isfinite, places)) or any(a >= b for a, b in pairwise(places)):
            raise ValueError(f"expected {name} as finite numbers, each above the one before")
    paths, crosses = _lines("walks", walks), _lines("marks", marks or {})
    for name, line in paths.items():
        if not line[0]:
            raise ValueError(f"expected at least one point of the walk {name!r:.60}")
    finite = [z for row in heights for z in row if isfinite(z)]
    with canvas(520, title=title) as (figure, grid):
        axes = grid[0, 0]
        if finite and min(finite) < max(finite):
            levels = _levels(finite)
            axes.contourf(across, up, heights, levels=levels, cmap="cividis", extend="both")
            lines = axes.contour(across, up, heights, levels=levels[1:-1:2], colors="white", linewidths=0.6, alpha=0.6)
            for number in axes.clabel(lines, fmt="%.3g", fontsize=SMALL, colors="white"):
                number.set_bbox({"facecolor": "#00204d", "edgecolor": "none", "pad": 1.5, "alpha": 0.7})
        tints = ("#ffffff", "#ffb070", "#8fd3ff")
        for i, (name, line) in enumerate(paths.items()):
            style = {"color": tints[i % len(tints)], "markeredgecolor": "black", "markeredgewidth": 0.8}
            axes.plot(*line, marker="o", markersize=6, linewidth=2, label=name, **style)
            axes.plot(line[0][:1], line[1][:1], marker="o", markersize=13, fillstyle="none", markeredgewidth=2.5,
                      markeredgecolor=tints[i % len(tints)], linestyle="none")  # fmt: skip
            _name_walk(axes, name, line, (across, up))
        for name, spots in crosses.items():
            axes.plot(*spots, "x", color="white", markersize=9, markeredgewidth=2)
            _name_walk(axes, name, spots, (across, up))
        axes.set_xlim(across[0], across[-1])
        axes.set_ylim(up[0], up[-1])
        axes.grid(False)
        name_axes(axes, one_line(x), one_line(y))
    return Plot(figure, "; ".join(f"{name}: {len(line[0]) - 1} steps" for name, line in paths.items()) + ".")


def _levels(heights: Sequence[float]) -> list[float]:
    """Fifteen levels, closer together where more of the map is: a single peak does not flatten the valley."""
    ranked = sorted(heights)
    even = [ranked[0] + (ranked[-1] - ranked[0]) * k / 14 for k in range(15)]
    common = [ranked[(len(ranked) - 1) * k // 14] for k in range(15)]
    levels = sorted({(a + b) / 2 for a, b in zip(even, common, strict=True)})
    return levels if len(levels) > 2 else even


def _name_walk(axes: Any, name: str, line: Line, map: tuple[list[float], list[float]]) -> None:
    (left, right), (bottom, top) = ((side[0], side[-1]) for side in map)
    inside = [(x, y) for x, y in zip(*line, strict=True) if left <= x <= right and bottom <= y <= top]
    if name and inside:
        x, y = inside[-1]
        to_the_left = x > left + 0.7 * (right - left)
        axes.annotate(
            name, (x, y), xytext=(-12 if to_the_left else 12, 14 if y < (bottom + top) / 2 else -14),
            textcoords="offset points", ha="right" if to_the_left else "left", va="center", color="white",
            bbox={"facecolor": "#1b1f24", "edgecolor": "none", "pad": 3, "alpha": 0.85},
        )  # fmt: skip


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


@dataclass(frozen=True)
class Regions:
    """Hold a classifier's scores on a grid over its two inputs, with the samples it is asked to tell apart.

    >>> from micrograd_like import Neuron
    >>> stage = regions(Neuron(2, nonlin=False, rng=0), [([0.0, 1.0], 1), ([1.0, 0.0], -1)], points=5)
    >>> len(stage.xs), len(stage.ys)
    (5, 5)
    """

    xs: tuple[float, ...]
    ys: tuple[float, ...]
    scores: tuple[tuple[float, ...], ...]  # a row for each y
    samples: tuple[tuple[float, float, bool], ...]  # (x, y, whether it is of the positive class)
    right: int = 0  # how many of the samples it tells right


def regions(
    model: Callable[[Sequence[float]], Any], samples: Iterable[tuple[Sequence[float], Any]], points: int = 41
) -> Regions:
    """Record what a classifier of two inputs says everywhere around its samples. Costs points² calls of the model.

    The model's parameters may change afterwards: this is how it was.

    >>> regions(lambda x: x[0] - x[1], [([0, 0], -1), ([2, 0], 1)], points=2).right
    2

    Args:
        model: gives one score for two inputs; a positive one means the positive class.
        samples: ([x, y], target) pairs, a target above 0 being the positive class.
        points: of the grid, in each direction.

    Raises:
        TypeError: the model is no function, or a number is none.
        ValueError: there are no samples, one has not two inputs, or points is below 2.
    """
    a_function("model", model)
    points = whole_number("points", points, at_least=2)
    found = [_sample(sample) for sample in listed("samples", samples, "pairs ([x, y], target)")]
    if not found:
        raise ValueError("expected at least one sample, each with two inputs")

    def score(x: float, y: float) -> float:
        return plain("what the model says", model([x, y]))

    xs, ys = (_grid([sample[axis] for sample in found], points) for axis in (0, 1))
    scores = tuple(tuple(score(x, y) for x in xs) for y in ys)
    right = sum((score(sample[0], sample[1]) > 0) is sample[2] for sample in found)
    return Regions(xs, ys, scores, tuple(found), right)


def _sample(sample: Any) -> tuple[float, float, bool]:
    try:
        inputs, target = sample
        x, y = inputs
    except (TypeError, ValueError):
        raise ValueError(
            f"expected samples as pairs ([x, y], target), each with two inputs, got {shown(sample)}"
        ) from None
    return plain("inputs", x), plain("inputs", y), plain("targets", target) > 0


def _grid(numbers: Sequence[float], points: int) -> tuple[float, ...]:
    low, high = min(numbers), max(numbers)
    margin = 0.1 * (high - low) or 1.0
    low, high = low - margin, high + margin
    return tuple(low + (high - low) * i / (points - 1) for i in range(points))


def plot_regions(stages: Mapping[str, Regions], title: str = "") -> Plot:
    """Draw the regions of a classifier at one stage or several, side by side, with the boundary between them.

    Green and dots are the positive class, purple and squares the other; a tint means that the classifier says so.

    >>> from micrograd_like import Neuron
    >>> model, samples = Neuron(2, nonlin=False, rng=0), [([0.0, 1.0], 1), ([1.0, 0.0], -1)]
    >>> plot = plot_regions({"before": regions(model, samples, points=9)}, title="Two points")
    >>> plot.title
    'Two points'

    Raises:
        ImportError: matplotlib is missing.
        TypeError: the stages are no mapping of names to what `regions` returned.
        ValueError: there is no stage, or a score is not finite.
    """
    texts(title=title)
    if not mapped("stages", stages, "names to what `regions` returned"):
        raise ValueError("expected at least one stage to plot")
    for name, stage in stages.items():
        instance("stages", stage, Regions, "what `regions` returned")
        if not all(isfinite(score) for row in stage.scores for score in row):
            raise ValueError(f"expected finite scores, got others at stage {name!r:.60}")
    last = list(stages.values())[-1]
    counted = f"{last.right} of {len(last.samples)} points on their side of the line"
    across = min(len(stages), 4)
    down = -(-len(stages) // across)
    tall = max((stage.ys[-1] - stage.ys[0]) / (stage.xs[-1] - stage.xs[0]) for stage in stages.values())
    tall = min(max(tall, 0.3), 1.5)
    size = down * (PAGE_WIDTH / across * tall + 44) + 24
    with canvas(size, down, across, title=title or f"{counted} at the end") as (figure, grid):
        places = iter(grid.flat)
        for axes, (name, stage) in zip(places, stages.items(), strict=False):  # the longer is the first
            infinite = float("inf")
            tints = [NEGATIVE, POSITIVE]
            axes.contourf(stage.xs, stage.ys, stage.scores, [-infinite, 0, infinite], colors=tints, alpha=0.22)
            if min(map(min, stage.scores)) < 0 < max(map(max, stage.scores)):
                axes.contour(stage.xs, stage.ys, stage.scores, [0], colors=[NEUTRAL], linewidths=2)
            for positive, colour, marker in ((True, POSITIVE, "o"), (False, NEGATIVE, "s")):
                chosen = [(x, y) for x, y, is_positive in stage.samples if is_positive is positive]
                if chosen:
                    axes.plot(*zip(*chosen, strict=True), marker, color=colour, markersize=5)
            axes.grid(False)
            axes.set(title=name, xticks=[], yticks=[], aspect="equal", anchor="NW")
            axes.set_xlabel(f"{stage.right} of {len(stage.samples)} right", loc="left")
        for axes in places:
            axes.remove()
        figure.supxlabel("● class above 0     ■ the other     tint: what the network says there", fontsize=SMALL)
    return Plot(figure, "; ".join(f"{name}: {s.right} of {len(s.samples)} right" for name, s in stages.items()) + ".")


def plot_images(
    images: Mapping[str, Sequence[Any]], shape: tuple[int, int] = (8, 8), across: int = 6, title: str = ""
) -> Plot:
    """Draw pictures in grey, each under its name: 0 is white, 1 is black.

    >>> print(plot_images({"a stroke": [0, 1, 0, 1], "a dot": [0, 0, 0, 1]}, (2, 2), title="Two pictures").title)
    Two pictures

    Args:
        images: name → the pixels, row by row; numbers or Values.
        shape: (height, width) in pixels.
        across: how many stand side by side.
        title: what is to be seen, in a sentence.

    Raises:
        ImportError: matplotlib is missing.
        TypeError: the images are no mapping of names to numbers, or the title is no text.
        ValueError: there is no picture, one has not as many pixels as the shape says, or across is below 1.
    """
    texts(title=title)
    height, width = picture_shape(shape)
    across = whole_number("across", across)
    shades: dict[str, list[float]] = {}
    for name, pixels in mapped("images", images, "names to pixels").items():
        texts(**{"the names of images": name})
        shades[name] = [plain("pixels", x) for x in listed("pixels", pixels, "a list of numbers")]
    if not shades:
        raise ValueError("expected at least one picture, got none")
    for name, pixels in shades.items():
        if len(pixels) != height * width:
            raise ValueError(f"expected {height} × {width} = {height * width} pixels, {name!r:.60} has {len(pixels)}")
    across = min(across, len(shades))
    down = -(-len(shades) // across)
    columns = max(across, 4)  # a few stay small
    room = PAGE_WIDTH / columns
    lines = {name: [part for line in name.split("\n") for part in wrapped(line, room - 16, SMALL)] for name in shades}
    most = max(map(len, lines.values()))
    size = down * ((room - 16) * height / width + most * 1.3 * SMALL + 16) + 8
    with canvas(size, down, columns, title=title) as (figure, grid):
        places = iter([*grid[:, :across].flat, *grid[:, across:].flat])
        for (name, pixels), axes in zip(shades.items(), places, strict=False):  # the longer of the two is the second
            for grey, outline in _squares(pixels, width).items():
                patch = {"facecolor": f"{1 - grey:.3f}", "edgecolor": f"{1 - grey:.3f}", "linewidth": 0.2}
                axes.add_patch(_outline(outline, patch))
            axes.set(facecolor="white", xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[], aspect="equal")
            axes.set_title("\n".join(lines[name]), fontsize=SMALL)
            axes.grid(False)
            axes.spines[:].set_visible(True)
        for axes in places:
            axes.set_axis_off()
    return Plot(figure, f"{len(shades)} pictures: {'; '.join(' '.join(name.split()) for name in shades)}.")


def _outline(squares: Sequence[Any], patch: Mapping[str, Any]) -> Any:
    matplotlib = require("matplotlib", extra="plots")
    path = matplotlib.path.Path.make_compound_path(*map(matplotlib.path.Path, squares))
    return matplotlib.patches.PathPatch(path, **patch)


def _squares(pixels: Sequence[float], width: int) -> dict[float, list[Any]]:
    """The corners of the pixels of each shade from 0 to 1: one outline for many is much smaller than one for each."""
    found: dict[float, list[Any]] = {}
    for i, pixel in enumerate(pixels):
        y, x = divmod(i, width)
        shade = round(min(max(pixel, 0.0), 1.0), 3)
        if shade > 0:
            found.setdefault(shade, []).append([(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1), (x, y)])
    return found


@dataclass(frozen=True)
class Pictures:
    """One picture for each neuron: a number for each of its inputs."""

    title: str  # one or two words
    values: Sequence[Sequence[float]]
    meaning: str  # beside the colour scale
    colours: tuple[str, str, str] = WEIGHTS  # of negative numbers, zero and positive ones
    top: float = 0.0  # where the colour scale ends at least

    @property
    def limit(self) -> float:
        """Where the colour scale ends: at the largest size of a number, or at `top`."""
        return max(self.top, *self._sizes())

    def _sizes(self) -> tuple[float, float]:
        return 0.0, max((abs(x) for values in self.values for x in values if isfinite(x)), default=0.0)


def plot_weights(
    layer: Any,
    shape: tuple[int, int] = (8, 8),
    *,
    gradients: bool = True,
    since: Mapping[str, Any] | None = None,
) -> Plot:
    """Draw every neuron's weights as a picture, beside the same for their gradients.

    >>> from micrograd_like import Layer
    >>> plot_weights(Layer(4, 2, rng=0), shape=(2, 2)).title
    'What 2 neurons look for in the picture'

    Args:
        layer: a `Layer`, or anything with `neurons` that have weights `w`.
        shape: (height, width) of the picture that the neurons look at.
        gradients: whether to show them; where no backward pass came by, or all are 0, there are none to show.
        since: the weights at an earlier time, by their labels (`model.state_dict()`); then what is shown is how far
            each has moved since, and not the noise that it began with.

    Raises:
        ImportError: matplotlib is missing.
        KeyError: `since` lacks one of the weights.
        TypeError: the layer is none, or `since` no mapping of labels to numbers.
        ValueError: a neuron has not as many weights as the shape has pixels.
    """
    rows = weights_of(layer)
    if since is not None:
        mapped("since", since, "labels to numbers, as of `model.state_dict()`")
    count = f"{len(rows)} neurons" if len(rows) > 1 else "the neuron"
    weights = [[as_float(w.data) for w in row] for row in rows]
    if since is None:
        title = f"What {count} look{'s' * (len(rows) == 1)} for in the picture"
        kinds = [Pictures("weights", weights, "ink at a light weight raises the neuron, at a dark one it lowers it")]
    else:
        moved = [[as_float(w.data - number(since[w.label])) for w in row] for row in rows]
        most = max(range(len(rows)), key=lambda i: sum(x * x for x in moved[i]))
        title = f"What {count} learned: neuron {most} moved its weights most"
        kinds = [
            Pictures("moved", moved, "how far the weight has moved: light is up, dark is down, grey has not moved")
        ]
    if gradients and any(w.has_gradient for row in rows for w in row):
        slopes = [[as_float(w.grad or 0) for w in row] for row in rows]
        kinds.append(
            Pictures(
                "gradients", slopes, "raising an orange weight raises the loss, raising a blue one lowers it", EFFECTS
            )
        )
        silent = sum(not any(row) for row in slopes)
        title += f"; {silent} feel{'s' * (silent == 1)} no gradient" if silent else ""
    return plot_pictures([f"neuron {i}" for i in range(len(rows))], kinds, shape, title)


def weights_of(layer: Any) -> list[list[Value]]:
    """Every neuron's weights. Raises TypeError for what is no layer."""
    neurons = listed("layer", getattr(layer, "neurons", None), "a Layer")
    return [[instance("weights", w, Value, "Values") for w in getattr(neuron, "w", ())] for neuron in neurons]


SEEN = 100  # what is smaller than this part of the colour scale looks like 0
TILE = 88.0  # the width of a neuron's picture, in px


def plot_pictures(names: Sequence[str], kinds: Sequence[Pictures], shape: tuple[int, int], title: str = "") -> Plot:
    """Draw pictures of every neuron, side by side: one of each kind, each kind with one colour scale for all neurons.

    A kind with nothing but zeros is left out (unless all are), and of a neuron with numbers too small to see,
    that is said in words.

    Raises:
        ImportError: matplotlib is missing.
        ValueError: there is nothing to show, or a picture has not as many numbers as the shape has pixels.
    """
    height, width = picture_shape(shape)
    if not names or not kinds:
        raise ValueError("expected at least one neuron and one kind of picture")
    for kind in kinds:
        for name, values in zip(names, kind.values, strict=True):
            if len(values) != height * width:
                raise ValueError(
                    f"expected {height} × {width} = {height * width} {kind.title}, {name} has {len(values)}"
                )
    kinds = [kind for kind in kinds if any(x for values in kind.values for x in values)] or kinds[:1]
    most = max(1, min(len(names), int((PAGE_WIDTH - 16) // (len(kinds) * (TILE + 8) + 16))))
    down = -(-len(names) // most)
    across = -(-len(names) // down)
    tile = min((PAGE_WIDTH - 16) / (across * len(kinds) + 0.2 * across) - 8, 2 * TILE)
    group = len(kinds) * (tile + 8) + 16
    names_above = 18.0 * (1 + (len(kinds) > 1))
    row = tile * height / width + 8 + names_above
    page = max(across * group + 8, 0.75 * PAGE_WIDTH)
    heading = wrapped(with_minus(title), page - 16, CAPTION, bold=True) if title else []
    top = len(heading) * CAPTION * 1.35 + 8
    full = top + down * row + 8 + 26 * len(kinds)
    with house_style() as matplotlib, matplotlib.rc_context({"text.parse_math": False}):
        figure = matplotlib.figure.Figure(figsize=(page / PX, full / PX))
        if heading:
            look = {"ha": "left", "va": "top", "fontsize": CAPTION, "fontweight": "bold"}
            figure.suptitle("\n".join(heading), x=4 / page, y=1 - 4 / full, **look)
        for k, kind in enumerate(kinds):
            limit = kind.limit or 1.0
            colours = matplotlib.colors.LinearSegmentedColormap.from_list(kind.title, kind.colours).with_extremes(
                bad=NEUTRAL
            )
            for i, (name, values) in enumerate(zip(names, kind.values, strict=True)):
                left = 8 + i % across * group + k * (tile + 8)
                above = top + i // across * row + names_above
                axes = _place(figure, left, above, tile, tile * height / width)
                above_it = f"{name if k == 0 else ''}\n{kind.title}" if len(kinds) > 1 else name
                axes.set_title(above_it, fontsize=SMALL, pad=4)
                axes.set(xticks=[], yticks=[])
                axes.grid(False)
                axes.spines[:].set_visible(True)
                if not any(values) or all(abs(x) < limit / SEEN for x in values):
                    small = f"within about\n±{max(map(abs, values)):.2g}" if any(values) else "all 0"
                    axes.text(0.5, 0.5, small, transform=axes.transAxes, ha="center", va="center")
                    axes.spines[:].set_linestyle(":")
                    continue
                pixels = [values[r * width : (r + 1) * width] for r in range(height)]
                axes.pcolormesh(pixels, cmap=colours, vmin=-limit, vmax=limit, edgecolors="face", linewidth=0.2)
                axes.invert_yaxis()
            below = top + down * row + 12 + 26 * k
            scale = _place(figure, 76, below, 120, 12)
            scale.pcolormesh([[x / 15.5 - 1 for x in range(32)]], cmap=colours, edgecolors="face", linewidth=0.2)
            scale.set(xticks=[], yticks=[])
            scale.grid(False)
            scale.spines[:].set_visible(True)
            scale.annotate(
                f"−{limit:.3g}", (0, 0.5), (-5, 0), "axes fraction", "offset points", ha="right", va="center"
            )
            scale.annotate(
                f"+{limit:.3g}  {kind.meaning}", (1, 0.5), (5, 0), "axes fraction", "offset points", va="center"
            )
    return Plot(figure, f"{len(names)} neurons, {height} × {width} numbers each: {', '.join(k.title for k in kinds)}.")


def _place(figure: Any, left: float, above: float, width: float, height: float) -> Any:
    """Axes at a place of a figure, in px from its top left corner."""
    page, full = (side * PX for side in figure.get_size_inches())
    return figure.add_axes((left / page, 1 - (above + height) / full, width / page, height / full))
