"""The training loop: epochs of shuffled mini-batches, with a history, a progress bar and callbacks."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Any, Protocol

from micrograd_like._extras import progress_bar
from micrograd_like.anomaly import AnomalyError, check_loss, describe, detect_anomaly
from micrograd_like.checks import a_function, generator, listed, shown, whole_number
from micrograd_like.compiler.fitting import Compiled, batches
from micrograd_like.engine import Value
from micrograd_like.functional import binary_cross_entropy_with_logits, cross_entropy, hinge_loss, mean
from micrograd_like.graph import topological
from micrograd_like.history import Epoch, History
from micrograd_like.ieee import isfinite
from micrograd_like.jobs import threads_for
from micrograd_like.nn import Module
from micrograd_like.optim import Optimizer
from micrograd_like.order import shuffled
from micrograd_like.samples import Sample, look_at, samples_of

Before = Callable[[Value, Sequence[int]], None]  # what a step calls when its gradients are known
OF_CLASSES = (cross_entropy, hinge_loss, binary_cross_entropy_with_logits)  # losses whose outputs mean classes


@dataclass
class Step:
    """Show a callback the loss of a mini-batch with its graph and gradients, before the parameters move.

    A callback may set `stop`, and change gradients. What the loop itself goes by it must leave as it is.

    >>> import micrograd_like as mg
    >>> model = mg.Neuron(1, nonlin=False, rng=0)
    >>> def until_small(step):
    ...     step.stop = step.loss.data < 0.01
    >>> optimizer = mg.SGD(model.parameters(), lr=0.1)
    >>> fit(model, [([1.0], 2.0)], mg.mse_loss, optimizer, epochs=99, correct=None, callbacks=[until_small])
    History of 7 steps, epoch 7: loss 0.0037

    Attributes:
        number: 0 for the first
        epoch: 1 for the first
        loss: of the mini-batch, with its graph and its gradients; without a graph where it was compiled
        batch: the (inputs, target) pairs of the step
        model: what is trained
        optimizer: what is about to move it
        history: what has been measured up to here
        stop: set it to end the training after this step
    """

    number: int
    epoch: int
    loss: Value
    batch: Sequence[Sample]
    model: Module
    optimizer: Optimizer
    history: History
    stop: bool = False

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "stop" and name in vars(self):
            raise AttributeError(f"step.{name} cannot be replaced under the training loop; of a step, only stop is set")
        super().__setattr__(name, value)


def is_correct(output: Any, target: Any) -> bool:
    """Whether an output means its target.

    Several outputs: the largest is the target's class, or the largest of its probabilities. One output: it is positive
    for a target of 1, and for one that is a probability above 1/2; negative for a target of -1 or 0.
    """
    target = target[0] if isinstance(target, Sequence) and len(target) == 1 else target
    try:
        if isinstance(output, Sequence):
            best = max(range(len(output)), key=lambda i: float(output[i]))
            right = max(range(len(target)), key=lambda i: float(target[i])) if isinstance(target, Sequence) else target
            return bool(best == right)
        return (float(output) > 0) == (float(target) > 0.5)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(
            f"expected an output and a target as numbers or lists of them, got {shown(output)} and {shown(target)}"
        ) from error


def evaluate(
    model: Callable[[Any], Any],
    data: Iterable[Sample],
    loss: Callable[[Any, Any], Any],
    correct: Callable[[Any, Any], bool] | bool | None = None,
) -> tuple[float, float | None]:
    """Return (mean loss, share of correct outputs) of a model over samples.

    `data` and `correct` are as for `fit`; the share is None where outputs do not mean classes.

    >>> from micrograd_like import hinge_loss
    >>> evaluate(lambda x: 2 * x[0], [([1.0], 1), ([0.25], 1), ([-1.0], 1)], hinge_loss)
    (1.1666666666666667, 0.6666666666666666)
    """
    samples = samples_of("data", data)
    a_function("model", model), a_function("loss", loss)
    return Eager(model, loss, rule_of_correct(correct, loss), samples).evaluate(samples)


def fit(
    model: Module,
    data: Iterable[Sample],
    loss: Callable[[Any, Any], Any],
    optimizer: Optimizer,
    epochs: int,
    batch_size: int | None = None,
    *,
    held_out: Iterable[Sample] | None = None,
    correct: Callable[[Any, Any], bool] | bool | None = None,
    rng: random.Random | int = 0,
    callbacks: Sequence[Callable[[Step], Any]] = (),
    progress: bool | None = None,
    compiled: bool = False,
    n_jobs: int | None = None,
) -> History:
    """Train a model by mini-batches: the loss of a batch is the mean of its samples' losses.

    Every sample is looked at before the first step: a loss that refuses a target, or a model that refuses an input,
    does so before anything has moved.

    >>> from micrograd_like import MLP, Adam, hinge_loss
    >>> xor = [([0, 0], -1), ([0, 1], 1), ([1, 0], 1), ([1, 1], -1)]
    >>> model = MLP(2, [8, 1], activation="tanh", rng=0)
    >>> history = fit(model, xor, hinge_loss, Adam(model.parameters(), lr=0.1), epochs=60)
    >>> print(history.epochs[-1])
    epoch 60: loss 0.0000, accuracy 100.0%

    Args:
        model: called with a sample's inputs.
        data: (inputs, target) pairs; or two arrays, the inputs' and the targets', with a row for each sample.
        loss: called with the model's output and the target; returns a Value.
        optimizer: what moves the parameters.
        epochs: how often every sample is used.
        batch_size: samples per step; None for all of them. The last batch of an epoch may be smaller.
        held_out: samples to measure after every epoch, never trained on.
        correct: whether an output means its target. True for what `is_correct` says, False for data without right and
            wrong; None, the default, is True for `cross_entropy`, `hinge_loss` and `binary_cross_entropy_with_logits`,
            whose outputs mean classes, and False for other losses.
        rng: shuffles the samples before every epoch; a `random.Random`, or a seed for one.
        callbacks: each is called with a `Step` after the gradients are known and before the parameters move.
        progress: True for a progress bar (tqdm), False for none, None for one on a terminal that has tqdm.
        compiled: compile the model and its loss first (extra `compiled`). The same samples in the same order; losses
            differ from the eager ones by rounding only. Without callbacks a whole epoch runs as machine code, and
            leaves no gradients; with them, each `Step` has its gradients, but a loss without a graph.
        n_jobs: where `compiled`, how many threads share a step of many samples, as in scikit-learn: None is 1, or what
            `joblib.parallel_config` says; -1 is all cores. Any number gives the same bits.

    Raises:
        TraceError: `compiled`, and the model or the loss does what cannot be compiled.
        AnomalyError: the loss or a gradient stopped being finite. The error says which operation was first, from which
            operands and on which line; the parameters are those before that step.
        ValueError: no samples, or a number out of its range; nothing has been trained.
        TypeError: an argument of the wrong kind; nothing has been trained.
        RuntimeError: a callback changed what the loop goes by.
    """
    samples = samples_of("data", data)
    rest = [] if held_out is None else samples_of("held_out", held_out)
    epochs = whole_number("epochs", epochs)
    size = len(samples) if batch_size is None else min(whole_number("batch_size", batch_size), len(samples))
    a_function("model", model), a_function("loss", loss)
    callbacks = [
        a_function("a callback", callback) for callback in listed("callbacks", callbacks, "a list of functions")
    ]
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"expected an optimizer, such as SGD, got {type(optimizer).__name__}: {shown(optimizer)}")
    threads = threads_for(n_jobs)
    if not compiled and n_jobs is not None and threads > 1:
        raise ValueError("expected n_jobs with compiled=True: Python itself computes on one core at a time")
    random_order, rule = generator("rng", rng), rule_of_correct(correct, loss)
    made: Runner = (
        Compiled(model, loss, rule, samples, optimizer, size, rest, threads)
        if compiled
        else Eager(model, loss, rule, samples, optimizer)
    )
    look_at("data", samples, model, loss)
    look_at("held_out", rest, model, loss)
    run, history = _Hunt(made, Eager(model, loss, None, samples, optimizer), size), History()
    watch = Watch(callbacks, model, samples, optimizer, history)
    whole = made.takes_epochs and not callbacks
    with progress_bar(progress, epochs * -(-len(samples) // size), "step") as bar:
        for _ in range(epochs):
            order = shuffled(len(samples), random_order)
            hits, first = 0, len(history.losses)
            for rows in [order] if whole else batches(order, size):
                losses, right = run.step(rows, None if whole else watch)
                history.losses += losses
                hits += right
                _show(bar, losses)
                if watch.stop:
                    break
            seen = min(size * (len(history.losses) - first), len(samples))
            measured = made.evaluate(rest) if rest else (None, None)
            history.epochs.append(_epoch(history, seen, size, hits if rule else None, measured))
            if bar is not None:
                bar.write(str(history.epochs[-1]), file=sys.stderr)
            if watch.stop:
                break
    return history


class Runner(Protocol):
    """What takes the steps and measures: in Python (`Eager`), or in machine code (`Compiled`)."""

    takes_epochs: bool  # whether `step` takes the rows of a whole epoch at once

    def step(self, rows: Sequence[int], before: Before | None) -> tuple[list[float], int]:
        """Take the step of a mini-batch, the samples with these numbers: (its loss, how many outputs were correct).

        `before` is called when the gradients are known, with the loss and the rows. None, where `takes_epochs`: take
        all steps of an epoch, in the order of the rows, and return the loss of each.

        Raises:
            AnomalyError: the loss is not finite; nothing has moved.
            ValueError: a parameter would stop being finite; nothing has moved.
        """

    def evaluate(self, samples: Sequence[Sample]) -> tuple[float, float | None]:
        """Measure (mean loss, share of correct outputs, None where nothing is)."""


class Eager:
    """Steps in Python, with the graph of each mini-batch's loss."""

    takes_epochs = False

    def __init__(
        self,
        model: Any,
        loss: Callable[[Any, Any], Any],
        correct: Callable[[Any, Any], bool] | None,
        samples: Sequence[Sample],
        optimizer: Optimizer | None = None,
    ) -> None:
        self.model, self.loss, self.correct, self.samples, self.optimizer = model, loss, correct, samples, optimizer

    def step(self, rows: Sequence[int], before: Before | None) -> tuple[list[float], int]:
        assert self.optimizer is not None
        assert before is not None
        total, hits = self.batch_loss(rows)
        check_loss(total)
        self.optimizer.zero_grad()
        total.backward()
        before(total, rows)
        self.optimizer.step()
        return [float(total)], hits

    def batch_loss(self, rows: Sequence[int]) -> tuple[Value, int]:
        """Compute (mean loss, number of correct outputs) of the samples with these numbers."""
        measured = [self._measure(*self.samples[i]) for i in rows]
        return mean([loss for loss, _ in measured]), sum(hit for _, hit in measured)

    def evaluate(self, samples: Sequence[Sample]) -> tuple[float, float | None]:
        losses, hits = [], 0
        for x, target in samples:
            loss, hit = self._measure(x, target)
            losses.append(float(loss))
            hits += hit
        return float(mean(losses)), None if self.correct is None else hits / len(samples)

    def _measure(self, x: Any, target: Any) -> tuple[Any, bool]:
        output = self.model(x)
        return self.loss(output, target), self.correct is not None and bool(self.correct(output, target))


