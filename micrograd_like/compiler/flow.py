"""Stage 2, flow: what each sample must compute, what all samples share, and which operations are one reduction.

- What no output depends on is dropped.
- What depends on no input is computed once for all samples (a weight penalty, say): the section `shared`.
- A chain of additions whose partial sums nobody else reads becomes one line, a sum; where it adds up products that
  nobody else reads, a dot product. It is still evaluated from left to right, so it keeps its value to the last bit.
- A line's strided operands are runs: a first element, and a stride for each of a few nested counters.

A line that depends on no parameter, or that only an expansion reads, is inactive (activity analysis): no adjoint flows
through it. A composed row is a line of its own, which has a value already and is there to be differentiated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, NamedTuple

from micrograd_like import ops
from micrograd_like.compiler.spaces import (
    CONST,
    INACTIVE,
    INDEX,
    INPUT,
    NODE,
    NODES,
    PARAM,
    SHARED,
    SHARED_INACTIVE,
    SHIFT,
    pack,
    space_of,
    unpack,
)
from micrograd_like.compiler.trace import COPY, Trace, TraceError
from micrograd_like.ops import Operation

SCALARS = {"gather": 1}  # how many operands of a row on any number of them are not among its elements


class Line(NamedTuple):
    """One scalar computation: an operation of the table on scalar operands and on strided ones, which count alike."""

    op: Operation
    scalars: tuple[int, ...]
    strided: tuple[int, ...]  # the first element of each
    trips: tuple[int, ...]  # how often each counter counts, the slowest first; () where nothing is strided
    strides: tuple[tuple[int, ...], ...]  # per strided operand, per counter
    out: int
    value: int | None = None  # of a composed row: where its value already is

    @property
    def operands(self) -> tuple[int, ...]:
        """All addresses: scalar operands, the first of each strided one, the result, and the value of a composed row."""
        refs = (*self.scalars, *self.strided, self.out)
        return refs if self.value is None else (*refs, self.value)

    def elements(self) -> Iterator[tuple[int, ...]]:
        """The elements of the strided operands, side by side."""
        for counters in product(*map(range, self.trips)) if self.strided else ():
            yield tuple(
                first + sum(s * i for s, i in zip(strides, counters, strict=True))
                for first, strides in zip(self.strided, self.strides, strict=True)
            )


@dataclass
class Section:
    """Lines in an order in which they can be computed; the outputs are the last of its first `values` nodes."""

    lines: list[Line]
    slots: int
    outputs: int  # the first of them; they are consecutive

    def __str__(self) -> str:
        return "\n".join(map(_text, self.lines))


@dataclass
class Flow:
    """The two sections of a program; a program without inputs has everything in `shared`."""

    shared: Section
    sample: Section  # of a program for several lengths, that of the longest
    constants: list[float]
    lengths: list[Section] = field(default_factory=list)  # in their place a section for each, the shortest first

    def __str__(self) -> str:
        return f"once:\n{self.shared}\nfor each sample:\n{self.sample}"

    def interpret(self, parameters: Sequence[Any], inputs: Sequence[Any] = ()) -> tuple[list[Any], list[Any]]:
        """The nodes of both sections for one sample: this stage in plain Python, for numbers of any carrier."""
        shared: list[Any] = [None] * self.shared.slots
        nodes: list[Any] = [None] * self.sample.slots
        sample = self.lengths[int(inputs[-1])] if self.lengths else self.sample
        for section, own in ((self.shared, shared), (sample, nodes)):
            spaces = {PARAM: parameters, INPUT: inputs, CONST: self.constants}
            spaces |= {NODE: own, SHARED: shared}

            def load(ref: int, spaces: dict[Any, Any] = spaces) -> Any:
                space, index = unpack(ref)
                return spaces[space.storage][index]

            for line in section.lines:
                if line.value is not None:
                    value = load(line.value)
                else:
                    value = evaluate(
                        line.op, [*map(load, line.scalars)], [[*map(load, refs)] for refs in line.elements()]
                    )
                own[line.out & INDEX] = value
        return shared, nodes


def evaluate(op: Operation, scalars: Sequence[Any], elements: Sequence[Sequence[Any]]) -> Any:
    """The value of a line that is not composed, from its operands' values."""
    if op is ops.dot:
        return op.function(*[w for w, _ in elements], scalars[0], *[x for _, x in elements])
    return op.function(*scalars, *[x for (x,) in elements])


