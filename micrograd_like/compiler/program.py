"""The last stage: a compiled program, its arrays, and what users call."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from math import prod
from operator import index, is_
from sys import modules
from typing import Any

from micrograd_like import jobs
from micrograd_like._extras import require
from micrograd_like.checks import generator, shown, whole_number
from micrograd_like.compiler import host, native
from micrograd_like.compiler.arrays import MOST_NUMBERS, Inputs, UpTo, checked_shape
from micrograd_like.compiler.blocks import Parts
from micrograd_like.compiler.fields import FORWARD, GRADIENT
from micrograd_like.compiler.pipeline import Stage, build, stages
from micrograd_like.compiler.runtime import Machine, Workspace
from micrograd_like.compiler.shards import operations, shard_size, smallest_shard
from micrograd_like.compiler.trace import LENGTH, Trace, TraceError, check_parameters, trace
from micrograd_like.compiler.train import Training
from micrograd_like.engine import Value
from micrograd_like.optim import SGD, Optimizer

ALONE = 1 << 21  # scalar operations of a batch, some hundreds of microseconds, that is not worth calling helpers for


def compile(
    function: Callable[..., Any],
    parameters: Iterable[Value],
    /,
    *,
    cached: bool = True,
    width: int | None = None,
    **inputs: int | tuple[int, ...] | UpTo,
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
        width: the doubles of a vector, 2, 4 or 8; None for as many as the processor's vectors hold. The last bits of a
            gradient depend on it: processors with unlike vectors agree at the narrowest width.
        inputs: per argument its size, for a list of that many numbers, or its shape, for nested lists; () for a
            single number; `UpTo(longest)` for sequences of different lengths, for each of which the function is then
            called once. Without inputs the function is a loss over a whole data set, its numbers being constants.

    Raises:
        TraceError: the function asks for what a trace cannot record, such as `if x > 0`; the error names the line.
        ImportError: llvmlite or NumPy is not installed.
    """
    require("numpy", extra="compiled")
    host.llvm()
    checked = check_parameters(parameters)
    shapes = {name: shape if isinstance(shape, UpTo) else checked_shape(name, shape) for name, shape in inputs.items()}
    recorded = _traced(function, checked, shapes)
    return Program(build(recorded), recorded, checked, cached, _width(width), shapes)


def _width(width: Any) -> int | None:
    if width is None:
        return None
    try:
        doubles = index(width)
    except TypeError:
        doubles = 0
    if doubles not in (2, 4, 8) or doubles > host.width():
        raise ValueError(
            f"expected width as 2, 4 or 8 doubles, and at most this processor's {host.width()}; got {shown(width)}"
        )
    return doubles


def _traced(
    function: Callable[..., Any], parameters: Sequence[Value], shapes: Mapping[str, tuple[int, ...] | UpTo]
) -> Trace:
    """The function's trace; where samples differ in length that of the longest, and in it those for each length."""
    sequences = {name: shape for name, shape in shapes.items() if isinstance(shape, UpTo)}
    sizes = {name: shape.shape if isinstance(shape, UpTo) else shape for name, shape in shapes.items()}
    if not sequences:
        return trace(function, parameters, sizes)
    for name, shape in sequences.items():
        if prod(shape.shape) > MOST_NUMBERS:
            raise ValueError(f"expected {name} as at most {MOST_NUMBERS:,} numbers, got {shape!r:.60}")
    (first, one), *others = sequences.items()
    for name, other in others:
        if (other.longest, other.least) != (one.longest, one.least):
            raise ValueError(
                f"expected {first} and {name} of the same length in each sample, got {one!r} and {other!r}; "
                "where one is longer than the other, let the function leave out the rest"
            )
    sizes[LENGTH] = ()
    lengths = range(one.least, one.longest + 1)
    traces = [trace(function, parameters, sizes, dict.fromkeys(sequences, n)) for n in lengths]
    for n, shorter in zip(lengths, traces, strict=True):
        if shorter.structure != traces[-1].structure:
            raise TraceError(
                f"the function returns something else for {n} elements than for {one.longest}: expected a loss, or as "
                "many outputs for each length"
            )
    traces[-1].lengths = traces
    return traces[-1]


