"""What all reports share: a sentence as title, a table, and notes; as text, in a notebook and as a picture."""

from __future__ import annotations

import difflib
import shutil
import sys
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from html import escape
from math import isfinite
from typing import Any

from micrograd_like import ieee
from micrograd_like.checks import instance, listed, whole_number
from micrograd_like.drawing.figure import Plot
from micrograd_like.drawing.text import elided, visible
from micrograd_like.engine import Value
from micrograd_like.ieee import Number
from micrograd_like.nn import Module

Parameters = Module | Mapping[str, Value] | Iterable[Value]
ROWS = 10  # how many rows a report prints; `report.text(rows=None)` prints all
WIDTH = 80  # the most columns that a report prints; fewer where the terminal is narrower
NARROWEST = 20  # the fewest
SHORTEST = 12  # the fewest letters that a name keeps


def show(x: Number, sign: bool = False) -> str:
    """A number for a reader, with four significant digits."""
    x = ieee.as_float(x)
    return "0" if x == 0 else f"{x:+.4g}" if sign else f"{x:.4g}"


def signed(x: Number) -> str:
    """A number for a reader that always shows its sign: a change."""
    return show(x, sign=True)


def cell(x: Number, sign: bool = True) -> str:
    """A number of a table, with three significant digits, which is at most nine letters (ten below 1e-99)."""
    x = ieee.as_float(x)
    return "0" if x == 0 else f"{x:+.3g}" if sign else f"{x:.3g}"


