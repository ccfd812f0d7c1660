"""A language model of scalars: what an embedding, a norm, attention and a GPT compute, each in a few lines of `Value`s.

The names and the formulas are PyTorch's (`torch.nn`); the model is GPT-2's (Radford et al., 2019) in the plain form of
Karpathy's microgpt: RMSNorm instead of LayerNorm, ReLU, no biases. A token is a whole number; a position is a list of
`width` numbers; a text is a list of positions.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import inf, sqrt
from numbers import Real
from typing import Any

from micrograd_like import ops
from micrograd_like.checks import MOST, instance, listed, shown, whole_number
from micrograd_like.engine import Value
from micrograd_like.functional import cross_entropy, dot, gather, mean, relu, softmax
from micrograd_like.ieee import as_float
from micrograd_like.nn import Generator, Module, generator

Position = list[Any]


def _size(name: str, n: Any) -> int:
    return whole_number(name, n, at_most=MOST)


def _weights(rows: int, columns: int, rng: Any) -> list[list[Value]]:
    """A matrix of weights, normally distributed around 0 with the standard deviation of microgpt, 0.08."""
    if rows * columns > MOST:
        raise ValueError(f"expected a layer of at most {MOST:,} weights, got {rows * columns:,}")
    return [[Value(rng.gauss(0.0, 0.08)) for _ in range(columns)] for _ in range(rows)]


class Linear(Module):
    """Map nin numbers to nout numbers, each a weighted sum of all (`torch.nn.Linear`, without a bias).

    >>> layer = Linear(2, 3, rng=0)
    >>> len(layer([1.0, 0.5])), len(layer.parameters())
    (3, 6)

    Args:
        nin: the number of inputs.
        nout: the number of outputs.
        rng: a `random.Random`, or a seed for one; None for the generator of the `random` module.
    """

    def __init__(self, nin: int, nout: int, *, rng: Generator = None) -> None:
        self.weight = _weights(_size("nout", nout), _size("nin", nin), generator(rng))

    def __call__(self, x: Sequence[Any]) -> Position:
        return [dot(row, x) for row in self.weight]

    def __repr__(self) -> str:
        return f"Linear({len(self.weight[0])}, {len(self.weight)})"


class Embedding(Module):
    """Turn a token into a list of numbers that are learned: its row of the weights (`torch.nn.Embedding`).

    >>> embedding = Embedding(27, 4, rng=0)
    >>> embedding(2) == embedding.weight[2]
    True

    Args:
        tokens: how many different tokens there are.
        width: how many numbers stand for each.
        rng: a `random.Random`, or a seed for one; None for the generator of the `random` module.

    Raises:
        IndexError: when called with a token that is not a whole number from 0 to tokens - 1.
    """

    def __init__(self, tokens: int, width: int, *, rng: Generator = None) -> None:
        self.weight = _weights(_size("tokens", tokens), _size("width", width), generator(rng))

    def __call__(self, token: Any) -> Position:
        if isinstance(token, int) and 0 <= token < len(self.weight):
            return list(self.weight[token])
        return [gather(column, token) for column in zip(*self.weight, strict=True)]

    def __repr__(self) -> str:
        return f"Embedding({len(self.weight)}, {len(self.weight[0])})"


class RMSNorm(Module):
    """Scale a position so that the mean of its squares is 1: x / sqrt(mean(x²) + eps).

    The formula is that of B. Zhang and R. Sennrich (2019) and of `torch.nn.RMSNorm` with `elementwise_affine=False`: it
    has no parameters.

    >>> [x.data for x in RMSNorm(eps=0.0)([Value(3.0), Value(3.0)])]
    [1.0, 1.0]

    Args:
        eps: keeps the divisor from 0.
    """

    def __init__(self, eps: float = 1e-5) -> None:
        self.eps = eps

    def __call__(self, x: Sequence[Any]) -> Position:
        scale = (dot(x, x) / len(x) + self.eps) ** -0.5
        return [ops.mul(each, scale) for each in x]

    def __repr__(self) -> str:
        return f"RMSNorm({self.eps})"


class Attention(Module):
    """Let each position look at itself and at earlier ones, and take up what it finds there: causal self-attention.

    Each head compares the position's query with the keys of those before it; `looks` says how much it looks at each, and
    their values, mixed in these shares, are what it sees (A. Vaswani et al., 2017; in PyTorch
    `scaled_dot_product_attention(…, is_causal=True)` between four `Linear`s).

    >>> from micrograd_like import Value
    >>> attention = Attention(4, 2, rng=0)
    >>> text = [[Value(1.0), Value(0.0), Value(0.0), Value(2.0)] for _ in range(3)]
    >>> len(attention(text)), len(attention(text)[0])
    (3, 4)

    Args:
        width: how many numbers a position has.
        heads: how many comparisons are made side by side, each on its part of the numbers.
        rng: a `random.Random`, or a seed for one; None for the generator of the `random` module.

    Raises:
        ValueError: the heads do not divide the width.
    """

    def __init__(self, width: int, heads: int, *, rng: Generator = None) -> None:
        width, self.heads = _size("width", width), _size("heads", heads)
        if width % self.heads:
            raise ValueError(f"expected a width that {self.heads} heads divide, got {width}")
        rng = generator(rng)
        self.query, self.key, self.value, self.output = (Linear(width, width, rng=rng) for _ in range(4))

    def looks(self, xs: Sequence[Position]) -> list[list[list[Any]]]:
        """Return shares by head, position and earlier position (its own included): they add up to 1.

        >>> attention = Attention(4, 2, rng=0)
        >>> looks = attention.looks([[Value(1.0), Value(0.0), Value(2.0), Value(1.0)]] * 3)
        >>> [round(share.data, 3) for share in looks[0][2]]  # three equal positions
        [0.333, 0.333, 0.333]
        """
        queries, keys = [self.query(x) for x in xs], [self.key(x) for x in xs]
        size = len(queries[0]) // self.heads
        return [
            [
                softmax([dot(query[part], key[part]) / sqrt(size) for key in keys[: t + 1]])
                for t, query in enumerate(queries)
            ]
            for part in self._parts(size)
        ]

    def __call__(self, xs: Sequence[Position]) -> list[Position]:
        looks, values = self.looks(xs), [self.value(x) for x in xs]
        columns = list(zip(*values, strict=True))
        size = len(columns) // self.heads
        return [
            self.output([
                dot(shares[t], column[: t + 1])
                for shares, part in zip(looks, self._parts(size), strict=True)
                for column in columns[part]
            ])
            for t in range(len(xs))
        ]

    def _parts(self, size: int) -> list[slice]:
        return [slice(head * size, (head + 1) * size) for head in range(self.heads)]

    def __repr__(self) -> str:
        return f"Attention({len(self.query.weight)}, heads={self.heads})"


class Block(Module):
    """Look around, then think: attention, then two layers with a ReLU between; each adds to what was there.

    >>> from micrograd_like import Value
    >>> block = Block(4, 2, rng=0)
    >>> text = [[Value(1.0), Value(0.0), Value(0.0), Value(2.0)] for _ in range(3)]
    >>> len(block(text)), len(block(text)[0]), len(block.parameters())
    (3, 4, 192)

    Args:
        width: how many numbers a position has.
        heads: those of its `Attention`.
        rng: a `random.Random`, or a seed for one; None for the generator of the `random` module.
    """

    def __init__(self, width: int, heads: int, *, rng: Generator = None) -> None:
        width, rng = _size("width", width), generator(rng)
        self.norm = RMSNorm()
        self.attention = Attention(width, heads, rng=rng)
        self.up, self.down = Linear(width, 4 * width, rng=rng), Linear(4 * width, width, rng=rng)

    def looks(self, xs: Sequence[Position]) -> list[list[list[Any]]]:
        """Return how much each position looks at each earlier one: the shares of `Attention.looks`."""
        return self.attention.looks([self.norm(x) for x in xs])

    def __call__(self, xs: Sequence[Position]) -> list[Position]:
        seen = self.attention([self.norm(x) for x in xs])
        xs = [_added(x, s) for x, s in zip(xs, seen, strict=True)]
        return [_added(x, self.down([relu(h) for h in self.up(self.norm(x))])) for x in xs]

    def __repr__(self) -> str:
        return f"Block({len(self.up.weight[0])}, heads={self.attention.heads})"


def _added(x: Position, y: Position) -> Position:
    return [ops.add(a, b) for a, b in zip(x, y, strict=True)]


class GPT(Module):
    """Score the next token at every position of a text at once: a small GPT.

    The sizes of microgpt are the defaults; with 27 tokens they make 4,192 parameters.

    >>> model = GPT(27, rng=0)
    >>> len(model.parameters()), len(model([0, 5, 13])), len(model([0, 5, 13])[-1])
    (4192, 3, 27)

    Args:
        tokens: how many different tokens there are.
        block: the longest text.
        width: how many numbers stand for a position.
        heads: of each block's attention.
        layers: how many blocks.
        rng: a `random.Random`, or a seed for one; None for the generator of the `random` module.

    Raises:
        ValueError: a size is no whole number of at least 1, or the heads do not divide the width; when called, a text
            that is empty or longer than the block.
    """

    def __init__(
        self, tokens: int, *, block: int = 16, width: int = 16, heads: int = 4, layers: int = 1, rng: Generator = None
    ) -> None:
        tokens, block, width = _size("tokens", tokens), _size("block", block), _size("width", width)
        rng = generator(rng)
        self.token, self.place = Embedding(tokens, width, rng=rng), Embedding(block, width, rng=rng)
        self.norm = RMSNorm()
        self.blocks = [Block(width, heads, rng=rng) for _ in range(_size("layers", layers))]
        self.head = Linear(width, tokens, rng=rng)

    def __call__(self, tokens: Sequence[Any]) -> list[Position]:
        """Return for each position the scores (logits) of the token that follows it."""
        xs = self._begin(tokens)
        for block in self.blocks:
            xs = block(xs)
        return [self.head(x) for x in xs]

    def looks(self, tokens: Sequence[Any]) -> list[list[list[list[Any]]]]:
        """Return how much each position looks at each earlier one: shares by block, head, position and earlier position.

        >>> model = GPT(27, rng=0)
        >>> [len(shares) for shares in model.looks([0, 5, 13])[0][3]]  # of the first block, the last of four heads
        [1, 2, 3]
        """
        xs, found = self._begin(tokens), []
        for block in self.blocks:
            found.append(block.looks(xs))
            xs = block(xs)
        return found

    def _begin(self, tokens: Sequence[Any]) -> list[Position]:
        longest = len(self.place.weight)
        if not 1 <= len(tokens) <= longest:
            raise ValueError(f"expected from 1 to {longest} tokens, got {len(tokens)}")
        return [self.norm(_added(self.token(token), self.place(t))) for t, token in enumerate(tokens)]

    def _example(self) -> tuple[Any, ...]:
        return ([0] * len(self.place.weight),)

    def __repr__(self) -> str:
        tokens, width = len(self.token.weight), len(self.token.weight[0])
        return f"GPT({tokens}, block={len(self.place.weight)}, width={width}, layers={len(self.blocks)})"


def next_token_loss(scores: Sequence[Position], targets: Sequence[Any]) -> Any:
    """Return the mean `cross_entropy` of the positions: how surprised the model is by each next token, in nats.

    A model that knows nothing of 27 tokens has a loss of log 27, which is 3.3.

    >>> round(float(next_token_loss([[0.0] * 27] * 2, [3, 8])), 2)
    3.3

    Args:
        scores: what a `GPT` returns, a list of scores for each position.
        targets: the token that follows each position.

    Raises:
        ValueError: there are not as many targets as positions, or a target is none of the tokens.
    """
    rows, tokens = listed("scores", scores, "a list of scores for each position"), listed("targets", targets, "a list")
    if len(rows) != len(tokens) or not rows:
        raise ValueError(f"expected as many targets as positions, and at least one; got {len(tokens)} and {len(rows)}")
    return mean([cross_entropy(row, target) for row, target in zip(rows, tokens, strict=True)])


def generate(
    model: GPT, start: int, *, stop: int | None = None, temperature: float = 1.0, rng: random.Random | int = 0
) -> list[int]:
    """Invent a text: token after token, each drawn with the probability that the model gives it.

    >>> text = generate(GPT(27, rng=0), 0, rng=1)
    >>> len(text), all(0 <= token < 27 for token in text), text == generate(GPT(27, rng=0), 0, rng=1)
    (16, True, True)

    Args:
        model: a trained model.
        start: the token it begins with, which is not part of the result.
        stop: the token that ends the text, which is not part of the result; without one the text fills the block.
        temperature: below 1 bolder about what is likely, above 1 more even; near 0 always the likeliest.
        rng: a `random.Random`, or a seed for one.

    Raises:
        TypeError: the model is no GPT.
        ValueError: the temperature is not above 0, or a token is none of the model's.
    """
    model = instance("model", model, GPT, "a GPT")
    last = len(model.token.weight) - 1
    text = [whole_number("start", start, at_least=0, at_most=last)]
    stop = None if stop is None else whole_number("stop", stop, at_least=0, at_most=last)
    given: Any = temperature
    if isinstance(given, bool) or not isinstance(given, Real) or not 0 < as_float(given) < inf:
        raise ValueError(f"expected a finite temperature above 0, got {shown(given)}")
    temperature, draw = as_float(given), generator(rng)
    while len(text) <= len(model.place.weight):
        scores = [score.data for score in model(text)[-1]]
        highest = max(scores)  # so that no score becomes infinite, however near to 0 the temperature
        token = draw.choices(range(len(scores)), softmax([(score - highest) / temperature for score in scores]))[0]
        if token == stop:
            break
        text.append(token)
    return text[1:]
