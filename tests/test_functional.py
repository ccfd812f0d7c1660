"""The composed functions and losses, against the formulas of the textbooks on fractions and at 50 digits."""

import math
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import micrograd_like as mg
from micrograd_like import Value, gradient

fractions = st.fractions(-20, 20, max_denominator=50)
logits = st.lists(st.floats(-30, 30), min_size=1, max_size=6)


def at_fifty_digits(f: Any, xs: list[float]) -> list[Any]:
    """Every first derivative of a function of a list, at 50 digits."""
    exact = [mpmath.mpf(x) for x in xs]
    return [
        mpmath.diff(lambda t, i=i: f([*exact[:i], t, *exact[i + 1 :]]), exact[i])  # type: ignore[misc]
        for i in range(len(xs))
    ]


def softmax(xs: list[Any]) -> list[Any]:
    return [mpmath.exp(x) / mpmath.fsum(map(mpmath.exp, xs)) for x in xs]


@given(st.lists(fractions, min_size=1, max_size=6))
def test_sums_means_and_extrema_are_exact(xs: list[Fraction]) -> None:
    values = [Value(x) for x in xs]
    assert mg.sum(values).data == mg.sum(*values).data == sum(xs)
    assert mg.max(values).data == mg.max(*values).data == max(xs)
    assert mg.min(values).data == mg.min(*values).data == min(xs)
    mean = mg.mean(values)
    assert mean.data == sum(xs) / len(xs)
    mean.backward()
    assert [v.grad for v in values] == [Fraction(1, len(xs))] * len(xs)


@given(st.lists(st.tuples(fractions, fractions), min_size=1, max_size=6), fractions)
def test_dot_is_exact(pairs: list[tuple[Fraction, Fraction]], bias: Fraction) -> None:
    weights, inputs = [Value(w) for w, _ in pairs], [x for _, x in pairs]
    assert mg.dot(weights, inputs).data == sum(w * x for w, x in pairs)
    out = mg.dot(weights, inputs, bias)
    assert out.data == sum(w * x for w, x in pairs) + bias
    out.backward()
    assert [w.grad for w in weights] == inputs


@given(st.lists(st.tuples(fractions, fractions), min_size=1, max_size=6))
def test_the_mean_squared_error_is_exact(pairs: list[tuple[Fraction, Fraction]]) -> None:
    values, n = [Value(p) for p, _ in pairs], len(pairs)
    loss = mg.mse_loss(values, [t for _, t in pairs])
    assert loss.data == sum((p - t) ** 2 for p, t in pairs) / n
    loss.backward()
    assert [v.grad for v in values] == [2 * (p - t) / n for p, t in pairs]


@given(st.lists(st.tuples(fractions, st.sampled_from([-1, 1])), min_size=1, max_size=6))
def test_the_hinge_loss_is_exact(pairs: list[tuple[Fraction, int]]) -> None:
    values, n = [Value(s) for s, _ in pairs], len(pairs)
    loss = mg.hinge_loss(values, [t for _, t in pairs])
    assert loss.data == sum(max(0, 1 - t * s) for s, t in pairs) / Fraction(n)
    loss.backward()
    assert [v.grad for v in values] == [Fraction(-t if t * s < 1 else 0, n) for s, t in pairs]


@given(logits)
def test_softmax_and_its_logarithm(xs: list[float]) -> None:
    values = [Value(x) for x in xs]
    with mpmath.workdps(50):
        for p, log_p, expected in zip(mg.softmax(values), mg.log_softmax(values), softmax(xs), strict=True):
            assert math.isclose(p.data, expected, rel_tol=1e-13)
            assert math.isclose(log_p.data, mpmath.log(expected), rel_tol=1e-13, abs_tol=1e-13)
        assert math.isclose(math.fsum(p.data for p in mg.softmax(values)), 1.0, rel_tol=1e-13)
        out = mg.logsumexp(values)
        assert math.isclose(out.data, mpmath.log(mpmath.fsum(map(mpmath.exp, xs))), rel_tol=1e-14, abs_tol=1e-14)
        for g, expected in zip(gradient(out, values), softmax(xs), strict=True):
            assert math.isclose(g.data, expected, rel_tol=1e-13)


