"""Hypothesis strategies: values, whole programs, networks and data sets that shrink to something a reader understands."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from micrograd_like import ops
from micrograd_like._extras import MissingExtraError
from micrograd_like.checks import shown
from micrograd_like.engine import Value
from micrograd_like.nn import MLP
from micrograd_like.ops import Operation

try:
    from hypothesis import strategies as st
    from hypothesis.strategies import SearchStrategy
except ImportError as error:
    raise MissingExtraError("hypothesis", "testing") from error

LARGEST = 10.0  # of a drawn number
KEPT_BELOW = 1000.0  # of a computed number: a larger operand is scaled before it is used
SMALLEST_INSIDE = 2.0**-10  # how far inside its domain an operand is at least

SPECIAL = [
    *(0.0, -0.0, 5e-324, -5e-324, 2.2250738585072014e-308, -2.2250738585072014e-308),
    *(1.0, -1.0, 1.0 + 2**-52, 1.0 - 2**-53, 0.5, 2.0**53, -(2.0**53)),
    *(1e308, -1e308, 1.7976931348623157e308, -1.7976931348623157e308, math.inf, -math.inf, math.nan),
]


def _strategy(x: Any) -> SearchStrategy[Any]:
    """A strategy as it is, a value as the strategy of that value alone."""
    return x if isinstance(x, SearchStrategy) else st.just(x)


def _floats() -> SearchStrategy[float]:
    return st.floats(-LARGEST, LARGEST, allow_subnormal=False, allow_nan=False).map(_without_dust)


def _without_dust(x: float) -> float:
    """x, or 0 where it is so small that its square vanishes beside everything else."""
    return x if abs(x) > 1e-6 else 0.0


def special_floats() -> SearchStrategy[float]:
    """Draw the floats where arithmetic goes wrong: ±0, subnormals, neighbours of 1, huge ones, ±inf and nan.

    >>> from hypothesis import given
    >>> @given(special_floats())
    ... def test(x):
    ...     assert x + 0.0 == x or x != x
    >>> test()
    """
    return st.sampled_from(SPECIAL)


def away_from_kinks(margin: float = 0.125, *, max_value: float = LARGEST) -> SearchStrategy[float]:
    """Draw floats of either sign whose size is at least `margin` and at most `max_value`; none has to be thrown away.

    >>> from hypothesis import given
    >>> @given(away_from_kinks(0.5))
    ... def test(x):
    ...     assert abs(x) >= 0.5
    >>> test()

    Raises:
        ValueError: the margin or max_value is not a finite number above 0, or the margin is above max_value.
    """
    for name, size in (("margin", margin), ("max_value", max_value)):
        if not isinstance(size, (int, float)) or not 0 < size <= sys.float_info.max:
            raise ValueError(f"expected {name} as a finite number above 0, got {shown(size)}")
    if margin > max_value:
        raise ValueError(f"expected a margin of at most max_value, got {margin!r} and {max_value!r}")
    sizes = st.floats(margin, max_value)
    return st.builds(math.copysign, sizes, st.sampled_from([1.0, -1.0]))


def values(*, data: Any = None, labels: Any = "") -> SearchStrategy[Value]:
    """Draw leaves. `data` and `labels` are values or strategies; data by default floats of a size up to 10.

    >>> from hypothesis import given
    >>> @given(values(data=st.integers(0, 3), labels="x"))
    ... def test(x):
    ...     assert x.data in (0.0, 1.0, 2.0, 3.0) and x.label == "x"
    >>> test()
    """
    return st.builds(Value, _floats() if data is None else _strategy(data), label=_strategy(labels))


Operand = int | float  # the number of an earlier result (inputs first), or a constant


@dataclass(frozen=True)
class Expression:
    """Run a program at a point. Calling it runs it on other inputs; `repr` is Python code that can be pasted.

    >>> square = Expression((3.0,), ((ops.mul, (0, 0)),))
    >>> square(2.0), square(*square.values).data
    (4.0, 9.0)
    >>> print(square)
    def f(x0):
        v0 = x0 * x0
        return v0
    y = f(Value(3.0))

    Attributes:
        inputs: the point
        steps: for each, an operation and its operands: the number of an input or of an earlier step, or a float
    """

    inputs: tuple[float, ...]
    steps: tuple[tuple[Operation, tuple[Operand, ...]], ...]

    def __call__(self, *inputs: Any) -> Any:
        """The last step's result on these inputs: Values, or numbers of any carrier."""
        made = list(inputs)
        for op, operands in self.steps:
            made.append(op(*(made[x] if isinstance(x, int) else x for x in operands)))
        return made[-1]

    @property
    def values(self) -> list[Value]:
        """The inputs as fresh leaves, labelled as in the code."""
        return [Value(x, label=f"x{i}") for i, x in enumerate(self.inputs)]

    def __repr__(self) -> str:
        names = [f"x{i}" for i in range(len(self.inputs))]
        lines = []
        for i, (op, operands) in enumerate(self.steps):
            texts = [names[x] if isinstance(x, int) else repr(x) for x in operands]
            lines.append(f"    v{i} = {_code(op, texts)}")
            names.append(f"v{i}")
        arguments = ", ".join(names[: len(self.inputs)])
        point = ", ".join(f"Value({x!r})" for x in self.inputs)
        body = "\n".join([*lines, f"    return {names[-1]}"])
        return f"def f({arguments}):\n{body}\ny = f({point})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))  # Hypothesis would print a data class field by field

    def to_json(self) -> dict[str, Any]:
        """The same as plain lists, numbers exact as hexadecimal texts."""
        steps = [[op.name, [x if isinstance(x, int) else x.hex() for x in operands]] for op, operands in self.steps]
        return {"inputs": [x.hex() for x in self.inputs], "steps": steps}

    @classmethod
    def from_json(cls, json: dict[str, Any]) -> Expression:
        """The reverse of `to_json`. Raises ValueError for an operation that the table does not have."""
        steps = tuple(
            (ops.by_name(name), tuple(x if isinstance(x, int) else float.fromhex(x) for x in operands))
            for name, operands in json["steps"]
        )
        return cls(tuple(map(float.fromhex, json["inputs"])), steps)


