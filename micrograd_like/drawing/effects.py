"""What a drawing's colours and thicknesses mean: one quantity for each kind of mark, and the legend that says which.

`Style` shows gradients, `ByShare` what each parameter did in a step, `Highlight` the paths from one number.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import nan
from typing import Any, NamedTuple, Protocol

from micrograd_like.drawing.formula import full, number, signed
from micrograd_like.drawing.scene import Arrow, Box, Picture, Port, Scene, largest
from micrograd_like.engine import Value
from micrograd_like.ieee import Number, added, as_float

Thing = Box | Arrow | Port


class Sample(NamedTuple):
    """An entry of the legend: a mark to look at, and what it means."""

    mark: str  # the kind of mark, as `svg.py` draws it
    meaning: str


def direction(effect: Number | None) -> str:
    """ "up" where raising it raises the root, "down" where that lowers it, "none" where neither or nothing is known."""
    if effect is None or not effect or effect != effect:
        return "none"
    return "up" if effect > 0 else "down"


class Style:
    """The gradient: its sign is the colour, its size the thickness. Subclass it to show another quantity."""

    symbol = "∂"

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        ports = [port for box in scene.boxes for port in box.ports]
        edges: list[Thing] = [*scene.arrows, *ports]
        self.largest = largest(map(self.effect, edges))
        self.largest_weight = largest(port.value for port in ports)
        self.largest_in = {
            kind: largest(
                x for box in scene.boxes for p in box.pictures if p.kind == kind for x in self.picture(p).values
            )
            for kind in ("pixels", "weights", "effects")
        }

    def effect(self, thing: Thing) -> Number | None:
        """The quantity that colours a box, an arrow or a port; None where it is not known."""
        return thing.gradient

    def size(self, effect: Number | None) -> float:
        """The size of an effect, from 0 to 1, the largest of the drawing."""
        if effect is None or effect != effect or not effect:
            return 0.0
        return min(abs(as_float(effect)) / self.largest, 1.0) if self.largest else 1.0

    def faded(self, thing: Thing) -> bool:
        """Whether a box or an arrow stands back."""
        return False

    def line(self, box: Box) -> str:
        """The effect in a box, "" for none."""
        if box.is_root and self.symbol == "∂" and box.gradient == 1:
            return "start: 1"
        effect = self.effect(box)
        return "" if effect is None else f"{self.symbol} {signed(effect)}"

    def pill(self, arrow: Arrow) -> str:
        """What stands on an arrow."""
        return "" if arrow.derivative is None else f"×{number(arrow.derivative, 3)}"

    def is_length(self, arrow: Arrow) -> bool:
        """Whether an arrow's effect is the length of several gradients, which has no sign."""
        return arrow.signless

    def details(self, thing: Thing) -> list[str]:
        """The lines of a tooltip."""
        return thing.details

    def picture(self, picture: Picture) -> Picture:
        """A neuron's numbers as an image."""
        return picture

    def effects(self) -> list[Number | None]:
        """Everything that has a colour."""
        things: list[Thing] = [box for box in self.scene.boxes if not box.is_root or box.gradient is None]
        things += self.scene.arrows
        things += [port for box in self.scene.boxes for port in box.ports]
        return list(map(self.effect, things))

    def legend(self) -> list[Sample]:
        """What to explain: only what is in the drawing."""
        found, samples = {direction(effect) for effect in self.effects()}, self._marks()
        root = _short(self.scene.root)
        for way, verb, arrow in (("up", "raises", "▼"), ("down", "lowers", "▲")):
            if way in found:
                ports = any(box.ports for box in self.scene.boxes)
                samples.append(Sample(way + " in" * ports, f"raising it {verb} {root}{f' {arrow}' * ports}"))
        if any(effect is None for effect in self.effects()) and not found - {"none"}:
            samples.append(Sample("", "no gradient yet"))
        if any(effect is not None and effect != effect for effect in self.effects()):
            samples.append(Sample("", "nan: not a number"))
        if not self.scene.is_finite():
            samples.append(Sample("failed", "not finite"))
        return samples + self._words()

    def _marks(self) -> list[Sample]:
        roles = {box.role for box in self.scene.boxes}
        samples = [Sample("parameter", "can learn")] if "parameter" in roles else []
        samples += [Sample("input", "given")] if "input" in roles and not self.scene.is_network else []
        if self.largest_weight:
            samples.append(Sample("core", "weight"))
            if any(port.value < 0 for box in self.scene.boxes for port in box.ports):
                samples.append(Sample("dashed", "below 0"))
        kinds = {p.kind for box in self.scene.boxes for p in box.pictures}
        if "weights" in kinds:
            top = number(self.largest_in["weights"], 2)
            samples.append(Sample("weights", f"weight −{top}…+{top}"))
        if "effects" in kinds:
            samples.append(Sample("effects", f"{self._word()} lowers … raises"))
        return samples

    def _word(self) -> str:
        return "gradient: raising it"

    def _words(self) -> list[Sample]:
        words = []
        if self.largest and not self.scene.is_network:
            words.append("thickness = |∂|")
        elif self.largest:
            words.append(f"widest: ∂ = {number(self.largest, 3)}")
        if any(self.pill(arrow) for arrow in self.scene.arrows):
            words.append(
                f"∂ = the × on the way to {_short(self.scene.root)}, multiplied"
                if self.largest
                else "×: the local derivative"
            )
        return [Sample("", word) for word in words + self.scene.notes]


def _short(text: str) -> str:
    return text if len(text) <= 20 else f"{text[:19]}…"


