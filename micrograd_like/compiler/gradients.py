"""Stage 8, gradients: what all samples add to each parameter, summed over the samples in registers.

Nobody reads a parameter's gradient before all samples are done, so that its contributions may be added in any order.
There are two. Along an input as it lies in memory, a few vectors of neighbouring gradients are summed sample by sample.
Everywhere else a few single gradients are summed with a sample in each lane, and at the end over the lanes. Either order
is fixed: the same call gives the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from micrograd_like import ops
from micrograd_like.compiler.emit import Counter, Emitter, Environment, Shape, text
from micrograd_like.compiler.loops import Bound, Ref, Table, Term
from micrograd_like.compiler.nest import Assign, Range, Scatter, unwrapped, wrapped
from micrograd_like.compiler.spaces import ADJOINT, INPUT, PARAM_GRADIENT
from micrograd_like.compiler.writer import EVEN, HIGH, LOW, ODD

ROWS = 4  # rows of gradients that are summed at once, two vectors of each


def contributions(
    name: str,
    terms: Sequence[Term],
    shape: Shape,
    tables: dict[int, int],
    stride: int,
    *,
    checked: Any,
    samples: Rows | None = None,
) -> tuple[str, set[Any]]:
    """A function that adds the contributions of `groups` frames, `stride` doubles apart, to the gradients."""
    e = Summer(shape, tables, True, checked, shape.native)
    e.settled = True
    e.label("entry")
    for term in terms:
        if samples is not None and (nest := row_nest(term, shape.native)) is not None:
            emit_rows(e, nest, samples, stride)
            if (term := nest.rest) is None:
                continue
        e.contribution(term, (), (), "%groups" if shape.lanes > 1 else "1", stride)
    return text(name, e)


class Summer(Emitter):
    """Writes sums over all samples."""

    def contribution(self, term: Term, env: Environment, ranges: tuple[Range, ...], groups: str, stride: int) -> None:
        """Add what a nest of one accumulation gives, for all frames, to its scalars.

        The additions are all to places that nobody reads, so that they may be done in any order of the counters:
        counters that move the target come first, then the frames, and those that do not move it run innermost.
        """
        if isinstance(term, Table):

            def rows(body: Sequence[Term], inner: Environment, bounds: tuple[Range, ...]) -> None:
                for each in body:
                    self.contribution(each, inner, bounds, groups, stride)

            self.table(term, env, rows, ranges)
            return
        trips, term = unwrapped(term)
        if isinstance(term, Scatter) or any(isinstance(n, Bound) for n in trips):
            self.one_by_one(term, trips, env, groups, stride)
            return
        assert isinstance(term, Assign)
        level = len(env)
        moving = [d for d in range(len(trips)) if term.target.coefs[level + d]]
        still = [d for d in range(len(trips)) if d not in moving]
        tiles = dict.fromkeys(moving, 1)
        if self.lanes > 1:
            for d, size in zip(reversed(moving), (4, 2), strict=False):
                tiles[d] = min(size, trips[d])

        def outer(k: int, chosen: list[dict[int, Counter]]) -> None:
            if k == len(moving):
                self.tile(term, env, chosen, trips, still, groups, stride)
                return
            d = moving[k]
            size = tiles[d]
            whole, rest = divmod(trips[d], size)
            if whole == 1:
                outer(k + 1, [{**c, d: ("", i)} for c in chosen for i in range(size)])
            elif whole:

                def body(counter: str, _: Any) -> list[str]:
                    outer(k + 1, [{**c, d: (counter, i)} for c in chosen for i in range(size)])
                    return []

                self.loop(whole * size, [], body, size)
            if rest:
                outer(k + 1, [{**c, d: ("", whole * size + i)} for c in chosen for i in range(rest)])

        outer(0, [{}])

    def one_by_one(self, term: Scatter | Assign, trips: list[int], env: Environment, groups: str, stride: int) -> None:
        """Add each frame's part at once: where samples have picked different targets, and where a loop's bound moves."""

        def frames(counter: str, _: Any) -> list[str]:
            for part in range(0, self.shape.lanes, self.lanes):
                with self.frame(counter, stride, part):
                    turns(env)
            return []

        def turns(inner: Environment) -> None:
            if len(inner) == len(env) + len(trips):
                if isinstance(term, Scatter):
                    self.scatter(term, inner)
                else:
                    self.add_to_scalar(self.key(term.target, inner), self.sum_of_lanes(self.expression(term, inner)))
                return

            def body(counter: str, _: Any) -> list[str]:
                turns((*inner, (counter, 0)))
                return []

            self.turning(trips[len(inner) - len(env)], inner, [], body)

        if groups == "1":
            turns(env)
        else:
            self.loop(groups, [], frames)

    def tile(
        self,
        term: Assign,
        env: Environment,
        chosen: list[dict[int, Counter]],
        trips: list[int],
        still: list[int],
        groups: str,
        stride: int,
    ) -> None:
        """A few scalars: their sums over all frames in registers, then over the lanes."""

        def environment(choice: dict[int, Counter], inner: tuple[Counter, ...]) -> Environment:
            known = choice | dict(zip(still, inner, strict=True))
            return (*env, *[known[d] for d in range(len(trips))])

        def over_counters(totals: list[str]) -> list[str]:
            def body(inner: tuple[Counter, ...], totals: list[str]) -> list[str]:
                values = [self.expression(term, environment(choice, inner)) for choice in chosen]
                return [self.arithmetic("fadd", t, x) for t, x in zip(totals, values, strict=True)]

            return self.nest([trips[d] for d in still], totals, body)

        def frames(counter: str, totals: Sequence[str]) -> list[str]:
            """The lanes of a frame, a register's worth at a time."""
            for part in range(0, self.shape.lanes, self.lanes):
                with self.frame(counter, stride, part):
                    totals = over_counters(list(totals))
            return list(totals)

        totals = [self.number(0.0)] * len(chosen)
        one = groups == "1"
        totals = over_counters(totals) if one else self.loop(groups, [(self.type, t) for t in totals], frames)
        keys = [self.key(term.target, environment(choice, (("", 0),) * len(still))) for choice in chosen]
        k = 0
        while k < len(keys):
            if self.lanes % 4 == 0 and _consecutive(keys[k : k + 4]):
                self.add_four(keys[k], totals[k : k + 4])
                k += 4
            else:
                self.add_to_scalar(keys[k], self.sum_of_lanes(totals[k]))
                k += 1

    def add_to(self, kind: str, pointer: str, x: str) -> None:
        """Add a number or a vector to what is at an address."""
        old = self.put(f"load {kind}, ptr {pointer}, align 8")
        self.do(f"store {kind} {self.put(f'fadd {kind} {old}, {x}')}, ptr {pointer}, align 8")

    def add_four(self, key: Any, totals: Sequence[str]) -> None:
        """The sums over the lanes of four vectors, added to four scalars side by side."""
        narrow, lanes = list(totals), self.lanes
        while lanes > 4:
            narrow, lanes = [self.halved(x, lanes) for x in narrow], lanes // 2

        def added(x: str, y: str, one: Sequence[int], other: Sequence[int]) -> str:
            return self.put(f"fadd <4 x double> {self.paired(x, y, one)}, {self.paired(x, y, other)}")

        ab, cd = added(narrow[0], narrow[1], EVEN, ODD), added(narrow[2], narrow[3], EVEN, ODD)
        sums = added(ab, cd, LOW, HIGH)
        self.add_to("<4 x double>", self.pointer(key), sums)
        if self.checked is not None:
            self.pointer((key[0], key[1] + 3, key[2]))


