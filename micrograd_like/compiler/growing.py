"""Stage 3, folding with bounds that grow: as in loops.py, but trips are integers of the vector like any other.

So the bound of a loop, and the length of a list, may move with the loops around. A loop takes in what lies before and
behind it where that is its iteration -1 or its next one, as for short first iterations, which do not look like a loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from micrograd_like.compiler.loops import BODY, For, Term, bound, statement
from micrograd_like.compiler.spaces import INDEX, SHIFT
from micrograd_like.ops import Operation

Vector = tuple[int, ...]
Item = tuple[int, Vector]  # the key of a shape, and the integers in which terms of this shape differ


class Keys:
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

    def common(
        self, lengths: Iterable[list[Item]], most: int | None = None
    ) -> tuple[list[Item], list[Vector], int] | None:
        """(the loops of the first lines, how their integers grow from the next, shorter ones, how many agree to that).

        None where the first are more than `most` terms.
        """
        following = iter(lengths)
        terms = self.folded(iter(next(following)), most)
        longest = [] if terms is None else self.extended(terms)
        if terms is None or (most is not None and len(longest) > most):
            return None
        growth, agreeing = [(0,) * len(vector) for _, vector in longest], 1
        for items in following:
            if agreeing == 1:
                shorter = self.extended(self.folded(iter(items)) or [])
                if [key for key, _ in shorter] != [key for key, _ in longest]:
                    break
                pairs = zip(longest, shorter, strict=True)
                growth = [tuple([x - y for x, y in zip(a, b, strict=True)]) for (_, a), (_, b) in pairs]
            elif list(self.unrolled(self.shorter(longest, growth, agreeing))) != items:
                break
            agreeing += 1
        return longest, growth, agreeing

    def shorter(self, items: Sequence[Item], growth: Sequence[Vector], k: int) -> list[Item]:
        """The terms as they are where the length is less by k."""
        pairs = zip(items, growth, strict=True)
        return [(key, tuple([x - k * g for x, g in zip(vector, grows, strict=True)])) for (key, vector), grows in pairs]

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

    def folded(self, items: Iterator[Item], most: int | None = None) -> list[Item] | None:
        """The items as loops, by the rules of loops.py; trips are an integer of a loop's vector.

        None where there are ten times as many as `most` on the way: loops take in what lies below them, but not that much.
        """
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
            if most is not None and len(stack) > 10 * most:
                return None
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