class Program:
    """Run a compiled function. Inputs are arrays, or lists, with one row for each sample; numbers are 64-bit floats.

    Its parameters are the Values it was compiled with: each call reads them, `train` moves them. With `at=theta` a call
    takes their numbers from a vector instead, in the order of `parameters`, which suits SciPy and every other outer
    loop. Any number of threads may call a program at once. It pickles as its loops with its parameters, and is compiled
    again where it is loaded.

    `n_jobs`: how many threads share the work of a call, as in scikit-learn. None is 1, or what `joblib.parallel_config`
    says; -1 is all cores. It changes no bit of a result: a batch is cut into shards, by its size alone, and the
    shards' sums are added in a fixed tree. A batch of fewer than `program.alone` scalar operations stays on one core,
    where it is done sooner; set it to 0 to use the cores always.

    >>> import micrograd_like as mg
    >>> w = mg.Value(2.0)
    >>> program = mg.compile(lambda x, y: (w * x - y) ** 2, [w], x=(), y=())
    >>> loss, gradient = program.gradient([1.0, 2.0], [3.0, 3.0])
    >>> loss, gradient.tolist()
    (1.0, [1.0])
    """

    alone: int = ALONE

    def __init__(
        self,
        parts: Parts,
        recorded: Trace | None,
        parameters: Sequence[Value],
        cached: bool = True,
        width: int | None = None,
        shapes: Mapping[str, tuple[int, ...] | UpTo] | None = None,
    ) -> None:
        self.parameters = tuple(parameters)
        self._cached, self._width = cached, width
        self._parts = parts
        self._inputs = Inputs(parts.shapes if shapes is None else shapes)
        self._recorded = recorded
        if recorded is not None:
            self._structure: Any = recorded.structure
            self._has_loss = recorded.has_loss
        self._prepare()

    def _prepare(self) -> None:
        self._numpy = require("numpy", extra="compiled")
        self._making = threading.Lock()
        self._machine: Machine | None = None
        self._careful: Machine | None = None

    def __getstate__(self) -> dict[str, Any]:
        # What a program makes where it is loaded.
        transient = ("_recorded", "_numpy", "_making", "_machine", "_careful")
        return {k: v for k, v in vars(self).items() if k not in transient}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._recorded = None
        self._parts.__post_init__()
        self._prepare()

    def __str__(self) -> str:
        """The program's loops as pseudo-code."""
        return self._parts.text

    def __repr__(self) -> str:
        inputs = "".join(f", {name}={shape}" for name, shape in self._inputs.shapes.items())
        return f"Program({self._parts.parameters} parameters{inputs})"

    def shard(self, samples: int) -> int:
        """Return the samples in a shard of a batch of so many: a power of two that depends on the loops and on that number.

        >>> import micrograd_like as mg
        >>> w = mg.Value(1.0)
        >>> program = mg.compile(lambda x: (w * x - 6) ** 2, [w], x=())
        >>> program.shard(10_000)
        65536
        """
        return shard_size(smallest_shard(self._parts), whole_number("samples", samples))

    @property
    def fingerprint(self) -> native.Fingerprint:
        """What the last bits of results depend on besides the program: the processor's vectors, the C library, …"""
        return native.fingerprint(self._width)

    def portable(self, width: int | None = None) -> Program:
        """This program without its parameters' Values, to be sent elsewhere: a few kilobytes, and calls need `at`.

        >>> import micrograd_like as mg
        >>> w = mg.Value(1.0)
        >>> program = mg.compile(lambda x: (w * x - 6) ** 2, [w], x=()).portable()
        >>> program.gradient([2.0], at=[3.0])
        (0.0, array([0.]))

        Raises:
            ValueError: `width`, the doubles of a vector, is not 2, 4 or 8; or, at the first call, wider than the
                processor's are there.
        """
        light = Program(
            self._parts, None, (), self._cached, self._width if width is None else _width(width), self._inputs.shapes
        )
        light._structure, light._has_loss = self._structure, self._has_loss
        return light

    def stages(self) -> list[Stage]:
        """What each stage of the compiler has made of this program, machine code included, in order.

        >>> import micrograd_like as mg
        >>> w = mg.Value(2.0)
        >>> program = mg.compile(lambda x: w * x + 1, [w], x=())
        >>> [stage.name for stage in program.stages()]
        ['trace', 'flow', 'loops', 'nests', 'adjoint', 'blocks', 'entry', 'machine code']
        >>> print(program.stages()[0])
        # trace: one sample, operation by operation
        node[0] = mul(param[0], input[0])
        node[1] = add(node[0], 1.0)
        return node[1]

        Raises:
            ValueError: the program was pickled, and its trace was left behind.
        """
        if self._recorded is None:
            raise ValueError("a program that was pickled has its loops (print it), but not what they were found in")
        return stages(self._recorded, self._parts)

    def theta(self) -> Any:
        """The parameters' numbers as an array, in their order: what `at` takes. Raises TypeError where one has none."""
        machine = self._ready()
        space = machine.take()
        space.point(None)
        space.read()
        numbers = space.params.copy()
        space.give()
        return numbers

    def __call__(self, *inputs: Any, at: Any = None, n_jobs: int | None = None, **named: Any) -> float:
        """The mean loss over the samples. A shard's losses are added from left to right, then the shards'.

        `at`: numbers for all parameters, as one array in their order; None for the parameters' own. `n_jobs`: see above.

        Raises:
            TypeError: the program has no loss, but several outputs.
            ValueError: the inputs' shapes are not those the program was compiled for, or `at` is not as long.
            IndexError: an input that picks a value (`gather`) is not one of the numbers from 0 on.
        """
        self._needs_loss()
        arrays, count = self._inputs.arrays(inputs, named)
        space = self._run(FORWARD, arrays, count, at, n_jobs)
        loss: float = space.losses.item(0)
        space.give()
        return loss

    def losses(self, *inputs: Any, at: Any = None, n_jobs: int | None = None, **named: Any) -> Any:
        """The loss of each sample, as an array. Arguments and errors as for a call."""
        self._needs_loss()
        return self._run_outputs(inputs, named, at, n_jobs)[:, 0].copy()

    def outputs(self, *inputs: Any, at: Any = None, n_jobs: int | None = None, **named: Any) -> Any:
        """What the function returns, for each sample: an array whose first axis counts samples, or a list of those.

        A value becomes one axis, a list of values two; other lists and tuples become lists of such arrays. A program
        without inputs has no axis of samples. Arguments and errors as for a call.
        """
        outputs = self._run_outputs(inputs, named, at, n_jobs)
        return _structured(self._structure, outputs if self._parts.shapes else outputs[0])

    def gradient(self, *inputs: Any, at: Any = None, n_jobs: int | None = None, **named: Any) -> tuple[float, Any]:
        """(mean loss, its gradient as an array in the order of the parameters). No `.grad` changes.

        Samples are summed in a fixed order: the same call gives the same bits. Arguments and errors as for a call.

        >>> import micrograd_like as mg
        >>> w = mg.Value(1.0)
        >>> program = mg.compile(lambda x: (w * x - 6) ** 2, [w], x=())
        >>> program.gradient([2.0], at=[3.0])
        (0.0, array([0.]))
        """
        if not self._has_loss:
            self._needs_loss()
        arrays, count = self._inputs.arrays(inputs, named)
        space = self._run(GRADIENT, arrays, count, at, n_jobs)
        loss, gradient = space.losses.item(0), space.gradient.copy()
        space.give()
        return loss, gradient

    def shard_sums(
        self,
        *inputs: Any,
        at: Any = None,
        samples: int = 1,
        n_jobs: int | None = None,
        careful: bool = False,
        out: Any = None,
        **named: Any,
    ) -> Any:
        """The sum over these samples of their gradients, each divided by `samples`, and, last, the sum of their losses.

        So a batch of so many samples can be spread over many machines: where each has an aligned run of shards, an
        equal number of them, a power of two (the last may have fewer), `shards.tree_sum` of what they return has the
        bits of `gradient` for the whole batch.

        `careful`: use the rules that pass on nothing where a gradient is 0, which `gradient` falls back to where a
        number of its result is nan. `out`: an array of doubles for the result, to save making one. Other arguments and
        errors as for a call.

        >>> import micrograd_like as mg
        >>> w = mg.Value(1.0)
        >>> program = mg.compile(lambda x: (w * x - 6) ** 2, [w], x=())
        >>> program.shard_sums([2.0, 3.0], samples=4)
        array([-8.5, 25. ])
        """
        self._needs_loss()
        whole = whole_number("samples", samples)
        arrays, count = self._inputs.arrays(inputs, named)
        return self._shard_sums(arrays, count, at, whole, n_jobs, careful, out)[0]

    def _shard_sums(
        self, arrays: list[Any], count: int, at: Any, whole: int, n_jobs: int | None, careful: bool, out: Any
    ) -> tuple[Any, Any]:
        """(the sums, the outputs of each sample)."""
        size = self._parts.parameters
        space = self._called(GRADIENT, arrays, count, at, n_jobs, careful, whole)[0]
        sums = self._numpy.empty(size + 1) if out is None else out
        sums[:] = space.sums[: size + 1]
        sums[size] = space.sums[-8]
        outputs = space.outputs_of(count)
        space.give()
        return sums, outputs

    def bind(self, *inputs: Any, n_jobs: int | None = None, **named: Any) -> Bound:
        """A function of theta alone: (mean loss, gradient) on these samples, which are checked once. Errors as a call.

        >>> import micrograd_like as mg
        >>> w = mg.Value(1.0)
        >>> step = mg.compile(lambda x: (w * x - 6) ** 2, [w], x=()).bind([2.0])
        >>> step()
        (16.0, array([-16.]))
        """
        self._needs_loss()
        return Bound(self, *self._inputs.arrays(inputs, named), jobs.threads_for(n_jobs))

    def train(
        self,
        *inputs: Any,
        optimizer: Optimizer,
        epochs: int = 1,
        batch_size: int | None = None,
        seed: int | random.Random = 0,
        shuffle: bool = True,
        n_jobs: int | None = None,
        **named: Any,
    ) -> Any:
        """Train by mini-batches with any optimizer, its rule as machine code; the order of samples is that of `fit`.

        The losses of all steps, as an array, each before its step. With shuffle=False, or where a step takes all of
        them, the samples stay in the order in which they are given. Parameters and what the optimizer remembers are
        written back, all at one blow, every tenth of a second or so, or after an epoch that takes longer; Ctrl-C keeps
        what was written. A program without inputs takes `epochs` steps.

        >>> import micrograd_like as mg
        >>> w = mg.Value(1.0)
        >>> program = mg.compile(lambda x, y: (w * x - y) ** 2, [w], x=(), y=())
        >>> program.train([1.0, 2.0], [3.0, 6.0], optimizer=mg.Adam([w], lr=0.5), epochs=100).shape
        (100,)
        >>> round(w.data, 1)
        3.0

        Args:
            optimizer: over this program's parameters, in their order. Its rule is called once, with symbols.
            batch_size: the samples in a step; None for all of them.
            seed: for the order of the samples, or a generator that is used and moved on.

        Raises:
            ValueError: a number is out of its range, or the optimizer's parameters are others; nothing has been
                trained, unless it is a learning rate that a function gives for a later step. Or the loss or a parameter
                stopped being finite; the parameters are those before that epoch.
            TraceError: the optimizer's rule asks for what cannot be recorded.
        """
        self._needs_loss()
        arrays, count = self._inputs.arrays(inputs, named)
        epochs = whole_number("epochs", epochs)
        size = max(count, 1)
        if batch_size is not None:
            size = min(size, whole_number("batch_size", batch_size))
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"expected an Optimizer, got {type(optimizer).__name__}: {optimizer!r:.60}")
        theirs = optimizer.parameters
        if len(theirs) != len(self.parameters) or not all(map(is_, theirs, self.parameters)):
            raise ValueError(
                "expected an optimizer of this program's parameters, in their order; "
                "compile the function with those that are to be trained"
            )
        rng = generator("seed", seed)
        training = self._training(optimizer, arrays, count, size, n_jobs)
        return training.epochs(epochs, rng if shuffle and size < count else None)  # a whole batch has no order

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
        n_jobs: int | None = None,
        **named: Any,
    ) -> Any:
        """Train by mini-batch SGD: `train` with `SGD(program.parameters, lr, momentum, weight_decay)`."""
        optimizer = SGD(self.parameters, lr, momentum, weight_decay)
        return self.train(
            *inputs,
            optimizer=optimizer,
            epochs=epochs,
            batch_size=batch_size,
            seed=seed,
            shuffle=shuffle,
            n_jobs=n_jobs,
            **named,
        )

    def _needs_loss(self) -> None:
        if not self._has_loss:
            raise TypeError(
                f"this program has {self._parts.outputs} outputs and no loss: call program.outputs(…), or compile a "
                "function that returns the loss alone or first in a tuple"
            )

    @cached_property
    def _work(self) -> int:
        """The scalar operations of a sample."""
        return operations(self._parts.sample.forward)

    def _threads(self, n_jobs: int | None, samples: int) -> int:
        """How many threads may share a batch of so many samples."""
        is_brief = samples * self._work < self.alone
        if n_jobs is None and (is_brief or "joblib" not in modules):  # who is inside of its configuration has loaded it
            return 1
        threads = jobs.threads_for(n_jobs)
        return 1 if is_brief else threads

    def _training(
        self, optimizer: Optimizer, arrays: list[Any], count: int, batch_size: int, n_jobs: int | None
    ) -> Training:
        threads = self._threads(n_jobs, min(batch_size, count))
        return Training(self._ready, optimizer, arrays, count, batch_size, threads)

    def _called(
        self,
        mode: int,
        arrays: list[Any],
        count: int,
        at: Any,
        n_jobs: int | None,
        careful: bool,
        whole: int = 0,
    ) -> tuple[Workspace, bool]:
        """The memory of a call, and whether a number of its gradient, if asked for, is nan."""
        machine = (self._careful if careful else self._machine) or self._ready(careful=careful)
        if at is not None:
            at = self._inputs.vector(at, machine.size)
        threads = self._threads(n_jobs, count)
        space = machine.take()
        return space, space.run(mode, arrays, count, at, threads, whole)

    def _run(self, mode: int, arrays: list[Any], count: int, at: Any, n_jobs: int | None) -> Workspace:
        """The memory of a call, with its results; of the careful machine's where the other's gradient is nan."""
        space, is_nan = self._called(mode, arrays, count, at, n_jobs, False)
        if is_nan:
            space.give()
            space, _ = self._called(mode, arrays, count, at, n_jobs, True)
        return space

    def _gradient(
        self, arrays: list[Any], count: int, *, at: Any = None, n_jobs: int | None = None
    ) -> tuple[float, Any, Any]:
        """(mean loss, gradient, outputs)."""
        space = self._run(GRADIENT, arrays, count, at, n_jobs)
        found = space.losses.item(0), space.gradient.copy(), space.outputs_of(count)
        space.give()
        return found

    def _run_outputs(
        self, inputs: Sequence[Any], named: Mapping[str, Any], at: Any = None, n_jobs: int | None = None
    ) -> Any:
        arrays, count = self._inputs.arrays(inputs, named)
        space = self._run(FORWARD, arrays, count, at, n_jobs)
        outputs = space.outputs_of(count)
        space.give()
        return outputs

    def _ready(self, *, careful: bool = False) -> Machine:
        """The machine; the careful one where the other's gradient is nan."""
        machine = self._careful if careful else self._machine
        if machine is None:
            with self._making:
                machine = self._careful if careful else self._machine
                if machine is None:
                    parts = self._parts.careful() if careful else self._parts
                    machine = Machine(parts, self.parameters, self._cached, width=_width(self._width))
                    if careful:
                        self._careful = machine
                    else:
                        self._machine = machine
        return machine


