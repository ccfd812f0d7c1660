"""The user's client, or a cluster on this computer; and how long it may be without a worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from micrograd_like._extras import require
from micrograd_like.checks import instance


@contextmanager
def quiet() -> Iterator[None]:
    """Without Dask's warning of large graphs: chunks that the client holds must travel, so that none is lost."""
    with require("dask", extra="cluster").config.set({"distributed.admin.large-graph-warning-threshold": "1 PiB"}):
        yield


@contextmanager
def connected(client: Any, timeout: float | None) -> Iterator[Any]:
    """The client, once it is found to be one; a cluster on this computer where there is none."""
    distributed = require("distributed", extra="cluster")
    if client is None:
        with (
            distributed.LocalCluster(threads_per_worker=1, dashboard_address=":0") as here,
            distributed.Client(here) as own,
        ):
            yield own
        return
    instance("client", client, distributed.Client, "a distributed.Client or None")
    if client.asynchronous:
        raise TypeError("expected a client that is not asynchronous; run the training in a thread, with one of its own")
    yield client


def patiently(client: Any, timeout: float) -> Callable[[], None]:
    """A function that returns where there is a worker now, or was one less than `timeout` seconds ago.

    It raises TimeoutError otherwise.
    """
    seen = time.monotonic()

    def look() -> None:
        nonlocal seen
        try:
            there = client.status == "running" and client.scheduler_info(n_workers=-1)["workers"]
            missing = "worker"
        except OSError:
            there, missing = False, "scheduler"
        if there:
            seen = time.monotonic()
        elif time.monotonic() - seen > timeout or client.status == "closed":
            missing = missing if client.status == "running" else "scheduler"
            raise TimeoutError(
                f"there has been no {missing} for {timeout:g} seconds; the parameters are those after the last whole round"
            )

    return look
