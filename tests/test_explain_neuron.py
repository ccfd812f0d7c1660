"""A neuron's weights and bias: Σ x·δ and Σ δ, and what the loss is without them."""

from fractions import Fraction

import pytest
from explain_cases import exact_cases, snapshot
from hypothesis import given

from micrograd_like import MLP, Neuron, Value, mean, mse_loss, tanh
from micrograd_like.explain import explain_neuron


@given(exact_cases())
def test_a_weights_gradient_is_the_sum_of_its_inputs_times_delta_and_the_biass_of_delta(case):
    loss = case.loss()
    before = snapshot(loss)
    reports = [explain_neuron(loss, n) for layer in case.model.layers for n in layer.neurons]
    assert snapshot(loss) == before
    names = dict(case.model.named_parameters())
    loss.backward()
    for report in reports:
        assert len(report.deltas) == len(case.samples)
        assert report.bias.gradient == sum(report.deltas) == names[report.bias.name].grad
        for weight in report.weights:
            products = [x * delta for x, delta in zip(weight.inputs, report.deltas, strict=True)]
            assert weight.gradient == sum(products) == names[weight.name].grad
        for connection in (*report.weights, report.bias):
            cut = case.loss_at({connection.name: -names[connection.name].data}) - loss.data
            assert connection.without == cut


def test_a_sum_recorded_as_products_gives_the_same_numbers():
    neuron = Neuron(2, activation="tanh", rng=3)
    batch = [[1.0, 2.0], [3.0, -4.0]]
    fused = explain_neuron(mean([neuron(x) for x in batch]), neuron)
    unfused = explain_neuron(mean([tanh(neuron.b + neuron.w[0] * x[0] + neuron.w[1] * x[1]) for x in batch]), neuron)
    for weight, inputs in zip(unfused.weights, ([1.0, 3.0], [2.0, -4.0]), strict=True):
        assert sorted(weight.inputs) == sorted(inputs)
    for a, b in zip(unfused.weights, fused.weights, strict=True):
        products = sorted(x * delta for x, delta in zip(b.inputs, fused.deltas, strict=True))
        assert sorted(x * delta for x, delta in zip(a.inputs, unfused.deltas, strict=True)) == pytest.approx(products)
    assert [w.without for w in unfused.weights] == pytest.approx([w.without for w in fused.weights])


def test_a_neuron_that_is_off_still_shows_its_inputs():
    neuron = Neuron(1, rng=1)
    neuron.w[0].data, neuron.b.data = Fraction(1), Fraction(-5)
    report = explain_neuron(neuron([2]) * 3, neuron)
    assert (report.deltas, report.weights[0].inputs, report.weights[0].gradient) == ((0,), (2,), 0)


def test_connections_are_ranked_by_what_they_do_to_the_loss():
    model = MLP(3, [2, 1], activation="tanh", rng=5)
    loss = mean([mse_loss(model([0.1 * k, -0.3, 1.0 - k]), 1.0) for k in range(4)])
    report = explain_neuron(loss, model.layers[0].neurons[0])
    sizes = [abs(connection.without) for connection in report.by_strength]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 0
    assert report.by_strength[0].name in report.title
    assert "The neuron was used 4 times" in str(report)
    single = explain_neuron(mse_loss(model([1.0, 2.0, 3.0]), 0.0), model.layers[0].neurons[0])
    assert "the bias's gradient is δ, a weight's is its input times δ" in str(single)


def test_what_is_no_neuron_of_the_loss_is_named():
    neuron, other = Neuron(1, rng=1), Neuron(1, rng=2)
    with pytest.raises(ValueError, match=r"no path: the loss does not depend on w\[0\], b"):
        explain_neuron(other([1.0]), neuron)
    with pytest.raises(TypeError, match="expected a neuron with weights w and a bias b, got float"):
        explain_neuron(other([1.0]), 3.0)
    neuron.w = [Value(1.0)]
    with pytest.raises(
        ValueError, match=r"expected w\[0\] as a weight, which is multiplied with an input; it is used by"
    ):
        explain_neuron(neuron.w[0] + neuron.b, neuron)
