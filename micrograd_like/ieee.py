"""Arithmetic that never raises: IEEE 754 results on floats, exact ones on fractions, 50 digits on mpmath's mpf.

Python's own arithmetic raises where the standard defines a result (`1.0 / 0.0`, `math.exp(1000)`) and turns
`(-2.0) ** 0.5` complex. The functions here give what IEEE 754 and C99 Annex F define: inf, -inf or nan.
A `Fraction` stays a fraction where the result is rational and becomes a float where it is not.
"""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import reduce, wraps
from typing import Any

# A number of any carrier: float, fractions.Fraction or mpmath.mpf. All share Python's operators, but no common type.
Number = Any

INF, NAN = math.inf, math.nan


def number(x: Any) -> Number:
    """A real number as its carrier: a Fraction or an mpf stays what it is, every other real becomes a float.

    Raises:
        TypeError: x is not a real number (text, None, complex, an array, a sequence, …).
    """
    if type(x) is float or isinstance(x, Fraction) or hasattr(x, "_mpf_"):
        return x
    if isinstance(x, numbers.Real) or (type(x).__module__ == "numpy" and type(x).__name__ in ("bool", "bool_")):
        return as_float(x)
    raise TypeError(
        f"expected a real number (int, float, Fraction, mpf or NumPy scalar), got {type(x).__name__}: {x!r:.60}"
    )


def as_float(x: Number) -> float:
    """Round a number to a float; one that is too large becomes an infinity."""
    try:
        return float(x)
    except OverflowError:
        return INF if x > 0 else -INF


def added(xs: Iterable[Number]) -> Number:
    """Add from left to right, beginning with 0: Python's own `sum` rounds differently from version 3.12 on."""
    return reduce(operator.add, xs, 0)


def isfinite(x: Number) -> bool:
    """Whether x is neither infinite nor nan, as every fraction is, also one beyond the range of a float."""
    try:
        return math.isfinite(x)
    except OverflowError:
        return True


def _mpf(x: Number) -> Any:
    """The mpmath context of an mpf, or None for any other number."""
    return getattr(x, "context", None)


def _real(context: Any, x: Number) -> Number:
    """An mpmath result, with nan in the place of a complex number."""
    return x if hasattr(x, "_mpf_") else context.nan


def _elementary(name: str, on_float: Callable[[float], float]) -> Callable[[Number], Number]:
    """A function of one number: `on_float` for floats and fractions, mpmath's function of that name for an mpf."""

    def function(x: Number) -> Number:
        if type(x) is float:
            return on_float(x)
        context = _mpf(x)
        if context is None:
            return on_float(as_float(x))
        return _real(context, getattr(context, name)(x))

    function.__name__ = name
    return function


def _exp(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return INF


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -INF if x == 0 else NAN


def _sqrt(x: float) -> float:
    return math.sqrt(x) if x >= 0 else NAN


def _sin(x: float) -> float:
    return math.sin(x) if math.isfinite(x) else NAN


def _cos(x: float) -> float:
    return math.cos(x) if math.isfinite(x) else NAN


exp = _elementary("exp", _exp)
log = _elementary("log", _log)
sqrt = _elementary("sqrt", _sqrt)
sin = _elementary("sin", _sin)
cos = _elementary("cos", _cos)
tanh = _elementary("tanh", math.tanh)


def sigmoid(x: Number) -> Number:
    """1 / (1 + e^-x), in the form that neither overflows nor cancels on its side of zero."""
    if type(x) is not float:
        if (context := _mpf(x)) is not None:
            return 1 / (1 + context.exp(-x))
        x = as_float(x)
    if x >= 0:
        return 1 / (1 + math.exp(-x))
    e = math.exp(x)
    return e / (1 + e)


def softplus(x: Number) -> Number:
    """log(1 + e^x) = max(x, 0) + log1p(e^-|x|)."""
    if type(x) is not float:
        if (context := _mpf(x)) is not None:
            return relu(x) + context.log1p(context.exp(-abs(x)))
        x = as_float(x)
    return (x if x > 0 or x != x else 0.0) + math.log1p(math.exp(-abs(x)))


def overflow_safe(function: Callable[..., Number]) -> Callable[..., Number]:
    """The function with a fraction or an integer beyond the range of the float it meets taken as an infinity.

    Nothing else makes Python's own + - * raise; the function as it was is `__wrapped__`, for whoever tries it first.
    """

    @wraps(function)
    def safe(*xs: Number) -> Number:
        try:
            return function(*xs)
        except OverflowError:
            return function(*map(as_float, xs))

    return safe


add = overflow_safe(operator.add)
sub = overflow_safe(operator.sub)
mul = overflow_safe(operator.mul)


def div(x: Number, y: Number) -> Number:
    """x / y; a zero divisor gives inf of the signs' product, and 0 / 0 gives nan."""
    try:
        return x / y
    except OverflowError:
        return div(as_float(x), as_float(y))
    except ZeroDivisionError:
        if x == 0 or x != x:
            return x * NAN
        sign = math.copysign(1.0, as_float(y)) * (1 if x > 0 else -1)
        return y + sign * INF if _mpf(x) is None else x.context.mpf(sign * INF)


def pow(x: Number, y: Number) -> Number:
    """x ** y by C99 Annex F: 0 ** 0 = 1, 0 ** -1 = inf, and a negative base with a fractional exponent is nan.

    A fraction to a whole power stays a fraction.
    """
    if not (type(x) is float and type(y) is float):
        if (context := _mpf(x) or _mpf(y)) is not None:
            return context.inf if x == 0 and y < 0 else _real(context, context.power(x, y))
        if type(x) is not float and math.isfinite(as_float(y)) and y == int(y) and (x != 0 or y >= 0):
            return x ** int(y)
        x, y = as_float(x), as_float(y)
    try:
        return math.pow(x, y)
    except OverflowError:
        return -INF if x < 0 and math.fmod(y, 2) in (1.0, -1.0) else INF
    except ValueError:
        if x != 0:
            return NAN
        return math.copysign(INF, x) if math.fmod(y, 2) in (1.0, -1.0) else INF


def zero(x: Number) -> Number:
    """The zero of x's carrier."""
    return 0.0 if type(x) is float else type(x)(0)


def relu(x: Number) -> Number:
    """max(x, 0); nan stays nan."""
    return x if x > 0 or x != x else zero(x)


def where(condition: Number, x: Number, y: Number) -> Number:
    """x where the condition is positive, else y (also where the condition is nan)."""
    return x if condition > 0 else y


def max(*xs: Number) -> Number:
    """The largest; nan if any is nan (IEEE 754-2019 `maximum`); of equal ones the first."""
    largest = xs[0]
    for x in xs[1:]:
        if x > largest or x != x:
            largest = x
    return largest


def min(*xs: Number) -> Number:
    """The smallest; nan if any is nan (IEEE 754-2019 `minimum`); of equal ones the first."""
    smallest = xs[0]
    for x in xs[1:]:
        if x < smallest or x != x:
            smallest = x
    return smallest
