"""The samples: how they come, where they lie, in which order they are used, and how they are shared out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from typing import Any

from micrograd_like._extras import require
from micrograd_like.checks import shown, whole_number
from micrograd_like.order import orders
from micrograd_like.samples import samples_of

SHARDS = 16  # of samples that come in one piece; a number of its own, so that the workers' number changes no bit


class Shard:
    """The samples of a shard, as arrays with a row for each; and their order in an epoch."""

    def __init__(self, number: int, arrays: list[Any]) -> None:
        self.number, self.arrays = number, arrays
        self.count = len(arrays[0])
        self.drawn: tuple[Any, Any] = (None, None)  # for which seed and epoch, and the order

    def rows(self, seed: int, epoch: int | None, first: int, last: int) -> list[Any]:
        """The samples from the first to before the last, in the order of an epoch; None for their own order."""
        if epoch is None:
            return [array[first:last] for array in self.arrays]
        (known, order) = self.drawn
        if known != (seed, epoch):
            (order,) = orders(self.count, random.Random(f"{seed} {epoch} {self.number}"), 1)
            self.drawn = (seed, epoch), order
        chosen = order[first:last]
        return [array[chosen] for array in self.arrays]

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "drawn": (None, None)}


def load(first: int, pieces: Sequence[Any]) -> list[Shard]:
    """A run of shards: a task of its own, so that Dask knows where they lie, and loads them again where they are lost."""
    found = []
    for number, piece in enumerate(pieces, first):
        try:
            found.append(Shard(number, arrays(piece() if callable(piece) else piece)))
        except Exception as error:
            error.add_note(f"That was shard {number}; nothing has been trained.")
            raise
    return found


def arrays(pair: Any) -> list[Any]:
    """The inputs and the targets of a shard as arrays of doubles, with a row for each sample."""
    numpy = require("numpy", extra="compiled")
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise TypeError(
            f"expected a shard as two arrays, its inputs and its targets, got {type(pair).__name__}: {shown(pair)}"
        )
    found = []
    for name, given in zip(("inputs", "targets"), pair, strict=True):
        try:
            array = numpy.asarray(given)
        except ValueError:
            raise ValueError(f"expected a shard's {name} as an array, got lists of unequal lengths") from None
        if array.dtype.kind not in "fiub" or not array.ndim:
            raise TypeError(f"expected a shard's {name} as an array of real numbers, got {array.dtype}: {shown(given)}")
        found.append(numpy.ascontiguousarray(array, dtype=numpy.float64))
    if len(found[0]) != len(found[1]):
        raise ValueError(
            f"expected as many targets as inputs in a shard, got {len(found[0])} inputs and {len(found[1])} targets"
        )
    return found


def look(shards: list[Shard]) -> list[tuple[int, list[tuple[int, ...]]]]:
    """How many samples each shard has, and the shapes of one."""
    return [(shard.count, [array.shape[1:] for array in shard.arrays]) for shard in shards]


class Chunk:
    """A shard that comes from the client. It travels with the task that loads it, so that it is not lost with a worker."""

    def __init__(self, *arrays: Any) -> None:
        self.arrays = arrays

    def __call__(self) -> tuple[Any, ...]:
        return self.arrays


def pieces_of(data: Any, shards: int | None) -> list[Any]:
    """For each shard a function that returns its arrays, or two blocks of dask arrays."""
    if shards is not None:
        shards = whole_number("shards", shards)
    if callable(data):
        if shards is None:
            raise ValueError("expected shards=…, the number of shards that the function is to load")
        return [partial(data, k) for k in range(shards)]
    if isinstance(data, (tuple, list)) and len(data) == 2 and all(hasattr(part, "dask") for part in data):
        return _blocks(data[0], data[1], shards)
    if isinstance(data, list) and data and (all(map(callable, data)) or all(map(_is_chunk, data))):
        if shards not in (None, len(data)):
            raise ValueError(f"expected shards={len(data)}, as many as the list has, or None; got {shards}")
        return [piece if callable(piece) else Chunk(*piece) for piece in data]
    numpy = require("numpy", extra="compiled")
    if isinstance(data, tuple) and len(data) == 2 and all(hasattr(part, "__array__") for part in data):
        columns = [numpy.asarray(part) for part in data]
    else:
        columns = list(map(list, zip(*samples_of("data", data), strict=True)))
    x, y = arrays(columns)
    if not len(x):
        raise ValueError("expected at least one sample, got none")
    shards = min(SHARDS, len(x)) if shards is None else shards
    return [Chunk(x[k::shards], y[k::shards]) for k in range(shards)]


def _is_chunk(piece: Any) -> bool:
    """Whether it is a pair of arrays; of a pair of which a part is a list or a number, a sample is meant."""
    return isinstance(piece, (tuple, list)) and len(piece) == 2 and all(getattr(part, "ndim", 0) for part in piece)


def _blocks(x: Any, y: Any, shards: int | None) -> list[Any]:
    """The blocks of two dask arrays along the first axis, cut alike; the other axes in one piece."""
    if not x.ndim or not y.ndim:
        raise ValueError(f"expected dask arrays with a row for each sample, got the shapes {x.shape} and {y.shape}")
    whole = [dict.fromkeys(range(1, part.ndim), -1) for part in (x, y)]
    if any(n != n for part in (x, y) for n in part.shape):  # sizes that are not known yet
        if shards is not None or x.numblocks[0] != y.numblocks[0]:
            raise ValueError(
                "expected dask arrays whose sizes are known, to cut them alike; "
                "call compute_chunk_sizes() on them, or give them as many chunks each and no shards"
            )
        rows: list[Any] = [{}, {}]
    else:
        if len(x) != len(y):
            raise ValueError(f"expected as many targets as inputs, got {len(x)} inputs and {len(y)} targets")
        if not len(x):
            raise ValueError("expected at least one sample, got none")
        chunks = x.chunks[0]
        if shards is not None:
            chunks = tuple((k + 1) * len(x) // shards - k * len(x) // shards for k in range(shards))
        rows = [{0: chunks}] * 2
    delayed = [
        part.rechunk({**cut, **rest}).to_delayed().reshape(-1)
        for part, cut, rest in zip((x, y), rows, whole, strict=True)
    ]
    return list(map(list, zip(*delayed, strict=True)))


def cut(sizes: Sequence[int], samples: int) -> list[int]:
    """How many samples of each shard are in the first so many of an epoch.

    From each in proportion to its size. The shards round at different moments, so that the sum is exact where their
    sizes are equal (Hermite's identity), and each count grows with `samples`.

    >>> [cut([5, 5, 5], n) for n in (0, 1, 2, 3, 7, 15)]
    [[0, 0, 0], [0, 0, 1], [0, 1, 1], [1, 1, 1], [2, 2, 3], [5, 5, 5]]
    """
    total = sum(sizes)
    return [(samples * size + k * total // len(sizes)) // total for k, size in enumerate(sizes)]


def runs(shards: int, workers: int) -> list[range]:
    """The shards in runs that are whole parts of the tree: 2ⁿ long, and at least as many runs as workers.

    >>> runs(16, 3)
    [range(0, 4), range(4, 8), range(8, 12), range(12, 16)]
    """
    size = 1
    while size < shards and -(-shards // (2 * size)) >= workers:
        size *= 2
    return [range(first, min(first + size, shards)) for first in range(0, shards, size)]
