"""What many ask for: whole numbers, things each once, and assignments that happen whole or not at all."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from micrograd_like.caller import users_line
from micrograd_like.checks import a_function, assign, each_once, instance, shown, whole_number


@pytest.mark.parametrize("n", [7, np.int8(7), np.uint64(7), np.array(7)])
def test_a_count_is_pythons_own_integer(n: Any) -> None:
    number = whole_number("steps", n)
    assert (number, type(number)) == (7, int)
    assert number * 1000 == 7000  # an int8 would have wrapped around


@pytest.mark.parametrize("n", [0, -1, 1.0, 1.5, "1", None, True, np.True_, np.float64(2), [1], 1j, np.array([1, 2])])
def test_what_counts_nothing_is_refused_by_name(n: Any) -> None:
    with pytest.raises(ValueError, match="expected steps as a whole number of at least 1, got "):
        whole_number("steps", n)


def test_limits_are_named() -> None:
    assert whole_number("keep", 0, at_least=0) == 0
    assert whole_number("size", 10, at_most=10) == 10
    with pytest.raises(ValueError, match="expected keep as a whole number of at least 0, got -1"):
        whole_number("keep", -1, at_least=0)
    with pytest.raises(ValueError, match="expected size as a whole number of at least 1 and at most 1,000, got 1001"):
        whole_number("size", 1001, at_most=1000)


def test_a_number_too_long_to_be_printed_is_refused_too() -> None:
    with pytest.raises(ValueError, match="got a int that cannot be shown"):
        whole_number("size", 10**5000, at_most=1000)


def test_things_are_of_one_kind_each_once() -> None:
    a, b = SimpleNamespace(n=1), SimpleNamespace(n=1)
    assert each_once("thing", (x for x in (a, b)), SimpleNamespace) == [a, b]
    with pytest.raises(ValueError, match=r"expected each thing once, got namespace\(n=1\) twice"):
        each_once("thing", [a, b, a], SimpleNamespace)
    with pytest.raises(TypeError, match="expected things as SimpleNamespaces, got int: 3"):
        each_once("thing", [a, 3], SimpleNamespace)
    with pytest.raises(TypeError, match="expected things as a list of SimpleNamespaces, got SimpleNamespace"):
        each_once("thing", a, SimpleNamespace)  # type: ignore[arg-type]


def test_functions_and_objects_are_asked_for_by_name() -> None:
    assert a_function("model", len) is len
    assert instance("figure", "text", str, "a text") == "text"
    with pytest.raises(TypeError, match="expected model as a function, got NoneType: None"):
        a_function("model", None)
    with pytest.raises(TypeError, match="expected figure as a text, got int: 3"):
        instance("figure", 3, str, "a text")


class Fussy:
    """Takes no number below 0."""

    def __init__(self) -> None:
        self.kept = 1

    n = property(lambda self: self.kept, lambda self, n: setattr(self, "kept", self.taken(n)))

    def taken(self, n: int) -> int:
        if n < 0:
            raise ValueError("below 0")
        return n


def test_an_assignment_that_fails_half_way_changes_nothing() -> None:
    first, fussy, last = SimpleNamespace(n=1), Fussy(), SimpleNamespace(n=1)
    with pytest.raises(ValueError, match="below 0"):
        assign(([first, fussy, last], "n", [2, -2, 2]))
    assert (first.n, fussy.kept, last.n) == (1, 1, 1)
    assign(([first, fussy, last], "n", [2, 3, 4]))
    assert (first.n, fussy.kept, last.n) == (2, 3, 4)


def test_an_interrupt_in_a_slow_setter_changes_nothing() -> None:
    class Interrupted(Fussy):
        def taken(self, n: int) -> int:
            if n == 2:
                raise KeyboardInterrupt
            return n

    first, slow = SimpleNamespace(n=1), Interrupted()
    with pytest.raises(KeyboardInterrupt):
        assign(([first], "n", [2]), ([slow], "n", [2]))
    assert (first.n, slow.kept) == (1, 1)


def test_an_assignment_fits_its_objects() -> None:
    x = SimpleNamespace(n=1)
    with pytest.raises(ValueError, match="expected 1 values of n, one for each object, got 2"):
        assign(([x], "n", [2, 3]))
    with pytest.raises(AttributeError, match="other"):
        assign(([x], "n", [2]), ([x], "other", [2]))
    assert vars(x) == {"n": 1}


def test_what_cannot_be_printed_is_shown_as_such() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no text")

    assert shown(Broken()) == "a Broken that cannot be shown (no text)"
    assert shown("x" * 100) == "'" + "x" * 59


def test_the_users_line_is_the_one_that_called_the_library() -> None:
    file, line = users_line()
    assert file == __file__
    with open(__file__, encoding="utf-8") as source:
        assert "users_line()" in source.readlines()[line - 1]
