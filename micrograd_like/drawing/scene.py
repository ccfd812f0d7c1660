"""What a drawing shows, before it has a place or a colour: boxes, arrows, and the words that explain them.

A recorded graph is read once into `Step`s; `scalars` makes a box of every step, `network.folded` a box of every neuron or
layer. Neurons and layers are found from labels: a parameter called `layers[0].neurons[2].w[1]` belongs to the neuron
`layers[0].neurons[2]` of the layer `layers[0]`, and the node that bears the neuron's own name is its output.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, NamedTuple

from micrograd_like import graph, ops
from micrograd_like.drawing.formula import LONGEST, LONGEST_PATH, formula, full, name, neuron, number
from micrograd_like.drawing.text import elided
from micrograd_like.engine import Value, one
from micrograd_like.graph import Vector
from micrograd_like.ieee import Number, as_float
from micrograd_like.ops import Operation

_PATH = re.compile(r"[^\W\d]\w*(\[\d+\])*(\.[^\W\d]\w*(\[\d+\])*)*", re.ASCII)
SILENT = "silent"  # a neuron none of whose parameters changes the root
LONGEST_FORMULA = 16  # letters; in a longer one an operand that is itself deep is "…"


@dataclass(slots=True)
class Port:
    """A weight or a bias of a neuron: the number right before the box that it feeds."""

    name: str
    value: Number
    gradient: Number | None
    label: str  # the parameter's own
    details: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Picture:
    """Numbers shown as an image: a row of `width` numbers after the other."""

    title: str
    kind: str  # "pixels", "weights" or "effects"
    values: list[float]
    width: int
    labels: list[str] = field(default_factory=list)  # of the parameters that the numbers belong to

    @property
    def height(self) -> int:
        """The number of rows."""
        return -(-len(self.values) // self.width)


@dataclass(slots=True)
class Box:
    """A node of the drawing: its title, value and gradient, and nothing else unless it stands for several."""

    key: str
    role: str  # "input", "parameter", "operation", "loss", "neuron" or "layer"
    title: str
    value: Number | None = None
    gradient: Number | None = None  # None where no backward pass came by
    lines: list[str] = field(default_factory=list)  # what is folded away
    details: list[str] = field(default_factory=list)  # in the tooltip
    home: str = ""  # the path of the module that it is or belongs to, "" for none
    node: Value | None = None  # what it draws; None where it stands for several
    is_root: bool = False
    ports: list[Port] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    held: list[str] = field(default_factory=list)  # the labels of the parameters that it stands for
    column: int = 0
    failure: str = ""  # what is wrong with a value that is not finite


@dataclass(slots=True)
class Arrow:
    """An edge of the drawing, from an operand to a result."""

    key: str
    tail: str
    head: str
    port: int | None = None  # of the head, where a weight stands on the edge
    weight: Number | None = None  # how thick its core is; None in a drawing of scalars
    gradient: Number | None = None  # how the loss answers to what the edge carries; None where it is not known
    derivative: Number | None = None  # ∂head/∂tail, in a drawing of scalars
    signless: bool = False  # the gradient is a length, of several weights together
    labels: list[str] = field(default_factory=list)  # of the parameters that it stands for
    details: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Scene:
    """Boxes in the order of the program, arrows, and the words that a legend needs."""

    boxes: list[Box]
    arrows: list[Arrow]
    root: str  # what the gradients are derivatives of
    is_network: bool = False
    headings: dict[int, str] = field(default_factory=dict)  # above a column
    notes: list[str] = field(default_factory=list)  # more to say below the drawing

    def __post_init__(self) -> None:
        if not self.is_network:
            _put_in_columns(self.boxes, self.arrows)
            find_failures(self.boxes, self.arrows)

    def columns_crossed(self) -> int:
        """How many columns all arrows together cross: what the time to lay out a drawing grows with."""
        column = {box.key: box.column for box in self.boxes}
        return sum(abs(column[arrow.head] - column[arrow.tail]) for arrow in self.arrows)

    def summary(self) -> str:
        """One sentence for who cannot see the drawing, from its numbers."""
        root = next((box for box in self.boxes if box.is_root), self.boxes[-1])
        count = f"{len(self.boxes)} box{'es' * (len(self.boxes) != 1)}"
        value = "" if root.value is None else f" = {number(root.value)}"
        ports = [(p.label, p.gradient) for box in self.boxes for p in box.ports]
        leaves = [(box.title, box.gradient) for box in self.boxes if box.role in ("parameter", "input")]
        known = [(who, as_float(g)) for who, g in ports or leaves if g is not None and isfinite(as_float(g))]
        strongest = max(known, key=lambda each: abs(each[1]), default=("", 0.0))
        if strongest[1]:
            verb = "raises" if strongest[1] > 0 else "lowers"
            effect = f"raising {elided(strongest[0])} {verb} it most, by {number(abs(strongest[1]))} for each unit"
        elif root.gradient is None:
            effect = "nothing was backpropagated yet"
        else:
            effect = "no number that is drawn changes it just now"
        failed = next((box.title for box in self.boxes if box.failure), "")
        effect += f"; the first number that is not finite is that of {elided(failed)}" * bool(failed)
        return f"{elided(self.root)}{value}, computed in {count}; {effect}."

    def is_finite(self) -> bool:
        """Whether each number is finite, and each derivative on an arrow."""
        return not any(box.failure for box in self.boxes) and all(is_finite(arrow.derivative) for arrow in self.arrows)


class Step(NamedTuple):
    """A node with what it is computed from: its own operation and operands, or simpler ones."""

    node: Value
    op: Operation | None  # None for a leaf, and where the drawing stops
    operands: tuple[Any, ...]
    folds: Sequence[str] = ()  # what is drawn as one here


class Roles:
    """Who is who among the leaves, and which module each node belongs to. All of it is read from labels."""

    def __init__(self, root: Value, parameters: Collection[Value] | None) -> None:
        self.root = root
        leaves = graph.leaves(root)
        weights = {stem for leaf in leaves if (stem := _stem(leaf.label, r"w\[\d+\]")) is not None}
        self.parameters = (
            set(parameters)
            if parameters is not None
            else {x for x in leaves if "." in path_of(x.label) or _stem(x.label, r"w\[\d+\]|b") in weights}
        )
        self.modules = {home for x in leaves if x in self.parameters and (home := parent(path_of(x.label)))}

    def gradient(self, node: Value) -> Number | None:
        """Its gradient, None where no backward pass came by. A pass that has been at the root counts for all nodes."""
        never = not node.has_gradient and not self.root.has_gradient
        return None if node.grad is None or never else node.grad

    def role(self, node: Value, is_leaf: bool) -> str:
        """The role of a node."""
        if not is_leaf:
            return "loss" if node is self.root else "operation"
        return "parameter" if node in self.parameters else "input"

    def owners(self, steps: Sequence[Step]) -> dict[Value, str]:
        """The module of each node that belongs to one.

        A neuron's own nodes are its parameters, its output, and what lies between: computed from its parameters, and
        used nowhere but in the neuron.
        """
        owner: dict[Value, str] = {}
        inside: set[Value] = set()  # nodes on their way from a module's parameters to its output
        users: dict[Value, list[Value]] = {}
        for node, op, operands, _ in steps:
            if node in self.parameters:
                owner[node] = parent(path_of(node.label))
                inside.add(node)
            elif node.label in self.modules and node.op:
                owner[node] = node.label if op else parent(node.label)
            else:
                homes = {owner[x] for x in operands if x in inside}
                if len(homes) == 1:
                    owner[node] = homes.pop()
                    inside.add(node)
            for x in operands:
                if type(x) is Value:
                    users.setdefault(x, []).append(node)
        for node, op, _, _ in reversed(steps):
            if op and node in inside and {owner.get(user) for user in users.get(node, ())} != {owner[node]}:
                del owner[node]
        return {node: home for node, home in owner.items() if home}


class Names:
    """What the parts of a network are called in a drawing: x₀, h₀, out; h¹₀ and h²₀ where there are two hidden layers."""

    def __init__(self, recorded: Sequence[Step], modules: Collection[str]) -> None:
        outputs = dict.fromkeys(node.label for node, op, _, _ in recorded if node.label in modules)
        layers = list(dict.fromkeys(map(parent, outputs)))
        last = [path for path in outputs if layers and parent(path) == layers[-1]]
        self._names = {}
        for path in outputs:
            match = re.search(r"\.?neurons\[(\d+)\]$", path)
            if match is not None and path in last:
                self._names[path] = "out" if len(last) == 1 else name(f"out[{match[1]}]")
            elif match is not None:
                self._names[path] = neuron(match[1], layers.index(parent(path)) + 1 if len(layers) > 2 else 0)

    def of(self, label: str) -> str:
        """The name of a node, by its label."""
        return self._names.get(label) or name(label)

    def whole(self, label: str) -> str:
        """The name of a node with its neuron's before it."""
        home = self._names.get(parent(path_of(label)))
        return f"{home}.{self.of(label)}" if home else self.of(label)


