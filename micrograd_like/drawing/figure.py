"""Figures by matplotlib in the style of all pictures: their sizes, titles and labels, and their SVG.

A figure is made at the width of a page (880 px, one unit of matplotlib to a px), so that its text has the size that
`style.py` says. Its title is its message; what is drawn is labelled where it is drawn.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from math import isfinite
from pathlib import Path
from typing import Any

from micrograd_like._extras import require
from micrograd_like.checks import shown, texts
from micrograd_like.drawing.style import BODY, CAPTION, FONT, NEUTRAL, PAGE_WIDTH, SMALL, measure
from micrograd_like.drawing.text import elided, visible
from micrograd_like.engine import Value
from micrograd_like.ieee import as_float, number

PX = 72  # to the inch: one point is one px
STYLE = {
    "figure.facecolor": "none",
    "figure.dpi": PX,
    "savefig.dpi": 2 * PX,  # of PNG files
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": SMALL,
    "axes.titlesize": BODY,
    "axes.titlelocation": "left",
    "axes.titleweight": "normal",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.alpha": 0.25,
    "grid.color": NEUTRAL,
    "legend.frameon": False,
    "legend.labelcolor": NEUTRAL,
    "lines.linewidth": 2,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), NEUTRAL),
    "svg.fonttype": "none",  # text stays text: it can be selected, searched and read aloud
    "svg.hashsalt": "micrograd_like",
}
_BETWEEN = 1.25  # lines of labels


@contextmanager
def house_style() -> Iterator[Any]:
    """Put matplotlib in the house style for the length of a block; gives matplotlib, with what figures need imported.

    >>> with house_style() as matplotlib:
    ...     figure = matplotlib.figure.Figure()
    >>> figure.get_facecolor()[3]
    0.0

    Raises:
        ImportError: matplotlib is missing; the error names the extra that installs it.
    """
    matplotlib = require("matplotlib", extra="plots")
    for module in ("figure", "colors", "ticker", "path", "patches"):
        require(f"matplotlib.{module}", extra="plots")
    with matplotlib.rc_context(STYLE):
        yield matplotlib


class Plot:
    """Hold a matplotlib figure that shows itself in a notebook and saves to the same bytes every time.

    >>> with house_style() as matplotlib:
    ...     figure = matplotlib.figure.Figure()
    ...     _ = figure.subplots().plot([1, 2, 4])
    >>> plot = Plot(figure, "a line that doubles")
    >>> plot.to_svg().count("a line that doubles")
    1

    Args:
        figure: the `matplotlib.figure.Figure`, made within `house_style()`.
        summary: what is to be seen, in a sentence with its numbers, for those who do not see it.

    Raises:
        TypeError: the figure is none of matplotlib's, or the summary no text.
    """

    def __init__(self, figure: Any, summary: str = "") -> None:
        if not hasattr(figure, "draw_without_rendering"):
            raise TypeError(f"expected a matplotlib figure, got {type(figure).__name__}: {shown(figure)}")
        texts(summary=summary)
        self.figure = figure
        self.summary = summary
        with house_style():  # a layout that is computed again on every saving moves a little each time
            figure.draw_without_rendering()
            _spread_labels(figure)
            figure.draw_without_rendering()  # the second time it knows how high square pictures came out
            figure.set_layout_engine("none")

    @property
    def title(self) -> str:
        """The figure's message: its title, or that of its first panel."""
        whole = self.figure.get_suptitle()
        panels = (axes.get_title(loc) for axes in self.figure.axes for loc in ("left", "center"))
        return " ".join((whole or next(filter(None, panels), "")).split())

    def to_svg(self) -> str:
        """The plot as SVG, with its title and summary for a screen reader."""
        return figure_svg(self.figure, self.title, self.summary)

    def savefig(self, path: Any, **options: Any) -> None:
        """Write the plot to a file, in the format of its name; the options are those of matplotlib's `savefig`."""
        format = options.get("format") or Path(path).suffix.removeprefix(".")
        if format == "svg" and not hasattr(path, "write"):
            Path(path).write_text(self.to_svg(), encoding="utf-8", newline="\n")
            return
        undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
        with house_style():
            self.figure.savefig(path, **{"metadata": undated.get(format), **options})

    def _repr_svg_(self) -> str:
        return self.to_svg()


