"""Optimizers: a rule for one parameter, written in the table's algebra, and a step that moves all parameters or none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from micrograd_like.checks import assign, each_once
from micrograd_like.engine import Value
from micrograd_like.ieee import INF, Number, isfinite, number
from micrograd_like.ops import div, sqrt

Schedule = float | Callable[[int], float]


class Optimizer:
    """Move parameters by a rule. A subclass is the rule, what it remembers, and the rates it reads:

    - `STATE` names the attributes that hold what the rule remembers, each a list of one number for each parameter.
    - `rates(step)` gives the numbers of one step that are the same for all parameters.
    - `rule(p, g, *state, *rates)` returns (the new p, *the new state) of one parameter p with the gradient g.

    A rule asks for nothing but `+ - *` and rows of the table (`ops.div`, `ops.sqrt`, …) on its arguments; `if` may look
    at the optimizer, never at an argument. So it runs on floats, on fractions and on the compiler's symbols alike:
    called once with symbols, it is one more nest of loops over the parameters, of which `state` and `rates` are arrays.
    A state that a rule returns as it came is not written.

    >>> class SignSGD(Optimizer):  # every parameter moves by lr, whatever the size of its gradient
    ...     def rule(self, p, g, lr):
    ...         return (p - lr * div(g, abs(g)),)
    >>> x = Value(1.0)
    >>> (x * 5).backward()
    >>> SignSGD([x], lr=0.25).step()
    >>> x.data
    0.75

    Args:
        parameters: the Values to train, such as `model.parameters()`.
        lr: the learning rate, or a function from the number of the step (0, 1, …) to it.

    Raises:
        ValueError: no parameters, one of them twice, or a number out of its range.
        TypeError: a parameter is not a Value, or a number is none.
    """

    STATE: ClassVar[tuple[str, ...]] = ()

    def __init__(self, parameters: Iterable[Value], lr: Schedule) -> None:
        self.parameters = each_once("parameter", parameters, Value)
        if not self.parameters:
            raise ValueError("expected at least one parameter to train, got none")
        self.lr = lr if callable(lr) else checked("lr", lr, above=0)
        self.steps = 0  # taken so far
        for name in self.STATE:
            setattr(self, name, [0] * len(self.parameters))

    def rule(self, p: Any, g: Any, *state_and_rates: Any) -> tuple[Any, ...]:
        """Return (p after the step, *state after it) of one parameter."""
        raise NotImplementedError(f"{type(self).__name__} has no rule(p, g, *state, *rates)")

    def rates(self, step: int) -> tuple[Number, ...]:
        """Return the numbers of that step (0 for the first) that its rule reads. Raises as `learning_rate` does."""
        return (self.learning_rate(step),)

    def learning_rate(self, step: int | None = None) -> Number:
        """Return the learning rate of that step, the next one by default.

        Raises:
            ValueError: a schedule gave one that is below 0 or not finite.
            TypeError: a schedule gave what is no number.
        """
        step = self.steps if step is None else step
        lr = self.lr(step) if callable(self.lr) else self.lr
        return checked(f"lr at step {step}", lr, at_least=0)  # a schedule may start at 0 or end there

    def moves(self) -> list[Number]:
        """Return how far `step` would move each parameter now. Raises ValueError as `step` does."""
        return [new - p.data for new, p in zip(self._next()[0], self.parameters, strict=True)]

    def step(self) -> None:
        """Move every parameter; all of them with their state or, on an error or an interrupt, none.

        Raises:
            ValueError: a parameter would stop being finite, or the learning rate is below 0.
        """
        data, *state = self._next()
        self.commit(data, state, 1)

    def commit(self, data: Sequence[Number], state: Iterable[Sequence[Number]], steps: int) -> None:
        """Take over what so many steps have made of the parameters' numbers and of the state, at one blow.

        `state` has a sequence for each name in `STATE`, in that order. This is how compiled training ends, too.
        """
        assign(
            (self.parameters, "data", data),
            *(([self], name, [list(new)]) for name, new in zip(self.STATE, state, strict=True)),
            ([self], "steps", [self.steps + steps]),
        )

    def zero_grad(self, set_to_none: bool = False) -> None:
        """Forget the gradients of all parameters: 0, or None, and then a step leaves those as they are, as in PyTorch."""
        assign((self.parameters, "grad", [None if set_to_none else 0] * len(self.parameters)))

    def _next(self) -> list[tuple[Number, ...]]:
        """The parameters' numbers after the next step, and each state after it; checked."""
        rates, rule = self.rates(self.steps), self.rule
        rows = []
        for p, *state in zip(self.parameters, *(getattr(self, name) for name in self.STATE), strict=True):
            if p.grad is None:
                rows.append((p.data, *state))
                continue
            try:
                row = rule(p.data, p.grad, *state, *rates)
            except OverflowError:  # an integer or a fraction beyond floats has met a float
                row = (INF,)
            if not isfinite(row[0]):
                raise ValueError(
                    f"the step would make {p.label or 'a parameter'} {row[0]}: it is {p.data} "
                    f"with the gradient {p.grad} and lr {rates[0]}; nothing has moved"
                )
            rows.append(row)
        return list(zip(*rows, strict=True))


