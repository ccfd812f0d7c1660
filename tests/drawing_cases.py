"""Graphs and networks of many shapes, to draw: what the tests of the drawings' geometry go through."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import micrograd_like as mg
from micrograd_like import Value, draw_dot
from micrograd_like.explain import explain_step


def leaves(**numbers: float) -> list[Value]:
    """Leaves with those names."""
    return [Value(x, label=name) for name, x in numbers.items()]


def neuron(backward: bool = True) -> tuple[Value, list[Value]]:
    """tanh(w1·x1 + w2·x2 + b), written in plain operations, and its parameters."""
    x1, x2, w1, w2, b = leaves(x1=3.0, x2=-2.0, w1=0.5, w2=1.5, b=2.0)
    total = w1 * x1 + w2 * x2 + b
    total.label = "total"
    out = total.tanh()
    out.label = "out"
    if backward:
        out.backward()
    return out, [w1, w2, b]


def network(*sizes: int, activation: str = "tanh", backward: bool = True, samples: int = 1) -> tuple[mg.MLP, Value]:
    """A network and its loss."""
    model = mg.MLP(sizes[0], list(sizes[1:]), activation=activation, rng=4)
    losses = []
    for s in range(samples):
        out = model([Value(math.sin(3.7 * i + 1 + s), label=f"x[{i}]") for i in range(sizes[0])])
        outs = out if isinstance(out, list) else [out]
        losses += [(each - 0.6) ** 2 for each in outs]
    loss = mg.mean(losses) if len(losses) > 1 else losses[0]
    loss.label = "loss"
    if backward:
        loss.backward()
    return model, loss


def karpathy() -> Value:
    """(a·b + c)·f."""
    a, b, c, f = leaves(a=2.0, b=-3.0, c=10.0, f=-2.0)
    out = (a * b + c) * f
    out.label = "L"
    out.backward()
    return out


def diamond() -> Value:
    """A number that is used at several depths."""
    (x,) = leaves(x=1.5)
    a = x * x
    b = a + x
    c = (b * a).tanh()
    out = c + x * b + a
    out.backward()
    return out


def residual() -> Value:
    """Two layers with a connection past the first."""
    first, second = mg.Layer(3, 3, activation="tanh", rng=1), mg.Layer(3, 2, activation="tanh", rng=2)
    model = mg.MLP(3, [3, 2], rng=1)
    model.layers = [first, second]
    xs = leaves(x1=0.3, x2=-0.2, x3=0.9)
    hidden = [h + x for h, x in zip(first(xs), xs, strict=True)]
    a, b = second(hidden)
    loss = a * a + (b - 1.0) ** 2
    loss.label = "loss"
    loss.backward()
    return loss


def recurrent() -> Value:
    """A layer that reads its own output, three times."""
    layer, last = mg.Layer(4, 2, activation="tanh", rng=3), mg.Layer(2, 1, nonlin=False, rng=5)
    model = mg.MLP(1, [1, 1])
    model.layers = [layer, last]
    state: list[Any] = [0.1, 0.2]
    for t in range(3):
        state = layer([Value(0.3 * t, label="x[0]"), Value(-0.5, label="x[1]"), *state])
    loss = (last(state) - 1.0) ** 2
    loss.backward()
    return loss


def losses() -> Value:
    """Everything that the table knows, in one expression."""
    a, b, c = leaves(a=0.7, b=1.2, c=-0.4)
    out = (
        mg.logsumexp([a, b, c]) + mg.where(c, a, b) + mg.max(a, b, c) * mg.min(a, b) + abs(c) / b.sqrt() - a.exp().log()
    )
    out += a.sin() * b.cos() + c.sigmoid() + c.relu() + sum([a, b, c]) + mg.gather([a, b, c], 1) + (-a) ** 3
    out.label = "everything"
    out.backward()
    return out


def chain(length: int) -> Value:
    """One operation after another."""
    (x,) = leaves(x=0.5)
    y = x
    for _ in range(length):
        y = y.tanh()
    y.backward()
    return y


def polynomial(degree: int) -> Value:
    """Horner's scheme."""
    (x,) = leaves(x=0.9)
    y = Value(1.0, label="c0")
    for i in range(1, degree + 1):
        y = y * x + Value(0.5 * i, label=f"c{i}")
    y.backward()
    return y


