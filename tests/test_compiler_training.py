"""Compiled training takes the steps of `SGD` and `fit`, reads parameters at every call and writes them back whole."""

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import micrograd_like as mg
from micrograd_like import Value
from micrograd_like.compiler import runtime
from micrograd_like.compiler.train import Training
from micrograd_like.order import orders, shuffled


def moons(n: int = 37) -> list[tuple[list[float], int]]:
    rng = random.Random(0)
    return [([rng.gauss(0, 1), rng.gauss(0, 1)], rng.choice([-1, 1])) for _ in range(n)]


@pytest.mark.parametrize(
    "rule", [{}, {"momentum": 0.9}, {"weight_decay": 0.01}, {"momentum": 0.5, "weight_decay": 0.1}], ids=str
)
def test_sgd_is_fits(rule: dict[str, float]) -> None:
    data = moons()
    eager_model, compiled_model = mg.MLP(2, [8, 1], rng=1), mg.MLP(2, [8, 1], rng=1)
    schedule = lambda step: 0.1 / (1 + 0.1 * step)  # noqa: E731
    history = mg.fit(
        eager_model,
        data,
        mg.hinge_loss,
        mg.SGD(eager_model.parameters(), schedule, **rule),
        4,
        8,
        rng=3,
        progress=False,
    )
    program = mg.compile(lambda x, y: mg.hinge_loss(compiled_model(x), y), compiled_model.parameters(), x=2, y=())
    x, y = [s for s, _ in data], [t for _, t in data]
    losses = program.sgd(x, y, lr=schedule, epochs=4, batch_size=8, seed=3, **rule)
    np.testing.assert_allclose(losses, history.losses, rtol=1e-12)
    np.testing.assert_allclose(
        [p.data for p in compiled_model.parameters()],
        [p.data for p in eager_model.parameters()],
        rtol=1e-11,
        atol=1e-14,
    )


def test_a_step_of_plain_sgd_where_gather_picks_among_parameters() -> None:
    rows = [Value(0.5), Value(-0.25)]
    program = mg.compile(lambda x, y: (mg.gather(rows, x) - y) ** 2, rows, x=(), y=())
    program.sgd([0.0], [1.0], lr=0.25)
    assert [p.data for p in rows] == [0.75, -0.25]


@pytest.mark.parametrize(
    "make",
    [
        lambda ps: mg.Adam(ps, lambda step: 0.02 / (1 + 0.1 * step)),
        lambda ps: mg.Adam(ps, 0.01, betas=(0.5, 0.9), weight_decay=0.1),
        lambda ps: mg.AdamW(ps, 0.01),
        lambda ps: mg.SGD(ps, 0.05, momentum=0.9, weight_decay=0.01),
        lambda ps: Lion(ps, 0.01),
    ],
    ids=["Adam", "Adam with decay", "AdamW", "SGD", "a rule of one's own"],
)
def test_any_optimizer_takes_the_steps_of_its_rule(make: Callable[[Any], mg.Optimizer]) -> None:
    """One sample and linear losses, so that gradients are the eager ones to the last bit: and then all else is."""
    x = np.random.default_rng(0).normal(size=(6, 11))
    runs = []
    for compiled in (False, True):
        p = [Value(math.sin(k)) for k in range(11)]
        optimizer = make(p)
        function = lambda x, p=p: mg.dot(p, x, 0.0) * 1.0  # noqa: E731
        if compiled:
            program = mg.compile(function, p, x=11)
            losses = program.train(x[:4], optimizer=optimizer, epochs=2, batch_size=1, shuffle=False).tolist()
            losses += program.train(x[4:], optimizer=optimizer, batch_size=1, shuffle=False).tolist()
        else:
            losses = []
            for row in [*x[:4], *x[:4], *x[4:]]:
                optimizer.zero_grad()
                loss = function(row.tolist())
                loss.backward()
                optimizer.step()
                losses.append(loss.data)
        state = [getattr(optimizer, name) for name in optimizer.STATE]
        runs.append((losses, [v.data for v in p], state, optimizer.steps))
    assert runs[0] == runs[1]


class Lion(mg.Optimizer):
    """The sign of a running mean (X. Chen et al., 2023), a rule with a state and a piecewise function."""

    STATE = ("means",)

    def rule(self, p: Any, g: Any, m: Any, lr: Any) -> tuple[Any, ...]:  # type: ignore[override]
        return p - lr * mg.where(0.9 * m + 0.1 * g, 1.0, -1.0), 0.99 * m + 0.01 * g


