"""The peers of the benchmarks compute what the engine computes; how fast they are is not a matter of tests."""

from typing import Any

import numpy as np
import pytest

import micrograd_like as mg
from benchmarks import language
from benchmarks.eager import ClosureValue, gpt
from benchmarks.peers import C, Eager, NumPy, Ours, Task, entered
from benchmarks.race import Contestant, duration, race, times
from micrograd_like import Value


def task(sizes: tuple[int, ...], count: int) -> Task:
    rng = np.random.default_rng(count)
    y = rng.choice([-1.0, 1.0], count) if sizes[-1] == 1 else np.eye(sizes[-1])[rng.integers(0, sizes[-1], count)]
    return Task(sizes, rng.normal(size=(count, sizes[0])), y)


@pytest.mark.parametrize("count", [1, 7, 32, 100])
@pytest.mark.parametrize("sizes", [(2, 9, 5, 1), (7, 6, 3)], ids=str)
def test_every_peer_computes_the_loss_and_the_gradient_of_the_engine(sizes: tuple[int, ...], count: int) -> None:
    peers = entered(task(sizes, count), [Eager, Ours, NumPy, C], batch=48)  # it compares them, trained as well
    assert {Eager.name, Ours.name, NumPy.name} <= peers.keys()


@pytest.mark.parametrize("sizes", [(2, 9, 1), (7, 6, 3)], ids=str)
def test_c_trains_as_the_compiled_program_does(sizes: tuple[int, ...]) -> None:
    try:
        reference = C(task(sizes, 50))
    except ImportError as missing:
        pytest.skip(str(missing))
    ours = Ours(task(sizes, 50))
    reference.training(16, 3)()
    losses: Any = ours.training(16, 3)()
    np.testing.assert_allclose(reference.losses, losses, rtol=1e-12)
    np.testing.assert_allclose(reference.p, [p.data for p in ours.task.model.parameters()], rtol=1e-10)
    assert reference.peak() > 0


def test_a_peer_that_is_wrong_or_missing_is_found_out(capsys: pytest.CaptureFixture[str]) -> None:
    class Wrong(NumPy):
        def gradient(self) -> Any:
            right = super().gradient()
            return lambda: (right()[0] * 1.001, right()[1])

    class Missing(NumPy):
        name = "nowhere"

        def __init__(self, task: Task) -> None:
            raise ImportError("not installed")

    assert Missing.name not in entered(task((3, 2, 2), 5), [Eager, Missing])
    assert "(left out: nowhere: not installed)" in capsys.readouterr().out
    with pytest.raises(AssertionError, match="NumPy"):
        entered(task((3, 2, 2), 5), [Eager, Wrong])


@pytest.mark.parametrize("letters", [3, 9])
def test_every_peer_computes_the_same_language_model(letters: int) -> None:
    texts = language.Texts(2, letters)
    program = mg.compile(texts.loss, texts.model.parameters(), cached=False, x=letters, y=letters)
    peers = language.entered(texts, program)  # it compares them
    assert {"compiled", "eager"} <= peers.keys()


def test_c_trains_the_language_model_as_the_compiled_program_does() -> None:
    texts = language.Texts(4, 3)
    try:
        reference = language.C(texts)
    except ImportError as missing:
        pytest.skip(str(missing))
    program = mg.compile(texts.loss, texts.model.parameters(), cached=False, x=3, y=3)
    losses: Any = language.Ours(texts, program).training()()
    assert reference.training()() == pytest.approx(losses[-1], rel=1e-9)
    np.testing.assert_allclose(reference.p, program.theta(), rtol=1e-6, atol=1e-9)


def test_a_race_gives_each_contestant_a_ratio_to_the_first() -> None:
    results = race({"first": Contestant(lambda: None), "ten": Contestant(lambda: None, units=10)}, rounds=3)
    assert results["first"].ratio == 1.0
    assert results["ten"].low <= results["ten"].ratio <= results["ten"].high
    assert [duration(x) for x in (2.5, 0.0123, 4.56e-6, 7.8e-9)] == ["2.5 s", "12.3 ms", "4.56 µs", "7.8 ns"]
    assert [times(x) for x in (0.123, 12.34, 12345.6)] == ["0.123×", "12.3×", "12,346×"]


def test_the_closures_compute_the_transformer_that_the_engine_computes() -> None:
    mine, theirs = gpt(Value, width=4, heads=2, vocabulary=5), gpt(ClosureValue, width=4, heads=2, vocabulary=5)
    for _ in range(3):  # the second and third loss show the gradients of the steps before
        assert mine().data == pytest.approx(theirs().data, rel=1e-13)
