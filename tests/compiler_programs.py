"""Programs to compile, written as users write them, random ones by a seed; and what the eager engine makes of them."""

import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

import micrograd_like as mg
from micrograd_like import Value
from micrograd_like.compiler import runtime
from micrograd_like.graph import topological

# Operations whose machine form equals the eager engine's to the last bit.
EXACT = {
    "add", "sub", "mul", "div", "neg", "pow", "sqrt", "sin", "cos", "tanh", "relu", "abs", "where", "max", "min",
    "sum", "dot", "relu_dot", "gather",
}  # fmt: skip


class ScalarNetwork:
    """A multi-layer perceptron of plain additions and multiplications: no fused node helps the compiler."""

    def __init__(self, sizes: Sequence[int], rng: random.Random) -> None:
        self.layers = [
            [([Value(rng.uniform(-1, 1)) for _ in range(a)], Value(rng.uniform(-1, 1))) for _ in range(b)]
            for a, b in pairwise(sizes)
        ]

    def parameters(self) -> list[Value]:
        return [p for layer in self.layers for ws, b in layer for p in (*ws, b)]

    def __call__(self, x: Sequence[Any]) -> list[Any]:
        for n, layer in enumerate(self.layers):
            x = [sum((w * v for w, v in zip(ws, x, strict=True)), b) for ws, b in layer]
            if n < len(self.layers) - 1:
                x = [v.relu() for v in x]
        return list(x)


Block = Callable[[list[Any], list[Value], Sequence[Any], random.Random], list[Any]]
PICKS, CHOICES = 2, 3  # how many whole numbers a sample has, and from how many values each of them picks one


def random_program(seed: int) -> tuple[Callable[..., Any], list[Value], int]:
    """(function of x and k, parameters, the length of x): loops of many kinds, one after the other; see `samples`."""
    rng = random.Random(seed)
    p = [Value(rng.uniform(-1, 1)) for _ in range(rng.randint(10, 40))]
    size = rng.randint(2, 9)
    plan = [(rng.choice(list(BLOCKS)), rng.random()) for _ in range(rng.randint(1, 4))]

    def function(x: Sequence[Any], k: Sequence[Any]) -> Any:
        values = list(x)
        for name, dice in plan:
            values = BLOCKS[name](values, p, k, random.Random(dice))[:12]
        return sum(values, 0.0) * 1.0

    return function, p, size


def samples(rng: random.Random, size: int, count: int) -> tuple[list[list[float]], list[list[float]]]:
    """So many samples for a random program: the rows of x, and those of k."""
    return (
        [[rng.gauss(0, 1) for _ in range(size)] for _ in range(count)],
        [[float(rng.randrange(CHOICES)) for _ in range(PICKS)] for _ in range(count)],
    )


def written_program(seed: int) -> tuple[Callable[[], Any], list[Value]]:
    """(function without inputs, parameters): a loss of a random program over samples that are written in it.

    In some each sample counts by itself; in others it is compared with the first one, its neighbour, or all before it.
    """
    function, p, size = random_program(seed)
    rng = random.Random(seed)
    rows = list(zip(*samples(rng, size, rng.randint(16, 40)), strict=True))
    kind = rng.choice(["alone", "alone", "first", "neighbour", "before"])

    def loss() -> Any:
        found = [function(x, k) * p[2] for x, k in rows]
        if kind == "first":
            found = [(x - found[0]) * (x - found[0]) + x for x in found]
        elif kind == "neighbour":
            found = [x * y for x, y in pairwise(found)]
        elif kind == "before":
            found = [x - mg.mean(found[: i + 1]) for i, x in enumerate(found)]
        return mg.mean(found) + p[0] * p[1]

    return loss, p


def dense(v: list[Any], p: list[Value], k: Sequence[Any], rng: random.Random) -> list[Any]:
    start, k = rng.randrange(len(p)), len(v)
    rows = [[p[(start + j * (k + 1) + i) % len(p)] for i in range(k + 1)] for j in range(rng.randint(1, 9))]
    out = [sum((w * x for w, x in zip(row, v, strict=False)), row[-1]) for row in rows]
    return [x.relu() for x in out] if rng.random() < 0.5 else out


