"""`draw_dot`: a recorded graph as a `graphviz.Digraph`, with micrograd's name and arguments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, KeysView, Mapping
from typing import Any, Literal

from micrograd_like import graph
from micrograd_like.caller import variables
from micrograd_like.checks import a_function, instance, listed, shown, whole_number
from micrograd_like.drawing.cards import column_sizes, port_text, title_lines
from micrograd_like.drawing.effects import ByShare, Highlight, Style, direction
from micrograd_like.drawing.flat import flattened
from micrograd_like.drawing.formula import number
from micrograd_like.drawing.layout import SIDES, Sheet
from micrograd_like.drawing.network import folded
from micrograd_like.drawing.render import Drawing
from micrograd_like.drawing.scene import Box, Roles, Scene, scalars, steps
from micrograd_like.drawing.style import FAILED, INK, LOWERS, NEUTRAL, RAISES, SMALL, TINTS, measure
from micrograd_like.drawing.svg import casing_width, tooltip
from micrograd_like.drawing.text import plain_text, tooltip_text
from micrograd_like.engine import Value

DEPTHS = ("neurons", "layers")
COLOURS = {"up": RAISES, "down": LOWERS, "none": NEUTRAL}
LINE = 14  # the height of a line of the DOT's text, in px
PX = 72  # to the inch, Graphviz's unit of a box's size


def trace(root: Value) -> tuple[KeysView[Value], KeysView[tuple[Value, Value]]]:
    """Return the nodes, and the edges (operand, result), that a value was computed from.

    Both are sets that keep the order of the computation.

    >>> x = Value(2.0, label="x")
    >>> nodes, edges = trace(x * x)
    >>> [node.data for node in nodes], len(edges)
    ([2.0, 4.0], 1)

    Raises:
        TypeError: the root is not a Value.
    """
    _check_root(root)
    nodes = dict.fromkeys(graph.nodes(root))
    edges = dict.fromkeys((operand, node) for node in nodes for operand in graph.operand_nodes(node))
    return nodes.keys(), edges.keys()


def draw_dot(
    root: Value,
    format: str = "svg",
    rankdir: str = "LR",
    *,
    expand: bool = False,
    depth: Literal["neurons", "layers"] | None = None,
    shape: tuple[int, int] | None = None,
    stop: Iterable[Value | str] = (),
    parameters: Any = None,
    max_nodes: int = 1500,
    max_edges: int | None = None,
    legend: bool = True,
    style: Callable[[Scene], Style] = Style,
    highlight: Value | str | None = None,
    report: Any = None,
    names: Mapping[str, Any] | Literal["caller"] | None = None,
) -> Drawing:
    """Draw what a value was computed from: every number with its gradient, every edge with its derivative.

    Boxes stand in the order of the program, with formulas as titles. An edge is as thick as its gradient is large; it is
    orange where raising what it carries raises the root, and blue where that lowers it. In a network the grey core of an
    edge is the weight (dashed below 0) and the coloured casing around it the gradient; the number stands right before
    the neuron that it feeds, with ▲ or ▼ for where the next step moves it. Tooltips hold all digits. A graph that was
    never backpropagated shows no gradients. What is flat is drawn once, which its box says: more than four additions in
    a row as one sum; in a large graph, of more than five terms that differ in their numbers alone, the first. Numbers
    that are not finite have a red outline: `draw_dot(error.node)` draws an `AnomalyError`'s graph up to what failed.

    >>> a, b = Value(2.0, label="a"), Value(-3.0, label="b")
    >>> drawing = draw_dot(a * b)
    >>> drawing.source.startswith("digraph")
    True

    Args:
        root: the value to explain, usually a loss after its `backward()`.
        format: what `render` and `pipe` make when they are not told: "svg", or any format of the program `dot`.
        rankdir: the direction of the computation: "LR", "TB", "RL" or "BT".
        expand: unfold fused nodes (dot, a whole neuron, sum, logsumexp) into single multiplications and additions.
        depth: "neurons" or "layers" draws each of them as one box. They are found from labels like
            `layers[0].neurons[2].w[1]`, which `Module`s give their parameters. A layer of more than 16 neurons is one
            box also with "neurons".
        shape: (height, width) of the image that the inputs are, with `depth`: it is drawn as one, and so are the weights
            that look at it.
        stop: Values, or the labels of modules such as "layers[0]", whose outputs are drawn as if they were leaves.
        parameters: the leaves to draw as parameters, or a module that has them; None tells them by their labels.
        max_nodes: the most boxes to draw; the edges may cross ten columns for each.
        max_edges: with depth="neurons", the most edges into a neuron: those with the largest gradients are drawn, and
            the others are counted in the neuron's box. None draws as many as stay legible, at least 3 for a neuron.
        legend: whether to explain colours and marks in a strip below the drawing.
        style: what boxes and arrows look like: `Style` or a subclass.
        highlight: a number, or its label, whose paths to the root are lit, each edge with its local derivative, with the
            product of the path (or the sum of the products) beside it; everything else is faded.
        report: an explained step (`micrograd_like.explain.explain_step`), to colour the parameters by their shares.
        names: names to Values, and to lists of them, for what has no label; "caller" for the variables of the program that
            calls. A Value keeps the label that it gets this way.

    Raises:
        TypeError: the root is not a Value, or the report is none.
        ValueError: there are more than `max_nodes` boxes, or edges too long to be laid out; an argument is unknown;
            `depth` finds no neurons; `expand` and `depth` are both given; more than one of `style`, `highlight` and
            `report` is given; `highlight` is not one number of the drawing, or `report` knows none of its parameters;
            no neuron reads an image of that `shape`; or a label in `stop` names nothing that the root was computed
            from.
    """
    _check_root(root)
    if names is not None:
        _name(root, variables() if isinstance(names, str) and names == "caller" else names)
    if not isinstance(rankdir, str) or rankdir not in SIDES:
        raise ValueError(f"unknown rankdir {rankdir!r:.60}; expected one of {', '.join(SIDES)}")
    if depth is not None and (not isinstance(depth, str) or depth not in DEPTHS):
        raise ValueError(f"unknown depth {depth!r:.60}; expected one of {', '.join(DEPTHS)} or None")
    if expand and depth:
        raise ValueError("expand shows every multiplication and depth folds them away: expected at most one of the two")
    if (style is not Style) + (highlight is not None) + (report is not None) > 1:
        raise ValueError("style, highlight and report each say how the drawing looks: expected at most one of them")
    max_nodes = whole_number("max_nodes", max_nodes)
    max_edges = None if max_edges is None else whole_number("max_edges", max_edges)
    shape = _check_shape(shape, depth)
    if parameters is not None:
        parameters = (
            parameters.parameters()
            if hasattr(parameters, "parameters")
            else listed("parameters", parameters, "a list of Values, or a module")
        )
    stop = tuple(listed("stop", stop, "a list of Values and labels"))
    instance("format", format, str, "a text such as 'svg'")
    if depth is None and not stop:
        _check_count(len(graph.nodes(root)), max_nodes)
    recorded = steps(root, stop=stop)
    if depth is None:
        _check_count(len(recorded), max_nodes)
        recorded = steps(root, expand=expand, stop=stop) if expand else recorded
    if depth is None:
        recorded = flattened(recorded)
    roles = Roles(root, parameters)
    scene = scalars(root, recorded, roles) if depth is None else folded(root, recorded, roles, depth, max_edges, shape)
    _check_count(len(scene.boxes), max_nodes)
    if (crossed := scene.columns_crossed()) > 10 * max_nodes:
        raise ValueError(
            f"the drawing's edges would cross {crossed:,} columns, more than 10 for each of max_nodes={max_nodes:,}, and "
            "take long to lay out; depth='neurons' or depth='layers' folds it, stop= draws a part of it"
        )
    if highlight is not None:
        look: Style = Highlight(scene, highlight)
    else:
        look = ByShare(scene, report) if report is not None else a_function("style", style)(scene)
        look = instance("style", look, Style, "Style, or a function from a scene to one")
    sizes = column_sizes(scene.boxes, look, SIDES[rankdir][0], equal=scene.is_network)
    return draw(Sheet(scene, look, sizes, _gap(scene, look, rankdir), rankdir, legend), format)


def _check_root(root: Any) -> None:
    if type(root) is not Value:
        raise TypeError(f"expected a Value to draw, got {type(root).__name__}: {root!r:.60}")


def _name(root: Value, names: Any) -> None:
    """Label what has no label by the names that lead to it; of several the first."""
    if not isinstance(names, Mapping):
        raise TypeError(f"expected names as 'caller' or as a mapping of names to Values, got {shown(names)}")
    unnamed = {node for node in graph.nodes(root) if not node.label}
    for name, thing in names.items():
        if not isinstance(name, str) or name.startswith("_"):  # such as a notebook's `_`, its last result
            continue
        items = [(name, thing)]
        if isinstance(thing, (list, tuple)):
            items = [(f"{name}[{i}]", x) for i, x in enumerate(thing)]
        for path, x in items:
            if type(x) is Value and x in unnamed:
                unnamed.discard(x)
                x.label = path


def _check_shape(shape: Any, depth: str | None) -> tuple[int, int] | None:
    if shape is None:
        return None
    if depth is None:
        raise ValueError(
            "shape draws a network's inputs as an image: expected depth='neurons' or depth='layers' with it"
        )
    if not isinstance(shape, (tuple, list)) or len(shape) != 2:
        raise ValueError(f"expected shape as (height, width) in pixels, got {shape!r:.60}")
    return whole_number("the height of shape", shape[0]), whole_number("the width of shape", shape[1])


def _check_count(count: int, max_nodes: int) -> None:
    if count > max_nodes:
        raise ValueError(
            f"the drawing would have at least {count:,} nodes, more than max_nodes={max_nodes:,}; "
            "depth='neurons' or depth='layers' folds it, stop= draws a part of it"
        )


def _empty(rankdir: str, format: str) -> Drawing:
    return Drawing(
        format=format,
        graph_attr={"rankdir": rankdir, "bgcolor": "transparent", "fontname": "Helvetica", "fontcolor": NEUTRAL},
        node_attr={
            "shape": "box",
            "style": "filled,rounded",
            "fixedsize": "true",
            "fontname": "Helvetica",
            "fontsize": "11",
            "fontcolor": INK,
            "color": NEUTRAL,
        },
        edge_attr={"fontname": "Helvetica", "fontsize": "10", "fontcolor": NEUTRAL, "arrowhead": "none"},
    )


def _gap(scene: Scene, style: Style, rankdir: str) -> int:
    """The room between columns, in px: for what stands on the edges, or for many edges to cross."""
    if not scene.is_network and rankdir in ("TB", "BT"):
        return 44
    if not scene.is_network:
        pills = [measure(text, SMALL) for arrow in scene.arrows if (text := style.pill(arrow))]
        return max(44, round(max(pills, default=0.0)) + 34)
    column = {box.key: box.column for box in scene.boxes}
    busiest = max(Counter(column[arrow.head] for arrow in scene.arrows).values(), default=0)
    return min(110, 40 + 2 * busiest)


def draw(sheet: Sheet, format: str) -> Drawing:
    """A scene as DOT, which is a good drawing by itself."""
    scene, style = sheet.scene, sheet.style
    drawing = _empty(sheet.rankdir, format)
    drawing.sheet = sheet
    into, out = SIDES[sheet.rankdir]
    drawing.attr(nodesep=_inches(12), ranksep=_inches(sheet.gap))
    for box in scene.boxes:
        width, height, _ = sheet.sizes[box.key]
        tint = TINTS.get(box.role, TINTS["operation"]).light
        drawing.node(
            box.key,
            label=plain_text(*_words(box, style)[: int((height - 6) // LINE)]),
            tooltip=tooltip_text(tooltip(style.details(box))),
            id=box.key,
            width=_inches(width),
            height=_inches(height),
            fillcolor=tint,
            color=FAILED if box.failure else COLOURS[direction(style.effect(box))],
        )
    for arrow in scene.arrows:
        effect = style.effect(arrow)
        width = casing_width(arrow, style) if scene.is_network else 1.2 + 6.8 * style.size(effect)
        attributes = {"taillabel": plain_text(text)} if (text := style.pill(arrow)) else {}
        drawing.edge(
            f"{arrow.tail}:{out}",
            f"{arrow.head}:{into}",
            id=arrow.key,
            tooltip=tooltip_text(tooltip(style.details(arrow))) or " ",
            color=COLOURS[direction(effect)],
            penwidth=f"{width:.3g}",
            **attributes,
        )
    columns: dict[int, list[str]] = {}
    for box in scene.boxes:
        columns.setdefault(box.column, []).append(box.key)
    for keys in columns.values():
        if len(keys) > 1:
            drawing.body.append(f"\t{{rank=same edge [style=invis] {' -> '.join(keys)}}}\n")
    return drawing


def _inches(px: float) -> str:
    return f"{px / PX:.4f}"


def _words(box: Box, style: Style) -> list[str]:
    """What stands in a box of the DOT."""
    value = [] if box.value is None else [number(box.value)]
    effect = [style.line(box)] if style.line(box) else []
    return [
        *title_lines(box),
        *value,
        *effect,
        *[box.failure] * bool(box.failure),
        *box.lines,
        *map(port_text, box.ports),
    ]
