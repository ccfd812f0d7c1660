"""Lines, and the regions of a classifier."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micrograd_like import MLP, Value
from micrograd_like.drawing.plots import plot_images, plot_lines, plot_regions, regions

SAMPLES = [([0.0, 0.0], -1), ([1.0, 2.0], 1), ([0.5, 1.0], 0)]


def test_lines_are_named_and_labelled_and_the_same_each_time():
    lines = {"squares": [(x, Value(x * x)) for x in range(5)], "none": []}
    charts = [plot_lines(lines, title="title", x="across", y="up", log="y", markers=True) for _ in range(2)]
    assert charts[0].to_svg() == charts[1].to_svg()
    (axes,) = charts[0].figure.axes
    assert (axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel()) == ("title", "across", "up")
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "log")
    assert [line.get_label() for line in axes.get_lines()] == ["squares", "none"]
    assert list(axes.get_lines()[0].get_ydata()) == [0, 1, 4, 9, 16]
    assert [text.get_text() for text in charts[0].figure.legends[0].get_texts()] == ["squares", "none"]


def test_a_single_line_needs_no_legend_and_a_nan_leaves_a_gap():
    chart = plot_lines({"one": [(0, 1), (1, math.nan), (2, math.inf), (3, 2)]})
    assert not chart.figure.legends
    ElementTree.fromstring(chart.to_svg())


def test_lines_that_cannot_be_plotted_are_refused():
    with pytest.raises(ValueError, match="at least one line"):
        plot_lines({})
    with pytest.raises(ValueError, match="expected log as '', 'x', 'y' or 'xy', got 'z'"):
        plot_lines({"one": [(1, 2)]}, log="z")


def test_regions_hold_what_the_model_said_at_every_point_of_the_grid():
    model = MLP(2, [3, 1], activation="tanh", rng=0)
    found = regions(model, SAMPLES, points=5)
    assert len(found.xs) == len(found.ys) == len(found.scores) == 5
    for y, row in zip(found.ys, found.scores, strict=True):
        assert list(row) == [model([x, y]).data for x in found.xs]
    assert found.samples == ((0.0, 0.0, False), (1.0, 2.0, True), (0.5, 1.0, False))
    before = found.scores
    model.parameters()[-1].data = 5.0
    assert found.scores is before


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=5))
def test_every_sample_lies_inside_its_grid(points):
    found = regions(lambda x: x[0], [(list(point), 1) for point in points], points=3)
    for x, y in points:
        assert found.xs[0] < x < found.xs[-1]
        assert found.ys[0] < y < found.ys[-1]


def test_regions_of_a_model_that_gives_plain_numbers():
    assert regions(lambda x: x[0] - x[1], [([0, 0], 1)], points=2).scores == ((0.0, 2.0), (-2.0, 0.0))


@pytest.mark.parametrize(
    ("samples", "points", "message"),
    [
        ([], 5, "at least one sample, each with two inputs"),
        ([([1.0], 1)], 5, "each with two inputs"),
        (SAMPLES, 1, "at least 2 points in each direction, got 1"),
    ],
)
def test_regions_of_nothing_are_refused(samples, points, message):
    with pytest.raises(ValueError, match=message):
        regions(lambda x: 0.0, samples, points)


def test_stages_stand_side_by_side_with_their_titles():
    stages = {
        "undecided": regions(lambda x: 1.0, [([0.0, 0.0], 1)], points=3),
        "split": regions(lambda x: x[0] - 0.5, SAMPLES, points=9),
    }
    drawn = plot_regions(stages)
    assert [axes.get_title(loc="left") for axes in drawn.figure.axes] == ["undecided", "split"]
    assert drawn.to_svg() == plot_regions(stages).to_svg()


def test_stages_that_cannot_be_drawn_are_refused():
    with pytest.raises(ValueError, match="at least one stage"):
        plot_regions({})
    with pytest.raises(ValueError, match="finite scores, got others at stage 'broken'"):
        plot_regions({"broken": regions(lambda x: math.nan, SAMPLES, points=2)})


def test_images_are_drawn_pixel_by_pixel_under_their_titles():
    drawn = plot_images({f"a {i}": [i / 7] * 5 + [Value(1.0)] for i in range(8)}, shape=(2, 3), across=3)
    titled = [axes for axes in drawn.figure.axes if axes.axison]
    assert [axes.get_title(loc="left") for axes in titled] == [f"a {i}" for i in range(8)]
    (black,) = titled[7].patches
    assert black.get_facecolor() == (0.0, 0.0, 0.0, 1.0)
    assert len(black.get_path().vertices) == 6 * 5
    (last_pixel,) = titled[0].patches  # the white ones are the paper
    assert last_pixel.get_path().get_extents().bounds == (2.0, 1.0, 1.0, 1.0)
    assert titled[0].yaxis_inverted()


def test_images_that_cannot_be_drawn_are_refused():
    with pytest.raises(ValueError, match="at least one picture"):
        plot_images({})
    with pytest.raises(ValueError, match="at least one to a row, got 1 and 0"):
        plot_images({"one": [0.0] * 64}, across=0)
    with pytest.raises(ValueError, match="expected 8 × 8 = 64 pixels, 'one' has 3"):
        plot_images({"one": [0.0] * 3})
