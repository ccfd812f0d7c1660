"""Compiled programs beside micrograd, NumPy, JAX, PyTorch, CasADi and C written by hand, all in this run.

- W1: one full-batch step of micrograd's demo: an MLP 2-16-16-1, 100 moons, hinge loss and L2.
- W2: forward and backward of one digit through 64-32-10 with softmax cross-entropy.
- SimpleChains' network: 4-32-16-4 with tanh, a gradient of 10,000 samples. README: micrograd's first example.
- E: an epoch of digits through 64-32-10, 56 mini-batches of 32, SGD inside. Deep and wide: the same with other networks.

Numbers are 64-bit floats everywhere, Python's garbage collector is off unless a row says otherwise, and every contestant
has first computed the same loss and gradient, and, where it trains, the same losses. Each is written the way that was
found fastest for it:
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import micrograd_like as mg
from benchmarks.eager import expression
from benchmarks.peers import C, CasADi, Eager, Jax, Micrograd, NumPy, Ours, Task, Torch, entered
from benchmarks.race import Contestant, duration, race, single_thread
from benchmarks.report import Report, processor, versions
from micrograd_like.compiler import host, native
from micrograd_like.data import load_digits, make_moons
from micrograd_like.drawing.figure import Plot, canvas, label_end, name_axes

DIGITS = 56 * 32
STEPS = 1000  # of W1 inside of one call
EPOCHS = 20  # of E inside of one call


def moons() -> Task:
    samples = make_moons(100, noise=0.1, seed=1337)
    return Task((2, 16, 16, 1), np.array([x for x, _ in samples]), np.array([float(y) for _, y in samples]))


def digits(*hidden: int, count: int = DIGITS) -> Task:
    samples = [sample for part in load_digits() for sample in part][:count]
    return Task((64, *hidden, 10), np.array([x for x, _ in samples]), np.eye(10)[[y for _, y in samples]])


def contest(peers: dict[str, Any], make: Callable[[Any], Callable[[], object]], units: int) -> dict[str, Contestant]:
    return {name: Contestant(make(peer), units) for name, peer in peers.items()}


def w1(report: Report) -> None:
    task = moons()
    peers = entered(task, [Ours, C, Jax, NumPy, Torch, CasADi, Eager, Micrograd], batch=100)
    calls = contest(peers, lambda peer: peer.gradient(), 1)
    if Micrograd.name in calls:
        slow = calls.pop(Micrograd.name).call
        calls |= {f"micrograd, collector {'on' if on else 'off'}": Contestant(slow, 1, on) for on in (True, False)}
    results = race(calls | ways(task, peers[Ours.name].program) | {"compiled, samples as constants": constants(task)})
    report.table("W1, one call: loss and gradient", results, "call")
    report.goal("W1, a call against a call", {name: r for name, r in results.items() if name in calls})
    trained = {name: peers[name] for name in peers if name in (Ours.name, C.name, Jax.name, NumPy.name, Torch.name)}
    inside = contest(trained, lambda peer: peer.training(100, STEPS), STEPS)
    for name in (NumPy.name, Torch.name):
        if name in inside:
            inside[name] = Contestant(trained[name].training(100, 20), 20)
    results = race(inside)
    report.table(f"W1, {STEPS:,} steps of SGD in one call", results, "step")
    report.goal("W1, steps inside", results, {Jax.name: "JAX scan"})
    if Jax.name in results:
        mixed = race({"ours": calls[Ours.name], Jax.name: inside[Jax.name]})
        report.goals.append(("W1, a call of ours", "JAX scan, a step", mixed[Jax.name].ratio))
    rate(report, "W1", task, peers, 100, STEPS)


def w2(report: Report) -> None:
    task = digits(32, count=1)
    peers = entered(task, [Ours, C, Jax, NumPy, Torch, CasADi, Eager, Micrograd])
    calls = contest(peers, lambda peer: peer.gradient(), 1)
    bound = ways(task, peers[Ours.name].program)
    results = race(calls | bound)
    report.table("W2, one call: loss and gradient of one digit", results, "digit")
    report.goal("W2, a call against a call", {name: r for name, r in results.items() if name in calls})
    if CasADi.name in calls:  # which is told its arrays once, too
        results = race({"bound": bound["compiled, bound, at=theta"], CasADi.name: calls[CasADi.name]})
        report.goal("W2, bound with theta", results)
    many = entered(digits(32), [Ours, C], batch=1)
    results = race(contest(many, lambda peer: peer.training(1, 1), DIGITS))
    report.table(f"W2, {DIGITS:,} digits in one call, a step of SGD for each", results, "digit")
    report.goal("W2, digits inside", results)


def ways(task: Task, program: mg.Program) -> dict[str, Contestant]:
    """Calls that are told more beforehand: the parameters as a vector, the samples once."""
    theta, step = program.theta(), program.bind(task.x, task.y)
    return {
        "compiled, at=theta": Contestant(lambda: program.gradient(task.x, task.y, at=theta)),
        "compiled, bound": Contestant(step),
        "compiled, bound, at=theta": Contestant(lambda: step(theta)),
    }


def constants(task: Task) -> Contestant:
    """The loss over the whole data set as one function without inputs, as micrograd's demo has it."""
    rows = list(zip(task.x.tolist(), task.y.tolist(), strict=True))

    def loss() -> Any:
        return mg.mean([task.error(x, y) for x, y in rows]) + task.penalty()

    return Contestant(mg.compile(loss, task.model.parameters(), cached=False).gradient)


