"""The loss along a straight line: exact pieces, cuts at switches, Gauss–Legendre, and what too many switches cost."""

from fractions import Fraction

import mpmath
import pytest
from explain_cases import exact_cases, float_cases, rates
from hypothesis import given, settings
from hypothesis import strategies as st

from micrograd_like import Value, ieee, mean, ops, tanh
from micrograd_like.explain.exact import NotPolynomialError, Polynomial, roots
from micrograd_like.explain.line import Line, gauss_legendre, shares
from micrograd_like.explain.replay import Replay

fractions = st.fractions(-4, 4, max_denominator=8)


def line_of(loss, delta):
    replay = Replay(loss)
    return Line(replay, {replay.slots[p]: d for p, d in delta.items()})


def shares_of(loss, delta, tolerance=1e-9, budget=4096):
    line = line_of(loss, delta)
    ends = line.look(0 * loss.data), line.look(0 * loss.data + 1)
    found = shares(line, ends[0].loss, ends[1].loss, tolerance, budget)
    return found, [found.by_slot[line.replay.slots[p]] for p in delta], ends[1].loss - ends[0].loss


def test_shares_of_a_product_are_what_the_integral_by_hand_says():
    v, w = Value(Fraction(2)), Value(Fraction(3))
    found, (of_v, of_w), change = shares_of(v * w, {v: Fraction(1, 2), w: Fraction(-1)})
    # ∫ w dv along the line is the mean of w times the step of v
    assert (of_v, of_w) == (Fraction(1, 2) * Fraction(5, 2), Fraction(-1) * Fraction(9, 4))
    assert found.method == "exact"
    assert of_v + of_w == change


def test_shares_are_cut_where_a_relu_switches():
    w, b = Value(Fraction(1)), Value(Fraction(-2))
    found, (of_w, of_b), change = shares_of(ops.relu(w + b), {w: Fraction(2), b: Fraction(1)})
    # w + b goes from -1 to 2: it counts on the last two thirds of the way
    assert (of_w, of_b, change) == (Fraction(4, 3), Fraction(2, 3), 2)
    assert found.cuts == [Fraction(1, 3)]


@settings(max_examples=25)
@given(exact_cases(hidden=1), rates)
def test_shares_of_fractions_are_the_integral_of_the_gradient_taken_by_finer_and_finer_sums(case, lr):
    loss = case.loss()
    loss.backward()
    parameters = dict(case.model.named_parameters())
    moves = {name: -lr * Fraction(p.grad) for name, p in parameters.items()}
    case.model.zero_grad()
    loss = case.loss()
    used = {p: moves[name] for name, p in parameters.items() if p in Replay(loss).slots}
    _found, exact, change = shares_of(loss, used)
    assert abs(change - sum(exact)) < Fraction(1, 2**90)
    steps = 32
    sums = dict.fromkeys(parameters, 0.0)
    for k in range(steps):  # the midpoint rule, by running the program again
        at = {name: move * Fraction(2 * k + 1, 2 * steps) for name, move in moves.items()}
        for name in parameters:
            sums[name] += float(case.gradient_at(at, name) * moves[name] / steps)
    jump = max(1.0, *(abs(float(x)) for x in exact), abs(float(change)))
    by_parameter = dict(zip(used, exact, strict=True))
    for name, parameter in parameters.items():
        assert sums[name] == pytest.approx(float(by_parameter.get(parameter, 0)), abs=40 * jump / steps)


def test_smooth_shares_agree_with_mpmath():
    data = [(0.5, -0.25, 1.0), (-1.5, 0.75, -1.0), (0.25, 2.0, 0.5)]
    start, step = (0.8, -0.4, 0.1, 1.2), (0.9, 0.7, -1.1, -0.6)

    def by_hand(u, v, b, a):
        return sum((a * mpmath.tanh(u * x + v * y + b) - t) ** 2 for x, y, t in data) / 3

    u, v, b, a = (Value(x) for x in start)
    loss = mean([(a * tanh(u * x + v * y + b) - t) ** 2.0 for x, y, t in data])
    _, found, _ = shares_of(loss, dict(zip((u, v, b, a), step, strict=True)))
    for i in range(4):
        order = tuple(int(i == j) for j in range(4))

        def rate(t, i=i, order=order):
            at = tuple(mpmath.mpf(s) + t * d for s, d in zip(start, step, strict=True))
            return mpmath.diff(by_hand, at, order) * step[i]

        with mpmath.workdps(20):
            assert found[i] == pytest.approx(float(mpmath.quad(rate, [0, 1])), abs=1e-12)


def test_fifty_digits_stay_fifty_digits():
    with mpmath.workdps(50):
        w = Value(mpmath.mpf("0.3"))
        _, (share,), change = shares_of(w.exp().sin(), {w: mpmath.mpf(1)}, tolerance=1e-45)
        exact = mpmath.sin(mpmath.exp(mpmath.mpf("1.3"))) - mpmath.sin(mpmath.exp(mpmath.mpf("0.3")))
        assert abs(share - exact) < mpmath.mpf(10) ** -44
        assert change == exact


@given(float_cases(), rates)
def test_shares_and_residual_are_the_exact_change_and_the_residual_is_small(case, lr):
    loss = case.loss()
    loss.backward()
    moves = {p: -float(lr) * p.grad for p in case.model.parameters() if p in Replay(loss).slots}
    found, exact, change = shares_of(loss, moves)
    scale = max(abs(change), sum(abs(x) for x in exact), abs(loss.data))
    assert found.method in ("Gauss-Legendre", "composite")
    assert abs(change - sum(exact)) <= 1e-7 * scale