@given(logits, st.data())
def test_cross_entropy(xs: list[float], data: st.DataObject) -> None:
    target = data.draw(st.integers(0, len(xs) - 1))
    values = [Value(x) for x in xs]
    loss = mg.cross_entropy(values, target)
    one_hot = mg.cross_entropy(values, [float(i == target) for i in range(len(xs))])
    with mpmath.workdps(50):
        expected = -mpmath.log(softmax(xs)[target])
        for each in (loss, one_hot):
            assert math.isclose(each.data, expected, rel_tol=1e-12, abs_tol=1e-13)
            for i, (g, p) in enumerate(zip(gradient(each, values), softmax(xs), strict=True)):
                assert math.isclose(g.data, p - (i == target), rel_tol=1e-9, abs_tol=1e-13)


@given(st.floats(-700, 700), st.sampled_from([0, 1, 0.0, 1.0, 0.25, 0.9]))
def test_binary_cross_entropy_with_logits(x: float, target: float) -> None:
    def oracle(xs: list[Any]) -> Any:
        p = 1 / (1 + mpmath.exp(-xs[0]))
        return -target * mpmath.log(p) - (1 - target) * mpmath.log(1 / (1 + mpmath.exp(xs[0])))

    value = Value(x)
    loss = mg.binary_cross_entropy_with_logits(value, target)
    with mpmath.workdps(400):
        assert math.isclose(loss.data, oracle([mpmath.mpf(x)]), rel_tol=1e-13, abs_tol=0 if target in (0, 1) else 1e-13)
        expected = 1 / (1 + mpmath.exp(-mpmath.mpf(x))) - target
        assert math.isclose(gradient(loss, value).data, expected, rel_tol=1e-12, abs_tol=1e-16)


def test_losses_take_one_number_or_sequences() -> None:
    x = Value(0.5)
    assert mg.mse_loss(x, 1.5).data == mg.mse_loss([x], [1.5]).data == 1.0
    assert mg.hinge_loss(x, 1).data == mg.hinge_loss([x], (1,)).data == 0.5
    one, several = mg.binary_cross_entropy_with_logits(x, 1), mg.binary_cross_entropy_with_logits([x, x], [1, 1])
    assert one.data == several.data


def test_extreme_logits_stay_finite_or_say_so() -> None:
    inf = math.inf
    assert [p.data for p in mg.softmax([Value(1000.0), Value(0.0)])] == [1.0, 0.0]
    assert mg.cross_entropy([Value(1000.0), Value(-1000.0)], 1).data == 2000.0
    assert mg.cross_entropy([Value(1000.0), Value(-1000.0)], 0).data == 0.0
    assert mg.logsumexp([Value(-inf), Value(-inf)]).data == -inf
    assert mg.binary_cross_entropy_with_logits(Value(-1e5), 1).data == 1e5
    assert [p.data for p in mg.softmax([Value(0.0), Value(-inf)])] == [1.0, 0.0]


def test_operands_of_minus_infinity_have_no_influence() -> None:
    """As in PyTorch: a masked logit has the gradient 0, also when all are masked."""
    masked, free = Value(-math.inf), Value(1.0)
    mg.logsumexp([masked, free]).backward()
    assert (masked.grad, free.grad) == (0.0, 1.0)
    for xs in ([Value(-math.inf)], [Value(-math.inf), Value(-math.inf)]):
        mg.logsumexp(xs).backward()
        assert [x.grad for x in xs] == [0.0] * len(xs)


def test_a_target_probability_of_zero_asks_nothing_of_its_logit() -> None:
    masked, free = Value(-math.inf), Value(1.0)
    loss = mg.cross_entropy([masked, free], [0, 1])
    loss.backward()
    assert (loss.data, masked.grad, free.grad) == (0.0, 0.0, 0.0)


def test_targets_can_be_values_too() -> None:
    p, t = Value(Fraction(1, 2)), Value(Fraction(3))
    mg.mse_loss(p, t).backward()
    assert (p.grad, t.grad) == (-5, 5)
    q = Value(0.25)
    mg.cross_entropy([Value(0.0), Value(0.0)], [q, 1 - q]).backward()
    assert q.grad == 0.0


