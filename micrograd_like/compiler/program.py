"""The last stage: a compiled program, its arrays, and what users call."""

from __future__ import annotations

import ctypes
import random
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite, prod
from typing import Any

from micrograd_like import ieee
from micrograd_like._extras import require
from micrograd_like.compiler import loops, native
from micrograd_like.compiler.adjoint import adjoint
from micrograd_like.compiler.driver import FIELDS, FORWARD, GRADIENT, TRAIN, Nests, Parts, block_module, main_module
from micrograd_like.compiler.emit import Shape
from micrograd_like.compiler.flow import Section, flow
from micrograd_like.compiler.nest import lower
from micrograd_like.compiler.trace import Trace, check_parameters, trace
from micrograd_like.engine import Value
from micrograd_like.optim import SGD

FRAMES = 1 << 18  # bytes of frames that are worked on at once: about what a core's second cache holds


def compile(
    function: Callable[..., Any],
    parameters: Iterable[Value],
    /,
    *,
    cached: bool = True,
    **inputs: int | tuple[int, ...],
) -> Program:
    """Trace a function once, recover its loops, differentiate them and turn them into machine code.

    >>> import micrograd_like as mg
    >>> model = mg.MLP(2, [3, 1], rng=0)
    >>> program = mg.compile(lambda x, y: mg.mse_loss(model(x), y), model.parameters(), x=2, y=())
    >>> loss, gradient = program.gradient([[0.5, -1.0], [2.0, 1.0]], [1.0, -1.0])
    >>> gradient.shape
    (13,)

    Args:
        function: computes one sample's loss, or outputs, from its inputs. It may return a value, or lists or tuples of
            values; the loss is the only one, or the first of a tuple. It is called once, with symbols.
        parameters: the Values to differentiate by. Their numbers are read at every call of the program.
        cached: whether machine code is kept on disk (in the user's cache folder, or the one that the environment
            variable MICROGRAD_LIKE_CACHE names; "off" there switches the cache off everywhere).
        inputs: per argument its size, for a list of that many numbers, or its shape, for nested lists; () for a
            single number. Without inputs the function is a loss over a whole data set, its numbers being constants.

    Raises:
        TraceError: the function asks for what a trace cannot record, such as `if x > 0`; the error names the line.
        ImportError: llvmlite or NumPy is not installed.
    """
    require("numpy", extra="compiled")
    native.llvm()
    checked = check_parameters(parameters)
    shapes = {name: _shape(name, shape) for name, shape in inputs.items()}
    recorded = trace(function, checked, shapes)
    return Program(build(recorded), recorded, checked, cached)


def build(recorded: Trace) -> Parts:
    """All stages from the trace to what machine code is made from."""
    flowing = flow(recorded)
    constants = flowing.constants
    texts: list[str] = []

    def nests(section: Section) -> Nests:
        terms = loops.recover(section)
        texts.append(loops.show(terms, constants))
        return Nests(lower(terms, constants), adjoint(terms, constants), section.slots, section.outputs)

    widths = tuple(prod(shape) for shape in recorded.inputs.values())
    shared, sample = nests(flowing.shared), nests(flowing.sample)
    parts = Parts(shared, sample, widths, recorded.parameters, constants, len(recorded.outputs))
    parts.text = _pseudo_code(recorded, *texts)
    return parts


def _pseudo_code(recorded: Trace, shared: str, sample: str) -> str:
    """The loops with a heading that says what the names mean."""
    start, inputs = 0, []
    for name, shape in recorded.inputs.items():
        inputs.append(f"{name} is x[{start}]" + (f" … x[{start + prod(shape) - 1}]" if prod(shape) > 1 else ""))
        start += prod(shape)
    count = len(recorded.operations)
    lines = [f"# {count} scalar operations; p: {recorded.parameters} parameters, v and s: values"]
    if inputs:
        lines.append(f"# a sample's inputs: {', '.join(inputs)}")
    if shared:
        lines += ["# once for all samples, with s for v" if inputs else "# once", shared]
    if sample:
        lines += ["# for each sample", sample]
    return "\n".join(lines)


