"""`Value`: a number that remembers how it was computed, and the chain rule run backwards over what it remembers."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from typing import Any, overload

from micrograd_like import ieee, ops
from micrograd_like.graph import dependents, operand_nodes, topological
from micrograd_like.ieee import Number, number
from micrograd_like.ops import Operation

# Called with every node that is recorded and every gradient that is computed, while `detect_anomaly` is on.
watch_forward: Callable[[Value], None] | None = None
watch_backward: Callable[[Value], None] | None = None


class Value:
    """A scalar that records the operations it takes part in, and its gradient.

    >>> x, y = Value(2.0, label="x"), Value(3.0, label="y")
    >>> z = x * y + x.exp()
    >>> z.backward()
    >>> y.grad
    2.0
    >>> x
    Value(data=2.0, grad=10.38905609893065, label='x')

    Raises:
        TypeError: data is not a real number, or the label is not a text.
    """

    __slots__ = ("data", "grad", "label", "op", "args", "_mark")

    data: Number  # the number itself
    grad: Number  # d(root)/d(this) of the roots propagated so far; the integer 0 until then
    label: str
    op: Operation | None  # what computed it; None for a leaf
    args: tuple[Any, ...]  # from what: Values and numbers, and shared tuples of them; () for a leaf
    _mark: object

    __array_ufunc__ = None  # so that NumPy leaves `np.float64(2) * value` to the Value

    def __init__(self, data: Any, label: str = "") -> None:
        if not isinstance(label, str):
            raise TypeError(f"expected a text as label, got {type(label).__name__}: {label!r:.60}")
        self.data = number(data)
        self.grad = 0
        self.label = label
        self.op = None
        self.args = ()
        self._mark = None

    def __init_subclass__(cls, *, is_symbol: bool = False) -> None:
        if is_symbol:  # the compiler's: it records elsewhere, and no walk meets it
            return
        raise TypeError(
            "Value cannot be subclassed: a walk knows a node by its type; hold a Value, or add a row to ops.TABLE"
        )

    @property
    def operands(self) -> tuple[Any, ...]:
        """What the operation was applied to, flat and in its order: Values and plain numbers; () for a leaf."""
        if self.args and type(self.args[0]) is tuple:
            return tuple(x for arg in self.args for x in (arg if type(arg) is tuple else (arg,)))
        return self.args

    def backward(self) -> None:
        """Add d(self)/d(leaf) to every leaf's `.grad`; inner nodes hold this pass's d(self)/d(node). Linear cost."""
        order = topological(self)
        for node in order:
            node.grad = 0
        self.grad += one(self.data)
        order.reverse()
        for node in order:
            op, args, g = node.op, node.args, node.grad
            if type(g) is int:  # nothing flowed here: 0 times an infinite derivative further down would be nan
                node.grad = ieee.zero(node.data)
                continue
            if (watch := watch_backward) is not None:
                watch(node)
            if op is _DOT or op is _RELU_DOT:
                if op is _DOT or node.data > 0:
                    _accumulate_dot(g, *args)
                continue
            data = [x.data if type(x) is Value else x for x in args]
            if op.pullback_on_numbers is not None:
                adjoints = op.pullback_on_numbers(g, node.data, *data)
                for operand, adjoint in zip(args, adjoints, strict=True):
                    if type(operand) is Value and adjoint is not None and type(adjoint) is not int:
                        operand.grad += adjoint
            else:
                for operand, partial in zip(args, op.partials_on_numbers, strict=True):
                    if type(operand) is Value:
                        adjoint = partial(g, node.data, *data)
                        if adjoint is not None and type(adjoint) is not int:
                            operand.grad += adjoint

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self.grad = 0

    def __record__(self, op: Operation, operands: Sequence[Any]) -> Any:
        """The node of an operation on these operands: what calling a row of the table with a Value does."""
        like: Number = next(x.data for x in operands if type(x) is Value)
        args = []
        for x in operands:
            if type(x) is not Value:
                if hasattr(x, "__record__"):
                    return x.__record__(op, operands)
                x = _constant(x, like)
            args.append(x)
        if op is ops.dot or op is ops.relu_dot:
            weights, inputs, bias = ieee.dot_operands(args)
            return linear(inputs, [(weights, bias)], op)[0]
        return record(op, tuple(args), op.function(*[x.data if type(x) is Value else x for x in args]))

    # The operators and methods below are rows of the table; `_define_operators` fills them in.
    __add__: Callable[[Value, Any], Value]
    __radd__: Callable[[Value, Any], Value]
    __sub__: Callable[[Value, Any], Value]
    __rsub__: Callable[[Value, Any], Value]
    __mul__: Callable[[Value, Any], Value]
    __rmul__: Callable[[Value, Any], Value]
    __truediv__: Callable[[Value, Any], Value]
    __rtruediv__: Callable[[Value, Any], Value]
    __pow__: Callable[[Value, Any], Value]
    __rpow__: Callable[[Value, Any], Value]
    __neg__: Callable[[Value], Value]
    __abs__: Callable[[Value], Value]
    exp: Callable[[Value], Value]
    log: Callable[[Value], Value]
    sqrt: Callable[[Value], Value]
    sin: Callable[[Value], Value]
    cos: Callable[[Value], Value]
    tanh: Callable[[Value], Value]
    sigmoid: Callable[[Value], Value]
    softplus: Callable[[Value], Value]
    relu: Callable[[Value], Value]
    abs: Callable[[Value], Value]

    def pow(self, exponent: Any) -> Value:
        """self ** exponent."""
        node: Value = self**exponent
        return node

    def max(self, *others: Any) -> Value:
        """The largest of this and the others; of equal ones the first."""
        node: Value = ops.max(self, *others)
        return node

    def min(self, *others: Any) -> Value:
        """The smallest of this and the others; of equal ones the first."""
        node: Value = ops.min(self, *others)
        return node

    def __pos__(self) -> Value:
        return self

    def __float__(self) -> float:
        return ieee.as_float(self.data)

    def __lt__(self, other: Any) -> bool:
        return bool(self.data < _data(other))

    def __le__(self, other: Any) -> bool:
        return bool(self.data <= _data(other))

    def __gt__(self, other: Any) -> bool:
        return bool(self.data > _data(other))

    def __ge__(self, other: Any) -> bool:
        return bool(self.data >= _data(other))

    def __repr__(self) -> str:
        label = f", label={self.label!r}" if self.label else ""
        return f"Value(data={self.data}, grad={self.grad}{label})"

    # micrograd's names, for programs that draw or walk the graph themselves.
    @property
    def _prev(self) -> tuple[Value, ...]:
        return tuple(dict.fromkeys(operand_nodes(self)))

    @property
    def _op(self) -> str:
        return self.op.symbol if self.op else ""

    # Copies and pickles are loops too: a graph is taken apart into a flat list of nodes and put together again.
    def __copy__(self) -> Value:
        return _restore(self.op, self.args, self.data, self.grad, self.label)

    def __deepcopy__(self, memo: dict[int, Any]) -> Value:
        for node in (*topological(self), self):
            if id(node) not in memo:
                args = tuple([_twin(arg, memo) for arg in node.args])
                memo[id(node)] = _restore(node.op, args, node.data, node.grad, node.label)
        duplicate: Value = memo[id(self)]
        return duplicate

    def __reduce__(self) -> tuple[Any, ...]:
        if not self.args:
            return _restore, (None, (), self.data, self.grad, self.label)
        order = topological(self)
        place = {node: i for i, node in enumerate(order)}
        rows = [
            (
                node.op,
                tuple(_Place(place[x]) if x in place else x for x in node.operands),
                node.data,
                node.grad,
                node.label,
            )
            for node in order
        ]
        return _restore_graph, (rows,)


def _twin(x: Any, memo: dict[int, Any]) -> Any:
    """The duplicate of an operand, or of a shared tuple of them. Inner nodes have theirs before they are asked for."""
    if type(x) is tuple and id(x) not in memo:
        memo[id(x)] = tuple([_twin(each, memo) for each in x])
    elif type(x) is Value and id(x) not in memo:
        memo[id(x)] = copy(x)
    return memo.get(id(x), x)


class _Place(int):
    """In a pickled graph, the operand that is the n-th of its nodes."""


def _restore(op: Operation | None, args: tuple[Any, ...], data: Number, grad: Number, label: str) -> Value:
    node = Value(data, label)
    node.grad, node.op, node.args = grad, op, args
    return node


def _restore_graph(rows: list[tuple[Operation, tuple[Any, ...], Number, Number, str]]) -> Value:
    order: list[Value] = []
    for op, operands, data, grad, label in rows:
        args: tuple[Any, ...] = tuple(order[x] if type(x) is _Place else x for x in operands)
        if op is ops.dot or op is ops.relu_dot:
            n = len(args) // 2
            args = (args[:n], args[n : 2 * n], args[-1])
        order.append(_restore(op, args, data, grad, label))
    return order[-1]


def one(x: Number) -> Number:
    """The one of x's carrier: of a float also for an int, which a program may have put into `.data`."""
    return 1.0 if type(x) is float or type(x) is int else type(x)(1)