def _text(line: Line) -> str:
    def name(ref: int) -> str:
        space, index = unpack(ref)
        return f"{space.symbol}[{index}]"

    strided = [
        f"{name(first)}" + "".join(f"{s:+d}*k{d}" for d, s in enumerate(strides))
        for first, strides in zip(line.strided, line.strides, strict=True)
    ]
    counters = "".join(f" for k{d}<{n}" for d, n in enumerate(line.trips))
    value = "" if line.value is None else f"{name(line.value)}  # "
    return f"{name(line.out)} = {value}{line.op.name}({', '.join([*map(name, line.scalars), *strided])}{counters})"


class Chain(NamedTuple):
    """A value, and what is added to it, one after the other."""

    first: int
    terms: list[Any]  # an operand, or a pair of them for their product


def flow(trace: Trace) -> Flow:
    """The sections of a trace.

    Raises:
        TraceError: the trace has inputs, and one of the outputs does not depend on them.
    """
    return FlowBuilder(trace).result()


class FlowBuilder:
    """Makes the sections of a trace."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.operations = [*trace.operations, *[COPY] * len(trace.outputs)]
        self.operands = [*trace.operands, *[(ref,) for ref in trace.outputs]]
        self.inner = trace.inner + bytearray(len(trace.outputs))
        self.values = trace.values
        self.reads = list(self.operands)  # of each event the operands, and of a composed row its value
        for n, value in trace.values.items():
            self.reads[n] = (*self.operands[n], value)
        self.count = len(self.operations)
        self.zero = pack(CONST, len(trace.constants))
        self.constants = [*trace.constants, -0.0]  # the sum of nothing: -0.0 + x is x, also for x = -0.0

    def result(self) -> Flow:
        self._drop_the_dead()
        self._classify()
        chains = self._chains()
        sections = []
        self.places: list[int] = [0] * self.count
        for varying in (0, 1):
            self.shortest = 2
            section = self._section(varying, chains)
            if len({(line.op, line.trips, line.strides) for line in section.lines}) > SHAPES:
                self.shortest = 8  # an irregular program: short runs are chance, and each would be code of its own
                section = self._section(varying, chains)
            sections.append(section)
        return Flow(sections[0], sections[1], self.constants)

    def _drop_the_dead(self) -> None:
        alive = bytearray(self.count)
        uses = [0] * self.count
        first_output = self.count - len(self.trace.outputs)
        alive[first_output:] = b"\1" * len(self.trace.outputs)
        for n in range(self.count - 1, -1, -1):
            if alive[n]:
                for ref in self.reads[n]:
                    if ref < NODES:
                        alive[ref] = 1
                        uses[ref] += 1
        self.alive, self.uses = alive, uses

    def _classify(self) -> None:
        varying, active = bytearray(self.count), bytearray(self.count)
        for n in range(self.count):
            if self.alive[n]:
                v = a = 0
                for ref in self.reads[n]:
                    if ref < NODES:
                        v |= varying[ref]
                        a |= active[ref]
                    elif ref >> SHIFT == PARAM:
                        a = 1
                    elif ref >> SHIFT == INPUT:
                        v = 1
                varying[n] = v
                active[n] = a and not self.inner[n]
        if self.trace.inputs:
            for k in range(len(self.trace.outputs)):
                if not varying[self.count - len(self.trace.outputs) + k]:
                    raise TraceError(
                        f"output {k} of the function does not depend on its inputs; compile it without them"
                    )
        self.varying, self.active = varying, active

    def _absorbable(self, ref: int, n: int, op: Operation) -> bool:
        """Whether the node is only an intermediate step of node n, and its operation is op."""
        return (
            ref < NODES
            and self.operations[ref] is op
            and self.uses[ref] == 1
            and self.varying[ref] == self.varying[n]
            and self.inner[ref] == self.inner[n]
        )

    def _chains(self) -> dict[int, Chain]:
        """The additions that end a chain, with what it adds up; what is absorbed is dropped."""
        chains: dict[int, Chain] = {}
        operations, operands, alive = self.operations, self.operands, self.alive
        for n in range(self.count):
            if not alive[n]:
                continue
            op = operations[n]
            if op is ops.add:
                left, right = operands[n]
                if left in chains and self._absorbable(left, n, ops.add):
                    chain = chains.pop(left)
                    alive[left] = 0
                    chain.terms.append(right)
                elif right in chains and self._absorbable(right, n, ops.add):
                    chain = chains.pop(right)  # x + y and y + x are the same number
                    alive[right] = 0
                    chain.terms.append(left)
                elif self._absorbable(left, n, ops.mul):
                    chain = Chain(self.zero, [left, right])
                else:
                    chain = Chain(left, [right])
                chains[n] = chain
            elif op is ops.sum:
                chains[n] = Chain(self.zero, list(operands[n]))
            elif op is ops.dot:
                weights, bias, inputs = ops.dot_operands(operands[n])
                chains[n] = Chain(bias, list(zip(weights, inputs, strict=True)))
        for n in [n for n, chain in chains.items() if operations[n] is ops.add and len(chain.terms) < 2]:
            del chains[n]
        for n, chain in chains.items():
            if operations[n] is not ops.dot:
                for k, ref in enumerate(chain.terms):
                    if self._absorbable(ref, n, ops.mul):
                        alive[ref] = 0
                        chain.terms[k] = operands[ref]
        return chains

    def _section(self, varying: int, chains: dict[int, Chain]) -> Section:
        own = [n for n in range(self.count) if self.alive[n] and self.varying[n] == varying]
        places, active = self.places, self.active
        for slot, n in enumerate(own):
            places[n] = pack(NODE if active[n] else INACTIVE, slot)
        self.lines: list[Line] = []
        self.slots = len(own)

        def place(ref: int) -> int:
            if ref >= NODES:
                return ref
            here = places[ref]
            return here if self.varying[ref] == varying else shared(here)

        for n in own:
            op, refs, out = self.operations[n], self.operands[n], places[n]
            if n in chains:
                first, terms = chains[n]
                pairs = [tuple(map(place, t)) if type(t) is tuple else (place(t),) for t in terms]
                self._sum(place(first), pairs, out)
                continue
            refs = tuple(map(place, refs))
            value = place(self.values[n]) if n in self.values else None
            if op.arity is not None:
                self.lines.append(Line(op, refs, (), (), (), out, value))
                continue
            scalars = SCALARS.get(op.name, 0)
            self._run(op, refs[:scalars], refs[scalars:], out, value)
        outputs = self.slots_of_outputs(varying)
        return Section(self.lines, self.slots, outputs)

    def slots_of_outputs(self, varying: int) -> int:
        first = self.count - len(self.trace.outputs)
        return self.places[first] & INDEX if self.varying[first] == varying else 0

    def _temporary(self, like: int) -> int:
        self.slots += 1
        return pack(space_of(like), self.slots - 1)

    def _sum(self, total: int, terms: list[tuple[int, ...]], out: int) -> None:
        """Lines that add the terms to the total, one after the other."""
        steps: list[Line] = []
        for arity, group in groups_of(terms):
            op = ops.dot if arity == 2 else ops.sum
            for trips, strides, members in runs_of(group):
                if len(members) >= self.shortest and (len(members) > 2 or len(terms) == 2):
                    steps.append(Line(op, (total,), members[0], trips, strides, self._temporary(out)))
                    total = steps[-1].out
                    continue
                for member in members:
                    if arity == 2:
                        # The factors of a product may be inactive, and then it is; its adjoint is not asked for.
                        steps.append(Line(ops.mul, member, (), (), (), self._temporary(out)))
                        member = (steps[-1].out,)
                    if total == self.zero:
                        total = member[0]
                        continue
                    steps.append(Line(ops.add, (total, *member), (), (), (), self._temporary(out)))
                    total = steps[-1].out
        if not steps or steps[-1].out != total:
            steps.append(Line(COPY, (total,), (), (), (), self._temporary(out)))
        self.slots -= 1
        steps[-1] = steps[-1]._replace(out=out)
        self.lines += steps

    def _run(
        self, op: Operation, scalars: tuple[int, ...], elements: tuple[int, ...], out: int, value: int | None
    ) -> None:
        """A line whose strided operand must be a single run; elements from here and there are first copied side by side."""
        runs = runs_of([(x,) for x in elements])
        scattered = len(elements) < self.shortest and runs[0][1] != ((1,),)
        if len(runs) > 1 or len(runs[0][0]) > 1 or scattered:
            copies = [Line(COPY, (x,), (), (), (), self._temporary(out)) for x in elements]
            self.lines += copies
            runs = runs_of([(copy.out,) for copy in copies])
        trips, strides, members = runs[0]
        if not trips:
            trips, strides = (1,), ((0,),)
        self.lines.append(Line(op, scalars, members[0], trips, strides, out, value))


def shared(node: int) -> int:
    """A node that is computed once, as the samples see it."""
    space, index = unpack(node)
    return pack(SHARED if space == NODE else SHARED_INACTIVE, index)


def groups_of(terms: list[tuple[int, ...]]) -> Iterator[tuple[int, list[tuple[int, ...]]]]:
    """Neighbours of the same kind, products or single operands."""
    start = 0
    for k in range(1, len(terms) + 1):
        if k == len(terms) or len(terms[k]) != len(terms[start]):
            yield len(terms[start]), terms[start:k]
            start = k


Run = tuple[tuple[int, ...], tuple[tuple[int, ...], ...], list[tuple[int, ...]]]  # trips, strides per list, members


def runs_of(elements: list[tuple[int, ...]]) -> list[Run]:
    """A list cut into arithmetic progressions, and equal progressions at equal distances into nested ones."""
    strided = len(elements[0])
    columns = list(zip(*elements, strict=True))
    steps = tuple(step_of(column) for column in columns)
    if None not in steps and len(elements) > 1:
        return [((len(elements),), tuple((step,) for step in steps), elements)]  # type: ignore[misc]
    runs: list[Run] = [((), ((),) * strided, [element]) for element in elements]
    while True:
        merged: list[Run] = []
        start = 0
        while start < len(runs):
            trips, strides, _ = runs[start]
            end = start + 1
            step = None
            while end < len(runs) and runs[end][0] == trips and runs[end][1] == strides:
                here, there = runs[end - 1][2][0], runs[end][2][0]
                gap = tuple(b - a for a, b in zip(here, there, strict=True))
                same_space = all(a >> SHIFT == b >> SHIFT for a, b in zip(here, there, strict=True))
                if not same_space or (step is not None and gap != step):
                    break
                step = gap
                end += 1
            if step is None:
                merged.append(runs[start])
            else:
                everything = [member for run in runs[start:end] for member in run[2]]
                nested = tuple((s, *more) for s, more in zip(step, strides, strict=True))
                merged.append(((end - start, *trips), nested, everything))
            start = end
        if len(merged) == len(runs) or len(merged) == 1:
            return merged
        if len(merged[0][0]) == MOST_COUNTERS:
            return merged
        runs = merged


def step_of(column: tuple[int, ...]) -> int | None:
    """The step of an arithmetic progression in one space; None for anything else."""
    step, count = column[1] - column[0] if len(column) > 1 else 0, len(column)
    if column[0] >> SHIFT != column[-1] >> SHIFT:
        return None
    even = (
        column == tuple(range(column[0], column[0] + step * count, step)) if step else column.count(column[0]) == count
    )
    return step if even else None


MOST_COUNTERS = 3  # of nested progressions in a list
SHAPES = 64  # the most kinds of runs in a program that is taken for regular
