"""What a drawing shows, before it is given colours: boxes, arrows and the clusters that hold them.

A recorded graph is read once into `Step`s; `scalars` makes a box of every step, `folded` a box of every neuron or layer.
Neurons and layers are found from labels: a parameter called `layers[0].neurons[2].w[1]` belongs to the neuron
`layers[0].neurons[2]` of the layer `layers[0]`, and the node that bears the neuron's own name is its output.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from math import hypot, isfinite
from typing import Any, NamedTuple

from micrograd_like import graph, ops
from micrograd_like.engine import Value, one
from micrograd_like.ieee import Number, as_float
from micrograd_like.ops import Operation

_PATH = re.compile(r"[^\W\d]\w*(\[\d+\])*(\.[^\W\d]\w*(\[\d+\])*)*", re.ASCII)


@dataclass(slots=True)
class Box:
    """A node of the drawing."""

    key: str
    role: str  # "input", "parameter", "operation", "loss", "constant", "neuron" or "layer"
    title: str
    lines: list[str] = field(default_factory=list)  # below the title
    details: list[str] = field(default_factory=list)  # in the tooltip
    gradient: Number | None = None  # None where no backward pass came by
    cluster: str = ""  # the path of the module that holds it, "" for none
    node: Value | None = None  # what it draws; None for a constant, a neuron or a layer


@dataclass(slots=True)
class Arrow:
    """An edge of the drawing, from an operand to a result."""

    tail: str
    head: str
    label: str = ""
    details: list[str] = field(default_factory=list)
    gradient: Number | None = None  # how the loss answers to what the edge carries; None where it is not known
    derivative: Number | None = None  # ∂head/∂tail, in a drawing of scalars
    source: Value | None = None  # the operand, and the result that it is an operand of
    target: Value | None = None
    hidden: bool = False  # only holds a box in its place


@dataclass(slots=True)
class Scene:
    """Boxes in the order of the computation, arrows, and the words that a legend needs."""

    boxes: list[Box]
    arrows: list[Arrow]
    root: str  # what the gradients are derivatives of
    carries: str  # what an arrow's gradient is the derivative by
    number: str  # what the number at an arrow is
    notes: list[str] = field(default_factory=list)  # more to say in the legend

    def columns_crossed(self) -> int:
        """How many columns all arrows together cross: what the time to lay out a drawing grows with."""
        column = {box.key: 0 for box in self.boxes}
        incoming: dict[str, list[str]] = {}
        for arrow in self.arrows:
            incoming.setdefault(arrow.head, []).append(arrow.tail)
        for box in self.boxes:
            column[box.key] = max((column[tail] + 1 for tail in incoming.get(box.key, ())), default=0)
        return sum(abs(column[arrow.head] - column[arrow.tail]) for arrow in self.arrows)


class Step(NamedTuple):
    """A node with what it is computed from: its own operation and operands, or simpler ones."""

    node: Value
    op: Operation | None  # None for a leaf, and where the drawing stops
    operands: tuple[Any, ...]


class Roles:
    """Who is who among the leaves, and which module each node belongs to. All of it is read from labels."""

    def __init__(self, root: Value, parameters: Collection[Value] | None) -> None:
        self.root = root
        leaves = graph.leaves(root)
        weights = {stem for leaf in leaves if (stem := _stem(leaf.label, r"w\[\d+\]")) is not None}
        self.parameters = (
            set(parameters)
            if parameters is not None
            else {x for x in leaves if "." in _path(x.label) or _stem(x.label, r"w\[\d+\]|b") in weights}
        )
        self.modules = {home for x in leaves if x in self.parameters and (home := _parent(_path(x.label)))}

    def gradient(self, node: Value) -> Number | None:
        """Its gradient, None where no backward pass came by. A pass that has been at the root counts for all nodes."""
        never = type(node.grad) is int and type(self.root.grad) is int
        return None if node.grad is None or never else node.grad

    def role(self, node: Value, is_leaf: bool) -> str:
        """The role of a node."""
        if node is self.root:
            return "loss"
        return ("parameter" if node in self.parameters else "input") if is_leaf else "operation"

    def owners(self, steps: Sequence[Step]) -> dict[Value, str]:
        """The module of each node that belongs to one.

        A neuron's own nodes are its parameters, its output, and what lies between: computed from its parameters, and
        used nowhere but in the neuron.
        """
        owner: dict[Value, str] = {}
        inside: set[Value] = set()  # nodes on their way from a module's parameters to its output
        users: dict[Value, list[Value]] = {}
        for node, op, operands in steps:
            if node in self.parameters:
                owner[node] = _parent(_path(node.label))
                inside.add(node)
            elif node.label in self.modules and node.op:
                owner[node] = node.label if op else _parent(node.label)
            else:
                homes = {owner[x] for x in operands if x in inside}
                if len(homes) == 1:
                    owner[node] = homes.pop()
                    inside.add(node)
            for x in operands:
                if type(x) is Value:
                    users.setdefault(x, []).append(node)
        for node, op, _ in reversed(steps):
            if op and node in inside and {owner.get(user) for user in users.get(node, ())} != {owner[node]}:
                del owner[node]
        return {node: home for node, home in owner.items() if home}


def steps(root: Value, *, expand: bool = False, stop: Iterable[Value | str] = ()) -> list[Step]:
    """The nodes to draw, operands before results; what a `stop` node was computed from is left out."""
    ends = set()
    stop = tuple(stop)
    everything = graph.nodes(root)
    paths = tuple(path for path in stop if isinstance(path, str))
    for node in everything:
        if node in stop or (node.op and any(_within(node.label, path) for path in paths)):
            ends.add(node)
    for path in paths:
        if not any(_within(node.label, path) for node in ends):
            raise ValueError(f"nothing computed in this graph is labelled {path!r}, so the drawing cannot stop there")
    found: list[Step] = []
    wanted = {root}
    for node in reversed(everything):
        if node in wanted:
            op = None if node in ends and node is not root else node.op
            found.append(Step(node, op, node.operands if op else ()))
            wanted.update(x for x in found[-1].operands if type(x) is Value)
    found.reverse()
    found = _with_constants_named(found)
    return [part for step in found for part in _unfolded(step)] if expand else found


def _with_constants_named(found: list[Step]) -> list[Step]:
    """A plain number in a tuple that nodes share (a layer's inputs) becomes one leaf, `x[i]`, for all of them."""
    leaf_of: dict[tuple[int, int], Value] = {}
    result: list[Step] = []
    for step in found:
        node, op = step.node, step.op
        if op and any(type(arg) is tuple for arg in node.args):
            named: list[Any] = []
            for arg in node.args:
                for i, x in enumerate(arg if type(arg) is tuple else ()):
                    if type(x) is not Value and (id(arg), i) not in leaf_of:
                        leaf = leaf_of[id(arg), i] = Value(x, f"x[{i}]")
                        leaf.grad = None  # the engine does not differentiate by constants
                        result.append(Step(leaf, None, ()))
                    named.append(x if type(x) is Value else leaf_of[id(arg), i])
                if type(arg) is not tuple:
                    named.append(arg)
            step = Step(node, op, tuple(named))
        result.append(step)
    return result


def _unfolded(step: Step) -> list[Step]:
    """A fused node as the simpler nodes it stands for, with their gradients; any other as it is."""
    node, op, operands = step
    if op is None or op.expansion is None:
        return [step]
    out = op.expansion(*operands)
    if any(out is x for x in operands):  # the sum of one number
        return [step]
    inner = graph.topological(out)
    outside = {x for x in operands if type(x) is Value}
    inner = graph.dependents(inner, *outside)
    if type(node.grad) is not int:
        for part in inner:
            part.grad = 0.0 if type(part.data) is float else 0
        out.grad = node.grad
        for part in reversed(inner):
            for x, adjoint in zip(part.operands, _adjoints(part.grad, part, part.op, part.operands), strict=True):
                if type(x) is Value and x not in outside and adjoint is not None:
                    x.grad += adjoint
    parts = [Step(part, part.op, part.operands) for part in inner if part is not out]
    return [*parts, Step(node, out.op, out.operands)]


def _adjoints(g: Number, node: Value, op: Operation, operands: Sequence[Any]) -> list[Any]:
    return op.adjoints(g, node.data, [x.data if type(x) is Value else x for x in operands])


def scalars(root: Value, recorded: Sequence[Step], roles: Roles) -> Scene:
    """A box for every node and constant, an arrow from every operand, with its local derivative."""
    owners = roles.owners(recorded)
    boxes: list[Box] = []
    arrows: list[Arrow] = []
    key: dict[Value, str] = {}
    for node, op, operands in recorded:
        gradient = roles.gradient(node)
        derivatives = _adjoints(one(node.data), node, op, operands) if op else []
        flows = _adjoints(gradient, node, op, operands) if op and gradient is not None else [None] * len(operands)
        key[node] = f"n{len(boxes) + sum(type(x) is not Value for x in operands)}"
        for x, derivative, flow in zip(operands, derivatives, flows, strict=True):
            if type(x) is not Value:
                tail = f"n{len(boxes)}"
                details = ["a constant", f"data = {full(x)}"]
                boxes.append(Box(tail, "constant", short(x), [], details, cluster=owners.get(node, "")))
                arrows.append(Arrow(tail, key[node], target=node))
                continue
            details = [] if derivative is None else [f"local derivative = {full(derivative)}"]
            details += [] if flow is None else [f"gradient through this edge = {full(flow)}"]
            label = "" if derivative is None else short(derivative)
            arrows.append(Arrow(key[x], key[node], label, details, flow, derivative, x, node))
        cluster = owners.get(node, "")
        title = _title(node.label, cluster)
        if op:
            title = f"{title} = {op.symbol}" if title else op.symbol
        details = [node.label] * bool(node.label) + ([f"{op.name}: {op.doc}"] if op else [])
        boxes.append(
            Box(
                key[node],
                roles.role(node, node.op is None),
                title,
                [f"data {short(node.data)}", *_gradient_line(gradient)],
                [*details, f"data = {full(node.data)}", *_gradient_detail(gradient)],
                gradient,
                cluster,
                node,
            )
        )
    return Scene(boxes, arrows, _root_name(root), "the number it starts from", "the local derivative")


class _Group:
    """What one box of a folded drawing stands for."""

    def __init__(self, key: str, role: str, title: str, cluster: str) -> None:
        self.box = Box(key, role, title, cluster=cluster)
        self.nodes: list[Value] = []
        self.arrows: dict[Any, _Bundle] = {}


class _Bundle:
    """The weights (or, where there is none, the nodes) between two boxes."""

    def __init__(self, tail: _Group) -> None:
        self.tail = tail
        self.weights: dict[Value, None] = {}
        self.sources: dict[Value, None] = {}

    def strength(self, backpropagated: bool) -> float:
        """The length of the vector of gradients, or of the weights while there are no gradients."""
        return hypot(*[as_float(x.grad if backpropagated else x.data) for x in self.weights or self.sources])


def folded(root: Value, recorded: Sequence[Step], roles: Roles, depth: str, max_edges: int | None) -> Scene:
    """A box for every neuron or layer, one for each input or group of them, and one for the loss."""
    layers = depth == "layers"
    owners = roles.owners(recorded)
    outputs = {node for node, op, _ in recorded if op and owners.get(node) == node.label}
    if not outputs:
        raise ValueError(
            f"found nothing to fold into {depth}: the drawing looks for parameters labelled like "
            "layers[0].neurons[2].w[1] and outputs labelled like layers[0].neurons[2], as MLP and Layer label theirs"
        )
    homes = {node: (_parent(home) or "layer") if layers else home for node, home in owners.items()}
    beyond = _computed_from(recorded, outputs)
    before = _needed_by(recorded, set(owners))
    groups: dict[Any, _Group] = {}

    def group(identity: Any, role: str, title: str, cluster: str = "") -> _Group:
        if identity not in groups:
            groups[identity] = _Group(f"n{len(groups)}", role, title, cluster)
        return groups[identity]

    def group_of(node: Value, weight: Value | None, reader: str) -> _Group:
        """The group of a node, or of an operand that a module reads through a weight."""
        if node in homes:
            home = homes[node]
            cluster = "" if layers else _parent(home)
            return group(home, depth.removesuffix("s"), _title(home, cluster), cluster)
        if node in beyond:
            return (
                group(node, "operation", node.label) if node in before else group(None, "loss", root.label or "result")
            )
        if layers:
            return group(("inputs", reader), "input", "inputs")
        name = weight.label.rpartition(".")[2].replace("w", "x", 1) if weight else "input"
        identity = ("input", _parent(reader), name) if weight else ("input", node)
        return group(identity, "input", node.label or name, "inputs")

    penalised: dict[Value, None] = {}
    for node, op, operands in recorded:
        if node not in homes:
            penalised.update(dict.fromkeys(x for x in operands if x in roles.parameters))
        if not (op and (node in homes or node in beyond)):
            continue
        home = homes.get(node, "")
        here = group_of(node, None, home)
        here.nodes.append(node)
        for weight, x in _weights(node, op, operands, roles.parameters):
            if x in roles.parameters or (node not in owners and x not in beyond):  # the latter is a target of the loss
                continue
            there = group_of(x, weight, home)
            if there is here:
                continue
            there.nodes.append(x)
            bundle = here.arrows.setdefault((there.box.key, None if layers else weight), _Bundle(there))
            bundle.sources[x] = None
            if weight is not None:
                bundle.weights[weight] = None
    parameters: dict[str, list[Value]] = {}
    for node in homes:
        if node in roles.parameters:
            parameters.setdefault(homes[node], []).append(node)
    all_groups = list(groups.values())
    ordered = sorted(all_groups, key=lambda g: g.box.role != "input")
    drawn: set[str] = set()
    arrows: list[Arrow] = []
    if max_edges is None:
        max_edges = _legible([len(g.arrows) for g in ordered])
    backpropagated = type(root.grad) is not int
    flat = "grad 0" if backpropagated else "weight 0"
    for g in ordered:
        kept, left_out = _strongest(list(g.arrows.values()), max_edges, backpropagated)
        arrows += [_bundle_arrow(bundle, g, roles) for bundle in kept]
        drawn.update(bundle.tail.box.key for bundle in kept)
        if left_out:
            g.box.lines = [f"+ {left_out} weaker edges" if kept else f"{left_out} edges, {flat}"]
    for identity, g in groups.items():
        _describe(g, parameters.get(identity, []), outputs, roles, len(penalised))
    inputs = [g for g in ordered if g.box.role == "input"]
    shown = [g for g in ordered if g.box.role != "input" or g.box.key in drawn] if drawn else ordered
    arrows += [Arrow(shown[0].box.key, g.box.key, hidden=True) for g in shown if g.arrows and not _arrives(g, arrows)]
    notes = []
    if len(shown) < len(ordered):
        drawn_inputs = len(shown) - len(ordered) + len(inputs)
        notes.append(f"{drawn_inputs} of {len(inputs)} inputs are drawn, the others have only weaker edges")
    number = "how many weights it stands for" if layers else "the weight"
    carries = "its weights" if layers else "its weight"
    return Scene([g.box for g in shown], arrows, _root_name(root), carries, number, notes)


def _legible(fan_ins: Sequence[int]) -> int:
    """The most edges into a box with which a drawing has no more than 60 in all; at least 3."""
    return max(k for k in range(3, 61) if k == 3 or sum(min(k, n) for n in fan_ins) <= 60)


def _arrives(g: _Group, arrows: Sequence[Arrow]) -> bool:
    return any(arrow.head == g.box.key for arrow in arrows)


def _computed_from(recorded: Sequence[Step], sources: set[Value]) -> set[Value]:
    found = set(sources)
    for node, _, operands in recorded:
        if not found.isdisjoint(x for x in operands if type(x) is Value):
            found.add(node)
    return found


def _needed_by(recorded: Sequence[Step], results: set[Value]) -> set[Value]:
    found: set[Value] = set()
    for node, _, operands in reversed(recorded):
        if node in results or node in found:
            found.update(x for x in operands if type(x) is Value)
    return found


def _weights(
    node: Value, op: Operation, operands: Sequence[Any], parameters: Collection[Value]
) -> list[tuple[Value | None, Value]]:
    """(weight, operand) for each operand that is a node; the weight is the parameter that multiplies it, or None."""
    if any(type(arg) is tuple for arg in node.args):
        n = len(node.args[0])
        pairs = list(zip(operands[:n], operands[n : 2 * n], strict=True))
        return [(w if w in parameters else None, x) for w, x in pairs]
    if op is ops.mul:
        for w, x in (operands, reversed(operands)):
            if w in parameters and type(x) is Value:
                return [(w, x)]
    return [(None, x) for x in operands if type(x) is Value]


def _strongest(bundles: list[_Bundle], max_edges: int, backpropagated: bool) -> tuple[list[_Bundle], int]:
    """Those to draw, in their order, and how many are left out: all when they are few, else those of most effect."""
    if len(bundles) <= max_edges:
        return bundles, 0
    strengths = {id(bundle): bundle.strength(backpropagated) for bundle in bundles}
    ranked = sorted(bundles, key=lambda bundle: -strengths[id(bundle)])
    chosen = {id(bundle) for bundle in ranked[:max_edges] if strengths[id(bundle)] != 0}
    return [bundle for bundle in bundles if id(bundle) in chosen], len(bundles) - len(chosen)


def _bundle_arrow(bundle: _Bundle, head: _Group, roles: Roles) -> Arrow:
    weights = list(bundle.weights)
    arrow = Arrow(bundle.tail.box.key, head.box.key)
    carriers = weights or list(bundle.sources)
    gradients = [g for x in carriers if (g := roles.gradient(x)) is not None]
    if len(carriers) == 1:
        arrow.source = carriers[0]
        arrow.gradient = roles.gradient(carriers[0])
        arrow.label = short(weights[0].data) if weights else ""
        name = "weight" if weights else "data"
        arrow.details = [carriers[0].label] if carriers[0].label else []
        arrow.details += [f"{name} = {full(carriers[0].data)}", *_gradient_detail(arrow.gradient)]
    elif weights:
        arrow.label = f"{len(weights):,} weights"
        arrow.details = [f"{len(weights):,} weights, from {weights[0].label} to {weights[-1].label}"]
        if gradients:
            length = hypot(*map(as_float, gradients))
            arrow.details.append(f"length of their gradient = {length!r}")
            arrow.label += f"\n|grad| {length:.4g}"
    return arrow


def _describe(g: _Group, parameters: list[Value], outputs: set[Value], roles: Roles, penalised: int) -> None:
    box = g.box
    nodes = list(dict.fromkeys(g.nodes))
    results = {"loss": [roles.root]}.get(box.role) or [x for x in nodes if x in outputs] or nodes
    lines = []
    if box.role == "layer":
        neurons = len({x.label for x in results})
        lines.append(f"{neurons} neuron{'s' * (neurons != 1)}, {len(parameters):,} parameters")
    elif box.title == "inputs":
        lines.append(f"{len(nodes)} numbers")
    if len(results) == 1:
        node = results[0]
        word = "activation" if box.role == "neuron" else "data"
        box.gradient, box.node = roles.gradient(node), node
        lines += [f"{word} {short(node.data)}", *_gradient_line(box.gradient)]
        box.details = [node.label] * bool(node.label) + [f"{word} = {full(node.data)}", *_gradient_detail(box.gradient)]
    elif results:
        data = [x.data for x in results]
        lines.append(f"{short(min(data))} … {short(max(data))}")
        box.details = [f"{len(results)} numbers from {full(min(data))} to {full(max(data))}"]
    for p in parameters if box.role == "neuron" else ():
        if p.label.endswith(".b"):
            gradient = roles.gradient(p)
            lines += [f"bias {short(p.data)}", *(f"bias {line}" for line in _gradient_line(gradient))]
            box.details += [f"bias = {full(p.data)}", *(f"bias {line}" for line in _gradient_detail(gradient))]
    if box.role == "loss" and penalised:
        lines.append(f"also reads {penalised:,} parameters directly")
    box.lines = lines + box.lines


def short(x: Number) -> str:
    """A number in four digits; a short fraction as it is."""
    text = full(x)
    return text if not isinstance(x, float) and len(text) <= 9 else f"{as_float(x):.4g}"


def full(x: Number) -> str:
    """A number with all of its digits."""
    try:
        return str(x)
    except ValueError:  # a fraction of more digits than Python prints
        return repr(as_float(x))


def largest(gradients: Iterable[Number | None]) -> float:
    """The largest finite size among gradients, 0 if there is none."""
    sizes = (abs(as_float(g)) for g in gradients if g is not None)
    return max((size for size in sizes if isfinite(size)), default=0.0)


def _gradient_line(gradient: Number | None) -> list[str]:
    return [] if gradient is None else [f"grad {short(gradient)}"]


def _gradient_detail(gradient: Number | None) -> list[str]:
    return ["no gradient"] if gradient is None else [f"gradient = {full(gradient)}"]


def _root_name(root: Value) -> str:
    return root.label if root.label not in ("", "loss") else f"the {root.label or 'result'}"


def _path(label: str) -> str:
    """The label if it is a Python expression like `layers[0].neurons[2].w[1]`, else nothing."""
    return label if _PATH.fullmatch(label) else ""


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def _within(label: str, path: str) -> bool:
    return label == path or label.startswith((f"{path}.", f"{path}["))


def _stem(label: str, name: str) -> str | None:
    """What stands before a parameter's own name, None when the label does not end in such a name."""
    match = re.fullmatch(rf"((?:.*\.)?)(?:{name})", label, re.DOTALL)
    return match and match[1]


def _title(label: str, cluster: str) -> str:
    """A label without the name of the cluster that holds it."""
    if cluster and label.startswith(f"{cluster}."):
        return label[len(cluster) + 1 :]
    return label.rpartition(".")[2] if label == cluster else label
