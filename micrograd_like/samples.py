"""Samples as people have them, made into (inputs, target) pairs, and shown to the model before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from micrograd_like._extras import require
from micrograd_like.checks import listed, shown
from micrograd_like.engine import Value

Sample = tuple[Any, Any]  # (inputs, target)


def samples_of(name: str, data: Any) -> list[Sample]:
    """The samples as a list of pairs. A pair of arrays is taken apart into its rows."""
    if _is_two_columns(data):
        xs, ys = (_rows(part) for part in data)
        if len(xs) != len(ys):
            raise ValueError(
                f"expected as many targets as inputs in {name}, got {len(xs)} inputs and {len(ys)} targets"
            )
        data = list(zip(xs, ys, strict=True))
    samples = listed(name, data, "(inputs, target) pairs, or as two arrays")
    if not samples:
        raise ValueError(f"expected {name} as at least one (inputs, target) pair, got none")
    for i, sample in enumerate(samples):
        if not isinstance(sample, Sequence) or isinstance(sample, str) or len(sample) != 2:
            raise ValueError(
                f"expected {name} as (inputs, target) pairs, or as two arrays, (inputs, targets); got {shown(sample)}"
            )
        if hasattr(sample[0], "__array__") or hasattr(sample[1], "__array__"):  # as of zip(X, Y)
            samples[i] = _plain(sample[0]), _plain(sample[1])
    return samples


def _is_two_columns(data: Any) -> bool:
    """Whether it is (inputs, targets), each with a row for every sample, and not two (input, target) pairs."""
    if not isinstance(data, tuple) or len(data) != 2 or any(isinstance(x, str) for x in data):
        return False
    if all(isinstance(x, list) or hasattr(x, "__array__") for x in data):
        return True
    columns = all(isinstance(x, Sequence) or hasattr(x, "__array__") for x in data)
    return columns and any(hasattr(x, "__array__") or len(x) != 2 for x in data)


def _plain(x: Any) -> Any:
    """An array as nested lists, a number of NumPy's as Python's own; anything else as it is."""
    return x.tolist() if hasattr(x, "__array__") and hasattr(x, "tolist") else x


def _rows(part: Any) -> list[Any]:
    """An array's rows as lists of Python's own numbers."""
    if not hasattr(part, "__array__"):
        return [_plain(row) for row in part]
    array = require("numpy", extra="compiled").asarray(part)
    if not array.ndim:
        raise TypeError(f"expected an array with a row for each sample, got one number: {shown(part)}")
    rows: list[Any] = array.tolist()
    return rows


def look_at(name: str, samples: Sequence[Sample], model: Any, loss: Callable[[Any, Any], Any]) -> None:
    """Let the model and the loss refuse a sample now, not when its turn comes.

    The model is called for each kind of inputs (their lengths and types; whole numbers one by one, as they may pick a
    value), and the loss for each target with the output of such inputs.
    """
    outputs: dict[Any, Any] = {}
    tried = set()
    for i, (x, target) in enumerate(samples):
        try:
            kind = _kind(x)
            if kind not in outputs:
                outputs[kind] = model(x)
            if (kind, repr(target)) not in tried:
                tried.add((kind, repr(target)))
                if not isinstance(found := loss(outputs[kind], target), Value):
                    raise TypeError(
                        f"expected the loss as a Value that depends on the model, got {type(found).__name__}: {shown(found)}"
                    )
        except Exception as error:
            error.add_note(f"That was sample {i} of {name}, before the first step; nothing has been trained.")
            raise


def _kind(x: Any) -> Any:
    if isinstance(x, int):
        return x
    if isinstance(x, (list, tuple)):
        return type(x), *map(_kind, x)
    return type(x), getattr(x, "shape", None)
