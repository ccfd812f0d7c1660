"""The inputs of a checked function: copied before every call, and carried by numbers of another kind."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from math import isfinite
from typing import Any

from micrograd_like.checks import listed
from micrograd_like.engine import Value
from micrograd_like.ieee import Number
from micrograd_like.nn import Module


class Inputs:
    """Values, modules, and lists and tuples of them; anything else is handed on as it is.

    Raises:
        TypeError: the inputs are no list.
        ValueError: there is no Value to differentiate by, or one is not finite.
    """

    def __init__(self, inputs: Any) -> None:
        if isinstance(inputs, (Value, Module)):
            inputs = [inputs]
        self.inputs: Sequence[Any] = listed(
            "inputs", inputs, "a list of Values, modules and what else the function takes"
        )
        self.values = list(dict.fromkeys(value for each in self.inputs for value in _values(each)))
        if not self.values:
            raise ValueError("expected at least one Value (or a module with parameters) among the inputs, got none")
        self.data: list[Number] = [value.data for value in self.values]
        self.names = [value.label or f"input {i}" for i, value in enumerate(self.values)]
        for name, x in zip(self.names, self.data, strict=True):
            if not isfinite(x):
                raise ValueError(f"expected finite inputs, got {x} as {name}")

    def call(self, func: Callable[..., Any], data: Sequence[Number]) -> tuple[list[Value], list[Any]]:
        """The function on fresh inputs that hold these numbers: (the fresh Values, the function's results)."""
        fresh = {value: Value(x, label=value.label) for value, x in zip(self.values, data, strict=True)}
        result = func(*(_replaced(each, fresh) for each in self.inputs))
        results = list(result) if isinstance(result, (list, tuple)) else [result]
        for each in results:
            if not isinstance(each, Value):
                raise TypeError(f"expected the function to return a Value, or several; got {type(each).__name__}")
        return list(fresh.values()), results


def _values(held: Any) -> Iterator[Value]:
    if isinstance(held, Value):
        yield held
    elif isinstance(held, Module):
        yield from held.parameters()
    elif isinstance(held, (list, tuple)):
        for each in held:
            yield from _values(each)


def _replaced(held: Any, fresh: dict[Value, Value]) -> Any:
    if isinstance(held, Value):
        return fresh[held]
    if isinstance(held, Module):
        return copy.deepcopy(held, {id(old): new for old, new in fresh.items()})
    if isinstance(held, (list, tuple)):
        replaced = [_replaced(each, fresh) for each in held]
        return replaced if isinstance(held, list) else tuple(replaced)
    return held
