"""A program in microgpt's style runs as it is when its import is changed, and gives the same numbers.

Beside its own `Value` and ours stands PyTorch, in 64 bits: the three trainings agree in every loss and every gradient.
"""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import micrograd_like as mg

SOURCE = (Path(__file__).parent / "microgpt_program.py").read_text(encoding="utf-8")
THEIRS, OURS = "from plain_value import Value", "from micrograd_like.engine import Value"
STEPS = 8


def program(imported: str) -> SimpleNamespace:
    """The program's names, its scalars being those that this line imports."""
    assert SOURCE.count(THEIRS) == 1
    names: dict[str, Any] = {"__name__": "microgpt_program"}
    exec(compile(SOURCE.replace(THEIRS, imported), "microgpt_program.py", "exec"), names)
    return SimpleNamespace(**names)


@pytest.fixture(scope="module")
def trained() -> list[tuple[float, list[float], list[float]]]:
    return list(program(OURS).train(STEPS))


def largest_difference(these: list[float], those: list[float]) -> float:
    return max(abs(a - b) for a, b in zip(these, those, strict=True))


def test_only_the_import_is_changed_and_the_numbers_are_the_same(trained: Any) -> None:
    assert program(OURS).Value is mg.Value
    assert program(THEIRS).Value is not mg.Value
    for (loss, gradients, numbers), (their_loss, their_gradients, their_numbers) in zip(
        trained, program(THEIRS).train(STEPS), strict=True
    ):
        assert loss == pytest.approx(their_loss, rel=1e-12)
        assert largest_difference(gradients, their_gradients) < 1e-12
        assert largest_difference(numbers, their_numbers) < 1e-12


def test_it_has_learned_something(trained: Any) -> None:
    losses = [loss for loss, _, _ in trained]
    assert losses[0] == pytest.approx(3.3, abs=0.3)  # log 27: it knows nothing
    assert losses[-1] < losses[0] - 0.3


def test_losses_and_gradients_are_pytorchs_over_the_whole_training(trained: Any) -> None:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    it = program(OURS)
    random.seed(42)
    state = {
        name: torch.tensor([[p.data for p in row] for row in rows], dtype=torch.float64, requires_grad=True)
        for name, rows in it.parameters().items()
    }

    def norm(x: Any) -> Any:
        return functional.rms_norm(x, (it.WIDTH,), eps=1e-5)

    def loss_of(name: str) -> Any:
        tokens = torch.tensor([it.END, *map(it.LETTERS.index, name), it.END])
        n = len(tokens) - 1
        x = norm(state["wte"][tokens[:-1]] + state["wpe"][:n])
        for layer in range(it.LAYERS):
            q, k, v = (
                (norm(x) @ state[f"{layer}.{which}"].T).view(n, it.HEADS, -1).transpose(0, 1)
                for which in ("wq", "wk", "wv")
            )
            found = functional.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(0, 1).reshape(n, -1)
            x = x + found @ state[f"{layer}.wo"].T
            x = x + functional.relu(norm(x) @ state[f"{layer}.fc1"].T) @ state[f"{layer}.fc2"].T
        return functional.cross_entropy(x @ state["lm_head"].T, tokens[1:])

    optimizer = torch.optim.Adam(state.values(), lr=it.RATE, betas=(it.BETA1, it.BETA2), eps=it.EPSILON)
    for step, (loss, gradients, numbers) in enumerate(trained):
        optimizer.param_groups[0]["lr"] = it.RATE * (1 - step / STEPS)
        optimizer.zero_grad()
        expected = loss_of(it.NAMES[step % len(it.NAMES)])
        expected.backward()
        assert loss == pytest.approx(expected.item(), rel=1e-12)
        assert largest_difference(gradients, [g for w in state.values() for g in w.grad.flatten().tolist()]) < 1e-12
        optimizer.step()
        assert largest_difference(numbers, [x for w in state.values() for x in w.flatten().tolist()]) < 1e-12


def test_it_invents_the_same_names() -> None:
    def names(imported: str) -> list[str]:
        it = program(imported)
        random.seed(7)
        state = it.parameters()
        return [it.invent(state) for _ in range(3)]

    assert names(OURS) == names(THEIRS)


def test_the_librarys_own_gpt_is_the_same_model() -> None:
    """With the program's parameters, `GPT` gives the program's loss and gradients."""
    it = program(OURS)
    random.seed(3)
    state = it.parameters()
    model = mg.GPT(it.END + 1, block=it.BLOCK, width=it.WIDTH, heads=it.HEADS, layers=it.LAYERS)
    block = model.blocks[0]
    attention = block.attention
    for layer, name in (
        *((model.token, "wte"), (model.place, "wpe"), (model.head, "lm_head"), (attention.query, "0.wq")),
        *((attention.key, "0.wk"), (attention.value, "0.wv"), (attention.output, "0.wo")),
        *((block.up, "0.fc1"), (block.down, "0.fc2")),
    ):
        layer.weight = state[name]
    params = [p for rows in state.values() for row in rows for p in row]
    theirs = it.loss_of(state, "charlotte")
    expected = [float(g.data) for g in mg.gradient(theirs, params)]
    tokens = [it.END, *map(it.LETTERS.index, "charlotte"), it.END]
    ours = mg.next_token_loss(model(tokens[:-1]), tokens[1:])
    assert ours.data == pytest.approx(theirs.data, rel=1e-12)
    assert largest_difference([float(g.data) for g in mg.gradient(ours, params)], expected) < 1e-12
