"""`play`: a recorded loss, or a model with its data, as a page in which every number can be grasped."""

from __future__ import annotations

import copy
import random
import tempfile
import webbrowser
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, overload

import graphviz

from micrograd_like import ops
from micrograd_like.checks import generator, listed, picture_shape, shown, whole_number
from micrograd_like.drawing.formula import formula, name, number
from micrograd_like.drawing.formula import neuron as neuron_name
from micrograd_like.engine import Value, gradient
from micrograd_like.files import replace_file
from micrograd_like.functional import mean
from micrograd_like.ieee import as_float
from micrograd_like.nn import MLP, Module
from micrograd_like.optim import SGD, Optimizer, checked
from micrograd_like.order import shuffled
from micrograd_like.player import page
from micrograd_like.player.javascript import PlayError, exact, statements
from micrograd_like.player.layout import graph_layout
from micrograd_like.player.program import Kernels, Program, layers_of, of_graph, of_model
from micrograd_like.player.text import text_page
from micrograd_like.transformer import GPT

AHEAD = 200  # steps of the future that the page shows
CHECKPOINTS = (0, 1, 2, 5, 10)  # steps at which the page's numbers are compared with Python's
_MOST_SCALARS = 60  # numbers of one sample that are shown one by one
_SCHEDULED = 2000  # steps for which rates travel that change from step to step
_ACTIVATIONS = ("relu", "tanh", "sigmoid")  # that a network of Neurons can be compared under
_SEEDS = (1, 2, 3)

Sample = tuple[Any, Any]


