"""Stage 9, blocks: the function around a sample's nests, for some samples at once.

One module per number of lanes has the function `block`: load a few groups of samples into frames, run the nests on them,
and add up the gradients.

Lanes beyond the end of a mini-batch compute its last sample again, with the adjoint 0: what they add is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

from micrograd_like.compiler import emit
from micrograd_like.compiler.adjoint import Nests, adjoint
from micrograd_like.compiler.gradients import contributions
from micrograd_like.compiler.loops import Choice, For, Table, Term
from micrograd_like.compiler.machine import ATTRIBUTES, definitions
from micrograd_like.compiler.memory import Layout, Memory, Shape
from micrograd_like.compiler.rows import Once, split
from micrograd_like.compiler.spaces import (
    ADJOINT,
    CONST,
    INPUT,
    NODE,
    PARAM,
    PARAM_GRADIENT,
    SHARED,
    SHARED_GRADIENT,
    TEMPORARY,
    padded,
)
from micrograd_like.compiler.trace import LENGTH


@dataclass
class Parts:
    """Everything that machine code is made from."""

    shared: Nests
    sample: Nests
    shapes: dict[str, tuple[int, ...]]  # of the inputs
    gathers: list[tuple[int, int]]  # (number of a sample, how many values it picks from)
    parameters: int
    constants: list[float]
    outputs: int
    once: Once = field(repr=False)  # the shared section, with rows where there are some, which follow from it
    text: str = ""  # the loops as pseudo-code
    irregular: bool = field(
        init=False, repr=False
    )  # whether some of it has no pattern: code that takes long to optimize
    rows: list[int] = field(init=False, repr=False)  # all tables' rows, one after the other
    tables: dict[int, int] = field(init=False, repr=False)  # where each starts, by its id

    def __post_init__(self) -> None:
        self.rows, self.tables, self.irregular = [], {}, False
        for nests in (*self.once.nests, self.sample):
            self._collect(nests.forward)
            self._collect(nests.backward.sweep)
            self._collect(nests.backward.contributions)

    def careful(self) -> Parts:
        """The same program, its rules passing on nothing where the gradient is 0; see `adjoint`."""
        constants = list(self.constants)

        def again(section: Nests) -> Nests:
            return replace(section, backward=adjoint(section.terms, constants, section.backward.seed, careful=True))

        shared, sample = again(self.shared), again(self.sample)
        once = split(shared, constants, None if self.shapes else self.outputs, careful=True)
        return replace(self, shared=shared, sample=sample, once=once, constants=constants)

    def _collect(self, terms: Sequence[Term]) -> None:
        for term in terms:
            if isinstance(term, For):
                self._collect(term.body)
            elif isinstance(term, Table):
                self.irregular |= not isinstance(term, Choice)
                self.tables[id(term)] = len(self.rows)
                width = term.width
                for row in term.rows:
                    self.rows += [*row, *[0] * (width - len(row))]

    @property
    def table_start(self) -> int:
        """Where the rows' numbers begin among the constants."""
        return padded(len(self.constants))

    @property
    def numbers(self) -> list[float]:
        """The constants, and the rows' numbers behind them."""
        if self.once.rows is None:
            return self.constants
        gap = self.table_start - len(self.constants)
        return [*self.constants, *[0.0] * gap, *self.once.rows.table(self.constants)]

    @property
    def widths(self) -> tuple[int, ...]:
        """How many numbers each input has."""
        return tuple(map(prod, self.shapes.values()))

    @property
    def inputs(self) -> int:
        """The numbers in a sample."""
        return sum(self.widths)

    @property
    def frame(self) -> int:
        """The vectors in a sample's frame; odd, so that frames do not compete for the same lines of the cache."""
        return (self.inputs + 2 * self.sample.slots + self.sample.backward.temporaries) | 1

    def sizes(self, nests: Nests) -> dict[int, int]:
        """The size of every space, as that section sees it, for the mode that checks addresses."""
        return {
            INPUT: nests.inputs,
            NODE: nests.slots,
            ADJOINT: nests.slots,
            TEMPORARY: nests.backward.temporaries,
            PARAM: self.parameters,
            PARAM_GRADIENT: self.parameters,
            CONST: len(self.constants),
            SHARED: self.once.slots,
            SHARED_GRADIENT: self.once.slots,
        }