def test_what_is_no_optimizer_of_the_program_is_refused_before_anything_moves() -> None:
    p, q = Value(1.0), Value(2.0)
    program = mg.compile(lambda x: p * x + q, [p, q], x=())

    class Wrong(mg.Optimizer):
        def rule(self, p: Any, g: Any, lr: Any) -> Any:  # type: ignore[override]
            return p - lr * g

    class Branching(mg.Optimizer):
        def rule(self, p: Any, g: Any, lr: Any) -> Any:  # type: ignore[override]
            return (p - lr * g if g > 0 else p,)

    for optimizer, error, message in [
        (mg.SGD([p], 0.1), ValueError, "an optimizer of this program's parameters, in their order"),
        (mg.SGD([q, p], 0.1), ValueError, "an optimizer of this program's parameters, in their order"),
        (0.1, TypeError, "expected an Optimizer, got float: 0.1"),
        (Wrong([p, q], 0.1), mg.TraceError, "expected a tuple of the new p"),
        (Branching([p, q], 0.1), mg.TraceError, "cannot be compared"),
    ]:
        with pytest.raises(error, match=message):
            program.train([1.0], optimizer=optimizer)  # type: ignore[arg-type]
    assert (p.data, q.data) == (1.0, 2.0)


def test_without_a_shuffle_every_epoch_takes_the_samples_as_they_come() -> None:
    p = Value(0.0)
    program = mg.compile(lambda x: (p - x) ** 2, [p], x=())
    assert program.sgd([1.0, 3.0], lr=0.5, batch_size=1, epochs=2, shuffle=False).tolist() == [1.0, 4.0, 4.0, 4.0]


def test_orders_are_those_of_a_loop_in_python_and_leave_the_generator_as_it_does() -> None:
    class Unusual(random.Random):
        def getrandbits(self, bits: int) -> int:
            return 7  # equal keys: the samples stay in order

    for n, epochs in [(1, 3), (2, 5), (17, 4), (1000, 3), (5000, 1)]:
        mine, pythons = random.Random(n), random.Random(n)
        found = orders(n, mine, epochs)
        assert found.tolist() == [shuffled(n, pythons) for _ in range(epochs)]
        assert mine.getstate() == pythons.getstate()
        assert sorted(found[-1].tolist()) == list(range(n))
    assert orders(4, Unusual(0), 2).tolist() == [[0, 1, 2, 3]] * 2


def test_many_epochs_at_once_are_the_same_as_one_by_one() -> None:
    x, y = [s for s, _ in moons()], [t for _, t in moons()]
    ways = []
    for epochs in ([6], [1] * 6):
        model = mg.MLP(2, [4, 1], rng=0)
        program = mg.compile(lambda x, y, model=model: mg.hinge_loss(model(x), y), model.parameters(), x=2, y=())
        rng = random.Random(5)
        parts = [program.sgd(x, y, lr=0.1, batch_size=8, epochs=n, seed=rng, shuffle=False) for n in epochs]
        ways.append((np.concatenate(parts).tolist(), [p.data for p in model.parameters()]))
    assert ways[0] == ways[1]


def test_steps_that_were_not_taken_are_not_counted() -> None:
    model = mg.MLP(2, [4, 1], rng=0)
    before = [p.data for p in model.parameters()]
    optimizer = mg.SGD(model.parameters(), lambda step: 0.1 if step < 3 else -1.0)
    program = mg.compile(lambda x, y: mg.hinge_loss(model(x), y), model.parameters(), x=2, y=())
    arrays, count = program._inputs.arrays(([s for s, _ in moons()], [t for _, t in moons()]), {})
    with pytest.raises(ValueError, match="lr at step 3"):
        Training(program._ready, optimizer, arrays, count, 8).run(np.arange(count)[None])
    assert optimizer.steps == 0
    assert [p.data for p in model.parameters()] == before


def test_epochs_before_the_one_that_diverges_are_kept() -> None:
    p = Value(1.0)
    program = mg.compile(lambda x: p * p * x, [p], x=())
    with pytest.raises(ValueError, match="step 5"):
        program.sgd([10.0], lr=lambda step: 0.01 if step < 5 else 1e308, epochs=9)
    assert math.isclose(p.data, 0.8**5)