def fused(v: list[Any], p: list[Value], k: Sequence[Any], rng: random.Random) -> list[Any]:
    out = [mg.dot([p[(j + 2 * i) % len(p)] for i in range(len(v))], v, p[j]) for j in range(rng.randint(1, 6))]
    return [mg.where(x, x, 0.1 * x) for x in out]


def convolution(v: list[Any], p: list[Value], k: Sequence[Any], rng: random.Random) -> list[Any]:
    return [p[0] * v[i] + p[1] * v[i + 1] for i in range(len(v) - 1)] or v


def image(v: list[Any], p: list[Value], k: Sequence[Any], rng: random.Random) -> list[Any]:
    x = (v * 9)[:9]
    return [
        sum((p[2 * a + b] * x[3 * (r + a) + c + b] for a in range(2) for b in range(2)), p[5])
        for r in range(2)
        for c in range(2)
    ]


def padded(v: list[Any], p: list[Value], k: Sequence[Any], rng: random.Random) -> list[Any]:
    """A convolution with zeros around it, of stride 1 or 2."""
    wide = [0.0, *v, 0.0]
    return [sum(p[3 + j] * wide[i + j] for j in range(3)) for i in range(0, len(v), rng.choice([1, 2]))]


def density(v: list[Any], p: list[Value], k: Sequence[Any], rng: random.Random) -> list[Any]:
    """The logarithms of a mixture of bells."""
    return [mg.logsumexp([p[j] - 0.5 * (x - p[j + 3]) ** 2 for j in range(3)]) for x in v]


def recurrence(v: list[Any], p: list[Value], k: Sequence[Any], rng: random.Random) -> list[Any]:
    h = [p[i] * 1.0 for i in range(3)]
    for x in v:
        h = [(h[j] * p[j] + h[(j + 1) % 3] * p[j + 3] + x * p[j + 6]).tanh() for j in range(3)]
    return h


def triangle(v: list[Any], p: list[Value], k: Sequence[Any], rng: random.Random) -> list[Any]:
    return [sum((v[k] * p[(i + k) % len(p)] for k in range(i + 1)), 0.0) for i in range(len(v))]


def backwards(v: list[Any], p: list[Value], k: Sequence[Any], rng: random.Random) -> list[Any]:
    return [v[len(v) - 1 - i] * p[(3 * i) % len(p)] for i in range(len(v))]


def strided(v: list[Any], p: list[Value], k: Sequence[Any], rng: random.Random) -> list[Any]:
    return [sum(v[start::2], 0.0) for start in range(min(2, len(v)))] + v[::-1]


def running(v: list[Any], p: list[Value], k: Sequence[Any], rng: random.Random) -> list[Any]:
    total, out = 0.0, []
    for x in v:
        total = total * 0.5 + x
        out.append(total)
    return out


def shared(v: list[Any], p: list[Value], k: Sequence[Any], rng: random.Random) -> list[Any]:
    penalty = sum(w * w for w in p)
    return [x * p[0] + p[1] + 0.01 * penalty for x in v]


def mixture(v: list[Any], p: list[Value], k: Sequence[Any], rng: random.Random) -> list[Any]:
    pool = v + p[:3]
    return [rng.choice(v) + rng.choice(pool) * rng.choice(pool) for _ in range(rng.randint(2, 7))]


def extremes(v: list[Any], p: list[Value], k: Sequence[Any], rng: random.Random) -> list[Any]:
    return [mg.max(v), mg.min(*v, 0.3), mg.max(*v, *p[:3]), *v[:2]]


def normalized(v: list[Any], p: list[Value], k: Sequence[Any], rng: random.Random) -> list[Any]:
    return [mg.logsumexp(v), *mg.softmax([x * p[0] for x in v])]


def embedding(v: list[Any], p: list[Value], k: Sequence[Any], rng: random.Random) -> list[Any]:
    """Rows of parameters, picked by the sample; where there are few of them, side by side with the values."""
    width = rng.randint(1, 3)
    rows = [[p[row * width + d] for d in range(width)] for row in range(CHOICES)]
    picked = [mg.gather([row[d] for row in rows], i) for i in k for d in range(width)]
    return [a * b for a, b in zip(v, picked, strict=False)] + picked if rng.random() < 0.5 else v[:3] + picked


