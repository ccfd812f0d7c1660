"""`gradcheck` and `assert_exact`: a function's gradients against references that know no derivative rule."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from micrograd_like import graph, ops
from micrograd_like.anomaly import LostGradientWarning, describe, detect_anomaly, recorded_lines
from micrograd_like.checks import a_function, shown, whole_number
from micrograd_like.engine import Value, gradient
from micrograd_like.ieee import Number, as_float
from micrograd_like.ops import Operation
from micrograd_like.testing.dual import Dual
from micrograd_like.testing.inputs import Inputs
from micrograd_like.testing.reference import (
    Derivative,
    FivePoint,
    HighPrecision,
    NotOnMpfError,
    of_function,
    of_operation,
)

RTOL = 2.0**-50  # four units in the last place, of the sum of all rounding errors that can reach the result
LOCAL_RTOL = 2.0**-48  # sixteen: what one operation's rule may be off, scaled by its own condition
TINY = 2.0**-1074
SHOWN_NODES = 12


class GradcheckError(AssertionError):
    """Report that a gradient differs from its reference. `node` is where the difference begins, if that is known.

    >>> from micrograd_like import Value
    >>> wrong = lambda x: x * x.data  # the second x is a plain number: half of the derivative is lost
    >>> try:
    ...     gradcheck(wrong, [Value(3.0)])
    ... except GradcheckError as error:
    ...     print(str(error).splitlines()[0])
    the derivative by input 0 is wrong
    """

    def __init__(self, message: str, node: Value | None = None) -> None:
        super().__init__(message)
        self.node = node


class NondifferentiableError(GradcheckError):
    """Report that the function has a kink at the point, and strictness was asked for. `node` is its operation.

    >>> from micrograd_like import Value, relu
    >>> try:
    ...     gradcheck(relu, [Value(0.0)], strict=True)
    ... except NondifferentiableError as error:
    ...     print(error.node.op)
    ops.relu
    """


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    order: int = 1,
    rtol: float = RTOL,
    atol: float = 0.0,
    strict: bool = False,
    raise_exception: bool = True,
) -> bool:
    """Compare the gradients of func at inputs with differences of its values at 50 digits. Returns True.

    func is called as `func(*inputs)` with fresh copies and returns a Value, or a list of them. Every Value among the
    inputs, and every parameter of a module among them, is differentiated by; other inputs are handed on as they are.
    No input is changed.

    The reference calls func once more on mpmath numbers of 50 digits and more and takes one-sided differences; a
    function that cannot run on those (it uses the math module, say) is differentiated on floats by five-point central
    differences, whose measured error is added to the tolerance. At a kink, where the derivatives from the left and from
    the right differ, the gradient must lie between them, or between what the chain rule can give from either side. Besides the whole, the rule of every row that is not this
    library's own is checked at the numbers it met.

    >>> from micrograd_like import Value
    >>> gradcheck(lambda x, y: (x * y).tanh() + y.exp(), [Value(0.5), Value(-2.0)], order=2)
    True

    Args:
        func: from Values to a Value, or to a list of them.
        inputs: Values, modules, and lists of them, in the order of func's parameters.
        order: 1 for the gradient; 2 for all second derivatives too (not where an operation is exactly at its kink).
        rtol: allowed error, relative to the sum of all rounding errors of the computation, in the first order: a few
            units in the last place, more where the computation cancels.
        atol: allowed error in absolute terms, in addition.
        strict: raise NondifferentiableError at a kink.
        raise_exception: False to return False instead of raising a GradcheckError.

    Raises:
        GradcheckError: a derivative is wrong; the message shows where the mistake begins.
        NondifferentiableError: there is a kink at the inputs, and `strict` is set.
        ValueError: no Value among the inputs, one that is not finite, an order other than 1 and 2, or a tolerance that
            is no number of at least 0.
        TypeError: func is no function or returned something else than Values, or the inputs are no list.
    """
    order = whole_number("order", order, at_most=2)
    rtol, atol = _tolerance("rtol", rtol), _tolerance("atol", atol)
    check = _Check(a_function("func", func), Inputs(inputs), order, rtol, atol, strict)
    try:
        check.run()
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _tolerance(name: str, x: Any) -> float:
    if not isinstance(x, (float, int, Fraction)) or not x >= 0:
        raise ValueError(f"expected {name} as a number of at least 0, got {shown(x)}")
    return as_float(x)


class _Check:
    def __init__(
        self, func: Callable[..., Any], inputs: Inputs, order: int, rtol: float, atol: float, strict: bool
    ) -> None:
        self.func, self.inputs, self.order, self.rtol, self.atol, self.strict = func, inputs, order, rtol, atol, strict
        self.values, self.results = inputs.call(func, inputs.data)
        self.same_piece = True  # whether rounding leaves every kink on the side where the exact numbers are
        self.exact: tuple[list[Value], list[Value]] | None = None
        self.reference: HighPrecision | FivePoint
        try:
            self.reference, values, results = of_function(func, inputs, order)
            self.exact = values, results
            self.same_piece = _pieces(results) == _pieces(self.results)
        except NotOnMpfError:
            self.reference = FivePoint(self._on_floats, inputs.data)

    def _on_floats(self, data: list[float]) -> list[float]:
        return [float(result) for result in self.inputs.call(self.func, data)[1]]

    def run(self) -> None:
        everywhere_smooth = True
        for k, result in enumerate(self.results):
            for value in self.values:
                value.zero_grad()
            result.backward()
            found = [value.grad for value in self.values]
            for i, analytic in enumerate(found):
                reference = self.reference.derivative(k, i)
                everywhere_smooth &= reference is not None and reference.exists
                if reference is None:
                    raise GradcheckError(
                        self._report(k, (i,), analytic, None, 0.0, "the function is not defined there")
                    )
                if not reference.exists and self.strict:
                    raise self._kink(k, i, reference)
                self._compare(k, (i,), analytic, reference)
        self._check_operations()
        if self.order == 2 and everywhere_smooth and not _at_a_kink(self.results):
            self._check_second_derivatives()

    def _check_second_derivatives(self) -> None:
        for k, result in enumerate(self.results):
            first = gradient(result, self.values)
            slopes = (
                None
                if isinstance(self.reference, HighPrecision)
                else FivePoint(self._first_on_floats(k), self.inputs.data)
            )
            for i, g in enumerate(first):
                for j, second in enumerate(gradient(g, self.values)):
                    if isinstance(self.reference, HighPrecision):
                        reference = self.reference.derivative(k, i, j)
                    else:
                        assert slopes is not None
                        reference = slopes.derivative(i, j)
                    if reference is not None:
                        self._compare(k, (i, j), second.data, reference)

    def _first_on_floats(self, k: int) -> Callable[[list[float]], list[float]]:
        def evaluate(data: list[float]) -> list[float]:
            values, results = self.inputs.call(self.func, data)
            return [float(g) for g in gradient(results[k], values)]

        return evaluate

    def _compare(self, k: int, by: tuple[int, ...], analytic: Number, reference: Derivative) -> None:
        if not self.same_piece and self.exact is not None:
            # Within rounding of a kink the floats may be on its other side: then the rules are checked at 50 digits.
            values, results = self.exact
            derivative: Value = results[k]
            for i in by:
                derivative = gradient(derivative, values[i])
            analytic = derivative.data
        low, high = reference.low, reference.high
        tolerance = self._simple_tolerance(reference)
        if _agree(analytic, reference, tolerance):
            return
        tolerance += self.rtol * self._condition(k, by)
        if not _agree(analytic, reference, tolerance):
            if _at_a_kink(self.results):
                sides = self._enclosure(k, by[-1])
                if _agree(analytic, sides, tolerance) and all(_agree(x, sides, tolerance) for x in (low, high)):
                    return
            node, fault = self._fault(k, by)
            raise GradcheckError(self._report(k, by, analytic, reference, tolerance, fault), node)

    def _simple_tolerance(self, reference: Derivative) -> float:
        size = max(abs(as_float(reference.low)), abs(as_float(reference.high)))
        return self.atol + reference.error + (self.rtol * size if math.isfinite(size) else 0.0) + 16 * TINY

    def _condition(self, k: int, by: tuple[int, ...]) -> float:
        """How far roundings of one unit everywhere can move this derivative: Σ |∂derivative/∂node| · |node|, all nodes.

        The derivative is itself a graph, so the engine's own backward pass gives every ∂derivative/∂node.
        """
        values, results = self.inputs.call(self.func, self.inputs.data)
        derivative = results[k]
        for i in by:
            derivative = gradient(derivative, values[i])
        derivative.backward()
        moved = [abs(float(node.grad)) * _magnitude(node) for node in graph.topological(derivative)]
        return min(sum(x for x in moved if math.isfinite(x)), sys.float_info.max)

    def _enclosure(self, k: int, i: int) -> Derivative:
        """What the chain rule can give for a derivative when every operation at its kink takes either side.

        relu(x) - relu(-x) is x, but at 0 the chain rule gives 0, or 1, or 2, as each relu has the slope 0 or 1 there.
        The local derivatives are references, not the rules under test; the adjoints are intervals.
        """
        order = graph.topological(self.results[k])
        adjoints: dict[Value, tuple[float, float]] = {self.results[k]: (1.0, 1.0)}
        for node in reversed(order):
            low, high = adjoints.get(node, (0.0, 0.0))
            for local, operand in zip(_local_references(node), node.operands, strict=True):
                if isinstance(operand, Value) and local is not None:
                    products = [a * as_float(b) for a in (low, high) for b in (local.low, local.high)]
                    before = adjoints.get(operand, (0.0, 0.0))
                    adjoints[operand] = before[0] + min(products), before[1] + max(products)
        return Derivative(*adjoints.get(self.values[i], (0.0, 0.0)))

    def _check_operations(self) -> None:
        """The rules of a user's own rows at the numbers they met: a rule can be right and still round badly."""
        for k, result in enumerate(self.results):
            for node in graph.topological(result):
                if node.op is not None and not _is_ours(node.op) and (wrong := _local_fault(node)):
                    fault = f"{self._where(k, node)}: {wrong}"
                    raise GradcheckError(f"a derivative rule is wrong, or rounds badly\n  at fault   {fault}", node)

    def _fault(self, k: int, by: tuple[int, ...]) -> tuple[Value | None, str]:
        """The operation whose own rule is wrong; if none is, the smallest subgraph whose gradient is."""
        order = graph.topological(self.results[k])
        for node in order:
            if wrong := _local_fault(node):
                return node, f"{self._where(k, node)}: {wrong}"
        return self._smallest_subgraph(k, by[-1])

    def _smallest_subgraph(self, k: int, i: int) -> tuple[Value | None, str]:
        """The first node, in the order of the computation, whose gradient by input i is not its reference."""
        nodes = [node for node in graph.nodes(self.results[k]) if node not in self.values]

        def evaluate(data: list[Any]) -> list[Any]:
            values, results = self.inputs.call(self.func, data)
            return [node.data for node in graph.nodes(results[k]) if node not in values]

        data = [as_float(x) for x in self.inputs.data]
        if len(evaluate(data)) != len(nodes):
            return None, "the function records another graph each time"
        reference = FivePoint(evaluate, data)
        for n, node in enumerate(nodes):
            expected = reference.derivative(n, i)
            got = gradient(node, self.values[i]).data
            if expected is not None and not _agree(got, expected, 1e-3 * (abs(expected.low) + abs(expected.high))):
                if node.op is None:
                    text = (
                        f"{node!r} changes with {self.inputs.names[i]}, but no operation records how (made from .data?)"
                    )
                    return node, text
                lines = [f"{describe(each)}" for each in graph.topological(node)]
                shown = "\n             ".join(lines[-SHOWN_NODES:])
                return (
                    node,
                    f"{self._where(k, node)}: gradient {got}, reference {expected.low}, of\n             {shown}",
                )
        return None, "every operation's derivative is right, the sum over the paths is not"

    def _where(self, k: int, node: Value) -> str:
        """Which operation a node is, and which line recorded it: the function is run again with its lines watched."""
        place = graph.topological(self.results[k]).index(node)
        with recorded_lines() as location:
            again = graph.topological(self.inputs.call(self.func, self.inputs.data)[1][k])
            at = location(again[place]) if place < len(again) else "an unknown place"
        return f"`{node.op.name if node.op else 'leaf'}` recorded at {at}: {describe(node)}"

    def _kink(self, k: int, i: int, reference: Derivative) -> NondifferentiableError:
        order = graph.topological(self.results[k])
        reached = graph.dependents(order, self.values[i])
        for node in reached:
            if node.op is not None and node.op.switches and 0 in node.op.switches(*_numbers(node)):
                break
        else:
            node = None
        where = self._where(k, node) if node is not None else "no operation of the table; does the function branch?"
        return NondifferentiableError(
            f"the function is not differentiable by {self.inputs.names[i]} = {self.inputs.data[i]}: "
            f"the derivative is {_short(reference.low)} on one side and {_short(reference.high)} on the other\n"
            f"  the kink   {where}",
            node,
        )

    def _report(
        self, k: int, by: tuple[int, ...], analytic: Number, reference: Derivative | None, tolerance: float, fault: str
    ) -> str:
        names = [self.inputs.names[i] for i in by]
        what = "derivative" if len(by) == 1 else "second derivative"
        output = f" of output {k}" if len(self.results) > 1 else ""
        point = ", ".join(f"{n} = {x}" for n, x in zip(self.inputs.names, self.inputs.data, strict=True))
        lines = [
            f"the {what}{output} by {' and '.join(names)} is wrong",
            f"  inputs     {point:.400}",
            f"  analytic   {_short(analytic)}",
        ]
        if reference is not None:
            method = "50 digits" if isinstance(self.reference, HighPrecision) else "five-point differences on floats"
            if reference.exists:
                lines.append(f"  reference  {_short(reference.low)} ({method})")
            else:
                lines.append(f"  reference  between {_short(reference.low)} and {_short(reference.high)} ({method})")
            ulp = math.ulp(as_float(reference.low))
            if math.isfinite(ulp):
                error = min(abs(as_float(analytic) - as_float(end)) for end in (reference.low, reference.high))
                lines.append(f"  error      {error / ulp:.3g} ulps, allowed {tolerance / ulp:.3g}")
        return "\n".join([*lines, f"  at fault   {fault}"])


