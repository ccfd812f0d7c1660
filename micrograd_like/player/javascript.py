"""The JavaScript forms of the table's rows: a row's value has one line here, its derivative is traced from its rule.

A rule is called with symbols, and what it asks for is written down as JavaScript. So the page differentiates with the
same rules as everything else. A row without a form plays if it has an expansion: that is traced as well.

What comes out is a kernel: two JavaScript functions on the page's memory. `M` holds every number, `D` every derivative,
`F` whether a derivative has arrived, and `a` says where the operands are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from micrograd_like import ops
from micrograd_like.ops import Operation

# {0}, {1}, … are the operands, each a name or a number; {all} is all of them, separated by commas.
FORMS = {
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "mul": "{0} * {1}",
    "div": "{0} / {1}",
    "neg": "-{0}",
    "pow": "power({0}, {1})",
    "exp": "Math.exp({0})",
    "log": "Math.log({0})",
    "sqrt": "Math.sqrt({0})",
    "sin": "Math.sin({0})",
    "cos": "Math.cos({0})",
    "tanh": "Math.tanh({0})",
    "sigmoid": "sigmoid({0})",
    "softplus": "softplus({0})",
    "relu": "{0} <= 0 ? 0 : {0}",
    "abs": "Math.abs({0})",
    "where": "{0} > 0 ? {1} : {2}",
    "max": "largest({all})",
    "min": "smallest({all})",
}

# What the forms use beside JavaScript's own functions. Where C99 and JavaScript disagree (1 ** nan), C99 is right.
HELPERS = """\
const power = (x, y) => x === 1 || x === -1 && (y === Infinity || y === -Infinity) ? 1 : Math.pow(x, y);
const sigmoid = (x) => { if (x >= 0) return 1 / (1 + Math.exp(-x)); const e = Math.exp(x); return e / (1 + e); };
const softplus = (x) => (x <= 0 ? 0 : x) + Math.log1p(Math.exp(-Math.abs(x)));
const largest = (...xs) => { let best = xs[0]; for (const x of xs) if (x > best || x !== x) best = x; return best; };
const smallest = (...xs) => { let best = xs[0]; for (const x of xs) if (x < best || x !== x) best = x; return best; };
"""

# Rows that add up their operands from left to right become loops: how many lists run side by side, how many operands
# stand alone after the first list.
LOOPS: dict[str, tuple[int, int]] = {"sum": (1, 0), "dot": (2, 1), "relu_dot": (2, 1)}


_NAME = re.compile(r"\bt\d+\b")


class PlayError(TypeError):
    """Something cannot be played in a page; the message says what, and what to do."""


class Symbol:
    """A number of the page: a name or a literal in JavaScript. Rows record themselves on it."""

    is_symbol = True  # see `ops.gate`

    def __init__(self, writer: Writer, text: str) -> None:
        self.writer = writer
        self.name = text

    @property
    def text(self) -> str:
        return self.name

    def __record__(self, op: Operation, operands: Sequence[Any]) -> Symbol:
        return self.writer.apply(op, operands)

    def __add__(self, other: Any) -> Any:
        return ops.add(self, other)

    def __radd__(self, other: Any) -> Any:
        return ops.add(other, self)

    def __sub__(self, other: Any) -> Any:
        return ops.sub(self, other)

    def __rsub__(self, other: Any) -> Any:
        return ops.sub(other, self)

    def __mul__(self, other: Any) -> Any:
        return ops.mul(self, other)

    def __rmul__(self, other: Any) -> Any:
        return ops.mul(other, self)

    def __truediv__(self, other: Any) -> Any:
        return ops.div(self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return ops.div(other, self)

    def __pow__(self, other: Any) -> Any:
        return ops.pow(self, other)

    def __rpow__(self, other: Any) -> Any:
        return ops.pow(other, self)

    def __neg__(self) -> Any:
        return ops.neg(self)

    def __abs__(self) -> Any:
        return ops.abs(self)


class Choice(Symbol):
    """`where` of symbols: a number when it is read as one, a fork when it is an adjoint with a side that is nothing."""

    def __init__(self, writer: Writer, condition: str, sides: tuple[Any, Any]) -> None:
        super().__init__(writer, "")
        self.condition = condition
        self.sides = sides

    @property
    def text(self) -> str:
        if not self.name:
            x, y = map(self.writer.literal, self.sides)
            self.name = self.writer.put(FORMS["where"].format(self.condition, x, y))
        return self.name


class Writer:
    """Statements of one JavaScript function, each computing a number once."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}  # expression → the name of its result, in the order of computation

    def symbol(self, text: str) -> Symbol:
        return Symbol(self, text)

    def put(self, expression: str) -> str:
        """The name of the expression's result; the same expression has one name."""
        return self.known.setdefault(expression, f"t{len(self.known)}")

    def apply(self, op: Operation, operands: Sequence[Any]) -> Symbol:
        """The symbol of a row's result."""
        if op is ops.where:
            condition, *sides = operands
            return Choice(self, self.literal(condition), (sides[0], sides[1]))
        if (form := FORMS.get(op.name)) is not None and ops.TABLE.get(op.name) is op:
            texts = [self.literal(x) for x in operands]
            return self.symbol(self.put(form.format(*texts, all=", ".join(texts))))
        if op.expansion is None:
            raise PlayError(
                f"the operation {op.name!r} has no JavaScript form and no expansion; "
                "give its row an expansion in simpler rows to play it"
            )
        return self.symbol(self.literal(op.expansion(*operands)))

    def function(self, *ends: str) -> str:
        """The body that ends so, with the statements that it needs and no others."""
        body = " ".join(filter(None, ends))
        needed = set(_NAME.findall(body))
        kept = []
        for name, expression in reversed([(name, expression) for expression, name in self.known.items()]):
            if name in needed:
                needed.update(_NAME.findall(expression))
                kept.append(f"const {name} = {expression};")
        return " ".join([*reversed(kept), body])

    def literal(self, x: Any) -> str:
        """An operand as a name or a number in JavaScript."""
        if isinstance(x, Symbol):
            return x.text
        return literal(x)

    def flow(self, adjoint: Any, target: str) -> str:
        """The statement that adds an adjoint where it belongs; none where no gradient flows."""
        if adjoint is None or type(adjoint) is int:
            return ""
        if isinstance(adjoint, Choice):
            yes, no = (self.flow(side, target) for side in adjoint.sides)
            condition = adjoint.condition
            if yes and no:
                return f"if ({condition} > 0) {{ {yes} }} else {{ {no} }}"
            return f"if ({condition} > 0) {{ {yes} }}" if yes else f"if (!({condition} > 0)) {{ {no} }}" if no else ""
        return f"D[{target}] += {self.literal(adjoint)}; F[{target}] = 1;"


