"""What a worker does in a round: pure functions of the parameters, the round and its shards."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from operator import add, iadd
from typing import Any, NamedTuple

from micrograd_like._extras import require
from micrograd_like.cluster.rule import Rule
from micrograd_like.cluster.shards import Shard
from micrograd_like.compiler import native
from micrograd_like.compiler.fitting import structured
from micrograd_like.compiler.program import Program
from micrograd_like.optim import Optimizer
from micrograd_like.training import is_correct


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
    correct: (
        Callable[[Any, Any], bool] | None
    )  # whether an output means its target; then the program has the outputs too

    @cached_property
    def rule(self) -> Rule:
        return Rule(self.optimizer, self.moving)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("rule", "spare")}

    @cached_property
    def spare(self) -> list[Any]:
        """Arrays for sums, kept: where Dask lets memory be given back at once, a new one costs more than many a sum."""
        return []

    def sums(
        self, numbers: Any, arrays: Sequence[Any], samples: int, n_jobs: int, careful: bool = False
    ) -> tuple[Any, int]:
        """The sum over the samples of their gradients, divided by `samples`, and last the sum of their losses.

        And how many outputs were correct.
        """
        numpy = require("numpy", extra="compiled")
        theta = numpy.append(numbers, self.frozen) if len(self.frozen) else numbers
        try:
            out = self.spare.pop()
        except IndexError:
            out = numpy.empty(len(theta) + 1)
        rows, count = self.program._inputs.arrays(arrays, {})
        sums, outputs = self.program._shard_sums(rows, count, theta, samples, n_jobs, careful, out)
        return sums, 0 if self.correct is None else self.hits(outputs, arrays[1])

    def hits(self, outputs: Any, targets: Any) -> int:
        """How many outputs are correct, a row for each sample."""
        assert self.correct is not None
        structure = self.program._structure[1]
        if self.correct is is_correct and targets.ndim == 1:  # the same, for all samples at once
            if isinstance(structure, int):
                return int(((outputs[:, structure] > 0) == (targets > 0.5)).sum())
            if all(isinstance(each, int) for each in structure):
                return int((outputs[:, structure].argmax(axis=1) == targets).sum())
        found = [structured(structure, row) for row in outputs.tolist()]
        return sum(bool(self.correct(out, y)) for out, y in zip(found, targets.tolist(), strict=True))


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
    hits: int  # samples whose outputs were correct


def work(job: Job, shards: list[Shard], numbers: Any, batch: Batch, n_jobs: int | None) -> Answer:
    """A round for a run of shards that is a part of the tree. A pure function."""
    worker = require("distributed", extra="cluster").get_worker()
    threads = n_jobs or worker.state.nthreads
    side_by_side = min(threads, len(shards))
    do = _add_up if batch.rates is None else _train_alone

    def one(k: int) -> Any:
        try:
            return do(job, shards[k], numbers, batch.cuts[k], batch, max(threads // side_by_side, 1))
        except Exception as error:
            error.add_note(f"That was in shard {shards[k].number}.")
            raise

    if side_by_side > 1:
        with ThreadPoolExecutor(side_by_side) as pool:
            found = list(pool.map(one, range(len(shards))))
    else:
        found = [one(k) for k in range(len(shards))]
    parts, hits = [sums for sums, _ in found], sum(hits for _, hits in found)
    losses = [0.0 if sums is None else float(sums[-1]) for sums in parts]
    total = tree(parts, iadd)
    if batch.rates is None:
        total = copy(total)  # before another task can take its array
        job.spare.extend(sums for sums in parts if sums is not None)
    return Answer(worker.address, identity(job.program.fingerprint), total, losses, hits)


def _add_up(job: Job, shard: Shard, numbers: Any, cuts: tuple[int, ...], batch: Batch, n_jobs: int) -> tuple[Any, int]:
    """The sums of a shard's part of the batch, and how many outputs were correct; None for no sample."""
    first, last = cuts
    if first == last:
        return None, 0
    rows = shard.rows(job.seed, batch.epoch, first, last)
    return job.sums(numbers, rows, batch.samples, n_jobs, batch.careful)


def _train_alone(
    job: Job, shard: Shard, numbers: Any, cuts: tuple[int, ...], batch: Batch, n_jobs: int
) -> tuple[Any, int]:
    """Take a shard's own steps. What came out times its samples; then the losses of the steps; last the sum of all.

    And how many outputs were correct, each before its step.
    """
    numpy, count = job.rule.numpy, cuts[-1] - cuts[0]
    if not count:
        return None, 0
    correct = 0
    numbers, losses = job.rule.numbers(numbers), numpy.zeros(len(batch.rates))
    for k, (first, last) in enumerate(pairwise(cuts)):
        if first == last:
            continue
        rows = shard.rows(job.seed, batch.epoch, first, last)
        theta = numbers[0, : job.moving]
        found, hits = job.sums(theta, rows, last - first, n_jobs)
        if numpy.isnan(found[:-1]).any():
            found, hits = job.sums(theta, rows, last - first, n_jobs, careful=True)
        correct += hits
        losses[k] = found[-1]
        job.rule.step(numbers, found, batch.rates[k])
        job.spare.append(found)
    return numpy.concatenate([(numbers[:, : job.moving] * count).reshape(-1), losses, [losses.sum()]]), correct


def tree(parts: Sequence[Any], add: Callable[[Any, Any], Any] = add) -> Any:
    """Their sum, in the fixed tree: a run of 2ⁿ parts that starts at a multiple of 2ⁿ is a part of it. None is nothing.

    It is the tree of the compiler's `tree_sum`. `add` may add into its first argument.
    """
    parts = list(parts)
    while len(parts) > 1:
        pairs = [(*parts[k : k + 2], None)[:2] for k in range(0, len(parts), 2)]
        parts = [add(x, y) if x is not None and y is not None else y if x is None else x for x, y in pairs]
    return parts[0]
