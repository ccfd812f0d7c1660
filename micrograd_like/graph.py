"""Walks over a recorded graph, all of them loops: a chain of a million nodes needs no more stack than one of two.

A node has an `op` (None for a leaf) and keeps its operands in `left` and `right`: each another node (of its own type), a
plain number, None, or a `Vector` of nodes and numbers. `operands` are the same, flat. `_mark` is the walk that saw a node
last: each walk brings a mark of its own, so an interrupted one leaves nothing to undo.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from threading import RLock
from typing import Any

# Two threads that walked one graph at a time would overwrite each other's marks and see nodes twice.
_one_at_a_time = RLock()


class Vector:
    """Operands that are read together, such as a layer's inputs: one object for all nodes that share it."""

    __slots__ = ("items", "_recorded", "_mark")

    items: tuple[Any, ...]
    _recorded: tuple[Any, ...] | None  # those that a walk goes to, the last one first; found by the first walk
    _mark: object

    def __init__(self, items: Iterable[Any]) -> None:
        self.items = tuple(items)
        self._recorded = self._mark = None

    def recorded(self, kind: Any) -> tuple[Any, ...]:
        """The items that are of this kind and no leaves, the last one first."""
        if self._recorded is None:
            self._recorded = tuple([x for x in self.items[::-1] if type(x) is kind and x.op is not None])
        return self._recorded

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)

    def __getitem__(self, place: Any) -> Any:
        return self.items[place]

    def __repr__(self) -> str:
        return f"Vector({list(self.items)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Vector, (self.items,)


def topological(*roots: Any, without_grad: bool = False) -> list[Any]:
    """The recorded nodes (not the leaves) that the roots depend on, operands before results, each once.

    Where asked for, each has `.grad` 0 afterwards: a loop of its own would fetch all of a large graph once more.
    """
    with _one_at_a_time:
        order = _topological(roots, without_grad)
    return order  # noqa: RET504 - behind the block: an interrupt between a call and a block's end leaves the lock held


def _topological(roots: tuple[Any, ...], without_grad: bool) -> list[Any]:
    # Depth first, the last operand first: so the backward pass, which goes the other way, sums in the program's order.
    # On the stack is the way from a root down to here: nodes whose right operand is done or under way, and for a Vector
    # the iterator over those of its items that still have to be looked at.
    kind, walk, order = type(roots[0]), object(), []
    stack: list[Any] = [iter([root for root in reversed(roots) if root.op is not None])]
    while stack:
        top = stack.pop()
        if type(top) is kind:
            node = top.left
            if type(node) is kind and node._mark is not walk and node.op is not None:
                stack.append(top)
            elif type(node) is Vector and node._mark is not walk:
                node._mark = walk
                stack += (top, iter(node.recorded(kind)))
                continue
            else:
                order.append(top)
                continue
        else:
            for node in top:
                if node._mark is not walk:
                    stack.append(top)
                    break
            else:
                continue
        while True:  # down to where nothing is left to do
            node._mark = walk
            if without_grad:
                node.grad = 0
            right = node.right
            if type(right) is kind:
                if right._mark is not walk and right.op is not None:
                    stack.append(node)
                    node = right
                    continue
            elif type(right) is Vector and right._mark is not walk:
                right._mark = walk
                stack += (node, iter(right.recorded(kind)))
                break
            left = node.left
            if type(left) is kind:
                if left._mark is not walk and left.op is not None:
                    stack.append(node)
                    node = left
                    continue
            elif type(left) is Vector and left._mark is not walk:
                stack.append(node)
                break
            order.append(node)
            break
    return order


def parts(*roots: Any) -> list[Any]:
    """Every node and every Vector the roots depend on, leaves included, operands before results, each once."""
    kind = type(roots[0])
    order: dict[Any, None] = {}
    for node in (*topological(*roots), *roots):
        for x in (node.left, node.right):
            if type(x) is Vector and x not in order:
                order.update(dict.fromkeys([each for each in x.items if type(each) is kind]))
                order[x] = None
            elif type(x) is kind:
                order[x] = None
        order[node] = None
    return list(order)


def nodes(*roots: Any) -> list[Any]:
    """Every node the roots depend on, leaves included, operands before results, each once."""
    return [part for part in parts(*roots) if type(part) is not Vector]


def leaves(*roots: Any) -> list[Any]:
    """The leaves the roots depend on, in the order in which the walk first meets them."""
    return [node for node in nodes(*roots) if node.op is None]


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
