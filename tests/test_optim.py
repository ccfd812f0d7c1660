"""SGD: PyTorch's formula, a step that is all or nothing, and a schedule that is any function of the step."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from micrograd_like import SGD, Value

shares = st.fractions(0, Fraction(9, 10), max_denominator=10)


@given(st.lists(st.fractions(-5, 5, max_denominator=9), min_size=1, max_size=5), shares, shares)
def test_steps_follow_the_formula_exactly(gradients: list[Fraction], momentum: Fraction, decay: Fraction) -> None:
    """v ← μ·v + g + λ·θ and θ ← θ - lr·v on fractions, written out once more."""
    parameter, lr = Value(Fraction(3)), Fraction(1, 10)
    optimizer = SGD([parameter], lr=lr, momentum=momentum, weight_decay=decay)  # type: ignore[arg-type]
    theta, v = Fraction(3), Fraction(0)
    for g in gradients:
        parameter.grad = g
        optimizer.step()
        v = momentum * v + g + decay * theta
        theta -= lr * v
        assert parameter.data == theta


def test_a_quadratic_reaches_its_minimum() -> None:
    x, y = Value(5.0), Value(-3.0)
    optimizer = SGD([x, y], lr=0.1, momentum=0.5)
    for _ in range(200):
        loss = (x - 1) ** 2 + 2 * (y + 2) ** 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert x.data == pytest.approx(1.0, abs=1e-9)
    assert y.data == pytest.approx(-2.0, abs=1e-9)


def test_a_schedule_is_any_function_of_the_step() -> None:
    x = Value(0.0)
    optimizer = SGD([x], lr=lambda step: 0.5 * step)  # a warm-up starts at 0
    moved = []
    for _ in range(3):
        x.grad = -1.0
        optimizer.step()
        moved.append(x.data)
    assert moved == [0.0, 0.5, 1.5]
    assert optimizer.steps == 3
    assert optimizer.learning_rate() == 1.5


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_step_moves_all_or_none(bad: float) -> None:
    x, y = Value(1.0, label="x"), Value(2.0, label="y")
    optimizer = SGD([x, y], lr=0.1, momentum=0.9)
    x.grad, y.grad = 1.0, bad
    with pytest.raises(ValueError, match=r"the step would make y .*nothing has moved"):
        optimizer.step()
    assert (x.data, y.data, optimizer.steps, optimizer.velocities) == (1.0, 2.0, 0, [0, 0])


def test_rates_from_numpy_leave_parameters_floats_and_whole_rates_leave_them_fractions() -> None:
    x, third = Value(1.0), Value(Fraction(1, 3))
    x.grad, third.grad = 2.0, Fraction(1, 7)
    SGD([x], lr=lambda step: np.float64(0.25), momentum=np.float64(0.5), weight_decay=np.float64(1.0)).step()  # type: ignore[arg-type]
    SGD([third], lr=1, momentum=Fraction(1, 2)).step()  # type: ignore[arg-type]
    assert (x.data, type(x.data)) == (0.25, float)
    assert third.data == Fraction(4, 21)


def test_a_step_to_a_fraction_beyond_floats_is_a_step() -> None:
    x = Value(Fraction(10**400))
    x.grad = Fraction(1)
    SGD([x], lr=1).step()
    assert x.data == 10**400 - 1


def test_a_schedule_that_fails_moves_nothing() -> None:
    x = Value(1.0)
    x.grad = 1.0
    for lr in (lambda step: math.nan, lambda step: -1.0, lambda step: "0.1"):
        with pytest.raises((ValueError, TypeError), match="expected lr at step 0 as a"):
            SGD([x], lr=lr).step()  # type: ignore[arg-type]
    assert x.data == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": 0}, "expected lr as a finite number above 0, got 0"),
        ({"lr": -0.1}, "expected lr as a finite number above 0, got -0.1"),
        ({"lr": math.nan}, "expected lr as a finite number above 0, got nan"),
        ({"lr": math.inf}, "expected lr as a finite number above 0, got inf"),
        ({"lr": -(10**400)}, "expected lr as a finite number above 0, got -1000"),
        ({"lr": 0.1, "momentum": 1.0}, "expected momentum as a finite number at least 0 and below 1, got 1.0"),
        ({"lr": 0.1, "momentum": -0.1}, "expected momentum as a finite number"),
        ({"lr": 0.1, "weight_decay": -1}, "expected weight_decay as a finite number at least 0, got -1"),
    ],
)
def test_numbers_out_of_range_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SGD([Value(1.0)], **arguments)


def test_what_is_no_number_is_named() -> None:
    with pytest.raises(TypeError, match=r"expected lr as a number above 0, got str: '0.1'"):
        SGD([Value(1.0)], lr="0.1")  # type: ignore[arg-type]


def test_parameters_are_values_each_once() -> None:
    x = Value(1.0, label="x")
    with pytest.raises(ValueError, match="expected at least one parameter to train, got none"):
        SGD([], lr=0.1)
    with pytest.raises(ValueError, match=r"expected each parameter once, got Value.*label='x'.* twice"):
        SGD([x, x], lr=0.1)
    with pytest.raises(TypeError, match=r"expected parameters as Values, got float: 1.0"):
        SGD([1.0], lr=0.1)  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"expected parameters as a list of Values, got Value: Value\(data=1.0"):
        SGD(x, lr=0.1)  # type: ignore[arg-type]


def test_zero_grad_forgets_every_gradient() -> None:
    x = Value(1.0)
    x.backward()
    SGD([x], lr=0.1).zero_grad()
    assert x.grad == 0
