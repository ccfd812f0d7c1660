"""Functions composed from the rows of the table: means, softmax and the losses. Each takes Values and plain numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

from micrograd_like import ops
from micrograd_like.checks import listed
from micrograd_like.engine import Value, linear, vector
from micrograd_like.graph import Vector
from micrograd_like.ieee import as_float

exp, log, sqrt, sin, cos, tanh = ops.exp, ops.log, ops.sqrt, ops.sin, ops.cos, ops.tanh
sigmoid, softplus, relu, where = ops.sigmoid, ops.softplus, ops.relu, ops.where


def _several(name: str, xs: Sequence[Any]) -> list[Any]:
    """The operands, given one by one or as one iterable of them."""
    values = _sequence(xs[0]) if len(xs) == 1 else list(xs)
    if not values:
        raise ValueError(f"{name} needs at least one value, got none")
    return values


def _pairs(left: str, xs: Iterable[Any], right: str, ys: Iterable[Any]) -> list[tuple[Any, Any]]:
    """Two sequences, or two single values, side by side; of equal length and not empty."""
    xs, ys = _sequence(xs), _sequence(ys)
    if len(xs) != len(ys) or not xs:
        raise ValueError(f"expected as many {left} as {right}, and at least one; got {len(xs)} and {len(ys)}")
    return list(zip(xs, ys, strict=True))


def _sequence(xs: Any) -> list[Any]:
    single = not isinstance(xs, Iterable) or getattr(xs, "shape", None) == ()  # NumPy's array without axes is a number
    return [xs] if single else list(xs)


def max(*xs: Any) -> Any:
    """Return the largest of the values, given one by one or as one iterable. Those that tie share the gradient.

    >>> from micrograd_like import Value
    >>> x, y = Value(2.0), Value(2.0)
    >>> max(x, y, 1.0).backward()
    >>> x.grad, y.grad
    (0.5, 0.5)
    """
    return ops.max(*_several("max", xs))


def min(*xs: Any) -> Any:
    """Return the smallest of the values, given one by one or as one iterable. Those that tie share the gradient.

    >>> min([3.0, 1.0, 2.0])
    1.0
    """
    return ops.min(*_several("min", xs))


def sum(*xs: Any) -> Any:
    """Return the sum of the values, given one by one or as one iterable, from left to right, as one node.

    >>> from micrograd_like import Value
    >>> sum(Value(x) for x in (1.0, 2.0, 3.0))
    Value(data=6.0, grad=0)
    """
    return ops.sum(*_several("sum", xs))


def mean(*xs: Any) -> Any:
    """Return the sum of the values divided by their number.

    >>> from micrograd_like import Value
    >>> mean(Value(1.0), 2.0, 6.0).data
    3.0
    """
    values = _several("mean", xs)
    return ops.div(ops.sum(*values), len(values))


def gather(values: Iterable[Any], index: Any) -> Any:
    """Pick the value with that index, counted from 0: a row of an embedding, say. The index may be a Value.

    >>> from micrograd_like import Value
    >>> gather([Value(2.0), Value(3.0)], 1).data
    3.0

    Raises:
        IndexError: a plain index that is not a whole number from 0 to the number of values less 1.
    """
    operands = _several("gather", (values,))
    if isinstance(index, Real) and float(index) not in range(len(operands)):
        raise IndexError(f"gather: expected a whole number from 0 to {len(operands) - 1}, got {index!r}")
    return ops.gather(index, *operands)


def dot(weights: Iterable[Any], inputs: Iterable[Any], bias: Any = 0) -> Any:
    """Return bias + w0*x0 + w1*x1 + …, as one node.

    >>> from micrograd_like import Value
    >>> dot([Value(2.0), Value(3.0)], [1.0, 10.0], Value(0.5)).data
    32.5

    Raises:
        ValueError: there are no weights, or not as many as inputs.
    """
    row = [*listed("weights", weights, "a sequence of numbers"), bias]
    return linear(Vector(row), vector(inputs, beside=next((w for w in row if type(w) is Value), 0.0)))


def logsumexp(xs: Iterable[Any]) -> Any:
    """Return log(e^x0 + e^x1 + …) without overflow; -inf when all are -inf.

    >>> logsumexp([1000.0, 1000.0])
    1000.6931471805599
    """
    return ops.logsumexp(*_several("logsumexp", (xs,)))


def log_softmax(logits: Iterable[Any]) -> list[Any]:
    """Return x - logsumexp(logits) for each logit x: the logarithms of probabilities that add up to 1.

    >>> log_softmax([1000.0, 1000.0])
    [-0.6931471805599453, -0.6931471805599453]
    """
    return _log_softmax("log_softmax", logits)


def softmax(logits: Iterable[Any]) -> list[Any]:
    """Return e^x / (e^x0 + e^x1 + …) for each logit x: probabilities that add up to 1.

    >>> from micrograd_like import Value
    >>> [round(p.data, 3) for p in softmax([Value(1.0), Value(2.0)])]
    [0.269, 0.731]
    """
    powers = [ops.exp(x) for x in _shifted("softmax", logits)]
    total = ops.sum(*powers)
    return [ops.div(power, total) for power in powers]


def _shifted(name: str, logits: Iterable[Any]) -> list[Any]:
    """The logits less the largest: before anything is rounded, so that large ones keep all digits."""
    values = _several(name, (logits,))
    largest = ops.max(*values)
    return [ops.sub(x, largest) for x in values]


def _log_softmax(name: str, logits: Iterable[Any]) -> list[Any]:
    shifted = _shifted(name, logits)
    normalizer = ops.logsumexp(*shifted)
    return [ops.sub(x, normalizer) for x in shifted]


def leaky_relu(x: Any, negative_slope: Any = 0.01) -> Any:
    """Return x where it is positive, else negative_slope · x, so that no neuron stops learning; with PyTorch's slope.

    >>> leaky_relu(-2.0), leaky_relu(3.0)
    (-0.02, 3.0)
    """
    return ops.where(x, x, ops.mul(negative_slope, x))


def silu(x: Any) -> Any:
    """Return x · sigmoid(x), also called swish: a smooth ReLU (Elfwing, Uchibe & Doya, 2018).

    >>> round(silu(1.0), 4)
    0.7311
    """
    return ops.mul(x, ops.sigmoid(x))


def gelu(x: Any) -> Any:
    """Return x · the probability that a normal number is below x, by the tanh of GPT-2 (Hendrycks & Gimpel, 2016).

    It is PyTorch's `gelu(x, approximate="tanh")`: x · (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2, which is within 0.0005
    of the exact one. The tanh is written as a sigmoid, which keeps its digits where x is far below 0.

    >>> round(gelu(1.0), 4)
    0.8412
    """
    return ops.mul(x, ops.sigmoid(ops.mul(_GELU_SCALE, ops.add(x, ops.mul(0.044715, ops.mul(x, ops.mul(x, x)))))))


_GELU_SCALE = 2 * (2 / math.pi) ** 0.5  # twice, as tanh(z) is 2 sigmoid(2z) - 1


def _mean_loss(losses: list[Any]) -> Any:
    """The mean; of a single loss itself, so that its graph has no sum of one and no division by one."""
    return losses[0] if len(losses) == 1 else mean(losses)


def mse_loss(predictions: Any, targets: Any) -> Any:
    """Return the mean of (prediction - target)². Both are one number, or sequences of the same length.

    >>> from micrograd_like import Value
    >>> mse_loss([Value(1.0), Value(4.0)], [1.0, 2.0]).data
    2.0
    """
    errors = [ops.sub(p, t) for p, t in _pairs("predictions", predictions, "targets", targets)]
    return _mean_loss([e * e for e in errors])


def l1_loss(predictions: Any, targets: Any) -> Any:
    """Return the mean of |prediction - target|. Both are one number, or sequences of the same length.

    >>> from micrograd_like import Value
    >>> l1_loss([Value(1.0), Value(4.0)], [1.0, 2.0]).data
    1.0
    """
    pairs = _pairs("predictions", predictions, "targets", targets)
    return _mean_loss([ops.abs(ops.sub(p, t)) for p, t in pairs])


def huber_loss(predictions: Any, targets: Any, delta: Any = 1) -> Any:
    """Return the mean of e² / 2 for errors e of at most delta, and of delta · (|e| - delta / 2) beyond (Huber, 1964).

    So an outlier pulls no harder than an error of delta. Predictions and targets are one number, or sequences.

    >>> from micrograd_like import Value
    >>> huber_loss([Value(1.5), Value(4.0)], [1.0, 1.0]).data  # (0.125 + 2.5) / 2
    1.3125

    Raises:
        ValueError: delta is not a positive number.
    """
    if not (isinstance(delta, Real) and as_float(delta) > 0):
        raise ValueError(f"huber_loss: expected delta as a positive number, got {delta!r:.60}")
    pairs = _pairs("predictions", predictions, "targets", targets)
    return _mean_loss([_huber(ops.sub(p, t), delta) for p, t in pairs])


def _huber(error: Any, delta: Any) -> Any:
    size = ops.abs(error)
    doubled = ops.where(ops.sub(size, delta), ops.mul(delta, ops.sub(ops.mul(2, size), delta)), ops.mul(error, error))
    return ops.div(doubled, 2)


def hinge_loss(scores: Any, targets: Any) -> Any:
    """Return the mean of max(0, 1 - target · score); a target is 1 or -1. Both are one number, or sequences.

    >>> from micrograd_like import Value
    >>> hinge_loss([Value(0.5), Value(-2.0)], [1, -1]).data
    0.25

    Raises:
        ValueError: a target is neither 1 nor -1.
    """
    pairs = _pairs("scores", scores, "targets", targets)
    for _, target in pairs:
        _check_target("hinge_loss", target, (-1, 1))
    return _mean_loss([ops.relu(ops.sub(1, ops.mul(target, score))) for score, target in pairs])


def binary_cross_entropy_with_logits(logits: Any, targets: Any) -> Any:
    """Return the mean of -log of the probability that sigmoid(logit) gives the target.

    That is softplus(logit) - target · logit.

    A target is the probability of the positive class, from 0 to 1. Both are one number, or sequences.

    >>> from micrograd_like import Value
    >>> round(binary_cross_entropy_with_logits(Value(0.0), 1).data, 4)
    0.6931

    Raises:
        ValueError: a target is not between 0 and 1.
    """
    pairs = _pairs("logits", logits, "targets", targets)
    for _, target in pairs:
        _check_probability("binary_cross_entropy_with_logits", "targets", target)
    return _mean_loss([_binary_cross_entropy(logit, target) for logit, target in pairs])


def _binary_cross_entropy(logit: Any, target: Any) -> Any:
    if isinstance(target, Real) and target in (0, 1):
        return ops.softplus(ops.neg(logit) if target else logit)
    # softplus(logit) - target * logit would be the difference of two large numbers, or of two infinities
    return ops.add(ops.mul(target, ops.softplus(ops.neg(logit))), ops.mul(ops.sub(1, target), ops.softplus(logit)))


def cross_entropy(logits: Sequence[Any], target: Any) -> Any:
    """Return -log of the probability that softmax(logits) gives the target.

    `target` is the number of the right class, or a probability for each class (one-hot, or soft labels).

    >>> from micrograd_like import Value
    >>> round(cross_entropy([Value(1.0), Value(2.0), Value(3.0)], 2).data, 4)
    0.4076

    Raises:
        ValueError: the class is not one of the logits', or there are not as many probabilities as logits, or one is not
            between 0 and 1, or all are 0.
        TypeError: the target is neither a class number nor a sequence.
    """
    logits = _several("cross_entropy", (logits,))
    if isinstance(target, Iterable):
        pairs = _pairs("logits", logits, "target probabilities", target)
        for _, p in pairs:
            _check_probability("cross_entropy", "target probabilities", p)
        # A class of probability 0 is left out: its logit may be -inf, and 0 times an infinity would be nan.
        surprises = [-x for x in _log_softmax("cross_entropy", logits)]
        losses = [
            ops.mul(p, s) for s, (_, p) in zip(surprises, pairs, strict=True) if not (isinstance(p, Real) and p == 0)
        ]
        if not losses:
            raise ValueError("cross_entropy: expected target probabilities that are not all 0")
        return ops.sum(*losses)
    if isinstance(target, Value):
        return _surprise(logits, ops.gather(target, *logits))
    try:
        index = target.__index__()
    except AttributeError:
        raise TypeError(
            f"cross_entropy: expected the target as a class number or as a probability per class, got {target!r:.60}"
        ) from None
    if not 0 <= index < len(logits):
        raise ValueError(f"cross_entropy: expected a class from 0 to {len(logits) - 1}, got {index}")
    return _surprise(logits, logits[index])


def _surprise(logits: Sequence[Any], logit: Any) -> Any:
    """-log of the probability of one logit: the differences are taken first, so that large logits keep all digits."""
    return ops.logsumexp(*[0 if x is logit and len(logits) > 1 else ops.sub(x, logit) for x in logits])


def _check_target(loss: str, target: Any, allowed: tuple[int, ...]) -> None:
    if isinstance(target, Real) and target not in allowed:
        raise ValueError(f"{loss}: expected a target of {' or '.join(map(str, allowed))}, got {target!r}")


def _check_probability(loss: str, name: str, p: Any) -> None:
    if isinstance(p, Real) and not 0 <= float(p) <= 1:
        raise ValueError(f"{loss}: expected {name} from 0 to 1, got {p!r}")
