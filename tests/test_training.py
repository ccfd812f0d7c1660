"""The training loop: what it computes, what it records, and what it leaves behind when something goes wrong."""

from __future__ import annotations

import io
import math
import random
import sys
from itertools import chain

import numpy as np
import pytest

import micrograd_like as mg
from micrograd_like.history import History
from micrograd_like.training import Step, is_correct

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
        match=r"step 0: the loss is finite, but the gradient of sqrt\(.*\) .* is -?inf .*recorded at .*:\d+",
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
        calls.append(target)  # once for each target before the first step
        return output * (math.inf if len(calls) == len(LINE) + 1 else 1.0)

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


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_by_default_the_bar_is_shown_on_a_terminal_and_nowhere_else(monkeypatch):
    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        train(line_model(), epochs=2)
        assert ("epoch 2: loss" in stream.getvalue()) == shown
        assert ("6/6" in stream.getvalue()) == shown


def test_on_a_terminal_without_tqdm_training_is_silent(monkeypatch):
    from micrograd_like import _extras

    monkeypatch.setattr(_extras, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "stderr", Terminal())
    train(line_model(), epochs=1)
    assert sys.stderr.getvalue() == ""


SIDES = [([-1.0], -1), ([0.5], 1), ([1.0], 1)]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("loss", "correct", "measured"),
    [
        (mg.hinge_loss, None, True),
        (mg.hinge_loss, False, False),
        (mg.mse_loss, None, False),
        (mg.mse_loss, True, True),
        (lambda out, y: mg.hinge_loss(out, y), None, False),
        (lambda out, y: mg.hinge_loss(out, y), is_correct, True),
    ],
)
def test_accuracy_is_measured_where_outputs_mean_classes(loss, correct, measured, compiled):
    """The loss says so, or the caller; a regression has none."""
    model = line_model()
    history = mg.fit(
        model, SIDES, loss, mg.SGD(model.parameters(), 0.1), 1, held_out=SIDES, correct=correct, compiled=compiled
    )
    epoch = history.epochs[0]
    assert epoch.accuracy == epoch.held_out_accuracy == (1.0 if measured else None)
    assert mg.evaluate(model, SIDES, loss, correct) == (pytest.approx(epoch.held_out_loss), 1.0 if measured else None)


def test_the_three_losses_of_classes_say_so():
    for loss, data in (
        (mg.cross_entropy, [([1.0], 0), ([2.0], 1)]),
        (mg.binary_cross_entropy_with_logits, [([1.0], 0), ([2.0], 0.9)]),
        (mg.hinge_loss, SIDES),
    ):
        model = mg.MLP(1, [2 if loss is mg.cross_entropy else 1], rng=0)
        assert mg.evaluate(model, data, loss)[1] is not None
        assert mg.evaluate(model, data, loss, False)[1] is None


def test_a_probability_means_the_likelier_class():
    assert is_correct(mg.Value(0.1), 0.7)
    assert not is_correct(mg.Value(0.1), 0.3)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    "pair",
    [
        (np.array([x for x, _ in LINE]), np.array([y for _, y in LINE])),
        ([x for x, _ in LINE], [y for _, y in LINE]),
        (np.array([x for x, _ in LINE], dtype=np.float32), [y for _, y in LINE]),
    ],
)
def test_data_may_be_a_pair_of_arrays(pair, compiled):
    def losses(data):
        model = line_model()
        optimizer = mg.SGD(model.parameters(), lr=0.1)
        return mg.fit(model, data, mg.mse_loss, optimizer, 3, 4, held_out=data, compiled=compiled).losses

    assert losses(pair) == losses(LINE)
    assert mg.evaluate(line_model(), pair, mg.mse_loss) == mg.evaluate(line_model(), LINE, mg.mse_loss)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (
            (np.zeros((3, 1)), np.zeros(2)),
            ValueError,
            "expected as many targets as inputs in data, got 3 inputs and 2 targets",
        ),
        ((np.zeros((3, 1)), np.array(1.0)), TypeError, "expected an array with a row for each sample, got one number"),
        (np.array(1.0), TypeError, r"expected data as \(inputs, target\) pairs, or as two arrays, got ndarray"),
        (3, TypeError, r"expected data as \(inputs, target\) pairs, or as two arrays, got int: 3"),
        (["ab"], ValueError, r"expected data as \(inputs, target\) pairs, .*; got 'ab'"),
    ],
)
def test_data_that_are_no_samples_are_named(data, error, message):
    with pytest.raises(error, match=message):
        mg.fit(line_model(), data, mg.mse_loss, mg.SGD([mg.Value(1.0)], 0.1), 1)
    with pytest.raises(error, match=message):
        mg.evaluate(line_model(), data, mg.mse_loss)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (([1.0, 2.0], 1.0), "expected 1 inputs"),
        (([1.0], None), "number"),
        ((["x"], 1.0), "number"),
        (([1.0], 0.5), "hinge"),
    ],
)
@pytest.mark.parametrize("part", ["data", "held_out"])
def test_every_sample_is_looked_at_before_the_first_step(bad, message, part):
    """Also those that come last, and those that are only measured."""
    model = line_model()
    before = model.state_dict()
    loss = mg.hinge_loss if message == "hinge" else mg.mse_loss
    good = [([0.5], 1)] * 20
    arguments = {"data": good, "held_out": good, part: [*good, bad]}
    with pytest.raises((ValueError, TypeError), match=message) as error:
        mg.fit(model, loss=loss, optimizer=mg.SGD(model.parameters(), 0.1), epochs=1, batch_size=1, **arguments)
    assert error.value.__notes__ == [f"That was sample 20 of {part}, before the first step; nothing has been trained."]
    assert model.state_dict() == before


