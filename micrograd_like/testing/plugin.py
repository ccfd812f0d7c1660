"""What Hypothesis calls when it is imported: from then on `st.from_type(Value)` draws a leaf."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from micrograd_like.engine import Value


def register() -> None:
    """Tell Hypothesis how to draw a Value; our strategies are imported when the first is drawn."""
    from hypothesis import strategies as st

    from micrograd_like.engine import Value

    st.register_type_strategy(Value, lambda _: _values())


def _values() -> SearchStrategy[Value]:
    from micrograd_like.testing.strategies import values

    return values()
