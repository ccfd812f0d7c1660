"""Networks: what they compute, how their parameters are named, and what they refuse."""

import copy
import math
import pickle
import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import micrograd_like as mg
from micrograd_like import MLP, Layer, Module, Neuron, Value, graph, ops


def plain(model: MLP, x: list[float], f: Callable[[float], float]) -> list[float]:
    """The network on numbers, written out: the oracle."""
    for i, layer in enumerate(model.layers):
        sums = []
        for neuron in layer.neurons:
            total = neuron.b.data
            for w, xi in zip(neuron.w, x, strict=True):
                total += w.data * xi
            sums.append(total)
        x = sums if i == len(model.layers) - 1 else [f(s) for s in sums]
    return x


ACTIVATIONS: dict[str, Callable[[float], float]] = {
    "relu": lambda s: max(s, 0.0),
    "tanh": math.tanh,
    "sigmoid": lambda s: 1 / (1 + math.exp(-s)),
    "sin": math.sin,
}


@given(
    st.integers(1, 4),
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.sampled_from(sorted(ACTIVATIONS)),
    st.integers(0, 99),
)
def test_a_network_computes_what_its_formula_says(nin: int, nouts: list[int], activation: str, seed: int) -> None:
    model = MLP(nin, nouts, activation=activation, rng=seed)
    x = [random.Random(seed).uniform(-2, 2) for _ in range(nin)]
    out = model(x)
    expected = plain(model, x, ACTIVATIONS[activation])
    got = [out.data] if isinstance(out, Value) else [o.data for o in out]
    assert got == pytest.approx(expected, rel=1e-14, abs=1e-15)
    assert isinstance(out, Value) == (nouts[-1] == 1)


def test_gradients_of_a_network_on_fractions_are_exact() -> None:
    model = MLP(2, [2, 1], rng=0)
    numbers = [Fraction(i - 3, i + 2) for i in range(9)]
    model.load_state_dict(dict(zip(model.state_dict(), numbers, strict=True)))
    out = model([Fraction(-3), Fraction(2)])
    out.backward()
    w00, w01, b0, w10, w11, b1, v0, v1, c = numbers
    hidden = [-3 * w00 + 2 * w01 + b0, -3 * w10 + 2 * w11 + b1]
    assert [h > 0 for h in hidden] == [True, True]
    assert out.data == v0 * hidden[0] + v1 * hidden[1] + c
    assert [p.grad for p in model.parameters()] == [-3 * v0, 2 * v0, v0, -3 * v1, 2 * v1, v1, *hidden, 1]


@pytest.mark.parametrize("activation", ["relu", "tanh", "softplus", mg.sigmoid, Value.tanh, lambda v: v * v.sigmoid()])
def test_any_activation_by_name_or_function(activation: Any) -> None:
    neuron = Neuron(2, activation=activation, rng=0)
    linear = Neuron(2, nonlin=False, rng=0)
    function = activation if callable(activation) else getattr(Value, activation)
    assert neuron([1.0, 2.0]).data == function(linear([1.0, 2.0])).data


def test_reprs_are_micrograds() -> None:
    assert repr(Neuron(3)) == "ReLUNeuron(3)"
    assert repr(Neuron(3, nonlin=False)) == "LinearNeuron(3)"
    assert repr(Neuron(3, activation="tanh")) == "TanhNeuron(3)"
    assert repr(Neuron(3, activation=mg.tanh)) == "TanhNeuron(3)"
    assert repr(Layer(2, 2)) == "Layer of [ReLUNeuron(2), ReLUNeuron(2)]"
    assert repr(MLP(2, [1])) == "MLP of [Layer of [LinearNeuron(2)]]"


def test_a_neuron_is_one_node_and_carries_its_own_name() -> None:
    model = MLP(2, [3, 1], rng=0)
    out = model([1.0, 2.0])
    assert [n.label for n in graph.topological(out)][-1] == "layers[1].neurons[0]"
    assert {n.label for n in graph.topological(out)} == {
        "layers[0].neurons[0]",
        "layers[0].neurons[1]",
        "layers[0].neurons[2]",
        "layers[1].neurons[0]",
    }
    assert {n.op for n in graph.topological(out)} == {ops.relu_dot, ops.dot}