def steps(root: Value, *, expand: bool = False, stop: Iterable[Value | str] = ()) -> list[Step]:
    """The nodes to draw, operands before results, in the program's order; what a `stop` node comes from is left out."""
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
    ends.discard(root)
    recorded = lambda x: Step(x, None, ()) if x in ends or not x.op else Step(x, x.op, x.operands)  # noqa: E731
    found = _with_constants_named(_in_program_order(root, recorded))
    if expand:
        parts = {part.node: part for step in found for part in _unfolded(step)}
        found = _in_program_order(root, parts.__getitem__)
    return found


def _in_program_order(root: Value, step_of: Callable[[Value], Step]) -> list[Step]:
    """Every node after its operands, and these from the first to the last, as the program's text reads."""
    found: dict[Value, Step] = {}
    stack: list[Step | Value] = [root]
    while stack:
        item = stack.pop()
        if type(item) is Step:
            found[item.node] = item
        elif item not in found:
            assert isinstance(item, Value)
            step = step_of(item)
            stack.append(step)
            stack += [x for x in reversed(step.operands) if type(x) is Value and x not in found]
    return list(found.values())


def _with_constants_named(found: list[Step]) -> list[Step]:
    """A plain number in a Vector that nodes share (a layer's inputs) becomes one leaf, `x[i]`, for all of them."""
    leaf_of: dict[tuple[Vector, int], Value] = {}
    result: list[Step] = []
    for step in found:
        node, op = step.node, step.op
        if op and type(node.right) is Vector:
            named: list[Any] = []
            for shared in (node.left, node.right):
                for i, x in enumerate(shared):
                    if type(x) is not Value and (shared, i) not in leaf_of:
                        leaf = leaf_of[shared, i] = Value(x, f"x[{i}]")
                        leaf.grad = None  # the engine does not differentiate by constants
                        result.append(Step(leaf, None, ()))
                    named.append(x if type(x) is Value else leaf_of[shared, i])
            step = Step(node, op, tuple(named))
        result.append(step)
    return result


