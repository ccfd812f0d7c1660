"""`draw_dot`: a recorded graph as a `graphviz.Digraph`, with micrograd's name and arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, KeysView
from typing import Any, Literal

import graphviz

from micrograd_like import graph
from micrograd_like.checks import whole_number
from micrograd_like.drawing.effects import ROLES, ByShare, Highlight, Style
from micrograd_like.drawing.render import Drawing, elided, plain_text, tooltip_text
from micrograd_like.drawing.scene import Roles, Scene, folded, scalars, steps
from micrograd_like.drawing.style import INK, NEUTRAL
from micrograd_like.engine import Value

# For each direction the sides on which edges enter and leave a box: elsewhere they would cross its cluster's name.
SIDES = {"LR": ("w", "e"), "TB": ("n", "s"), "RL": ("e", "w"), "BT": ("s", "n")}
DEPTHS = ("neurons", "layers")
EDGE_LABEL = {
    "shape": "box",
    "style": "filled,rounded",
    "fillcolor": "#ffffff",
    "penwidth": "0.6",
    "fontsize": "10",
    "margin": "0.05,0.02",
    "width": "0",
}


def trace(root: Value) -> tuple[KeysView[Value], KeysView[tuple[Value, Value]]]:
    """The nodes, and the edges (operand, result), that a value was computed from.

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
    stop: Iterable[Value | str] = (),
    parameters: Any = None,
    max_nodes: int = 1500,
    max_edges: int | None = None,
    legend: bool = True,
    style: Callable[[Scene], Style] = Style,
    highlight: Value | str | None = None,
    report: Any = None,
) -> Drawing:
    """Draw what a value was computed from: every number with its gradient, every edge with its derivative.

    An edge is as thick as its gradient is large; it is red where raising what it carries raises the root, and blue where
    that lowers it. Tooltips hold all digits. A graph that was never backpropagated shows no gradients.

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
            `layers[0].neurons[2].w[1]`, which `Module`s give their parameters.
        stop: Values, or the labels of modules such as "layers[0]", whose outputs are drawn as if they were leaves.
        parameters: the leaves to draw as parameters, or a module that has them; None tells them by their labels.
        max_nodes: the most boxes to draw; the edges may cross ten columns for each.
        max_edges: with depth="neurons", the most edges into a neuron: those with the largest gradients are drawn, and
            the others are counted in the neuron's box. None draws as many as stay legible, at least 3 for a neuron.
        legend: whether to explain shapes and colours in the drawing.
        style: what boxes and arrows look like: `Style` or a subclass.
        highlight: a number, or its label, whose paths to the root are lit, each edge with its local derivative, with the
            product of the path (or the sum of the products) beside it; everything else is faded.
        report: an explained step (`micrograd_like.explain.explain_step`), to colour the parameters by their shares.

    Raises:
        TypeError: the root is not a Value.
        ValueError: there are more than `max_nodes` boxes, or edges too long to be laid out; an argument is unknown;
            `depth` finds no neurons; `expand` and `depth` are both given; more than one of `style`, `highlight` and `report` is given; `highlight` is not one
            number of the drawing, or `report` knows none of its parameters; or a label in `stop` names nothing
            that the root was computed from.
    """
    _check_root(root)
    if rankdir not in SIDES:
        raise ValueError(f"unknown rankdir {rankdir!r:.60}; expected one of {', '.join(SIDES)}")
    if depth not in (None, *DEPTHS):
        raise ValueError(f"unknown depth {depth!r:.60}; expected one of {', '.join(DEPTHS)} or None")
    if expand and depth:
        raise ValueError("expand shows every multiplication and depth folds them away: expected at most one of the two")
    if (style is not Style) + (highlight is not None) + (report is not None) > 1:
        raise ValueError("style, highlight and report each say how the drawing looks: expected at most one of them")
    for name, limit in (("max_nodes", max_nodes), ("max_edges", max_edges)):
        if limit is not None:
            whole_number(name, limit)
    drawing = Drawing(
        format=format,
        graph_attr={"rankdir": rankdir, "bgcolor": "transparent", "fontname": "Helvetica", "fontsize": "12", "fontcolor": NEUTRAL,
                    "color": NEUTRAL, "nodesep": "0.15", "ranksep": "0.6", "tooltip": " ", "nslimit": "2", "nslimit1": "2"},
        node_attr={"fontname": "Helvetica", "fontsize": "11", "fontcolor": INK, "margin": "0.16,0.05", "height": "0"},
        edge_attr={"fontname": "Helvetica", "fontsize": "10", "arrowsize": "0.6"},
    )  # fmt: skip
    if hasattr(parameters, "parameters"):
        parameters = parameters.parameters()
    stop = tuple(stop)
    if depth is None and not stop:
        _check_size(len(graph.nodes(root)), max_nodes)
    recorded = steps(root, stop=stop)
    if depth is None:
        _check_size(len(recorded), max_nodes)
        if expand:
            recorded = steps(root, expand=True, stop=stop)
            _check_size(len(recorded), max_nodes)
    roles = Roles(root, parameters)
    scene = folded(root, recorded, roles, depth, max_edges) if depth else scalars(root, recorded, roles)
    _check_size(len(scene.boxes), max_nodes)
    if (crossed := scene.columns_crossed()) > 10 * max_nodes:
        raise ValueError(
            f"the drawing's edges would cross {crossed:,} columns, more than 10 for each of max_nodes={max_nodes:,}, "
            "which takes minutes to lay out; stop= draws a part of it"
        )
    if highlight is not None:
        look: Style = Highlight(scene, highlight)
    elif report is not None:
        look = ByShare(scene, report)
    else:
        look = style(scene)
    _write(drawing, scene, look, legend)
    return drawing


