"""Stage 3, once more: loops whose bounds and lists grow with the loops around them, such as attention with a causal mask.

Position t of a sequence looks back at t + 1 others, so that its lines are no repetition of those of position t - 1: there
are more of them, and what they compute lies at addresses that grow like t². Two things bring the loop back:
  - lines are folded by their shape first, the length of a list and the trips of a loop being integers of the vector like
    any other; a loop takes in what lies before and behind it where that is its iteration -1 or its next one, as for
    short first iterations, which do not look like a loop;
  - then every line has a place in a nest and a vector of counters, by which values and constants get new addresses, in a
    box as wide as the loops are at their most. Addresses are now affine in the counters, and all is folded again.
A value is written once, so that another address is never wrong: a guess that was bad costs folding, not a number. A
program that does not become much shorter this way is left as it was found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from micrograd_like import ops
from micrograd_like.compiler.flow import SCALARS, Flow, Section, _Chain, _Flow, _groups, _runs, shared
from micrograd_like.compiler.loops import BODY, For, Table, Term, bound, lines, statement
from micrograd_like.compiler.spaces import CONST, INACTIVE, INDEX, INPUT, NODE, NODES, PARAM, SHIFT, pack, space_of
from micrograd_like.compiler.trace import COPY, Trace
from micrograd_like.ops import Operation

MOST = 200  # terms outermost, after the first folding, of a program that is worth a second one
Vector = tuple[int, ...]
Item = tuple[int, Vector]  # the key of a shape, and the integers in which terms of this shape differ


@dataclass(slots=True, eq=False)
class _Whole:
    """A line before its strided operands are cut into runs."""

    op: Operation
    scalars: tuple[int, ...]
    elements: list[tuple[int, ...]]  # of its strided operands, side by side
    node: int
    value: int | None = None  # of a composed row: where its value already is
    role: tuple[int, ...] = ()  # where it stands in the nest
    counters: tuple[int, ...] = ()  # of the loops around it
    room: int = 0  # how many lines of this role there are, counting from 0 to the most of each counter
    offset: int = 0  # which of them this one is

    @property
    def reads(self) -> tuple[int, ...]:
        """The scalar operands, the first element of each strided one, and the value of a composed row."""
        refs = (*self.scalars, *(self.elements[0] if self.elements else ()))
        return refs if self.value is None else (*refs, self.value)


def refold(recorded: Trace, least: int | None) -> tuple[Flow, tuple[tuple[Term, ...], tuple[Term, ...]]] | None:
    """(sections, the terms of each), where this takes at most 2/3 of `least` statements and loops; else None."""
    return _Affine(recorded).refolded(least)


def size(terms: Sequence[Term]) -> int:
    """How many statements and loops there are to be written."""
    return sum(
        1 + size(term.body) if isinstance(term, For) else len(term.rows) if isinstance(term, Table) else 1
        for term in terms
    )


class _Affine(_Flow):
    def refolded(self, least: int | None) -> tuple[Flow, tuple[tuple[Term, ...], tuple[Term, ...]]] | None:
        self._drop_the_dead()
        self._classify()
        whole = self._whole_lines(self._chains())
        self.places: dict[int, int] = {}  # type: ignore[assignment]
        sections, terms, written = [], [], 0
        for varying in (0, 1):
            own = [line for line in whole if self._varies(line) == varying]
            found = self._fold_twice(own, varying)
            if found is None:
                return None
            written += size(found[1])
            if least is not None and 3 * written > 2 * least:
                return None
            sections.append(found[0])
            terms.append(found[1])
        return Flow(sections[0], sections[1], self.constants), (terms[0], terms[1])

    def _varies(self, line: _Whole) -> int:
        return self.varying[line.node] if line.node < self.count else self.owner[line.node][0]

    def _is_zero(self, ref: int) -> bool:
        return space_of(ref) == CONST and self.constants[ref & INDEX] == 0.0

    def _chains(self) -> dict[int, _Chain]:
        """Chains as elsewhere; but `0 + x` begins a sum, of one term, as it does where more are to follow."""
        alone = {}
        for n in range(self.count):
            if self.alive[n] and self.operations[n] is ops.add and self._is_zero(self.operands[n][0]):
                alone[n] = self.operands[n]
        chains = super()._chains()
        for n, (first, term) in alone.items():
            if self.alive[n] and n not in chains:
                chain = chains[n] = _Chain(first, [term])
                if self._absorbable(term, n, ops.mul):
                    self.alive[term] = 0
                    chain.terms[0] = self.operands[term]
        return chains

    def _whole_lines(self, chains: dict[int, _Chain]) -> list[_Whole]:
        """All lines, their strided operands not cut; partial sums of a chain of several kinds get nodes beyond the trace's."""
        self.owner: dict[int, tuple[int, int]] = {}
        found, extra = [], self.count
        for n in range(self.count):
            if not self.alive[n]:
                continue
            op, refs = self.operations[n], self.operands[n]
            if n in chains:
                total, terms = chains[n]
                groups = list(_groups([t if type(t) is tuple else (t,) for t in terms]))
                for k, (arity, group) in enumerate(groups):
                    node = n
                    if k < len(groups) - 1:
                        node, extra = extra, extra + 1
                        self.owner[node] = self.varying[n], self.active[n]
                    if arity == 1 and len(group) == 1 and not (self._is_zero(total) and len(groups) == 1):
                        found.append(_Whole(ops.add, (total, *group[0]), [], node))
                    else:
                        found.append(_Whole(ops.dot if arity == 2 else ops.sum, (total,), group, node))
                    total = node
            elif op.arity is not None:
                found.append(_Whole(op, refs, [], n, self.values.get(n)))
            else:
                scalars = SCALARS.get(op.name, 0)
                found.append(_Whole(op, refs[:scalars], [(x,) for x in refs[scalars:]], n, self.values.get(n)))
        return found

    def _fold_twice(self, whole: list[_Whole], varying: int) -> tuple[Section, tuple[Term, ...]] | None:
        keys = _Keys()
        first = keys.extended(keys.folded(keys.by_shape(line, self._makers(line)) for line in whole))
        if len(first) > MOST:
            return None
        self.slots = self._renumber(whole, _box(keys, first, whole))
        keys = _Keys()
        items = self._by_address(keys, whole, varying)
        second = keys.extended(keys.folded(iter(items)))
        terms = tuple(keys.term(key, vector, [()] * len(vector), ()) for key, vector in second)
        start = 0
        if self.varying[self.count - 1] == varying:
            places = [self.places[n] & INDEX for n in range(self.count - len(self.trace.outputs), self.count)]
            start = places[0]
            if places != list(range(start, start + len(places))):
                return None  # outputs must lie side by side
        return Section(lines(terms), self.slots, start), terms

    def _makers(self, line: _Whole) -> tuple[Operation | None, ...]:
        """The operations that computed a line's operands: what tells apart lines of one shape that follow each other."""
        return tuple(self.operations[ref] if ref < self.count else None for ref in line.reads)

    def _renumber(self, whole: list[_Whole], box: dict[tuple[int, ...], list[int]]) -> int:
        """Give values and the scalar constants new addresses, by role and counters. Returns the number of slots."""
        slots = 0
        starts: dict[tuple[int, ...], int] = {}
        self.numbered: dict[tuple[tuple[int, ...], int], int] = {}  # where the constants at a role's head begin
        for line in whole:
            line.room, line.offset = 1, 0
            for counter, side in zip(reversed(line.counters), reversed(box[line.role]), strict=True):
                line.offset += counter * line.room
                line.room *= side
            if line.role not in starts:
                starts[line.role], slots = slots, slots + line.room
            active = self.active[line.node] if line.node < self.count else self.owner[line.node][1]
            self.places[line.node] = pack(NODE if active else INACTIVE, starts[line.role] + line.offset)
            line.scalars = tuple(self._head(line, (line.role, k), ref) for k, ref in enumerate(line.scalars))
            if line.value is not None:
                line.value = self._head(line, (line.role, len(line.scalars)), line.value)
        return slots

    def _head(self, line: _Whole, key: tuple[tuple[int, ...], int], ref: int) -> int:
        """The operand; a constant at an address that goes with the line's counters."""
        if space_of(ref) != CONST:
            return ref
        x = self.constants[ref & INDEX]
        if key not in self.numbered:
            self.numbered[key] = len(self.constants)
            self.constants += [x] * line.room
        place = self.numbered[key] + line.offset
        self.constants[place] = x
        return pack(CONST, place)

    def _by_address(self, keys: _Keys, whole: list[_Whole], varying: int) -> list[Item]:
        """Lines with all their addresses, and with strided operands that are single runs."""

        def place(ref: int) -> int:
            if ref >= NODES:
                return ref
            here = self.places[ref]
            own = self.varying[ref] == varying if ref < self.count else self.owner[ref][0] == varying
            return here if own else shared(here)

        cut: dict[int, tuple[Vector, tuple[Vector, ...]]] = {}
        usual: dict[tuple[int, ...], tuple[Vector, ...]] = {}
        parts: dict[int, list[list[tuple[int, ...]]]] = {}  # by node, what a list that is no single run is cut into
        most: dict[tuple[int, ...], int] = {}
        for line in whole:
            line.elements = [tuple(map(place, each)) for each in line.elements]
            line.scalars = tuple(map(place, line.scalars))
            line.value = None if line.value is None else place(line.value)
            runs = _runs(line.elements) if len(line.elements) > 1 else []
            adds_up = line.op is ops.dot or line.op is ops.sum
            if len(runs) > 1 or (runs and not adds_up and len(runs[0][0]) > 1):
                parts[line.node] = [run[2] for run in runs] if adds_up else [[each] for each in line.elements]
                most[line.role] = max(most.get(line.role, 0), len(parts[line.node]))
        pieces: list[_Whole] = []
        starts: dict[tuple[int, ...], int] = {}
        for line in whole:
            if line.node in parts:
                if line.role not in starts:
                    starts[line.role], self.slots = self.slots, self.slots + most[line.role] * line.room
                pieces += self._split(line, parts[line.node], starts[line.role] + line.offset * most[line.role])
            else:
                pieces.append(line)
        for line in pieces:
            if len(line.elements) > 1:
                (run,) = _runs(line.elements)
                cut[line.node] = run[:2]
                usual.setdefault(line.role, run[1])
        items = []
        for line in pieces:
            trips: Vector = ()
            strides: tuple[Vector, ...] = ()
            if line.elements:
                strides = usual.get(line.role, ((0,),) * len(line.elements[0]))  # of one element, it may be any
                trips, strides = cut.get(line.node, ((1,) * len(strides[0]), strides))
            value = () if line.value is None else (line.value,)
            refs = (*line.reads[: len(line.reads) - len(value)], self.places[line.node], *value)
            items.append(keys.line(line.op, len(line.scalars), trips, strides, refs, refs))
        return items

    def _split(self, line: _Whole, lists: Sequence[list[tuple[int, ...]]], start: int) -> list[_Whole]:
        """Lines with a single run each: partial sums, or copies side by side and the line itself on them.

        `start`: the slot of the first of them.
        """
        parts: list[_Whole] = []

        def part(op: Operation, scalars: tuple[int, ...], elements: list[tuple[int, ...]]) -> int:
            node = -1 - len(self.owner)
            self.owner[node] = 0, 0
            self.places[node] = pack(space_of(self.places[line.node]), start + len(parts))
            parts.append(_Whole(op, scalars, elements, node, None, (-1, *line.role, len(parts))))
            return self.places[node]

        if line.op is not ops.dot and line.op is not ops.sum:
            copied = [self._head(line, ((-1, *line.role), k), ref) for k, ((ref,),) in enumerate(lists)]
            line.elements = [(part(COPY, (ref,), []),) for ref in copied]
            return [*parts, line]
        for members in lists[:-1]:
            line.scalars = (part(line.op, line.scalars, members),)
        line.elements = lists[-1]
        return [*parts, line]


