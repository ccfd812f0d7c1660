"""Why a gradient is what it is: the paths from a parameter to the loss, and what each contributes.

The gradient is the sum, over all paths, of the products of the local derivatives along them. There can be 2^60 paths, so
they are counted and summed along the graph and listed one by one, the largest first. (Sums over paths in other semirings
than (+, ·): Du et al., "Generalizing Backpropagation for Gradient-Based Interpretability", arXiv 2307.03056.)
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import islice
from math import isfinite
from typing import Any

from micrograd_like.checks import whole_number
from micrograd_like.drawing.figure import Plot
from micrograd_like.drawing.formula import number as shown
from micrograd_like.engine import Value, one
from micrograd_like.explain.canvas import BARS, named_bars, short_names
from micrograd_like.explain.replay import Replay, describe, local_derivatives
from micrograd_like.explain.report import Report, Table, cell, check_loss, find, name_of, rest, show
from micrograd_like.ieee import Number, added


@dataclass(frozen=True)
class Edge:
    """Name one use of a node by another, with the derivative of the user with respect to it.

    >>> from micrograd_like import Value
    >>> w, b = Value(2.0, label="w"), Value(-1.0, label="b")
    >>> loss = (w * 3.0 + b - 4.0) ** 2
    >>> edge = paths(loss, w).largest(1)[0].edges[0]
    >>> edge.source.label, edge.target.op, edge.derivative
    ('w', ops.mul, 3.0)

    Attributes:
        source: the node that is used
        target: the node that uses it
        derivative: ∂target/∂source, for this use
    """

    source: Value
    target: Value
    derivative: Number


@dataclass(frozen=True)
class Path:
    """Follow one way from the parameter to the loss, and what it contributes to the gradient.

    >>> from micrograd_like import Value
    >>> w, b = Value(2.0, label="w"), Value(-1.0, label="b")
    >>> loss = (w * 3.0 + b - 4.0) ** 2
    >>> way = paths(loss, w).largest(1)[0]
    >>> way.product, [edge.derivative for edge in way.edges]
    (6.0, [3.0, 1.0, 1.0, 2.0])

    Attributes:
        edges: an `Edge` for each step, from the parameter to the loss
        product: of the derivatives along the edges: what this way adds to the gradient
    """

    edges: tuple[Edge, ...]
    product: Number

    @property
    def through(self) -> str:
        """The labelled nodes on the way (or, where there are none, all), between the parameter and the loss."""
        inner = [edge.target for edge in self.edges[:-1]]
        return " → ".join(name_of(node) for node in inner if node.label) or " → ".join(map(name_of, inner)) or "direct"

    def __str__(self) -> str:
        if not self.edges:
            return "is the loss itself"
        steps = [f" ·({show(edge.derivative)})→ {name_of(edge.target)}" for edge in self.edges]
        if len(steps) > 6:
            steps[3:-2] = [f" … {len(steps) - 5} more …"]
        return name_of(self.edges[0].source) + "".join(steps)


class Paths(Report):
    """List the paths from a parameter to the loss. Iterating gives them one by one, the largest product first.

    >>> from micrograd_like import Value
    >>> w = Value(3.0, label="w")
    >>> found = paths(w * w + w, w)
    >>> [way.product for way in found], w.grad
    ([3.0, 3.0, 1.0], 0)
    """

    def __init__(self, loss: Value, parameter: Value | str) -> None:
        replay = Replay(check_loss(loss))
        self.loss = loss
        self.parameter = find(replay.slots, parameter)
        self._replay = replay
        self._edges: dict[int, list[tuple[int, Number]]] = {}  # slot → (slot of the user, derivative)
        root, base = replay.roots[0], replay.base
        unit = one(base[root])
        self._count, self._largest = {root: 1}, {root: unit}
        gradients, sizes = {root: unit}, {root: unit}
        self._source = replay.slots.get(self.parameter, -1)
        if self._source not in (root, -1):
            self._collect_edges()
        for slot in reversed(self._edges):
            users = self._edges[slot]
            self._count[slot] = sum(self._count[user] for user, _ in users)
            self._largest[slot] = max(abs(d) * self._largest[user] for user, d in users)
            gradients[slot] = added(d * gradients[user] for user, d in users)
            sizes[slot] = added(abs(d) * sizes[user] for user, d in users)
        self.count: int = self._count.get(self._source, 0)
        self.gradient: Number = gradients.get(self._source, 0)
        self.total_size: Number = sizes.get(self._source, 0)  # Σ |product|: how much of it cancels is the difference

    def _collect_edges(self) -> None:
        replay = self._replay
        through = [slot for slot, _, _ in replay.dependents(self._source)]
        self._edges = {slot: [] for slot in (self._source, *through) if slot != replay.roots[0]}
        for slot in through:
            for operand, derivative in zip(replay.operands[slot], local_derivatives(replay, slot), strict=True):
                if operand in self._edges:
                    if not isfinite(derivative):
                        raise ValueError(
                            f"the derivative of {describe(replay.nodes[slot])} with respect to "
                            f"{describe(replay.nodes[operand])} is {derivative}; expected a finite number"
                        )
                    self._edges[operand].append((slot, derivative))

    def __iter__(self) -> Iterator[Path]:
        # Best first: a partial path is as good as the best path it can become, which `_largest` knows exactly. A bound is
        # handed on times a ratio that is 1 for the best continuation, so no rounding makes equal paths race each other;
        # of equal bounds the newest comes first, so the search goes deep before it goes wide.
        if not self.count:
            return
        root = self._replay.roots[0]
        bound = self._largest[self._source]
        heap: list[tuple[Number, int, Number, int, Any]] = [(-bound, 0, one(self.loss.data), self._source, None)]
        age = 0
        while heap:
            bound, _, product, slot, trail = heappop(heap)
            if slot == root:
                yield Path(self._walked(trail), product)
                continue
            best = self._largest[slot]
            for user, derivative in self._edges[slot]:
                age -= 1
                ratio = abs(derivative) * self._largest[user] / best if best else 0
                heappush(heap, (bound * ratio, age, product * derivative, user, (slot, user, derivative, trail)))

    def _walked(self, trail: Any) -> tuple[Edge, ...]:
        nodes: Any = self._replay.nodes
        edges = []
        while trail is not None:
            source, target, derivative, trail = trail
            edges.append(Edge(nodes[source], nodes[target], derivative))
        return tuple(reversed(edges))

    def largest(self, n: int) -> list[Path]:
        """The n largest paths, or all if there are fewer. Raises ValueError for what is no number of paths."""
        return list(islice(self, min(whole_number("n", n, at_least=0), sys.maxsize)))

    @property
    def title(self) -> str:
        name = name_of(self.parameter)
        if not self.count:
            return f"no path: the loss does not depend on {name}, so its gradient is 0"
        ways = "1 path leads" if self.count == 1 else f"{self.count:,} paths lead"
        return f"{ways} from {name} to the loss, and their products add up to the gradient {show(self.gradient)}"

    def _table(self, rows: int | None) -> Table:
        paths = list(islice(self, rows))
        body, shown = [], 0
        for i, path in enumerate(paths, 1):
            shown += abs(path.product)
            body.append((str(i), str(path).removeprefix(name_of(self.parameter)).strip(), cell(path.product)))
        notes = rest(self.count, rows, "paths")
        if self.total_size:
            share = float(shown / self.total_size)
            notes.append(
                f"Shown: {len(paths):,} of {self.count:,} paths, with {share:.1%} of the sum of sizes Σ|product|."
            )
        return Table(("#", f"from {name_of(self.parameter)}", "product"), body, names=2, notes=notes)

    def plot(self) -> Plot:
        """The largest paths' products as bars, each with its first derivative and the nodes it leads through."""
        found = self.largest(BARS)
        called = short_names(name_of(edge.target) for path in found for edge in path.edges)
        names = []
        for path in found:
            through = [called[name] for name in path.through.split(" → ") if name in called] or [path.through]
            first = f"×{shown(path.edges[0].derivative, 3)} to " if path.edges else ""
            names.append(first + " → ".join(through))
        products = [(name, path.product) for name, path in zip(names, found, strict=True)]
        return named_bars(self.title, products, "product of the derivatives along the path")


def paths(loss: Value, parameter: Value | str) -> Paths:
    """Find every path from a parameter (or any node, or its label) to the loss; their products add up to the gradient.

    The number of paths and the sums cost one walk over what depends on the parameter; each path listed costs its length
    times the number of branches on its way (and a logarithm).

    >>> x = Value(3.0, label="x")
    >>> y = x * x + x
    >>> why = paths(y, x)
    >>> why.count, why.gradient, [path.product for path in why]
    (3, 7.0, [3.0, 3.0, 1.0])

    Raises:
        TypeError: the loss is not a Value, or the parameter neither a Value nor a label.
        ValueError: the loss or a local derivative is not finite, no single node has that label, the Value was computed
            in another graph, or the graph is out of date.
    """
    return Paths(loss, parameter)
