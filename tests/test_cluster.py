"""Training on many machines: real worker processes on this one, killed, restarted and lost, and always the same bits."""

import asyncio
import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from math import log
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

distributed = pytest.importorskip("distributed")
numpy = pytest.importorskip("numpy")
pytest.importorskip("llvmlite")
pytest.importorskip("safetensors")

import dask.array  # noqa: E402

import micrograd_like as mg  # noqa: E402
from micrograd_like import cluster  # noqa: E402
from micrograd_like.cluster.shards import cut, runs  # noqa: E402
from micrograd_like.cluster.work import Job, tree  # noqa: E402
from micrograd_like.compiler import host  # noqa: E402
from micrograd_like.compiler.fitting import structured  # noqa: E402
from micrograd_like.order import shuffled  # noqa: E402
from micrograd_like.training import is_correct  # noqa: E402

SHARDS = 6
PATIENCE = 240.0  # seconds to wait for what comes in one, on a machine that has much else to do
RNG = numpy.random.default_rng(0)
X, Y = RNG.normal(size=(50, 3)), RNG.integers(0, 2, 50)  # shards of 9 and 8 samples: no batch is the same for all
CHUNKS = [(X[k::SHARDS], Y[k::SHARDS]) for k in range(SHARDS)]


def network() -> mg.MLP:
    return mg.MLP(3, [4, 2], activation="tanh", rng=0)


def numbers(model: mg.Module) -> list[float]:
    return [p.data for p in model.parameters()]


def sgd(model: mg.Module, lr: Any = 0.1) -> mg.SGD:
    return mg.SGD(model.parameters(), lr, momentum=0.9, weight_decay=0.01)


def adam(model: mg.Module, lr: Any = 0.01) -> mg.Adam:
    return mg.Adam(model.parameters(), lr)


class Trained:
    """A training of the small network: 3 epochs of 5 steps, unless it is told otherwise."""

    def __init__(self, client: Any, make: Any = sgd, data: Any = CHUNKS, lr: Any = None, **options: Any) -> None:
        self.model = network()
        self.optimizer = make(self.model) if lr is None else make(self.model, lr)
        given = {"epochs": 3, "batch_size": 11, "timeout": PATIENCE, **options}
        self.history = cluster.fit(client, self.model, data, mg.cross_entropy, self.optimizer, **given)
        self.result = (numbers(self.model), *self.state(), self.history.losses, self.history.epochs)

    def state(self) -> list[Any]:
        return [self.optimizer.steps, *(getattr(self.optimizer, name) for name in self.optimizer.STATE)]


