"""Stage 6, sums: the backward sweep's accumulations as sums in registers, and what must be zero before it starts.

Reverse mode adds to memory: every use of a node adds to its adjoint. Where a loop nest does nothing but that, its
counters change places, so that those which do not move the target run innermost: they become a `Reduce`, whose sum is
in a register, in the same order as before. And where nothing has touched the target before, it need not be zero first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

from micrograd_like import ops
from micrograd_like.compiler.loops import Bound, Choice, For, Ref, Table, Term
from micrograd_like.compiler.nest import (
    Access,
    Assign,
    Leaf,
    Range,
    Reduce,
    accesses,
    may_alias,
    unwrapped,
    wrapped,
)
from micrograd_like.compiler.spaces import ADJOINT


def settle(
    sweep: Sequence[Term], contributions: Sequence[Term], seed: int | None, forward: Sequence[Term] = ()
) -> tuple[tuple[Term, ...], tuple[int, ...] | None]:
    """(the sweep with its sums, the slots whose adjoints must be zero before it; None for all).

    `seed`: the only slot whose adjoint is given before the sweep; None where others may be, or are not known.
    `forward`: the loops of which it is the sweep.
    """
    if seed is not None and len(sweep) == len(forward) == 1 and isinstance(sweep[0], Choice):
        return (_of_each_length(sweep[0], forward[0], seed),), ()
    terms = [part for term in sweep for part in distributed(term)]
    if seed is None or any(isinstance(term, Table) for term in terms):
        return tuple(_summed(term) for term in terms), None
    before = [Access(Ref(ADJOINT, seed), "write", ())]
    first: set[int] = set()
    settled: list[Term] = []
    for term in terms:
        trips, inner = _accumulation(term, ())
        ranges = [(0, n - 1) for n in trips]
        fresh = (
            inner is not None
            and not any(isinstance(n, Bound) for n in trips)  # what a moving bound leaves out must be zero before
            and _apart(inner.target.coefs, trips)
            and not any(may_alias(inner.target, a.ref, ranges, a.ranges) for a in before)
        )
        if inner is not None and fresh:
            first.update(_addresses(inner.target, ranges))
        settled.append(_summed(term, fresh=fresh))
        before += [a for a in accesses([term]) if a.ref.space == ADJOINT]
    touched = {
        address
        for access in accesses([*settled, *contributions])
        if access.ref.space == ADJOINT
        for address in _addresses(access.ref, access.ranges)
    }
    return tuple(settled), tuple(sorted(touched - first - {seed}))


def _of_each_length(sweep: Choice, forward: Choice, seed: int) -> Choice:
    """The sweep for samples of different lengths. It begins with loops that make zero what must be, as far as it goes.

    An accumulation that is the first to touch a node's adjoints, and that goes over all of them, sets them instead.
    """
    bodies = []
    for body, statements, ((low, high),) in zip(sweep.bodies, forward.bodies, sweep.bounds, strict=True):
        around, lengths = ((low, high),), high + 1
        nodes = [s for s in _statements(statements, (lengths,)) if s[0].space == ADJOINT and s[0].base != seed]
        left = {_region(*node) for node in nodes}
        before = [Access(Ref(ADJOINT, seed, (0,)), "write", around)]
        settled = []
        for term in [part for each in body for part in distributed(each, around)]:
            trips, inner = _accumulation(term, (lengths,))
            ranges = [(0, n - 1) for n in trips]
            region = None if inner is None else _region(inner.target, trips)
            if (
                inner is not None
                and region in left
                and not any(may_alias(inner.target, a.ref, ranges, a.ranges, 1) for a in before)
                and (fresh := _summed(term, (lengths,), fresh=True)) is not term
            ):
                left.remove(region)
                settled.append(fresh)
            else:
                settled.append(_summed(term, (lengths,)))
            before += [a for a in accesses([term], around) if a.ref.space == ADJOINT]
        zeros = [wrapped(trips[1:], Assign(ref, False, (0.0,))) for ref, trips in nodes if _region(ref, trips) in left]
        bodies.append((*zeros, *settled))
    return replace(sweep, bodies=tuple(bodies))


def _statements(terms: Sequence[Term], trips: tuple[int, ...]) -> Iterator[tuple[Ref, tuple[int, ...]]]:
    """(the adjoints of what it computes, the trips of the loops around it) of each active statement."""
    for term in terms:
        if isinstance(term, For):
            yield from _statements(term.body, (*trips, term.trips))
        elif (space := term.out.space.gradient) is not None:
            yield Ref(space, term.out.base, term.out.coefs), trips


def _region(ref: Ref, trips: Sequence[int]) -> object:
    """What addresses a loop nest goes over, the outermost counter being a length; None where that is not plain to see."""
    moving = [0, *[d for d in range(1, len(trips)) if ref.coefs[d]]]
    bounds = []
    for d in moving[1:]:
        n = trips[d]
        slope = (*n.coefs, *[0] * len(trips)) if isinstance(n, Bound) else (0,) * len(trips)
        if any(slope[x] for x in range(len(trips)) if x not in moving):
            return None
        bounds.append((ref.coefs[d], n.base if isinstance(n, Bound) else n, tuple(slope[x] for x in moving)))
    return ref.base, ref.coefs[0], tuple(bounds)


def distributed(term: Term, around: tuple[Range, ...] = ()) -> Iterator[Term]:
    """Loop distribution: a loop over several terms as a loop over each, where none of them needs what a later one did an iteration before."""
    if not isinstance(term, For):
        yield term
        return
    level, back = len(around), (1 - term.trips, -1)
    ranges = (*around, (0, term.trips - 1))
    parts = [part for inner in term.body for part in distributed(inner, ranges)]
    touched = [list(accesses([part], ranges)) for part in parts]
    meeting = term.trips > 1 and any(
        may_alias(a.ref, b.ref, a.ranges, b.ranges, level, back)
        for k, mine in enumerate(touched)
        for later in touched[k + 1 :]
        for a in mine
        for b in later
        if not a.kind == b.kind == "read"
    )
    if meeting:
        yield term
    else:
        for part in parts:
            yield For(term.trips, (part,))


def _accumulation(term: Term, around: Sequence[int]) -> tuple[list[int], Assign | None]:
    """The trips of all loops around a single accumulation that reads nothing of what it writes; else None."""
    own, term = unwrapped(term)
    trips = [*around, *own]
    if not isinstance(term, Assign) or not term.accumulate or term.target.space != ADJOINT:
        return trips, None
    ranges = [(0, n - 1) for n in trips]
    reads = [x for x in term.leaves if isinstance(x, Ref)]
    itself = any(may_alias(x, term.target, ranges, ranges, len(around)) for x in reads)
    return trips, None if itself else term


def _summed(term: Term, around: tuple[int, ...] = (), *, fresh: bool = False) -> Term:
    """The term, each accumulation in it with the counters that move its target outside, and the others in a sum."""
    trips, inner = _accumulation(term, around)
    if inner is None:
        if not isinstance(term, For):
            return term
        return For(term.trips, tuple(_summed(part, (*around, term.trips)) for part in term.body))
    level, coefs = len(around), inner.target.coefs
    moving = [d for d in range(level, len(trips)) if coefs[d]]
    still = [d for d in range(level, len(trips)) if not coefs[d]]
    order = [*range(level), *moving, *still]
    for k, d in enumerate(order):
        n = trips[d]
        if isinstance(n, Bound):
            if any(c and x not in order[:k] for x, c in enumerate(n.coefs)):
                return term  # a bound must stay inside of the loops that move it
            slope = [*n.coefs, *[0] * (len(trips) - len(n.coefs))]
            trips[d] = Bound(n.base, tuple(slope[x] for x in order[:k]), int(n), n.least)

    def turned(x: Leaf, order: Sequence[int]) -> Leaf:
        return Ref(x.space, x.base, tuple(x.coefs[d] for d in (*range(level), *order))) if isinstance(x, Ref) else x

    target = turned(inner.target, moving)
    assert isinstance(target, Ref)
    leaves = tuple(turned(x, [*moving, *still]) for x in inner.leaves)
    result: Term = Assign(target, not fresh, leaves, inner.code)
    if still:
        result = Reduce(target, ops.add, 0.0 if fresh else target, tuple(trips[d] for d in still), leaves, inner.code)
    return wrapped([trips[d] for d in moving], result)


def _apart(coefs: Sequence[int], trips: Sequence[int]) -> bool:
    """Whether different counters that move an address give different addresses (a sufficient condition)."""
    reach = 0
    for c, n in sorted((abs(c), n) for c, n in zip(coefs, trips, strict=True) if c):
        if c <= reach:
            return False
        reach += c * (n - 1)
    return True


def _addresses(ref: Ref, ranges: Sequence[Range]) -> Iterator[int]:
    """Every address that counters in these ranges give."""
    moving = [(c, low, high) for c, (low, high) in zip(ref.coefs, ranges, strict=True) if c]
    for counters in product(*[range(low, high + 1) for _, low, high in moving]):
        yield ref.base + sum(c * i for (c, _, _), i in zip(moving, counters, strict=True))