class Watch:
    """Show each step to the callbacks, and hold them to what they may change.

    `stop` says whether one of them wants no more steps after this one.
    """

    def __init__(
        self,
        callbacks: Sequence[Callable[[Step], Any]],
        model: Any,
        samples: Sequence[Sample],
        optimizer: Optimizer,
        history: History,
    ) -> None:
        self.callbacks, self.model, self.samples = callbacks, model, samples
        self.optimizer, self.history = optimizer, history
        self.stop = False

    def __call__(self, loss: Value, rows: Sequence[int]) -> None:
        if not self.callbacks:
            return
        optimizer, history = self.optimizer, self.history
        number, epochs, parameters = len(history.losses), len(history.epochs), list(optimizer.parameters)
        batch = tuple(self.samples[i] for i in rows)
        step = Step(number, epochs + 1, loss, batch, self.model, optimizer, history)
        for callback in self.callbacks:
            callback(step)
            if (len(history.losses), len(history.epochs)) != (number, epochs):
                raise RuntimeError(
                    "a callback changed step.history, which the training loop writes; work on a copy of it"
                )
            if optimizer.parameters != parameters:
                raise RuntimeError(
                    "a callback changed step.optimizer.parameters under the loop; make another optimizer"
                )
        self.stop = step.stop


class _Hunt:
    """A runner whose failures say at which step, and which operation was the first to be not finite, on which line."""

    def __init__(self, run: Runner, eager: Eager, size: int) -> None:
        self.run, self.eager, self.size = run, eager, size
        self.taken = 0  # steps

    def step(self, rows: Sequence[int], before: Before | None) -> tuple[list[float], int]:
        """Take steps as the runner does. Raises AnomalyError, which names the first operation, as `fit` promises."""
        try:
            losses, hits = self.run.step(rows, before)
        except (AnomalyError, ValueError) as error:
            if before is None:  # nothing has moved: one step after the other, up to the one that fails
                steps = [self.step(batch, lambda *_: None) for batch in batches(rows, self.size)]
                return [loss for losses, _ in steps for loss in losses], sum(hits for _, hits in steps)
            cause = self._loss(rows, error) if isinstance(error, AnomalyError) else self._gradient(rows, error)
            if cause is error:
                raise
            raise cause from (error if isinstance(error, ValueError) else None)
        self.taken += len(losses)
        return losses, hits

    def _loss(self, rows: Sequence[int], error: AnomalyError) -> AnomalyError:
        """The loss, computed once more with every operation watched, to name the line."""
        if error.location is not None or error.node is None:  # it was watched already, by the user
            return error
        total = error.node
        try:
            with detect_anomaly():
                self.eager.batch_loss(rows)
        except AnomalyError as first:
            return AnomalyError(f"step {self.taken}: {error}: {first}", first.node, first.location)
        node = next((node for node in topological(total) if not isfinite(node.data)), total)
        return AnomalyError(f"step {self.taken}: {error}: {describe(node)}", node)

    def _gradient(self, rows: Sequence[int], error: ValueError) -> Exception:
        """A finite loss with a gradient that is not, found in the same way; else the error as it is."""
        assert self.eager.optimizer is not None
        if all(p.grad is None or isfinite(p.grad) for p in self.eager.optimizer.parameters):
            return error
        try:
            with detect_anomaly():
                self.eager.batch_loss(rows)[0].backward()
        except AnomalyError as first:
            return AnomalyError(f"step {self.taken}: the loss is finite, but {first}", first.node, first.location)
        return error


