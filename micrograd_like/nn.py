"""Neurons, layers and multi-layer perceptrons: what holds the parameters, and what it computes from its inputs."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import mul
from typing import Any

from micrograd_like import ops
from micrograd_like.checks import MOST, assign, mapped, whole_number
from micrograd_like.engine import Value, linear, vector
from micrograd_like.graph import Vector
from micrograd_like.ieee import isfinite, number
from micrograd_like.summary import operations, shape_of, table

Activation = str | Callable[[Any], Any]
Generator = random.Random | int | None


class Module:
    """Hold parameters: Values, modules, and lists or tuples of them, found through its attributes.

    A parameter's name is the Python expression that reaches it from the module, and is also its label:

    >>> [name for name, _ in MLP(2, [1]).named_parameters()]
    ['layers[0].neurons[0].w[0]', 'layers[0].neurons[0].w[1]', 'layers[0].neurons[0].b']

    A subclass defines what it computes as `forward` or as `__call__`, as it likes:

    >>> class Slope(Module):
    ...     def __init__(self):
    ...         self.a = Value(2.0)
    ...
    ...     def forward(self, x):
    ...         return self.a * x
    >>> Slope()(3.0).data
    6.0
    """

    name: str = ""  # the expression that reaches this module from the one that holds it

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if "forward" in vars(cls) and "__call__" not in vars(cls):
            cls.__call__ = Module.__call__  # type: ignore[method-assign]  # not that of the class it inherits from

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """Compute what the module computes: call its `forward`."""
        forward = getattr(self, "forward", None)
        if forward is None:
            raise TypeError(f"{type(self).__name__} defines neither forward nor __call__: expected one of them")
        return forward(*inputs, **named)

    def __setattr__(self, attribute: str, value: Any) -> None:
        object.__setattr__(self, attribute, value)
        for path, item in _walk(attribute, vars(self).get(attribute)):  # a slot, which a copy sets too, names nothing
            if isinstance(item, Value):
                item.label = path
            else:
                object.__setattr__(item, "name", path)

    def named_parameters(self) -> Iterator[tuple[str, Value]]:
        """(name, parameter) of every parameter, each once, in the order of the attributes that hold them."""
        seen: set[Value] = set()
        for attribute, value in vars(self).items():
            for path, item in _walk(attribute, value):
                if isinstance(item, Value) and item not in seen:
                    seen.add(item)
                    yield path, item

    def parameters(self) -> list[Value]:
        """Every parameter, each once, in the order of `named_parameters`."""
        return list(dict.fromkeys(_values(list(vars(self).values()))))

    def zero_grad(self, set_to_none: bool = False) -> None:
        """Forget the gradients of all parameters: 0, or None, and then a step leaves those as they are, as in PyTorch."""
        parameters = self.parameters()
        assign((parameters, "grad", [None if set_to_none else 0] * len(parameters)))

    def summary(self, *inputs: Any) -> str:
        """Describe the module in a table of 80 columns: its parts, their shapes and parameters, and what a call costs.

        >>> print(MLP(2, [8, 1], rng=0).summary())
        MLP: 33 parameters, 56 operations in a forward pass
        <BLANKLINE>
        part       what           shape  parameters
        layers[0]  Layer, ReLU    2 → 8          24
        layers[1]  Layer, linear  8 → 1           9

        Args:
            inputs: what to call it with to count the operations, such as one sample; not needed for an `MLP`, a
                `Layer`, a `Neuron` and a `GPT`. An operation is one of the table's rows on single numbers: a neuron of n
                inputs has n multiplications and n additions, and its activation is one more.
        """
        rows = [("part", "what", "shape", "parameters"), *_described("", self)]
        title = f"{type(self).__name__}: {len(self.parameters()):,} parameters"
        given = inputs or self._example()
        if given:
            title += f", {operations(_values([self(*given)])):,} operations in a forward pass"
        return "\n".join([title, "", *table(rows)])

    def _example(self) -> tuple[Any, ...]:
        """Something to call it with; nothing where that is not known."""
        return ()

    def state_dict(self) -> dict[str, Any]:
        """The parameters' numbers by name."""
        return {name: parameter.data for name, parameter in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set every parameter from `state_dict()`'s mapping; all of them or, on an error, none.

        Raises:
            KeyError: a name is missing or unknown.
            TypeError: a number is not a real number, or the state is no mapping.
            ValueError: a number is not finite.
        """
        mapped("the state", state, "a mapping")
        parameters = dict(self.named_parameters())
        missing, unknown = parameters.keys() - state.keys(), state.keys() - parameters.keys()
        if missing or unknown:
            raise KeyError(f"the state does not fit {self!r:.80}: missing {_some(missing)}, unknown {_some(unknown)}")
        data = {name: number(state[name]) for name in parameters}
        for name, x in data.items():
            if not isfinite(x):
                raise ValueError(f"the state's {name} is {x}; expected a finite number")
        assign((list(parameters.values()), "data", list(data.values())))


def _walk(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """(expression, item) for every Value and module below an attribute, modules before what they hold."""
    if isinstance(value, Value):
        yield path, value
    elif isinstance(value, Module):
        yield path, value
        for attribute, held in vars(value).items():
            yield from _walk(f"{path}.{attribute}", held)
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from _walk(f"{path}[{i}]", item)


def _values(held: Sequence[Any]) -> list[Value]:
    """The Values that `_walk` finds, without their names: every training step asks for them."""
    values: list[Value] = []
    for item in held:
        if isinstance(item, Value):
            values.append(item)
        elif isinstance(item, (list, tuple)):
            values += item if set(map(type, item)) == {Value} else _values(item)
        elif isinstance(item, Module):
            values += _values(list(vars(item).values()))
    return values


def _some(names: set[str]) -> str:
    shown = ", ".join(sorted(names)[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown or "none"


def _described(path: str, thing: Any) -> Iterator[tuple[str, str, str, str]]:
    """(part, what it is, shape, parameters) of every layer, and of every other module's own Values."""
    if isinstance(thing, (Layer, Neuron)):
        neurons = thing.neurons if isinstance(thing, Layer) else [thing]
        names = {_activation_name(n.activation) if n.nonlin else "linear" for n in neurons}
        shape = f"{len(neurons[0].w)} → {len(neurons)}" if neurons else "–"
        kind = f"{type(thing).__name__}, {'mixed' if len(names) > 1 else ''.join(names)}"
        yield path or "(itself)", kind[:24], shape, f"{len(thing.parameters()):,}"
        return
    held = list(vars(thing).items()) if isinstance(thing, Module) else [(f"[{i}]", x) for i, x in enumerate(thing)]
    dot = "." if path and isinstance(thing, Module) else ""
    for attribute, value in held:
        if shape := shape_of(value):
            count = len(dict.fromkeys(_values([value])))
            kind = type(thing).__name__ if isinstance(thing, Module) else "list"
            yield f"{path}{dot}{attribute}", kind[:24], shape, f"{count:,}"
        elif isinstance(value, (Module, list, tuple)):
            yield from _described(f"{path}{dot}{attribute}", value)


class Neuron(Module):
    """Compute activation(w0*x0 + w1*x1 + … + b): weights say how strong a connection is, the bias where it starts.

    Weights start uniform in [-1, 1], the bias at 0, as in micrograd.

    >>> neuron = Neuron(2, rng=0)
    >>> neuron.load_state_dict({"w[0]": 3.0, "w[1]": -1.0, "b": 0.5})
    >>> neuron([1.0, 2.0]).data
    1.5

    Args:
        nin: the number of inputs.
        nonlin: False for no activation at all.
        activation: "relu", "tanh", "sigmoid", or any method of Value by its name, or a function from Value to Value.
        rng: a `random.Random`, or a seed for one; None for the generator of the `random` module.
    """

    __slots__ = ("_row", "_weights")  # attributes kept in `__slots__` hold no parameters
    _row: Vector  # the weights and the bias, one object for all nodes that are recorded
    _weights: list[Value]  # what `w` held when `_row` was made

    def __init__(
        self, nin: int, nonlin: bool = True, *, activation: Activation = "relu", rng: Generator = None
    ) -> None:
        nin = whole_number("nin", nin, at_most=MOST)
        uniform = generator(rng).uniform
        self.w: Sequence[Value] = [Value(uniform(-1, 1)) for _ in range(nin)]
        self.b = Value(0.0)
        self.nonlin = nonlin
        self.activation = _check_activation(activation)
        self._share_parameters()

    def __call__(self, x: Iterable[Any]) -> Any:
        fused = self.nonlin and self.activation == "relu"
        if self._weights != self.w or self._row.items[-1] is not self.b:
            self._share_parameters()
        inputs = x if type(x) is Vector else vector(x, self.b)
        out = linear(self._row, inputs, ops.relu_dot if fused else ops.dot)
        if self.nonlin and not fused:
            out = getattr(out, self.activation)() if isinstance(self.activation, str) else self.activation(out)
            if not hasattr(out, "label"):
                raise TypeError(f"expected the activation to return a Value, got {type(out).__name__}: {out!r:.60}")
        out.label = self.name
        return out

    def _example(self) -> tuple[Any, ...]:
        return ([0.0] * len(self.w),)

    def _share_parameters(self) -> None:
        self._row, self._weights = Vector([*self.w, self.b]), list(self.w)

    def __repr__(self) -> str:
        return f"{_activation_name(self.activation) if self.nonlin else 'Linear'}Neuron({len(self.w)})"


class Layer(Module):
    """Give the same inputs to several neurons. Returns a list of their outputs; a single neuron's output as it is.

    >>> layer = Layer(3, 2, rng=0)
    >>> layer, len(layer([1.0, 2.0, 3.0])), len(layer.parameters())
    (Layer of [ReLUNeuron(3), ReLUNeuron(3)], 2, 8)
    """

    def __init__(
        self, nin: int, nout: int, nonlin: bool = True, *, activation: Activation = "relu", rng: Generator = None
    ) -> None:
        nin, nout = _sizes(nin, nout)
        rng = generator(rng)
        self.neurons = [Neuron(nin, nonlin, activation=activation, rng=rng) for _ in range(nout)]

    def __call__(self, x: Sequence[Any]) -> Any:
        inputs = vector(x, self.neurons[0].b)
        out = [neuron(inputs) for neuron in self.neurons]
        return out[0] if len(out) == 1 else out

    def _example(self) -> tuple[Any, ...]:
        return self.neurons[0]._example() if self.neurons else ()

    def __repr__(self) -> str:
        return f"Layer of [{', '.join(map(repr, self.neurons))}]"


class MLP(Module):
    """Put layers one after the other (a multi-layer perceptron), with an activation after all but the last.

    >>> MLP(2, [3, 1])
    MLP of [Layer of [ReLUNeuron(2), ReLUNeuron(2), ReLUNeuron(2)], Layer of [LinearNeuron(3)]]
    """

    def __init__(
        self, nin: int, nouts: Sequence[int], *, activation: Activation = "relu", rng: Generator = None
    ) -> None:
        if not isinstance(nouts, (list, tuple)) or not nouts:
            raise ValueError(f"expected nouts as a list of at least one layer size, got {nouts!r:.60}")
        rng, sizes, last = generator(rng), _sizes(nin, *nouts), len(nouts) - 1
        self.layers = [
            Layer(sizes[i], nout, nonlin=i != last, activation=activation, rng=rng) for i, nout in enumerate(nouts)
        ]

    def __call__(self, x: Sequence[Any]) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x

    def _example(self) -> tuple[Any, ...]:
        return self.layers[0]._example() if self.layers else ()

    def __repr__(self) -> str:
        return f"MLP of [{', '.join(map(repr, self.layers))}]"


def _sizes(*sizes: Any) -> list[int]:
    """The numbers of inputs and of each layer's neurons, checked before anything is made of them."""
    checked = [whole_number("a layer size", size, at_most=MOST) for size in sizes]
    if (weights := sum(map(mul, checked, checked[1:]))) > MOST:
        raise ValueError(f"expected layers of at most {MOST:,} weights, got {weights:,}")
    return checked


def _check_activation(activation: Any) -> Activation:
    if callable(activation):
        return activation  # type: ignore[no-any-return]  # any callable is accepted as it is
    unary = [name for name, op in ops.TABLE.items() if op.arity == 1 and hasattr(Value, name)]
    if not isinstance(activation, str) or activation not in unary:
        raise ValueError(f"unknown activation {activation!r:.60}; expected a function or one of {', '.join(unary)}")
    return str(activation)


def _activation_name(activation: Activation) -> str:
    if isinstance(activation, str):
        activation = ops.by_name(activation)
    if isinstance(activation, ops.Operation):
        return activation.symbol[0].upper() + activation.symbol[1:]
    return getattr(activation, "__name__", type(activation).__name__).capitalize()


def generator(rng: Any) -> Any:
    """A source of random numbers: a generator as it is, a seed made into one, None the random module's own."""
    if rng is None or rng is random:
        return random
    if isinstance(rng, random.Random):
        return rng
    if isinstance(rng, int) and not isinstance(rng, bool):
        return random.Random(rng)
    raise TypeError(f"expected rng as a random.Random, a seed or None, got {type(rng).__name__}: {rng!r:.60}")
