"""Ten lines each: a layer, a loss and an operation, held to their gradients."""

from hypothesis import given
from hypothesis import strategies as st
from mine import Residual, huber_loss, swish

from micrograd_like import Value
from micrograd_like.testing import away_from_kinks, expressions, gradcheck, values


@given(st.lists(values(), min_size=1, max_size=3), st.integers(0, 99))
def test_my_layer(x, seed):
    assert gradcheck(lambda layer, x: layer(x), [Residual(len(x), rng=seed), x])


@given(values(labels="prediction"), st.floats(-5, 5))
def test_my_loss(prediction, target):
    assert gradcheck(huber_loss, [prediction, target])


@given(away_from_kinks(0.25), st.floats(-5, 5))
def test_my_loss_is_smooth_away_from_its_kinks(error, target):
    prediction = Value(target + error)
    if abs(abs(prediction.data - target) - 1.0) > 0.125:
        assert gradcheck(huber_loss, [prediction, target], order=2, strict=True)


@given(values(labels="x"))
def test_my_operation(x):
    assert gradcheck(lambda x: swish(x * 2.0), [x], order=2)


@given(expressions(operations=[swish], max_nodes=4))
def test_my_operation_among_others(program):
    assert gradcheck(program, program.values)
