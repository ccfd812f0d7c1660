"""Moré, Garbow and Hillstrom's test functions at their standard starts: our gradients are the analytic ones.

J. J. Moré, B. S. Garbow, K. E. Hillstrom, "Testing Unconstrained Optimization Software", ACM Transactions on
Mathematical Software 7 (1981) 17-41. Each function is Σ fᵢ(x)²; the residuals fᵢ and their Jacobians below follow the
paper's formulas by hand. Where all is rational the comparison is an equality of fractions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import mpmath
import pytest

from micrograd_like import Value, cos, exp, ops, sin
from micrograd_like.testing import assert_exact, gradcheck

Vector = Sequence[Any]
E, S, C = mpmath.exp, mpmath.sin, mpmath.cos


@dataclass(frozen=True)
class Problem:
    name: str
    start: Sequence[str]  # decimal texts, exact as fractions
    residuals: Callable[[Vector], Vector]
    jacobian: Callable[[Vector], Sequence[Vector]]  # one row per residual; of mpf or fractions
    squares: float | None = None  # Σ fᵢ² at the start, as published or by hand
    rational: bool = True


def rosenbrock(x: Vector) -> Vector:
    return [10 * (x[1] - x[0] * x[0]), 1 - x[0]]


def chebyquad(x: Vector) -> Vector:
    n = len(x)
    means = []
    for i in range(1, n + 1):
        total: Any = 0
        for xj in x:
            before, now = 1, 2 * xj - 1
            for _ in range(i - 1):
                before, now = now, 2 * (2 * xj - 1) * now - before
            total = total + now
        means.append(total / n - (Fraction(-1, i * i - 1) if i % 2 == 0 else 0))
    return means


def chebyquad_jacobian(x: Vector) -> Sequence[Vector]:
    """T'ᵢ(t) = i U₍ᵢ₋₁₎(t), the polynomials of the second kind, times dt/dx = 2."""
    n, rows = len(x), []
    for i in range(1, n + 1):
        row = []
        for xj in x:
            before, now = 0, 1
            for _ in range(i - 1):
                before, now = now, 2 * (2 * xj - 1) * now - before
            row.append(Fraction(2 * i, n) * now)
        rows.append(row)
    return rows


BARD_Y = [Fraction(y, 100) for y in (14, 18, 22, 25, 29, 32, 35, 39, 37, 58, 73, 96, 134, 210, 439)]
KOWALIK_Y = [Fraction(y, 10000) for y in (1957, 1947, 1735, 1600, 844, 627, 456, 342, 323, 235, 246)]
KOWALIK_U = [Fraction(u) for u in ["4", "2", "1", "0.5", "0.25", "0.167", "0.125", "0.1", "0.0833", "0.0714", "0.0625"]]
BEALE_Y = [Fraction("1.5"), Fraction("2.25"), Fraction("2.625")]


def bard_parts(i: int) -> tuple[int, int, int]:
    u = i + 1
    v = 15 - i
    return u, v, min(u, v)


def kowalik_jacobian(x: Vector) -> Sequence[Vector]:
    rows = []
    for u in KOWALIK_U:
        top, bottom = u * u + u * x[1], u * u + u * x[2] + x[3]
        rows.append([-top / bottom, -x[0] * u / bottom, x[0] * top * u / bottom**2, x[0] * top / bottom**2])
    return rows


def tridiagonal_jacobian(x: Vector) -> Sequence[Vector]:
    n = len(x)
    return [
        [3 - 4 * x[i] if j == i else -1 if j == i - 1 else -2 if j == i + 1 else 0 for j in range(n)] for i in range(n)
    ]


def watson(x: Vector) -> Vector:
    rows = []
    for i in range(1, 30):
        t = Fraction(i, 29)
        slope = sum((j * t ** (j - 1) * x[j] for j in range(1, len(x))), start=Fraction(0) * x[0])
        value = sum((t**j * x[j] for j in range(len(x))), start=Fraction(0) * x[0])
        rows.append(slope - value * value - 1)
    return [*rows, x[0], x[1] - x[0] * x[0] - 1]


