"""What a summary of a module says: a table of its parts, the shapes of what they hold, and what a call costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from micrograd_like import ops
from micrograd_like.engine import Value
from micrograd_like.graph import topological


def table(rows: Sequence[tuple[str, str, str, str]]) -> list[str]:
    """The rows as lines of at most 80 columns; of texts that are too wide for the first column the ends are shown."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[0] = min(widths[0], 76 - sum(widths[1:]))
    return [
        f"{_shortened(part, widths[0]):{widths[0]}}  {what:{widths[1]}}  {shape:>{widths[2]}}  {count:>{widths[3]}}"
        for part, what, shape, count in rows
    ]


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else f"…{text[1 - width :]}"


def shape_of(value: Any) -> str:
    """The shape of a Value, or of lists of Values that are all of one length; "" for anything else."""
    if isinstance(value, Value):
        return "1"
    sizes = []
    while isinstance(value, (list, tuple)) and value:
        if len({len(x) if isinstance(x, (list, tuple)) else -1 for x in value}) > 1:
            return ""
        sizes.append(len(value))
        if all(isinstance(x, Value) for x in value):
            return " × ".join(map(str, sizes))
        value = value[0]
    return ""


def operations(roots: Sequence[Value]) -> int:
    """How many operations on single numbers have made these Values."""
    known: dict[tuple[ops.Operation, int], int] = {}

    def cost(op: ops.Operation, count: int) -> int:
        if op is ops.gather:
            return 1
        if op.expansion is None:
            return 1 if op.arity else count - 1
        if (op, count) not in known:
            expanded = op.expansion(*[Value(1.0) for _ in range(count)])
            known[op, count] = sum(cost(node.op, len(node.operands)) for node in topological(expanded))
        return known[op, count]

    return sum(cost(node.op, len(node.operands)) for node in topological(*roots)) if roots else 0
