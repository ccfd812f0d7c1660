"""One step explained: exact fractions, brute force, and nothing touched."""

import gc
from fractions import Fraction

import pytest
from explain_cases import exact_cases, float_cases, largest_of_three, rates, snapshot
from hypothesis import assume, given

from micrograd_like import MLP, SGD, Value, cross_entropy, mean, mse_loss
from micrograd_like.explain import explain_move, explain_step
from micrograd_like.explain import step as step_module


@given(exact_cases(), rates)
def test_every_number_of_a_step_of_fractions_is_exact(case, lr):
    loss = case.loss()
    report = explain_step(loss, case.model, lr)
    loss.backward()
    gradients = {name: p.grad for name, p in case.model.named_parameters()}
    case.model.zero_grad()
    moves = {name: -lr * g for name, g in gradients.items()}
    assert report.before == loss.data
    assert report.after == case.loss_at(moves)
    assert [entry.name for entry in report.parameters] == list(gradients)
    for entry in report.parameters:
        assert entry.gradient == gradients[entry.name]
        assert entry.step == moves[entry.name]
        assert entry.predicted == -lr * gradients[entry.name] ** 2
        assert entry.alone == case.loss_at({entry.name: entry.step}) - report.before
    assert report.predicted == sum(entry.predicted for entry in report.parameters)
    assert report.alone == sum(entry.alone for entry in report.parameters)
    assert report.interaction == report.change - report.alone
    assert sum(entry.share for entry in report.parameters) + report.residual == report.change
    assert abs(report.residual) < Fraction(1, 2**90)
    assert report.method == "exact"


@given(exact_cases(hidden=0), rates)
def test_the_shares_of_fractions_add_up_exactly_where_the_switches_are_rational(case, lr):
    assume(case.sample_loss is not largest_of_three)  # a parabola meets a line at irrational places
    report = explain_step(case.loss(), case.model, lr)
    assert sum(entry.share for entry in report.parameters) == report.change
    assert report.residual == 0


@given(float_cases(), rates)
def test_a_step_of_floats_is_what_training_again_gives_bit_by_bit(case, lr):
    loss = case.loss()
    before = snapshot(loss)
    report = explain_step(loss, case.model, float(lr))
    assert snapshot(loss) == before
    for entry in report.parameters:
        assert entry.alone == case.loss_at({entry.name: entry.step}) - report.before
    loss.backward()
    SGD(case.model.parameters(), lr=float(lr)).step()
    assert case.loss().data == report.after
    total = sum(entry.share for entry in report.parameters)
    assert total + report.residual == pytest.approx(report.change, abs=1e-12 * max(1, abs(report.before)))
    size = max(abs(report.change), abs(report.predicted), abs(report.before))
    assert abs(report.residual) <= 1e-7 * size


