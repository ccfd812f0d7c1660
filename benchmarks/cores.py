"""All cores: the speed-up of `n_jobs` over one thread, beside NumPy, JAX and PyTorch with their threads on.

The samples are digits, again and again; the networks have one hidden layer and a softmax cross-entropy. A gradient is one
call, without the parameters' being read; training is SGD with momentum, forty epochs in a call. Every contestant may use all
cores. That the bits are those of one thread is a matter of the tests.
"""

from __future__ import annotations

import multiprocessing
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compiled import digits
from benchmarks.peers import RATE, Jax, NumPy, Task, Torch, entered
from benchmarks.race import Contestant, Result, duration, race, times
from benchmarks.report import Report, processor, versions
from micrograd_like.compiler import host
from micrograd_like.drawing.figure import Plot, canvas, label_end, name_axes
from micrograd_like.drawing.style import NEUTRAL
from micrograd_like.jobs import cores

HIDDEN = (2, 8, 32, 128, 512, 2048)  # those of the plot of speed against size
SHARDS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
EPOCHS = 40
COLOURS = (NEUTRAL, "#cc5500", "#1b7dc0", "#00843d")


def task(hidden: int, count: int) -> Task:
    """So many digits; some of them several times where there are not as many."""
    all_of_them = digits(hidden, count=1797)
    rows = np.arange(count) % len(all_of_them.x)
    return Task(all_of_them.sizes, all_of_them.x[rows], all_of_them.y[rows])


def ours(work: Task, everywhere: bool = True) -> dict[str, Contestant]:
    """One call for a gradient, on one core and on all."""
    program = work.compiled()
    theta = program.theta()
    both = {"compiled, one core": 1, "compiled, n_jobs=-1": -1} if everywhere else {"compiled, one core": 1}
    return {
        name: Contestant(lambda n=n: program.gradient(work.x, work.y, at=theta, n_jobs=n))  # type: ignore[misc]
        for name, n in both.items()
    }


def gradients(name: str, hidden: int, count: int, report: Report) -> None:
    """Race one call for a gradient, our one core first."""
    results = race(ours(task(hidden, count)), rounds=7)
    for kind in (NumPy, Jax, Torch):
        # In a process of its own: threads of one library that wait for work are in another one's way.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            results |= pool.apply(beside, (kind, hidden, count))
    shown(name, "gradient", results, report)


def beside(kind: type, hidden: int, count: int) -> dict[str, Result]:
    """The time of a peer with its threads on, raced with ours on one core; nothing where it is not installed."""
    work = task(hidden, count)
    peers: dict[str, Any] = entered(work, [kind])
    if Torch.name in peers:
        peers[Torch.name].torch.set_num_threads(cores())
    others = {f"{key}, threads on": Contestant(peer.gradient()) for key, peer in peers.items()}
    _, *rest = race(ours(work, everywhere=False) | others, rounds=7).items()
    return dict(rest)


def training(name: str, work: Task, batch: int, report: Report) -> None:
    """Race epochs of SGD, our one core first."""
    program = work.compiled()
    contestants = {
        f"compiled, {how}": Contestant(
            lambda n=n: program.sgd(  # type: ignore[misc]
                work.x, work.y, lr=RATE, momentum=0.9, epochs=EPOCHS, batch_size=batch, n_jobs=n
            ),
            EPOCHS,
        )
        for how, n in (("one core", 1), ("n_jobs=-1", -1))
    }
    shown(name, "epoch", race(contestants, rounds=5), report)


def shown(name: str, unit: str, results: dict[str, Result], report: Report) -> None:
    rows = [(key, duration(r.seconds), times(1 / r.ratio)) for key, r in results.items()]
    report.say(f"\n### {name}\n")
    report.grid(["", f"per {unit}", "as fast as one core of ours"], rows)


Grid = dict[int, dict[int, float]]  # shards in the batch → threads → times one thread's speed