def figure_svg(figure: Any, title: str = "", summary: str = "") -> str:
    """A matplotlib figure as SVG: named for a screen reader, with short numbers. The same figure gives the same bytes."""
    with house_style():
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", file.getvalue(), count=1, flags=re.DOTALL)
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r" ?font-family: 'DejaVu Sans'[^;\"]*;?", "", svg)  # said once, for the whole picture
    svg = re.sub(r' transform="rotate\(-?0 [^)]*\)"', "", svg)
    svg = re.sub(r"<g id=\"(?:text|line2d|patch|figure|axes|xtick|ytick|matplotlib\.axis)_\d+\">", "<g>", svg)
    svg = re.sub(r' d="[^"]*"', lambda outline: re.sub(r"\d+\.\d{3,}", _rounded, outline[0]), svg)
    head, rest = svg.split(">", 1)
    head = re.sub(r'="([\d.]+)pt"', lambda size: f'="{float(size[1]):g}"', head)
    names = f"\n <title>{escape(visible(title))}</title>" if title else ""
    names += f"\n <desc>{escape(visible(summary))}</desc>" if summary else ""
    return f'{head} role="img" font-family="{_FONTS}">{names}{rest}'


_FONTS = FONT.replace('"', "'")


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")


def stacked(title: str, summary: str, pictures: Sequence[str]) -> str:
    """SVG pictures below each other on one page, under their message; a wider one than the page is made smaller."""
    title = with_minus(title)
    lines = wrapped(title, PAGE_WIDTH - 16, CAPTION, bold=True)
    texts, inside = [], []
    y = 4.0
    for line in lines:
        y += 1.35 * CAPTION
        texts.append(f'<text x="4" y="{y - 0.35 * CAPTION:g}">{escape(line)}</text>')
    y += 8
    for svg in pictures:
        head, rest = svg[svg.index("<svg") :].split(">", 1)
        width, height = (float(size) for size in re.findall(r' (?:width|height)="([\d.]+)', head)[:2])
        scale = min(PAGE_WIDTH / width, 1.0)
        place = (
            f'x="{(PAGE_WIDTH - width * scale) / 2:g}" y="{y:g}" width="{width * scale:g}" height="{height * scale:g}"'
        )
        inside.append(re.sub(r' (?:width|height|role)="[^"]*"', "", head) + f" {place}>" + rest)
        y += height * scale + 8
    names = f"<title>{escape(visible(title))}</title><desc>{escape(visible(summary))}</desc>"
    look = f'fill="{NEUTRAL}" font-family="{_FONTS}" font-size="{CAPTION}" font-weight="bold"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{PAGE_WIDTH}" '
        f'height="{y:g}" viewBox="0 0 {PAGE_WIDTH} {y:g}" role="img">\n{names}\n<g {look}>{"".join(texts)}</g>\n'
        + "\n".join(inside)
        + "\n</svg>\n"
    )


@contextmanager
def canvas(
    height: float, rows: int = 1, columns: int = 1, *, title: str = "", width: float = PAGE_WIDTH, **options: Any
) -> Iterator[tuple[Any, Any]]:
    """A figure of that size in px and its grid of axes, in the house style; texts are taken literally.

    `height` is without the title's lines, which come above. The options are those of matplotlib's `Figure.subplots`.
    """
    lines = wrapped(with_minus(title), width - 16, CAPTION, bold=True) if title else []
    above = len(lines) * CAPTION * 1.35
    with house_style() as matplotlib, matplotlib.rc_context({"text.parse_math": False}):
        size = (width / PX, (height + above) / PX)
        figure = matplotlib.figure.Figure(figsize=size, layout="constrained")
        figure.get_layout_engine().set(w_pad=6 / PX, h_pad=6 / PX)
        if lines:
            figure.suptitle("\n".join(lines), x=4 / width, ha="left", fontsize=CAPTION, fontweight="bold")
        yield figure, figure.subplots(rows, columns, squeeze=False, **options)


