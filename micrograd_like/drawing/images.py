"""Numbers as pictures: images in grey, and the weights that look at them in colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from micrograd_like._extras import require
from micrograd_like.checks import instance, listed, mapped, picture_shape, texts, whole_number
from micrograd_like.drawing.figure import PX, Plot, canvas, house_style, plain, with_minus, wrapped
from micrograd_like.drawing.style import CAPTION, EFFECTS, NEUTRAL, PAGE_WIDTH, SMALL, WEIGHTS
from micrograd_like.engine import Value
from micrograd_like.ieee import added, as_float, number


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
        return max([self.top, *(abs(x) for values in self.values for x in values if isfinite(x))])


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
        most = max(range(len(rows)), key=lambda i: added(x * x for x in moved[i]))
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
                    small = with_minus(f"within about\n±{max(map(abs, values)):.2g}") if any(values) else "all 0"
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
