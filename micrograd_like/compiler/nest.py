"""Stage 4, nests: the loops as assignments to memory, and what may be reordered in them.

An `Assign` stores the value of a small expression, or adds it to what is there. A `Reduce` combines an expression over
counters of its own, from left to right, in a register. Expressions are code: each step applies a row of the table to
leaves (addresses and numbers) and earlier steps; the last is the value, or the only leaf where there is no code.

Whether iterations may change places is decided by one function, `may_alias`: can two addresses be the same?
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import gcd
from typing import Any

from micrograd_like import ops
from micrograd_like.compiler.loops import (
    Choice,
    For,
    Ref,
    Statement,
    Table,
    Term,
    address,
    counter,
    literal,
    times,
    turns,
)
from micrograd_like.compiler.spaces import INPUT
from micrograd_like.compiler.trace import COPY
from micrograd_like.ops import Operation

Leaf = Ref | float
Code = tuple[tuple[Operation, tuple[int, ...]], ...]
Range = tuple[int, int]  # the smallest and the largest value of a counter


@dataclass(frozen=True, slots=True)
class Assign:
    """target = expression, or target += expression."""

    target: Ref
    accumulate: bool
    leaves: tuple[Leaf, ...]
    code: Code = ()


@dataclass(frozen=True, slots=True)
class Reduce:
    """target = op(… op(op(first, e0), e1) …), the expression e taken over the trips' counters."""

    target: Ref
    op: Operation
    first: Leaf
    trips: tuple[int, ...]
    leaves: tuple[Leaf, ...]
    code: Code = ()


@dataclass(frozen=True, slots=True)
class Pick:
    """target = the one of `count` numbers whose place is nearest to the index; nan where none is nearer than 1/2.

    The source's last coefficient leads from one of them to the next.
    """

    target: Ref
    index: Leaf
    source: Ref
    count: int


@dataclass(frozen=True, slots=True)
class Scatter:
    """The one of `count` targets whose place is nearest to the index += value; none where none is nearer than 1/2."""

    target: Ref
    index: Leaf
    value: Ref
    count: int


# How the rows on any number of operands are computed: the row that combines two, and where the register starts.
REDUCTIONS = {
    ops.dot: (ops.add, None),
    ops.sum: (ops.add, None),
    ops.max: (ops.max, float("-inf")),
    ops.min: (ops.min, float("inf")),
}
_PRODUCT: Code = ((ops.mul, (0, 1)),)


def lower(terms: Sequence[Term], constants: Sequence[float], trips: tuple[int, ...] = ()) -> tuple[Term, ...]:
    """Loops over statements as loops over assignments. `trips`: of the enclosing loops."""
    lowered: list[Term] = []
    for term in terms:
        if isinstance(term, For):
            lowered.append(For(term.trips, lower(term.body, constants, (*trips, term.trips))))
        elif isinstance(term, Table):
            bodies = zip(term.bodies, columns_as_trips(term), strict=True)
            lowered.append(replace(term, bodies=tuple(lower(body, constants, (*trips, *own)) for body, own in bodies)))
        else:
            lowered.append(_lower(term, constants, trips))
    return tuple(lowered)


def columns_as_trips(table: Table) -> list[tuple[int, ...]]:
    """Per kind of statement, what its columns are among the trips of loops: 0, where any number may be in them.

    The column of a choice by length is like the counter of a loop over the lengths.
    """
    if isinstance(table, Choice):
        return [tuple(high + 1 for _, high in columns) for columns in table.bounds]
    return [tuple(0 if low != high or low else 1 for low, high in columns) for columns in table.bounds]


