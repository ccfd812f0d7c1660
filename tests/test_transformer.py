"""A language model of scalars computes what PyTorch's modules compute, and refuses what makes no sense."""

import math
import random

import pytest

import micrograd_like as mg
from micrograd_like.transformer import GPT, Attention, Embedding, Linear, RMSNorm, generate, next_token_loss

WORDS = ["emma", "olivia", "ava", "isabella", "sophia", "mia"]


def tokens(word):
    """The letters as 1 to 26, with 0 before and after."""
    return [0, *(ord(letter) - 96 for letter in word), 0]


def positions(count, width, seed):
    draw = random.Random(seed).gauss
    return [[mg.Value(draw(0, 1)) for _ in range(width)] for _ in range(count)]


def data(nested):
    return [data(x) for x in nested] if isinstance(nested, (list, tuple)) else nested.data


def tensor(nested):
    torch = pytest.importorskip("torch")
    return torch.tensor(data(nested), dtype=torch.float64, requires_grad=True)


def close(ours, theirs):
    if isinstance(ours[0], (list, tuple)):
        for row, their_row in zip(ours, theirs, strict=True):
            close(row, their_row)
    else:
        assert data(ours) == pytest.approx(theirs.tolist(), rel=1e-12, abs=1e-12)


def test_a_linear_layer_is_pytorchs():
    functional = pytest.importorskip("torch").nn.functional
    layer, x = Linear(5, 3, rng=1), positions(1, 5, 2)[0]
    close(layer(x), functional.linear(tensor(x), tensor(layer.weight)))


def test_an_embedding_is_the_tokens_row_also_for_a_token_that_is_a_value():
    embedding = Embedding(7, 3, rng=1)
    assert embedding(4) == embedding.weight[4]
    assert data(embedding(mg.Value(4.0))) == data(embedding.weight[4])


@pytest.mark.parametrize("token", [-1, 7, 1.5])
def test_a_token_that_is_none_is_refused(token):
    with pytest.raises(IndexError, match="whole number from 0 to 6"):
        Embedding(7, 3, rng=1)(token)


def test_a_norm_is_pytorchs():
    functional = pytest.importorskip("torch").nn.functional
    x = positions(1, 6, 3)[0]
    close(RMSNorm(1e-5)(x), functional.rms_norm(tensor(x), (6,), eps=1e-5))


@pytest.mark.parametrize(("width", "heads"), [(4, 1), (8, 4), (6, 6)])
def test_attention_is_pytorchs(width, heads):
    functional = pytest.importorskip("torch").nn.functional
    attention, xs = Attention(width, heads, rng=5), positions(5, width, 6)
    split = lambda layer: functional.linear(tensor(xs), tensor(layer.weight)).view(5, heads, -1).transpose(0, 1)  # noqa: E731
    q, k, v = split(attention.query), split(attention.key), split(attention.value)
    mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    theirs = functional.linear(mixed.transpose(0, 1).reshape(5, width), tensor(attention.output.weight))
    close(attention(xs), theirs)


def test_a_position_looks_at_itself_and_earlier_ones_in_shares_that_add_up_to_1():
    looks = Attention(8, 2, rng=7).looks(positions(4, 8, 8))
    assert [[len(shares) for shares in head] for head in looks] == [[1, 2, 3, 4]] * 2
    for head in looks:
        for shares in head:
            assert math.fsum(data(shares)) == pytest.approx(1, abs=1e-15)


def test_a_models_looks_are_those_of_its_blocks_at_what_they_are_given():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    model = GPT(27, block=5, width=8, heads=2, layers=2, rng=1)
    text = [0, 5, 13, 1]
    looks = model.looks(text)
    assert [[len(head) for head in block] for block in looks] == [[4, 4]] * 2
    weights = Torch(model).weights
    norm = lambda x: functional.rms_norm(x, (8,), eps=1e-5)  # noqa: E731
    seen = norm(norm(weights["token"][text] + weights["place"][:4]))
    q, k = (functional.linear(seen, weights[f"0.{part}"]).view(4, 2, 4).transpose(0, 1) for part in ("query", "key"))
    fits = (q @ k.transpose(1, 2) / 2).masked_fill(torch.ones(4, 4).triu(1).bool(), -math.inf)
    for head, shares in enumerate(fits.softmax(-1).tolist()):
        for t, row in enumerate(looks[0][head]):
            assert data(row) == pytest.approx(shares[t][: t + 1], rel=1e-12)


def test_what_comes_later_does_not_change_what_came_before():
    model = GPT(27, width=8, heads=2, rng=0)
    assert data(model([0, 5, 13, 1])[:3]) == data(model([0, 5, 13]))