def test_an_index_that_picks_nothing_is_found_before_the_first_step():
    rows = [mg.Value(0.1), mg.Value(0.2)]
    with pytest.raises(IndexError, match="gather: expected a whole number from 0 to 1, got 2"):
        mg.fit(
            lambda x: mg.gather(rows, x[0]), [([0], 1.0), ([1], 1.0), ([2], 1.0)], mg.mse_loss, mg.SGD(rows, 0.1), 1, 1
        )
    assert [row.data for row in rows] == [0.1, 0.2]


def test_samples_of_different_lengths_are_fine():
    w = mg.Value(0.5)
    data = [([1.0], 1.0), ([1.0, 2.0], 3.0), ([1.0, 2.0, 3.0], 6.0)]
    mg.fit(lambda x: mg.sum(w * each for each in x), data, mg.mse_loss, mg.SGD([w], 0.01), epochs=100)
    assert w.data == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda step: step.history.losses.clear(), RuntimeError, "a callback changed step.history"),
        (lambda step: step.history.epochs.append(None), RuntimeError, "a callback changed step.history"),
        (lambda step: step.optimizer.parameters.pop(), RuntimeError, "a callback changed step.optimizer.parameters"),
        (lambda step: setattr(step, "batch", []), AttributeError, r"step\.batch cannot be replaced"),
        (lambda step: setattr(step, "history", None), AttributeError, r"step\.history cannot be replaced"),
        (lambda step: step.batch.clear(), AttributeError, "clear"),
    ],
)
@pytest.mark.parametrize("compiled", [False, True])
def test_a_callback_leaves_alone_what_the_loop_goes_by(change, error, message, compiled):
    steps = []

    def callback(step):
        steps.append(step)
        if len(steps) == 2:
            change(step)

    with pytest.raises(error, match=message):
        train(line_model(), callbacks=[callback], compiled=compiled)
    assert len(steps) == 2


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("kind", [mg.Adam, mg.AdamW])
def test_any_optimizer_trains(kind, compiled):
    model = line_model()
    history = mg.fit(model, LINE, mg.mse_loss, kind(model.parameters(), 0.1), 40, 4, compiled=compiled)
    assert history.epochs[-1].loss < 0.05 * history.epochs[0].loss


def test_any_optimizer_trains_compiled_as_eager():
    def losses(compiled):
        model = mg.MLP(1, [3, 1], activation="tanh", rng=0)
        optimizer = mg.AdamW(model.parameters(), lr=lambda step: 0.1 / (step + 1))
        history = mg.fit(model, LINE, mg.mse_loss, optimizer, 5, 4, compiled=compiled)
        return history.losses + model.parameters()[0:3] + [optimizer.steps, *optimizer.exp_avg]

    for ours, theirs in zip(losses(False), losses(True), strict=True):
        assert float(ours) == pytest.approx(float(theirs), rel=1e-9)


@pytest.mark.parametrize("kind", [np.int8, np.uint8])
@pytest.mark.parametrize("compiled", [False, True])
def test_numpys_integers_count_as_pythons_do(kind, compiled):
    history = train(line_model(), epochs=kind(100), batch_size=kind(7), compiled=compiled)
    assert len(history.losses) == 200


def test_other_wrong_arguments_are_named():
    model = line_model()
    with pytest.raises(TypeError, match=r"expected an optimizer, such as SGD, got float: 0\.1"):
        mg.fit(model, LINE, mg.mse_loss, 0.1, 1)
    with pytest.raises(TypeError, match=r"expected rng as a random\.Random or a seed, got str: 'x'"):
        train(model, rng="x")
    with pytest.raises(TypeError, match=r"expected rng as a random\.Random or a seed, got NoneType"):
        train(model, rng=None)
    with pytest.raises(TypeError, match=r"expected correct as a function, True, False or None, got int: 3"):
        train(model, correct=3)


def test_in_a_block_that_watches_the_error_is_the_blocks():
    model = line_model()
    with pytest.raises(mg.AnomalyError, match=r"^log\(") as error, mg.detect_anomaly():
        mg.fit(model, LINE, lambda out, y: (out * 0).log() + y, mg.SGD(model.parameters(), 0.1), 1)
    assert error.value.location.startswith(__file__)


def test_a_loss_that_is_not_finite_is_hunted_down_where_epochs_are_compiled_too():
    """The step is found, and the steps before it are kept."""
    whole, stepwise = line_model(), line_model()
    for model, callbacks in ((whole, []), (stepwise, [lambda step: None])):
        with pytest.raises(
            mg.AnomalyError, match=r"step \d+: the loss is (inf|nan): \w+\(.*recorded at .*:\d+"
        ) as error:
            mg.fit(model, LINE, mg.mse_loss, mg.SGD(model.parameters(), lambda step: 10.0**step), 99, 4,
                   compiled=True, callbacks=callbacks)  # fmt: skip
        assert int(str(error.value).split()[1][:-1]) > 3
    assert whole.state_dict() == pytest.approx(stepwise.state_dict(), rel=1e-9)