def shards(hidden: int) -> Grid:
    """The speed-up over one thread, by the number of shards in the batch and by threads."""
    threads = sorted({2, 3, 4, *(n for n in (8, 16, 32, 64) if n <= cores()), 2 * cores()})
    work = task(hidden, 1)
    program = work.compiled()
    theta, size = program.theta(), program.shard(1)
    grid: Grid = {}
    for count in SHARDS:
        batch = task(hidden, count * size)
        contestants = {
            str(n): Contestant(
                lambda n=n, batch=batch: program.gradient(batch.x, batch.y, at=theta, n_jobs=n)  # type: ignore[misc]
            )
            for n in (1, *threads)
        }
        results = race(contestants, rounds=5)
        grid[count] = {1: 1.0} | {n: 1 / results[str(n)].ratio for n in threads}
        print(f"{count:>3} shards of {size}: " + ", ".join(f"{n} threads {grid[count][n]:.2f}×" for n in threads))
    return grid


def picture(grid: Grid) -> Plot:
    """The speed-up against threads, a line for some numbers of shards; and against shards, a line for some of threads."""
    threads = list(grid[SHARDS[0]])
    by_shards = {n: [(k, grid[k][n]) for k in SHARDS] for n in sorted({1, 2, cores(), 2 * cores()})}
    by_threads = {k: list(grid[k].items()) for k in (1, 2, 4, SHARDS[-1])}
    panels = (
        ("threads", "shard", threads, by_threads),
        ("shards in the batch, of the smallest size", "thread", SHARDS, by_shards),
    )
    title = "How much faster a gradient is with more threads, and with more shards"
    with canvas(300, 1, 2, title=title, sharey=True) as (figure, axes):
        for ax, (across, one, ticks, lines) in zip(axes[0], panels, strict=True):
            for (n, points), colour, mark in zip(lines.items(), COLOURS, "os^v", strict=False):
                x, y = zip(*points, strict=True)
                ax.plot(x, y, marker=mark, color=colour, markersize=5)
                label_end(ax, f"{n} {one}{'s' if n > 1 else ''}", x, y, colour)
            ax.axhline(cores(), color=NEUTRAL, linestyle="--", linewidth=1)
            ax.set_xscale("log", base=2)
            ax.set_xticks(ticks, [str(n) for n in ticks])
            ax.minorticks_off()
            name_axes(ax, f"{across} (64-512-10)", "times one thread's speed")
        axes[0, 0].text(1, cores() + 0.03, f"{cores()} cores, if nothing were lost", va="bottom")
        axes[0, 0].set_ylim(0.75, cores() + 0.3)
        return Plot(figure, f"Up to {max(max(each.values()) for each in grid.values()):.2f} times on {cores()} cores.")


def main(write: Path | None = None) -> None:
    report = Report()
    report.say("# All cores\n")
    report.say(__doc__ or "")
    report.say(
        f"Python {sys.version.split()[0]} on {processor()} ({host.processor()[0]}), {cores()} cores. {versions()}."
    )
    report.say("A time is the median of interleaved rounds; a ratio is the median of the rounds' ratios.")
    for hidden, count in ((512, 256), (512, 2048), (32, 1797)):
        gradients(f"Gradient at 64-{hidden}-10, {count:,} samples", hidden, count, report)
    for hidden, count, batch in ((512, 2048, 256), (512, 2048, 2048), (32, 1797, 1797)):
        name = f"Training 64-{hidden}-10, {count:,} samples, {batch:,} in a step"
        training(name, task(hidden, count), batch, report)
    report.say("\n### Gradients of 2,048 samples, by the size of the network\n")
    rows = []
    for hidden in HIDDEN:
        one, all_cores = race(ours(task(hidden, 2048))).values()
        rows.append((f"64-{hidden}-10", duration(one.seconds), duration(all_cores.seconds), times(1 / all_cores.ratio)))
    report.grid(["network", "one core", "n_jobs=-1", "speed-up"], rows)
    grid = shards(512)
    if write is not None:
        write.mkdir(parents=True, exist_ok=True)
        picture(grid).savefig(write / "cores.svg")
        (write / "cores.md").write_text("\n".join(report.lines) + "\n", encoding="utf-8")


__all__ = ["main"]
