"""Drawings that answer a question: which paths lead from a parameter to the loss, and who did what in a step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from micrograd_like.drawing.render import elided, plain_text, tooltip_text, visible
from micrograd_like.drawing.scene import Arrow, Box, Scene, full, largest, short
from micrograd_like.drawing.style import INK, LOWERS, NEUTRAL, RAISES
from micrograd_like.engine import Value
from micrograd_like.ieee import Number, as_float

# The role of a box: its shape and its tint.
ROLES = {
    "input": ("box", "filled", "#d5ecfb"),
    "parameter": ("note", "filled", "#fdf0b0"),
    "operation": ("box", "filled,rounded", "#eeeeee"),
    "neuron": ("box", "filled,rounded", "#eeeeee"),
    "layer": ("box3d", "filled", "#eeeeee"),
    "loss": ("octagon", "filled", "#f4d9ea"),
    "constant": ("box", "filled,rounded", "#ffffff"),
}
THINNEST, THICKEST = 0.6, 7.0


class Sample(NamedTuple):
    """A line of the legend: an edge to look at and what it means."""

    colour: str
    width: float
    meaning: str


class Style:
    """Colour by the sign of the gradient, thickness by its size. Subclass it to draw another quantity."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.largest = largest(arrow.gradient for arrow in scene.arrows)

    def box(self, box: Box) -> dict[str, str]:
        """The DOT attributes of a box."""
        shape, style, tint = ROLES[box.role]
        colour = self.colour(box.gradient)
        attributes = {
            "label": plain_text(*[elided(line) for line in (*visible(box.title).split("\n")[:4], *box.lines)]),
            "tooltip": tooltip_text(*box.details),
            "shape": shape,
            "style": style,
            "fillcolor": tint,
            "color": colour,
            "penwidth": "1" if colour == NEUTRAL else "2",
        }
        return attributes | ({"fontsize": "9", "width": "0", "height": "0"} if box.role == "constant" else {})

    def arrow(self, arrow: Arrow) -> dict[str, str]:
        """The DOT attributes of an arrow."""
        colour = self.colour(arrow.gradient)
        attributes = {
            "label": plain_text(arrow.label),
            "tooltip": tooltip_text(*arrow.details),
            "color": colour,
            "penwidth": f"{self.width(arrow.gradient):.3g}",
        }
        if arrow.hidden:
            attributes["style"] = "invis"
        elif arrow.gradient is not None and arrow.gradient != arrow.gradient:
            attributes["style"] = "dashed"
        return attributes

    def colour(self, gradient: Number | None) -> str:
        """The colour of a gradient's sign."""
        if gradient is None or not gradient or gradient != gradient:
            return NEUTRAL
        return RAISES if gradient > 0 else LOWERS

    def width(self, gradient: Number | None) -> float:
        """The thickness of a gradient's size, proportional to the drawing's largest."""
        size = 0.0 if gradient is None else abs(as_float(gradient))
        if size > self.largest:
            return THICKEST
        return max(THINNEST, THICKEST * size / self.largest) if size else THINNEST

    def legend(self) -> list[Sample]:
        """What to explain: only what is in the drawing."""
        it, root = self.scene.carries, elided(self.scene.root, 20)
        gradients = [arrow.gradient for arrow in self.scene.arrows if arrow.label]
        samples = []
        for colour, verb in ((RAISES, "raises"), (LOWERS, "lowers")):
            if any(self.colour(gradient) == colour for gradient in gradients):
                samples.append(Sample(colour, THICKEST, f"raising {it} {verb} {root} strongly"))
                samples.append(Sample(colour, 1.2, f"raising {it} {verb} {root} a little"))
        if any(gradient is not None and not gradient for gradient in gradients):
            samples.append(Sample(NEUTRAL, THINNEST, f"{it} has no effect on {root} just now"))
        if any(gradient != gradient for gradient in gradients):
            samples.append(Sample(NEUTRAL, THINNEST, f"the gradient of {root} is not a number (dashed)"))
        if any(gradient is None for gradient in gradients):
            samples.append(Sample(NEUTRAL, THINNEST, "no gradient yet: nothing was backpropagated from here"))
        return samples

    def notes(self) -> list[str]:
        """Lines of text below the legend."""
        notes = [f"the number at an edge: {self.scene.number}"]
        if self.largest:
            notes.append(f"thickness: the size of the gradient; thickest = {self.largest:.4g}")
        if any(box.gradient is not None for box in self.scene.boxes):
            notes.append(f"grad: how fast {elided(self.scene.root, 20)} changes when this number is raised")
        return notes + self.scene.notes


FADED = "#b8b8b8"  # what lies on no path
_TINTS = {RAISES: "#ffe3cf", LOWERS: "#d5ecfb", NEUTRAL: "#eeeeee"}


