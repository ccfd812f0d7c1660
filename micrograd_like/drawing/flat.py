"""What is flat in a graph of scalars, drawn once: long runs of additions, and terms of a sum that are all alike."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from typing import Any

from micrograd_like import ops
from micrograd_like.drawing.scene import Step
from micrograd_like.engine import Value

RUN = 5  # additions in a row that are drawn as one sum
ALIKE = 6  # terms that differ in their numbers alone, of which one is drawn
LARGE = 60  # boxes; a smaller drawing shows all terms


def flattened(recorded: Sequence[Step]) -> list[Step]:
    """The steps with what is flat folded, each fold said in its step's `folds`."""
    steps = _sums(recorded)
    return _alike(steps) if len(steps) > LARGE else steps


def _users(steps: Sequence[Step]) -> dict[Value, int]:
    """How many steps read each node."""
    found: dict[Value, int] = {}
    for step in steps:
        for x in {x for x in step.operands if type(x) is Value}:
            found[x] = found.get(x, 0) + 1
    return found


def _sums(recorded: Sequence[Step]) -> list[Step]:
    """Every run of additions without a name, each read by the next alone, as one sum of all terms."""
    users = _users(recorded)
    terms: dict[Value, tuple[list[Any], int]] = {}  # of a sum that the next addition may go on with
    inside: set[Value] = set()
    found: list[Step] = []
    for step in recorded:
        node, op, operands, _ = step
        if op is not ops.add:
            found.append(step)
            continue
        own: list[Any] = []
        count = 1
        begun = []
        for x in operands:
            if type(x) is Value and x in terms and users[x] == 1 and not x.label:
                own += terms[x][0]
                count += terms[x][1]
                begun.append(x)
            else:
                own.append(x)
        terms[node] = own, count
        inside.update(begun)
        found.append(step)
    last = {node: part for node, part in terms.items() if node not in inside}
    runs = {node for node, (_, count) in last.items() if count >= RUN}
    operands_of = {step.node: step.operands for step in recorded}
    gone: set[Value] = set()
    waiting = list(runs)
    while waiting:
        begun = [x for x in operands_of[waiting.pop()] if type(x) is Value and x in inside]
        gone.update(begun)
        waiting += begun
    return [
        Step(step.node, ops.sum, tuple(last[step.node][0]), [f"{last[step.node][1]} additions"])
        if step.node in runs
        else step
        for step in found
        if step.node not in gone
    ]


def _alike(steps: Sequence[Step]) -> list[Step]:
    """Of terms that are computed alike, from numbers that nothing else reads, the first one, with their count."""
    users = _users(steps)
    step_of = {step.node: step for step in steps}
    look: dict[Value, Hashable] = {}
    for step in steps:
        look[step.node] = _look(step, users, look)
    kept: dict[Value, Step] = {}
    for step in steps:
        counts: dict[Hashable, list[Value]] = {}
        for x in step.operands if step.op in (ops.sum, ops.max, ops.min, ops.logsumexp) else ():
            if type(x) is Value and users[x] == 1:
                counts.setdefault(look[x], []).append(x)
        many = {x: same for same in counts.values() if len(same) >= ALIKE for x in same}
        firsts = {same[0]: len(same) for same in counts.values() if len(same) >= ALIKE}
        operands = tuple(x for x in step.operands if not (type(x) is Value and x in many and x not in firsts))
        for first, count in firsts.items():
            old = kept.get(first, step_of[first])
            kept[first] = old._replace(folds=[*old.folds, f"the first of {count} alike"])
        if firsts:
            left_out = len(step.operands) - len(operands)
            kept[step.node] = step._replace(operands=operands, folds=[*step.folds, f"and {left_out} terms alike"])
    needed = {steps[-1].node}
    result = []
    for step in reversed(steps):
        if step.node in needed:
            result.append(kept.get(step.node, step))
            needed.update(x for x in result[-1].operands if type(x) is Value)
    return result[::-1]


def _look(step: Step, users: dict[Value, int], look: dict[Value, Hashable]) -> Hashable:
    """What two nodes have in common that differ in their numbers alone."""
    if step.op is None:
        return re.sub(r"\d+", "#", step.node.label)
    parts = ["number" if type(x) is not Value else look[x] if users[x] == 1 else x for x in step.operands]
    same = tuple(step.operands.index(x) for x in step.operands if type(x) is Value)  # x·x is not x·y
    return hash((step.op, re.sub(r"\d+", "#", step.node.label), tuple(parts), same))
