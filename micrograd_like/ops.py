"""THE table: every operation is one row, and everything else reads that row.

A row says what an operation is called, how it is evaluated, how it is differentiated and where it is smooth. The engine
evaluates and differentiates rows, drawings print their symbols, tests loop over them and the compiler translates them.
A composed row has one definition, its `expansion` in simpler rows; its function for numbers is that text, bound to the
functions for numbers.

A derivative rule is given `g`, the derivative of the final result with respect to this operation's result, then the
result itself and the operands; it returns the derivative with respect to an operand: g · ∂out/∂operand. It is written
in the algebra it differentiates, with rows of this table and the operators + - *, never with a division that can raise
or an `if` on a value. So one rule runs on floats, on fractions, on 50-digit numbers, on `Value`s (and then the gradient
can be differentiated again) and on symbols, such as a compiler's. None says: no gradient flows here. Then none is
passed on, for 0 times an infinite derivative would be nan. `gate` decides between a gradient and None.

Conventions at kinks: relu'(0) = 0, abs'(0) = 0, and operands that tie in max or min share the gradient equally.
"""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from types import FunctionType
from typing import Any, TypeVar

from micrograd_like import ieee
from micrograd_like.ieee import Number

Rule = Callable[..., Any]
_F = TypeVar("_F", bound=Rule)

# The rows' plain functions under the rows' names: text bound to these runs on numbers without a look at their types.
_NUMBERS: dict[str, Any] = {"__builtins__": builtins, "ieee": ieee}


def _on_numbers(text: Rule) -> Rule:
    """A rule or an expansion bound to the rows' functions for numbers; one from another module keeps its own names."""
    if not isinstance(text, FunctionType) or text.__globals__ is not globals():
        return text
    return FunctionType(text.__code__, _NUMBERS, text.__name__, text.__defaults__, text.__closure__)


def gate(condition: Any, g: Any, otherwise: Any = None, *operands: Any) -> Any:
    """In a rule: g where the condition is positive, else `otherwise`. Either may be None: no gradient flows there.

    With operands `otherwise` is a function of them, called where it is needed. A symbol has no number to decide by: both
    branches are recorded, with 0 for None.
    """
    if getattr(condition, "is_symbol", False):
        otherwise = otherwise(*operands) if operands else otherwise
        return where(condition, 0 if g is None else g, 0 if otherwise is None else otherwise)
    return _gate_of_numbers(condition, g, otherwise, *operands)


def _gate_of_numbers(condition: Any, g: Any, otherwise: Any = None, *operands: Any) -> Any:
    return g if condition > 0 else otherwise(*operands) if operands else otherwise


_NUMBERS["gate"] = _gate_of_numbers


def _helper(function: _F) -> _F:
    """Let rules and expansions call this function, on numbers too."""
    _NUMBERS[function.__name__] = _on_numbers(function)
    return function


