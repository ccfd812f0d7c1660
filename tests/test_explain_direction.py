"""Which way and how far: probes and sweeps, against running the program again."""

from fractions import Fraction

import pytest
from explain_cases import exact_cases, snapshot
from hypothesis import assume, given
from hypothesis import strategies as st

from micrograd_like import MLP, Value, mse_loss
from micrograd_like.explain import probe_direction, step_sweep


@given(exact_cases(), st.sampled_from([Fraction(1, 100), Fraction(1, 2)]))
def test_probes_are_the_losses_that_the_program_gives(case, epsilon):
    loss = case.loss()
    before = snapshot(loss)
    report = probe_direction(loss, case.model, epsilon)
    assert snapshot(loss) == before
    for probe in report.probes:
        assert probe.up == case.loss_at({probe.name: epsilon}) - loss.data
        assert probe.down == case.loss_at({probe.name: -epsilon}) - loss.data
        assert probe.slope == (probe.up - probe.down) / (2 * epsilon)
        best = min(probe.up, probe.down, 0)
        assert {1: probe.up, -1: probe.down, 0: best}[probe.direction] == best
    assert report.probe_evaluations == 2 * len(report.probes) + 1
    assert report.gradient_evaluations == 2


def test_probing_a_smooth_loss_agrees_with_the_gradient_and_costs_more():
    model = MLP(2, [3, 1], activation="tanh", rng=2)
    report = probe_direction(mse_loss(model([0.5, -0.3]), 1.0), model)
    assert report.agreeing == 13
    assert report.title == (
        "Trying ±0.001 finds the gradient's direction for 13 of 13 parameters, "
        "with 27 evaluations of the loss where the gradient needs 2"
    )
    for probe in report.probes:
        assert probe.slope == pytest.approx(probe.gradient, abs=1e-5)
        assert probe.direction == probe.downhill == (1 if probe.gradient < 0 else -1)


def test_at_the_floor_of_a_valley_neither_way_is_down():
    w, unused = Value(0.0, label="w"), Value(0.0, label="unused")
    report = probe_direction(w * w, [w, unused], 0.5)
    assert [(probe.direction, probe.downhill) for probe in report.probes] == [(0, 0), (0, 0)]
    assert "neither" in str(report)


def test_two_ways_down_that_are_equal_decide_nothing():
    w = Value(0.0, label="w")
    (probe,) = probe_direction(-(w * w), [w], 0.5).probes
    assert (probe.up, probe.down, probe.direction) == (-0.25, -0.25, 0)


@pytest.mark.parametrize("epsilon", [0, -1.0, float("inf")])
def test_a_probe_that_is_no_step_is_named(epsilon):
    with pytest.raises(ValueError, match="expected epsilon as a finite number above 0"):
        probe_direction(Value(1.0) * 2.0, [Value(1.0)], epsilon)


@given(exact_cases(hidden=1))
def test_a_sweep_takes_each_step_as_training_would(case):
    loss = case.loss()
    loss.backward()
    gradients = {name: p.grad for name, p in case.model.named_parameters()}
    case.model.zero_grad()
    assume(any(gradients.values()))
    before = snapshot(loss)
    report = step_sweep(loss, case.model, [Fraction(1, 2), Fraction(1, 64), Fraction(4)])
    assert snapshot(loss) == before
    assert [rate.lr for rate in report.rates] == [Fraction(1, 64), Fraction(1, 2), Fraction(4)]
    for rate in report.rates:
        moves = {name: -rate.lr * g for name, g in gradients.items()}
        assert rate.after == case.loss_at(moves)
        assert rate.predicted == -rate.lr * sum(g * g for g in gradients.values())
        slope = sum(case.gradient_at(moves, name) * -g for name, g in gradients.items())
        assert rate.slope == slope
        assert rate.verdict == verdict(rate.after - loss.data, slope)
    if report.largest:
        assert case.loss_at({name: -report.largest * g for name, g in gradients.items()}) < loss.data
        beyond = report.largest * (1 + Fraction(2, 10**6))
        assert not case.loss_at({name: -beyond * g for name, g in gradients.items()}) < loss.data


def verdict(change, slope):
    if change > 0:
        return "hurts"
    if change == 0:
        return "stays"
    return "overshoots" if slope > 0 else "helps"


def test_on_a_parabola_the_theory_is_the_truth():
    v, w = Value(3.0, label="v"), Value(-1.0, label="w")
    report = step_sweep(2.0 * (v * v + w * w), [v, w])
    assert report.curvature == 4.0
    assert report.theory == 0.5
    assert report.largest == pytest.approx(0.5, rel=1e-6)
    assert report.best.lr == 0.25
    assert [rate.verdict for rate in report.rates][-4:] == ["stays", "hurts", "hurts", "hurts"]
    assert (
        report.title
        == "A step helps up to learning rate 0.5 (2/curvature says 0.5); of the 15 tried, 0.25 lowers it most"
    )
    assert "… and 5 more learning rates" in str(report)


def test_a_loss_that_never_rises_has_no_largest_rate():
    w = Value(1.0, label="w")
    report = step_sweep(w * 2.0, [w], [0.5, 1.0])
    assert (report.largest, report.theory) == (None, None)
    assert report.title.startswith("No learning rate was found to hurt (the loss bends down there)")


def test_the_largest_rate_may_lie_below_or_above_all_that_were_swept():
    w = Value(3.0, label="w")
    for rates in ([1e-3], [50.0]):
        assert step_sweep(w * w, [w], rates).largest == pytest.approx(1.0, rel=1e-6)


def test_a_step_that_cannot_help_at_all_is_zero():
    w = Value(1.0, label="w")
    kink = (w - 1.0).relu() * 0.0 + abs(w - 1.0) * 5.0 + w * 0.1  # at its lowest point, where |.| has no slope
    report = step_sweep(kink, [w], [0.1])
    assert report.largest == 0


@pytest.mark.parametrize(
    ("rates", "message"),
    [([], "at least one learning rate"), ([0.1, -1.0], "expected every rate as a finite number above 0, got -1.0")],
)
def test_bad_rates_are_named(rates, message):
    w = Value(1.0, label="w")
    with pytest.raises(ValueError, match=message):
        step_sweep(w * w, [w], rates)


def test_without_a_gradient_there_is_no_step():
    w = Value(0.0, label="w")
    with pytest.raises(ValueError, match="finite and not 0"):
        step_sweep(w * w, [w])
