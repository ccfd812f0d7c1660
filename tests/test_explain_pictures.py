"""The reports' look: tables, HTML and pictures, and that their sentences agree with their numbers."""

import sys
from xml.etree import ElementTree

import pytest

pytest.importorskip("matplotlib")

from micrograd_like import MLP, Value, mean, mse_loss
from micrograd_like.drawing.figure import with_minus
from micrograd_like.drawing.formula import signed as shown
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
from micrograd_like.explain.canvas import short_names
from micrograd_like.explain.report import Table

SVG = "{http://www.w3.org/2000/svg}"
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
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    title = report.title
    if hasattr(report, "called"):  # a picture has the names that the drawing of the network has
        for name, short in short_names(name for name, _ in model.named_parameters()).items():
            title = title.replace(name, short)
        assert "layers" not in svg
    assert root.find(f"{SVG}title").text == with_minus(title)
    assert root.find(f"{SVG}desc").text
    assert svg == again.to_svg()
    lines = str(report).splitlines()
    empty = lines.index("")
    assert " ".join(lines[:empty]) == report.title
    table = lines[empty + 1 :]
    table = table[: table.index("")] if "" in table else table
    assert set(table[1]) == {"─"}
    assert len(table[1]) == max(map(len, table))
    assert max(map(len, lines)) <= 80
    assert report.title in ElementTree.fromstring(f"<div>{report._repr_html_()}</div>").find("p/strong").text


def test_a_parabola_that_is_the_loss_is_not_drawn_under_it():
    w = Value(0.0, label="w")
    same, other = (loss_slice(f, w, 1.0).plot().figure.axes[0] for f in ((w - 0.3) ** 2, (w - 0.3) ** 4))
    assert [len(axes.lines) for axes in (same, other)] == [3, 4]  # tangent, (parabola,) loss, where it is now
    words = [[text.get_text() for text in axes.texts] for axes in (same, other)]
    assert "the loss, a parabola" in words[0]
    assert "parabola" not in words[0]
    assert {"the loss", "parabola"} <= set(words[1])


def test_two_rates_that_are_nearly_one_have_one_line():
    w, v = Value(1.0, label="w"), Value(1.0, label="v")
    upright = [
        sum(
            list(line.get_xdata()) == [line.get_xdata()[0]] * 2
            for line in step_sweep(loss, [w]).plot().figure.axes[0].lines
        )
        for loss in (w * w, (w * w + v) ** 2)
    ]
    assert upright == [1, 2]


def test_the_columns_of_a_table_are_aligned():
    model, losses = network()
    lines = str(explain_step(mean(losses), model, 1.0)).splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("parameter"))
    for word in ("gradient", "step", "predicted", "share"):
        end = lines[head].index(word) + len(word)
        rows = [line.ljust(end + 1) for line in lines[head + 2 : head + 12]]
        assert all(row[end - 1] != " " == row[end] for row in rows), word


def test_a_wide_table_does_without_its_spare_columns_then_shortens_names():
    table = Table(("name", "kept", "spare"), [("n" * 30, "1", "2"), ("short", "10", "20")], spare=("spare",))
    assert (table.fitted(80).columns, table.fitted(80).notes) == (["name", "kept", "spare"], [])
    narrower = table.fitted(36)
    assert (narrower.columns, narrower.rows[1]) == (["name", "kept"], ["short", "10"])
    assert narrower.notes == ["Left out for lack of room: spare."]
    assert table.fitted(26).rows[0] == ["n" * 9 + "…" + "n" * 10, "1"]
    assert table.fitted(5).rows[0] == ["n" * 5 + "…" + "n" * 6, "1"]  # a name keeps twelve letters


def test_a_report_says_how_many_rows_and_columns_it_wants():
    report = what_if(Value(1.0, label="w") * 2.0, {"w": 2.0})
    with pytest.raises(ValueError, match="expected rows as a whole number of at least 1, got 0"):
        report.text(rows=0)
    with pytest.raises(ValueError, match="expected width as a whole number of at least 20, got 3"):
        report.text(width=3)


