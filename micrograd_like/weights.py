"""Weights to file and back, in the safetensors format (extra `weights`): numbers only, never code."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from math import isfinite
from pathlib import Path
from secrets import token_hex
from stat import S_IMODE, S_ISREG
from typing import Any

from micrograd_like._extras import require
from micrograd_like.checks import assign, shown
from micrograd_like.engine import Value
from micrograd_like.nn import Module


def save_weights(model: Module, path: str | os.PathLike[str]) -> None:
    """Write the model's parameters to a safetensors file; an older file stays whole until the new one is on the disk.

    The new file has the old one's mode, and a path that is a link stays one: the file that it leads to is replaced.
    Threads and processes may save to one path at a time: what is read there is what one of them has written.

    A list of parameters such as `layers[0].neurons[2].w` is one tensor of float64 of shape (its length,), a single
    parameter such as `layers[0].neurons[2].b` one of shape ().

    >>> import micrograd_like as mg, tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "neuron.safetensors"
    >>> neuron, other = mg.Neuron(2, rng=0), mg.Neuron(2, rng=1)
    >>> save_weights(neuron, path)
    >>> load_weights(other, path)
    >>> other.state_dict() == neuron.state_dict()
    True

    Raises:
        ValueError: a parameter is not a finite float, or there is none; or the path leads to what is no file.
        TypeError: it is no model.
        OSError: it cannot be written; an older file stays.
        ImportError: safetensors is not installed.
    """
    numpy, safetensors = require("numpy", extra="weights"), require("safetensors.numpy", extra="weights")
    tensors = {}
    for name, parameters in _tensors("save", model):
        for parameter in parameters if isinstance(parameters, list) else [parameters]:
            if not isinstance(parameter.data, float) or not isfinite(parameter.data):
                raise ValueError(f"expected finite floats to save, got {parameter!r}")
        data = [p.data for p in parameters] if isinstance(parameters, list) else parameters.data
        tensors[name] = numpy.array(data, dtype=numpy.float64)
    if not tensors:
        raise ValueError(f"{model!r:.80} has no parameters to save")
    _replace(os.path.realpath(os.fsdecode(path)), safetensors.save(tensors))


def _replace(path: str, content: bytes) -> None:
    """Make this the content of the file: all of it or, where that fails, none."""
    mode = None
    with suppress(FileNotFoundError):
        mode = os.stat(path).st_mode
    if mode is not None and not S_ISREG(mode):
        raise ValueError(f"expected the path of a file to write, got {path!r}, which is none")
    # Not by tempfile.mkstemp, whose files are their owner's alone: a new file is to have the mode that others have here.
    unfinished = os.path.join(os.path.dirname(path), f".{token_hex(8)}.unfinished")
    permissions = 0o666 if mode is None else S_IMODE(mode)
    try:
        with open(unfinished, "xb", opener=lambda name, flags: os.open(name, flags, permissions)) as file:
            file.write(content)
            if mode is not None:
                os.chmod(unfinished, permissions)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(unfinished)
        raise


def load_weights(model: Module, path: str | os.PathLike[str]) -> None:
    """Set the model's parameters from a file that `save_weights` wrote; all of them or, on an error, none.

    >>> import micrograd_like as mg, tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "neuron.safetensors"
    >>> save_weights(mg.Neuron(2, rng=0), path)
    >>> load_weights(mg.Neuron(3), path)
    Traceback (most recent call last):
    ValueError: expected w as floats of shape (3,), got float64 of shape (2,)

    Raises:
        ValueError: the file is not a safetensors file, or a name, a shape, a type or a number in it does not fit.
        TypeError: it is no model.
        ImportError: safetensors is not installed.
    """
    safetensors = require("safetensors.numpy", extra="weights")
    broken = require("safetensors", extra="weights").SafetensorError
    expected, file = dict(_tensors("load", model)), os.fsdecode(path)
    try:
        tensors = safetensors.load(Path(file).read_bytes())
    except broken as error:
        raise ValueError(f"{file} is not a safetensors file: {error}") from None
    except KeyError as error:
        raise ValueError(f"{file} has numbers of the type {error}; expected F64, F32 or F16") from None
    if expected.keys() != tensors.keys():
        missing, unknown = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
        raise ValueError(f"{file} does not fit the model: missing {missing[:3]}, unknown {unknown[:3]}")
    values: list[Value] = []
    numbers: list[float] = []
    for name, parameters in expected.items():
        tensor = tensors[name]
        shape: tuple[int, ...] = (len(parameters),) if isinstance(parameters, list) else ()
        if tensor.shape != shape or tensor.dtype.kind != "f":
            raise ValueError(f"expected {name} as floats of shape {shape}, got {tensor.dtype} of shape {tensor.shape}")
        data = tensor.astype("float64").reshape(-1).tolist()
        if bad := [x for x in data if not isfinite(x)]:
            raise ValueError(f"expected finite numbers, got {bad[0]} in {name}")
        values += parameters if isinstance(parameters, list) else [parameters]
        numbers += data
    assign((values, "data", numbers))


def _tensors(verb: str, model: Module) -> Iterator[tuple[str, Any]]:
    """(name, Value or list of Values): the parameters, those of one list together."""
    if not isinstance(model, Module):
        raise TypeError(f"expected a Module to {verb}, got {type(model).__name__}: {shown(model)}")
    lists: dict[str, Any] = {}
    for name, parameter in model.named_parameters():
        if match := re.fullmatch(r"(.*)\[\d+\]", name):
            lists.setdefault(match[1], []).append(parameter)
        else:
            lists[name] = parameter
    yield from lists.items()
