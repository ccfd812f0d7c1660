"""How many cores a call may use, in scikit-learn's words (`n_jobs`), and who computes on them.

Machine code lets go of Python's global lock, so threads share it (`Helpers`). Python itself computes on one core at a time,
so what is computed in Python is shared by processes (`Crew`).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from math import ceil
from operator import index
from pathlib import Path
from queue import SimpleQueue
from time import perf_counter
from typing import Any

from micrograd_like.checks import shown

MOST = 1024  # threads: what is asked for beyond it is taken for a mistake
WORTH = 0.1  # seconds that a crew's first process works before it calls the others: so long a fork is never noticed


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


class Crew:
    """Processes that compute one function of many items, with the same results for any number of them.

    The others are forks of this process: they know all that it knew, and nothing but items and results is sent. They are
    made when the work has taken a while, and end with the `with` block. What a lost one, or one in which an error was
    raised, should have done is done here. Where a process cannot fork safely there are no others.

    Args:
        work: a function of an item; what it returns can be pickled.
        n_jobs: how many processes, as `threads_for` reads it.

    >>> with Crew(abs, n_jobs=2) as crew:
    ...     crew.map([-1, 2, -3])
    [1, 2, 3]
    """

    def __init__(self, work: Callable[[Any], Any], n_jobs: int | None) -> None:
        self.work = work
        threads = threads_for(n_jobs)
        self.size = threads if threads > 1 and forks() else 1
        self.others: list[tuple[Any, Any]] = []  # processes, and how to reach them
        self.worked = 0.0  # seconds

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for process, line in self.others:
            process.kill()  # it only computes, so there is nothing to be tidied
            line.close()
        for process, _line in self.others:
            process.join()

    def map(self, items: Sequence[Any], done: Callable[[int], object] | None = None) -> list[Any]:
        """Return what `work` makes of each item, in order. `done` is told how many more items are finished."""
        tell = done or (lambda count: None)
        found: list[Any] = []
        while len(found) < len(items) and not self.others:
            begin = perf_counter()
            found.append(self.work(items[len(found)]))
            tell(1)
            self.worked += perf_counter() - begin
            if self.size > 1 and self.worked > WORTH:
                self._fork()
        return found + self._share(items[len(found) :], tell)

    def _share(self, items: Sequence[Any], tell: Callable[[int], object]) -> list[Any]:
        # Neighbours often share work, and cost alike: so each takes small runs of them, far apart.
        run = max(1, len(items) // (8 * self.size))
        found: list[Any] = [None] * len(items)
        parts = [[i for i in range(len(items)) if i // run % self.size == k] for k in range(self.size)]
        asked = [(part, line) for part, (_, line) in zip(parts[1:], self.others, strict=False) if part]
        for part, line in asked:
            with suppress(OSError):  # it is lost
                line.send([items[i] for i in part])
        for i in parts[0]:
            found[i] = self.work(items[i])
            tell(1)
        for part, line in asked:
            try:
                results = line.recv()
            except (EOFError, OSError):
                results = [self.work(items[i]) for i in part]
            for i, result in zip(part, results, strict=True):
                found[i] = result
            tell(len(part))
        return found

    def _fork(self) -> None:
        import multiprocessing  # only here and below: it is slow to import

        context = multiprocessing.get_context("fork")
        for _ in range(self.size - 1):
            here, there = context.Pipe()
            ours = [line for _, line in self.others] + [here]
            process = context.Process(target=_serve, args=(self.work, there, ours), daemon=True)
            with warnings.catch_warnings():  # of threads and locks: what is computed here knows of none
                warnings.simplefilter("ignore")
                process.start()
            there.close()
            self.others.append((process, here))


def forks() -> bool:
    """Whether this process can make forks of itself that compute: macOS's own libraries do not survive it."""
    import multiprocessing

    able = "fork" in multiprocessing.get_all_start_methods() and sys.platform != "darwin"
    return able and not multiprocessing.current_process().daemon


def _serve(work: Callable[[Any], Any], line: Any, ours: Sequence[Any]) -> None:
    """Answer lists of items with lists of results, until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that was forked, which ends this one
    for each in ours:
        each.close()
    with suppress(Exception):  # whoever asked finds that no answer comes, and does the work itself
        while True:
            line.send([work(item) for item in line.recv()])
