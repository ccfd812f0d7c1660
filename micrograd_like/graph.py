"""Walks over a recorded graph, all of them loops: a chain of a million nodes needs no more stack than one of two.

A node has `operands`, a flat tuple of other nodes (of its own type) and plain numbers; a leaf has none. `args` is how
the node stores them: the same, but a run of operands that several nodes share is one shared tuple inside. `_mark` is the
walk that saw a node last: each walk brings a mark of its own, so an interrupted one leaves nothing to undo.
"""

from __future__ import annotations

from collections.abc import Iterable
from threading import RLock
from typing import Any

# Two threads that walked one graph at a time would overwrite each other's marks and see nodes twice.
_one_at_a_time = RLock()


def topological(*roots: Any) -> list[Any]:
    """The recorded nodes (not the leaves) that the roots depend on, operands before results, each once."""
    with _one_at_a_time:
        return _topological(roots)


def _topological(roots: tuple[Any, ...]) -> list[Any]:
    kind = type(roots[0])
    walk = object()
    order: list[Any] = []
    finished: set[int] = set()  # shared tuples whose nodes are all in the order
    stack: list[Any] = [root for root in reversed(roots) if root.args]
    while stack:
        node = stack.pop()
        if type(node) is tuple:  # what the node below it on the stack shares; its operands are all done
            finished.update(node)
            order.append(stack.pop())
        elif node._mark is not walk:
            node._mark = walk
            waiting: list[Any] = []
            shared: tuple[int, ...] = ()
            for arg in node.args:
                if type(arg) is kind:
                    if arg.args and arg._mark is not walk:
                        waiting.append(arg)
                elif type(arg) is tuple and id(arg) not in finished:
                    shared += (id(arg),)
                    if type(arg[0]) is kind:  # a shared tuple holds nodes alone or numbers alone
                        waiting += [x for x in arg if x.args and x._mark is not walk]
            if waiting:
                stack += (node, shared)
                stack += waiting
            else:
                order.append(node)
                if shared:
                    finished.update(shared)
    return order


def nodes(*roots: Any) -> list[Any]:
    """Every node the roots depend on, leaves included, operands before results, each once."""
    order: dict[Any, None] = {}
    for node in (*topological(*roots), *roots):
        for each in (*operand_nodes(node), node):
            order[each] = None
    return list(order)


def leaves(*roots: Any) -> list[Any]:
    """The leaves the roots depend on, in the order in which the walk first meets them."""
    return [node for node in nodes(*roots) if not node.args]


def operand_nodes(node: Any) -> list[Any]:
    """The operands that are nodes; plain numbers are left out."""
    return [operand for operand in node.operands if type(operand) is type(node)]


def dependents(order: Iterable[Any], *sources: Any) -> list[Any]:
    """Of the nodes in a topological order, those that depend on a source."""
    reached = set(sources)
    found = []
    for node in order:
        if not reached.isdisjoint(operand_nodes(node)):
            reached.add(node)
            found.append(node)
    return found


def count_paths(root: Any, source: Any) -> int:
    """How many paths lead from the source to the root: counted along the order, never listed."""
    paths = {source: 1}
    for node in topological(root):
        if node is not source:
            paths[node] = sum(paths.get(operand, 0) for operand in operand_nodes(node))
    return paths.get(root, 0)
