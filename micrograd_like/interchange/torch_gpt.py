"""The language model as PyTorch writes it: the same names and numbers, and a `forward` over whole batches."""

from __future__ import annotations

from typing import Any

from micrograd_like.transformer import GPT


def torch_gpt(torch: Any, model: GPT) -> Any:
    """An `nn.Module` of the model's sizes, in float64; its parameters are not the model's yet."""
    nn = torch.nn
    tokens, width = len(model.token.weight), len(model.token.weight[0])

    def linear(nin: int, nout: int) -> Any:
        return nn.Linear(nin, nout, bias=False, dtype=torch.float64)

    def embedding(count: int) -> Any:
        return nn.Embedding(count, width, dtype=torch.float64)

    def norm(x: Any) -> Any:
        return nn.functional.rms_norm(x, (width,), eps=model.norm.eps)

    class Attention(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, heads: int) -> None:
            super().__init__()
            self.heads = heads
            self.query, self.key, self.value, self.output = (linear(width, width) for _ in range(4))

        def forward(self, x: Any) -> Any:
            parts = (each(x).unflatten(-1, (self.heads, -1)) for each in (self.query, self.key, self.value))
            by_head = (part.transpose(-3, -2) for part in parts)
            seen = nn.functional.scaled_dot_product_attention(*by_head, is_causal=True)
            return self.output(seen.transpose(-3, -2).flatten(-2))

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, heads: int) -> None:
            super().__init__()
            self.attention = Attention(heads)
            self.up, self.down = linear(width, 4 * width), linear(4 * width, width)

        def forward(self, x: Any) -> Any:
            x = x + self.attention(norm(x))
            return x + self.down(nn.functional.relu(self.up(norm(x))))

    class LanguageModel(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.token, self.place = embedding(tokens), embedding(len(model.place.weight))
            self.blocks = nn.ModuleList(Block(block.attention.heads) for block in model.blocks)
            self.head = linear(width, tokens)

        def forward(self, texts: Any) -> Any:
            x = norm(self.token(texts) + self.place(torch.arange(texts.shape[-1], device=texts.device)))
            for block in self.blocks:
                x = block(x)
            return self.head(x)

    return LanguageModel()