class Page:
    """Hold a live page: one HTML file that needs no network. `save` it, `show` it, or let a notebook show it.

    >>> x = Value(3.0, label="x")
    >>> page = play((x - 1) ** 2)
    >>> page.html.startswith("<!doctype html>")
    True
    """

    def __init__(self, html: str, title: str) -> None:
        self.html = html
        self.title = title

    def save(self, path: str | Path) -> Path:
        """Write the page to a file, whole or not at all, and return its path.

        Raises:
            ValueError: the name does not end in .html or .htm, or leads to what is no file.
            OSError: the file cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"expected a name that ends in .html for a page, got {path.name!r:.60}")
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, self.html.encode())
        return path

    def show(self) -> Path:
        """Open the page in the browser, from a temporary file, whose path is returned."""
        folder = Path(tempfile.mkdtemp(prefix="micrograd_like-"))
        path = self.save(folder / "page.html")
        webbrowser.open(path.as_uri())
        return path

    def _repr_html_(self) -> str:
        return page.iframe(self.html, self.title)

    def __repr__(self) -> str:
        return f"Page({self.title!r}, {len(self.html.encode()) / 1000:.0f} kB): save(path), show()"


@overload
def play(
    loss: Value, /, *, lr: float = ..., parameters: Any = ..., title: str = ..., hints: Iterable[str] = ...
) -> Page: ...
@overload
def play(
    model: GPT, text: str, /, *, letters: Sequence[str], lr: float = ..., title: str = ..., hints: Iterable[str] = ...
) -> Page: ...
@overload
def play(
    model: Module,
    data: Iterable[Sample],
    loss: Callable[[Any, Any], Any],
    optimizer: Optimizer,
    /,
    *,
    batch_size: int | None = ...,
    held_out: Iterable[Sample] = ...,
    rng: random.Random | int = ...,
    shape: tuple[int, int] | None = ...,
    classes: Sequence[str] | None = ...,
    title: str = ...,
    hints: Iterable[str] = ...,
) -> Page: ...
def play(
    model: Any,
    data: Any = None,
    loss: Any = None,
    optimizer: Any = None,
    /,
    *,
    lr: float = 0.1,
    parameters: Any = None,
    batch_size: int | None = None,
    held_out: Iterable[Sample] = (),
    rng: random.Random | int = 0,
    shape: tuple[int, int] | None = None,
    classes: Sequence[str] | None = None,
    letters: Sequence[str] | None = None,
    title: str = "",
    hints: Iterable[str] = (),
) -> Page:
    """Make a page in which every number can be grasped, and everything that depends on it answers.

    `play(loss)` plays a recorded graph, scalar by scalar: forward, backward, and steps of plain gradient descent.
    `play(model, data, loss, optimizer)` plays a training, with the samples in the order of `fit`: the page trains the
    network itself, with the same numbers.
    `play(model, text, letters=letters)` plays a `GPT`: type letters, see what comes next, which earlier letters it looks at,
    and what each weight does to the loss of the text.

    Nothing is changed: not the graph, not the model, not the optimizer.

    Args:
        model: a recorded loss, the module to train, or a trained `GPT`.
        data: (inputs, target) pairs; inputs are one number or a list of numbers, targets one number. Of a `GPT` the text
            that its page begins with.
        loss: called with the model's output and the target, as in `fit`.
        optimizer: what moves the parameters.
        lr: of a recorded loss or a `GPT`, the learning rate.
        parameters: of a recorded loss, the leaves that a step moves (a list of Values); None for all of them.
        batch_size: samples per step; None for all of them.
        held_out: samples that are never trained on, to measure.
        rng: shuffles the samples before every epoch, as in `fit`; a `random.Random`, or a seed for one.
        shape: (height, width) of inputs that are a picture; found by itself for 64 inputs and other squares above 16.
        classes: what the classes are called, by number; of a single output the negative one first.
        letters: of a `GPT`, the character of each token; token 0 is the start and the end of a text.
        title: the page's heading.
        hints: things to try, one sentence each.

    >>> model = MLP(2, [3, 1], activation="tanh", rng=0)
    >>> data = [([0.0, 0.0], -1), ([1.0, 0.0], 1)]
    >>> from micrograd_like import mse_loss
    >>> play(model, data, mse_loss, SGD(model.parameters(), lr=0.1)).title
    'Drag a weight, watch the loss answer'
    >>> play(GPT(3, block=4, width=4, heads=2, rng=0), "ab", letters="·ab").title
    'A language model: type, and see what comes next'

    Raises:
        PlayError: the graph is too large; the model is neither made of layers of neurons nor small enough to be shown
            scalar by scalar; or a row of the table has no JavaScript form.
        TraceError: the model or the loss does what cannot be traced, such as an `if` on a number.
        TypeError: an argument is not what is expected.
        graphviz.ExecutableNotFound: a recorded loss without Graphviz (the program, or the extra `drawing`).
        ValueError: samples of different shapes, no samples, or a number out of its range.
    """
    hints = [str(hint) for hint in listed("hints", hints, "a list of sentences")]
    if isinstance(model, Value):
        if data is not None or loss is not None or optimizer is not None:
            raise TypeError("expected a recorded loss alone, or a model with data, loss and optimizer; got a mixture")
        return _play_graph(model, lr, parameters, title or "Every number of one loss", hints)
    if isinstance(model, GPT):
        if not isinstance(data, str) or loss is not None or optimizer is not None:
            raise TypeError(
                f"expected play(model, text, letters=…) of a GPT with a text to begin with, got {type(data).__name__}: "
                f"{shown(data)}"
            )
        named = [str(each) for each in listed("letters", letters, "a character for each of the model's tokens")]
        title = title or "A language model: type, and see what comes next"
        return Page(text_page(model, data, named, checked("lr", lr, at_least=0), title, hints), title)
    if not isinstance(model, Module):
        raise TypeError(
            f"expected a recorded loss (a Value) or a model (a Module), got {type(model).__name__}: {model!r:.60}"
        )
    if data is None or not callable(loss) or not isinstance(optimizer, Optimizer):
        raise TypeError(
            "expected play(model, data, loss, optimizer) with a loss that can be called and an optimizer, "
            f"got {type(data).__name__}, {type(loss).__name__} and {type(optimizer).__name__}"
        )
    return _Network(model, data, loss, optimizer, batch_size, held_out, rng, shape, classes).page(
        title or "Drag a weight, watch the loss answer", hints
    )


# ---------- a recorded loss ----------


def _play_graph(loss: Value, lr: float, parameters: Any, title: str, hints: list[str]) -> Page:
    program, values = of_graph(loss)
    moving = program.names
    if parameters is not None:
        given = list(parameters.parameters() if isinstance(parameters, Module) else parameters)
        leaves = values[: len(program.names)]
        for p in given:
            if p not in leaves:
                raise ValueError(f"expected parameters among the leaves of the loss, got {p!r:.80}")
        moving = [program.names[leaves.index(p)] for p in given]
    optimizer = SGD([Value(0.0)], lr)
    kernels = Kernels()
    short = [name(text) for text in program.names]
    spec = program.to_json(kernels) | {"moving": [text in moving for text in program.names]}
    size = max((abs(x) for x in program.start), default=1.0)
    data = {
        "kind": "graph",
        "view": "none",
        "title": title,
        "hints": hints,
        "word": "loss",
        "lossText": "loss",
        "programs": [
            {
                "spec": spec,
                "names": program.names,
                "short": short,
                "name": "",
                "symbols": [line.op.symbol for line in program.lines],
            }
        ],
        "graph": graph_layout(
            program, [*program.names, *[""] * len(program.constants), *[line.label for line in program.lines]]
        ),
        "rows": [[]],
        "heldOut": [],
        "inputs": 0,
        "inputNames": [],
        "classes": False,
        "labels": None,
        "target": "real",
        "shape": None,
        "starts": [],
        "batch": 0,
        "seed": None,
        "rate": lr,
        "optimizer": {"name": "SGD", "plain": True},
        "checkpoints": _graph_checkpoints(program, moving, lr),
        "chosen": _steepest(values, [i for i, text in enumerate(program.names) if text in moving], loss),
        "reach": max(2.0, 1.2 * size),
        "firstOp": "start" if len(program.lines) > 1 else "end",
        "ahead": AHEAD // 4,
        "scale": max(1e-6, abs(as_float(loss.data))) / 4,
        "code": _graph_code(program, values, lr),
    }
    return Page(page.assemble(data, kernels, _optimizer_source(optimizer)), title)


def _steepest(values: Sequence[Value], leaves: list[int], loss: Value) -> int:
    """The leaf that the loss reacts to most."""
    slopes = gradient(loss, [values[i] for i in leaves])
    return max(zip(slopes, leaves, strict=True), key=lambda pair: abs(as_float(pair[0].data)))[1]


def _graph_checkpoints(program: Program, moving: Sequence[str], lr: float) -> list[dict[str, Any]]:
    """Python's own numbers of gradient descent on a recorded loss."""
    found = []
    leaves = [Value(x) for x in program.start]
    for step in range(max(CHECKPOINTS) + 1):
        memory: list[Any] = [*leaves, *program.constants]
        for line in program.lines:
            memory.append(line.op(*[memory[x] for x in line.operands]))
        root = memory[program.outputs[0]]
        if step in CHECKPOINTS:
            found.append({"step": step, "loss": exact(root.data), "parameters": [exact(p.data) for p in leaves]})
        for p in leaves:
            p.grad = 0
        root.backward()
        leaves = [
            Value(as_float(p.data - lr * p.grad) if text in moving else p.data)
            for p, text in zip(leaves, program.names, strict=True)
        ]
    return found


