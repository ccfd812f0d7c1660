"""Pictures without pixels: a small graph or chart drawn in characters, and the same in words for who hears it."""

from __future__ import annotations

import functools
import math
import re
import weakref
from collections.abc import Iterable, MutableMapping
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any

import micrograd_like
from micrograd_like import drawing
from micrograd_like.engine import Value

WIDEST, HIGHEST = 116, 24  # a graph that needs more is no help in a terminal
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.DOTALL)
_QUADRANTS = " ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█"  # 2 by 2 dots: bits 1 2 above, 4 8 below; fonts have these, and often not braille
Graphs = MutableMapping[Any, Value]


def remember_graphs() -> Graphs:
    """Have `draw_dot` and `draw_frames` remember of which value a drawing is; of several states, the last."""
    roots: Graphs = weakref.WeakKeyDictionary()
    draw, put_together = drawing.draw_dot, drawing.draw_frames

    @functools.wraps(draw)
    def draw_dot(root: Value, *args: Any, **options: Any) -> Any:
        drawn = draw(root, *args, **options)
        if options.get("depth", "operations") != "neurons":
            roots[drawn] = root
        return drawn

    @functools.wraps(put_together)
    def draw_frames(states: Any, *args: Any, **options: Any) -> Any:
        frames = put_together(states, *args, **options)
        for drawn, state in [*zip(frames, states, strict=True), (frames, states[-1])]:
            if state in roots:
                roots[drawn] = roots[state]
        return frames

    micrograd_like.draw_dot = drawing.draw_dot = draw_dot
    micrograd_like.draw_frames = drawing.draw_frames = draw_frames
    return roots


def of(picture: Any, roots: Graphs) -> tuple[str, str]:
    """(in characters, in words); empty where the picture is neither a small graph nor a chart of lines."""
    try:
        root = roots.get(picture)
    except TypeError:  # what cannot be referred to weakly is no drawing of a graph
        root = None
    if root is not None:
        drawn = graph(root)
        return (drawn, in_words(root)) if _fits(drawn) else ("", in_words(root) if len(named(root)) <= HIGHEST else "")
    lines, axes = lines_of(picture)
    if not lines:
        return "", ""
    return chart(lines, *axes), "\n".join(_line_in_words(name, points) for name, points in lines.items())


def title(svg: Path) -> str:
    """What a picture says about itself: the first title in it that is more than a word."""
    try:
        text = svg.read_text(encoding="utf-8")
    except OSError:
        return ""
    found = [" ".join(unescape(each).split()) for each in _TITLE.findall(text)]
    return next((each for each in found if " " in each), "")


def _fits(drawn: str) -> bool:
    lines = drawn.split("\n")
    return len(lines) <= HIGHEST and max(map(len, lines)) <= WIDEST


def _number(x: Any) -> str:
    return f"{float(x):.3g}".replace("-", "−")


def _sources(value: Value) -> list[Value]:
    """What a value comes from, where operations without a name of their own are passed over."""
    found, waiting = [], [*reversed(_operands(value))]
    while waiting:
        each = waiting.pop()
        if each.label or not _operands(each):
            found.append(each)
        else:
            waiting.extend(reversed(_operands(each)))
    return list(dict.fromkeys(found))


def _operands(value: Value) -> list[Value]:
    return [each for each in value.operands if isinstance(each, Value)]


def named(root: Value) -> list[Value]:
    """The values with names that a result comes from, and itself, the beginnings first."""
    order: dict[Value, None] = {}
    waiting = [(root, False)]
    while waiting:
        value, done = waiting.pop()
        if done:
            order[value] = None
        elif value not in order:
            waiting.append((value, True))
            waiting.extend((each, False) for each in reversed(_sources(value)))
    return list(order)


def in_words(root: Value) -> str:
    """One line for each named value: its number, its gradient, what it comes from."""
    lines = []
    for value in named(root):
        sources = _sources(value)
        slope = f", gradient {_number(value.grad)}" if root.grad else ""
        origin = f", from {', '.join(_name(each) for each in sources)}" if sources else ""
        lines.append(f"{_name(value)} is {_number(value.data)}{slope}{origin}")
    return "\n".join(lines)


def _name(value: Value) -> str:
    return value.label or ("the result" if _operands(value) else "an input")


