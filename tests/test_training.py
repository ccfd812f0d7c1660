"""The training loop: what it computes, what it records, and what it leaves behind when something goes wrong."""

from __future__ import annotations

import math
import random
from itertools import chain

import pytest

import micrograd_like as mg
from micrograd_like.training import History, Step, is_correct

LINE = [([x / 4], x / 2 + 1) for x in range(-4, 5)]  # y = 2x + 1


def line_model() -> mg.Neuron:
    neuron = mg.Neuron(1, nonlin=False, rng=0)
    neuron.w[0].data = 0.5
    return neuron


def train(model: mg.Module, **options) -> History:
    options = {"epochs": 3, "batch_size": 4, "correct": None, **options}
    return mg.fit(model, LINE, mg.mse_loss, mg.SGD(model.parameters(), lr=0.1), **options)


def test_one_full_batch_step_is_gradient_descent_by_hand():
    model = line_model()
    history = train(model, epochs=1, batch_size=None)
    errors = [0.5 * x[0] - y for x, y in LINE]
    assert history.losses == [pytest.approx(sum(e * e for e in errors) / 9)]
    slope = sum(2 * e * x[0] for e, (x, _) in zip(errors, LINE, strict=True)) / 9
    assert model.w[0].data == pytest.approx(0.5 - 0.1 * slope)
    assert model.b.data == pytest.approx(-0.1 * sum(2 * e for e in errors) / 9)


def test_training_finds_the_line():
    model = line_model()
    train(model, epochs=200)
    assert model.w[0].data == pytest.approx(2, abs=1e-6)
    assert model.b.data == pytest.approx(1, abs=1e-6)


def test_every_sample_is_used_once_in_every_epoch_and_the_last_batch_may_be_smaller():
    batches: list[list] = []
    train(line_model(), epochs=2, callbacks=[lambda step: batches.append(list(step.batch))])
    assert [len(batch) for batch in batches] == [4, 4, 1, 4, 4, 1]
    first, second = list(chain(*batches[:3])), list(chain(*batches[3:]))
    assert sorted(first) == sorted(second) == sorted(LINE)
    assert first != second


def test_the_same_seed_gives_the_same_history_and_another_seed_another():
    def losses(rng):
        return train(line_model(), rng=rng).losses

    assert losses(1) == losses(1) == losses(random.Random(1))
    assert losses(1) != losses(2)


def test_the_data_are_not_shuffled_in_place():
    before = list(LINE)
    train(line_model())
    assert before == LINE


def test_an_epoch_reports_the_mean_over_its_samples_and_the_held_out_figures():
    model = mg.Neuron(1, nonlin=False, rng=0)
    data = [([-1.0], -1), ([1.0], 1), ([2.0], 1)]
    history = mg.fit(
        model, data, mg.hinge_loss, mg.SGD(model.parameters(), lr=0.5), epochs=20, batch_size=2, held_out=data
    )
    assert len(history.epochs) == 20
    last = history.epochs[-1]
    assert (last.epoch, last.steps) == (20, 40)
    assert last.loss == pytest.approx((2 * history.losses[-2] + history.losses[-1]) / 3)
    assert last.accuracy == last.held_out_accuracy == 1.0
    assert (last.held_out_loss, 1.0) == mg.evaluate(model, data, mg.hinge_loss)
    assert str(last) == (
        f"epoch 20: loss {last.loss:.4f}, accuracy 100.0%, held-out loss {last.held_out_loss:.4f}, held-out accuracy 100.0%"
    )


def test_accuracy_is_left_out_where_nothing_is_right_or_wrong():
    history = train(line_model())
    assert history.epochs[0].accuracy is None
    assert history.epochs[0].held_out_loss is None
    assert "accuracy" not in str(history.epochs[0])


def test_a_callback_sees_the_loss_and_its_gradients_before_the_parameters_move():
    model, seen = line_model(), []

    def look(step: Step) -> None:
        seen.append((step.number, step.epoch, step.model.state_dict(), step.loss.data, step.loss.grad, model.b.grad))

    history = train(model, epochs=1, callbacks=[look])
    assert [row[:2] for row in seen] == [(0, 1), (1, 1), (2, 1)]
    assert seen[0][2] == {"w[0]": 0.5, "b": 0.0}
    assert [row[3] for row in seen] == history.losses
    assert all(row[4] == 1.0 and row[5] != 0 for row in seen)
    assert seen[1][2]["b"] == -0.1 * seen[0][5]


def test_a_callback_can_end_the_training():
    def stop(step: Step) -> None:
        step.stop = step.number == 3

    history = train(line_model(), epochs=9, callbacks=[stop])
    assert len(history.losses) == 4
    assert [epoch.steps for epoch in history.epochs] == [3, 4]


def test_a_loss_that_stops_being_finite_names_the_operation_its_operands_and_the_line():
    model = line_model()
    before = model.state_dict()

    def loss(output, target):
        return (output * 0).log() + target  # the line that is to be named

    with pytest.raises(
        mg.AnomalyError, match=r"step 0: the loss is -inf: log\(-?0.0\) = -inf, recorded at .*:\d+"
    ) as error:
        mg.fit(model, LINE, loss, mg.SGD(model.parameters(), 0.1), epochs=1, correct=None)
    file, _, line = error.value.location.rpartition(":")
    assert file == __file__
    with open(__file__, encoding="utf-8") as source:
        assert "the line that is to be named" in source.readlines()[int(line) - 1]
    assert error.value.node.op.name == "log"
    assert model.state_dict() == before