def _is_ours(op: Operation) -> bool:
    rules = op.partials or (op.pullback,)
    return all(getattr(rule, "__module__", None) == ops.__name__ for rule in rules)


def _agree(analytic: Number, reference: Derivative, tolerance: float) -> bool:
    """Whether a float lies in the reference's interval, or no further outside than the tolerance."""
    low, high = reference.low, reference.high
    rounded = as_float(analytic)
    if math.isnan(rounded):
        return False
    if math.isinf(
        rounded
    ):  # right where the reference is beyond all floats, or grows without bound as the step shrinks
        return any(as_float(end) == rounded or (abs(end) > 1e15 and (end > 0) == (rounded > 0)) for end in (low, high))
    return bool(low - tolerance <= analytic <= high + tolerance)


def _short(x: Number) -> str:
    return f"{as_float(x)!r}"


def _numbers(node: Value) -> list[Number]:
    return [x.data if isinstance(x, Value) else x for x in node.operands]


def _pieces(results: Sequence[Value]) -> list[tuple[Any, ...]]:
    """On which side of every kink the computation is: the signs of all switches, in order."""
    signs = []
    for node in graph.topological(*results):
        if node.op is not None and node.op.switches:
            signs.append((node.op.name, *((s > 0) - (s < 0) for s in node.op.switches(*_numbers(node)))))
    return signs


