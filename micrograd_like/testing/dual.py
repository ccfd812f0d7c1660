"""Dual numbers over fractions: a + b·ε with ε² = 0 and ε smaller than every fraction.

A function of a + 1·ε is f(a) + f'(a)·ε: the exact derivative, from the right; a - 1·ε gives that from the left, for
comparisons look at ε where the rest is equal. (W. K. Clifford, 1873.)
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any


class InexactError(TypeError):
    """A dual number met something that is not a fraction."""


class Dual(Fraction):
    """value + slope·ε. A Fraction by name, so that a Value carries it; every operation is its own."""

    __slots__ = ("slope",)
    slope: Fraction

    def __new__(cls, value: Any = 0, slope: Any = 0) -> Dual:
        self = super().__new__(cls, value)
        self.slope = Fraction(slope)
        return self

    @classmethod
    def of(cls, x: Any) -> Dual:
        """A number as a dual number, a float as the fraction it is. Raises InexactError for what is no fraction."""
        if isinstance(x, Dual):
            return x
        if isinstance(x, (int, Fraction)) or (isinstance(x, float) and math.isfinite(x)):
            return cls(x)
        raise InexactError(f"{type(x).__name__} {x!r:.60} is not a fraction")

    @property
    def value(self) -> Fraction:
        """The part without ε."""
        return Fraction(self.numerator, self.denominator)

    def __add__(self, other: Any) -> Dual:  # type: ignore[override]
        other = Dual.of(other)
        return Dual(self.value + other.value, self.slope + other.slope)

    def __mul__(self, other: Any) -> Dual:  # type: ignore[override]
        other = Dual.of(other)
        return Dual(self.value * other.value, self.slope * other.value + self.value * other.slope)

    def __truediv__(self, other: Any) -> Dual:  # type: ignore[override]
        other = Dual.of(other)
        quotient = self.value / other.value
        return Dual(quotient, (self.slope - quotient * other.slope) / other.value)

    def __pow__(self, exponent: Any) -> Dual:  # type: ignore[override]
        if not isinstance(exponent, int):
            raise InexactError(f"a power with the exponent {exponent!r:.60} is not a fraction")
        slope = exponent * self.value ** (exponent - 1) * self.slope if exponent else Fraction(0)
        return Dual(self.value**exponent, slope)

    def __neg__(self) -> Dual:
        return Dual(-self.value, -self.slope)

    def __sub__(self, other: Any) -> Dual:  # type: ignore[override]
        return self + -Dual.of(other)

    def __rsub__(self, other: Any) -> Dual:  # type: ignore[override]
        return Dual.of(other) - self

    def __rtruediv__(self, other: Any) -> Dual:  # type: ignore[override]
        return Dual.of(other) / self

    __radd__ = __add__  # type: ignore[assignment]
    __rmul__ = __mul__  # type: ignore[assignment]

    def __abs__(self) -> Dual:
        return -self if self < 0 else self

    def _key(self) -> tuple[Fraction, Fraction]:
        return self.value, self.slope

    def __lt__(self, other: Any) -> bool:
        return self._key() < Dual.of(other)._key()

    def __le__(self, other: Any) -> bool:
        return self._key() <= Dual.of(other)._key()

    def __gt__(self, other: Any) -> bool:
        return self._key() > Dual.of(other)._key()

    def __ge__(self, other: Any) -> bool:
        return self._key() >= Dual.of(other)._key()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (int, float, Fraction)) and self._key() == Dual.of(other)._key()

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(self._key())
