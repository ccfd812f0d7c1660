"""Charts for experiments: lines, and the regions that a classifier of two inputs tells apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from micrograd_like.drawing.plots import Plot, house_style
from micrograd_like.drawing.style import LOWERS, NEUTRAL, RAISES
from micrograd_like.ieee import as_float

# Okabe and Ito's colours that have contrast on white and on black, with a dash pattern each: told apart without colour.
LINES = (("-", LOWERS), ("--", RAISES), ("-.", "#00916a"), (":", "#b0669a"), ((0, (5, 1, 1, 1, 1, 1)), "#a08400"))


def plot_lines(
    lines: Mapping[str, Iterable[tuple[Any, Any]]],
    title: str = "",
    x: str = "",
    y: str = "",
    *,
    log: str = "",
    markers: bool = False,
) -> Plot:
    """Lines through points (x, y), named in a legend. Points that are not finite leave a gap.

    Args:
        lines: name → points; numbers or Values.
        title: what is to be seen, in a sentence.
        x: the name of the horizontal axis.
        y: the name of the vertical axis.
        log: the axes with a logarithmic scale: "", "x", "y" or "xy".
        markers: whether each point has a dot.

    Raises:
        ImportError: matplotlib is missing.
        ValueError: there is no line, or an axis in `log` is unknown.
    """
    if not lines:
        raise ValueError("expected at least one line to plot")
    if not set(log) <= {"x", "y"}:
        raise ValueError(f"expected log as '', 'x', 'y' or 'xy', got {log!r:.60}")
    with house_style() as matplotlib:
        figure = matplotlib.figure.Figure(figsize=(6.0, 3.4), layout="constrained")
        ax = figure.subplots()
        for i, (name, points) in enumerate(lines.items()):
            style, colour = LINES[i % len(LINES)]
            pairs = [(as_float(a), as_float(b)) for a, b in points]
            xs, ys = zip(*pairs, strict=True) if pairs else ((), ())
            marker = "o" if markers else None
            ax.plot(xs, ys, linestyle=style, color=colour, label=name, marker=marker, markersize=3.5)
        ax.set(title=title, xlabel=x, ylabel=y)
        for axis in log:
            getattr(ax, f"set_{axis}scale")("log")
        if len(lines) > 1:
            figure.legend(loc="outside lower center", ncols=min(len(lines), 3))  # where no line can run through it
    return Plot(figure)


@dataclass(frozen=True)
class Regions:
    """A classifier's scores on a grid over its two inputs, with the samples it is asked to tell apart."""

    xs: tuple[float, ...]
    ys: tuple[float, ...]
    scores: tuple[tuple[float, ...], ...]  # a row for each y
    samples: tuple[tuple[float, float, bool], ...]  # (x, y, whether it is of the positive class)


def regions(
    model: Callable[[Sequence[float]], Any], samples: Iterable[tuple[Sequence[float], Any]], points: int = 41
) -> Regions:
    """What a classifier of two inputs says everywhere around its samples. Costs points² calls of the model.

    The model's parameters may change afterwards: this is how it was.

    Args:
        model: gives one score for two inputs; a positive one means the positive class.
        samples: ([x, y], target) pairs, a target above 0 being the positive class.
        points: of the grid, in each direction.

    Raises:
        ValueError: there are no samples, one has not two inputs, or points is below 2.
    """
    found = [(*map(float, inputs), float(target) > 0) for inputs, target in samples]
    if not found or any(len(sample) != 3 for sample in found):
        raise ValueError("expected at least one sample, each with two inputs")
    if points < 2:
        raise ValueError(f"expected at least 2 points in each direction, got {points}")
    xs, ys = (_grid([sample[axis] for sample in found], points) for axis in (0, 1))
    scores = tuple(tuple(as_float(getattr(score := model([x, y]), "data", score)) for x in xs) for y in ys)
    return Regions(xs, ys, scores, tuple(found))  # type: ignore[arg-type]  # the lengths were looked at


def _grid(numbers: Sequence[float], points: int) -> tuple[float, ...]:
    low, high = min(numbers), max(numbers)
    margin = 0.1 * (high - low) or 1.0
    low, high = low - margin, high + margin
    return tuple(low + (high - low) * i / (points - 1) for i in range(points))