def _magnitude(node: Value) -> float:
    """How large the numbers are that an operation rounds: its result, and for a sum of many all its terms, each time."""
    size = abs(as_float(node.data))
    if node.op is not None and node.op.arity is None:
        numbers = _numbers(node)
        terms = zip(node.op.vjp(1.0, node.data, *numbers), numbers, strict=True)
        size += len(numbers) * math.fsum(abs(float(a) * float(x)) for a, x in terms if a is not None)
    return size


def _at_a_kink(results: Sequence[Value]) -> bool:
    """Whether an operation is exactly at its kink."""
    return any(0 in signs for signs in _pieces(results))


def _local_references(node: Value) -> list[Derivative | None]:
    """The reference of every local derivative of an operation, at the numbers it met; None outside of the domain."""
    op, numbers = node.op, _numbers(node)
    assert op is not None
    reference: HighPrecision | FivePoint
    try:
        reference = of_operation(op, numbers)
    except NotOnMpfError:
        reference = FivePoint(lambda data: [float(op.function(*data))], numbers)
    return [reference.derivative(0, i) if isinstance(x, Value) else None for i, x in enumerate(node.operands)]


def _local_fault(node: Value) -> str:
    """What is wrong with an operation's own rule at the numbers it met; empty when nothing is."""
    assert node.op is not None
    numbers = _numbers(node)
    analytic = node.op.vjp(1.0, node.data, *numbers)
    for i, (found, expected) in enumerate(zip(analytic, _local_references(node), strict=True)):
        adjoint = 0.0 if found is None else found
        if expected is None or math.isnan(as_float(adjoint)):
            continue  # a constant, or outside of the domain; the whole function's check decides
        allowed = LOCAL_RTOL * abs(as_float(expected.low)) + LOCAL_RTOL * abs(as_float(expected.high))
        if _agree(adjoint, expected, allowed + expected.error + 16 * TINY):
            continue
        if not _agree(adjoint, expected, LOCAL_RTOL * _local_condition(node, i) + expected.error + 16 * TINY):
            by = "" if len(numbers) == 1 else f" by operand {i}"
            ends = _short(expected.low) if expected.exists else f"{_short(expected.low)} to {_short(expected.high)}"
            return f"local derivative{by} {_short(adjoint)}, reference {ends}"
    return ""


