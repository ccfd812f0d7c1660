"""A program as one C99 file without dependencies: the loops of the compiler's nests, in C.

The numbers are computed in the order of the eager engine, by the same functions of the C library; so they are the same
floats, if the compiler neither contracts nor reorders (ISO C does not; `-ffast-math` does).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from math import isinf, prod
from typing import Any

from micrograd_like import ops
from micrograd_like.checks import texts
from micrograd_like.compiler.loops import Choice, For, Ref, Table, Term, affine, times
from micrograd_like.compiler.nest import Assign, Leaf, Pick, Reduce, Scatter
from micrograd_like.compiler.spaces import CONST, ONCE, Space
from micrograd_like.compiler.trace import KEPT, LENGTH
from micrograd_like.files import replace_file
from micrograd_like.interchange.source import Source, identifiers, source
from micrograd_like.ops import Operation

# The rows' forms in C; rows that have none are written as their expansions. Names that <math.h> lacks are in HELPERS.
FORMS = {
    ops.add: "{0} + {1}",
    ops.sub: "{0} - {1}",
    ops.mul: "{0} * {1}",
    ops.div: "{0} / {1}",
    ops.neg: "-{0}",
    ops.pow: "pow({0}, {1})",
    ops.exp: "exp({0})",
    ops.log: "log({0})",
    ops.sqrt: "sqrt({0})",
    ops.sin: "sin({0})",
    ops.cos: "cos({0})",
    ops.tanh: "tanh({0})",
    ops.sigmoid: "sigmoid({0})",
    ops.softplus: "softplus({0})",
    ops.relu: "relu({0})",
    ops.abs: "fabs({0})",
    ops.where: "{0} > 0.0 ? {1} : {2}",
    ops.max: "larger({0}, {1})",
    ops.min: "smaller({0}, {1})",
    KEPT: "kept({0}, {1})",
}
HELPERS = {
    "relu": "static double relu(double x) { return x > 0.0 || x != x ? x : 0.0; }",
    "larger": "static double larger(double best, double x) { return x > best || x != x ? x : best; }",
    "smaller": "static double smaller(double best, double x) { return x < best || x != x ? x : best; }",
    "softplus": "static double softplus(double x) { return (x > 0.0 || x != x ? x : 0.0) + log1p(exp(-fabs(x))); }",
    "sigmoid": """\
static double sigmoid(double x)
{
    if (x >= 0.0)
        return 1.0 / (1.0 + exp(-x));
    const double e = exp(x);
    return e / (1.0 + e);
}""",
    "kept": """\
