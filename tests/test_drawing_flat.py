"""What is flat in a graph is drawn once, and its box says so."""

from __future__ import annotations

import pytest

from micrograd_like import Neuron, Value, draw_dot


def boxes(drawing):
    return {box.title: box for box in drawing.sheet.scene.boxes}


def test_a_run_of_additions_is_one_sum_of_all_its_terms():
    xs = [Value(float(i), label=f"x{i}") for i in range(8)]
    out = (((((((xs[0] + xs[1]) + xs[2]) + xs[3]) + xs[4]) + xs[5]) + xs[6]) + xs[7]) * 2.0
    out.backward()
    scene = draw_dot(out).sheet.scene
    total = next(box for box in scene.boxes if box.lines)
    assert (total.title, total.value, total.gradient, total.lines) == ("x₀ + … + x₇", 28.0, 2.0, ["7 additions"])
    assert len(scene.boxes) == 8 + 2
    assert [arrow.derivative for arrow in scene.arrows] == [1.0] * 8 + [2.0]


@pytest.mark.parametrize("reason", ["short", "named", "used twice"])
def test_additions_that_are_few_named_or_used_elsewhere_are_drawn_one_by_one(reason):
    xs = [Value(float(i), label=f"x{i}") for i in range(5 if reason == "short" else 8)]
    out = middle = xs[0]
    for i, x in enumerate(xs[1:]):
        out = out + x
        if i == 3:
            middle = out
    if reason == "named":
        middle.label = "subtotal"
    if reason == "used twice":
        out = out * middle
    assert not any(box.lines for box in draw_dot(out).sheet.scene.boxes)


def test_an_unfolded_neuron_is_its_products_and_their_sum():
    neuron = Neuron(9, nonlin=False, rng=1)
    out = neuron([1.0] * 9)
    out.backward()
    scene = draw_dot(out, expand=True).sheet.scene
    assert len(scene.boxes) == 9 + 9 + 1 + 9 + 1  # weights, inputs, bias, products, sum
    assert scene.boxes[-1].lines == ["9 additions"]
    assert scene.boxes[-1].value == out.data


def test_of_terms_that_differ_in_their_numbers_alone_the_first_is_drawn_with_their_count():
    w = Value(0.5, label="w")
    loss = sum((w * float(i) - 2.0 * i) ** 2 for i in range(64)) / 64
    loss.label = "loss"
    loss.backward()
    drawing = draw_dot(loss)
    assert len(drawing.sheet.scene.boxes) < 10
    told = [line for box in drawing.sheet.scene.boxes for line in box.lines]
    assert told == ["the first of 64 alike", "64 additions", "and 63 terms alike"]
    assert drawing.sheet.scene.boxes[0].gradient == w.grad
    assert drawing.sheet.scene.boxes[-1].value == loss.data


def test_a_drawing_that_is_small_enough_shows_all_terms():
    w = Value(0.5, label="w")
    loss = sum((w - float(i)) ** 2 for i in range(8))
    assert not any("alike" in line for box in draw_dot(loss).sheet.scene.boxes for line in box.lines)


def test_terms_that_are_read_elsewhere_are_all_drawn():
    xs = [Value(float(i), label=f"x{i}") for i in range(40)]
    squares = [x * x for x in xs]
    out = sum(squares) * squares[0] * squares[7]
    titles = boxes(draw_dot(out))
    assert "x₀²" in titles
    assert "x₇²" in titles
    assert "x₁²" in titles  # the first of the others
    assert "x₂²" not in titles
