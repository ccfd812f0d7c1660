"""The public API, called with arguments of wrong type, size and value, drawn from its own signatures.

A call may return, or raise an error that this library raises on purpose: a `raise` of ours, of a common type, with a short
message. Anything else is a finding: an error from the middle of a computation, a warning, a call that takes too long,
parameters that a failed call changed. `test_api_fuzz.py` runs this file in a child, which may die.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import faulthandler
import functools
import importlib
import inspect
import io
import itertools
import operator
import os
import random  # noqa: F401 - the texts below mean it
import resource
import signal
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from decimal import Decimal  # noqa: F401 - the texts below mean it
from fractions import Fraction  # noqa: F401 - the texts below mean it
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import micrograd_like as mg
from micrograd_like import drawing, explain, testing
from micrograd_like.caller import PACKAGE
from micrograd_like.engine import Value

SECONDS = 20  # of the processor's time that a call may take
MEMORY = 4 * 2**30  # bytes that the child may use
LONGEST = 2000  # characters of a message

# Modules whose `__all__` is fuzzed, and the public names of those that have none.
MODULES = ["", "compiler", "drawing", "explain", "testing"]
NAMES = {
    "data": ["load_digits", "load_names", "load_words", "make_moons"],
    "drawing.show": ["to_svg"],
    "training": ["is_correct"],
}

NAMED = (TypeError, ValueError, LookupError, OSError, ImportError, AssertionError, mg.AnomalyError, NotImplementedError)


class UserError(Exception):
    """Raised by a function, an iterator or an attribute of the caller's: it comes out as it is."""


class TooSlow(BaseException):
    pass


# What a call is given: a world made anew for each call, and its parts by the names of parameters.


class World:
    """A model with samples, a recorded loss after its `backward`, and whatever else a function takes."""

    def __init__(self) -> None:
        self.model = mg.MLP(2, [2, 1], rng=0)
        self.samples = [([0.5, -1.0], 1), ([1.5, 0.25], -1), ([-0.5, 0.75], 1)]
        self.losses = [self.loss_of(self.model(x), y) for x, y in self.samples]
        self.loss = mg.mean(self.losses)
        self.loss.backward()
        self.parameters = self.model.parameters()
        self.optimizer = mg.SGD(self.parameters, lr=0.1, momentum=0.5)
        self.history = mg.History([1.0, 0.5], [mg.Epoch(1, 2, 0.75, 0.5, 0.7, 0.5)])

    @staticmethod
    def loss_of(output: Any, target: Any) -> Any:
        return mg.mse_loss([output], [target])

    def report(self) -> Any:
        return mg.explain_step(self.loss, self.model, 0.1)

    def program(self) -> Any:
        return mg.compile(lambda x, y: self.loss_of(self.model(x), y), self.parameters, x=2, y=())

    def state(self) -> list[Any]:
        """What a failed call must leave as it was."""
        return [repr(p.data) for p in self.parameters] + [repr(self.optimizer.velocities), self.optimizer.steps]


def _file(world: World) -> str:
    path = os.path.join(tempfile.gettempdir(), "weights.safetensors")
    mg.save_weights(world.model, path)
    return path