def test_a_parameters_name_is_the_expression_that_reaches_it() -> None:
    model = MLP(2, [2, 1], rng=0)
    names = [name for name, _ in model.named_parameters()]
    assert names[:3] == ["layers[0].neurons[0].w[0]", "layers[0].neurons[0].w[1]", "layers[0].neurons[0].b"]
    for name, parameter in model.named_parameters():
        assert eval(f"model.{name}", {"model": model}) is parameter
        assert parameter.label == name
    assert model.parameters() == [parameter for _, parameter in model.named_parameters()]


def test_modules_of_ones_own() -> None:
    class Residual(Module):
        def __init__(self) -> None:
            self.blocks = (Layer(2, 2, rng=0), [Neuron(2, rng=1)])
            self.scale = Value(2.0)
            self.note = "not a parameter"

    model = Residual()
    names = [name for name, _ in model.named_parameters()]
    assert names[0] == "blocks[0].neurons[0].w[0]"
    assert names[-2:] == ["blocks[1][0].b", "scale"]
    assert len(names) == 10
    assert model.blocks[0].neurons[1].name == "blocks[0].neurons[1]"


def test_a_shared_parameter_is_there_once() -> None:
    class Tied(Module):
        def __init__(self) -> None:
            self.first = Neuron(2, rng=0)
            self.second = Neuron(2, rng=1)
            self.second.w = self.first.w

    assert [name for name, _ in Tied().named_parameters()] == ["first.w[0]", "first.w[1]", "first.b", "second.b"]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_duplicate_is_a_network_of_its_own(duplicate: Callable[[MLP], MLP]) -> None:
    model = MLP(2, [2, 1], rng=0)
    twin = duplicate(model)
    assert twin.state_dict() == model.state_dict()
    assert not set(twin.parameters()) & set(model.parameters())
    assert all(parameter.label == name for name, parameter in twin.named_parameters())
    assert twin.layers[0].neurons[1].name == "layers[0].neurons[1]"
    twin.layers[0].neurons[0].w[0].data += 1
    assert twin([1.0, 2.0]).data != model([1.0, 2.0]).data


def test_a_changed_neuron_computes_with_what_it_holds_now() -> None:
    layer = Layer(2, 2, rng=0)
    layer.neurons[1].activation = "tanh"
    layer.neurons[0].w = [Value(1.0), Value(2.0)]
    layer.neurons[0].b = Value(-1.0)
    first, second = layer([1.0, 2.0])
    assert first.data == 4.0
    assert second.op is ops.tanh
    layer.neurons[0].w[1] = Value(-2.0)  # type: ignore[index]
    assert layer([1.0, 2.0])[0].data == 0.0
    layer.neurons[0].nonlin = False
    assert layer([1.0, 2.0])[0].data == -4.0


def test_the_same_seed_gives_the_same_network() -> None:
    one, two, other = MLP(3, [4, 1], rng=5), MLP(3, [4, 1], rng=random.Random(5)), MLP(3, [4, 1], rng=6)
    assert one.state_dict() == two.state_dict() != other.state_dict()
    random.seed(5)
    assert MLP(3, [4, 1]).state_dict() == MLP(3, [4, 1], rng=random.Random(5)).state_dict()
    assert all(-1 <= w.data <= 1 for neuron in one.layers[0].neurons for w in neuron.w)
    assert all(neuron.b.data == 0 for layer in one.layers for neuron in layer.neurons)


def test_zero_grad_forgets_every_gradient() -> None:
    model = MLP(2, [2, 1], rng=0)
    model([1.0, 1.0]).backward()
    assert any(p.grad for p in model.parameters())
    model.zero_grad()
    assert all(p.grad == 0 for p in model.parameters())


