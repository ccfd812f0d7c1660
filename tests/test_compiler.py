"""Compiled programs compute what the eager engine computes: losses bit for bit, gradients to the last few ulps."""

import gc
import math
import pickle
import random
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from compiler_programs import EXACT, PICKS, ScalarNetwork, random_program, samples
from hypothesis import given, settings
from hypothesis import strategies as st

import micrograd_like as mg
from micrograd_like import Value, ops
from micrograd_like.compiler import blocks, machine, native, runtime
from micrograd_like.compiler.emit import Shape
from micrograd_like.compiler.program import Training
from micrograd_like.graph import topological


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(native.CACHE_VARIABLE, "off")


def checked(program: mg.Program) -> mg.Program:
    """The program, its machine code trapping on every address that is out of bounds."""
    program._machine = runtime.Machine(program._parts, program.parameters, False, check=True)
    return program


def eager(function: Callable[..., Any], parameters: Sequence[Value], rows: Sequence[tuple[Any, ...]]) -> Any:
    """(losses, mean loss, gradient, the operations used)."""
    for p in parameters:
        p.grad = 0
    losses = [function(*row) for row in rows]
    total = mg.mean(losses)
    total.backward()
    used = {node.op.name for node in topological(losses[0])}
    return [x.data for x in losses], total.data, np.array([float(p.grad) for p in parameters]), used


def values(row: Any) -> Any:
    return [values(x) for x in row] if isinstance(row, list) else Value(row)


def assert_same(program: mg.Program, function: Any, parameters: Sequence[Value], *arrays: Any) -> None:
    rows = [tuple(values(array[i]) for array in map(np.ndarray.tolist, arrays)) for i in range(len(arrays[0]))]
    losses, mean, gradient, used = eager(function, parameters, rows)
    got_mean, got_gradient = program.gradient(*arrays)
    got = program.losses(*arrays)
    if used <= EXACT:
        assert got.tolist() == losses
        assert got_mean == mean == program(*arrays)
    else:
        np.testing.assert_allclose(got, losses, rtol=1e-13, atol=1e-14)
    scale = max(np.abs(gradient).max(), 1e-300)
    assert np.abs(got_gradient - gradient).max() <= 1e-11 * scale + 1e-13  # terms that cancel leave their rounding


@given(st.integers(0, 2**32))
@settings(max_examples=25)
def test_random_loop_nests_of_random_batches(seed: int) -> None:
    function, parameters, size = random_program(seed)
    batch = random.Random(seed).choice([1, 3, 8, 13, 21])
    program = checked(mg.compile(function, parameters, x=size, k=PICKS))
    assert_same(program, function, parameters, *map(np.array, samples(random.Random(seed), size, batch)))


@pytest.mark.parametrize("batch", [1, 2, 4, 7, 8, 31, 100, 300])
def test_batches_of_any_size(batch: int) -> None:
    model = mg.MLP(5, [9, 3], activation="tanh", rng=0)
    rng = np.random.default_rng(batch)

    def function(x: Any, y: Any) -> Any:
        return mg.mse_loss(model(x), y)

    program = checked(mg.compile(function, model.parameters(), x=5, y=3))
    assert_same(program, function, model.parameters(), rng.normal(size=(batch, 5)), rng.normal(size=(batch, 3)))


@pytest.mark.parametrize("op", ops.TABLE.values(), ids=lambda op: op.name)
def test_every_operation_of_the_table_compiles(op: ops.Operation) -> None:
    count = op.arity or 5
    parameters = [Value(0.0) for _ in range(count)]

    def function(x: Any) -> Any:
        return op(*[p * v for p, v in zip(parameters, x, strict=True)])

    program = checked(mg.compile(function, parameters, x=count))
    rng = random.Random(op.name)
    for positive in (True, False):
        for p in parameters:
            p.data = rng.uniform(0.5, 2.0) * (1 if positive or rng.random() < 0.5 else -1)
        x = np.array([[rng.uniform(0.2, 2.0) for _ in range(count)] for _ in range(11)])
        with np.errstate(all="ignore"):
            rows = [(values(row.tolist()),) for row in x]
            losses, _, gradient, used = eager(function, parameters, rows)
        got = program.losses(x)
        if used <= EXACT:
            np.testing.assert_array_equal(got, losses)
        np.testing.assert_allclose(got, losses, rtol=1e-15, atol=0)
        np.testing.assert_allclose(program.gradient(x)[1], gradient, rtol=1e-13, atol=1e-15)


SPECIAL = [0.0, -0.0, 1.0, -1.0, 5e-324, -5e-324, 1e-310, 2.0**-1022, 709.0, 710.0, -745.0, -746.0, 1e300, -1e300,
           math.inf, -math.inf, math.nan, 0.5, 2.0, 3.0]  # fmt: skip


@pytest.mark.parametrize("op", [op for op in ops.TABLE.values() if op.arity == 1], ids=lambda op: op.name)
def test_functions_at_special_points_are_the_engines(op: ops.Operation) -> None:
    program = mg.compile(lambda x: op(x), [], x=())
    expected = [op.function(x) for x in SPECIAL]
    got = program.outputs(SPECIAL)
    assert len(got) == len(expected)
    for x, a, b in zip(SPECIAL, got, expected, strict=True):
        same = a == b and math.copysign(1, a) == math.copysign(1, b)
        assert same or (a != a and b != b) or math.isclose(a, b, rel_tol=4.5e-16), (x, a, b)