def _words(world: World) -> str:
    path = os.path.join(tempfile.gettempdir(), "words.txt")
    with open(path, "w", encoding="utf-8") as file:
        file.write(" ".join("abcd"[i % 4] * (i // 4 + 1) for i in range(40)))
    return path


def _figure(world: World) -> Any:
    with drawing.house_style() as matplotlib:
        figure = matplotlib.figure.Figure()
        figure.subplots().plot([1, 2])
    return figure


GOOD: dict[str, Callable[[World], Any]] = {
    "across": lambda w: 2,
    "areas": lambda w: {"one": [(0, 1.0), (1, 2.0)]},
    "at": lambda w: [0.5] * len(w.parameters),
    "atol": lambda w: 0.0,
    "batch_size": lambda w: 2,
    "betas": lambda w: (0.9, 0.99),
    "block": lambda w: 4,
    "bias": lambda w: Value(0.5),
    "budget": lambda w: 2000,
    "cached": lambda w: False,
    "captions": lambda w: ["before", "after"],
    "callbacks": lambda w: [lambda step: None],
    "classes": lambda w: [0, 1],
    "compiled": lambda w: False,
    "correct": lambda w: lambda output, target: True,
    "count": lambda w: 3,
    "data": lambda w: w.samples,
    "delta": lambda w: 1.0,
    "depth": lambda w: "neurons",
    "elements": lambda w: st.just(1.0),
    "drawings": lambda w: [mg.draw_dot(w.loss), mg.draw_dot(w.loss)],
    "epochs": lambda w: 1,
    "eps": lambda w: 1e-8,
    "epsilon": lambda w: 1e-3,
    "every": lambda w: 1,
    "expand": lambda w: False,
    "other": lambda w: 2,
    "figure": _figure,
    "first": lambda w: "layers[0].neurons[0].w[0]",
    "format": lambda w: "svg",
    "func": lambda w: lambda x, y: x * y + x,
    "function": lambda w: lambda x: w.model(x),
    "gradients": lambda w: True,
    "held_out": lambda w: 0.25,
    "highlight": lambda w: "layers[0].neurons[0].w[0]",
    "heads": lambda w: 2,
    "hints": lambda w: ["Drag a weight."],
    "history": lambda w: w.history,
    "images": lambda w: {"one": [0.0, 1.0, 0.5, 0.25]},
    "index": lambda w: 1,
    "inputs": lambda w: [Value(1.0), Value(2.0)],
    "keep": lambda w: 1,
    "label": lambda w: "x",
    "labels": lambda w: "x",
    "layer": lambda w: w.model.layers[0],
    "layers": lambda w: 1,
    "leaves": lambda w: st.just(1.0),
    "legend": lambda w: True,
    "letters": lambda w: "ab",
    "lines": lambda w: {"one": [(0, 1.0), (1, 2.0)]},
    "log": lambda w: "y",
    "logits": lambda w: [Value(1.0), Value(-2.0)],
    "loss": lambda w: w.loss,
    "longest": lambda w: 8,
    "losses": lambda w: w.losses,
    "lr": lambda w: 0.1,
    "margin": lambda w: 0.25,
    "markers": lambda w: True,
    "max_edges": lambda w: 30,
    "max_nodes": lambda w: 50,
    "max_size": lambda w: 3,
    "max_value": lambda w: 2.0,
    "min_size": lambda w: 1,
    "model": lambda w: w.model,
    "momentum": lambda w: 0.5,
    "moves": lambda w: {"layers[0].neurons[0].w[0]": 0.1},
    "negative_slope": lambda w: 0.1,
    "n_samples": lambda w: 10,
    "name": lambda w: "picture",
    "names": lambda w: ["a", "b", "c"],
    "neuron": lambda w: w.model.layers[0].neurons[0],
    "nin": lambda w: 2,
    "noise": lambda w: 0.1,
    "n": lambda w: 2,
    "n_jobs": lambda w: 1,
    "nonlin": lambda w: True,
    "nout": lambda w: 2,
    "nouts": lambda w: [2, 1],
    "operands": lambda w: Value(0.5),
    "operations": lambda w: [mg.exp, mg.sin],
    "optimizer": lambda w: w.optimizer,
    "order": lambda w: 1,
    "others": lambda w: 2.0,
    "output": lambda w: w.loss,
    "parameter": lambda w: "layers[0].neurons[0].w[0]",
    "parameters": lambda w: w.parameters,
    "path": _file,
    "picture": lambda w: "<svg></svg>",
    "points": lambda w: 5,
    "predictions": lambda w: [Value(1.0), Value(-2.0)],
    "progress": lambda w: False,
    "raise_exception": lambda w: True,
    "rankdir": lambda w: "LR",
    "rates": lambda w: [0.01, 0.1],
    "report": lambda w: w.report(),
    "rng": lambda w: 0,
    "root": lambda w: w.loss,
    "rows": lambda w: 3,
    "rtol": lambda w: 1e-12,
    "samples": lambda w: w.samples,
    "scores": lambda w: [Value(1.0), Value(-2.0)],
    "second": lambda w: "layers[0].neurons[0].b",
    "seed": lambda w: 1,
    "seeds": lambda w: 1,
    "shape": lambda w: (1, 2),
    "set_to_none": lambda w: True,
    "lost_gradients": lambda w: True,
    "gradient": lambda w: True,
    "shuffle": lambda w: True,
    "since": lambda w: None,
    "span": lambda w: 0.5,
    "states": lambda w: [mg.draw_dot(w.loss), mg.draw_dot(w.loss)],
    "stages": lambda w: {"one": drawing.regions(w.model, w.samples, points=3)},
    "start": lambda w: 0,
    "state": lambda w: w.model.state_dict(),
    "step": lambda w: mg.Step(0, 1, w.loss, w.samples, w.model, w.optimizer, w.history),
    "steps": lambda w: 3,
    "stop": lambda w: ["layers[0]"],
    "strict": lambda w: False,
    "style": lambda w: inspect.signature(mg.draw_dot).parameters["style"].default,
    "summary": lambda w: "a line",
    "target": lambda w: 1,
    "targets": lambda w: [1, -1],
    "temperature": lambda w: 0.5,
    "title": lambda w: "title",
    "tokens": lambda w: 5,
    "tolerance": lambda w: 1e-6,
    "values": lambda w: {"layers[0].neurons[0].w[0]": 0.5},
    "weight_decay": lambda w: 0.01,
    "weights": lambda w: [Value(1.0), Value(2.0)],
    "width": lambda w: 80,
    "x": lambda w: [0.5, -1.0],
    "xs": lambda w: [Value(1.0), Value(2.0)],
    "y": lambda w: "y",
    "activation": lambda w: "tanh",
    "activations": lambda w: "tanh",
}
# Where one word means different things.
GOOD_OF: dict[str, Callable[[World], Any]] = {
    "from_torch.network": lambda w: mg.to_torch(w.model),
    "to_c.inputs": lambda w: 2,
    "to_c.name": lambda w: "name",
    "to_c.program": lambda w: w.model,
    "to_onnx.dtype": lambda w: "float64",
    "to_onnx.inputs": lambda w: 2,
    "to_onnx.program": lambda w: w.model,
    "save_weights.layout": lambda w: "torch",
    "Module.inputs": lambda w: [0.5, -1.0],
    "Layer.inputs": lambda w: [0.5, -1.0],
    "MLP.inputs": lambda w: [0.5, -1.0],
    "Neuron.inputs": lambda w: [0.5, -1.0],
    "draw_dot.names": lambda w: {"name": w.loss},
    "UpTo.longest": lambda w: 4,
    "UpTo.least": lambda w: 2,
    "UpTo.rest": lambda w: 3,
    "evaluate.loss": lambda w: w.loss_of,
    "fit.loss": lambda w: w.loss_of,
    "fit.held_out": lambda w: w.samples,
    "binary_cross_entropy_with_logits.targets": lambda w: [1, 0],
    "Expression.inputs": lambda w: Value(1.0),
    "Layer.state": lambda w: w.model.layers[0].state_dict(),
    "Neuron.state": lambda w: w.model.layers[0].neurons[0].state_dict(),
    "Plot.path": lambda w: os.path.join(tempfile.gettempdir(), "plot.svg"),
    "play.loss": lambda w: w.loss_of,
    "play.held_out": lambda w: w.samples,
    "play.parameters": lambda w: None,
    "play.lr": lambda w: 0.1,
    "plot_lines.x": lambda w: "x",
    "plot_images.shape": lambda w: (2, 2),
    "compile.inputs": lambda w: 2,
    "Value.data": lambda w: 1.5,
    "values.data": lambda w: st.just(1.0),
    "datasets.targets": lambda w: st.just(1),
    "gather.values": lambda w: [Value(1.0), Value(2.0)],
    "Slice.x": lambda w: 0.5,
    "plot_walks.xs": lambda w: [0.0, 1.0],
    "plot_walks.ys": lambda w: [0.0, 1.0],
    "plot_walks.losses": lambda w: [[1.0, 2.0], [3.0, 4.0]],
    "plot_walks.x": lambda w: "x",
    "plot_areas.x": lambda w: "x",
    "plot_areas.total": lambda w: "total",
    "plot_walks.walks": lambda w: {"one": [(0, 0.5), (1, 0.5)]},
    "plot_walks.marks": lambda w: {"one": [(0, 0.5), (1, 0.5)]},
    "GPT.width": lambda w: 4,
    "Attention.width": lambda w: 4,
    "Block.width": lambda w: 4,
    "Embedding.width": lambda w: 4,
    "generate.model": lambda w: mg.GPT(5, block=4, width=4, heads=2, rng=0),
    "generate.stop": lambda w: 0,
    "load_words.path": _words,
    "next_token_loss.scores": lambda w: [[Value(1.0), Value(-2.0)], [0.0, 0.5]],
    "next_token_loss.targets": lambda w: [1, 0],
    "plot_attention.heads": lambda w: [[[1.0], [0.5, 0.5]]],
    "gelu.x": lambda w: Value(0.5),
    "leaky_relu.x": lambda w: Value(0.5),
    "silu.x": lambda w: Value(0.5),
    "Program.inputs": lambda w: [[0.5, -1.0], [1.0, 2.0]],
    "Program.targets": lambda w: [1.0, -1.0],
}
THREE = {"where": (1.0, 2.0)}  # what follows the first operand
THEIRS = {"Plot.savefig.options", "Module.__call__.named"}  # handed on to matplotlib as they are
HANDED_ON = f"{os.sep}matplotlib{os.sep}"  # whose errors about the format of a file are good ones
# Values that are fine for the function, and never end: a training of 2**40 epochs is what the caller asked for.
ENDLESS = {"epochs", "n_samples"}


class Index:
    def __init__(self, n: Any) -> None:
        self.n = n

    def __index__(self) -> Any:
        return self.n


class Nosy:
    """Raises whatever it is asked."""

    def __getattr__(self, name: str) -> Any:
        raise UserError(name) if not name.startswith("__") else AttributeError(name)

    def __call__(self, *args: Any, **options: Any) -> Any:
        raise UserError("called")


def _breaking() -> Iterator[float]:
    yield 1.0
    raise UserError("no more")


BAD: dict[str, Callable[[], Any]] = {
    text: functools.partial(eval, text, {**globals(), "_breaking": _breaking})
    for text in """
None | True | False | 0 | -1 | 1 | 2 | 3 | 7 | 2**31 | 2**40 | 2**63 | 2**64 | 2**70 | -2**70 | 10**400 | 0.0 | -0.0 | 0.5 | -0.5 | 1.5 | 1e-300
5e-324 | 1e308 | float('nan') | float('inf') | -float('inf') | Fraction(1, 3) | Fraction(10**400) | Fraction(1, 10**400) | Decimal('0.1')
Decimal('nan') | 1j | '' | 'a' | 'nan' | '1.5' | 'svg' | '<b>&"' | '\\ud800' | '\\0' | 'x' * 5000 | '../x' | b'' | b'abc' | bytearray(b'x') | [] | [[]] | [None]
[1.0] | [1, 2] | ['a', 'b'] | [float('nan')] | [10**400] | [[1.0], [1.0, 2.0]] | [(1, 2)] | [([1.0, 2.0], 1)] | [([1.0], 1)] | [([], 1)] | [(None, None)] | () | (0, 0)
(2**40, 2**40) | (-1, 2) | (1, 'a') | (8, 8) | {} | {'a': 1} | {1: 1.0} | {'a': None} | {'a': Value(1.0)} | {None: Value(1.0)} | set() | {1.0} | range(0) | range(3) | iter([]) | iter([1.0]) | _breaking()
np.int8(100) | np.uint8(255) | np.float32(0.5) | np.float64('nan') | np.bool_(True) | np.str_('a') | np.array(1.0) | np.array(2) | np.array([]) | np.array([1.0, 2.0]) | np.array(['a'])
np.zeros((2, 2)) | np.zeros((0, 2)) | np.array([1j]) | np.array([None]) | np.array([[0.5, -1.0], [1.0, 2.0]]) | np.datetime64('2020-01-01') | Value(1.0) | Value(0.0) | Value(float('nan'))
Value(Fraction(1, 3)) | Value(1.0, 'a') | Value(2.0) * Value(3.0) | Value(float('inf')) + 1 | [Value(1.0)] | [Value(1.0), Value(2.0)] | [Value(1.0), None] | [Value(1.0)] * 2 | [Value(1.0), 'a'] | object() | int
Value | Index(2) | Index('a') | Index(2**70) | Nosy() | (lambda *a, **k: None) | (lambda *a, **k: 1.0) | (lambda *a, **k: 'a') | (lambda *a, **k: a) | (lambda *a, **k: a[0]) | len | print
mg.Neuron(2) | mg.Neuron(3) | mg.Layer(2, 2) | mg.MLP(2, [1], rng=0) | mg.MLP(3, [2, 2], rng=0) | mg.Module() | mg.SGD([Value(1.0)], lr=0.1) | mg.exp | mg.History() | random.Random(0) | random | sys | Path('nowhere/at/all')
Path('.') | '/' | '/proc/nothing' | io.StringIO() | io.BytesIO(b'x') | float | ... | type(None) | slice(1) | memoryview(b'ab') | ValueError('x') | ValueError | st.integers() | st.text()
""".strip().replace("\n", " | ").split(" | ")
    if text
}  # fmt: skip
HUGE = {"2**31", "2**40", "2**63", "2**64", "2**70", "10**400", "Index(2**70)"}


# What is called.


@dataclasses.dataclass(frozen=True)
class Target:
    name: str  # "explain_step", "SGD.restart", "Value + "
    function: Callable[..., Any]  # of the world, then of the arguments
    parameters: tuple[inspect.Parameter, ...]

    def good(self, parameter: str) -> Callable[[World], Any]:
        name = self.name.split(".")[0]
        found = GOOD_OF.get(f"{self.name}.{parameter}") or GOOD_OF.get(f"{name}.{parameter}") or GOOD.get(parameter)
        if found is None:
            raise LookupError(f"{self.name}: add to GOOD what a good {parameter!r} is")
        return found


# A good object of every public class whose methods are called; classes that are records of results or errors have none.
OBJECTS: dict[str, Callable[[World], Any]] = {
    "Value": lambda w: w.loss,
    "Module": lambda w: w.model,
    "Neuron": lambda w: w.model.layers[0].neurons[0],
    "Layer": lambda w: w.model.layers[0],
    "MLP": lambda w: w.model,
    "SGD": lambda w: w.optimizer,
    "ExplainSteps": lambda w: mg.ExplainSteps(),
    "Plot": lambda w: drawing.Plot(_figure(w)),
    "Drawing": lambda w: mg.draw_dot(w.loss),
    "StepReport": World.report,
    "Paths": lambda w: mg.paths(w.loss, "layers[0].neurons[0].w[0]"),
    "Slice": lambda w: mg.loss_slice(w.loss, "layers[0].neurons[0].w[0]", 0.5, points=3),
    "Expression": lambda w: testing.Expression((1.0,), ((mg.exp, (0,)),)),
}
OPERATORS = ["add", "sub", "mul", "truediv", "pow", "lt", "le", "gt", "ge", "eq"]
OF_TORCH = {"from_torch", "to_torch"}  # which the dev extra does not bring
NOT_OURS = {"Drawing"}  # graphviz's own methods
# Arguments with a default that does not fit the other good ones.
TOGETHER = {
    "explain_step.lr",
    "small_multiples.lr",
    "play.data",
    "play.loss",
    "play.optimizer",
    "plot_images.shape",
    "plot_weights.shape",
    "weight_pictures.shape",
}
MADE = {"Module", "Optimizer", "Page", "Program", "Report"}  # by the library, or to be derived from
AMONG_US = {"commit", "rule"}  # what optimizers and compiler ask of each other


def targets() -> list[Target]:
    """Every public function, every class that is called, and every public method of a good object."""
    found: dict[str, Target] = {}
    for module in [*MODULES, *NAMES]:
        scope = importlib.import_module(f"micrograd_like.{module}".rstrip("."))
        for name in NAMES.get(module) or scope.__all__:
            held = getattr(scope, name)
            if not callable(held) or name in found or (name in OF_TORCH and find_spec("torch") is None):
                continue
            if isinstance(held, type):
                for target in _of_class(name, held):
                    found[target.name] = target
            else:
                found[name] = _target(name, lambda w, *args, held=held, **options: held(*args, **options), held)
    inputs = tuple(inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in ("inputs", "targets"))
    for method in ("__call__", "losses", "outputs", "gradient", "sgd"):
        more = inspect.signature(getattr(mg.Program, method)).parameters.values()
        by_name = tuple(p for p in more if p.kind is p.KEYWORD_ONLY)
        call = lambda w, *args, method=method, **options: getattr(w.program(), method)(*args, **options)  # noqa: E731
        found[f"Program.{method}"] = Target(f"Program.{method}", call, inputs + by_name)
    for name in OPERATORS:
        parameter = inspect.Parameter("operands", inspect.Parameter.POSITIONAL_ONLY)
        apply = getattr(operator, name)
        found[f"Value {name}"] = Target(f"Value {name}", lambda w, x, f=apply: f(w.loss, x), (parameter,))
        found[f"{name} Value"] = Target(f"{name} Value", lambda w, x, f=apply: f(x, w.loss), (parameter,))
    return list(found.values())


def _of_class(name: str, kind: type) -> Iterator[Target]:
    if issubclass(kind, BaseException):
        return
    if not dataclasses.is_dataclass(kind) and name not in {*NOT_OURS, *MADE}:
        yield _target(name, lambda w, *args, **options: kind(*args, **options), kind)
    if name in OBJECTS and name not in NOT_OURS:
        methods = [n for n in dir(kind) if n[0] != "_" and n not in AMONG_US and callable(getattr(kind, n))]
        for method in [*methods, *(["__call__"] if "__call__" in dir(kind) else [])]:
            if not isinstance(inspect.getattr_static(kind, method), classmethod):
                make = OBJECTS[name]

                def call(w: World, *args: Any, method: str = method, make: Any = make, **options: Any) -> Any:
                    return getattr(make(w), method)(*args, **options)

                yield _target(f"{name}.{method}", call, getattr(kind, method), skip=1)


def _target(name: str, call: Callable[..., Any], held: Any, skip: int = 0) -> Target:
    parameters = list(inspect.signature(held).parameters.values())[skip:]
    return Target(name, call, tuple(p for p in parameters if f"{name}.{p.name}" not in THEIRS))


# One case: which arguments are good, which are not.

Case = dict[str, str]  # of each parameter that is given: "good", or the text of a bad one


def required(target: Target) -> list[str]:
    """The parameters without which the call means nothing."""
    return [p.name for p in target.parameters if p.default is p.empty or f"{target.name}.{p.name}" in TOGETHER]


def cases(target: Target) -> st.SearchStrategy[Case]:
    """Mostly one bad argument; sometimes several."""
    parameters = {p.name: p for p in target.parameters}
    names = list(parameters)
    if not names:
        return st.just({})
    needed = required(target)

    def made(choice: tuple[set[str], dict[str, str], set[str]]) -> Case:
        wrong, texts, given_too = choice
        return {
            name: _fitting(parameters[name], texts[name]) if name in wrong else "good"
            for name in names
            if name in wrong or name in needed or name in given_too
        }

    wrong = st.one_of(st.sampled_from(names).map(lambda name: {name}), st.sets(st.sampled_from(names), max_size=3))
    texts = st.fixed_dictionaries({name: st.sampled_from(list(BAD)) for name in names})
    return st.tuples(wrong, texts, st.sets(st.sampled_from(names), max_size=2)).map(made)


def _fitting(parameter: inspect.Parameter, text: str) -> str:
    if isinstance(parameter.default, bool) and text.startswith(("np.", "st.")):
        return "True"  # flags may be anything that is true or false, and these are neither
    return "2" if parameter.name in ENDLESS and text in HUGE else text


def every_case(target: Target) -> Iterator[Case]:
    """Every bad argument in every place, the others good or left out."""
    needed = dict.fromkeys(required(target), "good")
    for parameter, text in itertools.product(target.parameters, BAD):
        yield {**needed, parameter.name: _fitting(parameter, text)}


def prepared(target: Target, case: Case) -> tuple[World, list[Any], dict[str, Any]]:
    """A new world and the arguments: those by place, and those by name."""
    world = World()
    args: list[Any] = []
    options: dict[str, Any] = {}
    by_name = False
    for parameter in target.parameters:
        if parameter.name not in case:
            by_name |= parameter.kind is parameter.POSITIONAL_OR_KEYWORD
            continue
        text = case[parameter.name]
        x = target.good(parameter.name)(world) if text == "good" else BAD[text]()
        if parameter.kind is parameter.VAR_KEYWORD:
            options["x"] = x
        elif parameter.kind is parameter.VAR_POSITIONAL:
            args += [x, *THREE.get(target.name, ())]
        elif parameter.kind is parameter.KEYWORD_ONLY or by_name:
            options[parameter.name] = x
        else:
            args.append(x)
    return world, args, options


def run(target: Target, case: Case) -> str | None:
    """Make the call; what is wrong with how it ended, or None."""
    world, args, options = prepared(target, case)
    before = world.state()
    try:
        with _limited(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            _look_at(target.function(world, *args, **options))
    except UserError:
        return None
    except TooSlow:
        return f"still runs after {SECONDS} s"
    except Exception as error:
        took_a_function = any(callable(BAD[text]()) for text in case.values() if text != "good")
        wrong = verdict(error, took_a_function)
        if wrong is not None:
            return wrong
        if target.name != "fit" and world.state() != before:  # a callback may fail in the middle of a training
            return f"the parameters changed, and then: {type(error).__name__}: {error}"
    return None


def _look_at(result: Any) -> None:
    """Results that are computed when they are looked at."""
    if isinstance(result, explain.Report):
        str(result)
        result._repr_html_()
    elif isinstance(result, st.SearchStrategy):
        result.validate()
    elif inspect.isgenerator(result):
        list(itertools.islice(result, 10))
    elif not isinstance(result, np.ndarray):
        repr(result)


def verdict(error: Exception, took_a_function: bool = False) -> str | None:
    """What is wrong with an error: it was not raised on purpose, is of an uncommon type, or says too much or nothing."""
    frames = list(_frames(error.__traceback__))
    code, line = frames[-1]
    ours = [f"{Path(c.co_filename).name}:{n}" for c, n in frames if c.co_filename.startswith(PACKAGE)]
    where = f"{type(error).__name__} at {' > '.join(ours[-3:])}: {str(error)[:200]}"
    if not isinstance(error, NAMED):
        return f"of an uncommon type: {where}"
    if (isinstance(error, OSError) and error.filename is not None) or "os.PathLike" in str(error):
        return None  # the system's own word about a file, or about what is no path
    if not str(error).strip() or len(str(error)) > LONGEST:
        return f"a message of {len(str(error))} characters: {where[:300]}"
    if code.co_filename == __file__ and not ours:
        return None  # Python itself: an argument too many, or an operator that returned NotImplemented
    if (HANDED_ON in code.co_filename) and isinstance(error, ValueError) and _raises(code.co_filename, line, error):
        return None
    if took_a_function and isinstance(error, (TypeError, ValueError)):
        return None  # the caller's function did not like what it was called with
    if code.co_filename.startswith(PACKAGE) and _raises(code.co_filename, line, error):
        return None
    return f"from inside: {where}"


def _frames(trace: TracebackType | None) -> Iterator[tuple[Any, int]]:
    while trace is not None:
        yield trace.tb_frame.f_code, trace.tb_lineno
        trace = trace.tb_next


@functools.cache
def _raise_statements(file: str) -> list[tuple[int, int, str]]:
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    return [
        (node.lineno, node.end_lineno or node.lineno, ast.unparse(node.exc) if node.exc else "")
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise)
    ]


def _raises(file: str, line: int, error: Exception) -> bool:
    """Whether that line is a `raise` of this error, and not an error in making the message of another."""
    for first, last, text in _raise_statements(file):
        if first <= line <= last:
            name = text.split("(")[0].split(".")[-1]
            return (
                name == type(error).__name__
                or "(" not in text
                or not isinstance(getattr(__builtins__, name, None), type)
            )
    return False


@contextmanager
def _limited() -> Iterator[None]:
    def late(*_: Any) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, SECONDS, 1)  # again, as a destructor may swallow one
    faulthandler.dump_traceback_later(30 * SECONDS, exit=True, file=sys.__stderr__)  # where no signal is looked at
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGPROF, before)


def _text(target: Target, case: Case) -> str:
    return f"{target.name}({', '.join(f'{name}={text}' for name, text in case.items())})"


def attack(chosen: list[Target], examples: int | None, round_seed: int, journal: Path) -> tuple[int, dict[str, str]]:
    """(how many calls, the first call for each finding)."""
    calls = 0
    findings: dict[str, str] = {}

    def check(target: Target, case: Case) -> None:
        nonlocal calls
        calls += 1
        text = _text(target, case)
        journal.write_text(text, encoding="utf-8", errors="replace")  # if this process dies, what killed it
        if (wrong := run(target, case)) is not None:
            place = f"{target.name}: {': '.join(wrong.split(': ')[:2])}"  # once for each line of ours
            if place not in findings:
                findings[place] = text
                print(f"{text}\n    {wrong}".encode("utf-8", "backslashreplace").decode(), flush=True)

    for target in chosen:
        if examples is None:
            for case in every_case(target):
                check(target, case)
        else:
            _drawn(
                functools.partial(check, target), cases(target), examples * max(1, len(target.parameters)), round_seed
            )
    return calls, findings


def _drawn(check: Callable[[Case], None], drawn: st.SearchStrategy[Case], examples: int, round_seed: int) -> None:
    @seed(round_seed)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(drawn)
    def draw(case: Case) -> None:
        check(case)

    draw()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=None, help="calls per parameter; all single ones by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="names that begin so")
    parser.add_argument("--journal", type=Path, default=Path(os.devnull), help="where the call that is made is noted")
    options = parser.parse_args()
    warnings.simplefilter("error")
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    os.environ["MICROGRAD_LIKE_CACHE"] = tempfile.mkdtemp()
    chosen = [target for target in targets() if target.name.startswith(options.only)]
    journal = options.journal.absolute()
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        os.chdir(folder)
        calls, findings = attack(chosen, options.examples, options.seed, journal)
        os.chdir("/")
    kinds = Counter(finding.split(": ")[1] for finding in findings)
    print(f"{len(chosen)} names, {calls} calls, {len(findings)} findings {dict(kinds) or ''}")
    return min(len(findings), 1)


if __name__ == "__main__":
    sys.exit(main())