def _data(x: Any) -> Number:
    return x.data if type(x) is Value else number(x)


def _constant(x: Any, like: Number) -> Number:
    """A plain number beside a Value: where its carrier can hold it exactly, in that carrier."""
    kind = type(like)
    if isinstance(x, int) and kind is not float:
        return kind(int(x))
    x = number(x)
    return kind(x) if type(x) is float and hasattr(like, "_mpf_") else x


_new = Value.__new__
_DOT, _RELU_DOT = ops.dot, ops.relu_dot


def record(op: Operation, args: tuple[Any, ...], data: Number) -> Value:
    """A new node, already evaluated."""
    node = _new(Value)
    node.data = data
    node.grad = 0
    node.label = ""
    node.op = op
    node.args = args
    node._mark = None
    if (watch := watch_forward) is not None:  # read once: another thread may switch it off
        watch(node)
    return node


def _unary(op: Operation) -> Callable[[Value], Value]:
    function = op.function

    def method(self: Value) -> Value:
        return record(op, (self,), function(self.data))

    return method


def _binary(op: Operation) -> Callable[[Value, Any], Value]:
    # Only a huge fraction beside a float makes these three raise, so Python's own operator is tried first.
    quick = {"add": operator.add, "sub": operator.sub, "mul": operator.mul}.get(op.name, op.function)

    def method(self: Value, other: Any) -> Any:
        if type(other) is Value:
            data = other.data
        elif type(other) is float:
            data = other
        elif type(other) is int and type(self.data) is float:
            data = other = ieee.as_float(other)
        else:
            return self.__record__(op, (self, other))
        try:
            return record(op, (self, other), quick(self.data, data))
        except OverflowError:
            return record(op, (self, other), op.function(self.data, data))

    return method


