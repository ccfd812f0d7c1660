"""`micrograd_like.testing`: right gradients pass, wrong ones fail with a message from which the mistake can be read."""

import inspect
import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import mpmath
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

import micrograd_like as mg
from micrograd_like import MLP, Value, graph, ieee, ops, testing
from micrograd_like.testing import (
    Expression,
    GradcheckError,
    NondifferentiableError,
    assert_exact,
    away_from_kinks,
    datasets,
    expressions,
    gradcheck,
    mlps,
    special_floats,
    values,
)


@pytest.fixture
def row() -> Iterator[Callable[..., ops.Operation]]:
    """Adds a row to the table for the time of one test."""
    before = dict(ops.TABLE)
    yield lambda name, function, *partials: ops.row(name, name, function, *partials, doc=name)
    for name in ops.TABLE.keys() - before.keys():
        del ops.TABLE[name]


def swish(x: Any) -> Any:
    return x * ieee.sigmoid(x)


def right_rule(g: Any, out: Any, x: Any) -> Any:
    return g * (out + ops.sigmoid(x) * (1 - out))


def wrong_rule(g: Any, out: Any, x: Any) -> Any:
    return g * (out + ops.sigmoid(x))


# ---- gradcheck ----------------------------------------------------------------------------------------------------


def test_a_right_custom_operation_passes(row: Any) -> None:
    op = row("swish", swish, right_rule)

    @given(values())
    def check(x: Value) -> None:
        assert gradcheck(lambda x: op(x * 0.5) + x, [x], order=2)

    check()


def test_the_message_about_a_wrong_one_says_what_where_and_by_how_much(row: Any) -> None:
    op = row("swish", swish, wrong_rule)
    with pytest.raises(GradcheckError) as error:
        gradcheck(lambda x: op(x * 2.0).tanh(), [Value(0.5, label="x")])
    line = inspect.currentframe().f_lineno - 1  # type: ignore[union-attr]
    message = str(error.value)
    assert message.startswith("the derivative by x is wrong\n  inputs     x = 0.5\n  analytic   ")
    assert "(50 digits)" in message
    assert re.search(r"error      \S+ ulps, allowed \S+", message)
    assert f"`swish` recorded at {__file__}:{line}: swish(1.0) = 0.7310585786300049: local derivative" in message
    sigmoid = 1 / (1 + math.exp(-1))
    found, expected = re.search(r"local derivative (\S+), reference (\S+)$", message).groups()  # type: ignore[union-attr]
    assert float(found) == pytest.approx(2 * sigmoid, rel=1e-14)
    assert float(expected) == pytest.approx(sigmoid + sigmoid * (1 - sigmoid), rel=1e-14)
    assert error.value.node is not None
    assert error.value.node.op is op
    assert gradcheck(lambda x: op(x), [Value(0.5)], raise_exception=False) is False


def test_a_wrong_second_derivative_is_found(row: Any) -> None:
    """The first derivative is right where it is asked for, but it does not record what it depends on."""
    op = row(
        "square", lambda x: x * x, lambda g, out, x: g * 2 * (x if isinstance(x, float) else getattr(x, "data", x))
    )
    assert gradcheck(op, [Value(1.5)])
    with pytest.raises(GradcheckError, match=r"the second derivative by x and x is wrong(.|\n)*reference  2.0"):
        gradcheck(op, [Value(1.5, label="x")], order=2)


def test_a_rule_that_is_right_but_rounds_badly_is_found(row: Any) -> None:
    op = row("naive_tanh", ieee.tanh, lambda g, out, x: g * (1 - out * out))
    assert gradcheck(op, [Value(0.3)])
    with pytest.raises(GradcheckError, match=r"rounds badly(.|\n)*`naive_tanh` recorded at"):
        gradcheck(op, [Value(10.0)])


