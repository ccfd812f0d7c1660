"""Stage 7, emit: nests as LLVM functions, with several samples side by side in the lanes of a vector.

Every sample's numbers are computed in the order of the nest: lanes are samples, so no sum inside a sample is reordered.
Loops whose iterations are proven independent are unrolled and jammed: a few iterations run side by side, so that what
they load is shared and their sums overlap. The gradients of parameters are summed over samples in registers.

Memory. Each group of `lanes` samples has a frame: inputs, nodes, adjoints, temporaries, one vector each. Parameters,
shared values and constants are scalars, the same for all samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from math import prod
from typing import Any

from micrograd_like.compiler.loops import Bound, For, Ref, Table, Term, depends
from micrograd_like.compiler.machine import FORMS, definitions, form
from micrograd_like.compiler.nest import (
    Assign,
    Leaf,
    Pick,
    Range,
    Reduce,
    Scatter,
    accesses,
    independent,
    steady,
)
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
)
from micrograd_like.compiler.writer import Writer

LANE_SPACES = (INPUT, NODE, ADJOINT, TEMPORARY)
POINTERS: dict[int, str] = {
    INPUT: "%in", NODE: "%node", ADJOINT: "%adj", TEMPORARY: "%temp", PARAM: "%params", SHARED: "%shared",
    CONST: "%consts", PARAM_GRADIENT: "%gp", SHARED_GRADIENT: "%gs",
}  # fmt: skip
ARGUMENTS = ", ".join([*[f"ptr noalias {p}" for p in (*POINTERS.values(), "%tables")], "i64 %groups"])
_CHEAP = frozenset(op for op in FORMS if op.name in ("add", "sub", "mul", "neg", "relu", "abs", "where", "max", "min"))

BUSY = 7  # sums in registers that keep the adders of a processor busy
UNROLLED = 2  # turns of an innermost sum at once
Counter = tuple[str, int]  # the name of an LLVM value ("" for none), and what is added to it
Environment = tuple[Counter, ...]  # one counter per level


@dataclass(frozen=True)
class Shape:
    """How machine code is laid out: samples side by side, and how many iterations of a loop run side by side."""

    lanes: int
    native: int  # lanes that one register holds
    jam: int  # independent iterations at once
    light: int = 2  # iterations at once of a loop that only calls functions such as exp


class Emitter(Writer):
    """Writes nests into one function."""

    def __init__(
        self,
        shape: Shape,
        tables: dict[int, int],
        contract: bool,
        checked: dict[int, int] | None,
        lanes: int | None = None,
    ) -> None:
        super().__init__(shape.lanes if lanes is None else lanes, contract)
        self.shape = shape
        self.unit = f"[{shape.lanes} x double]"  # a vector in a frame
        self.tables = tables
        self.checked = checked  # the size of each space, where every address is to be verified
        self.pointers = dict(POINTERS)
        self.frames: tuple[str, int] | None = None  # how many there are, and the doubles from one to the next
        self.scopes: list[dict[Any, str]] = [{}]
        self.settled = False  # whether adjoints are final, so that a loaded one may be used again

    # Loops

    def loop(
        self,
        count: int | str,
        carried: Sequence[tuple[str, str]],
        body: Callable[..., Sequence[str]],
        step: int = 1,
        *,
        may_be_empty: bool = False,
    ) -> list[str]:
        """As a `Writer`'s; what is loaded or computed inside is known inside only."""

        def scope(counter: str, values: Sequence[str]) -> Sequence[str]:
            self.scopes.append({})
            results = body(counter, values)
            self.scopes.pop()
            return results

        return super().loop(count, carried, scope, step, may_be_empty=may_be_empty)

    def turns(self, trips: int, env: Environment) -> int | str:
        """How often a loop turns, at these counters around it."""
        if not isinstance(trips, Bound):
            return trips
        constant, total = trips.base, ""
        for c, (name, offset) in zip(trips.coefs, env, strict=False):
            constant += c * offset
            if name and c:
                part = self.put(f"mul nsw i64 {name}, {c}") if c != 1 else name
                total = self.put(f"add nsw i64 {total}, {part}") if total else part
        if not total:
            return max(constant, 0)
        return self.put(f"add nsw i64 {total}, {constant}") if constant else total

    def turning(
        self, trips: int, env: Environment, carried: list[tuple[str, str]], body: Any, step: int = 1
    ) -> list[str]:
        """A loop with such a bound."""
        count = self.turns(trips, env)
        if count == 0:
            return [value for _, value in carried]
        empty = isinstance(count, str) and isinstance(trips, Bound) and trips.least < 1
        return self.loop(count, carried, body, step, may_be_empty=empty)

    def nest(
        self, trips: Sequence[int], carried: list[str], body: Callable[..., list[str]], env: Environment = ()
    ) -> list[str]:
        """Nested loops over vectors in registers, at these counters around them; body(counters, values)."""

        def level(d: int, counters: tuple[Counter, ...], values: list[str]) -> list[str]:
            if d == len(trips):
                return body(counters, values)
            if not any(isinstance(n, Bound) for n in trips[d:]) and prod(trips[d:]) * len(values) <= 16:
                for i in range(trips[d]):
                    values = level(d + 1, (*counters, ("", i)), values)
                return values
            pairs = [(self.type, v) for v in values]
            last = d == len(trips) - 1 and not isinstance(trips[d], Bound)
            at_once = next(n for n in (UNROLLED, 1) if trips[d] % n == 0) if last else 1

            def turns(counter: str, inner: Sequence[str]) -> list[str]:
                values = list(inner)
                for k in range(at_once):
                    values = level(d + 1, (*counters, (counter, k)), values)
                return values

            return self.turning(trips[d], (*env, *counters), pairs, turns, at_once)

        return level(0, (), carried)

    # Memory

    def key(self, ref: Ref, env: Environment) -> tuple[int, int, tuple[tuple[str, int], ...]]:
        """An address as (space, constant part, moving part): equal keys are equal addresses."""
        constant = ref.base
        moving: dict[str, int] = {}
        for c, (name, offset) in zip(ref.coefs, env, strict=True):
            constant += c * offset
            if name and c:
                moving[name] = moving.get(name, 0) + c
        return ref.space, constant, tuple(sorted((n, c) for n, c in moving.items() if c))

    def cached(self, key: Any) -> str | None:
        """What is known under a key in this scope or one around it."""
        return next((scope[key] for scope in reversed(self.scopes) if key in scope), None)

    def pointer(self, key: tuple[int, int, tuple[tuple[str, int], ...]]) -> str:
        space, constant, moving = key
        if (known := self.cached(("pointer", key))) is not None:
            return known
        unit = self.unit if space in LANE_SPACES else "double"
        pointer = self.pointers[space]
        if moving:
            index = self.cached(("index", moving))
            if index is None:
                parts = [self.put(f"mul nsw i64 {n}, {c}") if c != 1 else n for n, c in moving]
                index = parts[0]
                for part in parts[1:]:
                    index = self.put(f"add nsw i64 {index}, {part}")
                self.scopes[-1]["index", moving] = index
            if self.checked is not None:
                place = self.put(f"add nsw i64 {index}, {constant}")
                self.check(place, self.checked[space])
            pointer = self.put(f"getelementptr {unit}, ptr {pointer}, i64 {index}")
        elif self.checked is not None:
            self.check(str(constant), self.checked[space])
        if constant:
            pointer = self.put(f"getelementptr {unit}, ptr {pointer}, i64 {constant}")
        self.scopes[-1]["pointer", key] = pointer
        return pointer

    def check(self, index: str, size: int) -> None:
        """Trap on an address outside of its space."""
        self.used.add("declare void @llvm.trap()")
        inside = self.put(f"icmp ult i64 {index}, {size}")
        name = f"checked{self.names}"
        self.do(f"br i1 {inside}, label %{name}, label %{name}.outside")
        self.label(f"{name}.outside")
        self.do("call void @llvm.trap()")
        self.do("unreachable")
        self.label(name)

    def load(self, leaf: Ref | float, env: Environment) -> str:
        if not isinstance(leaf, Ref):
            return self.number(leaf)
        key = self.key(leaf, env[: len(leaf.coefs)])
        if (known := self.cached(key)) is not None:
            return known
        pointer = self.pointer(key)
        if leaf.space in LANE_SPACES:
            value = self.put(f"load {self.type}, ptr {pointer}, align {self.align}")
        else:
            value = self.splat(self.put(f"load double, ptr {pointer}, align 8"))
        if leaf.space not in (ADJOINT, TEMPORARY) or self.settled:  # a node is written once, before it is read
            self.scopes[-1][key] = value
        return value

    @property
    def align(self) -> int:
        return 8 * self.lanes

    def store(self, key: Any, value: str) -> None:
        pointer = self.pointer(key)
        self.do(f"store {self.type} {value}, ptr {pointer}, align {self.align}")
        if key[0] == NODE:
            self.scopes[-1][key] = value

    # Frames

    @contextmanager
    def frame(self, counter: str, stride: int, part: int = 0) -> Iterator[None]:
        """Inside, addresses are those of a frame, from one of its lanes on."""
        first = self.put(f"mul nuw nsw i64 {counter}, {stride}")
        if part:
            first = self.put(f"add nuw nsw i64 {first}, {part}")
        whole = self.pointers
        self.pointers = whole | {
            space: self.put(f"getelementptr double, ptr {whole[space]}, i64 {first}") for space in LANE_SPACES
        }
        self.scopes.append({})
        yield
        self.scopes.pop()
        self.pointers = whole

    def each_frame(self, emit: Callable[[], None]) -> None:
        """A loop over the frames, where there are several."""
        if self.frames is None:
            emit()
            return
        count, stride = self.frames

        def body(counter: str, _: Any) -> list[str]:
            with self.frame(counter, stride):
                emit()
            return []

        self.loop(count, [], body)

    def section(self, terms: Sequence[Term]) -> None:
        """All terms on all frames. What reads parameters stays with a few of them while it goes through the frames."""
        for heavy, group in groupby(terms, lambda term: isinstance(term, For) and _reads_parameters(term)):
            some = list(group)
            if heavy:
                for term in some:
                    self.for_loop(term, [()], (), self.each_frame)
            else:
                self.each_frame(lambda some=some: self.terms(some, [()], ()))  # type: ignore[misc]

    # Terms

    def terms(self, terms: Sequence[Term], envs: Sequence[Environment], ranges: tuple[Range, ...]) -> None:
        """Terms in the given environments, one per jammed iteration of a loop around them."""
        for term in terms:
            if isinstance(term, For):
                self.for_loop(term, envs, ranges)
            elif isinstance(term, Table):
                self.table(term, envs[0], lambda body, env, bounds: self.terms(body, [env], bounds), ranges)
            elif isinstance(term, Reduce):
                self.reduce(term, envs)
            elif isinstance(term, Pick):
                for env in envs:
                    self.pick(term, env)
            elif isinstance(term, Scatter):
                for env in envs:
                    self.scatter(term, env)
            else:
                self.assign(term, envs)

    def reduce(self, term: Reduce, envs: Sequence[Environment]) -> None:
        for leaf in term.leaves:
            # What the counters do not move is loaded before.
            if isinstance(leaf, Ref) and not any(leaf.coefs[len(envs[0]) :]):
                for env in envs:
                    self.load(leaf, (*env, *[("", 0)] * len(term.trips)))

        def body(counters: tuple[Counter, ...], totals: list[str]) -> list[str]:
            values = [self.expression(term, (*env, *counters)) for env in envs]
            return [form(term.op)(self, total, x) for total, x in zip(totals, values, strict=True)]

        totals = self.nest(term.trips, [self.load(term.first, env) for env in envs], body, envs[0])
        for env, total in zip(envs, totals, strict=True):
            self.store(self.key(term.target, env), total)

    def pick(self, term: Pick, env: Environment) -> None:
        valid, places = self.picked(term.source, term.index, term.count, env)
        value = "poison"
        for lane, place in enumerate(places):
            x = self.put(f"load double, ptr {place}, align 8")
            value = self.put(f"insertelement {self.type} {value}, double {x}, i64 {lane}") if self.lanes > 1 else x
        self.store(self.key(term.target, env), self.select(valid, value, self.number(math.nan)))

    def scatter(self, term: Scatter, env: Environment) -> None:
        """Lane by lane, as two may have picked the same."""
        valid, places = self.picked(term.target, term.index, term.count, env)
        value = self.select(valid, self.load(term.value, env), self.number(0.0))
        for lane, place in enumerate(places):
            x = self.put(f"extractelement {self.type} {value}, i64 {lane}") if self.lanes > 1 else value
            old = self.put(f"load double, ptr {place}, align 8")
            self.do(f"store double {self.put(f'fadd double {old}, {x}')}, ptr {place}, align 8")

    def picked(self, list_: Ref, index: Leaf, count: int, env: Environment) -> tuple[str, list[str]]:
        """(whether the index picks one of them, the address of what each lane picks; the first where it picks none)."""
        one, stride = Ref(list_.space, list_.base, list_.coefs[:-1]), list_.coefs[-1]
        space, constant, moving = self.key(one, env)
        start = self.pointer((space, constant, moving))
        if self.checked is not None:
            self.pointer((space, constant + stride * (count - 1), moving))
        x = self.load(index, env)
        nearest = self.intrinsic("rint", x)
        near = self.compare("olt", self.intrinsic("fabs", self.strict("fsub", x, nearest)), self.number(0.5))
        kind = f"<{self.lanes} x i1>" if self.lanes > 1 else "i1"
        inside = self.put(f"and {kind} {near}, {self.compare('oge', nearest, self.number(0.0))}")
        valid = self.put(f"and {kind} {inside}, {self.compare('olt', nearest, self.number(float(count)))}")
        safe = self.select(valid, nearest, self.number(0.0))
        integers = self.put(f"fptosi {self.type} {safe} to {self.integers}")
        unit = self.shape.lanes if list_.space in LANE_SPACES else 1
        places = []
        for lane in range(self.lanes):
            k = self.put(f"extractelement {self.integers} {integers}, i64 {lane}") if self.lanes > 1 else integers
            k = self.put(f"mul nsw i64 {k}, {stride * unit}")
            if unit > 1 and lane:
                k = self.put(f"add nsw i64 {k}, {lane}")
            places.append(self.at("double", start, k))
        return valid, places

    def assign(self, term: Assign, envs: Sequence[Environment]) -> None:
        if not term.accumulate:
            values = [self.expression(term, env) for env in envs]
            for env, value in zip(envs, values, strict=True):
                self.store(self.key(term.target, env), value)
            return
        groups: dict[Any, list[Environment]] = {}
        for env in envs:
            groups.setdefault(self.key(term.target, env), []).append(env)
        for key, same in groups.items():
            if key[0] not in LANE_SPACES:
                total = self.expression(term, same[0])
                for env in same[1:]:
                    total = self.arithmetic("fadd", total, self.expression(term, env))
                self.add_to_scalar(key, self.sum_of_lanes(total))
                continue
            pointer = self.pointer(key)
            total = self.put(f"load {self.type}, ptr {pointer}, align {self.align}")
            for env in same:
                total = self.arithmetic("fadd", total, self.expression(term, env))
            self.store(key, total)

    def expression(self, term: Assign | Reduce, env: Environment) -> str:
        values = [self.load(x, env) for x in term.leaves]
        for op, args in term.code:
            values.append(form(op)(self, *[values[k] for k in args]))
        return values[-1] if term.code else values[0]

    def for_loop(
        self,
        loop: For,
        envs: Sequence[Environment],
        ranges: tuple[Range, ...],
        around: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        """`around`: what a few iterations are put into."""
        jam = self.jam(loop, ranges) if len(envs) == 1 else 1
        inner = (*ranges, (0, loop.trips - 1))
        whole = loop.trips // jam * jam  # of a bound that moves, the most there are: then one at a time

        def some(counters: Sequence[Counter]) -> None:
            inside = [(*env, counter) for env in envs for counter in counters]

            def emit() -> None:
                if around is not None:
                    self.pin(loop, envs, ranges)
                self.terms(loop.body, inside, inner)

            emit() if around is None else around(emit)

        def body(counter: str, _: Any) -> list[str]:
            some([(counter, k) for k in range(jam)])
            return []

        self.scopes.append({})
        if around is None:
            self.pin(loop, envs, ranges)
        if whole == jam and not isinstance(loop.trips, Bound):
            some([("", k) for k in range(jam)])
        elif isinstance(loop.trips, Bound):
            self.turning(loop.trips, envs[0], [], body)
        else:
            self.loop(whole, [], body, jam)
        if whole < loop.trips:
            some([("", k) for k in range(whole, loop.trips)])
        self.scopes.pop()

    def jam(self, loop: For, ranges: tuple[Range, ...]) -> int:
        """How many iterations of a loop run side by side: more than one only where they are independent."""
        level = len(ranges)
        if isinstance(loop.trips, Bound) or any(depends(n, level) for n in _bounds(loop.body)):
            return 1
        sums = any(isinstance(t, Reduce) for t in loop.body)
        loops = [t for t in loop.body if isinstance(t, For)]
        if any(not _only_assigns(t) for t in loops) or any(isinstance(t, Table) for t in loop.body):
            return 1
        calls = any(op not in _CHEAP for t in loop.body if isinstance(t, Assign) for op, _ in t.code)
        jam = self.side_by_side(loop.trips) if sums or loops else self.shape.light if calls else 1
        jam = min(jam, loop.trips)
        return jam if jam > 1 and independent(loop, ranges, jam - 1) else 1

    def side_by_side(self, trips: int) -> int:
        """How many sums at once take the least time: few do not keep the adders busy, too many find no registers."""
        registers = max(1, self.shape.lanes // self.shape.native)

        def time(sums: int) -> int:
            return 1 + max(sums * registers, BUSY) if sums else 0

        jam = self.shape.jam
        return min(range(jam, jam + jam // 2 + 1), key=lambda n: trips // n * time(n) + time(trips % n))

    def pin(self, loop: For, envs: Sequence[Environment], ranges: tuple[Range, ...]) -> None:
        """Load adjoints that the loop neither moves nor changes before it starts."""
        level = len(ranges)
        for access in accesses([loop], ranges):
            ref = access.ref
            if access.kind == "read" and ref.space == ADJOINT and not any(ref.coefs[level:]):
                outer = Ref(ref.space, ref.base, ref.coefs[:level])
                if steady(outer, ranges, loop):
                    for env in envs:
                        self.scopes[-1][self.key(outer, env)] = self.load(outer, env)

    def table(self, table: Table, env: Environment, emit: Callable[..., None], ranges: tuple[Range, ...]) -> None:
        """A loop over the rows of a table, with a branch for each kind of statement."""
        width = table.width
        start = self.tables[id(table)]
        bounds = table.bounds

        def body(counter: str, _: Any) -> list[str]:
            first = self.put(f"getelementptr i64, ptr %tables, i64 {start}")
            row = self.put(f"getelementptr [{width} x i64], ptr {first}, i64 {counter}")
            kind = self.put(f"load i64, ptr {row}")
            name = f"case{self.names}"
            cases = " ".join(f"i64 {k}, label %{name}.{k}" for k in range(len(table.bodies)))
            self.do(f"switch i64 {kind}, label %{name}.0 [ {cases} ]")
            for k, terms in enumerate(table.bodies):
                self.label(f"{name}.{k}")
                self.scopes.append({})
                columns = []
                for c in range(len(bounds[k])):
                    place = self.put(f"getelementptr i64, ptr {row}, i64 {c + 1}")
                    columns.append((self.put(f"load i64, ptr {place}"), 0))
                emit(terms, (*env, *columns), (*ranges, *bounds[k]))
                self.scopes.pop()
                self.do(f"br label %{name}.end")
            self.label(f"{name}.end")
            return []

        self.loop(len(table.rows), [], body)

    def add_to_scalar(self, key: Any, x: str) -> None:
        pointer = self.pointer(key)
        old = self.put(f"load double, ptr {pointer}, align 8")
        self.do(f"store double {self.put(f'fadd double {old}, {x}')}, ptr {pointer}, align 8")


def _bounds(terms: Sequence[Term]) -> Iterator[int]:
    """How often each loop and each sum in the terms turns."""
    for term in terms:
        if isinstance(term, For):
            yield term.trips
            yield from _bounds(term.body)
        elif isinstance(term, Reduce):
            yield from term.trips


def _reads_parameters(loop: For) -> bool:
    return any(a.ref.space in (PARAM, SHARED) and any(a.ref.coefs) for a in accesses([loop]))


def _only_assigns(loop: For) -> bool:
    return all(isinstance(t, Assign) or (isinstance(t, For) and _only_assigns(t)) for t in loop.body)


def function(
    name: str, terms: Sequence[Term], shape: Shape, tables: dict[int, int], stride: int, *, backward: bool, checked: Any
) -> tuple[str, set[Any]]:
    """A function that runs terms on `groups` frames, `stride` doubles apart, and the helpers that it uses."""
    e = Emitter(shape, tables, backward, checked)
    if shape.lanes > 1:
        e.frames = "%groups", stride
    e.label("entry")
    e.section(terms)
    return text(name, e)


def text(name: str, e: Emitter) -> tuple[str, set[Any]]:
    body = "\n".join(e.lines)
    return f"define internal void @{name}({ARGUMENTS}) #0 {{\n{body}\n  ret void\n}}", e.used


__all__ = ["ARGUMENTS", "LANE_SPACES", "Emitter", "Environment", "Counter", "Shape", "definitions", "function", "text"]
