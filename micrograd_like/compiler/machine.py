"""The machine forms of the table's rows: one line each, in LLVM's intermediate representation, for a vector of lanes.

A row without a line here compiles if it is composed (it has an `expansion`). Arithmetic, comparisons and square roots
are IEEE 754's and equal the eager engine's to the last bit. So are sin, cos, tanh, pow and log1p, which call the C
library's functions lane by lane. exp and log are vector functions of our own, within 2 units in the last place;
sigmoid and softplus are made of exp. Squares and cubes are products wherever the library's function returns those bits.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from math import factorial
from typing import Any

from micrograd_like import ops
from micrograd_like.compiler import host
from micrograd_like.compiler.trace import KEPT, TraceError
from micrograd_like.compiler.writer import Writer, bits
from micrograd_like.ops import Operation

LIBRARY = {"sin": 1, "cos": 1, "tanh": 1, "pow": 2, "log1p": 1}  # functions of the C library and their arguments

# glibc states that its pow is off by at most 0.54 of a last place, so that nearer to a number than this it returns that.
_SURE = 0.455 if "CS_GNU_LIBC_VERSION" in getattr(os, "confstr_names", ()) else None


def _power(w: Writer, x: str, y: str) -> str:
    """The library's pow. A square or cube is a product where what its rounding left over, known exactly, is small."""
    if y == w.number(1.0):
        return x
    if _SURE is None or not host.fused() or y not in (w.number(2.0), w.number(3.0)):
        return w.library("pow", x, y)
    power = w.strict("fmul", x, x)
    rest = w.fused(x, x, w.negative(power))
    if y == w.number(3.0):
        cube = w.strict("fmul", power, x)
        left = w.strict("fadd", w.fused(power, x, w.negative(cube)), w.strict("fmul", rest, x))
        power = w.strict("fadd", cube, left)
        rest = w.strict("fadd", w.strict("fsub", cube, power), left)
    size = w.intrinsic("fabs", power)
    below = w.bitwise("add", w.cast(size, True), -1)  # a power of two has the last place of the numbers below it
    unit = w.cast(w.bitwise("and", below, bits(float("inf"))), False)
    near = w.compare("olt", w.intrinsic("fabs", rest), w.strict("fmul", unit, w.number(_SURE * 2.0**-52)))
    exact = w.compare("ogt", size, w.number(2.0**-900))  # else a rest may have been too small for a number
    return w.library("pow", x, y, unless=w.put(f"and {w.mask} {near}, {exact}"), known=power)


def _relu(w: Writer, x: str) -> str:
    return w.select(w.compare("ugt", x, w.number(0.0)), x, w.number(0.0))


def _where(w: Writer, condition: str, x: str, y: str) -> str:
    return w.select(w.compare("ogt", condition, w.number(0.0)), x, y)


def _extremum(predicate: str) -> Callable[..., str]:
    def form(w: Writer, best: str, *others: str) -> str:
        for x in others:
            ahead, unordered = w.compare(predicate, x, best), w.compare("uno", x, x)
            best = w.select(w.put(f"or {w.mask} {ahead}, {unordered}"), x, best)
        return best

    return form


def _minus_abs(w: Writer, x: str) -> str:
    return w.negative(w.intrinsic("fabs", x))


def _sigmoid(w: Writer, x: str) -> str:
    one = w.number(1.0)
    e = w.helper("exp", _minus_abs(w, x))
    numerator = w.select(w.compare("oge", x, w.number(0.0)), one, e)
    return w.arithmetic("fdiv", numerator, w.arithmetic("fadd", one, e))


def _softplus(w: Writer, x: str) -> str:
    return w.arithmetic("fadd", _relu(w, x), w.library("log1p", w.helper("exp", _minus_abs(w, x))))


# fmt: off
FORMS: dict[Operation, Callable[..., str]] = {
    ops.add:      lambda w, x, y: w.arithmetic("fadd", x, y),
    ops.sub:      lambda w, x, y: w.arithmetic("fsub", x, y),
    ops.mul:      lambda w, x, y: w.arithmetic("fmul", x, y),
    ops.div:      lambda w, x, y: w.arithmetic("fdiv", x, y),
    ops.neg:      lambda w, x: w.negative(x),
    ops.pow:      _power,
    ops.exp:      lambda w, x: w.helper("exp", x),
    ops.log:      lambda w, x: w.helper("log", x),
    ops.sqrt:     lambda w, x: w.intrinsic("sqrt", x),
    ops.sin:      lambda w, x: w.library("sin", x),
    ops.cos:      lambda w, x: w.library("cos", x),
    ops.tanh:     lambda w, x: w.library("tanh", x),
    ops.sigmoid:  _sigmoid,
    ops.softplus: _softplus,
    ops.relu:     _relu,
    ops.abs:      lambda w, x: w.intrinsic("fabs", x),
    ops.where:    _where,
    KEPT:         lambda w, g, x: w.select(w.compare("une", g, w.number(0.0)), x, w.number(0.0)),
    ops.max:      _extremum("ogt"),
    ops.min:      _extremum("olt"),
}
# fmt: on


