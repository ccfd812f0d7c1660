"""Where everything in a drawing is: Graphviz says where boxes and edges are, and this reads it from Graphviz's own SVG.

Edges that would lie on a box are led around it, and what stands on an edge finds a free place there. What a user added to
the DOT is kept as Graphviz drew it.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import hypot
from typing import Any

from micrograd_like.drawing.cards import Card, Place, cards
from micrograd_like.drawing.effects import Style
from micrograd_like.drawing.scene import Arrow, Box, Scene
from micrograd_like.drawing.style import SMALL, measure

SVG = "{http://www.w3.org/2000/svg}"
Point = tuple[float, float]
Rectangle = tuple[float, float, float, float]  # left, top, width, height
SIDES = {"LR": ("w", "e"), "TB": ("n", "s"), "RL": ("e", "w"), "BT": ("s", "n")}  # where edges enter and leave a box
Grid = dict[tuple[int, int], list[tuple[str, Rectangle]]]
MARGIN = 6.0
CELL, SPACING = 64.0, 8.0  # px
HEADING = 24.0  # the room for what stands above the columns
PILL_PLACES = sorted((i / 100 for i in range(8, 93, 2)), key=lambda part: abs(part - 0.46))  # of an edge's length


@dataclass(slots=True)
class Layout:
    """Where everything is, in px from the top left corner: plain numbers, tuples, lists and dictionaries.

    Attributes:
        width: of the drawing, without its legend.
        height: of the drawing, without its legend.
        boxes: key → (left, top, width, height) of each box.
        ports: key of a box → the same for the numbers before it, in their order (weights, then the bias).
        pictures: key of a box → the same for its images.
        curves: key of an arrow → 1 + 3n points of its Bézier curves, from its tail to its head.
        pills: key of an arrow → (left, top, width, height) of what stands on it.
        extras: what Graphviz drew beyond these, as SVG.
    """

    width: float
    height: float
    boxes: dict[str, Rectangle] = field(default_factory=dict)
    ports: dict[str, list[Rectangle]] = field(default_factory=dict)
    pictures: dict[str, list[Rectangle]] = field(default_factory=dict)
    curves: dict[str, list[Point]] = field(default_factory=dict)
    pills: dict[str, Rectangle] = field(default_factory=dict)
    extras: str = ""


@dataclass(slots=True)
class Sheet:
    """A scene with its style, ready to be drawn: what a `Drawing` remembers beside its DOT."""

    scene: Scene
    style: Style
    sizes: Mapping[str, tuple[float, float, float]]
    gap: int = 60  # between columns, in px
    rankdir: str = "LR"
    legend: bool = True

    @property
    def into(self) -> str:
        """The side of a box on which arrows enter."""
        return SIDES[self.rankdir][0]

    def cards(self) -> dict[str, Card]:
        """The card of each box, by its key."""
        return cards(self.scene.boxes, self.style, self.sizes, self.into)


def read_layout(graphviz_svg: str, sheet: Sheet) -> Layout:
    """Boxes and edges where Graphviz put them.

    An edge between neighbouring columns is drawn as one curve into its port; any other follows Graphviz's spline.
    """
    root = ElementTree.fromstring(graphviz_svg)
    drawn = root.find(f"{SVG}g")
    if drawn is None:
        raise ValueError("expected an SVG by Graphviz, got one without a drawing in it")
    made = sheet.cards()
    ours = {arrow.key: arrow for arrow in sheet.scene.arrows}
    centres: dict[str, Point] = {}
    splines: dict[str, list[Point]] = {}
    others: list[Any] = []
    seen: list[Point] = []
    for group in drawn.findall(f"{SVG}g"):
        key = group.get("id", "")
        if group.get("class") == "node" and key in made:
            points = _points(group)
            left, top, right, bottom = _bounds(points)
            centres[key] = ((left + right) / 2, (top + bottom) / 2)
        elif group.get("class") == "edge" and key in ours:
            path = group.find(f".//{SVG}path")
            if path is not None:
                splines[key] = _numbers(path.get("d", ""))
        elif group.get("class") in ("node", "edge", "cluster") and (points := _points(group)):
            others.append(group)
            seen += points
    boxes = {
        key: (centres[key][0] - c.width / 2, centres[key][1] - c.height / 2, c.width, c.height)
        for key, c in made.items()
    }
    curves = _curves(sheet, made, boxes, splines)
    every = [point for curve in curves.values() for point in curve] + seen
    every += [corner for x, y, w, h in boxes.values() for corner in ((x, y), (x + w, y + h))]
    left, top, right, bottom = _bounds(every)
    heading = HEADING if sheet.scene.headings and sheet.rankdir in ("LR", "RL") else 0.0
    dx, dy = round(MARGIN - left, 2), round(MARGIN + heading - top, 2)
    layout = Layout(right - left + 2 * MARGIN, bottom - top + 2 * MARGIN + heading)
    if others:
        ElementTree.register_namespace("", SVG[1:-1])
        ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
        body = "".join(ElementTree.tostring(group, encoding="unicode") for group in others)
        layout.extras = f'<g class="extra" transform="translate({px(dx)} {px(dy)})">{body}</g>'
    for key, (x, y, w, h) in boxes.items():
        layout.boxes[key] = (x + dx, y + dy, w, h)
        layout.ports[key] = [_moved(place, x + dx, y + dy) for _, place in made[key].ports]
        layout.pictures[key] = [_moved(place, x + dx, y + dy) for _, place in made[key].pictures]
    layout.curves = {key: [(x + dx, y + dy) for x, y in curve] for key, curve in curves.items()}
    _put_pills(sheet, layout)
    return layout


def _moved(place: Place, x: float, y: float) -> Rectangle:
    return x + place.x, y + place.y, place.width, place.height


def _points(group: Any) -> list[Point]:
    found: list[Point] = []
    for shape in group.iter():
        if shape.tag in (f"{SVG}polygon", f"{SVG}polyline"):
            found += _numbers(shape.get("points", ""))
        elif shape.tag == f"{SVG}path":
            found += _numbers(shape.get("d", ""))
        elif shape.tag == f"{SVG}ellipse":
            cx, cy, rx, ry = (float(shape.get(name, "0")) for name in ("cx", "cy", "rx", "ry"))
            found += [(cx - rx, cy - ry), (cx + rx, cy + ry)]
    return found


def _numbers(text: str) -> list[Point]:
    numbers = [float(v) for v in re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", text)]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _bounds(points: Iterable[Point]) -> tuple[float, float, float, float]:
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def _curves(
    sheet: Sheet, made: Mapping[str, Card], boxes: Mapping[str, Rectangle], splines: Mapping[str, list[Point]]
) -> dict[str, list[Point]]:
    into, out = SIDES[sheet.rankdir]
    across = 1 if into in "we" else 0  # the coordinate along a side of a box
    incoming: dict[str, list[Arrow]] = {}
    for arrow in sheet.scene.arrows:
        if arrow.port is None:
            incoming.setdefault(arrow.head, []).append(arrow)
    shift: dict[str, float] = {}
    twins = {ends for ends, count in Counter((a.tail, a.head) for a in sheet.scene.arrows).items() if count > 1}
    for head, arrows in incoming.items():
        most = 20.0 if any((arrow.tail, head) in twins for arrow in arrows) else 10.0
        step = min(most, (boxes[head][2 + across] - 20.0) / max(len(arrows), 1))
        ordered = sorted(arrows, key=lambda arrow: boxes[arrow.tail][across] + boxes[arrow.tail][2 + across] / 2)
        for i, arrow in enumerate(ordered):
            shift[arrow.key] = step * (i - (len(arrows) - 1) / 2)
    edges = _column_edges(sheet.scene.boxes, boxes, 1 - across, out)
    column = {box.key: box.column for box in sheet.scene.boxes}
    lanes: dict[int, list[Rectangle]] = {}
    for key, box in boxes.items():
        lanes.setdefault(column[key], []).append(box)
    taken: Grid = {}
    for key, box in boxes.items():
        _take(taken, key, box)
    found = {}
    for arrow in sheet.scene.arrows:
        start = _at(boxes[arrow.tail], made[arrow.tail].port_at(None, out))
        end = _at(boxes[arrow.head], made[arrow.head].port_at(arrow.port, into))
        move = shift.get(arrow.key, 0.0)
        end = (end[0], end[1] + move) if across else (end[0] + move, end[1])
        if (arrow.tail, arrow.head) in twins and arrow.port is None:  # side by side, all the way
            start = (start[0], start[1] + move) if across else (start[0] + move, start[1])
        direct = _direct(start, edges[arrow.tail][1], edges[arrow.head][0], end, 1 - across, out)
        spline = splines.get(arrow.key)
        choices = [direct] if _goes_forward(start, end, out) else []
        if spline:
            choices += [_pinned(spline, start, end), spline]
        curve = next((each for each in choices if _is_free(each, taken, (arrow.tail, arrow.head))), None)
        if curve is None and choices and choices[0] is direct:
            curve = _through_gaps(start, end, column[arrow.tail], column[arrow.head], lanes, 1 - across, out)
        found[arrow.key] = curve or (choices[-1] if choices else direct)
    return found


def _at(box: Rectangle, point: Point) -> Point:
    return box[0] + point[0], box[1] + point[1]


def _goes_forward(start: Point, end: Point, out: str) -> bool:
    return {
        "e": end[0] > start[0],
        "w": end[0] < start[0],
        "s": end[1] > start[1],
        "n": end[1] < start[1],
    }[out]


def _column_edges(
    boxes: Iterable[Box], places: Mapping[str, Rectangle], along: int, out: str
) -> dict[str, tuple[float, float]]:
    """Where the column of each box begins and ends, in the direction of the computation."""
    columns: dict[int, list[Rectangle]] = {}
    for box in boxes:
        columns.setdefault(box.column, []).append(places[box.key])
    found = {}
    for box in boxes:
        near = min(place[along] for place in columns[box.column])
        far = max(place[along] + place[2 + along] for place in columns[box.column])
        found[box.key] = (near, far) if out in "es" else (far, near)
    return found


def _direct(start: Point, leaves: float, arrives: float, end: Point, along: int, out: str) -> list[Point]:
    """A curve that leaves and arrives at right angles, straight as long as it is beside boxes of its ends' columns."""
    sign = 1 if out in "es" else -1
    if sign * leaves > sign * arrives:  # the columns overlap
        leaves, arrives = start[along], end[along]
    a, b, y0, y1 = start[along], end[along], start[1 - along], end[1 - along]
    middle = (leaves + arrives) / 2
    curve = [(leaves, y0), (middle, y0), (middle, y1), (arrives, y1)]
    if abs(leaves - a) > 1:
        curve = [(a, y0), ((2 * a + leaves) / 3, y0), ((a + 2 * leaves) / 3, y0), *curve]
    if abs(arrives - b) > 1:
        curve = [*curve, ((2 * arrives + b) / 3, y1), ((arrives + 2 * b) / 3, y1), (b, y1)]
    return curve if along == 0 else [(y, x) for x, y in curve]