class SGD(Optimizer):
    """Step against the gradient: stochastic gradient descent with PyTorch's formula (`torch.optim.SGD`, dampening 0).

        v ← momentum · v + g + weight_decay · p
        p ← p - lr · v

    >>> w = Value(3.0)
    >>> optimizer = SGD([w], lr=0.1)
    >>> (w**2).backward()
    >>> optimizer.step()
    >>> w.data
    2.4

    Args:
        parameters: the Values to train, such as `model.parameters()`.
        lr: the learning rate, or a function from the number of the step (0, 1, …) to it.
        momentum: how much of the last step's direction is kept, from 0 to less than 1.
        weight_decay: how strongly each parameter is pulled towards 0; at least 0.

    Raises:
        ValueError: no parameters, one of them twice, or a number out of its range.
        TypeError: a parameter is not a Value, or a number is none.
    """

    STATE = ("velocities",)
    velocities: list[Number]

    def __init__(
        self, parameters: Iterable[Value], lr: Schedule, momentum: float = 0.0, weight_decay: float = 0.0
    ) -> None:
        super().__init__(parameters, lr)
        self.momentum = checked("momentum", momentum, at_least=0, below=1)
        self.weight_decay = checked("weight_decay", weight_decay, at_least=0)

    def rates(self, step: int) -> tuple[Number, ...]:
        return self.learning_rate(step), self.momentum, self.weight_decay

    def rule(self, p: Any, g: Any, v: Any, lr: Any, momentum: Any, weight_decay: Any) -> tuple[Any, ...]:
        if self.weight_decay:
            g = g + weight_decay * p
        if self.momentum:
            g = v = momentum * v + g
        return p - lr * g, v


class Adam(Optimizer):
    """Step by about lr, whatever the size of the gradients: Adam (D. P. Kingma and J. Ba, ICLR 2015).

    With PyTorch's formula and defaults (`torch.optim.Adam`); t counts steps from 1:

        g ← g + weight_decay · p
        m ← m + (1 - β1) · (g - m)              the mean of the gradients (exp_avg)
        v ← β2 · v + (1 - β2) · g²              the mean of their squares (exp_avg_sq)
        p ← p - lr / (1 - β1^t) · m / (√v / √(1 - β2^t) + eps)

    >>> w = Value(3.0)
    >>> optimizer = Adam([w], lr=0.1)
    >>> (100 * w**2).backward()
    >>> optimizer.step()
    >>> round(w.data, 6)
    2.9

    Args:
        parameters: the Values to train, such as `model.parameters()`.
        lr: the learning rate, or a function from the number of the step (0, 1, …) to it.
        betas: (β1, β2), how much of both means is kept, each from 0 to less than 1.
        eps: keeps the divisor from 0; above 0.
        weight_decay: how strongly each parameter is pulled towards 0; at least 0.

    Raises:
        ValueError: no parameters, one of them twice, or a number out of its range.
        TypeError: a parameter is not a Value, or a number is none.
    """

    STATE = ("exp_avg", "exp_avg_sq")
    exp_avg: list[Number]
    exp_avg_sq: list[Number]

    def __init__(
        self,
        parameters: Iterable[Value],
        lr: Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr)
        if not isinstance(betas, Sequence) or isinstance(betas, str) or len(betas) != 2:
            raise ValueError(f"expected betas as two numbers, got {betas!r:.60}")
        self.betas = tuple(checked("betas", beta, at_least=0, below=1) for beta in betas)
        self.eps = checked("eps", eps, above=0)
        self.weight_decay = checked("weight_decay", weight_decay, at_least=0)

    def rates(self, step: int) -> tuple[Number, ...]:
        lr, (beta1, beta2), t = self.learning_rate(step), self.betas, step + 1
        return (
            lr, beta1, beta2, self.eps, self.weight_decay,
            div(lr, 1 - beta1**t), sqrt(1 - beta2**t),
        )  # fmt: skip

    def rule(
        self, p: Any, g: Any, m: Any, v: Any,
        lr: Any, beta1: Any, beta2: Any, eps: Any, weight_decay: Any, size: Any, root: Any,
    ) -> tuple[Any, ...]:  # fmt: skip
        if self.weight_decay:
            p, g = self.decayed(p, g, lr, weight_decay)
        m = m + (1 - beta1) * (g - m)
        v = beta2 * v + (1 - beta2) * g * g
        return p - div(size * m, div(sqrt(v), root) + eps), m, v

    def decayed(self, p: Any, g: Any, lr: Any, weight_decay: Any) -> tuple[Any, Any]:
        """Return (p, g) with the pull towards 0 in one of them: for Adam in the gradient."""
        return p, g + weight_decay * p


class AdamW(Adam):
    """Step as Adam does, with the pull towards 0 apart from the gradient: p ← p · (1 - lr · weight_decay) before it.

    With PyTorch's formula and defaults (`torch.optim.AdamW`); by I. Loshchilov and F. Hutter, ICLR 2019. The arguments
    and errors are those of `Adam`.

    >>> w = Value(3.0)
    >>> optimizer = AdamW([w], lr=0.1, weight_decay=0.5)
    >>> (100 * w**2).backward()
    >>> optimizer.step()
    >>> round(w.data, 6)
    2.75
    """

    def __init__(
        self,
        parameters: Iterable[Value],
        lr: Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(parameters, lr, betas, eps, weight_decay)

    def decayed(self, p: Any, g: Any, lr: Any, weight_decay: Any) -> tuple[Any, Any]:
        return p * (1 - lr * weight_decay), g


def checked(
    name: str, x: Any, above: float | None = None, at_least: float | None = None, below: float | None = None
) -> Number:
    """Return the number as its carrier, so that a rate from NumPy does not turn every parameter into NumPy's kind.

    Raises:
        TypeError: it is no number.
        ValueError: it is not finite, or out of its range.
    """
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
