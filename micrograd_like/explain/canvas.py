"""What the reports' pictures share: colours by sign, bars with their numbers, and short names for parameters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from micrograd_like.drawing.figure import Plot, canvas, name_axes, one_line
from micrograd_like.drawing.formula import name, neuron, signed
from micrograd_like.drawing.style import LOWERS, NEUTRAL, RAISES, SMALL
from micrograd_like.ieee import as_float

BARS = 14  # the most bars with a name
ROW = 22.0  # the height of a bar with its number, in px
_PATH = re.compile(r"layers\[(\d+)\]\.neurons\[(\d+)\](\.w\[(\d+)\]|\.b|)", re.ASCII)


def colour(change: Any) -> str:
    """Blue for what lowers the loss, orange for what raises it."""
    return LOWERS if change < 0 else RAISES if change > 0 else NEUTRAL


def short_names(names: Iterable[str]) -> dict[str, str]:
    """What a picture calls neurons and parameters of a network: h₂, x₁ → h₂, bias of h₂. Other names stay as they are.

    With more than one hidden layer, a neuron has its layer's number above: h¹₂.

    >>> short_names(["layers[0].neurons[2].w[1]", "layers[0].neurons[2].b", "layers[1].neurons[0].w[2]", "k"])
    ... # doctest: +NORMALIZE_WHITESPACE
    {'layers[0].neurons[2].w[1]': 'x₁ → h₂', 'layers[0].neurons[2].b': 'bias of h₂',
     'layers[1].neurons[0].w[2]': 'h₂ → out', 'k': 'k'}
    """
    parsed = {long: _PATH.fullmatch(long) for long in names}
    found = {long: match for long, match in parsed.items() if match}
    last = max((match[1] for match in found.values()), key=int, default="")
    outputs = {match[2] for match in found.values() if match[1] == last}
    several = int(last or 0) > 1  # hidden layers, which have a number each

    def hidden(index: str, depth: int) -> str:
        return neuron(index, depth + 1 if several else 0)

    short: dict[str, str] = {}
    for long, match in parsed.items():
        if match is None:
            short[long] = one_line(long, 40)
            continue
        depth = int(match[1])
        own = hidden(match[2], depth) if match[1] != last else "out" if len(outputs) == 1 else name(f"out[{match[2]}]")
        source = "" if match[4] is None else hidden(match[4], depth - 1) if depth else name(f"x[{match[4]}]")
        short[long] = own if not match[3] else f"bias of {own}" if match[4] is None else f"{source} → {own}"
    if len(set(short.values())) < len(short):  # a name that is another's short one
        return {long: one_line(long, 40) for long in short}
    return short


def bars(axes: Any, names: Sequence[str], values: Sequence[Any]) -> None:
    """Draw horizontal bars from 0, the first on top, each with its number; coloured by their sign."""
    numbers = [as_float(x) for x in values]
    places = range(len(numbers))
    axes.barh(places, numbers, color=[colour(x) for x in numbers], height=0.72)
    axes.set_yticks(places, [one_line(name, 48) for name in names])
    axes.set_ylim(max(len(numbers), 1) - 0.4, -0.6)
    axes.axvline(0, color=NEUTRAL, linewidth=0.8)
    axes.margins(x=0.16)
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)
    for place, x in zip(places, numbers, strict=True):
        number_at(axes, x, place)


def number_at(axes: Any, x: float, place: float, tip: float | None = None) -> None:
    """Write a number beside the tip of its bar."""
    axes.annotate(
        signed(x, 3),
        (x if tip is None else tip, place),
        xytext=(-4 if x < 0 else 4, 0),
        textcoords="offset points",
        ha="right" if x < 0 else "left",
        va="center",
        fontsize=SMALL,
    )


def named_bars(title: str, values: Mapping[str, Any] | Sequence[tuple[str, Any]], x: str) -> Plot:
    """A picture of bars under their message; `x` says what they measure, in the order of the largest size."""
    pairs = list(values.items()) if isinstance(values, Mapping) else list(values)
    with canvas(56 + ROW * max(len(pairs), 1), title=title) as (figure, grid):
        bars(grid[0, 0], [name for name, _ in pairs], [value for _, value in pairs])
        name_axes(grid[0, 0], x)
    listed = "; ".join(f"{one_line(name, 48)} {signed(value, 3)}" for name, value in pairs[:3])
    return Plot(figure, f"{x}: {listed}." if listed else "Nothing to show.")
