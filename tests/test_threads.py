"""Eight threads that each build and differentiate graphs of their own give the numbers of one."""

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from micrograd_like import MLP, SGD, Value, cross_entropy, gradient


def train(seed: int) -> list[Any]:
    """A small training; everything it computes, to the last bit."""
    model = MLP(3, [4, 3], activation="tanh", rng=seed)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for step in range(20):
        x = [Value(0.1 * step), Value(-0.3), Value(0.7)]
        loss = cross_entropy(model(x), step % 3)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses += [loss.data, x[0].grad, gradient(loss, x[1]).data]
    return losses + [p.data for p in model.parameters()]


def test_eight_threads_give_the_numbers_of_one() -> None:
    expected = [train(seed) for seed in range(16)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # the threads take turns as often as they can
    try:
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(train, range(16))) == expected
    finally:
        sys.setswitchinterval(interval)


def test_threads_may_share_a_models_parameters_when_they_only_compute() -> None:
    model = MLP(2, [8, 1], rng=0)
    inputs = [[i / 10, -i / 7] for i in range(40)]
    expected = [gradient(model(x), model.parameters())[0].data for x in inputs]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            found = pool.map(lambda x: gradient(model(x), model.parameters())[0].data, inputs)
            assert list(found) == expected
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.skipif(getattr(sys, "_is_gil_enabled", lambda: True)(), reason="this Python has a global interpreter lock")
def test_threads_run_without_the_lock_too() -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(map(tuple, pool.map(train, [3] * 64)))) == 1
