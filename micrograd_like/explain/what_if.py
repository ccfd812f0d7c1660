"""What the loss would be, and every node on the way to it, if some numbers were others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from micrograd_like.checks import mapped
from micrograd_like.drawing.figure import Plot
from micrograd_like.engine import Value
from micrograd_like.explain.canvas import BARS, named_bars, short_names
from micrograd_like.explain.replay import Replay
from micrograd_like.explain.report import Report, Table, check_loss, find, in_carrier, name_of, rest, show, signed
from micrograd_like.ieee import Number, as_float, number


@dataclass(frozen=True)
class NodeChange:
    """Show how a node changed, old beside new.

    >>> from micrograd_like import Value
    >>> w, b = Value(2.0, label="w"), Value(-1.0, label="b")
    >>> loss = (w * 3.0 + b - 4.0) ** 2
    >>> [(change.name, change.before, change.after) for change in what_if(loss, {"w": 1.0}).changed]
    [('w', 2.0, 1.0), ('*', 6.0, 3.0), ('+', 5.0, 2.0), ('-', 1.0, -2.0), ('**', 1.0, 4.0)]

    Attributes:
        node: the node, which keeps its number
        before: its number
        after: what its number would be
    """

    node: Value
    before: Number
    after: Number

    @property
    def name(self) -> str:
        """Its label, or the symbol of its operation."""
        return name_of(self.node)


@dataclass(frozen=True, repr=False)
class WhatIf(Report):
    """Compare the loss with what it would be at other numbers.

    >>> from micrograd_like import Value
    >>> w, b = Value(2.0, label="w"), Value(-1.0, label="b")
    >>> loss = (w * 3.0 + b - 4.0) ** 2
    >>> report = what_if(loss, {"w": 1.0})
    >>> report.before, report.after, report.change
    (1.0, 4.0, 3.0)

    Attributes:
        before: the loss
        after: what the loss would be
        changed: a `NodeChange` for each node that would have another number, in the order of the computation
        without_path: what was set but leads nowhere
    """

    before: Number
    after: Number
    changed: tuple[NodeChange, ...]
    without_path: tuple[str, ...]

    @property
    def change(self) -> Number:
        """after - before."""
        return self.after - self.before

    @property
    def title(self) -> str:
        if not self.change:
            return f"The loss would stay {show(self.before)}"
        verb = "fall" if self.change < 0 else "rise" if self.change > 0 else "change"
        return f"The loss would {verb} from {show(self.before)} to {show(self.after)}: {signed(self.change)}"

    def _table(self, rows: int | None) -> Table:
        shown = self.changed if rows is None else self.changed[:rows]
        body = [(c.name, show(c.before), show(c.after), signed(c.after - c.before)) for c in shown]
        notes = rest(len(self.changed), rows, "nodes that change")
        notes += [f"{name}: no path, the loss does not depend on it" for name in self.without_path]
        return Table(("node", "before", "after", "change"), body, notes=notes)

    def plot(self) -> Plot:
        """The nodes that change most, as bars; those with a name, where there are any."""
        found = [c for c in self.changed if c.node.label] or list(self.changed)
        called = short_names(c.name for c in found)
        found = sorted(found, key=lambda c: -abs(as_float(c.after - c.before)))[:BARS]
        changes = [(called[c.name], c.after - c.before) for c in found]
        return named_bars(self.title, changes, "change of the number")


def what_if(loss: Value, values: Mapping[Any, Any]) -> WhatIf:
    """Evaluate the loss as if some of its nodes had other numbers; the graph itself stays as it is.

    A parameter or any other node may be set, by the Value or its label: an inner node that is set no longer depends on its
    operands, so `what_if(loss, {neuron_output: 0})` shows the loss without a neuron. Costs the evaluation of what depends
    on what was set.

    >>> w, b = Value(2.0, label="w"), Value(1.0, label="b")
    >>> answer = what_if((w * 3.0 + b).relu(), {w: -1.0})
    >>> answer.before, answer.after, [(c.name, c.before, c.after) for c in answer.changed]
    (7.0, 0.0, [('w', 2.0, -1.0), ('*', 6.0, -3.0), ('+', 7.0, -2.0), ('ReLU', 7.0, 0.0)])

    Raises:
        TypeError: the loss is not a Value, values is no mapping, a key is neither a Value nor a label, or a value is no number.
        ValueError: the loss or a value is not finite, nothing is set or something twice, no single node has that label, a
            Value was computed in another graph, or the graph is out of date.
    """
    replay = Replay(check_loss(loss))
    if not mapped("values", values, "a mapping from Values or labels to numbers"):
        raise ValueError("expected at least one node to set, got none")
    changes: dict[int, Number] = {}
    without_path = []
    for key, value in values.items():
        node, x = find(replay.slots, key), number(value)
        if not isfinite(x):
            raise ValueError(f"expected a finite number for {name_of(node)}, got {x}")
        if replay.slots.get(node) in changes:
            raise ValueError(f"expected one number for {name_of(node)}, got two")
        if node in replay.slots:
            changes[replay.slots[node]] = in_carrier(x, node.data)
        else:
            without_path.append(name_of(node))
    after = replay.moved(changes)
    changed = [
        NodeChange(node, was, now)
        for node, was, now in zip(replay.nodes, replay.base, after, strict=True)
        if node is not None and was != now
    ]
    return WhatIf(loss.data, after[replay.roots[0]], tuple(changed), tuple(without_path))
