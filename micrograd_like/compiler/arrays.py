"""A program's inputs: what users give, as arrays of doubles of the right shapes, or an error that names what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from micrograd_like._extras import require


class Inputs:
    """The names and the shapes of a program's inputs, in order."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.shapes = dict(shapes)
        self._fitting: list[tuple[int, ...]] = []  # shapes of arrays that were found to be right
        self._prepare()

    def _prepare(self) -> None:
        self._numpy = require("numpy", extra="compiled")
        self._float64 = self._numpy.dtype(float)

    def __getstate__(self) -> dict[str, Any]:
        return {"shapes": self.shapes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.shapes, self._fitting = state["shapes"], []
        self._prepare()

    def arrays(self, inputs: Sequence[Any], named: Mapping[str, Any]) -> tuple[list[Any], int]:
        """The inputs as arrays of doubles, and how many samples they have.

        Raises:
            TypeError: one is missing or unknown, or holds what are no real numbers.
            ValueError: one has another shape, or not as many samples as the others.
        """
        numpy = self._numpy
        if named or len(inputs) != len(self.shapes):
            inputs = self._in_order(inputs, named)
        arrays = [
            numpy.ascontiguousarray(given)
            if type(given) is numpy.ndarray and given.dtype is self._float64
            else self._converted(place, given)
            for place, given in enumerate(inputs)
        ]
        found = [array.shape for array in arrays]
        count = found[0][0] if found and found[0] else 0
        if found != self._fitting:
            for shape, (name, expected) in zip(found, self.shapes.items(), strict=True):
                if shape != (count, *expected) or not count:
                    raise ValueError(self._wrong(name, shape, count))
            self._fitting = found
        return arrays, count

    def vector(self, given: Any, size: int) -> Any:
        """Numbers for all parameters, as one array of doubles. Raises TypeError or ValueError for anything else."""
        numpy = self._numpy
        expected = f"expected at as {size} numbers, one for each parameter"
        if type(given) is not numpy.ndarray or given.dtype is not self._float64:
            try:
                given = numpy.asarray(given)
            except ValueError:
                raise ValueError(f"{expected}, got {given!r:.60}") from None
            if given.dtype.kind not in "fiub":
                raise TypeError(f"{expected}, got {given.dtype}: {given!r:.60}")
        if given.shape != (size,):
            raise ValueError(f"{expected}, got the shape {given.shape}")
        return numpy.ascontiguousarray(given, self._float64)

    def _converted(self, place: int, given: Any) -> Any:
        """An input as an array of doubles."""
        numpy, name = self._numpy, list(self.shapes)[place]
        expected = f"expected {name} as real numbers of the shape {self._rows(name)}"
        if isinstance(given, numpy.ma.MaskedArray):
            raise TypeError(f"{expected}, got a masked array; fill it, or leave its masked samples out")
        try:
            array = numpy.asarray(given)
        except ValueError:
            raise ValueError(f"{expected}, got lists of unequal lengths: {given!r:.60}") from None
        if array.dtype.kind == "O":
            if not all(hasattr(x, "__float__") for x in array.flat):
                raise TypeError(f"{expected}, got {type(given).__name__}: {given!r:.60}")
        elif array.dtype.kind not in "fiub":
            raise TypeError(f"{expected}, got {array.dtype}: {given!r:.60}")
        try:
            return numpy.ascontiguousarray(array, self._float64)
        except OverflowError:
            raise ValueError(f"{expected}, got an integer that is too large for a float") from None

    def _rows(self, name: str) -> str:
        return f"({', '.join(['samples', *map(str, self.shapes[name])])})"

    def _wrong(self, name: str, found: tuple[int, ...], count: int) -> str:
        """What is wrong with an input of a shape that does not fit."""
        shape = self.shapes[name]
        if found[1:] != shape or len(found) != 1 + len(shape):
            return f"expected {name} of the shape {self._rows(name)}, got {found}"
        if not count:
            return "expected at least one sample, got none"
        return f"expected as many samples in {name} as in {next(iter(self.shapes))}, {count}; got {found[0]}"

    def _in_order(self, inputs: Sequence[Any], named: Mapping[str, Any]) -> tuple[Any, ...]:
        """The inputs, some of them given by name."""
        names = list(self.shapes)
        inputs_are = f"the inputs are {', '.join(names) or '(none)'}"
        for name in named:
            if name not in names:
                raise TypeError(f"unknown argument {name!r}; {inputs_are}")
            if name in names[: len(inputs)]:
                raise TypeError(f"{name} is given twice, in its place and by its name; {inputs_are}")
        if len(inputs) > len(names):
            raise TypeError(f"{inputs_are}; got {len(inputs)} without a name")
        given = dict(zip(names, inputs, strict=False)) | dict(named)
        if missing := [name for name in names if name not in given]:
            raise TypeError(f"missing inputs: {', '.join(missing)}")
        return tuple(given[name] for name in names)


def pick_error(
    shapes: Mapping[str, tuple[int, ...]], gathers: Sequence[tuple[int, int]], arrays: Sequence[Any], row: int
) -> IndexError:
    """What is wrong with a sample one of whose numbers picks (`gather`) what is not there."""
    numbers = [float(x) for array in arrays for x in array[row].reshape(-1)]
    names = [name for name, shape in shapes.items() for _ in range(prod(shape))]
    # A whole number is in a range as a float, too.
    place, size = next((place, size) for place, size in gathers if numbers[place] not in range(size))
    return IndexError(
        f"sample {row}: {names[place]} picks one of {size} values, expected a whole number from 0 to {size - 1}, "
        f"got {numbers[place]}"
    )
