"""Pages that are ready: what `micrograd-like play` lists, and what `make play` writes."""

from __future__ import annotations

import html
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from micrograd_like.compiler import UpTo, compile
from micrograd_like.data import load_digits, load_names, make_moons
from micrograd_like.engine import Value
from micrograd_like.functional import cross_entropy, hinge_loss, mse_loss, tanh
from micrograd_like.nn import MLP
from micrograd_like.optim import SGD, Adam
from micrograd_like.player.page import Page
from micrograd_like.player.play import play
from micrograd_like.transformer import GPT, next_token_loss


@dataclass(frozen=True)
class Ready:
    """A page by name, and what it shows in a sentence."""

    name: str
    about: str
    make: Callable[[], Page]


def neuron() -> Page:
    """micrograd's first example, one operation at a time."""
    x1, x2 = Value(2.0, label="x1"), Value(0.0, label="x2")
    w1, w2, b = Value(-3.0, label="w1"), Value(1.0, label="w2"), Value(6.8813735870195432, label="b")
    total = x1 * w1 + x2 * w2 + b
    total.label = "n"
    out = tanh(total)
    out.label = "out"
    loss = (out - 0.2) ** 2
    loss.label = "loss"
    return play(
        loss,
        parameters=[w1, w2, b],
        lr=0.02,
        title="One neuron: numbers run forward, slopes run back",
        hints=[
            "Press ▶ a few times: each operation shows its formula with the numbers in it, then the way back begins.",
            "Drag w₁ sideways: out and the loss answer at once, and the lower plot shows how the loss bends.",
            "Turn the learning rate up until the step overshoots: the full dot leaves the dashed one.",
        ],
    )


def xor() -> Page:
    """Four clusters that no straight line separates."""
    rng = random.Random(5)
    data = [
        ([round(a + rng.gauss(0, 0.17), 2), round(b + rng.gauss(0, 0.17), 2)], -1 if a * b > 0 else 1)
        for _ in range(10)
        for a in (-0.8, 0.8)
        for b in (-0.8, 0.8)
    ]
    model = MLP(2, [4, 1], activation="tanh", rng=2)
    return play(
        model,
        data,
        mse_loss,
        SGD(model.parameters(), lr=0.3),
        title="XOR: four neurons bend the plane",
        hints=[
            "Drag a weight, sideways on its number: the plane, the loss and the whole future answer.",
            "Drag along the loss curve to train; watch what each neuron says in its little picture.",
            "Type 0.8 as the learning rate and step on: at step 5 the shares turn orange. There it overshoots, for good.",
        ],
    )


def moons() -> Page:
    """Two half moons, and a network of two hidden layers."""
    data = [([round(a, 3), round(b, 3)], y) for (a, b), y in make_moons(150, noise=0.12, seed=1)]
    model = MLP(2, [16, 16, 1], rng=1)
    return play(
        model,
        data[:100],
        hinge_loss,
        SGD(model.parameters(), lr=0.2),
        held_out=data[100:],
        title="Two moons: drag any of 337 weights",
        hints=[
            "Press play, by step: the border between the moons forms in some fifty steps.",
            "Click a neuron: its weights open below. Drag one, and see which part of the plane it holds.",
            "Drag a point, or add some: the network learns your moons.",
        ],
    )


def digits() -> Page:
    """Handwritten digits: a network reads what you draw."""
    train, rest = load_digits(held_out=0.25, seed=0)
    model = MLP(64, [16, 10], rng=3)
    for layer in model.layers:
        for unit in layer.neurons:
            for w in unit.w:
                w.data *= 0.25
    return play(
        model,
        train[:400],
        cross_entropy,
        SGD(model.parameters(), lr=0.2),
        batch_size=20,
        held_out=rest[:200],
        title="Digits: draw one, and see it read",
        hints=[
            "Press play, by epoch: a few epochs are enough. The grey pictures are the weights of each neuron.",
            "Then draw a digit of your own in the drawing field: it is read while you draw.",
            "By operation: the coloured picture beside a neuron is what each of its weights does to the loss.",
        ],
    )


