"""The table of operations: every row has an oracle here, and a row without one fails."""

import copy
import itertools
import math
import pickle
import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st
from row_cases import ORACLES, ROWS, arity, check_row, close, derivative, sample

from micrograd_like import Value, gradient, ops
from micrograd_like.graph import nodes
from micrograd_like.testing.strategies import SPECIAL

# Every derivative of the rows that are exact on fractions, as a textbook has it.
EXACT: dict[str, Callable[..., Any]] = {
    "add": lambda x, y: [1, 1],
    "sub": lambda x, y: [1, -1],
    "mul": lambda x, y: [y, x],
    "div": lambda x, y: [1 / y, -x / y**2],
    "neg": lambda x: [-1],
    "relu": lambda x: [1 if x > 0 else 0],
    "abs": lambda x: [(x > 0) - (x < 0)],
    "where": lambda c, x, y: [0, 1, 0] if c > 0 else [0, 0, 1],
    "max": lambda *xs: [Fraction(x == max(xs), xs.count(max(xs))) for x in xs],
    "min": lambda *xs: [Fraction(x == min(xs), xs.count(min(xs))) for x in xs],
    "sum": lambda *xs: [1] * len(xs),
    "gather": lambda index, *xs: [0] + [int(i == round(index)) for i in range(len(xs))],
    "dot": lambda a, b, c, bias, x, y, z: [x, y, z, 1, a, b, c],
    "relu_dot": lambda a, b, c, bias, x, y, z: [x, y, z, 1, a, b, c] if a * x + b * y + c * z + bias > 0 else [0] * 7,
}


def test_every_row_has_an_oracle() -> None:
    assert set(ORACLES) == set(ops.TABLE)


@pytest.mark.parametrize("op", ROWS, ids=lambda op: op.name)
def test_value_and_first_derivatives_are_those_of_the_oracle(op: ops.Operation) -> None:
    check_row(op)


@pytest.mark.parametrize("op", ROWS, ids=lambda op: op.name)
def test_second_derivatives_are_those_of_the_oracle(op: ops.Operation) -> None:
    rng = random.Random(op.name)
    with mpmath.workdps(50):
        xs = sample(op, rng)
        values, exact = [Value(x) for x in xs], [mpmath.mpf(x) for x in xs]
        first = gradient(op(*values), values)
        for i, j in itertools.combinations_with_replacement(range(len(xs)), 2):
            order = [0] * len(xs)
            order[i] += 1
            order[j] += 1
            expected = derivative(ORACLES[op.name], exact, tuple(order))
            assert close(gradient(first[i], values[j]).data, expected, 100), (xs, i, j)
            assert close(gradient(first[j], values[i]).data, expected, 100), (xs, j, i)


@pytest.mark.parametrize("name", EXACT)
def test_rules_on_fractions_are_equal_to_the_textbooks(name: str) -> None:
    op, rng = ops.by_name(name), random.Random(name)
    for _ in range(20):
        xs = [Fraction(x).limit_denominator(100) for x in sample(op, rng)]
        values = [Value(x) for x in xs]
        out = op(*values)
        assert type(out.data) is Fraction
        out.backward()
        assert [v.grad for v in values] == EXACT[name](*xs)
        assert [v.data for v in gradient(out, values)] == EXACT[name](*xs)
        assert all(type(v.data) is Fraction for v in gradient(out, values))


@pytest.mark.parametrize("op", ROWS, ids=lambda op: op.name)
def test_rules_keep_fifty_digits(op: ops.Operation) -> None:
    with mpmath.workdps(50):
        xs = [mpmath.mpf(x) for x in sample(op, random.Random(op.name))]
        values = [Value(x) for x in xs]
        out = op(*values)
        assert abs(out.data - ORACLES[op.name](*xs)) < mpmath.mpf(10) ** -45
        out.backward()
        for i, v in enumerate(values):
            expected = derivative(ORACLES[op.name], xs, tuple(int(j == i) for j in range(len(xs))))
            assert abs(v.grad - expected) < mpmath.mpf(10) ** -40


