"""What `fit(…, compiled=True)` runs: a model and its loss as one program, over arrays of samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from micrograd_like.anomaly import check_loss
from micrograd_like.checks import assign
from micrograd_like.compiler.program import compile
from micrograd_like.engine import Value
from micrograd_like.optim import Optimizer

Samples = Sequence[tuple[Any, Any]]


class Compiled:
    """Steps and measurements in machine code; per sample the program computes (loss, output).

    A `training.Runner`. Samples have all the same shape, those of `held_out` too.

    Raises:
        ValueError: a sample has another shape than the first.
        TypeError: a sample is not made of numbers, or the loss is no value.
        TraceError: the model or the loss does what cannot be compiled.
    """

    def __init__(
        self,
        model: Any,
        loss: Callable[[Any, Any], Any],
        correct: Callable[[Any, Any], bool] | None,
        samples: Samples,
        optimizer: Optimizer,
        batch_size: int,
        held_out: Samples = (),
        threads: int = 1,
    ) -> None:
        self.parameters = list(dict.fromkeys([*optimizer.parameters, *model.parameters()]))
        self.optimizer, self.samples, self.correct, self.batch_size = optimizer, samples, correct, batch_size
        self.threads = threads
        moves_by_its_rule = type(optimizer).step is Optimizer.step
        self.takes_epochs = moves_by_its_rule and self.parameters == optimizer.parameters

        def both(x: Any, y: Any) -> tuple[Any, Any]:
            output = model(x)
            return loss(output, y), output

        x, y = samples[0]
        shapes = _shape("the inputs", x), _shape("the target", y)
        _check_shapes("sample", samples, shapes)
        _check_shapes("held_out sample", held_out, shapes)
        self.program = compile(both, self.parameters, x=shapes[0], y=shapes[1])
        self.arrays, self.count = self.program._inputs.arrays(_columns(samples), {})

    def step(
        self, rows: Sequence[int], before: Callable[[Value, Sequence[int]], None] | None
    ) -> tuple[list[float], int]:
        if before is None:
            training = self.program._training(self.optimizer, self.arrays, self.count, self.batch_size, self.threads)
            losses = training.run(self.program._numpy.array([rows])).tolist()
            return losses, self._hits(training.outputs, [self.samples[i] for i in rows])
        arrays = [array[list(rows)] for array in self.arrays]
        loss, gradient, outputs = self.program._gradient(arrays, len(rows), n_jobs=self.threads)
        total = Value(loss)
        check_loss(total)
        assign((self.parameters, "grad", gradient.tolist()))
        before(total, rows)
        self.optimizer.step()
        return [loss], self._hits(outputs, [self.samples[i] for i in rows])

    def evaluate(self, samples: Samples) -> tuple[float, float | None]:
        columns = _columns(samples)
        loss = self.program(*columns, n_jobs=self.threads)
        if self.correct is None:
            return loss, None
        return loss, self._hits(self.program._run_outputs(columns, {}, n_jobs=self.threads), samples) / len(samples)

    def _hits(self, outputs: Any, samples: Samples) -> int:
        """How many outputs, as the model returns them, are correct."""
        if self.correct is None:
            return 0
        structure = self.program._structure[1]
        found = [structured(structure, row) for row in outputs.tolist()]
        return sum(bool(self.correct(out, y)) for out, (_, y) in zip(found, samples, strict=True))


def batches(rows: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """The rows of each mini-batch; the last one may have fewer."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def structured(structure: Any, row: list[float]) -> Any:
    """A row of outputs as the function returned them: a number, or lists of them."""
    return row[structure] if isinstance(structure, int) else [structured(x, row) for x in structure]


def _columns(samples: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
    return [x for x, _ in samples], [y for _, y in samples]


def _shape(name: str, x: Any) -> tuple[int, ...]:
    if isinstance(x, (str, bytes)):
        raise TypeError(f"expected {name} as numbers, got {type(x).__name__}: {x!r:.60}")
    if hasattr(x, "shape"):
        return tuple(x.shape)
    return (len(x), *(_shape(name, x[0]) if len(x) else ())) if isinstance(x, Sequence) else ()


def _check_shapes(name: str, samples: Samples, shapes: tuple[tuple[int, ...], ...]) -> None:
    for i, sample in enumerate(samples):
        for what, part, shape in zip(("the inputs", "the target"), sample, shapes, strict=True):
            if (found := _shape(what, part)) != shape:
                raise ValueError(f"{name} {i}: expected {what} of the shape {shape}, as in sample 0, got {found}")
