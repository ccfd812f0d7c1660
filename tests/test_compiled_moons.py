"""micrograd's own demonstration with its loss compiled: it trains to the boundary that micrograd draws.

The program is that of its notebook (`demo.ipynb`), its import changed. The one line that had to move is the accuracy: it
reads `.data`, and a compiled function has none. So the loss returns the scores, and the accuracy is taken from those.
"""

import importlib
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_moons

import micrograd_like as mg
from micrograd_like.compiler import native
from micrograd_like.engine import Value
from micrograd_like.nn import MLP

STEPS = 100
MICROGRADS_LOSS = 0.010978370135492717  # of micrograd 0.1.0, at its last step
# The sign of its score in every point of the notebook's grid, the largest y on top. None is closer to 0 than 0.0033.
MICROGRADS_BOUNDARY = """
.....................
.....................
.....................
....................#
..................###
.................####
.......###......#####
.......####....######
......######..#######
......###############
......###############
......###############
.......##############
.......##############
.......##############
"""


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(native.CACHE_VARIABLE, "off")


class Demo:
    """The notebook's data, model and loss."""

    def __init__(self, value: Any = Value, mlp: Any = MLP) -> None:
        np.random.seed(1337)
        random.seed(1337)
        self.value = value
        self.X, y = make_moons(n_samples=100, noise=0.1)
        self.y = y * 2 - 1  # make y be -1 or 1
        self.model = mlp(2, [16, 16, 1])  # 2-layer neural network

    def loss(self) -> tuple[Any, list[Any]]:
        inputs = [list(map(self.value, xrow)) for xrow in self.X]

        # forward the model to get scores
        scores = list(map(self.model, inputs))

        # svm "max-margin" loss
        losses = [(1 + -yi * scorei).relu() for yi, scorei in zip(self.y, scores, strict=True)]
        data_loss = sum(losses) * (1.0 / len(losses))
        # L2 regularization
        alpha = 1e-4
        reg_loss = alpha * sum(p * p for p in self.model.parameters())
        total_loss = data_loss + reg_loss
        return total_loss, scores

    def loss_as_it_is(self) -> tuple[Any, float]:
        total_loss, scores = self.loss()
        accuracy = [(yi > 0) == (scorei.data > 0) for yi, scorei in zip(self.y, scores, strict=True)]
        return total_loss, sum(accuracy) / len(accuracy)

    def accuracy(self, scores: Any) -> float:
        right = [(yi > 0) == (scorei > 0) for yi, scorei in zip(self.y, scores, strict=True)]
        return sum(right) / len(right)

    def grid(self) -> Any:
        h = 0.25
        x_min, x_max = self.X[:, 0].min() - 1, self.X[:, 0].max() + 1
        y_min, y_max = self.X[:, 1].min() - 1, self.X[:, 1].max() + 1
        return np.meshgrid(np.arange(x_min, x_max, h), np.arange(y_min, y_max, h))

    def scores(self) -> Any:
        xx, yy = self.grid()
        points = np.c_[xx.ravel(), yy.ravel()]
        return np.array([self.model(list(map(self.value, point))).data for point in points]).reshape(xx.shape)

    def parameters(self) -> list[float]:
        return [p.data for p in self.model.parameters()]


def picture(scores: Any) -> str:
    rows = ["".join("#" if positive else "." for positive in row) for row in (scores > 0)[::-1]]
    return "\n".join(["", *rows, ""])


def rate(k: int) -> float:
    return 1.0 - 0.9 * k / 100


def train(demo: Demo, steps: int = STEPS) -> list[float]:
    losses = []
    for k in range(steps):
        # forward
        total_loss, _ = demo.loss_as_it_is()

        # backward
        demo.model.zero_grad()
        total_loss.backward()

        # update (sgd)
        learning_rate = rate(k)
        for p in demo.model.parameters():
            p.data -= learning_rate * p.grad
        losses.append(total_loss.data)
    return losses


def train_compiled(demo: Demo) -> list[float]:
    program = mg.compile(demo.loss, demo.model.parameters())
    losses = []
    for k in range(STEPS):
        # forward and backward
        total_loss, gradient = program.gradient()

        # update (sgd)
        learning_rate = rate(k)
        for p, g in zip(demo.model.parameters(), gradient, strict=True):
            p.data -= learning_rate * g
        losses.append(total_loss)
    return losses


def train_in_the_program(demo: Demo) -> list[float]:
    program = mg.compile(demo.loss, demo.model.parameters())
    losses: list[float] = program.sgd(lr=rate, epochs=STEPS).tolist()
    return losses


@pytest.fixture(scope="module")
def eager() -> tuple[Demo, list[float]]:
    demo = Demo()
    return demo, train(demo)


def test_the_engine_trains_to_micrograds_boundary(eager: tuple[Demo, list[float]]) -> None:
    demo, losses = eager
    scores = demo.scores()
    assert picture(scores) == MICROGRADS_BOUNDARY
    assert losses[-1] == pytest.approx(MICROGRADS_LOSS, rel=1e-12)
    assert np.abs(scores).min() > 0.003  # no point's side is decided by rounding


@pytest.mark.parametrize("training", [train_compiled, train_in_the_program])
def test_compiled_it_trains_to_the_same_boundary(
    training: Callable[[Demo], list[float]], eager: tuple[Demo, list[float]]
) -> None:
    demo = Demo()
    losses = training(demo)
    reference, expected = eager
    assert picture(demo.scores()) == MICROGRADS_BOUNDARY
    assert losses[0] == expected[0]
    assert losses == pytest.approx(expected, rel=1e-9)
    assert demo.parameters() == pytest.approx(reference.parameters(), abs=1e-9)
    assert demo.scores() == pytest.approx(reference.scores(), abs=1e-9)  # 0.003 would be needed to move a point


def test_the_accuracy_is_taken_from_the_scores(eager: tuple[Demo, list[float]]) -> None:
    demo, _ = eager
    program = mg.compile(demo.loss, demo.model.parameters())
    total_loss, scores = program.outputs()
    expected_loss, expected_accuracy = demo.loss_as_it_is()
    assert total_loss == expected_loss.data
    assert demo.accuracy(scores) == expected_accuracy == 1.0
    grid = np.stack(demo.grid(), axis=-1).reshape(-1, 2)
    predict = mg.compile(demo.model, demo.model.parameters(), x=2)
    assert (predict.outputs(grid) == demo.scores().ravel()).all()


def test_as_it_is_the_loss_reads_data_and_the_error_says_where() -> None:
    demo = Demo()
    with pytest.raises(mg.TraceError, match=r"scorei\.data > 0.*\n.*has no \.data.*read \.data outside"):
        mg.compile(demo.loss_as_it_is, demo.model.parameters())


def test_micrograd_itself_takes_the_same_steps(eager: tuple[Demo, list[float]]) -> None:
    """Two of them: it needs seconds for each, and the boundary above is what a hundred lead to."""
    pytest.importorskip("micrograd", reason="the original is not installed")
    theirs = Demo(importlib.import_module("micrograd.engine").Value, importlib.import_module("micrograd.nn").MLP)
    assert train(theirs, 2) == pytest.approx(eager[1][:2], rel=1e-12)
