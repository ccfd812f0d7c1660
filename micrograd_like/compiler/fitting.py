"""What `fit(…, compiled=True)` runs: a model and its loss as one program, over arrays of samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from micrograd_like.compiler.program import Training, compile
from micrograd_like.engine import Value
from micrograd_like.optim import SGD


class CompiledModel:
    """A model with its loss, compiled; per sample the program computes (loss, output)."""

    def __init__(self, model: Any, loss: Callable[[Any, Any], Any], samples: Sequence[tuple[Any, Any]], optimizer: SGD):
        trained = dict.fromkeys(optimizer.parameters)
        self.parameters = list(trained | dict.fromkeys(model.parameters()))
        self.optimizer = optimizer

        def both(x: Any, y: Any) -> tuple[Any, Any]:
            output = model(x)
            return loss(output, y), output

        x, y = samples[0]
        self.program = compile(both, self.parameters, x=_shape(x), y=_shape(y))
        self.arrays, self.count = self.program._arrays(_columns(samples), {})

    def epoch(self, order: Sequence[int], batch_size: int) -> tuple[list[float], list[Any]] | None:
        """One epoch's steps: (the loss of each, the output of each sample in this order); None if a number overflows."""
        if self.parameters != self.optimizer.parameters:
            return None
        training = Training(self.program, self.optimizer, self.arrays, self.count, batch_size)
        try:
            losses, outputs = training.run(self.program._numpy.array([order]))
        except ValueError:
            return None
        return losses.tolist(), self._outputs(outputs)

    def step(self, rows: Sequence[int], outputs: list[Any]) -> Value:
        """The mean loss of some samples, and its gradient in the parameters' `.grad`."""
        arrays = [array[list(rows)] for array in self.arrays]
        loss, gradient, values = self.program._gradient(arrays, len(rows), with_outputs=True)
        outputs += self._outputs(values)
        for p, g in zip(self.parameters, gradient.tolist(), strict=True):
            p.grad = g
        return Value(loss)

    def evaluate(
        self, samples: Sequence[tuple[Any, Any]], correct: Callable[[Any, Any], bool] | None
    ) -> tuple[float, float | None]:
        """(mean loss, share of correct outputs), as the function of that name."""
        values = self.program._run_outputs(_columns(samples), {})
        loss = self.program(*_columns(samples))
        if correct is None:
            return loss, None
        hits = [correct(out, y) for out, (_, y) in zip(self._outputs(values), samples, strict=True)]
        return loss, sum(hits) / len(samples)

    def _outputs(self, values: Any) -> list[Any]:
        """The model's outputs for each sample: a number, or a list of them."""
        rows: list[Any] = values[:, 1:].tolist()
        return [row[0] for row in rows] if self.program._structure == [0, 1] else rows


def _columns(samples: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
    return [x for x, _ in samples], [y for _, y in samples]


def _shape(x: Any) -> tuple[int, ...]:
    return (len(x), *_shape(x[0])) if isinstance(x, Sequence) else ()
