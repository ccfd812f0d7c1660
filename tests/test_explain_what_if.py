"""What if some numbers were others: against running the program again."""

from fractions import Fraction

import pytest
from explain_cases import exact_cases, float_cases, snapshot
from hypothesis import given
from hypothesis import strategies as st

from micrograd_like import MLP, Value, mse_loss
from micrograd_like.explain import what_if
from micrograd_like.graph import nodes


@given(st.one_of(exact_cases(), float_cases()), st.data())
def test_the_answer_is_the_loss_that_the_program_gives_with_those_numbers(case, data):
    loss = case.loss()
    before = snapshot(loss)
    names = [name for name, p in case.model.named_parameters() if p in nodes(loss)]
    chosen = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
    parameters = dict(case.model.named_parameters())
    values = {name: parameters[name].data + Fraction(1, 2) for name in chosen}
    answer = what_if(loss, values)
    assert snapshot(loss) == before
    assert answer.before == loss.data
    assert answer.after == case.loss_at({name: Fraction(1, 2) for name in chosen})
    again = nodes(with_parameters(case, values))
    changed = [(a.data, b.data) for a, b in zip(nodes(loss), again, strict=True) if a.data != b.data]
    computed = [change for change in answer.changed if change.node.op is not None]
    assert sorted((c.before, c.after) for c in computed) == sorted(changed)
    assert {change.name: change.after for change in answer.changed if change.node.op is None} == values


def with_parameters(case, values):
    parameters = dict(case.model.named_parameters())
    before = {name: parameters[name].data for name in values}
    for name, value in values.items():
        parameters[name].data = value
    loss = case.loss()
    for name, data in before.items():
        parameters[name].data = data
    return loss


def test_an_inner_node_that_is_set_no_longer_depends_on_its_operands():
    model = MLP(2, [3, 1], rng=4)
    loss = mse_loss(model([0.5, -1.0]), 1.0)
    without = what_if(loss, {"layers[0].neurons[1]": 0.0, "layers[0].neurons[1].b": 9.0})
    hidden = [n([0.5, -1.0]).data for n in model.layers[0].neurons]
    hidden[1] = 0.0
    last = model.layers[1].neurons[0]
    output = last.b.data + sum(w.data * h for w, h in zip(last.w, hidden, strict=True))
    assert without.after == pytest.approx((output - 1.0) ** 2)


def test_the_table_shows_old_beside_new():
    w, b = Value(2.0, label="w"), Value(1.0, label="b")
    answer = what_if(w * 3.0 + b, {w: -1.0})
    assert answer.title == "The loss would fall from 7 to -2: -9"
    assert [line.split() for line in str(answer).splitlines()[4:7]] == [
        ["w", "2", "-1", "-3"],
        ["*", "6", "-3", "-9"],
        ["+", "7", "-2", "-9"],
    ]
    assert what_if(w * 3.0, {w: 3.0}).title == "The loss would rise from 6 to 9: +3"
    assert what_if(w * 3.0, {w: 2.0}).title == "The loss would stay 6"
    assert what_if(w * 3.0, {w: 1.9}).title == "The loss would fall from 6 to 5.7: -0.3"
    assert what_if(w * 3.0, {w: 2.1}).title == "The loss would rise from 6 to 6.3: +0.3"


def test_a_parameter_without_a_path_says_so():
    stranger = Value(1.0, label="stranger")
    answer = what_if(Value(2.0) * 2.0, {stranger: 5.0})
    assert answer.change == 0
    assert "stranger: no path, the loss does not depend on it" in str(answer)


def test_a_node_set_by_its_value_and_by_its_label_is_named():
    w = Value(1.0, label="w")
    with pytest.raises(ValueError, match="expected one number for w, got two"):
        what_if(w * 2.0, {w: 2.0, "w": 3.0})


def test_many_changed_nodes_are_cut_short():
    x = Value(0.0, label="x")
    y = x
    for _ in range(30):
        y = y + 1.0
    assert "… and 21 more nodes that change" in str(what_if(y, {x: 1.0}))


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (3, TypeError, "expected values as a mapping from Values or labels to numbers, got int: 3"),
        ([("w", 1.0)], TypeError, "expected values as a mapping from Values or labels to numbers, got list"),
        ({}, ValueError, "at least one node to set"),
        ({"w": float("nan")}, ValueError, "expected a finite number for w, got nan"),
        ({"w": "1"}, TypeError, "expected a real number"),
        ({"v": 1.0}, ValueError, "got 'v', which no nodes have; there are w"),
        ({1: 1.0}, TypeError, "expected a parameter as a Value or a label, got int"),
    ],
)
def test_bad_input_is_named(values, error, message):
    with pytest.raises(error, match=message):
        what_if(Value(1.0, label="w") * 2.0, values)
