"""The data sets: real, split as asked, the same for the same seed."""

from __future__ import annotations

import sys
from collections import Counter

import pytest
import sklearn.datasets

from micrograd_like.data import load_digits, load_names, load_words, make_moons


def test_the_digits_are_all_there_scaled_to_one():
    train, held_out = load_digits()
    original = sklearn.datasets.load_digits()
    ours = sorted((tuple(pixels), digit) for pixels, digit in train + held_out)
    theirs = sorted((tuple(p / 16 for p in row), int(d)) for row, d in zip(original.data, original.target, strict=True))
    assert ours == theirs
    assert len(ours) == 1797
    assert len(held_out) == pytest.approx(0.2 * 1797, abs=1)


def test_only_the_chosen_classes_with_the_same_share_in_both_parts():
    train, held_out = load_digits((3, 1), held_out=0.25)
    counts = Counter(digit for _, digit in train), Counter(digit for _, digit in held_out)
    assert set(counts[0]) == set(counts[1]) == {1, 3}
    for digit in (1, 3):
        assert counts[1][digit] / (counts[0][digit] + counts[1][digit]) == pytest.approx(0.25, abs=0.01)


def test_a_seed_decides_the_split():
    assert load_digits(seed=1) == load_digits(seed=1)
    assert load_digits(seed=1) != load_digits(seed=2)


@pytest.mark.parametrize("classes", [(), (3, 11), (-1,)])
def test_classes_must_be_digits(classes):
    with pytest.raises(ValueError, match="digits from 0 to 9"):
        load_digits(classes)


@pytest.mark.parametrize("share", [0, 1, -0.1, float("nan"), "0.2", None])
def test_the_held_out_share_is_a_share(share):
    with pytest.raises(ValueError, match="between 0 and 1"):
        load_digits(held_out=share)


def test_moons_are_two_balanced_classes():
    samples = make_moons(100, noise=0.0)
    assert Counter(target for _, target in samples) == {-1: 50, 1: 50}
    for (x, y), target in samples:
        center, half = ((0.0, 0.0), y >= -1e-9) if target == -1 else ((1.0, 0.5), y <= 0.5 + 1e-9)
        assert (x - center[0]) ** 2 + (y - center[1]) ** 2 == pytest.approx(1)
        assert half


@pytest.mark.parametrize("n", [1, 2.5, "10", None])
def test_moons_are_at_least_two(n):
    with pytest.raises(ValueError, match="expected n_samples as a whole number of at least 2"):
        make_moons(n)


@pytest.mark.parametrize("noise", [-0.1, float("nan"), float("inf"), "0.1", None])
def test_moons_refuse_a_noise_that_is_none(noise):
    with pytest.raises(ValueError, match="expected noise as a finite number of at least 0"):
        make_moons(10, noise)


def test_classes_are_a_list_of_digits():
    with pytest.raises(TypeError, match="expected classes as a list of digits, got int: 3"):
        load_digits(3)


def test_without_scikit_learn_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'micrograd_like\[data\]'"):
        load_digits()


def test_the_names_are_real_of_plain_letters_and_each_is_there_once():
    train, held_out = load_names()
    names = train + held_out
    assert len(names) == len(set(names)) > 6000
    assert {"emma", "olivia", "john", "christopher"} <= set(names)
    assert set("".join(names)) == set("abcdefghijklmnopqrstuvwxyz")
    assert len(held_out) == pytest.approx(0.1 * len(names), abs=1)


def test_names_of_a_length_are_split_as_the_seed_says():
    train, held_out = load_names(5, held_out=0.25, seed=3)
    assert max(map(len, train + held_out)) == 5
    assert (train, held_out) == load_names(5, held_out=0.25, seed=3)
    assert set(held_out) != set(load_names(5, held_out=0.25, seed=4)[1])


def test_the_words_of_a_file_are_its_different_words_in_lower_case(tmp_path):
    numbers = "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf zwanzig vierzig fünfzig hundert"
    file = tmp_path / "words.txt"
    file.write_text(
        f"\ufeff{numbers.upper()}, {numbers}; ÄPFEL-Birnen 3mal _und_ don't … supercalifragilistic", "utf-8"
    )
    train, held_out = load_words(file, longest=10)
    assert {*train, *held_out} == {*numbers.split(), "äpfel", "birnen", "mal", "und", "don", "t"}
    assert (len(train), len(held_out)) == (21, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "at least 20 different words of at most 9 letters in .*words.txt', found 0"),
        (b"one two " * 50, "found 2"),
        (b"\xff\xfe", "text in UTF-8 in .*words.txt'"),
        ("".join(f"{chr(0x4E00 + i)} " for i in range(150)).encode(), "at most 100 different letters .* found 150"),
    ],
)
def test_a_file_without_words_to_learn_from_is_refused(tmp_path, text, message):
    file = tmp_path / "words.txt"
    file.write_bytes(text)
    with pytest.raises(ValueError, match=message):
        load_words(file, longest=9)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing"):
        load_words(tmp_path / "nothing.txt")


def test_lengths_and_shares_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="longest as at least the length of a name, got 1"):
        load_names(1)
    with pytest.raises(ValueError, match="held_out as a share between 0 and 1"):
        load_names(held_out=1.5)