def graph(root: Value) -> str:
    """The named values of a graph from left to right, a row for each beginning; ▽ marks gradients."""
    if len(named(root)) > HIGHEST:
        return "\n" * HIGHEST  # too many for any terminal, and deeper than this function may call itself
    felt, seen = bool(root.grad), set[Value]()

    def text(value: Value) -> str:
        return f"{value.label} {_number(value.data)}{f' ▽{_number(value.grad)}' if felt else ''}".strip()

    def block(value: Value) -> tuple[list[str], int]:
        """The lines of a value with all that it comes from, and on which of them it stands."""
        if value in seen:
            return [f"↑{value.label}"], 0
        seen.add(value)
        parts = [block(each) for each in _sources(value)]
        if not parts:
            return [text(value)], 0
        width = max(len(line) for lines, _ in parts for line in lines)
        rows, ends = [], []
        for lines, at in parts:
            for i, line in enumerate(lines):
                ends.append(i == at)
                rows.append(line + (" " + "─" * (width - len(line)) if i == at else " " * (width - len(line) + 1)))
        first, last = ends.index(True), len(ends) - 1 - ends[::-1].index(True)
        centre = (len(parts) - 1) // 2  # a value stands beside its largest source, or the middle one
        beside = max(range(len(parts)), key=lambda n: (len(parts[n][0]), -abs(n - centre)))
        middle = sum(len(lines) for lines, _ in parts[:beside]) + parts[beside][1]
        for i in range(len(rows)):
            if first == last:
                rows[i] += "── " if i == middle else "   "
            elif i == middle:
                rows[i] += "┬─ " if i == first else "┴─ " if i == last else "┼─ "
            elif first <= i <= last:
                rows[i] += {first: "┐  ", last: "┘  "}.get(i, "┤  " if ends[i] else "│  ")
            else:
                rows[i] += "   "
            rows[i] += text(value) if i == middle else ""
        return [row.rstrip() for row in rows], middle

    return "\n".join(block(root)[0])


Points = list[tuple[float, float]]


def lines_of(picture: Any) -> tuple[dict[str, Points], tuple[str, str, str, bool]]:
    """The lines of a plot with a single pair of axes: name → points; and (title, x, y, whether y is logarithmic)."""
    every = getattr(getattr(picture, "figure", None), "axes", [])
    if len(every) != 1:
        return {}, ("", "", "", False)
    axes = every[0]
    lines = {
        str(line.get_label()): [(float(x), float(y)) for x, y in line.get_xydata() if math.isfinite(x + y)]
        for line in axes.get_lines()
        if not str(line.get_label()).startswith("_")
    }
    log = axes.get_yscale() == "log"
    lines = {name: [(x, y) for x, y in points if y > 0 or not log] for name, points in lines.items()}
    lines = {name: points for name, points in lines.items() if len(points) > 1}
    return lines, (axes.get_title(), axes.get_xlabel(), axes.get_ylabel(), log)


def chart(lines: dict[str, Points], title: str, x: str, y: str, log: bool, width: int = 44, height: int = 12) -> str:
    """Lines in dots, 2 by 2 of them in each character, with the ends of both axes."""
    scaled = [[(a, math.log10(b) if log else b) for a, b in points] for points in lines.values()]
    left, right = _range(a for line in scaled for a, _ in line)
    bottom, top = _range(b for line in scaled for _, b in line)
    cells = [[0] * width for _ in range(height)]
    for line in scaled:
        dots = [
            ((a - left) / (right - left) * (2 * width - 1), (b - bottom) / (top - bottom) * (2 * height - 1))
            for a, b in line
        ]
        for (a0, b0), (a1, b1) in pairwise(dots):
            pieces = int(max(abs(a1 - a0), abs(b1 - b0))) + 1
            for i in range(pieces + 1):
                column = round(a0 + (a1 - a0) * i / pieces)
                row = 2 * height - 1 - round(b0 + (b1 - b0) * i / pieces)
                cells[row // 2][column // 2] |= 1 << (column % 2 + 2 * (row % 2))
    highest, lowest = (f"{10**b if log else b:.3g}".replace("-", "−") for b in (top, bottom))
    margin = max(len(highest), len(lowest))
    marks = [highest, *[""] * (height - 2), lowest]
    first, last = _number(left), _number(right)
    rows = [
        f"{mark:>{margin}} │" + "".join(_QUADRANTS[cell] for cell in row).rstrip()
        for mark, row in zip(marks, cells, strict=True)
    ]
    below = f"{'':{margin}}  {first}{x:^{max(0, width - len(first) - len(last))}}{last}"
    heading = [
        title,
        f"{y}{', in powers of ten' if log else ''}" if y else "",
        "; ".join(lines) if len(lines) > 1 else "",
    ]
    return "\n".join([*filter(None, heading), *rows, f"{'':{margin}} └" + "─" * width, below.rstrip()])


def _range(numbers: Iterable[float]) -> tuple[float, float]:
    found = list(numbers)
    low, high = min(found), max(found)
    return (low, high) if high > low else (low - 1, high + 1)


def _line_in_words(name: str, points: Points) -> str:
    (x0, y0), (x1, y1) = points[0], points[-1]
    low, high = min(points, key=lambda p: p[1]), max(points, key=lambda p: p[1])
    return (
        f"{name}: from {_number(y0)} at {_number(x0)} to {_number(y1)} at {_number(x1)}; "
        f"lowest {_number(low[1])} at {_number(low[0])}, highest {_number(high[1])} at {_number(high[0])}"
    )
