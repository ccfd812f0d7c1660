"""Stage 13, runtime: a program's machine code, and the memory that each call works on.

Calls share the code and what never changes; everything that a call writes to is in a workspace of its own. So calls from
several threads run side by side.
"""

from __future__ import annotations

import ctypes
import struct
import threading
from collections.abc import Callable, Sequence
from typing import Any

from micrograd_like import ieee, jobs
from micrograd_like._extras import require
from micrograd_like.compiler import host, native
from micrograd_like.compiler.arrays import pick_error
from micrograd_like.compiler.blocks import Parts, block_module, frames_size, groups_at_once
from micrograd_like.compiler.entry import main_module
from micrograd_like.compiler.fields import CALL, FIELDS, TRAIN
from micrograd_like.compiler.memory import Shape
from micrograd_like.compiler.objects import layout
from micrograd_like.compiler.shards import CHUNKS, MEETING, MOST_CHUNKS, room, shard_size, smallest_shard
from micrograd_like.compiler.spaces import padded
from micrograd_like.compiler.steps import idle, rule_of, step_module
from micrograd_like.compiler.trace import LENGTH, Trace
from micrograd_like.engine import Value
from micrograd_like.optim import Optimizer

BRIEF = 10**6  # parameters times samples of a call, some tens of microseconds, that is not worth letting others run
_ALIGNED = 128  # bytes
_PLACE = {name: 8 * k for k, name in enumerate(FIELDS)}
_CALL = struct.Struct("q" * len(CALL))