def test_fit_compiled_gives_the_same_history() -> None:
    data = [([random.Random(i).gauss(0, 1) for _ in range(6)], i % 3) for i in range(50)]
    histories = []
    steps: list[float] = []
    for compiled, callbacks in ((False, []), (True, []), (True, [lambda step: steps.append(step.loss.data)])):
        model = mg.MLP(6, [5, 3], rng=0)
        optimizer = mg.SGD(model.parameters(), 0.05, momentum=0.9)
        histories.append(
            mg.fit(model, data[:40], mg.cross_entropy, optimizer, 3, 16, held_out=data[40:], compiled=compiled,
                   callbacks=callbacks, progress=False)
        )  # fmt: skip
        assert optimizer.steps == 9
    reference = histories[0]
    for history in histories[1:]:
        np.testing.assert_allclose(history.losses, reference.losses, rtol=1e-11)
        for epoch, expected in zip(history.epochs, reference.epochs, strict=True):
            assert (epoch.epoch, epoch.steps, epoch.accuracy) == (expected.epoch, expected.steps, expected.accuracy)
            assert epoch.held_out_accuracy == expected.held_out_accuracy
            assert math.isclose(epoch.held_out_loss or 0, expected.held_out_loss or 0, rel_tol=1e-11)
    assert steps == histories[2].losses


def test_fit_compiled_stops_where_a_callback_says_and_measures_nothing_without_right_and_wrong() -> None:
    model = mg.MLP(2, [4, 1], rng=0)

    def stop(step: mg.Step) -> None:
        step.stop = step.number == 2

    history = mg.fit(
        model, moons(), mg.hinge_loss, mg.SGD(model.parameters(), 0.1), 5, 8, compiled=True, callbacks=[stop],
        correct=False, held_out=moons(5), progress=False,
    )  # fmt: skip
    assert len(history.losses) == 3
    assert history.epochs[0].accuracy is history.epochs[0].held_out_accuracy is None


@pytest.mark.parametrize(
    ("data", "loss", "error", "message"),
    [
        ([([0.0, 1.0], 0.5)], mg.hinge_loss, ValueError, "hinge_loss: expected a target of -1 or 1, got 0.5"),
        (
            [([0.0, 1.0], 1), ([1.0], 1)],
            mg.hinge_loss,
            ValueError,
            r"sample 1: expected the inputs of the shape \(2,\)",
        ),
        ([([0.0, 1.0], "up")], mg.hinge_loss, TypeError, "expected the target as numbers, got str"),
        ([([0.0, 1.0], 1)], lambda out, y: [mg.hinge_loss(out, y)], TypeError, "expected the loss as a Value"),
    ],
)
def test_fit_compiled_refuses_what_fit_refuses_before_anything_moves(
    data: Any, loss: Any, error: type[Exception], message: str
) -> None:
    model = mg.MLP(2, [4, 1], rng=0)
    before = [p.data for p in model.parameters()]
    with pytest.raises(error, match=message):
        mg.fit(model, data, loss, mg.SGD(model.parameters(), 0.1), 1, compiled=True, progress=False)
    assert [p.data for p in model.parameters()] == before


def test_fit_compiled_takes_rows_of_arrays_and_nested_outputs() -> None:
    class Twice(mg.Module):
        def __init__(self) -> None:
            self.inner = mg.MLP(2, [2], rng=0)

        def __call__(self, x: Any) -> Any:
            outputs = self.inner(x)
            return [outputs, [outputs[0]]]

    model, seen = Twice(), []
    data = [(np.array([0.5, 1.0]), 1.0), (np.array([1.5, -1.0]), 0.0)]

    def correct(output: Any, target: Any) -> bool:
        seen.append(output)
        return True

    mg.fit(
        model, data, lambda out, y: (out[0][0] + out[1][0] - y) ** 2, mg.SGD(model.parameters(), 0.1), 1,
        correct=correct, compiled=True, progress=False,
    )  # fmt: skip
    assert [(len(out[0]), len(out[1])) for out in seen] == [(2, 1)] * 2


def test_fit_compiled_trains_what_the_optimizer_holds() -> None:
    model = mg.MLP(2, [4, 1], rng=0)
    frozen, trained = model.parameters()[:12], model.parameters()[12:]
    before = [p.data for p in frozen]
    mg.fit(model, moons(), mg.hinge_loss, mg.SGD(trained, 0.1), 2, 8, compiled=True, progress=False)
    assert [p.data for p in frozen] == before


