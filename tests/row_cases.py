"""What a test needs to know about each row of the table: the same function written with mpmath, and where to try it."""

import random
from collections.abc import Callable
from typing import Any

import mpmath

from micrograd_like import ops

ROWS = list(ops.TABLE.values())

# The same functions, written with mpmath alone. Digits are 50 wherever they are called.
ORACLES: dict[str, Callable[..., Any]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "neg": lambda x: -x,
    "pow": mpmath.power,
    "exp": mpmath.exp,
    "log": mpmath.log,
    "sqrt": mpmath.sqrt,
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "tanh": mpmath.tanh,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log(1 + mpmath.exp(x)),
    "sigmoid_prime": lambda x: 1 / (2 + mpmath.exp(x) + mpmath.exp(-x)),
    "relu": lambda x: max(x, mpmath.mpf(0)),
    "abs": lambda x: mpmath.sqrt(x * x),
    "where": lambda c, x, y: x if c > 0 else y,
    "max": lambda *xs: sorted(xs)[-1],
    "min": lambda *xs: sorted(xs)[0],
    "sum": lambda *xs: mpmath.fsum(xs),
    "dot": lambda *args: mpmath.fdot(args[: len(args) // 2], args[len(args) // 2 + 1 :]) + args[len(args) // 2],
    "relu_dot": lambda *args: max(ORACLES["dot"](*args), mpmath.mpf(0)),
    "logsumexp": lambda *xs: mpmath.log(mpmath.fsum(map(mpmath.exp, xs))),
    "gather": lambda index, *xs: xs[int(mpmath.nint(index))],
}


def arity(op: ops.Operation) -> int:
    return op.arity or (7 if "dot" in op.name else 5 if op.name == "gather" else 4)


def sample(op: ops.Operation, rng: random.Random) -> list[float]:
    """Operands inside the row's domain, a twentieth or more away from any kink."""
    while True:
        domains = op.domain * arity(op) if len(op.domain) == 1 else op.domain
        xs = [rng.uniform(0.1, 3) if domain == "positive" else rng.uniform(-3, 3) for domain in domains[: arity(op)]]
        kinks = [x for x, domain in zip(xs, domains, strict=False) if domain == "nonzero"]
        if all(abs(x) > 0.05 for x in (*kinks, *(op.switches(*xs) if op.switches else ()))):
            return xs


def wide_sample(op: ops.Operation, rng: random.Random) -> list[float]:
    """Operands of all sizes from 1e-10 to 300 (for powers from 1e-3 to 1e3), inside the row's domain, off its kinks."""
    small, large = (-3.0, 3.0) if op.name == "pow" else (-10.0, 2.5)
    while True:
        domains = op.domain * arity(op) if len(op.domain) == 1 else op.domain
        sizes = [10 ** rng.uniform(small, large) for _ in range(arity(op))]
        xs = [
            size if domain == "positive" else size * rng.choice([1, -1])
            for size, domain in zip(sizes, domains, strict=False)
        ]
        if op.name == "pow":
            xs[1] = rng.choice([1, -1]) * 10 ** rng.uniform(-3, 1.5)
        if op.name == "gather":
            xs[0] = rng.uniform(0, 3.4)
        if not op.switches or all(op.switches(*xs)):
            return xs


def derivative(f: Callable[..., Any], xs: list[Any], order: tuple[int, ...]) -> Any:
    """A partial derivative at 50 digits, by mpmath's own differences."""
    return mpmath.diff(f, tuple(xs), order) if sum(order) else f(*xs)


def exact_derivative(f: Callable[..., Any], xs: list[float], i: int) -> Any:
    """A first derivative by central differences with a step of 1e-40 of the operand; needs many digits."""
    exact = [mpmath.mpf(x) for x in xs]
    h = abs(exact[i]) * mpmath.mpf(10) ** -40
    up, down = list(exact), list(exact)
    up[i] += h
    down[i] -= h
    return (f(*up) - f(*down)) / (2 * h)


def exact_second_derivative(f: Callable[..., Any], xs: list[float], i: int, j: int) -> Any:
    """A second derivative by central differences with a step of 1e-40 of the operands; needs many digits."""
    exact = [mpmath.mpf(x) for x in xs]
    steps = [abs(x) * mpmath.mpf(10) ** -40 for x in exact]

    def at(a: int, b: int) -> Any:
        moved = list(exact)
        moved[i] += a * steps[i]
        moved[j] += b * steps[j]
        return f(*moved)

    return (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1)) / (4 * steps[i] * steps[j])


def check_row(op: ops.Operation, points: int = 40) -> None:
    """A row's own test: its value and every g · ∂out/∂operand, against mpmath at random points."""
    rng = random.Random(op.name)
    with mpmath.workdps(120):
        for _ in range(points):
            xs, g = sample(op, rng), rng.choice([-1, 1]) * rng.uniform(0.3, 3)
            out = op.function(*xs)
            assert close(out, ORACLES[op.name](*map(mpmath.mpf, xs)), 20), (xs, out)
            adjoints = op.vjp(g, out, *xs)
            assert len(adjoints) == len(xs)
            for i, adjoint in enumerate(adjoints):
                expected = g * exact_derivative(ORACLES[op.name], xs, i)
                assert close(0.0 if adjoint is None else adjoint, expected, 20), (xs, i, adjoint, expected)


def close(got: Any, expected: Any, ulps: float) -> bool:
    """Whether a number is within some units in the last place of another, near zero of 0.1."""
    return bool(abs(got - expected) <= ulps * 2.0**-52 * max(abs(expected), 1e-1))
