"""How many threads a call may use, in scikit-learn's words (`n_jobs`), and the threads themselves."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from math import ceil
from operator import index
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from micrograd_like.checks import shown

MOST = 1024  # threads: what is asked for beyond it is taken for a mistake


def threads_for(n_jobs: Any) -> int:
    """Return how many threads `n_jobs` stands for, as in scikit-learn.

    None: 1, or what `joblib.parallel_config` says where the call is made inside of it. A number below 0 counts from the
    cores that this process may use: -1 is all of them, -2 all but one, and so on, at least 1.

    >>> threads_for(None), threads_for(3)
    (1, 3)

    Raises:
        ValueError: n_jobs is 0, or beyond 1,024.
        TypeError: n_jobs is no whole number.
    """
    if n_jobs is None:
        joblib = sys.modules.get("joblib.parallel")  # who is inside of its configuration has imported it
        return 1 if joblib is None or not _configured(joblib) else min(int(joblib.effective_n_jobs(None)), MOST)
    try:
        if isinstance(n_jobs, bool):
            raise TypeError
        count = index(n_jobs)
    except TypeError:
        raise TypeError(
            f"expected n_jobs as a whole number or None, got {type(n_jobs).__name__}: {shown(n_jobs)}"
        ) from None
    if count == 0 or count > MOST:
        raise ValueError(
            f"expected n_jobs as a number of threads up to {MOST:,}, -1 for all cores, or None for 1; got {shown(n_jobs)}"
        )
    return count if count > 0 else max(1, cores() + 1 + count)


def _configured(joblib: Any) -> bool:
    """Whether this thread may be inside of a configuration of joblib's: asking it takes longer than a brief call."""
    usual = getattr(joblib, "default_parallel_config", None)
    return usual is None or getattr(getattr(joblib, "_backend", None), "config", usual) is not usual


def cores() -> int:
    """Return the number of cores that this process may use: by its affinity, and by its container's limit."""
    affinity = getattr(os, "sched_getaffinity", None)
    allowed = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(allowed, _limit()))


@cache
def _limit(root: Path = Path("/sys/fs/cgroup")) -> int:
    """The cores that a container's quota of time is worth, rounded up; many where there is none."""
    with suppress(OSError, ValueError):
        quota, period = (root / "cpu.max").read_text().split()  # "max 100000" where there is none
        return max(1, ceil(int(quota) / int(period)))
    with suppress(OSError, ValueError):
        quota, period = ((root / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        if int(quota) > 0:
            return max(1, ceil(int(quota) / int(period)))
    return MOST


class Helpers:
    """Threads that wait for work: started when they are needed, and kept. They end with the interpreter.

    `concurrent.futures` does the same, but a helper of its comes twice as late, after 0.15 ms instead of 0.08.
    """

    def __init__(self) -> None:
        self.tasks: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self.idle: list[None] = []  # one for each thread that waits, and was not given a task yet

    def invite(self, tasks: Sequence[Callable[[], object]]) -> None:
        """Let other threads call the tasks as soon as they can. None may raise."""
        for task in tasks:
            try:
                self.idle.pop()
            except IndexError:
                with suppress(RuntimeError):  # no more threads, or the interpreter ends; then nobody comes
                    threading.Thread(target=self._work, name="micrograd_like", daemon=True).start()
            self.tasks.put(task)

    def _work(self) -> None:
        while True:
            self.tasks.get()()
            self.idle.append(None)


@cache
def helpers() -> Helpers:
    """Return the helpers of this process."""
    return Helpers()


if hasattr(os, "register_at_fork"):  # a child has none of its parent's threads
    os.register_at_fork(after_in_child=helpers.cache_clear)