def small(report: Report) -> None:
    """What others have measured: SimpleChains' network, and micrograd's first example, as BurTorch's authors did."""
    rng = np.random.default_rng(0)
    model = mg.MLP(4, [32, 16, 4], activation="tanh", rng=0)
    x, y = rng.random((10_000, 4)), rng.random((10_000, 4))
    chains = mg.compile(lambda x, y: mg.mse_loss(model(x), y), model.parameters(), cached=False, x=4, y=4)
    theta, step = chains.theta(), chains.bind(x, y)
    first, second = mg.Value(-4.0), mg.Value(2.0)
    example = mg.compile(lambda: expression(first, second), [first, second], cached=False)
    products = mg.compile(lambda: expression(first, second, by_products=True), [first, second], cached=False)
    turns = 100_000
    results = race({
        "SimpleChains' network, 10,000 samples": Contestant(lambda: step(theta)),
        "micrograd's README, a step inside a call": Contestant(lambda: example.sgd(lr=1e-12, epochs=turns), turns),
        "the same, b*b*b and e*e instead of powers": Contestant(lambda: products.sgd(lr=1e-12, epochs=turns), turns),
    })  # fmt: skip
    report.say("\n### What others have measured\n")
    stated = ("41 µs on each of 18 cores", "70 ns (BurTorch, arXiv 2503.13795)", "")
    report.grid(
        ["a gradient of", "here", "stated elsewhere, on other machines"],
        [(name, duration(r.seconds), other) for (name, r), other in zip(results.items(), stated, strict=True)],
    )


def optimizers(report: Report) -> None:
    """What a step of each optimizer costs for each parameter, inside of a call."""
    rows = []
    for hidden in (32, 512):
        program = digits(hidden, count=1).compiled()
        size, steps = len(program.parameters), 400_000 // hidden
        code = {}
        for kind in (mg.SGD, mg.Adam, mg.AdamW):
            code[kind.__name__] = Contestant(
                partial(stepped, program, kind(program.parameters, lr=1e-12), steps), steps
            )
        code["SGD with momentum"] = Contestant(
            partial(stepped, program, mg.SGD(program.parameters, lr=1e-12, momentum=0.9), steps), steps
        )
        found = race(code, rounds=5)
        base = found["SGD"].seconds
        rows += [
            (name, f"{size:,}", duration(r.seconds), f"{(r.seconds - base) / size * 1e9:.2f} ns")
            for name, r in found.items()
        ]
    report.say("\n### Optimizers inside of a call: a step with one digit\n")
    report.grid(["optimizer", "parameters", "per step", "more than SGD, per parameter"], rows)


def stepped(program: mg.Program, optimizer: Any, steps: int) -> Any:
    return program.train(np.zeros((1, 64)), np.eye(10)[:1], optimizer=optimizer, epochs=steps)


def epochs(report: Report, name: str, task: Task) -> None:
    peers = entered(task, [Ours, C, Jax, NumPy, Torch], batch=32)
    calls = contest(peers, lambda peer: peer.training(32, EPOCHS), EPOCHS)
    for slow in (NumPy.name, Torch.name):
        if slow in calls:
            calls[slow] = Contestant(peers[slow].training(32, 1))
    shuffled = Contestant(peers[Ours.name].training(32, EPOCHS, shuffle=True), EPOCHS)
    results = race({**calls, "compiled, samples shuffled": shuffled}, rounds=7)
    report.table(f"{name}: {'-'.join(map(str, task.sizes))}, an epoch of 56 × 32 digits", results, "epoch")
    results.pop("compiled, samples shuffled")
    report.goal(name, results, {Jax.name: "JAX scan"})
    rate(report, name, task, peers, 32, EPOCHS)


