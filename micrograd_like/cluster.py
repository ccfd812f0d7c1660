"""Training on many machines: rounds of pure functions, run by a Dask cluster that the user has (extra `cluster`).

The samples lie in shards. In a round every worker adds up the gradients of the next samples of its shards, the client
adds up what the workers found, and takes one step of the optimizer. Sums are added in a tree whose shape the number of
shards decides alone, so the result depends on the samples, the shards, the seed and the kind of processor: never on how
many workers there are, which of them computes what, or how many die. What is lost is computed again, from the
parameters, the number of the round and the samples.

A worker keeps only what can be made again: its shards, and the program, which travels as its loops, without Values.
"""

from __future__ import annotations

import asyncio
import copy
import ctypes
import json
import os
import platform
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass, replace
from functools import cached_property
from itertools import product
from math import fsum
from pathlib import Path
from secrets import token_hex
from typing import Any, NamedTuple

from micrograd_like._extras import progress_bar, require
from micrograd_like.anomaly import AnomalyError
from micrograd_like.checks import a_function, listed, shown, whole_number
from micrograd_like.compiler import native
from micrograd_like.compiler.fitting import Compiled
from micrograd_like.compiler.program import Program, compile
from micrograd_like.compiler.shards import tree_sum
from micrograd_like.compiler.steps import padded, step_module
from micrograd_like.files import replace_file
from micrograd_like.history import Epoch, History
from micrograd_like.ieee import as_float
from micrograd_like.nn import Module
from micrograd_like.optim import Optimizer
from micrograd_like.order import orders
from micrograd_like.samples import look_at, samples_of
from micrograd_like.training import rule_of_correct

__all__ = ["Trial", "fit", "sweep"]

SHARDS = 16  # of samples that come in one piece; a number of its own, so that the workers' number changes no bit
PATIENCE = 1.0  # seconds between two looks at whether there are workers
TRIES = 3  # of one round, where somebody else restarts the cluster under it
HELD = 16 << 20  # bytes of results that wait to be released together: each release costs a message and 10 ms


