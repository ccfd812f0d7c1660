"""What is exported: a compiled program's loops, or those of a model that is traced for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from micrograd_like.checks import shown
from micrograd_like.compiler.arrays import UpTo, checked_shape
from micrograd_like.compiler.blocks import Parts
from micrograd_like.compiler.pipeline import build
from micrograd_like.compiler.program import Program
from micrograd_like.compiler.trace import check_parameters, trace
from micrograd_like.engine import Value
from micrograd_like.nn import MLP, Layer, Module, Neuron


@dataclass
class Source:
    """A program's loops, its parameters and what it returns."""

    parts: Parts
    parameters: tuple[Value, ...]
    structure: Any  # the outputs as the function returned them, each replaced by its number
    has_loss: bool  # whether the first output is a loss
    least: int = 0  # the fewest elements of a sample, where samples differ in length

    @property
    def numbers(self) -> list[float]:
        """The parameters' numbers."""
        return [float(p.data) for p in self.parameters]


def _longest(shape: UpTo) -> Any:
    return shape.shape if shape.rest else shape.longest


def source(program: Any, inputs: Mapping[str, Any], lengths: bool = False) -> Source:
    """The loops of a compiled program; or of a model, which is called with `inputs` of these shapes.

    Raises:
        TypeError: it is neither; or a program is given shapes, which it has.
        ValueError: the model's inputs are not known; or samples differ in length, and not `lengths`.
    """
    if isinstance(program, Program):
        if inputs:
            raise TypeError(
                f"the program has its inputs already; expected no shapes beside it, got {', '.join(inputs)}"
            )
        ragged = {name: x for name, x in program._inputs.shapes.items() if isinstance(x, UpTo)}
        if ragged and not lengths:
            instead = [f"{name}={_longest(shape)} for {name}={shape!r}" for name, shape in ragged.items()]
            raise ValueError(
                f"expected a program for samples of one shape: compile it for each length that is needed, such as "
                f"{' and '.join(instead)}; a file of ONNX has no loops whose length is a number of the sample"
            )
        least = min((shape.least for shape in ragged.values()), default=0)
        return Source(program._parts, program.parameters, program._structure, program._has_loss, least)
    if not isinstance(program, Module):
        raise TypeError(
            f"expected a compiled program or a Module, got {type(program).__name__}: {shown(program)}; "
            "a function is compiled first: mg.compile(f, parameters, x=2)"
        )
    if not inputs:
        inputs = {"x": _number_of_inputs(program)}
    shapes = {name: checked_shape(name, shape) for name, shape in inputs.items()}
    model: Any = program
    parameters = check_parameters(model.parameters())
    recorded = trace(model, parameters, shapes)
    return Source(build(recorded), tuple(parameters), recorded.structure, recorded.has_loss)


def _number_of_inputs(model: Module) -> int:
    first: Any = model
    if isinstance(first, MLP):
        first = first.layers[0]
    if isinstance(first, Layer):
        first = first.neurons[0]
    if not isinstance(first, Neuron):
        raise ValueError(f"expected the shapes of {shown(model)}'s inputs, such as x=2, got none")
    return len(first.w)


def identifiers(names: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """Names that are identifiers of C and of ONNX, each another one: letters, digits and _, no word that is taken.

    >>> identifiers(["x", "größe", "double", "x y", "x_y"], taken=["double"])
    ['x', 'gr_e', 'double_', 'x_y', 'x_y_']
    """
    used, safe = set(taken), []
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9_]+", "_", name)
        plain = plain if plain[:1].isalpha() else f"v{plain}"
        while plain in used:
            plain += "_"
        used.add(plain)
        safe.append(plain)
    return safe