@pytest.mark.parametrize("f", [mg.sum, mg.mean, mg.max, mg.min, mg.logsumexp, mg.softmax, mg.log_softmax])
def test_no_values_at_all_are_refused(f: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{f.__name__} needs at least one value, got none"):
        f([])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: mg.mse_loss([x], [1.0, 2.0]), "as many predictions as targets, and at least one; got 1 and 2"),
        (lambda x: mg.mse_loss([], []), "as many predictions as targets, and at least one; got 0 and 0"),
        (lambda x: mg.hinge_loss([x, x], 1), "as many scores as targets"),
        (lambda x: mg.hinge_loss(x, 0), "expected a target of -1 or 1, got 0"),
        (lambda x: mg.hinge_loss(x, Fraction(1, 2)), "expected a target of -1 or 1"),
        (lambda x: mg.hinge_loss(x, np.float32(2)), "expected a target of -1 or 1"),
        (lambda x: mg.binary_cross_entropy_with_logits(x, 2), "expected targets from 0 to 1, got 2"),
        (lambda x: mg.binary_cross_entropy_with_logits(x, math.nan), "expected targets from 0 to 1, got nan"),
        (lambda x: mg.binary_cross_entropy_with_logits(x, np.float32(-1)), "expected targets from 0 to 1"),
        (lambda x: mg.cross_entropy([x, x], 2), "expected a class from 0 to 1, got 2"),
        (lambda x: mg.cross_entropy([x, x], -1), "expected a class from 0 to 1, got -1"),
        (lambda x: mg.cross_entropy([x, x], [1.0]), "as many logits as target probabilities"),
        (lambda x: mg.cross_entropy([x, x], [2, -1]), "expected target probabilities from 0 to 1, got 2"),
        (lambda x: mg.cross_entropy([x, x], [0, 0]), "expected target probabilities that are not all 0"),
        (lambda x: mg.dot([x], [1.0, 2.0]), "expected 1 inputs, one for each weight, got 2"),
    ],
)
def test_bad_arguments_are_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(Value(0.5))


def test_a_class_is_a_whole_number() -> None:
    with pytest.raises(
        TypeError, match=r"expected the target as a class number or as a probability per class, got 1.5"
    ):
        mg.cross_entropy([Value(0.0), Value(1.0)], 1.5)
    assert mg.cross_entropy([Value(0.0), Value(1.0)], np.int64(1)).data < 1


@pytest.mark.parametrize("f", [mg.exp, mg.relu, mg.mean, mg.sum, mg.dot, mg.mse_loss, mg.hinge_loss])
def test_text_is_no_number(f: Any) -> None:
    with pytest.raises(TypeError, match="expected a real number"):
        f(*([["3"], [1.0]] if f in (mg.dot, mg.mse_loss, mg.hinge_loss) else ["3"]))


LARGE = st.lists(st.sampled_from([0.0, -0.5, -1.0, -2.0, -40.0, -1000.0]), min_size=2, max_size=5)


@given(LARGE, st.sampled_from([0.0, 1e15, -1e15, 1e12]), st.data())
def test_softmax_and_cross_entropy_of_large_logits_keep_all_digits(
    gaps: list[float], base: float, data: st.DataObject
) -> None:
    """Value, first and second derivatives, against 60 digits: what counts is the logits' differences."""
    xs = [Value(base + gap) for gap in gaps]
    k = data.draw(st.integers(0, len(xs) - 1))
    with mpmath.workdps(500):
        powers = [mpmath.exp(mpmath.mpf(x.data) - max(v.data for v in xs)) for x in xs]
        p = [power / mpmath.fsum(powers) for power in powers]
        mine = mg.softmax(xs)
        loss, normalizer = mg.cross_entropy(xs, k), mg.logsumexp(xs)
        assert near(loss.data, -mpmath.log(p[k]))
        assert all(near(a.data, b) for a, b in zip(mine, p, strict=True))
        for i, x in enumerate(xs):
            dk, dn, dp = gradient(loss, x), gradient(normalizer, x), gradient(mine[k], x)
            assert near(dk.data, p[i] - (i == k))
            assert near(dn.data, p[i])
            assert near(dp.data, p[k] * ((i == k) - p[i]))
            for j, y in enumerate(xs):
                second = p[i] * ((i == j) - p[j])
                assert near(gradient(dk, y).data, second)
                assert near(gradient(dn, y).data, second)


def near(x: float, expected: Any) -> bool:
    return bool(abs(x - expected) <= 1e-14 * max(abs(expected), 0.01))


def test_softmax_of_equal_huge_logits_is_uniform() -> None:
    assert [p.data for p in mg.softmax([Value(1e16), Value(1e16)])] == [0.5, 0.5]
    assert math.fsum(p.data for p in mg.softmax([Value(1e15), Value(1e15 - 0.5), Value(1e15 - 1)])) == 1.0


def test_binary_cross_entropy_at_infinite_logits_is_its_limit() -> None:
    for logit, target, expected in [(math.inf, 0.3, math.inf), (-math.inf, 0.3, math.inf), (math.inf, 1, 0.0)]:
        assert mg.binary_cross_entropy_with_logits(Value(logit), target).data == expected


