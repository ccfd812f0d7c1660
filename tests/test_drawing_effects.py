"""Drawings that answer a question: a parameter's paths, and the shares of a step."""

import re

import pytest

from micrograd_like import MLP, Value, mean, mse_loss, where
from micrograd_like.drawing import draw_dot
from micrograd_like.drawing.effects import FADED, Style
from micrograd_like.drawing.style import LOWERS, RAISES
from micrograd_like.explain import explain_step, paths


def lines_with(drawing, text):
    return [line for line in drawing.body if text in line]


def network():
    model = MLP(2, [2, 1], activation="tanh", rng=3)
    loss = mse_loss(model([0.5, -1.0]), 1.0)
    loss.label = "loss"
    loss.backward()
    return model, loss


def test_a_highlight_lights_the_paths_and_fades_the_rest():
    x, w, b = Value(2.0, label="x"), Value(3.0, label="w"), Value(-1.0, label="b")
    out = (w * x + b) * w
    source = draw_dot(out, highlight=w, legend=False).source
    answer = paths(out, w)
    assert f"Σ over {answer.count} paths {answer.gradient:.4g}" in source
    for name, faded in (("w", False), ("x", True), ("b", True)):
        (line,) = re.findall(rf'^.*label="{name}\\ndata.*$', source, re.MULTILINE)
        assert (FADED in line) == faded
    derivatives = {f"{edge.derivative:.4g}" for path in answer for edge in path.edges}
    labels = set(re.findall(r"^\s*e\d+ \[label=\"?([^\" ]+)", source, re.MULTILINE))
    assert labels == derivatives


def test_the_only_path_shows_its_product():
    w = Value(3.0, label="w")
    assert "product of its path 2" in draw_dot(w * 2.0, highlight="w").source


def test_the_highlight_of_a_network_shows_the_gradient():
    model, loss = network()
    parameter = model.layers[0].neurons[1].w[0]
    source = draw_dot(loss, highlight=parameter).source
    assert f"Σ over 2 paths {parameter.grad:.4g}" in source
    assert "the products of 2 paths add up to the gradient" in source


def test_a_condition_lies_on_a_path_that_carries_nothing():
    c = Value(1.0, label="c")
    assert "product of its path 0" in draw_dot(where(c, 2.0, 3.0), highlight=c).source


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"highlight": "nobody"}, "expected highlight as one of the numbers drawn, or its label; none of"),
        ({"highlight": Value(1.0)}, "none of"),
        ({"highlight": "layers[0].neurons[0].b", "depth": "neurons"}, "expected depth=None"),
        ({"highlight": "loss", "report": 1}, "expected at most one of them"),
        ({"highlight": "loss", "style": type("Own", (Style,), {})}, "expected at most one of them"),
    ],
)
def test_what_cannot_be_highlighted_is_named(options, message):
    _, loss = network()
    with pytest.raises(ValueError, match=message):
        draw_dot(loss, **options)


def test_a_report_colours_the_parameters_by_their_shares():
    model, loss = network()
    report = explain_step(loss, model, 0.5)
    source = draw_dot(loss, report=report).source
    assert {entry.share > 0 for entry in report.parameters} == {True, False}
    for entry in report.parameters:
        (line,) = re.findall(rf'^.*share = {re.escape(str(entry.share))}".*$', source, re.MULTILINE)[:1]
        assert (RAISES if entry.share > 0 else LOWERS) in line


def test_a_folded_report_shows_neurons_and_their_weights():
    model = MLP(2, [3, 2, 1], activation="tanh", rng=3)
    loss = mean([mse_loss(model(x), 1.0) for x in ([0.5, -1.0], [1.0, 0.3])])
    loss.backward()
    report = explain_step(loss, model, 0.5)
    for depth, home in (("neurons", "layers[1].neurons[0]."), ("layers", "layers[1].")):
        total = sum(entry.share for entry in report.parameters if entry.name.startswith(home))
        source = draw_dot(loss, report=report, depth=depth).source
        assert f"share {total:.4g}" in source
    weight = report["layers[1].neurons[1].w[2]"].share
    assert f"{weight:.4g}" in draw_dot(loss, report=report, depth="neurons", max_edges=9).source


def test_another_models_report_is_named():
    _, loss = network()
    w = Value(1.0, label="w")
    with pytest.raises(ValueError, match="is it another model's"):
        draw_dot(loss, report=explain_step(w * w, [w], 0.1))