def test_conventions_at_kinks() -> None:
    zero, one = Fraction(0), Fraction(1)
    for name, operands, expected in [
        ("relu", [zero], [0]),
        ("abs", [zero], [0]),
        ("max", [one, one], [Fraction(1, 2)] * 2),
        ("min", [one, one], [Fraction(1, 2)] * 2),
        ("max", [one, one, zero, one], [Fraction(1, 3), Fraction(1, 3), 0, Fraction(1, 3)]),
        ("relu_dot", [one, -one, one], [0, 0, 0]),
        ("where", [zero, one, one], [0, 0, 1]),
    ]:
        values = [Value(x) for x in operands]
        out = ops.by_name(name)(*values)
        out.backward()
        assert [v.grad for v in values] == expected, name
        assert [v.data for v in gradient(out, values)] == expected, name


@pytest.mark.parametrize("op", [op for op in ROWS if op.switches], ids=lambda op: op.name)
def test_switches_are_zero_at_the_kink_and_their_signs_name_the_piece(op: ops.Operation) -> None:
    kinks = {
        "relu": [0.0],
        "abs": [0.0],
        "where": [0.0, 1.0, 2.0],
        "relu_dot": [1.0, 2.0, -2.0],
        "min": [1.0, 1.0, 2.0],
        "gather": [0.5, 1.0, 2.0],
    }
    assert op.switches is not None
    assert 0 in op.switches(*kinks.get(op.name, [1.0, 1.0, 0.5]))
    rng, pieces = random.Random(op.name), {}
    for _ in range(100):  # the same signs, the same derivatives at the same point of another piece differ
        xs = sample(op, rng)
        signs = tuple(s > 0 for s in op.switches(*xs))
        pattern = tuple(a is None or a == 0 for a in op.vjp(1.0, op.function(*xs), *xs))
        signed = tuple((a or 0) > 0 for a in op.vjp(1.0, op.function(*xs), *xs)) if op.name == "abs" else ()
        assert pieces.setdefault(signs, (pattern, signed)) == (pattern, signed)
    assert len(pieces) > 1


@pytest.mark.parametrize("op", [op for op in ROWS if op.expansion], ids=lambda op: op.name)
def test_an_expansion_is_the_same_number_in_simpler_rows(op: ops.Operation) -> None:
    assert op.expansion is not None
    rng = random.Random(op.name)
    for _ in range(20):
        xs = sample(op, rng)
        fused, unfolded = [Value(x) for x in xs], [Value(x) for x in xs]
        out, expansion = op(*fused), op.expansion(*unfolded)
        assert expansion.data == out.data
        assert op not in {node.op for node in nodes(expansion)}
        assert all(node.op.arity is not None or node.op in (ops.max, ops.min) for node in nodes(expansion) if node.op)
        out.backward()
        expansion.backward()
        for a, b in zip(fused, unfolded, strict=True):
            assert math.isclose(a.grad, b.grad, rel_tol=1e-14, abs_tol=1e-16)


def test_stable_forms_where_the_textbooks_cancel_or_overflow() -> None:
    """1 - t*t is 100 % off at 20, s*(1-s) at 37, -x/(y*y) overflows at 1e200."""
    with mpmath.workdps(50):
        for x in (10.0, 20.0, -20.0, 100.0):
            out = (v := Value(x)).tanh()
            assert math.isclose(gradient(out, v).data, mpmath.sech(x) ** 2, rel_tol=1e-14)
        for x in (37.0, -37.0, 700.0):
            out = (v := Value(x)).sigmoid()
            assert math.isclose(gradient(out, v).data, mpmath.exp(-x) / (1 + mpmath.exp(-x)) ** 2, rel_tol=1e-14)
    x, y = Value(1e200), Value(1e200)
    assert gradient(x / y, y).data == -1e-200
    assert gradient(Value(0.0).sqrt(), []) == []
    assert gradient((v := Value(0.0)).sqrt(), v).data == math.inf


@pytest.mark.parametrize("order", range(7))
def test_powers_have_derivatives_of_any_order_at_zero(order: int) -> None:
    for n in range(5):
        y = (x := Value(Fraction(0))) ** n
        for _ in range(order):
            y = gradient(y, x)
        assert y.data == (math.factorial(n) if order == n else 0)