def picking(v: list[Any], p: list[Value], k: Sequence[Any], rng: random.Random) -> list[Any]:
    """One of the values, one of the parameters, one of both."""
    among = [(v * CHOICES)[:CHOICES], p[1 : 1 + CHOICES], [p[0], v[0], p[-1]], p[::-1][:CHOICES]]
    return [mg.gather(rng.choice(among), i) for i in k] + v[:2]


def elementwise(v: list[Any], p: list[Value], k: Sequence[Any], rng: random.Random) -> list[Any]:
    functions: list[Callable[[Any], Any]] = [
        lambda x: x.tanh(), lambda x: x * x, lambda x: 1 / (x * x + 1), lambda x: x.sin(), lambda x: abs(x),
        lambda x: -x, lambda x: x - p[4], lambda x: (x * x + 1) ** 1.5, lambda x: (x * x + 0.5).sqrt(),
        lambda x: x.sigmoid(), lambda x: x.softplus(), lambda x: (x * x + 0.1).log(), lambda x: (0.1 * x).exp(),
        lambda x: mg.gather([x, p[0], p[1]], 1.0 * (x.sigmoid() * 2)),
    ]  # fmt: skip
    f = rng.choice(functions)
    return [f(x + 0.0) for x in v]


BLOCKS: dict[str, Block] = {
    block.__name__: block
    for block in (
        dense, fused, convolution, image, padded, density, recurrence, triangle, backwards, strided, running, shared, mixture, extremes,
        normalized, embedding, picking, elementwise,
    )
}  # fmt: skip


def checked(program: mg.Program) -> mg.Program:
    """The program, its machine code trapping on every address that is out of bounds."""
    program._machine = runtime.Machine(program._parts, program.parameters, False, check=True)
    return program


def eager(function: Callable[..., Any], parameters: Sequence[Value], rows: Sequence[tuple[Any, ...]]) -> Any:
    """(losses, mean loss, gradient, the operations used)."""
    for p in parameters:
        p.grad = 0
    losses = [function(*row) for row in rows]
    total = mg.mean(losses)
    total.backward()
    used = {node.op.name for node in topological(losses[0])}
    return [x.data for x in losses], total.data, np.array([float(p.grad) for p in parameters]), used


def values(row: Any) -> Any:
    return [values(x) for x in row] if isinstance(row, list) else Value(row)


def assert_same(program: mg.Program, function: Any, parameters: Sequence[Value], *arrays: Any) -> None:
    rows = [tuple(values(array[i]) for array in map(np.ndarray.tolist, arrays)) for i in range(len(arrays[0]))]
    losses, mean, gradient, used = eager(function, parameters, rows)
    got_mean, got_gradient = program.gradient(*arrays)
    got = program.losses(*arrays)
    if used <= EXACT:
        assert got.tolist() == losses
        assert got_mean == mean == program(*arrays)
    else:
        np.testing.assert_allclose(got, losses, rtol=1e-13, atol=1e-14)
    scale = max(np.abs(gradient).max(), 1e-300)
    assert np.abs(got_gradient - gradient).max() <= 1e-11 * scale + 1e-13  # terms that cancel leave their rounding


def growing_program(seed: int) -> tuple[Callable[..., Any], list[Value], int]:
    """(function of x and k, parameters, the length of x): each position of a sequence looks at those before it."""
    rng = random.Random(seed)
    n, width = rng.randint(5, 9), rng.randint(1, 3)
    p = [Value(rng.uniform(-1, 1)) for _ in range(n * n + 12)]
    layers = [(rng.choice(list(LAYERS)), rng.random()) for _ in range(rng.randint(1, 3))]
    picks = rng.random() < 0.3

    def function(x: Sequence[Any], k: Sequence[Any]) -> Any:
        rows = [[x[t * width + d] for d in range(width)] for t in range(n)]
        if picks:
            rows = [
                [v * mg.gather([p[c * width + d] for c in range(CHOICES)], k[0]) for d, v in enumerate(r)] for r in rows
            ]
        for name, dice in layers:
            rows = LAYERS[name](rows, p, random.Random(dice))
        return sum((v for row in rows for v in row), 0.0) * 0.1

    return function, p, n * width


