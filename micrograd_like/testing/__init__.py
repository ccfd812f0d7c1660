"""Property-test gradients: check derivatives against 50 digits, and draw values, programs and networks (extra `testing`).

>>> from micrograd_like import Value
>>> gradcheck(lambda x, y: (x * y).tanh(), [Value(0.5), Value(-2.0)])
True

Hypothesis and mpmath are imported when something here first needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from micrograd_like._extras import require
from micrograd_like.testing.checks import (
    GradcheckError,
    NondifferentiableError,
    assert_exact,
    assert_gradients_kept,
    gradcheck,
)

if TYPE_CHECKING:
    from micrograd_like.testing.strategies import (
        Expression,
        away_from_kinks,
        datasets,
        expressions,
        mlps,
        special_floats,
        values,
    )

__all__ = [
    "Expression",
    "GradcheckError",
    "NondifferentiableError",
    "assert_exact",
    "assert_gradients_kept",
    "away_from_kinks",
    "datasets",
    "expressions",
    "gradcheck",
    "mlps",
    "special_floats",
    "values",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require("hypothesis", extra="testing")
    from micrograd_like.testing import strategies

    return getattr(strategies, name)
