"""Timing several ways of doing the same work in one run, on a machine that is not quiet.

Each round measures every contestant once, one after the other, so that what slows the machine down slows all of them. A
time is the median of its rounds, and a ratio the median of the ratios within the rounds.
"""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

LEAST = 0.02  # seconds of one measurement, at least

# One thread for everybody; read by the libraries when they are imported.
ONE_THREAD = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
}


def single_thread() -> str:
    """Keep this process, and the libraries it has yet to import, to one thread; says how."""
    os.environ.update(ONE_THREAD)
    if not hasattr(os, "sched_setaffinity"):
        return "one thread"
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return "one thread, kept on one core"


class Result(NamedTuple):
    """How fast one contestant was."""

    seconds: float  # per unit of work: the median of the rounds
    ratio: float  # times the first contestant's time: the median of the rounds' ratios
    low: float  # the rounds' ratios, without the lowest and the highest quarter
    high: float


class Contestant(NamedTuple):
    """A way to do the work: what to call, and how many units of work one call does."""

    call: Callable[[], object]
    units: int = 1
    collector: bool = False  # whether Python's garbage collector is on


def race(contestants: dict[str, Contestant], rounds: int = 9) -> dict[str, Result]:
    """Measure; ratios are to the first contestant."""
    gc.collect()
    gc.freeze()  # who races with the collector on pays for its own objects, not for all that was imported
    gc.disable()
    repeats = {name: _repeats(contestant) for name, contestant in contestants.items()}
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            times[name].append(_measure(contestant, repeats[name]))
    gc.unfreeze()
    gc.enable()
    base = next(iter(times.values()))
    results = {}
    for name, own in times.items():
        ratios = sorted(t / b for t, b in zip(own, base, strict=True))
        quarter = rounds // 4
        results[name] = Result(
            statistics.median(own), statistics.median(ratios), ratios[quarter], ratios[rounds - 1 - quarter]
        )
    return results


def _repeats(contestant: Contestant) -> int:
    contestant.call()
    elapsed = _measure(contestant, 1) * contestant.units
    return max(1, int(LEAST / max(elapsed, 1e-9)))


def _measure(contestant: Contestant, repeats: int) -> float:
    if contestant.collector:
        gc.enable()
    start = time.perf_counter()
    for _ in range(repeats):
        contestant.call()
    elapsed = (time.perf_counter() - start) / repeats / contestant.units
    gc.disable()
    gc.collect()
    return elapsed


def duration(seconds: float) -> str:
    """A time with three digits and its unit."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9)):
        if seconds >= scale or unit == "ns":
            return f"{seconds / scale:.3g} {unit}" if seconds < 1000 * scale else f"{seconds / scale:,.0f} {unit}"
    raise AssertionError


def times(ratio: float) -> str:
    """A ratio with three digits."""
    return f"{ratio:,.0f}×" if ratio >= 100 else f"{ratio:.3g}×"
