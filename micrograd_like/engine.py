"""`Value`: a number that remembers how it was computed, and the chain rule run backwards over what it remembers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar, overload

from micrograd_like import ieee, ops
from micrograd_like.checks import listed, shown
from micrograd_like.graph import Vector, dependents, operand_nodes, parts, topological
from micrograd_like.ieee import Number, number
from micrograd_like.ops import Operation

# Called with every node that is recorded and every gradient that is computed, while `detect_anomaly` is on.
watch_forward: Callable[[Value], None] | None = None
watch_backward: Callable[[Value], None] | None = None
watch_float: Callable[[Value], None] | None = None  # called with every Value that becomes a plain number, likewise


def record(op: Operation, left: Any, right: Any, data: Number) -> Value:
    """A new node, already evaluated."""
    node = _new(Value)
    node.data = data
    node.grad = 0
    node.label = ""
    node.op = op
    node.left = left
    node.right = right
    node._mark = None
    if (watch := watch_forward) is not None:  # read once: another thread may switch it off
        watch(node)
    return node


# Operators and methods of `Value`, made from rows.

_Method = TypeVar("_Method", bound=Callable[..., Any])


def _unary(op: Operation) -> Callable[[Value], Value]:
    function = op.function

    def method(self: Value) -> Value:
        return record(op, self, None, function(self.data))

    return _named(method, op)


def _binary(op: Operation) -> Callable[[Value, Any], Value]:
    quick = getattr(op.function, "__wrapped__", op.function)  # without its care for what is beyond the range of floats

    def method(self: Value, other: Any) -> Any:
        try:
            if type(other) is Value:
                data = other.data
            elif type(other) is float:
                data = other
            elif type(other) is int and type(self.data) is float:
                data = other = float(other)
            else:
                return self.__record__(op, (self, other))
            data = quick(self.data, data)
        except OverflowError:
            return self.__record__(op, (self, other))
        node = _new(Value)  # as `record`, without the call
        node.data = data
        node.grad = 0
        node.label = ""
        node.op = op
        node.left = self
        node.right = other
        node._mark = None
        if (watch := watch_forward) is not None:
            watch(node)
        return node

    return _named(method, op)


def _reflected(op: Operation) -> Callable[[Value, Any], Value]:
    function = op.function

    def method(self: Value, other: Any) -> Any:
        if type(other) is int and type(self.data) is float:
            other = ieee.as_float(other)
        if type(other) is float and type(self.data) is float:
            return record(op, other, self, function(other, self.data))
        return self.__record__(op, (other, self))

    return _named(method, op)


def _named(method: _Method, op: Operation) -> _Method:
    method.__name__, method.__qualname__, method.__doc__ = op.name, f"Value.{op.name}", op.doc
    return method


class Value:
    """Hold a number, record the operations it takes part in, and collect its gradient.

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

    __slots__ = ("data", "grad", "label", "op", "left", "right", "_mark")

    data: Number  # the number itself
    grad: Number  # d(root)/d(this) of the roots propagated so far; the integer 0 until then, or None, which is set by users
    label: str
    op: Operation | None  # what computed it; None for a leaf
    left: Any  # its first operand: a Value, a number, or a Vector of more than two; None for a leaf
    right: Any  # its second operand, or None
    _mark: object  # see graph.py

    is_symbol = False  # whether it stands for a number that is not known yet; see `ops.gate`
    __array_ufunc__ = None  # so that NumPy leaves `np.float64(2) * value` to the Value

    def __init__(self, data: Any, label: str = "") -> None:
        if not isinstance(label, str):
            raise TypeError(f"expected a text as label, got {type(label).__name__}: {label!r:.60}")
        self.data = data if type(data) is float else number(data)
        self.grad = 0
        self.label = label
        self.op = self.left = self.right = self._mark = None

    def __init_subclass__(cls, *, is_symbol: bool = False) -> None:
        if not is_symbol:
            raise TypeError(
                "Value cannot be subclassed: a walk knows a node by its type; hold a Value, or add a row to ops.TABLE"
            )
        cls.is_symbol = True  # it records elsewhere, and no walk meets it

    @property
    def operands(self) -> tuple[Any, ...]:
        """What the operation was applied to, flat and in its order: Values and plain numbers; () for a leaf."""
        left, right = self.left, self.right
        if type(left) is Vector:
            return left.items if right is None else left.items + right.items
        return () if left is None else (left,) if right is None else (left, right)

    @property
    def has_gradient(self) -> bool:
        """Whether a gradient has flowed here, be it 0.0, since this was made or `zero_grad` was called."""
        return type(self.grad) is not int and self.grad is not None

    def backward(self) -> None:
        """Add d(self)/d(leaf) to every leaf's `.grad`; inner nodes hold this pass's d(self)/d(node). Linear cost."""
        order = topological(self, without_grad=True)
        self.grad = one(self.data) if self.grad is None else self.grad + one(self.data)
        kind, watch = Value, watch_backward
        for node in reversed(order):
            g = node.grad
            if type(g) is int:  # nothing flowed here: 0 times an infinite derivative further down would be nan
                node.grad = ieee.zero(node.data)
                continue
            if watch is not None:
                watch(node)
            try:
                node.op.pull(node, g, kind)
            except (OverflowError, TypeError) as error:
                _pull_carefully(node, g, error)

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self.grad = 0

    def __record__(self, op: Operation, operands: Sequence[Any]) -> Any:
        """The node of an operation on these operands: what calling a row of the table with a Value does."""
        like: Number = next(x.data for x in operands if type(x) is Value)
        args: list[Any] = []
        for x in operands:
            if type(x) is not Value:
                if hasattr(x, "__record__"):
                    return x.__record__(op, operands)
                x = _constant(x, like)
            args.append(x)
        data = op.function(*map(_data, args))
        if op is ops.dot or op is ops.relu_dot:
            weights, bias, inputs = ops.dot_operands(args)
            return record(op, _of_one_kind((*weights, bias)), _of_one_kind(inputs), data)
        if len(args) > 2:
            return record(op, Vector(args), None, data)
        return record(op, args[0], args[1] if len(args) == 2 else None, data)

    __add__, __radd__ = _binary(ops.add), _reflected(ops.add)
    __sub__, __rsub__ = _binary(ops.sub), _reflected(ops.sub)
    __mul__, __rmul__ = _binary(ops.mul), _reflected(ops.mul)
    __truediv__, __rtruediv__ = _binary(ops.div), _reflected(ops.div)
    __pow__, __rpow__ = _binary(ops.pow), _reflected(ops.pow)
    __neg__, __abs__ = _unary(ops.neg), _unary(ops.abs)
    exp, log, sqrt, sin, cos = map(_unary, (ops.exp, ops.log, ops.sqrt, ops.sin, ops.cos))
    tanh, sigmoid, softplus = map(_unary, (ops.tanh, ops.sigmoid, ops.softplus))
    relu, abs, pow = _unary(ops.relu), __abs__, __pow__

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
        if (watch := watch_float) is not None:
            watch(self)
        return ieee.as_float(self.data)

    def __lt__(self, other: Any) -> bool:
        return bool(self.data < _number(other))

    def __le__(self, other: Any) -> bool:
        return bool(self.data <= _number(other))

    def __gt__(self, other: Any) -> bool:
        return bool(self.data > _number(other))

    def __ge__(self, other: Any) -> bool:
        return bool(self.data >= _number(other))

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
        return _restore(self.op, self.left, self.right, self.data, self.grad, self.label)

    def __deepcopy__(self, memo: dict[int, Any]) -> Value:
        def twin(x: Any) -> Any:
            return memo[id(x)] if type(x) in _PARTS else x

        for part in parts(self):
            if id(part) not in memo:
                memo[id(part)] = _rebuilt(_state(part, twin))
        duplicate: Value = memo[id(self)]
        return duplicate

    def __reduce__(self) -> tuple[Any, ...]:
        flat = parts(self)
        place = {part: _Place(i) for i, part in enumerate(flat)}
        return _restore_graph, ([_state(part, lambda x: place[x] if type(x) in _PARTS else x) for part in flat],)