def test_training_that_diverges_is_an_error_and_changes_nothing() -> None:
    model = mg.MLP(2, [4, 1], rng=0)
    program = mg.compile(lambda x, y: mg.mse_loss(model(x), y), model.parameters(), x=2, y=())
    before = [p.data for p in model.parameters()]
    x, y = [s for s, _ in moons()], [t for _, t in moons()]
    with pytest.raises(ValueError, match=r"step \d+: the loss is .*parameters are those before this epoch"):
        program.sgd(x, y, lr=1e200, epochs=3, batch_size=8)
    assert [p.data for p in model.parameters()] == before
    with pytest.raises(mg.AnomalyError, match="the loss is"):
        mg.fit(model, moons(), mg.mse_loss, mg.SGD(model.parameters(), 1e200), 2, 8, compiled=True, progress=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": 0}, "lr"),
        ({"lr": 0.1, "epochs": 0}, "epochs"),
        ({"lr": 0.1, "batch_size": 0}, "batch_size"),
        ({"lr": 0.1, "momentum": 1.0}, "momentum"),
    ],
)
def test_numbers_out_of_range_are_errors_before_anything_moves(arguments: dict[str, Any], message: str) -> None:
    p = Value(1.0)
    program = mg.compile(lambda x: p * x, [p], x=())
    with pytest.raises(ValueError, match=message):
        program.sgd([1.0, 2.0], **arguments)
    assert p.data == 1.0


def test_a_rate_beyond_floats_is_an_error_and_moves_nothing() -> None:
    p = Value(1.0)
    program = mg.compile(lambda x: p * x, [p], x=())
    with pytest.raises(ValueError, match="stopped being finite"):
        program.sgd([1.0], lr=10**400)
    assert p.data == 1.0


def test_numpys_whole_numbers_count_without_wrapping() -> None:
    x = [1.0, 2.0, 3.0] * 10
    shapes = []
    for kind in (int, np.int8, np.uint8, np.int16):
        p = Value(1.0)
        program = mg.compile(lambda x, p=p: p * x, [p], x=())
        losses = program.sgd(x, lr=1e-9, epochs=kind(100), batch_size=kind(7))
        losses = np.concatenate([losses, program.sgd(x, lr=1e-9, epochs=kind(120), batch_size=kind(1))])
        shapes.append(losses.shape)
    assert shapes == [(100 * 5 + 120 * 30,)] * 4


def test_more_steps_than_can_be_counted_are_refused() -> None:
    p = Value(1.0)
    program = mg.compile(lambda x: x * p, [p], x=())
    with pytest.raises(ValueError, match=r"expected at most 1,000,000,000 steps in one call, got epochs=3,000,000,000"):
        program.sgd([1.0], lr=0.1, epochs=3 * 10**9)


def test_eager_and_compiled_code_mix() -> None:
    p = Value(3.0)
    program = mg.compile(lambda x: p * x, [p], x=())
    assert program([2.0]) == 6.0
    p.data = 5.0
    assert program([2.0]) == 10.0
    program.sgd([1.0], lr=1.0)
    assert p.data == 4.0
    p.data = -0.0
    assert math.copysign(1, program([2.0])) == -1
    p.data = 3  # an int, which machine code leaves to Python
    assert program([2.0]) == 6.0


def test_where_objects_cannot_be_read_by_machine_code_python_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "layout", lambda: None)
    p = Value(3.0)
    program = mg.compile(lambda x: p * x, [p], x=())
    assert program([2.0]) == 6.0
    p.data = 5.0
    assert program([2.0]) == 10.0


def test_an_array_may_change_between_calls() -> None:
    p = Value(3.0)
    program = mg.compile(lambda x: p * x, [p], x=())
    x = np.array([1.0, 2.0])
    assert program(x) == 4.5
    x[:] = 4.0
    assert program(x) == 12.0
    assert program(x[:1]) == 12.0
    assert program(np.ones(50)) == 3.0
    assert program(x) == 12.0


def test_fit_compiled_takes_whole_epochs_with_any_rule() -> None:
    data = [([random.Random(i).gauss(0, 1) for _ in range(6)], i % 3) for i in range(40)]
    histories = []
    for compiled in (False, True):
        model = mg.MLP(6, [5, 3], rng=0)
        optimizer = mg.AdamW(model.parameters(), 0.05)
        histories.append(mg.fit(model, data, mg.cross_entropy, optimizer, 3, 16, compiled=compiled, progress=False))
        assert optimizer.steps == 9
    np.testing.assert_allclose(histories[1].losses, histories[0].losses, rtol=1e-9)


def test_what_a_rule_neither_reads_nor_changes_stays_as_it_is() -> None:
    w = mg.Value(1.0)
    program = mg.compile(lambda x: (w * x - 6) ** 2, [w], x=())
    optimizer = mg.SGD([w], lr=0.1)
    optimizer.velocities = velocities = [7.0]
    program.train([2.0], optimizer=optimizer)
    assert w.data == 1.0 + 0.1 * 16
    assert optimizer.velocities == velocities
