"""The order in which an epoch takes the samples, for a loop in Python and for compiled ones alike."""

from __future__ import annotations

import random
from typing import Any

from micrograd_like._extras import require

AT_ONCE = 1 << 20  # keys that are drawn in one call, which has a largest size


def shuffled(count: int, rng: random.Random) -> list[int]:
    """Return the numbers from 0 to count - 1 in a random order: sorted by a random key of 64 bits for each.

    Equal keys, should there be some, stay in order. `orders` has the same keys, sorted by NumPy.

    >>> shuffled(5, random.Random(0))
    [2, 0, 4, 1, 3]
    """
    keys = [rng.getrandbits(64) for _ in range(count)]
    return sorted(range(count), key=keys.__getitem__)


def orders(count: int, rng: random.Random, epochs: int) -> Any:
    """Return what `shuffled` gives in so many epochs, one after the other, as an array with a row for each.

    >>> orders(5, random.Random(0), 2).tolist()[0]
    [2, 0, 4, 1, 3]
    """
    numpy, keys = require("numpy", extra="compiled"), epochs * count
    if type(rng) is not random.Random or not keys:  # another generator may draw long numbers in another way
        return numpy.array([shuffled(count, rng) for _ in range(epochs)], dtype=numpy.int64)
    sizes = [min(AT_ONCE, keys - k) for k in range(0, keys, AT_ONCE)]
    drawn = b"".join(rng.getrandbits(64 * n).to_bytes(8 * n, "little") for n in sizes)
    return numpy.argsort(numpy.frombuffer(drawn, "<u8").reshape(epochs, count), axis=1, kind="stable")