@dataclass(eq=False, slots=True)
class Operation:
    """One row of the table. Calling it evaluates numbers and records anything that has a `__record__` method."""

    name: str
    symbol: str  # how a drawing and a formula print it
    function: Callable[..., Number]  # its value, for numbers of any carrier
    partials: tuple[Rule, ...] = ()  # one rule per operand, for a fixed number of operands
    pullback: Rule | None = None  # all operands' derivatives in one list, for any number of operands
    domain: tuple[str, ...] = ("real",)  # per operand, where it is smooth: "real", "positive" or "nonzero"
    switches: Callable[..., Sequence[Number]] | None = None  # one is zero at a kink; their signs name the piece
    expansion: Callable[..., Any] | None = None  # the same in simpler rows, evaluated in the same order
    doc: str = field(default="", kw_only=True)
    formula: str = field(default="", kw_only=True)  # for titles, as `drawing/formula.py` reads it; "" is name(operands)
    pull: Callable[[Any, Number, Any], None] | None = field(default=None, kw_only=True)  # see `_pull_one` and the like
    order: Callable[[int], Iterable[int]] = field(default=range, kw_only=True)  # in which operands get their sums
    vjp_of_numbers: Callable[..., list[Any]] = field(init=False)  # `vjp`, faster, for plain numbers alone

    def __post_init__(self) -> None:
        rules = tuple(map(_on_numbers, self.partials))
        if self.pullback is None:
            self.vjp_of_numbers = ieee.overflow_safe(lambda g, out, *xs: [rule(g, out, *xs) for rule in rules])
        else:
            self.vjp_of_numbers = ieee.overflow_safe(_on_numbers(self.pullback))
        if self.pull is None:
            factory: Any = {1: _pull_one, 2: _pull_two}.get(len(rules))
            self.pull = factory(*rules) if factory else _pull_many(self.vjp_of_numbers, self.order)

    @property
    def arity(self) -> int | None:
        """The number of operands; None for any number."""
        return len(self.partials) or None

    def __call__(self, *operands: Any) -> Any:
        for operand in operands:
            if type(operand) is not float:
                if record := getattr(operand, "__record__", None):
                    return record(self, operands)
                ieee.number(operand)
        return self.function(*operands)

    def vjp(self, g: Any, out: Any, *operands: Any) -> list[Any]:
        """The vector-Jacobian product: g · ∂out/∂operand for each operand in turn, None where no gradient flows.

        All may be numbers, Values or symbols.

        >>> mul.vjp(1.0, 6.0, 2.0, 3.0), relu.vjp(1.0, 0.0, -2.0)
        ([3.0, 2.0], [None])
        """
        if self.pullback is not None:
            return _one_for_each(self, list(self.pullback(g, out, *operands)), operands)
        return [rule(g, out, *operands) for rule in self.partials]

    def __repr__(self) -> str:
        return f"ops.{self.name}"

    def __reduce__(self) -> tuple[Any, ...]:
        return by_name, (self.name,)

    def __deepcopy__(self, memo: dict[int, Any]) -> Operation:
        return self  # also one that is not in the table, such as a user's activation in a model


# From rules to what a backward pass calls: `pull(node, g, kind)` adds what the rules say to the `.grad` of those
# operands that are of this kind, the type of nodes. All rules run before the first sum, so that one that raises has changed nothing.


def _pull_one(dx: Rule) -> Rule:
    def pull(node: Any, g: Number, kind: Any) -> None:
        x = node.left
        if (d := dx(g, node.data, x.data)) is not None:
            x.grad += d

    return pull


def _pull_two(dx: Rule, dy: Rule) -> Rule:
    def pull(node: Any, g: Number, kind: Any) -> None:
        x, y, out = node.left, node.right, node.data
        if type(y) is not kind:
            if (d := dx(g, out, x.data, y)) is not None:
                x.grad += d
        elif type(x) is not kind:
            if (d := dy(g, out, x, y.data)) is not None:
                y.grad += d
        else:
            a, b = x.data, y.data
            d = dx(g, out, a, b)
            e = dy(g, out, a, b)
            if d is not None:
                x.grad += d
            if e is not None:
                try:
                    y.grad += e
                except OverflowError:
                    y.grad = ieee.add(y.grad, e)

    return pull


# The rules of add and mul, the most frequent of all, without the calls; the tests hold them to the rows.


def _pull_add(node: Any, g: Number, kind: Any) -> None:
    x, y = node.left, node.right
    if type(x) is kind:
        x.grad += g
    if type(y) is kind:
        try:
            y.grad += g
        except OverflowError:
            y.grad = ieee.add(y.grad, g)


def _pull_mul(node: Any, g: Number, kind: Any) -> None:
    x, y = node.left, node.right
    if type(y) is not kind:
        x.grad += g * y
    elif type(x) is not kind:
        y.grad += g * x
    else:
        d = g * y.data
        e = g * x.data
        x.grad += d
        try:
            y.grad += e
        except OverflowError:
            y.grad = ieee.add(y.grad, e)


def _pull_many(vjp: Rule, order: Callable[[int], Iterable[int]]) -> Rule:
    def pull(node: Any, g: Number, kind: Any) -> None:
        operands = node.operands
        data = [x.data if type(x) is kind else x for x in operands]
        adjoints = _one_for_each(node.op, vjp(g, node.data, *data), data)
        for i in order(len(operands)):
            x, d = operands[i], adjoints[i]
            if d is not None and type(x) is kind:
                try:
                    x.grad += d
                except OverflowError:
                    x.grad = ieee.add(x.grad, d)

    return pull