def tanh_case():
    model = MLP(2, [4, 4, 1], activation="tanh", rng=6)
    data = [([0.1 * k - 0.4, (k * k % 7) / 7 - 0.5], (-1.0) ** (k // 3)) for k in range(8)]
    return model, mse_loss([model(x) for x, _ in data], [y for _, y in data])


def test_too_large_a_step_misses_its_prediction_though_no_parameter_misses_it_alone():
    model, loss = tanh_case()
    small, large = explain_step(loss, model, 0.01), explain_step(loss, model, 1.0)
    assert small.predicted == pytest.approx(small.change, rel=0.1)
    assert small.alone == pytest.approx(small.change, rel=0.1)
    assert large.predicted == pytest.approx(100 * small.predicted)
    assert large.predicted < large.alone < large.change
    assert large.interaction > 0.3 * abs(large.predicted)
    alone = sum(entry.alone > 0 for entry in large.parameters)
    together = sum(entry.share > 0 for entry in large.parameters)
    assert alone < together
    assert f"{together} of 37 hurt" in large.lesson


def test_the_sentences_agree_with_the_numbers():
    w, b = Value(2.0, label="w"), Value(0.5, label="b")
    loss = (w * 3.0 + b) ** 2.0
    report = explain_step(loss, [w, b], 0.01)
    told = "-15.21, where the gradient predicted -16.9"
    assert report.title == f"The step with learning rate 0.01 lowers the loss from 42.25 to 27.04: {told}"
    raised = explain_step(loss, [w, b], 1.0)
    assert "raises the loss" in raised.title
    flat = explain_step((w - 2.0) ** 2.0, [w], 1.0)
    assert "does not change the loss" in flat.title
    assert report.by_share[0].name == "w"
    assert report["b"].gradient == 13.0
    with pytest.raises(KeyError, match="no parameter 'c'"):
        report["c"]


def test_the_table_shows_the_largest_shares_and_the_sums():
    model, loss = tanh_case()
    report = explain_step(loss, model, 0.5)
    lines = str(report).splitlines()
    assert " ".join(lines[:2]) == report.title
    assert lines[3].split() == ["parameter", "gradient", "step", "predicted", "alone", "share"]
    assert [line.split()[0] for line in lines[5:15]] == [entry.name for entry in report.by_share[:10]]
    assert lines[15].startswith("all")
    assert "… and 27 more parameters" in lines
    assert "Left out for lack of room: curvature, value." in lines
    wide = ["parameter", "value", "gradient", "step", "predicted", "alone", "curvature", "share"]
    assert report.text(width=200).splitlines()[2].split() == wide
    assert len(report.text(rows=None).splitlines()) == len(lines) + 27 - 1
    assert repr(report) == str(report)


def test_a_parameter_without_a_path_says_so():
    w, unused = Value(2.0, label="w"), Value(1.0, label="unused")
    report = explain_step(w * w, [w, unused], 0.1)
    entry = report["unused"]
    assert (entry.gradient, entry.step, entry.alone, entry.share, entry.has_path) == (0, 0, 0, 0, False)
    assert "no path" in str(report)


def test_any_move_can_be_explained():
    v, w = Value(Fraction(2), label="v"), Value(Fraction(3), label="w")
    report = explain_move(v * w, [v, w], {"v": Fraction(1), "w": 2})
    assert report.change == 3 * 5 - 2 * 3
    assert [entry.share for entry in report.parameters] == [4, 5]
    assert report.predicted == 1 * 3 + 2 * 2
    assert report.title.startswith("The step raises the loss")
    still = explain_move(v * w, {"a": v, "b": w}, {"b": 1})
    assert [entry.share for entry in still.parameters] == [0, 2]
    with pytest.raises(ValueError, match="got one for 'c'"):
        explain_move(v * w, {"a": v, "b": w}, {"c": 1})
    with pytest.raises(ValueError, match="finite move for a, got inf"):
        explain_move(x * 2.0, {"a": x}, {"a": float("inf")})


def test_a_float_learning_rate_beside_fractions_is_taken_exactly():
    w = Value(Fraction(1), label="w")
    report = explain_step(w * w, [w], 0.1)
    assert report["w"].step == -Fraction(0.1) * 2
    assert report.residual == 0


w, x = Value(1.0, label="w"), Value(0.5, label="x")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((2.0, [w], 0.1), TypeError, "expected the loss as a Value, got float"),
        ((Value(-1.0).log() * w, [w], 0.1), ValueError, "the loss is nan"),
        ((w * x, [w], 0.0), ValueError, "expected lr as a finite number above 0, got 0.0"),
        ((w * x, [w], float("nan")), ValueError, "expected lr as a finite number above 0, got nan"),
        ((w * x, [w], "fast"), TypeError, "expected lr as a number above 0, got str"),
        ((w * x, [], 0.1), ValueError, "expected at least one parameter, got none"),
        ((w * x, [w, 3.0], 0.1), TypeError, "expected parameter parameter 1 as a Value, got float"),
        ((w * x, [w, w], 0.1), ValueError, "each parameter and each name once, got 'w' beside 'w'"),
        ((w * x, {"a": w, "b": w}, 0.1), ValueError, "got 'b' beside 'a'"),
        ((w * x, [w, Value(2.0, label="w")], 0.1), ValueError, "each name once"),
        ((w * x, [w * 1.0], 0.1), ValueError, "was computed; expected parameters that can be set"),
        ((w * x, [Value(1.0, label="stranger")], 0.1), ValueError, r"none of the 1 parameters \(stranger, …\)"),
        (((w - 1.0).sqrt(), [w], 0.1), ValueError, "the gradient of w is inf"),
        ((-(w * -3.0).exp(), [w], 1e300), ValueError, "the step would make the loss -?inf"),
    ],
)
def test_bad_input_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        explain_step(*arguments)


@pytest.mark.parametrize("option", [{"tolerance": 0}, {"budget": 0}, {"budget": 1.5}])
def test_bad_options_are_named(option):
    with pytest.raises(ValueError, match=f"expected {next(iter(option))}"):
        explain_step(w * x, [w], 0.1, **option)


@pytest.mark.parametrize("interrupted", ["shares", "Curvature", "Line"])
def test_an_interrupted_explanation_leaves_the_graph_as_it_was(monkeypatch, interrupted):
    model, loss = tanh_case()
    loss.backward()
    before = snapshot(loss)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(step_module, interrupted, interrupt)
    with pytest.raises(KeyboardInterrupt):
        explain_step(loss, model, 0.1)
    assert snapshot(loss) == before


def test_the_progress_bar_is_shown_on_request(capsys):
    model, loss = tanh_case()
    explain_step(loss, model, 0.1, progress=True)
    shown = capsys.readouterr().err
    assert "37/37" in shown
    assert "gradient" in shown


def test_two_processes_would_print_the_same():
    model, loss = tanh_case()
    assert str(explain_step(loss, model, 0.5)) == str(explain_step(loss, model, 0.5))


def test_nothing_stays_alive():
    model, loss = tanh_case()
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        explain_step(loss, model, 0.1)
        assert len(gc.get_objects()) - before < 50
    finally:
        gc.enable()


def test_a_batch_of_several_outputs_is_explained_too():
    model = MLP(3, [4, 3], rng=2)
    loss = mean([cross_entropy(model([0.1 * k, 0.5 - k * 0.2, 1.0]), k % 3) for k in range(6)])
    report = explain_step(loss, model, 0.5)
    assert abs(report.residual) < 1e-9
    assert report.change < 0


def test_a_step_into_infinity_and_one_into_nan_say_so_in_words():
    w = Value(0.5, label="w")
    with pytest.raises(ValueError, match="the step would make the loss inf: it is too large to be explained"):
        explain_move((w * 1000.0).exp(), [w], {"w": 1.0})
    with pytest.raises(ValueError, match="the step would make the loss nan, which is no number: it leaves the domain"):
        explain_move(w.sqrt(), [w], {"w": -1.0})


def test_shares_across_a_pole_say_that_they_explain_nothing():
    w = Value(1.0, label="w")
    report = explain_move(1 / w, [w], {"w": -3.0})
    assert report.change == -1.5
    assert not abs(report.residual) < 1e-3
    assert report.exactness.startswith("On the way the loss goes through infinity (a pole)")
    assert "pole" in str(report)


def test_fractions_leave_nothing_over_or_the_report_says_why():
    w = Value(Fraction(1, 3), label="w")
    exact = explain_move(abs(w * w - w), [w], {"w": Fraction(2)})
    assert (exact.method, exact.residual) == ("exact", 0)
    assert exact.exactness == "The shares are exact fractions: they add up to the change, and nothing is left over."
    irrational = explain_move(abs(w * w - 2) * w, [w], {"w": Fraction(2)})
    assert irrational.method == "exact"
    assert 0 < abs(irrational.residual) < Fraction(1, 2**100)
    assert "something switches at an irrational place, which is known to 2^-120" in irrational.exactness
    curved = explain_move(1 / (w + 1), [w], {"w": Fraction(2)})
    assert "no polynomial of fractions, so they were computed with floats" in curved.exactness


def test_an_optimizer_explains_the_step_that_it_would_make():
    model, loss = tanh_case()
    optimizer = SGD(model.parameters(), lr=0.25, momentum=0.5)
    optimizer.zero_grad()
    loss.backward()
    optimizer.velocities = [0.01 * k for k in range(len(optimizer.parameters))]
    moves = optimizer.moves()
    report = explain_step(loss, optimizer)
    assert [entry.step for entry in report.parameters] == moves
    assert [entry.name for entry in report.parameters] == [name for name, _ in model.named_parameters()]
    with pytest.raises(TypeError, match="no lr beside an optimizer"):
        explain_step(loss, optimizer, 0.1)


def bowl(x, y):
    return (x - 2) * (x - 2) + 3 * (x + y) * (x + y)


def test_without_a_learning_rate_the_step_goes_to_the_floor_of_the_parabola():
    v, w = Value(Fraction(5, 3), label="v"), Value(Fraction(-1, 7), label="w")
    report = explain_step(bowl(v, w), [v, w])
    x, y = (entry.value + entry.step for entry in report.parameters)
    # There the slope along the step is 0: no other rate leads lower.
    slopes = 2 * (x - 2) + 6 * (x + y), 6 * (x + y)
    assert sum(s * entry.step for s, entry in zip(slopes, report.parameters, strict=True)) == 0
    assert report.after == bowl(x, y) < report.before
    assert type(report.lr) is Fraction


@pytest.mark.parametrize("function", [lambda w: w * 3.0, lambda w: -(w * w), lambda w: (w - 1.0) ** 2])
def test_a_learning_rate_is_asked_for_where_the_loss_does_not_bend_up_along_its_gradient(function):
    w = Value(1.0, label="w")
    with pytest.raises(TypeError, match=r"expected a learning rate lr, or an optimizer .* does not bend up"):
        explain_step(function(w), [w])


def test_changes_alone_that_are_no_numbers_are_named():
    v, w = Value(1.0, label="v"), Value(1.0, label="w")
    report = explain_move((v + w).sqrt(), [v, w], {"v": -2.5, "w": 2.5})
    assert report.lesson.startswith("Alone, v would make the loss infinite or no number at all")


def test_arguments_of_other_kinds_are_named():
    w = Value(1.0, label="w")
    with pytest.raises(TypeError, match="expected moves as names to numbers, got NoneType"):
        explain_move(w * w, [w], None)
    with pytest.raises(TypeError, match="expected progress as True, False or None, got list"):
        explain_step(w * w, [w], 0.1, progress=[])
    with pytest.raises(TypeError, match="expected parameters as a module, names to Values, or Values, got int"):
        explain_step(w * w, 3, 0.1)
    with pytest.raises(ValueError, match="expected tolerance as a number that a float can hold"):
        explain_step(w * w, [w], 0.1, tolerance=Fraction(10**400))
