"""Where CPython keeps a Value's number, so that machine code can read parameters at every call and cost next to nothing.

A Value holds a pointer to its number, and a float its double at a fixed place. The places are found by looking at
objects whose contents are known. Where anything is unexpected (another interpreter, or threads without the global lock,
under which an object may vanish while it is read), there is no layout, and parameters are read in Python.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import NamedTuple

from micrograd_like.engine import Value


class Layout(NamedTuple):
    """Distances in bytes from an object's address, which is its id."""

    data_offset: int  # in a Value, of the pointer to its number
    type_offset: int  # in any object, of the pointer to its type
    number_offset: int  # in a float, of its double
    float_type: int  # the address of `float`


@cache
def layout() -> Layout | None:
    """The layout of this interpreter's objects; None where they cannot be read."""
    if sys.implementation.name != "cpython" or not getattr(sys, "_is_gil_enabled", lambda: True)():
        return None
    word = ctypes.sizeof(ctypes.c_void_p)
    type_offset, number_offset = object.__basicsize__ - word, float.__basicsize__ - 8
    found = set()
    for number in (1.5, -7.25e100):
        value = Value(number)
        words = (ctypes.c_size_t * (Value.__basicsize__ // word)).from_address(id(value))
        places = [k for k, x in enumerate(words) if x == id(value.data)]
        kind = ctypes.c_size_t.from_address(id(value.data) + type_offset).value
        there = ctypes.c_double.from_address(id(value.data) + number_offset).value
        if len(places) != 1 or kind != id(float) or there != number or word != 8:
            return None
        found.add(places[0])
    return Layout(found.pop() * word, type_offset, number_offset, id(float)) if len(found) == 1 else None