def _local_condition(node: Value, i: int) -> float:
    """|∂out/∂operand i| + Σ |operand j · ∂²out/∂operand i ∂operand j|: what roundings of the operands do to it."""
    assert node.op is not None
    numbers = _numbers(node)
    try:
        reference = of_operation(node.op, numbers, order=2)
    except NotOnMpfError:
        return 0.0
    first = reference.derivative(0, i)
    total = abs(as_float(first.low)) if first else 0.0
    for j, x in enumerate(numbers):
        second = reference.derivative(0, i, j)
        total += abs(as_float(x) * as_float(second.high)) if second else 0.0
    return total if math.isfinite(total) else 0.0


def assert_gradients_kept(func: Callable[..., Any], inputs: Any) -> None:
    """Demand that no gradient is lost on the way: no Value becomes a plain number, and what moves a result has a gradient.

    func is called under `detect_anomaly(lost_gradients=True)`, and once more for each input, which is moved a little: a
    result that moves, but was not computed from that input, has lost it. That finds `x.data` as well as `math.sin(x)`,
    where an input's gradient is lost altogether; where a part is, `gradcheck` sees a wrong derivative.

    >>> import math
    >>> from micrograd_like import Value
    >>> assert_gradients_kept(lambda x, y: x * y.sin(), [Value(0.5), Value(2.0)])
    >>> try:
    ...     assert_gradients_kept(lambda x, y: x * math.sin(y.data), [Value(0.5), Value(2.0)])
    ... except GradcheckError as error:
    ...     print(error)
    the gradient by input 1 is lost: moving it by 0.002 moves output 0 from 0.454649 to 0.454232, which does not depend on it

    Raises:
        GradcheckError: a gradient is lost; the message names the line, or the input.
        TypeError: func is no function or returned something else than Values.
        ValueError: no Value among the inputs, or one that is not finite.
    """
    func, given = a_function("func", func), Inputs(inputs)
    with warnings.catch_warnings(record=True) as found, detect_anomaly(lost_gradients=True):
        warnings.simplefilter("always")
        values, results = given.call(func, given.data)
    for warning in found:
        if issubclass(warning.category, LostGradientWarning):
            raise GradcheckError(f"{warning.filename}:{warning.lineno}: {warning.message}")
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    for i, value in enumerate(values):
        step = as_float(abs(value.data)) / 1000 or 0.001
        for moved in (value.data + step, value.data - step):
            data = [*given.data[:i], moved, *given.data[i + 1 :]]
            for k, (before, after) in enumerate(zip(results, given.call(func, data)[1], strict=True)):
                if before.data != after.data and value not in graph.leaves(before):
                    raise GradcheckError(
                        f"the gradient by {given.names[i]} is lost: moving it by {as_float(moved - value.data):.3g} moves output "
                        f"{k} from {as_float(before.data):.6g} to {as_float(after.data):.6g}, which does not depend on it"
                    )


