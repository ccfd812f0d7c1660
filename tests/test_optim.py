"""Optimizers: PyTorch's formulas, a step that is all or nothing, and a schedule that is any function of the step."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch_steps import CASES, FILE, committed, in_torch

from micrograd_like import SGD, Adam, AdamW, Optimizer, Value, ops
from micrograd_like import optim as optimizers

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


def ours(case: dict[str, Any]) -> list[list[float]]:
    """The parameters after each step of a case."""
    parameters = [Value(x) for x in case["start"]]
    optimizer = getattr(optimizers, case["optimizer"])(parameters, **case["arguments"])
    after = []
    for gradient in case["gradients"]:
        for parameter, g in zip(parameters, gradient, strict=True):
            parameter.grad = g
        optimizer.step()
        after.append([parameter.data for parameter in parameters])
    return after


def flat(rows: list[list[float]]) -> list[float]:
    return [x for row in rows for x in row]


@pytest.mark.parametrize("number", range(len(CASES)))
def test_steps_are_pytorchs(number: int) -> None:
    """Against numbers that PyTorch left in a file; see the file for their source."""
    case = committed()["cases"][number]
    assert {key: case[key] for key in CASES[number]} == CASES[number]
    assert flat(ours(case)) == pytest.approx(flat(case["parameters"]), rel=1e-14, abs=1e-300)


@pytest.mark.parametrize("number", range(len(CASES)))
def test_pytorch_still_takes_the_steps_of_the_file(number: int) -> None:
    pytest.importorskip("torch")
    case = committed()["cases"][number]
    assert flat(in_torch(case)) == pytest.approx(flat(case["parameters"]), rel=1e-14, abs=1e-300)


def test_the_file_says_where_its_numbers_are_from() -> None:
    assert committed()["source"].startswith("torch.optim of PyTorch 2.")
    assert FILE.stat().st_size < 10_000


@pytest.mark.parametrize("kind", [Adam, AdamW])
def test_the_first_step_of_adam_has_the_length_of_the_learning_rate(kind: type[Adam]) -> None:
    """Whatever the gradient: m / √v is its sign, but for eps."""
    for g in (1e-3, -5.0, 1e6):
        x = Value(0.0)
        x.grad = g
        kind([x], lr=0.25).step()
        assert x.data == pytest.approx(-math.copysign(0.25, g), rel=1e-4)


def test_a_quadratic_reaches_its_minimum_with_adam() -> None:
    x, y = Value(5.0), Value(-3.0)
    optimizer = Adam([x, y], lr=lambda step: 0.3 * 0.99**step)
    for _ in range(800):
        loss = (x - 1) ** 2 + 200 * (y + 2) ** 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert x.data == pytest.approx(1.0, abs=1e-4)
    assert y.data == pytest.approx(-2.0, abs=1e-4)


@pytest.mark.parametrize("make", [lambda p: SGD(p, 0.1, 0.9, 0.01), lambda p: AdamW(p, 0.1)])
def test_moves_say_what_the_step_will_do(make: Any) -> None:
    x, y = Value(1.0), Value(-2.0)
    optimizer = make([x, y])
    for g in (0.5, -3.0):
        x.grad, y.grad = g, 2 * g
        before, moves = (x.data, y.data), optimizer.moves()
        optimizer.step()
        assert [x.data - before[0], y.data - before[1]] == moves


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"betas": (1.0, 0.9)}, "expected betas as a finite number at least 0 and below 1, got 1.0"),
        ({"betas": (0.9, -0.1)}, "expected betas as a finite number"),
        ({"betas": 0.9}, "expected betas as two numbers, got 0.9"),
        ({"betas": "09"}, "expected betas as two numbers, got '09'"),
        ({"eps": 0}, "expected eps as a finite number above 0, got 0"),
        ({"weight_decay": math.nan}, "expected weight_decay as a finite number at least 0, got nan"),
    ],
)
def test_adams_numbers_out_of_range_are_named(arguments: dict[str, Any], message: str) -> None:
    for kind in (Adam, AdamW):
        with pytest.raises(ValueError, match=message):
            kind([Value(1.0)], **arguments)


@pytest.mark.parametrize("rate", [Fraction(10) ** 400, 10**400])
def test_a_rate_beyond_floats_is_refused_before_anything_moves(rate: Any) -> None:
    x, y = Value(1.0), Value(2.0)
    x.grad, y.grad = 0.0, 1.0
    with pytest.raises(ValueError, match=r"the step would make a parameter inf"):
        SGD([x, y], lr=rate).step()
    assert (x.data, y.data) == (1.0, 2.0)


def test_a_rule_runs_on_what_records() -> None:
    """As the compiler calls it: with symbols for the parameter, its gradient, the state and the rates."""
    optimizer = AdamW([Value(0.7)])
    optimizer.parameters[0].grad = -0.3
    m, v, rates = 0.01, 0.02, optimizer.rates(4)
    numbers = optimizer.rule(0.7, -0.3, m, v, *rates)
    symbols = optimizer.rule(*map(Value, (0.7, -0.3, m, v, *rates)))
    assert [x.data for x in symbols] == list(numbers)
    assert SGD([Value(1.0)], 0.1).rule(*map(Value, (1.0, 2.0, 0.0, 0.1, 0.0, 0.0)))[0].op is ops.sub


def test_plain_sgd_leaves_its_state_as_it_came() -> None:
    symbols = [Value(float(k)) for k in range(6)]
    assert SGD([Value(1.0)], 0.1).rule(*symbols)[1] is symbols[2]
    assert SGD([Value(1.0)], 0.1, momentum=0.5).rule(*symbols)[1] is not symbols[2]


def test_an_optimizer_of_ones_own_is_a_rule() -> None:
    class Heavy(Optimizer):
        STATE = ("speed",)

        def rates(self, step: int) -> tuple[Any, ...]:
            return self.learning_rate(step), 1 / (step + 1)

        def rule(self, p: Any, g: Any, speed: Any, lr: Any, share: Any) -> tuple[Any, ...]:
            speed = speed + share * g
            return p - lr * speed, speed

    x = Value(1.0)
    optimizer = Heavy([x], lr=0.5)
    for _ in range(2):
        x.grad = 1.0
        optimizer.step()
    assert (x.data, optimizer.speed, optimizer.steps) == (1.0 - 0.5 - 0.75, [1.5], 2)  # type: ignore[attr-defined]
    x.grad = math.nan
    with pytest.raises(ValueError, match="nothing has moved"):
        optimizer.step()
    assert (x.data, optimizer.speed, optimizer.steps) == (-0.25, [1.5], 2)  # type: ignore[attr-defined]
    with pytest.raises(NotImplementedError, match="Optimizer has no rule"):
        Optimizer([x], 0.1).step()
