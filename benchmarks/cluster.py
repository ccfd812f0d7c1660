"""What a round on a Dask cluster costs beside the work in it, what a killed worker costs, and where scaling ends.

Real worker processes on this computer, with one thread each; a round is timed on the client, from one step to the next.
The figures for many machines are computed from these, not measured.
"""

from __future__ import annotations

import os
import platform
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from distributed import Client, LocalCluster

import micrograd_like as mg
from micrograd_like import cluster

ROUNDS, WARM = 60, 15
SIZES = (64, 512, 10)
WORKERS, SHARDS = (1, 2), (1, 4, 16)
ROWS = 2048  # of a full batch
GIGABIT = 1e9 / 8


class Cost(NamedTuple):
    """The median of the rounds, in seconds, and the rounds without the fastest and the slowest quarter."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{1e3 * self.median:.1f} ({1e3 * self.low:.1f}-{1e3 * self.high:.1f})"


@contextmanager
def workers(count: int) -> Iterator[Client]:
    with (
        LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as here,
        Client(here) as client,
    ):
        yield client


def samples(rows: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(rows, SIZES[0])), rng.integers(0, SIZES[-1], rows)


def rounds(
    client: Client, rows: int, shards: int, count: int = ROUNDS, at: Callable[[int], Any] = lambda step: None
) -> list[float]:
    """The seconds of each round but the first, each over all rows."""
    began: list[tuple[int, float]] = []

    def lr(step: int) -> float:
        began.append((step, time.perf_counter()))
        at(step)
        return 1e-3

    model = mg.MLP(SIZES[0], list(SIZES[1:]), rng=0)
    optimizer = mg.SGD(model.parameters(), lr, momentum=0.9)
    # Epochs of eight rounds, so that the parameters are written back now and then, as in a training.
    cluster.fit(client, model, samples(8 * rows), mg.cross_entropy, optimizer, count // 8, rows, shards=shards)
    first = dict(reversed(began))
    return [first[k + 1] - first[k] for k in range(max(first))]


def cost(times: list[float]) -> Cost:
    ordered = sorted(times[WARM:])
    quarter = len(ordered) // 4
    return Cost(statistics.median(ordered), ordered[quarter], ordered[-1 - quarter])


def work(rows: int, repeats: int = 30) -> float:
    """The seconds of the gradients of so many samples on one core, without a cluster."""
    model = mg.MLP(SIZES[0], list(SIZES[1:]), rng=0)
    program = mg.compile(lambda x, y: mg.cross_entropy(model(x), y), model.parameters(), x=SIZES[0], y=())
    x, y = samples(rows)
    theta, portable = program.theta(), program.portable()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        portable.shard_sums(x, y, at=theta, samples=rows)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def killed(count: int = 2) -> tuple[float, float]:
    """The longest round of a training in which one of two workers is ended, and the median round, in seconds."""
    with workers(count) as client:
        victim = next(iter(client.run(os.getpid).values()))
        left = [victim]

        def kill(step: int) -> None:
            if step == ROUNDS // 2 and left:
                os.kill(left.pop(), getattr(signal, "SIGKILL", signal.SIGTERM))

        times = rounds(client, ROWS, 16, at=kill)
    return max(times[WARM:]), statistics.median(times[WARM:])


def on_paper(fixed: float, each: float, parameters: int, per_sample: float) -> list[str]:
    """From the cost of a round with one worker, what each further one adds, and a network: where a tenth is reached.

    The parameters go to every worker and its sums come back, both through the scheduler's one connection, and the sums
    once more from there to the client.
    """
    lines = [
        "| machines | network | a round costs | samples a machine and round, 1 core | 16 cores |",
        "|---|---|---|---|---|",
    ]
    for machines in (16, 256):
        for name, speed in (("10 Gbit/s", 10 * GIGABIT), ("1 Gbit/s", GIGABIT)):
            seconds = fixed + each * (machines - 1) + 3 * machines * 8 * parameters / speed
            rows = [10 * seconds / per_sample * cores for cores in (1, 16)]
            lines.append(f"| {machines} | {name} | {1e3 * seconds:,.0f} ms | {rows[0]:,.0f} | {rows[1]:,.0f} |")
    return lines


def report() -> list[str]:
    parameters = len(mg.MLP(SIZES[0], list(SIZES[1:])).parameters())
    per_sample = work(ROWS) / ROWS
    lines = [
        "# What a round on a Dask cluster costs",
        "",
        f"Python {platform.python_version()} on {platform.machine()}, {os.cpu_count()} cores; worker processes of one "
        "thread on this computer, so there is no network between them; the client and Dask's scheduler need a core too. "
        f"The network is {'-'.join(map(str, SIZES))}, {parameters:,} parameters; SGD with momentum. Milliseconds: the "
        "median of the rounds, and in brackets the middle half.",
        "",
        f"A sample's gradient takes {1e6 * per_sample:.1f} µs on one core; {ROWS:,} samples, {1e3 * ROWS * per_sample:.1f} ms.",
        "",
        f"| workers | shards | one sample a shard: nearly all is Dask | {ROWS:,} samples | beside the work |",
        "|---|---|---|---|---|",
    ]
    fixed: dict[int, float] = {}
    for count in WORKERS:
        with workers(count) as client:
            for shards in SHARDS:
                empty, full = cost(rounds(client, shards, shards)), cost(rounds(client, ROWS, shards))
                beside = full.median - ROWS * per_sample / min(count, shards, os.cpu_count() or 1)
                lines.append(f"| {count} | {shards} | {empty} | {full} | {1e3 * beside:.1f} |")
                print(lines[-1], flush=True)
                fixed[count] = empty.median
    longest, usual = killed()
    each = max(fixed[2] - fixed[1], 0.0)
    return [
        *lines,
        "",
        f"A worker that is killed: the round in which it happens takes {longest:.1f} s, where it is {1e3 * usual:.0f} ms "
        "otherwise. Its shards are loaded again by another worker, and the program is compiled there.",
        "",
        "## On paper: many machines",
        "",
        f"With {1e3 * fixed[1]:.0f} ms for one worker, {1e3 * each:.1f} ms for each further one, and the {8 * parameters / 1e3:.0f} "
        "kB of the parameters that go to every worker, whose sums come back. How many samples a machine must have in a "
        "round for the round to cost less than a tenth of its work:",
        "",
        *on_paper(fixed[1], each, parameters, per_sample),
        "",
        "With `local_steps=K` it is the samples of all K steps that count.",
        "",
        "What a further worker adds was measured where the workers share two cores with the client and the scheduler, so it "
        "is an upper bound; a pool of real machines may do better.",
    ]


def main(write: Path | None = None) -> None:
    lines = report()
    print("\n".join(lines))
    if write is not None:
        write.mkdir(parents=True, exist_ok=True)
        (write / "cluster_speed.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
