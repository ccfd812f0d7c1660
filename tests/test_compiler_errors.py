"""What a compiled program refuses, and says: what cannot be traced, wrong parameters, sizes, inputs and numbers."""

import math
import random
import re
import sys
import threading
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from compiler_programs import assert_same, checked, eager

import micrograd_like as mg
from micrograd_like import Value, ops
from micrograd_like.compiler import trace
from micrograd_like.compiler.spaces import PARAM, pack

model = mg.MLP(3, [4, 2], rng=0)
stranger = Value(3.0)
UNTRACEABLE: dict[str, tuple[Callable[[Any], Any], str]] = {
    "if": (lambda x: x[0] if x[0] > 0 else x[1], "mg.where"),
    "if on a parameter": (lambda x: x[0] if model.parameters()[0] > 0 else x[1], "mg.where"),
    "float": (lambda x: float(x[0]) * x[0], "plain number"),
    "float of a parameter": (lambda x: float(model.parameters()[0]) * x[0], "plain number"),
    "math": (lambda x: math.exp(x[0]), "mg.exp"),
    "data": (lambda x: x[0] * model(x)[0].data, "has no .data"),
    "grad": (lambda x: x[0] * model.parameters()[0].grad, "has no .grad"),
    "Python's max": (lambda x: max(model(x), key=lambda v: v), "mg.max"),
    "index": (lambda x: [1.0, 2.0][x[0]] * x[1], "mg.gather"),
    "another parameter": (lambda x: x[0] * stranger, "list it among the parameters"),
    "text": (lambda x: x[0] * "2", "expected a real number"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNTRACEABLE)
def test_what_cannot_be_traced_is_an_error_with_the_line_and_a_hint(name: str) -> None:
    function, hint = UNTRACEABLE[name]
    before = [(type(p), p.data, p._mark) for p in model.parameters()]
    with pytest.raises(mg.TraceError, match=re.escape(hint)) as error:
        mg.compile(function, model.parameters(), x=3)
    line = function.__code__.co_firstlineno
    assert f"{__file__}:{line}: " in str(error.value)
    assert f'"{name}": (lambda x: ' in str(error.value)
    assert [(type(p), p.data, p._mark) for p in model.parameters()] == before
    assert Value(2.0).data == 2.0


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: model.parameters()[0] * 2, "does not depend on its inputs"),
        (lambda x: [x[0], 1.0], "output 1 .* does not depend"),
        (lambda x: None, "returned NoneType"),
        (lambda x: [], "empty list"),
        (lambda x: mg.compile(lambda y: y, [], y=()), "cannot compile another"),
    ],
)
def test_outputs_that_make_no_program_are_errors(function: Any, message: str) -> None:
    with pytest.raises(mg.TraceError, match=message):
        mg.compile(function, model.parameters(), x=3)


def test_a_traced_value_cannot_be_used_afterwards() -> None:
    kept: list[Any] = []
    mg.compile(lambda x: kept.append(x) or x[0] * 2, [], x=2)
    assert repr(kept[0][1]) == "Traced(input[1])"
    with pytest.raises(mg.TraceError, match="after the trace had ended"):
        kept[0][0] + 1