@pytest.mark.parametrize("name", ["exp", "log"])
def test_vector_functions_are_within_two_units_in_the_last_place(name: str) -> None:
    op = ops.by_name(name)
    program = mg.compile(lambda x: op(x), [], x=())
    rng = np.random.default_rng(0)
    if name == "exp":
        x = np.concatenate([rng.uniform(-740, 709, 3000), rng.uniform(-1, 1, 3000), np.linspace(-0.35, 0.35, 1001)])
    else:
        x = np.concatenate([
            np.exp(rng.uniform(-700, 700, 3000)),
            rng.uniform(0.5, 2, 4000),
            1 + np.arange(-99, 99) * 2.0**-52,
        ])
    got = program.outputs(x)
    with mpmath.workdps(40):
        for argument, y in zip(x.tolist(), got.tolist(), strict=True):
            exact = getattr(mpmath, name)(mpmath.mpf(argument))
            assert abs(mpmath.mpf(y) - exact) <= 2 * math.ulp(float(exact)), (argument, y)


def test_a_network_of_plain_scalars() -> None:
    network = ScalarNetwork([12, 9, 7, 4], random.Random(0))
    rng = np.random.default_rng(0)

    def function(x: Any, y: Any) -> Any:
        return mg.cross_entropy(network(x), y)

    program = checked(mg.compile(function, network.parameters(), x=12, y=()))
    x, y = rng.normal(size=(19, 12)), rng.integers(0, 4, 19)
    losses, mean, gradient, _ = eager(
        function, network.parameters(), [(r.tolist(), int(c)) for r, c in zip(x, y, strict=True)]
    )
    np.testing.assert_allclose(program.losses(x, y), losses, rtol=1e-14)
    np.testing.assert_allclose(program.gradient(x, y)[1], gradient, rtol=1e-10, atol=1e-13)
    assert math.isclose(program(x, y), mean, rel_tol=1e-14)


def test_where_nothing_flows_an_infinite_derivative_does_not_matter() -> None:
    p = Value(1.0)
    program = mg.compile(lambda x: mg.where(x, (x * p).sqrt(), 0.0 * p), [p], x=())
    assert program.gradient([-4.0, 4.0])[1].tolist() == [0.5]


SKIPPED: dict[str, Callable[[Any, Any], Any]] = {
    "a neuron behind a closed ReLU": lambda x, p: mg.dot([p[0], p[1]], x, p[2]).relu(),
    "written out": lambda x, p: (p[0] * x[0] + p[1] * x[1] + p[2]).relu(),
    "a root": lambda x, p: mg.where(x[1], (x[1] * p[0]).sqrt(), x[0] * p[1]),
    "a largest": lambda x, p: mg.max(p[0] * x[0], p[1] * x[1]),
    "exponentials": lambda x, p: mg.logsumexp([(p[0] * x[0]).relu(), (p[1] * x[1]).relu()]),
    "a loop": lambda x, p: mg.sum([(w * v).relu() for w in p for v in x]),
}  # fmt: skip


@pytest.mark.parametrize("name", SKIPPED)
@pytest.mark.parametrize("batch", [1, 3, 9])
def test_where_no_gradient_flows_an_infinite_factor_does_no_harm(name: str, batch: int) -> None:
    function, p = SKIPPED[name], [Value(0.5), Value(-1.5), Value(0.25)]
    program = checked(mg.compile(lambda x: function(x, p), p, x=2))
    program._careful = runtime.Machine(program._parts.careful(), p, False, check=True)
    rng = np.random.default_rng(0)
    for row in ([-math.inf, 1.0], [-math.inf, -2.0], [0.0, -math.inf], [0.5, -1.0]):
        x = np.abs(rng.normal(size=(batch, 2)))
        x[-1] = row
        _, _, gradient, _ = eager(lambda r: function(r, p), p, [(values(r.tolist()),) for r in x])
        np.testing.assert_allclose(program.gradient(x)[1], gradient, rtol=1e-12)


def test_training_goes_on_where_no_gradient_flows() -> None:
    p = [Value(0.5), Value(-1.5), Value(0.25)]
    program = mg.compile(lambda x: SKIPPED["a neuron behind a closed ReLU"](x, p), p, x=2)
    x = np.array([[0.5, 0.25], [-math.inf, 1.0], [1.0, 0.5]])
    losses = program.sgd(x, lr=0.1, batch_size=2, epochs=3, seed=1)
    assert np.isfinite(losses).all()
    assert all(math.isfinite(v.data) for v in p)


def test_the_same_call_gives_the_same_bits_whatever_ran_before() -> None:
    model = mg.MLP(6, [7, 3], rng=0)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(45, 6)), np.eye(3)[rng.integers(0, 3, 45)]
    program = mg.compile(lambda x, y: mg.cross_entropy(model(x), y), model.parameters(), x=6, y=3)
    loss, gradient = program.gradient(x, y)
    program.gradient(x[:5] * 1e200, y[:5])
    program(x[:1], y[:1])
    again = program.gradient(x, y)
    assert again[0] == loss
    assert again[1].tolist() == gradient.tolist()
    single = [program.gradient(x[i : i + 1], y[i : i + 1])[0] for i in range(45)]
    assert program.losses(x, y).tolist() == single  # and a sample's loss does not depend on its neighbours


# ---- whole data sets, several outputs, picking --------------------------------------------------------------------


