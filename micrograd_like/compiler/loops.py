"""Stage 3, loops: fold the lines of a section back into the loop nest that made them.

Lines are numbered in the order in which they were recorded, and parameters and inputs by position, so that the operands
of a loop's iterations run in arithmetic progressions. A stack of terms is kept, each a statement or a loop, with a
vector of integers (where its operands and results begin). After each line, while it is possible:
  - where the topmost terms are the next iteration of the loop below them, that loop grows by one;
  - where the topmost terms are three equal pieces in arithmetic progression, they become a loop of three.
Loops fold into loops the same way. (A. Ketterlin and P. Clauss, "Prediction and trace compression of data access
addresses through nested loop recognition", CGO 2008.) Terms are compared by an interned key, and pieces are looked for
only where a term of the topmost one's key lies below, so that the cost is linear.

What does not fold becomes a table: rows of integers that a small loop reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

from micrograd_like.compiler.flow import Line, Section
from micrograd_like.compiler.spaces import CONST, INDEX, SHIFT, SPACES, Space, pack
from micrograd_like.compiler.trace import COPY
from micrograd_like.ops import Operation

BODY = 64  # the longest loop body that is looked for
STRAIGHT = 400  # a section of more terms than this is put into tables
SMALL = 64  # in such a section, loops of fewer iterations of statements than this are not worth their code


@dataclass(frozen=True, slots=True)
class Ref:
    """An address that is affine in the counters of the enclosing loops: base + Σ coefficient · counter."""

    space: Space
    base: int
    coefs: tuple[int, ...] = ()  # one per enclosing loop, outermost first; then those of a strided operand's own

    def shifted(self, level: int, steps: int) -> Ref:
        """The address `steps` iterations of the loop at that level later."""
        return Ref(self.space, self.base + self.coefs[level] * steps, self.coefs)


class Bound(int):
    """How often a loop turns, where that is affine in the counters around it: base + Σ coefficient · counter.

    As an integer it is the most that it can be. So whoever takes it for a plain number asks about a loop that is longer
    than this one ever is: what may not meet there, does not meet here.
    """

    base: int
    coefs: tuple[int, ...]  # one per enclosing loop, outermost first; none for the innermost that do not matter
    least: int

    def __new__(cls, base: int, coefs: tuple[int, ...], most: int, least: int) -> Bound:
        self = super().__new__(cls, most)
        self.base, self.coefs, self.least = base, coefs, least
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Bound, (self.base, self.coefs, int(self), self.least)

    def __repr__(self) -> str:
        return f"Bound({self.base}, {self.coefs}, {int(self)}, {self.least})"


def bound(base: int, coefs: Sequence[int], around: Sequence[int]) -> int:
    """The bound of a loop inside of loops that turn so often; a plain number where no counter moves it."""
    if not any(coefs):
        return base
    ends = [c * (n - 1) for c, n in zip(coefs, around, strict=True)]
    most, least = (base + sum(pick(0, end) for end in ends) for pick in (max, min))
    return Bound(base, tuple(coefs), max(most, 0), least)


def turns(trips: int, counters: Sequence[int]) -> int:
    """How often a loop turns at these counters of the loops around."""
    if not isinstance(trips, Bound):
        return trips
    return max(trips.base + sum(c * i for c, i in zip(trips.coefs, counters, strict=False)), 0)


def depends(trips: int, level: int) -> bool:
    """Whether a counter of that level or of one inside of it moves the bound."""
    return isinstance(trips, Bound) and any(trips.coefs[level:])


@dataclass(frozen=True, slots=True)
class Statement:
    """A line whose operands move with the loops around it."""

    op: Operation
    scalars: tuple[Ref, ...]
    strided: tuple[Ref, ...]
    trips: tuple[int, ...]  # of the counters of the strided operands
    out: Ref
    value: Ref | None = None  # of a composed row: where its value already is

    @property
    def refs(self) -> tuple[Ref, ...]:
        """All addresses, in the order of a line's operands."""
        refs = (*self.scalars, *self.strided, self.out)
        return refs if self.value is None else (*refs, self.value)