def report(loss: Value, model: mg.MLP) -> Any:
    """The explained step."""
    return explain_step(loss, model, lr=0.05)


def _reported(**options: Any) -> Any:
    model, loss = network(3, 4, 1)
    return draw_dot(loss, report=report(loss, model), **options)


def _parts(**options: Any) -> Any:
    model, loss = network(2, 2, 1)
    return draw_dot(loss, highlight=model.layers[0].neurons[1].w[0], **options)


def _with_long_names() -> Value:
    a, b = Value(1.0, label="the temperature of the room in kelvin"), Value(-2.5, label="<b>\n&amp;</b>")
    out = (a * b).tanh() + a
    out.label = "漢字 and a long name that goes on and on"
    out.backward()
    return out


CASES: dict[str, Callable[[], Any]] = {
    "a leaf": lambda: draw_dot(Value(5.0, label="x")),
    "a neuron": lambda: draw_dot(neuron()[0], parameters=neuron()[1]),
    "a neuron, its parameters told": lambda: (lambda pair: draw_dot(pair[0], parameters=pair[1]))(neuron()),
    "a neuron before backward": lambda: draw_dot(neuron(False)[0]),
    "karpathy": lambda: draw_dot(karpathy()),
    "karpathy, downwards": lambda: draw_dot(karpathy(), rankdir="TB"),
    "karpathy, leftwards": lambda: draw_dot(karpathy(), rankdir="RL"),
    "karpathy, upwards": lambda: draw_dot(karpathy(), rankdir="BT"),
    "diamond": lambda: draw_dot(diamond()),
    "everything": lambda: draw_dot(losses()),
    "everything, unfolded": lambda: draw_dot(losses(), expand=True),
    "a chain": lambda: draw_dot(chain(12)),
    "a polynomial": lambda: draw_dot(polynomial(6)),
    "long names": lambda: draw_dot(_with_long_names()),
    "2-2-1 as scalars": lambda: draw_dot(network(2, 2, 1)[1]),
    "2-2-1 unfolded": lambda: draw_dot(network(2, 2, 1)[1], expand=True),
    "2-2-1 highlighted": _parts,
    "2-1 of four samples, as scalars": lambda: draw_dot(network(2, 1, samples=4)[1]),
    "1-1": lambda: draw_dot(network(1, 1)[1], depth="neurons"),
    "2-2-1": lambda: draw_dot(network(2, 2, 1)[1], depth="neurons"),
    "2-2-1, leftwards": lambda: draw_dot(network(2, 2, 1)[1], depth="neurons", rankdir="RL"),
    "2-3-1, downwards": lambda: draw_dot(network(2, 3, 1)[1], depth="neurons", rankdir="TB"),
    "2-2-1 before backward": lambda: draw_dot(network(2, 2, 1, backward=False)[1], depth="neurons"),
    "3-4-4-1": lambda: draw_dot(network(3, 4, 4, 1)[1], depth="neurons"),
    "4-6-3": lambda: draw_dot(network(4, 6, 3)[1], depth="neurons"),
    "8-8-8-2": lambda: draw_dot(network(8, 8, 8, 2, activation="relu")[1], depth="neurons"),
    "64-8-1, the strongest": lambda: draw_dot(network(64, 8, 1, activation="relu")[1], depth="neurons"),
    "64-8-1, an image": lambda: draw_dot(network(64, 8, 1, activation="relu")[1], depth="neurons", shape=(8, 8)),
    "64-32-10, an image": lambda: draw_dot(network(64, 32, 10)[1], depth="neurons", shape=(8, 8)),
    "64-8-1 as layers": lambda: draw_dot(network(64, 8, 1)[1], depth="layers"),
    "784-128-64-10": lambda: draw_dot(network(784, 64, 32, 10)[1], depth="neurons", shape=(28, 28)),
    "3-4-1 of five samples": lambda: draw_dot(network(3, 4, 1, samples=5)[1], depth="neurons"),
    "3-4-1 by share": lambda: _reported(depth="neurons"),
    "3-4-1 by share, as scalars": _reported,
    "past a layer": lambda: draw_dot(residual(), depth="neurons"),
    "past a layer, as layers": lambda: draw_dot(residual(), depth="layers"),
    "round a loop": lambda: draw_dot(recurrent(), depth="neurons"),
}