def literal(x: Any) -> str:
    """A float in JavaScript, to the last bit; one below 0 in brackets."""
    number = float(x)
    if not math.isfinite(number):
        return "NaN" if number != number else "Infinity" if number > 0 else "(-Infinity)"
    return f"({number!r})" if math.copysign(1.0, number) < 0 else repr(number)


def exact(x: float) -> float | str:
    """A number that passes through JSON: what JSON has no number for becomes its name."""
    return x if math.isfinite(x) else "NaN" if x != x else "Infinity" if x > 0 else "-Infinity"


def adjoints(op: Operation, g: Any, out: Any, operands: Sequence[Any]) -> Sequence[Any]:
    """g · ∂out/∂operand for each operand: the row's own rule."""
    return op.vjp(g, out, *operands)


def kernel(op: Operation, arity: int, active: Sequence[bool]) -> str:
    """A row as JavaScript: `f` its value, `b` its backward rule, `s` the quantities that change sign at its kinks.

    Args:
        op: the row.
        arity: the number of operands.
        active: which operands have a derivative that somebody reads.

    Raises:
        PlayError: the row, or one that its rule uses, has neither a form nor an expansion.
    """
    make = _loop if op.name in LOOPS and ops.TABLE.get(op.name) is op else _unrolled
    value, backward = make(op, arity, active)
    switches = _switches(op, arity)
    parts = [f"f: (M, a) => {{ {value} }}", f"b: (g, o, M, a, D, F) => {{ {backward} }}"]
    return "{ " + ", ".join([*parts, *([f"s: (M, a) => {{ {switches} }}"] if switches else [])]) + " }"