def _shape(name: str, shape: Any) -> tuple[int, ...]:
    sizes = (shape,) if hasattr(shape, "__index__") else shape
    if not isinstance(sizes, tuple) or not all(
        hasattr(n, "__index__") and not isinstance(n, bool) and n >= 1 for n in sizes
    ):
        raise ValueError(f"expected {name} as a size of at least 1 or a tuple of such sizes, got {shape!r:.60}")
    return tuple(int(n) for n in sizes)


class Program:
    """A compiled function. Inputs are arrays, or lists, with one row for each sample; numbers are 64-bit floats.

    Its parameters are the Values it was compiled with: each call reads them, `sgd` moves them. A program may be shared
    by threads, which take turns. It pickles as its loops, and is compiled again where it is loaded.
    """

    def __init__(self, parts: Parts, recorded: Trace, parameters: Sequence[Value], cached: bool = True) -> None:
        self.parameters = list(parameters)
        self._cached = cached
        self._parts = parts
        self._shapes = dict(recorded.inputs)
        self._structure = recorded.structure
        self._has_loss = recorded.has_loss
        self._gathers = sorted(set(recorded.gathers))
        self._prepare()

    def _prepare(self) -> None:
        self._lock = threading.Lock()
        self._machine: _Machine | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k not in ("_lock", "_machine")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._parts.__post_init__()
        self._prepare()

    def __str__(self) -> str:
        return self._parts.text

    def __repr__(self) -> str:
        inputs = "".join(f", {name}={shape}" for name, shape in self._shapes.items())
        return f"Program({len(self.parameters)} parameters{inputs})"

    def __call__(self, *inputs: Any, **named: Any) -> float:
        """The mean loss over the samples. The losses are added from left to right and divided by their number.

        Raises:
            TypeError: the program has no loss, but several outputs.
            ValueError: the inputs' shapes are not those the program was compiled for.
            IndexError: an input that picks a value (`gather`) is not one of the numbers from 0 on.
        """
        self._needs_loss()
        arrays, count = self._arrays(inputs, named)
        with self._lock:
            machine = self._ready()
            machine.run(FORWARD, arrays, count)
            return float(machine.losses[0])

    def losses(self, *inputs: Any, **named: Any) -> Any:
        """The loss of each sample, as an array. Errors as for a call."""
        self._needs_loss()
        outputs = self._run_outputs(inputs, named)
        return outputs[:, 0].copy()

    def outputs(self, *inputs: Any, **named: Any) -> Any:
        """What the function returns, for each sample: an array whose first axis counts samples, or a list of those.

        A value becomes one axis, a list of values two; other lists and tuples become lists of such arrays. A program
        without inputs has no axis of samples. Errors as for a call.
        """
        outputs = self._run_outputs(inputs, named)
        return _structured(self._structure, outputs if self._shapes else outputs[0])

    def gradient(self, *inputs: Any, **named: Any) -> tuple[float, Any]:
        """(mean loss, its gradient as an array in the order of the parameters). No `.grad` changes. Errors as a call.

        Samples are summed in a fixed order: the same call gives the same bits.
        """
        self._needs_loss()
        return self._gradient(*self._arrays(inputs, named))[:2]

    def _gradient(self, arrays: list[Any], count: int) -> tuple[float, Any, Any]:
        """(mean loss, gradient, outputs)."""
        with self._lock:
            machine = self._ready()
            machine.run(GRADIENT, arrays, count)
            return float(machine.losses[0]), machine.gradient.copy(), machine.outputs[: count or 1].copy()

    def sgd(
        self,
        *inputs: Any,
        lr: float | Callable[[int], float],
        epochs: int = 1,
        batch_size: int | None = None,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        seed: int | random.Random = 0,
        shuffle: bool = True,
        **named: Any,
    ) -> Any:
        """Train by mini-batch SGD, with the rule and the arguments of `SGD` and the order of samples of `fit`.

        The losses of all steps, as an array, each before its step. With shuffle=False every epoch takes the samples in
        the order in which they are given. The loop over an epoch's mini-batches is machine
        code. Parameters are written back after every epoch, so that Ctrl-C between two keeps what was learned. A
        program without inputs takes `epochs` steps.

        Raises:
            ValueError: a number is out of its range; nothing has been trained. Or the loss or a parameter stopped being
                finite; the parameters are those before that epoch.
        """
        self._needs_loss()
        arrays, count = self._arrays(inputs, named)
        _check_count("epochs", epochs)
        if batch_size is not None:
            _check_count("batch_size", batch_size)
        optimizer = SGD(self.parameters, lr, momentum, weight_decay)
        training = Training(self, optimizer, arrays, count, batch_size or max(count, 1))
        rng = seed if isinstance(seed, random.Random) else random.Random(seed)
        order = list(range(count))
        losses = []
        for _ in range(epochs):
            if shuffle:
                rng.shuffle(order)
            losses.append(training.epoch(order)[0])
        return require("numpy", extra="compiled").concatenate(losses)

    def _needs_loss(self) -> None:
        if not self._has_loss:
            raise TypeError(
                f"this program has {self._parts.outputs} outputs and no loss: call program.outputs(…), or compile a "
                "function that returns the loss alone or first in a tuple"
            )

    def _run_outputs(self, inputs: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
        arrays, count = self._arrays(inputs, named)
        with self._lock:
            machine = self._ready()
            machine.run(FORWARD, arrays, count)
            return machine.outputs[: count or 1].copy()

    def _arrays(self, inputs: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[list[Any], int]:
        """The inputs as arrays of doubles, and how many samples they have; checked."""
        import numpy

        names = list(self._shapes)
        if len(inputs) > len(names) or named.keys() - set(names[len(inputs) :]):
            raise TypeError(
                f"expected the inputs {', '.join(names) or '(none)'}; got {len(inputs)} and {sorted(named)}"
            )
        given = dict(zip(names, inputs, strict=False)) | dict(named)
        if missing := [name for name in names if name not in given]:
            raise TypeError(f"missing inputs: {', '.join(missing)}")
        arrays = []
        for name, shape in self._shapes.items():
            array = numpy.ascontiguousarray(given[name], dtype=numpy.float64)
            if array.shape[1:] != shape or array.ndim != 1 + len(shape):
                expected = ", ".join(["samples", *map(str, shape)])
                raise ValueError(f"expected {name} of the shape ({expected}), got {array.shape}")
            arrays.append(array)
        count = len(arrays[0]) if arrays else 0
        for name, array in zip(names, arrays, strict=True):
            if len(array) != count:
                raise ValueError(f"expected as many samples in {name} as in {names[0]}, {count}; got {len(array)}")
        if arrays and not count:
            raise ValueError("expected at least one sample, got none")
        self._check_gathers(arrays)
        return arrays, count

    def _check_gathers(self, arrays: list[Any]) -> None:
        import numpy

        for place, size in self._gathers:
            start = 0
            for name, array in zip(self._shapes, arrays, strict=True):
                flat = array.reshape(len(array), -1)
                if start <= place < start + flat.shape[1]:
                    column = flat[:, place - start]
                    wrong = ~((column >= 0) & (column < size) & (column == numpy.floor(column)))
                    if wrong.any():
                        row = int(wrong.argmax())
                        raise IndexError(
                            f"sample {row}: {name} picks one of {size} values, expected a whole number from 0 to "
                            f"{size - 1}, got {column[row]}"
                        )
                start += flat.shape[1]

    def _ready(self) -> _Machine:
        """The machine, with the parameters as they are now."""
        if self._machine is None:
            self._machine = _Machine(self._parts, self._cached)
        self._machine.read(self.parameters)
        return self._machine


def _structured(structure: Any, outputs: Any) -> Any:
    if isinstance(structure, int):
        return outputs[..., structure]
    if structure and all(isinstance(x, int) for x in structure):
        return outputs[..., structure[0] : structure[-1] + 1]
    return [_structured(x, outputs) for x in structure]


def _check_count(name: str, count: Any) -> None:
    if not hasattr(count, "__index__") or isinstance(count, bool) or count < 1:
        raise ValueError(f"expected {name} as a whole number of at least 1, got {count!r:.60}")


class Training:
    """A training run that is done epoch by epoch."""

    def __init__(self, program: Program, optimizer: SGD, arrays: list[Any], count: int, batch_size: int) -> None:
        self.program, self.optimizer, self.arrays, self.count = program, optimizer, arrays, count
        self.batch_size = batch_size

    def epoch(self, order: Sequence[int]) -> tuple[Any, Any]:
        """Use every sample once, in that order: (the loss of each step, the outputs of each sample in that order).

        Raises:
            ValueError: the loss or a parameter stopped being finite; nothing has changed.
        """
        import numpy

        program, optimizer = self.program, self.optimizer
        steps = -(-self.count // self.batch_size) or 1
        rates = []
        for _ in range(steps):
            rates.append(optimizer.learning_rate())
            optimizer.steps += 1
        with program._lock:
            machine = program._ready()
            machine.velocity[:] = [float(v) for v in optimizer.velocities]
            machine.run(
                TRAIN, self.arrays, self.count, batch=self.batch_size, order=order, rates=rates,
                momentum=optimizer.momentum, decay=optimizer.weight_decay,
            )  # fmt: skip
            losses = machine.losses[:steps].copy()
            if not (numpy.isfinite(losses).all() and numpy.isfinite(machine.params).all()):
                optimizer.steps -= steps
                step = int(numpy.isfinite(losses).argmin()) if not numpy.isfinite(losses).all() else steps - 1
                machine.forget()
                raise ValueError(
                    f"step {optimizer.steps + step}: the loss is {losses[step]} or a parameter stopped being finite; "
                    "the parameters are those before this epoch; is the learning rate too large?"
                )
            machine.write(program.parameters)
            if optimizer.momentum:
                optimizer.velocities = machine.velocity.tolist()
            return losses, machine.outputs[: self.count or 1].copy()


class _Machine:
    """Machine code and the arrays it works on."""

    def __init__(self, parts: Parts, cached: bool, check: bool = False) -> None:
        import numpy

        self.numpy = numpy
        self.parts = parts
        width = native.width()
        self.shapes = {"wide": Shape(2 * width, width, 4), "middle": Shape(width, width, 4), "one": Shape(1, 1, 8, 1)}
        self.content = repr((parts, check)) if cached else ""
        self.cached, self.check = cached, check
        self.loaded: dict[str, native.Loaded] = {}
        # The machine code moves eight parameters at a time, so that the arrays have room for a few more.
        self.all = [numpy.zeros(parts.parameters + 8) for _ in range(3)]
        self.params, self.gradient, self.velocity = (array[: parts.parameters] for array in self.all)
        self.shared = numpy.zeros(max(parts.shared_frame, 1))
        self.consts = numpy.array(parts.constants)
        self.tables = numpy.array(parts.rows, dtype=numpy.int64)
        frame = 8 * parts.frame * self.shapes["wide"].lanes
        self.most = max(1, FRAMES // frame)
        self.frames_memory = numpy.zeros(self.most * frame // 8 + 16)
        address = self.frames_memory.__array_interface__["data"][0]
        self.frames = -(-address // 128) * 128
        self.capacity = 0
        self.steps = 0
        self.order: Any = None
        self.known: list[Any] = []
        self.fields = numpy.zeros(len(FIELDS), dtype=numpy.int64)
        self.place = {name: k for k, name in enumerate(FIELDS)}
        for name in ("params", "shared", "consts", "tables", "gradient", "velocity"):
            self.set(name, _address(getattr(self, name)))
        self.set("frames", self.frames)
        self.set("most", self.most)
        lanes = self.shapes["wide"].lanes, self.shapes["middle"].lanes
        self.entry = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(
            self.load("main", "run", lambda: main_module(parts, lanes, check), False)
        )
        self.fields_address = _address(self.fields)

    def load(self, name: str, symbol: str, text: Callable[[], str], optimize: bool) -> int:
        """The address of a module's function; made when it is first needed."""
        if name not in self.loaded:
            key = native.digest(self.content, name) if self.cached else ""
            make = lambda: native.machine_code(text(), optimize)  # noqa: E731
            self.loaded[name] = native.load(key, symbol, make, self.cached)
        return self.loaded[name].address

    def set(self, name: str, value: int) -> None:
        self.fields[self.place[name]] = value

    def read(self, parameters: Sequence[Value]) -> None:
        """Take the parameters' numbers over, if any has changed."""
        now = [p.data for p in parameters]
        if now != self.known:
            self.params[:] = [ieee.as_float(x) for x in now]
            self.known = now

    def write(self, parameters: Sequence[Value]) -> None:
        self.known = self.params.tolist()
        for p, x in zip(parameters, self.known, strict=True):
            p.data = x

    def forget(self) -> None:
        self.known = []

    def run(
        self,
        mode: int,
        arrays: list[Any],
        count: int,
        batch: int | None = None,
        order: Sequence[int] | None = None,
        rates: Sequence[float] = (),
        momentum: float = 0.0,
        decay: float = 0.0,
    ) -> None:
        """Run the driver over all samples, in mini-batches where it trains."""
        numpy = self.numpy
        batch = batch or count or 1
        steps = -(-count // batch) or 1
        if count > self.capacity or self.capacity == 0:
            self.capacity = max(count, 1)
            self.rows = numpy.arange(self.capacity)
            self.outputs = numpy.empty((self.capacity, self.parts.outputs))
            self.set("outputs", _address(self.outputs))
        if steps > self.steps:
            self.steps = steps
            self.losses = numpy.empty(steps)
            self.set("losses", _address(self.losses))
        rows = self.rows if order is None else numpy.array(order, dtype=numpy.int64)
        pointers = numpy.array([_address(a) for a in arrays], dtype=numpy.int64)
        learning = numpy.array(rates, dtype=numpy.float64)
        if arrays:
            self.blocks(count, batch)
        for name, value in {
            "samples": count, "batch": batch, "steps": steps, "mode": mode, "rows": _address(rows),
            "inputs": _address(pointers), "rates": _address(learning),
        }.items():  # fmt: skip
            self.set(name, value)
        doubles = self.fields.view(numpy.float64)
        doubles[self.place["momentum"]], doubles[self.place["decay"]] = momentum, decay
        self.lent = (arrays, rows, pointers, learning)  # alive as long as the fields point to them
        self.entry(self.fields_address)

    def blocks(self, count: int, batch: int) -> None:
        """Compile the kinds of blocks that mini-batches of this size need."""
        wide, middle = self.shapes["wide"].lanes, self.shapes["middle"].lanes
        for n in {min(batch, count), count % batch or batch}:
            needed = {"wide": n // wide, "middle": n % wide // middle, "one": n % middle}
            for name, groups in needed.items():
                if groups:
                    shape = self.shapes[name]
                    text = lambda shape=shape: block_module(self.parts, shape, self.check)  # noqa: E731
                    self.set(name, self.load(name, "block", text, name == "one" and not self.parts.rows))


def _address(array: Any) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


__all__ = ["Program", "Training", "build", "compile", "isfinite"]