def test_an_operation_of_the_math_module_is_checked_by_five_point_differences(row: Any) -> None:
    right = row("erf", math.erf, lambda g, out, x: g * ops.exp(-x * x) * (2 / math.sqrt(math.pi)))
    wrong = row("wrong_erf", math.erf, lambda g, out, x: g * ops.exp(-x * x))
    for x in (-2.0, -0.1, 0.0, 0.7, 3.0):
        assert gradcheck(lambda v: right(v) * v, [Value(x)], order=2)
    with pytest.raises(GradcheckError, match=r"five-point differences on floats(.|\n)*`wrong_erf` recorded at"):
        gradcheck(wrong, [Value(0.7)])


def test_a_kink_of_a_float_function_is_seen_too() -> None:
    def clipped(x: Value) -> Value:
        return Value(math.fabs(x.data)) * 0.0 + x.relu()

    assert gradcheck(clipped, [Value(0.0)])
    with pytest.raises(NondifferentiableError, match="`relu`"):
        gradcheck(clipped, [Value(0.0)], strict=True)


def test_what_is_not_recorded_is_found() -> None:
    with pytest.raises(GradcheckError, match=r"changes with x, but no operation records how \(made from .data\?\)"):
        gradcheck(lambda x: Value(x.data) * x, [Value(0.5, label="x")])


@pytest.mark.parametrize(
    ("f", "kink"),
    [
        (lambda x: x.relu(), "relu"),
        (lambda x: abs(x), "abs"),
        (lambda x: ops.max(x, 0.0), "max"),
        (lambda x: ops.min(x, x * x), "min"),
        (lambda x: ops.relu_dot(x, 0.0, 1.0), "relu_dot"),
        (lambda x: (x * 2.0).relu().tanh() + x, "relu"),
    ],
)
def test_at_a_kink_the_gradient_lies_between_the_sides_unless_strictness_is_asked_for(f: Any, kink: str) -> None:
    assert gradcheck(f, [Value(0.0)], order=2)
    with pytest.raises(NondifferentiableError, match=rf"`{kink}` recorded at {re.escape(__file__)}:\d+") as error:
        gradcheck(f, [Value(0.0)], strict=True)
    assert error.value.node is not None
    assert error.value.node.op is ops.by_name(kink)


def test_the_chain_rule_may_take_either_side_of_each_kink() -> None:
    """relu(x) - relu(-x) is x, but relu'(0) = 0 twice makes 0 of its derivative: the convention's known price."""
    assert gradcheck(lambda x: x.relu() - (-x).relu(), [Value(0.0)])
    assert gradcheck(lambda x: (x * x).relu(), [Value(0.0)], order=2)
    with pytest.raises(GradcheckError, match="reference  3"):
        gradcheck(lambda x: x.relu() - (-x).relu() + Value(x.data * 2.0), [Value(0.0)])


def test_a_branch_of_the_program_is_a_kink_without_an_operation() -> None:
    with pytest.raises(NondifferentiableError, match="does the function branch"):
        gradcheck(lambda x: x * 2.0 if x > 0 else x * 3.0, [Value(0.0)], strict=True)


def test_a_gradient_outside_the_interval_of_a_kink_fails(row: Any) -> None:
    op = row("bent", ieee.relu, lambda g, out, x: ops.where(x, g, -0.5 * g))
    with pytest.raises(GradcheckError, match=r"reference  between 0.0 and 1.0"):
        gradcheck(op, [Value(0.0)])


@pytest.mark.parametrize("f", [lambda x: x.relu() * x, lambda x: x**3, lambda x: abs(x) * x, lambda x: x * x])
def test_a_bend_in_the_second_derivative_is_no_kink(f: Any) -> None:
    assert gradcheck(f, [Value(0.0)], strict=True, order=2)