def sequence_program(seed: int) -> tuple[Callable[..., Any], list[Value], mg.UpTo]:
    """(function of a sequence x and k, parameters, the shape of x): what it computes differs with the length."""
    rng = random.Random(seed)
    least = rng.choice([1, 1, 2, 3])
    longest, width = least + rng.randint(0, 6), rng.randint(1, 3)
    p = [Value(rng.uniform(-1, 1)) for _ in range(longest * longest + 12)]
    layers = [(rng.choice(list(LAYERS)), rng.random()) for _ in range(rng.randint(1, 3))]
    ending = rng.choice(["sum", "mean", "last", "backwards", "short"])

    def function(x: Sequence[Any], k: Sequence[Any]) -> Any:
        rows = [list(row) for row in x]
        for name, dice in layers:
            rows = LAYERS[name](rows, p, random.Random(dice))
        everything = [v for row in rows for v in row]
        if ending == "last":
            return sum(rows[-1], 0.0) * p[0]
        if ending == "backwards":
            h = p[1] * 1.0
            for v in reversed(everything):
                h = h * p[2] + v
            return h
        if ending == "short" and len(rows) < longest:  # another computation for some lengths
            return mg.sum(everything) * k[0]
        total = sum(everything, 0.0) * 0.1
        return total / len(rows) if ending == "mean" else total

    return function, p, mg.UpTo(longest, width, least=least)


Rows = list[list[Any]]


def attention(rows: Rows, p: list[Value], rng: random.Random) -> Rows:
    out = []
    for t, row in enumerate(rows):
        scores = [sum(a * b for a, b in zip(row, rows[u], strict=True)) * p[0] for u in range(t + 1)]
        largest = mg.max(scores)
        weights = [(s - largest).exp() for s in scores]
        total = sum(weights)
        shares = [w / total for w in weights]
        out.append([sum(shares[u] * rows[u][d] for u in range(t + 1)) for d in range(len(row))])
    return out


def looking_back(rows: Rows, p: list[Value], rng: random.Random) -> Rows:
    """The first position has nothing before it."""
    return [
        [sum((rows[u][d] * p[u] for u in range(t)), 0.0) + v for d, v in enumerate(row)] for t, row in enumerate(rows)
    ]


def looking_ahead(rows: Rows, p: list[Value], rng: random.Random) -> Rows:
    n = len(rows)
    return [[sum((rows[u][d] * rows[t][d] for u in range(t, n)), 0.0) for d in range(len(rows[0]))] for t in range(n)]


def triangular_weights(rows: Rows, p: list[Value], rng: random.Random) -> Rows:
    n = len(rows)
    return [
        [sum((p[t * n + u] * rows[u][d] for u in range(t + 1)), 0.0) for d in range(len(rows[0]))] for t in range(n)
    ]


def extremes_so_far(rows: Rows, p: list[Value], rng: random.Random) -> Rows:
    pick = rng.choice([mg.max, mg.min, mg.logsumexp])
    return [[pick([rows[u][d] * p[3] for u in range(t + 1)]) for d in range(len(rows[0]))] for t in range(len(rows))]


def unfolded_again(rows: Rows, p: list[Value], rng: random.Random) -> Rows:
    """A chain of each length: a recurrence inside of a loop whose bound moves."""
    out = []
    for t, row in enumerate(rows):
        h = row[0] * p[1]
        for u in range(t + 1):
            h = (h * p[2] + rows[u][-1]).tanh()
        out.append([h, *row[1:]])
    return out


def projected(rows: Rows, p: list[Value], rng: random.Random) -> Rows:
    width = rng.randint(1, 3)
    out = [[sum(p[i * len(row) + d] * v for d, v in enumerate(row)) for i in range(width)] for row in rows]
    return [[v.relu() for v in row] for row in out] if rng.random() < 0.5 else out


LAYERS: dict[str, Callable[[Rows, list[Value], random.Random], Rows]] = {
    layer.__name__: layer
    for layer in (
        attention, looking_back, looking_ahead, triangular_weights, extremes_so_far, unfolded_again, projected,
    )
}  # fmt: skip
