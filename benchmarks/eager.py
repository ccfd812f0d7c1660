"""The eager engine beside PyPI's micrograd: plain scalars, two training steps, memory, and growth with the graph.

README: the expression of micrograd's README, forward and backward, 25 operations.
GPT: one step of a one-block transformer in the style of Karpathy's microgpt, every number a scalar of its own (some
38,000 operations); beside it the same program on a `Value` with closures, written here as micrograd writes its own.
W1: one full-batch training step of micrograd's demo: an MLP 2-16-16-1, 100 moons, hinge loss and L2.
W2: forward and backward of one digit through 64-32-10 with softmax cross-entropy.
Each ratio is given twice, with the cyclic garbage collector on and off: micrograd's closures form cycles, which only
the collector frees. The rounds of the two engines are interleaved; a figure is the median of its rounds.
"""

from __future__ import annotations

import gc
import math
import random
import statistics
import time
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import micrograd_like as mg
from micrograd_like.data import load_digits, make_moons
from micrograd_like.graph import topological

ROUNDS = 9


def expression(a: Any, b: Any, by_products: bool = False) -> Any:
    """The expression of micrograd's README; its powers are the C library's, or products."""
    c = a + b
    d = a * b + (b * b * b if by_products else b**3)
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + (b + a).relu()
    d += 3 * d + (b - a).relu()
    e = c - d
    f = e * e if by_products else e**2
    return f / 2.0 + 10.0 / f


def readme(engine: Any, network: Any) -> Callable[[], Any]:
    def step() -> Any:
        g = expression(engine.Value(-4.0), engine.Value(2.0))
        g.backward()
        return g

    return step


class ClosureValue:
    """A scalar as micrograd writes it, with the functions that a transformer needs."""

    def __init__(self, data: float, children: tuple[ClosureValue, ...] = ()) -> None:
        self.data = data
        self.grad = 0.0
        self._backward: Callable[[], None] = lambda: None
        self._prev = set(children)

    def _made(self, data: float, other: ClosureValue, by_self: float, by_other: float) -> ClosureValue:
        out = ClosureValue(data, (self, other))

        def backward() -> None:
            self.grad += by_self * out.grad
            other.grad += by_other * out.grad

        out._backward = backward
        return out

    def _applied(self, data: float, derivative: float) -> ClosureValue:
        out = ClosureValue(data, (self,))

        def backward() -> None:
            self.grad += derivative * out.grad

        out._backward = backward
        return out

    def __add__(self, other: Any) -> ClosureValue:
        other = other if isinstance(other, ClosureValue) else ClosureValue(other)
        return self._made(self.data + other.data, other, 1.0, 1.0)

    def __mul__(self, other: Any) -> ClosureValue:
        other = other if isinstance(other, ClosureValue) else ClosureValue(other)
        return self._made(self.data * other.data, other, other.data, self.data)

    def __pow__(self, power: float) -> ClosureValue:
        return self._applied(self.data**power, power * self.data ** (power - 1))

    def exp(self) -> ClosureValue:
        e = math.exp(self.data)
        return self._applied(e, e)

    def log(self) -> ClosureValue:
        return self._applied(math.log(self.data), 1 / self.data)

    def relu(self) -> ClosureValue:
        return self._applied(max(self.data, 0.0), float(self.data > 0))

    def __neg__(self) -> ClosureValue:
        return self * -1.0

    def __sub__(self, other: Any) -> ClosureValue:
        return self + -other

    def __truediv__(self, other: Any) -> ClosureValue:
        return self * other**-1

    __radd__, __rmul__ = __add__, __mul__

    def backward(self) -> None:
        order: list[ClosureValue] = []
        visited = set()
        stack: list[tuple[ClosureValue, bool]] = [(self, False)]  # the graph is too deep for recursion
        while stack:
            node, is_done = stack.pop()
            if is_done:
                order.append(node)
            elif node not in visited:
                visited.add(node)
                stack.append((node, True))
                stack.extend((child, False) for child in node._prev)
        self.grad = 1.0
        for node in reversed(order):
            node._backward()


def gpt(value: Any, width: int = 16, heads: int = 4, vocabulary: int = 27) -> Callable[[], Any]:
    """One step of a transformer on one document: loss, gradients, and gradient descent on all parameters."""
    rng = random.Random(1337)
    document = [rng.randrange(vocabulary) for _ in range(6)]

    def matrix(rows: int, columns: int) -> list[list[Any]]:
        return [[value(rng.gauss(0, 0.08)) for _ in range(columns)] for _ in range(rows)]

    tokens, places, head = matrix(vocabulary, width), matrix(len(document), width), matrix(vocabulary, width)
    q, k, v, o = (matrix(width, width) for _ in range(4))
    up, down = matrix(4 * width, width), matrix(width, 4 * width)
    parameters = [p for table in (tokens, places, head, q, k, v, o, up, down) for row in table for p in row]
    size = width // heads

    def linear(x: list[Any], weights: list[list[Any]]) -> list[Any]:
        return [sum(w * xi for w, xi in zip(row, x, strict=True)) for row in weights]

    def softmax(logits: list[Any]) -> list[Any]:
        largest = max(x.data for x in logits)
        powers = [(x - largest).exp() for x in logits]
        total = sum(powers)
        return [power / total for power in powers]

    def norm(x: list[Any]) -> list[Any]:
        scale = (sum(xi * xi for xi in x) / len(x) + 1e-5) ** -0.5
        return [xi * scale for xi in x]

    def step() -> Any:
        keys: list[list[Any]] = []
        values: list[list[Any]] = []
        losses = []
        for place, (token, target) in enumerate(pairwise(document)):
            x = norm([t + p for t, p in zip(tokens[token], places[place], strict=True)])
            queries = linear(norm(x), q)
            keys.append(linear(norm(x), k))
            values.append(linear(norm(x), v))
            attended = []
            for h in range(0, width, size):
                scores = [
                    sum(a * b for a, b in zip(queries[h : h + size], key[h : h + size], strict=True)) / size**0.5
                    for key in keys
                ]
                weights = softmax(scores)
                attended += [
                    sum(w * row[j] for w, row in zip(weights, values, strict=True)) for j in range(h, h + size)
                ]
            x = [a + b for a, b in zip(x, linear(attended, o), strict=True)]
            hidden = [h.relu() for h in linear(norm(x), up)]
            x = [a + b for a, b in zip(x, linear(hidden, down), strict=True)]
            losses.append(-softmax(linear(x, head))[target].log())
        loss = sum(losses) / len(losses)
        loss.backward()
        for p in parameters:
            p.data -= 0.01 * p.grad
            p.grad = 0
        return loss

    return step