def _consecutive(keys: list[Any]) -> bool:
    return len(keys) == 4 and all(
        k[0] == keys[0][0] and k[2] == keys[0][2] and k[1] == keys[0][1] + i for i, k in enumerate(keys)
    )


@dataclass(frozen=True)
class Rows:
    """Where a block's samples lie as they are given, number by number: behind its frames, aligned."""

    start: int  # doubles from the first frame to the first row
    width: int  # doubles from one row to the next


@dataclass(frozen=True)
class RowNest:
    """gradient[…, j] += adjoint[…] * input[j]: the target runs along an input as it lies in memory."""

    trips: list[int]
    target: Ref
    adjoint: Ref
    row: Ref
    along: int  # the level of j
    whole: int  # how far j runs in whole vectors
    rest: Term | None  # the last few j


def row_nest(term: Term, width: int) -> RowNest | None:
    """The nest, if its gradients can be summed sample by sample, a vector of neighbouring gradients at a time."""
    trips, term = unwrapped(term)
    if not isinstance(term, Assign) or term.code != ((ops.mul, (0, 1)),) or not trips:
        return None
    adjoint, row = sorted(term.leaves, key=lambda x: isinstance(x, Ref) and x.space == INPUT)
    along = next((d for d in reversed(range(len(trips))) if term.target.coefs[d] == 1), None)
    if (
        along is None
        or any(isinstance(n, Bound) for n in trips)
        or not isinstance(adjoint, Ref)
        or not isinstance(row, Ref)
        or (adjoint.space, row.space, term.target.space) != (ADJOINT, INPUT, PARAM_GRADIENT)
        or any(c != (d == along) for d, c in enumerate(row.coefs))
        or adjoint.coefs[along]
        or not all(term.target.coefs)
        or trips[along] < width
    ):
        return None
    whole = trips[along] // width * width
    rest: Term | None = None
    if whole < trips[along]:
        leaves = tuple(x.shifted(along, whole) if isinstance(x, Ref) else x for x in term.leaves)
        few = [n - whole if d == along else n for d, n in enumerate(trips)]
        rest = wrapped(few, Assign(term.target.shifted(along, whole), True, leaves, term.code))
    return RowNest(trips, term.target, adjoint, row, along, whole, rest)