@pytest.mark.parametrize("columns", [70, 75])
def test_a_report_fits_into_a_narrow_terminal(columns, monkeypatch):
    weights = [Value(1.0, label=f"layers[0].neurons[{i}].w[0]") for i in range(3)]
    loss = mse_loss([w * 2.0 for w in weights], [0.0, 1.0, 2.0])
    loss.backward()
    report = probe_direction(loss, weights)
    wide = report.text(width=80)
    monkeypatch.setenv("COLUMNS", str(columns))
    assert max(map(len, str(report).splitlines())) <= columns
    monkeypatch.setenv("COLUMNS", "200")
    assert str(report) == wide


def test_labels_never_become_markup():
    evil = r"<script>alert('$x^2$')</script> \N & $\frac{$"
    w = Value(2.0, label=evil)
    loss = w * w
    for report in (explain_step(loss, [w], 0.1), loss_slice(loss, w, 1.0), paths(loss, w), what_if(loss, {w: 1.0})):
        html = report._repr_html_()
        assert "<script>" not in html
        ElementTree.fromstring(f"<div>{html}</div>")
        ElementTree.fromstring(report.to_svg())


def test_a_step_is_drawn_as_its_network_above_three_columns_of_bars_on_one_scale():
    model, losses = network()
    loss = mean(losses)
    report = explain_step(loss, model, 1.0)
    predicted, alone, share = report.plot().figure.axes
    first = report.by_share[0]
    for axes, kind in ((predicted, "predicted"), (alone, "alone"), (share, "share")):
        assert axes.get_title(loc="left").startswith(kind)
        numbers = [getattr(entry, kind) for entry in report.by_share]
        widths = [bar.get_width() for bar in axes.patches if bar.get_facecolor()[:3] != (1, 1, 1)]
        assert widths[0] == pytest.approx(getattr(first, kind))
        assert sum(widths) == pytest.approx(sum(numbers))
        assert axes.get_xlim() == predicted.get_xlim()
        total = report.change if kind == "share" else getattr(report, kind)
        assert f"all {shown(total, 3)}" in [text.get_text() for text in axes.texts]
    names = [label.get_text() for label in predicted.get_yticklabels()]
    assert names[-2:] == [f"{len(report.parameters) - 14} others", "the whole step"]
    texts = [text.text for text in ElementTree.fromstring(report.to_svg()).iter(f"{SVG}text")]
    assert shown(first.share, 3) in texts
    model.layers[0].neurons[0].b.data += 1.0  # the network is not the one of the step any more: the bars alone
    assert len(list(ElementTree.fromstring(report.to_svg()).iter(f"{SVG}svg"))) == 1


def test_a_prediction_far_too_long_is_cut_off_and_keeps_its_number():
    w = Value(1.0, label="w")
    predicted, alone, share = explain_step(w * w, [w], 0.999).plot().figure.axes
    (bar, gap) = predicted.patches
    assert bar.get_width() == pytest.approx(-1.12 * 3 * 0.003996, rel=1e-2)
    assert gap.get_facecolor() == (1, 1, 1, 1)
    assert "−4" in [text.get_text() for text in predicted.texts]
    assert len(alone.patches) == len(share.patches) == 1


def test_small_multiples_show_the_largest_effects_first_on_one_scale():
    model, losses = network()
    loss = mean(losses)
    figure = small_multiples(loss, model, 1.0, count=5).figure
    report = explain_step(loss, model, 1.0)
    best = sorted(report.parameters, key=lambda entry: -abs(entry.alone))[:5]
    called = short_names(entry.name for entry in report.parameters)
    titles = [axes.get_title(loc="left").splitlines() for axes in figure.axes[:5]]
    assert [title[0] for title in titles] == [called[entry.name] for entry in best]
    assert [title[2] for title in titles] == [f"true {shown(entry.alone, 3)}" for entry in best]
    assert len({axes.get_ylim() for axes in figure.axes}) == 1
    for axes in figure.axes:
        low, high = axes.get_ylim()
        for line in axes.lines:
            if line.get_marker() == "D":
                assert low < line.get_ydata()[0] < high
    w = Value(0.0, label="w")
    with pytest.raises(ValueError, match="the gradient of each is 0"):
        small_multiples(w * w, [w], 1.0)


