"""Where the boxes of a recorded graph stand: Graphviz lays them out when the page is written, so the page need not."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Any

from micrograd_like.drawing.formula import Term, formula, name, number
from micrograd_like.drawing.render import Drawing
from micrograd_like.drawing.style import measure
from micrograd_like.player.javascript import PlayError
from micrograd_like.player.program import Program

MOST_BOXES = 400
LONGEST = 30  # letters of a title
_SVG = "{http://www.w3.org/2000/svg}"
_MARK = re.compile("⟦(\\d+)⟧")


def graph_layout(program: Program, labels: Sequence[str], most: int = MOST_BOXES) -> dict[str, Any]:
    """Boxes and wires of a program, scalar by scalar, for the page: plain numbers and texts.

    `labels` has a name for every place of the memory, "" for none; constants need none.

    Raises:
        PlayError: the program has more numbers than `most`.
    """
    first_constant = len(program.names) + program.inputs
    places = [i for i in range(len(program.active)) if not first_constant <= i < program.base]
    if len(places) > most:
        raise PlayError(
            f"a graph of {len(places)} numbers is too large to be played scalar by scalar (at most {most}); "
            "play a model of layers of neurons with its data instead: play(model, data, loss, optimizer)"
        )
    titles = _titles(program, labels)
    boxes = {place: _box(program, labels, place, titles) for place in places}
    wires = [(x, program.base + n) for n, line in enumerate(program.lines) for x in dict.fromkeys(line.operands)]
    wires = [(a, b) for a, b in wires if a in boxes]
    return {
        "boxes": list(boxes.values()),
        "wires": [{"from": a, "to": b} for a, b in wires],
        "across": _placed(boxes, wires, "LR"),  # left to right, for a desk
        "down": _placed(boxes, wires, "TB"),  # top to bottom, for a phone
    }


def _titles(program: Program, labels: Sequence[str]) -> list[str]:
    """A short name for every number: its label, else its formula over its operands' names."""
    found: list[str] = []
    first_constant = len(program.names) + program.inputs
    for place, label in enumerate(labels):
        if first_constant <= place < program.base:
            found.append(number(program.constants[place - first_constant]))
        elif label:
            found.append(name(label))
        else:
            line = program.lines[place - program.base]
            text = formula(line.op, [found[x] if len(found[x]) <= 14 else "…" for x in line.operands])
            found.append(text if len(text) <= LONGEST else f"{line.op.name}(…)")
    return found


def _box(program: Program, labels: Sequence[str], place: int, titles: Sequence[str]) -> dict[str, Any]:
    box: dict[str, Any] = {"place": place, "key": f"b{place}", "short": titles[place], "title": titles[place]}
    if place < len(program.names):
        box |= {"param": place, "role": "parameter"}
    elif place < program.base:
        box |= {"input": place - len(program.names), "role": "input"}
    else:
        line = program.lines[place - program.base]
        operands = [titles[x] for x in line.operands]
        over = formula(line.op, operands)
        if labels[place] and len(full := f"{titles[place]} = {over}") <= LONGEST:
            box["title"] = full
        box["formula"] = True
        named = over != titles[place] and len(over) <= 60
        box["says"] = f"{titles[place]} = {over}" if named else f"{titles[place]}, with its numbers:"
        box["template"] = _template(program, line)
        if place == program.outputs[0]:
            box["role"] = "loss"
    wide = max(measure(box["title"], 13), 72)
    box["w"], box["h"] = round(wide + 22), 58 if place < program.base and program.inputs else 76
    return box


def _template(program: Program, line: Any) -> list[Any]:
    """The row's formula as texts and [operand] marks; constants are texts, which do not change."""
    first_constant = len(program.names) + program.inputs
    marks = []
    for i, x in enumerate(line.operands):
        constant = first_constant <= x < program.base
        marks.append(Term(number(program.constants[x - first_constant]) if constant else f"⟦{i}⟧"))
    parts = _MARK.split(formula(line.op, marks))
    return [[int(part)] if i % 2 else part for i, part in enumerate(parts) if part]


def _placed(boxes: dict[int, dict[str, Any]], wires: Sequence[tuple[int, int]], rankdir: str) -> dict[str, Any]:
    """The top left corner of every box, the path of every wire, and the size of the whole, in px."""
    across = rankdir == "LR"
    sides = ("e", "w") if across else ("s", "n")
    drawing = Drawing(
        graph_attr={
            "rankdir": rankdir,
            "nodesep": "0.22" if across else "0.12",
            "ranksep": "0.62" if across else "0.45",
            "splines": "spline",
            "ordering": "in",
        },
        node_attr={"shape": "box", "fixedsize": "true", "label": ""},
        edge_attr={"arrowhead": "none"},
    )
    for box in boxes.values():
        size = {"width": f"{box['w'] / 72:.4f}", "height": f"{box['h'] / 72:.4f}"}
        drawing.node(box["key"], id=box["key"], **size)
    for a, b in wires:
        drawing.edge(f"b{a}:{sides[0]}", f"b{b}:{sides[1]}", id=f"w{a}_{b}")
    root = ET.fromstring(drawing.pipe("svg", encoding="utf-8"))
    width, height = (float(x) for x in root.attrib["viewBox"].split()[2:])
    graph = root.find(f"{_SVG}g")
    assert graph is not None
    shift = re.search(r"translate\(([-\d.]+)[ ,]([-\d.]+)\)", graph.attrib["transform"])
    assert shift is not None
    dx, dy = float(shift[1]), float(shift[2])
    spots: dict[str, tuple[float, float]] = {}
    splines: dict[str, str] = {}
    for g in graph.iter(f"{_SVG}g"):
        if g.get("class") == "node":
            polygon = g.find(f".//{_SVG}polygon")
            assert polygon is not None
            points = [tuple(map(float, pair.split(","))) for pair in polygon.attrib["points"].split()]
            spots[g.attrib["id"]] = (
                round(min(x for x, _ in points) + dx, 1),
                round(min(y for _, y in points) + dy, 1),
            )
        elif g.get("class") == "edge":
            path = g.find(f".//{_SVG}path")
            assert path is not None
            numbers = [float(x) for x in re.findall(r"-?[\d.]+", path.attrib["d"])]
            pairs = [f"{x + dx:.1f} {y + dy:.1f}" for x, y in zip(numbers[::2], numbers[1::2], strict=True)]
            curves = ["C" + " ".join(pairs[i : i + 3]) for i in range(1, len(pairs), 3)]
            splines[g.attrib["id"]] = f"M{pairs[0]}{''.join(curves)}"
    return {
        "width": round(width, 1),
        "height": round(height, 1),
        "spots": [spots[box["key"]] for box in boxes.values()],
        "paths": [splines[f"w{a}_{b}"] for a, b in wires],
    }