def test_a_loss_over_a_whole_data_set_needs_no_inputs() -> None:
    model = mg.MLP(2, [8, 1], rng=0)
    rng = random.Random(0)
    data = [([rng.gauss(0, 1), rng.gauss(0, 1)], rng.choice([-1, 1])) for _ in range(30)]

    def total() -> Any:
        scores = [model([Value(v) for v in x]) for x, _ in data]
        losses = [(1 + -y * score).relu() for score, (_, y) in zip(scores, data, strict=True)]
        return sum(losses) * (1 / len(losses)) + 1e-4 * sum(p * p for p in model.parameters())

    program = checked(mg.compile(total, model.parameters()))
    expected = total()
    expected.backward()
    loss, gradient = program.gradient()
    assert loss == expected.data == program()
    np.testing.assert_allclose(gradient, [p.grad for p in model.parameters()], rtol=1e-12, atol=1e-15)
    losses = program.sgd(lr=0.1, epochs=40)
    assert losses.shape == (40,)
    assert losses[-1] < losses[0]
    assert math.isclose(program(), total().data, rel_tol=1e-13)


def test_outputs_have_the_functions_structure() -> None:
    model = mg.MLP(3, [4, 2], rng=0)
    x = np.random.default_rng(0).normal(size=(9, 3))
    predict = mg.compile(model, model.parameters(), x=3)
    expected = [[float(v) for v in model(row)] for row in x.tolist()]
    assert predict.outputs(x).tolist() == expected
    with pytest.raises(TypeError, match="2 outputs and no loss"):
        predict(x)
    both = mg.compile(lambda x: (mg.sum(model(x)), model(x), x[0] * 2), model.parameters(), x=3)
    loss, logits, twice = both.outputs(x)
    assert logits.tolist() == expected
    assert twice.tolist() == (x[:, 0] * 2).tolist()
    assert both.losses(x).tolist() == loss.tolist()


def test_gather_picks_parameters_by_an_integer_input() -> None:
    rng = random.Random(0)
    table = [[Value(rng.gauss(0, 1)) for _ in range(3)] for _ in range(6)]
    parameters = [p for row in table for p in row]

    def function(i: Any, y: Any) -> Any:
        return (mg.sum([mg.gather([row[d] for row in table], i) * (d + 1) for d in range(3)]) - y) ** 2

    program = checked(mg.compile(function, parameters, i=(), y=()))
    i, y = np.array([0, 5, 5, 2, 3, 1, 4, 0, 2, 2]), np.linspace(-1, 1, 10)
    losses, _, gradient, _ = eager(function, parameters, list(zip(i.tolist(), y.tolist(), strict=True)))
    assert program.losses(i, y).tolist() == losses
    np.testing.assert_allclose(program.gradient(i, y)[1], gradient, rtol=1e-14)
    for wrong in (6, -1, 0.5, math.nan):
        with pytest.raises(IndexError, match="sample 1: i picks one of 6 values"):
            program([0, wrong], [0.0, 0.0])
    with pytest.raises(IndexError, match="expected a whole number from 0 to 2, got 3"):
        mg.gather([1.0, 2.0, 3.0], 3)


def test_inputs_may_have_shapes() -> None:
    p = Value(2.0)
    program = mg.compile(lambda m: p * sum(m[r][c] * (r - c) for r in range(2) for c in range(3)), [p], m=(2, 3))
    x = np.arange(12.0).reshape(2, 2, 3)
    assert program.losses(m=x).tolist() == [2 * sum(s[r][c] * (r - c) for r in range(2) for c in range(3)) for s in x]


# ---- training -----------------------------------------------------------------------------------------------------


def moons(n: int = 37) -> list[tuple[list[float], int]]:
    rng = random.Random(0)
    return [([rng.gauss(0, 1), rng.gauss(0, 1)], rng.choice([-1, 1])) for _ in range(n)]


@pytest.mark.parametrize(
    "rule", [{}, {"momentum": 0.9}, {"weight_decay": 0.01}, {"momentum": 0.5, "weight_decay": 0.1}], ids=str
)
def test_sgd_is_fits(rule: dict[str, float]) -> None:
    data = moons()
    eager_model, compiled_model = mg.MLP(2, [8, 1], rng=1), mg.MLP(2, [8, 1], rng=1)
    schedule = lambda step: 0.1 / (1 + 0.1 * step)  # noqa: E731
    history = mg.fit(
        eager_model,
        data,
        mg.hinge_loss,
        mg.SGD(eager_model.parameters(), schedule, **rule),
        4,
        8,
        rng=3,
        progress=False,
    )
    program = mg.compile(lambda x, y: mg.hinge_loss(compiled_model(x), y), compiled_model.parameters(), x=2, y=())
    x, y = [s for s, _ in data], [t for _, t in data]
    losses = program.sgd(x, y, lr=schedule, epochs=4, batch_size=8, seed=3, **rule)
    np.testing.assert_allclose(losses, history.losses, rtol=1e-12)
    np.testing.assert_allclose(
        [p.data for p in compiled_model.parameters()],
        [p.data for p in eager_model.parameters()],
        rtol=1e-11,
        atol=1e-14,
    )


def test_a_step_of_plain_sgd_where_gather_picks_among_parameters() -> None:
    rows = [Value(0.5), Value(-0.25)]
    program = mg.compile(lambda x, y: (mg.gather(rows, x) - y) ** 2, rows, x=(), y=())
    program.sgd([0.0], [1.0], lr=0.25)
    assert [p.data for p in rows] == [0.75, -0.25]


