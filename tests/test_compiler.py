"""Compiled programs compute what the eager engine computes: losses bit for bit, gradients to the last few ulps."""

import math
import pickle
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import mpmath
import numpy as np
import pytest
from compiler_programs import EXACT, PICKS, ScalarNetwork, assert_same, checked, eager, random_program, samples, values
from hypothesis import given, settings
from hypothesis import strategies as st

import micrograd_like as mg
from micrograd_like import Value, ops
from micrograd_like.compiler import runtime


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


def test_rows_of_an_embedding_are_a_loop_that_picks() -> None:
    table = [[Value(math.sin(9 * row + d)) for d in range(16)] for row in range(50)]
    parameters = [p for row in table for p in row]

    def function(tokens: Any) -> Any:
        vectors = [[mg.gather([row[d] for row in table], token) for d in range(16)] for token in tokens]
        return mg.sum([a * b for a, b in zip(*vectors, strict=True)])

    program = checked(mg.compile(function, parameters, tokens=2))
    assert str(program).startswith("# 49 scalar operations")
    assert "v[i + 16] = gather(x[1], p[i + 16*j] for j in range(50))" in str(program)
    tokens = np.array([[3.0, 4.0], [0.0, 49.0], [7.0, 7.0], [49.0, 3.0], [1.0, 1.0]] * 3)
    assert_same(program, function, parameters, tokens)
    assert_same(program, function, parameters, tokens[:1])


@pytest.mark.parametrize("batch", [1, 7, 20])
def test_what_picks_may_be_computed(batch: int) -> None:
    p = [Value(0.5), Value(-1.5), Value(2.5)]
    indices = [
        0.0,
        -0.0,
        1.0,
        2.0,
        0.4,
        -0.4,
        0.5,
        1.5,
        2.49,
        2.5,
        3.0,
        -1.0,
        1e300,
        -1e300,
        math.inf,
        -math.inf,
        math.nan,
    ]

    def among_parameters(k: Any, x: Any) -> Any:
        return ops.gather(k * 1.0, *p) * x

    def among_values(k: Any, x: Any) -> Any:
        return ops.gather(k * 1.0, x * p[0], p[1] * 1.0, 7.0)

    rng = np.random.default_rng(0)
    for function in (among_parameters, among_values):
        program = checked(mg.compile(function, p, k=(), x=()))
        for index in indices:
            k, x = np.full(batch, index), rng.normal(size=batch)
            losses, _, gradient, _ = eager(function, p, [(Value(a), Value(b)) for a, b in zip(k, x, strict=True)])
            np.testing.assert_array_equal(program.losses(k, x), losses)
            np.testing.assert_allclose(program.gradient(k, x)[1], gradient, rtol=1e-14)


def test_a_program_without_a_pattern_picks_too() -> None:
    rng = random.Random(0)
    p = [Value(rng.uniform(-1, 1)) for _ in range(9)]
    plan = [(rng.random(), [rng.random() for _ in range(3)], rng.randrange(2)) for _ in range(1200)]

    def function(x: Any, k: Any) -> Any:
        v = [*x, *p]
        for a, some, which in plan:
            left = v[-1 - int(a * min(len(v), 40))]
            v.append((left * mg.gather([v[int(b * len(v))] for b in some], k[which])).tanh())
        return mg.mean(v[-300:])

    program = checked(mg.compile(function, p, x=3, k=2))
    assert "without a pattern" in str(program)
    x, k = np.random.default_rng(0).normal(size=(11, 3)), np.random.default_rng(0).integers(0, 3, (11, 2)).astype(float)
    assert_same(program, function, p, x, k)


def test_inputs_may_have_shapes() -> None:
    p = Value(2.0)
    program = mg.compile(lambda m: p * sum(m[r][c] * (r - c) for r in range(2) for c in range(3)), [p], m=(2, 3))
    x = np.arange(12.0).reshape(2, 2, 3)
    assert program.losses(m=x).tolist() == [2 * sum(s[r][c] * (r - c) for r in range(2) for c in range(3)) for s in x]


