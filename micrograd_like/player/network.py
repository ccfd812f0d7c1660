"""The page of a network with its data: trained step by step, with the samples in the order of `fit`."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import graphviz

from micrograd_like import ops
from micrograd_like.checks import generator, listed, picture_shape, whole_number
from micrograd_like.drawing.formula import formula, name, number
from micrograd_like.drawing.formula import neuron as neuron_name
from micrograd_like.functional import mean
from micrograd_like.ieee import as_float
from micrograd_like.nn import MLP, Module
from micrograd_like.optim import Optimizer
from micrograd_like.order import shuffled
from micrograd_like.player.javascript import PlayError, exact
from micrograd_like.player.layout import graph_layout
from micrograd_like.player.page import AHEAD, CHECKPOINTS, Page, assemble
from micrograd_like.player.program import Kernels, Program, layers_of, of_model
from micrograd_like.player.rates import is_plain, optimizer_source

_MOST_SCALARS = 60  # numbers of one sample that are shown one by one
_ACTIVATIONS = ("relu", "tanh", "sigmoid")  # that a network of Neurons can be compared under
_SEEDS = (1, 2, 3)

Sample = tuple[Any, Any]


class Network:
    """A model, its data, its loss and its optimizer, looked at from every side that the page needs."""

    def __init__(
        self,
        model: Module,
        data: Iterable[Sample],
        loss: Callable[[Any, Any], Any],
        optimizer: Optimizer,
        batch_size: int | None,
        held_out: Iterable[Sample],
        rng: random.Random | int,
        shape: tuple[int, int] | None,
        classes: Sequence[str] | None,
    ) -> None:
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.samples = _samples("data", data)
        if not self.samples:
            raise ValueError("expected data as at least one (inputs, target) pair, got none")
        self.held_out = _samples("held_out", held_out)
        self.scalar = not isinstance(self.samples[0][0], Sequence)
        self.width = 1 if self.scalar else len(self.samples[0][0])
        for sample in (*self.samples, *self.held_out):
            if (1 if not isinstance(sample[0], Sequence) else len(sample[0])) != self.width:
                raise ValueError(f"expected {self.width} inputs in every sample, as in the first, got {sample!r:.80}")
        size = None if batch_size is None else whole_number("batch_size", batch_size)
        self.batch = 0 if size is None or size >= len(self.samples) else size
        self.random = copy.deepcopy(generator("rng", rng))
        self.parameters = dict(model.named_parameters())
        if list(self.parameters.values()) != list(optimizer.parameters):
            raise ValueError(
                "expected an optimizer of all of the model's parameters, in their order: SGD(model.parameters(), …)"
            )
        self.program = self._program(model)
        self.shape = _shape(self.width, shape)
        self.classes = (
            None if classes is None else [str(each) for each in listed("classes", classes, "a list of names")]
        )
        self.chosen = 0
        self.layers = layers_of(self.program)
        self.graph = self._graph()
        if not self.layers and self.graph is None:
            raise PlayError(
                f"a page shows layers of neurons, or up to {_MOST_SCALARS} numbers one by one; this model is not made of "
                "layers of neurons alone, and has more numbers"
            )

    def _program(self, model: Any) -> Program:
        shapes = (() if self.scalar else (self.width,), ())
        return of_model(model, dict(model.named_parameters()), self.loss, shapes)

    @property
    def target(self) -> str:
        """What targets are: "class" numbers, a "sign", "binary" 0 or 1, or "real" numbers."""
        targets = {float(y) for _, y in self.samples}
        if len(self.program.outputs) > 2:
            return "class"
        if getattr(self.loss, "__name__", "") != "mse_loss" or targets <= {-1.0, 1.0}:
            return "sign" if targets <= {-1.0, 1.0} else "binary" if targets <= {0.0, 1.0} else "real"
        return "real"

    @property
    def view(self) -> str:
        """How the data is shown: as points in a plane, samples on a line, pictures, or not at all."""
        if self.shape is not None:
            return "pictures"
        if len(self.program.outputs) > 2 or self.width > 2:
            return "none"
        return "plane" if self.width == 2 and self.target != "real" else "line" if self.width == 1 else "none"

    def page(self, title: str, hints: list[str]) -> Page:
        kernels = Kernels()
        programs = [self._variant(self.program, self.layers, self._activation_name(), kernels)]
        starts = []
        if isinstance(self.model, MLP):
            for activation in _ACTIVATIONS:
                if (other := self._with_activation(activation)) is not None:
                    program = self._program(other)
                    programs.append(self._variant(program, layers_of(program), f"activation {activation}", kernels))
            for seed in _SEEDS:
                fresh = self._fresh(seed)
                starts.append({
                    "name": f"another start, seed {seed}",
                    "numbers": [as_float(p.data) for p in fresh.parameters()],
                })
        rows = [self._row(sample) for sample in self.samples]
        size = max(abs(x) for x in self.program.start)
        data = {
            "kind": "network",
            "view": self.view,
            "title": title,
            "hints": hints,
            "word": {"plane": "point", "line": "sample", "pictures": "picture"}.get(self.view, "sample"),
            "lossText": self._loss_text(),
            "graph": self.graph,
            "programs": programs,
            "rows": rows,
            "heldOut": [self._row(sample) for sample in self.held_out],
            "inputs": self.width,
            "inputNames": self._input_names(),
            "classes": self.target == "class",
            "labels": self.classes,
            "target": self.target,
            "shape": self.shape,
            "starts": starts,
            "batch": self.batch,
            "seed": list(self.random.getstate()[1]),
            "rate": as_float(self.optimizer.learning_rate(0)),
            "optimizer": {"name": type(self.optimizer).__name__, "plain": is_plain(self.optimizer)},
            "checkpoints": self._checkpoints(),
            "chosen": self.chosen,
            "reach": max(4.0, round(size + 0.5)),
            "firstOp": "end",
            "ahead": AHEAD,
            "scale": 0.25,
            "code": self._code(),
        }
        return Page(assemble(data, kernels, optimizer_source(self.optimizer)), title)

    def _graph(self) -> dict[str, Any] | None:
        """The numbers of one sample, one by one; None where they are too many to be seen."""
        program = self.program
        short = _short_names(program, self.layers, self._input_names())
        labels = [*short, *self._input_names(), "y", *[""] * len(program.constants), *[""] * len(program.lines)]
        for layer in self.layers:
            for neuron in layer:
                if neuron.sum != neuron.out:
                    labels[program.base + neuron.sum] = "sum of " + short[neuron.bias].removeprefix("bias of ")
                labels[program.base + neuron.out] = short[neuron.bias].removeprefix("bias of ")
        labels[program.outputs[0]] = "ℓ"
        try:
            return graph_layout(program, labels, _MOST_SCALARS)
        except PlayError:
            return None
        except graphviz.ExecutableNotFound:
            if not self.layers:
                raise
            return None  # the neurons need no Graphviz

    def _input_names(self) -> list[str]:
        if self.shape is not None:
            return [f"pixel {k + 1}" for k in range(self.width)]
        return ["x"] if self.width == 1 else [name(f"x[{k + 1}]") for k in range(self.width)]

    def _row(self, sample: Sample) -> list[float | str]:
        x, y = sample
        return [exact(as_float(v)) for v in ([x] if self.scalar else x)] + [exact(as_float(y))]

    def _variant(self, program: Program, layers: Any, title: str, kernels: Kernels) -> dict[str, Any]:
        return {
            "spec": program.to_json(kernels),
            "names": program.names,
            "short": _short_names(program, layers, self._input_names()),
            "name": title,
            "symbols": [line.op.symbol for line in program.lines],
            "layers": [
                [
                    {"sum": n.sum, "out": n.out, "weights": n.weights, "sources": n.sources, "bias": n.bias}
                    for n in layer
                ]
                for layer in layers
            ],
        }

    def _activation_name(self) -> str:
        activation = getattr(self.model, "layers", [None])[0]
        return (
            f"activation {activation.neurons[0].activation}"
            if activation is not None and hasattr(activation, "neurons")
            else "as it is"
        )

    def _with_activation(self, activation: str) -> MLP | None:
        """The same network under another activation; None where it has that one, or no hidden layer."""
        other = copy.deepcopy(self.model)
        assert isinstance(other, MLP)
        neurons = [neuron for layer in other.layers for neuron in layer.neurons if neuron.nonlin]
        if not neurons or all(neuron.activation == activation for neuron in neurons):
            return None
        for neuron in neurons:
            neuron.activation = activation
        return other

    def _fresh(self, seed: int) -> MLP:
        assert isinstance(self.model, MLP)
        return MLP(self.width, [len(layer.neurons) for layer in self.model.layers], rng=seed)

    def _loss_text(self) -> str:
        """The loss of one sample as a formula over out and y, where it is short."""
        program = self.program
        texts = [*program.names, *[f"x{i}" for i in range(self.width)], "y", *map(number, program.constants)]
        for n, line in enumerate(program.lines):
            place = program.base + n
            if place in program.outputs[1:] or not set(line.operands).isdisjoint(range(len(program.names))):
                texts.append("out")
            else:
                operands = [texts[x] for x in line.operands]
                if line.op is ops.mul and len(set(line.operands)) == 1:
                    texts.append(formula(ops.pow, [operands[0], "2"]))
                else:
                    texts.append(formula(line.op, operands))
        text = texts[program.outputs[0]]
        text = text.replace("relu(", "max(0, ")
        if len(program.outputs) > 2 or len(text) > 22:
            return "ℓ, how wrong it is"
        return f"ℓ = {text}"

    def _checkpoints(self) -> list[dict[str, Any]]:
        """Python's own numbers of the first steps, by the eager engine on a copy."""
        model: Any = copy.deepcopy(self.model)
        optimizer = copy.copy(self.optimizer)
        optimizer.parameters = model.parameters()
        for state in type(optimizer).STATE:
            setattr(optimizer, state, list(getattr(self.optimizer, state)))
        rng = copy.deepcopy(self.random)
        order: list[int] = []
        size = self.batch or len(self.samples)
        cost = size * len(self.program.lines)
        last = max((step for step in CHECKPOINTS if step * cost <= 400_000), default=0)
        found: list[dict[str, Any]] = []
        start = 0
        for step in range(last + 1):
            if start >= len(order):
                order, start = shuffled(len(self.samples), rng), 0
            batch = [self.samples[i] for i in order[start : start + size]]
            start += size
            total = mean([self.loss(model(x), y) for x, y in batch])
            if step in CHECKPOINTS:
                numbers = [exact(as_float(p.data)) for p in optimizer.parameters]
                found.append({"step": step, "loss": exact(total.data), "parameters": numbers})
            optimizer.zero_grad()
            total.backward()
            if step == 0:  # the page opens at the weight of the last layer that the loss reacts to most
                weights = (
                    [w for neuron in self.layers[-1] for w in neuron.weights]
                    if self.layers
                    else [*range(len(optimizer.parameters))]
                )
                self.chosen = max(weights, key=lambda w: abs(as_float(optimizer.parameters[w].grad or 0)))
            try:
                optimizer.step()
            except ValueError:  # it diverges; the page shows where
                break
        return found

    def _code(self) -> dict[str, Any]:
        model, optimizer = self.model, self.optimizer
        loss = getattr(self.loss, "__name__", "loss")
        if isinstance(model, MLP):
            sizes = [len(layer.neurons) for layer in model.layers]
            activation = model.layers[0].neurons[0].activation
            shown = f", activation={activation!r}" if isinstance(activation, str) else ""
            head = ["import micrograd_like as mg", "", f"model = mg.MLP({self.width}, {sizes}{shown}, rng=0)"]
        else:
            head = ["import micrograd_like as mg", "", "model = ...  # your model, as it was played"]
        more = f", batch_size={self.batch}" if self.batch else ""
        rates = "".join(
            f", {key}={getattr(optimizer, key)!r}" for key in ("momentum", "weight_decay") if getattr(optimizer, key, 0)
        )
        tail = [
            "",
            f"optimizer = mg.{type(optimizer).__name__}(model.parameters(), lr=⟦rate⟧{rates})",
            f"mg.play(model, data, mg.{loss}, optimizer{more}).show()",
        ]
        return {"head": head, "tail": tail, "scalar": self.scalar}