class _Keys:
    """Shapes, interned. A loop's vector is its trips and then the vectors of its first iteration, one after the other."""

    def __init__(self) -> None:
        self.numbers: dict[Any, int] = {}
        self.shapes: list[Any] = []
        self.widths: list[int] = []

    def number(self, shape: Any, width: int) -> int:
        key = self.numbers.get(shape)
        if key is None:
            key = self.numbers[shape] = len(self.shapes)
            self.shapes.append(shape)
            self.widths.append(width)
        return key

    def line(
        self, op: Operation, scalars: int, trips: Vector, strides: Any, refs: Sequence[int], known: Sequence[int]
    ) -> Item:
        """A line whose trips and known addresses are its vector."""
        vector = (*trips, *[ref & INDEX for ref in known])
        shape = (op, scalars, len(trips), strides, tuple(ref >> SHIFT for ref in refs))
        return self.number(shape, len(vector)), vector

    def by_shape(self, line: _Whole, makers: tuple[Operation | None, ...]) -> Item:
        """A line, of whose addresses those of parameters and inputs are known."""
        refs = line.reads
        known = [ref for ref in refs if ref >> SHIFT in (PARAM, INPUT)]
        return self.line(line.op, len(line.scalars), (len(line.elements),) * bool(line.elements), makers, refs, known)

    def is_loop(self, key: int) -> bool:
        return isinstance(self.shapes[key], _Loop)

    def loop(self, body: tuple[int, ...], steps: Vector) -> int:
        return self.number(_Loop(body, steps), 1 + len(steps))

    def iteration(self, key: int, vector: Vector, i: int) -> list[Item]:
        """The terms of a loop's i-th iteration."""
        loop, items, start = self.shapes[key], [], 0
        numbers = [x + i * step for x, step in zip(vector[1:], loop.steps, strict=True)]
        for inner in loop.body:
            end = start + self.widths[inner]
            items.append((inner, tuple(numbers[start:end])))
            start = end
        return items

    def unrolled(self, items: Sequence[Item]) -> Iterator[Item]:
        """The lines of terms."""
        for key, vector in items:
            if self.is_loop(key):
                for i in range(vector[0]):
                    yield from self.unrolled(self.iteration(key, vector, i))
            else:
                yield key, vector

    def some(self, item: Item, count: int) -> list[Item]:
        """The lines of a term; of one that has more than so many, one more than that: it is none that is looked for."""
        return list(islice(self.unrolled([item]), count + 1))

    def folded(self, items: Iterator[Item]) -> list[Item]:
        """The items as loops, by the rules of loops.py; trips are an integer of a loop's vector."""
        stack: list[Item] = []
        places: dict[int, list[int]] = {}
        loops: list[int] = []

        def push(item: Item) -> None:
            places.setdefault(item[0], []).append(len(stack))
            if self.is_loop(item[0]):
                loops.append(len(stack))
            stack.append(item)

        def pop(count: int) -> None:
            for key, _ in reversed(stack[-count:]):
                places[key].pop()
            del stack[-count:]
            while loops and loops[-1] >= len(stack):
                loops.pop()

        def grow() -> bool:
            for place in reversed(loops):
                length = len(stack) - place - 1
                if length > BODY:
                    return False
                key, vector = stack[place]
                body = self.shapes[key].body
                fits = length == len(body) and stack[-1][0] == body[-1]
                if fits and stack[place + 1 :] == self.iteration(key, vector, vector[0]):
                    pop(length + 1)
                    push((key, (vector[0] + 1, *vector[1:])))
                    if vector[0] < 4:
                        take_in()
                    return True
            return False

        def take_in() -> None:
            """Make the terms below the topmost loop its first iteration, where they are what it would have been."""
            while True:
                key, vector = stack[-1]
                wanted = list(self.unrolled(self.iteration(key, vector, -1)))
                have: list[Item] = []
                count = 1
                while len(have) < len(wanted) and count < len(stack):
                    count += 1
                    have = [*self.some(stack[-count], len(wanted)), *have]
                if not wanted or have != wanted:
                    return
                steps = self.shapes[key].steps
                pop(count)
                push((key, (vector[0] + 1, *[x - step for x, step in zip(vector[1:], steps, strict=True)])))

        def start() -> bool:
            size, key = len(stack), stack[-1][0]
            where = places[key]
            for back in range(len(where) - 2, -1, -1):
                length = size - 1 - where[back]
                if length > BODY or 3 * length > size:
                    return False
                pieces = [stack[size - (3 - k) * length : size - (2 - k) * length] for k in range(3)]
                if pieces[0][-1][0] != key or len({tuple(k for k, _ in piece) for piece in pieces}) > 1:
                    continue
                first, second, third = ([x for _, v in piece for x in v] for piece in pieces)
                if all(c - b == b - a for a, b, c in zip(first, second, third, strict=True)):
                    steps = tuple(b - a for a, b in zip(first, second, strict=True))
                    loop = self.loop(tuple(k for k, _ in pieces[0]), steps)
                    pop(3 * length)
                    push((loop, (3, *first)))
                    take_in()
                    return True
            return False

        for item in items:
            push(item)
            while grow() or start():
                pass
        return stack

    def extended(self, items: Sequence[Item]) -> list[Item]:
        """The loops beginning as early and ending as late as the terms around them allow."""
        found, k = list(items), 0
        while k < len(found):
            if self.is_loop(found[k][0]) and (self._earlier(found, k) or self._later(found, k)):
                k = 0
            else:
                k += 1
        return found

    def _earlier(self, found: list[Item], k: int) -> bool:
        """Turn the loop at k so that it begins with what stands before it and ends its iteration -1; whether it did."""
        key, vector = found[k]
        loop, before = self.shapes[key], self.iteration(key, vector, -1)
        most = len(list(self.unrolled(before)))
        have: list[Item] = []
        place, best, best_place = k, 0, k
        for j in range(1, len(before) + 1):
            wanted = list(self.unrolled(before[-j:]))
            while len(have) < len(wanted) and place > 0:
                place -= 1
                have = [*self.some(found[place], most), *have]
            if len(have) > most:
                break
            if len(have) < len(wanted) or have[len(have) - len(wanted) :] != wanted:
                break
            if len(have) == len(wanted) and wanted:
                best, best_place = j, place
        if best == 0:
            return False
        if best == len(before):
            longer = (vector[0] + 1, *[x - step for x, step in zip(vector[1:], loop.steps, strict=True)])
            found[best_place : k + 1] = [(key, longer)]
            return True
        suffix = [x for _, v in before[-best:] for x in v]
        width = len(loop.steps) - len(suffix)
        turned = self.loop(loop.body[-best:] + loop.body[:-best], loop.steps[width:] + loop.steps[:width])
        last = self.iteration(key, vector, vector[0] - 1)[-best:]
        found[best_place : k + 1] = [(turned, (vector[0], *suffix, *vector[1 : 1 + width])), *last]
        return True

    def _later(self, found: list[Item], k: int) -> bool:
        """Make what stands behind the loop at k its last iteration; whether it did."""
        key, vector = found[k]
        wanted = list(self.unrolled(self.iteration(key, vector, vector[0])))
        have: list[Item] = []
        end = k + 1
        while len(have) < len(wanted) and end < len(found):
            have += self.some(found[end], len(wanted))
            end += 1
        if not wanted or have != wanted:
            return False
        found[k:end] = [(key, (vector[0] + 1, *vector[1:]))]
        return True

    def term(self, key: int, vector: Vector, coefs: list[Vector], around: Vector) -> Term:
        """A loop or a statement, its addresses and bounds spelled out. `around`: the trips of the loops around it."""
        shape = self.shapes[key]
        if isinstance(shape, _Loop):
            trips = bound(vector[0], coefs[0], around)
            nested = [(*c, step) for c, step in zip(coefs[1:], shape.steps, strict=True)]
            body, start = [], 0
            for inner in shape.body:
                end = start + self.widths[inner]
                part = self.term(inner, vector[1 + start : 1 + end], nested[start:end], (*around, int(trips)))
                body.append(part)
                start = end
            return For(trips, tuple(body))
        op, scalars, count, strides, spaces = shape
        own = tuple(bound(n, c, around) for n, c in zip(vector[:count], coefs[:count], strict=True))
        return statement(op, scalars, own, strides, spaces, vector[count:], coefs[count:])


@dataclass(frozen=True, slots=True)
class _Loop:
    body: tuple[int, ...]
    steps: Vector


def _box(keys: _Keys, found: Sequence[Item], whole: list[_Whole]) -> dict[tuple[int, ...], list[int]]:
    """Give each line its role and counters; returns how far the counters of each role count at their most."""
    box: dict[tuple[int, ...], list[int]] = {}
    following = iter(whole)

    def walk(items: Sequence[Item], path: tuple[int, ...], counters: tuple[int, ...]) -> None:
        for k, (key, vector) in enumerate(items):
            role = (*path, k)
            if keys.is_loop(key):
                for i in range(vector[0]):
                    walk(keys.iteration(key, vector, i), role, (*counters, i))
                continue
            line = next(following)
            line.role, line.counters = role, counters
            sides = box.setdefault(role, [0] * len(counters))
            for d, i in enumerate(counters):
                sides[d] = max(sides[d], i + 1)

    walk(found, (), ())
    return box