class Bound:
    """A program with its samples: `step()` or `step(theta)` returns (mean loss, gradient) and costs next to nothing.

    The gradient is the same array each time, overwritten by the next call. The samples' arrays may get other numbers
    between calls, but no other shape; lists, and arrays that had to be converted, were copied. One thread at a time.
    """

    def __init__(self, program: Program, arrays: list[Any], count: int, threads: int) -> None:
        self._program, self._arrays, self._count, self._threads = program, arrays, count, threads
        self._space = program._ready().take()  # and never given back
        self._space.ask(GRADIENT, arrays, count, threads=program._threads(threads, count))
        self._space.check(count)
        self.gradient = self._space.gradient
        self._loss = self._space.losses.item

    def __call__(self, theta: Any = None) -> tuple[float, Any]:
        """(mean loss, gradient) at theta, an array of numbers for all parameters; None for the parameters' own.

        Raises:
            ValueError: theta is not as long as the parameters are many.
            TypeError: theta are not numbers, or a parameter has none.
            IndexError: a sample's number picks (`gather`) what is not there.
        """
        space = self._space
        if theta is not space.at:
            space.point(None if theta is None else self._program._inputs.vector(theta, len(self.gradient)))
        if space.again(self._count):
            loss, gradient = self._program._gradient(self._arrays, self._count, at=space.at, n_jobs=self._threads)[:2]
            self.gradient[:] = gradient
            return loss, self.gradient
        return self._loss(0), self.gradient


def _structured(structure: Any, outputs: Any) -> Any:
    if isinstance(structure, int):
        return outputs[..., structure]
    if structure and all(isinstance(x, int) for x in structure):
        return outputs[..., structure[0] : structure[-1] + 1]
    return [_structured(x, outputs) for x in structure]


__all__ = ["Bound", "Program", "compile"]