def _samples(what: str, data: Iterable[Sample]) -> list[Sample]:
    found = listed(what, data, "(inputs, target) pairs")
    for sample in found:
        if not isinstance(sample, Sequence) or len(sample) != 2:
            raise ValueError(f"expected {what} as (inputs, target) pairs, got {sample!r:.60}")
        if isinstance(sample[1], Sequence) or hasattr(sample[1], "__len__"):
            raise PlayError(f"a page takes targets that are one number each, got {sample[1]!r:.60}")
    return [(x.tolist() if hasattr(x, "tolist") else x, y) for x, y in found]


def _shape(width: int, shape: tuple[int, int] | None) -> list[int] | None:
    if shape is not None:
        height, across = picture_shape(shape)
        if height * across != width:
            raise ValueError(f"expected a shape (height, width) of {width} pixels, got {height} × {across}")
        return [height, across]
    side = round(width**0.5)
    return [side, side] if width >= 25 and side * side == width else None


def _short_names(program: Program, layers: Any, before: list[str]) -> list[str]:
    """Each parameter by what it joins: x₁→h₂, bias of h₂."""
    names = [name(text) if not layers else text for text in program.names]
    for depth, layer in enumerate(layers):
        last = depth == len(layers) - 1
        level = depth + 1 if len(layers) > 2 else 0
        own = []
        for j, neuron in enumerate(layer):
            own.append(("out" if len(layer) == 1 else name(f"out[{j}]")) if last else neuron_name(str(j + 1), level))
            for k, w in enumerate(neuron.weights):
                names[w] = f"{before[k]}→{own[-1]}"
            names[neuron.bias] = f"bias of {own[-1]}"
        before = own
    return names
