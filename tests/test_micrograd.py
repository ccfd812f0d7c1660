"""A program written for micrograd runs when its import is changed, and gives micrograd's numbers where they are right.

Each program below is run with the engine it is given: ours always, and micrograd's own where it is installed.
"""

import importlib
import math
import random
from types import SimpleNamespace
from typing import Any

import pytest

from micrograd_like.engine import Value
from micrograd_like.nn import MLP, Layer, Neuron

OURS = SimpleNamespace(Value=Value, Neuron=Neuron, Layer=Layer, MLP=MLP)


@pytest.fixture
def theirs() -> Any:
    pytest.importorskip("micrograd", reason="the original is not installed")
    engine, nn = importlib.import_module("micrograd.engine"), importlib.import_module("micrograd.nn")
    return SimpleNamespace(Value=engine.Value, Neuron=nn.Neuron, Layer=nn.Layer, MLP=nn.MLP)


def small_expression(library: Any) -> list[float]:
    x = library.Value(-4.0)
    z = 2 * x + 2 + x
    q = z.relu() + z * x
    h = (z * z).relu()
    y = h + q + q * x
    y.backward()
    return [y.data, x.grad]


def every_operator(library: Any) -> list[float]:
    a, b = library.Value(-4.0), library.Value(2.0)
    c = a + b
    d = a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + (b + a).relu()
    d += 3 * d + (b - a).relu()
    e = c - d
    f = e**2
    g = f / 2.0
    g += 10.0 / f
    g.backward()
    return [g.data, a.grad, b.grad]


def moons(library: Any) -> list[float]:
    """The demonstration's training: two half circles, hinge loss, L2, decaying learning rate."""
    random.seed(1337)
    model = library.MLP(2, [8, 8, 1])
    angles = [math.pi * i / 9 for i in range(10)]
    points = [([math.cos(t), math.sin(t)], -1) for t in angles]
    points += [([1 - math.cos(t), 0.5 - math.sin(t)], 1) for t in angles]
    losses = []
    for k in range(5):
        scores = [model(list(map(library.Value, x))) for x, _ in points]
        hinges = [(1 + -y * score).relu() for (_, y), score in zip(points, scores, strict=True)]
        data_loss = sum(hinges) * (1.0 / len(hinges))
        total = data_loss + 1e-4 * sum(p * p for p in model.parameters())
        model.zero_grad()
        total.backward()
        for p in model.parameters():
            p.data -= (1.0 - 0.9 * k / 100) * p.grad
        losses.append(total.data)
    return losses + [p.data for p in model.parameters()]


def test_the_small_expression_by_hand() -> None:
    """x = -4: z = -10, q = 40, h = 100, y = 100 + 40 - 160; dy/dx = 6z + (3x + z)(1 + x) + q = -60 + 66 + 40."""
    assert small_expression(OURS) == [-20.0, 46.0]


def test_the_readmes_example() -> None:
    assert every_operator(OURS) == pytest.approx([24.70408163265306, 138.83381924198252, 645.5772594752186], rel=1e-15)


@pytest.mark.parametrize("program", [small_expression, every_operator, moons], ids=lambda f: f.__name__)
def test_programs_give_the_same_numbers(program: Any, theirs: Any) -> None:
    assert program(OURS) == pytest.approx(program(theirs), rel=1e-10)


def test_constructors_take_the_same_arguments() -> None:
    random.seed(0)
    assert repr(Neuron(2, False)) == "LinearNeuron(2)"
    assert repr(Layer(2, 1, nonlin=False)) == "Layer of [LinearNeuron(2)]"
    assert [type(m([1.0, 2.0])) for m in (Neuron(2), Layer(2, 2), MLP(2, [3, 1]))] == [Value, list, Value]


def test_reprs_are_the_same(theirs: Any) -> None:
    for library in (OURS, theirs):
        assert repr(library.MLP(2, [2, 1])) == repr(OURS.MLP(2, [2, 1]))


def test_what_micrograd_gets_wrong_is_right_here(theirs: Any) -> None:
    def second_backward(library: Any) -> float:
        x = library.Value(2.0)
        y = (x * x) * x
        y.backward()
        x.grad = 0
        y.backward()
        return float(x.grad)

    assert second_backward(OURS) == 12.0
    assert second_backward(theirs) != 12.0
    assert (Value(0.0) ** -1).data == math.inf
    with pytest.raises(ZeroDivisionError):
        theirs.Value(0.0) ** -1
    assert len(MLP(2, [1, 2])([1.0, 2.0])) == 2
    with pytest.raises(TypeError):
        theirs.MLP(2, [1, 2])([1.0, 2.0])
    with pytest.raises(ValueError, match="expected 2 inputs"):
        MLP(2, [1])([1.0])
    assert theirs.MLP(2, [1])([1.0]) is not None  # the second weight is dropped without a word