@dataclass(frozen=True, slots=True)
class For:
    """A loop that counts from 0; its counter is one level of the addresses in its body."""

    trips: int
    body: tuple[Any, ...]


@dataclass(frozen=True)
class Table:
    """Statements in an order without a pattern: in each row the kind of statement, then the columns it reads.

    To the addresses of a body the columns are what counters are to those in a loop.
    """

    rows: tuple[tuple[int, ...], ...]
    bodies: tuple[tuple[Any, ...], ...]

    @cached_property
    def bounds(self) -> list[list[tuple[int, int]]]:
        """Per kind of statement, the smallest and the largest integer of each column."""
        kinds: list[list[tuple[int, ...]]] = [[] for _ in self.bodies]
        for row in self.rows:
            kinds[row[0]].append(row)
        return [[(min(column), max(column)) for column in zip(*rows, strict=True)][1:] for rows in kinds]

    @cached_property
    def width(self) -> int:
        """The length of the longest row."""
        return max(map(len, self.rows))


@dataclass(frozen=True)
class Choice(Table):
    """Terms for samples of different lengths: of its rows a sample runs one, that which one of its numbers names."""

    place: int  # of that number in a sample

    def variants(self) -> list[tuple[str, tuple[Any, ...], int]]:
        """For each body what it is for, as a line of text, the body, and how many lengths it serves."""
        found = []
        for k, body in enumerate(self.bodies):
            places = [place for place, row in enumerate(self.rows) if row[0] == k]
            less = f" - {places[0]}" if places[0] else ""
            among = f"if x[{self.place}] in range({places[0]}, {places[-1] + 1}): " if len(self.bodies) > 1 else ""
            found.append((f"{among}for i in [x[{self.place}]{less}]:", body, len(places)))
        return found

    def run(self, inputs: Sequence[Any]) -> tuple[int, ...]:
        """The row that a sample runs."""
        return self.rows[int(inputs[self.place])]


Term = Any  # Statement | For | Table, and what later stages make of a Statement


class _Keys:
    """Shapes of terms, interned: two terms of equal key differ in their vectors alone."""

    def __init__(self) -> None:
        self.numbers: dict[Any, int] = {}
        self.shapes: list[Any] = []

    def number(self, shape: Any) -> int:
        found = self.numbers.get(shape)
        if found is None:
            found = self.numbers[shape] = len(self.shapes)
            self.shapes.append(shape)
        return found