def fit(
    client: Any,
    model: Module,
    data: Any,
    loss: Callable[[Any, Any], Any],
    optimizer: Optimizer,
    epochs: int,
    batch_size: int | None = None,
    *,
    shards: int | None = None,
    local_steps: int | None = None,
    seed: int = 0,
    held_out: Iterable[Any] | None = None,
    correct: Callable[[Any, Any], bool] | bool | None = None,
    n_jobs: int | None = None,
    width: int | str | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 1,
    resume: bool = False,
    timeout: float = 60.0,
    progress: bool | None = None,
) -> History:
    """Train a model on a Dask cluster by mini-batches, each computed by all workers together: one step for each batch.

    The same shards give the same parameters to the last bit, for any number of workers and threads, also when workers
    die on the way, and when a training is resumed. Parameters and optimizer move at the end of every epoch, and when
    the training ends in an error or by Ctrl-C: then they are those after the last whole round.

    >>> import micrograd_like as mg
    >>> from distributed import Client
    >>> xor = [([0, 0], -1), ([0, 1], 1), ([1, 0], 1), ([1, 1], -1)]
    >>> model = mg.MLP(2, [8, 1], activation="tanh", rng=0)
    >>> with Client(processes=False, dashboard_address=":0") as client:  # or Client("tcp://scheduler:8786")
    ...     history = fit(client, model, xor, mg.hinge_loss, mg.Adam(model.parameters(), lr=0.1), epochs=30)
    >>> history.losses[-1] < history.losses[0] / 10
    True

    Args:
        client: a `distributed.Client`. None starts a `LocalCluster`, a process for each core of this computer, for the
            time of the training; a script then needs `if __name__ == "__main__":`.
        model: called with a sample's inputs; compiled on the workers.
        data: one of

            - two arrays, or (inputs, target) pairs, as for `micrograd_like.fit`; cut into `shards` shards, of which the
              k-th has every `shards`-th sample from the k-th on
            - two `dask.array`s, whose chunks along the first axis are the shards
            - a list of pairs of arrays, each a shard
            - a list of functions, each of which returns the two arrays of a shard; or one function that is called with
              the number of a shard. They run on the workers, and once more where a shard is lost

            A shard may be empty. Shards have the same shapes but for the number of samples.
        loss: called with the model's output and the target; returns a Value.
        optimizer: what moves the parameters, by its rule.
        epochs: how often every sample is used.
        batch_size: samples per step, of all shards together, from each in proportion to its size; None for all. Where
            shards differ in size, a batch may have a few more or less. The last batch of an epoch may be smaller.
        shards: into how many shards the samples are cut; as many workers can take part. The default is 16 for samples
            in one piece, the chunks of dask arrays; and the length of a list, which no other number may contradict.
        local_steps: another algorithm, which needs that many times fewer rounds: each shard takes so many steps on its
            own, with its part of each batch, and then parameters and what the optimizer remembers are averaged,
            weighted by samples (H. B. McMahan et al., AISTATS 2017; S. U. Stich, ICLR 2019). It reaches other
            parameters than the default, None, and worse ones where the shards' samples differ in kind.
        seed: for the order of the samples in their shard, drawn anew for every epoch.
        held_out: samples to measure after every epoch, on this computer, never trained on. Of the training samples only
            the loss is measured, no accuracy.
        correct: whether an output means its target, as for `micrograd_like.fit`; used for `held_out`.
        n_jobs: threads for each worker's task; None for as many as the worker has.
        width: how many doubles the workers' vectors hold, 2, 4 or 8: it decides the last bits. None asks that all
            workers have the same; "narrowest" takes that of the narrowest worker there is at the start.
        checkpoint: a file, in the safetensors format, that is written after every `checkpoint_every` rounds: the
            parameters, what the optimizer remembers, the losses, and what the bits depend on.
        resume: go on from the checkpoint, where there is one.
        timeout: seconds to wait where there is no worker, or no scheduler.
        progress: as for `micrograd_like.fit`.

    Returns:
        The losses of all steps, each before its step, and an `Epoch` for every epoch; of a resumed training also those
        before.

    Raises:
        TypeError, ValueError: an argument of the wrong kind or out of its range, shards that do not fit each other, a
            checkpoint of another training; workers of another Python or version of this library, or of several kinds
            of processors. Nothing has been trained.
        FileExistsError: there is a checkpoint, but not `resume`.
        TraceError: the model, the loss or the optimizer's rule does what cannot be compiled.
        AnomalyError: the loss or a parameter stopped being finite; the error names the step and the shard.
        TimeoutError: there was no worker, or no scheduler, for `timeout` seconds.
        RuntimeError: a shard ended four workers, one after the other: is there memory for it?
        ImportError: dask.distributed, llvmlite, NumPy or safetensors is not installed.
    """
    require("distributed", extra="cluster")
    if not isinstance(model, Module):
        raise TypeError(f"expected model as a Module, got {type(model).__name__}: {shown(model)}")
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"expected an optimizer, such as SGD, got {type(optimizer).__name__}: {shown(optimizer)}")
    if type(optimizer).step is not Optimizer.step:
        raise TypeError(
            f"expected an optimizer that moves by its rule; {type(optimizer).__name__} has a step() of its own"
        )
    plan = Plan(
        epochs=whole_number("epochs", epochs),
        batch_size=None if batch_size is None else whole_number("batch_size", batch_size),
        local_steps=None if local_steps is None else whole_number("local_steps", local_steps),
        seed=whole_number("seed", seed, at_least=0),
        n_jobs=None if n_jobs is None else whole_number("n_jobs", n_jobs),
        width=_width(width),
        timeout=_seconds(timeout),
        every=whole_number("checkpoint_every", checkpoint_every),
    )
    a_function("loss", loss)
    rest = [] if held_out is None else samples_of("held_out", held_out)
    look_at("held_out", rest, model, loss)
    evaluator = Compiled(model, loss, rule_of_correct(correct, loss), rest, optimizer, len(rest)) if rest else None
    path = None if checkpoint is None else Path(os.fsdecode(checkpoint))
    if resume and path is None:
        raise ValueError("expected a checkpoint to resume from, got resume=True without one")
    kept = None
    if path is not None and path.exists():
        if not resume:
            raise FileExistsError(f"{path} is there already: go on from it with resume=True, or delete it")
        kept = Checkpoint.read(path)
    pieces = _pieces(data, shards)
    with _quiet(), _connected(client, plan.timeout) as connected:
        training = _Training(connected, model, loss, optimizer, pieces, plan)
        try:
            training.start(kept)
            return training.run(path, evaluator, rest, progress)
        except BaseException:
            training.cancel()
            raise
        finally:
            training.commit()


def sweep(client: Any, train: Callable[..., Any], grid: Any) -> Iterator[Trial]:
    """Run many trainings on a Dask cluster, and give each as it ends: a failed one does not stop the others.

    >>> import micrograd_like as mg
    >>> from distributed import Client
    >>> def train(lr, seed):
    ...     model = mg.MLP(2, [3, 1], rng=seed)
    ...     optimizer = mg.SGD(model.parameters(), lr)
    ...     return mg.fit(model, [([1.0, 2.0], 1)], mg.hinge_loss, optimizer, epochs=9).losses[-1]
    >>> with Client(processes=False, dashboard_address=":0") as client:
    ...     trials = list(sweep(client, train, {"lr": [0.1, -1], "seed": range(2)}))
    >>> for trial in sorted(trials, key=lambda trial: str(trial.arguments)):
    ...     print(trial.arguments, trial.error or "trained")
    {'lr': -1, 'seed': 0} expected lr as a finite number above 0, got -1
    {'lr': -1, 'seed': 1} expected lr as a finite number above 0, got -1
    {'lr': 0.1, 'seed': 0} trained
    {'lr': 0.1, 'seed': 1} trained

    The trainings start at once; leaving the loop cancels those that have not ended.

    Args:
        client: a `distributed.Client`; None starts a `LocalCluster`, as for `fit`.
        train: called on a worker with the arguments of a trial. It should return what pickles well: numbers, a History.
        grid: a list of dicts, each the arguments of a trial; or a dict of lists, of which all combinations are tried.

    Raises:
        TypeError: the grid is neither, or `train` is no function.
        ValueError: the grid is empty.
    """
    distributed = require("distributed", extra="cluster")
    a_function("train", train)
    points = _points(grid)
    place = _connected(client, timeout=None)
    connected = place.__enter__()
    try:
        futures = {connected.submit(train, **point, pure=False): point for point in points}
    except BaseException:
        place.__exit__(None, None, None)
        raise

    def trials() -> Iterator[Trial]:
        try:
            for future in distributed.as_completed(list(futures)):
                error = future.exception()
                yield Trial(futures[future], None if error else future.result(), error)
        finally:
            connected.cancel(list(futures), force=True)
            place.__exit__(None, None, None)

    return trials()