def rate(report: Report, name: str, task: Task, peers: dict[str, Any], batch: int, epochs: int) -> None:
    """What share of the processor's peak the two fastest reach, all measured side by side."""
    if C.name not in peers:
        return
    reference = peers[C.name]
    peak, best = 0.0, dict.fromkeys((Ours.name, C.name), float("inf"))
    for _ in range(9):
        peak = max(peak, reference.peak())
        for which in best:
            call = peers[which].training(batch, epochs)
            start = time.perf_counter()
            call()
            best[which] = min(best[which], (time.perf_counter() - start) / epochs)
    work = task.operations * len(task.x)
    shares = ", ".join(f"{who} {work / t / 1e9:.1f} ({work / t / peak:.0%})" for who, t in best.items())
    report.say(f"\n{name}, in billions of operations per second: {shares}; the measured peak is {peak / 1e9:.1f}.")


def compile_times(report: Report) -> None:
    def timed(make: Callable[[], mg.Program], *inputs: Any) -> tuple[float, float]:
        best = (float("inf"), 0.0)
        for _ in range(5):
            start = time.perf_counter()
            program = make()
            traced = time.perf_counter() - start
            program.gradient(*inputs)
            best = min(best, (time.perf_counter() - start, traced))
        return best

    rows = []
    small, large, rng = moons(), digits(32, count=32), np.random.default_rng(0)
    for name, task in (("W1, written per sample", small), ("E", large)):
        whole, traced = timed(task.compiled, task.x, task.y)
        rows.append((name, duration(whole), duration(traced), f"{recorded(task.compiled()):,}"))
    deep = Task((784, 128, 64, 10), rng.random((32, 784)), np.eye(10)[rng.integers(0, 10, 32)])
    layers = [[(neuron.w, neuron.b) for neuron in layer.neurons] for layer in deep.model.layers]

    def by_hand(x: Any, y: Any) -> Any:
        for k, layer in enumerate(layers):
            x = [sum((w * v for w, v in zip(ws, x, strict=True)), b) for ws, b in layer]
            x = [v.relu() for v in x] if k < len(layers) - 1 else x
        return mg.cross_entropy(x, y)

    def scalars() -> mg.Program:
        return mg.compile(by_hand, deep.model.parameters(), cached=False, x=784, y=10)

    for name, make in (("784-128-64-10, every product and sum", scalars), ("784-128-64-10, mg.MLP", deep.compiled)):
        whole, traced = timed(make, deep.x, deep.y)
        rows.append((name, duration(whole), duration(traced), f"{recorded(make()):,}"))
    whole, traced = timed(irregular, rng.random((32, 10)))
    rows.append(("operations at random", duration(whole), duration(traced), f"{recorded(irregular()):,}"))
    report.say("\n### Compiling, until the first result is there\n")
    report.grid(["", "all stages", "of which trace to nests", "scalar operations"], rows)

    with tempfile.TemporaryDirectory() as folder:
        os.environ[native.CACHE_VARIABLE] = folder
        large.compiled(cached=True).gradient(large.x, large.y)
        found = []
        for _ in range(9):
            program = large.compiled(cached=True)
            start = time.perf_counter()
            program.gradient(large.x, large.y)
            found.append(time.perf_counter() - start)
        del os.environ[native.CACHE_VARIABLE]
    report.say(f"\nMachine code of E from the cache on disk, with its first result: {duration(min(found))}.")
    for name, task in (("W1", small), ("E", large)):
        try:
            found = []
            for _ in range(3):
                start = time.perf_counter()
                Jax(task).gradient()()
                found.append(time.perf_counter() - start)
            report.say(f"JAX, until its first result of {name}: {duration(min(found))}.")
        except ImportError:
            continue


def recorded(program: mg.Program) -> int:
    """How many scalar operations a program has, by its own heading."""
    return int(str(program).split()[1])


def irregular() -> mg.Program:
    """A hundred thousand operations on operands from here and there."""
    rng = random.Random(1)
    parameters = [mg.Value(rng.uniform(-1, 1)) for _ in range(100)]

    def function(x: Any) -> Any:
        values = [*x, *parameters]
        for _ in range(80_000):
            a, b = values[-1 - rng.randrange(30)], values[rng.randrange(len(values))]
            kind = rng.randrange(4)
            values.append(a * b if kind == 0 else a - b if kind == 1 else (a + b) * 0.5 if kind == 2 else a.tanh())
        return mg.mean(values[-500:])

    return mg.compile(function, parameters, cached=False, x=10)