def _reflected(op: Operation) -> Callable[[Value, Any], Value]:
    function = op.function

    def method(self: Value, other: Any) -> Any:
        if type(self.data) is float and (type(other) is float or type(other) is int):
            other = ieee.as_float(other)
            return record(op, (other, self), function(other, self.data))
        return self.__record__(op, (other, self))

    return method


def _define_operators() -> None:
    for name, op in {"add": ops.add, "sub": ops.sub, "mul": ops.mul, "truediv": ops.div, "pow": ops.pow}.items():
        _define(f"__{name}__", _binary(op), op)
        _define(f"__r{name}__", _reflected(op), op)
    for name in ("exp", "log", "sqrt", "sin", "cos", "tanh", "sigmoid", "softplus", "relu", "abs"):
        _define(name, _unary(ops.by_name(name)), ops.by_name(name))
    _define("__neg__", _unary(ops.neg), ops.neg)
    _define("__abs__", _unary(ops.abs), ops.abs)


def _define(name: str, method: Callable[..., Any], op: Operation) -> None:
    method.__name__, method.__qualname__, method.__doc__ = name, f"Value.{name}", op.doc
    setattr(Value, name, method)


_define_operators()


def linear(inputs: Iterable[Any], rows: Iterable[tuple[Sequence[Any], Any]], op: Operation = ops.dot) -> list[Any]:
    """For each row (weights, bias) the node bias + w0*x0 + w1*x1 + …: what a layer of neurons computes.

    `op` is `ops.dot`, or `ops.relu_dot` for max(…, 0) in the same node. The inputs are read once for all rows.

    Raises:
        ValueError: a row has no weights, or not as many as there are inputs.
        TypeError: the inputs are no sequence, or an input, weight or bias is neither a Value nor a real number.
    """
    if not isinstance(inputs, Iterable):
        raise TypeError(f"expected the inputs as a sequence of numbers, got {type(inputs).__name__}: {inputs!r:.60}")
    xs = tuple(inputs)
    kinds = set(map(type, xs))
    if kinds != {float} and kinds != {Value}:
        rows = [(tuple(weights), bias) for weights, bias in rows]
        if any(map(_records_elsewhere, xs)):
            for ws, _ in rows:
                _check_lengths(ws, xs)
            return [op(*ws, *xs, bias) for ws, bias in rows]
        like = next((w.data for ws, _ in rows for w in ws if type(w) is Value), 0.0)
        xs = tuple(x if type(x) is Value else _constant(x, like) for x in xs)
        if Value in kinds:  # one kind in a node, so that the chain rule need not ask for each
            xs = tuple(map(_as_value, xs))
    data = [x.data for x in xs] if Value in kinds else xs
    nodes = []
    for weights, bias in rows:
        ws = tuple(weights)
        if len(ws) != len(xs) or not ws:
            _check_lengths(ws, xs)
        try:
            total = bias.data
            for w, x in zip(ws, data):  # noqa: B905 - the lengths are equal, and this is the hottest loop of all
                total += w.data * x
        except AttributeError:  # a weight or bias that is a plain number, or records elsewhere
            nodes.append(_mixed_dot(op, ws, xs, bias))
        else:
            nodes.append(record(op, (ws, xs, bias), total if total > 0 or op is _DOT else ieee.relu(total)))
    return nodes