def test_without_a_shuffle_every_epoch_takes_the_samples_as_they_come() -> None:
    p = Value(0.0)
    program = mg.compile(lambda x: (p - x) ** 2, [p], x=())
    assert program.sgd([1.0, 3.0], lr=0.5, batch_size=1, epochs=2, shuffle=False).tolist() == [1.0, 4.0, 4.0, 4.0]


def test_orders_are_shuffled_as_python_shuffles_lists() -> None:
    machine = mg.compile(lambda x: x * 2, [], x=())
    machine([1.0])
    shuffled = machine._machine.shuffled  # type: ignore[union-attr]
    for n, count in [(0, 2), (1, 3), (2, 5), (17, 4), (1000, 3), (5000, 1)]:
        mine, pythons = random.Random(n), random.Random(n)
        orders = shuffled(mine, np.arange(n), count)
        expected = list(range(n))
        for order in orders.tolist():
            pythons.shuffle(expected)
            assert order == expected
        assert mine.getstate() == pythons.getstate()

    class Unusual(random.Random):
        def shuffle(self, x: Any) -> None:
            x.reverse()

    assert shuffled(Unusual(0), np.arange(4), 2).tolist() == [[3, 2, 1, 0], [0, 1, 2, 3]]


def test_many_epochs_at_once_are_the_same_as_one_by_one() -> None:
    x, y = [s for s, _ in moons()], [t for _, t in moons()]
    ways = []
    for epochs in ([6], [1] * 6):
        model = mg.MLP(2, [4, 1], rng=0)
        program = mg.compile(lambda x, y, model=model: mg.hinge_loss(model(x), y), model.parameters(), x=2, y=())
        rng = random.Random(5)
        parts = [program.sgd(x, y, lr=0.1, batch_size=8, epochs=n, seed=rng, shuffle=False) for n in epochs]
        ways.append((np.concatenate(parts).tolist(), [p.data for p in model.parameters()]))
    assert ways[0] == ways[1]


def test_steps_that_were_not_taken_are_not_counted() -> None:
    model = mg.MLP(2, [4, 1], rng=0)
    before = [p.data for p in model.parameters()]
    optimizer = mg.SGD(model.parameters(), lambda step: 0.1 if step < 3 else -1.0)
    program = mg.compile(lambda x, y: mg.hinge_loss(model(x), y), model.parameters(), x=2, y=())
    arrays, count = program._arrays(([s for s, _ in moons()], [t for _, t in moons()]), {})
    with pytest.raises(ValueError, match="lr at step 3"):
        Training(program, optimizer, arrays, count, 8).run(np.arange(count)[None])
    assert optimizer.steps == 0
    assert [p.data for p in model.parameters()] == before


def test_epochs_before_the_one_that_diverges_are_kept() -> None:
    p = Value(1.0)
    program = mg.compile(lambda x: p * p * x, [p], x=())
    with pytest.raises(ValueError, match="step 5"):
        program.sgd([10.0], lr=lambda step: 0.01 if step < 5 else 1e308, epochs=9)
    assert math.isclose(p.data, 0.8**5)


def test_fit_compiled_gives_the_same_history() -> None:
    data = [([random.Random(i).gauss(0, 1) for _ in range(6)], i % 3) for i in range(50)]
    histories = []
    steps: list[float] = []
    for compiled, callbacks in ((False, []), (True, []), (True, [lambda step: steps.append(step.loss.data)])):
        model = mg.MLP(6, [5, 3], rng=0)
        optimizer = mg.SGD(model.parameters(), 0.05, momentum=0.9)
        histories.append(
            mg.fit(model, data[:40], mg.cross_entropy, optimizer, 3, 16, held_out=data[40:], compiled=compiled,
                   callbacks=callbacks, progress=False)
        )  # fmt: skip
        assert optimizer.steps == 9
    reference = histories[0]
    for history in histories[1:]:
        np.testing.assert_allclose(history.losses, reference.losses, rtol=1e-11)
        for epoch, expected in zip(history.epochs, reference.epochs, strict=True):
            assert (epoch.epoch, epoch.steps, epoch.accuracy) == (expected.epoch, expected.steps, expected.accuracy)
            assert epoch.held_out_accuracy == expected.held_out_accuracy
            assert math.isclose(epoch.held_out_loss or 0, expected.held_out_loss or 0, rel_tol=1e-11)
    assert steps == histories[2].losses


def test_fit_compiled_stops_where_a_callback_says_and_measures_nothing_without_right_and_wrong() -> None:
    model = mg.MLP(2, [4, 1], rng=0)

    def stop(step: mg.Step) -> None:
        step.stop = step.number == 2

    history = mg.fit(
        model, moons(), mg.hinge_loss, mg.SGD(model.parameters(), 0.1), 5, 8, compiled=True, callbacks=[stop],
        correct=None, held_out=moons(5), progress=False,
    )  # fmt: skip
    assert len(history.losses) == 3
    assert history.epochs[0].accuracy is history.epochs[0].held_out_accuracy is None


