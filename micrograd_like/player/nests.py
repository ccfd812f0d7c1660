"""A compiled program's loops in JavaScript: for models of more numbers than a page can hold one by one.

What runs are the compiler's nests and their adjoint, so nothing is differentiated here. Each row is written by its form
in `javascript.py`, or by its expansion.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from micrograd_like.compiler.adjoint import Nests
from micrograd_like.compiler.blocks import Parts
from micrograd_like.compiler.loops import For, Ref, Table, Term, affine, times
from micrograd_like.compiler.nest import Assign, Leaf, Pick, Reduce, Scatter
from micrograd_like.compiler.spaces import ONCE, Space
from micrograd_like.compiler.trace import KEPT
from micrograd_like.player.javascript import Writer, literal

_HEAD = "const v = new Float64Array({slots}), s = new Float64Array({once}), dv = new Float64Array({slots})"
_MORE = "ds = new Float64Array({once}), t = new Float64Array({scratch})"


def loops_source(parts: Parts) -> str:
    """JavaScript that evaluates to `{ forward, backward }` of one sample.

    `forward(p, x)` returns the outputs, the loss first; `backward(p, x, dp)` then adds the gradient of the loss, by every
    parameter, to dp. All are arrays of 64-bit floats. The names in `javascript.HELPERS` must be known.

    Raises:
        PlayError: a row has neither a form in JavaScript nor an expansion.
    """
    careful = parts.careful()
    shared, sample = careful.shared, careful.sample
    last, symbol = (sample, "v") if parts.shapes else (shared, "s")
    scratch = max(shared.backward.temporaries, sample.backward.temporaries)
    sizes = {"slots": sample.slots, "once": shared.slots, "scratch": scratch}
    forward = [*_functions(shared.forward, ONCE), *_functions(sample.forward, {})]
    backward = [*_backward(sample, {}), *_backward(shared, ONCE)]
    text = "\n".join(forward + backward)
    constants = f", c = [{', '.join(map(literal, careful.constants))}]" if re.search(r"\bc\[", text) else ""
    return "\n".join([
        f"(() => {{ {_HEAD.format(**sizes)},",
        f"    {_MORE.format(**sizes)}{constants};",
        "const kept = (g, x) => g !== 0 ? x : 0;",
        "const there = [",
        *forward,
        "], back = [",
        *backward,
        "];",
        "return {",
        f"forward: (p, x) => {{ for (const f of there) f(p, x); return {symbol}.subarray({last.outputs}, "
        f"{last.outputs + parts.outputs}); }},",
        f"backward: (p, x, dp) => {{ dv.fill(0); ds.fill(0); d{symbol}[{last.outputs}] = 1; for (const f of back) "
        "f(p, x, dp); } }; })()",
    ])


def _functions(terms: Sequence[Term], spaces: dict[Space, Space], arguments: str = "p, x") -> list[str]:
    """A small function for each: browsers translate small ones sooner, and run them faster."""
    return ["\n".join([f"({arguments}) => {{", *_term(term, spaces, ()), "},"]) for term in terms]


def _backward(nests: Nests, spaces: dict[Space, Space]) -> list[str]:
    if not nests.forward:
        return []
    return _functions((*nests.backward.sweep, *nests.backward.contributions), spaces, "p, x, dp")


def _terms(terms: Sequence[Term], spaces: dict[Space, Space], counters: tuple[str, ...] = ()) -> list[str]:
    return [line for term in terms for line in _term(term, spaces, counters)]


def _term(term: Term, spaces: dict[Space, Space], counters: tuple[str, ...]) -> list[str]:
    def at(x: Leaf, own: tuple[str, ...] = counters) -> str:
        if not isinstance(x, Ref):
            return literal(x)
        return f"{spaces.get(x.space, x.space).symbol}[{affine(x.base, x.coefs, own)}]"

    i = f"i{len(counters)}"
    if isinstance(term, For):
        return [_for(i, term.trips, counters), *_terms(term.body, spaces, (*counters, i)), "}"]
    if isinstance(term, Table):
        row = f"row{len(counters)}"
        rows = "[" + ", ".join(f"[{', '.join(map(str, each))}]" for each in term.rows) + "]"
        lines = [f"for (const {row} of {rows}) {{ switch ({row}[0]) {{"]
        for kind, body in enumerate(term.bodies):
            columns = tuple(f"{row}[{k + 1}]" for k in range(len(term.bounds[kind])))
            lines += [f"case {kind}: {{", *_terms(body, spaces, (*counters, *columns)), "break; }"]
        return [*lines, "} }"]
    if isinstance(term, Reduce):
        own, heads = counters, []
        for trips in term.trips:
            heads.append(_for(f"i{len(own)}", trips, own))
            own = (*own, f"i{len(own)}")
        writer = Writer()
        value = _value(term, writer, own, at)
        total = writer.literal(writer.apply(term.op, [writer.symbol("total"), writer.symbol(value)]))
        inner = writer.function(f"total = {total};")
        return [f"{{ let total = {at(term.first)};", *heads, inner, "}" * len(heads), f"{at(term.target)} = total; }}"]
    if isinstance(term, Pick):
        each = f"if (Math.abs({at(term.index)} - {i}) < 0.5) picked = {at(term.source, (*counters, i))};"
        return ["{ let picked = NaN;", _for(i, term.count, counters), each, "}", f"{at(term.target)} = picked; }}"]
    if isinstance(term, Scatter):
        each = f"if (Math.abs({at(term.index)} - {i}) < 0.5) {at(term.target, (*counters, i))} += {at(term.value)};"
        return [_for(i, term.count, counters), each, "}"]
    writer = Writer()
    value = _value(term, writer, counters, at)
    return ["{ " + writer.function(f"{at(term.target)} {'+=' if term.accumulate else '='} {value};") + " }"]


def _value(term: Assign | Reduce, writer: Writer, counters: tuple[str, ...], at: Callable[..., str]) -> str:
    """The name of a term's expression, written down row by row."""
    values = [writer.symbol(at(x, counters)) for x in term.leaves]
    for op, args in term.code:
        operands = [values[k] for k in args]
        if op is KEPT:
            values.append(writer.symbol(writer.put(f"kept({operands[0].text}, {operands[1].text})")))
        else:
            values.append(writer.apply(op, operands))
    return writer.literal(values[-1] if term.code else values[0])


def _for(i: str, trips: int, counters: Sequence[str]) -> str:
    return f"for (let {i} = 0; {i} < {times(trips, counters)}; {i}++) {{"