def _graph_code(program: Program, values: Sequence[Value], lr: float) -> dict[str, list[str]]:
    """The recorded loss as a Python program, with the leaves' numbers left open."""
    names: list[str] = []
    leaves, body = [], []
    taken: set[str] = set()
    for place, value in enumerate(values):
        if len(program.names) <= place < program.base:
            names.append(repr(program.constants[place - len(program.names)]))
            continue
        text = value.label if value.label.isidentifier() and value.label not in taken else f"v{place}"
        taken.add(text)
        names.append(text)
        if place < len(program.names):
            leaves.append(f"{text} = Value(⟦value⟧, label={value.label!r})")
        else:
            line = program.lines[place - program.base]
            label = f"\n{text}.label = {value.label!r}" if value.label else ""
            body.append(f"{text} = ops.{line.op.name}({', '.join(names[x] for x in line.operands)}){label}")
    root = names[program.outputs[0]]
    return {
        "head": ["import micrograd_like as mg", "from micrograd_like import Value, ops", ""],
        "leaves": leaves,
        "body": ["", *body, "", f"{root}.backward()", f"mg.play({root}, lr={lr!r}).show()"],
    }


# ---------- a network with its data ----------


class _Network:
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
            "optimizer": {"name": type(self.optimizer).__name__, "plain": _is_plain(self.optimizer)},
            "checkpoints": self._checkpoints(),
            "chosen": self.chosen,
            "reach": max(4.0, round(size + 0.5)),
            "firstOp": "end",
            "ahead": AHEAD,
            "scale": 0.25,
            "code": self._code(),
        }
        return Page(page.assemble(data, kernels, _optimizer_source(self.optimizer)), title)

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


def _is_plain(optimizer: Optimizer) -> bool:
    return type(optimizer) is SGD and not optimizer.momentum and not optimizer.weight_decay


def _optimizer_source(optimizer: Optimizer) -> str:
    """The optimizer's rule and its rates, as the page's DATA_OPTIMIZER."""
    states = len(type(optimizer).STATE)
    columns = _columns(optimizer)
    operands = ["p[i]", "g[i]", *[f"s[{k}][i]" for k in range(states)], *[f"r[{k}]" for k in range(len(columns))]]
    targets = ["to[i]", *[f"next[{k}][i]" for k in range(states)]]
    body = statements(optimizer.rule, operands, targets)
    parts = {
        "name": type(optimizer).__name__,
        "states": states,
        "columns": [column for column, _ in columns],
        "scaled": [scaled for _, scaled in columns],
        "rate": as_float(optimizer.learning_rate(0)),
    }
    loop = f"for (let i = 0; i < p.length; i++) {{ if (moving && !moving[i]) to[i] = p[i]; else {{ {body} }} }}"
    return (
        f"const DATA_OPTIMIZER = {{ ...{page.script_json(parts)}, "
        f"step: (p, g, s, r, moving, to, next) => {{ {loop} }} }};\n"
    )


def _columns(optimizer: Optimizer) -> list[tuple[Any, bool]]:
    """Each rate that the rule reads, as one number or one for every step, and whether it follows the learning rate."""
    first = optimizer.steps
    rows = [list(map(as_float, optimizer.rates(first + step))) for step in range(_SCHEDULED)]
    faster = copy.copy(optimizer)
    schedule = optimizer.lr
    faster.lr = (lambda step: 2 * schedule(step)) if callable(schedule) else 2 * schedule
    doubled = [list(map(as_float, faster.rates(first + step))) for step in (0, 1)]
    found: list[tuple[Any, bool]] = []
    for i in range(len(rows[0])):
        column = [row[i] for row in rows]
        scaled = all(doubled[k][i] == 2 * column[k] and column[k] != 0 for k in (0, 1))
        while len(column) > 1 and column[-1] == column[-2]:
            column.pop()
        found.append((column[0] if len(column) == 1 else column, scaled))
    return found
