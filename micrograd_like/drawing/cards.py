"""What stands in each box, and how large it is: measured text, ports for weights, pictures of small squares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil

from micrograd_like.drawing.effects import Style, direction
from micrograd_like.drawing.formula import number
from micrograd_like.drawing.scene import SILENT, Box, Picture, Port
from micrograd_like.drawing.style import BODY, SMALL, VALUE, measure
from micrograd_like.drawing.text import elided, visible

PORT_HEIGHT = 22
LONGEST_LINE = 40  # letters; a longer line is shortened in its middle
PICTURE = 58  # the size of a neuron's picture, in px
LARGEST_PICTURE = 176
GAP = 6


@dataclass(slots=True)
class Line:
    """A text in a card, by its middle and its base line, seen from the card's top left corner."""

    name: str  # what it is, the same in every state of the graph
    text: str
    x: float
    y: float
    look: str = ""  # classes of `svg.py`
    size: float = BODY
    bold: bool = False


@dataclass(slots=True)
class Place:
    """Where a port or a picture is in a card: its top left corner and its size."""

    x: float
    y: float
    width: float
    height: float


@dataclass(slots=True)
class Card:
    """A box with everything in its place."""

    box: Box
    width: float
    height: float
    lines: list[Line] = field(default_factory=list)
    ports: list[tuple[Port, Place]] = field(default_factory=list)
    pictures: list[tuple[Picture, Place]] = field(default_factory=list)
    cell: float = 0.0  # the width of a port

    def port_at(self, i: int | None, side: str) -> tuple[float, float]:
        """Where an arrow ends: at its port, else in the middle of the side ("w", "e", "n" or "s")."""
        if i is not None and i < len(self.ports):
            place = self.ports[i][1]
            x, y = place.x, place.y
            width, height = place.width, place.height
        else:
            x, y, width, height = 0.0, 0.0, self.width, self.height
        return {
            "w": (x, y + height / 2),
            "e": (x + width, y + height / 2),
            "n": (x + width / 2, y),
            "s": (x + width / 2, y + height),
        }[side]


def title_lines(box: Box) -> list[str]:
    """The title as it is shown: at most four lines, each shortened in its middle."""
    return [elided(line, LONGEST_LINE) for line in visible(box.title).split("\n")[:4]]


def port_text(port: Port) -> str:
    """A weight's number, a bias with its name."""
    text = number(port.value, 2 if 0 < abs(port.value) < 0.1 else 3)
    return f"{port.name} {text}" if port.name else text


def card(box: Box, style: Style, size: tuple[float, float] = (0.0, 0.0), cell: float = 0.0, into: str = "w") -> Card:
    """The card of a box, at least that large.

    Args:
        box: what to show.
        style: which quantity is its effect.
        size: (width, height) at least, in px.
        cell: the width of a port at least.
        into: the side on which arrows enter, where the ports are.
    """
    lines, width, height = _text(box, style)
    titles = [line for line in lines if line.name.startswith("title")]
    pictures = [style.picture(picture) for picture in box.pictures]
    beside = box.role == "neuron"  # pictures left of the text, else above it
    places = _places(pictures, beside)
    if places and beside:
        across = sum(place.width + GAP for place in places) + GAP
        width, height = width + across, max(height, max(place.height for place in places) + 2 * GAP)
    elif places:
        stacked = sum(place.height for place in places) + (GAP + 16 if len(places) > 1 else GAP) * len(places)
        width, height = max(width, max(place.width for place in places) + 4 * GAP), height + stacked
    cells = [measure(port_text(port), SMALL, bold=True) for port in box.ports]
    cell = max(cell, ceil(max(cells, default=0.0)) + 14 + (16 if box.ports else 0))
    upright = into in "we"
    if box.ports and upright:
        width, height = width + cell, max(height, PORT_HEIGHT * len(box.ports))
    elif box.ports:
        width, height = max(width, cell * len(box.ports)), height + PORT_HEIGHT
    width, height = max(ceil(width), size[0]), max(ceil(height), size[1])
    made = Card(box, width, height, cell=cell)
    left, top = (cell if into == "w" else 0.0, 0.0) if upright else (0.0, PORT_HEIGHT if into == "n" else 0.0)
    body = width - (cell if upright and box.ports else 0.0)
    if not box.ports:
        left = top = 0.0
    _put_ports(made, into, upright)
    y = top + GAP
    if places and beside:
        for picture, place in zip(pictures, places, strict=True):
            made.pictures.append((picture, Place(left + GAP, y, place.width, place.height)))
            left += place.width + GAP
            body -= place.width + GAP
    elif places:
        for line in titles:
            made.lines.append(Line(line.name, line.text, left + body / 2, top + line.y))
            y = top + line.y + GAP
        lines = [line for line in lines if line not in titles]
        for picture, place in zip(pictures, places, strict=True):
            if len(places) > 1:
                made.lines.append(Line(f"picture {picture.kind}", picture.title, left + body / 2, y + 11, "q", SMALL))
                y += 16
            made.pictures.append((picture, Place(left + (body - place.width) / 2, y, place.width, place.height)))
            y += place.height + GAP
        top = y - GAP
    below = (height - top - (PORT_HEIGHT if box.ports and into == "s" else 0) - _text(box, style)[2]) / 2
    if box.ports and not style.line(box) and box.value is not None and SILENT not in box.lines:
        below -= 9.0  # the gradient will stand there, and nothing moves when it comes
    if places and not beside:
        below = -18.0 * len(titles)
    elif not (box.ports or places):
        below = 0.0  # the title stands in the same place, whatever else is known
    for line in lines:
        made.lines.append(
            Line(line.name, line.text, left + body / 2, top + below + line.y, line.look, line.size, line.bold)
        )
    return made