def recover(section: Section) -> list[Term]:
    """The loop nest whose unrolling is the section's lines."""
    keys = _Keys()
    loop_number = keys.number
    stack: list[int] = []  # keys
    vectors: list[tuple[int, ...]] = []
    places: dict[int, list[int]] = {}  # where on the stack each key is
    loops: list[int] = []  # where on the stack loops are

    def push(key: int, vector: tuple[int, ...]) -> None:
        places.setdefault(key, []).append(len(stack))
        if type(keys.shapes[key][0]) is int:
            loops.append(len(stack))
        stack.append(key)
        vectors.append(vector)

    def pop(count: int) -> None:
        for key in reversed(stack[-count:]):
            places[key].pop()
        del stack[-count:], vectors[-count:]
        while loops and loops[-1] >= len(stack):
            loops.pop()

    def grow() -> bool:
        """Add the topmost terms to the loop below them, if they are its next iteration."""
        size = len(stack)
        for place in reversed(loops):
            length = size - place - 1
            if length > BODY:
                return False
            trips, body, steps = keys.shapes[stack[place]]
            if length == len(body) and stack[-1] == body[-1] and stack[place + 1 :] == list(body):
                vector = vectors[place]
                new = [x for v in vectors[place + 1 :] for x in v]
                if all(x == first + trips * step for x, first, step in zip(new, vector, steps, strict=True)):
                    pop(length + 1)
                    push(loop_number((trips + 1, body, steps)), vector)
                    return True
        return False

    def start() -> bool:
        """Make a loop of three equal pieces on top."""
        size, key = len(stack), stack[-1]
        top, where = vectors[-1], places[key]
        for back in range(len(where) - 2, -1, -1):
            length = size - 1 - where[back]
            if length > BODY or 3 * length > size:
                return False
            if stack[-1 - 2 * length] != key:
                continue
            middle, bottom = vectors[-1 - length], vectors[-1 - 2 * length]
            if any(c - b != b - a for a, b, c in zip(bottom, middle, top, strict=True)):
                continue
            if not stack[-length:] == stack[-2 * length : -length] == stack[-3 * length : -2 * length]:
                continue
            first = [x for v in vectors[-3 * length : -2 * length] for x in v]
            second = [x for v in vectors[-2 * length : -length] for x in v]
            third = [x for v in vectors[-length:] for x in v]
            if all(c - b == b - a for a, b, c in zip(first, second, third, strict=True)):
                body = tuple(stack[-length:])
                steps = tuple(b - a for a, b in zip(first, second, strict=True))
                pop(3 * length)
                push(loop_number((3, body, steps)), tuple(first))
                return True
        return False

    def turn(key: int, vector: tuple[int, ...]) -> bool:
        """Before a term that does not go on with the begun iteration of a loop: let the loop begin there instead.

        a (b a) (b a) b c is a b (a b) (a b) c: the loop then looks like others that c comes after.
        """
        if not loops:
            return False
        place = loops[-1]
        begun = len(stack) - place - 1
        trips, body, steps = keys.shapes[stack[place]]
        if not 0 < begun < len(body) or stack[place + 1 :] != list(body[:begun]):
            return False
        first = vectors[place]
        following = [x + trips * step for x, step in zip(first, steps, strict=True)]
        width = sum(map(len, vectors[place + 1 :]))
        if [x for v in vectors[place + 1 :] for x in v] != following[:width]:
            return False
        expected = body[begun]
        while type(keys.shapes[expected][0]) is int:
            expected = keys.shapes[expected][1][0]
        if key == expected and list(vector) == following[width : width + len(vector)]:
            return False
        pop(begun + 1)
        start = 0
        for inner in body[:begun]:
            end = start + _width(keys.shapes, inner)
            push(inner, first[start:end])
            start = end
        moved = tuple(x + step for x, step in zip(first[:width], steps[:width], strict=True))
        push(loop_number((trips, body[begun:] + body[:begun], steps[width:] + steps[:width])), first[width:] + moved)
        return True

    for line in section.lines:
        refs = line.operands
        spaces = tuple([ref >> SHIFT for ref in refs])
        key = keys.number((line.op, len(line.scalars), line.trips, line.strides, spaces))
        vector = tuple([ref & INDEX for ref in refs])
        if turn(key, vector):
            while grow() or start():
                pass
        push(key, vector)
        while grow() or start():
            pass
    found = list(zip(stack, vectors, strict=True))
    if len(found) <= STRAIGHT:
        return [_term(keys.shapes, key, v, [()] * len(v)) for key, v in found]
    return _tabulated(keys, found)


def _term(shapes: list[Any], key: int, vector: Sequence[int], coefs: list[tuple[int, ...]]) -> Term:
    """A term of the stack, its addresses spelled out."""
    if type(shapes[key][0]) is int:
        trips, keys, steps = shapes[key]
        nested = [(*c, step) for c, step in zip(coefs, steps, strict=True)]
        body, start = [], 0
        for inner in keys:
            end = start + _width(shapes, inner)
            body.append(_term(shapes, inner, vector[start:end], nested[start:end]))
            start = end
        return For(trips, tuple(body))
    op, scalars, trips, strides, spaces = shapes[key]
    return statement(op, scalars, trips, strides, spaces, vector, coefs)