class Highlight(Style):
    """The paths from one node to the root in colour, each edge with its local derivative; everything else faded.

    Raises:
        ValueError: the node is not drawn as a box of its own.
    """

    def __init__(self, scene: Scene, source: Value | str) -> None:
        if scene.is_network:
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
            if arrow.tail in self.paths:
                self.paths[arrow.head] = self.paths.get(arrow.head, 0) + self.paths[arrow.tail]
                step = sums[arrow.tail] * (0 if arrow.derivative is None else arrow.derivative)
                sums[arrow.head] = sums.get(arrow.head, 0) + step
        end = scene.boxes[-1].key
        self.count, self.sum = self.paths.get(end, 0), sums.get(end, 0)
        super().__init__(scene)

    def effect(self, thing: Thing) -> Number | None:
        """The local derivative of an arrow on a path; boxes keep their gradients."""
        if isinstance(thing, Arrow):
            return thing.derivative if thing.tail in self.paths else None
        return thing.gradient

    def size(self, effect: Number | None) -> float:
        """The same for all: what a path carries is a product, which no single edge shows."""
        return 0.3 if direction(effect) != "none" else 0.0

    def faded(self, thing: Thing) -> bool:
        """Whether it lies on no path."""
        return (
            thing.tail if isinstance(thing, Arrow) else thing.key if isinstance(thing, Box) else ""
        ) not in self.paths

    def line(self, box: Box) -> str:
        """The sum of the products in the box that the paths start from."""
        if box is not self.start:
            return super().line(box)
        if self.count == 1:
            return f"product of its path {number(self.sum)}"
        return f"Σ over {self.count:,} paths {number(self.sum)}" if self.count else "no path"

    def pill(self, arrow: Arrow) -> str:
        """The local derivative, on the paths alone."""
        return "" if self.faded(arrow) else super().pill(arrow)

    def legend(self) -> list[Sample]:
        """The signs of the derivatives, and what the products add up to."""
        on_paths = {direction(self.effect(arrow)) for arrow in self.scene.arrows if not self.faded(arrow)}
        signs = {"up": "a local derivative above 0", "down": "below 0"}
        samples = [Sample(way, meaning) for way, meaning in signs.items() if way in on_paths]
        called = _short(self.start.title)
        if self.count:
            samples.append(
                Sample(
                    "",
                    f"the × of a path, multiplied, {'added up over' if self.count > 1 else 'of'} "
                    f"{self.count:,} path{'s' * (self.count != 1)}: ∂{_short(self.scene.root)}/∂{called} = {number(self.sum)}",
                )
            )
        return (
            [*samples, Sample("faded", f"on no path from {called}")]
            if len(self.paths) < len(self.scene.boxes)
            else samples
        )


class _Entry(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def share(self) -> Any: ...


class _Report(Protocol):
    @property
    def parameters(self) -> Iterable[_Entry]: ...


class ByShare(Style):
    """Parameters coloured by what they did to the loss in a step: their shares.

    A neuron's box shows the sum of its parameters' shares, and an edge that stands for a weight the weight's.

    Raises:
        TypeError: the report is no explained step.
        ValueError: nothing in the drawing bears the name of one of the report's parameters.
    """

    symbol = "share"

    def __init__(self, scene: Scene, report: _Report) -> None:
        entries = getattr(report, "parameters", None)
        if entries is None or callable(entries) or not all(hasattr(e, "name") and hasattr(e, "share") for e in entries):
            raise TypeError(
                f"expected report as what explain_step returns, got {type(report).__name__}: {report!r:.60}"
            )
        self.shares = {entry.name: entry.share for entry in entries}
        super().__init__(scene)
        if all(effect is None for effect in self.effects()):
            raise ValueError(
                "nothing in the drawing is labelled like a parameter of the report; is it another model's?"
            )

    def effect(self, thing: Thing) -> Number | None:
        """The share of a parameter, or the sum of those that a thing stands for."""
        if isinstance(thing, Port):
            return self.shares.get(thing.label)
        labels = thing.labels if isinstance(thing, Arrow) else thing.held
        if isinstance(thing, Box) and thing.role == "parameter" and thing.node is not None:
            labels = [thing.node.label]
        held = [self.shares[label] for label in labels if label in self.shares]
        return added(held) if held else None

    def details(self, thing: Thing) -> list[str]:
        """The lines of a tooltip, with the share."""
        effect = self.effect(thing)
        return thing.details if effect is None else [*thing.details, f"share = {full(effect)}"]

    def picture(self, picture: Picture) -> Picture:
        """The shares where a picture would show gradients."""
        if picture.kind != "effects":
            return picture
        shares = [as_float(self.shares.get(label, 0.0)) if label else nan for label in picture.labels]
        return Picture("shares", picture.kind, shares, picture.width, picture.labels)

    def is_length(self, arrow: Arrow) -> bool:
        """Shares are added up with their signs."""
        return False

    def _word(self) -> str:
        return "share:"

    def legend(self) -> list[Sample]:
        """The signs of the shares."""
        root = _short(self.scene.root)
        found, samples = {direction(effect) for effect in self.effects()}, self._marks()
        for way, verb in (("up", "raised"), ("down", "lowered")):
            if way in found:
                samples.append(Sample(way + " in" * self.scene.is_network, f"its share of the step {verb} {root}"))
        if any(port.gradient for box in self.scene.boxes for port in box.ports):
            samples.append(Sample("", "▲ ▼ the way the step moves it"))
        return [*samples, Sample("", f"widest: {number(self.largest, 3)}")]