def watson_jacobian(x: Vector) -> Sequence[Vector]:
    n, rows = len(x), []
    for i in range(1, 30):
        t = Fraction(i, 29)
        value = sum(t**j * x[j] for j in range(n))
        rows.append([(j * t ** (j - 1) if j else 0) - 2 * value * t**j for j in range(n)])
    return [*rows, [1] + [0] * (n - 1), [-2 * x[0], 1] + [0] * (n - 2)]


def brown_dennis(x: Vector) -> Vector:
    t = [i / 5 for i in range(1, 21)]
    return [
        (x[0] + ti * x[1] - ti_exp(ti)) ** 2 + (x[2] + x[3] * ti_sin(ti) - ti_cos(ti)) ** 2 for ti in map(Fraction, t)
    ]


def ti_exp(t: Fraction) -> Any:
    return E(mpmath.mpf(t.numerator) / t.denominator)


def ti_sin(t: Fraction) -> Any:
    return S(mpmath.mpf(t.numerator) / t.denominator)


def ti_cos(t: Fraction) -> Any:
    return C(mpmath.mpf(t.numerator) / t.denominator)


def brown_dennis_jacobian(x: Vector) -> Sequence[Vector]:
    rows = []
    for t in [Fraction(i / 5) for i in range(1, 21)]:
        a, b = 2 * (x[0] + t * x[1] - ti_exp(t)), 2 * (x[2] + x[3] * ti_sin(t) - ti_cos(t))
        rows.append([a, a * t, b, b * ti_sin(t)])
    return rows


def trigonometric(x: Vector) -> Vector:
    n, total = len(x), ops.sum(*[cos(xi) for xi in x])
    return [n - total + (i + 1) * (1 - cos(xi)) - sin(xi) for i, xi in enumerate(x)]


def trigonometric_jacobian(x: Vector) -> Sequence[Vector]:
    n = len(x)
    return [[S(x[j]) + (((i + 1) * S(x[i]) - C(x[i])) if i == j else 0) for j in range(n)] for i in range(n)]


def tenths(i: int) -> Any:
    return Fraction(i, 10)


def variably_dimensioned(x: Vector) -> Vector:
    weighted = ops.sum(*[(j + 1) * (xj - 1) for j, xj in enumerate(x)])
    return [*(xj - 1 for xj in x), weighted, weighted * weighted]


def variably_dimensioned_jacobian(x: Vector) -> Sequence[Vector]:
    n = len(x)
    weighted = sum((j + 1) * (xj - 1) for j, xj in enumerate(x))
    rows = [[int(i == j) for j in range(n)] for i in range(n)]
    return [*rows, [j + 1 for j in range(n)], [2 * weighted * (j + 1) for j in range(n)]]