@pytest.mark.parametrize(
    ("data", "loss", "error", "message"),
    [
        ([([0.0, 1.0], 0.5)], mg.hinge_loss, ValueError, "hinge_loss: expected a target of -1 or 1, got 0.5"),
        (
            [([0.0, 1.0], 1), ([1.0], 1)],
            mg.hinge_loss,
            ValueError,
            r"sample 1: expected the inputs of the shape \(2,\)",
        ),
        ([([0.0, 1.0], "up")], mg.hinge_loss, TypeError, "expected the target as numbers, got str"),
        ([([0.0, 1.0], 1)], lambda out, y: [mg.hinge_loss(out, y)], TypeError, "expected the loss as a Value"),
    ],
)
def test_fit_compiled_refuses_what_fit_refuses_before_anything_moves(
    data: Any, loss: Any, error: type[Exception], message: str
) -> None:
    model = mg.MLP(2, [4, 1], rng=0)
    before = [p.data for p in model.parameters()]
    with pytest.raises(error, match=message):
        mg.fit(model, data, loss, mg.SGD(model.parameters(), 0.1), 1, compiled=True, progress=False)
    assert [p.data for p in model.parameters()] == before


def test_fit_compiled_takes_rows_of_arrays_and_nested_outputs() -> None:
    class Twice(mg.Module):
        def __init__(self) -> None:
            self.inner = mg.MLP(2, [2], rng=0)

        def __call__(self, x: Any) -> Any:
            outputs = self.inner(x)
            return [outputs, [outputs[0]]]

    model, seen = Twice(), []
    data = [(np.array([0.5, 1.0]), 1.0), (np.array([1.5, -1.0]), 0.0)]

    def correct(output: Any, target: Any) -> bool:
        seen.append(output)
        return True

    mg.fit(
        model, data, lambda out, y: (out[0][0] + out[1][0] - y) ** 2, mg.SGD(model.parameters(), 0.1), 1,
        correct=correct, compiled=True, progress=False,
    )  # fmt: skip
    assert [(len(out[0]), len(out[1])) for out in seen] == [(2, 1)] * 2


def test_fit_compiled_trains_what_the_optimizer_holds() -> None:
    model = mg.MLP(2, [4, 1], rng=0)
    frozen, trained = model.parameters()[:12], model.parameters()[12:]
    before = [p.data for p in frozen]
    mg.fit(model, moons(), mg.hinge_loss, mg.SGD(trained, 0.1), 2, 8, compiled=True, progress=False)
    assert [p.data for p in frozen] == before


def test_training_that_diverges_is_an_error_and_changes_nothing() -> None:
    model = mg.MLP(2, [4, 1], rng=0)
    program = mg.compile(lambda x, y: mg.mse_loss(model(x), y), model.parameters(), x=2, y=())
    before = [p.data for p in model.parameters()]
    x, y = [s for s, _ in moons()], [t for _, t in moons()]
    with pytest.raises(ValueError, match=r"step \d+: the loss is .*parameters are those before this epoch"):
        program.sgd(x, y, lr=1e200, epochs=3, batch_size=8)
    assert [p.data for p in model.parameters()] == before
    with pytest.raises(mg.AnomalyError, match="the loss is"):
        mg.fit(model, moons(), mg.mse_loss, mg.SGD(model.parameters(), 1e200), 2, 8, compiled=True, progress=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": 0}, "lr"),
        ({"lr": 0.1, "epochs": 0}, "epochs"),
        ({"lr": 0.1, "batch_size": 0}, "batch_size"),
        ({"lr": 0.1, "momentum": 1.0}, "momentum"),
    ],
)
def test_numbers_out_of_range_are_errors_before_anything_moves(arguments: dict[str, Any], message: str) -> None:
    p = Value(1.0)
    program = mg.compile(lambda x: p * x, [p], x=())
    with pytest.raises(ValueError, match=message):
        program.sgd([1.0, 2.0], **arguments)
    assert p.data == 1.0


def test_eager_and_compiled_code_mix() -> None:
    p = Value(3.0)
    program = mg.compile(lambda x: p * x, [p], x=())
    assert program([2.0]) == 6.0
    p.data = 5.0
    assert program([2.0]) == 10.0
    program.sgd([1.0], lr=1.0)
    assert p.data == 4.0
    p.data = -0.0
    assert math.copysign(1, program([2.0])) == -1
    p.data = 3  # an int, which machine code leaves to Python
    assert program([2.0]) == 6.0


def test_where_objects_cannot_be_read_by_machine_code_python_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "layout", lambda: None)
    p = Value(3.0)
    program = mg.compile(lambda x: p * x, [p], x=())
    assert program([2.0]) == 6.0
    p.data = 5.0
    assert program([2.0]) == 10.0


def test_an_array_may_change_between_calls() -> None:
    p = Value(3.0)
    program = mg.compile(lambda x: p * x, [p], x=())
    x = np.array([1.0, 2.0])
    assert program(x) == 4.5
    x[:] = 4.0
    assert program(x) == 12.0
    assert program(x[:1]) == 12.0
    assert program(np.ones(50)) == 3.0
    assert program(x) == 12.0


# ---- what cannot be traced, and wrong inputs ----------------------------------------------------------------------