def _code(op: Operation, operands: Sequence[str]) -> str:
    if op.arity == 2 and not op.symbol.isalnum():
        return f"{operands[0]} {op.symbol} {operands[1]}"
    return f"ops.{op.name}({', '.join(operands)})"


class _Builder:
    """Grows an expression step by step and knows every number on the way, so that none leaves its domain."""

    def __init__(self, inputs: Sequence[float], margin: float) -> None:
        self.inputs = tuple(inputs)
        self.numbers = list(inputs)
        self.steps: list[tuple[Operation, tuple[Operand, ...]]] = []
        self.margin = margin

    def add(self, op: Operation, operands: Sequence[Operand]) -> int:
        self.numbers.append(op.function(*map(self._number, operands)))
        self.steps.append((op, tuple(operands)))
        return len(self.numbers) - 1

    def apply(self, op: Operation, operands: Sequence[int]) -> int:
        """The operation on operands that are first brought into its domain, away from its kinks, to a sane size."""
        domains = op.domain if len(op.domain) == len(operands) else op.domain * len(operands)
        tamed: list[Operand] = [self._inside(x, domain) for x, domain in zip(operands, domains, strict=True)]
        if not abs(op.function(*map(self._number, tamed))) < KEPT_BELOW:
            scaled = [self._scaled(x) for x in operands]
            tamed = [self._inside(x, domain) for x, domain in zip(scaled, domains, strict=True)]
        if self.margin and op.switches:
            tamed = self._off_the_kinks(op, tamed)
        if not self._fits(op, tamed):  # undefined even so, such as picking the third of two
            return operands[0]
        return self.add(op, tamed)

    def _fits(self, op: Operation, operands: Sequence[Operand]) -> bool:
        numbers = [self._number(x) for x in operands]
        switches = op.switches(*numbers) if self.margin and op.switches else []
        return math.isfinite(op.function(*numbers)) and all(abs(s) >= self.margin for s in switches)

    def _number(self, operand: Operand) -> float:
        return self.numbers[operand] if isinstance(operand, int) else operand

    def _scaled(self, x: int) -> int:
        """x brought to a size of at most 1 by a constant factor."""
        size = abs(self.numbers[x])
        return x if size <= 1 else self.add(ops.mul, (x, 10.0 ** -math.ceil(math.log10(size))))

    def _inside(self, x: int, domain: str) -> int:
        number, least = self.numbers[x], max(self.margin, SMALLEST_INSIDE)
        if domain == "positive" and number < least:
            return self.add(ops.add, (x, float(math.ceil(1 - number))))
        if domain == "nonzero" and abs(number) < least:
            return self.add(ops.add, (x, 1.0))
        return x

    def _off_the_kinks(self, op: Operation, operands: list[Operand]) -> list[Operand]:
        """The operands with one after the other moved by a constant until no switch is near zero."""
        assert op.switches is not None
        step = 2.0 ** math.ceil(math.log2(4 * self.margin))
        for i in [
            len(operands) // 2,
            *range(len(operands)),
        ] * 2:  # the middle one first: of a dot product it is the bias
            if all(abs(s) >= self.margin for s in op.switches(*map(self._number, operands))):
                break
            x = operands[i]
            assert isinstance(x, int)
            operands[i] = self.add(ops.add, (x, step * (i + 1.75)))
        return operands

    def expression(self) -> Expression:
        """What the last step needs, numbered anew."""
        n = len(self.inputs)
        needed, waiting = set(), [len(self.numbers) - 1]
        while waiting:
            x = waiting.pop()
            if x not in needed:
                needed.add(x)
                waiting += [o for o in self.steps[x - n][1] if isinstance(o, int)] if x >= n else []
        inputs = [x for x in range(n) if x in needed] or [0]
        order = inputs + sorted(x for x in needed if x >= n)
        place = {x: i for i, x in enumerate(order)}
        steps = tuple(
            (op, tuple(place[o] if isinstance(o, int) else o for o in operands))
            for op, operands in (self.steps[x - n] for x in order[len(inputs) :])
        )
        return Expression(tuple(self.inputs[x] for x in inputs), steps)


