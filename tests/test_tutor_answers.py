"""A guess and what came out."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micrograd_like.tutor.answers import as_python, chosen, is_guess, judge
from micrograd_like.tutor.script import Question

NUMBER = Question("How much?", "x", tolerance=0.1)
CHOICE = Question("Which?", "x", choices=("w1", "w2", "both"))
FORMULA = Question("Write the rule with `w.data` in it.", "x")
OPEN = Question("Why?")


@pytest.mark.parametrize("line", ["1", "-12", "−12", "1/3", "2·3", "0.5", "1e-3", "(1+2)*3", "98 %", "2^3"])
def test_what_reads_as_a_number_is_a_guess(line):
    assert is_guess(NUMBER, line)
    assert isinstance(eval(as_python(line)), int | float)


@pytest.mark.parametrize("line", ["w.data", "w.data = 3", "print(2)", "x + 1", "import os"])
def test_what_has_a_name_in_it_is_python(line):
    assert not is_guess(NUMBER, line)


def test_a_formula_is_a_guess_where_one_is_asked_for():
    assert is_guess(FORMULA, "w.data - 0.1 * w.grad")
    assert not is_guess(FORMULA, "w.data = 3")


def test_a_choice_is_named_in_full_by_its_beginning_or_by_its_number():
    assert [chosen(CHOICE, word) for word in ("w2", " W2 ", "2", "b", "w", "4", "")] == [
        "w2",
        "w2",
        "w2",
        "both",
        None,
        None,
        None,
    ]
    assert not is_guess(CHOICE, "w1.grad")


def test_kind_words():
    assert judge(NUMBER, "1", 1.0, 1.0).words == "Yes: 1."
    assert judge(NUMBER, "0.95", 0.95, 1.0).words == "Yes, near enough: 1."
    assert judge(NUMBER, "2", 2, 1.0).words == "Not quite: it is 1; you said 2."
    assert judge(NUMBER, "12", 12, -12.0).words == "The size is right and the sign is the other one: −12."
    assert judge(CHOICE, "w2", None, "w2").words == "Yes: w2."
    assert judge(CHOICE, "1", None, "w2").words == "Not this time: it is w2; you said w1."
    assert judge(OPEN, "because", None, None).words == "You said: because"
    assert judge(NUMBER, "1/0", None, 1.0).words == "It is 1; you said 1/0."


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(0, 10))
def test_right_means_within_the_tolerance(mine, right, tolerance):
    verdict = judge(Question("", "x", tolerance=tolerance), str(mine), mine, right)
    slack = 1e-8 * max(1.0, abs(right))
    if abs(mine - right) <= tolerance - slack:
        assert verdict.right is True
    if abs(mine - right) > tolerance + slack:
        assert verdict.right is False


def test_infinities_and_nan():
    assert judge(NUMBER, "inf", math.inf, math.inf).right is True
    assert judge(NUMBER, "3", 3, math.inf).right is False
    assert judge(NUMBER, "3", 3, math.nan).right is None
