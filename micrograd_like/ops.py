"""THE table: every operation is one row, and everything else reads that row.

A row says what an operation is called, how it is evaluated, how it is differentiated and where it is smooth. The engine
evaluates and differentiates rows, drawings print their symbols, tests loop over them and the compiler translates them.

A derivative rule is given `g`, the derivative of the final result with respect to this operation's result, then the
result itself and the operands; it returns the derivative with respect to an operand: g · ∂out/∂operand. It is written
in the algebra it differentiates, with rows of this table and the operators + - *, never with a division that can raise
or an `if` on a value. So one rule runs on floats, on fractions, on 50-digit numbers, on `Value`s (and then the gradient
can be differentiated again) and on a compiler's symbols. A rule that returns None, or `where` with the literal
0 selected, says: no gradient flows here. Then none is passed on, for 0 times an infinite derivative would be nan.

Conventions at kinks: relu'(0) = 0, abs'(0) = 0, and operands that tie in max or min share the gradient equally.
"""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from micrograd_like import ieee
from micrograd_like.ieee import Number

Rule = Callable[..., Any]

# The rows' plain functions under the rows' names: a rule bound to these runs on numbers without a look at their types.
_ON_NUMBERS: dict[str, Any] = {"__builtins__": builtins}


def _on_numbers(rule: Rule) -> Rule:
    if not isinstance(rule, FunctionType) or rule.__globals__ is not globals():
        return rule  # a rule from another module keeps its own names; rows evaluate numbers too
    return FunctionType(rule.__code__, _ON_NUMBERS, rule.__name__, rule.__defaults__, rule.__closure__)


@dataclass(frozen=True, eq=False, slots=True)
class Operation:
    """One row of the table. Calling it evaluates numbers and records anything that has a `__record__` method."""

    name: str
    symbol: str  # how a drawing and a formula print it
    function: Callable[..., Number]  # its value, for numbers of any carrier
    partials: tuple[Rule, ...] = ()  # one rule per operand, for a fixed number of operands
    pullback: Rule | None = None  # all operands' derivatives in one list, for any number of operands
    domain: tuple[str, ...] = ("real",)  # per operand, where it is smooth: "real", "positive" or "nonzero"
    switches: Callable[..., Sequence[Number]] | None = (
        None  # at a kink one of these is zero; their signs name the piece
    )
    expansion: Callable[..., Any] | None = None  # the same in simpler rows, evaluated in the same order
    doc: str = field(default="", kw_only=True)
    formula: str = field(default="", kw_only=True)  # for titles, as `drawing/formula.py` reads it; "" is name(operands)
    partials_on_numbers: tuple[Rule, ...] = field(init=False)
    pullback_on_numbers: Rule | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "partials_on_numbers", tuple(map(_on_numbers, self.partials)))
        object.__setattr__(self, "pullback_on_numbers", self.pullback and _on_numbers(self.pullback))

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

    def adjoints(self, g: Any, out: Any, operands: Sequence[Any]) -> list[Any]:
        """g · ∂out/∂operand for each operand in turn, None where no gradient flows."""
        if self.pullback is not None:
            return list(self.pullback(g, out, *operands))
        return [partial(g, out, *operands) for partial in self.partials]

    def __repr__(self) -> str:
        return f"ops.{self.name}"

    def __reduce__(self) -> tuple[Any, ...]:
        return (by_name, (self.name,))

    def __deepcopy__(self, memo: dict[int, Any]) -> Operation:
        return self  # also one that is not in the table, such as a user's activation in a model


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
    _ON_NUMBERS[name] = function
    return operation


def _gap_to_best_other(xs: Sequence[Number], best: Callable[..., Number]) -> list[Number]:
    """Each operand less the best of the others: its sign says whether it wins, and zero that it ties."""
    return [x - best(*others) for i, x in enumerate(xs) if (others := (*xs[:i], *xs[i + 1 :]))]


