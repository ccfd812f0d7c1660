"""Stage 12, runtime: machine code and the memory it works on."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Sequence
from typing import Any

from micrograd_like import ieee
from micrograd_like._extras import require
from micrograd_like.compiler import native
from micrograd_like.compiler.blocks import Parts, block_module, frames_size, groups_at_once
from micrograd_like.compiler.emit import Shape
from micrograd_like.compiler.entry import CALL, FIELDS, TRAIN, main_module
from micrograd_like.compiler.objects import layout
from micrograd_like.compiler.shuffling import Shuffler
from micrograd_like.engine import Value

BRIEF = 10**6  # parameters times samples of a call, some tens of microseconds, that is not worth letting others run
_ALIGNED = 128  # bytes
_PLACE = {name: 8 * k for k, name in enumerate(FIELDS)}
_CALL = struct.Struct("".join("d" if name in ("momentum", "decay") else "q" for name in CALL))


class Machine:
    """A program's machine code with its arrays; results are left in `losses`, `outputs` and `gradient`."""

    def __init__(self, parts: Parts, parameters: Sequence[Value], cached: bool, check: bool = False) -> None:
        self.numpy = numpy = require("numpy", extra="compiled")
        self.parts, self.parameters = parts, parameters
        self.cached, self.check = cached, check
        self.content = repr((parts, check)) if cached else ""
        self.loaded: dict[str, native.Loaded] = {}
        width = native.width()
        self.shapes = {1: Shape(1, 1, 8, 1), width: Shape(width, width, 4), 2 * width: Shape(2 * width, width, 4)}
        # The machine code moves eight parameters at a time, so that the arrays have room for a few more.
        self.all = [numpy.zeros(parts.parameters + 8) for _ in range(3)]
        self.params, self.gradient, self.velocity = (array[: parts.parameters] for array in self.all)
        self.shared = numpy.zeros(max(parts.shared_frame, 1))
        self.consts = numpy.array(parts.constants)
        self.tables = numpy.array(parts.rows, dtype=numpy.int64)
        self.values = numpy.array([id(p) for p in parameters], dtype=numpy.int64)
        self.frames = numpy.zeros(max(frames_size(parts, lanes) for lanes in self.shapes) + _ALIGNED // 8)
        self.rows = self.outputs = self.losses = numpy.empty(0)
        self.lent: tuple[Any, ...] = ()  # the arrays that the fields point to
        self.asked: list[int] = []  # what the fields say, in short
        self.fields = ctypes.create_string_buffer(8 * len(FIELDS))
        for name in ("params", "shared", "consts", "tables", "gradient", "velocity", "values"):
            self.set(name, _address(getattr(self, name)))
        self.set("frames", -(-_address(self.frames) // _ALIGNED) * _ALIGNED)
        self.fields_address = ctypes.addressof(self.fields)
        main = self.load("main", "run", lambda: main_module(parts, check), False)
        self.entry = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(main.address)
        self.shuffled = Shuffler(main.find("shuffle"), numpy).shuffled
        self.reader: Any = None
        if (places := layout()) is not None:
            # Called with the global lock held: no parameter changes while it is read.
            with_lock = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)
            self.reader, self.at_once = with_lock(main.find("read")), with_lock(main.find("read_and_run"))
            for name, value in places._asdict().items():
                self.set(name, value)

    def load(self, name: str, symbol: str, text: Callable[[], str], optimize: bool) -> native.Loaded:
        """A module's machine code; made when it is first needed."""
        if name not in self.loaded:
            key = native.digest(self.content, name) if self.cached else ""
            make = lambda: native.machine_code(text(), optimize)  # noqa: E731
            self.loaded[name] = native.load(key, symbol, make, self.cached)
        return self.loaded[name]

    def set(self, name: str, value: int) -> None:
        struct.pack_into("q", self.fields, _PLACE[name], value)

    def read(self) -> None:
        """Take the parameters' numbers over."""
        if self.reader is None or self.reader(self.fields_address) != len(self.parameters):
            self.params[:] = [_number(k, p) for k, p in enumerate(self.parameters)]

    def run(self, mode: int, arrays: list[Any], count: int) -> bool:
        """Run over all samples as one batch. Returns whether a number of the gradient, if asked for, is nan."""
        asked = [mode, count, *map(id, arrays)]
        if asked != self.asked:  # else the fields still say so
            self.ask(mode, arrays, count)
            self.asked = asked
        if self.reader is not None and count * len(self.parameters) < BRIEF:
            answer: int = self.at_once(self.fields_address)
            if answer >= 0:
                return answer > 0
        self.read()
        return bool(self.entry(self.fields_address))

    def train(
        self, arrays: list[Any], count: int, batch: int, orders: Any, rates: Any, momentum: float, decay: float
    ) -> None:
        """Take the steps of some epochs, over mini-batches.

        `orders`: an array with a row for each epoch, the numbers of the samples in the epoch's order; a row that is
        seen several times (of stride 0) is fine. `rates`: an array of learning rates, one for each step.
        """
        self.asked = []
        self.read()
        self.ask(TRAIN, arrays, count, batch, orders, rates, momentum, decay)
        self.entry(self.fields_address)

    def ask(
        self,
        mode: int,
        arrays: list[Any],
        count: int,
        batch: int = 0,
        orders: Any = None,
        rates: Any = None,
        momentum: float = 0.0,
        decay: float = 0.0,
    ) -> None:
        """Tell the machine code what to do."""
        batch = batch or count or 1
        per_epoch = -(-count // batch) or 1
        epochs, stride = (1, 0) if orders is None else (len(orders), orders.strides[0] // 8)
        self.reserve(count + (epochs - 1) * stride, epochs * per_epoch)
        self.lent = arrays, orders, rates, self.numpy.array([_address(a) for a in arrays], dtype=self.numpy.int64)
        lanes, block = self.block(min(batch, count)) if arrays else (1, 0)
        _CALL.pack_into(
            self.fields, 0, mode, count, batch, epochs * per_epoch, per_epoch, stride,
            _address(self.rows if orders is None else orders), _address(self.lent[-1]),
            0 if rates is None else _address(rates), block, lanes, groups_at_once(self.parts, lanes),
            momentum, decay,
        )  # fmt: skip

    def reserve(self, samples: int, steps: int) -> None:
        """Room for the results of so many samples, a few beyond the last, and so many steps."""
        if samples >= len(self.rows):
            self.rows = self.numpy.arange(samples + 1)
            self.outputs = self.numpy.empty((samples + max(self.shapes), self.parts.outputs))
            self.set("outputs", _address(self.outputs))
        if steps > len(self.losses):
            self.losses = self.numpy.empty(steps)
            self.set("losses", _address(self.losses))

    def block(self, batch: int) -> tuple[int, int]:
        """(lanes, the address of the code) for mini-batches of that size."""
        lanes = next((n for n in sorted(self.shapes) if n >= batch), max(self.shapes))
        text = lambda: block_module(self.parts, self.shapes[lanes], self.check)  # noqa: E731
        return lanes, self.load(f"block {lanes}", "block", text, lanes == 1 and not self.parts.rows).address


def _number(place: int, parameter: Value) -> float:
    """A parameter's number, as Python reads it. Raises TypeError where it has none."""
    try:
        return ieee.as_float(ieee.number(parameter.data))
    except (AttributeError, TypeError):
        found = repr(parameter.data)[:60] if hasattr(parameter, "data") else "none (its .data was deleted)"
        raise TypeError(f"expected a real number in parameter {place} ({parameter.label!r}), got {found}") from None


def _address(array: Any) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