def bias() -> Page:
    """A line through points: the weight tilts it, the bias shifts it."""
    data = [([x / 4], round(0.6 * x / 4 + 0.8 + 0.25 * (-1) ** x * (x % 3 - 1), 2)) for x in range(-6, 10)]
    model = MLP(1, [1], rng=0)
    (unit,) = model.layers[0].neurons
    unit.w[0].data, unit.b.data = -0.4, -0.5
    return play(
        model,
        data,
        mse_loss,
        SGD(model.parameters(), lr=0.1),
        title="A weight tilts, a bias shifts",
        hints=[
            "Drag the number of x→out: the line tilts. Drag the bias b: the line shifts, and keeps its tilt.",
            "The orange threads are the errors; the loss is the mean of their squares.",
            "Press play, by step: the loss is lowest where neither tilting nor shifting helps.",
        ],
    )


def bounce() -> Page:
    """A single number, and a learning rate that is too large for its loss."""
    w = Value(2.6, label="w")
    loss = (w - 1) ** 2 + 0.2
    loss.label = "loss"
    return play(
        loss,
        lr=0.9,
        title="Why a large step bounces",
        hints=[
            "The slope at ◯ predicts the dashed circle; the loss goes to the full one. Drag w and compare.",
            "The amber line shows the next ten steps: at this learning rate each jumps over the lowest point.",
            "Turn the learning rate down to 0.1: they meet. Turn it above 1: each jump lands higher.",
        ],
    )


def names() -> Page:
    """A small GPT that reads first names, trained when the page is written."""
    letters = "·abcdefghijklmnopqrstuvwxyz"
    longest = 11
    train, _ = load_names(longest)
    texts = [[0, *map(letters.index, name), 0] for name in train]
    model = GPT(len(letters), block=longest + 1, rng=0)
    program = compile(
        lambda text: next_token_loss(model(text[:-1]), text[1:]), model.parameters(), text=UpTo(longest + 2, least=3)
    )
    steps = 8 * -(-len(texts) // 32)
    optimizer = Adam(model.parameters(), lr=lambda step: 0.01 * (1 - step / steps), betas=(0.85, 0.99))
    program.train(texts, optimizer=optimizer, epochs=8, batch_size=32)
    return play(
        model,
        "emma",
        letters=letters,
        lr=0.2,
        title="A language model of 4,128 weights: type a name",
        hints=[
            "Type your name: below each letter stands how likely the next one was, and the gradient that comes back to it.",
            "Press “loss of the chosen place alone” and choose a letter: which earlier letters does this one depend on?",
            "Take a step or two: the model learns your name by heart. Then invent some, and reset the weights.",
        ],
    )


READY = [
    Ready("neuron", "one neuron, operation by operation, forward and backward", neuron),
    Ready("xor", "four neurons separate what no line can", xor),
    Ready("moons", "a network of 337 parameters learns two half moons", moons),
    Ready("digits", "handwritten digits: draw your own and see it read", digits),
    Ready("bias", "what a bias does and what a weight does", bias),
    Ready("bounce", "why a large step bounces", bounce),
    Ready("names", "a small GPT: type a name, see what comes next and who looks at whom", names),
]


def by_name(name: str) -> Ready:
    """The ready page of that name, or the only one that begins with it. Raises ValueError for any other."""
    found = [ready for ready in READY if ready.name == name] or [r for r in READY if r.name.startswith(name)]
    if len(found) != 1:
        raise ValueError(f"no page named {name!r:.40}; there are: {', '.join(ready.name for ready in READY)}")
    return found[0]


def listing() -> list[str]:
    """A line for each ready page: its name and what it shows."""
    return [f"{ready.name:8}{ready.about}" for ready in READY]


def write_all(folder: str | Path) -> list[Path]:
    """Write every ready page and an index of them into a folder; returns the paths, the index first."""
    folder = Path(folder)
    paths = [ready.make().save(folder / f"{ready.name}.html") for ready in READY]
    items = "\n".join(
        f'<li><a href="{ready.name}.html">{ready.name}</a><br>{html.escape(ready.about)}</li>' for ready in READY
    )
    index = folder / "index.html"
    index.write_text(_INDEX.replace("⟦items⟧", items), encoding="utf-8")
    return [index, *paths]


_INDEX = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Live pages</title>
<link rel="icon" href="data:,">
<style>:root { color-scheme: light dark } body { font: 17px/1.5 system-ui, sans-serif; max-width: 40em; margin: 3em auto; padding: 0 1em } li { margin: .8em 0 }</style>
<h1>Live pages</h1>
<p>Each is one file. Drag any number: everything that depends on it answers.</p>
<ul>
⟦items⟧
</ul>
</html>
"""
