"""The page of a recorded loss: its graph, scalar by scalar, and gradient descent on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from micrograd_like.drawing.formula import name
from micrograd_like.engine import Value, gradient
from micrograd_like.ieee import as_float
from micrograd_like.nn import Module
from micrograd_like.optim import SGD
from micrograd_like.player.javascript import exact
from micrograd_like.player.layout import graph_layout
from micrograd_like.player.page import AHEAD, CHECKPOINTS, Page, assemble
from micrograd_like.player.program import Kernels, Program, of_graph
from micrograd_like.player.rates import optimizer_source


def recorded_page(loss: Value, lr: float, parameters: Any, title: str, hints: list[str]) -> Page:
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
    return Page(assemble(data, kernels, optimizer_source(optimizer)), title)


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