model = mg.MLP(3, [4, 2], rng=0)
stranger = Value(3.0)
UNTRACEABLE: dict[str, tuple[Callable[[Any], Any], str]] = {
    "if": (lambda x: x[0] if x[0] > 0 else x[1], "mg.where"),
    "if on a parameter": (lambda x: x[0] if model.parameters()[0] > 0 else x[1], "mg.where"),
    "float": (lambda x: float(x[0]) * x[0], "plain number"),
    "float of a parameter": (lambda x: float(model.parameters()[0]) * x[0], "plain number"),
    "math": (lambda x: math.exp(x[0]), "mg.exp"),
    "data": (lambda x: x[0] * model(x)[0].data, "has no .data"),
    "grad": (lambda x: x[0] * model.parameters()[0].grad, "has no .grad"),
    "Python's max": (lambda x: max(model(x), key=lambda v: v), "mg.max"),
    "index": (lambda x: [1.0, 2.0][x[0]] * x[1], "mg.gather"),
    "another parameter": (lambda x: x[0] * stranger, "list it among the parameters"),
    "text": (lambda x: x[0] * "2", "expected a real number"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNTRACEABLE)
def test_what_cannot_be_traced_is_an_error_with_the_line_and_a_hint(name: str) -> None:
    function, hint = UNTRACEABLE[name]
    before = [(type(p), p.data, p._mark) for p in model.parameters()]
    with pytest.raises(mg.TraceError, match=re.escape(hint)) as error:
        mg.compile(function, model.parameters(), x=3)
    line = function.__code__.co_firstlineno
    assert f"{__file__}:{line}: " in str(error.value)
    assert f'"{name}": (lambda x: ' in str(error.value)
    assert [(type(p), p.data, p._mark) for p in model.parameters()] == before
    assert Value(2.0).data == 2.0


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: model.parameters()[0] * 2, "does not depend on its inputs"),
        (lambda x: [x[0], 1.0], "output 1 .* does not depend"),
        (lambda x: None, "returned NoneType"),
        (lambda x: [], "empty list"),
        (lambda x: mg.compile(lambda y: y, [], y=()), "cannot compile another"),
    ],
)
def test_outputs_that_make_no_program_are_errors(function: Any, message: str) -> None:
    with pytest.raises(mg.TraceError, match=message):
        mg.compile(function, model.parameters(), x=3)


def test_a_traced_value_cannot_be_used_afterwards() -> None:
    kept: list[Any] = []
    mg.compile(lambda x: kept.append(x) or x[0] * 2, [], x=2)
    assert repr(kept[0][1]) == "Traced(input[1])"
    with pytest.raises(mg.TraceError, match="after the trace had ended"):
        kept[0][0] + 1


def test_constants_made_by_the_function_are_constants() -> None:
    p = Value(2.0)
    program = mg.compile(lambda x: Value(3.0) * (Value(1.0) + 1) * p * x, [p], x=())
    assert program([1.0]) == 12.0


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ([1.0], TypeError, "expected parameters as Values"),
        ([stranger, stranger], ValueError, "once"),
        ([stranger * 2], ValueError, "not themselves computed"),
        ([Value(mpmath.mpf(1))], TypeError, "parameters of floats"),
    ],
)
def test_wrong_parameters_are_errors(parameters: list[Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        mg.compile(lambda x: x, parameters, x=())


@pytest.mark.parametrize("shape", [0, -1, 2.5, "3", (2, 0), True])
def test_wrong_sizes_are_errors(shape: Any) -> None:
    with pytest.raises(ValueError, match="expected x as a size"):
        mg.compile(lambda x: x, [], x=shape)


def test_wrong_inputs_are_errors_that_name_them() -> None:
    program = mg.compile(lambda x, y: x[0] * y, [], x=2, y=())
    with pytest.raises(ValueError, match=r"expected x of the shape \(samples, 2\), got \(1, 3\)"):
        program([[1, 2, 3]], [1])
    with pytest.raises(ValueError, match="as many samples in y as in x, 2; got 1"):
        program([[1, 2], [3, 4]], [1])
    with pytest.raises(ValueError, match="at least one sample"):
        program(np.empty((0, 2)), [])
    with pytest.raises(TypeError, match="missing inputs: y"):
        program([[1, 2]])
    with pytest.raises(TypeError, match="unknown argument 'z'; the inputs are x, y"):
        program([[1, 2]], [1], z=3)
    with pytest.raises(TypeError, match="x is given twice"):
        program([[1, 2]], x=[[1, 2]])
    with pytest.raises(TypeError, match="the inputs are x, y; got 3"):
        program([[1, 2]], [1], [1])


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([[1, 2], [3]], ValueError, r"x as real numbers of the shape \(samples, 2\), got lists of unequal lengths"),
        ([["0.5", "1"]], TypeError, "x as real numbers .*0.5"),
        ([[None, 1.0]], TypeError, "x as real numbers"),
        (np.array([[1j, 2.0]]), TypeError, "complex128"),
        (np.ma.masked_array([[1.0, 2.0]], mask=[[True, False]]), TypeError, "masked"),
        ([[10**400, 1]], ValueError, "too large"),
        ((row for row in [[1.0, 2.0]]), TypeError, "generator"),
    ],
)  # fmt: skip
def test_what_are_not_real_numbers_is_an_error_that_names_the_input(x: Any, error: Any, message: str) -> None:
    program = mg.compile(lambda x: x[0] * x[1], [], x=2)
    with pytest.raises(error, match=message):
        program(x)


def test_numbers_of_any_kind_are_taken_as_floats() -> None:
    program = mg.compile(lambda x: x[0] * x[1], [], x=2)
    for x in ([[2, 3]], np.array([[2, 3]], "i2"), np.float32([[2, 3]]), [[Fraction(2), Value(3.0)]], [[2.0, True]]):
        assert program(x) in (6.0, 2.0)


def test_wrong_sizes_are_found_while_tracing() -> None:
    model = mg.MLP(3, [4, 1], rng=0)
    for size in (2, 4):
        with pytest.raises(ValueError, match="expected 3 inputs"):
            mg.compile(lambda x: model(x), model.parameters(), x=size)
    with pytest.raises(ValueError, match="expected 2 inputs"):
        mg.compile(lambda x: mg.dot(model.parameters()[:2], x), model.parameters(), x=3)
    with pytest.raises(ValueError, match="got ndarray"):
        mg.compile(lambda x: x, [], x=np.ones((2, 2)))
    with pytest.raises(TypeError, match="parameters as a list of Values, got MLP"):
        mg.compile(lambda x: x, model, x=())  # type: ignore[arg-type]


