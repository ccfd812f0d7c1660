"""The client's part of a training: it sets up the workers, asks for rounds, and takes the optimizer's steps."""

from __future__ import annotations

import asyncio
import copy
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, replace
from math import fsum
from pathlib import Path
from secrets import token_hex
from typing import Any, NamedTuple

from micrograd_like._extras import progress_bar, require
from micrograd_like.anomaly import AnomalyError
from micrograd_like.checks import assign, shown
from micrograd_like.cluster.checkpoint import Checkpoint
from micrograd_like.cluster.connection import patiently
from micrograd_like.cluster.rule import Rule
from micrograd_like.cluster.shards import cut, load, look, runs
from micrograd_like.cluster.work import Answer, Batch, Identity, Job, identity, tree, work
from micrograd_like.compiler.fitting import Compiled
from micrograd_like.compiler.program import compile
from micrograd_like.engine import Value
from micrograd_like.history import Epoch, History
from micrograd_like.ieee import as_float
from micrograd_like.nn import Module
from micrograd_like.optim import Optimizer
from micrograd_like.training import Step, Watch

PATIENCE = 1.0  # seconds between two looks at whether there are workers
TRIES = 3  # of one round, where somebody else restarts the cluster under it
HELD = 16 << 20  # bytes of results that wait to be released together: each release costs a message and 10 ms


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