MOST_RUNS = 8  # of slots that are zeroed one by one
FRAMES = 3 << 15  # bytes of frames that are worked on at once, or LEAST samples: a part of a core's second cache
LEAST = 32


def groups_at_once(parts: Parts, lanes: int) -> int:
    """How many groups of samples a block has at most."""
    return 1 if lanes == 1 else max(-(-LEAST // lanes), FRAMES // (8 * parts.frame * lanes))


def frames_size(parts: Parts, lanes: int) -> int:
    """The doubles of a block's frames."""
    return groups_at_once(parts, lanes) * lanes * parts.frame


def block_module(parts: Parts, shape: Shape, check: bool) -> str:
    """The module of one number of lanes."""
    lanes, sample = shape.lanes, parts.sample
    stride = parts.frame * lanes
    layout = Layout(shape, parts.tables, stride if lanes > 1 else 0, checked=parts.sizes(sample) if check else None)
    nests, used = section(sample, layout)
    e = Memory(Layout(shape, {}), contract=False)
    vector, align = e.type, e.align

    places = [0, parts.inputs, parts.inputs + sample.slots, parts.inputs + 2 * sample.slots]
    names = [e.at(vector, "%frames", place) for place in places]
    pointers = ", ".join(f"ptr {p}" for p in names) + _REST

    def frame(counter: str) -> tuple[list[str], str]:
        """The pointers of a frame, and its first sample."""
        offset = e.put(f"mul nsw i64 {counter}, {stride}")
        here = [e.at("double", name, offset) for name in names]
        return here, e.put(f"add nsw i64 %first, {e.put(f'mul nsw i64 {counter}, {lanes}')}")

    def before(counter: str, _: Any) -> list[str]:
        here, first = frame(counter)
        _load_inputs(e, parts, here[0], first)
        return []

    def between(counter: str, _: Any) -> list[str]:
        here, first = frame(counter)
        for k in range(parts.outputs):
            value = e.put(f"load {vector}, ptr {e.at(vector, here[1], sample.outputs + k)}, align {align}")
            for lane in range(lanes):
                x = e.lane(value, lane)
                row = e.put(f"add nsw i64 {first}, {lane}")
                if LENGTH in parts.shapes and lanes > 1:  # behind the last one of a length are others
                    row = _smallest(e, row, e.put("sub nsw i64 %last, 1"))
                place = e.put(f"add nsw i64 {e.put(f'mul nsw i64 {row}, {parts.outputs}')}, {k}")
                e.do(f"store double {x}, ptr {e.at('double', '%out', place)}, align 8")
        for start, count in _runs(sample.backward.zeroed, sample.slots):
            e.clear(e.at(vector, here[2], start), count * lanes * 8)
        e.do(f"store {vector} {_seeds(e, first)}, ptr {e.at(vector, here[2], sample.outputs)}, align {align}")
        return []

    e.loop("%groups", [], before)
    e.do(f"call void @forward({pointers})")
    e.loop("%groups", [], between)

    def backward() -> None:
        e.do(f"call void @sweep({pointers})")
        e.do(f"call void @contribute({pointers})")

    e.when(e.put("icmp ne i64 %mode, 0"), backward)
    return "\n".join([*nests, e.function("block", _BLOCK), *definitions(used | e.used), ATTRIBUTES])


_REST = ", ptr %params, ptr %shared, ptr %consts, ptr %gp, ptr %gs, ptr %tables, i64 %groups"
_BLOCK = (
    "ptr noalias %frames, i64 %groups, i64 %first, i64 %last, ptr noalias %rows, ptr noalias %inputs, "
    "ptr noalias %params, ptr noalias %shared, ptr noalias %consts, ptr noalias %tables, double %seed, "
    "ptr noalias %gp, ptr noalias %gs, ptr noalias %out, i64 %mode"
)


def section(nests: Nests, layout: Layout, prefix: str = "") -> tuple[list[str], set[Any]]:
    """The functions forward, sweep and contribute of a section, and what they use."""
    texts = [
        emit.function(f"{prefix}forward", nests.forward, layout, backward=False),
        emit.function(f"{prefix}sweep", nests.backward.sweep, layout, backward=True),
        contributions(f"{prefix}contribute", nests.backward.contributions, layout),
    ]
    return [text for text, _ in texts], set().union(*[used for _, used in texts])


def _runs(slots: Sequence[int] | None, everything: int) -> list[tuple[int, int]]:
    """Slots as (first, count) of neighbours; None means all."""
    if slots is None:
        return [(0, everything)]
    runs: list[tuple[int, int]] = []
    for slot in slots:
        if runs and sum(runs[-1]) == slot:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((slot, 1))
    return runs if len(runs) <= MOST_RUNS else [(0, everything)]


def _seeds(e: Memory, first: str) -> str:
    """The adjoint of each lane's loss: its share of the mean, or 0 beyond the last sample."""
    if e.lanes == 1:
        return "%seed"
    integers = f"<{e.lanes} x i64>"

    def everywhere(scalar: str) -> str:
        one = e.put(f"insertelement {integers} poison, i64 {scalar}, i64 0")
        return e.put(f"shufflevector {integers} {one}, {integers} poison, <{e.lanes} x i32> zeroinitializer")

    lanes = ", ".join(f"i64 {lane}" for lane in range(e.lanes))
    sample = e.put(f"add nsw {integers} {everywhere(first)}, <{lanes}>")
    valid = e.put(f"icmp slt {integers} {sample}, {everywhere('%last')}")
    return e.select(valid, e.splat("%seed"), e.number(0.0))


def _smallest(e: Memory, x: str, y: str) -> str:
    e.used.add("declare i64 @llvm.smin.i64(i64, i64)")
    return e.put(f"call i64 @llvm.smin.i64(i64 {x}, i64 {y})")


def _load_inputs(e: Memory, parts: Parts, frame: str, first: str) -> None:
    """Transpose: sample by sample in memory, number by number in the frame, with one sample in each lane."""
    samples = []
    final = e.put("sub nsw i64 %last, 1") if e.lanes > 1 else ""
    for lane in range(e.lanes):
        place = e.put(f"add nsw i64 {first}, {lane}") if lane else first
        if e.lanes > 1:
            place = _smallest(e, place, final)
        samples.append(e.put(f"load i64, ptr {e.at('i64', '%rows', place)}, align 8"))
    start = 0
    for k, width in enumerate(parts.widths):
        source = e.put(f"load ptr, ptr {e.at('ptr', '%inputs', k)}, align 8")
        sources = [e.at("double", source, e.put(f"mul nsw i64 {sample}, {width}")) for sample in samples]
        _load_input(e, width, sources, e.at(e.type, frame, start))
        start += width


def _load_input(e: Memory, width: int, sources: list[str], target: str) -> None:
    """One input of a group of samples."""
    squares = width // 4 * 4 if e.lanes % 4 == 0 else 0

    def four(counter: str, _: Any) -> list[str]:
        there = e.at(e.type, target, counter)
        for lane in range(0, e.lanes, 4):
            square = [
                e.put(f"load <4 x double>, ptr {e.at('double', sources[k], counter)}, align 8")
                for k in range(lane, lane + 4)
            ]
            for i, column in enumerate(e.transposed(square)):
                e.do(f"store <4 x double> {column}, ptr {e.at('double', there, i * e.lanes + lane)}, align 32")
        return []

    def one(number: str, _: Any) -> list[str]:
        value = e.lanewise(lambda k: e.put(f"load double, ptr {e.at('double', sources[k], number)}, align 8"))
        e.do(f"store {e.type} {value}, ptr {e.at(e.type, target, number)}, align {e.align}")
        return []

    if squares:
        e.loop(squares, [], four, 4)
    if width - squares <= 3:
        for number in range(squares, width):
            one(str(number), ())
    else:
        e.loop(width, [], one)