class Trial(NamedTuple):
    """Say of a training of a sweep what its arguments were, and what it returned or the error that it raised.

    >>> Trial({"lr": 0.1}, 0.25, None).result
    0.25
    """

    arguments: dict[str, Any]
    result: Any
    error: Exception | None


def _points(grid: Any) -> list[dict[str, Any]]:
    if isinstance(grid, Mapping):
        choices = [listed(f"grid[{name!r}]", values, "a list of choices") for name, values in grid.items()]
        points = [dict(zip(grid, chosen, strict=True)) for chosen in product(*choices)] if grid else []
    else:
        points = listed("grid", grid, "a list of dicts, or a dict of lists")
    if not points:
        raise ValueError(f"expected grid as at least one trial, got {shown(grid)}")
    for point in points:
        if not isinstance(point, Mapping) or not all(isinstance(name, str) for name in point):
            raise TypeError(f"expected a trial of the grid as a dict of arguments, got {shown(point)}")
    return [dict(point) for point in points]


# ── on a worker ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Identity(NamedTuple):
    """What a worker must share with the others, for its numbers to be the same to the last bit."""

    python: str
    processor: native.Fingerprint  # and the version of the compiler

    def differences(self, other: Identity) -> list[str]:
        """What is different, in words: "Python 3.11 and 3.12"."""
        pythons = [] if self.python == other.python else [f"Python {self.python} and {other.python}"]
        return [*pythons, *self.processor.differences(other.processor)]


def identity(processor: native.Fingerprint | None = None) -> Identity:
    """The identity of this process; of a program that is made for narrower vectors, with its processor."""
    python = ".".join(platform.python_version_tuple()[:2])
    return Identity(python, processor or native.fingerprint())


@dataclass(frozen=True)
class Job:
    """What a worker does with its shards: the program, and the optimizer's rule for steps of its own."""

    program: Program
    optimizer: Optimizer
    frozen: Any  # the numbers of the model's parameters that the optimizer does not move; they come last
    seed: int
    moving: int  # parameters

    @cached_property
    def rule(self) -> Rule:
        return Rule(self.optimizer, self.moving)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("rule", "spare")}

    @cached_property
    def spare(self) -> list[Any]:
        """Arrays for sums, kept: where Dask lets memory be given back at once, a new one costs more than many a sum."""
        return []

    def sums(self, numbers: Any, arrays: Sequence[Any], samples: int, n_jobs: int, careful: bool = False) -> Any:
        """The sum over the samples of their gradients, divided by `samples`, and last the sum of their losses."""
        numpy = require("numpy", extra="compiled")
        theta = numpy.append(numbers, self.frozen) if len(self.frozen) else numbers
        try:
            out = self.spare.pop()
        except IndexError:
            out = numpy.empty(len(theta) + 1)
        return self.program.shard_sums(*arrays, at=theta, samples=samples, n_jobs=n_jobs, careful=careful, out=out)


class Rule:
    """An optimizer's step on arrays: its rule as machine code, which takes the same step on every processor."""

    def __init__(self, optimizer: Optimizer, moving: int) -> None:
        self.numpy = require("numpy", extra="compiled")
        self.moving, self.room = moving, padded(moving)
        self.states = len(optimizer.STATE)
        self.rooms: list[Any] = []  # for gradients; a step leaves its room empty
        text = step_module(optimizer, moving, len(optimizer.rates(optimizer.steps)))
        make: Callable[[], bytes] = lambda: native.machine_code(text, False)  # noqa: E731
        self.loaded = native.load(native.digest(text), "update", make, cached=True)
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


def _load(first: int, pieces: Sequence[Any]) -> list[Shard]:
    """A run of shards: a task of its own, so that Dask knows where they lie, and loads them again where they are lost."""
    found = []
    for number, piece in enumerate(pieces, first):
        try:
            found.append(Shard(number, _arrays(piece() if callable(piece) else piece)))
        except Exception as error:
            error.add_note(f"That was shard {number}; nothing has been trained.")
            raise
    return found


def _arrays(pair: Any) -> list[Any]:
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


def _look(shards: list[Shard]) -> list[tuple[int, list[tuple[int, ...]]]]:
    """How many samples each shard has, and the shapes of one."""
    return [(shard.count, [array.shape[1:] for array in shard.arrays]) for shard in shards]


@dataclass(frozen=True)
class Batch:
    """What a task does with a run of shards: the rows of one step, or of several where each shard takes its own."""

    epoch: int | None  # in whose order the rows are; None for their own
    cuts: tuple[tuple[int, ...], ...]  # for each shard, where the rows of each step begin and where the last ends
    samples: int  # of all shards together
    rates: Any = None  # for each step of a shard's own, what the rule reads
    careful: bool = False  # pass on nothing where a gradient is 0


