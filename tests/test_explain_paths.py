"""Why a gradient is what it is: paths listed, counted and summed."""

import itertools
from fractions import Fraction

import pytest
from explain_cases import exact_cases, float_cases, snapshot
from hypothesis import assume, given

from micrograd_like import Value, ops
from micrograd_like.explain import paths
from micrograd_like.graph import count_paths, nodes


def by_brute_force(node, source, product=Fraction(1)):
    """Every path's product, by walking back from the loss without any cleverness."""
    if node is source:
        return [product]
    found = []
    if node.op is not None:
        operands = node.operands
        numbers = [x.data if isinstance(x, Value) else x for x in operands]
        for operand, local in zip(operands, node.op.vjp(Fraction(1), node.data, *numbers), strict=True):
            if isinstance(operand, Value):
                found += by_brute_force(operand, source, product * (local or 0))
    return found


@given(exact_cases())
def test_the_products_of_all_paths_add_up_exactly_to_the_gradient(case):
    loss = case.loss()
    before = snapshot(loss)
    answers = {p: paths(loss, p) for p in case.model.parameters()}
    assume(all(answer.count < 300 for answer in answers.values()))
    products = {p: [path.product for path in answer] for p, answer in answers.items()}
    assert snapshot(loss) == before
    for parameter, answer in answers.items():
        assert sorted(products[parameter]) == sorted(by_brute_force(loss, parameter))
        assert answer.count == len(products[parameter]) == count_paths(loss, parameter)
        sizes = [abs(product) for product in products[parameter]]
        assert sizes == sorted(sizes, reverse=True)
        assert answer.total_size == sum(sizes)
    loss.backward()
    for parameter, answer in answers.items():
        assert sum(products[parameter]) == answer.gradient == parameter.grad


@given(float_cases())
def test_paths_of_floats_add_up_to_the_gradient_within_rounding(case):
    loss = case.loss()
    answers = {p: paths(loss, p) for p in case.model.parameters()}
    loss.backward()
    for parameter, answer in answers.items():
        slack = 1e-12 * max(1.0, float(answer.total_size))
        assert answer.gradient == pytest.approx(parameter.grad, abs=slack)
        found = answer.largest(200)
        sizes = [abs(path.product) for path in found]
        assert all(a >= b * (1 - 1e-12) for a, b in itertools.pairwise(sizes))
        if answer.count <= 200:
            assert sum(path.product for path in found) == pytest.approx(parameter.grad, abs=slack)


def test_the_edges_of_a_path_lead_from_the_parameter_to_the_loss():
    x = Value(Fraction(3), label="x")
    loss = (x * x).relu() + x * 5
    for path in paths(loss, x):
        assert path.edges[0].source is x
        assert path.edges[-1].target is loss
        product = 1
        for edge, following in zip(path.edges, [*path.edges[1:], None], strict=True):
            assert following is None or edge.target is following.source
            product *= edge.derivative
        assert product == path.product


def test_more_paths_than_atoms_are_counted_and_the_largest_come_at_once():
    x = Value(0.5, label="x")
    y = x
    for k in range(200):
        y = y * 0.1 + y * (0.9 - k / 1000)
    answer = paths(y, x)
    assert answer.count == 2**200
    first = answer.largest(3)
    best = 1.0
    for k in range(200):
        best *= 0.9 - k / 1000
    assert first[0].product == pytest.approx(best)
    assert first[1].product == pytest.approx(best * 0.1 / (0.9 - 199 / 1000))
    assert [len(path.edges) for path in first] == [400] * 3
    assert "paths lead from x to the loss" in str(answer)
    assert "… 395 more …" in str(answer)


def test_equal_paths_do_not_race_each_other():
    x = Value(1.0)
    y = x
    for _ in range(100):
        y = y * 0.1 + y * 0.1
    assert [path.product for path in paths(y, x).largest(2)] == [pytest.approx(1e-100)] * 2


def test_paths_through_zero_come_last():
    x = Value(-2.0, label="x")
    answer = paths(x.relu() + x * 2.0 + x.relu() * 3.0, x)
    assert [path.product for path in answer] == [2.0, 0.0, 0.0]
    assert answer.gradient == 2.0


def test_a_condition_is_a_path_that_carries_nothing():
    c = Value(1.0)
    answer = paths(ops.where(c, c * 2.0, 3.0), c)
    assert (answer.count, [path.product for path in answer]) == (2, [2.0, 0])


def test_no_path_says_so():
    answer = paths(Value(1.0) * 2.0, Value(3.0, label="stranger"))
    assert (answer.count, answer.gradient, list(answer)) == (0, 0, [])
    assert answer.title == "no path: the loss does not depend on stranger, so its gradient is 0"
    assert "Shown" not in str(answer)


def test_the_loss_itself_is_one_path_without_edges():
    loss = Value(2.0, label="x") * 3.0
    answer = paths(loss, loss)
    assert [(path.edges, path.product) for path in answer] == [((), 1.0)]
    assert answer.title.startswith("1 path leads")
    assert "is the loss itself" in str(answer)


def test_any_node_may_be_asked_about_by_its_label():
    x = Value(2.0, label="x")
    hidden = x * x
    hidden.label = "hidden"
    assert paths(hidden * 3.0, "hidden").gradient == 3.0


@pytest.mark.parametrize(
    ("parameter", "error", "message"),
    [
        ("z", ValueError, "got 'z', which no nodes have; there are twin, x, y, …"),
        ("twin", ValueError, "got 'twin', which 2 nodes have"),
        (3.0, TypeError, "expected a parameter as a Value or a label, got float"),
        (Value(1.0) * 2.0, ValueError, "was computed in another graph"),
    ],
)
def test_what_is_not_in_the_graph_is_named(parameter, error, message):
    x, y = Value(1.0, label="x"), Value(2.0, label="y")
    twins = Value(1.0, label="twin") * Value(1.0, label="twin")
    with pytest.raises(error, match=message):
        paths(x * y + twins, parameter)


def test_an_infinite_derivative_is_named():
    x = Value(0.0, label="x")
    with pytest.raises(ValueError, match="the derivative of square root with respect to x is inf"):
        paths(x.sqrt(), x)


def test_the_graph_is_not_walked_deeper_than_the_stack():
    x = Value(1.0)
    y = x
    for _ in range(30_000):
        y = y + 1.0
    (path,) = paths(y, x)
    assert len(path.edges) == 30_000
    assert len(nodes(y)) == 30_001


def test_the_note_says_which_part_of_the_sum_of_sizes_is_shown():
    x = Value(1.0, label="x")
    answer = paths(x * 3.0 - x * 1.0, x)
    assert answer.text(rows=1).splitlines()[-1] == "Shown: 1 of 2 paths, with 75.0% of the sum of sizes Σ|product|."
    assert answer.text().splitlines()[-1] == "Shown: 2 of 2 paths, with 100.0% of the sum of sizes Σ|product|."


@pytest.mark.parametrize(("count", "left_out"), [(5, 0), (6, 0), (7, 2), (20, 15)])
def test_a_long_path_is_written_with_its_first_and_last_steps(count, left_out):
    w = Value(0.5, label="w")
    node = w
    for _ in range(count):
        node = node * 1.5
    text = str(next(iter(paths(node, w))))
    assert text.count("→") == (count if not left_out else count - left_out)
    assert ("… " in text) == bool(left_out)
    if left_out:
        assert f"… {left_out} more …" in text