@pytest.mark.parametrize("batch", [1, 4, 8, 11])
def test_functions_that_only_the_adjoint_calls_are_there_for_every_number_of_lanes(batch: int) -> None:
    p, q = Value(0.7), Value(1.3)
    program = checked(mg.compile(lambda x: (x * q) ** p, [p, q], x=()))
    x = np.linspace(0.5, 2.5, batch)
    _, _, gradient, _ = eager(lambda v: (v * q) ** p, [p, q], [(Value(v),) for v in x.tolist()])
    np.testing.assert_allclose(program.gradient(x)[1], gradient, rtol=1e-13)


def test_another_thread_cannot_write_into_a_trace() -> None:
    model = mg.MLP(3, [4, 1], rng=0)
    found: list[BaseException] = []

    def elsewhere() -> None:
        try:
            model.parameters()[0] + 1.0
        except BaseException as error:
            found.append(error)

    def function(x: Any) -> Any:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        return model(x)

    program = mg.compile(function, model.parameters(), x=3)
    assert program([[1.0, 2.0, 3.0]]) == model([1.0, 2.0, 3.0]).data
    assert isinstance(found[0], mg.TraceError)
    assert "another thread" in str(found[0])


def test_an_interrupt_while_parameters_are_written_back_changes_none() -> None:
    parameters = [Value(1.0), Value(2.0)]
    program = mg.compile(lambda x: parameters[0] * x + parameters[1] * x, parameters, x=())
    program([1.0])

    class Interrupted(list[float]):
        def __iter__(self) -> Any:
            yield 7.0
            raise KeyboardInterrupt

    class Params:
        def tolist(self) -> Any:
            return Interrupted()

    machine = program._machine
    assert machine is not None
    machine.params, whole = Params(), machine.params
    with pytest.raises(KeyboardInterrupt):
        machine.write()
    machine.params = whole
    assert [p.data for p in parameters] == [1.0, 2.0]


def test_a_program_without_a_pattern_has_few_kinds_of_statements_whatever_its_size() -> None:
    rng = random.Random(0)
    p = [Value(rng.random()) for _ in range(9)]
    plan = [(rng.random(), rng.random(), rng.randrange(3)) for _ in range(3000)]

    def function(x: Any) -> Any:
        v = [*x, *p]
        for a, b, kind in plan:
            left, right = v[-1 - int(a * min(len(v), 40))], v[int(b * len(v))]
            v.append([mg.max(left, right), left + right, left.sin()][kind])
        return mg.mean(v[-300:])

    program = checked(mg.compile(function, p, x=3))
    (kinds,) = [int(n) for n in re.findall(r"operations of (\d+) kinds", str(program))]
    assert kinds < 60
    assert_same(program, function, p, np.random.default_rng(0).normal(size=(5, 3)))


def test_inputs_are_given_by_name_or_in_order_but_not_half_and_half() -> None:
    w = Value(2.0)
    assert mg.compile(lambda a, b: w * a - b, [w], b=(), a=())(b=[1.0], a=[10.0]) == 19.0
    assert mg.compile(lambda a, b: w * a - b, [w], x=(), y=())([10.0], [1.0]) == 19.0
    with pytest.raises(TypeError, match="no argument 'c', among a, b"):
        mg.compile(lambda a, b: w * a - b, [w], c=(), a=())


def test_without_llvmlite_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(ImportError, match=r"micrograd_like\[compiled\]"):
        mg.compile(lambda x: x, [], x=())


def test_a_row_without_a_machine_form_is_an_error_and_one_that_is_composed_needs_none() -> None:
    try:
        cube = ops.row("cube", "³", lambda x: x * x * x, lambda g, out, x: 3 * g * x * x, doc="x³")
        with pytest.raises(mg.TraceError, match="no machine form"):
            mg.compile(lambda x: cube(x), [], x=())([1.0])
        del ops.TABLE["cube"]
        composed = ops.row(
            "cube", "³", lambda x: x * x * x, lambda g, out, x: 3 * g * x * x, expansion=lambda x: x * x * x, doc="x³"
        )
        p = Value(2.0)
        loss, gradient = mg.compile(lambda x: composed(p * x), [p], x=()).gradient([3.0])
        assert (loss, gradient.tolist()) == (216.0, [324.0])
    finally:
        del ops.TABLE["cube"]


# ---- print, pickle, cache, memory ---------------------------------------------------------------------------------


def test_a_printed_program_shows_the_loops() -> None:
    model = mg.MLP(3, [4, 2], rng=0)
    program = mg.compile(lambda x, y: mg.mse_loss(model(x), y), model.parameters(), x=3, y=2)
    text = str(program)
    assert text.startswith("# ")
    assert "# a sample's inputs: x is x[0] … x[2], y is x[3] … x[4]" in text
    assert "for i in range(4):\n    v[2*i] = p[4*i + 3] + sum(p[4*i + j] * x[j] for j in range(3))" in text
    assert repr(program) == "Program(26 parameters, x=(3,), y=(2,))"


