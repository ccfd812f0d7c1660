"""What the page runs: a program of the table's rows on one memory, from a model's trace or from a recorded graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from micrograd_like import ieee, ops
from micrograd_like.compiler.spaces import CONST, INPUT, NODE, PARAM, space_of, unpack
from micrograd_like.compiler.trace import Trace, trace
from micrograd_like.engine import Value
from micrograd_like.graph import topological
from micrograd_like.ops import Operation
from micrograd_like.player.javascript import exact, kernel


@dataclass
class Line:
    """One scalar computation: a row of the table and where its operands stand in memory."""

    op: Operation
    operands: tuple[int, ...]
    label: str = ""


@dataclass
class Program:
    """Lines that compute a loss. Memory: the parameters, the inputs, the constants, then one number for each line."""

    names: list[str]
    start: list[float]
    inputs: int
    constants: list[float]
    lines: list[Line]
    outputs: list[int]  # where the loss stands, then the other outputs
    active: list[bool] = field(init=False)  # by place: whether it depends on a parameter

    def __post_init__(self) -> None:
        self.active = [True] * len(self.names) + [False] * (self.inputs + len(self.constants))
        for line in self.lines:
            self.active.append(any(self.active[x] for x in line.operands))

    @property
    def base(self) -> int:
        """The place of the first line's number."""
        return len(self.names) + self.inputs + len(self.constants)

    def to_json(self, kernels: Kernels) -> dict[str, Any]:
        """The program as plain lists; a line is [the number of its kernel, operand, operand, …]."""
        lines = []
        for line in self.lines:
            key = kernels.number(line.op, [self.active[x] for x in line.operands])
            lines.append([key, *line.operands])
        return {
            "start": list(map(exact, self.start)),
            "inputs": self.inputs,
            "constants": list(map(exact, self.constants)),
            "lines": lines,
            "outputs": self.outputs,
            "backward": self.backward_order(),
        }

    def backward_order(self) -> list[int]:
        """The lines in the order in which the engine's backward pass meets them: so every sum has its bits."""
        memory: list[Any] = [*map(Value, self.start), *[1.0] * self.inputs, *self.constants]
        line_of: dict[Value, int] = {}
        for n, line in enumerate(self.lines):
            memory.append(line.op(*[memory[x] for x in line.operands]))
            if type(memory[-1]) is Value:
                line_of[memory[-1]] = n
        loss = memory[self.outputs[0]]
        return [line_of[node] for node in reversed(topological(loss))] if type(loss) is Value else []

    def run(self, inputs: Sequence[float] = ()) -> list[float]:
        """All numbers of the memory: the program in plain Python."""
        memory = [*self.start, *inputs, *self.constants]
        for line in self.lines:
            memory.append(line.op.function(*[memory[x] for x in line.operands]))
        return memory


class Kernels:
    """The rows that the programs of a page use, each once for each pattern of operands, as JavaScript."""

    def __init__(self) -> None:
        self.numbers: dict[tuple[Operation, tuple[bool, ...]], int] = {}

    def number(self, op: Operation, active: Sequence[bool]) -> int:
        """The number of a row's kernel for operands of which these depend on a parameter."""
        return self.numbers.setdefault((op, tuple(active)), len(self.numbers))

    def to_javascript(self) -> str:
        """The list of all kernels, in the order of their numbers."""
        rows = [f"  {kernel(op, len(active), active)}, // {op.name}" for op, active in self.numbers]
        return "[\n" + "\n".join(rows) + "\n]"


def of_model(
    model: Callable[[Any], Any],
    parameters: Mapping[str, Value],
    loss: Callable[[Any, Any], Any],
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
) -> Program:
    """The program of one sample: its loss, then the model's outputs. Inputs are the sample's, flat, then its target.

    Raises:
        TraceError: the model or the loss does what cannot be traced, such as an `if` on a number.
    """

    def both(x: Any, y: Any) -> tuple[Any, Any]:
        output = model(x)
        return loss(output, y), output

    found = trace(both, list(parameters.values()), {"x": shapes[0], "y": shapes[1]})
    names = list(parameters)
    return _of_trace(found, names, [ieee.as_float(p.data) for p in parameters.values()], sum(map(prod, shapes)))


