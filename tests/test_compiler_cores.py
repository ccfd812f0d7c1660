"""Any number of threads computes the same bits: a batch is cut into shards by its size, and they are added in one tree."""

from __future__ import annotations

import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import micrograd_like as mg
from micrograd_like import jobs
from micrograd_like.compiler import host, native, shards
from micrograd_like.compiler.shards import tree_sum

joblib = pytest.importorskip("joblib")
THREADS = (1, 2, 3, 7)
SIZES = [*range(1, 20), 31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 200, 255, 256, 257, 300]


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest shards that there can be, of a vector's length, and helpers for every batch that has two."""
    monkeypatch.setattr(shards, "LEAST_WORK", 1)
    monkeypatch.setattr(shards, "LEAST_SHARE", 0)
    monkeypatch.setattr(shards, "LEAST", host.width())
    monkeypatch.setattr(mg.Program, "alone", 0)


class Case:
    """A model with its loss as a program, and samples. A part of the loss is computed once for all samples."""

    def __init__(self, count: int = 300, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.model = mg.MLP(3, [5, 2], activation="tanh", rng=seed)
        self.parameters = self.model.parameters()
        self.start = [p.data for p in self.parameters]
        self.program = mg.compile(self.loss, self.parameters, cached=False, x=3, y=())
        self.x, self.y = rng.normal(size=(count, 3)), rng.integers(0, 2, count).astype(float)

    def loss(self, x: Any, y: Any) -> Any:
        penalty = mg.functional.mean([p * p for p in self.parameters])
        return mg.cross_entropy(self.model(x), y) + 0.1 * penalty

    def reset(self) -> None:
        for p, x in zip(self.parameters, self.start, strict=True):
            p.data = x


@pytest.fixture
def case(small_shards: None) -> Case:
    return Case()


def bits(*results: Any) -> bytes:
    return b"".join(np.asarray(x, dtype=float).tobytes() for x in results)


def same_for_any_threads(compute: Callable[[int], Sequence[Any]]) -> None:
    expected = bits(*compute(1))
    for threads in THREADS[1:]:
        assert bits(*compute(threads)) == expected, f"{threads} threads compute other bits than one"


@pytest.mark.parametrize("count", SIZES)
def test_gradients_losses_and_outputs_have_the_bits_of_one_thread(case: Case, count: int) -> None:
    program, x, y = case.program, case.x[:count], case.y[:count]
    same_for_any_threads(lambda n: program.gradient(x, y, n_jobs=n))
    same_for_any_threads(lambda n: [program(x, y, n_jobs=n)])
    same_for_any_threads(lambda n: [program.losses(x, y, n_jobs=n)])
    same_for_any_threads(lambda n: [program.outputs(x, y, n_jobs=n)])
    same_for_any_threads(lambda n: program.bind(x, y, n_jobs=n)())
    theta = program.theta() * 1.5
    same_for_any_threads(lambda n: program.bind(x, y, n_jobs=n)(theta))
    same_for_any_threads(lambda n: program.gradient(x, y, at=theta, n_jobs=n))


def by_halves(parts: list[list[float]]) -> list[float]:
    """The tree, said otherwise: the largest power of two that leaves something goes to the left."""
    if len(parts) == 1:
        return parts[0]
    left = 1 << (len(parts) - 1).bit_length() - 1
    return [a + b for a, b in zip(by_halves(parts[:left]), by_halves(parts[left:]), strict=True)]


@pytest.mark.parametrize("count", SIZES)
def test_a_gradient_is_the_tree_of_its_shards(case: Case, count: int) -> None:
    program, x, y = case.program, case.x[:count], case.y[:count]
    size = program.shard(count)
    parts = [
        program.shard_sums(x[k : k + size], y[k : k + size], samples=count).tolist() for k in range(0, count, size)
    ]
    *gradient, loss = by_halves(parts)
    found = program.gradient(x, y, n_jobs=2)
    assert bits(loss / count, gradient) == bits(*found)


@pytest.mark.parametrize("power", [0, 1, 2, 3])
def test_machines_that_share_a_batch_compute_the_bits_of_one(case: Case, power: int) -> None:
    program, count, theta = case.program, 257, case.program.theta()
    far = pickle.loads(pickle.dumps(program.portable()))  # nothing of this process is needed there
    rows, x, y = far.shard(count) << power, case.x[:count], case.y[:count]
    parts = [
        far.shard_sums(x[k : k + rows], y[k : k + rows], at=theta, samples=count, n_jobs=3)
        for k in range(0, count, rows)
    ]
    total = tree_sum(parts)
    assert bits(total[-1] / count, total[:-1]) == bits(*program.gradient(x, y))


def test_plain_sums_are_those_of_each_sample(case: Case) -> None:
    each = [case.program.gradient(case.x[k : k + 1], case.y[k : k + 1]) for k in range(21)]
    sums = case.program.shard_sums(case.x[:21], case.y[:21])
    # The penalty is a part of every sample's loss.
    assert sums[-1] == pytest.approx(sum(loss for loss, _ in each), rel=1e-13)
    assert sums[:-1] == pytest.approx(sum(gradient for _, gradient in each), rel=1e-11, abs=1e-13)


def test_shards_agree_with_the_eager_engine(case: Case) -> None:
    count = 50
    total = mg.functional.mean([
        case.loss(list(x), int(y)) for x, y in zip(case.x[:count], case.y[:count], strict=True)
    ])
    expected = [g.data for g in mg.gradient(total, case.parameters)]
    loss, gradient = case.program.gradient(case.x[:count], case.y[:count], n_jobs=3)
    assert loss == pytest.approx(total.data, rel=1e-13)
    assert gradient == pytest.approx(expected, rel=1e-11, abs=1e-14)


OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "SGD": lambda p: mg.SGD(p, lr=0.1),
    "momentum and decay": lambda p: mg.SGD(p, lr=lambda step: 0.1 / (1 + step), momentum=0.9, weight_decay=0.01),
    "Adam": lambda p: mg.Adam(p, lr=0.01),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("batch", [1, 3, 4, 5, 8, 31, 64, 129, 257, 300, None])
@pytest.mark.parametrize("shuffle", [False, True])
def test_training_has_the_bits_of_one_thread(case: Case, optimizer: str, batch: int | None, shuffle: bool) -> None:
    def train(threads: int) -> list[Any]:
        case.reset()
        moves = OPTIMIZERS[optimizer](case.parameters)
        x, y = case.x[:290], case.y[:290]
        losses = case.program.train(
            x, y, optimizer=moves, epochs=2, batch_size=batch, shuffle=shuffle, seed=3, n_jobs=threads
        )
        return [losses, case.program.theta(), *[getattr(moves, name) for name in moves.STATE]]

    same_for_any_threads(train)


@pytest.mark.parametrize("callbacks", [[], [lambda step: None]], ids=["whole epochs", "callbacks"])
def test_fit_has_the_bits_of_one_thread(small_shards: None, callbacks: list[Any]) -> None:
    def train(threads: int) -> list[Any]:
        model = mg.MLP(2, [6, 1], rng=1)
        rng = random.Random(0)
        data = [([rng.gauss(0, 1), rng.gauss(0, 1)], rng.choice([-1, 1])) for _ in range(150)]
        history = mg.fit(
            model, data[:130], mg.hinge_loss, mg.SGD(model.parameters(), lr=0.1), epochs=2, batch_size=47,
            held_out=data[130:], callbacks=callbacks, compiled=True, n_jobs=threads,
        )  # fmt: skip
        last = history.epochs[-1]
        return [history.losses, [last.held_out_loss, last.held_out_accuracy], [p.data for p in model.parameters()]]

    same_for_any_threads(train)


def test_a_gradient_that_needs_the_careful_rules_has_one_result(small_shards: None) -> None:
    p = [mg.Value(0.0), mg.Value(1.0)]  # sqrt'(0) is infinite, and its share of the loss is 0
    program = mg.compile(lambda x: mg.where(x, (p[0] * x).sqrt() * 0.0 + p[1], p[1] * x), p, cached=False, x=())
    x = np.linspace(-1, 1, 101)
    assert np.isfinite(program.gradient(x)[1]).all()
    same_for_any_threads(lambda n: program.gradient(x, n_jobs=n))


def test_programs_of_one_shard_and_without_inputs_take_any_number_of_threads(small_shards: None) -> None:
    w = mg.Value(3.0)
    alone = mg.compile(lambda: (w - 2) ** 2, [w], cached=False)
    same_for_any_threads(lambda n: alone.gradient(n_jobs=n))
    constant = mg.compile(lambda x: mg.functional.mean([x * x]), [], cached=False, x=())
    same_for_any_threads(lambda n: [constant(np.arange(50.0), n_jobs=n)])


def test_wide_programs_with_shards_as_they_are_decided() -> None:
    model = mg.MLP(16, [64, 4], rng=0)
    program = mg.compile(lambda x, y: mg.cross_entropy(model(x), y), model.parameters(), x=16, y=())
    count = 3 * program.shard(600) + 17
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(count, 16)), rng.integers(0, 4, count).astype(float)
    program.alone = 0
    assert count > 2 * program.shard(count)
    same_for_any_threads(lambda n: program.gradient(x, y, n_jobs=n))