def test_states_are_taken_and_given_back() -> None:
    one, two = MLP(2, [3, 1], rng=0), MLP(2, [3, 1], rng=1)
    two.load_state_dict(one.state_dict())
    assert two([0.3, 0.4]).data == one([0.3, 0.4]).data


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda s: s.pop("layers[0].neurons[0].b"), KeyError, r"missing layers\[0\].neurons\[0\].b, unknown none"),
        (lambda s: s.update(extra=1.0), KeyError, "missing none, unknown extra"),
        (lambda s: s.update({"layers[0].neurons[0].b": math.nan}), ValueError, "is nan; expected a finite number"),
        (lambda s: s.update({"layers[0].neurons[0].b": "1"}), TypeError, "expected a real number"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change: Any, error: type[Exception], message: str) -> None:
    model = MLP(1, [1], rng=0)
    before = model.state_dict()
    state = dict.fromkeys(before, 9.0)
    change(state)
    with pytest.raises(error, match=message):
        model.load_state_dict(state)
    assert model.state_dict() == before


@pytest.mark.parametrize("size", [0, -1, 1.5, "3", None, True])
def test_sizes_are_whole_numbers_of_at_least_one(size: Any) -> None:
    for make in (
        lambda: Neuron(size),
        lambda: Layer(size, 1),
        lambda: Layer(1, size),
        lambda: MLP(size, [1]),
        lambda: MLP(1, [1, size]),
    ):
        with pytest.raises(ValueError, match="as a whole number of at least 1, got"):
            make()


@pytest.mark.parametrize(
    "make",
    [lambda: Neuron(2**70), lambda: Layer(10**5, 10**5), lambda: MLP(10**5, [10**5, 1]), lambda: MLP(2, [2**70])],
)
def test_sizes_beyond_any_memory_are_refused_at_once(make: Any) -> None:
    with pytest.raises(ValueError, match="at most 100,000,000"):
        make()


def test_a_state_is_a_mapping() -> None:
    with pytest.raises(TypeError, match="expected the state as a mapping, got int: 3"):
        Neuron(1).load_state_dict(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("nouts", [[], 3, None, "12"])
def test_layer_sizes_are_a_list(nouts: Any) -> None:
    with pytest.raises(ValueError, match="expected nouts as a list of at least one layer size"):
        MLP(2, nouts)


def test_unknown_activations_and_generators_are_named() -> None:
    with pytest.raises(ValueError, match="unknown activation 'rleu'; expected a function or one of exp, log"):
        Neuron(2, activation="rleu")
    with pytest.raises(TypeError, match=r"expected rng as a random.Random, a seed or None, got str"):
        MLP(2, [1], rng="seed")  # type: ignore[arg-type]


def test_an_activation_returns_a_value() -> None:
    with pytest.raises(TypeError, match="expected the activation to return a Value, got float"):
        Neuron(1, activation=float)([1.0])


@pytest.mark.parametrize("model", [Neuron(2), Layer(2, 3), MLP(2, [1, 2])], ids=repr)
def test_inputs_of_the_wrong_length_are_refused(model: Any) -> None:
    for x in ([1.0], [1.0, 2.0, 3.0], []):
        with pytest.raises(ValueError, match=f"expected 2 inputs, one for each weight, got {len(x)}"):
            model(x)
    with pytest.raises(TypeError, match="expected a real number"):
        model([1.0, "2"])


def test_a_hidden_layer_of_one_neuron_works() -> None:
    assert len(MLP(2, [1, 2], rng=0)([1.0, 2.0])) == 2
    assert isinstance(MLP(2, [1, 1], rng=0)([1.0, 2.0]), Value)


def test_inputs_may_be_values_with_gradients_of_their_own() -> None:
    model = MLP(2, [3, 1], activation="tanh", rng=0)
    x = [Value(0.5), Value(-0.5)]
    model(x).backward()
    h = 1e-6
    for i in range(2):
        shifted = [[v.data + s * h * (j == i) for j, v in enumerate(x)] for s in (1, -1)]
        expected = (plain(model, shifted[0], math.tanh)[0] - plain(model, shifted[1], math.tanh)[0]) / (2 * h)
        assert x[i].grad == pytest.approx(expected, rel=1e-8)
