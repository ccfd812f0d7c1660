"""Stage 7, nesting: loops in machine code, and their iterations side by side.

Loops whose iterations are proven independent are unrolled and jammed: a few iterations run side by side, so that what
they load is shared and their sums overlap. What a loop does not change is loaded before it (hoisted).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any

from micrograd_like.compiler.loops import Bound, Choice, For, Ref, Table, Term, depends
from micrograd_like.compiler.machine import FORMS
from micrograd_like.compiler.memory import Counter, Environment, Memory
from micrograd_like.compiler.nest import Assign, Range, Reduce, accesses, independent, steady
from micrograd_like.compiler.spaces import ADJOINT, INPUT

BUSY = 7  # sums in registers that keep the adders of a processor busy
UNROLLED = 2  # turns of an innermost sum at once
CHEAP = frozenset(op for op in FORMS if op.name in ("add", "sub", "mul", "neg", "relu", "abs", "where", "max", "min"))


class Nesting(Memory):
    """Writes loops with bounds that move, tables, nested loops over registers, and jammed ones."""

    def turns(self, trips: int, env: Environment) -> int | str:
        """How often a loop turns, at these counters around it."""
        if not isinstance(trips, Bound):
            return trips
        constant, parts = trips.base, []
        for c, (name, offset) in zip(trips.coefs, env, strict=False):
            constant += c * offset
            if name and c:
                parts.append(self.scaled(name, c))
        if not parts:
            return max(constant, 0)
        total = self.sum_of(parts)
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

    def jammed(
        self,
        loop: For,
        envs: Sequence[Environment],
        ranges: tuple[Range, ...],
        body: Callable[[Sequence[Environment], tuple[Range, ...]], None],
        around: Callable[[Callable[[], None]], Any] | None = None,
    ) -> None:
        """A loop: body(environments of a few of its iterations, ranges). `around`: what a few iterations are put into."""
        jam = self.jam(loop, ranges) if len(envs) == 1 else 1
        inner = (*ranges, (0, loop.trips - 1))
        whole = loop.trips // jam * jam  # of a bound that moves, the most there are: then one at a time

        def some(counters: Sequence[Counter]) -> None:
            inside = [(*env, counter) for env in envs for counter in counters]

            def emit() -> None:
                if around is not None:
                    self.hoist(loop, envs, ranges)
                body(inside, inner)

            emit() if around is None else around(emit)

        def turn(counter: str, _: Any) -> list[str]:
            some([(counter, k) for k in range(jam)])
            return []

        with self.scope():
            if around is None:
                self.hoist(loop, envs, ranges)
            if isinstance(loop.trips, Bound):
                self.turning(loop.trips, envs[0], [], turn)
            elif whole == jam:
                some([("", k) for k in range(jam)])
            else:
                self.loop(whole, [], turn, jam)
            if whole < loop.trips:
                some([("", k) for k in range(whole, loop.trips)])

    def jam(self, loop: For, ranges: tuple[Range, ...]) -> int:
        """How many iterations of a loop run side by side: more than one only where they are independent."""
        level = len(ranges)
        if isinstance(loop.trips, Bound) or any(depends(n, level) for n in _bounds(loop.body)):
            return 1
        sums = any(isinstance(t, Reduce) for t in loop.body)
        loops = [t for t in loop.body if isinstance(t, For)]
        if any(not _only_assigns(t) for t in loops) or any(isinstance(t, Table) for t in loop.body):
            return 1
        calls = any(op not in CHEAP for t in loop.body if isinstance(t, Assign) for op, _ in t.code)
        shape = self.layout.shape
        jam = min(loop.trips, self.side_by_side(loop.trips) if sums or loops else shape.light if calls else 1)
        return jam if jam > 1 and independent(loop, ranges, jam - 1) else 1

    def side_by_side(self, trips: int) -> int:
        """How many sums at once take the least time: few do not keep the adders busy, too many find no registers."""

        def time(sums: int) -> int:
            return 1 + max(sums, BUSY) if sums else 0

        jam = self.layout.shape.jam
        return min(range(jam, jam + jam // 2 + 1), key=lambda n: trips // n * time(n) + time(trips % n))

    def hoist(self, loop: For, envs: Sequence[Environment], ranges: tuple[Range, ...]) -> None:
        """Load adjoints that the loop neither moves nor changes before it starts."""
        level = len(ranges)
        for access in accesses([loop], ranges):
            ref = access.ref
            if access.kind == "read" and ref.space == ADJOINT and not any(ref.coefs[level:]):
                outer = Ref(ref.space, ref.base, ref.coefs[:level])
                if steady(outer, ranges, loop):
                    for env in envs:
                        self.scopes[-1][self.key(outer, env)] = self.load(outer, env)

    def table(
        self,
        table: Table,
        env: Environment,
        ranges: tuple[Range, ...],
        body: Callable[[Sequence[Term], Environment, tuple[Range, ...]], None],
    ) -> None:
        """A loop over the rows of a table, with a branch for each kind of statement; body(terms, environment, ranges).

        Or the row that a length names: the samples side by side have all the same length.
        """
        start = self.layout.tables[id(table)]

        def one(counter: str, _: Any) -> list[str]:
            row = self.at(f"[{table.width} x i64]", self.at("i64", "%tables", start), counter)
            kind = self.put(f"load i64, ptr {row}")
            name = f"case{self.names}"
            cases = " ".join(f"i64 {k}, label %{name}.{k}" for k in range(len(table.bodies)))
            self.do(f"switch i64 {kind}, label %{name}.0 [ {cases} ]")
            for k, (terms, bounds) in enumerate(zip(table.bodies, table.bounds, strict=True)):
                self.label(f"{name}.{k}")
                with self.scope():
                    columns = [(self.put(f"load i64, ptr {self.at('i64', row, c + 1)}"), 0) for c in range(len(bounds))]
                    body(terms, (*env, *columns), (*ranges, *bounds))
                self.do(f"br label %{name}.end")
            self.label(f"{name}.end")
            return []

        if isinstance(table, Choice):
            length = self.put(f"load double, ptr {self.pointer((INPUT, table.place, ()))}, align 8")
            place = self.put(f"fptosi double {length} to i64")
            if self.checked is not None:
                self.check(place, len(table.rows))
            one(place, ())
        else:
            self.loop(len(table.rows), [], one)


def _bounds(terms: Sequence[Term]) -> Iterator[int]:
    """How often each loop and each sum in the terms turns."""
    for term in terms:
        if isinstance(term, For):
            yield term.trips
            yield from _bounds(term.body)
        elif isinstance(term, Reduce):
            yield from term.trips


def _only_assigns(loop: For) -> bool:
    return all(isinstance(t, Assign) or (isinstance(t, For) and _only_assigns(t)) for t in loop.body)