def test_mixed_derivatives_of_a_power_where_its_exponent_or_base_is_zero() -> None:
    """d/dy of d(x**y)/dx = x**(y-1) (1 + y log x), which is 1/x at y = 0, and its own y-derivative 2 log(x)/x."""
    x, y = Value(2.0), Value(0.0)
    mixed = gradient(gradient(x**y, x), y)
    assert mixed.data == 0.5
    assert gradient(gradient(x**y, y), x).data == 0.5
    assert gradient(mixed, y).data == pytest.approx(math.log(2.0), rel=1e-15)
    x, y = Value(0.0), Value(2.0)
    assert gradient(gradient(x**y, y), x).data == 0.0
    assert gradient(gradient(x**y, x), x).data == 2.0


def test_an_operation_that_is_off_passes_nothing_on() -> None:
    """Not 0 times an infinite or undefined derivative, which would be nan."""
    for build in (
        lambda x: ops.where(x, x.log(), 0.0),
        lambda x: (x.sqrt() - 1.0).relu(),
        lambda x: ops.max(x.sqrt() - 1.0, 0.0),
        lambda x: ops.min(1.0 - x.sqrt(), 0.0),
        lambda x: ops.relu_dot(x.sqrt(), -1.0, 1.0),
        lambda x: x.sqrt().relu() + x,
    ):
        x = Value(0.0)
        out = build(x)
        out.backward()
        expected = 1.0 if out.op is ops.add else 0
        assert x.grad == expected
        assert gradient(out, x).data == expected


def test_calling_a_row_evaluates_numbers_and_records_values() -> None:
    assert ops.mul(2.0, 3.0) == 6.0
    node = ops.mul(2.0, Value(3.0))
    assert (node.data, node.op, node.operands[0]) == (6.0, ops.mul, 2.0)
    assert ops.add(Fraction(1, 3), 1) == Fraction(4, 3)


@pytest.mark.parametrize("operand", ["3", None, 1j, [1.0]])
def test_calling_a_row_refuses_what_is_no_number(operand: object) -> None:
    for op in (ops.exp, ops.neg, ops.relu):
        with pytest.raises(TypeError, match="expected a real number"):
            op(operand)


def test_rows_are_found_by_name_and_names_are_unique() -> None:
    assert all(ops.by_name(name) is op and op.name == name for name, op in ops.TABLE.items())
    with pytest.raises(ValueError, match="unknown operation 'cosh'; the table has add, sub"):
        ops.by_name("cosh")
    with pytest.raises(ValueError, match="already has an operation 'exp'"):
        ops.row("exp", "e", math.exp)


def test_rows_travel_as_their_names() -> None:
    for op in ROWS:
        assert pickle.loads(pickle.dumps(op)) is op
        assert copy.deepcopy(op) is op
        assert repr(op) == f"ops.{op.name}"


def test_every_row_says_what_it_is() -> None:
    for op in ROWS:
        assert op.doc, op.name
        assert op.symbol, op.name
        assert len(op.domain) in (1, op.arity), op.name
        assert set(op.domain) <= {"real", "positive", "nonzero"}, op.name
        assert bool(op.partials) != bool(op.pullback), op.name


def test_a_new_row_is_differentiated_and_drawn_without_another_line_of_code() -> None:
    cube = ops.row("cube", "³", lambda x: x * x * x, lambda g, out, x: 3 * g * x * x, doc="x³")
    try:
        x = Value(Fraction(2))
        y = cube(x)
        y.backward()
        assert (y.data, x.grad, gradient(gradient(y, x), x).data) == (8, 12, 12)
    finally:
        del ops.TABLE["cube"]


def test_a_row_outside_the_table_is_itself_in_a_copy() -> None:
    own = ops.Operation("cube", "³", lambda x: x**3, (lambda g, out, x: g * 3 * x * x,))
    assert copy.deepcopy([own]) == [own]


