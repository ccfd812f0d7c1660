"""The page of a language model: type letters, see what comes next, who looks at whom, and what each weight does to the loss.

It runs the compiler's loops for one text; those after its end are filled up, and count nothing. As a place's embedding is
added to that of its letter, its gradient is that of the loss by the letter where it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from micrograd_like.compiler.pipeline import build
from micrograd_like.compiler.trace import trace
from micrograd_like.engine import gradient
from micrograd_like.functional import cross_entropy, dot
from micrograd_like.ieee import as_float
from micrograd_like.player import page
from micrograd_like.player.javascript import HELPERS, exact
from micrograd_like.player.nests import loops_source
from micrograd_like.transformer import GPT, next_token_loss

_EVERY = 61  # which parameters' gradients travel with the page, to be compared
_ABOUT = {
    "token": "what each letter is: a row for each",
    "place": "where a letter stands: a row for each place",
    "query": "what a place looks for",
    "key": "by what a place is found",
    "value": "what a place gives to those who look at it",
    "output": "how what the heads found is put together",
    "up": "the neurons that look at a place",
    "down": "what these neurons add to it",
    "head": "a row of scores for each letter that may come next",
}


def text_page(model: GPT, text: str, letters: Sequence[str], lr: float, title: str, hints: Sequence[str]) -> str:
    """Write the page's text. `letters` are what the tokens are called; token 0 is the start and the end.

    Raises:
        ValueError: there is not one letter of one character for each token, or the text has other letters, or is too long.
    """
    block = len(model.place.weight)
    _check(model, text, letters, block)
    parameters = dict(model.named_parameters())

    def all_of_it(text: Any, share: Any) -> Any:
        tokens = text[:-1]
        scores = model(tokens)
        losses = [cross_entropy(row, target) for row, target in zip(scores, text[1:], strict=True)]
        return dot(share, losses), losses, scores, model.looks(tokens)

    recorded = trace(all_of_it, list(parameters.values()), {"text": (block + 1,), "share": (block,)})
    parts = build(recorded)
    data = {
        "title": title,
        "hints": list(hints),
        "letters": list(letters),
        "block": block,
        "width": len(model.token.weight[0]),
        "layers": len(model.blocks),
        "heads": model.blocks[0].attention.heads,
        "text": text,
        "lr": lr,
        "parameters": [exact(as_float(p.data)) for p in parameters.values()],
        "groups": _groups(list(parameters)),
        "checkpoints": [_checkpoint(model, each, letters) for each in dict.fromkeys((text, text[:1], text[::-1]))],
    }
    return page.assemble_text(data, HELPERS + f"const LOOPS = {loops_source(parts)};\n")


def _check(model: GPT, text: str, letters: Sequence[str], block: int) -> None:
    if len(letters) != len(model.token.weight) or any(len(str(each)) != 1 for each in letters):
        raise ValueError(
            f"expected letters as one character for each of the model's {len(model.token.weight)} tokens, token 0 being "
            f"the start and the end; got {len(letters)}: {''.join(map(str, letters))!r:.60}"
        )
    if len(set(letters)) != len(letters):
        raise ValueError(f"expected each letter once, got {''.join(letters)!r:.60}")
    if other := sorted(set(text) - set(letters[1:])):
        raise ValueError(f"expected a text of the model's letters, got {''.join(other)!r:.60} in it")
    if len(text) >= block:
        raise ValueError(f"expected a text of at most {block - 1} letters, got {len(text)}")


def _groups(names: Sequence[str]) -> list[dict[str, Any]]:
    """The matrices of weights: each by its name, where it begins, and its shape."""
    shapes: dict[str, list[int]] = {}
    for name in names:
        path, row, column = name.rsplit("[", 2)
        shape = shapes.setdefault(path.removesuffix(".weight"), [0, 0])
        shape[0], shape[1] = max(shape[0], int(row[:-1]) + 1), max(shape[1], int(column[:-1]) + 1)
    starts = [0, *accumulate(rows * columns for rows, columns in shapes.values())]
    return [
        {"name": name, "about": _ABOUT[name.rpartition(".")[2]], "start": start, "rows": rows, "columns": columns}
        for (name, (rows, columns)), start in zip(shapes.items(), starts, strict=False)
    ]


def _checkpoint(model: GPT, text: str, letters: Sequence[str]) -> dict[str, Any]:
    """Python's own numbers, by the eager engine: the loss of a text, and its gradient by every so many-th parameter."""
    tokens = [0, *map(list(letters).index, text), 0]
    loss = next_token_loss(model(tokens[:-1]), tokens[1:])
    numbers = [as_float(g.data) for g in gradient(loss, model.parameters())]
    return {
        "text": text,
        "loss": exact(as_float(loss.data)),
        "every": _EVERY,
        "gradient": [exact(x) for x in numbers[::_EVERY]],
    }
