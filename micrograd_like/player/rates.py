"""An optimizer in a page: its rule as JavaScript, and the rates that the rule reads."""

from __future__ import annotations

import copy
from typing import Any

from micrograd_like.ieee import as_float
from micrograd_like.optim import SGD, Optimizer
from micrograd_like.player.javascript import statements
from micrograd_like.player.page import script_json

_SCHEDULED = 2000  # steps for which rates travel that change from step to step


def is_plain(optimizer: Optimizer) -> bool:
    """Whether it is gradient descent, and nothing beside it."""
    return type(optimizer) is SGD and not optimizer.momentum and not optimizer.weight_decay


def optimizer_source(optimizer: Optimizer) -> str:
    """The optimizer's rule and its rates, as the page's DATA_OPTIMIZER."""
    states = len(type(optimizer).STATE)
    columns = _columns(optimizer)
    operands = ["p[i]", "g[i]", *[f"s[{k}][i]" for k in range(states)], *[f"r[{k}]" for k in range(len(columns))]]
    targets = ["to[i]", *[f"next[{k}][i]" for k in range(states)]]
    body = statements(optimizer.rule, operands, targets)
    parts = {
        "name": type(optimizer).__name__,
        "states": states,
        "columns": [column for column, _ in columns],
        "scaled": [scaled for _, scaled in columns],
        "rate": as_float(optimizer.learning_rate(0)),
    }
    loop = f"for (let i = 0; i < p.length; i++) {{ if (moving && !moving[i]) to[i] = p[i]; else {{ {body} }} }}"
    return (
        f"const DATA_OPTIMIZER = {{ ...{script_json(parts)}, step: (p, g, s, r, moving, to, next) => {{ {loop} }} }};\n"
    )


def _columns(optimizer: Optimizer) -> list[tuple[Any, bool]]:
    """Each rate that the rule reads, as one number or one for every step, and whether it follows the learning rate."""
    first = optimizer.steps
    rows = [list(map(as_float, optimizer.rates(first + step))) for step in range(_SCHEDULED)]
    faster = copy.copy(optimizer)
    schedule = optimizer.lr
    faster.lr = (lambda step: 2 * schedule(step)) if callable(schedule) else 2 * schedule
    doubled = [list(map(as_float, faster.rates(first + step))) for step in (0, 1)]
    found: list[tuple[Any, bool]] = []
    for i in range(len(rows[0])):
        column = [row[i] for row in rows]
        scaled = all(doubled[k][i] == 2 * column[k] and column[k] != 0 for k in (0, 1))
        while len(column) > 1 and column[-1] == column[-2]:
            column.pop()
        found.append((column[0] if len(column) == 1 else column, scaled))
    return found
