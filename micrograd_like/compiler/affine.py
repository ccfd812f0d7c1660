"""Stage 3, once more: loops whose bounds and lists grow with the loops around them, such as attention with a causal mask.

Position t of a sequence looks back at t + 1 others, so that its lines are no repetition of those of position t - 1: there
are more of them, and what they compute lies at addresses that grow like t². Two things bring the loop back:
  - lines are folded by their shape first, the length of a list and the trips of a loop being integers of the vector like
    any other (growing.py);
  - then every line has a place in a nest and a vector of counters, by which values and constants get new addresses, in a
    box as wide as the loops are at their most. Addresses are now affine in the counters, and all is folded again.
A value is written once, so that another address is never wrong: a guess that was bad costs folding, not a number. A
program that does not become much shorter this way is left as it was found.

A program for sequences of every length has a trace for each. The two longest are folded; what has grown between them, a
few bounds, says how the loops of each other length would look, and where these are that trace's lines, one nest serves
them all: the length is one more counter around it. Lengths that look otherwise get a nest of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from micrograd_like import ops
from micrograd_like.compiler.flow import (
    SCALARS,
    Chain,
    Flow,
    FlowBuilder,
    Line,
    Section,
    groups_of,
    runs_of,
    shared,
    step_of,
)
from micrograd_like.compiler.growing import Item, Keys, Vector
from micrograd_like.compiler.loops import Choice, For, Table, Term, lines
from micrograd_like.compiler.spaces import CONST, INACTIVE, INDEX, INPUT, NODE, PARAM, SHIFT, pack, space_of
from micrograd_like.compiler.trace import COPY, Trace
from micrograd_like.ops import Operation

MOST = 200  # terms outermost, after the first folding, of a program that is worth a second one
Column = tuple[int, ...]  # the elements of one of a line's lists
Role = tuple[int, ...]  # where a line stands in the nest
Found = tuple[Flow, tuple[tuple[Term, ...], tuple[Term, ...]]]


@dataclass(slots=True, eq=False)
class _Whole:
    """A line before its strided operands are cut into runs."""

    op: Operation
    scalars: tuple[int, ...]
    columns: tuple[Column, ...]  # its strided operands, of equal length
    node: int
    value: int | None = None  # of a composed row: where its value already is
    role: Role = ()
    counters: tuple[int, ...] = ()  # of the loops around it
    room: int = 0  # how many lines of this role there are, counting from 0 to the most of each counter
    offset: int = 0  # which of them this one is

    @property
    def reads(self) -> tuple[int, ...]:
        """The scalar operands, the first element of each strided one, and the value of a composed row."""
        refs = (*self.scalars, *[column[0] for column in self.columns])
        return refs if self.value is None else (*refs, self.value)


def refold(recorded: Trace, least: int | None) -> Found | None:
    """(sections, the terms of each), where this takes at most 2/3 of `least` statements and loops; else None."""
    flowing = _Lines(recorded)
    constants: list[float] = []
    sections, terms, written = [], [], 0
    for varying in (0, 1):
        nest = _Nest([_Part(flowing, varying)], constants)
        if not nest.fold(MOST):
            return None
        written += size(nest.terms[0])
        if least is not None and 3 * written > 2 * least:
            return None
        sections.append(nest.section(0))
        terms.append(nest.terms[0])
    return Flow(sections[0], sections[1], constants), (terms[0], terms[1])


def by_length(traces: Sequence[Trace], place: int) -> Found:
    """The same of a program for several lengths, from its trace for each, the shortest first.

    `place`: the number of a sample that says which of them is its own, counted from the first one's length.
    """
    longest_first = [_part(trace) for trace in reversed(traces)]
    constants: list[float] = []
    bodies: list[tuple[Term, ...]] = []
    rows: list[tuple[int, int]] = []
    sections: list[Section] = []
    while longest_first:
        nest = _Nest(longest_first, constants)
        nest.fold()
        done = len(nest.parts)
        longest_first = [_part(p.flow.trace) if p.is_numbered else p for p in longest_first[done:]]
        rows += [(len(bodies), done - 1 - k) for k in range(done)]
        bodies.append(nest.terms[1])
        sections += [nest.section(k) for k in range(done)]
    slots = max(section.slots for section in sections)
    for section in sections:
        section.slots = slots
    choice = Choice(tuple(rows[::-1]), tuple(bodies), place)
    nothing = Section([], 0, 0)
    return Flow(nothing, sections[0], constants, sections[::-1]), ((), (choice,))


class _Unrolled(Section):
    """A section whose lines are made where they are asked for: its loops, unrolled."""

    def __init__(self, terms: Sequence[Term], counters: tuple[int, ...], slots: int) -> None:
        self.terms, self.counters, self.slots, self.outputs = terms, counters, slots, 0

    @cached_property
    def lines(self) -> list[Line]:  # type: ignore[override]
        return lines(self.terms, self.counters)


def _part(trace: Trace) -> _Part:
    """The lines of a trace, all of them for each sample: what would be shared differs between the lengths."""
    return _Part(_Lines(trace, everything=True), 1)


def size(terms: Sequence[Term]) -> int:
    """How many statements and loops there are to be written."""
    return sum(
        1 + size(term.body) if isinstance(term, For) else
        sum(map(size, term.bodies)) if isinstance(term, Choice) else
        len(term.rows) if isinstance(term, Table) else 1
        for term in terms
    )  # fmt: skip


class _Lines(FlowBuilder):
    """A trace as lines whose lists are not cut into runs."""

    def __init__(self, trace: Trace, *, everything: bool = False) -> None:
        super().__init__(trace)
        self._drop_the_dead()
        self._classify()
        if everything:
            self.varying = self.alive[:]
        self.known: dict[int, int] = {}  # the address of each node
        self.whole = self._whole_lines(self._chains())

    def varies(self, node: int) -> int:
        return self.varying[node] if node < self.count else self.owner[node][0]

    def is_active(self, node: int) -> int:
        return self.active[node] if node < self.count else self.owner[node][1]

    def makers(self, line: _Whole) -> tuple[Operation | None, ...]:
        """The operations that computed a line's operands: what tells apart lines of one shape that follow each other."""
        return tuple([self.operations[ref] if ref < self.count else None for ref in line.reads])

    def _is_zero(self, ref: int) -> bool:
        return space_of(ref) == CONST and self.constants[ref & INDEX] == 0.0

    def _chains(self) -> dict[int, Chain]:
        """Chains as elsewhere; but `0 + x` begins a sum, of one term, as it does where more are to follow."""
        alone = {}
        for n in range(self.count):
            if self.alive[n] and self.operations[n] is ops.add and self._is_zero(self.operands[n][0]):
                alone[n] = self.operands[n]
        chains = super()._chains()
        for n, (first, term) in alone.items():
            if self.alive[n] and n not in chains:
                chain = chains[n] = Chain(first, [term])
                if self._absorbable(term, n, ops.mul):
                    self.alive[term] = 0
                    chain.terms[0] = self.operands[term]
        return chains

    def _whole_lines(self, chains: dict[int, Chain]) -> list[_Whole]:
        """All lines; partial sums of a chain of several kinds get nodes beyond the trace's."""
        self.owner: dict[int, tuple[int, int]] = {}
        found, extra = [], self.count
        for n in range(self.count):
            if not self.alive[n]:
                continue
            op, refs = self.operations[n], self.operands[n]
            if op is ops.dot:
                weights, bias, inputs = ops.dot_operands(refs)
                found.append(_Whole(op, (bias,), (tuple(weights), tuple(inputs)), n))
            elif n in chains:
                total, terms = chains[n]
                groups = list(groups_of([t if type(t) is tuple else (t,) for t in terms]))
                for k, (arity, group) in enumerate(groups):
                    node = n
                    if k < len(groups) - 1:
                        node, extra = extra, extra + 1
                        self.owner[node] = self.varying[n], self.active[n]
                    if arity == 1 and len(group) == 1 and not (self._is_zero(total) and len(groups) == 1):
                        found.append(_Whole(ops.add, (total, *group[0]), (), node))
                    else:
                        columns = tuple(zip(*group, strict=True))
                        found.append(_Whole(ops.dot if arity == 2 else ops.sum, (total,), columns, node))
                    total = node
            elif op.arity is not None:
                found.append(_Whole(op, refs, (), n, self.values.get(n)))
            else:
                scalars = SCALARS.get(op.name, 0)
                found.append(_Whole(op, refs[:scalars], (refs[scalars:],), n, self.values.get(n)))
        return found


