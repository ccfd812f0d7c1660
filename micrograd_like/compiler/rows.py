"""Stage 6, rows: a loop over samples that are written in the program, as samples side by side.

A loss over a whole data set, written as one function, has no inputs: the samples are constants of its, and its longest
loops go over them. Where an iteration needs nothing of another one, they run as the samples of a batch do, one in each
lane. Each number of an iteration then lies beside those of the others: what an iteration has n slots behind its first
one has the n-th row of the shared section's memory. The lines before and after the loops find it at plain addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

from micrograd_like.compiler.adjoint import Nests, both_ways
from micrograd_like.compiler.loops import Bound, For, Ref, Statement, Table, Term, literal
from micrograd_like.compiler.nest import Range, interpret
from micrograd_like.compiler.spaces import (
    ADJOINT,
    CONST,
    INACTIVE,
    INPUT,
    NODE,
    SHARED,
    SHARED_GRADIENT,
    SHARED_INACTIVE,
    TEMPORARY,
    padded,
)

LEAST = 16  # iterations that are worth it


class Column(NamedTuple):
    """A number of each iteration among the constants."""

    first: int
    step: int  # from one iteration to the next


@dataclass
class Rows:
    """A loop whose iterations run side by side."""

    body: Nests  # of one iteration, as of a sample; what was computed before is shared
    count: int
    start: int  # the slot of the shared section where the rows begin
    inputs: list[Column]

    @property
    def length(self) -> int:
        """The iterations, filled up to whole vectors."""
        return padded(self.count)

    def table(self, constants: Sequence[float]) -> list[float]:
        """The iterations' constants in rows; the last one's are repeated."""
        places = [min(k, self.count - 1) for k in range(self.length)]
        return [constants[column.first + column.step * k] for column in self.inputs for k in places]


@dataclass
class Once:
    """The section that all samples share, as the machine runs it: lines, rows if there are some, and lines again."""

    before: Nests
    rows: Rows | None
    after: Nests

    @property
    def nests(self) -> tuple[Nests, ...]:
        """Its parts."""
        return (self.before, self.after) if self.rows is None else (self.before, self.rows.body, self.after)

    @property
    def slots(self) -> int:
        """The slots of all parts."""
        return self.after.slots

    @property
    def outputs(self) -> int:
        """The slot of the first output."""
        return self.after.outputs

    @property
    def temporaries(self) -> int:
        """The room that the parts take, one after the other in the same place."""
        found = [each.backward.temporaries for each in (self.before, self.after)]
        return max(*found, 0 if self.rows is None else self.rows.body.backward.temporaries * self.rows.length)

    def interpret(self, memory: dict[int, list[float]], constants: Sequence[float], *, backward: bool) -> None:
        """Run it, or its adjoint, in plain Python. `memory`: as the section's interpreter has it."""
        parts = [self.before, self.rows, self.after]
        for part in reversed(parts) if backward else parts:
            if isinstance(part, Nests):
                _run(part, memory, backward=backward)
            elif part is not None:
                _run_rows(part, memory, part.table(constants), backward=backward)


def _run(section: Nests, memory: dict[int, list[float]], *, backward: bool) -> None:
    for terms in (section.backward.sweep, section.backward.contributions) if backward else (section.forward,):
        interpret(terms, memory)


def _run_rows(rows: Rows, memory: dict[int, list[float]], table: list[float], *, backward: bool) -> None:
    common = memory | {SHARED: memory[NODE], SHARED_GRADIENT: memory[ADJOINT]}
    for k in range(rows.count):
        places = [rows.start + slot * rows.length + k for slot in range(rows.body.slots)]
        own = {space: [memory[space][place] for place in places] for space in (NODE, ADJOINT)}
        own |= {INPUT: table[k :: rows.length], TEMPORARY: [0.0] * rows.body.backward.temporaries}
        _run(rows.body, common | own, backward=backward)
        for space in (NODE, ADJOINT):
            for place, value in zip(places, own[space], strict=True):
                memory[space][place] = value


def split(whole: Nests, constants: list[float], outputs: int | None, *, careful: bool = False) -> Once:
    """The section that all samples share, with its longest loops as rows, where they can be.

    `outputs`: how many the program has; None where there are samples, which read the section's slots, so that none may
    move. Constants that rules need are added to the list.
    """
    terms = whole.terms
    found = [] if outputs is None else _candidates(whole, constants, outputs)
    for first, builder in sorted(found, key=lambda candidate: -candidate[1].work):
        last = first + len(builder.body)
        try:
            before, after = ([builder.placed(term, ()) for term in part] for part in (terms[:first], terms[last:]))
            body = [builder.placed(term, (), shared=True) for part in builder.body for term in part]
        except _MeetingError:
            continue
        slots = builder.start + builder.slots * builder.length
        row = both_ways(body, constants, builder.slots, inputs=len(builder.inputs), careful=careful)
        return Once(
            both_ways(before, constants, slots, careful=careful),
            Rows(row, builder.count, builder.start, builder.inputs),
            both_ways(after, constants, slots, builder.address(whole.outputs), careful=careful),
        )
    return Once(both_ways((), [], 0), None, whole)


