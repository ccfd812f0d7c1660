"""Graphs and curves in characters, as a terminal without pictures shows them: every character is meant."""

from micrograd_like import Value
from micrograd_like.tutor import characters


def neuron() -> Value:
    """A neuron and its loss."""
    x, w, b = Value(2.0, label="x"), Value(3.0, label="w"), Value(-1.0, label="b")
    out = (w * x + b).relu()
    out.label = "out"
    loss = (out - 4.0) ** 2
    loss.label = "loss"
    return loss


def test_a_graph_runs_from_its_leaves_to_its_root() -> None:
    assert characters.graph(neuron()).split("\n") == [
        "w 3 ─┐",
        "x 2 ─┼─ out 5 ── loss 1",
        "b −1 ┘",
    ]


def test_a_graph_in_words_names_what_each_value_comes_from() -> None:
    assert characters.in_words(neuron()).split("\n") == [
        "w is 3",
        "x is 2",
        "b is −1",
        "out is 5, from w, x, b",
        "loss is 1, from out",
    ]


def test_a_value_that_is_used_again_is_drawn_once_and_pointed_at() -> None:
    s = Value(1.0, label="s")
    t = s * s
    t.label = "t"
    u = t + s
    u.label = "u"
    assert characters.graph(u).split("\n") == ["s 1 ── t 1 ┬─ u 2", "↑s ────────┘"]


def test_a_chart_has_its_names_the_ends_of_its_axes_and_its_lines_in_dots() -> None:
    lines = {"line": [(0.0, 1.0), (10.0, 3.0)], "back": [(0.0, 3.0), (5.0, 1.0)]}
    assert characters.chart(lines, "Two lines", "step", "loss", False, width=12, height=4).split("\n") == [
        "Two lines",
        "loss",
        "line; back",
        "3 │▚▖       ▄▄▀",
        "  │ ▝▚▖  ▄▞▀",
        "  │   ▟▟▀",
        "1 │▄▀▀  ▀▖",
        "  └────────────",
        "   0  step   10",
    ]


def test_a_chart_in_powers_of_ten_says_so_and_is_straight_where_its_line_is_an_exponential() -> None:
    drawn = characters.chart(
        {"loss": [(0.0, 0.001), (2.0, 10.0)]}, "It grows", "step", "loss", True, width=10, height=4
    )
    assert drawn.split("\n") == [
        "It grows",
        "loss, in powers of ten",
        "   10 │       ▗▄▀",
        "      │     ▄▀▘",
        "      │  ▗▄▀",
        "0.001 │▄▀▘",
        "      └──────────",
        "       0  step  2",
    ]
