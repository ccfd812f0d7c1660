"""Training with a program: whole epochs in one call of machine code, and parameters that change all or none."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from micrograd_like._extras import require
from micrograd_like.compiler.runtime import Machine
from micrograd_like.ieee import as_float
from micrograd_like.optim import SGD, Optimizer
from micrograd_like.order import orders

MOST_STEPS = 10**9  # in one call, which returns the loss of each
AT_ONCE = 1 << 22  # places of samples in orders, and steps, that are held in memory side by side
BETWEEN = (
    6 * 10**8
)  # parameters times samples that a thread trains between two looks at Ctrl-C: about a tenth of a second


class Training:
    """A training run that is done a few epochs at a time. `ready` gives a program's machine, or its careful one."""

    def __init__(
        self,
        ready: Callable[..., Machine],
        optimizer: Optimizer,
        arrays: list[Any],
        count: int,
        batch_size: int,
        threads: int = 1,
    ) -> None:
        self.ready, self.optimizer, self.arrays, self.count = ready, optimizer, arrays, count
        self.numpy = require("numpy", extra="compiled")
        self.batch_size, self.threads = batch_size, threads
        self.steps = -(-count // batch_size) or 1  # of an epoch

    def epochs(self, epochs: int, rng: random.Random | None) -> Any:
        """Take so many epochs, in the samples' own order where there is no generator. Returns the loss of each step.

        Raises:
            ValueError: there are too many steps, or a number stopped being finite; see `run`.
        """
        if epochs * self.steps > MOST_STEPS:
            raise ValueError(f"expected at most {MOST_STEPS:,} steps in one call, got epochs={epochs:,}")
        weight = max(self.count, 1)
        work = weight * max(len(self.optimizer.parameters), 1)
        at_once = max(1, min(self.threads * BETWEEN // work, AT_ONCE // weight))
        losses = []
        for first in range(0, epochs, at_once):
            now = min(at_once, epochs - first)
            losses.append(self.run(self.in_order(now) if rng is None else orders(self.count, rng, now)))
        return self.numpy.concatenate(losses)

    def in_order(self, epochs: int) -> Any:
        """The order of the samples in each epoch: one row, seen several times."""
        return self.numpy.broadcast_to(self.numpy.arange(self.count), (epochs, self.count))

    def run(self, orders: Any) -> Any:
        """Epochs, one for each row of an array of orders of the samples. Returns the loss of each step.

        Raises:
            ValueError: the loss or a parameter stopped being finite; the parameters are those before that epoch.
        """
        rates = self._rates(len(orders) * self.steps)
        found = self._try(orders, rates, careful=False)
        if found is None and len(orders) == 1:
            found = self._try(orders, rates, careful=True)
        if found is not None:
            return found
        if len(orders) > 1:  # one by one, as far as they go
            return self.numpy.concatenate([self.run(orders[k : k + 1]) for k in range(len(orders))])
        step, loss = self.failed
        raise ValueError(
            f"step {self.optimizer.steps + step}: the loss is {loss} or a parameter stopped being finite; "
            "the parameters are those before this epoch; is the learning rate too large?"
        )

    def _rates(self, steps: int) -> Any:
        """An array of what the optimizer's rule reads: a row for each of the coming steps."""
        optimizer = self.optimizer
        if type(optimizer) is SGD and not callable(optimizer.lr):  # the same in each
            row = self.numpy.array([as_float(x) for x in optimizer.rates(optimizer.steps)])
            return self.numpy.broadcast_to(row, (steps, len(row)))
        rows = [[as_float(x) for x in optimizer.rates(optimizer.steps + k)] for k in range(steps)]
        return self.numpy.array(rows)

    def _try(self, orders: Any, rates: Any, careful: bool) -> Any | None:
        """What `run` returns; None where a number stopped being finite, and then nothing has changed."""
        optimizer, isfinite = self.optimizer, self.numpy.isfinite
        space = self.ready(careful=careful).take()
        space.train(self.arrays, self.count, self.batch_size, orders, optimizer, rates, self.threads)
        losses = space.losses[: len(rates)].copy()
        ends_well = isfinite(losses).all() and isfinite(space.params).all()
        if ends_well:
            first = (len(orders) - 1) * (orders.strides[0] // 8)
            self.outputs = space.outputs[first : first + (self.count or 1)].copy()
            optimizer.commit(space.params.tolist(), space.states(optimizer), len(rates))
        else:
            step = len(rates) - 1 if isfinite(losses).all() else int(isfinite(losses).argmin())
            self.failed = step, losses[step]
        space.give()
        return losses if ends_well else None