def form(op: Operation) -> Callable[..., str]:
    """A row's machine form. Raises TraceError for a row that has none and is not composed."""
    if op not in FORMS:
        raise TraceError(f"{op!r} has no machine form; give it an expansion, or a line in compiler/machine.py")
    return FORMS[op]


_MAGIC = 1.5 * 2.0**52  # added to a number, leaves it rounded to a whole one in the low bits
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10  # their sum is ln 2 to 85 bits


def _exp(w: Writer, x: str) -> str:
    """e^x = 2^k · e^r with |r| <= ln(2)/2; e^r by its Taylor series to r^13, whose rest is below 2^-57."""
    n = w.number
    x = w.select(w.compare("ogt", x, n(710.0)), n(710.0), x)
    x = w.select(w.compare("olt", x, n(-746.0)), n(-746.0), x)
    k = w.strict("fsub", w.strict("fadd", w.strict("fmul", x, n(1.4426950408889634)), n(_MAGIC)), n(_MAGIC))
    r = w.arithmetic("fsub", x, w.arithmetic("fmul", k, n(_LN2_HIGH)))
    r = w.arithmetic("fsub", r, w.arithmetic("fmul", k, n(_LN2_LOW)))
    square = w.strict("fmul", r, r)
    p = w.polynomial(r, square, [1 / factorial(i) for i in range(2, 14)])
    p = w.arithmetic("fadd", n(1.0), w.arithmetic("fadd", r, w.arithmetic("fmul", square, p)))
    # 2^k in two factors, as 2^k alone may be beyond the range where the product is not
    half = w.strict("fadd", w.strict("fmul", k, n(0.5)), n(_MAGIC))
    rest = w.strict("fadd", w.strict("fsub", k, w.strict("fsub", half, n(_MAGIC))), n(_MAGIC))
    for exponent in (half, rest):
        shifted = w.bitwise("shl", w.cast(exponent, True), 52)
        p = w.strict("fmul", p, w.cast(w.bitwise("add", shifted, bits(1.0)), False))
    return p


def _log(w: Writer, x: str) -> str:
    """log x = k ln 2 + log(1 + f) with sqrt(1/2) <= 1 + f < sqrt(2), by the series of the inverse hyperbolic tangent.

    With s = f / (2 + f): log(1 + f) = f - f²/2 + s (f²/2 + R), R = 2/3 s² + 2/5 s⁴ + …; cut after s^22, below 2^-60.
    """
    n = w.number
    tiny = w.compare("olt", x, n(2.0**-1022))
    whole = w.cast(w.select(tiny, w.strict("fmul", x, n(2.0**54)), x), True)
    exponent = w.cast(w.bitwise("or", w.bitwise("lshr", whole, 52), bits(2.0**52)), False)
    k = w.strict("fsub", exponent, w.select(tiny, n(2.0**52 + 1077), n(2.0**52 + 1023)))
    m = w.cast(w.bitwise("or", w.bitwise("and", whole, (1 << 52) - 1), bits(1.0)), False)
    large = w.compare("ogt", m, n(2.0**0.5))
    m = w.select(large, w.strict("fmul", m, n(0.5)), m)
    k = w.select(large, w.strict("fadd", k, n(1.0)), k)
    f = w.strict("fsub", m, n(1.0))
    s = w.strict("fdiv", f, w.strict("fadd", f, n(2.0)))
    z = w.strict("fmul", s, s)
    p = w.arithmetic("fmul", w.polynomial(z, w.strict("fmul", z, z), [2 / (2 * i + 1) for i in range(1, 12)]), z)
    half = w.strict("fmul", w.strict("fmul", f, f), n(0.5))
    low = w.arithmetic("fmul", k, n(_LN2_LOW))
    inner = w.arithmetic("fadd", w.arithmetic("fmul", s, w.strict("fadd", half, p)), low)
    inner = w.strict("fsub", w.strict("fsub", half, inner), f)
    y = w.arithmetic("fsub", w.arithmetic("fmul", k, n(_LN2_HIGH)), inner)
    y = w.select(w.compare("oeq", x, n(float("inf"))), x, y)
    y = w.select(w.compare("oeq", x, n(0.0)), n(float("-inf")), y)
    return w.select(w.compare("oge", x, n(0.0)), y, n(float("nan")))


HELPERS = {"exp": _exp, "log": _log}


ATTRIBUTES = 'attributes #0 = { nounwind "no-trapping-math"="true" }'


def definitions(used: set[Any]) -> list[str]:
    """The text of the helper functions and declarations that a module uses."""
    texts = sorted(x for x in used if isinstance(x, str))
    for name, lanes in sorted(x for x in used if not isinstance(x, str)):
        w = Writer(lanes, contract=True)
        w.label("entry")
        result = HELPERS[name](w, "%x")
        texts += sorted(w.used)
        texts.append(w.function(f"vector_{name}_{lanes}", f"{w.type} %x", result, w.type, "internal "))
    return list(dict.fromkeys(texts))


__all__ = ["ATTRIBUTES", "FORMS", "LIBRARY", "definitions", "form"]
