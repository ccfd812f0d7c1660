"""Which operation was the first to produce a nan or an inf, from what, and where the user's program recorded it."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from threading import Lock

from micrograd_like import engine
from micrograd_like.caller import PACKAGE, users_line
from micrograd_like.engine import Value
from micrograd_like.ieee import isfinite

Places = dict[int, tuple[str, int]]  # id of a node -> file and line that recorded it


@dataclass(eq=False)
class _Watch:
    """A block's watch. Tasks that it starts inherit it, and outlive it: so it knows itself when it is over."""

    places: Places
    raises: bool  # whether an anomaly raises
    warns: bool  # whether a Value that becomes a plain number warns
    outer: _Watch | None  # of the block around it
    active: bool = True


_innermost: ContextVar[_Watch | None] = ContextVar("innermost", default=None)
_lock = Lock()
_watches: set[_Watch] = set()


def _watch() -> _Watch | None:
    """The watch of this thread or task: the innermost one that is not over."""
    watch = _innermost.get()
    while watch is not None and not watch.active:
        watch = watch.outer
    return watch


class AnomalyError(FloatingPointError):
    """Report that a computation stopped being finite.

    `node` is the first node that is not, `location` the ``file:line`` that recorded it, or None.

    >>> from micrograd_like import Value
    >>> try:
    ...     with detect_anomaly():
    ...         y = Value(0.0, label="x").log()
    ... except AnomalyError as error:
    ...     print(error.node.op, error.node.data)
    ops.log -inf
    """

    def __init__(self, message: str, node: Value | None = None, location: str | None = None) -> None:
        super().__init__(message)
        self.node = node
        self.location = location


class LostGradientWarning(UserWarning):
    """Say that a Value became a plain number, through which no gradient flows: `math.sin(value)` in place of `mg.sin`.

    >>> import math
    >>> import warnings
    >>> from micrograd_like import Value
    >>> with warnings.catch_warnings(record=True) as found, detect_anomaly(lost_gradients=True):
    ...     warnings.simplefilter("always")
    ...     y = math.sin(Value(1.0, label="x"))
    >>> found[0].category.__name__
    'LostGradientWarning'
    """


@contextmanager
def detect_anomaly(*, lost_gradients: bool = False) -> Iterator[None]:
    """Raise AnomalyError at the first operation inside the block that makes a nan or an inf, forward or backward.

    The error names the operation, its operands and the line of your program that recorded it. The mode belongs to this
    thread or task alone, and ends with the block.

    With `lost_gradients`, a Value that becomes a plain number (`float(value)`, `math.sin(value)`, `np.array(value, float)`)
    warns, at that line, as a `LostGradientWarning`; Python's warnings filters turn that into an error.

    >>> from micrograd_like import Value
    >>> with detect_anomaly():
    ...     y = Value(0.0, label="x").log()
    Traceback (most recent call last):
    micrograd_like.anomaly.AnomalyError: log(x=0.0) = -inf, recorded at <doctest micrograd_like.anomaly.detect_anomaly[1]>:2
    """
    with _watching(raises=True, warns=bool(lost_gradients)):
        yield


@contextmanager
def recorded_lines() -> Iterator[Callable[[Value], str]]:
    """Remember which line of the user's program records each operation; gives a function from a node to "file:line"."""
    with _watching(raises=False, warns=False) as places:
        yield lambda node: _location(node, places)


@contextmanager
def _watching(raises: bool, warns: bool) -> Iterator[Places]:
    outer = _watch()
    watch = (
        _Watch({}, raises, warns, None)
        if outer is None
        else _Watch(outer.places, raises or outer.raises, warns or outer.warns, outer)
    )
    try:
        _innermost.set(watch)
        _switch(_watches.add, watch)
        yield watch.places
    finally:
        watch.active = False  # first of all: whatever interrupts the rest, the block is over
        _switch(_watches.discard, watch)
        _innermost.set(outer)


def _switch(change: Callable[[_Watch], None], watch: _Watch) -> None:
    """Add or remove a watch, and let the engine ask as long as there is one."""
    with _lock:
        change(watch)
        _watches.intersection_update([w for w in _watches if w.active])  # without those whose end was interrupted
        engine.watch_forward, engine.watch_backward = (_check_forward, _check_backward) if _watches else (None, None)
        engine.watch_float = _check_float if any(w.warns for w in _watches) else None


def check_loss(loss: Value) -> None:
    """Raise AnomalyError, without a line, where a loss is not finite."""
    if not isfinite(loss.data):
        raise AnomalyError(f"the loss is {loss.data}", loss)


def describe(node: Value) -> str:
    """A node as a formula with its numbers: `log(x=0.0) = -inf`."""
    return f"{_call(node)} = {node.data}"


def _call(node: Value) -> str:
    operands = [
        f"{x.label}={x.data}" if isinstance(x, Value) and x.label else str(x.data if isinstance(x, Value) else x)
        for x in node.operands
    ]
    if len(operands) > 8:
        operands[4:-4] = [f"… {len(operands) - 8} more …"]
    return f"{node.op.name if node.op else 'leaf'}({', '.join(operands)})"


def _check_forward(node: Value) -> None:
    watch = _watch()
    if watch is None:  # another thread or task watches
        return
    # By identity and without holding the node: a later node at the same address records its own place here.
    watch.places[id(node)] = users_line()
    if watch.raises and not isfinite(node.data):
        location = _location(node, watch.places)
        raise AnomalyError(f"{describe(node)}, recorded at {location}", node, location)


def _check_float(value: Value) -> None:
    """Warn, at the line of the user's that turned the Value into a number: what this library does is meant."""
    watch = _watch()
    if watch is None or not watch.warns or sys._getframe(2).f_code.co_filename.startswith(PACKAGE):
        return
    what = describe(value) if value.op else f"{value.label or 'a Value'} = {value.data}"
    warnings.warn(
        f"{what} became a plain number here, through which no gradient flows; use this library's functions (mg.sin, not "
        "math.sin), or value.data where a plain number is meant",
        LostGradientWarning,
        stacklevel=3,
    )


def _check_backward(node: Value) -> None:
    watch = _watch()
    if watch is None or not watch.raises or node.op is None:
        return
    numbers = [x.data if isinstance(x, Value) else x for x in node.operands]
    for operand, adjoint in zip(node.operands, node.op.vjp(node.grad, node.data, *numbers), strict=True):
        if isinstance(operand, Value) and adjoint is not None and not isfinite(adjoint):
            location = _location(node, watch.places)
            raise AnomalyError(
                f"the gradient of {_call(node)} with respect to {operand.label or operand.data} is {adjoint} "
                f"where the gradient of its result is {node.grad}; recorded at {location}",
                node,
                location,
            )


def _location(node: Value, places: Places) -> str:
    file, line = places.get(id(node), ("an unwatched place", 0))
    return f"{file}:{line}" if line else file
