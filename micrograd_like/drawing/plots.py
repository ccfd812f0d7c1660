"""Plots of points (x, y): lines, areas that add up, and walks on a map of the loss."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from math import isfinite
from typing import Any

from micrograd_like.checks import listed, mapped, shown, texts
from micrograd_like.drawing.figure import Plot, canvas, label_end, name_axes, one_line, plain
from micrograd_like.drawing.formula import signed
from micrograd_like.drawing.style import NEUTRAL, SERIES, SMALL

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
