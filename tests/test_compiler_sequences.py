"""A language model of scalars is compiled as the loops that a programmer would have written."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

import micrograd_like as mg
from micrograd_like import Value
from micrograd_like.compiler import pipeline, trace
from micrograd_like.transformer import GPT, next_token_loss

Rows = list[list[Any]]


def lines_of(function: Callable[..., Any], parameters: Sequence[Value], positions: int) -> int:
    recorded = trace.trace(function, parameters, {"x": (positions,), "y": (positions,)})
    return len(pipeline.build(recorded).text.splitlines())


@pytest.mark.parametrize("positions", [5, 6, 9])
def test_a_gpt_is_some_eighty_lines_whatever_its_length(positions: int) -> None:
    model = GPT(27, rng=0)
    assert lines_of(lambda x, y: next_token_loss(model(x), y), model.parameters(), positions) <= 90


def by_hand() -> tuple[Callable[..., Any], list[Value]]:
    """A transformer as a learner writes it: position after position, lists, Python's `sum`; (loss of x and y, weights)."""
    rng = random.Random(1)
    width, size = 16, 4

    def matrix(rows: int, columns: int) -> Rows:
        return [[Value(rng.gauss(0, 0.08)) for _ in range(columns)] for _ in range(rows)]

    names = ("tokens", "places", "head", "q", "k", "v", "o", "up", "down")
    shapes = [(27, width), (16, width), (27, width), *[(width, width)] * 4, (4 * width, width), (width, 4 * width)]
    w = {name: matrix(*shape) for name, shape in zip(names, shapes, strict=True)}

    def linear(x: list[Any], weights: Rows) -> list[Any]:
        return [sum(a * b for a, b in zip(row, x, strict=True)) for row in weights]

    def softmax(logits: list[Any]) -> list[Any]:
        largest = mg.max(logits)
        powers = [(x - largest).exp() for x in logits]
        total = sum(powers)
        return [power / total for power in powers]

    def norm(x: list[Any]) -> list[Any]:
        scale = (sum(a * a for a in x) / len(x) + 1e-5) ** -0.5
        return [a * scale for a in x]

    def loss(xs: Sequence[Any], ys: Sequence[Any]) -> Any:
        keys: Rows = []
        values: Rows = []
        losses = []
        for place, token, target in zip(w["places"], xs, ys, strict=False):
            embedded = [mg.gather(column, token) for column in zip(*w["tokens"], strict=True)]
            x = norm([t + p for t, p in zip(embedded, place, strict=True)])
            query = linear(norm(x), w["q"])
            keys.append(linear(norm(x), w["k"]))
            values.append(linear(norm(x), w["v"]))
            seen = []
            for h in range(0, width, size):
                part = slice(h, h + size)
                scores = [sum(a * b for a, b in zip(query[part], key[part], strict=True)) / size**0.5 for key in keys]
                shares = softmax(scores)
                seen += [sum(s * row[j] for s, row in zip(shares, values, strict=True)) for j in range(h, h + size)]
            x = [a + b for a, b in zip(x, linear(seen, w["o"]), strict=True)]
            hidden = [h.relu() for h in linear(norm(x), w["up"])]
            x = [a + b for a, b in zip(x, linear(hidden, w["down"]), strict=True)]
            losses.append(-mg.gather(softmax(linear(x, w["head"])), target).log())
        return sum(losses) / len(losses)

    return loss, [p for name in names for row in w[name] for p in row]


@pytest.mark.parametrize("positions", [5, 8])
def test_a_transformer_written_by_hand_is_some_seventy_lines(positions: int) -> None:
    assert lines_of(*by_hand(), positions) <= 70
