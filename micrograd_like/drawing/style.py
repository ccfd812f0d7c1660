"""What boxes and arrows look like: one method for a box, one for an arrow, and the legend that explains them.

Red (vermillion) and blue are the pair of the Okabe–Ito palette that every kind of colour vision tells apart. What lies
on the page itself is drawn in tones with a contrast of at least 4 to white and to black; what lies in a box is dark on a
light tint, so that a drawing reads the same on a light and on a dark page.
"""

from __future__ import annotations

from typing import NamedTuple

from micrograd_like.drawing.render import elided, plain_text, tooltip_text, visible
from micrograd_like.drawing.scene import Arrow, Box, Scene, largest
from micrograd_like.ieee import Number, as_float

RAISES = "#cc5500"  # raising it raises the loss
LOWERS = "#1b7dc0"  # raising it lowers the loss
NEUTRAL = "#777777"  # no effect, or none known
INK = "#1a1a1a"  # text on a tint

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