def _epoch(
    history: History, seen: int, size: int, hits: int | None, held_out: tuple[float | None, float | None]
) -> Epoch:
    """The epoch that has just been done, of so many samples."""
    sizes = [min(size, seen - start) for start in range(0, seen, size)]
    weighted = [x * n for x, n in zip(history.losses[-len(sizes) :], sizes, strict=True)]
    accuracy = None if hits is None else hits / seen
    return Epoch(len(history.epochs) + 1, len(history.losses), fsum(weighted) / seen, accuracy, *held_out)


def _show(bar: Any, losses: Sequence[float]) -> None:
    if bar is not None:
        bar.update(len(losses))
        bar.set_postfix_str(f"loss {losses[-1]:.4f}", refresh=False)


def rule_of_correct(
    correct: Callable[[Any, Any], bool] | bool | None, loss: Callable[[Any, Any], Any]
) -> Callable[[Any, Any], bool] | None:
    """The function that says whether an output is correct; None where nothing is."""
    if correct is None:
        correct = any(loss is each for each in OF_CLASSES)
    if isinstance(correct, bool):
        return is_correct if correct else None
    if not callable(correct):
        raise TypeError(
            f"expected correct as a function, True, False or None, got {type(correct).__name__}: {shown(correct)}"
        )
    return correct
