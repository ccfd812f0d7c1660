"""Weights to file and back, in the safetensors format (extra `weights`): numbers only, never code."""

from __future__ import annotations

import os
import re
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from micrograd_like._extras import require
from micrograd_like.checks import assign, shown
from micrograd_like.engine import Value
from micrograd_like.files import replace_file
from micrograd_like.interchange.pytorch import torch_tensors
from micrograd_like.nn import Module


def save_weights(
    model: Module, path: str | os.PathLike[str], *, layout: Literal["micrograd_like", "torch"] = "micrograd_like"
) -> None:
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

    With the layout "torch" names and shapes are PyTorch's: a layer of neurons is an `nn.Linear`, whose `weight` has the
    shape (outputs, inputs), and an `MLP` an `nn.Sequential` as `to_torch` makes it. PyTorch reads such a file by
    `network.load_state_dict(safetensors.torch.load_file(path))`.

    >>> import tempfile
    >>> from safetensors.numpy import load_file
    >>> from micrograd_like import MLP
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_weights(MLP(2, [3, 1], rng=0), f"{folder}/w.safetensors", layout="torch")
    ...     {name: tensor.shape for name, tensor in sorted(load_file(f"{folder}/w.safetensors").items())}
    {'0.bias': (3,), '0.weight': (3, 2), '2.bias': (1,), '2.weight': (1, 3)}

    Raises:
        ValueError: a parameter is not a finite float, or there is none; the path leads to what is no file; or the
            layout is an unknown one.
        TypeError: it is no model.
        OSError: it cannot be written; an older file stays.
        ImportError: safetensors is not installed.
    """
    numpy, safetensors = require("numpy", extra="weights"), require("safetensors.numpy", extra="weights")
    if layout not in ("micrograd_like", "torch"):
        raise ValueError(f"expected layout as 'micrograd_like' or 'torch', got {shown(layout)}")
    _check("save", model)
    tensors = {}
    for name, parameters in (_tensors if layout == "micrograd_like" else torch_tensors)(model).items():
        values = _flat(parameters)
        for parameter in values:
            if not isinstance(parameter.data, float) or not isfinite(parameter.data):
                raise ValueError(f"expected finite floats to save, got {parameter!r}")
        data = numpy.array([p.data for p in values], dtype=numpy.float64)
        tensors[name] = data.reshape(_shape(parameters))
    if not tensors:
        raise ValueError(f"{model!r:.80} has no parameters to save")
    replace_file(path, safetensors.save(tensors))


def load_weights(model: Module, path: str | os.PathLike[str]) -> None:
    """Set the model's parameters from a file that `save_weights` wrote; all of them or, on an error, none.

    Which of the layouts it has is seen by its names; a file of PyTorch's state dict, too, in which these are PyTorch's.

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
    _check("load", model)
    expected, file = _tensors(model), os.fsdecode(path)
    try:
        tensors = safetensors.load(Path(file).read_bytes())
    except broken as error:
        raise ValueError(f"{file} is not a safetensors file: {error}") from None
    except KeyError as error:
        raise ValueError(f"{file} has numbers of the type {error}; expected F64, F32 or F16") from None
    if expected.keys() != tensors.keys() and (of_torch := torch_tensors(model)).keys() == tensors.keys():
        expected = of_torch
    if expected.keys() != tensors.keys():
        missing, unknown = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
        raise ValueError(f"{file} does not fit the model: missing {missing[:3]}, unknown {unknown[:3]}")
    values: list[Value] = []
    numbers: list[float] = []
    for name, parameters in expected.items():
        tensor = tensors[name]
        shape = _shape(parameters)
        if tensor.shape != shape or tensor.dtype.kind != "f":
            raise ValueError(f"expected {name} as floats of shape {shape}, got {tensor.dtype} of shape {tensor.shape}")
        data = tensor.astype("float64").reshape(-1).tolist()
        if bad := [x for x in data if not isfinite(x)]:
            raise ValueError(f"expected finite numbers, got {bad[0]} in {name}")
        values += _flat(parameters)
        numbers += data
    assign((values, "data", numbers))


def _tensors(model: Module) -> dict[str, Any]:
    """Values, and lists of Values, by name: the parameters, those of one list together."""
    lists: dict[str, Any] = {}
    for name, parameter in model.named_parameters():
        if match := re.fullmatch(r"(.*)\[\d+\]", name):
            lists.setdefault(match[1], []).append(parameter)
        else:
            lists[name] = parameter
    return lists


def _check(verb: str, model: Any) -> None:
    if not isinstance(model, Module):
        raise TypeError(f"expected a Module to {verb}, got {type(model).__name__}: {shown(model)}")


def _shape(tensor: Any) -> tuple[int, ...]:
    """The shape of nested lists; () of a Value."""
    return (len(tensor), *_shape(tensor[0])) if isinstance(tensor, (list, tuple)) else ()


def _flat(tensor: Any) -> list[Value]:
    return [x for each in tensor for x in _flat(each)] if isinstance(tensor, (list, tuple)) else [tensor]
