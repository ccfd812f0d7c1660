"""Draw docs/hero.svg, the README's first picture: one step of a small network, from a real run."""

from __future__ import annotations

import sys
from pathlib import Path

import micrograd_like as mg


def hero() -> mg.drawing.Frames:
    """A 2-2-1 network sees one point, learns how each number affects the loss, and takes a step."""
    model = mg.MLP(2, [2, 1], activation="tanh")
    weights = [0.6, -0.8, 0.1, -0.5, 0.9, 0.2, 0.7, -0.9, -0.1]
    model.load_state_dict(dict(zip(model.state_dict(), weights, strict=True)))
    optimizer = mg.SGD(model.parameters(), lr=0.1)

    def forward() -> mg.Value:
        loss: mg.Value = (model([1.0, -0.5]) + 0.6) ** 2
        loss.label = "loss"
        return loss

    loss = forward()
    states = [mg.draw_dot(loss, depth="neurons")]
    loss.backward()
    states.append(mg.draw_dot(loss, depth="neurons"))
    optimizer.step()
    states.append(mg.draw_dot(loss, depth="neurons"))
    optimizer.zero_grad()
    states.append(mg.draw_dot(forward(), depth="neurons"))
    return mg.draw_frames(states)


if __name__ == "__main__":
    print(hero().save(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_suffix(".svg")))
