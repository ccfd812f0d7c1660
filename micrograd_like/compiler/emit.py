"""Stage 7, emit: nests as LLVM functions, with several samples side by side in the lanes of a vector.

Every sample's numbers are computed in the order of the nest: lanes are samples, so no sum inside a sample is reordered.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from typing import Any

from micrograd_like.compiler.loops import For, Ref, Table, Term
from micrograd_like.compiler.machine import form
from micrograd_like.compiler.memory import ARGUMENTS, Counter, Environment, Key, Layout
from micrograd_like.compiler.nest import Assign, Leaf, Pick, Range, Reduce, Scatter, accesses
from micrograd_like.compiler.nesting import Nesting
from micrograd_like.compiler.spaces import PARAM, SHARED


def function(name: str, terms: Sequence[Term], layout: Layout, *, backward: bool) -> tuple[str, set[Any]]:
    """A function that runs terms on all frames, and what it uses."""
    e = Emitter(layout, contract=backward)
    e.section(terms)
    return e.function(name, ARGUMENTS, linkage="internal "), e.used


class Emitter(Nesting):
    """Writes the terms of nests."""

    def section(self, terms: Sequence[Term]) -> None:
        """All terms on all frames. What reads parameters stays with a few of them while it goes through the frames."""

        def on_each_frame(body: Callable[[], None]) -> None:
            def one(values: list[str]) -> list[str]:
                body()
                return values

            self.each_frame([], one)

        for heavy, group in groupby(terms, lambda term: isinstance(term, For) and _reads_parameters(term)):
            if heavy:
                for loop in group:
                    self.for_loop(loop, [()], (), on_each_frame)
            else:
                on_each_frame(partial(self.terms, list(group), [()], ()))

    def for_loop(self, loop: For, envs: Sequence[Environment], ranges: tuple[Range, ...], around: Any = None) -> None:
        self.jammed(loop, envs, ranges, lambda envs, ranges: self.terms(loop.body, envs, ranges), around)

    def terms(self, terms: Sequence[Term], envs: Sequence[Environment], ranges: tuple[Range, ...]) -> None:
        """Terms in the given environments, one per jammed iteration of a loop around them."""
        for term in terms:
            if isinstance(term, For):
                self.for_loop(term, envs, ranges)
            elif isinstance(term, Table):
                self.table(term, envs[0], ranges, lambda body, env, ranges: self.terms(body, [env], ranges))
            elif isinstance(term, Reduce):
                self.reduce(term, envs)
            elif isinstance(term, Pick):
                for env in envs:
                    self.pick(term, env)
            elif isinstance(term, Scatter):
                for env in envs:
                    self.scatter(term, env)
            elif term.accumulate:
                self.accumulate(term, envs)
            else:
                values = [self.expression(term, env) for env in envs]
                for env, value in zip(envs, values, strict=True):
                    self.store(self.key(term.target, env), value)

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

    def accumulate(self, term: Assign, envs: Sequence[Environment]) -> None:
        groups: dict[Key, list[Environment]] = {}
        for env in envs:
            groups.setdefault(self.key(term.target, env), []).append(env)
        for key, same in groups.items():
            if key[0].per_sample:
                total = self.put(f"load {self.type}, ptr {self.pointer(key)}, align {self.align}")
            else:
                total = self.expression(term, same.pop(0))
            for env in same:
                total = self.arithmetic("fadd", total, self.expression(term, env))
            if key[0].per_sample:
                self.store(key, total)
            else:
                total = self.sum_of_lanes(total)
                self.add_to("double", self.pointer(key), total)

    def expression(self, term: Assign | Reduce, env: Environment) -> str:
        values = [self.load(x, env) for x in term.leaves]
        for op, args in term.code:
            values.append(form(op)(self, *[values[k] for k in args]))
        return values[-1] if term.code else values[0]

    # Picking by an index

    def pick(self, term: Pick, env: Environment) -> None:
        valid, places = self.picked(term.source, term.index, term.count, env)
        value = self.lanewise(lambda k: self.put(f"load double, ptr {places[k]}, align 8"))
        self.store(self.key(term.target, env), self.select(valid, value, self.number(math.nan)))

    def scatter(self, term: Scatter, env: Environment) -> None:
        """Lane by lane, as two may have picked the same."""
        valid, places = self.picked(term.target, term.index, term.count, env)
        value = self.select(valid, self.load(term.value, env), self.number(0.0))
        for k, place in enumerate(places):
            self.add_to("double", place, self.lane(value, k))

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
        inside = self.put(f"and {self.mask} {near}, {self.compare('oge', nearest, self.number(0.0))}")
        valid = self.put(f"and {self.mask} {inside}, {self.compare('olt', nearest, self.number(float(count)))}")
        safe = self.select(valid, nearest, self.number(0.0))
        integers = self.put(f"fptosi {self.type} {safe} to {self.integers}")
        unit = self.slot if space.per_sample else 1
        places = []
        for lane in range(self.lanes):
            k = self.put(f"extractelement {self.integers} {integers}, i64 {lane}") if self.lanes > 1 else integers
            k = self.put(f"mul nsw i64 {k}, {stride * unit}")
            if unit > 1 and lane:
                k = self.put(f"add nsw i64 {k}, {lane}")
            places.append(self.at("double", start, k))
        return valid, places


def _reads_parameters(loop: For) -> bool:
    return any(a.ref.space in (PARAM, SHARED) and any(a.ref.coefs) for a in accesses([loop]))
