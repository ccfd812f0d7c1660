"""A recorded graph folded to its neurons or layers: grouping the nodes, choosing what is drawn, describing it.

A layer of many neurons is drawn as what it is: a matrix of weights. Inputs that form an image are drawn as one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import hypot, nan
from typing import Any

from micrograd_like import ops
from micrograd_like.drawing.formula import full, number
from micrograd_like.drawing.scene import (
    SILENT,
    Arrow,
    Box,
    Names,
    Picture,
    Port,
    Roles,
    Scene,
    Step,
    Titles,
    find_failures,
    gradient_detail,
    parent,
    root_name,
)
from micrograd_like.engine import Value
from micrograd_like.ieee import Number, as_float
from micrograd_like.ops import Operation

MOST_NEURONS = 16  # a layer of more is one box
MOST_PORTS = 48  # numbers beside the neurons of one layer; with more, each neuron shows its strongest
LONGEST_TITLE = 34
WIDEST_MATRIX = 176  # numbers in a row
LARGEST_MATRIX = 4096  # numbers; of a larger one the first rows are shown


class _Group:
    """What one box stands for, and the weights through which it reads other boxes."""

    def __init__(self, box: Box, path: str = "") -> None:
        self.box = box
        self.path = path  # of its module
        self.results: dict[Value, None] = {}  # the nodes whose numbers it shows
        self.parameters: list[Value] = []
        self.bundles: dict[Any, _Bundle] = {}


class _Bundle:
    """What leads from one box to another: a single weight, several, or none."""

    def __init__(self, tail: _Group) -> None:
        self.tail = tail
        self.weights: dict[Value, None] = {}
        self.sources: dict[Value, None] = {}


def folded(
    root: Value,
    recorded: Sequence[Step],
    roles: Roles,
    depth: str,
    max_edges: int | None,
    shape: tuple[int, int] | None,
) -> Scene:
    """A box for every neuron or layer, one for each input or image of them, and one for the loss."""
    grouping = _Grouping(root, recorded, roles, depth, shape)
    if shape is not None and not any(group.box.pictures for group in grouping.groups):
        raise ValueError(f"no neuron reads {shape[0]} × {shape[1]} inputs, so there is no image of that shape to draw")
    names = Names(recorded, roles.modules)
    scene = _chosen(grouping.groups, roles, max_edges, root_name(root, names))
    _describe(grouping, scene, recorded, roles, names, shape)
    return scene


class _Grouping:
    """Which node belongs to which box, and what each box reads of the others."""

    def __init__(
        self, root: Value, recorded: Sequence[Step], roles: Roles, depth: str, shape: tuple[int, int] | None
    ) -> None:
        self.groups: list[_Group] = []
        self._root, self._roles, self._depth, self._shape = root, roles, depth, shape
        self._known: dict[Any, _Group] = {}
        self._owners = roles.owners(recorded)
        self._outputs = {node for node, op, _, _ in recorded if op and self._owners.get(node) == node.label}
        if not self._outputs:
            raise ValueError(
                f"found nothing to fold into {depth}: the drawing looks for parameters labelled like "
                "layers[0].neurons[2].w[1] and outputs labelled like layers[0].neurons[2], as MLP and Layer label theirs"
            )
        self._sizes: dict[str, set[str]] = {}  # how many neurons a layer has
        for node in self._outputs:
            self._sizes.setdefault(parent(node.label), set()).add(node.label)
        self._beyond = _computed_from(recorded, self._outputs)
        self._before = _needed_by(recorded, set(self._owners))
        self.penalised: dict[Value, None] = {}
        for step in recorded:
            self._read(step)
        for node, home in self._owners.items():
            if node in roles.parameters:
                self._module(home).parameters.append(node)

    def _read(self, step: Step) -> None:
        node, op, operands, _ = step
        home = self._owners.get(node, "")
        if not home:
            direct = [x for x in operands if type(x) is Value and x in self._roles.parameters]
            self.penalised.update(dict.fromkeys(direct))
        if not (op and (home or node in self._beyond)):
            return
        pairs = _weights(node, op, operands, self._roles.parameters)
        is_image = self._shape is not None and len(pairs) == self._shape[0] * self._shape[1]
        edges = []
        for weight, x in pairs:
            if x in self._roles.parameters or (
                not home and x not in self._beyond
            ):  # the latter is a target of the loss
                continue
            edges.append((weight, x, self._of(x, weight, home, is_image)))  # what is read comes before its reader
        here = self._of(node, None, home, False)
        if node in self._outputs or not home:
            here.results[node] = None
        for weight, x, there in edges:
            if there is not here:
                there.results.setdefault(x)
                single = (
                    weight is not None
                    and here.box.role == "neuron"
                    and there.box.role in ("neuron", "input", "operation")
                )
                single = single and not there.box.pictures
                bundle = here.bundles.setdefault((there.box.key, weight if single else None), _Bundle(there))
                bundle.sources[x] = None
                if weight is not None:
                    bundle.weights[weight] = None

    def _of(self, node: Value, weight: Value | None, reader: str, is_image: bool) -> _Group:
        """The group of a node, or of an operand that a module reads through a weight."""
        if node in self._owners:
            return self._module(self._owners[node])
        if node in self._beyond:
            if node in self._before:
                return self._group(node, "operation", node.label)
            return self._group(None, "loss", self._root.label or "result")
        if is_image or self._depth == "layers" or self._folds(parent(reader)):
            group = self._group(("inputs", parent(reader)), "input", "inputs")
            if is_image and not group.box.pictures:
                group.box.pictures.append(Picture("", "pixels", [], self._shape[1] if self._shape else 1))
            return group
        called = weight.label.rpartition(".")[2].replace("w", "x", 1) if weight else "input"
        identity = ("input", parent(reader), called) if weight else ("input", node)
        return self._group(identity, "input", node.label or called)

    def _folds(self, layer: str) -> bool:
        return len(self._sizes.get(layer, ())) > MOST_NEURONS

    def _module(self, path: str) -> _Group:
        """The group of a neuron, or of its layer where that is one box."""
        layer = parent(path)
        if self._depth == "layers" or self._folds(layer):
            return self._group(("layer", layer), "layer", layer or "layer", layer)
        return self._group(("neuron", path), "neuron", path, path)

    def _group(self, identity: Any, role: str, title: str, path: str = "") -> _Group:
        if identity not in self._known:
            box = Box(f"n{len(self.groups)}", role, title, home=path)
            self._known[identity] = _Group(box, path)
            self.groups.append(self._known[identity])
        return self._known[identity]


def _chosen(groups: list[_Group], roles: Roles, max_edges: int | None, root: str) -> Scene:
    """The scene of the boxes and of the arrows that stay legible; the weakest are counted in their box."""
    backpropagated = roles.root.has_gradient
    fan_ins: dict[str, list[int]] = {}
    for group in groups:
        fan_ins.setdefault(parent(group.path), []).append(sum(map(_is_port, group.bundles.items())))
    arrows: list[Arrow] = []
    drawn: set[str] = set()
    for group in groups:
        bundles = list(group.bundles.items())
        single = [bundle for item in bundles if _is_port(item) for bundle in item[1:]]
        most = max_edges if max_edges is not None else _legible(fan_ins[parent(group.path)])
        kept, left_out = _strongest(single, most, backpropagated)
        if left_out:
            flat = "gradient 0" if backpropagated else "weight 0"
            group.box.lines.append(f"+ {left_out} weaker edges" if kept else f"{left_out} edges, {flat}")
        for bundle in kept:
            (weight,) = bundle.weights
            gradient = roles.gradient(weight)
            details = [weight.label, f"weight = {full(weight.data)}", *gradient_detail(gradient)]
            port = Port("", weight.data, gradient, weight.label, details)
            arrows.append(
                Arrow(
                    f"e{len(arrows)}",
                    bundle.tail.box.key,
                    group.box.key,
                    len(group.box.ports),
                    weight.data,
                    gradient,
                    labels=[weight.label],
                    details=details,
                )
            )
            group.box.ports.append(port)
        for item in bundles:
            if not _is_port(item):
                arrows.append(_together(f"e{len(arrows)}", item[1], group, roles))
        drawn.update(arrow.tail for arrow in arrows)
    shown = [group for group in groups if group.box.role != "input" or group.box.key in drawn]
    inputs = [group for group in groups if group.box.role == "input"]
    if not drawn:
        shown = groups
    notes = []
    if len(shown) < len(groups):
        count = len(shown) - len(groups) + len(inputs)
        notes.append(f"{count} of {len(inputs)} inputs are drawn, the others have only weaker edges")
    scene = Scene([group.box for group in shown], arrows, root, is_network=True, notes=notes)
    _layers_in_columns(scene)
    return scene


def _is_port(item: tuple[Any, _Bundle]) -> bool:
    return item[0][1] is not None


def _legible(fan_ins: Sequence[int]) -> int:
    """The most numbers before each neuron of a layer with which it has no more than can be read; at least 3."""
    return max(k for k in range(3, MOST_PORTS + 1) if k == 3 or sum(min(k, n) for n in fan_ins) <= MOST_PORTS)


def _strongest(bundles: list[_Bundle], most: int, backpropagated: bool) -> tuple[list[_Bundle], int]:
    """Those to draw, in their order, and how many are left out: all when they are few, else those of most effect."""
    if len(bundles) <= most:
        return bundles, 0
    strengths = {id(b): abs(as_float((w.grad or 0) if backpropagated else w.data)) for b in bundles for w in b.weights}
    ranked = sorted(bundles, key=lambda bundle: -strengths[id(bundle)])
    chosen = {id(bundle) for bundle in ranked[:most] if strengths[id(bundle)] != 0}
    return [bundle for bundle in bundles if id(bundle) in chosen], len(bundles) - len(chosen)


def _together(key: str, bundle: _Bundle, head: _Group, roles: Roles) -> Arrow:
    """The arrow of several weights, or of none."""
    weights = list(bundle.weights)
    carriers = weights or list(bundle.sources)
    arrow = Arrow(key, bundle.tail.box.key, head.box.key, labels=[weight.label for weight in weights])
    gradients = [g for x in carriers if (g := roles.gradient(x)) is not None]
    if len(carriers) == 1:
        arrow.gradient = roles.gradient(carriers[0])
        arrow.details = [carriers[0].label] * bool(carriers[0].label)
        arrow.details += [f"data = {full(carriers[0].data)}", *gradient_detail(arrow.gradient)]
    elif weights:
        arrow.details = [f"{len(weights):,} weights, from {weights[0].label} to {weights[-1].label}"]
        if gradients:
            arrow.gradient, arrow.signless = hypot(*map(as_float, gradients)), True
            arrow.details.append(f"length of their gradient = {arrow.gradient!r}")
    return arrow


def _layers_in_columns(scene: Scene) -> None:
    """Each box right of what it reads, the neurons of a layer in one column, inputs right before their reader."""
    place = {box.key: i for i, box in enumerate(scene.boxes)}
    forward = [(a.tail, a.head) for a in scene.arrows if place[a.tail] < place[a.head]]
    tails: dict[str, set[str]] = {}
    for tail, head in forward:
        tails.setdefault(head, set()).add(tail)
    layers: dict[str, list[Box]] = {}
    for box in scene.boxes:
        layers.setdefault(parent(box.home) if box.role == "neuron" else box.key, []).append(box)
    by_key = {box.key: box for box in scene.boxes}
    for box in scene.boxes:
        box.column = max((by_key[tail].column + 1 for tail in tails.get(box.key, ())), default=0)
        together = layers[parent(box.home) if box.role == "neuron" else box.key]
        keys = {each.key for each in together}
        if len(together) > 1 and not any(tails.get(key, set()) & keys for key in keys):
            for each in together:
                each.column = max(other.column for other in together)
    for box in scene.boxes:
        readers = [by_key[head].column for tail, head in forward if tail == box.key]
        if box.role == "input" and readers:
            box.column = min(readers) - 1


def _describe(
    grouping: _Grouping,
    scene: Scene,
    recorded: Sequence[Step],
    roles: Roles,
    names: Names,
    shape: tuple[int, int] | None,
) -> None:
    """Titles, numbers and pictures of the boxes, and what stands above the columns."""
    titles = Titles(names)
    title = {node: titles.of(node, op, operands) for node, op, operands, _ in recorded}
    activation = {node.label: op for node, op, _, _ in recorded if op}
    for group in grouping.groups:
        box, results = group.box, list(group.results)
        if box.role == "loss":
            results, box.is_root = [roles.root], True
            whole = title[roles.root]
            is_clear = len(whole) <= LONGEST_TITLE and whole.count("…") <= 1
            box.title = whole if is_clear else roles.root.label or "result"
            penalised = len(grouping.penalised)
            box.lines += [f"also reads {penalised:,} parameters directly"] * bool(penalised)
        elif box.role == "neuron":
            _describe_neuron(group, scene, roles, names, shape)
            scene.headings[box.column] = _heading(parent(group.path), activation.get(group.path))
        elif box.role == "layer":
            _describe_layer(group, roles, shape)
            scene.headings[box.column] = _heading(group.path, activation.get(results[0].label) if results else None)
        elif box.role == "operation" and results:
            box.title = title[results[0]]
        elif box.pictures:
            box.pictures[0].values = [as_float(x.data) for x in results]
            box.title = "" if len(results) == len(dict.fromkeys(x.label for x in results)) else box.title
        elif box.title != "inputs":
            box.title = names.of(box.title)
        _describe_results(box, results, roles)
    if not any(box.is_root for box in scene.boxes):
        scene.boxes[-1].is_root = True
    find_failures(scene.boxes, scene.arrows)


def _describe_results(box: Box, results: list[Value], roles: Roles) -> None:
    if box.pictures and box.role == "input":
        many = len(results) > box.pictures[0].width * box.pictures[0].height
        box.lines.append(
            f"{len(results):,} numbers" if many else f"{box.pictures[0].height} × {box.pictures[0].width} pixels"
        )
        box.details = [f"{len(results)} inputs"]
    elif len(results) == 1:
        node = results[0]
        box.value, box.gradient, box.node = node.data, roles.gradient(node), node
        word = "activation" if box.role == "neuron" else "data"
        box.details += [node.label] * bool(node.label) + [f"{word} = {full(node.data)}", *gradient_detail(box.gradient)]
    elif results:
        data: list[Number] = [x.data for x in results]
        low, high = number(min(data)), number(max(data))
        box.lines.insert(0, low if low == high else f"{low} … {high}")
        box.details.append(f"{len(results)} numbers from {full(min(data))} to {full(max(data))}")


def _describe_neuron(group: _Group, scene: Scene, roles: Roles, names: Names, shape: tuple[int, int] | None) -> None:
    box = group.box
    box.title = names.of(group.path)
    box.held = [p.label for p in group.parameters]
    weights = [p for p in group.parameters if not p.label.endswith(".b")]
    if shape is not None and len(weights) == shape[0] * shape[1]:
        box.pictures = _pictures(weights, shape[1], roles)
    for p in group.parameters:
        if p.label.endswith(".b"):
            gradient = roles.gradient(p)
            details = [p.label, f"bias = {full(p.data)}", *gradient_detail(gradient)]
            box.ports.append(Port("b", p.data, gradient, p.label, details))
    gradients = [roles.gradient(p) for p in group.parameters]
    if gradients and not any(gradients) and None not in gradients:
        box.lines = [SILENT]


def _describe_layer(group: _Group, roles: Roles, shape: tuple[int, int] | None) -> None:
    box = group.box
    neurons: dict[str, list[Value]] = {}
    for p in group.parameters:
        neurons.setdefault(parent(p.label), []).append(p)
    rows = [[p for p in row if not p.label.endswith(".b")] for row in neurons.values()]
    box.held = [p.label for p in group.parameters]
    count, total = len(neurons), len(group.parameters)
    box.lines.append(f"{count} neuron{'s' * (count != 1)}, {total:,} parameter{'s' * (total != 1)}")
    width = len(rows[0]) if rows else 0
    if width and all(len(row) == width for row in rows):
        kept = rows[: max(1, LARGEST_MATRIX // width)]
        is_drawn = width <= WIDEST_MATRIX or (shape is not None and width == shape[0] * shape[1])
        if is_drawn and len(kept) < len(rows):
            box.lines.append(f"the weights of the first {len(kept)} are drawn")
        if shape is not None and width == shape[0] * shape[1]:
            box.pictures = [
                _mosaic(picture, shape) for picture in _pictures([w for row in kept for w in row], width, roles)
            ]
        elif width <= WIDEST_MATRIX:
            box.pictures = _pictures([w for row in kept for w in row], width, roles)


def _pictures(weights: Sequence[Value], width: int, roles: Roles) -> list[Picture]:
    labels = [w.label for w in weights]
    pictures = [Picture("weights", "weights", [as_float(w.data) for w in weights], width, labels)]
    gradients = [roles.gradient(w) for w in weights]
    if None not in gradients:
        slopes = [as_float(g) for g in gradients if g is not None]
        pictures.append(Picture("gradients", "effects", slopes, width, labels))
    return pictures


def _mosaic(picture: Picture, shape: tuple[int, int]) -> Picture:
    """Rows of a matrix that each look at an image, as images side by side, a square apart."""
    height, width = shape
    count = len(picture.values) // (height * width)
    across = max(1, min(count, WIDEST_MATRIX // (width + 1), round((count * height / width) ** 0.5 * 2)))
    down = -(-count // across)
    values, labels = [nan] * (down * (height + 1) * across * (width + 1)), picture.labels
    places = [""] * len(values)
    for i, value in enumerate(picture.values):
        image, pixel = divmod(i, height * width)
        row = image // across * (height + 1) + pixel // width
        at = row * across * (width + 1) + image % across * (width + 1) + pixel % width
        values[at], places[at] = value, labels[i]
    return Picture(picture.title, picture.kind, values, across * (width + 1), places)


def _heading(layer: str, op: Operation | None) -> str:
    layer = layer or "layer"
    if op is ops.dot:
        return f"{layer}: w·x + b"
    if op is ops.relu_dot:
        return f"{layer}: relu(w·x + b)"
    return f"{layer}: {op.name}(w·x + b)" if op is not None and op.arity == 1 else layer


def _computed_from(recorded: Sequence[Step], sources: Collection[Value]) -> set[Value]:
    found = set(sources)
    for node, _, operands, _ in recorded:
        if not found.isdisjoint(x for x in operands if type(x) is Value):
            found.add(node)
    return found


def _needed_by(recorded: Sequence[Step], results: Collection[Value]) -> set[Value]:
    found: set[Value] = set()
    for node, _, operands, _ in reversed(recorded):
        if node in results or node in found:
            found.update(x for x in operands if type(x) is Value)
    return found


def _weights(
    node: Value, op: Operation, operands: Sequence[Any], parameters: Collection[Value]
) -> list[tuple[Value | None, Value]]:
    """(weight, operand) for each operand that is a node; the weight is the parameter that multiplies it, or None."""
    if op is ops.dot or op is ops.relu_dot:
        weights, _, inputs = ops.dot_operands(operands)
        pairs = list(zip(weights, inputs, strict=True))
        return [(w if w in parameters else None, x) for w, x in pairs]
    if op is ops.mul:
        for w, x in (operands, reversed(operands)):
            if w in parameters and type(x) is Value:
                return [(w, x)]
    return [(None, x) for x in operands if type(x) is Value]