def test_a_switch_there_and_back_between_the_ends_is_found():
    w = Value(0.0)
    loss = (0.09 - (w - 0.55) * (w - 0.55)).relu()  # on only near the middle of the way
    found, (share,), change = shares_of(loss, {w: 1.0})
    assert share == pytest.approx(change, abs=1e-9)
    assert found.cuts == pytest.approx([0.25, 0.85], abs=1e-9)


def test_too_many_switches_for_the_budget_are_summed_by_a_composite_rule():
    w = Value(0.0)
    loss = mean([(w - k / 40).relu() for k in range(40)])
    found, (share,), change = shares_of(loss, {w: 1.0}, budget=200)
    assert found.method == "composite"
    assert found.evaluations <= 201
    assert 0 < abs(change - share) < 1e-3


def test_a_jump_cannot_be_shared_and_stays_in_the_residual():
    w = Value(-1.0)
    found, (share,), change = shares_of(ops.where(w, w * 0.0 + 5.0, w * 0.0), {w: 2.0}, budget=100)
    assert (share, change) == (0, 5.0)
    assert found.method == "Gauss-Legendre"


def test_a_narrow_hump_halves_the_pieces_until_it_is_seen():
    w = Value(-1.0)
    loss = 1 / (1 + (w * 100.0) ** 2.0)
    _, (share,), change = shares_of(loss, {w: 1.75})
    assert share == pytest.approx(change, abs=1e-9)


def test_a_way_through_undefined_numbers_has_no_shares():
    w = Value(-1.0)
    _, (share,), _ = shares_of((w * w - 0.25).log(), {w: 2.0})
    assert share != share


def test_fractions_that_are_no_polynomial_are_integrated_as_floats():
    w = Value(Fraction(1))
    found, (share,), change = shares_of(1 / w + w.exp(), {w: Fraction(1)})
    assert found.method == "Gauss-Legendre"
    assert share == pytest.approx(float(change))


def test_kinks_are_found_on_and_between_the_points():
    w = Value(0.0)
    loss = abs(w) + (w - 0.3).relu() + w * w
    assert line_of(loss, {w: 1.0}).kinks([-1.0, -0.5, 0.0, 0.5, 1.0]) == pytest.approx([0.0, 0.3])
    w = Value(Fraction(0))
    loss = abs(w) + (w - Fraction(3, 10)).relu() + w * w
    assert line_of(loss, {w: Fraction(1)}).kinks([Fraction(-1), Fraction(1)]) == [0, Fraction(3, 10)]


def test_gauss_legendre_integrates_polynomials_up_to_degree_2n_minus_1():
    for n in (1, 2, 3, 8, 64):
        rule = gauss_legendre(n, 1.0)
        for power in range(2 * n):
            exact = 0 if power % 2 else 2 / (power + 1)
            assert sum(weight * x**power for x, weight in rule) == pytest.approx(exact, abs=1e-13)


@given(st.lists(fractions, min_size=1, max_size=4), fractions)
def test_the_roots_of_a_product_of_linear_factors_are_found_exactly(zeros, scale):
    product = Polynomial(scale)
    for zero in zeros:
        product = product * Polynomial(-zero, 1)
    inside = sorted({zero for zero in zeros if -3 < zero < 3})
    assert roots(product.coefficients, Fraction(-3), Fraction(3)) == (inside if scale else [])


def test_irrational_roots_are_isolated():
    cubic = [Fraction(c) for c in (-2, 0, 0, 1)]
    (root,) = roots(cubic, Fraction(0), Fraction(2))
    assert abs(root**3 - 2) < Fraction(1, 2**110)
    (root,) = roots([Fraction(c) for c in (-2, 0, 1)], Fraction(0), Fraction(2))
    assert abs(root**2 - 2) < Fraction(1, 2**110)


@given(st.lists(fractions, min_size=1, max_size=3), st.lists(fractions, min_size=1, max_size=3), fractions)
def test_polynomials_compute_as_their_values_do(a, b, u):
    def at(polynomial):
        return sum(c * u**k for k, c in enumerate(polynomial.coefficients))

    p, q = Polynomial(*a), Polynomial(*b)
    assert at(p + q) == at(p) + at(q)
    assert at(p - q) == at(p) - at(q)
    assert at(2 - p) == 2 - at(p)
    assert at(p * q) == at(p) * at(q)
    assert at(p**3) == at(p) ** 3
    assert at(p / 4) == at(p) / 4
    assert at(abs(p)) in (at(p), -at(p))
    assert (p > q) == (a[0] > b[0])
    assert (p < q) == (a[0] < b[0])
    assert p == Polynomial(*a, 0)


@pytest.mark.parametrize(
    "compute",
    [lambda p: 1 / p, lambda p: p / 0, lambda p: p + 0.5, ieee.exp, lambda p: p**-1],
    ids=["1/p", "p/0", "float", "exp", "power"],
)
def test_what_is_no_polynomial_says_so(compute):
    with pytest.raises(NotPolynomialError):
        compute(Polynomial(1, 1))


def test_dividing_a_number_by_a_constant_is_a_polynomial():
    assert 3 / Polynomial(2) == Fraction(3, 2)
    assert Polynomial(2) ** -1 == Fraction(1, 2)
