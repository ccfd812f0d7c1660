"""Real data sets, loaded by scikit-learn (extra `data`), as plain lists of (inputs, target) pairs."""

from __future__ import annotations

from collections.abc import Iterable

from micrograd_like._extras import require

Samples = list[tuple[list[float], int]]


def load_digits(classes: Iterable[int] = range(10), held_out: float = 0.2, seed: int = 0) -> tuple[Samples, Samples]:
    """Handwritten digits: (training samples, held-out samples), each a pair (64 pixels from 0 to 1, the digit).

    The 1,797 images of 8×8 pixels are the test set of the UCI "Optical Recognition of Handwritten Digits"
    (E. Alpaydin and C. Kaynak, 1998), shipped with scikit-learn. Every class has the same share in both parts.

    Args:
        classes: which digits.
        held_out: the share of the images that is held out, between 0 and 1.
        seed: decides which.

    Raises:
        ValueError: a class is not a digit, or the share is not between 0 and 1.
        ImportError: scikit-learn is not installed.
    """
    chosen = sorted(set(classes))
    if not chosen or not set(chosen) <= set(range(10)):
        raise ValueError(f"expected classes as digits from 0 to 9, at least one, got {chosen}")
    _check_share(held_out)
    images = require("sklearn.datasets", extra="data").load_digits()
    samples = [
        ([pixel / 16.0 for pixel in pixels], int(digit))
        for pixels, digit in zip(images.data.tolist(), images.target, strict=True)
        if digit in chosen
    ]
    return _split(samples, held_out, seed)


def make_moons(n_samples: int = 100, noise: float = 0.1, seed: int = 0) -> Samples:
    """Two interleaved half circles: pairs ([x, y], class), where the class is -1 or 1.

    Raises:
        ValueError: n_samples is not at least 2, or noise is negative.
        ImportError: scikit-learn is not installed.
    """
    if n_samples < 2 or not noise >= 0:
        raise ValueError(f"expected at least 2 samples and noise of at least 0, got {n_samples} and {noise}")
    points, classes = require("sklearn.datasets", extra="data").make_moons(n_samples, noise=noise, random_state=seed)
    return [(point, 2 * int(c) - 1) for point, c in zip(points.tolist(), classes, strict=True)]


def _split(samples: Samples, held_out: float, seed: int) -> tuple[Samples, Samples]:
    split = require("sklearn.model_selection", extra="data").train_test_split
    train, rest = split(samples, test_size=held_out, random_state=seed, stratify=[target for _, target in samples])
    return train, rest


def _check_share(held_out: float) -> None:
    if not 0 < held_out < 1:
        raise ValueError(f"expected held_out as a share between 0 and 1, got {held_out!r}")