class _MeetingError(Exception):
    """An iteration needs what is not its own."""


def _candidates(whole: Nests, constants: Sequence[float], outputs: int) -> Iterator[tuple[int, _Builder]]:
    """(place of the first, loops one after the other that turn equally often, as rows)."""
    terms, kept = whole.terms, range(whole.outputs, whole.outputs + outputs)
    first = 0
    while first < len(terms):
        term = terms[first]
        if not isinstance(term, For) or term.trips < LEAST:
            first += 1
            continue
        builder, last = _Builder(term.trips, constants, kept, whole.slots), first
        while last < len(terms) and builder.takes(terms[last]):
            last += 1
        if last > first:
            yield first, builder
        first = max(last, first + 1)


class _Region(NamedTuple):
    """Slots that the loops write: of each `step`, an iteration writes some of the first `used`."""

    base: int
    step: int
    used: int
    slot: int  # the first one of a row


class _Builder:
    """Loops as rows. What lies outside of them moves together, and the rows come behind it."""

    def __init__(self, count: int, constants: Sequence[float], kept: range, slots: int) -> None:
        self.count, self.constants = count, constants
        self.kept, self.all = kept, slots  # the outputs, which stay side by side; how many slots the section had
        self.body: list[tuple[Term, ...]] = []
        self.regions: list[_Region] = []
        self.inputs: list[Column] = []
        self.known: dict[tuple[int, int, int], int] = {}  # where constants became inputs
        self.slots = self.work = 0

    @property
    def length(self) -> int:
        return padded(self.count)

    def places(self, region: _Region) -> range:
        """The slots from a region's first to its last."""
        return range(region.base, region.base + region.step * (self.count - 1) + region.used)

    def _met(self, low: int, high: int) -> list[_Region]:
        """The regions that have one of these slots."""
        return [region for region in self.regions if low < self.places(region).stop and region.base <= high]

    def address(self, slot: int) -> int:
        """Where a slot is that lies in no region."""
        return slot - sum(len(self.places(region)) for region in self.regions if region.base < slot)

    @property
    def start(self) -> int:
        """Where the rows begin."""
        return padded(self.address(self.all))

    def takes(self, term: Term) -> bool:
        """Add a loop, if its iterations need nothing of one another."""
        if not isinstance(term, For) or not _plain(term) or term.trips != self.count:
            return False
        before = self.slots, self.regions, list(self.inputs), dict(self.known)
        self.regions = list(self.regions)
        own = list(_statements([term], ()))
        try:
            for s, ranges in sorted(own, key=lambda found: _span(found[0].out, found[1])[0]):
                self._claim(s.out.coefs[0], *_span(s.out, ranges))
            self.body.append(tuple(self._row(each, ((0, self.count - 1),)) for each in term.body))
        except _MeetingError:
            self.slots, self.regions, self.inputs, self.known = before
            return False
        self.work += self.count * len(own)
        return True

    def _claim(self, step: int, low: int, high: int) -> None:
        """Make the slots from `low` to `high`, and those of each step after them, an iteration's own."""
        near = [k for k, r in enumerate(self.regions) if r.step == step and r.base <= low < r.base + step]
        if near:
            region = self.regions.pop(near[0])
            region = region._replace(used=max(region.used, high - region.base + 1))
        else:
            region = _Region(low, step, high - low + 1, self.slots)
            self.slots += step
        places = self.places(region)
        others = [self.kept, *map(self.places, self.regions)]
        if not 0 < region.used <= step or any(
            places.start < other.stop and other.start < places.stop for other in others
        ):
            raise _MeetingError
        self.regions.append(region)

    def _row(self, term: Term, ranges: tuple[Range, ...]) -> Term:
        """A term of a loop's body for one iteration."""
        if isinstance(term, For):
            inner = (*ranges, (0, term.trips - 1))
            return For(term.trips, tuple(self._row(each, inner) for each in term.body))
        return _changed(term, ranges, self._own)

    def _own(self, ref: Ref, ranges: Sequence[Range]) -> Ref:
        """Where an iteration finds what lies there."""
        low, high = _span(ref, ranges)
        step, rest = ref.coefs[0], ref.coefs[1:]
        if ref.space in (NODE, INACTIVE):
            for region in self.regions:
                if step == region.step and region.base <= low and high < region.base + step:
                    return Ref(ref.space, region.slot + ref.base - region.base, rest)
            if step or self._met(low, high):  # another iteration's
                raise _MeetingError
            return Ref(SHARED if ref.space == NODE else SHARED_INACTIVE, ref.base, rest)
        if not step:
            return Ref(ref.space, ref.base, rest)
        if ref.space != CONST:
            raise _MeetingError
        if literal(ref, self.constants, [n + 1 for _, n in ranges]) is not None:
            return Ref(CONST, ref.base, rest)
        return self._input(self._shortened(ref, ranges), ranges)

    def _shortened(self, ref: Ref, ranges: Sequence[Range]) -> Ref:
        """The address without the counters that change nothing: an input is written once for each neuron that reads it."""
        coefs = list(ref.coefs)
        for d in range(1, len(coefs)):
            turns = [range(high + 1) if c else (0,) for c, (_, high) in zip(coefs, ranges, strict=True)]
            if coefs[d] and all(
                _same(self._constant(ref, counters), self._constant(ref, (*counters[:d], 0, *counters[d + 1 :])))
                for counters in product(*turns)
            ):
                coefs[d] = 0
        return Ref(ref.space, ref.base, tuple(coefs))

    def _constant(self, ref: Ref, counters: Sequence[int]) -> float:
        return self.constants[ref.base + sum(c * i for c, i in zip(ref.coefs, counters, strict=True))]

    def _input(self, ref: Ref, ranges: Sequence[Range]) -> Ref:
        low, high = _span(ref, ranges)
        step = ref.coefs[0]
        if (low, high, step) not in self.known:
            self.known[low, high, step] = len(self.inputs)
            self.inputs += [Column(first, step) for first in range(low, high + 1)]
        return Ref(INPUT, self.known[low, high, step] + ref.base - low, ref.coefs[1:])

    def placed(self, term: Term, ranges: tuple[Range, ...], *, shared: bool = False) -> Term:
        """A term with the section's addresses as they now are; `shared`: as rows name them."""
        if isinstance(term, For):
            inner = (*ranges, (0, term.trips - 1))
            return For(term.trips, tuple(self.placed(each, inner, shared=shared) for each in term.body))
        if isinstance(term, Table):
            bodies = [
                tuple(self.placed(each, (*ranges, *bounds)) for each in body)
                for body, bounds in zip(term.bodies, term.bounds, strict=True)
            ]
            return replace(term, bodies=tuple(bodies))
        spaces = (SHARED, SHARED_INACTIVE) if shared else (NODE, INACTIVE)
        return _changed(term, ranges, lambda ref, ranges: self._placed(ref, ranges) if ref.space in spaces else ref)

    def _placed(self, ref: Ref, ranges: Sequence[Range]) -> Ref:
        met = self._met(*_span(ref, ranges, whole=True))
        if not met:
            return Ref(ref.space, self.address(ref.base), ref.coefs)
        region = met[0]
        row, slot = divmod(ref.base - region.base, region.step)
        along = tuple(c // region.step if c % region.step == 0 else 0 for c in ref.coefs)
        across = tuple(0 if c % region.step == 0 else c for c in ref.coefs)
        first, last = _span(Ref(ref.space, row, along), ranges, whole=True)
        least, most = _span(Ref(ref.space, slot, across), ranges, whole=True)
        if len(met) > 1 or not (first >= 0 and last < self.count and least >= 0 and most < region.used):
            raise _MeetingError
        base = self.start + (region.slot + slot) * self.length + row
        return Ref(ref.space, base, tuple(a + b * self.length for a, b in zip(along, across, strict=True)))


def _plain(loop: For) -> bool:
    """Whether in a loop there are but statements, and loops with bounds that stay."""
    return not isinstance(loop.trips, Bound) and all(
        _plain(term)
        if isinstance(term, For)
        else not isinstance(term, Table) and not any(isinstance(n, Bound) for n in term.trips)
        for term in loop.body
    )


def _same(x: float, y: float) -> bool:
    """Whether these are the same number, also in the sign of a zero."""
    return x == y != 0 or repr(x) == repr(y)


def _statements(terms: Sequence[Term], ranges: tuple[Range, ...]) -> Iterator[tuple[Statement, tuple[Range, ...]]]:
    """(each statement, the ranges of the counters around it)."""
    for term in terms:
        if isinstance(term, For):
            yield from _statements(term.body, (*ranges, (0, term.trips - 1)))
        elif isinstance(term, Table):
            for body, bounds in zip(term.bodies, term.bounds, strict=True):
                yield from _statements(body, (*ranges, *bounds))
        else:
            yield term, ranges


def _span(ref: Ref, ranges: Sequence[Range], *, whole: bool = False) -> Range:
    """The smallest and the largest address; of the first iteration of the outermost loop, or of the whole."""
    low = high = ref.base
    for d, (c, bounds) in enumerate(zip(ref.coefs, ranges, strict=True)):
        ends = (c * bounds[0], c * bounds[1])
        if d or whole:
            low, high = low + min(ends), high + max(ends)
    return low, high


def _changed(s: Statement, ranges: tuple[Range, ...], change: Callable[[Ref, Sequence[Range]], Ref]) -> Statement:
    """The statement with its addresses changed."""
    inner = (*ranges, *[(0, n - 1) for n in s.trips])
    return Statement(
        s.op,
        tuple(change(ref, ranges) for ref in s.scalars),
        tuple(change(ref, inner) for ref in s.strided),
        s.trips,
        change(s.out, ranges),
        None if s.value is None else change(s.value, ranges),
    )


__all__ = ["Once", "Rows", "split"]
