"""Formulas in a mathematician's signs: `(out − 2)²`, `w₁·x₁`, `tanh(n)`, from the `formula` of an operation's row.

A row's formula is a format string over its operands: `{0}` is the first one, `{all}` are all of them, `{rest}` all but the
first, `{pairs}` those of a dot product. What follows a colon says how tightly an operand must bind to need no parentheses
(1: a sum, 2: a product, 3: a power), `^` writes it as an exponent, and for several operands it is what stands between.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from micrograd_like.drawing.text import elided
from micrograd_like.ieee import Number, as_float
from micrograd_like.ops import Operation

LONGEST_PATH = 400  # letters; a longer label is no expression that reaches a parameter
LONGEST = 26  # letters of an operand inside another formula; a longer one is "…"
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_SUPERSCRIPTS = str.maketrans("0123456789−+()nxyabk", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺⁽⁾ⁿˣʸᵃᵇᵏ")


class Term(str):
    """The text of an operand, which puts itself in parentheses where a formula needs them."""

    __slots__ = ()

    def binds(self) -> int:
        """How tightly its parts hold together: 1 a sum, 2 a product, 3 a power, a name or a call."""
        flat = re.sub(r"\([^()]*\)|\[[^\[\]]*\]", "", _without_inner(self))
        return 1 if " " in flat or flat.startswith("−") else 2 if re.search(r"[·/]", flat) else 3

    def __format__(self, needed: str) -> str:
        if needed == "^":
            raised = self.translate(_SUPERSCRIPTS)
            if all(ord(c) > 127 for c in raised):
                return raised
            return f"^{self}" if self.binds() == 3 else f"^({self})"
        if needed and self.binds() < int(needed):
            return f"({self})"
        return str(self)


def _without_inner(text: str) -> str:
    """The text with what lies in parentheses inside parentheses removed."""
    while (shorter := re.sub(r"\(([^()]*)\(([^()]*)\)([^()]*)\)", r"(\1\3)", text)) != text:
        text = shorter
    return text


class Terms(list[Term]):
    """Several operands, of which the middle ones are left out when there are many."""

    def __format__(self, between: str) -> str:
        between = between or ", "
        needed = "1" if between == " + " else ""
        texts = [format(term, needed) for term in self]
        if len(texts) > 3 or sum(map(len, texts)) > 2 * LONGEST:
            texts = [texts[0], "…", texts[-1]]
        return between.join(texts)


def formula(op: Operation, operands: Sequence[str]) -> str:
    """An operation over its operands' names.

    >>> from micrograd_like import ops
    >>> formula(ops.mul, ["a + b", "c"]), formula(ops.pow, ["out − 2", "2"]), formula(ops.tanh, ["n"])
    ('(a + b)·c', '(out − 2)²', 'tanh(n)')
    >>> formula(ops.dot, ["w₀", "w₁", "b", "x₀", "x₁"]), formula(ops.sub, ["out", "−1"])
    ('w₀·x₀ + w₁·x₁ + b', 'out + 1')
    """
    terms = [Term(operand) for operand in operands]
    half = len(terms) // 2
    products = Terms(Term(f"{w:2}·{x:2}") for w, x in zip(terms[:half], terms[half + 1 :], strict=False))
    pairs = f"{Terms([*products, *terms[half : half + 1]]): + }"
    template = op.formula or f"{op.name}({{all}})"
    text = template.format(*terms, all=Terms(terms), rest=Terms(terms[1:]), pairs=pairs)
    return re.sub(r" − \(−(\d[\d.]*)\)$", r" + \1", text)


def name(label: str) -> str:
    """A label's last part with its digits as a subscript: `w1` and `w[1]` are w₁.

    >>> name("layers[0].neurons[2].w[1]"), name("x1"), name("loss"), name("a sum of 2")
    ('w₁', 'x₁', 'loss', 'a sum of 2')
    """
    if len(label) > LONGEST_PATH or not re.fullmatch(r"[^\W\d]\w*(\[\d+\])*(\.[^\W\d]\w*(\[\d+\])*)*", label):
        return elided(label, LONGEST_PATH)
    last = label.rpartition(".")[2]
    match = re.fullmatch(r"(\w*?[^\W\d])_?(\d*)((?:\[\d+\])*)", last)
    if match is None:
        return last
    indices = [i for i in (match[2], *re.findall(r"\d+", match[3])) if i]
    return match[1] + ",".join(indices).translate(_SUBSCRIPTS)


def neuron(index: str, layer: int = 0) -> str:
    """A hidden neuron: h₂, and h¹₂ where its layer must be told (from 1 on; 0 tells none).

    >>> neuron("2"), neuron("2", 1)
    ('h₂', 'h¹₂')
    """
    return "h" + (str(layer).translate(_SUPERSCRIPTS) if layer else "") + index.translate(_SUBSCRIPTS)


def number(x: Number, digits: int = 4) -> str:
    """A number for reading: few digits, a real minus; a short fraction as it is.

    >>> from fractions import Fraction
    >>> number(-0.5), number(1234567.0), number(Fraction(1, 3)), number(3e-9)
    ('−0.5', '1.235·10⁶', '1/3', '3·10⁻⁹')
    """
    text = "" if isinstance(x, float) else full(x)
    if not text or len(text) > 9:
        text = f"{as_float(x):.{digits}g}"
    mantissa, e, exponent = text.partition("e")
    mantissa = "0" if mantissa in ("-0", "0") else mantissa.replace("-", "−").replace("inf", "∞")
    if not e:
        return mantissa
    power = str(int(exponent)).replace("-", "−").translate(_SUPERSCRIPTS)
    return f"{mantissa}·10{power}"


def signed(x: Number, digits: int = 4) -> str:
    """The same with a plus before what is above 0."""
    return ("+" if x > 0 else "") + number(x, digits)


def full(x: Number) -> str:
    """A number with all of its digits."""
    try:
        return str(x)
    except ValueError:  # a fraction of more digits than Python prints
        return repr(as_float(x))