def test_shards_double_as_batches_become_four_times_as_large() -> None:
    w = mg.Value(1.0)
    program = mg.compile(lambda x: w * x, [w], x=())
    smallest = program.shard(1)
    found = {n: program.shard(n * smallest) // smallest for n in (1, 8, 9, 32, 33, 10**6)}
    assert found == {1: 1, 8: 1, 9: 2, 32: 2, 33: 4, 10**6: 4}


# Who helps, and who does not come


@pytest.fixture
def invited(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many helpers each call asks for, none of whom comes."""
    asked: list[int] = []
    monkeypatch.setattr(jobs.Helpers, "invite", lambda self, tasks: asked.append(len(tasks)))
    return asked


def test_nobody_waits_for_helpers_that_do_not_come(case: Case, invited: list[int]) -> None:
    expected = bits(*case.program.gradient(case.x, case.y))
    assert bits(*case.program.gradient(case.x, case.y, n_jobs=4)) == expected
    assert invited == [3]


def test_helpers_that_come_late_or_for_nothing_go_home(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    late: list[Callable[[], object]] = []
    monkeypatch.setattr(jobs.Helpers, "invite", lambda self, tasks: late.extend(tasks))
    expected = bits(*case.program.gradient(case.x, case.y))
    for _ in range(3):
        assert bits(*case.program.gradient(case.x, case.y, n_jobs=3)) == expected
    for task in late:
        task()  # the call is over, the memory lives on
    machine = case.program._ready()
    space = machine.take()
    machine.help(space.address, 1, space.calls + 1)  # a call that never begins, as where Ctrl-C came in between
    space.give()
    assert bits(*case.program.gradient(case.x, case.y)) == expected


def test_small_calls_stay_on_one_core(invited: list[int]) -> None:
    model = mg.MLP(16, [64, 4], rng=0)
    program = mg.compile(lambda x, y: mg.cross_entropy(model(x), y), model.parameters(), x=16, y=())
    x, y = np.zeros((4000, 16)), np.zeros(4000)
    program.gradient(x[:600], y[:600], n_jobs=2)
    assert invited == []
    program.gradient(x, y, n_jobs=2)
    program.gradient(x, y)
    assert invited == [1]
    program.alone = 0
    program.gradient(x[:600], y[:600], n_jobs=2)
    assert invited == [1, 1]
    program.alone = 10**12
    program.gradient(x, y, n_jobs=-1)
    assert invited == [1, 1]


def test_no_more_helpers_are_asked_for_than_there_are_shards(case: Case, invited: list[int]) -> None:
    count = 3 * host.width()
    case.program.gradient(case.x[:count], case.y[:count], n_jobs=100)
    assert invited == [2]


def test_many_threads_call_one_program_at_once(case: Case) -> None:
    expected = {n: bits(*case.program.gradient(case.x[:n], case.y[:n])) for n in (7, 64, 129, 300)}

    def call(k: int) -> bool:
        n = list(expected)[k % 4]
        return bits(*case.program.gradient(case.x[:n], case.y[:n], n_jobs=1 + k % 5)) == expected[n]

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(call, range(200)))


def test_where_threads_meet_stays_in_its_place_when_a_call_needs_more(case: Case) -> None:
    """A helper that comes late, after its call, still looks there whether the call is over."""
    places, calls = set(), []
    for n in (40, 129, 300):
        case.program.gradient(case.x[:n], case.y[:n], n_jobs=4)
        (space,) = case.program._machine.free
        places.add(space.meeting.__array_interface__["data"][0])
        calls.append(space.calls)
    assert len(places) == 1
    assert calls == [1, 2, 3]  # no number stands for two calls


def test_a_helper_that_comes_into_a_later_call_leaves_it_alone(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [40, 65, 129, 300]
    expected = [bits(*case.program.gradient(case.x[:n], case.y[:n])) for n in sizes]
    late: list[Callable[[], object]] = []

    class Late:
        """Helpers who come one call late, together with those of that call."""

        def invite(self, tasks: Sequence[Callable[[], object]]) -> None:
            for task in (*late, *tasks):
                pool.submit(task)
            late[:] = tasks

    monkeypatch.setattr(jobs, "helpers", Late)
    for _ in range(40):
        case.program._machine.free.clear()  # so that the memory of a call grows from one size to the next
        with ThreadPoolExecutor(8) as pool:
            for n, one_thread in zip(sizes, expected, strict=True):
                assert bits(*case.program.gradient(case.x[:n], case.y[:n], n_jobs=4)) == one_thread
        late.clear()


def test_a_forked_child_has_helpers_of_its_own() -> None:
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    script = """
import os
import numpy as np
import micrograd_like as mg
w = mg.Value(2.0)
program = mg.compile(lambda x: (w * x) ** 2, [w], x=())
program.alone = 0
x = np.linspace(0, 1, 500_000)
expected = program.gradient(x, n_jobs=2)
child = os.fork()
found = program.gradient(x, n_jobs=2)
assert found[0] == expected[0] and found[1] == expected[1]
if child:
    assert os.waitpid(child, 0)[1] == 0
else:
    os._exit(0)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, timeout=120)


# Ctrl-C


@pytest.mark.skipif(sys.platform == "win32", reason="a signal is sent to another process")
@pytest.mark.parametrize("threads", [2, 7])
def test_ctrl_c_ends_training_soon_and_leaves_whole_epochs(threads: int) -> None:
    script = f"""
import threading, time
import numpy as np
import micrograd_like as mg
model = mg.MLP(8, [64, 3], rng=0)
program = mg.compile(lambda x, y: mg.cross_entropy(model(x), y), model.parameters(), x=8, y=())
program.alone = 0
rng = np.random.default_rng(0)
x, y = rng.normal(size=(3000, 8)), rng.integers(0, 3, 3000).astype(float)
start = [p.data for p in model.parameters()]
optimizer = mg.SGD(model.parameters(), lr=0.01, momentum=0.9)
program.gradient(x, y, n_jobs={threads})

def tell():
    while not optimizer.steps:
        time.sleep(0.01)
    print("moving", flush=True)

threading.Thread(target=tell).start()
try:
    program.train(x, y, optimizer=optimizer, epochs=10**6, batch_size=1500, n_jobs={threads})
except KeyboardInterrupt:
    print("interrupted", flush=True)
found, steps = program.theta(), optimizer.steps
for p, number in zip(model.parameters(), start):
    p.data = number
assert steps > 0 and steps % 2 == 0, steps
program.sgd(x, y, lr=0.01, momentum=0.9, epochs=steps // 2, batch_size=1500)
assert (program.theta() == found).all()
print("whole", flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "moving\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=120)[0] == "interrupted\nwhole\n"
    finally:
        process.kill()
        process.wait()


# n_jobs


@pytest.mark.parametrize("wrong", [0, 1.0, 1.5, "2", True, [2], 10**6])
def test_what_is_no_number_of_threads_is_refused(case: Case, wrong: Any) -> None:
    before = case.program.theta()
    x, y = case.x[:8], case.y[:8]
    data = [(list(a), int(b)) for a, b in zip(x, y, strict=True)]
    optimizer = mg.SGD(case.parameters, lr=0.1)
    for call in (
        lambda: case.program(x, y, n_jobs=wrong),
        lambda: case.program.gradient(x, y, n_jobs=wrong),
        lambda: case.program.losses(x, y, n_jobs=wrong),
        lambda: case.program.outputs(x, y, n_jobs=wrong),
        lambda: case.program.bind(x, y, n_jobs=wrong),
        lambda: case.program.sgd(x, y, lr=0.1, n_jobs=wrong),
        lambda: case.program.train(x, y, optimizer=optimizer, n_jobs=wrong),
        lambda: case.program.shard_sums(x, y, n_jobs=wrong),
        lambda: mg.fit(case.model, data, mg.cross_entropy, optimizer, 1, compiled=True, n_jobs=wrong),
    ):
        with pytest.raises((TypeError, ValueError), match="expected n_jobs as"):
            call()
    assert bits(case.program.theta()) == bits(before)


def test_python_itself_computes_on_one_core() -> None:
    model = mg.MLP(1, [1], rng=0)
    arguments = (model, [([1.0], 1)], mg.hinge_loss, mg.SGD(model.parameters(), lr=0.1), 1)
    with pytest.raises(ValueError, match="expected n_jobs with compiled=True"):
        mg.fit(*arguments, n_jobs=2)
    mg.fit(*arguments, n_jobs=1)
    with joblib.parallel_config(n_jobs=2, backend="threading"):
        mg.fit(*arguments)


def test_n_jobs_means_what_it_means_in_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "cores", lambda: 8)
    found = {n: jobs.threads_for(n) for n in (None, 1, 3, 20, -1, -2, -8, -9, np.int8(-1))}
    assert found == {None: 1, 1: 1, 3: 3, 20: 20, -1: 8, -2: 7, -8: 1, -9: 1, np.int8(-1): 8}


def test_joblibs_configuration_is_what_none_means(case: Case, invited: list[int]) -> None:
    with joblib.parallel_config(backend="threading", n_jobs=3):
        assert jobs.threads_for(None) == 3
        assert jobs.threads_for(1) == 1
        case.program.gradient(case.x, case.y)
        case.program.gradient(case.x, case.y, n_jobs=1)
    case.program.gradient(case.x, case.y)
    assert invited == [2]


def test_the_cores_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(12)), raising=False)
    monkeypatch.setattr(jobs, "_limit", lambda: 1024)
    assert jobs.cores() == 12
    monkeypatch.setattr(jobs, "_limit", lambda: 3)
    assert jobs.cores() == 3
    monkeypatch.undo()
    for text, expected in (("max 100000", 1024), ("250000 100000", 3), ("50000 100000", 1), ("nonsense", 1024)):
        (tmp_path / "cpu.max").write_text(text)
        jobs._limit.cache_clear()
        assert jobs._limit(tmp_path) == expected
    (tmp_path / "cpu.max").unlink()
    (tmp_path / "cpu").mkdir()
    for quota, expected in (("-1", 1024), ("150000", 2)):
        (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota)
        (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
        jobs._limit.cache_clear()
        assert jobs._limit(tmp_path) == expected


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    yield
    jobs._limit.cache_clear()


def test_helpers_are_started_once_and_kept() -> None:
    helpers = jobs.Helpers()
    done, names = threading.Semaphore(0), set()

    def task() -> None:
        names.add(threading.get_ident())
        done.release()

    for _ in range(50):
        helpers.invite([task])
        done.acquire()
        while not helpers.idle:
            time.sleep(0.0001)
    assert len(names) == 1


# Processors that differ


def test_a_fingerprint_names_what_differs() -> None:
    here = native.fingerprint()
    assert here == native.fingerprint()
    assert pickle.loads(pickle.dumps(here)) == here
    assert here.differences(here) == []
    assert here.differences(here._replace(width=1, library="other")) == [
        f"width: {host.width()} and 1",
        f"library: {here.library} and other",
    ]


def test_a_program_can_be_narrower_than_the_processor(case: Case) -> None:
    theta = case.program.theta()
    for width in {2, host.width()}:
        narrow = case.program.portable(width=width)
        assert narrow.fingerprint.width == width
        assert narrow.gradient(case.x, case.y, at=theta)[1] == pytest.approx(case.program.gradient(case.x, case.y)[1])
        assert pickle.loads(pickle.dumps(narrow)).fingerprint == narrow.fingerprint
        same_for_any_threads(lambda n, narrow=narrow: narrow.gradient(case.x, case.y, at=theta, n_jobs=n))  # type: ignore[misc]
    for wrong in (0, 1, 3, 16, "2", 2.5):
        with pytest.raises(ValueError, match="expected width as 2, 4 or 8 doubles"):
            case.program.portable(width=wrong)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="expected width as 2, 4 or 8 doubles"):
            mg.compile(lambda x: x, [], width=wrong, x=())  # type: ignore[arg-type]


def test_a_portable_program_asks_for_its_parameters_numbers(case: Case) -> None:
    light = case.program.portable()
    assert len(pickle.dumps(light)) < len(pickle.dumps(case.program))
    assert repr(light) == repr(case.program)
    x, y = case.x[:5], case.y[:5]
    for call in (
        lambda: light(x, y),
        lambda: light.gradient(x, y),
        lambda: light.outputs(x, y),
        lambda: light.shard_sums(x, y),
        lambda: light.theta(),
        lambda: light.bind(x, y)(),
    ):
        with pytest.raises(TypeError, match="a portable program has no parameters of its own"):
            call()
    theta = case.program.theta()
    assert bits(*light.bind(x, y)(theta)) == bits(*case.program.gradient(x, y))


def test_a_tree_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="expected at least one part"):
        tree_sum([])