def _extremum_pullback(behind: Callable[[Any, Any], Any]) -> Rule:
    """The gradient goes to the operands that are not behind the result, in equal parts."""

    def pullback(g: Any, out: Any, *xs: Any) -> list[Any]:
        gaps = [behind(out, x) for x in xs]
        share = div(g, sum(*[where(gap, 0, 1) for gap in gaps]))
        return [where(gap, 0, share) for gap in gaps]

    return pullback


def _dot_pullback(g: Any, out: Any, *operands: Any) -> list[Any]:
    n = len(operands) // 2
    return [g * x for x in operands[n : 2 * n]] + [g * w for w in operands[:n]] + [g]


def _relu_dot_pullback(g: Any, out: Any, *operands: Any) -> list[Any]:
    n = len(operands) // 2
    partners = (*operands[n : 2 * n], *operands[:n])
    return [where(out, g * partner, 0) for partner in partners] + [where(out, g, 0)]


def _logsumexp_pullback(g: Any, out: Any, *xs: Any) -> list[Any]:
    finite = max(out, -1.7976931348623157e308)  # when all operands are -inf, each has the gradient 0
    return [g * exp(x - finite) for x in xs]


def _gather_pullback(g: Any, out: Any, index: Any, *xs: Any) -> list[Any]:
    return [None] + [where(0.5 - abs(index - i), g, 0) for i in range(len(xs))]


def _gather_expansion(index: Any, *xs: Any) -> Any:
    chosen: Any = ieee.NAN
    for i, x in enumerate(xs):
        chosen = where(0.5 - abs(index - i), x, chosen)
    return chosen


def _dot_expansion(*operands: Any) -> Any:
    n = len(operands) // 2
    total = operands[-1]
    for w, x in zip(operands[:n], operands[n : 2 * n], strict=True):
        total = total + w * x
    return total


def _sum_expansion(*xs: Any) -> Any:
    total = xs[0]
    for x in xs[1:]:
        total = total + x
    return total


def _logsumexp_expansion(*xs: Any) -> Any:
    largest = max(*xs)
    return largest + log(_sum_expansion(*[exp(x - largest) for x in xs]))


# fmt: off
# Arithmetic
add: Operation = row("add", "+", ieee.add, lambda g, out, x, y: g,           lambda g, out, x, y: g,                      formula="{0:1} + {1:2}", doc="x + y")
sub: Operation = row("sub", "-", ieee.sub, lambda g, out, x, y: g,           lambda g, out, x, y: -g,                     formula="{0:1} − {1:2}", doc="x - y")
mul: Operation = row("mul", "*", ieee.mul, lambda g, out, x, y: g * y,       lambda g, out, x, y: g * x,                  formula="{0:2}·{1:2}", doc="x · y")
div: Operation = row("div", "/", ieee.div, lambda g, out, x, y: div(g, y),   lambda g, out, x, y: -g * div(out, y),       formula="{0:2}/{1:3}", doc="x / y", domain=("real", "nonzero"))
neg: Operation = row("neg", "-", operator.neg, lambda g, out, x: -g,                                                      formula="−{0:2}", doc="-x")
pow: Operation = row("pow", "**", ieee.pow,
          lambda g, out, x, y: where(abs(y), g * y * pow(x, y - 1), where(abs(x), g * div(y * out, x), 0 * y)),  # x ** 0 is flat, also at x = 0
          lambda g, out, x, y: where(abs(x), g * out * log(x), where(-y, g * out * log(x), 0 * x)),  # and 0 ** y, for y >= 0
          domain=("positive", "real"), formula="{0:3}{1:^}", doc="x to the power y")

