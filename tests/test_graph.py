"""Walks over recorded graphs: each node once, operands first, and the loop of a walk holds nothing back."""

import random
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micrograd_like import MLP, Value, dot, graph


def random_graph(seed: int, size: int = 30) -> list[Value]:
    rng = random.Random(seed)
    made = [Value(rng.uniform(-1, 1)) for _ in range(3)]
    for _ in range(size):
        a, b, c = (rng.choice(made) for _ in range(3))
        made.append(rng.choice([lambda: a + b, lambda: a * 2.0, lambda: dot([a, b], [c, a], b), lambda: a.max(b, c)])())  # noqa: B023
    return made


def descendants(root: Value) -> set[Value]:
    """Everything a root depends on, by plain recursion: the oracle."""
    return {root}.union(*[descendants(x) for x in root.operands if isinstance(x, Value)])


@given(st.integers(0, 10**6))
def test_a_walk_visits_each_node_once_and_operands_first(seed: int) -> None:
    root = random_graph(seed, 12)[-1]
    order = graph.nodes(root)
    assert len(order) == len(set(order))
    assert set(order) == descendants(root)
    assert all(order.index(x) < order.index(node) for node in order for x in graph.operand_nodes(node))
    assert [node for node in order if node.op is not None] == graph.topological(root)
    assert [node for node in order if node.op is None] == graph.leaves(root)


@given(st.integers(0, 10**6))
def test_two_roots_share_what_they_share(seed: int) -> None:
    *_, a, b = random_graph(seed, 12)
    order = graph.topological(a, b)
    assert len(order) == len(set(order))
    assert set(order) == {node for node in descendants(a) | descendants(b) if node.op is not None}
    assert all(
        order.index(x) < order.index(node) for node in order for x in graph.operand_nodes(node) if x.op is not None
    )


def test_a_leaf_is_a_graph_of_one() -> None:
    x = Value(1.0)
    assert graph.nodes(x) == [x]
    assert graph.leaves(x) == [x]
    assert graph.topological(x) == []


def test_leaves_come_in_the_order_in_which_the_walk_meets_them() -> None:
    a, b, c = (Value(float(i)) for i in range(3))
    assert graph.leaves(((c * a) + b) * a) == [c, a, b]


def paths(root: Value, source: Value) -> int:
    if root is source:
        return 1
    return sum(paths(x, source) for x in root.operands if isinstance(x, Value))


@given(st.integers(0, 10**6))
def test_paths_are_counted_as_if_they_were_listed(seed: int) -> None:
    made = random_graph(seed, 10)
    for source in made[:5]:
        assert graph.count_paths(made[-1], source) == paths(made[-1], source)


def test_paths_through_sixty_doublings_are_counted_at_once() -> None:
    y = x = Value(1.0)
    for _ in range(60):
        y = y + y
    assert graph.count_paths(y, x) == 2**60


@given(st.integers(0, 10**6))
def test_dependents_are_the_nodes_that_reach_a_source(seed: int) -> None:
    made = random_graph(seed, 12)
    root, source = made[-1], made[0]
    order = graph.topological(root)
    assert graph.dependents(order, source) == [n for n in order if n is not source and source in descendants(n)]


def test_shared_tuples_are_walked_once() -> None:
    """A layer's neurons share their inputs; its cost is that of its edges, not of its edges' paths."""
    model = MLP(3, [5, 5, 1], rng=0)
    out = model([Value(0.1), Value(0.2), Value(0.3)])
    order = graph.topological(out)
    assert len(order) == len(set(order)) == 11
    assert set(order) == {node for node in descendants(out) if node.op is not None}


def test_an_interrupted_walk_leaves_nothing_to_undo() -> None:
    x = Value(2.0)
    y = x * x
    for node in graph.topological(y):
        assert node is y
        (y * y).backward()
        break
    assert graph.topological(y) == [y]


def test_threads_that_walk_one_graph_each_see_a_node_once() -> None:
    y = Value(1.0)
    for _ in range(100):
        y = y * 0.5 + y * 0.4 + y * 0.1
    order = graph.topological(y)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            walks = list(threads.map(graph.topological, [y] * 100))
    finally:
        sys.setswitchinterval(interval)
    assert len(order) == len(set(order)) == 500
    assert all(walk == order for walk in walks)


def test_operand_nodes_leave_numbers_out() -> None:
    x = Value(2.0)
    assert graph.operand_nodes(x * 3.0) == [x]
    assert graph.operand_nodes(x * x) == [x, x]
    assert graph.operand_nodes(x) == []


@pytest.mark.parametrize("walk", [graph.topological, graph.nodes, graph.leaves])
def test_walks_do_not_change_what_they_see(walk) -> None:  # type: ignore[no-untyped-def]
    x = Value(2.0, label="x")
    y = (x * x).tanh()
    before = repr(y), repr(x), y.operands
    walk(y)
    assert (repr(y), repr(x), y.operands) == before
