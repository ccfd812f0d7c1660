"""Reference derivatives that know no derivative rule: differences of function values, at 50 digits or on floats."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isfinite
from typing import Any

from micrograd_like import graph
from micrograd_like._extras import require
from micrograd_like.engine import Value
from micrograd_like.ieee import Number
from micrograd_like.testing.inputs import Inputs

DIGITS = 50
MOST_DIGITS = 800
LOG2 = 0.30102999566398120  # log10(2): digits per bit
STEP_DIGITS = 40  # the step is 1e-40 of the inputs' scale: a one-sided difference is right to about 40 digits

_contexts = threading.local()  # mpmath's own context is shared by all threads; its precision would be, too


class NotOnMpfError(Exception):
    """The function leaves mpmath's numbers, for instance through the math module."""


@dataclass(frozen=True)
class Derivative:
    """A reference derivative, or the two ends of what it may be at a kink."""

    low: Number
    high: Number
    error: float = 0.0  # how far either may be off

    @property
    def exists(self) -> bool:
        """Whether the derivatives from all sides agree."""
        return bool(self.low == self.high)


def context(digits: int) -> Any:
    """This thread's mpmath context of that many digits."""
    if not hasattr(_contexts, "mp"):
        _contexts.mp = require("mpmath", extra="testing").MPContext()
    _contexts.mp.dps = digits
    return _contexts.mp


def to_mpf(mp: Any, x: Number) -> Any:
    """A number as an mpf, exactly (a fraction: to the context's digits)."""
    return mp.mpf(x.numerator) / x.denominator if isinstance(x, Fraction) else mp.mpf(x)


class HighPrecision:
    """One-sided derivatives of functions of several numbers, by differences at 50 digits and more.

    `evaluate` takes mpf numbers and returns a list of them; a point is evaluated once.
    """

    def __init__(self, evaluate: Callable[[list[Any]], list[Any]], data: Sequence[Number], order: int = 1) -> None:
        sizes = [abs(float(x)) for x in data if x]
        scale = min([1.0, *sizes])
        spread = Fraction(max([1.0, *sizes])) / Fraction(scale)
        gap = len(str(int(spread)))  # the digits between the step of the smallest input and the largest input
        self.mp = context(DIGITS + STEP_DIGITS * order + order * gap)
        self.digits = self.mp.dps
        self.evaluate = evaluate
        self.data = [to_mpf(self.mp, x) for x in data]
        self.step = to_mpf(self.mp, scale) * self.mp.mpf(10) ** -STEP_DIGITS
        self.cache: dict[tuple[Any, ...], list[Any]] = {}

    def at(self, step: Any, *shifts: tuple[int, int]) -> list[Any]:
        """The results with input i moved by n steps, for each (i, n)."""
        key = (step, *sorted(shift for shift in shifts if shift[1]))
        if key not in self.cache:
            moved = list(self.data)
            for i, n in shifts:
                moved[i] += n * step
            self.cache[key] = self.evaluate(moved)
        return self.cache[key]

    def derivative(self, result: int, *inputs: int) -> Derivative | None:
        """The first or second derivative of a result by these inputs; None where the function is undefined."""
        self.mp.dps = self.digits
        sides = self._sides(result, inputs, self.step)
        defined = [side for side in sides if self.mp.isfinite(side)]
        if not defined:
            return None
        low, high = min(defined), max(defined)
        size = max(abs(low), abs(high))
        noise = self.mp.ldexp(
            abs(self.at(self.step)[result]) / self.step ** len(inputs), -int((self.digits - 3) / LOG2)
        )
        if size and noise > self.mp.ldexp(size, -66) and self.digits < MOST_DIGITS:  # 20 digits
            self.digits *= 2  # a derivative that is tiny beside the function needs more of its digits
            self.cache.clear()
            return self.derivative(result, *inputs)
        if high - low > max(self.mp.ldexp(size, -50), noise):
            # A smooth function's sides approach each other as the step shrinks; at a kink they keep their distance.
            closer = [s for s in self._sides(result, inputs, self.step / 1000) if self.mp.isfinite(s)]
            if max(closer) - min(closer) > max((high - low) / 10, 1000 ** len(inputs) * noise):
                return Derivative(low, high)
        error = high - low + noise
        if size < self.mp.ldexp(self.step, 66):  # perhaps only what the step leaves of a derivative that is 0
            closer = [abs(s) for s in self._sides(result, inputs, self.step / 1000) if self.mp.isfinite(s)]
            error += size if max(closer) < size / 10 else 0
        middle = sum(defined, self.mp.zero) / len(defined)
        return Derivative(middle, middle, float(error))

    def _sides(self, result: int, inputs: tuple[int, ...], h: Any) -> list[Any]:
        def f(*shifts: tuple[int, int]) -> Any:
            return self.at(h, *shifts)[result]

        if len(inputs) == 1:
            (i,) = inputs
            return [(f((i, s)) - f()) / (s * h) for s in (-1, 1)]
        i, j = inputs
        if i == j:
            return [(f((i, 2 * s)) - 2 * f((i, s)) + f()) / h**2 for s in (-1, 1)]
        signs = [(s, t) for s in (-1, 1) for t in (-1, 1)]
        return [(f((i, s), (j, t)) - f((i, s)) - f((j, t)) + f()) / (s * t * h**2) for s, t in signs]


