"""Weights to file and back, in the safetensors format (extra `weights`): numbers only, never code."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Any

from micrograd_like._extras import require
from micrograd_like.engine import Value
from micrograd_like.nn import Module


def save_weights(model: Module, path: str | os.PathLike[str]) -> None:
    """Write the model's parameters to a safetensors file; an older file stays whole until the new one is.

    A list of parameters such as `layers[0].neurons[2].w` is one tensor of float64 of shape (its length,), a single
    parameter such as `layers[0].neurons[2].b` one of shape ().

    Raises:
        ValueError: a parameter is not a finite float, or there is none.
        ImportError: safetensors is not installed.
    """
    numpy, safetensors = require("numpy", extra="weights"), require("safetensors.numpy", extra="weights")
    tensors = {}
    for name, parameters in _tensors(model):
        for parameter in parameters if isinstance(parameters, list) else [parameters]:
            if not isinstance(parameter.data, float) or not isfinite(parameter.data):
                raise ValueError(f"expected finite floats to save, got {parameter!r}")
        data = [p.data for p in parameters] if isinstance(parameters, list) else parameters.data
        tensors[name] = numpy.array(data, dtype=numpy.float64)
    if not tensors:
        raise ValueError(f"{model!r:.80} has no parameters to save")
    target = Path(path)
    unfinished = target.with_name(f"{target.name}.{os.getpid()}.unfinished")
    try:
        unfinished.write_bytes(safetensors.save(tensors))
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def load_weights(model: Module, path: str | os.PathLike[str]) -> None:
    """Set the model's parameters from a file that `save_weights` wrote; all of them or, on an error, none.

    Raises:
        ValueError: the file is not a safetensors file, or a name, a shape, a type or a number in it does not fit.
        ImportError: safetensors is not installed.
    """
    safetensors = require("safetensors.numpy", extra="weights")
    broken = require("safetensors", extra="weights").SafetensorError
    try:
        tensors = safetensors.load(Path(path).read_bytes())
    except broken as error:
        raise ValueError(f"{os.fspath(path)} is not a safetensors file: {error}") from None
    expected = dict(_tensors(model))
    if expected.keys() != tensors.keys():
        missing, unknown = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
        raise ValueError(f"{os.fspath(path)} does not fit the model: missing {missing[:3]}, unknown {unknown[:3]}")
    state: list[tuple[Value, float]] = []
    for name, parameters in expected.items():
        tensor = tensors[name]
        shape: tuple[int, ...] = (len(parameters),) if isinstance(parameters, list) else ()
        if tensor.shape != shape or tensor.dtype.kind != "f":
            raise ValueError(f"expected {name} as floats of shape {shape}, got {tensor.dtype} of shape {tensor.shape}")
        data = tensor.astype("float64").reshape(-1).tolist()
        for parameter, x in zip(parameters if isinstance(parameters, list) else [parameters], data, strict=True):
            if not isfinite(x):
                raise ValueError(f"expected finite numbers, got {x} in {name}")
            state.append((parameter, x))
    for parameter, x in state:
        parameter.data = x


def _tensors(model: Module) -> Iterator[tuple[str, Any]]:
    """(name, Value or list of Values): the parameters, those of one list together."""
    lists: dict[str, Any] = {}
    for name, parameter in model.named_parameters():
        if match := re.fullmatch(r"(.*)\[\d+\]", name):
            lists.setdefault(match[1], []).append(parameter)
        else:
            lists[name] = parameter
    yield from lists.items()