def statement(
    op: Operation,
    scalars: int,
    trips: tuple[int, ...],
    strides: Sequence[tuple[int, ...]],
    spaces: Sequence[int],
    bases: Sequence[int],
    coefs: Sequence[tuple[int, ...]],
) -> Statement:
    """A line with the addresses of a nest, in the order of its operands; `scalars` of them are scalar ones."""
    ends = [()] * scalars + list(strides) + [()] * (len(spaces) - scalars - len(strides))
    refs = [Ref(SPACES[s], x, (*c, *end)) for s, x, c, end in zip(spaces, bases, coefs, ends, strict=True)]
    strided = scalars + len(strides)
    return Statement(op, tuple(refs[:scalars]), tuple(refs[scalars:strided]), trips, *refs[strided:])


def _width(shapes: list[Any], key: int) -> int:
    shape = shapes[key]
    return len(shape[2]) if type(shape[0]) is int else len(shape[4])


def _tabulated(keys: _Keys, found: list[tuple[int, tuple[int, ...]]]) -> list[Term]:
    """The terms of a stack, long stretches of statements without a pattern as tables."""
    shapes = keys.shapes
    result: list[Term] = []
    rows: list[tuple[int, ...]] = []
    kinds: dict[int, int] = {}

    def close() -> None:
        nonlocal rows, kinds
        if rows:
            result.append(Table(tuple(rows), tuple((_columns(shapes[key]),) for key in kinds)))
        rows, kinds = [], {}

    for key, vector in found:
        if type(shapes[key][0]) is not int:
            rows.append((kinds.setdefault(key, len(kinds)), *vector))
            continue
        loop = _term(shapes, key, vector, [()] * len(vector))
        if work(loop) >= SMALL:
            close()
            result.append(loop)
            continue
        for s in unroll([loop]):
            spaces = tuple(ref.space for ref in s.refs)
            inner = keys.number((s.op, len(s.scalars), s.trips, tuple(ref.coefs for ref in s.strided), spaces))
            rows.append((kinds.setdefault(inner, len(kinds)), *[ref.base for ref in s.refs]))
    close()
    return result


def _columns(shape: Any) -> Statement:
    """A statement that finds each of its addresses in a column of its row."""
    op, scalars, trips, strides, spaces = shape
    unit = [tuple(int(c == column) for c in range(len(spaces))) for column in range(len(spaces))]
    return statement(op, scalars, trips, strides, spaces, [0] * len(spaces), unit)


def work(term: Term) -> int:
    """How many statements a term runs."""
    return term.trips * sum(map(work, term.body)) if isinstance(term, For) else 1


def at(ref: Ref, counters: Sequence[int]) -> Ref:
    """The address where the outermost counters have these values."""
    known = len(counters)
    return Ref(ref.space, ref.base + sum(c * i for c, i in zip(ref.coefs, counters, strict=False)), ref.coefs[known:])


def unroll(terms: Sequence[Term], counters: tuple[int, ...] = ()) -> Iterator[Statement]:
    """The statements in the order in which the loops run them."""
    for term in terms:
        if isinstance(term, For):
            for i in range(turns(term.trips, counters)):
                yield from unroll(term.body, (*counters, i))
        elif isinstance(term, Table):
            for kind, *row in term.rows:
                yield from unroll(term.bodies[kind], (*counters, *row))
        else:
            refs = [at(ref, counters) for ref in term.refs]
            trips, scalars = tuple(turns(n, counters) for n in term.trips), len(term.scalars)
            strided = scalars + len(term.strided)
            yield Statement(term.op, tuple(refs[:scalars]), tuple(refs[scalars:strided]), trips, *refs[strided:])


def lines(terms: Sequence[Term], counters: tuple[int, ...] = ()) -> list[Line]:
    """The section's lines again, to show that nothing was lost; at these counters of loops around the terms."""
    return [
        Line(
            s.op,
            tuple(pack(ref.space, ref.base) for ref in s.scalars),
            tuple(pack(ref.space, ref.base) for ref in s.strided),
            s.trips,
            tuple(ref.coefs for ref in s.strided),
            pack(s.out.space, s.out.base),
            None if s.value is None else pack(s.value.space, s.value.base),
        )
        for s in unroll(terms, counters)
    ]