@given(st.lists(st.sampled_from(SPECIAL), min_size=7, max_size=7))
def test_every_definition_of_a_row_is_the_same_at_special_points(numbers: list[float]) -> None:
    """A row's function, what its Values compute, its expansion, and its rule in the two ways in which it runs."""
    for op in ROWS:
        xs = numbers[: arity(op)]
        out = op.function(*xs)
        values = [Value(x) for x in xs]
        node = op(*values)
        assert bits(node.data) == bits(out), (op, xs)
        if op.expansion is not None:
            assert bits(op.expansion(*values).data) == bits(out), (op, xs)
            assert bits(op.expansion(*xs)) == bits(out), (op, xs)
        g = 1.5
        rule = list(map(bits, op.vjp(g, out, *xs)))
        assert list(map(bits, op.vjp_of_numbers(g, out, *xs))) == rule, (op, xs)
        node.op.pull(node, g, Value)
        for value, d in zip(values, rule, strict=True):
            assert value.has_gradient == (d is not None), (op, xs)
            if d is not None:
                assert bits(value.grad) == bits(0 + op.vjp(g, out, *xs)[values.index(value)]), (op, xs)


def bits(x: Any) -> Any:
    """A number that tells -0.0 from 0.0, and is equal to itself also as nan."""
    return None if x is None else "nan" if x != x else (float(x), math.copysign(1.0, x))


@given(st.integers(0, 10**6), st.lists(st.sampled_from([*SPECIAL, 0.3, -1.7, 2.5]), min_size=3, max_size=3))
def test_gradient_and_backward_are_equal_to_the_last_bit(seed: int, numbers: list[float]) -> None:
    """On graphs of all rows, with operands that are used several times, at special and ordinary points."""
    rng = random.Random(seed)
    values = [Value(x) for x in numbers]
    made = list(values)
    for _ in range(8):
        op = rng.choice(ROWS)
        operands = [rng.choice(made) if rng.random() < 0.9 else rng.uniform(-2, 2) for _ in range(arity(op) - 1)]
        made.append(op(rng.choice(made), *operands))
    root = made[-1]
    expected = [bits(g.data) for g in gradient(root, values)]
    root.backward()
    assert [bits(v.grad + 0.0) for v in values] == expected


@pytest.mark.parametrize("x", [1e-16, -1e-16, 1e-200, 1e-8, 0.3, 20.0, -40.0, 300.0])
@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softplus"])
def test_second_and_third_derivatives_keep_their_digits_where_terms_cancel(name: str, x: float) -> None:
    with mpmath.workdps(700):
        value = Value(x)
        d = getattr(value, name)()
        for order in (1, 2, 3):
            d = gradient(d, value)
            t = mpmath.tanh(mpmath.mpf(x) if name == "tanh" else mpmath.mpf(x) / 2)
            # Of tanh in its own terms; sigmoid is (1 + tanh(x/2)) / 2, and softplus its integral.
            tanhs = [None, 1 - t**2, -2 * t * (1 - t**2), (6 * t**2 - 2) * (1 - t**2)]
            if name == "tanh":
                expected = tanhs[order]
            elif name == "sigmoid":
                expected = tanhs[order] / 2 ** (order + 1)
            else:
                expected = [(1 + t) / 2, tanhs[1] / 4, tanhs[2] / 8][order - 1]
            if abs(expected) > mpmath.mpf(2) ** -1000:
                assert abs(d.data - expected) <= mpmath.mpf(2) ** -47 * abs(expected), (order, d.data)


@pytest.mark.parametrize(
    ("x", "y", "first", "second"),
    [
        (5e-324, 0.0, 0.0, 0.0),
        (1e-200, 0.0, 0.0, 0.0),
        (0.0, 0.0, 0.0, 0.0),
        (0.5, 1e200, 0.0, 0.0),
        (2.0, -1e200, -0.0, 0.0),
        (1e-200, 1.0, 1.0, 0.0),
        (1e-200, 2.0, 2e-200, 2.0),
        (0.0, 2.0, 0.0, 2.0),
        (3.0, 0.0, 0.0, 0.0),
    ],
)
def test_powers_have_second_derivatives_where_a_factor_is_0_or_infinite(
    x: float, y: float, first: float, second: float
) -> None:
    for exponent in (y, Value(y)):
        base = Value(x)
        slope = gradient(base**exponent, base)
        assert slope.data == first
        assert gradient(slope, base).data == second


def test_the_derivative_of_zero_to_the_power_nan_is_nan() -> None:
    x, y = Value(0.0), Value(math.nan)
    (x**y).backward()
    assert math.isnan(x.grad)
    assert math.isnan(y.grad)