def _check_root(root: Any) -> None:
    if not isinstance(root, Value):
        raise TypeError(f"expected a Value to draw, got {type(root).__name__}: {root!r:.60}")


def _check_size(count: int, max_nodes: int) -> None:
    if count > max_nodes:
        raise ValueError(
            f"the drawing would have at least {count:,} nodes, more than max_nodes={max_nodes:,}; "
            "depth='neurons' or depth='layers' folds it, stop= draws a part of it"
        )


def _write(drawing: Drawing, scene: Scene, style: Style, legend: bool) -> None:
    clusters: dict[str, Drawing] = {"": Drawing()}
    home = {box.key: box.cluster for box in scene.boxes}
    for box in scene.boxes:
        _cluster(clusters, box.cluster).node(box.key, **style.box(box))
    into, out = SIDES[drawing.graph_attr["rankdir"]]
    for i, arrow in enumerate(scene.arrows):
        attributes = style.arrow(arrow)
        label = attributes.pop("label", "")
        tail = arrow.tail
        if label:  # a box of its own, in the middle of the edge: Graphviz lets an edge run through its label
            middle = _common(home[tail], home[arrow.head])
            colour, tooltip = attributes["color"], attributes["tooltip"]
            clusters[middle].node(f"e{i}", label=label, color=colour, fontcolor=colour, tooltip=tooltip, **EDGE_LABEL)
            drawing.edge(f"{tail}:{out}", f"e{i}", arrowhead="none", **attributes)
            tail = f"e{i}"
        drawing.edge(f"{tail}:{out}", f"{arrow.head}:{into}", **attributes)
    edges, drawing.body = drawing.body, []
    for path in sorted(filter(None, clusters), key=lambda path: -path.count(".")):
        clusters[_parent(path)].subgraph(clusters[path])
    drawing.body += clusters[""].body + edges
    if legend:
        drawing.subgraph(_legend(scene, style))


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def _common(one: str, other: str) -> str:
    """The innermost cluster that holds both of two clusters."""
    while one != other:
        if len(one) >= len(other):
            one = _parent(one)
        else:
            other = _parent(other)
    return one


def _cluster(clusters: dict[str, Drawing], path: str) -> Drawing:
    """The cluster of that path, made together with those around it where it is the first inside."""
    outer = path
    while outer not in clusters:
        attributes = {
            "label": plain_text(f" {elided(outer)} "),
            "labeljust": "l",
            "style": "rounded",
            "tooltip": tooltip_text(outer),
        }
        clusters[outer] = Drawing(name=f"cluster_{len(clusters)}", graph_attr=attributes)
        outer = _parent(outer)
    return clusters[path]


def _legend(scene: Scene, style: Style) -> graphviz.Digraph:
    attributes = {"label": plain_text("how to read this drawing"), "style": "dashed", "tooltip": " "}
    legend = graphviz.Digraph(name="cluster_legend", graph_attr=attributes)
    text = {"shape": "plaintext", "fontcolor": NEUTRAL, "tooltip": " ", "height": "0.3", "margin": "0.35,0.05"}
    for i, (colour, width, meaning) in enumerate(style.legend()):
        legend.node(f"from{i}", label="", width="0", **text)
        legend.node(f"to{i}", label=plain_text(meaning), **text)
        legend.edge(f"from{i}", f"to{i}", color=colour, penwidth=f"{width:.3g}", arrowhead="none", tooltip=" ")
    for role in dict.fromkeys(box.role for box in scene.boxes):
        shape, look, tint = ROLES[role]
        name = scene.root if role == "loss" else role
        swatch = {"shape": shape, "style": look, "fillcolor": tint, "color": NEUTRAL}
        legend.node(f"role_{role}", label=plain_text(elided(name, 20)), tooltip=" ", **swatch)
    legend.node("notes", label=plain_text(*style.notes()), **text)
    return legend
