"""Arithmetic never raises, follows IEEE 754 and C99 Annex F, and leaves fractions and 50-digit numbers what they are."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from micrograd_like import ieee, ops

INF, NAN, TINY, HUGE = math.inf, math.nan, 5e-324, 1.7976931348623157e308
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, TINY, -TINY, HUGE, -HUGE, 1e17, -1e17, INF, -INF, NAN]
FIXED = [op for op in ops.TABLE.values() if op.arity is not None]
floats = st.floats(allow_subnormal=True)


def same(x: float, y: float) -> bool:
    """Equal as bits, except that every nan is the same."""
    return (math.isnan(x) and math.isnan(y)) or (x == y and math.copysign(1, x) == math.copysign(1, y))


@pytest.mark.parametrize("op", ops.TABLE.values(), ids=lambda op: op.name)
def test_no_operation_raises_on_any_floats(op: ops.Operation) -> None:
    arity = op.arity or 3
    for seed in range(len(SPECIAL) ** min(arity, 2)):
        xs = [SPECIAL[(seed // len(SPECIAL) ** i + i) % len(SPECIAL)] for i in range(arity)]
        result = op.function(*xs)
        assert type(result) is float


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "pow"])
def test_arithmetic_is_the_processors(name: str) -> None:
    """The oracle is NumPy, which hands each of these to the C compiler's IEEE 754 arithmetic."""
    oracle = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "pow": np.power}[name]
    with np.errstate(all="ignore"):
        for x in SPECIAL:
            for y in SPECIAL:
                if name == "pow" and y == 0.5:  # NumPy takes the square root, which is -0 at -0; C99's pow gives +0
                    continue
                expected = float(oracle(np.float64(x), np.float64(y)))
                got = ops.by_name(name).function(x, y)
                assert same(got, expected), f"{name}({x}, {y}) = {got}, expected {expected}"


@given(floats, floats)
def test_division_is_the_processors_on_any_floats(x: float, y: float) -> None:
    with np.errstate(all="ignore"):
        assert same(ieee.div(x, y), float(np.float64(x) / np.float64(y)))


@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "sin", "cos", "tanh"])
def test_functions_at_special_points_are_the_c_librarys(name: str) -> None:
    with np.errstate(all="ignore"):
        for x in SPECIAL:
            expected, got = float(getattr(np, name)(np.float64(x))), getattr(ieee, name)(x)
            assert same(got, expected) or math.isclose(got, expected, rel_tol=1e-15), f"{name}({x}) = {got}"


@given(st.floats(-700, 700))
@example(-40.0)
@example(1e-300)
def test_sigmoid_and_softplus_neither_overflow_nor_cancel(x: float) -> None:
    with mpmath.workdps(50):
        e = mpmath.exp(-mpmath.mpf(x))
        assert math.isclose(ieee.sigmoid(x), 1 / (1 + e), rel_tol=1e-15)
        assert math.isclose(ieee.softplus(x), mpmath.log1p(1 / e), rel_tol=1e-15)


@given(st.fractions(), st.fractions())
def test_fractions_stay_exact(x: Fraction, y: Fraction) -> None:
    assert ieee.add(x, y) == x + y
    assert ieee.mul(x, y) == x * y
    if y:
        assert ieee.div(x, y) == x / y
        assert type(ieee.div(x, y)) is Fraction
    assert type(ieee.relu(x)) is Fraction
    assert ieee.relu(x) == (x + abs(x)) / 2


def test_a_fraction_to_a_whole_power_stays_a_fraction() -> None:
    assert ieee.pow(Fraction(2, 3), Fraction(-2)) == Fraction(9, 4)
    assert type(ieee.pow(Fraction(2, 3), 3)) is Fraction
    assert type(ieee.pow(Fraction(4), Fraction(1, 2))) is float
    assert ieee.pow(Fraction(0), -1) == INF
    assert ieee.pow(Fraction(0), 0) == 1


