"""How many threads a call may use, in scikit-learn's words (`n_jobs`), and the threads themselves."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from math import ceil
from operator import index
from pathlib import Path
from typing import Any

from micrograd_like.checks import shown

MOST = 1024  # threads: what is asked for beyond it is taken for a mistake


def threads(n_jobs: Any) -> int:
    """Return how many threads `n_jobs` stands for, as in scikit-learn.

    None: 1, or what `joblib.parallel_config` says where the call is made inside of it. A number below 0 counts from the
    cores that this process may use: -1 is all of them, -2 all but one, and so on, at least 1.

    >>> threads(None), threads(3)
    (1, 3)

    Raises:
        ValueError: n_jobs is 0, or beyond 1,024.
        TypeError: n_jobs is no whole number.
    """
    if n_jobs is None:
        joblib = sys.modules.get("joblib")  # who is inside of its configuration has imported it
        return 1 if joblib is None else min(int(joblib.effective_n_jobs(None)), MOST)
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


def invite(task: Callable[[int], Any], helpers: int) -> None:
    """Let other threads call task(1), task(2), … as soon as they can. They need not: at the interpreter's end none does."""
    with suppress(RuntimeError):  # no new threads are started any more
        for k in range(1, helpers + 1):
            _pool().submit(task, k)


@cache
def _pool() -> ThreadPoolExecutor:
    """The helpers, which stay and wait for work; started when they are needed."""
    return ThreadPoolExecutor(MOST, thread_name_prefix="micrograd_like")


if hasattr(os, "register_at_fork"):  # a child has none of its parent's threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