def test_rounding_that_crosses_a_kink_is_no_alarm() -> None:
    """0.1 + 0.2 - 0.3 is above 0 in floats; the exact sum of the three floats is, too, but another one's is not."""
    for x, c in ((0.2, 0.3), (0.7, 0.8), (0.1, 0.2)):
        assert gradcheck(lambda v, c=c: ((v + 0.1) - c).relu() + v, [Value(x)])
    assert gradcheck(lambda v: (v * 3.0 - 0.3).relu(), [Value(0.1)])


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: x.tanh(), 400.0),
        (lambda x: x.sigmoid(), -700.0),
        (lambda x: x.exp(), 1000.0),
        (lambda x: x.sqrt(), 0.0),
        (lambda x: x.sqrt(), 1e-300),
        (lambda x: x.log(), 5e-324),
        (lambda x: (x * x + x).sin(), 1e6),
        (lambda x: (x + 1e8) - 1e8, 0.1),
        (lambda x: x**0, 0.0),
        (lambda x: x**2, 0.0),
        (lambda x: 1 / x, 1e-200),
        (lambda x: (x - 1.0) * (x - 1.0) / 1e-20, 1.0 + 2**-52),
    ],
)
def test_extreme_points_are_checked_not_feared(f: Any, x: float) -> None:
    assert gradcheck(f, [Value(x)])


def test_a_point_outside_the_domain_is_named() -> None:
    with pytest.raises(GradcheckError, match="the function is not defined there"):
        gradcheck(lambda x: x.log(), [Value(-1.0)])


def test_several_results_modules_lists_and_constants() -> None:
    assert gradcheck(lambda x, y: [x * y, x.sin() / y], [Value(1.0), Value(2.0)], order=2)
    net = MLP(2, [3, 2], activation="tanh", rng=0)
    xs = [Value(0.3), Value(-0.2)]
    assert gradcheck(lambda net, xs, target: mg.cross_entropy(net(xs), target), [net, xs, 1])
    shared = Value(0.5)
    assert gradcheck(lambda a, b: a * b, [shared, shared])
    assert gradcheck(lambda x: x * 2.0, Value(1.0))


def test_a_wrong_gradient_of_the_second_result_is_found(row: Any) -> None:
    op = row("swish", swish, wrong_rule)
    with pytest.raises(GradcheckError, match="the derivative of output 1 by b is wrong"):
        gradcheck(lambda a, b: (a * b, op(b)), [Value(1.0, label="a"), Value(2.0, label="b")])


def test_inputs_are_never_changed() -> None:
    x, y = Value(0.5, label="x"), Value(2.0)
    (x * y).backward()
    net = MLP(1, [1], rng=0)
    before = [repr(v) for v in (x, y, *net.parameters())]
    assert gradcheck(lambda x, y, net: net([x * y]), [x, y, net], order=2)
    assert_exact(lambda x, y: x * y, [x, y])
    assert [repr(v) for v in (x, y, *net.parameters())] == before


