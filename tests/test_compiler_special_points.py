"""At every special point a row's function, its expansion, the interpreters of its trace and its machine code agree."""

import itertools
import math
import random
from typing import Any

import numpy as np
import pytest
from special_points import POINTS

import micrograd_like as mg
from micrograd_like import Value, ops
from micrograd_like.compiler import host
from micrograd_like.compiler.trace import trace

SPECIAL = [0.0, -0.0, 1.0, -1.0, 5e-324, -5e-324, 1e-310, 709.0, 710.0, -745.0, -746.0, 1e300, -1e300, math.inf,
           -math.inf, math.nan, 0.5, 2.0, 3.0]  # fmt: skip


def points(op: ops.Operation) -> list[tuple[float, ...]]:
    """All pairs of special numbers, and some of their triples and quintuples; and the published points."""
    count = op.arity or (5 if "dot" in op.name else 3)
    if count <= 2:
        found = list(itertools.product(SPECIAL, repeat=count))
    else:
        rng = random.Random(op.name)
        found = [tuple(rng.choice(SPECIAL) for _ in range(count)) for _ in range(400)]
        found += [(x,) * count for x in SPECIAL]
    return found + [p.operands for p in POINTS if p.operation == op.name and len(p.operands) == count]


def applied(op: ops.Operation, operands: Any) -> Any:
    """The row on its operands; what picks is computed, as a plain input that picks nothing is refused."""
    first, *rest = operands
    return op(first * 1.0, *rest) if op is ops.gather else op(*operands)


def same(x: float, y: float) -> bool:
    return (x != x and y != y) or (x == y and math.copysign(1, x) == math.copysign(1, y))


def close(x: float, y: float, largest: float = 0.0) -> bool:
    """The same but for the last digits; zeros have any sign. `largest`: of what was added up."""
    if math.isfinite(x) and math.isfinite(y):
        return math.isclose(x, y, rel_tol=1e-13, abs_tol=4e-16 * largest)
    return same(x, y)


@pytest.mark.parametrize("op", ops.TABLE.values(), ids=lambda op: op.name)
def test_values_at_special_points_agree(op: ops.Operation) -> None:
    rows = points(op)
    recorded = trace(lambda x: applied(op, x), [], {"x": (len(rows[0]),)})
    machine = mg.compile(lambda x: applied(op, x), [], x=len(rows[0])).outputs(np.array(rows)).tolist()
    assert len(machine) == len(rows)
    for row, got in zip(rows, machine, strict=True):
        expected = op.function(*row)
        assert same(recorded.interpret([], row)[0], expected), row
        assert op.expansion is None or same(op.expansion(*row), expected), row
        largest = max([abs(x) for x in row if math.isfinite(x)], default=0.0) if op is ops.logsumexp else 0.0
        inexact = op.name in ("exp", "log", "sigmoid", "softplus", "logsumexp", "sigmoid_prime")
        assert same(got, expected) or (inexact and close(got, expected, largest)), (row, expected, got)


@pytest.mark.parametrize("op", ops.TABLE.values(), ids=lambda op: op.name)
def test_derivatives_at_special_points_agree(op: ops.Operation) -> None:
    parameters = [Value(0.0) for _ in points(op)[0]]
    step = mg.compile(lambda: applied(op, parameters) * 1.0, parameters).bind()
    for row in points(op):
        operands = [Value(x) for x in row]
        out = applied(op, operands) * 1.0
        out.backward()
        loss, gradient = step(np.array(row))
        assert close(loss, out.data, 3.0)
        for got, v in zip(gradient.tolist(), operands, strict=True):
            assert close(got, float(v.grad)), (row, [float(v.grad) for v in operands], gradient)


@pytest.mark.parametrize("op", [op for op in ops.TABLE.values() if op.arity == 2], ids=lambda op: op.name)
@pytest.mark.parametrize("first", [True, False], ids=["first", "second"])
def test_derivatives_beside_a_number_that_is_written_in_the_program_agree(op: ops.Operation, first: bool) -> None:
    def total(ws: list[Value]) -> Any:
        return mg.sum([op(number, w) if first else op(w, number) for number, w in zip(SPECIAL, ws, strict=True)])

    parameters = [Value(0.0) for _ in SPECIAL]
    step = mg.compile(lambda: total(parameters), parameters, cached=False).bind()
    for x in SPECIAL:
        ws = [Value(x) for _ in SPECIAL]
        total(ws).backward()
        _, gradient = step(np.array([x] * len(ws)))
        for number, w, got in zip(SPECIAL, ws, gradient.tolist(), strict=True):
            assert close(got, float(w.grad or 0)), (number, x, got, w.grad)


def test_a_rule_for_a_power_that_is_written_in_the_program_has_decided_already() -> None:
    x = Value(3.0)
    adjoint = next(stage for stage in mg.compile(lambda: x**2.0, [x]).stages() if stage.name == "adjoint")
    assert "where" not in adjoint.text


@pytest.mark.parametrize("power", [2, 3])
@pytest.mark.parametrize("exponents", [2, 600])
def test_squares_and_cubes_are_those_of_the_library_to_the_last_bit(power: int, exponents: int) -> None:
    """Some hundred of these products are other numbers than the library's; cubes, every fifth."""
    rng = np.random.default_rng(0)
    x = np.ldexp(rng.standard_normal(200_000), rng.integers(-exponents, exponents, 200_000))
    x = np.concatenate([SPECIAL, 2.0 ** np.arange(-30, 30), x])
    program = mg.compile(lambda x: x**power, [], x=())
    assert all(map(same, program.losses(x), [(Value(x) ** power).data for x in x.tolist()]))


def test_without_a_product_and_sum_that_are_rounded_once_squares_are_the_library_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(host, "fused", lambda: False)
    program = mg.compile(lambda x: x**2, [], cached=False, x=())
    assert not any("llvm.fma" in stage.text for stage in program.stages())
    assert program.losses([3.0, -1.5]).tolist() == [9.0, 2.25]