def plot_regions(stages: Mapping[str, Regions]) -> Plot:
    """The regions of a classifier at one stage or several, side by side, with the boundary between them.

    Orange is the positive class, blue the other; in a region its colour means that the classifier says so.

    Raises:
        ImportError: matplotlib is missing.
        ValueError: there is no stage, or a score is not finite.
    """
    if not stages:
        raise ValueError("expected at least one stage to plot")
    for title, stage in stages.items():
        if not all(isfinite(score) for row in stage.scores for score in row):
            raise ValueError(f"expected finite scores, got others at stage {title!r:.60}")
    with house_style() as matplotlib:
        size = (2.6 * len(stages) + 0.2, 2.6)
        figure = matplotlib.figure.Figure(figsize=size, layout="constrained")
        for ax, (title, stage) in zip(figure.subplots(1, len(stages), squeeze=False)[0], stages.items(), strict=True):
            infinite = float("inf")
            ax.contourf(stage.xs, stage.ys, stage.scores, [-infinite, 0, infinite], colors=[LOWERS, RAISES], alpha=0.25)
            if min(map(min, stage.scores)) < 0 < max(map(max, stage.scores)):
                ax.contour(stage.xs, stage.ys, stage.scores, [0], colors=[NEUTRAL], linewidths=1.2)
            for positive, colour, marker in ((True, RAISES, "o"), (False, LOWERS, "s")):
                chosen = [(x, y) for x, y, is_positive in stage.samples if is_positive is positive]
                if chosen:
                    ax.plot(*zip(*chosen, strict=True), marker, color=colour, markersize=3)
            ax.grid(False)
            ax.set(title=title, xticks=[], yticks=[])
    return Plot(figure)


def plot_images(images: Mapping[str, Sequence[Any]], shape: tuple[int, int] = (8, 8), across: int = 6) -> Plot:
    """Pictures in grey, each with its title: 0 is white, 1 is black.

    Args:
        images: title → the pixels, row by row; numbers or Values.
        shape: (height, width) in pixels.
        across: how many stand side by side.

    Raises:
        ImportError: matplotlib is missing.
        ValueError: there is no picture, one has not as many pixels as the shape says, or across is below 1.
    """
    height, width = shape
    if not images or across < 1:
        raise ValueError(f"expected at least one picture, at least one to a row, got {len(images)} and {across}")
    for title, pixels in images.items():
        if len(pixels) != height * width:
            raise ValueError(f"expected {height} × {width} = {height * width} pixels, {title!r:.60} has {len(pixels)}")
    across = min(across, len(images))
    down = -(-len(images) // across)
    with house_style() as matplotlib:
        size = (1.35 * across, 1.6 * down * height / width)
        figure = matplotlib.figure.Figure(figsize=size, layout="constrained")
        places = iter(figure.subplots(down, across, squeeze=False).flat)
        for (title, pixels), ax in zip(images.items(), places, strict=False):  # the longer of the two is the second
            for grey, squares in _squares([as_float(getattr(x, "data", x)) for x in pixels], width).items():
                outline = matplotlib.path.Path.make_compound_path(*map(matplotlib.path.Path, squares))
                patch = {"facecolor": f"{1 - grey:.3f}", "edgecolor": f"{1 - grey:.3f}", "linewidth": 0.2}
                ax.add_patch(matplotlib.patches.PathPatch(outline, **patch))
            ax.set(facecolor="white", xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[], aspect="equal")
            ax.set_title(title, fontsize=8)
            ax.grid(False)
            ax.spines[:].set_visible(True)
        for ax in places:
            ax.set_axis_off()
    return Plot(figure)


def _squares(pixels: Sequence[float], width: int) -> dict[float, list[Any]]:
    """The corners of the pixels of each shade from 0 to 1: one outline for many is much smaller than one for each."""
    found: dict[float, list[Any]] = {}
    for i, pixel in enumerate(pixels):
        y, x = divmod(i, width)
        shade = round(min(max(pixel, 0.0), 1.0), 3)
        if shade > 0:
            found.setdefault(shade, []).append([(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1), (x, y)])
    return found