def _one_for_each(op: Operation, derivatives: list[Any], operands: Sequence[Any]) -> list[Any]:
    if len(derivatives) != len(operands):
        several = "derivative" if len(derivatives) == 1 else "derivatives"
        raise ValueError(
            f"the rule of {op.name} gave {len(derivatives)} {several} for {len(operands)} operands; expected one for each, "
            "None where no gradient flows"
        )
    return derivatives


TABLE: dict[str, Operation] = {}


def by_name(name: str) -> Operation:
    """The row of that name. Raises ValueError for an unknown one."""
    if name not in TABLE:
        raise ValueError(f"unknown operation {name!r}; the table has {', '.join(TABLE)}")
    return TABLE[name]


def row(name: str, symbol: str, function: Callable[..., Number], *partials: Rule, **more: Any) -> Operation:
    """Add a row to the table. Raises ValueError when the name is taken."""
    if name in TABLE:
        raise ValueError(f"the table already has an operation {name!r}")
    TABLE[name] = operation = Operation(name, symbol, function, partials, **more)
    _NUMBERS[name] = function
    return operation


def composed(name: str, symbol: str, expansion: Callable[..., Any], *partials: Rule, **more: Any) -> Operation:
    """Add a row that is defined by an expansion in simpler rows. Raises ValueError when the name is taken."""
    function = ieee.overflow_safe(_on_numbers(expansion))
    return row(name, symbol, function, *partials, expansion=expansion, **more)


@_helper
def _sum(*xs: Any) -> Any:
    total = xs[0]  # from left to right; Python's own `sum` rounds differently from version 3.12 on
    for x in xs[1:]:
        total = total + x
    return total


@_helper
def dot_operands(operands: Sequence[Any]) -> tuple[Any, Any, Any]:
    """The weights, the bias and the inputs of a dot product. Raises ValueError when they are not that many."""
    n, odd = divmod(len(operands), 2)
    if not odd or not n:
        raise ValueError(f"expected weights, a bias, and as many inputs as weights; got {len(operands)} operands")
    return operands[:n], operands[n], operands[n + 1 :]


@_helper
def _dot(*operands: Any) -> Any:
    weights, total, inputs = dot_operands(operands)
    for w, x in zip(weights, inputs, strict=True):
        total = total + w * x
    return total


def _sigmoid_prime(x: Any) -> Any:
    e = exp(-abs(x))  # the same on both sides of 0, and it neither overflows nor cancels
    return div(e, (1 + e) * (1 + e))


def _pow_by_base(g: Any, out: Any, x: Any, y: Any) -> Any:
    return gate(abs(y), g * (y * pow(x, y - 1)), _zeroth_power_by_base, g, x, y)


@_helper
def _zeroth_power_by_base(g: Any, x: Any, y: Any) -> Any:
    near_zero = div(g * y, where(abs(x), x, 1))  # where y * x ** (y - 1) would be 0 times an infinity
    return gate(abs(x) * 10**100 - 1, g * (y * pow(x, y - 1)), near_zero)


def _pow_by_exponent(g: Any, out: Any, x: Any, y: Any) -> Any:
    slope = g * (out * log(x))
    flat = 0 * x + where(1 + abs(y), 0, y)  # 0 ** y is flat for y >= 0; where x or y is nan, so is this
    return gate(abs(x), slope, gate(-y, slope, flat))


def _dot_pullback(g: Any, out: Any, *operands: Any) -> list[Any]:
    weights, _, inputs = dot_operands(operands)
    return [*[g * x for x in inputs], g, *[g * w for w in weights]]


def _relu_dot_pullback(g: Any, out: Any, *operands: Any) -> list[Any]:
    weights, _, inputs = dot_operands(operands)
    return [*[gate(out, g * x) for x in inputs], gate(out, g), *[gate(out, g * w) for w in weights]]


def _dot_order(operands: int) -> list[int]:
    n = operands // 2
    return [n, *chain.from_iterable(zip(range(n), range(n + 1, operands), strict=True))]


_pull_dot_by_rule = _pull_many(_on_numbers(_dot_pullback), _dot_order)


