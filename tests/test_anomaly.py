"""Anomaly mode: the first operation that stops being finite, by name, operands and line; and nothing left behind."""

from __future__ import annotations

import asyncio
import sys
import threading
from fractions import Fraction

import pytest

import micrograd_like as mg
from micrograd_like import engine
from micrograd_like.anomaly import detect_anomaly, recorded_lines


def test_the_first_operation_is_named_not_the_last():
    x = mg.Value(0.0, label="x")
    message = r"^log\(x=0.0\) = -inf, recorded at .*test_anomaly.py:\d+$"
    with detect_anomaly(), pytest.raises(mg.AnomalyError, match=message) as error:
        x.log().exp().log().sqrt()
    assert error.value.node.op.name == "log"
    assert error.value.node.operands == (x,)


def test_a_gradient_that_is_not_finite_is_found_in_the_backward_pass():
    x = mg.Value(0.0, label="x")
    with (
        detect_anomaly(),
        pytest.raises(mg.AnomalyError, match=r"gradient of sqrt\(x=0.0\) with respect to x is inf.*:\d+$"),
    ):
        x.sqrt().backward()


def test_a_graph_recorded_before_the_block_is_named_without_a_line():
    y = mg.Value(0.0).sqrt() * 2
    with detect_anomaly(), pytest.raises(mg.AnomalyError, match="an unwatched place"):
        y.backward()


def test_many_operands_are_shortened():
    with pytest.raises(mg.AnomalyError) as error, detect_anomaly():
        mg.sum([mg.Value(k * 2e306) for k in range(90)])
    first, last = "0.0, 2e+306, 4e+306, 6e+306", ", ".join(str(k * 2e306) for k in range(86, 90))
    assert f"sum({first}, … 82 more …, {last}) = inf" in str(error.value)


def test_finite_computations_pass():
    with detect_anomaly():
        x = mg.Value(2.0)
        y = mg.max(x * 3, x.exp())
        y.backward()
    assert x.grad == y.data


def test_a_fraction_beyond_floats_is_finite():
    with detect_anomaly():
        (mg.Value(Fraction(10**400)) * 2).backward()


def test_where_leaves_its_condition_without_a_gradient():
    x = mg.Value(2.0)
    with detect_anomaly():
        mg.where(x, x * 3, 0).backward()
    assert x.grad == 3


def test_the_mode_ends_with_the_block_also_after_an_error():
    with pytest.raises(ZeroDivisionError), detect_anomaly():
        raise ZeroDivisionError
    assert engine.watch_forward is None
    assert engine.watch_backward is None
    assert mg.Value(0.0).log().data == float("-inf")


def test_blocks_nest():
    with detect_anomaly():
        with detect_anomaly():
            pass
        with pytest.raises(mg.AnomalyError):
            mg.Value(0.0).log()


def test_another_thread_is_not_watched():
    results = []
    with detect_anomaly():
        thread = threading.Thread(target=lambda: results.append(mg.Value(0.0).log().sqrt()))
        thread.start()
        thread.join()
    assert len(results) == 1


def test_another_task_is_not_watched():
    async def watched(entered: asyncio.Event, done: asyncio.Event) -> None:
        with detect_anomaly():
            entered.set()
            await done.wait()
            with pytest.raises(mg.AnomalyError):
                mg.Value(0.0).log()

    async def unwatched(entered: asyncio.Event, done: asyncio.Event) -> float:
        await entered.wait()
        y = mg.Value(0.0).log()
        (y * 1).backward()
        done.set()
        return y.data

    async def both() -> float:
        entered, done = asyncio.Event(), asyncio.Event()
        return (await asyncio.gather(watched(entered, done), unwatched(entered, done)))[1]

    assert asyncio.run(both()) == float("-inf")


def test_a_task_that_outlives_the_block_is_no_longer_watched():
    async def late(over: asyncio.Event) -> float:
        with pytest.raises(mg.AnomalyError):
            mg.Value(0.0).log()  # a task started in the block is watched as long as the block lasts
        await over.wait()
        return mg.Value(0.0).log().data

    async def main() -> float:
        over = asyncio.Event()
        with detect_anomaly():
            task = asyncio.create_task(late(over))
            await asyncio.sleep(0)
        with detect_anomaly():  # another block keeps the watching switched on, but not for that task
            over.set()
            return await task

    assert asyncio.run(main()) == float("-inf")


def test_a_cancelled_task_leaves_nothing_switched_on():
    async def forever() -> None:
        with detect_anomaly():
            await asyncio.sleep(3600)

    async def main() -> None:
        task = asyncio.create_task(forever())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert engine.watch_forward is None


def test_switching_on_and_off_disturbs_no_other_thread():
    failures = []
    over = threading.Event()

    def compute() -> None:
        try:
            while not over.is_set():
                x = mg.Value(0.0)
                (x.log() * 1).backward()
        except BaseException as error:
            failures.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=compute) for _ in range(4)]
    try:
        for thread in threads:
            thread.start()
        for _ in range(3000):
            with detect_anomaly():
                pass
    finally:
        over.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(interval)
    assert not failures


def test_a_gradient_of_a_gradient_is_watched_too():
    x = mg.Value(0.0, label="x")
    y = x.sqrt()
    with detect_anomaly(), pytest.raises(mg.AnomalyError, match=r"div\(1.0, 0.0\) = inf, recorded at .*test_anomaly"):
        mg.gradient(y, x)


def test_a_users_folder_beside_the_package_is_the_users(tmp_path):
    """Its path begins with the package's, but it is not in the package."""
    from micrograd_like import caller

    beside = caller.PACKAGE.rstrip("/\\") + "_examples/model.py"
    code = compile("y = x.log()", beside, "exec")
    with detect_anomaly(), pytest.raises(mg.AnomalyError) as error:
        exec(code, {"x": mg.Value(0.0)})
    assert error.value.location == f"{beside}:1"


def test_lines_are_remembered_without_raising():
    with recorded_lines() as location:
        y = mg.Value(0.0).log()
        assert location(y).startswith(f"{__file__}:")
    with detect_anomaly(), recorded_lines(), pytest.raises(mg.AnomalyError):
        mg.Value(0.0).log()
