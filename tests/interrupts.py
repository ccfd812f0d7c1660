"""Ctrl-C at every instruction: what changes more than one thing is old or new afterwards, never between, and works on.

A case is a call. It is made again and again, and a KeyboardInterrupt is raised before its first instruction in the
library's code, its second, and so on to its last. That is at more places than Python itself looks at signals: it does so
where a function begins, after a call, and where a loop goes back. A case that takes a lock is interrupted at those
alone, for between the last instruction of a `with` block and its end, where no signal is looked at, nobody could help.

The tests take a sample of the places; `python tests/interrupts.py`, which is a part of `make hunt`, takes all of them.
"""

from __future__ import annotations

import argparse
import atexit
import dis
import os
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np

import micrograd_like as mg
from micrograd_like import engine
from micrograd_like.caller import PACKAGE
from micrograd_like.compiler.trace import trace
from micrograd_like.optim import Optimizer
from micrograd_like.tutor import progress, script
from micrograd_like.tutor.reading import Reading


@dataclass
class Situation:
    """A call in a world of its own."""

    call: Callable[[], Any]
    state: Callable[[], Any]  # all that the call may change
    works: Callable[[], Any] = lambda: None  # raises where the library no longer does what it did
    everywhere: bool = True  # also where Python does not look at signals


@cache
def instructions(code: CodeType) -> tuple[dict[int, str], int]:
    """The name of each instruction, by its place; and the first place behind a function's beginning, where all count."""
    names = {instruction.offset: instruction.opname for instruction in dis.get_instructions(code)}
    return names, next(place for place, name in names.items() if name == "RESUME") + 2


def interrupted(call: Callable[[], Any], at: int | None, everywhere: bool) -> int:
    """Call, and interrupt it before the instruction with that number, counted from 0; None: never.

    Counted are all instructions, or those before which Python looks at signals. Returns how many there were, up to the
    interrupt.
    """
    count, raised = 0, False
    looks: dict[int, bool] = {}  # by a frame's id: whether Python looks at signals before its next instruction

    def instruction(frame: FrameType) -> None:
        nonlocal count, raised
        place, (opnames, start) = frame.f_lasti, instructions(frame.f_code)
        if place < start or raised:
            return
        if everywhere or place == start or looks[id(frame)]:
            if count == at:
                raised = True
                raise KeyboardInterrupt
            count += 1
        name = opnames.get(place, "")
        looks[id(frame)] = name.startswith(("CALL", "RESUME", "JUMP_BACKWARD")) and "NO_INTERRUPT" not in name

    with watched(instruction):
        try:
            call()
        except KeyboardInterrupt:
            if not raised:
                raise
    return count


@contextmanager
def watched(instruction: Callable[[FrameType], None]) -> Iterator[None]:
    """Call it before each instruction of the library's code that this thread runs."""
    if sys.version_info >= (3, 12):
        # Since then not every call traces its instructions.
        monitoring, tool, thread = sys.monitoring, sys.monitoring.PROFILER_ID, threading.get_ident()

        def reached(code: CodeType, offset: int) -> Any:
            if not code.co_filename.startswith(PACKAGE):
                return monitoring.DISABLE
            return instruction(sys._getframe(1)) if threading.get_ident() == thread else None

        monitoring.use_tool_id(tool, "interrupts")
        monitoring.register_callback(tool, monitoring.events.INSTRUCTION, reached)
        monitoring.restart_events()
        monitoring.set_events(tool, monitoring.events.INSTRUCTION)
        try:
            yield
        finally:
            monitoring.set_events(tool, 0)
            monitoring.free_tool_id(tool)
        return

    def function(frame: FrameType, event: str, arg: Any) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return step

    def step(frame: FrameType, event: str, arg: Any) -> Any:
        if event == "opcode":
            instruction(frame)
        return step

    before = sys.gettrace()
    sys.settrace(function)
    try:
        yield
    finally:
        sys.settrace(before)


def check(make: Callable[[], Situation], places: Callable[[int], Iterable[int]]) -> int:
    """Interrupt the call at these of its instructions, given their number. Returns how often that was.

    Raises AssertionError where a state was left that no step of the call ends in, or the library no longer works.
    """
    situation = make()
    allowed = [situation.state()]
    commit = Optimizer.commit

    def noted(self: Optimizer, *args: Any) -> None:
        commit(self, *args)
        allowed.append(situation.state())

    Optimizer.commit = noted  # type: ignore[method-assign]
    try:
        situation.call()
    finally:
        Optimizer.commit = commit  # type: ignore[method-assign]
    allowed.append(situation.state())
    size = interrupted(
        make().call, None, situation.everywhere
    )  # the second call: nothing is imported or compiled any more
    places = list(places(size))
    for at in places:
        situation = make()
        interrupted(situation.call, at, situation.everywhere)
        found = situation.state()
        assert found in allowed, f"interrupted at instruction {at} of {size}: {found} is none of {allowed}"
        situation.works()
        elsewhere()
    return len(places)


