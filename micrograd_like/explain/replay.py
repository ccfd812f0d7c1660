"""A recorded graph as a list of numbers: evaluated and differentiated again at other leaves, without touching a node.

Every node and every constant has a slot; a slot's operands come before it. What is computed lives in lists of this
module alone, so the graph's `.data` and `.grad` stay what they are, whatever happens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from micrograd_like.engine import Value, gradient, one
from micrograd_like.graph import Vector, leaves, topological
from micrograd_like.ieee import Number
from micrograd_like.ops import Operation

Step = tuple[int, Any, Any]  # a slot, the function that computes it, and what fetches its operands from the values


class Replay:
    """The graph below one or several roots, ready to be evaluated again.

    Building it costs one walk over the graph; memory is a few numbers per operand.

    Raises:
        ValueError: a leaf changed after the graph was recorded, so that the graph no longer describes it.
    """

    def __init__(self, *roots: Value) -> None:
        self.slots: dict[Value, int] = {}
        self.nodes: list[Value | None] = []  # the node of each slot; None for a constant
        self.base: list[Number] = []  # the numbers as recorded
        self.operands: list[tuple[int, ...]] = []
        self.steps: list[Step | None] = []
        self.consumers: list[list[int]] = []  # the slots that use this one, once for each use, in ascending order
        shared: dict[Vector, tuple[int, ...]] = {}  # a constant that nodes share has one slot
        for node in topological(*roots):
            operands: list[int] = []
            for x in (node.left, node.right):
                if type(x) is Vector:
                    if x not in shared:
                        shared[x] = tuple(map(self._slot, x))
                    operands += shared[x]
                elif x is not None:
                    operands.append(self._slot(x))
            slot = self._slot(node)
            self.operands[slot] = tuple(operands)
            self.steps[slot] = (slot, node.op.function, _fetch(operands))
            for operand in operands:
                self.consumers[operand].append(slot)
        self.roots = [self._slot(root) for root in roots]
        self._check_up_to_date()
        self._scratch = list(self.base)
        self._last_dependents: tuple[list[int], list[Step]] | None = None

    def _slot(self, x: Any) -> int:
        if type(x) is Value:
            if x in self.slots:
                return self.slots[x]
            self.slots[x] = len(self.base)
        self.nodes.append(x if type(x) is Value else None)
        self.base.append(x.data if type(x) is Value else x)
        self.operands.append(())
        self.steps.append(None)
        self.consumers.append([])
        return len(self.base) - 1

    def _check_up_to_date(self) -> None:
        values = list(self.base)
        run(values, filter(None, self.steps))
        for slot, (was, now) in enumerate(zip(self.base, values, strict=True)):
            if was != now and (was == was or now == now):
                node = self.nodes[slot]
                raise ValueError(
                    f"the graph is out of date: {describe(node)} was recorded as {was}, but its operands now give "
                    f"{now}; compute the loss again after changing parameters"
                )

    def dependents(self, *sources: int) -> list[Step]:
        """What has to be computed again when the sources change, in order. Costs what it returns."""
        key = [slot for source in sources for slot in self.consumers[source]]
        key += [source for source in sources if self.operands[source]]
        if self._last_dependents is not None and self._last_dependents[0] == key:
            return self._last_dependents[1]
        reached: set[int] = set()
        stack = list(sources)
        consumers = self.consumers
        while stack:
            for slot in consumers[stack.pop()]:
                if slot not in reached:
                    reached.add(slot)
                    stack.append(slot)
        reached.difference_update(sources)
        found = [self.steps[slot] for slot in sorted(reached)]
        self._last_dependents = key, found  # type: ignore[assignment]  # the parameters of a neuron share theirs
        return found  # type: ignore[return-value]

    def moved(self, changes: Mapping[int, Number]) -> list[Number]:
        """All numbers after some slots were given others; only what depends on them is computed."""
        values = list(self.base)
        for slot, x in changes.items():
            values[slot] = x
        run(values, self.dependents(*changes))
        return values

    def root_moved(self, slot: int, x: Number) -> Number:
        """The root's number after one slot was given another. Costs the evaluation of what depends on the slot."""
        values, base, consumers = self._scratch, self.base, self.consumers
        affected = set(consumers[slot])  # a relu that is off stops the change, and what lies behind it is not computed
        changed = [slot]
        try:
            values[slot] = x
            for each, function, fetch in self.dependents(slot):
                if each in affected:
                    now = function(*fetch(values))
                    if now != base[each]:
                        changed.append(each)
                        values[each] = now
                        affected.update(consumers[each])
            return values[self.roots[0]]
        finally:
            for each in changed:
                values[each] = base[each]