def _unrolled(op: Operation, arity: int, active: Sequence[bool]) -> tuple[str, str]:
    """Value and backward rule of a row with a fixed number of operands, named one by one."""
    forward, names = _named(arity)
    value = forward.function(f"return {forward.apply(op, names).text};")
    writer, names = _named(arity)
    found = adjoints(op, writer.symbol("g"), writer.symbol("o"), names)
    flows = [writer.flow(x, f"a[{i}]") for i, x in enumerate(found) if active[i]]
    return value, writer.function(*flows)


def _loop(op: Operation, arity: int, active: Sequence[bool]) -> tuple[str, str]:
    """The same of a row that adds up: its rule for one element of each list, as the body of a loop."""
    lists, alone = LOOPS[op.name]
    count = (arity - alone) // lists
    places = ["a[k]", *[f"a[k + {i * count + alone}]" for i in range(1, lists)]]
    last = [f"a[{count + i}]" for i in range(alone)]
    # The value: the rows add and mul, one element at a time.
    writer = Writer()
    term: Any = writer.symbol(f"M[{places[0]}]")
    for place in places[1:]:
        term = ops.mul(term, writer.symbol(f"M[{place}]"))
    total = ops.add(writer.symbol("t"), term)
    start, first = (f"M[{last[0]}]", 0) if last else ("M[a[0]]", 1)
    body = writer.function(f"t = {total.text};")
    end = Writer()
    result = ops.relu(end.symbol("t")) if op is ops.relu_dot else end.symbol("t")
    value = f"let t = {start}; for (let k = {first}; k < {count}; k++) {{ {body} }} "
    value += end.function(f"return {result.text};")
    # The backward rule: that of one element, whose lists have the length 1.
    writer = Writer()
    operands = [writer.symbol(f"M[{place}]") for place in (places[0], *last, *places[1:])]
    found = list(adjoints(op, writer.symbol("g"), writer.symbol("o"), operands))
    single, listed = found[1 : 1 + alone], [found[0], *found[1 + alone :]]
    end_flows = [
        writer.flow(x, place)
        for x, place, is_active in zip(single, last, active[count : count + alone], strict=True)
        if is_active
    ]
    starts = [0, *[i * count + alone for i in range(1, lists)]]
    flows = [writer.flow(listed[i], places[i]) for i in range(lists) if any(active[starts[i] : starts[i] + count])]
    body = writer.function(*flows)
    return value, " ".join([*filter(None, end_flows), f"for (let k = 0; k < {count}; k++) {{ {body} }}"])


def _named(arity: int) -> tuple[Writer, list[Symbol]]:
    writer = Writer()
    return writer, [writer.symbol(f"M[a[{i}]]") for i in range(arity)]


# The table's switches compare numbers here; the same in the table's algebra.
_GAPS: dict[str, Callable[..., list[Any]]] = {
    "max": lambda *xs: [x - ops.max(*rest) for i, x in enumerate(xs) if (rest := (*xs[:i], *xs[i + 1 :]))],
    "min": lambda *xs: [x - ops.min(*rest) for i, x in enumerate(xs) if (rest := (*xs[:i], *xs[i + 1 :]))],
    "gather": lambda index, *xs: [0.5 - abs(index - i) for i in range(len(xs))],
}


def _switches(op: Operation, arity: int) -> str:
    """The quantities whose signs name the active piece of a row with kinks; empty for a smooth row."""
    if op.switches is None:
        return ""
    writer, names = _named(arity)
    quantities = _GAPS[op.name](*names) if op.name in _GAPS else op.switches(*names)
    found = [writer.literal(x) for x in quantities]
    return writer.function(f"return [{', '.join(found)}];")


def statements(rule: Callable[..., Iterable[Any]], operands: Sequence[str], targets: Sequence[str]) -> str:
    """Any function in the table's algebra as statements that set the targets to its results."""
    writer = Writer()
    results = [writer.literal(x) for x in rule(*map(writer.symbol, operands))]
    return writer.function(*[f"{target} = {result};" for target, result in zip(targets, results, strict=True)])