_PARTS = (Value, Vector)


class _Place(int):
    """In a pickled graph, the operand that is the n-th of its parts."""


def _state(part: Any, operand: Callable[[Any], Any]) -> Any:
    """What a part of a graph is made of, its operands replaced: a list for a Vector, a tuple for a Value."""
    if type(part) is Vector:
        return [*map(operand, part.items)]
    return part.op, operand(part.left), operand(part.right), part.data, part.grad, part.label


def _rebuilt(state: Any) -> Any:
    return Vector(state) if type(state) is list else _restore(*state)


def _restore(op: Operation | None, left: Any, right: Any, data: Number, grad: Number, label: str) -> Value:
    node = Value(data, label)
    node.op, node.left, node.right, node.grad = op, left, right, grad
    return node


def _restore_graph(states: list[Any]) -> Value:
    made: list[Any] = []
    for state in states:
        made.append(_rebuilt(type(state)(made[x] if type(x) is _Place else x for x in state)))
    return made[-1]  # type: ignore[no-any-return]  # the last part is the node that was pickled


_new = Value.__new__


def one(x: Number) -> Number:
    """The one of x's carrier: of a float also for an int, which a program may have put into `.data`."""
    return 1.0 if type(x) is float or type(x) is int else type(x)(1)


def _data(x: Any) -> Number:
    return x.data if type(x) is Value else x