def run(values: list[Number], steps: Iterable[Step]) -> None:
    """Evaluate steps in place."""
    for slot, function, fetch in steps:
        values[slot] = function(*fetch(values))


def _fetch(slots: Sequence[int]) -> Any:
    # An itemgetter of one index would return the number itself, not a sequence of one.
    return itemgetter(*slots) if len(slots) > 1 else itemgetter(slice(slots[0], slots[0] + 1))


def describe(node: Value | None) -> str:
    """A node's name for a reader: its label, or what computed it."""
    if node is None:
        return "a constant"
    if node.label:
        return node.label
    return node.op.doc if node.op else "an unlabelled leaf"


class Backward:
    """The chain rule from the root to some sources, through nothing but what depends on them.

    `__call__` costs one evaluation of the rules on those nodes' edges; sums are taken in the engine's order, so the
    results are bit-equal to `.backward()`.
    """

    def __init__(self, replay: Replay, sources: Sequence[int]) -> None:
        self.replay = replay
        self.sources = sources
        self.forward = replay.dependents(*sources)
        wanted = set(sources)
        wanted.update(slot for slot, _, _ in self.forward)
        self._rules: list[tuple[int, Any, Any, list[Any]]] = []
        for slot, _, fetch in reversed(self.forward):
            op = operation(replay, slot)
            operands = replay.operands[slot]
            uses = [(i, operands[i]) for i in op.order(len(operands)) if operands[i] in wanted]
            self._rules.append((slot, fetch, op.vjp_of_numbers, uses))

    def __call__(self, values: list[Number]) -> list[Number]:
        """d(root)/d(slot) for every slot, at these numbers; 0 for what was not asked for."""
        adjoints: list[Number] = [0] * len(values)
        adjoints[self.replay.roots[0]] = one(values[self.replay.roots[0]])
        for slot, fetch, vjp, uses in self._rules:
            g = adjoints[slot]
            if type(g) is int:  # nothing flowed here, as in the engine's backward pass
                continue
            found = vjp(g, values[slot], *fetch(values))
            for i, operand in uses:
                if found[i] is not None:
                    adjoints[operand] += found[i]
        return adjoints


def operation(replay: Replay, slot: int) -> Operation:
    """The operation that computes a slot."""
    node = replay.nodes[slot]
    assert node is not None
    assert node.op is not None
    return node.op


def local_derivatives(replay: Replay, slot: int) -> list[Number]:
    """∂(slot)/∂(operand) for each of its operands, at the recorded numbers; 0 where no gradient flows."""
    return [0 if derivative is None else derivative for derivative in _flows(replay, slot)]


def _flows(replay: Replay, slot: int) -> list[Number | None]:
    """The same, None where no gradient flows."""
    op, base = operation(replay, slot), replay.base
    g, out, data = one(base[slot]), base[slot], [base[i] for i in replay.operands[slot]]
    return op.vjp_of_numbers(g, out, *data)


