"""Networks, data and steps that the tests of `micrograd_like.explain` draw, and a snapshot of everything in a graph."""

from fractions import Fraction
from typing import Any, NamedTuple

from hypothesis import strategies as st

from micrograd_like import MLP, Value, cross_entropy, hinge_loss, max, mean, mse_loss
from micrograd_like.graph import nodes


class Case(NamedTuple):
    """A model with a loss that can be computed again, as a training program would."""

    model: Any
    samples: list[Any]
    sample_loss: Any

    def losses(self) -> list[Value]:
        return [self.sample_loss(self.model(x), y) for x, y in self.samples]

    def loss(self) -> Value:
        return mean(self.losses())

    def loss_at(self, moves: dict[str, Any]) -> Any:
        """The loss of a model whose parameters moved, computed by running the program again."""
        parameters = dict(self.model.named_parameters())
        before = {name: parameters[name].data for name in moves}
        try:
            for name, move in moves.items():
                parameters[name].data = parameters[name].data + move
            return self.loss().data
        finally:
            for name, data in before.items():
                parameters[name].data = data

    def gradient_at(self, moves: dict[str, Any], name: str) -> Any:
        """A gradient of a model whose parameters moved, by running the program and its backward pass again."""
        parameters = dict(self.model.named_parameters())
        before = {each: (p.data, p.grad) for each, p in parameters.items()}
        try:
            for each, move in moves.items():
                parameters[each].data = parameters[each].data + move
            self.model.zero_grad()
            self.loss().backward()
            return parameters[name].grad
        finally:
            for each, (data, grad) in before.items():
                parameters[each].data, parameters[each].grad = data, grad


def largest_of_three(output: Any, target: Any) -> Any:
    return max(output - target, 2 * target - output, output * output / 8)


@st.composite
def exact_cases(draw: Any, hidden: int = 2) -> Case:
    """ReLU and |x| networks of fractions: every loss is a piecewise polynomial."""
    quarters = st.integers(-8, 8).map(lambda n: Fraction(n, 4))
    inputs = draw(st.integers(1, 2))
    sizes = draw(st.lists(st.integers(1, 3), max_size=hidden))
    model = MLP(inputs, [*sizes, 1], activation=draw(st.sampled_from(["relu", "abs"])), rng=0)
    for parameter in model.parameters():
        parameter.data = draw(quarters)
    samples = [
        ([draw(quarters) for _ in range(inputs)], draw(st.sampled_from([-1, 1])))
        for _ in range(draw(st.integers(1, 3)))
    ]
    return Case(model, samples, draw(st.sampled_from([mse_loss, hinge_loss, largest_of_three])))


@st.composite
def float_cases(draw: Any, activations: tuple[str, ...] = ("tanh", "sigmoid", "softplus", "sin", "relu")) -> Case:
    """Networks of floats, with one output or several."""
    numbers = st.floats(-2, 2).map(lambda x: round(x, 3))
    inputs, outputs = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    sizes = draw(st.lists(st.integers(1, 4), max_size=2))
    model = MLP(inputs, [*sizes, outputs], activation=draw(st.sampled_from(activations)), rng=0)
    for parameter in model.parameters():
        parameter.data = draw(numbers)
    targets = st.integers(0, outputs - 1) if outputs > 1 else st.sampled_from([-1, 1])
    samples = [([draw(numbers) for _ in range(inputs)], draw(targets)) for _ in range(draw(st.integers(1, 4)))]
    return Case(model, samples, cross_entropy if outputs > 1 else mse_loss)


rates = st.sampled_from([Fraction(1, 100), Fraction(1, 8), Fraction(1, 2), Fraction(2)])


def snapshot(*roots: Value) -> list[Any]:
    """Everything a graph holds, to the bit."""
    return [
        (
            id(node),
            repr(node.data),
            type(node.data),
            repr(node.grad),
            type(node.grad),
            node.label,
            node.op,
            node.operands,
        )
        for node in nodes(*roots)
    ]
