"""`sweep`: many trainings, each a task of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any, NamedTuple

from micrograd_like._extras import require
from micrograd_like.checks import a_function, listed, shown
from micrograd_like.cluster.connection import connected


def sweep(client: Any, train: Callable[..., Any], grid: Any) -> Iterator[Trial]:
    """Run many trainings on a Dask cluster, and give each as it ends: a failed one does not stop the others.

    >>> import micrograd_like as mg
    >>> from distributed import Client
    >>> def train(lr, seed):
    ...     model = mg.MLP(2, [3, 1], rng=seed)
    ...     optimizer = mg.SGD(model.parameters(), lr)
    ...     return mg.fit(model, [([1.0, 2.0], 1)], mg.hinge_loss, optimizer, epochs=9).losses[-1]
    >>> with Client(processes=False, dashboard_address=":0") as client:
    ...     trials = list(sweep(client, train, {"lr": [0.1, -1], "seed": range(2)}))
    >>> for trial in sorted(trials, key=lambda trial: str(trial.arguments)):
    ...     print(trial.arguments, trial.error or "trained")
    {'lr': -1, 'seed': 0} expected lr as a finite number above 0, got -1
    {'lr': -1, 'seed': 1} expected lr as a finite number above 0, got -1
    {'lr': 0.1, 'seed': 0} trained
    {'lr': 0.1, 'seed': 1} trained

    The trainings start at once; leaving the loop cancels those that have not ended.

    Args:
        client: a `distributed.Client`; None starts a `LocalCluster`, as for `fit`.
        train: called on a worker with the arguments of a trial. It should return what pickles well: numbers, a History.
        grid: a list of dicts, each the arguments of a trial; or a dict of lists, of which all combinations are tried.

    Raises:
        TypeError: the grid is neither, or `train` is no function.
        ValueError: the grid is empty.
    """
    distributed = require("distributed", extra="cluster")
    a_function("train", train)
    points = _points(grid)
    place = connected(client, timeout=None)
    own = place.__enter__()
    try:
        futures = {own.submit(train, **point, pure=False): point for point in points}
    except BaseException:
        place.__exit__(None, None, None)
        raise

    def trials() -> Iterator[Trial]:
        try:
            for future in distributed.as_completed(list(futures)):
                error = future.exception()
                yield Trial(futures[future], None if error else future.result(), error)
        finally:
            own.cancel(list(futures), force=True)
            place.__exit__(None, None, None)

    return trials()


class Trial(NamedTuple):
    """Say of a training of a sweep what its arguments were, and what it returned or the error that it raised.

    >>> Trial({"lr": 0.1}, 0.25, None).result
    0.25

    Attributes:
        arguments: what `train` was called with, by name
        result: what it returned; None where it raised an error
        error: what it raised; None where it returned
    """

    arguments: dict[str, Any]
    result: Any
    error: Exception | None


def _points(grid: Any) -> list[dict[str, Any]]:
    if isinstance(grid, Mapping):
        choices = [listed(f"grid[{name!r}]", values, "a list of choices") for name, values in grid.items()]
        points = [dict(zip(grid, chosen, strict=True)) for chosen in product(*choices)] if grid else []
    else:
        points = listed("grid", grid, "a list of dicts, or a dict of lists")
    if not points:
        raise ValueError(f"expected grid as at least one trial, got {shown(grid)}")
    for point in points:
        if not isinstance(point, Mapping) or not all(isinstance(name, str) for name in point):
            raise TypeError(f"expected a trial of the grid as a dict of arguments, got {shown(point)}")
    return [dict(point) for point in points]
