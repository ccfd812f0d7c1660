"""Reports that several processes share: the same bits, nothing left behind."""

import gc
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import pytest

import micrograd_like as mg
from micrograd_like import jobs
from micrograd_like.data import make_moons
from micrograd_like.explain import ExplainSteps, Report, explain_move, explain_step, sample_shares, step_sweep

pytestmark = pytest.mark.skipif(not jobs.forks(), reason="this system cannot fork safely")


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    assert not multiprocessing.active_children()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Lets the others be called after the first item; the size of each crew that called some."""
    called = []
    fork = jobs.Crew._fork

    def watched(crew: jobs.Crew) -> None:
        called.append(crew.size)
        fork(crew)

    monkeypatch.setattr(jobs, "WORTH", 0.0)
    monkeypatch.setattr(jobs.Crew, "_fork", watched)
    return called


def moons(samples: int = 6) -> tuple[mg.MLP, list[mg.Value]]:
    model = mg.MLP(2, [4, 1], rng=3)
    return model, [mg.hinge_loss(model(x), y) for x, y in make_moons(samples)]


def bits(report: Any) -> Any:
    """Everything in a report, its numbers as what they are to the last bit."""
    if isinstance(report, float):
        return report.hex()
    if isinstance(report, Report) or hasattr(report, "__dataclass_fields__"):
        return [bits(getattr(report, name)) for name in report.__dataclass_fields__ if name != "loss"]
    return [bits(each) for each in report] if isinstance(report, (list, tuple)) else report


MODEL, LOSSES = moons()
LOSS = mg.mean(LOSSES)
MOVES = {name: 0.01 * i for i, (name, _) in enumerate(MODEL.named_parameters())}
REPORTS: dict[str, tuple[Callable[[int], Report], int]] = {
    "a step": (lambda n: explain_step(LOSS, MODEL, lr=0.5, n_jobs=n), 2),
    "a step that meets too many kinks": (lambda n: explain_step(LOSS, MODEL, lr=0.5, budget=16, n_jobs=n), 2),
    "a move": (lambda n: explain_move(LOSS, MODEL, MOVES, n_jobs=n), 2),
    "learning rates": (lambda n: step_sweep(LOSS, MODEL, n_jobs=n), 1),
    "samples": (lambda n: sample_shares(LOSSES, "layers[0].neurons[1].w[0]", n_jobs=n), 1),
}


@pytest.mark.parametrize("name", REPORTS)
def test_any_number_of_processes_gives_the_bits_of_one(name: str, at_once: list[int]) -> None:
    report, crews = REPORTS[name]
    expected = bits(report(1))
    assert not at_once
    for n in (2, 3, 7):
        assert bits(report(n)) == expected
    assert at_once == [n for n in (2, 3, 7) for _ in range(crews)]


def test_steps_explained_while_training_are_shared(at_once: list[int]) -> None:
    totals = []
    for n in (1, 2):
        model, watch = mg.MLP(2, [3, 1], rng=0), ExplainSteps(n_jobs=n)
        mg.fit(model, make_moons(4), mg.hinge_loss, mg.SGD(model.parameters(), lr=0.1), epochs=2, callbacks=[watch])
        totals.append([(total.name, total.share.hex()) for total in watch.parameters])
    assert totals[0] == totals[1]
    assert at_once
    with pytest.raises(ValueError, match="expected n_jobs"):
        ExplainSteps(n_jobs=0)


def test_brief_work_is_done_by_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.Crew, "_fork", lambda crew: pytest.fail("others were called"))
    monkeypatch.setattr(jobs, "WORTH", 60.0)  # this machine may be slow
    explain_step(LOSS, MODEL, lr=0.5, n_jobs=2)


def test_others_are_called_once_the_work_has_taken_a_while() -> None:
    with jobs.Crew(lambda seconds: (time.sleep(seconds), os.getpid())[1], 2) as crew:
        assert crew.map([jobs.WORTH / 4] * 2) == [os.getpid()] * 2
        assert len(set(crew.map([jobs.WORTH] * 4))) == 2


def test_fractions_stay_exact(at_once: list[int]) -> None:
    w = mg.Value(Fraction(1, 3), label="w")
    loss = (w * Fraction(2, 7) - 1).relu() + w * w
    assert explain_step(loss, [w], lr=Fraction(1, 10), n_jobs=2).method == "exact"
    assert not at_once


def test_an_error_is_the_one_that_a_single_process_raises(at_once: list[int]) -> None:
    model, losses = moons()
    stale = model.layers[0].neurons[0].w[0]
    stale.data += 1.0
    with pytest.raises(ValueError, match="the graph is out of date") as alone:
        sample_shares(losses, stale, n_jobs=1)
    with pytest.raises(ValueError, match="the graph is out of date") as shared:
        sample_shares(losses, stale, n_jobs=3)
    assert str(shared.value) == str(alone.value)


def test_an_error_in_another_process_comes_from_this_one() -> None:
    here = os.getpid()

    def work(item: int) -> tuple[int, bool]:
        if item == 5:
            raise ArithmeticError(f"{item}, here: {os.getpid() == here}")
        return item, os.getpid() == here

    with jobs.Crew(work, 2) as crew:
        crew.worked = jobs.WORTH
        assert crew.map(range(5)) == [(0, True), (1, True), (2, False), (3, True), (4, False)]
        with pytest.raises(ArithmeticError, match="5, here: True"):
            crew.map([4, 5])


@pytest.mark.parametrize("when", ["before", "while"])
def test_what_a_lost_process_should_have_done_is_done_here(when: str) -> None:
    here = os.getpid()

    def work(item: int) -> int:
        if when == "while" and item == 3 and os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return item * item

    with jobs.Crew(work, 3) as crew:
        crew.worked = jobs.WORTH
        assert crew.map([0, 1]) == [0, 1]
        if when == "before":
            crew.others[0][0].kill()
            crew.others[0][0].join()
        assert crew.map(range(20)) == [x * x for x in range(20)]
        assert crew.map(range(20)) == [x * x for x in range(20)]


def test_ctrl_c_ends_the_others(at_once: list[int]) -> None:
    here = os.getpid()

    def work(item: int) -> int:
        if item and os.getpid() == here:
            os.kill(here, signal.SIGINT)
        time.sleep(60 if item else 0)
        return item

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), jobs.Crew(work, 3) as crew:
        crew.map(range(6))
    assert time.monotonic() - began < 30


def test_a_thread_among_others_may_call_its_crew(at_once: list[int]) -> None:
    expected = bits(explain_step(LOSS, MODEL, lr=0.5))
    found: list[Any] = []
    waiting = threading.Event()
    other = threading.Thread(target=waiting.wait)
    other.start()
    thread = threading.Thread(target=lambda: found.append(bits(explain_step(LOSS, MODEL, lr=0.5, n_jobs=2))))
    thread.start()
    thread.join()
    waiting.set()
    other.join()
    assert found == [expected]


def test_a_process_that_must_not_have_children_works_alone() -> None:
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=lambda: there.send(jobs.forks()), daemon=True)
    process.start()
    assert here.recv() is False
    process.join()
    gc.collect()


def test_the_progress_bar_counts_what_others_have_done(at_once: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    explain_step(LOSS, MODEL, lr=0.5, progress=True, n_jobs=3)
    count = len(MODEL.parameters())
    assert f"{count}/{count}" in capsys.readouterr().err
