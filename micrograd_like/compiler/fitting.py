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
        shapes = _shape("the inputs", x), _shape("the target", y)
        for i, sample in enumerate(samples):
            for name, part, shape in zip(("the inputs", "the target"), sample, shapes, strict=True):
                if (found := _shape(name, part)) != shape:
                    raise ValueError(f"sample {i}: expected {name} of the shape {shape}, as in sample 0, got {found}")
        _check_targets(loss, model(x), [y for _, y in samples])
        self.program = compile(both, self.parameters, x=shapes[0], y=shapes[1])
        if not self.program._has_loss:
            raise TypeError("expected the loss as a Value that depends on the model, got a list or tuple of values")
        self.arrays, self.count = self.program._arrays(_columns(samples), {})

    def epoch(self, order: Sequence[int], batch_size: int) -> tuple[list[float], list[Any]] | None:
        """One epoch's steps: (the loss of each, the output of each sample in this order); None if a number overflows."""
        if self.parameters != self.optimizer.parameters:
            return None
        training = Training(self.program, self.optimizer, self.arrays, self.count, batch_size)
        try:
            losses = training.run(self.program._numpy.array([order]))
        except ValueError:
            return None
        return losses.tolist(), self._outputs(training.outputs)

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
        """The model's outputs for each sample, as the model returns them."""
        structure = self.program._structure[1]
        return [_structured(structure, row) for row in values.tolist()]


def _structured(structure: Any, row: list[float]) -> Any:
    return row[structure] if isinstance(structure, int) else [_structured(x, row) for x in structure]


def _columns(samples: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
    return [x for x, _ in samples], [y for _, y in samples]


def _shape(name: str, x: Any) -> tuple[int, ...]:
    if isinstance(x, (str, bytes)):
        raise TypeError(f"expected {name} as numbers, got {type(x).__name__}: {x!r:.60}")
    if hasattr(x, "shape"):
        return tuple(x.shape)
    return (len(x), *(_shape(name, x[0]) if len(x) else ())) if isinstance(x, Sequence) else ()


def _check_targets(loss: Callable[[Any, Any], Any], output: Any, targets: Sequence[Any]) -> None:
    """Let the loss itself refuse a target; where it is traced it sees symbols, of which it can refuse none."""
    numbers = _numbers(output)
    for target in {repr(y): y for y in targets}.values():
        loss(numbers, target)


def _numbers(output: Any) -> Any:
    return [_numbers(x) for x in output] if isinstance(output, Sequence) else Value(float(output))
