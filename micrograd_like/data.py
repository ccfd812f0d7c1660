"""Real data sets, loaded by scikit-learn (extra `data`), as plain lists of (inputs, target) pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from numbers import Real
from typing import Any

from micrograd_like._extras import require
from micrograd_like.checks import listed, shown, whole_number

Samples = list[tuple[list[float], int]]
SEEDS = 2**32 - 1  # the largest seed that scikit-learn takes


def load_digits(classes: Iterable[int] = range(10), held_out: float = 0.2, seed: int = 0) -> tuple[Samples, Samples]:
    """Load handwritten digits: (training samples, held-out samples), each a pair (64 pixels from 0 to 1, the digit).

    The 1,797 images of 8×8 pixels are the test set of the UCI "Optical Recognition of Handwritten Digits"
    (E. Alpaydin and C. Kaynak, 1998), shipped with scikit-learn. Every class has the same share in both parts.

    >>> training, held_out = load_digits([0, 1], seed=0)
    >>> pixels, digit = training[0]
    >>> len(training), len(held_out), len(pixels), digit in (0, 1)
    (288, 72, 64, True)

    Args:
        classes: which digits.
        held_out: the share of the images that is held out, between 0 and 1.
        seed: decides which; from 0 to 2³² - 1.

    Raises:
        ValueError: a class is not a digit, the share is not between 0 and 1, or the seed out of its range.
        ImportError: scikit-learn is not installed.
    """
    chosen = listed("classes", classes, "a list of digits")
    if not chosen or not all(hasattr(digit, "__index__") and digit in range(10) for digit in chosen):
        raise ValueError(f"expected classes as digits from 0 to 9, at least one, got {shown(classes)}")
    _check("held_out", held_out, "a share between 0 and 1", lambda x: 0 < float(x) < 1)
    seed = whole_number("seed", seed, at_least=0, at_most=SEEDS)
    images = require("sklearn.datasets", extra="data").load_digits()
    samples = [
        ([pixel / 16.0 for pixel in pixels], int(digit))
        for pixels, digit in zip(images.data.tolist(), images.target, strict=True)
        if digit in chosen
    ]
    return _split(samples, held_out, seed)


def make_moons(n_samples: int = 100, noise: float = 0.1, seed: int = 0) -> Samples:
    """Make two interleaved half circles: pairs ([x, y], class), where the class is -1 or 1.

    >>> samples = make_moons(4, noise=0.0)
    >>> sorted(side for _, side in samples)
    [-1, -1, 1, 1]

    Raises:
        ValueError: n_samples is not at least 2, noise is negative or not finite, or the seed not from 0 to 2³² - 1.
        ImportError: scikit-learn is not installed.
    """
    n_samples = whole_number("n_samples", n_samples, at_least=2)
    _check("noise", noise, "a finite number of at least 0", lambda x: 0 <= x < inf)
    seed = whole_number("seed", seed, at_least=0, at_most=SEEDS)
    points, classes = require("sklearn.datasets", extra="data").make_moons(
        n_samples, noise=float(noise), random_state=seed
    )
    return [(point, 2 * int(c) - 1) for point, c in zip(points.tolist(), classes, strict=True)]


def _split(samples: Samples, held_out: float, seed: int) -> tuple[Samples, Samples]:
    split = require("sklearn.model_selection", extra="data").train_test_split
    classes = [target for _, target in samples]
    train, rest = split(samples, test_size=float(held_out), random_state=seed, stratify=classes)
    return train, rest


def _check(name: str, x: Any, expected: str, fits: Callable[[Any], bool]) -> None:
    if not (isinstance(x, Real) and fits(x)):
        raise ValueError(f"expected {name} as {expected}, got {shown(x)}")