def _through_gaps(
    start: Point, end: Point, tail: int, head: int, columns: Mapping[int, list[Rectangle]], along: int, out: str
) -> list[Point]:
    """A curve past the boxes of the columns between, through the gap of each that is nearest to the straight way."""
    sign, across = (1 if out in "es" else -1), 1 - along
    way = [(start[along], start[across])]
    for c in range(tail, head + 1):
        spans = [(box[along], box[along] + box[2 + along]) for box in columns[c]]
        ends = (min(a for a, _ in spans), max(b for _, b in spans))
        near, far = ends if sign > 0 else ends[::-1]
        if c == tail:
            way.append((far, start[across]))
        elif c == head:
            way.append((near, end[across]))
        else:
            part = ((near + far) / 2 - start[along]) / (end[along] - start[along])
            y = _gap(start[across] + part * (end[across] - start[across]), columns[c], across)
            way += [(near, y), (far, y)]
    way.append((end[along], end[across]))
    curve = [way[0]]
    for (a, y0), (b, y1) in pairwise(way):
        middle = (a + b) / 2
        curve += [(middle, y0), (middle, y1), (b, y1)]
    return curve if along == 0 else [(y, x) for x, y in curve]


def _gap(wanted: float, boxes: Iterable[Rectangle], across: int) -> float:
    """The place nearest to the wanted one that is at least 5 px from each box."""
    spans = sorted((box[across] - 5, box[across] + box[2 + across] + 5) for box in boxes)
    free = [wanted, spans[0][0], spans[-1][1]]
    free += [(one[1] + other[0]) / 2 for one, other in pairwise(spans) if one[1] <= other[0] + 1e-6]
    return min(
        (y for y in free if not any(a < y - 1e-6 and y + 1e-6 < b for a, b in spans)), key=lambda y: abs(y - wanted)
    )


