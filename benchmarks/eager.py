"""The eager engine beside PyPI's micrograd: two training steps, memory per operation, and growth with the graph.

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
from typing import Any

import micrograd_like as mg
from micrograd_like.data import load_digits, make_moons
from micrograd_like.graph import topological

ROUNDS = 9


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


def compare(name: str, workload: Callable[[Any, Any], Callable[[], Any]]) -> None:
    import micrograd.engine
    import micrograd.nn

    ours, theirs = workload(mg, mg), workload(micrograd.engine, micrograd.nn)
    difference = abs(ours().data - theirs().data)
    for collector in (True, False):
        rounds = [(seconds(ours, collector, 5), seconds(theirs, collector, 1)) for _ in range(ROUNDS)]
        mine, other = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(
            f"{name}, collector {'on ' if collector else 'off'}: {other / mine:6.1f} x micrograd's speed "
            f"({1e3 * mine:.2f} ms against {1e3 * other:.1f} ms; losses differ by {difference:.1e})"
        )


def growth() -> None:
    base = None
    for nodes in (10**4, 10**5, 10**6):
        start = time.perf_counter()
        chain(nodes).backward()
        elapsed = time.perf_counter() - start
        gc.collect()
        tracemalloc.start()
        chain(nodes).backward()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        base = base or elapsed / nodes
        print(
            f"chain of {nodes:>9,} operations, forward and backward: {1e6 * elapsed / nodes:.2f} µs each "
            f"({elapsed / nodes / base:.2f} x the first row), peak {peak / nodes:.0f} bytes each"
        )
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
    print(__doc__)
    compare("W1", w1)
    compare("W2", w2)
    growth()