class Torch:
    """The same model in PyTorch's own functions, with the parameters of ours."""

    def __init__(self, model):
        self.weights = {
            name: tensor(held)
            for name, held in {
                "token": model.token.weight,
                "place": model.place.weight,
                "head": model.head.weight,
                **{
                    f"{i}.{part}": layer.weight
                    for i, block in enumerate(model.blocks)
                    for part, layer in {
                        **{n: getattr(block.attention, n) for n in ("query", "key", "value", "output")},
                        "up": block.up,
                        "down": block.down,
                    }.items()
                },
            }.items()
        }
        self.blocks, self.heads = len(model.blocks), model.blocks[0].attention.heads

    def loss(self, text):
        import torch
        from torch.nn import functional

        w, n = self.weights, len(text) - 1
        norm = lambda x: functional.rms_norm(x, (x.shape[-1],), eps=1e-5)  # noqa: E731
        x = norm(w["token"][text[:-1]] + w["place"][:n])
        for i in range(self.blocks):
            seen = norm(x)
            q, k, v = (
                functional.linear(seen, w[f"{i}.{part}"]).view(n, self.heads, -1).transpose(0, 1)
                for part in ("query", "key", "value")
            )
            mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(0, 1).reshape(n, -1)
            x = x + functional.linear(mixed, w[f"{i}.output"])
            hidden = functional.relu(functional.linear(norm(x), w[f"{i}.up"]))
            x = x + functional.linear(hidden, w[f"{i}.down"])
        return functional.cross_entropy(functional.linear(x, w["head"]), torch.tensor(text[1:]))


def test_a_training_has_pytorchs_losses_and_gradients():
    torch = pytest.importorskip("torch")
    model = GPT(27, block=9, width=8, heads=2, layers=2, rng=3)
    theirs = Torch(model)
    ours = mg.Adam(model.parameters(), lr=0.01, betas=(0.85, 0.99))
    their_step = torch.optim.Adam(theirs.weights.values(), lr=0.01, betas=(0.85, 0.99))
    held = {"token": model.token, "place": model.place, "head": model.head, "0.query": model.blocks[0].attention.query}
    held |= {"1.value": model.blocks[1].attention.value, "0.up": model.blocks[0].up, "1.down": model.blocks[1].down}
    for step in range(10):
        text = tokens(WORDS[step % len(WORDS)])
        loss = next_token_loss(model(text[:-1]), text[1:])
        expected = theirs.loss(text)
        assert loss.data == pytest.approx(expected.item(), rel=1e-12)
        ours.zero_grad()
        their_step.zero_grad()
        loss.backward()
        expected.backward()
        for name, layer in held.items():
            gradients = [[float(p.grad) for p in row] for row in layer.weight]
            difference = (torch.tensor(gradients, dtype=torch.float64) - theirs.weights[name].grad).abs().max()
            assert difference < 1e-12, (step, name)
        ours.step()
        their_step.step()


def test_a_loss_of_log_27_is_knowing_nothing():
    assert next_token_loss([[0.0] * 27] * 3, [0, 7, 26]) == pytest.approx(math.log(27), rel=1e-15)


def test_invented_texts_repeat_with_their_seed_end_at_the_stop_and_fill_no_more_than_the_block():
    model = GPT(5, block=6, width=4, heads=2, rng=0)
    texts = [generate(model, 0, stop=0, rng=seed) for seed in range(12)]
    assert texts == [generate(model, 0, stop=0, rng=seed) for seed in range(12)]
    assert all(0 not in text and len(text) <= 6 for text in texts)
    assert len(generate(model, 0, rng=1)) == 6


def test_near_0_the_temperature_leaves_only_the_likeliest_token():
    model = GPT(5, block=3, width=4, heads=2, rng=0)
    likeliest, text = [], [0]
    while len(text) <= 3:
        scores = data(model(text)[-1])
        likeliest.append(scores.index(max(scores)))
        text.append(likeliest[-1])
    assert generate(model, 0, temperature=1e-6, rng=9) == likeliest


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda: Linear(0, 3), "nin as a whole number of at least 1"),
        (lambda: Embedding(3, 2.5), "width as a whole number"),
        (lambda: Attention(6, 4), "a width that 4 heads divide, got 6"),
        (lambda: GPT(27, layers=0), "layers as a whole number"),
        (lambda: GPT(27, block=4, width=4)([]), "from 1 to 4 tokens, got 0"),
        (lambda: GPT(27, block=4, width=4)([0] * 5), "from 1 to 4 tokens, got 5"),
        (lambda: GPT(10**6, width=10**4), "a layer of at most 100,000,000 weights"),
        (lambda: generate(GPT(27, width=4), 27), "start as a whole number of at least 0 and at most 26"),
        (lambda: generate(GPT(27, width=4), 0, stop=-1), "stop as a whole number"),
        (lambda: next_token_loss([[mg.Value(0.0)]], []), "as many targets as positions"),
        (lambda: generate(GPT(27, width=4), 0, temperature=0), "a finite temperature above 0"),
    ],
)
def test_what_makes_no_sense_is_refused(attempt, message):
    with pytest.raises(ValueError, match=message):
        attempt()


def test_parameters_have_the_names_of_the_expressions_that_reach_them():
    names = [name for name, _ in GPT(3, block=2, width=2, heads=1, rng=0).named_parameters()]
    assert names[0] == "token.weight[0][0]"
    assert "blocks[0].attention.query.weight[1][0]" in names
    assert len(GPT(27, rng=0).parameters()) == 4192