def _lower(s: Statement, constants: Sequence[float], trips: tuple[int, ...]) -> Term:
    scalars = [leaf(ref, constants, trips) for ref in s.scalars]
    target = stored(s.out)
    if s.value is not None:
        return Assign(target, False, (leaf(s.value, constants, trips),))
    if s.op is ops.gather:
        return Pick(target, scalars[0], stored(s.strided[0]), s.trips[0])
    if s.op in REDUCTIONS:
        combine, start = REDUCTIONS[s.op]
        first = scalars[0] if start is None else start
        return Reduce(
            target, combine, first, s.trips, tuple(map(stored, s.strided)), _PRODUCT if len(s.strided) == 2 else ()
        )
    if s.op is COPY:
        return Assign(target, False, (scalars[0],))
    return Assign(target, False, tuple(scalars), ((s.op, tuple(range(len(scalars)))),))


def stored(ref: Ref) -> Ref:
    """The same address with the space that it is stored in."""
    return Ref(ref.space.storage, ref.base, ref.coefs)


def leaf(ref: Ref, constants: Sequence[float], trips: Sequence[int]) -> Leaf:
    """The number, where a constant's address holds the same one in every iteration; else the address."""
    number = literal(ref, constants, trips)
    return stored(ref) if number is None else number


# What may be reordered


def may_alias(
    a: Ref, b: Ref, ranges_a: Sequence[Range], ranges_b: Sequence[Range], common: int = 0, distance: Range | None = None
) -> bool:
    """Whether two addresses can be the same: False is a proof that they are not.

    The proof is one of two tests: Banerjee's, that the difference of the addresses does not reach 0, or the GCD test, that
    it is never a multiple of all coefficients' greatest common divisor.

    The counters of the first `common` levels have the same values in both. With a `distance`, the next level's counter
    in b is ahead of a's by a number of iterations in that range. All other counters take any value of their ranges.
    """
    if a.space != b.space:
        return False
    low = high = b.base - a.base
    divisor = 0

    def vary(coefficient: int, bounds: Range) -> None:
        nonlocal low, high, divisor
        if coefficient:
            x, y = coefficient * bounds[0], coefficient * bounds[1]
            low, high = low + min(x, y), high + max(x, y)
            if bounds[0] != bounds[1]:
                divisor = gcd(divisor, coefficient)
            else:
                fixed.append(x)

    fixed: list[int] = []
    for level in range(common):
        vary(b.coefs[level] - a.coefs[level], ranges_a[level])
    rest = common
    if distance is not None and a.coefs[common] == b.coefs[common]:
        vary(b.coefs[common], distance)
        rest += 1
    for c, bounds in zip(a.coefs[rest:], ranges_a[rest:], strict=True):
        vary(-c, bounds)
    for c, bounds in zip(b.coefs[rest:], ranges_b[rest:], strict=True):
        vary(c, bounds)
    if low > 0 or high < 0:  # Banerjee
        return False
    offset = b.base - a.base + sum(fixed)
    return offset == 0 if divisor == 0 else offset % divisor == 0  # GCD


@dataclass(frozen=True, slots=True)
class Access:
    """A place in memory that a term touches."""

    ref: Ref
    kind: str  # "read", "write", or "add": adding in another order is the same up to rounding
    ranges: tuple[Range, ...]  # of all its counters


def accesses(terms: Sequence[Term], ranges: tuple[Range, ...] = ()) -> Iterator[Access]:
    """Everything that terms touch, inside of loops whose counters have these ranges."""
    for term in terms:
        if isinstance(term, For):
            yield from accesses(term.body, (*ranges, (0, term.trips - 1)))
        elif isinstance(term, Table):
            for body, columns in zip(term.bodies, term.bounds, strict=True):
                yield from accesses(body, (*ranges, *columns))
        elif isinstance(term, Reduce):
            inner = (*ranges, *[(0, n - 1) for n in term.trips])
            yield from (Access(ref, "read", inner) for ref in term.leaves if isinstance(ref, Ref))
            if isinstance(term.first, Ref):
                yield Access(term.first, "read", ranges)
            yield Access(term.target, "write", ranges)
        elif isinstance(term, (Pick, Scatter)):
            several = (*ranges, (0, term.count - 1))
            if isinstance(term.index, Ref):
                yield Access(term.index, "read", ranges)
            if isinstance(term, Pick):
                yield Access(term.source, "read", several)
                yield Access(term.target, "write", ranges)
            else:
                yield Access(term.value, "read", ranges)
                yield Access(term.target, "add", several)
        else:
            yield from (Access(ref, "read", ranges) for ref in term.leaves if isinstance(ref, Ref))
            yield Access(term.target, "add" if term.accumulate else "write", ranges)