def _of_trace(found: Trace, names: list[str], start: list[float], inputs: int) -> Program:
    constants = list(dict.fromkeys(map(_Exact, found.constants)))
    place_of = {x: i for i, x in enumerate(constants)}
    first = {PARAM: 0, INPUT: len(names), CONST: len(names) + inputs}
    places: dict[int, int] = {}  # by event
    lines: list[Line] = []

    def place(ref: int) -> int:
        space, index = unpack(ref)
        if space == NODE:
            return places[index]
        if space == CONST:
            index = place_of[_Exact(found.constants[index])]
        return first[space] + index

    base = len(names) + inputs + len(constants)
    for n in _needed(found):
        places[n] = base + len(lines)
        lines.append(Line(found.operations[n], tuple(map(place, found.operands[n]))))
    return Program(names, start, inputs, [float(x) for x in constants], lines, [place(ref) for ref in found.outputs])


class _Exact(float):
    """A float that is equal to another only if all its bits are: 0.0 and -0.0 are two constants."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float) and self.hex() == other.hex()

    def __hash__(self) -> int:
        return hash(self.hex())


def _needed(found: Trace) -> list[int]:
    """The events that the outputs depend on, composed rows as one, in the order in which they were recorded."""
    needed: set[int] = set()
    stack = [ref for ref in found.outputs if space_of(ref) == NODE]
    while stack:
        n = stack.pop()  # a node's operand is its number
        if n not in needed:
            needed.add(n)
            stack += [ref for ref in found.operands[n] if space_of(ref) == NODE]
    return sorted(needed)


def of_graph(loss: Value) -> tuple[Program, list[Value]]:
    """The program of a recorded graph, its leaves as parameters, and the Values of its memory's numbers in order.

    Constants have no Value; their place in the second list is taken by one that stands for them.
    """
    order = topological(loss)
    leaves: dict[Value, None] = {}
    constants: dict[_Exact, None] = {}
    for node in order:
        for x in node.operands:
            if type(x) is not Value:
                constants[_Exact(ieee.as_float(x))] = None
            elif x.op is None:
                leaves[x] = None
    if not order:
        leaves[loss] = None
    places: dict[Value, int] = {x: i for i, x in enumerate(leaves)}
    constant_places = {x: len(leaves) + i for i, x in enumerate(constants)}
    base = len(leaves) + len(constants)
    lines: list[Line] = []
    for node in order:
        operands = [places[x] if type(x) is Value else constant_places[_Exact(ieee.as_float(x))] for x in node.operands]
        places[node] = base + len(lines)
        lines.append(Line(node.op, tuple(operands), node.label))
    names = unique(leaf.label or f"leaf {i + 1}" for i, leaf in enumerate(leaves))
    start = [ieee.as_float(leaf.data) for leaf in leaves]
    program = Program(names, start, 0, [float(x) for x in constants], lines, [places[loss]])
    return program, [*leaves, *map(Value, constants), *order]


def unique(names: Iterable[str]) -> list[str]:
    """The same names, the second and later uses of one with their number."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found


@dataclass
class Neuron:
    """A neuron of a program: the line of its sum, that of its activation, and where its weights come from."""

    name: str  # the library's: layers[0].neurons[2]
    sum: int  # the line's number
    out: int  # the line of its activation; the same one without
    weights: list[int]  # places of parameters
    sources: list[int]  # places of its inputs
    bias: int


def layers_of(program: Program) -> list[list[Neuron]]:
    """The program's neurons, layer by layer; empty where it is not made of whole layers.

    A neuron is a `dot` (or `relu_dot`) of parameters with other numbers, and the function of one number that alone
    reads it. Neurons with the same inputs are a layer. A parameter that two neurons share has no place in a drawing of
    neurons, so there are none then.
    """
    parameters, base = len(program.names), program.base
    readers: dict[int, list[int]] = {}
    for n, line in enumerate(program.lines):
        for x in set(line.operands):
            readers.setdefault(x, []).append(n)
    found: dict[tuple[int, ...], list[Neuron]] = {}
    used: set[int] = set()
    for n, line in enumerate(program.lines):
        if line.op not in (ops.dot, ops.relu_dot):
            continue
        weights, bias, sources = ops.dot_operands(line.operands)
        if any(w >= parameters for w in weights) or bias >= parameters:
            continue
        if not used.isdisjoint((*weights, bias)):
            return []
        used.update((*weights, bias))
        out = n
        if line.op is ops.dot and len(after := readers.get(base + n, [])) == 1 and base + n not in program.outputs:
            follower = program.lines[after[0]]
            if len(follower.operands) == 1 and base + after[0] not in program.outputs[:1]:
                out = after[0]
        name = program.names[bias].removesuffix(".b")
        found.setdefault(sources, []).append(Neuron(name, n, out, list(weights), list(sources), bias))
    if len(used) != parameters:
        return []
    layers = list(found.values())
    before = set(range(parameters, parameters + program.inputs))
    for layer in layers:
        if not before.issuperset(layer[0].sources):
            return []
        before = {base + neuron.out for neuron in layer}
    return layers
