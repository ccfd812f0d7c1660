"""Exact integrals along a straight line, for graphs of fractions that are piecewise polynomial.

Along a line every parameter is a polynomial of degree 1 in the position on it, so between two switches of a relu, abs,
max or min every node is a polynomial too. `Polynomial` is a carrier like `Fraction`: the table's functions and rules
run on it unchanged, and the integral of the gradient is a sum of exact fractions.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise, zip_longest
from math import isqrt
from typing import Any

FINEST = Fraction(1, 2**120)  # how exactly a switch at an irrational position is known


class NotPolynomialError(TypeError):
    """What is computed is no polynomial (a tanh, a division by a parameter, …)."""


class Polynomial:
    """c₀ + c₁·u + c₂·u² + … with rational coefficients, u being the distance from the middle of a piece.

    Comparisons are decided in the middle of the piece, where u = 0: on a piece without switches they hold throughout.
    """

    __slots__ = ("coefficients",)

    def __init__(self, *coefficients: Any) -> None:
        exact = [Fraction(c) for c in coefficients]
        while len(exact) > 1 and exact[-1] == 0:
            exact.pop()
        self.coefficients = exact

    def __add__(self, other: Any) -> Polynomial:
        pairs = zip_longest(self.coefficients, _coefficients(other), fillvalue=Fraction(0))
        return Polynomial(*[a + b for a, b in pairs])

    def __mul__(self, other: Any) -> Polynomial:
        others = _coefficients(other)
        product = [Fraction(0)] * (len(self.coefficients) + len(others) - 1)
        for i, a in enumerate(self.coefficients):
            for j, b in enumerate(others):
                product[i + j] += a * b
        return Polynomial(*product)

    def __neg__(self) -> Polynomial:
        return Polynomial(*[-c for c in self.coefficients])

    __radd__ = __add__
    __rmul__ = __mul__

    def __sub__(self, other: Any) -> Polynomial:
        return self + -Polynomial(*_coefficients(other))

    def __rsub__(self, other: Any) -> Polynomial:
        return -self + Polynomial(*_coefficients(other))

    def __truediv__(self, other: Any) -> Polynomial:
        divisor = _coefficients(other)
        if len(divisor) > 1 or divisor[0] == 0:
            raise NotPolynomialError("a division by what varies along the line, or by 0, gives no polynomial")
        return Polynomial(*[c / divisor[0] for c in self.coefficients])

    def __rtruediv__(self, other: Any) -> Polynomial:
        return Polynomial(*_coefficients(other)) / self

    def __pow__(self, exponent: int) -> Polynomial:
        if exponent < 0:
            return Polynomial(1) / self**-exponent
        power = Polynomial(1)
        for _ in range(exponent):
            power = power * self
        return power

    def __abs__(self) -> Polynomial:
        return self if self.coefficients[0] >= 0 else -self

    def __gt__(self, other: Any) -> bool:
        return self.coefficients[0] > _coefficients(other)[0]

    def __lt__(self, other: Any) -> bool:
        return self.coefficients[0] < _coefficients(other)[0]

    def __eq__(self, other: object) -> bool:
        return self.coefficients == _coefficients(other)

    __hash__ = None  # type: ignore[assignment]

    def __float__(self) -> float:
        raise NotPolynomialError("a function that is no polynomial")

    def integral(self, half: Fraction) -> Fraction:
        """∫ over u from -half to half: only the even powers count."""
        even = list(enumerate(self.coefficients))[::2]
        return sum((2 * c * half ** (k + 1) / (k + 1) for k, c in even), Fraction(0))


def _coefficients(x: Any) -> list[Fraction]:
    if isinstance(x, Polynomial):
        return x.coefficients
    if isinstance(x, (int, Fraction)):
        return [Fraction(x)]
    raise NotPolynomialError(f"expected a fraction, got {x!r:.60}")


def roots(coefficients: Sequence[Fraction], low: Fraction, high: Fraction) -> list[Fraction]:
    """The places between low and high, both left out, where a polynomial is 0, in ascending order.

    Exact where a root is rational and the degree is at most 2, or its denominator is below 2^40; else within 2^-120.
    A polynomial that is 0 everywhere has none.
    """
    c = Polynomial(*coefficients).coefficients
    if len(c) == 1:
        return []
    if len(c) == 2:
        found = [-c[0] / c[1]]
    elif len(c) == 3 and (root := _rational_sqrt(c[1] ** 2 - 4 * c[2] * c[0])) is not None:
        found = sorted({(-c[1] - root) / (2 * c[2]), (-c[1] + root) / (2 * c[2])})
    else:  # between two places where the derivative is 0 the polynomial is monotone
        turns = [low, *roots([k * x for k, x in enumerate(c)][1:], low, high), high]
        found = []
        for left, right in pairwise(turns):
            if _at(c, left) == 0:
                found.append(left)
            elif _at(c, left) * _at(c, right) < 0:
                found.append(_bisect(c, left, right))
    return [x for x in found if low < x < high]


def _at(coefficients: Sequence[Fraction], u: Fraction) -> Fraction:
    total = Fraction(0)
    for c in reversed(coefficients):
        total = total * u + c
    return total


def _rational_sqrt(x: Fraction) -> Fraction | None:
    if x < 0:
        return None
    root = Fraction(isqrt(x.numerator), isqrt(x.denominator))
    return root if root * root == x else None


def _bisect(c: Sequence[Fraction], left: Fraction, right: Fraction) -> Fraction:
    rising = _at(c, right) > 0
    while right - left > FINEST:
        middle = (left + right) / 2
        if (_at(c, middle) > 0) == rising:
            right = middle
        else:
            left = middle
    guess = right.limit_denominator(2**40)
    return guess if _at(c, guess) == 0 else right