def independent(loop: For, ranges: Sequence[Range] = (), distance: int | None = None) -> bool:
    """Whether iterations of a loop that are at most that far apart (None: all) can be interleaved in any order."""
    if loop.trips < 2:
        return True
    far = loop.trips - 1 if distance is None else min(distance, loop.trips - 1)
    level = len(ranges)
    touched = list(accesses(loop.body, (*ranges, (0, loop.trips - 1))))
    return not any(
        may_alias(a.ref, b.ref, a.ranges, b.ranges, level, span)
        for a in touched
        if a.kind != "read"
        for b in touched
        if not (a.kind == b.kind == "add")
        for span in ((1, far), (-far, -1))
    )


def steady(ref: Ref, ranges: Sequence[Range], loop: For) -> bool:
    """Whether nothing in the loop writes to an address that the loop's counter does not move."""
    level = len(ranges)
    return not any(
        may_alias(ref, a.ref, (*ranges, (0, loop.trips - 1))[: len(ref.coefs)], a.ranges, level)
        for a in accesses([loop], tuple(ranges))
        if a.kind != "read"
    )


def unwrapped(term: Term) -> tuple[list[int], Term]:
    """The trips of the loops around the only term in them, and that term."""
    trips = []
    while isinstance(term, For) and len(term.body) == 1:
        trips.append(term.trips)
        (term,) = term.body
    return trips, term


def wrapped(trips: Sequence[int], term: Term) -> Term:
    """The term in loops with these trips, the outermost first."""
    for n in reversed(trips):
        term = For(n, (term,))
    return term


def moved(term: Term, change: Any, turned: Callable[[int], int] = lambda trips: trips) -> Term:
    """The term with every address replaced by change(address), and every bound by turned(bound)."""
    if isinstance(term, For):
        return For(turned(term.trips), tuple(moved(t, change, turned) for t in term.body))
    if isinstance(term, Table):
        return replace(term, bodies=tuple(tuple(moved(t, change) for t in body) for body in term.bodies))
    if isinstance(term, (Pick, Scatter)):
        index = change(term.index) if isinstance(term.index, Ref) else term.index
        if isinstance(term, Pick):
            return Pick(change(term.target), index, change(term.source), term.count)
        return Scatter(change(term.target), index, change(term.value), term.count)
    leaves = tuple(change(x) if isinstance(x, Ref) else x for x in term.leaves)
    if isinstance(term, Reduce):
        first = change(term.first) if isinstance(term.first, Ref) else term.first
        return replace(
            term, target=change(term.target), first=first, trips=tuple(map(turned, term.trips)), leaves=leaves
        )
    return replace(term, target=change(term.target), leaves=leaves)


# The stage in plain Python


