"""Lines, and the regions of a classifier."""

from __future__ import annotations

import math
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micrograd_like import MLP, Value
from micrograd_like.drawing.boundary import plot_regions, regions
from micrograd_like.drawing.figure import spread
from micrograd_like.drawing.images import plot_images
from micrograd_like.drawing.plots import plot_areas, plot_lines, plot_walks

SAMPLES = [([0.0, 0.0], -1), ([1.0, 2.0], 1), ([0.5, 1.0], 0)]


def labels(axes):
    return [text.get_text() for text in axes.texts]


def test_lines_are_labelled_where_they_end_and_the_same_each_time():
    lines = {"squares": [(x, Value(x * x)) for x in range(5)], "falling": [(0, 5), (4, 1)], "none": []}
    charts = [
        plot_lines(lines, title="Squares grow", x="across", y="up", log="y", markers=["falling"]) for _ in range(2)
    ]
    assert charts[0].to_svg() == charts[1].to_svg()
    assert charts[0].title == "Squares grow"
    assert charts[0].summary == "squares from 0 to 16; falling from 5 to 1; none nothing to draw."
    (axes,) = charts[0].figure.axes
    assert (axes.get_xlabel(), axes.get_title(loc="left")) == ("across", "up")
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "log")
    assert [line.get_label() for line in axes.get_lines()] == ["squares", "falling", "none"]
    assert [line.get_marker() for line in axes.get_lines()] == ["None", "o", "None"]
    assert list(axes.get_lines()[0].get_ydata()) == [0, 1, 4, 9, 16]
    assert labels(axes) == ["squares", "falling"]
    assert [text.get_color() for text in axes.texts] == [line.get_color() for line in axes.get_lines()[:2]]


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(1, 12)), min_size=1, max_size=8).map(sorted))
def test_labels_never_overlap(wanted):
    middles = spread(wanted, 0.0, 100.0)
    for (low, (_, height)), (high, (_, other)) in pairwise(zip(middles, wanted, strict=True)):
        assert high - low >= (height + other) / 2 - 1e-9


def test_areas_add_up_to_their_total():
    parts = {"up": [(0, 0.0), (1, 2.0)], "down": [(0, -1.0), (1, -3.0)], "more": [(0, -1.0), (1, -1.0)]}
    drawn = plot_areas(parts, "Accounts", x="step", y="loss")
    (axes,) = drawn.figure.axes
    (total,) = [line for line in axes.lines if line.get_label() == "total"]
    assert list(total.get_ydata()) == [-2.0, -2.0]
    edges = [area.get_paths()[0].get_extents().bounds for area in axes.collections]
    assert [(y, height) for _, y, _, height in edges] == [(0.0, 2.0), (-3.0, 3.0), (-4.0, 3.0)]
    assert labels(axes) == ["up +2", "down −3", "more −1", "total −2"]
    assert drawn.summary == "At the end up +2, down −3, more −1: together −2."


@pytest.mark.parametrize(
    ("areas", "message"),
    [
        ({}, "at least one area, each with at least one point"),
        ({"a": []}, "at least one area, each with at least one point"),
        ({"a": [(0, 1)], "b": [(1, 1)]}, "the same xs for all areas, those of 'b' differ"),
        ({"a": [(0, math.nan)]}, "expected finite numbers, 'a' has others"),
    ],
)
def test_areas_that_cannot_be_drawn_are_refused(areas, message):
    with pytest.raises(ValueError, match=message):
        plot_areas(areas)


def test_walks_stand_on_the_map_of_the_loss():
    xs, ys = [-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0]
    losses = [[x * x + y * y for x in xs] for y in ys]
    drawn = plot_walks(
        xs, ys, losses, {"down": [(-1, 2), (0, 1), (0, 0)], "away": [(1, 0), (9, 0)]}, "A valley", "v", "w"
    )
    (axes,) = drawn.figure.axes
    walks = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}
    assert walks["down"] == ([-1, 0, 0], [2, 1, 0])
    assert (axes.get_xlim(), axes.get_ylim()) == ((-1, 1), (-2, 2))
    assert {"down", "away"} <= set(labels(axes))
    assert drawn.summary == "down: 2 steps; away: 1 steps."
    assert labels(plot_walks(xs, ys, [[1.0] * 3] * 3, {}, marks={"tried": [(1, 1)]}).figure.axes[0]) == ["tried"]
    flat = plot_walks(xs, ys, [[1.0] * 3] * 3, {"here": [(0, 0)]})
    ElementTree.fromstring(flat.to_svg())
    with pytest.raises(ValueError, match="expected 3 rows of 3 losses"):
        plot_walks(xs, ys, losses[:2], {})
    with pytest.raises(ValueError, match="at least one point of the walk 'none'"):
        plot_walks(xs, ys, losses, {"none": []})


def test_a_single_line_needs_no_legend_and_a_nan_leaves_a_gap():
    chart = plot_lines({"one": [(0, 1), (1, math.nan), (2, math.inf), (3, 2)]})
    assert not labels(chart.figure.axes[0])
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
    assert found.right == sum((model([x, y]).data > 0) is positive for x, y, positive in found.samples)
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
        (SAMPLES, 1, "expected points as a whole number of at least 2, got 1"),
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
    assert [axes.get_xlabel() for axes in drawn.figure.axes] == ["1 of 1 right", "3 of 3 right"]
    assert drawn.title == "3 of 3 points on their side of the line at the end"
    assert plot_regions(stages, title="Two stages").title == "Two stages"
    assert drawn.to_svg() == plot_regions(stages).to_svg()
    line = drawn.figure.axes[1].collections[1].get_paths()[0].vertices
    assert {x for x, _ in line} == {0.5}  # where the score is 0


def test_stages_that_cannot_be_drawn_are_refused():
    with pytest.raises(ValueError, match="at least one stage"):
        plot_regions({})
    with pytest.raises(TypeError, match=r"expected stages as names to what `regions` returned, got list: \[3\]"):
        plot_regions([3])
    with pytest.raises(ValueError, match="finite scores, got others at stage 'broken'"):
        plot_regions({"broken": regions(lambda x: math.nan, SAMPLES, points=2)})


def test_images_are_drawn_pixel_by_pixel_under_their_titles():
    drawn = plot_images(
        {f"a {i}": [i / 7] * 5 + [Value(1.0)] for i in range(8)}, shape=(2, 3), across=3, title="Eight pictures"
    )
    assert drawn.title == "Eight pictures"
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
    with pytest.raises(ValueError, match="expected across as a whole number of at least 1, got 0"):
        plot_images({"one": [0.0] * 64}, across=0)
    with pytest.raises(ValueError, match="expected 8 × 8 = 64 pixels, 'one' has 3"):
        plot_images({"one": [0.0] * 3})