def test_names_in_pictures_are_those_of_the_drawing():
    assert short_names(["layers[0].neurons[11].w[2]", "layers[0].neurons[1]", "layers[1].neurons[0].b", "k"]) == {
        "layers[0].neurons[11].w[2]": "x₂ → h₁₁",
        "layers[0].neurons[1]": "h₁",
        "layers[1].neurons[0].b": "bias of out",
        "k": "k",
    }
    two = short_names(["layers[1].neurons[0].w[1]", "layers[1].neurons[1].b"])
    assert list(two.values()) == ["h₁ → out₀", "bias of out₁"]
    deep = [
        "layers[0].neurons[3].w[1]",
        "layers[1].neurons[0].w[3]",
        "layers[2].neurons[0].w[0]",
        "layers[1].neurons[0].b",
    ]
    assert list(short_names(deep).values()) == ["x₁ → h¹₃", "h¹₃ → h²₀", "h²₀ → out", "bias of h²₀"]
    twice = ["layers[0].neurons[0]", "out"]
    assert short_names(twice) == {name: name for name in twice}  # both would be called the same


def test_weight_pictures_show_shares_beside_predictions():
    model = MLP(4, [2, 1], activation="tanh", rng=1)
    loss = mean([mse_loss(model([0.1 * k, 1.0, -0.5, 0.3 * k]), 1.0) for k in range(3)])
    report = explain_step(loss, model, 0.5)
    figure = weight_pictures(report, model.layers[0], shape=(2, 2)).figure
    pictures = [axes for axes in figure.axes if axes.get_title(loc="left")]
    sums = [sum(report[f"layers[0].neurons[{i}].w[{k}]"].share for k in range(4)) for i in range(2)]
    most = 0 if abs(sums[0]) > abs(sums[1]) else 1
    assert f"neuron {most} {'lowered' if sums[most] < 0 else 'raised'} the loss most" in figure.get_suptitle()
    shares, predictions = (
        [axes.collections[0].get_array().ravel() for axes in half] for half in (pictures[:2], pictures[2:])
    )
    names = [[f"layers[0].neurons[{i}].w[{k}]" for k in range(4)] for i in range(2)]
    for i in range(2):
        assert list(shares[i]) == [report[name].share for name in names[i]]
        assert list(predictions[i]) == [report[name].predicted for name in names[i]]
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


def test_a_sweep_into_what_is_no_number_is_drawn_and_hurts():
    w = Value(1.0, label="w")
    sweep = step_sweep(w.sqrt(), [w], [0.5, 1.0, 4.0])
    assert [rate.verdict for rate in sweep.rates] == ["helps", "helps", "hurts"]
    assert sweep.rates[2].after != sweep.rates[2].after
    assert sweep.best.lr == 1.0
    assert sweep.largest == pytest.approx(2.0, rel=1e-5)
    ElementTree.fromstring(sweep.to_svg())
    (axes,) = sweep.plot().figure.axes
    assert "hurts" not in [text.get_text() for text in axes.texts]  # there is no place to write it at


def test_the_words_of_a_sweep_stand_at_its_points():
    w = Value(3.0, label="w")
    (axes,) = step_sweep(w * w, [w], [0.25, 0.75, 1.05]).plot().figure.axes
    words = [text.get_text().strip() for text in axes.texts]
    assert {"helps", "overshoots, still lower", "hurts", "helps up to 1", "2/curvature = 1"} <= set(words)


def test_the_picture_of_a_step_has_the_network_above_its_bars():
    model = MLP(2, [3, 1], activation="tanh", rng=1)
    report = explain_step(mean([mse_loss(model([0.1 * k, 1.0]), 1.0) for k in range(3)]), model, 0.5)
    texts = ["".join(text.itertext()) for text in ElementTree.fromstring(report.to_svg()).iter(f"{SVG}text")]
    assert any(text.endswith("tanh(w·x + b)") for text in texts)  # a heading of the network's drawing
    assert any("blue lowers it, orange raises it" in text for text in texts)