def _number(x: Any) -> Number:
    return x.data if type(x) is Value else number(x)


def _constant(x: Any, like: Number) -> Number:
    """A plain number beside a Value: where its carrier can hold it exactly, in that carrier."""
    kind = type(like)
    if isinstance(x, int) and kind is not float:
        return kind(int(x))
    x = number(x)
    return kind(x) if type(x) is float and hasattr(like, "_mpf_") else x


def _of_one_kind(xs: Sequence[Any]) -> Vector:
    """All Values or all numbers, so that a walk and the chain rule need not ask for each: constants become leaves."""
    if Value in set(map(type, xs)):
        xs = [x if type(x) is Value else Value(x) for x in xs]
    return Vector(xs)


def _pull_carefully(node: Value, g: Number, error: Exception) -> None:
    """The rest of a pull that met a fraction beyond the range of floats, or a gradient of None: an infinity, and a 0.

    The first has added nothing; the second what comes before it in the order of the sums. Any other error is raised.
    """
    assert node.op is not None
    operands = node.operands
    adjoints = node.op.vjp_of_numbers(g, node.data, *map(_data, operands))
    sums = [(operands[i], adjoints[i]) for i in node.op.order(len(operands))]
    sums = [(x, d) for x, d in sums if type(x) is Value and d is not None]
    if isinstance(error, TypeError):
        sums = sums[next((k for k, (x, _) in enumerate(sums) if x.grad is None), len(sums)) :]
        if not sums:
            raise error
    for x, d in sums:
        x.grad = ieee.add(0 if x.grad is None else x.grad, d)


def vector(xs: Any, beside: Any = 0.0) -> Vector | tuple[Any, ...]:
    """Operands to be read together: a Vector of Values or of plain numbers. A single one is a vector of one.

    Args:
        xs: Values and numbers; a Vector is returned as it is. Symbols, which record elsewhere, come back in a tuple.
        beside: what they will be multiplied with, a Value or a number: whole numbers get its carrier.

    Raises:
        TypeError: xs is no sequence, or one of them is neither a Value nor a real number.
    """
    if type(xs) is Vector:
        return xs
    if isinstance(xs, (Value, float, int)):
        items: tuple[Any, ...] = (xs,)
    elif hasattr(xs, "__array__") and hasattr(xs, "tolist") and getattr(xs, "shape", None):
        items = tuple(xs.tolist())  # Python's own numbers
    else:
        items = tuple(listed("the inputs", xs, "a sequence of numbers"))
    kinds = set(map(type, items))
    if kinds == {float} or kinds == {Value}:
        return Vector(items)
    if any(type(x) is not Value and hasattr(x, "__record__") for x in items):
        return items
    like = next((x.data for x in (*items, beside) if type(x) is Value), 0.0)
    for x in items:
        if hasattr(x, "__len__") and not isinstance(x, str):
            raise TypeError(
                f"expected the numbers of one sample as inputs, got {type(x).__name__} among them: {shown(x)}; "
                "for several samples call it with each: [model(x) for x in rows]"
            )
    return _of_one_kind([x if type(x) is Value else _constant(x, like) for x in items])


