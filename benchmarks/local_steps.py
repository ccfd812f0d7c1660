"""What `local_steps` does to the loss of the digits, their shards mixed or sorted by class: `cluster_local_steps.svg`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from distributed import Client

import micrograd_like as mg
from micrograd_like import cluster
from micrograd_like.data import load_digits
from micrograd_like.drawing.figure import Plot, canvas, label_end, name_axes
from micrograd_like.drawing.style import SMALL

SHARDS = 8
EPOCHS = {1: 6, 10: 24, 100: 48}  # of 180 steps
COLOURS = {1: "#777777", 10: "#1b7dc0", 100: "#cc5500"}
GOAL = 0.25

Curve = list[tuple[int, float]]  # rounds so far, loss of the held-out digits


def curve(client: Client, data: Any, held_out: Any, local_steps: int) -> Curve:
    """A point after each epoch."""
    model = mg.MLP(64, [32, 10], rng=0)
    optimizer, epochs = mg.SGD(model.parameters(), lr=0.05), EPOCHS[local_steps]
    history = cluster.fit(
        client, model, data, mg.cross_entropy, optimizer, epochs, SHARDS, local_steps=local_steps, held_out=held_out
    )
    rounds = -(-history.epochs[0].steps // local_steps)
    return [(rounds * each.epoch, each.held_out_loss) for each in history.epochs if each.held_out_loss is not None]


def measure() -> dict[str, dict[int, Curve]]:
    train, held_out = load_digits()
    x, y = np.array([x for x, _ in train]), np.array([y for _, y in train])
    by_class = np.array_split(np.argsort(y, kind="stable"), SHARDS)
    sets = {
        "Mixed: each shard has all digits": [(x[k::SHARDS], y[k::SHARDS]) for k in range(SHARDS)],
        "Sorted: a shard has two or three digits": [(x[rows], y[rows]) for rows in by_class],
    }
    with Client(processes=False, threads_per_worker=1, dashboard_address=":0") as client:
        return {name: {k: curve(client, data, held_out, k) for k in EPOCHS} for name, data in sets.items()}


def picture(curves: dict[str, dict[int, Curve]]) -> Plot:
    title = "Steps of a shard's own save rounds: fewer where the shards are sorted"
    with canvas(330, 1, 2, title=title, sharex=True, sharey=True) as (figure, grid):
        for axes, (name, lines) in zip(grid[0], curves.items(), strict=True):
            for k, points in lines.items():
                xs, ys = zip(*points, strict=True)
                axes.plot(xs, ys, color=COLOURS[k], marker="o", markersize=3)
                label_end(axes, f"K = {k}", xs, ys, COLOURS[k])
            axes.set(xscale="log", yscale="log")
            axes.set_yticks([0.1, 0.2, 0.5, 1, 2], ["0.1", "0.2", "0.5", "1", "2"])
            axes.minorticks_off()
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
            name_axes(axes, "rounds on the cluster")
            axes.set_title(f"{name}\nloss of held-out digits", fontsize=SMALL)
        summary = "Loss of held-out digits against rounds, for 1, 10 and 100 local steps, mixed and sorted."
        return Plot(figure, f"{summary} 64-32-10, 8 shards, one sample of each a step; averaged after K steps.")


def main(write: Path | None = None) -> None:
    curves = measure()
    for name, lines in curves.items():
        for k, points in lines.items():
            reached = next((rounds for rounds, loss in points if loss <= GOAL), None)
            print(f"{name}, K = {k}: {reached} rounds to a loss of {GOAL}; {points[-1][1]:.3f} after {points[-1][0]}")
    if write is not None:
        picture(curves).savefig(write / "cluster_local_steps.svg")
