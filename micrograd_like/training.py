"""The training loop: epochs of shuffled mini-batches, with a history, a progress bar and callbacks."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import fsum
from typing import Any

from micrograd_like._extras import progress_bar
from micrograd_like.anomaly import AnomalyError, describe, detect_anomaly
from micrograd_like.compiler.fitting import CompiledModel
from micrograd_like.engine import Value
from micrograd_like.functional import mean
from micrograd_like.graph import topological
from micrograd_like.ieee import isfinite
from micrograd_like.nn import Module
from micrograd_like.optim import SGD

Sample = tuple[Any, Any]  # (inputs, target)


@dataclass(frozen=True)
class Epoch:
    """What was measured over one epoch. Training figures are means over its steps, as the parameters moved."""

    epoch: int  # 1 for the first
    steps: int  # steps taken since the start of the training
    loss: float
    accuracy: float | None
    held_out_loss: float | None
    held_out_accuracy: float | None

    def __str__(self) -> str:
        parts = [f"epoch {self.epoch}: loss {self.loss:.4f}"]
        if self.accuracy is not None:
            parts.append(f"accuracy {self.accuracy:.1%}")
        if self.held_out_loss is not None:
            parts.append(f"held-out loss {self.held_out_loss:.4f}")
        if self.held_out_accuracy is not None:
            parts.append(f"held-out accuracy {self.held_out_accuracy:.1%}")
        return ", ".join(parts)


@dataclass
class History:
    """The loss of every step's mini-batch, before the step, and an `Epoch` for every epoch."""

    losses: list[float] = field(default_factory=list)
    epochs: list[Epoch] = field(default_factory=list)


@dataclass
class Step:
    """What a callback sees: the loss of a mini-batch with its graph and gradients, before the parameters move."""

    number: int  # 0 for the first
    epoch: int  # 1 for the first
    loss: Value
    batch: Sequence[Sample]
    model: Module
    optimizer: SGD
    history: History
    stop: bool = False  # set it to end the training after this step


def is_correct(output: Any, target: Any) -> bool:
    """Whether an output means its target.

    Several outputs: the largest is the target's class, or the largest of its probabilities. One output: it has the
    sign of a target of -1 or 1, or is positive exactly where a target of 0 or 1 is.
    """
    if isinstance(output, Sequence):
        best = max(range(len(output)), key=lambda i: float(output[i]))
        right = max(range(len(target)), key=lambda i: float(target[i])) if isinstance(target, Sequence) else target
        return bool(best == right)
    return bool((float(output) > 0) == (float(target) > 0))


def evaluate(
    model: Callable[[Any], Any],
    data: Iterable[Sample],
    loss: Callable[[Any, Any], Any],
    correct: Callable[[Any, Any], bool] | None = is_correct,
) -> tuple[float, float | None]:
    """(mean loss, share of correct outputs) of a model over samples; None for the share where `correct` is None."""
    samples = _samples("data", data)
    losses, hits = [], 0
    for x, target in samples:
        output = model(x)
        losses.append(float(loss(output, target)))
        hits += correct is not None and correct(output, target)
    return float(mean(losses)), None if correct is None else hits / len(samples)