def _check_lengths(ws: Sequence[Any], xs: Sequence[Any]) -> None:
    if len(ws) != len(xs) or not ws:
        raise ValueError(f"expected {len(ws) or 'at least one'} inputs, one for each weight, got {len(xs)}")


def _mixed_dot(op: Operation, ws: Sequence[Any], xs: tuple[Any, ...], bias: Any) -> Any:
    if any(map(_records_elsewhere, (*ws, bias))):
        return op(*ws, *xs, bias)
    like = next((x.data for x in (*ws, *xs) if type(x) is Value), 0.0)
    return linear(xs, [([_as_value(w, like) for w in ws], _as_value(bias, like))], op)[0]


def _records_elsewhere(x: Any) -> bool:
    return type(x) is not Value and hasattr(x, "__record__")


def _as_value(x: Any, like: Number = 0.0) -> Value:
    return x if type(x) is Value else Value(_constant(x, like))


def _accumulate_dot(g: Number, ws: tuple[Value, ...], xs: tuple[Any, ...], bias: Value) -> None:
    """The rule of `dot` on numbers, added where it belongs without a list in between; tested against the table's."""
    bias.grad += g
    if type(xs[0]) is Value:
        for w, x in zip(ws, xs):  # noqa: B905
            w.grad += g * x.data
            x.grad += g * w.data
    else:
        for w, x in zip(ws, xs):  # noqa: B905
            w.grad += g * x


def _flows(adjoint: Any) -> bool:
    """Whether a rule let a gradient through: not when it is None, or a `where` that selected a 0."""
    while type(adjoint) is Value and adjoint.op is ops.where:
        condition, x, y = adjoint.args
        adjoint = x if condition > 0 else y
    return adjoint is not None and (type(adjoint) is Value or adjoint != 0)


@overload
def gradient(output: Value, inputs: Value) -> Value: ...
@overload
def gradient(output: Value, inputs: Iterable[Value]) -> list[Value]: ...
def gradient(output: Value, inputs: Value | Iterable[Value]) -> Value | list[Value]:
    """d(output)/d(input) as Values, which can be differentiated again. No `.grad` changes.

    Returns one Value for one input, a list for several; 0 for an input the output does not depend on. Costs a constant
    times the part of the graph between the inputs and the output.

    >>> x = Value(3.0)
    >>> first = gradient(x**4, x)
    >>> first.data, gradient(gradient(first, x), x).data
    (108.0, 72.0)

    Raises:
        TypeError: the output or an input is not a Value.
    """
    sources = list(inputs) if isinstance(inputs, Iterable) else [inputs]
    for x in (output, *sources):
        if not isinstance(x, Value):
            raise TypeError(f"expected a Value to differentiate, got {type(x).__name__}: {x!r:.60}")
    adjoints: dict[Value, Any] = {output: one(output.data)}
    through = dependents(topological(output), *sources)
    wanted = {*through, *sources}
    for node in reversed(through):
        if node.op is None or node not in adjoints:
            continue
        operands = node.operands
        for operand, adjoint in zip(operands, node.op.adjoints(adjoints[node], node, operands), strict=True):
            if operand in wanted and _flows(adjoint):
                adjoints[operand] = adjoints[operand] + adjoint if operand in adjoints else adjoint
    results = [_as_value(adjoints[x]) if x in adjoints else Value(ieee.zero(x.data)) for x in sources]
    return results[0] if isinstance(inputs, Value) else results
