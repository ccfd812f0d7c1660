"""Stage 5, adjoint: reverse mode of a loop nest is the nest run backwards with the table's rules.

Every rule is the table's own, run once on symbols. The adjoints of nodes are computed in a backward sweep. What goes to
a parameter is never read by the sweep, so those contributions are nests of their own, done after it: there they can be
summed over many samples in registers.

Where no gradient flows, as behind a closed ReLU, the engine skips a rule; here it gets the gradient 0, and 0 times an
infinite factor would be nan. The careful adjoint has a look at every gradient first. It is asked only where the other,
faster one gave a nan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import product
from typing import Any

from micrograd_like import ops
from micrograd_like.compiler.flow import flow
from micrograd_like.compiler.loops import Bound, Choice, For, Ref, Statement, Table, Term, recover
from micrograd_like.compiler.nest import (
    Assign,
    Code,
    Leaf,
    Reduce,
    Scatter,
    columns_as_trips,
    independent,
    leaf,
    lower,
    moved,
    stored,
    wrapped,
)
from micrograd_like.compiler.spaces import (
    ADJOINT,
    CONST,
    INACTIVE,
    INPUT,
    NODE,
    PARAM,
    TEMPORARY,
    pack,
    space_of,
    unpack,
)
from micrograd_like.compiler.sums import settle
from micrograd_like.compiler.trace import KEPT, NOTHING, Trace, trace_rule
from micrograd_like.ops import Operation

EXPANSION = 16  # terms before a composed row's line, among which its expansion is looked for


@dataclass
class Adjoint:
    """The backward sweep over the nodes, and the contributions to parameters and shared nodes."""

    sweep: tuple[Term, ...] = ()
    contributions: tuple[Term, ...] = ()
    temporaries: int = 0
    seed: int | None = None
    zeroed: tuple[int, ...] | None = None  # the slots whose adjoints must be 0 before the sweep; None for all


def adjoint(
    terms: Sequence[Term], constants: list[float], seed: int | None = None, *, careful: bool = False
) -> Adjoint:
    """The adjoint of a section's loops. Constants that the rules need are added to the list.

    `seed`: the slot of the loss, if no other adjoint is given before the sweep.
    """
    builder = _Builder(constants, careful)
    sweep = builder.reverse(terms, ())
    sweep, zeroed = settle(sweep, builder.contributions, seed, terms)
    return Adjoint(sweep, tuple(builder.contributions), builder.temporaries, seed, zeroed)


@dataclass
class Nests:
    """A section as assignments, forward and backward."""

    terms: tuple[Term, ...]
    forward: tuple[Term, ...]
    backward: Adjoint
    slots: int
    outputs: int  # the slot of the first output
    inputs: int  # how many numbers of a sample it may read


def both_ways(
    terms: Sequence[Term], constants: list[float], slots: int, outputs: int = 0, *, inputs: int = 0,
    seed: int | None = None, careful: bool = False,
) -> Nests:  # fmt: skip
    """The assignments of a section's loops, and their adjoint. Constants that its rules need are added to the list."""
    terms = tuple(terms)
    back = adjoint(terms, constants, seed, careful=careful)
    return Nests(terms, lower(terms, constants), back, slots, outputs, inputs)