class Training:
    """A training: the set-up, its rounds, and what it leaves behind."""

    def __init__(
        self,
        client: Any,
        model: Module,
        loss: Callable[[Any, Any], Any],
        optimizer: Optimizer,
        pieces: list[Any],
        plan: Plan,
        correct: Callable[[Any, Any], bool] | None,
    ) -> None:
        self.numpy = require("numpy", extra="compiled")
        self.client, self.model, self.loss, self.optimizer = client, model, loss, optimizer
        self.pieces, self.plan, self.correct = pieces, plan, correct
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
        seen = self.wait([self.submit("look", k, look, data) for k, data in enumerate(self.data)])
        self.sizes, shapes = self.shapes([shard for run in seen for shard in run])
        self.make(shapes)
        self.send()
        self.begin(kept)

    def workers(self) -> dict[str, Identity]:
        """The workers there are, and what they are. Raises ValueError for one that cannot take part."""
        there = patiently(self.client, self.plan.timeout)
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

        def with_output(x: Any, y: Any) -> Any:
            output = model(x)
            return loss(output, y), output

        def without(x: Any, y: Any) -> Any:
            return loss(model(x), y)

        program = compile(with_output if self.correct else without, parameters, x=shapes[0], y=shapes[1])
        alone = copy.copy(optimizer)  # the rule without its parameters
        alone.parameters, alone.lr = [], 0.0
        for name in optimizer.STATE:
            setattr(alone, name, [])
        self.parameters, self.theta = parameters, program.theta()
        self.rule = Rule(optimizer, moving)
        width = self.identity.processor.width
        self.job = Job(program.portable(width=width), alone, self.theta[moving:], self.plan.seed, moving, self.correct)

    def load(self) -> None:
        """Let the workers load the shards, and again where a worker dies."""
        self.data = [
            self.submit("data", run.start, load, run.start, self.arguments(self.pieces[run.start : run.stop]))
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
        plan = self.plan
        self.total = sum(self.sizes)
        self.batch = self.total if plan.batch_size is None else min(plan.batch_size, self.total)
        self.history = History()
        self.counts: list[int] = []  # of the samples of the epoch's steps
        self.hits = 0  # of them, whose outputs were correct
        self.now = Now(self.rule.numbers(self.rows()), (0, 0), self.optimizer.steps)
        if kept is not None:
            self.restore(kept)

    def told(self) -> dict[str, Any]:
        """What a training is, as far as its bits depend on it."""
        plan, processor = self.plan, self.identity.processor
        return {
            "format": 2,
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
            "correct": self.hits,
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
            steps, hits = int(kept.told["steps"]), int(kept.told["correct"])
            epochs = [Epoch(*each) for each in kept.told["epochs"]]
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
        self.history, self.counts, self.hits = History(losses, epochs), counts, hits
        self.now = Now(self.rule.numbers(rows), (epoch, samples), steps)

    # The rounds.

    def run(
        self,
        path: Path | None,
        evaluator: Compiled | None,
        callbacks: Sequence[Callable[[Step], Any]],
        progress: bool | None,
    ) -> History:
        """Take all rounds that are left, or those until a callback wants no more."""
        assert self.now is not None
        history, plan = self.history, self.plan
        per_epoch = -(-self.total // self.batch)
        since = 0
        watch = Watch(callbacks, self.model, (), self.optimizer, history) if callbacks else None
        with progress_bar(progress, plan.epochs * per_epoch, "step") as bar:
            if bar is not None:
                bar.update(len(history.losses))
            while self.now.position < (plan.epochs, 0):
                before = len(history.losses)
                self.round(watch)
                since += 1
                stopped = watch is not None and watch.stop
                ended = self.now.position[1] == 0
                if ended:
                    self.end_epoch(evaluator)
                if path is not None and (since % plan.every == 0 or stopped or self.now.position == (plan.epochs, 0)):
                    self.checkpoint().write(path)  # of an epoch that was stopped, to be gone on with
                if stopped and not ended:
                    self.end_epoch(evaluator)
                if bar is not None:
                    bar.update(len(history.losses) - before)
                    bar.set_postfix_str(f"loss {history.losses[-1]:.4f}", refresh=False)
                    if ended or stopped:
                        bar.write(str(history.epochs[-1]), file=sys.stderr)
                if stopped:
                    break
        self.forget()
        return history

    def round(self, watch: Watch | None) -> None:
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
            total, hits = self.ask(batch, numbers[0, :moving].copy())
            if numpy.isnan(total[:-1]).any():
                total, hits = self.ask(replace(batch, careful=True), numbers[0, :moving].copy())
            found = [float(total[-1]) / samples]
            if watch is None:
                moved = numbers.copy()
                self.rule.step(moved, total, rates[0])
            else:
                moved = self.watched(watch, steps, total, found[0])
        else:
            total, hits = self.ask(replace(batch, rates=rates), numbers[:, :moving].copy())
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
        self.hits += hits
        position = (epoch, ends[-1]) if ends[-1] < self.total else (epoch + 1, 0)
        self.now = Now(moved, position, steps + len(counts))

    def watched(self, watch: Watch, step: int, total: Any, loss: float) -> Any:
        """Take a step in Python, where the callbacks see it as those of `fit` do, and may change gradients."""
        self.commit()
        assign((self.parameters, "grad", total[:-1].tolist()))
        watch(Value(loss), ())
        try:
            self.optimizer.step()
        except ValueError as error:
            raise AnomalyError(f"step {step}: {error}; the parameters are those before that step") from error
        return self.rule.numbers(self.rows())

    def rows(self) -> list[list[float]]:
        """The numbers of the optimizer's parameters, and what it remembers of them."""
        optimizer = self.optimizer
        states = [[as_float(x) for x in getattr(optimizer, name)] for name in optimizer.STATE]
        return [[as_float(p.data) for p in optimizer.parameters], *states]

    def ask(self, batch: Batch, numbers: Any) -> tuple[Any, int]:
        """The sum of what all shards found, and how many outputs were correct. Where the cluster was restarted, everything is asked for again."""
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
        return tree([answer.sums for answer in answers]), sum(answer.hits for answer in answers)

    def answers(self, batch: Batch, numbers: Any) -> list[Answer]:
        self.rounds += 1
        futures = [
            self.submit(
                f"round-{self.rounds}", run.start, work,
                self.sent, data, numbers, replace(batch, cuts=batch.cuts[run.start : run.stop]), self.plan.n_jobs,
            )
            for run, data in zip(self.runs, self.data, strict=True)
        ]  # fmt: skip
        found: list[Answer] = self.wait(futures)
        if len(self.held) * numbers.nbytes > HELD or len(self.held) > 32 * len(futures):
            self.held = [*self.data, self.sent]
        return found

    def end_epoch(self, evaluator: Compiled | None) -> None:
        """Write the parameters back, and what the epoch came to, into the history."""
        self.commit()
        held_out = evaluator.evaluate(evaluator.samples) if evaluator else (None, None)
        history, seen = self.history, sum(self.counts)
        losses = history.losses[len(history.losses) - len(self.counts) :]
        mean = fsum(x * n for x, n in zip(losses, self.counts, strict=True)) / seen
        accuracy = self.hits / seen if self.correct else None
        history.epochs.append(Epoch(len(history.epochs) + 1, len(history.losses), mean, accuracy, *held_out))
        self.counts, self.hits = [], 0

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
        there = patiently(self.client, self.plan.timeout)
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
        there = patiently(self.client, self.plan.timeout)
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