def _pull_dot(node: Any, g: Number, kind: Any) -> None:
    """The rule of `dot`, and of an open `relu_dot`, without a list in between: the hottest loop of all."""
    if node.op is relu_dot and not node.data > 0:
        return
    weights, inputs = node.left.items, node.right.items
    if type(weights[0]) is not kind:
        _pull_dot_by_rule(node, g, kind)
        return
    weights[-1].grad += g
    pairs = zip(weights, inputs)  # noqa: B905 - the last of `weights` is the bias
    try:
        if type(inputs[0]) is kind:
            for w, x in pairs:
                d, e = g * x.data, g * w.data
                w.grad += d
                try:
                    x.grad += e
                except OverflowError:
                    x.grad = ieee.add(x.grad, e)
        else:
            for w, x in pairs:
                w.grad += g * x
    except OverflowError:  # of a pair that has added nothing yet
        rest = [(w, x), *pairs]
        for w, x in rest:
            is_node = type(x) is kind
            w.grad = ieee.add(w.grad, ieee.mul(g, x.data if is_node else x))
            if is_node:
                x.grad = ieee.add(x.grad, ieee.mul(g, w.data))


@_helper
def _finite_max(*xs: Any) -> Any:
    """The largest; where it is infinite a finite number, so that what it is subtracted from stays infinite."""
    largest = max(*xs)
    return where(1 + (largest - largest), largest, 1.7976931348623157e308)


def _logsumexp(*xs: Any) -> Any:
    shift = _finite_max(*xs)
    return shift + log(_sum(*[exp(x - shift) for x in xs]))


def _logsumexp_pullback(g: Any, out: Any, *xs: Any) -> list[Any]:
    """Each operand's share of the sum; computed anew, as the result has lost the digits behind a large operand."""
    shift = _finite_max(*xs)
    powers = [exp(x - shift) for x in xs]
    total = sum(*powers)
    total = where(total, total, 1)  # when all operands are -inf, each has the gradient 0
    return [g * div(power, total) for power in powers]


def _gather(index: Any, *xs: Any) -> Any:
    chosen: Any = ieee.NAN
    for i, x in enumerate(xs):
        chosen = where(0.5 - abs(index - i), x, chosen)
    return chosen


def _gather_pullback(g: Any, out: Any, index: Any, *xs: Any) -> list[Any]:
    return [None, *[gate(0.5 - abs(index - i), g) for i in range(len(xs))]]


def _gap_to_best_other(xs: Sequence[Number], best: Callable[..., Number]) -> list[Number]:
    """Each operand less the best of the others: its sign says whether it wins, and zero that it ties."""
    return [x - best(*others) for i, x in enumerate(xs) if (others := (*xs[:i], *xs[i + 1 :]))]


def _max_pullback(g: Any, out: Any, *xs: Any) -> list[Any]:
    return _to_the_best(g, [out - x for x in xs])


def _min_pullback(g: Any, out: Any, *xs: Any) -> list[Any]:
    return _to_the_best(g, [x - out for x in xs])


@_helper
def _to_the_best(g: Any, gaps: list[Any]) -> list[Any]:
    """The gradient goes to the operands that are not behind the result, in equal parts."""
    share = div(g, sum(*[where(gap, 0, 1) for gap in gaps]))
    return [gate(gap, None, share) for gap in gaps]


# fmt: off
# Arithmetic
add: Operation = row("add", "+", ieee.add, lambda g, out, x, y: g,           lambda g, out, x, y: g,                      pull=_pull_add, formula="{0:1} + {1:2}", doc="x + y")
sub: Operation = row("sub", "-", ieee.sub, lambda g, out, x, y: g,           lambda g, out, x, y: -g,                     formula="{0:1} − {1:2}", doc="x - y")
mul: Operation = row("mul", "*", ieee.mul, lambda g, out, x, y: g * y,       lambda g, out, x, y: g * x,                  pull=_pull_mul, formula="{0:2}·{1:2}", doc="x · y")
div: Operation = row("div", "/", ieee.div, lambda g, out, x, y: div(g, y),   lambda g, out, x, y: -g * div(out, y),       formula="{0:2}/{1:3}", doc="x / y", domain=("real", "nonzero"))
neg: Operation = row("neg", "-", operator.neg, lambda g, out, x: -g,                                                      formula="−{0:2}", doc="-x")
pow: Operation = row("pow", "**", ieee.pow, _pow_by_base, _pow_by_exponent, domain=("positive", "real"), formula="{0:3}{1:^}", doc="x to the power y")