@dataclass
class _Builder:
    constants: list[float]
    careful: bool
    contributions: list[Term] = field(default_factory=list)
    temporaries: int = 0
    around: list[Any] = field(default_factory=list)  # the loops around what is being differentiated
    small: dict[tuple[Operation, int, int], Any] = field(default_factory=dict)

    def reverse(self, terms: Sequence[Term], trips: tuple[int, ...]) -> tuple[Term, ...]:
        """The sweep of terms inside of loops with these trips (0: a table's column)."""
        sweep: list[Term] = []
        for k, term in reversed(list(enumerate(terms))):
            if isinstance(term, For):
                self.around.append(term.trips)
                loop = For(term.trips, self.reverse(term.body, (*trips, term.trips)))
                self.around.pop()
                if loop.body:
                    ranges = [(0, max(n - 1, 0)) for n in trips]
                    sweep.append(loop if independent(loop, ranges) else backwards(loop, len(trips)))
            elif isinstance(term, Table):
                sweep += self._table(term, trips)
            else:
                sweep += self._statement(term, trips, terms[max(k - EXPANSION, 0) : k])
        return tuple(sweep)

    def _table(self, table: Table, trips: tuple[int, ...]) -> list[Term]:
        outer, self.contributions = self.contributions, []
        bodies, found = [], []
        for body, columns in zip(table.bodies, columns_as_trips(table), strict=True):
            before, self.around = self.around, []
            bodies.append(self.reverse(body, (*trips, *columns)))
            self.around = before
            found.append(tuple(self.contributions))
            self.contributions = []
        self.contributions = outer
        if isinstance(table, Choice):
            self.contributions.append(replace(table, bodies=tuple(found)))
            return [replace(table, bodies=tuple(bodies))]
        if any(found):
            self.contributions.append(_without_empty(Table(table.rows, tuple(found))))
        return [_without_empty(Table(table.rows[::-1], tuple(bodies)))] if any(bodies) else []

    def _statement(self, s: Statement, trips: tuple[int, ...], before: Sequence[Term]) -> list[Term]:
        """What a line adds to its operands' adjoints; `before` are the terms before it."""
        if s.out.space == INACTIVE:
            return []
        if s.op is ops.gather:
            return self._scatter(s, trips)
        scalars = s.scalars
        if not s.strided:
            sweep: list[Term] = []
            operands = [leaf(ref, self.constants, trips) for ref in scalars]
            for k, ref in enumerate(scalars):
                rule = pullback_rule(s.op, len(scalars), k) if s.op.pullback else _partial_rule(s.op, k, operands)
                sweep += self._contribute(ref, rule, s, operands, ())
            return sweep
        if (rules := separable_rules(s.op, len(scalars), len(s.strided))) is None:
            sweep = self._small_program(s, scalars, trips)
            return sweep if s.value is None else reused(sweep, lower(before, self.constants, trips), len(trips))
        sweep = []
        still = [Ref(ref.space, ref.base, ref.coefs + (0,) * len(s.trips)) for ref in scalars]
        inner = (*trips, *s.trips)
        for k, ref in enumerate(s.strided):
            operands = [leaf(x, self.constants, inner) for x in (*still, *s.strided)]
            sweep += self._contribute(ref, rules[len(scalars) + k], s, operands, s.trips)
        for k, ref in enumerate(scalars):
            operands = [leaf(x, self.constants, trips) for x in scalars]
            sweep += self._contribute(ref, rules[k], s, operands, ())
        return sweep

    def _contribute(
        self, ref: Ref, rule: Rule | None, s: Statement, operands: list[Leaf], counters: tuple[int, ...]
    ) -> list[Term]:
        """The assignment that adds to the operand's gradient, inside of loops over the counters of a strided one."""
        if rule is None or (space := ref.space.gradient) is None:
            return []
        coefs = s.out.coefs + (0,) * len(counters)
        known: list[Leaf] = [Ref(ADJOINT, s.out.base, coefs), Ref(NODE, s.out.base, coefs), *operands]
        if self.careful:
            rule = rule.careful()
        leaves = tuple(x if isinstance(x, float) else known[x] for x in rule.leaves)
        target = Ref(space, ref.base, ref.coefs)
        term = wrapped(counters, Assign(target, True, leaves, rule.code))
        if target.space == ADJOINT:
            return [term]
        self.contributions.append(wrapped(self.around, term))
        return []

    def _scatter(self, s: Statement, trips: tuple[int, ...]) -> list[Term]:
        """What was picked gets the gradient; the others and the index get none."""
        (source,) = s.strided
        if (space := source.space.gradient) is None:
            return []
        target = Ref(space, source.base, source.coefs)
        index = leaf(s.scalars[0], self.constants, trips)
        scatter = Scatter(target, index, Ref(ADJOINT, s.out.base, s.out.coefs), s.trips[0])
        if target.space == ADJOINT:
            return [scatter]
        self.contributions.append(wrapped(self.around, scatter))
        return []

    def _small_program(self, s: Statement, scalars: tuple[Ref, ...], trips: tuple[int, ...]) -> list[Term]:
        """A rule that mixes the elements of its strided operand: a program of its own, with loops of its own."""
        n = s.trips[0]
        key = (s.op, len(scalars), int(n))
        if key not in self.small:
            self.small[key] = _rule_program(s.op, len(scalars), int(n), self.constants)
        terms, slots, adjoints = self.small[key]
        if isinstance(n, Bound):
            shorter, _, _ = _rule_program(s.op, len(scalars), n - 1, [])
            terms = tuple(_bounded(a, b, n) for a, b in zip(terms, shorter, strict=True))
        self.temporaries = max(self.temporaries, slots)
        level = len(trips)
        source = [Ref(ADJOINT, s.out.base, s.out.coefs), stored(s.out), *map(stored, scalars)]
        listed = stored(s.strided[0])
        stride = listed.coefs[-1]

        def place(ref: Ref) -> Ref:
            if ref.space == PARAM and ref.base >= _SINGLE:
                actual = source[(ref.base // _SINGLE).bit_length() - 1]
                return Ref(actual.space, actual.base, actual.coefs + (0,) * len(ref.coefs))
            if ref.space == PARAM:
                coefs = listed.coefs[:level] + tuple(stride * c for c in ref.coefs)
                return Ref(listed.space, listed.base + stride * ref.base, coefs)
            space = TEMPORARY if ref.space == NODE else ref.space
            return Ref(space, ref.base, (0,) * level + ref.coefs)

        sweep = [moved(term, place) for term in terms]
        if (gradient := s.strided[0].space.gradient) is not None:
            target = Ref(gradient, s.strided[0].base, s.strided[0].coefs)
            value = Ref(TEMPORARY, adjoints, (0,) * level + (1,))
            g = Ref(ADJOINT, s.out.base, (*s.out.coefs, 0))
            kept: tuple[tuple[Leaf, ...], Code] = ((g, value), ((KEPT, (0, 1)),)) if self.careful else ((value,), ())
            sweep.append(For(n, (Assign(target, True, *kept),)))
        return sweep


def reused(sweep: list[Term], before: Sequence[Term], level: int) -> list[Term]:
    """The sweep of a composed row without what its expansion, which is among the terms before it, has computed already.

    `level`: how many loops there are around both. Each number of the rule's own is written once, and so is a node.
    """
    known = {text: target for term in before for text, target in _computed(term)}
    same: dict[int, Ref] = {}  # of a rule's own number the node that it is

    def elements(ref: Ref, trips: Sequence[int]) -> list[tuple[tuple[int, ...], int]]:
        """The places that an address goes to, by the counters of the rule's own loops."""
        own = ref.coefs[level:]
        counters = product(*map(range, trips[: len(own)]))
        return [(i, ref.base + sum(c * k for c, k in zip(own, i, strict=True))) for i in counters]

    def renamed(ref: Ref, trips: Sequence[int]) -> Ref:
        """The address among the nodes. Raises LookupError where only some of its elements are there, or in no line."""
        places = elements(ref, trips)
        if ref.space != TEMPORARY or not any(place in same for _, place in places):
            return ref
        start = same[places[0][1]]
        own = [0] * len(ref.coefs[level:])
        for counters, place in places:
            if sum(counters) == 1:
                own[counters.index(1)] = same[place].base - start.base
        for counters, place in places:
            if same[place] != replace(start, base=start.base + sum(c * k for c, k in zip(own, counters, strict=True))):
                raise LookupError
        return replace(start, coefs=(*start.coefs, *own))

    def needed(term: Term, trips: tuple[int, ...] = ()) -> Term | None:
        """The term without what is known, if something is left."""
        if isinstance(term, For):
            body = tuple(each for part in term.body if (each := needed(part, (*trips, term.trips))) is not None)
            return replace(term, body=body) if body else None
        inner = (*trips, *term.trips) if isinstance(term, Reduce) else trips
        term = moved(term, lambda ref: renamed(ref, inner))
        for text, target in _computed(term, trips):
            if text in known and target.space == TEMPORARY:
                node = known[text]
                for (_, place), (_, at) in zip(elements(target, trips), elements(node, trips), strict=True):
                    same[place] = Ref(node.space, at, node.coefs[:level])
                return None
        return term

    try:
        return [each for term in sweep if (each := needed(term)) is not None]
    except LookupError:
        return sweep


def _computed(term: Term, trips: tuple[int, ...] = ()) -> list[tuple[str, Ref]]:
    """Of an assignment, or of those in a loop: what is computed, inside of which loops, and where it goes."""
    if isinstance(term, For):
        return [x for each in term.body for x in _computed(each, (*trips, term.trips))]
    if isinstance(term, Reduce) or (isinstance(term, Assign) and not term.accumulate):
        return [(f"{trips}: {replace(term, target=Ref(TEMPORARY, 0))}", term.target)]
    return []


def _bounded(term: Term, shorter: Term, n: Bound) -> Term:
    """A loop or a sum in the program of a list of the length n at its most, with bounds that follow the length.

    `shorter`: the same in the program of a list that is shorter by one.
    """

    def follow(trips: int, fewer: int) -> int:
        if trips == fewer:
            return trips
        assert trips == fewer + 1, "the rule's loops do not follow the length of its list"
        more = trips - int(n)
        return Bound(n.base + more, n.coefs, trips, n.least + more)

    assert type(term) is type(shorter), "the rule is another one for a list of another length"
    if isinstance(term, For):
        body = tuple(_bounded(a, b, n) for a, b in zip(term.body, shorter.body, strict=True))
        return For(follow(term.trips, shorter.trips), body)
    if isinstance(term, Reduce):
        return replace(term, trips=tuple(map(follow, term.trips, shorter.trips)))
    return term


def _without_empty(table: Table) -> Table:
    """The table without rows that do nothing."""
    kept = [k for k, body in enumerate(table.bodies) if body]
    number = {k: i for i, k in enumerate(kept)}
    rows = tuple((number[kind], *row) for kind, *row in table.rows if kind in number)
    return Table(rows, tuple(table.bodies[k] for k in kept))


def backwards(loop: For, level: int) -> For:
    """The loop, its iterations in the opposite order."""

    last, slope = loop.trips - 1, (0,) * level
    if isinstance(loop.trips, Bound):
        last, slope = loop.trips.base - 1, loop.trips.coefs

    def flipped(base: int, coefs: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
        """The same with the last iteration's number less the counter in the counter's place."""
        c = coefs[level]
        outer = [x + c * s for x, s in zip(coefs[:level], slope, strict=False)]
        return base + c * last, (*outer, *coefs[len(outer) : level], -c, *coefs[level + 1 :])

    def turned(trips: int) -> int:
        if not isinstance(trips, Bound) or len(trips.coefs) <= level:
            return trips
        return Bound(*flipped(trips.base, trips.coefs), int(trips), trips.least)

    body = tuple(moved(term, lambda ref: Ref(ref.space, *flipped(ref.base, ref.coefs)), turned) for term in loop.body)
    return For(loop.trips, body)


# Rules as expressions


@dataclass(frozen=True)
class Rule:
    """A derivative rule as code: leaf 0 is g, 1 the result, from 2 on the operands."""

    leaves: tuple[int | float, ...]
    code: Code

    def careful(self) -> Rule:
        """The same, but 0 where g is 0."""
        if not any(op in (ops.mul, ops.div) for op, _ in self.code):
            return self
        g = next(place for place, x in enumerate(self.leaves) if isinstance(x, int) and x == 0)
        return Rule(self.leaves, (*self.code, (KEPT, (g, len(self.leaves) + len(self.code) - 1))))


@cache
def partial_rule(op: Operation, k: int, numbers: tuple[float | None, ...] = ()) -> Rule | None:
    """The rule for operand k of a row with a fixed number of operands, some of which may be known numbers, but not 0."""

    def rule(g: Any, out: Any, *xs: Any) -> list[Any]:
        known = [x if number is None else number for x, number in zip(xs, numbers, strict=True)] if numbers else xs
        return [op.partials[k](g, out, *known)]

    program = trace_rule(rule, 2 + len(op.partials), some=True)
    return _rule(program, program.outputs[0])


def _partial_rule(op: Operation, k: int, operands: Sequence[Leaf]) -> Rule | None:
    """The same; where it decides something, a number that is written in the program decides beforehand."""
    rule = partial_rule(op, k)
    numbers = tuple(x if isinstance(x, float) and x else None for x in operands)
    decides = rule is not None and any(step is ops.where for step, _ in rule.code)
    return partial_rule(op, k, numbers) if decides and any(numbers) else rule


@cache
def pullback_rule(op: Operation, count: int, k: int) -> Rule | None:
    """The rule for operand k of a row on any number of operands, applied to `count` single ones."""
    assert op.pullback is not None
    program = trace_rule(op.pullback, 2 + count, some=True)
    return _rule(program, program.outputs[k])


@cache
def separable_rules(op: Operation, scalars: int, strided: int) -> list[Rule | None] | None:
    """A rule per scalar and per strided operand, where each element's adjoint depends on that element alone; else None."""
    count = 3
    assert op.pullback is not None
    program = trace_rule(op.pullback, 2 + scalars + strided * count, some=True)
    if op is ops.dot:  # the table's order is weights, bias, inputs
        names = {2 + k + (k >= count): ("strided", k // count, k % count) for k in range(2 * count)}
        names[2 + count] = ("scalar", 0, 0)
    else:
        names = {2 + k: ("scalar", k, 0) for k in range(scalars)}
        names |= {2 + scalars + k: ("strided", k // count, k % count) for k in range(strided * count)}
    rules: list[Rule | None] = [None] * (scalars + strided)
    for place, (kind, which, element) in names.items():
        rule = _rule(program, program.outputs[place - 2])
        if rule is not None:
            leaves: list[int | float] = []
            for x in rule.leaves:
                if isinstance(x, int) and x >= 2:
                    leaf_kind, leaf_which, leaf_element = names[x]
                    if leaf_kind == "strided" and (kind == "scalar" or leaf_element != element):
                        return None
                    x = 2 + leaf_which + (scalars if leaf_kind == "strided" else 0)
                leaves.append(x)
            rule = Rule(tuple(leaves), rule.code)
        slot = which + (scalars if kind == "strided" else 0)
        if kind == "strided" and element > 0 and rules[slot] != rule:
            return None
        rules[slot] = rule
    return rules


_SINGLE = 1 << 24  # in a rule's own program, the k-th single operand lies here << k: no three of them look like a loop


def _rule(program: Trace, result: int) -> Rule | None:
    if result == NOTHING:
        return None
    leaves: dict[Any, int] = {}
    steps: dict[int, int] = {}
    needed: list[int] = []

    def visit(ref: int) -> None:
        if space_of(ref) == NODE:
            if ref not in steps:
                steps[ref] = 0
                for x in program.operands[ref]:
                    visit(x)
                needed.append(ref)
        else:
            leaves.setdefault(leaf_of(ref), len(leaves))

    def leaf_of(ref: int) -> Any:
        space, index = unpack(ref)
        return index if space == INPUT else ("number", repr(program.constants[index]))

    visit(result)
    for k, ref in enumerate(needed):
        steps[ref] = len(leaves) + k
    code = tuple(
        (
            program.operations[ref],
            tuple(steps[x] if space_of(x) == NODE else leaves[leaf_of(x)] for x in program.operands[ref]),
        )
        for ref in needed
    )
    return Rule(tuple(float(x[1]) if isinstance(x, tuple) else x for x in leaves), code)


def _rule_program(op: Operation, scalars: int, n: int, constants: list[float]) -> tuple[tuple[Term, ...], int, int]:
    """(nests, slots, where the list's adjoints are) of a row's pullback on a list of n elements."""
    assert op.pullback is not None
    program = trace_rule(op.pullback, 2 + scalars + n, some=True)

    def place(ref: int) -> int:
        space, k = unpack(ref)
        if space != INPUT:
            return ref
        return pack(PARAM, _SINGLE << k if k < 2 + scalars else k - 2 - scalars)

    program.operands = [tuple(map(place, refs)) for refs in program.operands]
    assert all(ref == NOTHING for ref in program.outputs[:scalars]), f"{op} differentiates what is not in its list"
    program.outputs = [place(ref) for ref in program.outputs[scalars:]]
    program.inputs = {}
    small = flow(program)
    offset = len(constants)
    constants += small.constants
    section = small.shared
    nests = lower(recover(section), small.constants)
    shifted = [
        moved(t, lambda ref: Ref(CONST, ref.base + offset, ref.coefs) if ref.space == CONST else ref) for t in nests
    ]
    return tuple(shifted), section.slots, section.outputs


__all__ = ["Adjoint", "Rule", "adjoint", "backwards", "partial_rule", "pullback_rule", "separable_rules"]