def _put_ports(made: Card, into: str, upright: bool) -> None:
    ports, cell = made.box.ports, made.cell
    start = (made.height - PORT_HEIGHT * len(ports)) / 2 if upright else (made.width - cell * len(ports)) / 2
    for i, port in enumerate(ports):
        if upright:
            place = Place(0.0 if into == "w" else made.width - cell, start + PORT_HEIGHT * i, cell, PORT_HEIGHT)
        else:
            place = Place(start + cell * i, 0.0 if into == "n" else made.height - PORT_HEIGHT, cell, PORT_HEIGHT)
        made.ports.append((port, place))


def _places(pictures: list[Picture], beside: bool) -> list[Place]:
    """How large each picture is: squares of whole pixels where they fit."""
    found = []
    for picture in pictures:
        longest = max(picture.width, picture.height)
        small = beside or (picture.kind != "pixels" and longest <= 16)
        side = PICTURE / longest if small else max(1.0, min(13.0, LARGEST_PICTURE / longest))
        found.append(Place(0.0, 0.0, side * picture.width, side * picture.height))
    return found


def _text(box: Box, style: Style) -> tuple[list[Line], float, float]:
    """The lines of a card from the top of its text, with the width and the height that they need."""
    titles, effect = title_lines(box), style.line(box)
    look = {"up": "u", "down": "d", "none": "q"}[direction(style.effect(box))]
    if box.is_root and effect.startswith("start"):
        look = "q"
    lines: list[Line] = []
    y = 0.0
    is_leaf = box.role in ("input", "parameter") and not box.pictures and not box.lines
    if is_leaf and box.value is not None and len(titles) == 1:
        value = number(box.value)
        text = f"{titles[0]} = {value}" if titles[0].strip() else value
        lines.append(Line("leaf", text, 0.0, 18.0, "", BODY))
        y = 28.0
    else:
        for i, title in enumerate(titles):
            if title.strip():
                lines.append(Line(f"title {i}", title, 0.0, y + 18.0))
                y += 18.0
        if box.value is not None:
            lines.append(Line("value", number(box.value), 0.0, y + 20.0, "v", VALUE, True))
            y += 20.0
        y += 10.0
    if effect and SILENT not in box.lines:
        lines.append(Line("effect", effect, 0.0, y + 8.0, look, SMALL))
        y += 18.0
    if box.failure:
        lines.append(Line("failure", box.failure, 0.0, y + 8.0, "bad", SMALL))
        y += 18.0
    for i, line in enumerate(box.lines):
        lines.append(Line(f"line {i}", elided(line, LONGEST_LINE), 0.0, y + 8.0, "q", SMALL))
        y += 18.0
    width = max((measure(line.text, line.size, line.bold) for line in lines), default=0.0) + 20.0
    return lines, max(width, 50.0), y


def cards(
    boxes: list[Box], style: Style, sizes: Mapping[str, tuple[float, float, float]], into: str
) -> dict[str, Card]:
    """The cards of a drawing by their boxes' keys; those of a column share their width and their ports' width."""
    made = {}
    for box in boxes:
        width, height, cell = sizes.get(box.key, (0.0, 0.0, 0.0))
        made[box.key] = card(box, style, (width, height), cell, into)
    return made


def column_sizes(boxes: list[Box], style: Style, into: str, equal: bool) -> dict[str, tuple[float, float, float]]:
    """(width, height, width of a port) of each box; equal in a column where that is wanted."""
    natural = {box.key: card(box, style, into=into) for box in boxes}
    sizes = {key: (c.width, c.height, c.cell) for key, c in natural.items()}
    if not equal:
        return sizes
    columns: dict[tuple[int, bool], list[Box]] = {}
    for box in boxes:
        columns.setdefault((box.column, box.role == "neuron"), []).append(box)
    for together in columns.values():
        cell = max(sizes[box.key][2] for box in together)
        wider = {box.key: card(box, style, cell=cell, into=into) for box in together}
        width = max(c.width for c in wider.values())
        for box in together:
            sizes[box.key] = (width, wider[box.key].height, cell)
    return sizes