def _pinned(spline: Sequence[Point], start: Point, end: Point) -> list[Point]:
    """Graphviz's spline with its ends moved to where the edge begins and ends."""
    (ax, ay), (bx, by) = spline[0], spline[-1]
    first = [(x + start[0] - ax, y + start[1] - ay) for x, y in spline[:2]]
    last = [(x + end[0] - bx, y + end[1] - by) for x, y in spline[-2:]]
    return [*first, *spline[2:-2], *last]


def point_at(curve: Sequence[Point], t: float) -> Point:
    """The point of a curve of 1 + 3n control points at t, from 0 to 1."""
    count = (len(curve) - 1) // 3
    k = min(int(t * count), count - 1)
    u = t * count - k
    a, b, c, d = curve[3 * k : 3 * k + 4]
    x, y = (
        (1 - u) ** 3 * a[i] + 3 * (1 - u) ** 2 * u * b[i] + 3 * (1 - u) * u * u * c[i] + u**3 * d[i] for i in (0, 1)
    )
    return x, y


def _along(curve: Sequence[Point], parts: Iterable[float]) -> list[Point]:
    """The points at which a curve has run these parts of its length."""
    count = 16 * ((len(curve) - 1) // 3)
    points = [point_at(curve, i / count) for i in range(count + 1)]
    lengths = [0.0]
    for (ax, ay), (bx, by) in pairwise(points):
        lengths.append(lengths[-1] + hypot(bx - ax, by - ay))
    return [points[bisect_left(lengths, part * lengths[-1])] for part in parts]


def _points_along(curve: Sequence[Point]) -> Iterator[Point]:
    """Points of a curve, a few px apart."""
    for k in range(0, len(curve) - 1, 3):
        (ax, ay), (bx, by), (cx, cy), (dx, dy) = curve[k : k + 4]
        length = abs(bx - ax) + abs(by - ay) + abs(cx - bx) + abs(cy - by) + abs(dx - cx) + abs(dy - cy)
        steps = 4 + int(length / SPACING)
        x1, x2, x3 = 3 * (bx - ax), 3 * (ax - 2 * bx + cx), dx - ax + 3 * (bx - cx)
        y1, y2, y3 = 3 * (by - ay), 3 * (ay - 2 * by + cy), dy - ay + 3 * (by - cy)
        for i in range(steps + 1):
            t = i / steps
            yield ((x3 * t + x2) * t + x1) * t + ax, ((y3 * t + y2) * t + y1) * t + ay


def _is_free(curve: Sequence[Point], boxes: Grid, ends: tuple[str, str]) -> bool:
    """Whether a curve runs through no box but those in which it ends."""
    for x, y in _points_along(curve):
        for key, (left, top, w, h) in boxes.get((int(x // CELL), int(y // CELL)), ()):
            if left - 1 < x < left + w + 1 and top - 1 < y < top + h + 1 and key not in ends:
                return False
    return True


def _put_pills(sheet: Sheet, layout: Layout) -> None:
    """Each pill on its edge, at the first of several places where it lies on nothing else."""
    taken: Grid = {}
    for key, box in layout.boxes.items():
        _take(taken, key, box)
    for arrow in sheet.scene.arrows:
        text = sheet.style.pill(arrow)
        if not text:
            continue
        width, height = measure(text, SMALL) + 10, 17.0
        for x, y in _along(layout.curves[arrow.key], PILL_PLACES):
            place = (x - width / 2, y - height / 2, width, height)
            if not any(_overlap(place, other) for cell in _cells(place) for _, other in taken.get(cell, ())):
                layout.pills[arrow.key] = place
                _take(taken, arrow.key, place)
                break


def _cells(box: Rectangle) -> Iterable[tuple[int, int]]:
    """The squares of a grid that a box touches: what may meet it is looked for there alone."""
    x, y, w, h = box
    columns = range(int((x - 1) // CELL), int((x + w + 1) // CELL) + 1)
    return ((i, j) for i in columns for j in range(int((y - 1) // CELL), int((y + h + 1) // CELL) + 1))


def _take(taken: Grid, key: str, box: Rectangle) -> None:
    for cell in _cells(box):
        taken.setdefault(cell, []).append((key, box))


def _overlap(one: Rectangle, other: Rectangle) -> bool:
    (ax, ay, aw, ah), (bx, by, bw, bh) = one, other
    return ax < bx + bw and bx < ax + aw and ay < by + bh and by < ay + ah


def px(x: float) -> str:
    """A length with a tenth of a px."""
    text = f"{x:.1f}"
    return "0" if text == "-0.0" else text.removesuffix(".0")
