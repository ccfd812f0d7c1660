"""The loss over one parameter and over two."""

from fractions import Fraction

import pytest
from explain_cases import exact_cases, snapshot
from hypothesis import given

from micrograd_like import MLP, Value, mse_loss
from micrograd_like.explain import loss_contour, loss_slice


@given(exact_cases())
def test_every_point_of_a_slice_is_the_loss_that_the_program_gives(case):
    loss = case.loss()
    before = snapshot(loss)
    name, parameter = next(case.model.named_parameters())
    curve = loss_slice(loss, name, Fraction(2), lr=Fraction(1, 4), points=5)
    assert snapshot(loss) == before
    for x, y in curve.points:
        assert y == case.loss_at({name: x - parameter.data})
    assert [x for x, _ in curve.points] == sorted({*(parameter.data + k for k in range(-2, 3)), *curve.kinks})
    assert curve.gradient == case.gradient_at({}, name)
    assert curve.alone == case.loss_at({name: curve.step}) - loss.data
    assert curve.predicted == -(curve.gradient**2) / 4
    for kink in curve.kinks:  # the slope differs on its two sides, or a switch touches zero there
        assert parameter.data - 2 < kink < parameter.data + 2


def test_the_kinks_of_a_slice_are_exact_for_fractions():
    w = Value(Fraction(0), label="w")
    loss = (w * 3 - 1).relu() + abs(w + Fraction(1, 7))
    assert loss_slice(loss, w, 1).kinks == (Fraction(-1, 7), Fraction(1, 3))


def test_tangent_and_parabola_touch_the_curve():
    w = Value(0.5, label="w")
    curve = loss_slice(w.exp(), w, 0.01)
    for x, y in curve.points:
        assert curve.parabola(x) == pytest.approx(y, abs=1e-6)
        assert curve.tangent(x) == pytest.approx(y, abs=1e-4)
    assert curve.title == "At w = 0.5 the loss has the slope +1.649 and the curvature +1.649"
    assert "0 kinks" in str(curve)


def test_the_sentence_tells_prediction_and_truth():
    w = Value(1.0, label="w")
    loss = w * w
    assert loss_slice(loss, w, 1.0, lr=0.25).title == "w alone would lower the loss by 0.75; the gradient predicted 1"
    assert loss_slice(loss, w, 1.0, lr=2.0).title == "w alone would raise the loss by 8; the gradient predicted 8"
    assert "would change the loss by 0" in loss_slice(loss, w, 1.0, lr=1.0).title
    assert len(loss_slice(loss, w, 1.0).text(rows=None).splitlines()) > 101


def test_a_slice_reaches_as_far_as_the_parameter_is_large_and_beyond_its_step():
    def ends(w, **options):
        points = loss_slice(w * w, w, **options).points
        return points[0][0], points[-1][0]

    assert ends(Value(0.25, label="w")) == (-0.75, 1.25)
    assert ends(Value(-3.0, label="w")) == (-6.0, 0.0)
    assert ends(Value(1.0, label="w"), lr=2.0) == (-5.0, 7.0)
    assert ends(Value(Fraction(1, 2), label="w")) == (Fraction(-1, 2), Fraction(3, 2))


def test_a_parameter_without_a_path_is_flat():
    curve = loss_slice(Value(1.0) * 2.0, Value(5.0, label="stranger"), 1.0, lr=0.1)
    assert (curve.gradient, curve.alone, curve.predicted, curve.has_path) == (0, 0, 0, False)
    assert curve.points == ((4.0, 2.0), (6.0, 2.0))
    assert curve.title == "no path: the loss does not depend on stranger"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"span": 0.0}, ValueError, "expected span as a finite number above 0"),
        ({"span": -1.0}, ValueError, "expected span as a finite number above 0"),
        ({"span": "1"}, TypeError, "expected span as a number above 0"),
        ({"span": 1.0, "lr": -1.0}, ValueError, "expected lr as a finite number above 0"),
        ({"span": 1.0, "points": 2}, ValueError, "expected points as a whole number of at least 3"),
    ],
)
def test_bad_slices_are_named(options, error, message):
    w = Value(1.0, label="w")
    with pytest.raises(error, match=message):
        loss_slice(w * w, w, **options)


def test_a_slope_that_is_not_finite_is_named():
    w = Value(0.0, label="w")
    with pytest.raises(ValueError, match="the gradient of w is inf"):
        loss_slice(w.sqrt(), w, 1.0)


def test_a_contour_is_the_loss_over_a_square_with_the_way_of_gradient_descent():
    model = MLP(2, [2, 1], activation="tanh", rng=3)
    first, second = model.layers[0].neurons[0].w
    loss = mse_loss(model([0.7, -0.4]), 1.0)
    before = snapshot(loss)
    square = loss_contour(loss, first, second, span=0.5, lr=0.3, steps=4, points=3)
    assert snapshot(loss) == before
    start = first.data, second.data
    for y, row in zip(square.ys, square.losses, strict=True):
        for x, z in zip(square.xs, row, strict=True):
            first.data, second.data = x, y
            assert mse_loss(model([0.7, -0.4]), 1.0).data == z
    first.data, second.data = start
    for x, y, z in square.path:
        assert (x, y) == (first.data, second.data)
        again = mse_loss(model([0.7, -0.4]), 1.0)
        assert again.data == z
        model.zero_grad()
        again.backward()
        first.data -= 0.3 * first.grad
        second.data -= 0.3 * second.grad
    assert len(square.path) == 5
    assert square.title.startswith("4 steps on layers[0].neurons[0].w[0] and layers[0].neurons[0].w[1] lead from")


def test_a_path_that_bounces_out_of_the_numbers_ends_there():
    v, w = Value(1.0, label="v"), Value(1.0, label="w")
    square = loss_contour((v * v + w * w) ** 2.0, v, w, span=1.0, lr=10.0, steps=50, points=2)
    assert 1 < len(square.path) < 50
    assert square.rising == len(square.path) - 1
    assert str(square).splitlines()[4].split() == ["0", "1", "1", "4"]


def test_a_contour_without_steps_says_where_it_is():
    v, w = Value(1.0, label="v"), Value(2.0, label="w")
    square = loss_contour(v * w, "v", "w", span=1.0, points=2)
    assert square.losses == ((0.0, 2.0), (0.0, 6.0))
    assert square.title == "The loss over v and w; here it is 2"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"second": "v"}, "expected two different parameters, got v twice"),
        ({"second": Value(1.0, label="stranger")}, "no path: the loss does not depend on stranger"),
        ({"span": 0}, "expected span"),
        ({"points": 1}, "expected points"),
        ({"steps": 0}, "expected steps"),
        ({"lr": 0}, "expected lr"),
    ],
)
def test_bad_contours_are_named(options, message):
    v, w = Value(1.0, label="v"), Value(2.0, label="w")
    with pytest.raises(ValueError, match=message):
        loss_contour(v * w, **{"first": "v", "second": "w", "span": 1.0, **options})