# fmt: off
PROBLEMS = [
    Problem("1 Rosenbrock", ["-1.2", "1"], rosenbrock, lambda x: [[-20 * x[0], 10], [-1, 0]], 24.2),
    Problem("2 Freudenstein and Roth", ["0.5", "-2"],
            lambda x: [-13 + x[0] + ((5 - x[1]) * x[1] - 2) * x[1], -29 + x[0] + ((x[1] + 1) * x[1] - 14) * x[1]],
            lambda x: [[1, 10 * x[1] - 3 * x[1]**2 - 2], [1, 3 * x[1]**2 + 2 * x[1] - 14]], 400.5),
    Problem("3 Powell badly scaled", ["0", "1"], lambda x: [10**4 * x[0] * x[1] - 1, exp(-x[0]) + exp(-x[1]) - Fraction(10001, 10000)],
            lambda x: [[10**4 * x[1], 10**4 * x[0]], [-E(-x[0]), -E(-x[1])]], rational=False),
    Problem("4 Brown badly scaled", ["1", "1"], lambda x: [x[0] - 10**6, x[1] - Fraction(2, 10**6), x[0] * x[1] - 2],
            lambda x: [[1, 0], [0, 1], [x[1], x[0]]]),
    Problem("5 Beale", ["1", "1"], lambda x: [y - x[0] * (1 - x[1]**(i + 1)) for i, y in enumerate(BEALE_Y)],
            lambda x: [[-(1 - x[1]**(i + 1)), x[0] * (i + 1) * x[1]**i] for i in range(3)], 14.203125),
    Problem("6 Jennrich and Sampson", ["0.3", "0.4"],
            lambda x: [2 + 2 * i - (exp(i * x[0]) + exp(i * x[1])) for i in range(1, 11)],
            lambda x: [[-i * E(i * x[0]), -i * E(i * x[1])] for i in range(1, 11)], 4171.306, rational=False),
    Problem("8 Bard", ["1", "1", "1"],
            lambda x: [y - (x[0] + u / (v * x[1] + w * x[2])) for y, (u, v, w) in zip(BARD_Y, map(bard_parts, range(15)), strict=True)],
            lambda x: [[-1, Fraction(u * v) / (v * x[1] + w * x[2])**2, Fraction(u * w) / (v * x[1] + w * x[2])**2]
                       for u, v, w in map(bard_parts, range(15))], 41.68170),
    Problem("12 Box three-dimensional", ["0", "10", "20"],
            lambda x: [exp(-tenths(i) * x[0]) - exp(-tenths(i) * x[1]) - x[2] * (float(mpmath.exp(-i / 10)) - float(mpmath.exp(-i))) for i in range(1, 11)],
            lambda x: [[-i * E(-i * x[0] / 10) / 10, i * E(-i * x[1] / 10) / 10, -(float(E(-i / 10)) - float(E(-i)))] for i in range(1, 11)],
            1031.154, rational=False),
    Problem("13 Powell singular", ["3", "-1", "0", "1"],
            lambda x: [x[0] + 10 * x[1], (x[2] - x[3]) * mpmath.sqrt(5), (x[1] - 2 * x[2])**2, (x[0] - x[3])**2 * mpmath.sqrt(10)],
            lambda x: [[1, 10, 0, 0], [0, 0, mpmath.sqrt(5), -mpmath.sqrt(5)],
                       [0, 2 * (x[1] - 2 * x[2]), -4 * (x[1] - 2 * x[2]), 0],
                       [2 * mpmath.sqrt(10) * (x[0] - x[3]), 0, 0, -2 * mpmath.sqrt(10) * (x[0] - x[3])]], 215.0, rational=False),
    Problem("15 Kowalik and Osborne", ["0.25", "0.39", "0.415", "0.39"],
            lambda x: [y - x[0] * (u * u + u * x[1]) / (u * u + u * x[2] + x[3]) for y, u in zip(KOWALIK_Y, KOWALIK_U, strict=True)],
            kowalik_jacobian, 0.005313172),
    Problem("16 Brown and Dennis", ["25", "5", "-5", "-1"], brown_dennis, brown_dennis_jacobian, 7926693.336997432, rational=False),
    Problem("18 Biggs EXP6", ["1", "2", "1", "1", "1", "1"],
            lambda x: [x[2] * exp(-tenths(i) * x[0]) - x[3] * exp(-tenths(i) * x[1]) + x[5] * exp(-tenths(i) * x[4])
                       - (float(E(-i / 10)) - 5 * float(E(-i)) + 3 * float(E(-4 * i / 10))) for i in range(1, 14)],
            lambda x: [[-x[2] * i * E(-i * x[0] / 10) / 10, x[3] * i * E(-i * x[1] / 10) / 10, E(-i * x[0] / 10),
                        -E(-i * x[1] / 10), -x[5] * i * E(-i * x[4] / 10) / 10, E(-i * x[4] / 10)] for i in range(1, 14)],
            0.779070, rational=False),
    Problem("20 Watson", ["0"] * 6, watson, watson_jacobian, 30.0),
    Problem("21 Extended Rosenbrock", ["-1.2", "1"] * 3,
            lambda x: [f for i in range(0, 6, 2) for f in rosenbrock(x[i:i + 2])],
            lambda x: [row for i in range(0, 6, 2) for row in
                       ([-20 * x[i] if j == i else 10 if j == i + 1 else 0 for j in range(6)], [-int(j == i) for j in range(6)])], 72.6),
    Problem("25 Variably dimensioned", [str(Fraction(4 - j, 4)) for j in range(1, 5)], variably_dimensioned, variably_dimensioned_jacobian, 3222.1875),
    Problem("26 Trigonometric", ["0.2"] * 5, trigonometric, trigonometric_jacobian, rational=False),
    Problem("27 Brown almost-linear", ["0.5"] * 4,
            lambda x: [*(x[i] + x[0] + x[1] + x[2] + x[3] - 5 for i in range(3)), x[0] * x[1] * x[2] * x[3] - 1],
            lambda x: [*([1 + int(i == j) for j in range(4)] for i in range(3)),
                       [x[1] * x[2] * x[3], x[0] * x[2] * x[3], x[0] * x[1] * x[3], x[0] * x[1] * x[2]]], 19.62890625),
    Problem("30 Broyden tridiagonal", ["-1"] * 5,
            lambda x: [(3 - 2 * x[i]) * x[i] - (x[i - 1] if i else 0) - 2 * (x[i + 1] if i < 4 else 0) + 1 for i in range(5)],
            tridiagonal_jacobian, 16.0),
    Problem("32 Linear, full rank", ["1"] * 4,
            lambda x: [(x[i] if i < 4 else 0) - Fraction(2, 6) * (x[0] + x[1] + x[2] + x[3]) - 1 for i in range(6)],
            lambda x: [[int(i == j) - Fraction(2, 6) for j in range(4)] for i in range(6)], 18.0),
    Problem("35 Chebyquad", [str(Fraction(j, 5)) for j in range(1, 5)], chebyquad, chebyquad_jacobian),
]
# fmt: on


