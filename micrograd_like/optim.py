"""Stochastic gradient descent: move every parameter a small step against its gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from micrograd_like.engine import Value
from micrograd_like.ieee import Number, isfinite, number

Schedule = float | Callable[[int], float]


class SGD:
    """θ ← θ - lr · v, where v ← momentum · v + ∇θ + weight_decay · θ (PyTorch's `torch.optim.SGD`, dampening 0).

    Args:
        parameters: the Values to train, such as `model.parameters()`.
        lr: the learning rate, or a function from the number of the step (0, 1, …) to it.
        momentum: how much of the last step's direction is kept, from 0 to less than 1.
        weight_decay: how strongly each parameter is pulled towards 0; at least 0.

    Raises:
        ValueError: no parameters, one of them twice, or a number out of its range.
        TypeError: a parameter is not a Value.
    """

    def __init__(
        self, parameters: Iterable[Value], lr: Schedule, momentum: float = 0.0, weight_decay: float = 0.0
    ) -> None:
        if not isinstance(parameters, Iterable):
            raise TypeError(
                f"expected parameters as a list of Values, got {type(parameters).__name__}: {parameters!r:.60}"
            )
        self.parameters = list(parameters)
        if not self.parameters:
            raise ValueError("expected at least one parameter to train, got none")
        for parameter in self.parameters:
            if not isinstance(parameter, Value):
                raise TypeError(f"expected parameters as Values, got {type(parameter).__name__}: {parameter!r:.60}")
        if len(set(self.parameters)) != len(self.parameters):
            twice = next(p for i, p in enumerate(self.parameters) if p in self.parameters[:i])
            raise ValueError(f"expected each parameter once, got {twice!r} twice")
        self.restart(lr, momentum, weight_decay)

    def restart(self, lr: Schedule, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        """Forget the steps taken, and take the next ones by these numbers; the arguments and errors are the class's."""
        self.lr = lr if callable(lr) else _checked("lr", lr, above=0)
        self.momentum = _checked("momentum", momentum, at_least=0, below=1)
        self.weight_decay = _checked("weight_decay", weight_decay, at_least=0)
        self.steps = 0
        self.velocities: list[Number] = [0] * len(self.parameters)

    def learning_rate(self) -> Number:
        """The learning rate of the next step. Raises ValueError when a schedule gives one that is below 0."""
        lr = self.lr(self.steps) if callable(self.lr) else self.lr
        return _checked(f"lr at step {self.steps}", lr, at_least=0)  # a schedule may start at 0 or end there

    def _directions(self) -> list[Number]:
        """What the next step goes against: v, one for each parameter."""
        found = []
        for parameter, velocity in zip(self.parameters, self.velocities, strict=True):
            direction = parameter.grad
            if self.weight_decay:
                direction += self.weight_decay * parameter.data
            if self.momentum:
                direction += self.momentum * velocity
            found.append(direction)
        return found

    def moves(self) -> list[Number]:
        """How far `step` would move each parameter now: -lr · v. Raises ValueError as `learning_rate` does."""
        lr = self.learning_rate()
        return [-lr * direction for direction in self._directions()]

    def step(self) -> None:
        """Move every parameter; all of them or, on an error, none.

        Raises:
            ValueError: a parameter would stop being finite, or the learning rate is below 0.
        """
        lr = self.learning_rate()
        moved, velocities = [], self._directions()
        for parameter, direction in zip(self.parameters, velocities, strict=True):
            data = parameter.data - lr * direction
            if not isfinite(data):
                raise ValueError(
                    f"the step would make {parameter.label or 'a parameter'} {data}: it is {parameter.data} "
                    f"with the gradient {parameter.grad} and lr {lr}; nothing has moved"
                )
            moved.append(data)
        before = [parameter.data for parameter in self.parameters]
        try:
            self._move(moved)
        except BaseException:  # Ctrl-C between two parameters
            self._move(before)
            raise
        self.velocities = velocities
        self.steps += 1

    def _move(self, data: Iterable[Number]) -> None:
        for parameter, x in zip(self.parameters, data, strict=True):
            parameter.data = x

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters:
            parameter.grad = 0


def _checked(
    name: str, x: Any, above: float | None = None, at_least: float | None = None, below: float | None = None
) -> Number:
    """The number as its carrier, so that a rate from NumPy does not turn every parameter into NumPy's kind."""
    limits = {"above": above, "at least": at_least, "below": below}
    text = " and ".join(f"{word} {limit}" for word, limit in limits.items() if limit is not None)
    try:
        x = x if type(x) is int else number(x)  # a whole number leaves fractions exact
    except TypeError:
        raise TypeError(f"expected {name} as a number {text}, got {type(x).__name__}: {x!r:.60}") from None
    fits = (
        isfinite(x)
        and (above is None or x > above)
        and (at_least is None or x >= at_least)
        and (below is None or x < below)
    )
    if not fits:
        raise ValueError(f"expected {name} as a finite number {text}, got {x!r}")
    return x