class _Part:
    """A section of one trace."""

    def __init__(self, flowing: _Lines, varying: int) -> None:
        self.flow = flowing
        self.lines = [line for line in flowing.whole if flowing.varies(line.node) == varying]
        self.varying = varying
        self.is_numbered = False  # whether operands are addresses, in the place of the trace's numbers
        last, count = flowing.count, len(flowing.trace.outputs)
        self.outputs = range(last - count, last) if flowing.varying[last - 1] == varying else range(0)


class _Nest:
    """The nest of a section's lines, in one trace or in one for each length, the longest first."""

    def __init__(self, parts: Sequence[_Part], constants: list[float]) -> None:
        self.parts = list(parts)
        self.constants = constants
        self.slots = len(parts[0].outputs)

    def fold(self, most: int | None = None) -> bool:
        """Find the nest; it serves `parts`, which may be fewer afterwards. False where it would have too many terms."""
        keys = Keys()
        shapes = ([_by_shape(keys, line, p.flow.makers(line)) for line in p.lines] for p in self.parts)
        if (found := keys.common(shapes, most)) is None:
            return False
        first, growth, agreeing = found
        box: dict[Role, list[int]] = {}
        del self.parts[agreeing:]
        for k, part in enumerate(self.parts):
            _place(keys, keys.shorter(first, growth, k), part.lines, box)
        self._renumber(box)
        keys = Keys()
        items = list(self._by_address(keys))
        again = keys.common(items)
        assert again is not None
        second, growth, agreeing = again
        del self.parts[agreeing:]
        shortest, slopes = keys.shorter(second, growth, agreeing - 1), growth
        around = ((), (agreeing,))
        self.terms = [
            tuple(
                keys.term(key, vector, [(g,) * level for g in slope], around[level])
                for (key, vector), slope in zip(shortest, slopes, strict=True)
            )
            for level in range(2)
        ]  # without and with the length as the outermost counter
        return True

    def section(self, k: int) -> Section:
        """The lines of the k-th part."""
        return _Unrolled(self.terms[1], (len(self.parts) - 1 - k,), self.slots)

    def _renumber(self, box: dict[Role, list[int]]) -> None:
        """Give values new addresses, by role and counters: in the order of the nest, behind the outputs."""
        starts: dict[Role, int] = {}
        for part in self.parts:
            known = part.flow.known
            for line in part.lines:
                line.room, line.offset = 1, 0
                for counter, side in zip(reversed(line.counters), reversed(box[line.role]), strict=True):
                    line.offset += counter * line.room
                    line.room *= side
                space = NODE if part.flow.is_active(line.node) else INACTIVE
                if line.node in part.outputs:
                    known[line.node] = pack(space, line.node - part.outputs[0])
                    continue
                if line.role not in starts:
                    starts[line.role], self.slots = self.slots, self.slots + line.room
                known[line.node] = pack(space, starts[line.role] + line.offset)

    def _by_address(self, keys: Keys) -> Iterator[list[Item]]:
        """The lines with all their addresses, and with lists that are single runs; part by part."""
        for part in self.parts:
            self._address(part)
        self._number_constants()
        cuts = [{line.node: _cut(line) for line in part.lines if line.columns} for part in self.parts]
        most: dict[Role, int] = {}  # pieces of a list that is no single run
        usual: dict[tuple[Role, int], tuple[Vector, ...]] = {}
        for part, cut in zip(self.parts, cuts, strict=True):
            for line in part.lines:
                pieces = cut.get(line.node, ())
                most[line.role] = max(most.get(line.role, 0), len(pieces))
                for k, piece in enumerate(pieces):
                    if piece.trips:
                        usual.setdefault((line.role, k), piece.strides)
        starts: dict[Role, int] = {}
        for part, cut in zip(self.parts, cuts, strict=True):
            items: list[Item] = []
            for line in part.lines:
                pieces, here = cut.get(line.node, []), part.flow.known[line.node]
                there = 0
                if len(pieces) > 1:
                    if line.role not in starts:
                        starts[line.role], self.slots = self.slots, self.slots + most[line.role] * line.room
                    there = pack(space_of(here), starts[line.role] + line.offset * most[line.role])
                for k, piece in enumerate(pieces):
                    if not piece.trips:  # of one element, the stride may be any
                        piece.strides = usual.get((line.role, k), ((0,),) * len(line.columns))
                        piece.trips = (1,) * len(piece.strides[0])
                items += self._items(keys, line, pieces, here, there)
            yield items

    def _address(self, part: _Part) -> None:
        """Replace nodes by their addresses."""
        part.is_numbered = True
        seen = {}
        for node, address in part.flow.known.items():
            seen[node] = address if part.flow.varies(node) == part.varying else shared(address)
        get = seen.get
        for line in part.lines:
            line.scalars = tuple(map(get, line.scalars, line.scalars))
            line.value = None if line.value is None else get(line.value, line.value)
            line.columns = tuple([tuple(map(get, column, column)) for column in line.columns])

    def _number_constants(self) -> None:
        """Give constants addresses that go with role and counters, and with the length where it changes them."""
        found: dict[tuple[Role, int], dict[int, dict[int, float]]] = {}  # by role and operand, place and part
        widths: dict[tuple[Role, int], int] = {}
        uses = [list(_constants(part.lines)) for part in self.parts]
        for found_in in uses:
            for line, operand, refs in found_in:
                key = line.role, operand
                widths[key] = max(widths.get(key, 1), len(refs))
        for k, part in enumerate(self.parts):
            for line, operand, refs in uses[k]:
                key = line.role, operand
                for e, ref in enumerate(refs):
                    if space_of(ref) == CONST:
                        place = line.offset * widths[key] + e
                        found.setdefault(key, {}).setdefault(place, {})[k] = part.flow.constants[ref & INDEX]
        starts: dict[tuple[Role, int], tuple[int, int]] = {}
        rooms = {line.role: line.room for part in self.parts for line in part.lines}
        for key, places in found.items():
            changes = any(len(set(map(repr, by_part.values()))) > 1 for by_part in places.values())
            room = rooms[key[0]] * widths[key]
            start, times = len(self.constants), len(self.parts) if changes else 1
            starts[key] = start, room if changes else 0
            self.constants += [next(iter(next(iter(places.values())).values()))] * (room * times)
            for place, by_part in places.items():
                for k, x in by_part.items():
                    self.constants[start + starts[key][1] * (len(self.parts) - 1 - k) + place] = x
        for k in range(len(self.parts)):
            for line, operand, refs in uses[k]:
                start, apart = starts[line.role, operand]
                first = start + apart * (len(self.parts) - 1 - k) + line.offset * widths[line.role, operand]
                column = tuple([pack(CONST, first + e) if space_of(r) == CONST else r for e, r in enumerate(refs)])
                if operand < 0:
                    line.value = column[0]
                elif operand < len(line.scalars):
                    line.scalars = (*line.scalars[:operand], column[0], *line.scalars[operand + 1 :])
                else:
                    which = operand - len(line.scalars)
                    line.columns = (*line.columns[:which], column, *line.columns[which + 1 :])

    def _items(self, keys: Keys, line: _Whole, pieces: Sequence[_Piece], here: int, there: int) -> Iterator[Item]:
        """A line; where its list is several runs, partial sums, or copies side by side and the line itself on them.

        `here`: the line's address, `there`: that of the first of the others.
        """

        def item(op: Operation, scalars: Sequence[int], piece: _Piece | None, *out: int) -> Item:
            first = [column[0] for column in piece.columns] if piece else []
            refs = (*scalars, *first, *out)
            trips, strides = (piece.trips, piece.strides) if piece else ((), ())
            return keys.line(op, len(scalars), trips, strides, refs, refs)

        value = () if line.value is None else (line.value,)
        if len(pieces) < 2:
            yield item(line.op, line.scalars, pieces[0] if pieces else None, here, *value)
        elif line.op is ops.dot or line.op is ops.sum:
            total = line.scalars
            for k, piece in enumerate(pieces):
                yield item(line.op, total, piece, here if k == len(pieces) - 1 else there + k)
                total = (there + k,)
        else:
            (column,) = line.columns
            for k, ref in enumerate(column):
                yield item(COPY, (ref,), None, there + k)
            copies = (tuple(range(there, there + len(column))),)
            yield item(line.op, line.scalars, _Piece(copies, (len(column),), ((1,),)), here, *value)