def fit(
    model: Module,
    data: Iterable[Sample],
    loss: Callable[[Any, Any], Any],
    optimizer: SGD,
    epochs: int,
    batch_size: int | None = None,
    *,
    held_out: Iterable[Sample] | None = None,
    correct: Callable[[Any, Any], bool] | None = is_correct,
    rng: random.Random | int = 0,
    callbacks: Sequence[Callable[[Step], Any]] = (),
    progress: bool | None = None,
    compiled: bool = False,
) -> History:
    """Train a model by mini-batch SGD: the loss of a batch is the mean of its samples' losses.

    Args:
        model: called with a sample's inputs.
        data: (inputs, target) pairs.
        loss: called with the model's output and the target; returns a Value.
        optimizer: what moves the parameters.
        epochs: how often every sample is used.
        batch_size: samples per step; None for all of them. The last batch of an epoch may be smaller.
        held_out: samples to measure after every epoch, never trained on.
        correct: whether an output means its target; None for data without right and wrong.
        rng: shuffles the samples before every epoch; a `random.Random`, or a seed for one.
        callbacks: each is called with a `Step` after the gradients are known and before the parameters move.
        progress: True for a progress bar (tqdm), False for none, None for one on a terminal that has tqdm.
        compiled: compile the model and its loss first (extra `compiled`). The same samples in the same order; losses
            differ from the eager ones by rounding only. Without callbacks a whole epoch runs as machine code, and
            leaves no gradients; with them, each `Step` has its gradients, but a loss without a graph.

    Raises:
        TraceError: `compiled`, and the model or the loss does what cannot be compiled.
        AnomalyError: the loss or a gradient stopped being finite. The error says which operation was first, from which
            operands and on which line; the parameters are those before that step.
        ValueError: no samples, or a number out of its range; nothing has been trained.
    """
    samples = _samples("data", data)
    rest = None if held_out is None else _samples("held_out", held_out)
    for name, count in {"epochs": epochs, "batch_size": len(samples) if batch_size is None else batch_size}.items():
        if not hasattr(count, "__index__") or isinstance(count, bool) or count < 1:
            raise ValueError(f"expected {name} as a whole number of at least 1, got {count!r:.60}")
    size = batch_size or len(samples)
    shuffle = (rng if isinstance(rng, random.Random) else random.Random(rng)).shuffle
    order = list(range(len(samples)))
    predict: Callable[[Any], Any] = model  # type: ignore[assignment]  # a model is called
    run = CompiledModel(model, loss, samples, optimizer) if compiled else None
    history = History()
    with progress_bar(progress, epochs * -(-len(samples) // size), "step") as bar:
        for epoch in range(1, epochs + 1):
            shuffle(order)
            seen, hits = 0, 0
            if run is not None and not callbacks and (whole := run.epoch(order, size)) is not None:
                losses, outputs = whole
                history.losses += losses
                seen = len(samples)
                hits = sum(correct(out, samples[i][1]) for out, i in zip(outputs, order, strict=True)) if correct else 0
                if bar is not None:
                    bar.update(len(losses))
            for start in range(seen, len(samples), size):
                rows = order[start : start + size]
                batch = [samples[i] for i in rows]
                outputs = []
                total = _batch_loss(model, loss, batch, outputs) if run is None else run.step(rows, outputs)
                if not isfinite(total.data):
                    raise _first_non_finite(model, loss, batch, total, len(history.losses))
                if run is None:
                    optimizer.zero_grad()
                    total.backward()
                step = Step(len(history.losses), epoch, total, batch, model, optimizer, history)
                for callback in callbacks:
                    callback(step)
                try:
                    optimizer.step()
                except ValueError as error:
                    cause = _first_non_finite_gradient(model, loss, batch, optimizer, step.number)
                    if cause is None:
                        raise
                    raise cause from error
                history.losses.append(float(total))
                seen += len(batch)
                hits += sum(correct(out, y) for out, (_, y) in zip(outputs, batch, strict=True)) if correct else 0
                if bar is not None:
                    bar.update()
                    bar.set_postfix_str(f"loss {float(total):.4f}", refresh=False)
                if step.stop:
                    break
            measured: tuple[float | None, float | None] = (None, None)
            if rest:
                measured = run.evaluate(rest, correct) if run else evaluate(predict, rest, loss, correct)
            history.epochs.append(_measure(history, epoch, seen, hits if correct else None, size, measured))
            if bar is not None:
                bar.write(str(history.epochs[-1]), file=sys.stderr)
            if callbacks and step.stop:
                break
    return history


def _batch_loss(model: Any, loss: Any, batch: Sequence[Sample], outputs: list[Any]) -> Value:
    losses = []
    for x, target in batch:
        outputs.append(model(x))
        losses.append(loss(outputs[-1], target))
    total = mean(losses)
    if not isinstance(total, Value):
        raise TypeError(f"expected the loss as a Value that depends on the model, got {type(total).__name__}")
    return total


def _first_non_finite(model: Any, loss: Any, batch: Sequence[Sample], total: Value, step: int) -> AnomalyError:
    """The error for a loss that is not finite: computed once more with every operation watched, to name the line."""
    try:
        with detect_anomaly():
            _batch_loss(model, loss, batch, [])
    except AnomalyError as error:
        return AnomalyError(f"step {step}: the loss is {total.data}: {error}", error.node, error.location)
    node = next((node for node in topological(total) if not isfinite(node.data)), total)
    return AnomalyError(f"step {step}: the loss is {total.data}: {describe(node)}", node)


def _first_non_finite_gradient(
    model: Any, loss: Any, batch: Sequence[Sample], optimizer: SGD, step: int
) -> AnomalyError | None:
    """The error for a finite loss whose gradient is not, found as above; None where the gradient is not to blame."""
    if all(isfinite(parameter.grad) for parameter in optimizer.parameters):
        return None
    try:
        with detect_anomaly():
            _batch_loss(model, loss, batch, []).backward()
    except AnomalyError as error:
        return AnomalyError(f"step {step}: the loss is finite, but {error}", error.node, error.location)
    return None


def _measure(
    history: History, epoch: int, seen: int, hits: int | None, size: int, held_out: tuple[float | None, float | None]
) -> Epoch:
    sizes = [min(size, seen - start) for start in range(0, seen, size)]
    weighted = [x * n for x, n in zip(history.losses[-len(sizes) :], sizes, strict=True)]
    accuracy = None if hits is None else hits / seen
    return Epoch(epoch, len(history.losses), fsum(weighted) / seen, accuracy, *held_out)


def _samples(name: str, data: Iterable[Sample]) -> list[Sample]:
    samples = list(data)
    if not samples:
        raise ValueError(f"expected {name} as at least one (inputs, target) pair, got none")
    for sample in samples:
        if not isinstance(sample, Sequence) or len(sample) != 2:
            raise ValueError(f"expected {name} as (inputs, target) pairs, got {sample!r:.60}")
    return samples
