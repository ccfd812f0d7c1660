"""The order that Python's own `random.Random.shuffle` gives, at the machine's speed.

Python draws, for each place from the last one down, random bits until they name one of the places up to it. The bits of
a few thousand draws are asked for at once, and machine code does the rest.
"""

from __future__ import annotations

import ctypes
import random
from typing import Any


class Shuffler:
    """Orders of numbers, each shuffled from the last one as `rng.shuffle` would; the generator is left as that would."""

    def __init__(self, address: int, numpy: Any) -> None:
        self.numpy = numpy
        self.function = ctypes.CFUNCTYPE(
            ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64
        )(address)
        self.works = True
        mine, pythons, expected = random.Random(0), random.Random(0), list(range(99))
        orders = self.shuffled(mine, numpy.arange(99), 1)
        pythons.shuffle(expected)
        self.works = orders.tolist() == [expected] and mine.getstate() == pythons.getstate()

    def shuffled(self, rng: random.Random, order: Any, count: int) -> Any:
        """An array of `count` orders, the first one shuffled from the given one, each of the others from the last."""
        orders = self.numpy.empty((count, len(order)), dtype=self.numpy.int64)
        if not self.works or type(rng) is not random.Random or len(order) >= 2**31:
            numbers = order.tolist()
            for row in orders:
                rng.shuffle(numbers)
                row[:] = numbers
            return orders
        state, used, drawn, start = rng.getstate(), 0, 0, 0
        address = orders.__array_interface__["data"][0]
        for k, row in enumerate(orders):
            taken = -1
            while taken < 0:
                row[:] = orders[k - 1] if k else order
                if drawn:
                    taken = self.function(start + 4 * used, drawn - used, address + 8 * k * len(order), len(order))
                if taken < 0:  # draw the same words again, and more
                    drawn = 2 * drawn + 3 * orders.size // 2 + 64
                    rng.setstate(state)
                    words = self.numpy.frombuffer(rng.getrandbits(32 * drawn).to_bytes(4 * drawn, "little"), "uint8")
                    start = words.__array_interface__["data"][0]
            used += taken
        rng.setstate(state)
        if used:
            rng.getrandbits(32 * used)
        return orders