@dataclass(frozen=True)
class Table:
    """Columns of text; the first `names` of them are words, aligned left, the others are numbers, aligned right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    names: int = 1
    notes: Sequence[str] = field(default=())
    spare: Sequence[str] = ()  # the columns that a narrow page does without, the first of them first

    def fitted(self, width: int) -> Table:
        """The same within so many letters: spare columns are left out, then long names are shortened in their middle."""
        spare = list(self.spare)
        kept = list(range(len(self.columns)))
        while self._width(kept) > width and spare:
            kept.remove(self.columns.index(spare.pop(0)))
        rows = [[line[i] for i in kept] for line in (self.columns, *self.rows)]
        for column in sorted(range(self.names), key=lambda i: -max(len(line[i]) for line in rows)):
            longest = max(len(line[column]) for line in rows)
            room = max(longest - (self._width(kept) - width), SHORTEST)
            if room < longest:
                rows = [[elided(text, room) if i == column else text for i, text in enumerate(line)] for line in rows]
                break
        left_out = [name for name in self.spare if name not in spare]
        notes = [*self.notes, *([f"Left out for lack of room: {', '.join(left_out)}."] if left_out else [])]
        return Table(rows[0], rows[1:], self.names, notes)

    def _width(self, kept: Sequence[int]) -> int:
        lines = (self.columns, *self.rows)
        return sum(max(len(line[i]) for line in lines) for i in kept) + 2 * (len(kept) - 1)


class Report(ABC):
    """Print an answer as an aligned table, show it in a notebook and draw it.

    >>> from micrograd_like import Value, what_if
    >>> w = Value(2.0, label="w")
    >>> report = what_if(w * w, {w: 3.0})
    >>> isinstance(report, Report), report.title
    (True, 'The loss would rise from 4 to 9: +5')
    """

    @property
    @abstractmethod
    def title(self) -> str:
        """The answer in a sentence, with its numbers."""

    @abstractmethod
    def _table(self, rows: int | None) -> Table:
        """The table, with at most so many rows; None for all."""

    @abstractmethod
    def plot(self) -> Plot:
        """The answer as a picture, with `.savefig(path)`; its `.figure` is matplotlib's.

        Raises:
            ImportError: matplotlib is missing; the error names the extra that installs it.
        """

    def to_svg(self) -> str:
        """The picture as SVG: the same bytes for the same report. Raises ImportError as `plot` does."""
        return self.plot().to_svg()

    def text(self, rows: int | None = ROWS, width: int | None = None) -> str:
        """The title, the table with at most so many rows (None for all), and the notes, on lines of at most `width` letters.

        Without a width it is 80, or the terminal's where that is narrower.
        Columns that find no room are left out, which a note says; the report has all numbers.
        """
        if width is None:
            width = max(min(shutil.get_terminal_size().columns, WIDTH), NARROWEST)
        width = whole_number("width", width, at_least=NARROWEST)
        most = None if rows is None else min(whole_number("rows", rows), sys.maxsize)
        table = self._table(most).fitted(width)
        cells = [table.columns, *table.rows]
        widths = [max(len(line[i]) for line in cells) for i in range(len(table.columns))]
        lines = [
            "  ".join(
                cell.ljust(width) if i < table.names else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in cells
        ]
        rule = "─" * max(len(line) for line in lines)
        notes = [part for note in table.notes for part in _wrapped(note, width)]
        title = _wrapped(self.title, width)
        return "\n".join([*title, "", lines[0], rule, *lines[1:], *([""] if notes else []), *notes])

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        table = self._table(ROWS)

        def line(tag: str, cells: Sequence[str]) -> str:
            sides = ["left" if i < table.names else "right" for i in range(len(cells))]
            return "".join(
                f'<{tag} style="text-align:{side}">{escape(cell)}</{tag}>'
                for side, cell in zip(sides, cells, strict=True)
            )

        return (
            f"<p><strong>{escape(self.title)}</strong></p>"
            f"<table><thead><tr>{line('th', table.columns)}</tr></thead><tbody>"
            + "".join(f"<tr>{line('td', row)}</tr>" for row in table.rows)
            + "</tbody></table>"
            + "".join(f"<p>{escape(note)}</p>" for note in table.notes)
        )


def _wrapped(sentence: str, width: int) -> list[str]:
    return textwrap.wrap(visible(sentence), width, break_long_words=False, break_on_hyphens=False) or [""]


def rest(total: int, rows: int | None, what: str) -> list[str]:
    """The note that says how many rows were left out."""
    return [f"… and {total - rows} more {what}"] if rows is not None and total > rows else []


def check_loss(loss: Any) -> Value:
    """A loss that can be explained.

    Raises:
        TypeError: it is not a Value.
        ValueError: it is not finite.
    """
    found = instance("the loss", loss, Value, "a Value")
    if not isfinite(found.data):
        raise ValueError(f"the loss is {found.data}; expected a finite number")
    return found


def check_positive(name: str, x: Any) -> Number:
    """A finite number above 0. Raises TypeError or ValueError that names it."""
    try:
        fits = isfinite(x) and x > 0
    except OverflowError:
        raise ValueError(f"expected {name} as a number that a float can hold, got {x!r:.60}") from None
    except TypeError:
        raise TypeError(f"expected {name} as a number above 0, got {type(x).__name__}: {x!r:.60}") from None
    if not fits:
        raise ValueError(f"expected {name} as a finite number above 0, got {x!r:.60}")
    return x


def check_count(name: str, n: Any, at_least: int = 1) -> int:
    """A whole number that can be counted up to. Raises ValueError that names it."""
    return whole_number(name, n, at_least, sys.maxsize)


def name_of(node: Value) -> str:
    """What a report calls a node."""
    return node.label or (node.op.symbol if node.op else "unlabelled")


def in_carrier(x: Number, like: Number) -> Number:
    """A number beside a fraction as a fraction, so that what is exact stays exact."""
    return Fraction(x) if isinstance(like, Fraction) and isinstance(x, (int, float)) else x


def named(parameters: Parameters) -> dict[str, Value]:
    """Parameters by name: a module's, a mapping's, or Values by their labels.

    Raises:
        TypeError: one is not a Value.
        ValueError: there are none, or one occurs twice, or two have the same name.
    """
    if isinstance(parameters, Module):
        pairs = list(parameters.named_parameters())
    elif isinstance(parameters, Mapping):
        pairs = list(parameters.items())
    else:
        pairs = [
            (getattr(p, "label", "") or f"parameter {i}", p)
            for i, p in enumerate(listed("parameters", parameters, "a module, names to Values, or Values"))
        ]
    for name, parameter in pairs:
        instance(f"parameter {name}", parameter, Value, "a Value")
        if parameter.op is not None:
            raise ValueError(f"{name} was computed; expected parameters that can be set, which are leaves")
    if not pairs:
        raise ValueError("expected at least one parameter, got none")
    seen: dict[Any, str] = {}
    for name, parameter in pairs:
        for key in (name, parameter):
            if key in seen:
                raise ValueError(f"expected each parameter and each name once, got {name!r} beside {seen[key]!r}")
        seen[name] = seen[parameter] = name
    return dict(pairs)


def find(nodes: Collection[Value], parameter: Value | str) -> Value:
    """The node meant by a Value, or by the label of one of those that the loss depends on.

    Raises:
        TypeError: it is neither a Value nor a text.
        ValueError: no node has that label, or several; or the Value was computed in another graph.
    """
    if isinstance(parameter, str):
        labelled = [node for node in nodes if node.label == parameter]
        if len(labelled) != 1:
            labels = sorted({node.label for node in nodes if node.label})
            hint = ", ".join(difflib.get_close_matches(parameter, labels, n=3) or labels[:3])
            raise ValueError(
                f"expected the label of one node that the loss depends on, got {parameter!r:.60}, which "
                f"{len(labelled) or 'no'} nodes have" + (f"; there are {hint}, …" if hint else "")
            )
        return labelled[0]
    instance("a parameter", parameter, Value, "a Value or a label")
    if parameter.op is not None and parameter not in nodes:
        raise ValueError(f"{name_of(parameter)} was computed in another graph: the loss does not use it")
    return parameter