@given(st.floats(-6, 6))
def test_activations_are_pytorchs(x: float) -> None:
    functional = pytest.importorskip("torch").nn.functional
    torch = pytest.importorskip("torch")
    for mine, theirs in [
        (mg.leaky_relu, functional.leaky_relu),
        (mg.silu, functional.silu),
        (mg.gelu, lambda t: functional.gelu(t, approximate="tanh")),
    ]:
        v, t = Value(x), torch.tensor(x, dtype=torch.float64, requires_grad=True)
        out, expected = mine(v), theirs(t)
        expected.backward()
        assert math.isclose(out.data, expected.item(), rel_tol=1e-12, abs_tol=1e-14)
        if x != 0 or mine is not mg.leaky_relu:
            assert math.isclose(gradient(out, v).data, t.grad.item(), rel_tol=1e-11, abs_tol=1e-13)
        assert mine(x) == out.data


def test_activations_keep_their_digits_far_below_zero() -> None:
    with mpmath.workdps(400):
        for x in (-5.0, -8.0, -20.0):
            z = mpmath.sqrt(2 / mpmath.pi) * (x + mpmath.mpf("0.044715") * mpmath.mpf(x) ** 3)
            exact = x * (1 + mpmath.tanh(z)) / 2
            assert abs(mg.gelu(x) - exact) <= 1e-12 * abs(exact)
            assert abs(mg.silu(x) - x / (1 + mpmath.exp(-x))) <= 1e-15 * abs(mg.silu(x))


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=4), st.sampled_from([0.5, 1.0, 3]))
def test_l1_and_huber_losses_are_pytorchs(pairs: list[tuple[float, float]], delta: float) -> None:
    torch = pytest.importorskip("torch")
    outputs, targets = zip(*pairs, strict=True)
    for mine, theirs in [
        (mg.l1_loss, torch.nn.functional.l1_loss),
        (lambda p, t: mg.huber_loss(p, t, delta), lambda p, t: torch.nn.functional.huber_loss(p, t, delta=delta)),
    ]:
        values = [Value(x) for x in outputs]
        tensor = torch.tensor(outputs, dtype=torch.float64, requires_grad=True)
        loss, expected = mine(values, targets), theirs(tensor, torch.tensor(targets, dtype=torch.float64))
        loss.backward()
        expected.backward()
        assert math.isclose(loss.data, expected.item(), rel_tol=1e-13, abs_tol=1e-13)
        for v, d in zip(values, tensor.grad.tolist(), strict=True):
            assert math.isclose(v.grad, d, rel_tol=1e-13, abs_tol=1e-13)


def test_huber_is_exact_on_fractions_and_asks_for_a_positive_delta() -> None:
    loss = mg.huber_loss([Value(Fraction(1, 3)), Value(Fraction(4))], [0, 1])
    assert loss.data == (Fraction(1, 18) + Fraction(5, 2)) / 2
    for delta in (0, -1.0, math.nan, None):
        with pytest.raises(ValueError, match="huber_loss: expected delta as a positive number"):
            mg.huber_loss(Value(1.0), 0.0, delta)


BEYOND = Fraction(10) ** 400


def test_numbers_beyond_the_range_of_floats_are_infinities_beside_floats() -> None:
    """The promise of IEEE 754, in every function that takes numbers of several kinds, forward and backward."""
    x, huge = Value(1.5), Value(BEYOND)
    for build, expected in [
        (lambda: mg.dot([huge], [1.5], 0.0), math.inf),
        (lambda: mg.dot([x], [huge], 0.0), math.inf),
        (lambda: mg.dot([x], [10**400], 0.0), math.inf),
        (lambda: mg.logsumexp([x, 10**400]), math.inf),
        (lambda: mg.sum(x, huge), math.inf),
        (lambda: mg.mean(x, BEYOND), math.inf),
        (lambda: mg.gather([x, huge], 1), BEYOND),
        (lambda: mg.gather([x, 10**400], 0), 1.5),
        (lambda: x - huge, -math.inf),
        (lambda: x * huge, math.inf),
        (lambda: huge * huge - x, math.inf),
        (lambda: x / huge, 0.0),
        (lambda: mg.mse_loss(x, BEYOND), math.inf),
        (lambda: mg.huber_loss(x, BEYOND), math.inf),
        (lambda: mg.l1_loss(x, 10**400), math.inf),
    ]:
        x.zero_grad()
        huge.zero_grad()
        out = build()
        assert out.data == expected
        out.backward()
        gradient(out, [x, huge])
    y = Value(2.0)
    (y * huge).backward()
    assert (y.grad, huge.grad) == (math.inf, 2.0) or y.grad == math.inf
