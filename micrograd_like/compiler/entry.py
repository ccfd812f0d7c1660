"""Stage 10, entry: what Python calls, down to the training loop itself.

The main module has `run`: for every mini-batch the section that all samples share, the blocks, the mean loss, and where
training is asked for the optimizer's step, a function of its own (steps.py). `read` fetches the parameters' numbers
(objects.py), `read_and_run` does both at once, and `look` finds a sample whose whole numbers pick what is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from micrograd_like.compiler.blocks import Parts, section
from micrograd_like.compiler.emit import Shape
from micrograd_like.compiler.machine import ATTRIBUTES, definitions
from micrograd_like.compiler.spaces import ADJOINT, NODE, TEMPORARY
from micrograd_like.compiler.writer import Writer

# What the main module is told, eight bytes each. What changes from call to call comes first.
CALL = (
    "mode", "samples", "batch", "steps", "steps_per_epoch", "stride", "rows", "inputs", "block", "lanes", "most",
    "update", "rates", "rates_stride", "state",
)  # fmt: skip
FIELDS = (
    *CALL, "params", "shared", "consts", "tables", "gradient", "outputs", "losses", "frames", "values",
    "data_offset", "type_offset", "number_offset", "float_type",
)  # fmt: skip
COUNTS = frozenset((
    "mode", "samples", "batch", "steps", "steps_per_epoch", "stride", "lanes", "most", "rates_stride",
    "data_offset", "type_offset", "number_offset",
))  # fmt: skip
FORWARD, GRADIENT, TRAIN = range(3)
EIGHT = "<8 x double>"


def main_module(parts: Parts, check: bool) -> str:
    """The module with `run`, `read`, both at once, and `look`."""
    shape = Shape(1, 1, 8)
    shared = parts.shared
    checked = None
    if check:
        checked = parts.sizes() | {
            NODE: shared.slots,
            ADJOINT: shared.slots,
            TEMPORARY: shared.backward.temporaries,
        }
    texts, used = section(shared, shape, parts, 0, checked, "shared_")
    functions: dict[str, Callable[[Entry, Parts], str]] = {
        "run": _run, "read": _read, "read_and_run": _read_and_run, "look": _look,
    }  # fmt: skip
    for name, write in functions.items():
        w = Entry()
        answer = write(w, parts)
        body = "\n".join(w.lines)
        texts.append(f"define i64 @{name}(ptr %fields) #0 {{\n{body}\n  ret i64 {answer}\n}}")
        used |= w.used
    return "\n".join([*texts, *definitions(used), ATTRIBUTES])


class Entry(Writer):
    """Writes a function that is given the fields, and answers with an integer."""

    def __init__(self) -> None:
        super().__init__(1, contract=False)
        self.label("entry")

    def fields(self, *names: str) -> list[str]:
        """What these fields hold."""
        return [self.load("i64" if name in COUNTS else "ptr", "%fields", FIELDS.index(name)) for name in names]

    def load(self, kind: str, pointer: str, index: int | str = 0) -> str:
        """The index-th of the things of eight bytes that lie there."""
        return self.put(f"load {kind}, ptr {self.at('i64', pointer, index)}, align 8")

    def smallest(self, x: str, y: str) -> str:
        self.used.add("declare i64 @llvm.umin.i64(i64, i64)")
        return self.put(f"call i64 @llvm.umin.i64(i64 {x}, i64 {y})")

    def integers_of(self, instruction: str, x: str, y: int | str) -> str:
        return self.put(f"{instruction} i64 {x}, {y}")


def _run(w: Entry, parts: Parts) -> str:
    """1 where a gradient was asked for and one of its numbers is nan, else 0."""
    mode, steps, gradient, losses, params = w.fields("mode", "steps", "gradient", "losses", "params")
    shared, consts, tables, outputs = w.fields("shared", "consts", "tables", "outputs")
    slots = parts.shared.slots
    adjoints, scratch = w.at("double", shared, slots), w.at("double", shared, 2 * slots)
    wants, trains = w.put(f"icmp ne i64 {mode}, {FORWARD}"), w.put(f"icmp eq i64 {mode}, {TRAIN}")
    pointers = ", ".join(
        f"ptr {p}"
        for p in ("null", shared, adjoints, scratch, params, "null", consts, gradient, "null", tables)
    )  # fmt: skip
    arguments = f"{pointers}, i64 1"
    w.when(wants, lambda: w.clear(gradient, 8 * parts.parameters))

    def step(number: str, _: Sequence[str]) -> list[str]:
        w.do(f"call void @shared_forward({arguments})")
        w.when(wants, lambda: w.clear(adjoints, 8 * slots))
        loss = _samples(w, parts, number, adjoints) if parts.widths else _alone(w, parts, shared, outputs)
        w.do(f"store double {loss}, ptr {w.at('double', losses, number)}, align 8")
        w.when(wants, backward)
        w.when(trains, lambda: move(number))
        return []

    def backward() -> None:
        if not parts.widths:
            w.do(f"store double 1.0, ptr {w.at('double', adjoints, parts.shared.outputs)}, align 8")
        w.do(f"call void @shared_sweep({arguments})")
        w.do(f"call void @shared_contribute({arguments})")

    def move(number: str) -> None:
        update, rates, stride, state = w.fields("update", "rates", "rates_stride", "state")
        here = w.at("double", rates, w.integers_of("mul", number, stride))
        w.do(f"call void {update}(ptr {params}, ptr {gradient}, ptr {state}, ptr {here})")

    w.loop(steps, [], step)
    return w.when(w.put(f"icmp eq i64 {mode}, {GRADIENT}"), lambda: _any_nan(w, gradient, parts.parameters), "i64", "0")


def _alone(w: Entry, parts: Parts, shared: str, outputs: str) -> str:
    """The loss of a program without inputs."""
    for k in range(parts.outputs):
        value = w.load("double", shared, parts.shared.outputs + k)
        w.do(f"store double {value}, ptr {w.at('double', outputs, k)}, align 8")
    return w.load("double", shared, parts.shared.outputs)


def _samples(w: Entry, parts: Parts, step: str, shared_adjoints: str) -> str:
    """Run the blocks of a mini-batch; the mean of its losses, which are added from left to right."""
    mode, samples, batch, per_epoch, stride, lanes, most = w.fields(
        "mode", "samples", "batch", "steps_per_epoch", "stride", "lanes", "most"
    )
    rows, inputs, block, frames, params = w.fields("rows", "inputs", "block", "frames", "params")
    shared, consts, tables, gradient, outputs = w.fields("shared", "consts", "tables", "gradient", "outputs")
    within = w.integers_of("mul", w.integers_of("urem", step, per_epoch), batch)
    before = w.integers_of("mul", w.integers_of("udiv", step, per_epoch), stride)
    first = w.integers_of("add", before, within)
    count = w.smallest(batch, w.integers_of("sub", samples, within))
    last = w.integers_of("add", first, count)
    number = w.put(f"uitofp i64 {count} to double")
    share = w.strict("fdiv", "1.0", number)
    each = w.integers_of("mul", lanes, most)

    def run_block(done: str, _: Sequence[str]) -> list[str]:
        start = w.integers_of("add", first, w.integers_of("mul", done, each))
        left = w.integers_of("sub", w.integers_of("add", w.integers_of("sub", last, start), lanes), 1)
        groups = w.smallest(w.integers_of("udiv", left, lanes), most)
        w.do(
            f"call void {block}(ptr {frames}, i64 {groups}, i64 {start}, i64 {last}, ptr {rows}, ptr {inputs}, "
            f"ptr {params}, ptr {shared}, ptr {consts}, ptr {tables}, double {share}, ptr {gradient}, "
            f"ptr {shared_adjoints}, ptr {outputs}, i64 {mode})"
        )
        return []

    blocks = w.integers_of("udiv", w.integers_of("sub", w.integers_of("add", count, each), 1), each)
    w.loop(blocks, [], run_block)
    losses = w.at("double", outputs, w.integers_of("mul", first, parts.outputs))
    start = w.load("double", losses)

    def add(k: str, totals: Sequence[str]) -> list[str]:
        place = w.integers_of("mul", w.integers_of("add", k, 1), parts.outputs)
        return [w.strict("fadd", totals[0], w.load("double", losses, place))]

    more = w.put(f"icmp ugt i64 {count}, 1")
    others = w.integers_of("sub", count, 1)
    total = w.when(more, lambda: w.loop(others, [("double", start)], add)[0], "double", start)
    return w.strict("fdiv", total, number)


def _any_nan(w: Entry, gradient: str, parameters: int) -> str:
    """1 where one of the numbers is nan, else 0; behind the last one are zeros."""

    def look(k: str, found: Sequence[str]) -> list[str]:
        eight = w.load(EIGHT, gradient, k)
        return [w.put(f"or <8 x i1> {found[0]}, {w.put(f'fcmp uno {EIGHT} {eight}, zeroinitializer')}")]

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


__all__ = ["CALL", "FIELDS", "FORWARD", "GRADIENT", "TRAIN", "main_module"]