@st.composite
def expressions(
    draw: Callable[[SearchStrategy[Any]], Any],
    *,
    operations: Iterable[Operation] | None = None,
    max_nodes: int = 8,
    leaves: Any = None,
    margin: float = 0.0,
) -> Expression:
    """Draw random programs with shared intermediate results, at a point where everything is defined and finite.

    An operand that would leave an operation's domain, or make a number too large, is first shifted or scaled by a
    constant, so no example is thrown away. `gradcheck(expression, expression.values)` checks one.

    >>> from hypothesis import given
    >>> @given(expressions())
    ... def test(program):
    ...     assert math.isfinite(program(*program.inputs))
    >>> test()

    Args:
        operations: rows to choose from; all by default. Shifts and scales use add and mul besides.
        max_nodes: the most operations that are drawn, shifts and scales not counted.
        leaves: a strategy for the inputs' numbers; by default floats of a size up to 10.
        margin: how far every kink is away at least; 0 for no care.

    Raises:
        ValueError: no operations, or max_nodes below 1.
    """
    table = list(ops.TABLE.values() if operations is None else operations)
    if not table or max_nodes < 1:
        raise ValueError(f"expected operations and max_nodes of at least 1, got {table} and {max_nodes}")
    numbers = _floats() if leaves is None else _strategy(leaves)
    builder = _Builder(draw(st.lists(numbers, min_size=1, max_size=4)), margin)
    # A list of steps of two choices each, so that shrinking can drop any of them: the operation, and where its operands
    # are, five times four bits, counted back from the last result, so that what is left is a chain, easy to read.
    step = st.tuples(st.sampled_from(table), st.integers(0, 2**21 - 1))
    for op, places in draw(st.lists(step, min_size=1, max_size=max_nodes)):
        made = len(builder.numbers)
        operands = [made - 1 - (places >> 4 * k & 15) % made for k in range(5)]
        builder.apply(op, (operands * (op.arity or 1))[: op.arity or (5 if places >> 20 else 3)])
    return builder.expression()


def mlps(*, nin: Any = None, nouts: Any = None, activations: Any = None, seeds: Any = None) -> SearchStrategy[MLP]:
    """Draw small networks. An argument is a value or a strategy: inputs, layer sizes, activation, seed of the weights.

    >>> from hypothesis import given
    >>> @given(mlps(nin=2, nouts=[3, 1]))
    ... def test(model):
    ...     assert len(model.parameters()) == 13
    >>> test()
    """
    return st.builds(
        MLP,
        st.integers(1, 3) if nin is None else _strategy(nin),
        st.lists(st.integers(1, 3), min_size=1, max_size=3) if nouts is None else _strategy(nouts),
        activation=st.sampled_from(["relu", "tanh", "sigmoid"]) if activations is None else _strategy(activations),
        rng=st.integers(0, 2**16) if seeds is None else _strategy(seeds),
    )


@st.composite
def datasets(
    draw: Callable[[SearchStrategy[Any]], Any],
    *,
    nin: Any = None,
    targets: Any = None,
    min_size: int = 1,
    max_size: int = 5,
    elements: Any = None,
) -> list[tuple[list[float], Any]]:
    """Draw lists of (inputs, target) samples, every one with as many inputs.

    >>> from hypothesis import given
    >>> @given(datasets(nin=2))
    ... def test(samples):
    ...     assert all(len(inputs) == 2 for inputs, target in samples)
    >>> test()

    Args:
        nin: inputs per sample, a number or a strategy.
        targets: what the targets are: a value or a strategy; -1 or 1 by default.
        min_size: the fewest samples.
        max_size: the most.
        elements: a strategy for the inputs' numbers; by default floats of a size up to 10.
    """
    width = draw(st.integers(1, 3) if nin is None else _strategy(nin))
    rows = st.lists(_floats() if elements is None else _strategy(elements), min_size=width, max_size=width)
    target = st.sampled_from([-1, 1]) if targets is None else _strategy(targets)
    samples: list[tuple[list[float], Any]] = draw(
        st.lists(st.tuples(rows, target), min_size=min_size, max_size=max_size)
    )
    return samples