def test_constants_made_by_the_function_are_constants() -> None:
    p = Value(2.0)
    program = mg.compile(lambda x: Value(3.0) * (Value(1.0) + 1) * p * x, [p], x=())
    assert program([1.0]) == 12.0


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ([1.0], TypeError, "expected parameters as Values"),
        ([stranger, stranger], ValueError, "once"),
        ([stranger * 2], ValueError, "not themselves computed"),
        ([Value(mpmath.mpf(1))], TypeError, "parameters of floats"),
    ],
)
def test_wrong_parameters_are_errors(parameters: list[Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        mg.compile(lambda x: x, parameters, x=())


@pytest.mark.parametrize("shape", [0, -1, 2.5, "3", (2, 0), True])
def test_wrong_sizes_are_errors(shape: Any) -> None:
    with pytest.raises(ValueError, match="expected x as a size"):
        mg.compile(lambda x: x, [], x=shape)


def test_an_input_that_no_memory_holds_is_refused() -> None:
    with pytest.raises(ValueError, match="expected x as at most 10,000,000 numbers, got 1099511627776"):
        mg.compile(lambda x: x[0], [], x=2**40)
    with pytest.raises(ValueError, match="at most 10,000,000 numbers"):
        mg.compile(lambda x: x[0], [], x=(2**20, 2**20))


def test_a_parameter_without_a_number_is_an_error_that_names_it() -> None:
    p, q = Value(1.5), Value(2.0, label="q")
    program = mg.compile(lambda x: p * x + q, [p, q], x=())
    assert program([2.0]) == 5.0
    for wrong in ("1.5", None, [1.0], 1j):
        q.data = wrong
        with pytest.raises(TypeError, match=r"expected a real number in parameter 1 \('q'\), got"):
            program([2.0])
    del q.data
    for call in (program, program.gradient, lambda x: program.sgd(x, lr=0.1)):
        with pytest.raises(TypeError, match=r"its \.data was deleted"):
            call([2.0])
    q.data = Fraction(1, 2)
    assert program([2.0]) == 3.5


def test_parameters_that_an_interrupted_trace_has_left_are_mended() -> None:
    """As after Ctrl-C between the first instruction that repairs and the last one."""

    def leave() -> None:
        for k, p in enumerate(parameters):
            trace._changed[id(p)] = p, p._mark
            p._mark = pack(PARAM, k)
            p.__class__ = trace.Traced
        trace._active = trace.Recorder(parameters, {})
        Value.__init__ = lambda self, data: None  # type: ignore[method-assign,misc,assignment]

    p, q = parameters = [Value(2.0), Value(3.0)]
    uses: list[Callable[[], Any]] = [
        lambda: p.data, lambda: (p + 1.0).data, lambda: (1.0 + p).data, lambda: abs(p).data + 1, lambda: float(p) + 0.0,
        lambda: 2.0 if p > 1 else 0.0, lambda: mg.dot([p], [1.0], 0.0).data, lambda: p.exp().log().data,
        lambda: mg.compile(lambda x: p * x, parameters, x=())([1.0]),
    ]  # fmt: skip
    for use in uses:
        leave()
        assert use() in (2.0, 3.0)
        assert type(p) is type(q) is Value
        assert Value.__init__ is trace._init
        assert q.grad == 0
    leave()
    p.data = 7.0
    assert (p.data, type(q)) == (7.0, Value)


def test_wrong_inputs_are_errors_that_name_them() -> None:
    program = mg.compile(lambda x, y: x[0] * y, [], x=2, y=())
    with pytest.raises(ValueError, match=r"expected x of the shape \(samples, 2\), got \(1, 3\)"):
        program([[1, 2, 3]], [1])
    with pytest.raises(ValueError, match="as many samples in y as in x, 2; got 1"):
        program([[1, 2], [3, 4]], [1])
    with pytest.raises(ValueError, match="at least one sample"):
        program(np.empty((0, 2)), [])
    with pytest.raises(TypeError, match="missing inputs: y"):
        program([[1, 2]])
    with pytest.raises(TypeError, match="unknown argument 'z'; the inputs are x, y"):
        program([[1, 2]], [1], z=3)
    with pytest.raises(TypeError, match="x is given twice"):
        program([[1, 2]], x=[[1, 2]])
    with pytest.raises(TypeError, match="the inputs are x, y; got 3"):
        program([[1, 2]], [1], [1])


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([[1, 2], [3]], ValueError, r"x as real numbers of the shape \(samples, 2\), got lists of unequal lengths"),
        ([["0.5", "1"]], TypeError, "x as real numbers .*0.5"),
        ([[None, 1.0]], TypeError, "x as real numbers"),
        (np.array([[1j, 2.0]]), TypeError, "complex128"),
        (np.ma.masked_array([[1.0, 2.0]], mask=[[True, False]]), TypeError, "masked"),
        ([[10**400, 1]], ValueError, "too large"),
        ((row for row in [[1.0, 2.0]]), TypeError, "generator"),
    ],
)  # fmt: skip
def test_what_are_not_real_numbers_is_an_error_that_names_the_input(x: Any, error: Any, message: str) -> None:
    program = mg.compile(lambda x: x[0] * x[1], [], x=2)
    with pytest.raises(error, match=message):
        program(x)


def test_numbers_of_any_kind_are_taken_as_floats() -> None:
    program = mg.compile(lambda x: x[0] * x[1], [], x=2)
    for x in ([[2, 3]], np.array([[2, 3]], "i2"), np.float32([[2, 3]]), [[Fraction(2), Value(3.0)]], [[2.0, True]]):
        assert program(x) in (6.0, 2.0)