# Functions of one number. Each rule is the form that stays accurate where the textbook's cancels or overflows.
exp: Operation = row("exp",      "exp",      ieee.exp,      lambda g, out, x: g * out,                formula="e{0:^}", doc="e to the power x")
log: Operation = row("log",      "log",      ieee.log,      lambda g, out, x: div(g, x),              doc="natural logarithm", domain=("positive",))
sqrt: Operation = row("sqrt",     "sqrt",     ieee.sqrt,     lambda g, out, x: div(g, 2 * out),        formula="√{0:3}", doc="square root",       domain=("positive",))
sin: Operation = row("sin",      "sin",      ieee.sin,      lambda g, out, x: g * cos(x),             doc="sine of x in radians")
cos: Operation = row("cos",      "cos",      ieee.cos,      lambda g, out, x: -g * sin(x),            doc="cosine of x in radians")
tanh: Operation = row("tanh",     "tanh",     ieee.tanh,     lambda g, out, x: g * (4 * sigmoid_prime(2 * x)), doc="hyperbolic tangent")
sigmoid: Operation = row("sigmoid",  "sigmoid",  ieee.sigmoid,  lambda g, out, x: g * sigmoid_prime(x),   doc="1 / (1 + e^-x)")
softplus: Operation = row("softplus", "softplus", ieee.softplus, lambda g, out, x: g * sigmoid(x),         doc="log(1 + e^x)")
sigmoid_prime: Operation = composed("sigmoid_prime", "sigmoid′", _sigmoid_prime, lambda g, out, x: -g * (out * tanh(0.5 * x)), formula="sigmoid′({0})", doc="the derivative of sigmoid: e^-x / (1 + e^-x)²")

# Functions with a kink
relu: Operation = row("relu",  "ReLU",  ieee.relu,  lambda g, out, x: gate(x, g),                     doc="max(x, 0)", switches=lambda x: [x])
abs: Operation = row("abs",   "abs",   operator.abs, lambda g, out, x: gate(x, g, gate(-x, -g)),      formula="|{0}|", doc="|x|",       switches=lambda x: [x])
where: Operation = row("where", "where", ieee.where, lambda g, out, c, x, y: None, lambda g, out, c, x, y: gate(c, g), lambda g, out, c, x, y: gate(c, None, g),
            domain=("nonzero", "real", "real"), switches=lambda c, x, y: [c], formula="{1} if {0} > 0 else {2}", doc="x where the condition is positive, else y")

# Operations on any number of operands
max: Operation = row("max", "max", ieee.max, pullback=_max_pullback, switches=lambda *xs: _gap_to_best_other(xs, ieee.max), doc="the largest")
min: Operation = row("min", "min", ieee.min, pullback=_min_pullback, switches=lambda *xs: _gap_to_best_other(xs, ieee.min), doc="the smallest")
sum: Operation = composed("sum", "Σ", _sum, pullback=lambda g, out, *xs: [g] * len(xs), formula="{all: + }", doc="x0 + x1 + …, from left to right")
dot: Operation = composed("dot", "w·x+b", _dot, pullback=_dot_pullback, pull=_pull_dot, order=_dot_order, formula="{pairs}", doc="bias + w0·x0 + w1·x1 + …, from left to right; operands: weights, bias, inputs")
relu_dot: Operation = composed("relu_dot", "ReLU(w·x+b)", lambda *operands: relu(_dot(*operands)), pullback=_relu_dot_pullback, pull=_pull_dot, order=_dot_order, switches=lambda *operands: [dot.function(*operands)], formula="relu({pairs})", doc="max(dot, 0): a whole neuron in one node")
logsumexp: Operation = composed("logsumexp", "logsumexp", _logsumexp, pullback=_logsumexp_pullback, formula="log Σ exp({all})", doc="log(e^x0 + e^x1 + …)")
gather: Operation = composed("gather", "gather", _gather, pullback=_gather_pullback, domain=("positive",), switches=lambda index, *xs: [0.5 - ieee.as_float(operator.abs(index - i)) for i in range(len(xs))], formula="({rest})[{0}]", doc="the operand with that index, counted from 0; operands: the index, then what it picks from")
# fmt: on