def test_a_program_pickles_as_its_loops() -> None:
    function, parameters, size = random_program(7)
    program = mg.compile(function, parameters, x=size, k=PICKS)
    arrays = samples(random.Random(0), size, 6)
    loss = program(*arrays)
    copy = pickle.loads(pickle.dumps(program))
    assert copy(*arrays) == loss
    assert copy.parameters[0] is not program.parameters[0]
    assert str(copy) == str(program)


def test_a_pickled_table_still_runs() -> None:
    rng = random.Random(0)
    p = [Value(rng.random()) for _ in range(9)]
    plan = [(rng.random(), rng.random(), rng.random() < 0.5) for _ in range(1500)]

    def function(x: Any) -> Any:
        v = [*x, *p]
        for a, b, product in plan:
            left, right = v[-1 - int(a * min(len(v), 40))], v[int(b * len(v))]
            v.append((left * right if product else left - right).tanh())
        return mg.mean(v[-300:])

    program = checked(mg.compile(function, p, x=3))
    x = np.random.default_rng(0).normal(size=(13, 3))
    assert "without a pattern" in str(program)
    assert_same(program, function, p, x)
    assert pickle.loads(pickle.dumps(program))(x) == program(x)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(native.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def tiny(cached: bool = True) -> float:
    p = Value(3.0)
    return mg.compile(lambda x: (p * x).exp(), [p], cached=cached, x=())([0.5, 0.25])


def test_machine_code_is_kept_on_disk_and_a_broken_file_is_replaced(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = tiny()
    files = sorted(cache.iterdir())
    assert files
    whole = [f.read_bytes() for f in files]
    monkeypatch.setattr(native, "machine_code", None)  # nothing is compiled a second time
    assert tiny() == loss
    monkeypatch.undo()
    monkeypatch.setenv(native.CACHE_VARIABLE, str(cache))
    for f, content in zip(files, whole, strict=True):
        f.write_bytes(content[: len(content) // 2])
    assert tiny() == loss
    for f, content in zip(files, whole, strict=True):
        assert f.read_bytes() == content
        f.write_bytes(b"not ours")
    assert tiny() == loss


def test_a_program_without_a_pattern_is_found_in_the_cache_too(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def irregular() -> float:
        rng = random.Random(3)
        p = [Value(rng.random()) for _ in range(9)]

        def function(x: Any) -> Any:
            v = [*x, *p]
            for _ in range(1500):
                v.append((v[-1 - rng.randrange(9)] * v[rng.randrange(len(v))]).tanh())
            return mg.mean(v[-300:])

        program = mg.compile(function, p, x=3)
        assert "without a pattern" in str(program)
        return program([[0.1, 0.2, 0.3]])

    loss = irregular()
    monkeypatch.setattr(native, "machine_code", None)  # nothing is compiled a second time
    assert irregular() == loss


def test_the_cache_can_be_switched_off_and_need_not_be_writable(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loss = tiny(cached=False)
    assert not cache.exists()
    cache.write_text("a file where the folder should be")
    assert tiny() == loss
    monkeypatch.delenv(native.CACHE_VARIABLE)
    assert native.cache_folder() is not None
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    monkeypatch.setattr(sys, "platform", "linux")
    assert native.cache_folder() == Path("/somewhere/micrograd_like")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert str(native.cache_folder()).endswith("Library/Caches/micrograd_like")
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    assert native.cache_folder() is None


def test_programs_that_are_gone_leave_no_memory_behind() -> None:
    """A hundred programs, compiled, run and freed, in a process of their own."""
    script = """
import gc, resource
import micrograd_like as mg
def used():
    gc.collect()
    return int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize()
def programs(n):
    for k in range(n):
        p = mg.Value(float(k))
        mg.compile(lambda x: (p * x).tanh(), [p], cached=False, x=()).gradient([1.0, 2.0])
programs(30)
before = used()
programs(100)
print(used() - before)
"""
    if not Path("/proc/self/statm").exists():
        pytest.skip("memory is read from /proc")
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(result.stdout) < 2_000_000


def test_a_program_that_is_gone_is_freed() -> None:
    import weakref

    program = mg.compile(lambda x: x * 2, [], x=())
    program([1.0])
    ghost = weakref.ref(program)
    del program
    gc.collect()
    assert ghost() is None


@pytest.mark.parametrize("width", [2, 4, 8])
def test_modules_for_any_width_of_vectors_are_well_formed(width: int) -> None:
    """Code for narrower and wider processors than this one: parsed, verified and translated by LLVM."""
    model = mg.MLP(4, [5, 3], rng=0)
    program = mg.compile(lambda x, y: mg.cross_entropy(model(x), y), model.parameters(), x=4, y=3)
    for lanes in (2 * width, width):
        text = blocks.block_module(program._parts, Shape(lanes, width, 4), False)
        native.llvm().parse_assembly(text).verify()
    assert machine.bits(1.0) == 0x3FF0000000000000
    assert native.width() in (2, 4, 8)


def test_any_width_of_vectors_computes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model = mg.MLP(4, [5, 3], rng=0)
    x = np.random.default_rng(0).normal(size=(27, 4))
    results = []
    for width in (2, 4, 8):
        monkeypatch.setattr(native, "width", lambda width=width: width)
        program = mg.compile(lambda x: mg.logsumexp(model(x)), model.parameters(), x=4)
        results.append((program.losses(x).tolist(), program.gradient(x)[1]))
    for losses, gradient in results[1:]:
        assert losses == results[0][0]
        np.testing.assert_allclose(gradient, results[0][1], rtol=1e-12, atol=1e-15)
