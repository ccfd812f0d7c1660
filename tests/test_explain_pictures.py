"""The reports' look: tables, HTML and pictures, and that their sentences agree with their numbers."""

import sys
from xml.etree import ElementTree

import pytest

pytest.importorskip("matplotlib")

from micrograd_like import MLP, Value, mean, mse_loss
from micrograd_like.explain import (
    explain_neuron,
    explain_step,
    loss_contour,
    loss_slice,
    paths,
    probe_direction,
    sample_shares,
    small_multiples,
    step_sweep,
    weight_pictures,
    what_if,
)

WEIGHT, BIAS = "layers[0].neurons[1].w[0]", "layers[2].neurons[0].b"


def network(activation="tanh"):
    model = MLP(2, [4, 4, 1], activation=activation, rng=6)
    samples = [([0.1 * k - 0.4, (k * k % 7) / 7 - 0.5], (-1.0) ** (k // 3)) for k in range(8)]
    return model, [mse_loss(model(x), y) for x, y in samples]


REPORTS = {
    "step": lambda model, losses, loss: explain_step(loss, model, 1.0),
    "small step": lambda model, losses, loss: explain_step(loss, model.layers[2], 0.01),
    "paths": lambda model, losses, loss: paths(loss, WEIGHT),
    "no path": lambda model, losses, loss: paths(loss, Value(1.0)),
    "what if": lambda model, losses, loss: what_if(loss, {WEIGHT: 0.0}),
    "what if not": lambda model, losses, loss: what_if(loss, {Value(1.0): 0.0}),
    "slice": lambda model, losses, loss: loss_slice(loss, WEIGHT, 2.0, lr=1.0),
    "bare slice": lambda model, losses, loss: loss_slice(loss, WEIGHT, 2.0),
    "contour": lambda model, losses, loss: loss_contour(loss, WEIGHT, BIAS, 1.0, lr=0.5, points=9),
    "samples": lambda model, losses, loss: sample_shares(losses, WEIGHT),
    "neuron": lambda model, losses, loss: explain_neuron(loss, model.layers[1].neurons[2]),
    "probes": lambda model, losses, loss: probe_direction(loss, model),
    "sweep": lambda model, losses, loss: step_sweep(loss, model),
}


@pytest.mark.parametrize("make", REPORTS.values(), ids=REPORTS.keys())
def test_every_report_prints_shows_and_draws_itself(make):
    model, losses = network("relu")
    loss = mean(losses)
    report = make(model, losses, loss)
    again = make(model, losses, loss)
    svg = report.to_svg()
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert svg == again.to_svg()
    lines = str(report).splitlines()
    assert lines[0] == report.title
    assert set(lines[3]) == {"─"}
    assert len({len(line) for line in lines[2:4]} | {len(lines[3])}) <= 2
    assert report.title in ElementTree.fromstring(f"<div>{report._repr_html_()}</div>").find("p/strong").text


def test_the_columns_of_a_table_are_aligned():
    model, losses = network()
    lines = str(explain_step(mean(losses), model, 1.0)).splitlines()[2:15]
    ends = [line.index("share") + len("share") for line in lines[:1]] + [len(line) for line in lines[2:]]
    assert len(set(ends)) == 1


def test_labels_never_become_markup():
    evil = r"<script>alert('$x^2$')</script> \N & $\frac{$"
    w = Value(2.0, label=evil)
    loss = w * w
    for report in (explain_step(loss, [w], 0.1), loss_slice(loss, w, 1.0), paths(loss, w), what_if(loss, {w: 1.0})):
        html = report._repr_html_()
        assert "<script>" not in html
        ElementTree.fromstring(f"<div>{html}</div>")
        ElementTree.fromstring(report.to_svg())


def test_a_waterfall_starts_at_the_old_loss_and_ends_at_the_new():
    model, losses = network()
    report = explain_step(mean(losses), model, 1.0)
    (axes,) = report.plot().figure.axes
    solid = [bar for bar in axes.patches if bar.get_fill()]
    hatched = [bar for bar in axes.patches if not bar.get_fill()]
    level = report.before
    for bar in solid:
        assert bar.get_x() == pytest.approx(min(level, level + bar.get_width()), abs=abs(bar.get_width()) + 1e-12)
        level += bar.get_width()
    assert level == pytest.approx(report.after)
    assert sum(bar.get_width() for bar in hatched) == pytest.approx(report.interaction)
    assert [label.get_text() for label in axes.get_yticklabels()][1] == report.by_share[0].name


def test_small_multiples_show_the_largest_effects_first():
    model, losses = network()
    loss = mean(losses)
    figure = small_multiples(loss, model, 1.0, count=5).figure
    report = explain_step(loss, model, 1.0)
    best = sorted(report.parameters, key=lambda entry: -abs(entry.alone))[:5]
    titles = [axes.get_title(loc="left").splitlines()[0] for axes in figure.axes[:5]]
    assert titles == [entry.name for entry in best]
    w = Value(0.0, label="w")
    with pytest.raises(ValueError, match="the gradient of each is 0"):
        small_multiples(w * w, [w], 1.0)


def test_weight_pictures_show_shares_beside_promises():
    model = MLP(4, [2, 1], activation="tanh", rng=1)
    loss = mean([mse_loss(model([0.1 * k, 1.0, -0.5, 0.3 * k]), 1.0) for k in range(3)])
    report = explain_step(loss, model, 0.5)
    figure = weight_pictures(report, model.layers[0], shape=(2, 2)).figure
    pictures = [axes for axes in figure.axes if axes.get_title(loc="left")]
    shares, promises = (
        [axes.collections[0].get_array().ravel() for axes in half] for half in (pictures[:2], pictures[2:])
    )
    names = [[f"layers[0].neurons[{i}].w[{k}]" for k in range(4)] for i in range(2)]
    for i in range(2):
        assert list(shares[i]) == [report[name].share for name in names[i]]
        assert list(promises[i]) == [report[name].predicted for name in names[i]]
    with pytest.raises(ValueError, match="2 × 3 = 6"):
        weight_pictures(report, model.layers[0], shape=(2, 3))


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    model, losses = network()
    report = explain_step(mean(losses), model, 0.1)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"micrograd_like\[plots\]"):
        report.to_svg()


def test_a_flat_contour_and_a_flat_sweep_are_drawn():
    v, w = Value(1.0, label="v"), Value(2.0, label="w")
    flat = v * 0.0 + w * 0.0 + 3.0
    ElementTree.fromstring(loss_contour(flat, v, w, 1.0, points=3).to_svg())
    ElementTree.fromstring(step_sweep(-(v * 2.0), [v], [0.5]).to_svg())