COUNTERS = "ijklmnopqrstuvwxyz"


def literal(ref: Ref, constants: Sequence[float], trips: Sequence[int]) -> float | None:
    """The number that a constant's address holds in every iteration; None for several, and for other spaces.

    `trips`: of the loops around it; 0 for the column of a table.
    """
    if ref.space != CONST:
        return None
    moving = [(c, n) for c, n in zip(ref.coefs, trips, strict=True) if c]
    if any(n == 0 for _, n in moving):
        return None
    first = constants[ref.base]
    for counters in product(*[range(n) for _, n in moving]):
        place = ref.base + sum(c * i for (c, _), i in zip(moving, counters, strict=True))
        # A loop whose bound moves has corners beyond which nothing is read.
        if not 0 <= place < len(constants) or repr(constants[place]) != repr(first):
            return None
    return first


def show(terms: Sequence[Term], constants: Sequence[float], trips: tuple[int, ...] = ()) -> str:
    """The loops as pseudo-code."""
    text = []
    depth = len(trips)
    indent = "    " * depth
    for term in terms:
        if isinstance(term, For):
            text.append(f"{indent}for {counter(depth)} in range({times(term.trips)}):")
            text.append(show(term.body, constants, (*trips, term.trips)))
        elif isinstance(term, Choice):
            for about, body, lengths in term.variants():
                text += [f"{indent}{about}", show(body, constants, (*trips, lengths))]
        elif isinstance(term, Table):
            text.append(f"{indent}{len(term.rows)} operations of {len(term.bodies)} kinds, without a pattern")
        else:
            text.append(indent + _statement(term, constants, trips))
    return "\n".join(text)


def counter(depth: int) -> str:
    """The name of the counter at a depth."""
    return COUNTERS[depth] if depth < len(COUNTERS) else f"i{depth}"


def address(ref: Ref) -> str:
    """An address as text."""
    return f"{ref.space.symbol}[{affine(ref.base, ref.coefs)}]"


def times(trips: int, counters: Sequence[str] | None = None) -> str:
    """A bound as text, where the counters have these names."""
    return affine(trips.base, trips.coefs, counters) if isinstance(trips, Bound) else str(trips)


def affine(base: int, coefs: Sequence[int], counters: Sequence[str] | None = None) -> str:
    """An index as text, which is one in Python, C and JavaScript."""
    names = [counter(d) for d in range(len(coefs))] if counters is None else counters
    parts = [{1: i, -1: f"-{i}"}.get(c, f"{c}*{i}") for c, i in zip(coefs, names, strict=False) if c]
    if base or not parts:
        parts.append(str(base))
    return " + ".join(parts).replace("+ -", "- ")


def _statement(s: Statement, constants: Sequence[float], trips: tuple[int, ...]) -> str:
    def name(ref: Ref, inside: tuple[int, ...]) -> str:
        number = literal(ref, constants, inside)
        return address(ref) if number is None else f"{number:g}" if float(f"{number:g}") == number else repr(number)

    scalars = [name(ref, trips) for ref in s.scalars]
    strided = " * ".join(name(ref, (*trips, *s.trips)) for ref in s.strided)
    each = strided + "".join(f" for {counter(len(trips) + d)} in range({times(n)})" for d, n in enumerate(s.trips))
    if s.value is not None:  # the lines before have computed it
        value = f"{name(s.value, trips)}  # {s.op.name}({', '.join([*scalars, each] if each else scalars)})"
    elif s.op is COPY:
        value = scalars[0]
    elif s.op.name in ("dot", "sum"):
        value = f"sum({each})" if scalars == ["-0"] else f"{scalars[0]} + sum({each})"
    elif s.op.arity == 2:
        value = f"{scalars[-2]} {s.op.symbol} {scalars[-1]}"
    else:
        value = f"{s.op.name}({', '.join([*scalars, each] if each else scalars)})"
    return f"{address(s.out)} = {value}"