# Functions of one number. Each rule is the form that stays accurate where the textbook's cancels or overflows.
exp: Operation = row("exp",      "exp",      ieee.exp,      lambda g, out, x: g * out,                formula="e{0:^}", doc="e to the power x")
log: Operation = row("log",      "log",      ieee.log,      lambda g, out, x: div(g, x),              doc="natural logarithm", domain=("positive",))
sqrt: Operation = row("sqrt",     "sqrt",     ieee.sqrt,     lambda g, out, x: div(g, 2 * out),        formula="√{0:3}", doc="square root",       domain=("positive",))
sin: Operation = row("sin",      "sin",      ieee.sin,      lambda g, out, x: g * cos(x),             doc="sine of x in radians")
cos: Operation = row("cos",      "cos",      ieee.cos,      lambda g, out, x: -g * sin(x),            doc="cosine of x in radians")
tanh: Operation = row("tanh",     "tanh",     ieee.tanh,     lambda g, out, x: 4 * g * sigmoid(2 * x) * sigmoid(-2 * x), doc="hyperbolic tangent")
sigmoid: Operation = row("sigmoid",  "sigmoid",  ieee.sigmoid,  lambda g, out, x: g * out * sigmoid(-x),  doc="1 / (1 + e^-x)")
softplus: Operation = row("softplus", "softplus", ieee.softplus, lambda g, out, x: g * sigmoid(x),         doc="log(1 + e^x)")

# Functions with a kink
relu: Operation = row("relu",  "ReLU",  ieee.relu,  lambda g, out, x: where(x, g, 0),                     doc="max(x, 0)", switches=lambda x: [x])
abs: Operation = row("abs",   "abs",   operator.abs, lambda g, out, x: where(x, g, where(-x, -g, 0)),      formula="|{0}|", doc="|x|",       switches=lambda x: [x])
where: Operation = row("where", "where", ieee.where, lambda g, out, c, x, y: None, lambda g, out, c, x, y: where(c, g, 0), lambda g, out, c, x, y: where(c, 0, g),
            domain=("nonzero", "real", "real"), switches=lambda c, x, y: [c], formula="{1} if {0} > 0 else {2}", doc="x where the condition is positive, else y")

# Operations on any number of operands
max: Operation = row("max", "max", ieee.max, pullback=_extremum_pullback(lambda out, x: out - x), switches=lambda *xs: _gap_to_best_other(xs, ieee.max), doc="the largest")
min: Operation = row("min", "min", ieee.min, pullback=_extremum_pullback(lambda out, x: x - out), switches=lambda *xs: _gap_to_best_other(xs, ieee.min), doc="the smallest")
sum: Operation = row("sum", "Σ",   ieee.sum, pullback=lambda g, out, *xs: [g] * len(xs), expansion=_sum_expansion, formula="{all: + }", doc="x0 + x1 + …, from left to right")
dot: Operation = row("dot", "w·x+b", ieee.dot, pullback=_dot_pullback, expansion=_dot_expansion, formula="{pairs}", doc="bias + w0·x0 + w1·x1 + …, from left to right; operands: weights, inputs, bias")
relu_dot: Operation = row("relu_dot", "ReLU(w·x+b)", ieee.relu_dot, pullback=_relu_dot_pullback, expansion=lambda *operands: relu(_dot_expansion(*operands)), switches=lambda *operands: [ieee.dot(*operands)], formula="relu({pairs})", doc="max(dot, 0): a whole neuron in one node")
logsumexp: Operation = row("logsumexp", "logsumexp", ieee.logsumexp, pullback=_logsumexp_pullback, expansion=_logsumexp_expansion, formula="log Σ exp({all})", doc="log(e^x0 + e^x1 + …)")
gather: Operation = row("gather", "gather", ieee.gather, pullback=_gather_pullback, expansion=_gather_expansion, domain=("positive",), switches=lambda index, *xs: [0.5 - ieee.as_float(operator.abs(index - i)) for i in range(len(xs))], formula="({rest})[{0}]", doc="the operand with that index, counted from 0; operands: the index, then what it picks from")
# fmt: on