class Highlight(Style):
    """The paths from one node to the root in colour, each edge with its local derivative; everything else faded.

    Raises:
        ValueError: the node is not drawn as a box of its own.
    """

    def __init__(self, scene: Scene, source: Value | str) -> None:
        super().__init__(scene)
        if any(arrow.target is None and not arrow.hidden for arrow in scene.arrows):
            raise ValueError("highlight follows paths from number to number: expected depth=None, which draws them")
        starts = [box for box in scene.boxes if box.node is not None and source in (box.node, box.node.label)]
        if len(starts) != 1:
            raise ValueError(
                f"expected highlight as one of the numbers drawn, or its label; {len(starts) or 'none'} of "
                f"the {len(scene.boxes)} boxes fit {source!r:.60}"
            )
        self.start = starts[0]
        # Forward along the arrows, which are in the order of the computation: the paths, and their products' sum.
        self.paths: dict[str, int] = {self.start.key: 1}
        sums: dict[str, Number] = {self.start.key: 1}
        for arrow in scene.arrows:
            if arrow.tail in self.paths and not arrow.hidden:
                self.paths[arrow.head] = self.paths.get(arrow.head, 0) + self.paths[arrow.tail]
                step = sums[arrow.tail] * (0 if arrow.derivative is None else arrow.derivative)
                sums[arrow.head] = sums.get(arrow.head, 0) + step
        end = scene.boxes[-1].key
        self.count, self.sum = self.paths.get(end, 0), sums.get(end, 0)

    def box(self, box: Box) -> dict[str, str]:
        """The box in its colours on a path, else faded; the start with its paths' product."""
        attributes = super().box(box)
        if box.key not in self.paths:
            return attributes | {"color": FADED, "fontcolor": FADED, "fillcolor": "#fafafa", "penwidth": "1"}
        if box is self.start:
            lines = [elided(line) for line in (*box.title.split("\n")[:4], *box.lines)]
            attributes["label"] = plain_text(*lines, self._product())
        return attributes | {"color": INK, "penwidth": "2"}

    def _product(self) -> str:
        if self.count == 1:
            return f"product of its path {short(self.sum)}"
        return f"Σ over {self.count:,} paths {short(self.sum)}" if self.count else "no path"

    def arrow(self, arrow: Arrow) -> dict[str, str]:
        """The arrow with its local derivative on a path, else faded and without a word."""
        attributes = super().arrow(arrow)
        if arrow.tail not in self.paths:
            return attributes | {"color": FADED, "penwidth": f"{THINNEST}", "label": ""}
        return attributes | {"color": self.colour(arrow.derivative), "penwidth": "2.5"}

    def legend(self) -> list[Sample]:
        """The signs of the derivatives."""
        return [
            Sample(RAISES, 2.5, "a positive local derivative"),
            Sample(LOWERS, 2.5, "a negative local derivative"),
            Sample(FADED, THINNEST, f"on no path from {elided(self.start.title, 20)}"),
        ]

    def notes(self) -> list[str]:
        """What the products add up to."""
        return [
            "the number at an edge: the local derivative",
            f"along a path they multiply; the products of {self.count:,} paths add up to the gradient",
            f"of {elided(self.scene.root, 20)} with respect to {elided(self.start.title, 20)}: {short(self.sum)}",
        ]


class _Entry(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def share(self) -> Any: ...


class _Report(Protocol):
    @property
    def parameters(self) -> Iterable[_Entry]: ...


class ByShare(Style):
    """Parameters coloured by what they really did to the loss in a step: their shares.

    A neuron's box shows the sum of its parameters' shares, and an edge that stands for a weight the weight's.

    Raises:
        ValueError: nothing in the drawing bears the name of one of the report's parameters.
    """

    def __init__(self, scene: Scene, report: _Report) -> None:
        super().__init__(scene)
        self.shares = {entry.name: entry.share for entry in report.parameters}
        self.found = {box.key: share for box in scene.boxes if (share := self._share_of_box(box)) is not None}
        on_arrows = [share for arrow in scene.arrows if (share := self._share_of_arrow(arrow)) is not None]
        if not self.found and not on_arrows:
            raise ValueError(
                "nothing in the drawing is labelled like a parameter of the report; is it another model's?"
            )
        self.largest_share = largest([*self.found.values(), *on_arrows]) or 1.0

    def _share_of_box(self, box: Box) -> Number | None:
        if box.role == "parameter" and box.node is not None:
            return self.shares.get(box.node.label)
        if box.role in ("neuron", "layer"):
            home = f"{box.cluster}.{box.title}." if box.cluster else f"{box.title}."
            held = [share for name, share in self.shares.items() if name.startswith(home)]
            return sum(held) if held else None
        return None

    def _share_of_arrow(self, arrow: Arrow) -> Number | None:
        return self.shares.get(arrow.source.label) if arrow.source is not None else None

    def box(self, box: Box) -> dict[str, str]:
        """A parameter (or a neuron) in the colour of its share, with its number."""
        attributes = super().box(box)
        share = self.found.get(box.key)
        if share is None:
            return attributes | {"color": NEUTRAL, "penwidth": "1"}
        colour = self.colour(share)
        lines = [elided(line) for line in (*box.title.split("\n")[:4], *box.lines)]
        return attributes | {
            "label": plain_text(*lines, f"share {short(share)}"),
            "tooltip": tooltip_text(*box.details, f"share = {full(share)}"),
            "color": colour,
            "fillcolor": _TINTS[colour],
            "penwidth": f"{self._width(share):.3g}",
        }

    def arrow(self, arrow: Arrow) -> dict[str, str]:
        """A weight in the colour of its share; what is no parameter in grey."""
        attributes = super().arrow(arrow)
        share = self._share_of_arrow(arrow)
        if share is None:
            return attributes | {"color": NEUTRAL, "penwidth": f"{THINNEST}", "label": ""}
        return attributes | {
            "label": "" if arrow.target is not None else plain_text(short(share)),  # the parameter's own box says it
            "tooltip": tooltip_text(*arrow.details, f"share = {full(share)}"),
            "color": self.colour(share),
            "penwidth": f"{self._width(share):.3g}",
        }

    def _width(self, share: Number) -> float:
        return max(THINNEST, THICKEST * abs(as_float(share)) / self.largest_share)

    def legend(self) -> list[Sample]:
        """The signs of the shares."""
        return [
            Sample(RAISES, 4.0, "its share raised the loss in the step"),
            Sample(LOWERS, 4.0, "its share lowered the loss in the step"),
        ]

    def notes(self) -> list[str]:
        """How to read a share."""
        return [
            "share: its part in what the step really did to the loss",
            f"thickness: the size of the share; thickest = {self.largest_share:.4g}",
        ]
