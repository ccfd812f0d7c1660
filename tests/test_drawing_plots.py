"""Plots show the numbers they are given, in one style, and save to the same bytes every time."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from micrograd_like.drawing import Plot, house_style, plot_attention, plot_learning, plot_weights
from micrograd_like.drawing.images import Pictures, plot_pictures
from micrograd_like.history import Epoch, History
from micrograd_like.nn import MLP, Layer

pytest.importorskip("matplotlib")


def history(held_out=True, accuracy=True):
    epochs = [
        Epoch(
            i + 1,
            10 * (i + 1),
            1 / (i + 1),
            (0.5 + 0.1 * i) if accuracy else None,
            1.25 / (i + 1) if held_out else None,
            (0.4 + 0.1 * i) if held_out and accuracy else None,
        )
        for i in range(4)
    ]
    return History([1 / (1 + i / 10) for i in range(40)], epochs)


def lines(axes):
    return {line.get_label(): [list(map(float, xs)) for xs in line.get_data()] for line in axes.lines}


def trained_layer(backward=True):
    model = MLP(6, [5, 1], rng=3)
    if backward:
        model([1.0, -1.0, 0.5, 2.0, 0.0, 1.0]).backward()
    return model.layers[0]


class TestLearning:
    def test_shows_every_step_and_every_epoch(self):
        loss, accuracy = plot_learning(history()).figure.axes
        steps = [10.0, 20.0, 30.0, 40.0]
        assert lines(loss)["one step's mini-batch"] == [list(map(float, range(1, 41))), history().losses]
        assert lines(loss)["training"] == [steps, [1, 1 / 2, 1 / 3, 1 / 4]]
        assert lines(loss)["held-out"] == [steps, [1.25, 1.25 / 2, 1.25 / 3, 1.25 / 4]]
        assert lines(accuracy)["held-out"] == [steps, [0.4, 0.5, 0.6000000000000001, 0.7000000000000001]]
        assert [text.get_text() for text in accuracy.texts] == ["training", "held-out"]
        assert loss.get_xlabel() == accuracy.get_xlabel() == "steps (4 epochs, a dot for each)"
        assert accuracy.get_title(loc="left") == "share that it gets right"
        assert plot_learning(history()).title == (
            "The loss falls from 1.25 to 0.312 on samples it never saw; it gets 70.0% right, 40.0% after the first epoch"
        )

    def test_leaves_out_what_was_not_measured(self):
        (loss,) = plot_learning(history(held_out=False, accuracy=False)).figure.axes
        assert "held-out" not in lines(loss)
        assert plot_learning(history(held_out=False, accuracy=False)).title == "The loss falls from 1 to 0.25"
        assert len(plot_learning(history(held_out=False)).figure.axes) == 2

    def test_a_training_stopped_within_its_first_epoch_has_steps_only(self):
        (loss,) = plot_learning(History([3.0, 2.0], [])).figure.axes
        assert lines(loss) == {"one step's mini-batch": [[1.0, 2.0], [3.0, 2.0]]}
        rising = plot_learning(History([3.0, 2.0, 4.0], []))
        assert rising.title == "The loss rises from 3 to 4 (2 at its lowest)"

    def test_a_history_prints_one_line(self):
        assert repr(history()) == (
            "History of 40 steps, epoch 4: loss 0.2500, accuracy 80.0%, held-out loss 0.3125, held-out accuracy 70.0%"
        )
        assert repr(History([1.0])) == "History of 1 step"

    def test_an_empty_history_is_an_error(self):
        with pytest.raises(ValueError, match="expected a history with at least one step"):
            plot_learning(History())


def pictures(plot):
    """title → rows of numbers, of every picture in the plot"""
    return [
        (axes.get_title("left"), axes.collections[0].get_array().filled(math.nan).tolist() if axes.collections else [])
        for axes in plot.figure.axes
        if axes.get_title("left")
    ]


class TestWeights:
    def test_each_neuron_has_its_weights_beside_their_gradients(self):
        layer = trained_layer()
        shown = pictures(plot_weights(layer, shape=(2, 3)))
        assert [title for title, _ in shown] == [
            *[f"neuron {i}\nweights" for i in range(5)],
            *["\ngradients"] * 5,
        ]
        for neuron, (_, pixels) in zip(layer.neurons, shown, strict=False):
            assert pixels == [[w.data for w in neuron.w[:3]], [w.data for w in neuron.w[3:]]]
        for neuron, (_, pixels) in zip(layer.neurons, shown[5:], strict=True):
            slopes = [[w.grad for w in neuron.w[:3]], [w.grad for w in neuron.w[3:]]]
            assert pixels == (slopes if any(w.grad for w in neuron.w) else [])

    def test_weights_since_the_start_show_how_far_each_has_moved(self):
        layer = trained_layer(backward=False)
        before = {w.label: w.data for neuron in layer.neurons for w in neuron.w}
        layer.neurons[2].w[4].data += 0.5
        plot = plot_weights(layer, shape=(2, 3), since=before)
        moved = pictures(plot)
        assert [any(map(any, pixels)) for _, pixels in moved] == [False, False, True, False, False]
        assert moved[2][1] == [[0.0, 0.0, 0.0], [0.0, 0.5, 0.0]]
        assert plot.title == "What 5 neurons learned: neuron 2 moved its weights most"
        with pytest.raises(KeyError):
            plot_weights(layer, shape=(2, 3), since={})

    def test_one_colour_scale_serves_all_neurons_and_has_zero_in_its_middle(self):
        layer = trained_layer()
        axes = plot_weights(layer, shape=(2, 3)).figure.axes
        limits = {axes[i].collections[0].get_clim() for i in range(5)}
        largest = max(abs(w.data) for neuron in layer.neurons for w in neuron.w)
        assert limits == {(-largest, largest)}

    def test_without_a_backward_pass_there_are_no_gradients(self):
        assert len(pictures(plot_weights(trained_layer(backward=False), shape=(2, 3)))) == 5
        assert len(pictures(plot_weights(trained_layer(), shape=(2, 3), gradients=False))) == 5

    def test_the_title_asks_after_one_neuron_or_after_several(self):
        assert plot_weights(Layer(6, 1, rng=0), shape=(2, 3)).title == "What the neuron looks for in the picture"
        assert plot_weights(Layer(6, 2, rng=0), shape=(2, 3)).title == "What 2 neurons look for in the picture"

    def test_a_wrong_shape_is_named(self):
        with pytest.raises(ValueError, match=r"expected 8 × 8 = 64 weights, neuron 0 has 6"):
            plot_weights(Layer(6, 2))

    def test_numbers_that_are_not_finite_are_grey(self):
        plot = plot_pictures(["a"], [Pictures("shares", [[math.nan, math.inf, 0.0, -0.0]], "share")], (2, 2))
        assert plot.figure.axes[0].collections[0].get_clim() == (-1.0, 1.0)
        plot.to_svg()

    def test_numbers_too_small_to_see_are_said_in_words(self):
        rows = [[1.0, 0.0, 0.0, -1.0], [0.004, 0.0, -0.009, 0.0], [0.0] * 4, [0.009, math.nan, 0.0, 0.0]]
        figure = plot_pictures(list("abcd"), [Pictures("shares", rows, "share")], (2, 2)).figure
        assert [[text.get_text() for text in axes.texts] for axes in figure.axes[:4]] == [
            [],
            ["within about\n±0.009"],
            ["all 0"],
            [],
        ]

    def test_nothing_to_show_is_an_error(self):
        with pytest.raises(ValueError, match="expected at least one neuron and one kind of picture"):
            plot_pictures([], [], (1, 1))


class TestPlot:
    def test_saves_as_svg_without_a_background(self, tmp_path):
        plot = plot_learning(history())
        plot.savefig(tmp_path / "learning.svg")
        text = (tmp_path / "learning.svg").read_text(encoding="utf-8")
        assert text == plot.to_svg() == plot._repr_svg_()
        assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
        assert "<dc:date>" not in text
        assert "fill: #ffffff" not in text
        assert "<text" in text  # which can be selected and searched, where outlines of letters cannot
        root = ElementTree.fromstring(text)
        svg = "{http://www.w3.org/2000/svg}"
        assert root.get("role") == "img"
        assert root.find(f"{svg}title").text == plot.title
        assert root.find(f"{svg}desc").text == plot.summary != ""
        assert float(root.get("width")) == 880
        sizes = {float(size) for size in re.findall(r"font-size: ([\d.]+)px", text)}
        assert sizes
        assert min(sizes) >= 11
        assert root.get("font-family").startswith("'DejaVu Sans',")
        plot.savefig(tmp_path / "learning.png")
        assert (tmp_path / "learning.png").stat().st_size > 1000

    def test_the_same_numbers_give_the_same_bytes_in_every_process(self):
        program = (
            "from micrograd_like.drawing import plot_weights, plot_learning\n"
            "from micrograd_like.nn import Layer\n"
            "from micrograd_like.history import History\n"
            "print(plot_weights(Layer(4, 2, rng=1), shape=(2, 2)).to_svg(), plot_learning(History([2.0, 1.0])).to_svg())\n"
        )
        outputs = {
            subprocess.run(
                [sys.executable, "-c", program],
                env={**os.environ, "PYTHONHASHSEED": seed},
                capture_output=True,
                check=True,
            ).stdout
            for seed in ("1", "2")
        }
        assert len(outputs) == 1
        assert len(outputs.pop()) > 5000

    def test_the_house_style_ends_with_its_block(self):
        import matplotlib

        before = dict(matplotlib.rcParams)
        with house_style() as given:
            assert given is matplotlib
            assert matplotlib.rcParams["svg.hashsalt"] == "micrograd_like"
        with pytest.raises(RuntimeError, match="stop"), house_style():
            raise RuntimeError("stop")
        plot_learning(history()).to_svg()
        assert dict(matplotlib.rcParams) == before

    def test_without_matplotlib_the_error_names_the_extra(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        with pytest.raises(ImportError, match=r"pip install 'micrograd_like\[plots\]'"):
            plot_learning(history())

    def test_is_what_other_modules_can_make_too(self):
        with house_style() as matplotlib:
            figure = matplotlib.figure.Figure()
            figure.subplots().plot([1, 2])
        assert Plot(figure).to_svg() == Plot(figure).to_svg()


def test_attention_is_a_triangle_for_each_head_whose_squares_have_the_areas_of_the_shares():
    shares = [[1.0], [0.25, 0.75], [0.0, 0.36, 0.64]]
    plot = plot_attention(["·", "a", "b"], [shares, shares], "Who looks at whom")
    assert plot.summary.startswith("Head 1: · looks most at ·, a at a, b at b. Head 2:")
    for i, axes in enumerate(plot.figure.axes[:2], start=1):  # each says what its rows and columns are
        assert axes.get_title(loc="left") == f"head {i}: this letter looks …"
        assert axes.get_xlabel() == "… at this one"
    _, filled = plot.figure.axes[0].patches
    corners = filled.get_path().vertices.reshape(-1, 5, 2)
    areas = {tuple(c.mean(0).round() for c in square[:4].T): math.dist(*square[:2]) ** 2 for square in corners}
    expected = {(x, y): 0.96**2 * share for y, row in enumerate(shares) for x, share in enumerate(row) if share}
    assert areas == pytest.approx(expected)
    assert plot.to_svg() == plot_attention(["·", "a", "b"], [shares, shares], "Who looks at whom").to_svg()


@pytest.mark.parametrize(("letters", "heads"), [("ab", []), ("", []), ("ab", [[[1.0]]]), ("ab", [[[1.0], [1.0]]])])
def test_shares_that_are_no_triangle_on_the_letters_are_refused(letters, heads):
    with pytest.raises(ValueError, match=r"a triangle of shares|at least one letter and one head"):
        plot_attention(letters, heads)


def test_pictures_of_weights_fit_a_page_and_one_neuron_is_the_neuron():
    model = MLP(4, [16, 1], rng=1)
    before = model.state_dict()
    for p in model.parameters():
        p.data += 0.1
    many = plot_weights(model.layers[0], shape=(2, 2), since=before).figure
    assert many.get_size_inches()[0] * many.dpi <= 881
    one = plot_weights(MLP(4, [1], rng=1).layers[0], shape=(2, 2)).figure
    assert one.get_suptitle() == "What the neuron looks for in the picture"