COLOURS = ("#cc5500", "#777777", "#1b7dc0", "#00843d", "#7b3294", "#b8860b", "#a0522d")
Curves = dict[str, list[tuple[int, float]]]  # per peer: (parameters, billions of operations per second)


def growth(report: Report | None = None) -> tuple[Curves, float]:
    """Speed against the size of the network, for everybody, and the processor's peak (0 where it is not known)."""
    curves: Curves = {}
    peak = 0.0
    for hidden in (2, 8, 32, 128, 512, 2048, 13_312):
        task = digits(hidden, count=32)
        kinds: list[type] = [Ours, C, Jax, NumPy, Torch]
        if hidden <= 32:
            kinds += [Eager, Micrograd]
        peers = entered(task, kinds)
        if C.name in peers:
            peak = max(peak, *[peers[C.name].peak() for _ in range(3)])
        program, theta = peers[Ours.name].program, task.start
        at = Contestant(lambda program=program, task=task, theta=theta: program.gradient(task.x, task.y, at=theta))
        results = race(contest(peers, lambda peer: peer.gradient(), 1) | {"compiled, at=theta": at}, rounds=5)
        if report is not None:
            mine = results["compiled, at=theta"].seconds
            for name, result in results.items():
                if not name.startswith("compiled"):
                    where = f"{len(task.start):,} parameters, 32 digits, at=theta"
                    report.goals.append((where, name, result.seconds / mine))
        for name, result in results.items():
            speed = task.operations * 32 / result.seconds / 1e9
            curves.setdefault(name, []).append((len(task.start), speed))
        print(
            f"{len(task.start):>8,} parameters: " + ", ".join(f"{n} {c[-1][1]:.3g}" for n, c in curves.items()),
            flush=True,
        )
    return curves, peak / 1e9


def picture(curves: Curves, peak: float) -> Plot:
    """The curves, and the peak as a line."""
    colours = dict(
        zip((Ours.name, C.name, Jax.name, NumPy.name, Torch.name, Eager.name, Micrograd.name), COLOURS, strict=True)
    )
    title = "How many operations a second each way computes, by the size of the network"
    with canvas(400, title=title) as (figure, grid):
        ax = grid[0, 0]
        for name, points in curves.items():
            ours = name.startswith(Ours.name)
            ax.plot(
                *zip(*points, strict=True), color=colours[Ours.name if ours else name], marker="o", markersize=4,
                linewidth=2.2 if ours else 1.3, linestyle="--" if name == Ours.name else "-",
            )  # fmt: skip
            label = f"{name}, reads Values" if name == Ours.name else name
            label_end(ax, label, *zip(*points, strict=True), colours[Ours.name if ours else name])
        if peak:
            ax.axhline(peak, color="#777777", linestyle="--", linewidth=1)
            ax.text(0.01, peak * 1.2, "what one core can do at most", transform=ax.get_yaxis_transform())
        ax.set(xscale="log", yscale="log", ylim=(None, 3 * peak if peak else None))
        name_axes(ax, "parameters of the network 64-h-10", "32 digits, one call: billions of operations per second")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(lambda x, _: f"{x:,.0f}" if x >= 1 else f"{x:g}")
        return Plot(figure)


def main(write: Path | None = None) -> None:
    how = single_thread()
    report = Report()
    report.say("# The compiler beside its peers\n")
    report.say(__doc__ or "")
    for kind in (Ours, C, Jax, NumPy, Torch, CasADi, Eager, Micrograd):
        report.say(f"- {kind.name}: {(kind.__doc__ or '').splitlines()[0]}")
    report.say(f"\nPython {sys.version.split()[0]} on {processor()} ({host.processor()[0]}); {how}. {versions()}.")
    report.say("A time is the median of interleaved rounds; a ratio is the median of the rounds' ratios.")
    w1(report)
    w2(report)
    small(report)
    epochs(report, "E", digits(32))
    epochs(report, "Deep", digits(*[32] * 7))
    epochs(report, "Wide", digits(512))
    compile_times(report)
    optimizers(report)
    print("\nspeed against size, in billions of operations per second")
    curves, peak = growth(report)
    report.say("\n### In short\n")
    report.short()
    if write is not None:
        write.mkdir(parents=True, exist_ok=True)
        picture(curves, peak).savefig(write / "benchmarks.svg")
        report.say("\n### Speed against size\n\n![speed against size](benchmarks.svg)")
        (write / "benchmarks.md").write_text("\n".join(report.lines) + "\n", encoding="utf-8")