def interpret(terms: Sequence[Term], memory: dict[int, Any], counters: tuple[int, ...] = ()) -> None:
    """Run terms on numbers of any carrier; `memory` has a list for every space."""
    for term in terms:
        if isinstance(term, For):
            for i in range(turns(term.trips, counters)):
                interpret(term.body, memory, (*counters, i))
        elif isinstance(term, Table):
            for kind, *row in [term.run(memory[INPUT])] if isinstance(term, Choice) else term.rows:
                interpret(term.bodies[kind], memory, (*counters, *row))
        elif isinstance(term, Reduce):
            total = _load(term.first, memory, counters)
            for own in _all(term.trips, counters):
                total = term.op.function(total, _expression(term, memory, own))
            memory[term.target.space][_index(term.target, counters)] = total
        elif isinstance(term, Pick):
            xs = [_load(term.source, memory, (*counters, k)) for k in range(term.count)]
            picked = ops.gather.function(_load(term.index, memory, counters), *xs)
            memory[term.target.space][_index(term.target, counters)] = picked
        elif isinstance(term, Scatter):
            for k in range(term.count):
                if abs(_load(term.index, memory, counters) - k) < 0.5:
                    place = _index(term.target, (*counters, k))
                    memory[term.target.space][place] += _load(term.value, memory, counters)
        else:
            value = _expression(term, memory, counters)
            numbers, place = memory[term.target.space], _index(term.target, counters)
            numbers[place] = numbers[place] + value if term.accumulate else value


def _all(trips: Sequence[int], counters: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """The counters with those of loops inside that turn so often, one after the other."""
    if not trips:
        yield counters
    else:
        for i in range(turns(trips[0], counters)):
            yield from _all(trips[1:], (*counters, i))


def _index(ref: Ref, counters: Sequence[int]) -> int:
    return ref.base + sum(c * i for c, i in zip(ref.coefs, counters, strict=True))


def _load(x: Leaf, memory: dict[int, Any], counters: Sequence[int]) -> Any:
    return memory[x.space][_index(x, counters)] if isinstance(x, Ref) else x


def _expression(term: Assign | Reduce, memory: dict[int, Any], counters: tuple[int, ...]) -> Any:
    values = [_load(x, memory, counters) for x in term.leaves]
    for op, args in term.code:
        values.append(op.function(*[values[k] for k in args]))
    return values[-1] if term.code else values[0]


def show(terms: Sequence[Term], depth: int = 0) -> str:
    """The nests as pseudo-code."""
    text = []
    indent = "    " * depth
    for term in terms:
        if isinstance(term, For):
            text += [f"{indent}for {counter(depth)} in range({times(term.trips)}):", show(term.body, depth + 1)]
        elif isinstance(term, Choice):
            for about, body, _ in term.variants():
                text += [indent + about, show(body, depth + 1)]
        elif isinstance(term, Table):
            text.append(f"{indent}{len(term.rows)} operations of {len(term.bodies)} kinds, without a pattern")
        else:
            text.append(indent + _assignment(term, depth))
    return "\n".join(text)


def _assignment(term: Assign | Reduce | Pick | Scatter, depth: int) -> str:
    if isinstance(term, (Pick, Scatter)):
        index = address(term.index) if isinstance(term.index, Ref) else repr(term.index)
        each = f"for {counter(depth)} in range({term.count})"
        if isinstance(term, Pick):
            return f"{address(term.target)} = ({address(term.source)} {each})[{index}]"
        return f"({address(term.target)} {each})[{index}] += {address(term.value)}"
    texts = [address(x) if isinstance(x, Ref) else repr(x) for x in term.leaves]
    for op, args in term.code:
        inner = [texts[k] for k in args]
        if op.arity == 2 and op.symbol and not op.symbol.isalpha():
            texts.append(f"({inner[0]} {op.symbol} {inner[1]})")
        else:
            texts.append(f"{op.name}({', '.join(inner)})")
    value = texts[-1] if term.code else texts[0]
    if isinstance(term, Assign):
        return f"{address(term.target)} {'+=' if term.accumulate else '='} {value}"
    counters = ", ".join(f"{counter(depth + d)} in range({times(n)})" for d, n in enumerate(term.trips))
    first = address(term.first) if isinstance(term.first, Ref) else repr(term.first)
    return f"{address(term.target)} = {first} {term.op.symbol} … {value} for {counters}"


__all__ = [
    "Access", "Assign", "Pick", "Reduce", "Scatter", "accesses", "independent", "interpret", "lower", "may_alias", "moved",
    "show", "steady", "unwrapped", "wrapped",
]  # fmt: skip
