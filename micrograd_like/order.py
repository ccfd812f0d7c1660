"""The order in which an epoch takes the samples, for a loop in Python and for compiled ones alike."""

from __future__ import annotations

import random


def shuffled(count: int, rng: random.Random) -> list[int]:
    """Return the numbers from 0 to count - 1 in a random order: sorted by a random key of 64 bits for each.

    Equal keys, should there be some, stay in order. A program can draw the same keys and sort them at its own speed.

    >>> shuffled(5, random.Random(0))
    [2, 0, 4, 1, 3]
    """
    keys = [rng.getrandbits(64) for _ in range(count)]
    return sorted(range(count), key=keys.__getitem__)