class Curvature:
    """Exact second derivatives of the root along directions, at the recorded numbers.

    With v the tangent (the derivative of every node along the direction) and ḡ the adjoint of every node, the second
    derivative is Σ over nodes of ḡ · Σᵢⱼ ∂²node/∂operandᵢ∂operandⱼ · vᵢ · vⱼ (the chain rule applied twice; Gower &
    Mello, "A new framework for the computation of Hessians", 2012). Each node's own second derivatives come from
    differentiating its rule in the table, once per kind of node. At a kink a piece's own curvature counts, not the jump.

    Building it costs a constant per edge of the graph between the sources and the root; a direction costs a
    multiplication per edge that depends on it.
    """

    def __init__(self, replay: Replay, backward: Backward, adjoints: Sequence[Number]) -> None:
        self.replay = replay
        self._derivatives: list[list[Number]] = [[] for _ in replay.base]  # alongside `replay.consumers`
        self._second: dict[int, dict[int, Number]] = {}  # per slot: partner slot → ḡ · ∂²/∂slot∂partner, summed
        patterns: dict[Any, _SecondDerivatives | None] = {}
        active = set(backward.sources)
        for slot, _, _ in backward.forward:
            active.add(slot)
        for slot, _, _ in backward.forward:
            operands = replay.operands[slot]
            derivatives = _flows(replay, slot)
            for operand, derivative in zip(operands, derivatives, strict=True):
                if operand in active:
                    self._derivatives[operand].append(derivative or 0)
            op = operation(replay, slot)
            key = (
                op,
                len(operands),
                type(replay.base[slot]),
                _piece(op, [replay.base[i] for i in operands], derivatives),
            )
            if key not in patterns:
                patterns[key] = _SecondDerivatives.of(replay, slot)
            if (pattern := patterns[key]) is not None and adjoints[slot] != 0:
                self._add_second(pattern, slot, adjoints[slot], active)
        self._tangents: list[Number] = [0] * len(replay.base)

    def _add_second(self, pattern: _SecondDerivatives, slot: int, adjoint: Number, active: set[int]) -> None:
        slots = (*self.replay.operands[slot], slot)
        pairs = [(n, i, j) for n, (i, j) in enumerate(pattern.pairs) if slots[i] in active and slots[j] in active]
        if not pairs:
            return
        found = pattern.at(self.replay, slot)
        for n, i, j in pairs:
            a, b = slots[i], slots[j]
            if not self.replay.operands[b]:  # kept on the leaf's side: only directions that move the leaf look there
                a, b = b, a
            row = self._second.setdefault(a, {})
            row[b] = row.get(b, 0) + adjoint * found[n]

    def along(self, direction: Mapping[int, Number]) -> Number:
        """The second derivative of the root along a direction, given as slot → component."""
        tangents, consumers = self._tangents, self.replay.consumers
        reached = [*direction, *(slot for slot, _, _ in self.replay.dependents(*direction))]
        total: Number = 0
        try:
            for slot, component in direction.items():
                tangents[slot] = component
            for slot in reached:
                if tangent := tangents[slot]:
                    for consumer, derivative in zip(consumers[slot], self._derivatives[slot]):  # noqa: B905 - hot
                        tangents[consumer] += derivative * tangent
            for slot in reached:
                if slot in self._second and (tangent := tangents[slot]):
                    for partner, coefficient in self._second[slot].items():
                        if tangents[partner]:
                            total += tangent * coefficient * tangents[partner]
            return total
        finally:
            for slot in reached:
                tangents[slot] = 0


def _piece(op: Operation, data: Sequence[Number], derivatives: Sequence[Number | None]) -> tuple[Any, ...]:
    """What names the piece of the function a node is on: a recorded derivative is that of its own piece."""
    return tuple((x > 0) - (x < 0) for x in data) if op.arity else tuple(d is None for d in derivatives)


class _SecondDerivatives:
    """The second derivatives of one kind of node, as a recorded program of its operands and its result.

    A rule is written in the algebra that it differentiates, so it runs on Values, and what it records is differentiated
    like anything else. `pairs` are the positions (i, j) for which ∂(∂out/∂operandᵢ)/∂j is not 0 everywhere; a position
    past the operands is the result, which a rule may use.
    """

    def __init__(self, inputs: list[Value], pairs: list[tuple[int, int]], results: list[Value]) -> None:
        self.pairs = pairs
        self._replay = Replay(*results)
        self._steps = [step for step in self._replay.steps if step is not None]
        self._inputs = [(i, self._replay.slots[x]) for i, x in enumerate(inputs) if x in self._replay.slots]

    @classmethod
    def of(cls, replay: Replay, slot: int) -> _SecondDerivatives | None:
        """For the kind of node in a slot; None when it has no second derivatives."""
        base, op = replay.base, operation(replay, slot)
        inputs = [Value(base[i]) for i in (*replay.operands[slot], slot)]
        position = {x: i for i, x in enumerate(inputs)}
        pairs, results = [], []
        for i, first in enumerate(op.vjp(one(base[slot]), inputs[-1], *inputs[:-1])):
            if type(first) is Value:
                touched = [x for x in leaves(first) if x in position]
                for x, second in zip(touched, gradient(first, touched), strict=True):
                    if second.op is not None or second.data != 0:
                        pairs.append((i, position[x]))
                        results.append(second)
        return cls(inputs, pairs, results) if pairs else None

    def at(self, replay: Replay, slot: int) -> list[Number]:
        """Their numbers for the node in a slot, alongside `pairs`."""
        values = list(self._replay.base)
        slots = (*replay.operands[slot], slot)
        for i, place in self._inputs:
            values[place] = replay.base[slots[i]]
        run(values, self._steps)
        return [values[root] for root in self._replay.roots]
