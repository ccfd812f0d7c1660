"""Stage 8, gradients: what all samples add to each parameter, summed over the samples in registers.

Nobody reads a parameter's gradient before all samples are done, so that its contributions may be added in any order. A
few single gradients are summed with a sample in each lane, and at the end over the lanes. The order is fixed: the same
call gives the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from micrograd_like.compiler.emit import Emitter
from micrograd_like.compiler.loops import Bound, Table, Term, depends
from micrograd_like.compiler.memory import ARGUMENTS, Counter, Environment, Key, Layout
from micrograd_like.compiler.nest import Assign, Range, Scatter, unwrapped
from micrograd_like.compiler.writer import EVEN, HIGH, LOW, ODD


def contributions(name: str, terms: Sequence[Term], layout: Layout) -> tuple[str, set[Any]]:
    """A function that adds the contributions of all frames to the gradients, and what it uses."""
    e = Summer(layout, contract=True)
    e.settled = True
    for term in terms:
        e.contribution(term, (), ())
    return e.function(name, ARGUMENTS, linkage="internal "), e.used


class Summer(Emitter):
    """Writes sums over all samples."""

    def contribution(self, term: Term, env: Environment, ranges: tuple[Range, ...]) -> None:
        """Add what a nest of one accumulation gives, for all frames, to its scalars.

        The additions are all to places that nobody reads, so that they may be done in any order of the counters:
        counters that move the target come first, then the frames, and those that do not move it run innermost.
        """
        if isinstance(term, Table):

            def rows(body: Sequence[Term], inner: Environment, bounds: tuple[Range, ...]) -> None:
                for each in body:
                    self.contribution(each, inner, bounds)

            self.table(term, env, ranges, rows)
            return
        trips, term = unwrapped(term)
        if isinstance(term, Scatter) or any(depends(n, len(env)) for n in trips):
            self.one_by_one(term, trips, env)
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
                self.tile(term, env, chosen, trips, still)
                return
            d = moving[k]
            size = tiles[d]
            if isinstance(trips[d], Bound):

                def one(counter: str, _: Any) -> list[str]:
                    outer(k + 1, [{**c, d: (counter, 0)} for c in chosen])
                    return []

                self.turning(trips[d], env, [], one)
                return
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

    def one_by_one(self, term: Scatter | Assign, trips: list[int], env: Environment) -> None:
        """Add each frame's part at once: where samples have picked different targets, and where a loop's bound moves."""

        def turns(inner: Environment) -> list[str]:
            if len(inner) < len(env) + len(trips):
                trip = trips[len(inner) - len(env)]
                self.turning(trip, inner, [], lambda counter, _: turns((*inner, (counter, 0))))
            elif isinstance(term, Scatter):
                self.scatter(term, inner)
            else:
                total = self.sum_of_lanes(self.expression(term, inner))
                self.add_to("double", self.pointer(self.key(term.target, inner)), total)
            return []

        self.each_frame([], lambda _: turns(env))

    def tile(
        self, term: Assign, env: Environment, chosen: list[dict[int, Counter]], trips: list[int], still: list[int]
    ) -> None:
        """A few scalars: their sums over all frames in registers, then over the lanes."""

        def environment(choice: dict[int, Counter], inner: tuple[Counter, ...]) -> Environment:
            known = choice | dict(zip(still, inner, strict=True))
            return (*env, *[known[d] for d in range(len(trips))])

        def over_counters(totals: list[str]) -> list[str]:
            def body(inner: tuple[Counter, ...], totals: list[str]) -> list[str]:
                values = [self.expression(term, environment(choice, inner)) for choice in chosen]
                return [self.arithmetic("fadd", t, x) for t, x in zip(totals, values, strict=True)]

            return self.nest([trips[d] for d in still], totals, body, env)

        totals = self.each_frame([(self.type, self.number(0.0)) for _ in chosen], over_counters)
        keys = [self.key(term.target, environment(choice, (("", 0),) * len(still))) for choice in chosen]
        k = 0
        while k < len(keys):
            if self.lanes % 4 == 0 and _consecutive(keys[k : k + 4]):
                self.add_four(keys[k], totals[k : k + 4])
                k += 4
            else:
                total = self.sum_of_lanes(totals[k])
                self.add_to("double", self.pointer(keys[k]), total)
                k += 1

    def add_four(self, key: Key, totals: Sequence[str]) -> None:
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


def _consecutive(keys: list[Key]) -> bool:
    return len(keys) == 4 and all(
        k[0] == keys[0][0] and k[2] == keys[0][2] and k[1] == keys[0][1] + i for i, k in enumerate(keys)
    )