def elsewhere() -> None:
    """Walk a graph in another thread. Raises AssertionError where it waits for ever: a lock was left behind."""
    thread = threading.Thread(target=(mg.Value(2.0) * 3).backward, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "a lock was left behind"


def numbers(optimizer: Optimizer) -> Any:
    """What an optimizer changes: parameters, what it remembers, and its count of steps."""
    state = [list(getattr(optimizer, name)) for name in optimizer.STATE]
    return [p.data for p in optimizer.parameters], state, optimizer.steps


SAMPLES = [([0.5, -1.0], 1.0), ([1.5, 0.25], -1.0), ([-0.75, 2.0], 0.5)]
XS, YS = [x for x, _ in SAMPLES], [y for _, y in SAMPLES]


def small() -> mg.MLP:
    return mg.MLP(2, [2, 1], activation="tanh", rng=0)


def optimizer_step(kind: Callable[..., Optimizer]) -> Situation:
    model = small()
    optimizer = kind(model.parameters())
    for k, p in enumerate(optimizer.parameters):
        p.grad = 0.5 + k
    optimizer.step()
    return Situation(optimizer.step, lambda: numbers(optimizer))


def zero_grad(of: Callable[[mg.MLP], Any]) -> Situation:
    model = small()
    for p in model.parameters():
        p.grad = 1.0
    return Situation(of(model).zero_grad, lambda: [p.grad for p in model.parameters()])


def load_state_dict() -> Situation:
    model, state = small(), mg.MLP(2, [2, 1], rng=1).state_dict()
    return Situation(lambda: model.load_state_dict(state), model.state_dict)


@cache
def weights() -> Path:
    path = Path(tempfile.mkdtemp()) / "weights"
    mg.save_weights(mg.MLP(2, [2, 1], rng=1), path)
    return path


def load_weights() -> Situation:
    model = small()
    return Situation(lambda: mg.load_weights(model, weights()), model.state_dict)


def save_weights() -> Situation:
    path, model = weights().with_name("saved"), mg.MLP(2, [2, 1], rng=2)
    mg.save_weights(small(), path)
    others = sorted(path.parent.iterdir())

    def works() -> None:
        assert sorted(path.parent.iterdir()) == others

    return Situation(lambda: mg.save_weights(model, path), path.read_bytes, works)


def eager_fit() -> Situation:
    model = mg.Neuron(2, nonlin=False, rng=0)
    optimizer = mg.Adam(model.parameters(), lr=0.1)
    return Situation(
        lambda: mg.fit(model, SAMPLES[:1], mg.mse_loss, optimizer, epochs=2, batch_size=1, progress=False),
        lambda: numbers(optimizer),
        everywhere=False,
    )


@cache
def compiled() -> tuple[mg.MLP, mg.Program, dict[str, float], tuple[float, float]]:
    """A model, its program, the numbers they start from, and the losses of all samples and of the first."""
    model = small()
    program = mg.compile(lambda x, y: mg.mse_loss(model(x), y), model.parameters(), x=2, y=())
    return model, program, model.state_dict(), (program(XS, YS), program(XS[:1], YS[:1]))


def compiled_sgd() -> Situation:
    model, program, start, losses = compiled()
    model.load_state_dict(start)

    def works() -> None:
        model.load_state_dict(start)
        assert (program(XS, YS), program(XS[:1], YS[:1])) == losses

    return Situation(
        lambda: program.sgd(XS, YS, lr=0.1, momentum=0.5, epochs=2, batch_size=2),
        lambda: [p.data for p in program.parameters],
        works,
        everywhere=False,
    )


def compiled_on_two_cores() -> Situation:
    """Two shards and a half, so that a helper is asked for."""
    model, program, start, _ = compiled()
    model.load_state_dict(start)
    program = program.portable()
    x = np.linspace(-1, 1, 2 * (program.shard(1) * 5 // 2)).reshape(-1, 2)
    y, theta = x[:, 0].copy(), np.array([p.data for p in model.parameters()])
    program.alone = 0
    expected = program.gradient(x, y, at=theta)

    def works() -> None:
        loss, gradient = program.gradient(x, y, at=theta, n_jobs=2)
        assert loss == expected[0]
        assert (gradient == expected[1]).all()

    return Situation(lambda: program.gradient(x, y, at=theta, n_jobs=2), lambda: None, works, everywhere=False)


def compiled_call() -> Situation:
    model, program, start, losses = compiled()
    model.load_state_dict(start)
    program(XS[:1], YS[:1])

    def works() -> None:
        assert (program(XS[:1], YS[:1]), program(XS, YS)) == losses[::-1]

    return Situation(lambda: program.gradient(XS, YS), model.state_dict, works, everywhere=False)


class Factor(mg.Module):
    """One parameter, as a fit that is compiled takes many instructions."""

    def __init__(self) -> None:
        self.w = mg.Value(0.5)

    def __call__(self, x: Any) -> Any:
        return self.w * x


def compiled_fit(callbacks: Sequence[Callable[[mg.Step], Any]] = ()) -> Situation:
    model = Factor()
    optimizer = mg.SGD([model.w], lr=0.1, momentum=0.5)
    samples = [(1.0, 2.0), (3.0, 4.0)]

    def call() -> None:
        mg.fit(model, samples, mg.mse_loss, optimizer, 2, 1, compiled=True, callbacks=callbacks, progress=False)

    def works() -> None:
        assert (type(model.w), type(model.w.data), Factor()(2.0).data) == (mg.Value, float, 1.0)

    return Situation(call, lambda: numbers(optimizer), works, everywhere=False)


def recording() -> Situation:
    model = small()
    parameters = model.parameters()

    def call() -> Any:
        return trace(lambda x: model(x), parameters, {"x": (2,)})

    def works() -> None:
        assert [float(p.data) for p in parameters] == list(small().state_dict().values())
        assert call().parameters == len(parameters)
        assert model(XS[0]).data == small()(XS[0]).data
        assert all(type(p) is mg.Value for p in parameters)

    return Situation(call, lambda: None, works, everywhere=False)


def explain_step() -> Situation:
    model = mg.Neuron(2, nonlin=False, rng=0)
    loss = mg.mse_loss(model(XS[0]), YS[0])
    loss.backward()

    def state() -> Any:
        return [(p.data, p.grad, p.label) for p in model.parameters()], loss.data, loss.grad

    return Situation(lambda: mg.explain_step(loss, model, lr=0.1, progress=False), state, everywhere=False)


def watching() -> Situation:
    def call() -> None:
        with mg.detect_anomaly():
            (mg.Value(2.0) * 3).backward()

    def works() -> None:
        assert mg.Value(0.0).log().data == -engine.ieee.INF

    return Situation(call, lambda: None, works, everywhere=False)


@cache
def chapter() -> script.Chapter:
    """Of two steps, the second of which a reader can change."""
    path = Path(tempfile.mkdtemp()) / "01_small.py"
    path.write_text("# %%\nn = 40\n# %%\nn += 2\nprint(n)\n")
    return script.read(path)


@cache
def reading() -> Reading:
    """A reader in a chapter, whose kernel ends with this process."""
    os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp()
    found = Reading(chapter())
    atexit.register(found.close)
    return found


def tutor() -> Situation:
    """A reader goes to a step, changes a number, runs the step and goes back. It is one kernel's, made anew where it must be."""
    reader = reading()
    reader.session.typed.clear()
    reader.go(0)
    before = sorted(progress.file().parent.iterdir())

    def call() -> None:
        reader.go(1)
        reader.type("n = 70")
        reader.run()

    def works() -> None:
        changed = bool(reader.session.changes())
        reader.go(1)
        assert [say.what for say in reader.run() if say.kind == "output"] == ["72" if changed else "42"]
        assert sorted(progress.file().parent.iterdir()) == before

    def state() -> Any:
        return progress.load()["01_small"]["at"] in (0, 1), reader.session.changes() in ([], ["n = 70"])

    return Situation(call, state, works, everywhere=False)


CASES: dict[str, Callable[[], Situation]] = {
    "SGD.step": lambda: optimizer_step(lambda p: mg.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01)),
    "Adam.step": lambda: optimizer_step(lambda p: mg.AdamW(p)),
    "SGD.zero_grad": lambda: zero_grad(lambda model: mg.SGD(model.parameters(), 0.1)),
    "Module.zero_grad": lambda: zero_grad(lambda model: model),
    "load_state_dict": load_state_dict,
    "load_weights": load_weights,
    "save_weights": save_weights,
    "fit": eager_fit,
    "compiled gradient": compiled_call,
    "compiled sgd": compiled_sgd,
    "compiled gradient on two cores": compiled_on_two_cores,
    "compiled fit": compiled_fit,
    "compiled fit with callbacks": lambda: compiled_fit([lambda step: None]),
    "trace": recording,
    "explain_step": explain_step,
    "detect_anomaly": watching,
    "tutor": tutor,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("cases", nargs="*", default=list(CASES), help="all by default")
    warnings.simplefilter("ignore", ResourceWarning)  # a file that was opened, and not yet in its block
    for name in parser.parse_args().cases:
        start = time.monotonic()
        count = check(CASES[name], range)
        print(f"{name}: {count:,} instructions, {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
