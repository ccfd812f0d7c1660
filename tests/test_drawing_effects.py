"""Drawings that answer a question: a parameter's paths, and the shares of a step."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from micrograd_like import MLP, Value, mean, mse_loss, where
from micrograd_like.drawing import draw_dot
from micrograd_like.drawing.effects import Style
from micrograd_like.drawing.formula import number, signed
from micrograd_like.drawing.style import LOWERS, RAISES
from micrograd_like.explain import explain_step, paths

SVG = "{http://www.w3.org/2000/svg}"


def texts(drawing):
    """What can be read in a drawing."""
    svg = ElementTree.fromstring(drawing.to_svg())
    return ["".join(element.itertext()) for element in svg.iter(f"{SVG}text")]


def network():
    model = MLP(2, [2, 1], activation="tanh", rng=3)
    loss = mse_loss(model([0.5, -1.0]), 1.0)
    loss.label = "loss"
    loss.backward()
    return model, loss


def test_a_highlight_lights_the_paths_and_fades_the_rest():
    x, w, b = Value(2.0, label="x"), Value(3.0, label="w"), Value(-1.0, label="b")
    out = (w * x + b) * w
    drawing = draw_dot(out, highlight=w, legend=False)
    answer = paths(out, w)
    shown = texts(drawing)
    assert f"Σ over {answer.count} paths {number(answer.gradient)}" in shown
    style = drawing.sheet.style
    assert {box.title: style.faded(box) for box in drawing.sheet.scene.boxes if box.node.label} == {
        "w": False,
        "x": True,
        "b": True,
    }
    derivatives = {f"×{number(edge.derivative, 3)}" for path in answer for edge in path.edges}
    assert {text for text in shown if text.startswith("×")} == derivatives
    assert drawing.to_svg().count("opacity") > 0


def test_the_only_path_shows_its_product():
    w = Value(3.0, label="w")
    assert "product of its path 2" in texts(draw_dot(w * 2.0, highlight="w"))


def test_the_highlight_of_a_network_shows_the_gradient():
    model, loss = network()
    parameter = model.layers[0].neurons[1].w[0]
    shown = texts(draw_dot(loss, highlight=parameter))
    paths_to_it = paths(loss, parameter).count
    assert any(text.endswith(number(parameter.grad)) for text in shown if text.startswith(("Σ over", "product")))
    assert any(f"{paths_to_it} path" in text and number(parameter.grad) in text for text in shown)


def test_a_condition_lies_on_a_path_that_carries_nothing():
    c = Value(1.0, label="c")
    assert "product of its path 0" in texts(draw_dot(where(c, 2.0, 3.0), highlight=c))


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
        assert f"share {signed(total)}" in texts(draw_dot(loss, report=report, depth=depth))
    weight = report["layers[1].neurons[1].w[2]"].share
    svg = draw_dot(loss, report=report, depth="neurons", max_edges=9).to_svg()
    assert f"share = {weight}" in svg


def test_what_is_no_report_is_named():
    _, loss = network()
    for other in ([[1.0]], loss, MLP(1, [1])):
        with pytest.raises(TypeError, match="expected report as what explain_step returns, got"):
            draw_dot(loss, report=other)


def test_another_models_report_is_named():
    _, loss = network()
    w = Value(1.0, label="w")
    with pytest.raises(ValueError, match="is it another model's"):
        draw_dot(loss, report=explain_step(w * w, [w], 0.1))


def test_where_the_gradient_starts_is_said_while_it_is_one():
    w = Value(3.0, label="w")
    root = w * 2.0
    assert "start: 1" not in texts(draw_dot(root))
    root.backward()
    assert "start: 1" in texts(draw_dot(root))
    root.grad = 2.0
    assert {"start: 1", "∂ +2"} & set(texts(draw_dot(root))) == {"∂ +2"}


@pytest.mark.parametrize(
    ("activation", "heading"), [("tanh", "tanh(w·x + b)"), ("relu", "relu(w·x + b)"), ("sigmoid", "sigmoid(w·x + b)")]
)
def test_a_layer_s_heading_is_its_formula(activation, heading):
    model = MLP(2, [3, 1], activation=activation, rng=3)
    shown = texts(draw_dot(model([0.5, -1.0]), depth="neurons"))
    assert any(text.endswith(heading) for text in shown)
    assert any(text.endswith(": w·x + b") for text in shown)  # the last layer has no activation