def test_a_gradient_that_stops_being_finite_names_the_operation_its_operands_and_the_line():
    model = line_model()
    before = model.state_dict()

    def loss(output, target):
        return (output * 0).sqrt() + target  # the line of the root

    with pytest.raises(
        mg.AnomalyError,
        match=r"step 0: the loss is finite, but the gradient of sqrt\(.*\) .* is inf .*recorded at .*:\d+",
    ) as error:
        mg.fit(model, LINE, loss, mg.SGD(model.parameters(), 0.1), epochs=1, correct=None)
    file, _, line = error.value.location.rpartition(":")
    assert file == __file__
    with open(__file__, encoding="utf-8") as source:
        assert "the line of the root" in source.readlines()[int(line) - 1]
    assert isinstance(error.value.__cause__, ValueError)
    assert model.state_dict() == before


def test_a_step_that_fails_on_finite_gradients_says_what_the_optimizer_says():
    model = line_model()
    with pytest.raises(ValueError, match=r"expected lr at step 0 as a finite number"):
        mg.fit(model, LINE, mg.mse_loss, mg.SGD(model.parameters(), lambda step: -1.0), epochs=1, correct=None)


def test_a_gradient_that_is_not_finite_only_once_is_what_the_optimizer_says():
    model = line_model()

    def spoil(step):
        step.optimizer.parameters[0].grad = math.nan

    with pytest.raises(ValueError, match=r"the step would make .* nan"):
        mg.fit(model, LINE, mg.mse_loss, mg.SGD(model.parameters(), 0.1), epochs=1, correct=None, callbacks=[spoil])


def test_a_loss_that_is_not_finite_only_once_is_explained_from_its_graph():
    model, calls = line_model(), []

    def loss(output, target):
        calls.append(target)
        return output * (math.inf if len(calls) == 1 else 1.0)

    with pytest.raises(mg.AnomalyError, match=r"the loss is -?inf: mul\(.*\) = -?inf$") as error:
        mg.fit(model, LINE, loss, mg.SGD(model.parameters(), 0.1), epochs=1, correct=None)
    assert error.value.location is None


def test_the_parameters_are_those_before_the_step_that_failed():
    failing, stopped, steps = line_model(), line_model(), []

    def loss(output, target):
        return mg.mse_loss(output, target) * (math.nan if len(steps) == 2 else 1.0)

    with pytest.raises(mg.AnomalyError, match="step 2: the loss is nan"):
        mg.fit(failing, LINE, loss, mg.SGD(failing.parameters(), 0.1), 9, 4, correct=None, callbacks=[steps.append])
    train(stopped, callbacks=[lambda step: setattr(step, "stop", step.number == 1)])
    assert failing.state_dict() == stopped.state_dict()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs as a whole number of at least 1, got 0"),
        ({"epochs": 1.5}, "epochs as a whole number"),
        ({"batch_size": -1}, "batch_size as a whole number of at least 1, got -1"),
        ({"held_out": []}, "held_out as at least one"),
    ],
)
def test_bad_numbers_are_refused_before_anything_moves(options, message):
    model = line_model()
    before = model.state_dict()
    with pytest.raises(ValueError, match=message):
        train(model, **options)
    assert model.state_dict() == before


@pytest.mark.parametrize("data", [[], [1.0], [([1.0], 2.0, 3.0)]])
def test_data_must_be_pairs(data):
    with pytest.raises(ValueError, match="pair"):
        mg.fit(line_model(), data, mg.mse_loss, mg.SGD([mg.Value(1.0)], 0.1), epochs=1)


def test_a_loss_without_the_model_in_it_is_refused():
    with pytest.raises(TypeError, match="depends on the model"):
        mg.fit(line_model(), LINE, lambda output, target: 1.0, mg.SGD([mg.Value(1.0)], 0.1), epochs=1, correct=None)


def test_what_an_output_means():
    assert is_correct(mg.Value(0.3), 1)
    assert is_correct(mg.Value(-0.3), 0)
    assert is_correct(mg.Value(-0.3), -1)
    assert not is_correct(mg.Value(0.3), 0)
    assert is_correct([mg.Value(0.1), mg.Value(0.7), 0.2], 1)
    assert is_correct([0.1, 0.7], [0.0, 1.0])
    assert not is_correct([0.9, 0.7], [0.0, 1.0])


def test_the_progress_bar_shows_every_epoch(capsys):
    train(line_model(), epochs=2, progress=True)
    err = capsys.readouterr().err
    assert "epoch 1: loss" in err
    assert "epoch 2: loss" in err
    train(line_model(), epochs=2)
    assert capsys.readouterr().err == ""


def test_without_tqdm_training_is_silent_and_a_demanded_bar_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tqdm", None)
    train(line_model(), epochs=1)
    with pytest.raises(ImportError, match=r"micrograd_like\[training\]"):
        train(line_model(), epochs=1, progress=True)