def emit_rows(e: Summer, nest: RowNest, samples: Rows, stride: int) -> None:
    """Sums of a few vectors of gradients in registers, over all samples of the block one after the other."""
    lanes, width = e.shape.lanes, e.lanes
    samples_start = e.put(f"getelementptr double, ptr %in, i64 {samples.start}")
    outer = [d for d in range(len(nest.trips)) if d != nest.along]

    def tile(env: dict[int, list[Counter]], column: Counter, vectors: int) -> None:
        """`env`: the counters of each level around; several for the last one."""
        choices: list[dict[int, Counter]] = [{}]
        for d in outer:
            choices = [{**choice, d: counter} for choice in choices for counter in env[d]]
        places = [
            [{**choice, nest.along: (column[0], column[1] + k * width)} for k in range(vectors)] for choice in choices
        ]

        def environment(place: dict[int, Counter]) -> Environment:
            return tuple(place[d] for d in range(len(nest.trips)))

        keys = [[e.key(nest.target, environment(place)) for place in row] for row in places]
        pointers = [[e.pointer(key) for key in row] for row in keys]
        sources = [e.key(nest.adjoint, environment(row[0])) for row in places]
        if e.checked is not None:
            for row in keys:
                e.pointer((row[-1][0], row[-1][1] + width - 1, row[-1][2]))
            for key in sources:
                e.pointer(key)
        first_number = e.put(f"getelementptr double, ptr {samples_start}, i64 {nest.row.base + column[1]}")
        if column[0]:
            first_number = e.put(f"getelementptr double, ptr {first_number}, i64 {column[0]}")

        def frame(counter: str, totals: Sequence[str]) -> list[str]:
            values = list(totals)
            first = e.put(f"mul nuw nsw i64 {counter}, {stride}")
            base = e.put(f"getelementptr double, ptr %adj, i64 {first}")
            adjoints = []
            for _, constant, moving in sources:
                place = e.put(f"getelementptr {e.unit}, ptr {base}, i64 {constant}")
                for name, c in moving:
                    place = e.put(f"getelementptr {e.unit}, ptr {place}, i64 {e.put(f'mul nsw i64 {name}, {c}')}")
                adjoints.append(place)
            sample = e.put(f"mul nuw nsw i64 {counter}, {lanes * samples.width}")
            row = e.put(f"getelementptr double, ptr {first_number}, i64 {sample}")
            for lane in range(lanes):
                xs = []
                for k in range(vectors):
                    there = e.put(f"getelementptr double, ptr {row}, i64 {lane * samples.width + k * width}")
                    xs.append(e.put(f"load {e.type}, ptr {there}, align 8"))
                for r, place in enumerate(adjoints):
                    here = e.put(f"getelementptr double, ptr {place}, i64 {lane}")
                    g = e.splat(e.put(f"load double, ptr {here}, align 8"))
                    for k, x in enumerate(xs):
                        product = e.arithmetic("fmul", g, x)
                        values[r * vectors + k] = e.arithmetic("fadd", values[r * vectors + k], product)
            return values

        places_in_memory = [p for row in pointers for p in row]
        sums = e.loop("%groups", [(e.type, e.number(0.0)) for _ in places_in_memory], frame)
        for pointer, total in zip(places_in_memory, sums, strict=True):
            e.add_to(e.type, pointer, total)

    def columns(env: dict[int, list[Counter]]) -> None:
        pairs = nest.whole // (2 * width) * 2 * width

        def two(counter: str, _: Any) -> list[str]:
            tile(env, (counter, 0), 2)
            return []

        if pairs:
            e.loop(pairs, [], two, 2 * width)
        if pairs < nest.whole:
            tile(env, ("", pairs), 1)

    def rows(k: int, env: dict[int, list[Counter]]) -> None:
        if k == len(outer):
            columns(env)
            return
        trips = nest.trips[outer[k]]
        size = min(ROWS, trips) if k == len(outer) - 1 else 1
        whole = trips // size * size

        def several(counter: str, _: Any) -> list[str]:
            rows(k + 1, {**env, outer[k]: [(counter, i) for i in range(size)]})
            return []

        e.loop(whole, [], several, size)
        if whole < trips:
            rows(k + 1, {**env, outer[k]: [("", i) for i in range(whole, trips)]})

    e.scopes.append({})  # the pointers to adjoints that are checked here are those of the first frame
    rows(0, {})
    e.scopes.pop()