def _unfolded(step: Step) -> list[Step]:
    """A fused node as the simpler nodes it stands for, with their gradients; any other as it is."""
    node, op, operands, _ = step
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
            for x, adjoint in zip(part.operands, adjoints(part.grad, part, part.op, part.operands), strict=True):
                if type(x) is Value and x not in outside and adjoint is not None:
                    x.grad += adjoint
    parts = [Step(part, part.op, part.operands) for part in inner if part is not out]
    return [*parts, Step(node, out.op, out.operands)]


def adjoints(g: Number, node: Value, op: Operation, operands: Sequence[Any]) -> list[Any]:
    """g · ∂node/∂operand for each operand in turn."""
    return op.vjp(g, node.data, *[x.data if type(x) is Value else x for x in operands])


def scalars(root: Value, recorded: Sequence[Step], roles: Roles) -> Scene:
    """A box for every node, an arrow from every operand that is one, with its local derivative.

    Plain numbers stand in the formulas.
    """
    owners = roles.owners(recorded)
    names = Names(recorded, roles.modules)
    titles = Titles(names)
    boxes: list[Box] = []
    arrows: list[Arrow] = []
    key: dict[Value, str] = {}
    for node, op, operands, folds in recorded:
        gradient = roles.gradient(node)
        derivatives = adjoints(one(node.data), node, op, operands) if op else []
        flows = adjoints(gradient, node, op, operands) if op and gradient is not None else [None] * len(operands)
        key[node] = f"n{len(boxes)}"
        for x, derivative, flow in zip(operands, derivatives, flows, strict=True):
            if type(x) is Value:
                details = [] if derivative is None else [f"local derivative = {full(derivative)}"]
                details += [] if flow is None else [f"gradient through this edge = {full(flow)}"]
                arrows.append(
                    Arrow(
                        f"e{len(arrows)}",
                        key[x],
                        key[node],
                        gradient=flow,
                        derivative=derivative,
                        labels=[x.label],
                        details=details,
                    )
                )
        details = [node.label] * bool(node.label)
        if op:
            given = ", ".join(full(x) for x in operands[:8] if type(x) is not Value)
            details += [f"{op.name}: {op.doc}"] * bool(op.doc) + [f"numbers in it: {given}"] * bool(given)
        details += [f"data = {full(node.data)}", *gradient_detail(gradient)]
        boxes.append(
            Box(
                key[node],
                roles.role(node, node.op is None),
                titles.of(node, op, operands),
                node.data,
                gradient,
                list(folds),
                details,
                home=owners.get(node, ""),
                node=node,
                is_root=node is root,
            )
        )
    return Scene(boxes, arrows, root_name(root, names))


