"""A program's inputs: what users give, as arrays of doubles of the right shapes, or an error that names what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from micrograd_like._extras import require
from micrograd_like.checks import whole_number

MOST_NUMBERS = 10**7  # in an input: a trace has a symbol for each of them


class UpTo:
    """Let an input's length differ from sample to sample, as a text's does: from `least` to `longest`.

    A program takes samples of different lengths in one call, and a shorter one costs less. It computes for each what the
    function computes for a list of this length. All inputs of such a shape have the same length in a sample.

    >>> import micrograd_like as mg
    >>> w = mg.Value(0.5)
    >>> def loss(x):  # each number from those before it
    ...     guesses = [w * mg.mean(x[:t]) for t in range(1, len(x))]
    ...     return mg.mse_loss(guesses, x[1:])
    >>> program = mg.compile(loss, [w], x=mg.UpTo(8, least=2))
    >>> program.losses([[1.0, 1.0], [1.0, 2.0, 3.0, 4.0]]).round(3).tolist()
    [0.25, 5.438]

    Args:
        longest: the most elements.
        rest: the shape of an element; without one it is a number.
        least: the fewest elements.

    Raises:
        ValueError: a size is no whole number of at least 1, or `least` is above `longest`.
    """

    def __init__(self, longest: int, *rest: int, least: int = 1) -> None:
        self.longest, self.least = whole_number("longest", longest), whole_number("least", least)
        self.rest = tuple(whole_number("a size of an element", n) for n in rest)
        if self.least > self.longest:
            raise ValueError(f"expected least as at most {self.longest}, the longest, got {self.least}")

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the longest."""
        return (self.longest, *self.rest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UpTo) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.longest, self.least, self.rest))

    def __repr__(self) -> str:
        least = f", least={self.least}" if self.least > 1 else ""
        return f"UpTo({', '.join(map(str, self.shape))}{least})"


def checked_shape(name: str, shape: Any) -> tuple[int, ...]:
    """An input's shape, given as such or as a size. Raises ValueError for what is none, or too large."""
    given = shape if isinstance(shape, tuple) else (shape,)
    try:
        sizes = tuple(whole_number(name, n) for n in given)
    except ValueError:
        raise ValueError(
            f"expected {name} as a size of at least 1 or a tuple of such sizes, got {type(shape).__name__}: {shape!r:.60}"
        ) from None
    if prod(sizes) > MOST_NUMBERS:
        raise ValueError(f"expected {name} as at most {MOST_NUMBERS:,} numbers, got {shape!r:.60}")
    return sizes