def with_minus(text: str) -> str:
    """Numbers below 0 with a minus sign, which is as wide as a plus, for the hyphen of a keyboard.

    >>> with_minus("from -1.5 to 1e-05, a mini-batch of 2-3")
    'from −1.5 to 1e−05, a mini-batch of 2-3'
    """
    return re.sub(r"(?<![\w.)\]])-(?=[\d.∞])|(?<=\de)-(?=\d)", "−", text)


def wrapped(sentence: str, width: float, size: float, bold: bool = False) -> list[str]:
    """A sentence as lines that are at most so many px wide, broken between words."""
    lines = [""]
    for word in visible(sentence).split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and measure(longer, size, bold) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def plain(name: str, x: Any) -> float:
    """A number or a Value as a float. Raises TypeError for what is neither."""
    try:
        return as_float(number(x.data if isinstance(x, Value) else x))
    except TypeError:
        raise TypeError(f"expected {name} as numbers or Values, got {type(x).__name__}: {shown(x)}") from None


def one_line(label: str, length: int = 64) -> str:
    """A label as a picture shows it: on one line, without what cannot be printed."""
    return elided(visible(label).replace("\n", " "), length)


def name_axes(axes: Any, x: str = "", y: str = "") -> None:
    """Name what the axes measure, the vertical one above itself, where it is read without turning the head."""
    axes.set_xlabel(one_line(x))
    if y:
        axes.set_title(one_line(y), loc="left", fontsize=SMALL)


def label_end(axes: Any, text: str, xs: Sequence[float], ys: Sequence[float], colour: str) -> None:
    """Label a line to the right of its last point that is finite, where no other label is."""
    points = [(x, y) for x, y in zip(xs, ys, strict=True) if isfinite(x) and isfinite(y)]
    if points and text:
        label = axes.annotate(
            "\n".join(wrapped(text, 170, SMALL)),
            points[-1],
            xytext=(1.0, points[-1][1]),
            textcoords=("axes fraction", "data"),
            color=colour,
            va="center",
            annotation_clip=False,
        )
        label.is_label_of_a_line = True


def _spread_labels(figure: Any) -> None:
    """Move the labels of lines that end close to each other apart, and inside the height of their axes."""
    for axes in figure.axes:
        labels = [each for each in axes.texts if getattr(each, "is_label_of_a_line", False)]
        if not labels:
            continue
        box = axes.get_window_extent()
        wanted = []
        for label in labels:
            y = axes.transData.transform((0 if axes.get_xscale() == "linear" else 1, label.xy[1]))[1]
            height = label.get_text().count("\n") * 1.2 * SMALL + SMALL * _BETWEEN
            wanted.append((min(max(y, box.y0), box.y1), height, label))
        wanted.sort(key=lambda each: each[0])
        for y, (_, _, label) in zip(spread([w[:2] for w in wanted], box.y0, box.y1), wanted, strict=True):
            label.set_position((1.0 + 8 / box.width, (y - box.y0) / box.height))
            label.set_anncoords("axes fraction")


def spread(wanted: Sequence[tuple[float, float]], low: float, high: float) -> list[float]:
    """The middles of labels, given as (wanted middle, height) in ascending order, so that none overlaps another.

    >>> spread([(1.0, 2.0), (1.0, 2.0), (9.0, 2.0)], 0.0, 10.0)
    [1.0, 3.0, 9.0]
    """
    if not wanted:
        return []
    found: list[float] = []
    floor = low - wanted[0][1] / 2
    for y, height in wanted:
        found.append(max(y, floor + height / 2))
        floor = found[-1] + height / 2
    ceiling = max(high, low) + wanted[-1][1] / 2
    for i in range(len(found) - 1, -1, -1):
        found[i] = min(found[i], ceiling - wanted[i][1] / 2)
        ceiling = found[i] - wanted[i][1] / 2
    return found