def test_wrong_sizes_are_found_while_tracing() -> None:
    model = mg.MLP(3, [4, 1], rng=0)
    for size in (2, 4):
        with pytest.raises(ValueError, match="expected 3 inputs"):
            mg.compile(lambda x: model(x), model.parameters(), x=size)
    with pytest.raises(ValueError, match="expected 2 inputs"):
        mg.compile(lambda x: mg.dot(model.parameters()[:2], x), model.parameters(), x=3)
    with pytest.raises(ValueError, match="got ndarray"):
        mg.compile(lambda x: x, [], x=np.ones((2, 2)))
    with pytest.raises(TypeError, match="parameters as a list of Values, got MLP"):
        mg.compile(lambda x: x, model, x=())  # type: ignore[arg-type]


@pytest.mark.parametrize("batch", [1, 4, 8, 11])
def test_functions_that_only_the_adjoint_calls_are_there_for_every_number_of_lanes(batch: int) -> None:
    p, q = Value(0.7), Value(1.3)
    program = checked(mg.compile(lambda x: (x * q) ** p, [p, q], x=()))
    x = np.linspace(0.5, 2.5, batch)
    _, _, gradient, _ = eager(lambda v: (v * q) ** p, [p, q], [(Value(v),) for v in x.tolist()])
    np.testing.assert_allclose(program.gradient(x)[1], gradient, rtol=1e-13)


def test_another_thread_cannot_write_into_a_trace() -> None:
    model = mg.MLP(3, [4, 1], rng=0)
    found: list[BaseException] = []

    def elsewhere() -> None:
        try:
            model.parameters()[0] + 1.0
        except BaseException as error:
            found.append(error)

    def function(x: Any) -> Any:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        return model(x)

    program = mg.compile(function, model.parameters(), x=3)
    assert program([[1.0, 2.0, 3.0]]) == model([1.0, 2.0, 3.0]).data
    assert isinstance(found[0], mg.TraceError)
    assert "another thread" in str(found[0])


def test_a_program_without_a_pattern_has_few_kinds_of_statements_whatever_its_size() -> None:
    rng = random.Random(0)
    p = [Value(rng.random()) for _ in range(9)]
    plan = [(rng.random(), rng.random(), rng.randrange(3)) for _ in range(3000)]

    def function(x: Any) -> Any:
        v = [*x, *p]
        for a, b, kind in plan:
            left, right = v[-1 - int(a * min(len(v), 40))], v[int(b * len(v))]
            v.append([mg.max(left, right), left + right, left.sin()][kind])
        return mg.mean(v[-300:])

    program = checked(mg.compile(function, p, x=3))
    (kinds,) = [int(n) for n in re.findall(r"operations of (\d+) kinds", str(program))]
    assert kinds < 60
    assert_same(program, function, p, np.random.default_rng(0).normal(size=(5, 3)))


def test_inputs_are_given_by_name_or_in_order_but_not_half_and_half() -> None:
    w = Value(2.0)
    assert mg.compile(lambda a, b: w * a - b, [w], b=(), a=())(b=[1.0], a=[10.0]) == 19.0
    assert mg.compile(lambda a, b: w * a - b, [w], x=(), y=())([10.0], [1.0]) == 19.0
    with pytest.raises(TypeError, match="no argument 'c', among a, b"):
        mg.compile(lambda a, b: w * a - b, [w], c=(), a=())


def test_without_llvmlite_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(ImportError, match=r"micrograd_like\[compiled\]"):
        mg.compile(lambda x: x, [], x=())


def test_a_row_without_a_machine_form_is_an_error_and_one_that_is_composed_needs_none() -> None:
    try:
        cube = ops.row("cube", "³", lambda x: x * x * x, lambda g, out, x: 3 * g * x * x, doc="x³")
        with pytest.raises(mg.TraceError, match="no machine form"):
            mg.compile(lambda x: cube(x), [], x=())([1.0])
        del ops.TABLE["cube"]
        composed = ops.row(
            "cube", "³", lambda x: x * x * x, lambda g, out, x: 3 * g * x * x, expansion=lambda x: x * x * x, doc="x³"
        )
        p = Value(2.0)
        loss, gradient = mg.compile(lambda x: composed(p * x), [p], x=()).gradient([3.0])
        assert (loss, gradient.tolist()) == (216.0, [324.0])
    finally:
        del ops.TABLE["cube"]