def linear(row: Vector, inputs: Vector | tuple[Any, ...], op: Operation = ops.dot) -> Any:
    """The node w0*x0 + w1*x1 + … + b, summed from the bias on: what a neuron computes from `vector`s.

    Args:
        row: the weights and the bias.
        inputs: as many as weights.
        op: `ops.dot`, or `ops.relu_dot` for max(…, 0) in the same node.

    Raises:
        ValueError: there are no weights, or not as many as inputs.
    """
    weights = row.items
    xs = inputs.items if type(inputs) is Vector else inputs
    if len(weights) - len(xs) != 1 or not xs:
        raise ValueError(f"expected {len(weights) - 1 or 'at least one'} inputs, one for each weight, got {len(xs)}")
    if xs is inputs:
        return op(*weights, *xs)
    try:
        total = weights[-1].data
        if type(xs[0]) is Value:
            for w, x in zip(weights, xs):  # noqa: B905 - the last of the weights is the bias, which has no input
                total += w.data * x.data
        else:
            for w, x in zip(weights, xs):  # noqa: B905
                total += w.data * x
    except (AttributeError, TypeError):  # a plain number (NumPy's has other `data`), or a symbol, which has none
        return op(*weights, *xs)
    except OverflowError:
        total = ops.dot.function(*[w.data for w in weights], *map(_data, xs))
    return record(op, row, inputs, total if total > 0 or op is _DOT else ieee.relu(total))


_DOT = ops.dot


@overload
def gradient(output: Value, inputs: Value) -> Value: ...
@overload
def gradient(output: Value, inputs: Iterable[Value]) -> list[Value]: ...
def gradient(output: Value, inputs: Value | Iterable[Value]) -> Value | list[Value]:
    """Return d(output)/d(input) as Values, which can be differentiated again. No `.grad` changes.

    Returns one Value for one input, a list for several; 0 for an input the output does not depend on. They are the very
    numbers that `backward` adds to `.grad`. Costs a constant times the part of the graph between the inputs and the
    output. Of a function with pieces, such as ReLU, it is the gradient of the piece where the inputs are.

    >>> x = Value(3.0)
    >>> first = gradient(x**4, x)
    >>> first.data, gradient(gradient(first, x), x).data
    (108.0, 72.0)

    Raises:
        TypeError: the output or an input is not a Value.
    """
    sources = listed("inputs", inputs, "Values") if isinstance(inputs, Iterable) else [inputs]
    for x in (output, *sources):
        if not isinstance(x, Value):
            raise TypeError(f"expected a Value to differentiate, got {type(x).__name__}: {x!r:.60}")
    adjoints: dict[Value, Any] = {output: one(output.data)}
    through = dependents(topological(output), *sources)
    wanted = {*through, *sources}
    for node in reversed(through):
        if node not in adjoints:
            continue
        operands = node.operands
        g = adjoints[node]
        try:
            flows = node.op.vjp(g, node, *operands)
        except OverflowError:  # plain numbers of which one is beyond floats; recorded ones follow IEEE 754
            flows = node.op.vjp(Value(g), node, *operands)
        for i in node.op.order(len(operands)):
            x, d = operands[i], flows[i]
            if d is not None and x in wanted:
                adjoints[x] = ops.add(adjoints.get(x, 0), d) if x in adjoints or _data(d) == 0 else d
    results = [adjoints[x] if x in adjoints else ieee.zero(x.data) for x in sources]
    values = [x if type(x) is Value else Value(x) for x in results]
    return values[0] if isinstance(inputs, Value) else values