def of_function(func: Callable[..., Any], inputs: Inputs, order: int) -> tuple[HighPrecision, list[Value], list[Value]]:
    """(The derivatives of a checked function, its inputs and its results at 50 digits).

    Raises NotOnMpfError when it does not keep mpmath's numbers.
    """

    def evaluate(data: list[Any]) -> list[Any]:
        return [to_mpf(reference.mp, result.data) for result in inputs.call(func, data)[1]]

    reference = HighPrecision(evaluate, inputs.data, order)
    try:
        values, results = inputs.call(func, reference.data)
        reached = graph.dependents(graph.topological(*results), *values)
    except Exception as error:
        raise NotOnMpfError from error
    if any(type(node.data) is not type(reference.data[0]) for node in reached):
        raise NotOnMpfError
    reference.cache[reference.step,] = [to_mpf(reference.mp, result.data) for result in results]
    return reference, values, results


def of_operation(op: Any, numbers: Sequence[Number], order: int = 1) -> HighPrecision:
    """The local derivatives of one operation by its operands. Raises NotOnMpfError as `of_function`."""

    def evaluate(data: list[Any]) -> list[Any]:
        try:
            result = op.function(*data)
        except Exception as error:
            raise NotOnMpfError from error
        if type(result) is not type(data[0]):
            raise NotOnMpfError
        return [result]

    reference = HighPrecision(evaluate, numbers, order)
    reference.at(reference.step)
    return reference


class FivePoint:
    """Derivatives on floats: (f(x-2h) - 8 f(x-h) + 8 f(x+h) - f(x+2h)) / 12h with h near ε^(1/5), error O(h⁴) + O(ε/h).

    The error is measured: by how much the result moves when h is halved, and by the rounding of the four values.
    """

    def __init__(self, evaluate: Callable[[list[float]], list[float]], data: Sequence[Number]) -> None:
        self.evaluate = evaluate
        self.data = [float(x) for x in data]

    def derivative(self, result: int, i: int) -> Derivative | None:
        """The derivative of a result by an input; None where the function is undefined."""
        h = 2.0**-10 * max(abs(self.data[i]), 2.0**-10)

        def f(shift: float) -> float:
            moved = list(self.data)
            moved[i] += shift
            return self.evaluate(moved)[result]

        def difference(h: float) -> float:
            return (8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h)

        middle = difference(h / 2)
        rounding = 2.0**-50 * max(abs(f(h)), abs(f(-h))) / h
        error = 4 * abs(middle - difference(h)) + rounding
        left, right = (f(0.0) - f(-h / 256)) / (h / 256), (f(h / 256) - f(0.0)) / (h / 256)
        if not isfinite(middle):
            return None
        if abs(left - right) > 64 * rounding * 256 + abs(middle) / 8:  # a bend that does not straighten: a kink
            return Derivative(min(left, right), max(left, right), 256 * rounding)
        return Derivative(middle, middle, error)
