"""Stage 11, entry: what Python calls, down to the training loop itself.

The main module has `run`: for every mini-batch the section that all samples share, the shards (shards.py), the mean
loss, and where training is asked for the optimizer's step, a function of its own (steps.py). `help` is what other
threads call meanwhile. `read` fetches the parameters' numbers (objects.py), `read_and_run` does both at once, and `look`
finds a sample whose whole numbers pick what is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from micrograd_like.compiler import shards
from micrograd_like.compiler.adjoint import Nests
from micrograd_like.compiler.blocks import Parts, section
from micrograd_like.compiler.fields import FORWARD, GRADIENT, TRAIN, Entry
from micrograd_like.compiler.machine import ATTRIBUTES, definitions
from micrograd_like.compiler.memory import ARGUMENTS, POINTERS, Layout, Shape
from micrograd_like.compiler.spaces import padded


def main_module(parts: Parts, width: int, check: bool) -> str:
    """The module with `run`, `help`, `read`, reading and running at once, and `look`. `width`: the lanes of rows."""
    texts, used = _once(parts, width, check)
    for text, needs in shards.definitions(parts):
        texts.append(text)
        used |= needs
    functions: dict[str, Callable[[Entry, Parts], str]] = {
        "run": _run, "read": _read, "read_and_run": _read_and_run, "look": _look,
    }  # fmt: skip
    for name, write in functions.items():
        w = Entry()
        answer = write(w, parts)
        texts.append(w.function(name, "ptr %fields", answer, "i64"))
        used |= w.used
    return "\n".join([*texts, *definitions(used), ATTRIBUTES])


def _once(parts: Parts, width: int, check: bool) -> tuple[list[str], set[Any]]:
    """The functions of the section that all samples share, and what they use."""
    once, rows = parts.once, parts.once.rows

    def written(nests: Nests, prefix: str, shape: Shape, **frames: int) -> tuple[list[str], set[Any]]:
        return section(
            nests, Layout(shape, parts.tables, checked=parts.sizes(nests) if check else None, **frames), prefix
        )

    if rows is None:
        return written(once.after, "shared_", Shape(1, 8))
    found = [
        written(once.before, "before_", Shape(1, 8)),
        written(rows.body, "rows_", Shape(width, 4), stride=width, slot=rows.length),
        written(once.after, "after_", Shape(1, 8)),
    ]
    texts, used = [text for each, _ in found for text in each], set().union(*[needs for _, needs in found])
    backward = ("sweep", "contribute")
    for name, calls in (
        ("forward", [("before", "forward"), ("rows", "forward"), ("after", "forward")]),
        ("sweep", [(part, each) for part in ("after", "rows", "before") for each in backward]),
        ("contribute", []),
    ):
        w = Entry()
        frames = [w.at("double", p, rows.start) for p in ("%node", "%adj")]
        inputs = w.at("double", "%consts", parts.table_start)
        common = ("%temp", "%params", "%node", "%consts", "%gp", "%adj", "%tables")
        own, same = (
            ", ".join(f"ptr {p}" for p in pointers)
            for pointers in ((inputs, *frames, *common), (*POINTERS.values(), "%tables"))
        )
        for part, call in calls:
            given = f"{own}, i64 {rows.length // width}" if part == "rows" else f"{same}, i64 1"
            w.do(f"call void @{part}_{call}({given})")
        texts.append(w.function(f"shared_{name}", ARGUMENTS, linkage="internal "))
        used |= w.used
    return texts, used


def _run(w: Entry, parts: Parts) -> str:
    """1 where a gradient was asked for and one of its numbers is nan, else 0."""
    mode, steps, gradient, losses, params, desks, call = w.fields(
        "mode", "steps", "gradient", "losses", "params", "desks", "call"
    )
    wants, trains = w.is_so("ne", mode, FORWARD), w.is_so("eq", mode, TRAIN)
    helped = w.is_so("ne", call, 0)
    w.when(wants, lambda: w.clear(gradient, 8 * parts.parameters))
    before = w.when(helped, lambda: shards.open_call(w), "i64", "0")

    def step(number: str, _: Sequence[str]) -> list[str]:
        w.do(f"call void @shared_forward({shards.shared_arguments(w, parts, desks, gradient)})")
        _, count, _, several = shards.batch(w, parts, number)
        (chunk,) = w.fields("chunk")
        alone = w.is_so("ule", several, chunk)
        w.when(
            alone,
            lambda: w.do(
                f"call void @shards(ptr %fields, ptr {desks}, i64 {number}, i64 0, i64 {several}, ptr {gradient})"
            ),
        )
        w.when(w.put(f"xor i1 {alone}, true"), lambda: shards.publish(w, number, before, desks))
        loss = w.load("double", gradient, padded(parts.parameters))
        if parts.widths:
            loss = w.strict("fdiv", loss, w.put(f"uitofp i64 {count} to double"))
        w.do(f"store double {loss}, ptr {w.at('double', losses, number)}, align 8")
        w.when(trains, lambda: move(number))
        return []

    def move(number: str) -> None:
        update, rates, stride, state = w.fields("update", "rates", "rates_stride", "state")
        here = w.at("double", rates, w.integers_of("mul", number, stride))
        w.do(f"call void {update}(ptr {params}, ptr {gradient}, ptr {state}, ptr {here})")

    w.loop(steps, [], step)
    w.when(helped, lambda: shards.close_call(w))
    return w.when(w.is_so("eq", mode, GRADIENT), lambda: _any_nan(w, gradient, parts.parameters), "i64", "0")


def _any_nan(w: Entry, gradient: str, parameters: int) -> str:
    """1 where one of the numbers is nan, else 0; behind the last one are zeros."""

    def look(k: str, found: Sequence[str]) -> list[str]:
        eight = w.load(shards.EIGHT, gradient, k)
        return [w.put(f"or <8 x i1> {found[0]}, {w.put(f'fcmp uno {shards.EIGHT} {eight}, zeroinitializer')}")]

    if not parameters:
        return "0"
    (found,) = w.loop(parameters, [("<8 x i1>", "zeroinitializer")], look, 8)
    some = w.put(f"icmp ne i8 {w.put(f'bitcast <8 x i1> {found} to i8')}, 0")
    return w.put(f"zext i1 {some} to i64")


def _read(w: Entry, parts: Parts) -> str:
    """How many parameters were read: up to the first one whose number is no float, or is not there."""
    values, params, data_offset, type_offset, number_offset, float_type = w.fields(
        "values", "params", "data_offset", "type_offset", "number_offset", "float_type"
    )
    if not parts.parameters:
        return "0"

    def byte(pointer: str, offset: str) -> str:
        return w.at("i8", pointer, offset)

    def one(k: str, numbers: Sequence[str]) -> list[str]:
        """Reads on where all were floats so far, and else from where nothing is read."""
        value = w.load("ptr", values, k)
        data = w.load("ptr", byte(value, data_offset))
        there = w.put(f"icmp ne ptr {data}, null")
        kind = w.when(there, lambda: w.load("ptr", byte(data, type_offset)), "ptr", "null")
        is_float = w.put(f"icmp eq ptr {kind}, {float_type}")
        zero = w.number(0.0)
        number = w.when(is_float, lambda: w.load("double", byte(data, number_offset)), "double", zero)
        w.do(f"store double {number}, ptr {w.at('double', params, k)}, align 8")
        return [w.integers_of("add", numbers[0], w.put(f"zext i1 {is_float} to i64"))]

    return w.loop(str(parts.parameters), [("i64", "0")], one)[0]


def _read_and_run(w: Entry, parts: Parts) -> str:
    """What `run` answers, or -1 where not all parameters could be read."""
    found = w.put("call i64 @read(ptr %fields)")
    every = w.put(f"icmp eq i64 {found}, {parts.parameters}")
    return w.when(every, lambda: w.put("call i64 @run(ptr %fields)"), "i64", "-1")


def _look(w: Entry, parts: Parts) -> str:
    """The number of samples before the first whose numbers pick (`gather`) what is not there; all where there is none."""
    samples, inputs = w.fields("samples", "inputs")
    w.used.add("declare double @llvm.floor.f64(double)")

    def one(sample: str, found: Sequence[str]) -> list[str]:
        wrong = "false"
        for place, size in parts.gathers:
            k, offset = 0, place
            while offset >= parts.widths[k]:
                k, offset = k + 1, offset - parts.widths[k]
            start = w.integers_of("mul", sample, parts.widths[k])
            x = w.load("double", w.load("ptr", inputs, k), w.integers_of("add", start, offset))
            whole = w.put(f"call double @llvm.floor.f64(double {x})")
            for predicate, y in (("une", whole), ("ult", w.number(0.0)), ("uge", w.number(float(size)))):
                wrong = w.put(f"or i1 {wrong}, {w.put(f'fcmp {predicate} double {x}, {y}')}")
        here = w.put(f"select i1 {wrong}, i64 {sample}, i64 {samples}")
        return [w.smallest(found[0], here)]

    return w.loop(samples, [("i64", samples)], one)[0] if parts.gathers else samples


__all__ = ["main_module"]