def test_parameters_may_be_a_vector() -> None:
    model = mg.MLP(3, [5, 2], rng=0)
    program = mg.compile(lambda x, y: (mg.cross_entropy(model(x), y), model(x)), model.parameters(), x=3, y=())
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(13, 3)), rng.integers(0, 2, 13)
    theta = program.theta()
    assert theta.tolist() == [p.data for p in model.parameters()]
    moved = theta + 0.25
    at = [
        program(x, y, at=moved),
        program.losses(x, y, at=moved),
        program.outputs(x, y, at=moved)[1],
        *program.gradient(x, y, at=moved),
        *program.gradient(x, y, at=moved.tolist()),
        *program.gradient(x, y, at=np.repeat(moved, 2)[::2]),
    ]
    assert program.theta().tolist() == theta.tolist()  # nothing was written to the parameters
    assert program(x, y) != at[0]
    for p, v in zip(model.parameters(), moved.tolist(), strict=True):
        p.data = v
    own = [
        program(x, y),
        program.losses(x, y),
        program.outputs(x, y)[1],
        *[v for _ in range(3) for v in program.gradient(x, y)],
    ]
    for one, other in zip(at, own, strict=True):
        np.testing.assert_array_equal(one, other)
    for wrong, error, message in [
        (theta[:-1], ValueError, r"expected at as 32 numbers, one for each parameter, got the shape \(31,\)"),
        (theta[None], ValueError, "got the shape"),
        (["a"] * 32, TypeError, "expected at as 32 numbers"),
        ([1.0, [2.0]], ValueError, "expected at as 32 numbers"),
    ]:
        with pytest.raises(error, match=message):
            program(x, y, at=wrong)


def test_a_bound_program_is_a_function_of_the_parameters() -> None:
    model = mg.MLP(3, [5, 2], rng=0)
    program = mg.compile(lambda x, y: mg.cross_entropy(model(x), y), model.parameters(), x=3, y=())
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(13, 3)), rng.integers(0, 2, 13).astype(float)
    step, theta = program.bind(x, y), program.theta()
    for at in (None, theta, None, theta + 0.5, (theta - 0.5).tolist(), theta, theta, None):
        loss, gradient = step(at)
        expected = program.gradient(x, y, at=at)
        assert loss == expected[0]
        assert gradient.tolist() == expected[1].tolist()
    theta *= 2
    assert step(theta)[0] == program(x, y, at=theta)  # the same array with other numbers
    x[:] += 1.0
    assert step(theta)[0] == program(x, y, at=theta)
    model.parameters()[0].data += 1.0
    assert step()[0] == program(x, y)
    assert step()[1] is step.gradient
    y[3] = 2.0
    with pytest.raises(IndexError, match="sample 3: y picks one of 2 values"):
        step()
    with pytest.raises(ValueError, match="expected at as 32 numbers"):
        step(theta[1:])


def test_where_no_gradient_flows_a_bound_program_takes_care_too() -> None:
    p = [Value(0.5), Value(-1.5), Value(0.25)]
    program = mg.compile(lambda x: SKIPPED["a neuron behind a closed ReLU"](x, p), p, x=2)
    rows = np.array([[0.5, 0.25], [-math.inf, 1.0]])
    loss, gradient = program.bind(rows)()
    assert loss == program(rows)
    assert gradient.tolist() == program.gradient(rows)[1].tolist()
    assert np.isfinite(gradient).all()


def test_threads_call_a_program_side_by_side() -> None:
    model = mg.MLP(4, [9, 3], rng=0)
    program = mg.compile(lambda x, y: mg.cross_entropy(model(x), y), model.parameters(), x=4, y=())
    rng = np.random.default_rng(0)
    work = [
        (rng.normal(size=(n, 4)), rng.integers(0, 3, n), program.theta() * s)
        for n, s in zip(range(1, 400, 7), np.linspace(-1, 1, 60), strict=False)
    ]
    expected = [program.gradient(x, y, at=theta) for x, y, theta in work]
    fresh = pickle.loads(pickle.dumps(program))  # its machine code is loaded by whoever is first
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            found = list(pool.map(lambda w: fresh.gradient(w[0], w[1], at=w[2]), work))
            for (loss, gradient), (right, wanted) in zip(found, expected, strict=True):
                assert loss == right
                assert gradient.tolist() == wanted.tolist()