@dataclass(slots=True)
class _Piece:
    """A part of a line's lists that is a single run."""

    columns: Sequence[Column]
    trips: Vector  # () of one element
    strides: tuple[Vector, ...]


def _cut(line: _Whole) -> list[_Piece]:
    """A line's lists, cut into runs; of a row that does not add up, into single elements where they are no run."""
    count = len(line.columns[0])
    steps = [step_of(column) for column in line.columns] if count > 1 else [None]
    if None not in steps:
        return [_Piece(line.columns, (count,), tuple([(step,) for step in steps]))]  # type: ignore[misc]
    runs = runs_of(list(zip(*line.columns, strict=True)))
    if line.op is not ops.dot and line.op is not ops.sum and (len(runs) > 1 or len(runs[0][0]) > 1):
        return [_Piece([(ref,)], (), ()) for ref in line.columns[0]]
    return [_Piece(tuple(zip(*members, strict=True)), trips, strides) for trips, strides, members in runs]


def _constants(lines: Sequence[_Whole]) -> Iterator[tuple[_Whole, int, Column]]:
    """(line, operand, elements) of every operand and every list with a constant."""
    low, high = CONST << SHIFT, (CONST + 1) << SHIFT
    for line in lines:
        for k, ref in enumerate(line.scalars):
            if low <= ref < high:
                yield line, k, (ref,)
        if line.value is not None and low <= line.value < high:
            yield line, -1, (line.value,)
        for k, column in enumerate(line.columns):
            if max(column) >= low and min(column) < high and any(low <= ref < high for ref in column):
                yield line, len(line.scalars) + k, column


def _by_shape(keys: Keys, line: _Whole, makers: tuple[Operation | None, ...]) -> Item:
    """A line, of whose addresses those of parameters and inputs are known."""
    refs = line.reads
    known = [ref for ref in refs if ref >> SHIFT in (PARAM, INPUT)]
    count = (len(line.columns[0]),) if line.columns else ()
    return keys.line(line.op, len(line.scalars), count, makers, refs, known)


def _place(keys: Keys, found: Sequence[Item], whole: list[_Whole], box: dict[Role, list[int]]) -> None:
    """Give each line its role and counters; the box says how far the counters of each role count at their most."""
    following = iter(whole)

    def walk(items: Sequence[Item], path: Role, counters: tuple[int, ...]) -> None:
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
