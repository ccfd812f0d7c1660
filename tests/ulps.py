"""How far every row of the table is off, in units in the last place; `make ulps` writes docs/ulps.md with it."""

import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mpmath
from row_cases import ORACLES, exact_derivative, exact_second_derivative, wide_sample

from micrograd_like import Value, gradient, ops

VALUE_LIMIT, DERIVATIVE_LIMIT, SECOND_LIMIT = 4.0, 8.0, 8.0

# Where an error is measured against more than the result, and why.
SCALES: dict[str, str] = {
    "sum": "against Σ|xᵢ|: terms of opposite signs cancel",
    "dot": "against |b| + Σ|wᵢxᵢ|: terms of opposite signs cancel",
    "relu_dot": "against |b| + Σ|wᵢxᵢ|: terms of opposite signs cancel",
    "logsumexp": "value against 1 + max|xᵢ|; derivatives against (1 + |xᵢ - max|) · derivative: differences of operands "
    "are rounded; second ones against (1 + |xᵢ - max| + |xⱼ - max|) · first: pᵢ (δ - pⱼ) cancels",
    "pow": "derivatives against (1 + |y log x|) · derivative: the exponent y - 1 is rounded; second ones likewise, and the "
    "mixed one against the size of its terms, 1 + |y log x| of x^(y - 1)",
    "sigmoid_prime": "second derivatives against the value: σ′ (1 - 6 σ′) cancels",
}


@dataclass
class Errors:
    value: float = 0.0
    derivative: float = 0.0
    value_at: tuple[float, ...] = ()
    derivative_at: tuple[float, ...] = ()
    second: float = 0.0
    second_at: tuple[float, ...] = ()


def _ulp(x: Any) -> Any:
    """One unit in the last place of a float near x."""
    return mpmath.mpf(2) ** (max(int(mpmath.floor(mpmath.log(abs(x), 2))), -1022) - 52) if x else mpmath.mpf(2) ** -1074


def _scales(op: ops.Operation, xs: list[float], value: Any, derivative: Any) -> tuple[Any, Any]:
    """What the errors of the value and of a derivative are measured against."""
    if op.name == "sum":
        return mpmath.fsum(map(abs, xs)), derivative
    if op.name in ("dot", "relu_dot"):
        n = len(xs) // 2
        return abs(xs[n]) + mpmath.fsum(abs(w * x) for w, x in zip(xs[:n], xs[n + 1 :], strict=True)), derivative
    if op.name == "logsumexp":
        return 1 + max(map(abs, xs)), derivative * (1 + max(xs) - min(xs))
    if op.name == "pow":
        return value, derivative * (1 + abs(xs[1] * mpmath.log(xs[0])))
    return value, derivative


def _second_scale(op: ops.Operation, xs: list[float], ij: tuple[int, int], value: Any, second: Any) -> Any:
    """What the error of a second derivative is measured against."""
    if op.name == "logsumexp":
        largest = max(xs)
        p = mpmath.exp(xs[ij[0]] - value)
        return p * (1 + abs(xs[ij[0]] - largest) + abs(xs[ij[1]] - largest))
    if op.name == "pow":
        size = 1 + abs(xs[1] * mpmath.log(xs[0]))
        return size * max(abs(second), value / xs[0] * size if set(ij) == {0, 1} else 0)
    return value if op.name == "sigmoid_prime" else second


def measure(op: ops.Operation, points: int, seed: int = 0) -> Errors:
    """The largest errors over random points of all sizes, against mpmath at 50 digits and more."""
    rng, worst = random.Random(f"{op.name} {seed}"), Errors()
    with mpmath.workdps(500):  # a derivative of e^-600 beside 1, and a step of 1e-40, twice
        for _ in range(points):
            xs = wide_sample(op, rng)
            value, found = ORACLES[op.name](*map(mpmath.mpf, xs)), op.function(*xs)
            against, _ = _scales(op, xs, value, 1)
            if (error := float(abs(found - value) / _ulp(against))) > worst.value:
                worst.value, worst.value_at = error, tuple(xs)
            for i, adjoint in enumerate(op.vjp(1.0, found, *xs)):
                expected = exact_derivative(ORACLES[op.name], xs, i)
                if abs(expected) < mpmath.mpf(2) ** -1000:  # below the smallest normal float there are fewer digits
                    continue
                _, against = _scales(op, xs, value, expected)
                if (error := float(abs((adjoint or 0.0) - expected) / _ulp(against))) > worst.derivative:
                    worst.derivative, worst.derivative_at = error, tuple(xs)
            ij = rng.randrange(len(xs)), rng.randrange(len(xs))
            expected = exact_second_derivative(ORACLES[op.name], xs, *ij)
            if mpmath.mpf(2) ** -900 < abs(expected) < mpmath.mpf(2) ** 1000:
                values = [Value(x) for x in xs]
                got = gradient(gradient(op(*values), values[ij[0]]), values[ij[1]]).data
                against = _second_scale(op, xs, ij, value, expected)
                if (error := float(abs(got - expected) / _ulp(against))) > worst.second:
                    worst.second, worst.second_at = error, (*xs, *ij)
    return worst


def table(points: int) -> str:
    """The table of all rows, as Markdown."""
    lines = [
        "# How exact every operation is",
        "",
        f"The largest error of each row of the table over {points:,} random points, in units in the last place (ulps) of",
        "the exact result, which mpmath computes at 50 digits and more: half an ulp is the best that rounding can do.",
        "Operands have sizes from 1e-10 to 300, for `pow` bases from 1e-3 to 1e3 and exponents up to 30. Required are at",
        f"most {VALUE_LIMIT:.0f} ulps for a value and {DERIVATIVE_LIMIT:.0f} for a derivative, {SECOND_LIMIT:.0f} for a second one. Written by `make ulps`.",
        "",
        "| operation | | value | derivative | second derivative | measured |",
        "|---|---|--:|--:|--:|---|",
    ]
    for op in ops.TABLE.values():
        worst = measure(op, points)
        note = SCALES.get(op.name, "")
        lines.append(
            f"| `{op.name}` | {op.doc.replace('|', '&#124;')} | {worst.value:.2f} | {worst.derivative:.2f} | {worst.second:.2f} | {note.replace('|', '&#124;')} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(table(int(sys.argv[2])), encoding="utf-8")