/* A derivative times g; nothing where g is 0, also if the derivative is infinite. */
static double kept(double g, double x) { return g != 0.0 ? x : 0.0; }""",
}
# Identifiers that a file cannot use for what it defines.
WORDS = [
    "auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else", "enum", "extern",
    "float", "for", "goto", "if", "inline", "int", "long", "register", "restrict", "return", "short", "signed",
    "sizeof", "static", "struct", "switch", "typedef", "union", "unsigned", "void", "volatile", "while", "_Bool",
    "_Complex", "_Imaginary", "main", "acos", "asin", "atan", "atan2", "cos", "sin", "tan", "acosh", "asinh",
    "atanh", "cosh", "sinh", "tanh", "exp", "exp2", "expm1", "frexp", "ilogb", "ldexp", "log", "log10", "log1p",
    "log2", "logb", "modf", "scalbn", "scalbln", "cbrt", "fabs", "hypot", "pow", "sqrt", "erf", "erfc", "lgamma",
    "tgamma", "ceil", "floor", "nearbyint", "rint", "lrint", "llrint", "round", "lround", "llround", "trunc",
    "fmod", "remainder", "remquo", "copysign", "nan", "nextafter", "nexttoward", "fdim", "fmax", "fmin", "fma",
    "j0", "j1", "jn", "y0", "y1", "yn", "gamma", "fpclassify", "isfinite", "isinf", "isnan", "isnormal", "signbit",
    "isgreater", "isless", "isunordered", "NAN", "INFINITY", "HUGE_VAL", "float_t", "double_t", "p", "x", "v", "s",
    "t", "c", "dv", "ds", "dp", "out", "memory", "row", "sum", "largest", "smallest", "picked", "i", "j", "k", "l",
    "m", "n",
]  # fmt: skip


def to_c(
    program: Any,
    path: str | os.PathLike[str] | None = None,
    *,
    gradient: bool = False,
    name: str = "program",
    **inputs: int | tuple[int, ...],
) -> str:
    """Write a compiled program, or a model, as one readable C99 file without dependencies; returns its text.

    The file defines, under the given name, a function for one sample, and the parameters' numbers as they are now:

        void program(const double *p, const double *x, double *out, double *memory);
        double program_gradient(const double *p, const double *x, double *dp, double *memory);
        extern const double program_parameters[];

    `p` are the parameters, `x` the sample's inputs one after the other, and `out` what the function returns; `memory` is
    work space of `PROGRAM_MEMORY` numbers, whose contents do not matter. The gradient's function returns the loss, and
    adds its derivatives to `dp`. Its results are the eager engine's to the last bit, up to sums over several uses of one
    parameter, and where both use the same C library. Where samples differ in length (`UpTo`), an input of `x` says by how
    much; the file's heading says which.

    >>> from micrograd_like import MLP
    >>> text = to_c(MLP(2, [3, 1], rng=0), name="xor")
    >>> print(text[text.rindex("void xor") :])
    void xor(const double *p, const double *x, double *out, double *memory)
    {
        double *const v = memory;
    <BLANKLINE>
        for (int i = 0; i < 3; i++) {
            {
                double sum = p[3*i + 2];
                for (int j = 0; j < 2; j++)
                    sum = sum + p[3*i + j] * x[j];
                v[2*i] = sum;
            }
            v[2*i + 1] = relu(v[2*i]);
        }
        {
            double sum = p[12];
            for (int i = 0; i < 3; i++)
                sum = sum + p[i + 9] * v[2*i + 1];
            v[6] = sum;
        }
        v[7] = v[6];
        out[0] = v[7];
    }
    <BLANKLINE>

    Args:
        program: what `compile` returns; or an `MLP`, a `Layer` or a `Neuron`, whose input is called `x`; or any other
            `Module`, called with `inputs`.
        path: where to write it, too.
        gradient: whether to write the gradient's function.
        name: of the function; what C does not allow in a name becomes `_`.
        inputs: per argument of a `Module` its size or its shape, as for `compile`.

    Raises:
        TypeError: it is neither a program nor a model; or a gradient is asked for, and there is no loss.
        ValueError: an operation has no form in C and no expansion.
    """
    texts(name=name)
    found = source(program, inputs, lengths=True)
    if gradient and not found.has_loss:
        raise TypeError(
            "expected a program with a loss to write its gradient: one value, or the first of a tuple that is returned"
        )
    (safe,) = identifiers([name], taken=[*WORDS, *HELPERS])
    text = _File(found, safe, gradient).text()
    if path is not None:
        replace_file(path, text.encode())
    return text


class _File:
    """One file of C while it is being written."""

    def __init__(self, found: Source, name: str, gradient: bool) -> None:
        self.found, self.name, self.gradient = found, name, gradient
        self.parts = found.parts.careful() if gradient else found.parts
        self.helpers: set[str] = set()
        self.tables: list[str] = []
        self.constants = 0  # how many of them are read by an address
        self.spaces: dict[Space, Space] = {}
        self.used: set[str] = set()  # names of spaces, in the function that is being written

    def text(self) -> str:
        shared, sample = self.parts.shared, self.parts.sample
        sizes = {"v": sample.slots, "s": shared.slots}
        if self.gradient:
            temporaries = max(sample.backward.temporaries, shared.backward.temporaries)
            sizes |= {"dv": sample.slots, "ds": shared.slots, "t": temporaries}
        self.places, memory = {}, 0
        for space, size in sizes.items():
            self.places[space] = memory
            memory += size
        functions = [self.forward()]
        if self.gradient:
            functions.append(self.backward())
        used = [HELPERS[name] for name in HELPERS if name in self.helpers]
        constants = []
        if self.constants:
            constants = [_array("static const double c", self.parts.constants[: self.constants])]
        name, count = self.name, len(self.found.parameters)
        head = [
            self.heading(),
            "#include <math.h>",
            "#if defined(__clang__)\n#pragma STDC FP_CONTRACT OFF\n#endif",
            f"enum {{ {name.upper()}_MEMORY = {max(memory, 1)}, {name.upper()}_PARAMETERS = {count}, "
            f"{name.upper()}_INPUTS = {self.parts.inputs}, {name.upper()}_OUTPUTS = {self.parts.outputs} }};",
        ]
        if count:
            head.append(f"extern const double {name}_parameters[{count}];\n{self.parameters()}")
        return "\n\n".join([*head, *constants, *used, *self.tables, *functions]) + "\n"

    def heading(self) -> str:
        """What the file is, and where each input lies."""
        lines = ["One sample of a function that was written in scalars; exported by micrograd_like."]
        start = 0
        for name, shape in self.parts.shapes.items():
            if name == LENGTH:
                lines.append(
                    f"x[{start}]: how many elements a sample has, less {self.found.least}; what is behind them is not read"
                )
                continue
            end = start + prod(shape)
            last = f" to x[{end - 1}]" if end > start + 1 else ""
            by = f", {' by '.join(map(str, shape))}" if len(shape) > 1 else ""
            lines.append(f"{_comment(name)}: x[{start}]{last}{by}")
            start = end
        lines += ["p: parameters, x: inputs, v and s: values, c: constants; the d-names are gradients, t is scratch."]
        return "/* " + "\n * ".join(lines) + "\n */"

    def parameters(self) -> str:
        """The parameters' numbers, those of one list together, under its name."""
        labelled = zip(self.found.parameters, self.found.numbers, strict=True)
        rows = []
        for name, several in groupby(labelled, lambda pair: re.sub(r"\[\d+\]$", "", pair[0].label)):
            comment = f"    /* {_comment(name)} */\n" if name else ""
            rows.append(f"{comment}    {_numbers(number for _, number in several)},")
        return f"const double {self.name}_parameters[{len(self.found.parameters)}] = {{\n" + "\n".join(rows) + "\n};"

    # Functions

    def forward(self) -> str:
        self.used = set()
        body = self.section(self.parts.shared.forward, ONCE) + self.section(self.parts.sample.forward, {})
        nests, space = (self.parts.sample, "v") if self.parts.shapes else (self.parts.shared, "s")
        self.used.add(space)
        body += [f"out[{k}] = {space}[{nests.outputs + k}];" for k in range(self.parts.outputs)]
        arguments = "const double *p, const double *x, double *out, double *memory"
        return self.function(f"void {self.name}({arguments})", body, ["p", "x"])

    def backward(self) -> str:
        self.used = set()
        shared, sample = self.parts.shared, self.parts.sample
        last, space = (sample, "v") if self.parts.shapes else (shared, "s")
        body = [f"double out[{self.parts.outputs}];", f"{self.name}(p, x, out, memory);"]
        if shared.forward and self.parts.shapes:
            body += self.zeroed("ds", None, shared.slots)
        body += self.zeroed(f"d{space}", last.backward.zeroed, last.slots)
        self.used.add(f"d{space}")
        body.append(f"d{space}[{last.outputs}] = 1.0;")
        for nests, names in ((sample, {}), (shared, ONCE)):
            if nests.forward:
                body += self.section((*nests.backward.sweep, *nests.backward.contributions), names)
        body.append("return out[0];")
        arguments = "const double *p, const double *x, double *dp, double *memory"
        return self.function(f"double {self.name}_gradient({arguments})", body, ["dp"])

    def function(self, head: str, body: list[str], arguments: Iterable[str]) -> str:
        unused = [f"(void){a};" for a in arguments if a not in self.used]
        spaces = [
            f"double *const {space} = memory{f' + {start}' if start else ''};"
            for space, start in self.places.items()
            if space in self.used
        ]
        inner = [*spaces, *unused, "", *body]
        return f"{head};\n\n{head}\n{{\n" + "\n".join(f"    {line}" if line else "" for line in inner) + "\n}"

    def zeroed(self, space: str, slots: Sequence[int] | None, count: int) -> list[str]:
        """The adjoints that must be 0 before they are added to."""
        self.used.add(space)
        runs: list[list[int]] = []
        for k in range(count):
            if slots is not None and k not in slots:
                continue
            if runs and runs[-1][1] == k:
                runs[-1][1] = k + 1
            else:
                runs.append([k, k + 1])
        if len(runs) > 4:
            runs = [[0, count]]
        return [
            line
            for start, end in runs
            for line in (
                [f"for (int i = {start}; i < {end}; i++)", f"    {space}[i] = 0.0;"]
                if end - start > 1
                else [f"{space}[{start}] = 0.0;"]
            )
        ]

    def section(self, terms: Sequence[Term], spaces: dict[Space, Space]) -> list[str]:
        self.spaces = spaces
        return self.terms(terms, ())

    # Terms

    def terms(self, terms: Sequence[Term], counters: tuple[str, ...]) -> list[str]:
        return [line for term in terms for line in self.term(term, counters)]

    def term(self, term: Term, counters: tuple[str, ...]) -> list[str]:
        if isinstance(term, For):
            i = _counter(counters)
            return _braced(_for(i, term.trips, counters), self.terms(term.body, (*counters, i)))
        if isinstance(term, Choice):
            return self.lengths(term, counters)
        if isinstance(term, Table):
            return self.table(term, counters)
        if isinstance(term, Reduce):
            return self.reduce(term, counters)
        if isinstance(term, (Pick, Scatter)):
            return self.choice(term, counters)
        before, value = self.expression(term, counters)
        target = self.leaf(term.target, counters)
        return _scoped([*before, f"{target} {'+=' if term.accumulate else '='} {value};"], bool(before))

    def table(self, table: Table, counters: tuple[str, ...]) -> list[str]:
        """Rows of integers: what kind of statement, and where its numbers lie."""
        name, width = f"{self.name}_table_{len(self.tables)}", table.width
        rows = ",\n".join("    {" + ", ".join(map(str, [*row, *[0] * (width - len(row))])) + "}" for row in table.rows)
        self.tables.append(f"static const int {name}[{len(table.rows)}][{width}] = {{\n{rows}\n}};")
        r = _counter(counters)
        cases = []
        for kind, body in enumerate(table.bodies):
            columns = tuple(f"row[{k + 1}]" for k in range(len(table.bounds[kind])))
            own = self.terms(body, (*counters, *columns))
            cases += [f"case {kind}: {{", *_indented(own), "    break;", "}"]
        chosen = [f"const int *const row = {name}[{r}];", "switch (row[0]) {", *cases, "}"]
        return _braced(f"for (int {r} = 0; {r} < {len(table.rows)}; {r}++)", chosen)

    def lengths(self, choice: Choice, counters: tuple[str, ...]) -> list[str]:
        """Terms for samples of different lengths, each for those from a first one on."""
        i, longer = _counter(counters), f"(int)x[{choice.place}]"
        self.used.add("x")
        found: list[str] = []
        for kind, body in enumerate(choice.bodies):
            places = [place for place, row in enumerate(choice.rows) if row[0] == kind]
            own = self.terms(body, (*counters, i))
            if any(re.search(rf"\b{i}\b", line) for line in own):
                own = [f"const int {i} = {longer}{f' - {places[0]}' if places[0] else ''};", *own]
            if len(choice.bodies) == 1:
                return _scoped(own, True)
            found += [f"if ({longer} >= {places[0]} && {longer} <= {places[-1]}) {{", *_indented(own), "}"]
        return found

    def reduce(self, term: Reduce, counters: tuple[str, ...]) -> list[str]:
        own, heads = counters, []
        for trips in term.trips:
            i = _counter(own)
            heads.append(_for(i, trips, own))
            own = (*own, i)
        before, value = self.expression(term, own)
        name = {ops.max: "largest", ops.min: "smallest"}.get(term.op, "sum")
        inner = [*before, f"{name} = {self.apply(term.op, [name, value])};"]
        for head in reversed(heads):
            inner = _braced(head, inner)
        first = self.leaf(term.first, counters)
        return _scoped([f"double {name} = {first};", *inner, f"{self.leaf(term.target, counters)} = {name};"], True)

    def choice(self, term: Pick | Scatter, counters: tuple[str, ...]) -> list[str]:
        k = _counter(counters)
        inner = (*counters, k)
        index, target = self.leaf(term.index, counters), term.target
        head = f"for (int {k} = 0; {k} < {term.count}; {k}++)"
        near = f"    if (fabs({index} - {k}) < 0.5)"
        if isinstance(term, Scatter):
            return [head, near, f"        {self.leaf(target, inner)} += {self.leaf(term.value, counters)};"]
        picked = [head, near, f"        picked = {self.leaf(term.source, inner)};"]
        return _scoped(["double picked = NAN;", *picked, f"{self.leaf(target, counters)} = picked;"], True)

    def expression(self, term: Assign | Reduce, counters: tuple[str, ...]) -> tuple[list[str], str]:
        """(declarations of what is used more than once, the value)."""
        values = [self.leaf(x, counters) for x in term.leaves]
        leaves = len(values)
        uses = [k for _, args in term.code for k in args]
        before: list[str] = []
        for n, (op, args) in enumerate(term.code):
            place, last = leaves + n, n == len(term.code) - 1
            value = self.apply(op, [values[k] for k in args])
            if last:
                return before, value
            if uses.count(place) > 1:
                before.append(f"const double e{n} = {value};")
                value = f"e{n}"
            values.append(value)
        return before, values[0]

    def apply(self, op: Operation, operands: Sequence[str]) -> str:
        if op not in FORMS:
            raise ValueError(f"{op!r} has no form in C; give it an expansion, or a line in interchange/c99.py")
        form = FORMS[op]
        name = form.partition("(")[0]
        if name in HELPERS:
            self.helpers.add(name)
        if name.isidentifier():
            return form.format(*operands)
        inside_sum = op in (ops.add, ops.sub)
        return form.format(*[_grouped(x, inside_sum) for x in operands])

    def leaf(self, x: Leaf, counters: Sequence[str]) -> str:
        if not isinstance(x, Ref):
            return _number(x)
        space = self.spaces.get(x.space, x.space).symbol
        self.used.add(space)
        if x.space == CONST:
            self.constants = len(self.parts.constants)
        return f"{space}[{affine(x.base, x.coefs, counters)}]"