def w1(engine: Any, network: Any) -> Callable[[], Any]:
    samples = make_moons(100, noise=0.1, seed=1337)
    random.seed(1337)
    model = network.MLP(2, [16, 16, 1])

    def step() -> Any:
        model.zero_grad()
        if engine is mg:
            losses = [(1 - target * model(x)).relu() for x, target in samples]
            total = mg.mean(losses) + 1e-4 * mg.sum([p * p for p in model.parameters()])
        else:
            scores = [model([engine.Value(x) for x in xs]) for xs, _ in samples]
            losses = [(1 + -target * score).relu() for score, (_, target) in zip(scores, samples, strict=True)]
            total = sum(losses) * (1.0 / len(losses)) + 1e-4 * sum(p * p for p in model.parameters())
        total.backward()
        return total

    return step


def w2(engine: Any, network: Any) -> Callable[[], Any]:
    pixels, digit = load_digits()[0][0]
    random.seed(1337)
    model = network.MLP(64, [32, 10])

    def step() -> Any:
        if engine is mg:
            loss = mg.cross_entropy(model(pixels), digit)
        else:  # what a user of micrograd has to write: it has no exp and no log
            logits = model([engine.Value(x) for x in pixels])
            exponentials = [exp(engine.Value, x) for x in logits]
            loss = -log(engine.Value, exponentials[digit] / sum(exponentials))
        loss.backward()
        return loss

    return step


def exp(value: Any, x: Any) -> Any:
    out = value(math.exp(x.data), (x,), "exp")

    def backward() -> None:
        x.grad += out.data * out.grad

    out._backward = backward
    return out


def log(value: Any, x: Any) -> Any:
    out = value(math.log(x.data), (x,), "log")

    def backward() -> None:
        x.grad += out.grad / x.data

    out._backward = backward
    return out


def seconds(step: Callable[[], Any], collector: bool, repeat: int) -> float:
    (gc.enable if collector else gc.disable)()
    start = time.perf_counter()
    for _ in range(repeat):
        step()
    elapsed = (time.perf_counter() - start) / repeat
    gc.enable()
    gc.collect()
    return elapsed


def compare(name: str, ours: Callable[[], Any], theirs: Callable[[], Any], times: tuple[int, int] = (5, 1)) -> None:
    difference = abs(ours().data - theirs().data)
    for collector in (True, False):
        rounds = [(seconds(ours, collector, times[0]), seconds(theirs, collector, times[1])) for _ in range(ROUNDS)]
        mine, other = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(
            f"{name:<6} collector {'on ' if collector else 'off'}: {other / mine:6.2f} times as fast "
            f"({1e3 * mine:.3f} ms against {1e3 * other:.3f} ms; losses differ by {difference:.1e})",
            flush=True,
        )


def growth() -> None:
    base: dict[bool, float] = {}
    for nodes in (10**4, 10**5, 10**6, 3 * 10**6):
        for collector in (False, True):
            elapsed = seconds(lambda n=nodes: chain(n).backward(), collector, max(10**5 // nodes, 1)) / nodes  # type: ignore[misc]
            base.setdefault(collector, elapsed)
            print(
                f"chain of {nodes:>9,} operations, collector {'on ' if collector else 'off'}: {1e6 * elapsed:.2f} µs "
                f"each, forward and backward ({elapsed / base[collector]:.2f} x the shortest's)",
                flush=True,
            )
    nodes = 10**5
    gc.collect()
    tracemalloc.start()
    chain(nodes).backward()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"chain: peak {peak / nodes:.0f} bytes for each of {nodes:,} recorded operations")
    step = w1(mg, mg)
    gc.collect()
    tracemalloc.start()
    root = step()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(
        f"W1: peak {peak / len(topological(root)):.0f} bytes for each of {len(topological(root)):,} recorded operations"
    )


def chain(nodes: int) -> mg.Value:
    x = mg.Value(0.5)
    y = x
    for _ in range(nodes // 2):
        y = y * 0.999 + x
    return y


def main() -> None:
    import micrograd.engine
    import micrograd.nn

    print(__doc__)
    compare("README", readme(mg, mg), readme(micrograd.engine, micrograd.nn), (200, 100))
    print(f"GPT: {len(topological(gpt(mg.Value)())):,} recorded operations")
    compare("GPT", gpt(mg.Value), gpt(ClosureValue), (1, 1))
    for name, workload in (("W1", w1), ("W2", w2)):
        compare(name, workload(mg, mg), workload(micrograd.engine, micrograd.nn))
    growth()
