"""Models as PyTorch has them, and back (extra `torch`): its names, its shapes, and numbers to the last bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from math import isfinite
from typing import Any

from micrograd_like._extras import require
from micrograd_like.checks import assign, shown
from micrograd_like.engine import Value
from micrograd_like.functional import gelu, leaky_relu, silu
from micrograd_like.interchange.torch_gpt import torch_gpt
from micrograd_like.nn import MLP, Activation, Layer, Module, Neuron
from micrograd_like.transformer import GPT

# What both have: our activation, PyTorch's class, and the arguments with which the two are the same function.
# PyTorch's softplus is x itself beyond a threshold, by default from 20 on; from 40 on that is the nearest float.
ACTIVATIONS: list[tuple[Activation, str, dict[str, Any]]] = [
    ("relu", "ReLU", {}),
    ("tanh", "Tanh", {}),
    ("sigmoid", "Sigmoid", {}),
    ("softplus", "Softplus", {"threshold": 40}),
    (leaky_relu, "LeakyReLU", {}),
    (silu, "SiLU", {}),
    (gelu, "GELU", {"approximate": "tanh"}),
]


def to_torch(model: Module) -> Any:
    """Make the same network of PyTorch's modules, in float64: an `nn.Sequential` of `nn.Linear`s and activations.

    Names and shapes are PyTorch's: the first layer's weights are `0.weight`, of shape (outputs, inputs), its biases
    `0.bias`. Parameters are the same floats. A sum of many products may differ in its last digits, as PyTorch adds up in
    an order of its own. A single output keeps its axis: shape (…, 1).

    A `GPT` becomes an `nn.Module` with the names that `save_weights(…, layout="torch")` writes, such as
    `blocks.0.attention.query.weight`. It is called with tokens of shape (…, length) and returns their scores, of shape
    (…, length, tokens).

    >>> from micrograd_like import MLP
    >>> network = to_torch(MLP(2, [3, 1], activation="tanh", rng=0))  # doctest: +SKIP
    >>> [name for name, _ in network.named_parameters()]  # doctest: +SKIP
    ['0.weight', '0.bias', '2.weight', '2.bias']

    Args:
        model: a `GPT`; or an `MLP`, a `Layer` or a `Neuron`, each layer of which has one activation: "relu", "tanh",
            "sigmoid", "softplus", `leaky_relu`, `silu`, `gelu`, or none.

    Raises:
        TypeError: it is none of these.
        ValueError: an activation has no module in PyTorch, or differs inside of a layer; or a parameter is no float.
        ImportError: PyTorch is not installed.
    """
    if type(model) is GPT:
        torch = require("torch", extra="torch")
        network = torch_gpt(torch, model)
        numbers = {name: _floats(tensor) for name, tensor in torch_tensors(model).items()}
        network.load_state_dict({name: torch.tensor(rows, dtype=torch.float64) for name, rows in numbers.items()})
        return network
    layers = _layers(model)
    torch = require("torch", extra="torch")
    modules: list[Any] = []
    for i, neurons in enumerate(layers):
        activation = _one_activation(neurons, i)
        linear = torch.nn.Linear(len(neurons[0].w), len(neurons), dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(torch.tensor([[_float(w) for w in n.w] for n in neurons], dtype=torch.float64))
            linear.bias.copy_(torch.tensor([_float(n.b) for n in neurons], dtype=torch.float64))
        modules.append(linear)
        if activation is not None:
            modules.append(_torch_activation(torch.nn, activation))
    return torch.nn.Sequential(*modules)


def from_torch(network: Any) -> MLP:
    """Make an `MLP` of an `nn.Sequential` of `nn.Linear`s and activations; 32-bit floats become 64-bit ones, exactly.

    A `Linear` without a bias gets biases of 0. PyTorch's `Softplus()` is x itself from its threshold of 20 on, where ours
    is 2e-9 more.

    >>> import torch  # doctest: +SKIP
    >>> from_torch(torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1)))  # doctest: +SKIP
    MLP of [Layer of [TanhNeuron(2), TanhNeuron(2), TanhNeuron(2)], Layer of [LinearNeuron(3)]]

    Raises:
        TypeError: it is no `nn.Sequential`.
        ValueError: it holds something else than `Linear`s, each followed by at most one activation that both have; or
            the sizes of two `Linear`s do not fit, or a number is not finite.
        ImportError: PyTorch is not installed.
    """
    nn = require("torch", extra="torch").nn
    if not isinstance(network, nn.Sequential):
        raise TypeError(f"expected an nn.Sequential, got {type(network).__name__}: {shown(network)}")
    found: list[tuple[Any, Activation | None]] = []
    for i, module in enumerate(network):
        if isinstance(module, nn.Linear):
            if found and found[-1][0].out_features != module.in_features:
                raise ValueError(
                    f"expected as many inputs of module {i} as the layer before has outputs, "
                    f"{found[-1][0].out_features}, got {module}"
                )
            found.append((module, None))
        elif not found:
            raise ValueError(f"expected a Linear as the first module, got {shown(module)}")
        elif found[-1][1] is not None:
            raise ValueError(f"expected a Linear as module {i}, after an activation, got {shown(module)}")
        else:
            found[-1] = found[-1][0], _our_activation(nn, module, i)
    if not found:
        raise ValueError("expected an nn.Sequential of at least one Linear, got an empty one")
    sizes = [found[0][0].in_features, *[linear.out_features for linear, _ in found]]
    model = MLP(sizes[0], sizes[1:], rng=0)
    model.layers = [
        Layer(linear.in_features, linear.out_features, activation is not None, activation=activation or "relu", rng=0)
        for linear, activation in found
    ]
    data: list[float] = []
    for i, (linear, _) in enumerate(found):
        rows = linear.weight.detach().double().cpu().tolist()
        biases = [0.0] * len(rows) if linear.bias is None else linear.bias.detach().double().cpu().tolist()
        for row, bias in zip(rows, biases, strict=True):
            data += [*row, bias]
        if not all(map(isfinite, data)):
            raise ValueError(f"expected finite numbers in layer {i}, {linear}, got others")
    assign((model.parameters(), "data", data))
    return model


def torch_tensors(model: Module) -> dict[str, Any]:
    """The parameters by PyTorch's names, each tensor as nested lists of Values.

    Layers of neurons are `nn.Linear`s: `weight` of shape (outputs, inputs) and `bias`; an MLP is the `nn.Sequential` of
    `to_torch`; other modules have the names of their attributes, lists the numbers of their items.

    Raises:
        ValueError: two parameters would get one name, or a list mixes Values with other things.
    """
    tensors: dict[str, Any] = {}
    for name, tensor in _named(model, ""):
        if name in tensors:
            raise ValueError(f"two parameters of the model would be {name!r} in PyTorch's layout")
        tensors[name] = tensor
    return tensors


def _named(thing: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if isinstance(thing, MLP) or (not prefix and isinstance(thing, (Layer, Neuron))):
        place = 0
        for neurons in _layers(thing):
            yield from _linear(neurons, f"{prefix}{place}.")
            place += 1 + neurons[0].nonlin
    elif isinstance(thing, Layer):
        yield from _linear(thing.neurons, prefix)
    elif isinstance(thing, Neuron):
        yield from _linear([thing], prefix)
    elif isinstance(thing, Value) or _is_tensor(thing):
        yield prefix[:-1], thing
    elif isinstance(thing, Module):
        for attribute, held in vars(thing).items():
            yield from _named(held, f"{prefix}{attribute}.")
    elif isinstance(thing, (list, tuple)):
        for i, held in enumerate(thing):
            yield from _named(held, f"{prefix}{i}.")


def _linear(neurons: list[Neuron], prefix: str) -> Iterator[tuple[str, Any]]:
    yield f"{prefix}weight", [list(neuron.w) for neuron in neurons]
    yield f"{prefix}bias", [neuron.b for neuron in neurons]


def _is_tensor(thing: Any) -> bool:
    """Whether it is a list of Values, or of such lists of one length."""
    if not isinstance(thing, (list, tuple)) or not thing:
        return False
    if all(isinstance(x, Value) for x in thing):
        return True
    return all(_is_tensor(x) and len(x) == len(thing[0]) for x in thing)


def _layers(model: Any) -> list[list[Neuron]]:
    layers: list[list[Neuron]]
    if isinstance(model, MLP):
        layers = [layer.neurons for layer in model.layers]
    elif isinstance(model, Layer):
        layers = [model.neurons]
    elif isinstance(model, Neuron):
        layers = [[model]]
    else:
        raise TypeError(
            f"expected an MLP, a Layer, a Neuron or a GPT, got {type(model).__name__}: {shown(model)}; the weights of "
            'any module are written by save_weights(model, path, layout="torch"), for a module of your own in PyTorch'
        )
    return layers


def _one_activation(neurons: list[Neuron], i: int) -> Activation | None:
    used = [neuron.activation if neuron.nonlin else None for neuron in neurons]
    if any(activation != used[0] for activation in used):
        raise ValueError(f"expected one activation for all neurons of layer {i}, got several")
    return used[0]


def _torch_activation(nn: Any, activation: Activation) -> Any:
    for ours, name, arguments in ACTIVATIONS:
        if activation == ours:
            return getattr(nn, name)(**arguments)
    if _is_leaky(activation):
        return nn.LeakyReLU(activation.keywords["negative_slope"])  # type: ignore[union-attr]
    names = ", ".join(ours if isinstance(ours, str) else ours.__name__ for ours, _, _ in ACTIVATIONS)
    raise ValueError(f"PyTorch has no module for the activation {shown(activation)}; expected one of {names}, or none")


def _our_activation(nn: Any, module: Any, i: int) -> Activation:
    for ours, name, _ in ACTIVATIONS:
        if type(module) is getattr(nn, name):
            if name == "LeakyReLU" and module.negative_slope != 0.01:
                return partial(leaky_relu, negative_slope=module.negative_slope)
            if name == "GELU" and module.approximate != "tanh":
                raise ValueError(f"expected GELU(approximate='tanh') as module {i}, got {module}, which uses erf")
            if name == "Softplus" and (module.beta != 1 or module.threshold < 20):
                raise ValueError(
                    f"expected Softplus(beta=1) with a threshold of at least 20 as module {i}, got {module}"
                )
            return ours
    names = ", ".join(name for _, name, _ in ACTIVATIONS)
    raise ValueError(f"expected Linear or one of {names} as module {i}, got {shown(module)}")


def _is_leaky(activation: Callable[..., Any] | str) -> bool:
    return (
        isinstance(activation, partial)
        and activation.func is leaky_relu
        and set(activation.keywords) == {"negative_slope"}
    )


def _floats(tensor: Any) -> Any:
    return [_floats(part) for part in tensor] if isinstance(tensor, (list, tuple)) else _float(tensor)


def _float(p: Value) -> float:
    if not isinstance(p.data, float):
        raise ValueError(f"expected parameters of floats, got {type(p.data).__name__}: {shown(p)}")
    return p.data
