"""The picture of attention: a triangle for each head, which says who looks at whom."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any

from micrograd_like._extras import require
from micrograd_like.checks import listed, texts
from micrograd_like.drawing.figure import Plot, canvas, plain
from micrograd_like.drawing.style import BODY, NEUTRAL, PAGE_WIDTH, SMALL

ACROSS = 4  # triangles side by side
_ROWS = "rows of numbers for each head"


def plot_attention(letters: Sequence[str], heads: Sequence[Sequence[Sequence[Any]]], title: str = "") -> Plot:
    """Draw how much each position looks at itself and at earlier ones: a square's area is its share.

    A row is a position that looks, a column is what it looks at. The shares of a row add up to 1, a full square.

    >>> plot = plot_attention("emma", [[[1.0], [0.5, 0.5], [0.0, 0.8, 0.2], [0.1, 0.2, 0.3, 0.4]]], "Who looks at whom")
    >>> plot.summary
    'Head 1: e looks most at e, m at e, m at m, a at a.'

    Args:
        letters: what stands at the positions, a short text for each.
        heads: for each head its shares by position and earlier position, as `GPT.looks` gives them for a block.
        title: what is to be seen, in a sentence.

    Raises:
        ImportError: matplotlib is missing.
        TypeError: a letter or the title is no text, or a share no number.
        ValueError: there is no head, or its shares are not a triangle on these letters.
    """
    texts(title=title)
    names = listed("letters", letters, "a list of texts")
    for name in names:
        texts(letters=name)
    size = len(names)
    triangles = [
        [listed("heads", row, _ROWS) for row in listed("heads", h, _ROWS)] for h in listed("heads", heads, _ROWS)
    ]
    for shares in triangles:
        if [len(row) for row in shares] != list(range(1, size + 1)):
            raise ValueError(f"expected a triangle of shares, from 1 to {size} in a row, got {shares!r:.60}")
    if not triangles or not size:
        raise ValueError(f"expected at least one letter and one head, got {size} and {len(triangles)}")
    numbers = [[[plain("heads", x) for x in row] for row in shares] for shares in triangles]
    down = -(-len(numbers) // ACROSS)
    with canvas(down * (PAGE_WIDTH / ACROSS + 30), down, ACROSS, title=title) as (figure, grid):
        for n, axes in enumerate(grid.flat):
            if n < len(numbers):
                _triangle(axes, names, numbers[n])
                axes.set_title(f"head {n + 1}: this letter looks …", fontsize=SMALL)
                axes.set_xlabel("… at this one", fontsize=SMALL)
            else:
                axes.set_axis_off()
    return Plot(figure, " ".join(f"Head {n + 1}: {_most(names, shares)}." for n, shares in enumerate(numbers)))


def _triangle(axes: Any, letters: Sequence[str], shares: Sequence[Sequence[float]]) -> None:
    size = len(letters)
    frame = [(x, y, 0.96) for y in range(size) for x in range(y + 1)]
    filled = [(x, y, 0.96 * sqrt(max(share, 0.0))) for y, row in enumerate(shares) for x, share in enumerate(row)]
    for squares, patch in (
        (frame, {"facecolor": "none", "edgecolor": NEUTRAL, "linewidth": 0.5, "alpha": 0.6}),
        ([each for each in filled if each[2] > 0.03], {"facecolor": NEUTRAL, "edgecolor": "none"}),
    ):
        axes.add_patch(_squares(squares, patch))
    axes.set(xlim=(-0.6, size - 0.4), ylim=(size - 0.4, -0.6), aspect="equal")
    axes.set_xticks(range(size), letters, fontsize=BODY)
    axes.set_yticks(range(size), letters, fontsize=BODY)
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)


def _squares(squares: Sequence[tuple[float, float, float]], patch: dict[str, Any]) -> Any:
    """Squares with these middles and sides, as one outline."""
    matplotlib = require("matplotlib", extra="plots")
    paths = []
    for x, y, side in squares:
        corners = [(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]
        paths.append(matplotlib.path.Path([(x + a * side / 2, y + b * side / 2) for a, b in corners], closed=True))
    return matplotlib.patches.PathPatch(matplotlib.path.Path.make_compound_path(*paths), **patch)


def _most(letters: Sequence[str], shares: Sequence[Sequence[float]]) -> str:
    most = [letters[max(range(len(row)), key=row.__getitem__)] for row in shares]
    pairs = [f"{letter} {'looks most ' if y == 0 else ''}at {most[y]}" for y, letter in enumerate(letters)]
    return ", ".join(pairs)
