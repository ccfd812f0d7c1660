"""A loss over a data set that is written in the program: its samples run side by side, and nothing else changes."""

from typing import Any

import numpy as np
import pytest
from compiler_programs import written_program
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from properties import agrees_with_the_engine

import micrograd_like as mg
from micrograd_like import Value
from micrograd_like.compiler import host, runtime
from micrograd_like.data import make_moons


def rows_of(program: mg.Program) -> int:
    """How many samples of a program run side by side."""
    rows = program._parts.once.rows
    return 0 if rows is None else rows.count


def narrowed(program: mg.Program, width: int) -> mg.Program:
    """The program with vectors of at most that width, each of its addresses checked."""
    parts = program._parts
    program._machine = runtime.Machine(parts, program.parameters, False, check=True, width=min(width, host.width()))
    return program


@given(st.integers(0, 2**32), st.sampled_from([2, 4, 8]))
@settings(max_examples=40)
def test_random_losses_over_samples_that_are_written_in_the_program(seed: int, width: int) -> None:
    loss, parameters = written_program(seed)
    try:
        expected = loss()
    except AttributeError:  # of a plain number, which has no methods
        reject()
    agrees_with_the_engine(narrowed(mg.compile(loss, parameters, cached=False), width), parameters, [expected])


def moons(count: int, activation: str = "relu") -> tuple[Any, list[Value]]:
    """micrograd's demo: its loss over all samples, with their scores."""
    found = make_moons(count, noise=0.1, seed=1)
    model = mg.MLP(2, [5, 4, 1], activation=activation, rng=0)

    def loss() -> Any:
        scores = [model(x) for x, _ in found]
        losses = [(1 + -y * score).relu() for (_, y), score in zip(found, scores, strict=True)]
        penalty = 1e-4 * sum(p * p for p in model.parameters())
        return sum(losses) * (1.0 / len(losses)) + penalty, scores

    return loss, model.parameters()


@pytest.mark.parametrize("count", [16, 17, 23, 24, 100])
@pytest.mark.parametrize("width", [2, 4, 8])
def test_micrograd_s_loss_over_all_moons_is_the_eager_one_to_the_last_bit(count: int, width: int) -> None:
    loss, parameters = moons(count)
    program = narrowed(mg.compile(loss, parameters, cached=False), width)
    assert rows_of(program) == count
    expected, scores = loss()
    expected.backward()
    (got, got_scores), (same, gradient) = program.outputs(), program.gradient()
    assert got == same == expected.data
    assert list(got_scores) == [score.data for score in scores]
    np.testing.assert_allclose(gradient, [p.grad for p in parameters], rtol=1e-12, atol=1e-15)


def test_training_on_written_samples_is_training_on_a_batch_of_them() -> None:
    found = make_moons(40, noise=0.1, seed=1)
    x, y = np.array([x for x, _ in found]), np.array([y for _, y in found])
    model, same = (mg.MLP(2, [5, 4, 1], activation="tanh", rng=0) for _ in range(2))
    written = mg.compile(
        lambda: mg.mean([mg.mse_loss(model(x), y) for x, y in found]), model.parameters(), cached=False
    )
    batch = mg.compile(lambda x, y: mg.mse_loss(same(x), y), same.parameters(), cached=False, x=2, y=())
    assert rows_of(written) == 40
    losses = [written.sgd(lr=0.1, epochs=30), batch.sgd(x, y, lr=0.1, epochs=30)]
    np.testing.assert_allclose(*[np.ravel(each) for each in losses], rtol=1e-12)


def test_a_closed_relu_before_an_infinity_passes_nothing_on_in_rows_too() -> None:
    p, numbers = Value(-1.0), np.random.default_rng(0).uniform(0.1, 2, 20).tolist()

    def loss() -> Any:
        return mg.sum([((p * x).relu() * 0.0 + (p * x).relu()).sqrt() for x in numbers])

    program = mg.compile(loss, [p], cached=False)
    assert rows_of(program) == 20
    expected = loss()
    expected.backward()
    mean, gradient = program.gradient()
    assert (mean, gradient.tolist()) == (expected.data, [p.grad])


def test_samples_that_need_one_another_stay_one_after_the_other() -> None:
    p = Value(0.9)

    def loss() -> Any:
        state = Value(0.0)
        for x in range(40):
            state = (state * p + x).tanh()
        return state

    program = mg.compile(loss, [p], cached=False)
    assert rows_of(program) == 0
    assert program() == loss().data


def test_what_all_samples_read_of_one_of_them_gets_the_gradient_of_all() -> None:
    points = np.random.default_rng(0).normal(size=(20, 3)).tolist()
    model = mg.MLP(3, [4, 1], rng=0)

    def loss() -> Any:
        scores = [model(x) for x in points]
        return mg.mean([(score - scores[0]) ** 2 + score.tanh() for score in scores])

    program = mg.compile(loss, model.parameters(), cached=False)
    assert rows_of(program) == 20  # the scores; what is compared with the first one comes after them
    agrees_with_the_engine(program, model.parameters(), [loss()])


def test_a_neuron_s_weights_are_no_samples() -> None:
    model = mg.MLP(3, [32, 1], rng=0)
    assert rows_of(mg.compile(lambda: model([1.0, 2.0, 3.0]), model.parameters(), cached=False)) == 0


def test_the_stage_of_rows_shows_one_of_them_and_computes_the_same() -> None:
    loss, parameters = moons(20)
    program = mg.compile(loss, parameters, cached=False)
    stages = {stage.name: stage for stage in program.stages()}
    numbers = [p.data for p in parameters]
    (_, gradient), (value, own) = stages["adjoint"].run(numbers, []), stages["rows"].run(numbers, [])
    assert value == loss()[0].data
    np.testing.assert_allclose(own, gradient, rtol=1e-12, atol=1e-15)
    assert "dot" not in stages["rows"].text
    assert "x[0]" in stages["rows"].text or "x[j]" in stages["rows"].text
    stages["rows"].check()