def test_numbers_too_large_for_a_float_become_infinite() -> None:
    huge = Fraction(10) ** 400
    assert ieee.as_float(huge) == INF
    assert ieee.as_float(-huge) == -INF
    assert ieee.add(huge, 1.0) == INF
    assert ieee.mul(-huge, 1.0) == -INF
    assert ieee.div(huge, 1.0) == INF
    assert ieee.pow(huge, 0.5) == INF
    assert ieee.pow(2.0, huge) == ieee.pow(0.5, -huge) == INF
    assert ieee.pow(0.5, huge) == ieee.pow(2.0, -huge) == 0
    assert ieee.pow(1.0, huge) == 1
    assert ieee.exp(huge) == INF
    assert ieee.isfinite(huge)
    assert not ieee.isfinite(ieee.as_float(huge))


def test_a_float_beside_fifty_digits_is_taken_into_their_carrier() -> None:
    for power in (ieee.pow(2.0, mpmath.mpf(3)), ieee.pow(mpmath.mpf(2), 3.0), ieee.pow(Fraction(2), mpmath.mpf(3))):
        assert type(power) is mpmath.mpf
        assert power == 8


def test_fifty_digits_stay_fifty_digits() -> None:
    with mpmath.workdps(50):
        two = mpmath.mpf(2)
        third = Fraction(1, 3)
        assert abs(ieee.pow(two, third) ** 3 - 2) < mpmath.mpf(10) ** -48
        assert abs(ieee.exp(ieee.log(two)) - 2) < mpmath.mpf(10) ** -48
        assert abs(ieee.tanh(two) - mpmath.sinh(two) / mpmath.cosh(two)) < mpmath.mpf(10) ** -48


def test_fifty_digit_numbers_never_raise_or_turn_complex() -> None:
    zero, minus = mpmath.mpf(0), mpmath.mpf(-2)
    assert ieee.div(mpmath.mpf(1), zero) == mpmath.inf
    assert ieee.div(minus, zero) == -mpmath.inf
    assert mpmath.isnan(ieee.div(zero, zero))
    assert mpmath.isnan(ieee.pow(minus, 0.5))
    assert mpmath.isnan(ieee.log(minus))
    assert mpmath.isnan(ieee.sqrt(minus))
    assert ieee.log(zero) == -mpmath.inf
    assert ieee.pow(zero, -1) == mpmath.inf


def test_max_and_min_pass_nan_on_and_prefer_the_first_of_equals() -> None:
    """IEEE 754-2019 `maximum`, `minimum`."""
    for f in (ieee.max, ieee.min):
        for xs in ((NAN, 1.0, 2.0), (1.0, NAN, 2.0), (1.0, 2.0, NAN)):
            assert math.isnan(f(*xs))
    first, second = Fraction(1), Fraction(2, 2)
    assert ieee.max(first, second) is first
    assert ieee.min(first, second) is first


def test_logsumexp_is_stable() -> None:
    assert ops.logsumexp(1000.0, 1000.0) == 1000.0 + math.log(2)
    assert ops.logsumexp(-INF, -INF) == -INF
    assert ops.logsumexp(-INF, 3.0) == 3.0
    assert ops.logsumexp(INF, 3.0) == INF
    assert math.isnan(ops.logsumexp(NAN, INF))


def test_sums_go_from_left_to_right() -> None:
    assert ops.sum(1e16, 1.0, 1.0, -1e16) == ((1e16 + 1.0) + 1.0) + -1e16 == 0.0
    assert ops.dot(1.0, 1.0, 1e16, 1.0, 1.0) == (1e16 + 1.0) + 1.0


@pytest.mark.parametrize("x", [None, "1.5", b"1", 1j, [1.0], (1.0,), {}, np.array(1.0), np.array([1.0]), np.str_("2")])
def test_what_is_no_real_number_is_refused(x: object) -> None:
    with pytest.raises(TypeError, match="expected a real number"):
        ieee.number(x)


@pytest.mark.parametrize("x", [2, True, np.float32(2), np.int8(2), np.bool_(True)])
def test_other_real_numbers_become_floats(x: object) -> None:
    assert type(ieee.number(x)) is float
    assert ieee.number(x) == float(x)  # type: ignore[arg-type]


@pytest.mark.parametrize("operands", [(), (1.0,), (1.0, 2.0), (1.0, 2.0, 3.0, 4.0)])
def test_a_dot_product_needs_as_many_weights_as_inputs(operands: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=f"got {len(operands)}"):
        ops.dot(*operands)
