"""An optimizer's step on arrays: the client's, and where shards take steps of their own the workers'."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

from micrograd_like._extras import require
from micrograd_like.compiler import native
from micrograd_like.compiler.spaces import padded
from micrograd_like.compiler.steps import rule_of, step_module
from micrograd_like.optim import Optimizer


class Rule:
    """An optimizer's step on arrays: its rule as machine code, which takes the same step on every processor."""

    def __init__(self, optimizer: Optimizer, moving: int) -> None:
        self.numpy = require("numpy", extra="compiled")
        self.moving, self.room = moving, padded(moving)
        self.states = len(optimizer.STATE)
        self.rooms: list[Any] = []  # for gradients; a step leaves its room empty
        rates = len(optimizer.rates(optimizer.steps))
        text = step_module(rule_of(optimizer, rates), moving, self.states, rates)
        key = native.digest(text)
        self.loaded = native.load(key, "update", lambda: native.machine_code(text, False), cached=True)
        self.update = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)(self.loaded.address)

    def numbers(self, rows: Sequence[Any]) -> Any:
        """The parameters' numbers and what the rule remembers of them, a row each, with room to whole eights."""
        numbers = self.numpy.zeros((1 + self.states, self.room))
        for place, row in zip(numbers, rows, strict=True):
            place[: self.moving] = row
        return numbers

    def step(self, numbers: Any, gradient: Any, rates: Any) -> None:
        """Move the numbers, in place."""
        try:
            room = self.rooms.pop()
        except IndexError:
            room = self.numpy.zeros(self.room)
        room[: self.moving] = gradient[: self.moving]
        rates = self.numpy.ascontiguousarray(rates)
        state = numbers[1:] if self.states else room
        self.update(*(array.__array_interface__["data"][0] for array in (numbers, room, state, rates)))
        self.rooms.append(room)