class Machine:
    """A program's machine code, made where it is first needed."""

    def __init__(
        self, parts: Parts, parameters: Sequence[Value], cached: bool, check: bool = False, width: int | None = None
    ) -> None:
        self.numpy = numpy = require("numpy", extra="compiled")
        self.size = parts.parameters
        self.mixes = LENGTH in parts.shapes  # samples of different lengths, which are put in an order
        self.shard = smallest_shard(parts)
        self.parts, self.parameters = parts, parameters
        self.cached, self.check = cached, check
        self.content = repr((parts, check)) if cached else ""
        self.loaded: dict[str, native.Loaded] = {}
        self.loading = threading.RLock()
        width = width or host.width()
        self.shapes = {1: Shape(1, 8, 1), width: Shape(width, 4)}
        numbers = parts.numbers
        self.consts = self.aligned(len(numbers))
        self.consts[:] = numbers
        self.tables = numpy.array(parts.rows, dtype=numpy.int64)
        self.values = numpy.array([id(p) for p in parameters], dtype=numpy.int64)
        main = self.load(f"main {width}", "run", lambda: main_module(parts, width, check), False)
        # Brief calls hold the global lock: no parameter changes while it is read, and letting others run takes longer.
        quick, long = (kind(ctypes.c_int64, ctypes.c_void_p) for kind in (ctypes.PYFUNCTYPE, ctypes.CFUNCTYPE))
        self.entry, self.quick, self.look = long(main.address), quick(main.address), quick(main.find("look"))
        self.help = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(main.find("help"))
        self.reader: Any = None
        self.places = layout()
        if self.places is not None and len(parameters) == parts.parameters:
            self.reader, self.read_and_run = quick(main.find("read")), quick(main.find("read_and_run"))
        self.free: list[Workspace] = []

    def aligned(self, count: int) -> Any:
        """So many zeros, from the beginning of a line of the cache on."""
        room = self.numpy.zeros(count + _ALIGNED // 8)
        start = -_address(room) % _ALIGNED // 8
        return room[start : start + count]

    def take(self) -> Workspace:
        """Memory for a call, to be given back."""
        try:
            return self.free.pop()
        except IndexError:
            return Workspace(self)

    def load(self, name: str, symbol: str, text: Callable[[], str], optimize: bool) -> native.Loaded:
        """A module's machine code."""
        if name not in self.loaded:
            with self.loading:
                if name not in self.loaded:
                    key = native.digest(self.content, name) if self.cached else ""
                    make = lambda: native.machine_code(text(), optimize)  # noqa: E731
                    self.loaded[name] = native.load(key, symbol, make, self.cached)
        return self.loaded[name]

    def block(self, batch: int) -> tuple[int, int]:
        """(lanes, the address of the code) for mini-batches of that size."""
        lanes = next((n for n in sorted(self.shapes) if n >= batch), max(self.shapes))
        text = lambda: block_module(self.parts, self.shapes[lanes], self.check)  # noqa: E731
        return lanes, self.load(f"block {lanes}", "block", text, lanes == 1 and not self.parts.irregular).address

    def step(self, rule: Trace, states: int, rates: int) -> int:
        """The address of an optimizer's step by that rule."""
        text = step_module(rule, len(self.parameters), states, rates)
        return self.load(f"step\n{text}", "update", lambda: text, False).address


class Workspace:
    """The memory of one call; its results are left in `losses`, `outputs` and `gradient`.

    A thread that helps has a desk of its own: frames, the adjoints of the shared section, and a stack of sums.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.numpy = numpy = machine.numpy
        self.aligned = machine.aligned
        parts = machine.parts
        self.params = self.aligned(padded(parts.parameters))[: parts.parameters]
        self.sums = self.aligned(room(parts.parameters))  # the gradient, filled up to whole eights, and the losses' sum
        self.gradient = self.sums[: parts.parameters]
        self.state = numpy.zeros(0)
        self.idle: list[bool] = []  # for each state of the optimizer whether its rule leaves it alone
        self.shared = self.aligned(parts.once.slots)
        self.frames = max(frames_size(parts, lanes) for lanes in machine.shapes)
        self.desks: list[list[Any]] = []
        self.results = self.arrivals = self.rows = self.outputs = self.losses = numpy.empty(0)
        self.meeting = self.aligned(MEETING)
        self.calls = 0  # in which others could help
        # What the fields point to: the samples, with the addresses of their arrays, their orders, an optimizer's rates.
        self.arrays: list[Any] = []
        self.pointers: Any = None
        self.orders: Any = None
        self.rates: Any = None
        self.asked: list[int] = []  # what the fields say, in short
        self.at: Any = None  # the vector that is used in the place of the parameters' numbers
        self.fields = ctypes.create_string_buffer(8 * len(FIELDS))
        for name in ("params", "shared"):
            self.set(name, _address(getattr(self, name)))
        self.set("gradient", _address(self.sums))
        self.set("meeting", _address(self.meeting))
        for name in ("consts", "tables", "values"):
            self.set(name, _address(getattr(machine, name)))
        if machine.places is not None:
            for name, value in machine.places._asdict().items():
                self.set(name, value)
        self.address = ctypes.addressof(self.fields)
        self.furnish(1, 0, 1)

    def furnish(self, threads: int, depth: int, chunks: int) -> None:
        """Desks for so many threads, with stacks so deep, and room for the sums of so many chunks."""
        parts = self.machine.parts
        size = room(parts.parameters)
        before = len(self.desks)
        while len(self.desks) < threads:
            once = parts.once.slots + parts.once.temporaries
            self.desks.append([self.aligned(self.frames), self.aligned(once), self.numpy.empty(0)])
        grown = before < threads
        for desk in self.desks[:threads]:
            if len(desk[2]) < depth * size:
                desk[2], grown = self.aligned(depth * size), True
        if grown:
            self.table = self.numpy.array([_address(x) for desk in self.desks for x in desk], dtype=self.numpy.int64)
            self.set("desks", _address(self.table))
        if len(self.results) < (chunks - 1) * size:
            self.results = self.aligned((chunks - 1) * size)
            self.set("results", _address(self.results))
        if len(self.arrivals) < chunks and threads > 1:
            self.arrivals = self.aligned(chunks)
            self.set("arrivals", _address(self.arrivals))

    def set(self, name: str, value: int) -> None:
        struct.pack_into("q", self.fields, _PLACE[name], value)

    def read(self) -> None:
        """Take the parameters' numbers over. Raises TypeError where one has none."""
        machine = self.machine
        if len(machine.parameters) != len(self.params):
            raise TypeError("a portable program has no parameters of its own; give their numbers as at=…")
        if machine.reader is None or machine.reader(self.address) != len(machine.parameters):
            self.params[:] = [_number(k, p) for k, p in enumerate(machine.parameters)]

    def point(self, at: Any) -> None:
        """Let the parameters' numbers be those of an array of the right kind; None: those that were read."""
        if at is not self.at:
            self.set("params", _address(self.params if at is None else at))
            self.at = at

    def run(self, mode: int, arrays: list[Any], count: int, at: Any = None, threads: int = 1, whole: int = 0) -> bool:
        """Run over all samples as one batch. Returns whether a number of the gradient, if asked for, is nan.

        `whole`: the size of the batch that these samples are a part of, by which each one's gradient is divided.

        Raises:
            IndexError: a sample's number picks (`gather`) what is not there.
        """
        asked = [mode, count, threads, whole, *map(id, arrays)]
        if asked != self.asked:  # else the fields still say so
            if asked[:4] == self.asked[:4] and not self.machine.mixes:
                self.lend(arrays)
            else:
                self.ask(mode, arrays, count, threads=threads, whole=whole)
            self.asked = asked
        if at is not self.at:
            self.point(at)
        return self.again(count)

    def again(self, count: int) -> bool:
        """Run as before: on the same arrays, whose numbers may be others."""
        machine = self.machine
        if machine.parts.gathers:
            self.check(count)
        if self.helpers:
            if self.at is None:
                self.read()
            return self.together() != 0
        brief = count * machine.size < BRIEF
        if self.at is None:
            if brief and machine.reader is not None and (answer := machine.read_and_run(self.address)) >= 0:
                return bool(answer)
            self.read()
        return bool((machine.quick if brief else machine.entry)(self.address))

    def give(self) -> None:
        """Give the memory back: the call is over. After an error or an interrupt it is not given back, but forgotten."""
        self.machine.free.append(self)

    def lend(self, arrays: list[Any]) -> None:
        """Let the samples be those of other arrays, as many as before."""
        self.arrays = arrays
        struct.pack_into(f"{len(arrays)}q", self.pointers, 0, *map(_address, arrays))

    def together(self) -> int:
        """Call the machine code, and other threads to help."""
        self.calls += 1
        self.set("call", self.calls)
        machine, address, call = self.machine, self.address, self.calls
        # A task holds on to this memory: it may come when the call is over.
        jobs.helpers().invite([lambda k=k: machine.help(self.address, k, call) for k in range(1, self.helpers + 1)])  # type: ignore[misc]
        answer: int = machine.entry(address)
        return answer

    def check(self, count: int) -> None:
        """Raise IndexError where a sample's number picks (`gather`) what is not there."""
        parts = self.machine.parts
        if parts.gathers and (found := self.machine.look(self.address)) < count:
            raise pick_error(parts.shapes, parts.gathers, self.arrays, found)

    def train(
        self,
        arrays: list[Any],
        count: int,
        batch: int,
        orders: Any,
        optimizer: Optimizer,
        rates: Any,
        threads: int = 1,
    ) -> None:
        """Take the steps of some epochs, over mini-batches.

        `orders`: an array with a row for each epoch, the numbers of the samples in the epoch's order; `rates`: one with
        a row for each step, the numbers that the optimizer's rule reads. Rows seen several times (of stride 0) are fine.

        Raises:
            TraceError: the rule cannot be recorded.
        """
        self.asked = []
        self.point(None)
        self.read()
        names, size, rule = optimizer.STATE, padded(len(self.params)), rule_of(optimizer, rates.shape[1])
        if self.state.size < size * len(names):
            self.state = self.aligned(size * len(names))
        self.idle = idle(rule, len(names))
        for k, name in enumerate(names):
            if self.idle[k]:
                continue
            state = getattr(optimizer, name)
            found = self.numpy.array(state)
            if found.dtype.kind not in "fi":
                found = [ieee.as_float(x) for x in state]
            self.state[k * size : k * size + len(state)] = found
        self.ask(
            TRAIN, arrays, count, batch, orders, rates, self.machine.step(rule, len(names), rates.shape[1]), threads
        )
        self.check(count)
        if self.helpers:
            self.together()
        else:
            self.machine.entry(self.address)

    def states(self, optimizer: Optimizer) -> list[list[float]]:
        """What the optimizer's rule remembers after the steps that were taken."""
        size, count = padded(len(self.params)), len(self.params)
        return [
            getattr(optimizer, name) if self.idle[k] else self.state[k * size : k * size + count].tolist()
            for k, name in enumerate(optimizer.STATE)
        ]

    def ask(
        self,
        mode: int,
        arrays: list[Any],
        count: int,
        batch: int = 0,
        orders: Any = None,
        rates: Any = None,
        update: int = 0,
        threads: int = 1,
        whole: int = 0,
    ) -> None:
        """Tell the machine code what to do."""
        batch = batch or count or 1
        per_epoch = -(-count // batch) or 1
        together = min(batch, count)
        size = max(together, whole)  # of the batch: shards and lanes are those of the whole one
        orders = self.by_length(arrays, batch, shard_size(self.machine.shard, size), orders)
        epochs, stride = (1, 0) if orders is None else (len(orders), orders.strides[0] // 8)
        self.reserve(count + (epochs - 1) * stride, epochs * per_epoch)
        shards = -(-together // shard_size(self.machine.shard, size)) or 1
        threads = min(threads, shards)
        chunk = 1 << 62
        depth = (shards - 1).bit_length()
        if threads > 1:
            depth = 0
            while shards >> depth > min(2 * CHUNKS * threads, MOST_CHUNKS) or shards >> depth + 1 >= CHUNKS * threads:
                depth += 1
            chunk = 1 << depth
        self.helpers = threads - 1
        self.furnish(threads, depth, 1 if threads == 1 else -(-shards // chunk))
        self.arrays, self.orders, self.rates = arrays, orders, rates
        self.pointers = self.numpy.array([_address(a) for a in arrays], dtype=self.numpy.int64)
        lanes, block = self.machine.block(size) if arrays else (1, 0)
        _CALL.pack_into(
            self.fields, 0, mode, count, whole, batch, epochs * per_epoch, per_epoch, stride,
            _address(self.rows if orders is None else orders), _address(self.pointers), block, lanes,
            groups_at_once(self.machine.parts, lanes), chunk, 0, update,
            0 if rates is None else _address(rates), 0 if rates is None else rates.strides[0] // 8, _address(self.state),
        )  # fmt: skip

    def by_length(self, arrays: list[Any], batch: int, shard: int, orders: Any) -> Any:
        """Orders of the samples in which those of a shard that have the same length lie side by side."""
        numpy = self.numpy
        if not self.machine.mixes:
            return orders
        lengths = arrays[-1]
        if orders is None:
            orders = numpy.arange(len(lengths))[None]
        place = numpy.arange(orders.shape[1])
        shards = place // batch * (batch // shard + 1) + place % batch // shard
        again = numpy.lexsort((lengths[orders], numpy.broadcast_to(shards, orders.shape)), axis=-1)
        return numpy.take_along_axis(orders, again, axis=1)

    def outputs_of(self, count: int) -> Any:
        """What the function returned for each sample of a call, in the order in which they were given."""
        outputs = self.outputs[: count or 1].copy()
        if self.orders is not None:
            outputs[self.orders[0]] = outputs.copy()
        return outputs

    def reserve(self, samples: int, steps: int) -> None:
        """Room for the results of so many samples, a few beyond the last, and so many steps."""
        if samples >= len(self.rows):
            self.rows = self.numpy.arange(samples + 1)
            self.outputs = self.numpy.empty((samples + max(self.machine.shapes), self.machine.parts.outputs))
            self.set("outputs", _address(self.outputs))
        if steps > len(self.losses):
            self.losses = self.numpy.empty(steps)
            self.set("losses", _address(self.losses))


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