class Titles:
    """The formula of each node over its operands' names, which it remembers for the formulas that follow."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._known: dict[Value, tuple[str, int]] = {}  # how other formulas write a node, and how deep that unfolds

    def of(self, node: Value, op: Operation | None, operands: Sequence[Any]) -> str:
        """The title of a node."""
        called = self._names.of(node.label)
        if op is None:
            self._known[node] = (called or number(node.data), 0)
            return self._names.whole(node.label) if node.label else ""
        if op is ops.mul and operands[0] is operands[1]:
            op, operands = ops.pow, (operands[0], 2)
        parts = [self._known[x] if type(x) is Value else (number(x), 0) for x in operands]
        depth = 1 + max((depth for _, depth in parts), default=0)
        written = formula(op, [text for text, _ in parts])
        if len(written) > LONGEST_FORMULA and depth > 2:
            written = formula(op, ["…" if d > 1 else text for text, d in parts])
        shown = written if len(written) <= LONGEST else "…"
        self._known[node] = (called, 0) if called else (shown, depth)
        return f"{called} = {written}" if called else written


def _put_in_columns(boxes: Sequence[Box], arrows: Sequence[Arrow]) -> None:
    """Results after their operands, and a leaf right before the first that reads it."""
    box_of = {box.key: box for box in boxes}
    incoming: dict[str, list[str]] = {}
    readers: dict[str, list[str]] = {}
    for arrow in arrows:
        incoming.setdefault(arrow.head, []).append(arrow.tail)
        readers.setdefault(arrow.tail, []).append(arrow.head)
    for box in boxes:
        box.column = max((box_of[tail].column + 1 for tail in incoming.get(box.key, ())), default=0)
    for box in boxes:
        if box.key not in incoming and box.key in readers:
            box.column = min(box_of[head].column for head in readers[box.key]) - 1


def find_failures(boxes: Sequence[Box], arrows: Sequence[Arrow]) -> None:
    """Say which box made the first number that is not finite, and which numbers are not finite after it."""
    failing = {box.key for box in boxes if not is_finite(box.value)}
    computed = {arrow.head for arrow in arrows}
    later = {arrow.head for arrow in arrows if arrow.tail in failing or not is_finite(arrow.weight)}
    for box in boxes:
        if box.key in failing:
            box.failure = "failed here: not finite" if box.key in computed - later else "not finite"


def is_finite(x: Number | None) -> bool:
    """Whether a number is neither nan nor infinite; an unknown one counts as finite."""
    return not isinstance(x, float) or isfinite(x)


def largest(gradients: Iterable[Number | None]) -> float:
    """The largest finite size among gradients, 0 if there is none."""
    sizes = (abs(as_float(g)) for g in gradients if g is not None)
    return max((size for size in sizes if isfinite(size)), default=0.0)


def gradient_detail(gradient: Number | None) -> list[str]:
    """A gradient with all digits, for a tooltip."""
    return ["no gradient"] if gradient is None else [f"gradient = {full(gradient)}"]


def root_name(root: Value, names: Names) -> str:
    """What a legend calls the root."""
    return names.of(root.label) if root.label not in ("", "loss") else f"the {root.label or 'result'}"


def path_of(label: str) -> str:
    """The label if it is a Python expression like `layers[0].neurons[2].w[1]`, else nothing."""
    return label if len(label) <= LONGEST_PATH and _PATH.fullmatch(label) else ""


def parent(path: str) -> str:
    """The path of what holds it."""
    return path.rpartition(".")[0]


def _within(label: str, path: str) -> bool:
    return label == path or label.startswith((f"{path}.", f"{path}["))


def _stem(label: str, pattern: str) -> str | None:
    """What stands before a parameter's own name, None when the label does not end in such a name."""
    match = re.fullmatch(rf"((?:.*\.)?)(?:{pattern})", label, re.DOTALL)
    return match and match[1]
