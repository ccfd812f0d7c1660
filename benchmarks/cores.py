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
from micrograd_like.compiler import native
from micrograd_like.drawing import Plot, house_style
from micrograd_like.jobs import cores

HIDDEN = (2, 8, 32, 128, 512, 2048)  # those of the plot of speed against size
SHARDS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
EPOCHS = 40


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


Lines = dict[int, list[tuple[float, float]]]  # per number of threads: (shards, speed-up)


def shards(hidden: int) -> Lines:
    """The speed-up over one thread, by the number of shards in the batch and by threads."""
    threads = sorted({2, *(n for n in (4, 8, 16, 32, 64) if n <= cores()), 2 * cores()})
    work = task(hidden, 1)
    program = work.compiled()
    theta, size = program.theta(), program.shard(1)
    lines: Lines = {}
    for count in SHARDS:
        batch = task(hidden, count * size)
        contestants = {
            str(n): Contestant(
                lambda n=n, batch=batch: program.gradient(batch.x, batch.y, at=theta, n_jobs=n)  # type: ignore[misc]
            )
            for n in (1, *threads)
        }
        results = race(contestants, rounds=5)
        for n in threads:
            lines.setdefault(n, []).append((count, 1 / results[str(n)].ratio))
        print(f"{count:>3} shards of {size}: " + ", ".join(f"{n} threads {lines[n][-1][1]:.2f}×" for n in threads))
    return lines


def picture(lines: Lines) -> Plot:
    """The speed-up against shards, a line for each number of threads."""
    colours = ("#cc5500", "#1b7dc0", "#00843d", "#7b3294", "#b8860b", "#777777")
    with house_style() as matplotlib:
        figure = matplotlib.figure.Figure(figsize=(7.6, 3.8), layout="constrained")
        ax = figure.subplots()
        for (n, points), colour, mark in zip(lines.items(), colours, "os^vDP", strict=False):
            x, y = zip(*points, strict=True)
            ax.plot(x, y, marker=mark, color=colour, linewidth=2, markersize=5, label=f"{n} threads")
        ax.axhline(1, color="#777777", linewidth=1)
        ax.axhline(cores(), color="#777777", linestyle="--", linewidth=1)
        ax.text(1, cores() + 0.03, f"{cores()} cores, if nothing were lost", va="bottom")
        ax.text(32, 0.97, "one thread", va="top", ha="right")
        plain = matplotlib.ticker.FuncFormatter(lambda x, _: f"{x:,g}")
        ax.set(
            xscale="log",
            xticks=SHARDS,
            ylim=(0.75, cores() + 0.3),
            xlabel="smallest shards in the batch (64-512-10)",
            ylabel="times one thread's speed",
            title="Two shards are enough to use a second core",
        )
        ax.xaxis.set_major_formatter(plain)
        ax.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
        ax.legend(loc="lower right", bbox_to_anchor=(1, 0.12))
        return Plot(figure)


def main(write: Path | None = None) -> None:
    report = Report()
    report.say("# All cores\n")
    report.say(__doc__ or "")
    report.say(f"Python {sys.version.split()[0]} on {processor()} ({native.host()[0]}), {cores()} cores. {versions()}.")
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
    lines = shards(512)
    if write is not None:
        write.mkdir(parents=True, exist_ok=True)
        picture(lines).savefig(write / "cores.svg")
        (write / "cores.md").write_text("\n".join(report.lines) + "\n", encoding="utf-8")


__all__ = ["main"]
