"""What many ask for: a whole number, objects of one kind each once, and many attributes changed all or none."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from operator import index
from typing import Any, TypeVar

T = TypeVar("T")
MOST = 10**8  # parameters of one list, numbers of one input: a hundred million Values fill over ten gigabytes


def whole_number(name: str, n: Any, at_least: int = 1, at_most: int | None = None) -> int:
    """Return n as Python's own int: what a program counts with, so that no NumPy integer wraps around.

    >>> whole_number("epochs", True)
    Traceback (most recent call last):
    ValueError: expected epochs as a whole number of at least 1, got True

    Raises:
        ValueError: n is no whole number, or out of its range. True and False are not taken for 1 and 0.
    """
    try:
        number = at_least - 1 if isinstance(n, bool) else index(n)
    except TypeError:
        number = at_least - 1
    if number < at_least or (at_most is not None and number > at_most):
        most = f" and at most {at_most:,}" if at_most is not None and number >= at_least else ""
        raise ValueError(f"expected {name} as a whole number of at least {at_least}{most}, got {shown(n)}")
    return number


def listed(name: str, things: Any, what: str) -> list[Any]:
    """Return the things as a list; `what` says what they should be, "a list of Values" say.

    Raises:
        TypeError: there is nothing to go through; a NumPy array without axes is such a thing, too.
    """
    try:
        return list(things)
    except TypeError:
        if hasattr(things, "__next__") or isinstance(things, (list, tuple)):
            raise  # an iterator's own error
        raise TypeError(f"expected {name} as {what}, got {type(things).__name__}: {shown(things)}") from None


def a_function(name: str, f: Any) -> Callable[..., Any]:
    """Return f, which can be called.

    Raises:
        TypeError: it cannot.
    """
    if not callable(f):
        raise TypeError(f"expected {name} as a function, got {type(f).__name__}: {shown(f)}")
    return f  # type: ignore[no-any-return]  # what it takes and returns is found out when it is called


def instance(name: str, thing: Any, kind: type[T], what: str) -> T:
    """Return the thing; `what` says what it should be, "a report of `explain_step`" say.

    Raises:
        TypeError: it is not of that class.
    """
    if not isinstance(thing, kind):
        raise TypeError(f"expected {name} as {what}, got {type(thing).__name__}: {shown(thing)}")
    return thing


def texts(**named: Any) -> None:
    """Look that each is a text.

    Raises:
        TypeError: one is not; the error names it.
    """
    for name, text in named.items():
        instance(name, text, str, "a text")


def mapped(name: str, things: Any, what: str) -> Mapping[Any, Any]:
    """Return the things, which have names; `what` says what they should be, "names to points" say.

    Raises:
        TypeError: they are no mapping.
    """
    return instance(name, things, Mapping, what)  # type: ignore[type-abstract]  # looked at, not made


def picture_shape(shape: Any) -> tuple[int, int]:
    """Return (height, width) of a picture.

    >>> picture_shape((8, 0))
    Traceback (most recent call last):
    ValueError: expected width as a whole number of at least 1, got 0

    Raises:
        TypeError: it is no sequence.
        ValueError: it has not two sides, or one is no whole number of at least 1.
    """
    sides = listed("shape", shape, "(height, width)")
    if len(sides) != 2:
        raise ValueError(f"expected shape as (height, width), got {shown(shape)}")
    return whole_number("height", sides[0]), whole_number("width", sides[1])


def each_once(name: str, things: Iterable[T], kind: type[T]) -> list[T]:
    """Return the things as a list; `name` is what one of them is, "parameter" say, and `kind` its class.

    Raises:
        TypeError: they are no list of things, or one of them is not of that class.
        ValueError: one of them is there twice.
    """
    several = listed(f"{name}s", things, f"a list of {kind.__name__}s")
    if set(map(type, several)) <= {kind} and kind.__hash__ is object.__hash__ and len(set(several)) == len(several):
        return several  # as nearly always, and so without a loop
    seen: set[int] = set()
    for thing in several:
        if not isinstance(thing, kind):
            raise TypeError(f"expected {name}s as {kind.__name__}s, got {type(thing).__name__}: {shown(thing)}")
        if id(thing) in seen:
            raise ValueError(f"expected each {name} once, got {shown(thing)} twice")
        seen.add(id(thing))
    return several


def generator(name: str, rng: Any) -> random.Random:
    """Return the generator as it is, or one made from a seed. Raises TypeError for what is neither."""
    if isinstance(rng, random.Random):
        return rng
    try:
        return random.Random(index(rng))
    except TypeError:
        raise TypeError(
            f"expected {name} as a random.Random or a seed, got {type(rng).__name__}: {shown(rng)}"
        ) from None


def assign(*changes: tuple[Sequence[Any], str, Sequence[Any]]) -> None:
    """Set attributes of many objects: all of them or none, also when Ctrl-C comes in between.

    Each change is (objects, attribute, a value for each object). All of it happens in one call of a function written in
    C, inside of which Python looks neither at signals nor at other threads; so there is no moment in between. That holds
    for attributes that no Python code of the object's class sets; others are set back when one of them raises.

    >>> from types import SimpleNamespace
    >>> x, y = SimpleNamespace(data=1), SimpleNamespace(data=2)
    >>> assign(([x, y], "data", [3, 4]), ([x], "data", [5]))
    >>> x.data, y.data
    (5, 4)

    Raises:
        AttributeError: an object has no such attribute yet; nothing has changed.
        ValueError: there are not as many values as objects; nothing has changed.
    """
    objects: list[Any] = []
    names: list[str] = []
    values: list[Any] = []
    for several, name, new in changes:
        if len(several) != len(new):
            raise ValueError(f"expected {len(several)} values of {name}, one for each object, got {len(new)}")
        objects += several
        names += [name] * len(several)
        values += new
    before = list(map(getattr, objects, names))
    try:
        _set(objects, names, values)
    except BaseException:
        with suppress(Exception):  # what could not be set cannot be set back, and need not
            _set(objects, names, before)
        raise


def _set(objects: Sequence[Any], names: Sequence[str], values: Sequence[Any]) -> None:
    deque(map(setattr, objects, names, values), maxlen=0)


def shown(x: Any) -> str:
    """Show a value in an error: at most 60 characters, also of an integer that is too long to be printed."""
    try:
        return f"{x!r:.60}"
    except Exception as error:
        return f"a {type(x).__name__} that cannot be shown ({error})"