class Inputs:
    """The names and the shapes of a program's inputs, in order."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...] | UpTo]) -> None:
        self.shapes = dict(shapes)
        self.ragged = [name for name, shape in shapes.items() if isinstance(shape, UpTo)]
        self._fitting: list[tuple[int, ...]] = []  # shapes of arrays that were found to be right
        self._numpy = require("numpy", extra="compiled")
        self._float64, self._ndarray = self._numpy.dtype(float), self._numpy.ndarray
        self._contiguous = self._numpy.ascontiguousarray

    def __reduce__(self) -> Any:
        return Inputs, (self.shapes,)

    def arrays(self, inputs: Sequence[Any], named: Mapping[str, Any]) -> tuple[list[Any], int]:
        """The inputs as arrays of doubles, and how many samples they have.

        Raises:
            TypeError: one is missing or unknown, or holds what are no real numbers.
            ValueError: one has another shape, or not as many samples as the others.
        """
        if named or len(inputs) != len(self.shapes):
            inputs = self._in_order(inputs, named)
        if self.ragged:
            return self._of_lengths(inputs)
        kind, float64, contiguous = self._ndarray, self._float64, self._contiguous
        arrays: list[Any] = []
        found: list[tuple[int, ...]] = []
        for given in inputs:  # the loop of each call: without what a comprehension costs
            is_right = type(given) is kind and given.dtype is float64
            array = contiguous(given) if is_right else self._converted(len(arrays), given)
            arrays.append(array)
            found.append(array.shape)
        count: int = found[0][0] if found and found[0] else 0
        if found != self._fitting:
            for shape, (name, expected) in zip(found, self.shapes.items(), strict=True):
                if isinstance(expected, UpTo) or shape != (count, *expected) or not count:
                    raise ValueError(self._wrong(name, shape, count))
            self._fitting = found
        return arrays, count

    def _of_lengths(self, inputs: Sequence[Any]) -> tuple[list[Any], int]:
        """The inputs, sequences filled up with zeros, and behind them the samples' lengths, counted from the shortest."""
        numpy = self._numpy
        arrays, lengths, first = [], numpy.zeros(0), ""
        for place, (name, shape) in enumerate(self.shapes.items()):
            if not isinstance(shape, UpTo):
                array = self._converted(place, inputs[place])
                if array.shape[1:] != shape or not array.ndim:
                    raise ValueError(self._wrong(name, array.shape, len(array) if array.ndim else 0))
                arrays.append(array)
                continue
            array, own = self._filled_up(place, shape, inputs[place])
            arrays.append(array)
            if not first:
                lengths, first = own, name
            elif len(own) == len(lengths) and (wrong := numpy.flatnonzero(own != lengths)).size:
                row = wrong[0]
                found = f"{lengths[row]:.0f} and {own[row]:.0f}"
                raise ValueError(f"sample {row}: expected {first} and {name} of the same length, got {found}")
        count = len(lengths)
        for array, name in zip(arrays, self.shapes, strict=True):
            if len(array) != count or not count:
                raise ValueError(self._wrong(name, array.shape, count))
        least = next(shape.least for shape in self.shapes.values() if isinstance(shape, UpTo))
        return [*arrays, lengths - least], count

    def _filled_up(self, place: int, shape: UpTo, given: Any) -> tuple[Any, Any]:
        """Rows of different lengths as one array, and the length of each."""
        numpy, name = self._numpy, list(self.shapes)[place]
        if isinstance(given, numpy.ndarray) and given.dtype != object and given.ndim > 1:
            rows = array = self._converted(place, given)
            lengths = numpy.full(len(rows), float(array.shape[1]))
            odd = None if self._fits(shape, array.shape[1:]) or not len(array) else 0
        else:
            if isinstance(given, (str, bytes)) or not hasattr(given, "__iter__") or getattr(given, "shape", None) == ():
                raise TypeError(f"expected {name} as a list of sequences, got {type(given).__name__}: {given!r:.60}")
            for k, row in enumerate(given):
                if not hasattr(row, "__len__") or getattr(row, "shape", None) == ():
                    self._converted(place, [row])  # it may be no number either
                    raise ValueError(f"sample {k}: expected {name} of the shape {self._rows(name, '')}, got a number")
            rows = [self._converted(place, row) for row in given]
            lengths = numpy.array([float(len(row)) for row in rows])
            odd = next((k for k, row in enumerate(rows) if not self._fits(shape, row.shape)), None)
        if odd is not None:
            raise ValueError(
                f"sample {odd}: expected {name} of the shape {self._rows(name, '')}, got {rows[odd].shape}"
            )
        filled = numpy.zeros((len(rows), *shape.shape))
        for k, row in enumerate(rows):
            filled[k, : len(row)] = row
        return filled, lengths

    @staticmethod
    def _fits(shape: UpTo, found: tuple[int, ...]) -> bool:
        return len(found) > 0 and shape.least <= found[0] <= shape.longest and found[1:] == shape.rest

    def vector(self, given: Any, size: int) -> Any:
        """Numbers for all parameters, as one array of doubles. Raises TypeError or ValueError for anything else."""
        if type(given) is self._ndarray and given.dtype is self._float64 and given.shape == (size,):
            return self._contiguous(given)
        expected = f"expected at as {size} numbers, one for each parameter"
        try:
            array = self._numpy.asarray(given)
        except ValueError:
            raise ValueError(f"{expected}, got {given!r:.60}") from None
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{expected}, got {array.dtype}: {given!r:.60}")
        if array.shape != (size,):
            raise ValueError(f"{expected}, got the shape {array.shape}")
        return self._contiguous(array, self._float64)

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

    def _rows(self, name: str, first: str = "samples") -> str:
        shape = self.shapes[name]
        sizes: list[Any] = [f"{shape.least} to {shape.longest}", *shape.rest] if isinstance(shape, UpTo) else [*shape]
        return f"({', '.join(map(str, [first, *sizes] if first else sizes))})"

    def _wrong(self, name: str, found: tuple[int, ...], count: int) -> str:
        """What is wrong with an input of a shape that does not fit."""
        shape = self.shapes[name]
        if not isinstance(shape, UpTo) and (found[1:] != shape or len(found) != 1 + len(shape)):
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