@dataclass(frozen=True)
class Answer:
    """What a task found: the sum over its run of shards, None where they have no sample."""

    worker: str
    identity: Identity
    sums: Any
    losses: list[float]  # the sum of each shard's


def _work(job: Job, shards: list[Shard], numbers: Any, batch: Batch, n_jobs: int | None) -> Answer:
    """A round for a run of shards that is a part of the tree. A pure function."""
    worker = require("distributed", extra="cluster").get_worker()
    threads = n_jobs or worker.state.nthreads
    side_by_side = min(threads, len(shards))
    do = _add_up if batch.rates is None else _train_alone

    def one(k: int) -> Any:
        return do(job, shards[k], numbers, batch.cuts[k], batch, max(threads // side_by_side, 1))

    def add(x: Any, y: Any) -> Any:
        x += y
        job.spare.append(y)
        return x

    if side_by_side > 1:
        with ThreadPoolExecutor(side_by_side) as pool:
            found = list(pool.map(one, range(len(shards))))
    else:
        found = [one(k) for k in range(len(shards))]
    losses = [0.0 if sums is None else float(sums[-1]) for sums in found]
    total = _tree(found, add if batch.rates is None else _sum)
    if batch.rates is None and total is not None:
        job.spare.append(total)
        total = total.copy()
    return Answer(worker.address, identity(job.program.fingerprint), total, losses)


def _add_up(job: Job, shard: Shard, numbers: Any, cuts: tuple[int, ...], batch: Batch, n_jobs: int) -> Any:
    """The sums of a shard's part of the batch; None for no sample."""
    first, last = cuts
    if first == last:
        return None
    rows = shard.rows(job.seed, batch.epoch, first, last)
    return _named(shard, lambda: job.sums(numbers, rows, batch.samples, n_jobs, batch.careful))


def _train_alone(job: Job, shard: Shard, numbers: Any, cuts: tuple[int, ...], batch: Batch, n_jobs: int) -> Any:
    """Take a shard's own steps. What came out times its samples; then the losses of the steps; last the sum of all."""
    numpy, count = job.rule.numpy, cuts[-1] - cuts[0]
    if not count:
        return None
    numbers, losses = job.rule.numbers(numbers), numpy.zeros(len(batch.rates))
    for k, rates in enumerate(batch.rates):
        first, last = cuts[k], cuts[k + 1]
        if first == last:
            continue
        rows = shard.rows(job.seed, batch.epoch, first, last)
        theta = numbers[0, : job.moving]

        def sums(careful: bool, rows: Any = rows, theta: Any = theta, n: int = last - first) -> Any:
            return _named(shard, lambda: job.sums(theta, rows, n, n_jobs, careful))

        found = sums(False)
        if numpy.isnan(found[:-1]).any():
            found = sums(True)
        losses[k] = found[-1]
        job.rule.step(numbers, found, rates)
        job.spare.append(found)
    return numpy.concatenate([(numbers[:, : job.moving] * count).reshape(-1), losses, [losses.sum()]])


def _named(shard: Shard, compute: Callable[[], Any]) -> Any:
    try:
        return compute()
    except Exception as error:
        error.add_note(f"That was in shard {shard.number}.")
        raise


def _sum(x: Any, y: Any) -> Any:
    return tree_sum([x, y])


def _tree(parts: Sequence[Any], add: Callable[[Any, Any], Any] = _sum) -> Any:
    """Their sum, in the fixed tree: a run of 2ⁿ parts that starts at a multiple of 2ⁿ is a part of it. None is nothing."""
    parts = list(parts)
    while len(parts) > 1:
        pairs = [(*parts[k : k + 2], None)[:2] for k in range(0, len(parts), 2)]
        parts = [add(x, y) if x is not None and y is not None else y if x is None else x for x, y in pairs]
    return parts[0]


# ── the samples, and how they are cut ───────────────────────────────────────────────────────────────────────────────


class _Chunk:
    """A shard that comes from the client. It travels with the task that loads it, so that it is not lost with a worker."""

    def __init__(self, *arrays: Any) -> None:
        self.arrays = arrays

    def __call__(self) -> tuple[Any, ...]:
        return self.arrays


class _Numbered:
    """One function for all shards, and the number of a shard."""

    def __init__(self, load: Callable[[int], Any], number: int) -> None:
        self.load, self.number = load, number

    def __call__(self) -> Any:
        return self.load(self.number)


def _pieces(data: Any, shards: int | None) -> list[Any]:
    """For each shard a function that returns its arrays, or two blocks of dask arrays."""
    if shards is not None:
        shards = whole_number("shards", shards)
    if callable(data):
        if shards is None:
            raise ValueError("expected shards=…, the number of shards that the function is to load")
        return [_Numbered(data, k) for k in range(shards)]
    if isinstance(data, (tuple, list)) and len(data) == 2 and all(hasattr(part, "dask") for part in data):
        return _blocks(data[0], data[1], shards)
    if isinstance(data, list) and data and (all(map(callable, data)) or all(map(_is_chunk, data))):
        if shards not in (None, len(data)):
            raise ValueError(f"expected shards={len(data)}, as many as the list has, or None; got {shards}")
        return [piece if callable(piece) else _Chunk(*piece) for piece in data]
    numpy = require("numpy", extra="compiled")
    if isinstance(data, tuple) and len(data) == 2 and all(hasattr(part, "__array__") for part in data):
        columns = [numpy.asarray(part) for part in data]
    else:
        columns = list(map(list, zip(*samples_of("data", data), strict=True)))
    x, y = _arrays(columns)
    if not len(x):
        raise ValueError("expected at least one sample, got none")
    shards = min(SHARDS, len(x)) if shards is None else shards
    return [_Chunk(x[k::shards], y[k::shards]) for k in range(shards)]


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


# ── the checkpoint ──────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Checkpoint:
    """A training after a round. What the bits depend on travels along, and is compared when it is resumed."""

    told: dict[str, Any]  # position, seed, batch_size, … : whatever JSON can say
    tensors: dict[str, Any]  # parameters, losses, sizes and a tensor for each state of the optimizer

    def write(self, path: Path) -> None:
        """Make this the content of the file: whole or not at all."""
        safetensors = require("safetensors.numpy", extra="weights")
        replace_file(os.path.realpath(path), safetensors.save(self.tensors, {"cluster": json.dumps(self.told)}))

    @classmethod
    def read(cls, path: Path) -> Checkpoint:
        """The training in a file. Raises ValueError where there is none in it."""
        library = require("safetensors", extra="weights")
        try:
            with library.safe_open(str(path), "numpy") as file:
                told = json.loads((file.metadata() or {})["cluster"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (library.SafetensorError, KeyError, ValueError) as error:
            raise ValueError(f"{path} is not a checkpoint of cluster.fit: {error}") from None
        return cls(told, tensors)


# ── on the client ───────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Plan:
    """What the user asks for, checked."""

    epochs: int
    batch_size: int | None
    local_steps: int | None
    seed: int
    n_jobs: int | None
    width: int | str | None
    timeout: float
    every: int


class Now(NamedTuple):
    """Where a training is, changed at one blow after every round."""

    numbers: Any  # the parameters' and what the optimizer remembers, a row each
    position: tuple[int, int]  # epochs that are done, and samples of the next one
    steps: int  # of the optimizer, since it was made


class _Training:
    """A training: the set-up, its rounds, and what it leaves behind."""

    def __init__(
        self,
        client: Any,
        model: Module,
        loss: Callable[[Any, Any], Any],
        optimizer: Optimizer,
        pieces: list[Any],
        plan: Plan,
    ) -> None:
        self.numpy = require("numpy", extra="compiled")
        self.client, self.model, self.loss, self.optimizer = client, model, loss, optimizer
        self.pieces, self.plan = pieces, plan
        self.name = token_hex(8)  # two trainings on one cluster share no key
        self.rounds = 0  # that were asked for; no two have the same key
        self.held: list[Any] = []  # the futures of this training, those of past rounds too
        self.now: Now | None = None

    # The set-up.

    def start(self, kept: Checkpoint | None) -> None:
        """Look at the workers, load the shards, compile the program; nothing moves."""
        found = self.workers()
        self.identity = self.agree(found)
        self.runs = runs(len(self.pieces), len(found))
        self.load()
        seen = self.wait([self.submit("look", k, _look, data) for k, data in enumerate(self.data)])
        self.sizes, shapes = self.shapes([shard for run in seen for shard in run])
        self.make(shapes)
        self.send()
        self.begin(kept)

    def workers(self) -> dict[str, Identity]:
        """The workers there are, and what they are. Raises ValueError for one that cannot take part."""
        there = _patiently(self.client, self.plan.timeout)
        while True:
            there()
            answers = self.client.run(identity, on_error="return")
            # A worker that has just died answers with an OSError: it is none.
            answers = {name: found for name, found in answers.items() if not isinstance(found, OSError)}
            for name, found in answers.items():
                if isinstance(found, Exception):
                    raise ValueError(f"the worker {name} cannot take part: {type(found).__name__}: {found}") from found
            if answers:
                return answers
            time.sleep(PATIENCE / 10)

    def agree(self, found: dict[str, Identity]) -> Identity:
        """What the workers have in common. Raises ValueError naming those that differ, and how."""
        asked = self.plan.width
        width = min(each.processor.width for each in found.values()) if isinstance(asked, str) else asked
        if width is not None:
            for name, each in found.items():
                if each.processor.width < width:
                    raise ValueError(
                        f"the worker {name} has vectors of {each.processor.width} doubles, and width={width} was asked for"
                    )
            found = {
                name: each._replace(processor=each.processor._replace(width=width)) for name, each in found.items()
            }
        here = identity()
        for name, each in found.items():
            # The client takes the optimizer's steps, which have the same bits on every processor.
            as_here = here._replace(processor=each.processor._replace(compiler=here.processor.compiler))
            if differences := as_here.differences(each):
                raise ValueError(f"the worker {name} differs from this client: {', '.join(differences)}")
        first, common = next(iter(found.items()))
        for name, each in found.items():
            _same(first, common, name, each)
        return common

    def shapes(self, seen: list[tuple[int, list[tuple[int, ...]]]]) -> tuple[list[int], list[tuple[int, ...]]]:
        """The sizes of the shards, and the shapes of a sample, which are the same in all."""
        sizes = [count for count, _ in seen]
        filled = [k for k, count in enumerate(sizes) if count]
        if not filled:
            raise ValueError(f"expected at least one sample, got {len(sizes)} shards without any")
        expected = seen[filled[0]][1]
        for k in filled:
            if seen[k][1] != expected:
                raise ValueError(
                    f"shard {k}: expected inputs of the shape {expected[0]} and targets of {expected[1]}, "
                    f"as in shard {filled[0]}, got {seen[k][1][0]} and {seen[k][1][1]}"
                )
        return sizes, expected

    def make(self, shapes: list[tuple[int, ...]]) -> None:
        """The program and the optimizer's rule, as they travel."""
        model: Any = self.model
        loss, optimizer = self.loss, self.optimizer
        parameters = list(dict.fromkeys([*optimizer.parameters, *model.parameters()]))
        moving = len(optimizer.parameters)
        program = compile(lambda x, y: loss(model(x), y), parameters, x=shapes[0], y=shapes[1])
        alone = copy.copy(optimizer)  # the rule without its parameters
        alone.parameters, alone.lr = [], 0.0
        for name in optimizer.STATE:
            setattr(alone, name, [])
        self.theta = program.theta()
        self.rule = Rule(optimizer, moving)
        width = self.identity.processor.width
        self.job = Job(program.portable(width=width), alone, self.theta[moving:], self.plan.seed, moving)

    def load(self) -> None:
        """Let the workers load the shards, and again where a worker dies."""
        self.data = [
            self.submit("data", run.start, _load, run.start, self.arguments(self.pieces[run.start : run.stop]))
            for run in self.runs
        ]

    def send(self) -> None:
        """Give the job to the cluster, which hands it to every worker."""
        self.sent = self.submit("job", 0, copy.copy, self.job)

    def arguments(self, pieces: list[Any]) -> list[Any]:
        """The pieces as arguments of a task: of dask arrays the blocks, to be computed."""
        return [self.client.compute(piece) if isinstance(piece, list) else piece for piece in pieces]

    def begin(self, kept: Checkpoint | None) -> None:
        """The beginning, or where the checkpoint left off."""
        optimizer, plan = self.optimizer, self.plan
        self.total = sum(self.sizes)
        self.batch = self.total if plan.batch_size is None else min(plan.batch_size, self.total)
        self.history = History()
        self.counts: list[int] = []  # of the samples of the epoch's steps
        states = [[as_float(x) for x in getattr(optimizer, name)] for name in optimizer.STATE]
        self.now = Now(self.rule.numbers([self.theta[: self.job.moving], *states]), (0, 0), optimizer.steps)
        if kept is not None:
            self.restore(kept)

    def told(self) -> dict[str, Any]:
        """What a training is, as far as its bits depend on it."""
        plan, processor = self.plan, self.identity.processor
        return {
            "format": 1,
            "seed": plan.seed,
            "batch_size": self.batch,
            "local_steps": plan.local_steps,
            "shards": len(self.sizes),
            "samples": self.total,
            "optimizer": type(self.optimizer).__name__,
            "parameters": self.job.moving,
            **{f"processor's {name}": value for name, value in processor._asdict().items()},
        }

    def checkpoint(self) -> Checkpoint:
        """The training as it is."""
        assert self.now is not None
        numbers, position, steps = self.now
        told = {
            **self.told(),
            "position": position,
            "steps": steps,
            "epochs": [astuple(e) for e in self.history.epochs],
        }
        moving, array = self.job.moving, self.numpy.array
        losses, counts = array(self.history.losses), array(self.counts, dtype=int)
        tensors = {"losses": losses, "counts": counts, "sizes": array(self.sizes)}
        for name, row in zip(("parameters", *self.optimizer.STATE), numbers, strict=True):
            tensors[name] = row[:moving].copy()
        return Checkpoint(told, tensors)

    def restore(self, kept: Checkpoint) -> None:
        """Take a checkpoint over. Raises ValueError where it is another training's; nothing has changed."""
        expected = self.told()
        for name, value in expected.items():
            if kept.told.get(name) != value:
                raise ValueError(
                    f"the checkpoint is of another training: its {name} is {shown(kept.told.get(name))}, here it is {value!r}"
                )
        try:
            epoch, samples = map(int, kept.told["position"])
            steps, epochs = int(kept.told["steps"]), [Epoch(*each) for each in kept.told["epochs"]]
            rows = [kept.tensors[name] for name in ("parameters", *self.optimizer.STATE)]
            losses, counts, sizes = (kept.tensors[name].tolist() for name in ("losses", "counts", "sizes"))
            whole = all(len(row) == self.job.moving and self.numpy.isfinite(row).all() for row in rows)
        except (KeyError, TypeError, ValueError):
            whole = False
        if not whole:
            raise ValueError("the checkpoint is not whole: a number in it is missing, or not finite")
        if sizes != self.sizes:
            raise ValueError("the checkpoint is of another training: its shards have other sizes")
        if epoch > self.plan.epochs:
            raise ValueError(f"the checkpoint has {epoch} epochs done already, got epochs={self.plan.epochs}")
        self.history, self.counts = History(losses, epochs), counts
        self.now = Now(self.rule.numbers(rows), (epoch, samples), steps)

    # The rounds.

    def run(self, path: Path | None, evaluator: Compiled | None, rest: list[Any], progress: bool | None) -> History:
        """Take all rounds that are left."""
        assert self.now is not None
        history, plan = self.history, self.plan
        per_epoch = -(-self.total // self.batch)
        since = 0
        with progress_bar(progress, plan.epochs * per_epoch, "step") as bar:
            if bar is not None:
                bar.update(len(history.losses))
            while self.now.position < (plan.epochs, 0):
                before = len(history.losses)
                self.round()
                since += 1
                ended = self.now.position[1] == 0
                if ended:
                    self.commit()
                    measured = evaluator.evaluate(rest) if evaluator else (None, None)
                    history.epochs.append(self.measured(measured))
                    self.counts = []
                if path is not None and (since % plan.every == 0 or self.now.position == (plan.epochs, 0)):
                    self.checkpoint().write(path)
                if bar is not None:
                    bar.update(len(history.losses) - before)
                    bar.set_postfix_str(f"loss {history.losses[-1]:.4f}", refresh=False)
                    if ended:
                        bar.write(str(history.epochs[-1]), file=sys.stderr)
        self.forget()
        return history

    def round(self) -> None:
        """One round: a step of all shards together, or several of each alone."""
        assert self.now is not None
        numpy, plan, moving = self.numpy, self.plan, self.job.moving
        numbers, (epoch, first), steps = self.now
        ends = [first]
        for _ in range(plan.local_steps or 1):
            while ends[-1] < self.total:  # where shards are many, a batch of few samples may be empty
                following = min(ends[-1] + self.batch, self.total)
                if cut(self.sizes, following) != cut(self.sizes, ends[-1]):
                    ends.append(following)
                    break
                ends[-1] = following
        cuts = list(zip(*(cut(self.sizes, end) for end in ends), strict=True))
        counts = [sum(shard[k + 1] - shard[k] for shard in cuts) for k in range(len(ends) - 1)]
        samples = sum(counts)
        rates = numpy.array([[as_float(x) for x in self.optimizer.rates(steps + k)] for k in range(len(counts))])
        batch = Batch(None if self.batch == self.total else epoch, tuple(cuts), samples)
        if plan.local_steps is None:
            total = self.ask(batch, numbers[0, :moving].copy())
            if numpy.isnan(total[:-1]).any():
                total = self.ask(replace(batch, careful=True), numbers[0, :moving].copy())
            found = [float(total[-1]) / samples]
            moved = numbers.copy()
            self.rule.step(moved, total, rates[0])
        else:
            total = self.ask(replace(batch, rates=rates), numbers[:, :moving].copy())
            size = moving * len(numbers)
            found = (total[size:-1] / counts).tolist()
            moved = self.rule.numbers((total[:size] / samples).reshape(len(numbers), moving))
        if not numpy.isfinite(moved[0]).all():
            raise AnomalyError(
                f"step {steps}: a parameter stopped being finite; the parameters are those before that step; "
                "is the learning rate too large?"
            )
        self.history.losses += found
        self.counts += counts
        position = (epoch, ends[-1]) if ends[-1] < self.total else (epoch + 1, 0)
        self.now = Now(moved, position, steps + len(counts))

    def ask(self, batch: Batch, numbers: Any) -> Any:
        """The sum of what all shards found. Where the cluster was restarted, everything is asked for again."""
        distributed = require("distributed", extra="cluster")
        for left in reversed(range(TRIES)):
            try:
                answers = self.answers(batch, numbers)
                break
            except (distributed.CancelledError, distributed.client.ClosedClientError) as error:
                if not left:
                    raise RuntimeError(
                        f"the tasks of one round were cancelled {TRIES} times by somebody else"
                    ) from error
                self.again()
        losses = [x for answer in answers for x in answer.losses]
        for answer in answers:
            _same("the first workers", self.identity, answer.worker, answer.identity)
        if bad := [k for k, x in enumerate(losses) if not self.numpy.isfinite(x)]:
            assert self.now is not None
            raise AnomalyError(
                f"step {self.now.steps}: the loss of shard {bad[0]} is {losses[bad[0]]}; the parameters are those before "
                "that step; is the learning rate too large?"
            )
        return _tree([answer.sums for answer in answers])

    def answers(self, batch: Batch, numbers: Any) -> list[Answer]:
        self.rounds += 1
        futures = [
            self.submit(
                f"round-{self.rounds}", run.start, _work,
                self.sent, data, numbers, replace(batch, cuts=batch.cuts[run.start : run.stop]), self.plan.n_jobs,
            )
            for run, data in zip(self.runs, self.data, strict=True)
        ]  # fmt: skip
        found: list[Answer] = self.wait(futures)
        if len(self.held) * numbers.nbytes > HELD or len(self.held) > 32 * len(futures):
            self.held = [*self.data, self.sent]
        return found

    def measured(self, held_out: tuple[float | None, float | None]) -> Epoch:
        """The epoch that has just been done."""
        history = self.history
        losses = history.losses[len(history.losses) - len(self.counts) :]
        mean = fsum(x * n for x, n in zip(losses, self.counts, strict=True)) / self.total
        return Epoch(len(history.epochs) + 1, len(history.losses), mean, None, *held_out)

    # The cluster.

    def submit(self, what: str, number: int, function: Callable[..., Any], *arguments: Any) -> Any:
        """A task. Every round has a group of its own: Dask ignores where the data of large groups lie."""
        future = self.client.submit(function, *arguments, key=(f"micrograd-{what}-{self.name}", self.rounds, number))
        self.held.append(future)
        return future

    def wait(self, futures: list[Any]) -> list[Any]:
        """The results of tasks, looking now and then whether there are workers to compute them.

        Raises:
            TimeoutError: there were none, or there was no scheduler, for too long.
            RuntimeError: a task ended all workers that tried it.
        """
        distributed = require("distributed", extra="cluster")
        there = _patiently(self.client, self.plan.timeout)
        task: asyncio.Task[Any] | None = None

        async def look() -> bool:
            nonlocal task
            if task is None:
                task = asyncio.ensure_future(self.client.gather(futures, asynchronous=True))
                task.add_done_callback(lambda done: done.cancelled() or done.exception())  # asked for, so not logged
            await asyncio.wait([task], timeout=PATIENCE)
            return task.done()

        while not self.client.sync(look):
            there()
        assert task is not None
        try:
            results: list[Any] = task.result()
        except distributed.KilledWorker as error:
            raise RuntimeError(
                f"a task ended every worker that tried it, four times, the last one {error.last_worker.address}; "
                "is there memory for its shards? The workers' logs may say why"
            ) from error
        return results

    def again(self) -> None:
        """Load everything once more, when there is a scheduler: somebody has restarted it, or the workers."""
        self.forget()
        there = _patiently(self.client, self.plan.timeout)
        while self.client.status != "running":
            there()
            time.sleep(PATIENCE / 10)
        self.load()
        self.send()

    def cancel(self) -> None:
        """Leave no task behind."""
        distributed = require("distributed", extra="cluster")
        if self.client.status == "running":  # else there is no scheduler any more, and with it no task
            with suppress(OSError, distributed.client.ClosedClientError, distributed.CancelledError):
                self.client.cancel(self.held, force=True)
        self.forget()

    def forget(self) -> None:
        """Release all tasks."""
        self.held, self.data, self.sent = [], [], None

    def commit(self) -> None:
        """Let the user's parameters and optimizer be those after the last whole round."""
        if self.now is None:
            return
        numbers, _, steps = self.now
        rows = [row[: self.job.moving].tolist() for row in numbers]
        self.optimizer.commit(rows[0], rows[1:], steps - self.optimizer.steps)


def _same(first: str, expected: Identity, name: str, found: Identity) -> None:
    if differences := expected.differences(found):
        raise ValueError(
            f"the worker {name} differs from {first}, so that its last bits would: {', '.join(differences)}; "
            'take workers of one kind, or width="narrowest" where only the width differs'
        )


def _width(width: Any) -> int | str | None:
    if width is None or (isinstance(width, str) and width == "narrowest"):
        return width
    if isinstance(width, bool) or width not in (2, 4, 8):
        raise ValueError(f'expected width as 2, 4, 8, "narrowest" or None, got {shown(width)}')
    return int(width)


def _seconds(timeout: Any) -> float:
    try:
        seconds = float(timeout)
    except (TypeError, ValueError):
        raise TypeError(f"expected timeout as seconds, got {type(timeout).__name__}: {shown(timeout)}") from None
    if not seconds > 0:
        raise ValueError(f"expected timeout as seconds above 0, got {shown(timeout)}")
    return seconds


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Dask's warning of large graphs: chunks that the client holds must travel, so that none is lost."""
    with require("dask", extra="cluster").config.set({"distributed.admin.large-graph-warning-threshold": "1 PiB"}):
        yield


@contextmanager
def _connected(client: Any, timeout: float | None) -> Iterator[Any]:
    """The client, once it is found to be one; a cluster on this computer where there is none."""
    distributed = require("distributed", extra="cluster")
    if client is None:
        with (
            distributed.LocalCluster(threads_per_worker=1, dashboard_address=":0") as here,
            distributed.Client(here) as own,
        ):
            yield own
        return
    if not isinstance(client, distributed.Client):
        raise TypeError(
            f"expected client as a distributed.Client or None, got {type(client).__name__}: {shown(client)}"
        )
    if client.asynchronous:
        raise TypeError("expected a client that is not asynchronous; run the training in a thread, with one of its own")
    yield client


def _patiently(client: Any, timeout: float) -> Callable[[], None]:
    """A function that returns where there is a worker now, or was one less than `timeout` seconds ago.

    It raises TimeoutError otherwise.
    """
    seen = time.monotonic()

    def look() -> None:
        nonlocal seen
        try:
            there = client.status == "running" and client.scheduler_info(n_workers=-1)["workers"]
            missing = "worker"
        except OSError:
            there, missing = False, "scheduler"
        if there:
            seen = time.monotonic()
        elif time.monotonic() - seen > timeout or client.status == "closed":
            missing = missing if client.status == "running" else "scheduler"
            raise TimeoutError(
                f"there has been no {missing} for {timeout:g} seconds; the parameters are those after the last whole round"
            )

    return look