def test_tolerances_can_be_chosen(row: Any) -> None:
    op = row("nearly", lambda x: x * x, lambda g, out, x: g * x * 2.0000001)
    assert gradcheck(op, [Value(1.0)], rtol=1e-6, raise_exception=False) is False  # its own rule is held to its own
    assert gradcheck(lambda x: x * x, [Value(1.0)], rtol=0.0, atol=0.0)
    assert not gradcheck(lambda x: (x + 1e8) - x * 1.0 + (x * 0.1).sin(), [Value(0.3)], rtol=0.0, raise_exception=False)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gradcheck(lambda: Value(1.0), []), ValueError, "expected at least one Value"),
        (lambda: gradcheck(lambda x: x, [1.0]), ValueError, "expected at least one Value"),
        (lambda: gradcheck(lambda x: x, [Value(math.inf)]), ValueError, "expected finite inputs, got inf as input 0"),
        (
            lambda: gradcheck(lambda x: x, [Value(1.0)], order=3),
            ValueError,
            "expected order as a whole number of at least 1 and at most 2, got 3",
        ),
        (lambda: gradcheck(lambda x: x.data, [Value(1.0)]), TypeError, "expected the function to return a Value"),
        (lambda: assert_exact(lambda x: x.exp(), [Value(0)]), TypeError, r"this does not: exp\(0\) = 1.0"),
        (lambda: assert_exact(lambda x, y: x**y, [Value(4), Value(2)]), TypeError, r"this has none: pow\("),
    ],
)
def test_bad_arguments_are_named(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


# ---- assert_exact -------------------------------------------------------------------------------------------------


def test_equality_without_any_tolerance(row: Any) -> None:
    assert_exact(lambda x, y: x**3 / y - abs(x) * mg.max(x, y, 1) + x**-2, [Value(0.1), Value(3)])
    assert_exact(lambda net, x: net(x), [MLP(2, [3, 1], rng=0), [Value(0.5), Value(-0.25)]])
    assert_exact(lambda a, b: mg.mse_loss([a, b], [1, Fraction(1, 3)]), [Value(0.1), Value(0.2)])
    op = row("off", lambda x: x * x, lambda g, out, x: g * x * Fraction(2 * 10**30 + 1, 10**30))
    with pytest.raises(GradcheckError, match=r"is 2000000000000000000000000000001/10{30}, exactly it is 2$"):
        assert_exact(op, [Value(1)])


def test_exact_kinks_and_detours_around_the_record() -> None:
    assert_exact(lambda x: x.relu(), [Value(0)])
    assert_exact(lambda x, y: mg.max(x, y) + mg.min(x, y), [Value(1), Value(1)])
    with pytest.raises(GradcheckError, match="is 1, exactly it is 2"):
        assert_exact(lambda x: Value(x.data) * x, [Value(1)])


@given(
    expressions(
        operations=[
            ops.by_name(n)
            for n in ["add", "sub", "mul", "div", "neg", "relu", "abs", "where", "max", "min", "sum", "dot", "relu_dot"]
        ]
    )
)
def test_rational_programs_are_exact(expression: Expression) -> None:
    assert_exact(expression, expression.values)


# ---- strategies ---------------------------------------------------------------------------------------------------


@given(expressions())
def test_random_programs_have_right_gradients(expression: Expression) -> None:
    assert gradcheck(expression, expression.values)


@given(expressions(max_nodes=4))
def test_random_programs_have_right_second_derivatives(expression: Expression) -> None:
    assert gradcheck(expression, expression.values, order=2)


@given(expressions(margin=0.125))
def test_away_from_kinks_strictness_costs_nothing(expression: Expression) -> None:
    root = expression(*expression.values)
    for node in graph.topological(root):
        if node.op.switches:
            numbers = [x.data if isinstance(x, Value) else x for x in node.operands]
            assert all(abs(s) >= 0.125 for s in node.op.switches(*numbers)), node.op
    assert gradcheck(expression, expression.values, strict=True)


@given(expressions())
def test_a_program_prints_as_code_that_gives_the_same_number(expression: Expression) -> None:
    names: dict[str, Any] = {"ops": ops, "Value": Value}
    exec(repr(expression), names)
    assert names["y"].data == expression(*expression.values).data
    assert Expression.from_json(expression.to_json()) == expression


def test_programs_shrink_to_something_readable() -> None:
    smallest = find(
        expressions(), lambda e: any(op is ops.relu for op, _ in e.steps), settings=settings(derandomize=True)
    )
    assert repr(smallest) == "def f(x0):\n    v0 = ops.relu(x0)\n    return v0\ny = f(Value(0.0))"


@given(expressions(operations=[ops.exp, ops.pow, ops.div, ops.mul], max_nodes=12))
def test_programs_stay_finite(expression: Expression) -> None:
    assert all(math.isfinite(node.data) for node in graph.nodes(expression(*expression.values)))


def test_programs_share_intermediate_results() -> None:
    shared = find(
        expressions(),
        lambda e: any(len(set(operands)) < len(operands) for _, operands in e.steps),
        settings=settings(derandomize=True),
    )
    assert shared.steps


@given(away_from_kinks(0.25, max_value=4.0))
def test_floats_away_from_kinks(x: float) -> None:
    assert 0.25 <= abs(x) <= 4.0


@given(values(data=st.integers(-3, 3), labels=st.sampled_from("ab")), values(data=2.5))
def test_values_take_values_or_strategies(drawn: Value, fixed: Value) -> None:
    assert drawn.data in range(-3, 4)
    assert drawn.label in "ab"
    assert fixed.data == 2.5


@given(st.from_type(Value))
def test_hypothesis_knows_our_type(x: Value) -> None:
    assert type(x) is Value
    assert abs(x.data) <= 10.0


@settings(max_examples=25)
@given(st.data())
def test_networks_and_data_sets_fit_together(data: st.DataObject) -> None:
    model = data.draw(mlps(nin=2, nouts=[2, 1]))
    samples = data.draw(datasets(nin=2, max_size=2))
    assert gradcheck(lambda m: mg.hinge_loss([m(x) for x, _ in samples], [y for _, y in samples]), model)


def test_special_floats_hold_every_kind() -> None:
    kinds = [
        math.isnan,
        math.isinf,
        lambda x: x == 0 and math.copysign(1, x) < 0,
        lambda x: 0 < abs(x) < 1e-310,
        lambda x: x > 1e307,
    ]
    for kind in kinds:
        assert find(special_floats(), kind) is not None


def test_strategies_name_bad_arguments() -> None:
    with pytest.raises(ValueError, match=r"expected margin as a finite number above 0, got -1\.0"):
        away_from_kinks(-1.0)
    with pytest.raises(ValueError, match=r"expected a margin of at most max_value, got 2.0 and 1.0"):
        away_from_kinks(2.0, max_value=1.0)
    for arguments in ({"operations": []}, {"max_nodes": 0}):
        with pytest.raises(ValueError, match="expected operations and max_nodes of at least 1"):
            find(expressions(**arguments), lambda e: True)  # type: ignore[arg-type]


def test_the_module_offers_what_it_says_and_no_more() -> None:
    assert all(hasattr(testing, name) for name in testing.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        testing.nonsense  # noqa: B018


def test_hypothesis_is_imported_only_when_used() -> None:
    program = "import sys, micrograd_like.testing as t; assert not {'hypothesis', 'mpmath'} & set(sys.modules); t.values; assert 'hypothesis' in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_checks_run_in_threads() -> None:
    """mpmath's own precision is shared by all threads; ours is not."""
    from concurrent.futures import ThreadPoolExecutor

    before = mpmath.mp.dps
    with ThreadPoolExecutor(8) as pool:
        jobs = [
            pool.submit(gradcheck, lambda x: (x * x + 0.1).log().tanh(), [Value(i / 7)], order=2) for i in range(24)
        ]
        assert all(job.result() for job in jobs)
    assert mpmath.mp.dps == before


def test_the_example_for_users_passes() -> None:
    example = Path(__file__).parent.parent / "docs" / "testing_example"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", str(example)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    assert "5 passed" in run.stdout


def test_a_wrong_rule_is_found_also_where_its_condition_is_beyond_floats() -> None:
    """Between 709 and 710 e^x is a float, and x times its second derivative is none."""
    wrong = ops.Operation("wrong", "wrong", ieee.exp, (lambda g, out, x: g * out * 1.0001,))
    with pytest.raises(GradcheckError, match=r"local derivative 1.*e\+308, reference 1"):
        gradcheck(wrong, [Value(709.5)])
    right = ops.Operation("right", "right", ieee.exp, (lambda g, out, x: g * out,))
    assert gradcheck(right, [Value(709.5)])


def test_an_expression_s_values_have_the_names_of_its_code() -> None:
    expression = Expression((1.0, 2.0), ((ops.mul, (0, 1)), (ops.add, (2, 0))))
    assert [x.label for x in expression.values] == ["x0", "x1"]
    assert all(name in repr(expression) for name in ("x0", "x1"))
