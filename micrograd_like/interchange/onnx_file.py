"""Any traced function as an ONNX file (extra `onnx`): a graph of tensors with one axis for the samples of a batch.

A program is a list of scalar lines. Those of one kind that need nothing from each other become one operation on a tensor
of shape (batch, lines), so that a layer of neurons is one MatMul again, whatever it was written as. What depends on no
input is computed here, in 64 bits, and stands in the file as numbers.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from math import prod
from typing import Any, Literal

from micrograd_like import ops
from micrograd_like._extras import require
from micrograd_like.checks import shown
from micrograd_like.compiler.flow import Line, evaluate
from micrograd_like.compiler.loops import lines
from micrograd_like.compiler.spaces import CONST, INPUT, NODE, PARAM, SHARED, pack, space_of, unpack
from micrograd_like.compiler.trace import COPY
from micrograd_like.files import replace_file
from micrograd_like.interchange.source import Source, identifiers, source
from micrograd_like.ops import Operation

OPSET, IR_VERSION = 18, 8  # what onnxruntime 1.14 of 2023 reads, and all that came after it

# The rows that are one operation of ONNX on single operands. Rows on any number of operands are written in `_Graph`, and
# rows that have an expansion are exported as that.
FORMS = {
    ops.add: "Add",
    ops.sub: "Sub",
    ops.mul: "Mul",
    ops.div: "Div",
    ops.neg: "Neg",
    ops.pow: "Pow",
    ops.exp: "Exp",
    ops.log: "Log",
    ops.sqrt: "Sqrt",
    ops.sin: "Sin",
    ops.cos: "Cos",
    ops.tanh: "Tanh",
    ops.sigmoid: "Sigmoid",
    ops.softplus: "Softplus",
    ops.relu: "Relu",
    ops.abs: "Abs",
    ops.where: "Where",
}
LISTS = {ops.dot: "ReduceSum", ops.sum: "ReduceSum", ops.max: "ReduceMax", ops.min: "ReduceMin", ops.gather: "Gather"}


def to_onnx(
    program: Any,
    path: str | os.PathLike[str],
    *,
    dtype: Literal["float32", "float64"] = "float32",
    **inputs: int | tuple[int, ...],
) -> None:
    """Write a compiled program, or a model, as an ONNX file: opset 18, IR version 8, any number of samples at once.

    The file's inputs have the names of the program's, each with an axis for the samples in front; what it computes are
    its outputs, `output`, or `output_0`, `output_1`, … of a function that returns several. Everything that `compile`
    takes can be exported, also losses. The file is checked by `onnx.checker` before an older one is replaced.

    Results differ from ours in their last digits: sums are added up in another order, and onnxruntime's optimizations,
    all of which may stay on, fuse operations. In float64, too, its sigmoid and softplus are off by 1e-16, not by as much
    of their value: they are 0 for -40. Its max and min do not keep a nan.

    >>> import tempfile
    >>> import onnx
    >>> from micrograd_like import MLP
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     to_onnx(MLP(2, [3, 1], rng=0), f"{folder}/model.onnx")
    ...     [node.op_type for node in onnx.load(f"{folder}/model.onnx").graph.node]
    ['MatMul', 'Relu', 'MatMul', 'Squeeze']

    Args:
        program: what `compile` returns; or an `MLP`, a `Layer` or a `Neuron`, whose input is called `x`; or any other
            `Module`, called with `inputs`.
        path: where to write.
        dtype: the type of all numbers; what is a whole number, such as a token, is given as this type, too.
        inputs: per argument of a `Module` its size or its shape, as for `compile`.

    Raises:
        TypeError: it is neither a program nor a model.
        ValueError: it has no inputs; an operation has no form in ONNX and no expansion; or the type is another one.
        ImportError: onnx is not installed.
    """
    if dtype not in ("float32", "float64"):
        raise ValueError(f"expected dtype as 'float32' or 'float64', got {shown(dtype)}")
    onnx, numpy = require("onnx", extra="onnx"), require("numpy", extra="onnx")
    found = source(program, inputs)
    if not found.parts.shapes:
        raise ValueError("expected a program with inputs; what depends on none is a number, not a graph")
    graph = _Graph(onnx, numpy, dtype)
    model = graph.model(found)
    onnx.checker.check_model(model, full_check=True)
    replace_file(path, model.SerializeToString())


class _Graph:
    """An ONNX graph while it is being written. A column of a tensor of shape (batch, columns) is one scalar's values."""

    def __init__(self, onnx: Any, numpy: Any, dtype: str) -> None:
        self.onnx, self.numpy, self.dtype = onnx, numpy, numpy.dtype(dtype)
        self.type = onnx.helper.np_dtype_to_tensor_dtype(self.dtype)
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.names: set[str] = set()
        self.widths: dict[str, int] = {}  # the columns of each tensor
        self.places: dict[int, tuple[str, int]] = {}  # operand → tensor and column
        self.numbers: dict[int, float] = {}  # operand → number, where it depends on no input
        self.made: dict[Any, str] = {}  # what was put together already

    # The whole

    def model(self, found: Source) -> Any:
        """The whole model."""
        helper, parts = self.onnx.helper, found.parts
        leaves = list(_leaves(found.structure))
        given = identifiers(parts.shapes)
        plain = ["output"] if len(leaves) == 1 else [f"output_{i}" for i in range(len(leaves))]
        returned = identifiers(plain, taken=given)
        self.names |= {*given, *returned}
        self.batch = given[0]
        start = pack(INPUT, 0)
        for name, shape in zip(given, parts.shapes.values(), strict=True):
            self.input(name, shape, start)
            start += prod(shape)
        self.numbers |= _known(found)
        self.lines(lines(parts.sample.terms))
        shapes: list[tuple[int, ...]] = []
        for name, leaf in zip(returned, leaves, strict=True):
            several = [leaf] if isinstance(leaf, int) else leaf
            columns = self.columns([pack(NODE, parts.sample.outputs + k) for k in several])
            if isinstance(leaf, int):
                self.put("Squeeze", columns, self.integers(1), result=name)
            else:
                self.put("Identity", columns, result=name)
            shapes.append(() if isinstance(leaf, int) else (len(leaf),))

        def described(names: Sequence[str], shapes: Iterable[tuple[int, ...]]) -> list[Any]:
            return [
                helper.make_tensor_value_info(name, self.type, ["batch", *shape])
                for name, shape in zip(names, shapes, strict=True)
            ]

        graph = helper.make_graph(
            self.nodes,
            "micrograd_like",
            described(given, parts.shapes.values()),
            described(returned, shapes),
            self.initializers,
        )
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="micrograd_like")

    def input(self, name: str, shape: tuple[int, ...], start: int) -> None:
        """An input's numbers as the columns of one tensor."""
        flat = name
        if not shape:
            flat = self.put("Unsqueeze", name, self.integers(1))
        elif len(shape) > 1:
            flat = self.put("Reshape", name, self.integers(0, prod(shape)))
        self.columns_are(flat, range(start, start + prod(shape)))

    # Parts of a graph

    def put(self, kind: str, *inputs: str, result: str | None = None, **attributes: Any) -> str:
        """A new operation; the name of its result."""
        name = result or self.name(kind.lower())
        self.nodes.append(self.onnx.helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def name(self, stem: str) -> str:
        n = 1
        while (name := f"{stem}_{n}") in self.names:
            n += 1
        self.names.add(name)
        return name

    def array(self, data: Any, stem: str) -> str:
        """An array of the file's own; the same one has one name."""
        key = str(data.dtype), data.shape, data.tobytes()
        if key not in self.made:
            self.made[key] = self.name(stem)
            self.initializers.append(self.onnx.numpy_helper.from_array(data, self.made[key]))
        return self.made[key]

    def integers(self, *xs: int) -> str:
        return self.array(self.numpy.array(xs, dtype=self.numpy.int64), "integers")

    def floats(self, xs: Any, stem: str = "numbers") -> str:
        """Numbers of the file's type: what is finite stays so."""
        data = self.numpy.asarray(xs, dtype=self.numpy.float64)
        most = self.numpy.finfo(self.dtype).max
        data = self.numpy.where(self.numpy.isfinite(data), self.numpy.clip(data, -most, most), data)
        return self.array(data.astype(self.dtype), stem)

    def columns_are(self, tensor: str, operands: Sequence[int]) -> None:
        self.widths[tensor] = len(operands)
        for column, ref in enumerate(operands):
            self.places[_stored(ref)] = tensor, column

    # Operands

    def known(self, ref: int) -> float | None:
        """The number that an operand is for all samples; None for one that depends on an input."""
        return self.numbers.get(_stored(ref))

    def operand(self, refs: Sequence[int], stem: str = "numbers") -> str:
        """Operands of several lines side by side: a tensor of shape (lines,), or (batch, lines)."""
        numbers = [self.known(ref) for ref in refs]
        return self.columns(refs) if None in numbers else self.floats(numbers, stem)

    def columns(self, refs: Sequence[int]) -> str:
        """Operands side by side, as a tensor of shape (batch, operands)."""
        key = tuple(map(_stored, refs))
        if key in self.made:
            return self.made[key]
        numbers = {ref: x for ref in refs if (x := self.known(ref)) is not None}
        if numbers:  # as columns that are the same for all samples
            size = self.put("Shape", self.batch, start=0, end=1)
            size = self.put("Concat", size, self.integers(len(numbers)), axis=0)
            spread = self.put("Expand", self.floats([list(numbers.values())]), size)
            self.widths[spread] = len(numbers)
        own = {ref: (spread, k) for k, ref in enumerate(numbers)} if numbers else {}
        places = [own[ref] if ref in own else self.places[_stored(ref)] for ref in refs]
        tensors = list(dict.fromkeys(tensor for tensor, _ in places))
        start, starts = 0, {}
        for tensor in tensors:
            starts[tensor] = start
            start += self.widths[tensor]
        joined = tensors[0]
        if len(tensors) > 1 and (joined := self.made.get(("joined", *tensors), "")) == "":
            joined = self.made["joined", *tensors] = self.put("Concat", *tensors, axis=1)
        which = [starts[tensor] + column for tensor, column in places]
        if which != list(range(start)):
            joined = self.put("Gather", joined, self.integers(*which), axis=1)
        self.widths[joined] = len(refs) if which != list(range(start)) else start
        self.made[key] = joined
        return joined

    def table(self, rows: Sequence[Sequence[int]], stem: str = "numbers") -> str:
        """The lists of several lines: a tensor of shape (lines, elements), or (batch, lines, elements)."""
        refs = [ref for row in rows for ref in row]
        numbers = [self.known(ref) for ref in refs]
        if None not in numbers:
            return self.floats(self.numpy.reshape(numbers, (len(rows), -1)), stem)
        return self.put("Reshape", self.columns(refs), self.integers(0, len(rows), len(rows[0])))

    # Lines

    def lines(self, several: Sequence[Line]) -> None:
        """All lines of a sample, level by level: a line's level is one above the highest of its operands'."""
        levels: dict[int, int] = {}
        groups: dict[Any, list[tuple[Line, list[tuple[int, ...]]]]] = {}
        for line in several:
            elements = list(line.elements())
            refs = [*line.scalars, *[ref for each in elements for ref in each]]
            if (same := _same(line)) is not None:
                refs = [same]
                if (number := self.known(refs[0])) is not None:
                    self.numbers[_stored(line.out)] = number
                    continue
            levels[_stored(line.out)] = level = 1 + max(levels.get(_stored(ref), 0) for ref in refs)
            kinds = tuple(self.known(ref) is None for ref in line.scalars) if line.op.arity else ()
            key = level, line.op, len(line.scalars), kinds, len(elements), len(line.strided)
            groups.setdefault(key, []).append((line, elements))
        for (_, op, *_), group in sorted(groups.items(), key=lambda item: item[0][0]):
            for own in self.by_input(group) if op is ops.dot else [group]:
                self.group(op, [line for line, _ in own], [elements for _, elements in own])

    def by_input(self, group: list[Any]) -> list[list[Any]]:
        """Dot products by what they look at, where many look at the same: each is a product of matrices."""
        looks: dict[Any, list[Any]] = {}
        for line, elements in group:
            if (seen := self.seen(elements)) is None:
                return [group]
            looks.setdefault(seen, []).append((line, elements))
        return list(looks.values()) if 4 * len(looks) <= max(len(group), 16) else [group]

    def seen(self, elements: Sequence[tuple[int, ...]]) -> tuple[int, ...] | None:
        """The list of a dot product that is beside one of numbers; None where there is no such list."""
        for numbers, others in zip(*elements, strict=True), zip(*[(x, w) for w, x in elements], strict=True):
            if all(self.known(ref) is not None for ref in numbers) and all(self.known(ref) is None for ref in others):
                return tuple(others)
        return None

    def group(self, op: Operation, several: list[Line], elements: list[list[tuple[int, ...]]]) -> None:
        """Lines of one kind as operations on tensors."""
        if _same(several[0]) is not None:
            for line in several:
                if (same := _same(line)) is not None:
                    self.places[_stored(line.out)] = self.places[_stored(same)]
            return
        heads = [[line.scalars[k] for line in several] for k in range(len(several[0].scalars))]
        lists = [[[each[k] for each in own] for own in elements] for k in range(len(several[0].strided))]
        if op is ops.gather:
            result = self.picked(heads[0], lists[0])
        elif op in LISTS:
            result = self.reduced(op, heads, lists)
        elif op in FORMS:
            result = self.simple(op, [self.operand(refs) for refs in heads])
        else:
            raise ValueError(f"{op!r} has no form in ONNX; give it an expansion, or a line in interchange/onnx_file.py")
        self.columns_are(result, [line.out for line in several])

    def simple(self, op: Operation, operands: list[str]) -> str:
        if op is ops.where:
            operands[0] = self.put("Greater", operands[0], self.floats(0.0))
        if op is ops.softplus and self.dtype == "float64":  # onnxruntime's is inf from 710 on
            (x,) = operands
            return self.put("Add", self.put("Relu", x), self.put("Softplus", self.put("Neg", self.put("Abs", x))))
        return self.put(FORMS[op], *operands)

    def reduced(self, op: Operation, heads: list[list[int]], lists: list[list[list[int]]]) -> str:
        """A dot product, a sum, the largest or the smallest of each list."""
        pairs = [list(zip(*rows, strict=True)) for rows in zip(*lists, strict=True)]
        seen = {self.seen(each) for each in pairs} if op is ops.dot else set()
        if len(seen) == 1 and (inputs := seen.pop()) is not None:
            weights = [[self.known(w if self.known(w) is not None else x) for w, x in each] for each in pairs]
            result = self.put("MatMul", self.columns(inputs), self.floats(self.numpy.array(weights).T, "weights"))
        else:
            tensors = [self.table(rows) for rows in lists]
            inside = self.put("Mul", *tensors) if op is ops.dot else tensors[0]
            result = self.put(LISTS[op], inside, self.integers(-1), keepdims=0)
        if not heads or all(self.known(ref) == 0.0 for ref in heads[0]):
            return result
        return self.put("Add", result, self.operand(heads[0], "biases"))

    def picked(self, index: list[int], lists: list[list[int]]) -> str:
        """Of each list the element with the number nearest to the index; nan where none is nearer than 1/2."""
        count = len(lists[0])
        asked = self.columns(index)
        nearest = self.put("Round", asked)
        near = self.put("Less", self.put("Abs", self.put("Sub", asked, nearest)), self.floats(0.5))
        inside = self.put(
            "And",
            self.put("GreaterOrEqual", nearest, self.floats(0.0)),
            self.put("LessOrEqual", nearest, self.floats(count - 1.0)),
        )
        is_there = self.put("And", near, inside)
        safe = self.put("Cast", self.put("Where", is_there, nearest, self.floats(0.0)), to=self.onnx.TensorProto.INT64)
        place = self.put("Add", safe, self.integers(*range(0, count * len(lists), count)))
        flat = [ref for row in lists for ref in row]
        numbers = [self.known(ref) for ref in flat]
        if None in numbers:
            found = self.put("GatherElements", self.columns(flat), place, axis=1)
        else:
            found = self.put("Gather", self.floats(numbers, "table"), place, axis=0)
        return self.put("Where", is_there, found, self.floats(float("nan")))


def _known(found: Source) -> dict[int, float]:
    """The operands that are the same number for all samples: parameters, constants, and what is computed of them."""
    parts = found.parts
    known = {pack(PARAM, k): x for k, x in enumerate(found.numbers)}
    known |= {pack(CONST, k): x for k, x in enumerate(parts.constants)}
    own = dict(known)
    for line in lines(parts.shared.terms):
        if (same := _same(line)) is not None:
            own[_stored(line.out)] = own[_stored(same)]
            continue
        elements = [[own[_stored(ref)] for ref in refs] for refs in line.elements()]
        own[_stored(line.out)] = evaluate(line.op, [own[_stored(ref)] for ref in line.scalars], elements)
    return known | {pack(SHARED, ref): x for ref, x in own.items() if space_of(ref) is NODE}


def _same(line: Line) -> int | None:
    """The operand that a line only repeats: what a copy copies, and the value that a composed row has already."""
    return line.scalars[0] if line.op is COPY else line.value


def _stored(ref: int) -> int:
    """The operand with the space where it lies: an inactive node lies where the others do."""
    space, index = unpack(ref)
    return pack(space.storage, index)


def _leaves(structure: Any) -> Iterator[Any]:
    """The outputs of a program: the number of a value, or the numbers of a list of values."""
    if isinstance(structure, int) or all(isinstance(x, int) for x in structure):
        yield structure
    else:
        for x in structure:
            yield from _leaves(x)
