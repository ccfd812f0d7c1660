"""Real data sets: digits and moons by scikit-learn, first names by Faker (extra `data`), words from a file of one's own."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from math import inf
from numbers import Real
from pathlib import Path
from typing import Any

from micrograd_like._extras import require
from micrograd_like.checks import listed, shown, whole_number

Samples = list[tuple[list[float], int]]
Words = list[str]
SEEDS = 2**32 - 1  # the largest seed that scikit-learn takes
FEWEST_WORDS, MOST_LETTERS = 20, 100  # of a file: what there is to learn from, and how many scores for the next letter


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
    _check("held_out", held_out, "a share between 0 and 1", lambda x: 0 < x < 1)
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


def load_names(longest: int = 15, held_out: float = 0.1, seed: int = 0) -> tuple[Words, Words]:
    """Return first names in lower case: (training names, held-out names), each once, in an order that the seed decides.

    They are the 6,800 or so English first names of the package Faker (its provider `faker.providers.person.en`), all of
    the letters a to z and none longer than 12. Which names there are depends a little on Faker's version.

    >>> names, rest = load_names()
    >>> "emma" in names + rest, set("".join(names)) <= set("abcdefghijklmnopqrstuvwxyz")
    (True, True)

    Args:
        longest: the most letters that a name may have; longer ones are left out.
        held_out: the share of the names that is held out, between 0 and 1.
        seed: decides which.

    Raises:
        ValueError: there is no name so short, or the share is not between 0 and 1.
        ImportError: Faker is not installed.
    """
    provider = require("faker.providers.person.en", extra="data").Provider
    return _split_words("a name", {name.lower() for name in provider.first_names}, longest, held_out, seed)


def load_words(path: str | Path, longest: int = 15, held_out: float = 0.1, seed: int = 0) -> tuple[Words, Words]:
    """Collect the different words of a text file, in lower case: (training words, held-out words).

    Arguments are as for `load_names`.

    A word is what stands between spaces, digits and punctuation; letters of any script will do.

    >>> import micrograd_like.data
    >>> train, held_out = load_words(micrograd_like.data.__file__)  # the words of this program
    >>> "handwritten" in train + held_out
    True

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not text in UTF-8, has fewer than 20 different words that are short enough, or more than 100
            different letters; or the share is not between 0 and 1.
    """
    path, longest = Path(path), whole_number("longest", longest)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except ValueError as error:
        raise ValueError(f"expected text in UTF-8 in {path.name!r:.80}: {error}") from None
    words = {word for word in re.findall(r"[^\W\d_]+", text.lower()) if len(word) <= longest}
    if len(words) < FEWEST_WORDS:
        raise ValueError(
            f"expected at least {FEWEST_WORDS} different words of at most {longest} letters in {path.name!r:.80}, "
            f"found {len(words)}"
        )
    if (letters := len(set("".join(words)))) > MOST_LETTERS:
        raise ValueError(f"expected at most {MOST_LETTERS} different letters in {path.name!r:.80}, found {letters}")
    return _split_words("a word", words, longest, held_out, seed)


def _split_words(what: str, words: Iterable[str], longest: int, held_out: float, seed: int) -> tuple[Words, Words]:
    longest = whole_number("longest", longest)
    _check("held_out", held_out, "a share between 0 and 1", lambda x: 0 < x < 1)
    found = sorted(word for word in words if len(word) <= longest)
    if not found:
        raise ValueError(f"expected longest as at least the length of {what}, got {longest}")
    random.Random(whole_number("seed", seed, at_least=0)).shuffle(found)
    count = min(max(round(len(found) * held_out), 1), len(found) - 1)
    return found[count:], found[:count]


def _split(samples: Samples, held_out: float, seed: int) -> tuple[Samples, Samples]:
    split = require("sklearn.model_selection", extra="data").train_test_split
    classes = [target for _, target in samples]
    train, rest = split(samples, test_size=float(held_out), random_state=seed, stratify=classes)
    return train, rest


def _check(name: str, x: Any, expected: str, fits: Callable[[Any], bool]) -> None:
    if not (isinstance(x, Real) and fits(x)):
        raise ValueError(f"expected {name} as {expected}, got {shown(x)}")
