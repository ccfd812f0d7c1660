"""The last stage: a compiled program, its arrays, and what users call."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from typing import Any

from micrograd_like._extras import require
from micrograd_like.checks import whole_number
from micrograd_like.compiler import loops, native
from micrograd_like.compiler.adjoint import adjoint
from micrograd_like.compiler.blocks import Nests, Parts
from micrograd_like.compiler.entry import FORWARD, GRADIENT
from micrograd_like.compiler.flow import Section, flow
from micrograd_like.compiler.nest import lower
from micrograd_like.compiler.runtime import Machine
from micrograd_like.compiler.trace import Trace, check_parameters, trace
from micrograd_like.engine import Value
from micrograd_like.optim import SGD

MOST_NUMBERS = 10**7  # in an input: a trace has a symbol for each of them
MOST_STEPS = 10**9  # in one call, which returns the loss of each
AT_ONCE = 1 << 22  # samples' places and steps whose orders, rates and losses lie in memory side by side
BETWEEN = 4 * 10**8  # parameters times samples that are trained between two looks at Ctrl-C: about a tenth of a second


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

    def nests(section: Section, seed: int | None) -> Nests:
        terms = loops.recover(section)
        texts.append(loops.show(terms, constants))
        back = adjoint(terms, constants, seed)
        return Nests(tuple(terms), lower(terms, constants), back, section.slots, section.outputs)

    widths = tuple(prod(shape) for shape in recorded.inputs.values())
    shared, sample = nests(flowing.shared, None), nests(flowing.sample, flowing.sample.outputs)
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


_TRANSIENT = (
    "_numpy",
    "_float64",
    "_lock",
    "_machine",
    "_careful",
    "_fitting",
)  # what a program makes where it is loaded


class Program:
    """A compiled function. Inputs are arrays, or lists, with one row for each sample; numbers are 64-bit floats.

    Its parameters are the Values it was compiled with: each call reads them, `sgd` moves them. A program may be shared
    by threads, which take turns. It pickles as its loops, and is compiled again where it is loaded.
    """

    def __init__(self, parts: Parts, recorded: Trace, parameters: Sequence[Value], cached: bool = True) -> None:
        self.parameters = tuple(parameters)
        self._cached = cached
        self._parts = parts
        self._shapes = dict(recorded.inputs)
        self._structure = recorded.structure
        self._has_loss = recorded.has_loss
        self._gathers = sorted(set(recorded.gathers))
        self._prepare()

    def _prepare(self) -> None:
        self._numpy = require("numpy", extra="compiled")
        self._float64 = self._numpy.dtype(float)
        self._lock = threading.Lock()
        self._machine: Machine | None = None
        self._careful: Machine | None = None
        self._fitting: list[tuple[int, ...]] = []  # shapes of inputs that were found to be right

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k not in _TRANSIENT}

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
            return float(machine.losses.item(0))

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

    def _gradient(self, arrays: list[Any], count: int, *, with_outputs: bool = False) -> tuple[float, Any, Any]:
        """(mean loss, gradient, outputs where they are wanted)."""
        with self._lock:
            machine = self._ready()
            if machine.run(GRADIENT, arrays, count):
                machine = self._ready(careful=True)
                machine.run(GRADIENT, arrays, count)
            outputs = machine.outputs[: count or 1].copy() if with_outputs else None
            return machine.losses.item(0), machine.gradient.copy(), outputs

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

        The losses of all steps, as an array, each before its step. With shuffle=False, or where a step takes all
        of them, the samples stay in the order in which they are given. The loop over an epoch's mini-batches is machine
        code. Parameters are written back every tenth of a second or so, or after an epoch that takes longer, and
        Ctrl-C keeps them. A program without inputs takes `epochs` steps.

        Raises:
            ValueError: a number is out of its range; nothing has been trained, unless it is a learning rate that a
                function gives for a later step. Or the loss or a parameter stopped being finite; the parameters are
                those before that epoch.
        """
        self._needs_loss()
        arrays, count = self._arrays(inputs, named)
        epochs = whole_number("epochs", epochs)
        size = max(count, 1)
        if batch_size is not None:
            size = min(size, whole_number("batch_size", batch_size))
        if epochs * (-(-count // size) or 1) > MOST_STEPS:
            raise ValueError(f"expected at most {MOST_STEPS:,} steps in one call, got epochs={epochs:,}")
        optimizer = SGD(self.parameters, lr, momentum, weight_decay)
        shuffle = shuffle and size < count  # a whole batch has no order
        training = Training(self, optimizer, arrays, count, size)
        rng = seed if isinstance(seed, random.Random) else random.Random(seed)
        order = self._numpy.arange(count)
        at_once = max(1, min(BETWEEN // max(count * len(self.parameters), 1), AT_ONCE // max(count, 1)))
        losses = []
        for first in range(0, epochs, at_once):
            now = min(at_once, epochs - first)
            orders = self._numpy.broadcast_to(order, (now, count))  # one row, seen several times
            if shuffle:
                orders = training.shuffled(rng, order, now)
                order = orders[-1]
            losses.append(training.run(orders))
        return self._numpy.concatenate(losses)

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
        numpy = self._numpy
        if named or len(inputs) != len(self._shapes):
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
            for shape, (name, expected) in zip(found, self._shapes.items(), strict=True):
                if shape != (count, *expected) or not count:
                    raise ValueError(self._wrong(name, shape, count))
            self._fitting = found
        if self._gathers:
            self._check_gathers(arrays)
        return arrays, count

    def _converted(self, place: int, given: Any) -> Any:
        """An input as an array of doubles. Raises TypeError for what are not real numbers, ValueError for ragged lists."""
        numpy, name = self._numpy, list(self._shapes)[place]
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
        return f"({', '.join(['samples', *map(str, self._shapes[name])])})"

    def _wrong(self, name: str, found: tuple[int, ...], count: int) -> str:
        """What is wrong with an input of a shape that does not fit."""
        shape = self._shapes[name]
        if found[1:] != shape or len(found) != 1 + len(shape):
            return f"expected {name} of the shape {self._rows(name)}, got {found}"
        if not count:
            return "expected at least one sample, got none"
        return f"expected as many samples in {name} as in {next(iter(self._shapes))}, {count}; got {found[0]}"

    def _in_order(self, inputs: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[Any, ...]:
        """The inputs, some of them given by name. Raises TypeError for missing and for unknown ones."""
        names = list(self._shapes)
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

    def _check_gathers(self, arrays: list[Any]) -> None:
        numpy = self._numpy
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

    def _ready(self, *, careful: bool = False) -> Machine:
        """The machine; the careful one where the other's gradient is nan."""
        if careful:
            self._careful = self._careful or Machine(self._parts.careful(), self.parameters, self._cached)
            return self._careful
        if self._machine is None:
            self._machine = Machine(self._parts, self.parameters, self._cached)
        return self._machine


def _structured(structure: Any, outputs: Any) -> Any:
    if isinstance(structure, int):
        return outputs[..., structure]
    if structure and all(isinstance(x, int) for x in structure):
        return outputs[..., structure[0] : structure[-1] + 1]
    return [_structured(x, outputs) for x in structure]


class Training:
    """A training run that is done a few epochs at a time."""

    def __init__(self, program: Program, optimizer: SGD, arrays: list[Any], count: int, batch_size: int) -> None:
        self.program, self.optimizer, self.arrays, self.count = program, optimizer, arrays, count
        self.batch_size = batch_size
        self.steps = -(-count // batch_size) or 1

    def shuffled(self, rng: random.Random, order: Any, count: int) -> Any:
        """An array of so many orders of the samples, each shuffled from the one before."""
        with self.program._lock:
            return self.program._ready().shuffled(rng, order, count)

    def run(self, orders: Any) -> Any:
        """Epochs, one for each row of an array of orders of the samples. Returns the loss of each step.

        Raises:
            ValueError: the loss or a parameter stopped being finite; the parameters are those before that epoch.
        """
        rates = self._rates(len(orders))
        with self.program._lock:
            found = self._try(orders, rates, careful=False)
            if found is None and len(orders) == 1:
                found = self._try(orders, rates, careful=True)
        if found is not None:
            return found
        if len(orders) > 1:  # one by one, as far as they go
            return self.program._numpy.concatenate([self.run(orders[k : k + 1]) for k in range(len(orders))])
        step, loss = self.failed
        raise ValueError(
            f"step {self.optimizer.steps + step}: the loss is {loss} or a parameter stopped being finite; "
            "the parameters are those before this epoch; is the learning rate too large?"
        )

    def _rates(self, epochs: int) -> Any:
        """The learning rates of the coming steps."""
        optimizer, steps = self.optimizer, epochs * self.steps
        if callable(optimizer.lr):
            rates = [optimizer.learning_rate(optimizer.steps + k) for k in range(steps)]
        else:
            rates = [optimizer.lr] * steps
        return self.program._numpy.array(rates, dtype=float)

    @property
    def outputs(self) -> Any:
        """The outputs of each sample in the last epoch, before the step that used it; in that epoch's order."""
        return self.machine.outputs[: self.count or 1].copy()

    def _try(self, orders: Any, rates: Any, careful: bool) -> Any | None:
        """What `run` returns; None where a number stopped being finite, and then nothing has changed."""
        program, optimizer = self.program, self.optimizer
        isfinite = program._numpy.isfinite
        self.machine = machine = program._ready(careful=careful)
        if optimizer.momentum:
            machine.velocity[:] = [float(v) for v in optimizer.velocities]
        momentum, decay = float(optimizer.momentum), float(optimizer.weight_decay)
        machine.train(self.arrays, self.count, self.batch_size, orders, rates, momentum, decay)
        losses = machine.losses[: len(rates)].copy()
        if not (isfinite(losses).all() and isfinite(machine.params).all()):
            step = len(rates) - 1 if isfinite(losses).all() else int(isfinite(losses).argmin())
            self.failed = step, losses[step]
            return None
        velocities = machine.velocity.tolist() if optimizer.momentum else optimizer.velocities
        optimizer.commit(machine.params.tolist(), [velocities], len(rates))
        return losses


__all__ = ["Program", "Training", "build", "compile"]
