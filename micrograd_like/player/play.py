"""`play`: a recorded loss, or a model with its data, as a page in which every number can be grasped."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any, overload

from micrograd_like.checks import listed, shown
from micrograd_like.engine import Value
from micrograd_like.nn import Module
from micrograd_like.optim import Optimizer, checked
from micrograd_like.player.network import Network, Sample
from micrograd_like.player.page import Page
from micrograd_like.player.recorded import recorded_page
from micrograd_like.player.text import text_page
from micrograd_like.transformer import GPT


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

    >>> from micrograd_like import MLP, SGD, mse_loss
    >>> model = MLP(2, [3, 1], activation="tanh", rng=0)
    >>> data = [([0.0, 0.0], -1), ([1.0, 0.0], 1)]
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
        return recorded_page(model, lr, parameters, title or "Every number of one loss", hints)
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
    return Network(model, data, loss, optimizer, batch_size, held_out, rng, shape, classes).page(
        title or "Drag a weight, watch the loss answer", hints
    )