def squares(problem: Problem, xs: Vector) -> Value:
    total: Value = ops.sum(*[f * f for f in problem.residuals(xs)])
    return total


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: p.name)
def test_gradients_are_the_analytic_ones(problem: Problem) -> None:
    """∇Σf² = 2 Jᵀf, exactly for rational functions and to 40 of 50 digits for the others."""
    with mpmath.workdps(50):
        start = [Fraction(x) for x in problem.start]
        point: Vector = start if problem.rational else [mpmath.mpf(x.numerator) / x.denominator for x in start]
        xs = [Value(x) for x in point]
        squares(problem, xs).backward()
        residuals = [f.data if isinstance(f, Value) else f for f in problem.residuals([Value(x) for x in point])]
        jacobian = problem.jacobian(point)
        for i, x in enumerate(xs):
            expected = 2 * sum(f * row[i] for f, row in zip(residuals, jacobian, strict=True))
            if problem.rational:
                assert x.grad == expected
            else:
                assert abs(x.grad - expected) <= mpmath.mpf(10) ** -40 * (1 + abs(expected))


@pytest.mark.parametrize("problem", [p for p in PROBLEMS if p.squares is not None], ids=lambda p: p.name)
def test_values_at_the_standard_start_are_the_known_ones(problem: Problem) -> None:
    xs = [Value(float(Fraction(x))) for x in problem.start]
    assert float(squares(problem, xs)) == pytest.approx(problem.squares, rel=1e-6)


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: p.name)
def test_gradcheck_agrees(problem: Problem) -> None:
    inputs = [Value(float(Fraction(x))) for x in problem.start]
    if problem.rational:
        assert_exact(lambda *xs: squares(problem, xs), inputs)
    else:
        assert gradcheck(lambda *xs: squares(problem, xs), inputs)