@contextlib.contextmanager
def workers(count: int, threads: int = 1, **options: Any) -> Iterator[Any]:
    """A client of so many worker processes, which are ended in every case."""
    with (
        distributed.LocalCluster(
            n_workers=count, threads_per_worker=threads, dashboard_address=":0", silence_logs=50, **options
        ) as here,
        distributed.Client(here) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def two() -> Iterator[Any]:
    with workers(2) as client:
        yield client


@pytest.fixture(scope="module")
def expected(two: Any) -> Callable[..., tuple[Any, ...]]:
    """What an undisturbed training comes to, each computed once."""
    known: dict[str, tuple[Any, ...]] = {}

    def of(**options: Any) -> tuple[Any, ...]:
        key = repr(sorted(options.items(), key=str))
        if key not in known:
            known[key] = Trained(two, **options).result
        return known[key]

    return of


def tasks(client: Any) -> list[Any]:
    """The tasks that the scheduler knows, a moment after the last message to it."""
    end = time.monotonic() + PATIENCE
    while True:
        left = client.run_on_scheduler(
            lambda dask_scheduler: [k for k in dask_scheduler.tasks if "micrograd" in str(k)]
        )
        if not left or time.monotonic() > end:
            return list(left)
        time.sleep(0.1)


# ── what is computed ────────────────────────────────────────────────────────────────────────────────────────────────


def batches(seed: int, epochs: int, size: int) -> Iterator[list[list[int]]]:
    """For each step, the rows of each shard, counted one by one."""
    sizes = [len(y) for _, y in CHUNKS]
    total = sum(sizes)
    for epoch in range(epochs):
        orders = [shuffled(n, random.Random(f"{seed} {epoch} {k}")) for k, n in enumerate(sizes)]
        taken = [0] * SHARDS
        for end in [*range(size, total, size), total]:
            upto = [(end * n + k * total // SHARDS) // total for k, n in enumerate(sizes)]
            yield [orders[k][taken[k] : upto[k]] for k in range(SHARDS)]
            taken = upto


def test_a_step_is_one_of_fit_on_the_same_samples(two: Any) -> None:
    trained = Trained(two, seed=3)
    model = network()
    optimizer = sgd(model)
    losses = []
    for rows in batches(3, 3, 11):
        batch = [(CHUNKS[k][0][i].tolist(), int(CHUNKS[k][1][i])) for k, own in enumerate(rows) for i in own]
        losses += mg.fit(model, batch, mg.cross_entropy, optimizer, epochs=1).losses
    assert numbers(trained.model) == pytest.approx(numbers(model), rel=1e-9, abs=1e-12)
    assert trained.optimizer.velocities == pytest.approx(optimizer.velocities, rel=1e-9, abs=1e-12)
    assert trained.history.losses == pytest.approx(losses, rel=1e-9)
    assert trained.optimizer.steps == 15


@pytest.mark.parametrize("make", [sgd, adam])
@pytest.mark.parametrize("k", [1, 2, 100])
def test_local_steps_are_steps_of_each_shard_and_then_an_average(two: Any, make: Any, k: int) -> None:
    trained = Trained(two, make, local_steps=k)
    middle = network()
    optimizer = make(middle)
    names = optimizer.STATE
    all_batches, losses = list(batches(0, 3, 11)), []
    rounds = [
        epoch[i : i + k] for epoch in (all_batches[0:5], all_batches[5:10], all_batches[10:15]) for i in range(0, 5, k)
    ]
    for steps in rounds:
        found, weights = [], [sum(len(rows[shard]) for rows in steps) for shard in range(SHARDS)]
        sums = [[0.0, 0] for _ in steps]
        for shard in range(SHARDS):
            model = network()
            own = make(model)
            own.commit(numbers(middle), [list(getattr(optimizer, name)) for name in names], optimizer.steps)
            for place, rows in enumerate(steps):
                own.steps = optimizer.steps + place
                batch = [(CHUNKS[shard][0][i].tolist(), int(CHUNKS[shard][1][i])) for i in rows[shard]]
                loss = mg.fit(model, batch, mg.cross_entropy, own, epochs=1).losses[0]
                sums[place][0] += loss * len(batch)
                sums[place][1] += len(batch)
            found.append([numbers(model), *(getattr(own, name) for name in names)])
        mean = [
            [sum(n * row[i] for n, row in zip(weights, part, strict=True)) / sum(weights) for i in range(len(part[0]))]
            for part in zip(*found, strict=True)
        ]
        optimizer.commit(mean[0], mean[1:], len(steps))
        losses += [loss / n for loss, n in sums]
    assert numbers(trained.model) == pytest.approx(numbers(middle), rel=1e-9, abs=1e-12)
    for name in names:
        assert getattr(trained.optimizer, name) == pytest.approx(getattr(optimizer, name), rel=1e-9, abs=1e-12)
    assert trained.history.losses == pytest.approx(losses, rel=1e-9)
    assert trained.optimizer.steps == optimizer.steps == 15


def test_every_sample_is_used_once_in_an_epoch_and_batches_are_as_large_as_asked() -> None:
    for sizes in ([5, 5, 5], [9, 9, 8, 8, 8, 8], [1, 0, 100, 7], [3], [0, 0, 2]):
        total = sum(sizes)
        cuts = [cut(sizes, n) for n in range(total + 1)]
        assert cuts[0] == [0] * len(sizes)
        assert cuts[-1] == sizes
        for before, after in itertools.pairwise(cuts):
            assert all(x <= y for x, y in zip(before, after, strict=True))
        for n, counts in enumerate(cuts):
            assert abs(sum(counts) - n) < (len(sizes) if len(set(sizes)) > 1 else 1)
            assert all(abs(c - n * size / total) <= 1 for c, size in zip(counts, sizes, strict=True))


@pytest.mark.parametrize("shards", range(1, 20))
def test_runs_are_parts_of_the_tree(shards: int) -> None:
    values = RNG.normal(size=(shards, 3))
    whole = tree(list(values))
    for number in range(1, 22):
        found = runs(shards, number)
        assert [k for run in found for k in run] == list(range(shards))
        assert len(found) >= min(number, shards)
        assert (tree([tree(list(values[run.start : run.stop])) for run in found]) == whole).all()


def test_fits_history_has_epochs_and_held_out_samples(two: Any) -> None:
    held_out = [(x.tolist(), int(y)) for x, y in zip(X[:7], Y[:7], strict=True)]
    trained = Trained(two, held_out=held_out, progress=False)
    last = trained.history.epochs[-1]
    loss, accuracy = mg.evaluate(trained.model, held_out, mg.cross_entropy)
    assert (last.epoch, last.steps, last.held_out_accuracy) == (3, 15, accuracy)
    assert last.held_out_loss == pytest.approx(loss)
    counts = [sum(map(len, rows)) for rows in batches(0, 1, 11)]
    mean = sum(x * n for x, n in zip(trained.history.losses[-5:], counts, strict=True)) / 50
    assert last.loss == pytest.approx(mean)


def of_one_output(out: Any, target: Any) -> Any:
    return mg.hinge_loss(out[0], 2 * target - 1)


def first_output_is_larger(out: Any, target: Any) -> bool:
    return bool((out[0] > out[1]) == (target == 0))


@pytest.mark.parametrize(
    ("loss", "correct"),
    [(mg.cross_entropy, None), (mg.cross_entropy, first_output_is_larger), (of_one_output, lambda out, y: out[0] > y)],
)
@pytest.mark.parametrize("local_steps", [None, 2])
def test_the_accuracy_is_that_of_each_sample_before_its_step(
    two: Any, loss: Any, correct: Any, local_steps: int | None
) -> None:
    """The rate is next to nothing, so that what was measured on the way can be measured again."""
    model = network()
    history = cluster.fit(
        two, model, CHUNKS, loss, sgd(model, 1e-12), 2, 11, local_steps=local_steps, correct=correct, shards=SHARDS
    )
    samples = [(x.tolist(), int(y)) for x, y in zip(X, Y, strict=True)]
    _, accuracy = mg.evaluate(network(), samples, loss, correct)
    assert [epoch.accuracy for epoch in history.epochs] == [accuracy] * 2
    assert 0 < accuracy < 1


def test_there_is_no_accuracy_where_outputs_mean_no_classes(two: Any) -> None:
    model = mg.MLP(3, [1], rng=0)
    history = cluster.fit(two, model, CHUNKS, mg.mse_loss, sgd(model), 1, 11)
    assert history.epochs[0].accuracy is None


def test_the_rule_for_all_samples_at_once_is_that_for_each() -> None:
    outputs = RNG.normal(size=(200, 3)).round(1)  # some of them as large as others
    for structure, targets in (
        (0, RNG.choice([-1.0, 0.0, 1.0, 0.3, 0.7], 200)),
        ([0, 1, 2], RNG.integers(0, 3, 200) * 1.0),
    ):
        job = Job(SimpleNamespace(_structure=[0, structure]), None, [], 0, 0, is_correct)  # type: ignore[arg-type]
        expected = [is_correct(structured(structure, row), y) for row, y in zip(outputs.tolist(), targets, strict=True)]
        assert job.hits(outputs, targets) == sum(expected)
        assert 0 < sum(expected) < 200


def test_asking_for_accuracy_changes_no_bit(two: Any, expected: Callable[..., tuple[Any, ...]]) -> None:
    *same, _ = Trained(two, correct=False).result
    assert same == list(expected()[:-1])


@pytest.mark.parametrize("make", [sgd, adam])
def test_callbacks_see_the_steps_that_fits_do_and_change_no_bit(
    two: Any, expected: Callable[..., tuple[Any, ...]], make: Any
) -> None:
    steps: list[Any] = []

    def look(step: mg.Step) -> None:
        gradient = [p.grad for p in step.model.parameters()]
        steps.append((step.number, step.epoch, step.loss.data, gradient, numbers(step.model), len(step.batch)))

    trained = Trained(two, make, callbacks=[look])
    assert trained.result == expected(**({} if make is sgd else {"make": adam}))
    assert [step[:2] for step in steps] == [(k, k // 5 + 1) for k in range(15)]
    assert [step[2] for step in steps] == trained.history.losses
    model = network()
    optimizer = make(model)
    for (_, _, loss, gradient, theta, size), rows in zip(steps, batches(0, 3, 11), strict=True):
        batch = [(CHUNKS[k][0][i].tolist(), int(CHUNKS[k][1][i])) for k, own in enumerate(rows) for i in own]
        total = mg.mean([mg.cross_entropy(model(x), y) for x, y in batch])
        optimizer.zero_grad()
        total.backward()
        assert theta == pytest.approx(numbers(model), rel=1e-9, abs=1e-12)
        assert gradient == pytest.approx([p.grad for p in model.parameters()], rel=1e-9, abs=1e-12)
        assert (loss, size) == (pytest.approx(total.data), 0)
        optimizer.step()


def test_a_callback_may_change_gradients_and_the_rate(two: Any) -> None:
    def halve(step: mg.Step) -> None:
        for p in step.optimizer.parameters:
            p.grad /= 2  # type: ignore[operator]
        step.optimizer.lr = 0.2

    def plain(model: mg.Module, lr: float) -> mg.SGD:
        return mg.SGD(model.parameters(), lr)

    assert Trained(two, plain, lr=0.05, callbacks=[halve]).result[0] == Trained(two, plain, lr=0.1).result[0]


def test_a_callback_ends_the_training_and_resuming_goes_on_from_there(
    two: Any, expected: Callable[..., tuple[Any, ...]], tmp_path: Path
) -> None:
    path = tmp_path / "training.safetensors"

    def stop(step: mg.Step) -> None:
        step.stop = step.number == 7

    stopped = Trained(two, callbacks=[stop], checkpoint=path, checkpoint_every=100)
    assert (stopped.optimizer.steps, len(stopped.history.losses)) == (8, 8)
    counts = [sum(map(len, rows)) for rows in batches(0, 2, 11)][5:8]
    last = stopped.history.epochs[-1]
    assert (last.epoch, last.steps) == (2, 8)
    losses = stopped.history.losses[5:]
    assert last.loss == pytest.approx(sum(x * n for x, n in zip(losses, counts, strict=True)) / sum(counts))
    assert Trained(two, checkpoint=path, resume=True).result == expected()


def test_an_error_in_a_callback_leaves_the_last_whole_round(two: Any) -> None:
    model = network()
    optimizer = sgd(model)

    def fail(step: mg.Step) -> None:
        if step.number == 7:
            model.parameters()[0].data = 99.0
            step.history.losses.append(0.0)

    with pytest.raises(RuntimeError, match=r"a callback changed step\.history"):
        cluster.fit(two, model, CHUNKS, mg.cross_entropy, optimizer, 3, 11, callbacks=[fail])
    again = network()
    stopping = sgd(again, at(7, lambda: 1 / 0))
    with pytest.raises(ZeroDivisionError):
        cluster.fit(two, again, CHUNKS, mg.cross_entropy, stopping, 3, 11)
    assert (optimizer.steps, numbers(model), optimizer.velocities) == (7, numbers(again), stopping.velocities)
    assert tasks(two) == []


def test_parameters_that_the_optimizer_does_not_have_stay(two: Any) -> None:
    model = network()
    before, moving = numbers(model), model.layers[1].parameters()
    cluster.fit(two, model, CHUNKS, mg.cross_entropy, mg.Adam(moving, 0.1), 1, 11)
    changed = {id(p) for p, x in zip(model.parameters(), before, strict=True) if p.data != x}
    assert changed == {id(p) for p in moving}


def test_numbers_that_pass_on_nothing_where_a_gradient_is_0_do_so_here_too(two: Any) -> None:
    """The branch that is not taken is log(0): plain rules multiply its infinite derivative by 0."""
    w = mg.Value(1.0, label="w")

    class Branches(mg.Module):
        def parameters(self) -> list[mg.Value]:
            return [w]

        def __call__(self, x: Any) -> Any:
            return mg.where(x - 0.5, mg.log(w * x), w * x)

    xs = numpy.array([0.0, 1.0, 2.0])
    for options in ({}, {"local_steps": 1}):
        w.data = 1.0
        optimizer = mg.SGD([w], 0.1)
        history = cluster.fit(
            two, Branches(), (xs, xs), lambda out, _: (out - 3) ** 2, optimizer, 1, shards=2, **options
        )
        assert history.losses == [pytest.approx((9 + 9 + (log(2) - 3) ** 2) / 3)]
        assert w.data == pytest.approx(1 - 0.1 * (0 + 2 * -3 + 2 * (log(2) - 3)) / 3)


# ── the same bits ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("count", "threads"), [(1, 1), (3, 2)])
def test_the_same_bits_for_any_number_of_workers_and_threads(
    count: int, threads: int, expected: Callable[..., tuple[Any, ...]]
) -> None:
    with workers(count, threads) as client:
        for options in ({}, {"make": adam}, {"local_steps": 2}, {"batch_size": None}):
            assert Trained(client, **options).result == expected(**options)
        assert Trained(client, n_jobs=4).result == expected()


def load(k: int) -> tuple[Any, Any]:
    return CHUNKS[k]


def test_the_same_bits_however_the_samples_come(two: Any, expected: Callable[..., tuple[Any, ...]]) -> None:
    order = [i for k in range(SHARDS) for i in range(k, 50, SHARDS)]
    in_chunks = (tuple(len(y) for _, y in CHUNKS),)
    in_blocks = (
        dask.array.from_array(X[order], chunks=(in_chunks[0], (1, 2))),
        dask.array.from_array(Y[order], chunks=10),
    )
    samples = [(x.tolist(), int(y)) for x, y in zip(X, Y, strict=True)]
    ways: list[tuple[Any, dict[str, Any]]] = [
        ((X, Y), {"shards": SHARDS}),
        (samples, {"shards": SHARDS}),
        (load, {"shards": SHARDS}),
        ([lambda k=k: CHUNKS[k] for k in range(SHARDS)], {}),
        (in_blocks, {}),
        (tuple(part.persist() for part in in_blocks), {}),
    ]
    for data, options in ways:
        assert Trained(two, data=data, **options).result == expected()


def test_dask_arrays_are_cut_into_as_many_shards_as_asked(two: Any) -> None:
    blocks = dask.array.from_array(X, chunks=(50, 3)), dask.array.from_array(Y, chunks=7)
    ends = [k * 50 // 4 for k in range(5)]
    chunks = [(X[a:b], Y[a:b]) for a, b in itertools.pairwise(ends)]
    assert Trained(two, data=blocks, shards=4).result == Trained(two, data=chunks).result


def test_a_shard_without_data_counts_as_no_samples(two: Any) -> None:
    some = [CHUNKS[0], ([], []), CHUNKS[1], (X[:0], Y[:0])]
    data = [lambda chunk=chunk: chunk for chunk in some]
    for options in ({}, {"local_steps": 2}):
        trained = Trained(two, data=data, **options)
        assert trained.history.epochs[-1].steps == 6
        with workers(1) as client:
            assert Trained(client, data=data, **options).result == trained.result


def test_two_trainings_at_once_on_one_cluster(two: Any, expected: Callable[..., tuple[Any, ...]]) -> None:
    found: dict[str, Any] = {}

    def train(name: str, client: Any, **options: Any) -> None:
        found[name] = Trained(client, **options).result

    with distributed.Client(two.scheduler.address, set_as_default=False) as other:
        threads = [
            threading.Thread(target=train, args=("a", two)),
            threading.Thread(target=train, args=("b", two), kwargs={"make": adam}),
            threading.Thread(target=train, args=("c", other)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == {"a": expected(), "b": expected(make=adam), "c": expected()}


# ── what is lost ────────────────────────────────────────────────────────────────────────────────────────────────────


class Killer(distributed.WorkerPlugin):  # type: ignore[misc]
    """Ends its worker, once, when a task gets into a state."""

    name = "killer"

    def __init__(self, task: str, state: str, done: str) -> None:
        self.task, self.state, self.done = task, state, Path(done)

    def transition(self, key: Any, start: str, finish: str, **_: Any) -> None:
        if f"micrograd-{self.task}" in str(key) and finish == self.state:
            try:
                self.done.touch(exist_ok=False)
            except FileExistsError:
                return
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("task", "state"),
    [
        ("data", "memory"),  # between the set-up and the start
        ("round-8", "executing"),  # in the middle of a round
        ("round-9", "memory"),  # with what it found
    ],
)
def test_a_killed_worker_changes_no_bit(
    two: Any, expected: Callable[..., tuple[Any, ...]], tmp_path: Path, task: str, state: str
) -> None:
    two.register_plugin(Killer(task, state, str(tmp_path / "done")))
    try:
        assert Trained(two).result == expected()
    finally:
        two.unregister_worker_plugin("killer")
    assert (tmp_path / "done").exists()


def at(step: int, do: Callable[[], Any], lr: float = 0.1) -> Callable[[int], float]:
    """A learning rate that does something, once, on the client, before a step."""
    left = [do]

    def rate(now: int) -> float:
        if now == step and left:
            left.pop()()
        return lr

    return rate


@pytest.mark.parametrize("what", ["restart", "restart_workers"])
def test_a_cluster_that_somebody_else_restarts_changes_no_bit(
    two: Any, expected: Callable[..., tuple[Any, ...]], what: str
) -> None:
    def restart() -> None:
        with distributed.Client(two.scheduler.address, set_as_default=False) as other:
            if what == "restart":
                other.restart(timeout=PATIENCE)
            else:
                other.restart_workers(list(other.scheduler_info()["workers"]), timeout=PATIENCE)

    assert Trained(two, lr=at(7, restart)).result == expected()


def test_without_workers_there_is_an_error_and_then_the_checkpoint(
    expected: Callable[..., tuple[Any, ...]], tmp_path: Path
) -> None:
    path = tmp_path / "training.safetensors"
    model = network()
    with workers(1) as client:
        optimizer = sgd(model, at(7, lambda: client.cluster.scale(0)))
        with pytest.raises(TimeoutError, match="no worker for 1 seconds"):
            cluster.fit(client, model, CHUNKS, mg.cross_entropy, optimizer, 3, 11, timeout=1, checkpoint=path)
        assert optimizer.steps >= 7
        with pytest.raises(TimeoutError, match=r"no worker for 0\.2 seconds"):
            Trained(client, timeout=0.2)
        client.cluster.scale(2)
        assert Trained(client, checkpoint=path, resume=True).result == expected()
        assert tasks(client) == []


def test_a_lost_scheduler_loses_at_most_a_round(
    expected: Callable[..., tuple[Any, ...]], tmp_path: Path, two: Any
) -> None:
    file, path = tmp_path / "scheduler.json", tmp_path / "training.safetensors"
    there = ["--scheduler-file", str(file)]
    with (
        process("dask_scheduler", *there, "--no-dashboard", "--host", "127.0.0.1") as scheduler,
        process("dask_worker", *there, "--no-nanny", "--no-dashboard", "--nthreads", "1"),
    ):
        until(file.exists)
        with distributed.Client(scheduler_file=str(file), set_as_default=False, timeout=5) as client:
            client.wait_for_workers(1, timeout=PATIENCE)
            model = network()
            optimizer = sgd(model, at(7, scheduler.kill))
            with pytest.raises(TimeoutError, match="scheduler"):
                cluster.fit(client, model, CHUNKS, mg.cross_entropy, optimizer, 3, 11, timeout=10, checkpoint=path)
            assert optimizer.steps in (7, 8)
    assert Trained(two, checkpoint=path, resume=True).result == expected()


@contextlib.contextmanager
def process(module: str, *arguments: str) -> Iterator[Any]:
    """One of Dask's programs, ended in every case."""
    command = [sys.executable, "-W", "ignore", "-m", f"distributed.cli.{module}", *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            yield running
        finally:
            running.kill()


def until(true: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("when", ["between rounds", "in a round"])
def test_ctrl_c_leaves_no_task_and_the_last_whole_round(two: Any, when: str) -> None:
    def interrupt() -> None:
        if when == "between rounds":
            raise KeyboardInterrupt
        threading.Timer(0.005, lambda: os.kill(os.getpid(), signal.SIGINT)).start()

    model = network()
    optimizer = sgd(model, at(7, interrupt))
    with pytest.raises(KeyboardInterrupt):
        cluster.fit(two, model, CHUNKS, mg.cross_entropy, optimizer, 300, 11)
    assert tasks(two) == []
    steps = optimizer.steps
    assert steps >= 7
    again = network()
    stopping = sgd(again, at(steps, lambda: 1 / 0))
    with pytest.raises(ZeroDivisionError):
        cluster.fit(two, again, CHUNKS, mg.cross_entropy, stopping, 300, 11)
    assert (numbers(again), stopping.velocities) == (numbers(model), optimizer.velocities)


def test_nothing_is_left_on_the_cluster_after_a_training(two: Any) -> None:
    Trained(two)
    assert tasks(two) == []


def test_a_task_that_ends_every_worker_is_an_error(tmp_path: Path) -> None:
    def deadly() -> Any:
        os._exit(1)

    with dask.config.set({"distributed.scheduler.allowed-failures": 0}), workers(1) as client:
        with pytest.raises(RuntimeError, match="ended every worker"):
            Trained(client, data=[deadly])
        assert tasks(client) == []


# ── the checkpoint ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("options", [{}, {"make": adam}, {"local_steps": 2}], ids=["SGD", "Adam", "local steps"])
@pytest.mark.parametrize("step", [5, 8])
def test_a_resumed_training_has_the_same_bits(
    two: Any, expected: Callable[..., tuple[Any, ...]], tmp_path: Path, options: dict[str, Any], step: int
) -> None:
    path = tmp_path / "training.safetensors"
    rate = 0.01 if options else 0.1
    given = {**options, "lr": at(step, lambda: 1 / 0, rate)}
    with pytest.raises(ZeroDivisionError):
        Trained(two, checkpoint=path, **given)
    again = Trained(two, checkpoint=path, resume=True, **{**options, "lr": rate})
    assert again.result == expected(**{**options, "lr": rate})
    done = Trained(two, checkpoint=path, resume=True, **{**options, "lr": rate})  # which has nothing left to do
    assert done.result == again.result
    more = Trained(two, checkpoint=path, resume=True, **{**options, "lr": rate, "epochs": 4})
    assert more.result == expected(**{**options, "lr": rate, "epochs": 4})


def test_a_checkpoint_is_not_overwritten_unasked(two: Any, tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    Trained(two, checkpoint=path, epochs=1)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="resume=True"):
        Trained(two, checkpoint=path)
    assert path.read_bytes() == before


def test_a_checkpoint_of_another_training_is_refused_by_name(two: Any, tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    Trained(two, checkpoint=path, epochs=2)
    before = path.read_bytes()
    for options, named in [
        ({"seed": 1}, "seed is 0, here it is 1"),
        ({"batch_size": 12}, "batch_size is 11, here it is 12"),
        ({"local_steps": 2}, "local_steps is None, here it is 2"),
        ({"make": adam}, "optimizer is 'SGD', here it is 'Adam'"),
        ({"data": CHUNKS[:5]}, "shards is 6, here it is 5"),
        ({"data": [*CHUNKS[1:], CHUNKS[0]]}, "its shards have other sizes"),
        ({"epochs": 1}, "has 2 epochs done already"),
        ({"width": 2}, "processor's width is" if host.width() > 2 else None),
    ]:
        if named is None:
            continue
        with pytest.raises(ValueError, match=named.replace("'", ".")):
            Trained(two, checkpoint=path, resume=True, **options)
    assert path.read_bytes() == before


def test_what_is_no_checkpoint_is_refused(two: Any, tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    for content in (b"", b"nonsense", b"\x02\0\0\0\0\0\0\0{}"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is not a checkpoint"):
            Trained(two, checkpoint=path, resume=True)
    mg.save_weights(network(), path)
    with pytest.raises(ValueError, match="is not a checkpoint"):
        Trained(two, checkpoint=path, resume=True)


# ── workers of several kinds ────────────────────────────────────────────────────────────────────────────────────────

NARROW = """
from micrograd_like.compiler import host
name, features = host.processor()
kept = ",".join(f"-{each[1:]}" if "avx" in each or "fma" in each else each for each in features.split(","))
host.processor = lambda: ("x86-64", kept)
host.width.cache_clear()
host.fused.cache_clear()
"""
OTHER_PYTHON = """
import platform
platform.python_version_tuple = lambda: ("3", "99", "0")
"""


@pytest.mark.parametrize(
    ("script", "named"),
    [(NARROW, r"width: (4 and 2|8 and 2|2 and 4|2 and 8)"), (OTHER_PYTHON, r"Python 3\.\d+ and 3\.99")],
)
def test_a_worker_of_another_kind_is_refused_by_name(tmp_path: Path, script: str, named: str) -> None:
    if script is NARROW and host.width() == 2:
        pytest.skip("this processor has no wide vectors")
    preload = tmp_path / "preload.py"
    preload.write_text(script)
    with (
        workers(1) as client,
        process(
            "dask_worker",
            client.scheduler.address,
            "--no-nanny",
            "--no-dashboard",
            "--nthreads",
            "1",
            "--preload",
            str(preload),
        ),
    ):
        client.wait_for_workers(1, timeout=PATIENCE)
        until(lambda: len(client.scheduler_info()["workers"]) == 2)
        with pytest.raises(ValueError, match=named) as caught:
            Trained(client)
        assert any(address in str(caught.value) for address in client.scheduler_info()["workers"])
        assert tasks(client) == []
        if script is NARROW:
            with contextlib.suppress(ValueError):  # where one of them fuses products and sums, and the other does not
                narrow = Trained(client, width="narrowest").result
                with workers(1) as alone:
                    assert Trained(alone, width=2).result == narrow


def test_bits_of_a_width_that_was_asked_for(two: Any) -> None:
    assert Trained(two, width=2).history.losses == pytest.approx(Trained(two).history.losses, rel=1e-9)
    if host.width() < 8:
        with pytest.raises(ValueError, match=r"vectors of \d doubles, and width=8 was asked for"):
            Trained(two, width=8)


# ── what is wrong with the arguments ────────────────────────────────────────────────────────────────────────────────


def test_wrong_arguments_are_named_before_anything_happens(two: Any) -> None:
    model = network()
    before = numbers(model)
    good: dict[str, Any] = {
        "client": two,
        "model": model,
        "data": CHUNKS,
        "loss": mg.cross_entropy,
        "optimizer": sgd(model),
        "epochs": 1,
    }

    class Own(mg.SGD):
        def step(self) -> None:
            """Move nothing."""

    for wrong, kind, named in [
        ({"client": 3}, TypeError, "client as a distributed.Client or None, got int"),
        ({"model": 3}, TypeError, "model as a Module"),
        ({"optimizer": 3}, TypeError, "an optimizer, such as SGD"),
        ({"optimizer": Own(model.parameters(), 0.1)}, TypeError, "Own has a step"),
        ({"loss": 3}, TypeError, "loss as a function"),
        ({"epochs": 0}, ValueError, "epochs as a whole number"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"shards": 0}, ValueError, "shards"),
        ({"local_steps": 0}, ValueError, "local_steps"),
        ({"seed": -1}, ValueError, "seed"),
        ({"n_jobs": 0}, ValueError, "n_jobs"),
        ({"callbacks": [3]}, TypeError, "a callback as a function"),
        ({"callbacks": [print], "local_steps": 2}, ValueError, "callbacks without local_steps"),
        ({"width": 3}, ValueError, "width as 2, 4, 8"),
        ({"timeout": 0}, ValueError, "timeout"),
        ({"timeout": "soon"}, TypeError, "timeout as seconds"),
        ({"checkpoint_every": 0}, ValueError, "checkpoint_every"),
        ({"resume": True}, ValueError, "a checkpoint to resume from"),
        ({"data": []}, ValueError, "at least one"),
        ({"data": 3}, TypeError, "data"),
        ({"data": load}, ValueError, "shards=…"),
        ({"shards": 5}, ValueError, "shards=6, as many as the list has"),
        ({"data": (X, Y[:-1])}, ValueError, "as many targets as inputs"),
        ({"data": (X[:0], Y[:0])}, ValueError, "at least one sample"),
        ({"data": (dask.array.from_array(X), dask.array.from_array(Y[:-1]))}, ValueError, "as many targets as inputs"),
        ({"data": [*CHUNKS[:2], (X[:, :2], Y)]}, ValueError, r"shard 2: .*\(3,\).*\(2,\)"),
        ({"data": [(X, Y[:-1])]}, ValueError, "50 inputs and 49 targets"),
        ({"data": [lambda: ([], []), lambda: (X[:0], Y[:0])]}, ValueError, "2 shards without any"),
        ({"data": [lambda: 3]}, TypeError, "a shard as two arrays"),
        ({"data": [lambda: (["a"], [1])]}, TypeError, "real numbers"),
        ({"data": [lambda: 1 / 0]}, ZeroDivisionError, "division"),
        ({"data": [(X, Y + 7)]}, IndexError, "picks one of 2 values"),
    ]:
        with pytest.raises(kind, match=named):
            cluster.fit(**{**good, **wrong})
    assert numbers(model) == before
    assert tasks(two) == []


def test_an_error_says_in_which_shard_it_was(two: Any) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        Trained(two, data=[lambda: CHUNKS[0], lambda: 1 / 0])
    assert caught.value.__notes__ == ["That was shard 1; nothing has been trained."]


def test_a_loss_that_stops_being_finite_names_the_step_and_the_shard(two: Any) -> None:
    bad = [CHUNKS[0], (numpy.full((8, 3), numpy.inf), CHUNKS[1][1][:8])]
    for options in ({}, {"local_steps": 2}):
        with pytest.raises(mg.AnomalyError, match="step 0: the loss of shard 1 is nan"):
            Trained(two, data=bad, **options)
    for callbacks in ([], [lambda step: None]):
        model = network()
        optimizer = sgd(model, 1e308)
        with pytest.raises(mg.AnomalyError, match=r"step \d+: "):
            cluster.fit(two, model, CHUNKS, mg.cross_entropy, optimizer, 3, 11, callbacks=callbacks)
        assert all(map(numpy.isfinite, numbers(model)))
    assert tasks(two) == []


def test_an_asynchronous_client_is_refused(two: Any) -> None:
    async def try_it() -> None:
        async with distributed.Client(two.scheduler.address, asynchronous=True, set_as_default=False) as client:
            with pytest.raises(TypeError, match="not asynchronous"):
                Trained(client)

    asyncio.run(try_it())


# ── many trainings, and none of a cluster ───────────────────────────────────────────────────────────────────────────


def train(lr: float, seed: int = 0) -> float:
    if lr < 0:
        raise ValueError(f"a rate of {lr}")
    model = mg.MLP(3, [2], rng=seed)
    return mg.fit(
        model,
        list(zip(X.tolist(), Y.tolist(), strict=True)),
        mg.cross_entropy,
        mg.SGD(model.parameters(), lr),
        1,
        compiled=True,
    ).losses[0]


def test_a_sweep_gives_each_training_as_it_ends_and_goes_on_where_one_fails(two: Any) -> None:
    trials = list(cluster.sweep(two, train, {"lr": [0.1, -1.0], "seed": [1, 2]}))
    assert sorted((t.arguments["lr"], t.arguments["seed"]) for t in trials) == [(-1, 1), (-1, 2), (0.1, 1), (0.1, 2)]
    for trial in trials:
        if trial.arguments["lr"] < 0:
            assert (trial.result, str(trial.error)) == (None, "a rate of -1.0")
        else:
            assert (trial.result, trial.error) == (train(**trial.arguments), None)
    (only,) = cluster.sweep(two, train, [{"lr": 0.5}])
    assert only == ({"lr": 0.5}, train(0.5), None)


def test_leaving_a_sweep_cancels_what_has_not_ended(two: Any) -> None:
    trials = cluster.sweep(two, pause, {"seconds": [0, 60, 60, 60]})
    assert next(trials).arguments == {"seconds": 0}
    trials.close()
    until(
        lambda: not two.run_on_scheduler(lambda dask_scheduler: [k for k in dask_scheduler.tasks if "pause" in str(k)])
    )
    two.restart(timeout=PATIENCE)  # a function that runs is not interrupted


def pause(seconds: float) -> None:
    time.sleep(seconds)


def test_a_wrong_grid_is_named(two: Any) -> None:
    for grid, kind, named in [
        ([], ValueError, "at least one trial"),
        ({}, ValueError, "at least one trial"),
        ({"lr": []}, ValueError, "at least one trial"),
        (3, TypeError, "a list of dicts, or a dict of lists"),
        ({"lr": 3}, TypeError, "a list of choices"),
        ([3], TypeError, "a dict of arguments"),
    ]:
        with pytest.raises(kind, match=named):
            cluster.sweep(two, train, grid)
    with pytest.raises(TypeError, match="train as a function"):
        cluster.sweep(two, 3, [{}])


def test_without_a_client_a_cluster_of_this_computer_is_started_and_ended(
    expected: Callable[..., tuple[Any, ...]],
) -> None:
    before = set(threading.enumerate())
    assert Trained(None).result == expected()
    until(lambda: not [t for t in set(threading.enumerate()) - before if "Worker" in t.name])
    assert [trial.result for trial in cluster.sweep(None, train, [{"lr": 0.5}])] == [train(0.5)]