def _counter(counters: Sequence[str]) -> str:
    depth = sum(not c.startswith("row") for c in counters)
    return "ijklmn"[depth] if depth < 6 else f"i{depth}"


def _for(i: str, trips: int, counters: Sequence[str]) -> str:
    return f"for (int {i} = 0; {i} < {times(trips, counters)}; {i}++)"


def _braced(head: str, body: list[str]) -> list[str]:
    """A loop; without braces around a single line, or around another loop of such a one."""
    if all(line.startswith((" ", "for (")) for line in body[:-1]) and not body[-1].startswith("}"):
        return [head, *_indented(body)]
    return [f"{head} {{", *_indented(body), "}"]


def _scoped(lines: list[str], own: bool) -> list[str]:
    """Lines in a block of their own, as they declare names."""
    return ["{", *_indented(lines), "}"] if own else lines


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _grouped(text: str, inside_sum: bool) -> str:
    """An operand of an operator, in parentheses where it is more than a name, a number or a call, or in a sum a product."""
    depth, plain = 0, ""
    for character in text:
        depth += (character in "([") - (character in ")]")
        plain += character if depth == 0 else ""
    if inside_sum and re.fullmatch(r"[\w.\])]+( \* [\w.\])]+)+", plain):
        return text
    return f"({text})" if " " in plain or plain.startswith("-") else text


def _number(x: float) -> str:
    if x != x:
        return "NAN"
    if isinf(x):
        return "INFINITY" if x > 0 else "-INFINITY"
    return repr(x)


def _numbers(xs: Iterable[float]) -> str:
    rows, row = [], ""
    for text in map(_number, xs):
        if row and len(row) + len(text) > 100:
            rows.append(row)
            row = ""
        row += f"{', ' if row else ''}{text}"
    return ",\n    ".join([*rows, row])


def _array(head: str, xs: Sequence[float]) -> str:
    return f"{head}[{len(xs)}] = {{\n    {_numbers(xs)}\n}};"


def _comment(text: str) -> str:
    """A text that cannot end its comment, nor begin another line or a trigraph."""
    return "".join(c if c.isalnum() or c in " _.,:;()[]=+-<>'" else "_" for c in text)[:200]
