"""A recorded graph evaluated and differentiated again, on the side."""

from fractions import Fraction

import pytest
from explain_cases import exact_cases, float_cases
from hypothesis import assume, given

from micrograd_like import MLP, Value, mse_loss, ops
from micrograd_like.explain.replay import Backward, Curvature, Replay, describe, local_derivatives
from micrograd_like.graph import nodes


@given(float_cases())
def test_evaluating_again_with_one_other_parameter_is_bit_equal_to_running_the_program_again(case):
    loss = case.loss()
    replay = Replay(loss)
    for name, parameter in case.model.named_parameters():
        if parameter in replay.slots:
            again = replay.root_moved(replay.slots[parameter], parameter.data + 0.25)
            assert repr(again) == repr(case.loss_at({name: 0.25}))
    assert replay._scratch == replay.base


@given(float_cases())
def test_the_gradient_is_bit_equal_to_the_engines(case):
    loss = case.loss()
    replay = Replay(loss)
    parameters = [p for p in case.model.parameters() if p in replay.slots]
    adjoints = Backward(replay, [replay.slots[p] for p in parameters])(replay.base)
    loss.backward()
    assert [float(adjoints[replay.slots[p]]).hex() for p in parameters] == [float(p.grad).hex() for p in parameters]


def curvatures(loss, parameters):
    replay = Replay(loss)
    slots = [replay.slots[p] for p in parameters]
    backward = Backward(replay, slots)
    curvature = Curvature(replay, backward, backward(replay.base))
    return [curvature.along({slot: 1}) for slot in slots]


@given(float_cases(activations=("tanh", "sigmoid", "softplus", "sin")))
def test_curvature_is_the_finite_difference_of_the_gradient(case):
    h = 1e-5
    parameters = dict(case.model.named_parameters())
    for name, curvature in zip(parameters, curvatures(case.loss(), parameters.values()), strict=True):
        slope = (case.gradient_at({name: h}, name) - case.gradient_at({name: -h}, name)) / (2 * h)
        assert curvature == pytest.approx(slope, rel=1e-5, abs=1e-6)


@given(exact_cases())
def test_curvature_of_fractions_is_exact(case):
    loss = case.loss()
    assume(all(s != 0 for node in nodes(loss) if node.op and node.op.switches for s in switches(node)))
    h = Fraction(1, 10**40)
    for name, parameter in case.model.named_parameters():
        if parameter in nodes(loss):
            # A single weight enters a mean of squares as a quadratic: its difference quotient is exact.
            slope = (case.gradient_at({name: h}, name) - case.gradient_at({name: -h}, name)) / (2 * h)
            assert curvatures(loss, [parameter]) == [slope]


def switches(node):
    return node.op.switches(*[x.data if isinstance(x, Value) else x for x in node.operands])


@pytest.mark.parametrize("op", [op for op in ops.TABLE.values() if op.arity in (1, 2)], ids=lambda op: op.name)
def test_every_row_has_the_curvature_that_mpmath_finds(op):
    import mpmath

    with mpmath.workdps(50):
        start = [mpmath.mpf("0.7"), mpmath.mpf("1.3")][: op.arity]
        for i in range(op.arity):
            leaves = [Value(x) for x in start]
            exact = mpmath.diff(lambda x, i=i: op.function(*[*start[:i], x, *start[i + 1 :]]), start[i], 2)
            assert mpmath.almosteq(curvatures(op(*leaves) * 1, [leaves[i]])[0], exact, abs_eps=mpmath.mpf(10) ** -18)


def test_curvature_sees_a_parameter_that_meets_itself():
    w = Value(Fraction(3))
    # weights w, w²; inputs w³, w; bias w: w⁴ + w³ + w, with the second derivative 12 w² + 6 w
    assert curvatures(ops.dot(w, w * w, w, w * w * w, w) * 1, [w]) == [12 * 9 + 6 * 3]


def test_curvature_of_an_open_neuron_after_a_closed_one_of_the_same_kind() -> None:
    """What is recorded of one neuron's second derivatives holds for those on the same piece only."""
    w = Value(Fraction(3))
    for neurons in ([ops.relu_dot(w, -99, w), ops.relu_dot(w, 1, w)], [ops.relu_dot(w, 1, w), ops.relu_dot(w, -99, w)]):
        assert curvatures(ops.sum(*neurons), [w]) == [2]


def test_curvature_of_powers_on_both_sides_of_an_exponent_of_zero() -> None:
    w = Value(Fraction(3))
    for powers in ([w**0, w**2], [w**2, w**0]):
        assert curvatures(ops.sum(*powers), [w]) == [2]


def test_curvature_of_a_neuron_used_twice_in_a_row():
    w = Value(Fraction(1, 2))
    inner = ops.relu_dot(w, Fraction(1), Fraction(3))  # 3w + 1
    outer = ops.relu_dot(w, Fraction(2), inner)  # w (3w + 1) + 2
    assert curvatures(outer * 1, [w]) == [6]


def test_local_derivatives_say_zero_where_no_gradient_flows():
    condition, x = Value(1.0), Value(2.0)
    loss = ops.where(condition, x, 5.0)
    replay = Replay(loss)
    assert local_derivatives(replay, replay.slots[loss]) == [0, 1.0, 0]


def test_a_graph_whose_parameters_have_moved_is_an_error_that_names_the_node():
    model = MLP(2, [2, 1], rng=1)
    loss = mse_loss(model([1.0, 2.0]), 1.0)
    model.layers[1].neurons[0].b.data += 1.0
    with pytest.raises(ValueError, match=r"out of date: layers\[1\].neurons\[0\] was recorded as"):
        Replay(loss)


def test_a_nan_that_stays_nan_is_not_out_of_date():
    x = Value(-1.0)
    assert Replay(x.log() * 0.0).base[0] == -1.0


def test_dependents_are_found_afresh_for_other_sources():
    x, y = Value(1.0), Value(2.0)
    product = x * y
    replay = Replay(product + x)
    steps = [replay.dependents(replay.slots[source]) for source in (x, y, product, y)]
    assert [len(found) for found in steps] == [2, 2, 1, 2]
    assert replay.dependents(replay.slots[x], replay.slots[product]) == steps[2]


def test_nodes_are_described_by_label_or_by_what_computed_them():
    assert describe(None) == "a constant"
    assert describe(Value(1.0)) == "an unlabelled leaf"
    assert describe(Value(1.0, label="w")) == "w"
    assert describe(Value(1.0).exp()) == "e to the power x"


def test_what_is_switched_off_or_has_no_gradient_passes_nothing_on():
    """As in the engine: a picked operand's index has none, and 0 times the infinite slope of log(0) is not met."""
    index, x = Value(1.0), Value(0.0)
    loss = ops.gather(index * 1.0, x.log(), x + 2.0) + ops.where(x, x.log(), 3.0)
    replay = Replay(loss)
    slots = [replay.slots[index], replay.slots[x]]
    adjoints = Backward(replay, slots)(replay.base)
    assert [adjoints[slot] for slot in slots] == [0, 1.0]