def assert_exact(func: Callable[..., Any], inputs: Any) -> None:
    """Demand that the gradients of func are equal to the exact ones, with no tolerance at all: it is run on fractions.

    The inputs' numbers become fractions, without rounding, and so do floats that func brings in. The reference are dual numbers a + b·ε of fractions, which
    carry an exact derivative forward through func and use no rule of the table. At a kink the gradient must lie between
    the derivatives from both sides.

    >>> from micrograd_like import Value
    >>> assert_exact(lambda x, y: x**3 / y - abs(x), [Value(0.1), Value(3)])

    Raises:
        GradcheckError: a value or a derivative is not equal to its reference.
        TypeError: func leaves the rational numbers, for instance by exp; the message names the operation.
        ValueError: no Value among the inputs, or one that is not finite.
    """
    func, given = a_function("func", func), Inputs(inputs)
    data = [Fraction(x) for x in given.data]
    values, results = given.call(func, [Dual(x) for x in data])
    for node in graph.topological(*results):
        if not isinstance(node.data, Dual):
            raise TypeError(f"expected a computation that stays on fractions; this does not: {describe(node)}")
    sides = [_exact_sides(func, given, data, i) for i in range(len(data))]
    for k, result in enumerate(results):
        for value in values:
            value.zero_grad()
        result.backward()
        for i, value in enumerate(values):
            left, right = sorted(side[k] for side in sides[i])
            if not left <= value.grad <= right:
                between = f"{left}" if left == right else f"between {left} and {right}"
                raise GradcheckError(
                    f"the derivative of output {k} by {given.names[i]} = {data[i]} is {value.grad!s}, exactly it is {between}"
                )


def _exact_sides(func: Callable[..., Any], given: Inputs, data: list[Fraction], i: int) -> list[list[Fraction]]:
    """The derivatives of all results by input i from the right and from the left."""
    sides = []
    for direction in (1, -1):
        duals = [Dual(x, direction if j == i else 0) for j, x in enumerate(data)]
        results = given.call(func, duals)[1]
        for node in graph.topological(*results):
            if not isinstance(node.data, Dual):
                raise TypeError(f"expected a derivative that stays on fractions; this has none: {describe(node)}")
        sides.append([direction * Dual.of(result.data).slope for result in results])
    return sides
