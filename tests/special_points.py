"""What every operation gives at the points where arithmetic is decided by convention, and who decided it.

`make ulps` writes docs/special_points.md from this table.
"""

import sys
from dataclasses import dataclass
from math import inf, nan
from pathlib import Path

C99 = "C99 Annex F"
IEEE = "IEEE 754-2019"
LIMIT = "the limit"


@dataclass(frozen=True)
class Point:
    operation: str
    operands: tuple[float, ...]
    value: float
    derivatives: tuple[float, ...]  # by each operand; 0 also where no gradient flows
    source: str


# fmt: off
POINTS = [
    # Arithmetic: IEEE 754, §6 (infinities), §6.1-6.3 (signs of zero), §7.3 (division by zero).
    Point("add", (inf, -inf), nan, (1, 1), f"{IEEE} §7.2"),
    Point("add", (0.0, -0.0), 0.0, (1, 1), f"{IEEE} §6.3"),
    Point("add", (-0.0, -0.0), -0.0, (1, 1), f"{IEEE} §6.3"),
    Point("add", (1e308, 1e308), inf, (1, 1), f"{IEEE} §7.4: overflow is inf, not an exception"),
    Point("sub", (inf, inf), nan, (1, -1), f"{IEEE} §7.2"),
    Point("sub", (0.0, 0.0), 0.0, (1, -1), f"{IEEE} §6.3"),
    Point("mul", (0.0, inf), nan, (inf, 0), f"{IEEE} §7.2"),
    Point("mul", (-0.0, 3.0), -0.0, (3, -0.0), f"{IEEE} §6.3"),
    Point("mul", (1e200, 1e200), inf, (1e200, 1e200), f"{IEEE} §7.4"),
    Point("div", (1.0, 0.0), inf, (inf, -inf), f"{IEEE} §7.3"),
    Point("div", (1.0, -0.0), -inf, (-inf, -inf), f"{IEEE} §7.3: the sign of zero counts"),
    Point("div", (-1.0, 0.0), -inf, (inf, inf), f"{IEEE} §7.3"),
    Point("div", (0.0, 0.0), nan, (inf, nan), f"{IEEE} §7.2"),
    Point("div", (1.0, inf), 0.0, (0, -0.0), LIMIT),
    Point("div", (1e200, 1e200), 1.0, (1e-200, -1e-200), "-x/y² would overflow in y²"),
    Point("neg", (0.0,), -0.0, (-1,), f"{IEEE} §5.5.1"),
    # Powers: C99 F.9.4.4; derivatives where the formula is 0·inf by PyTorch.
    Point("pow", (0.0, 0.0), 1.0, (0, 0), f"{C99}: pow(x, 0) = 1; x ** 0 is flat (PyTorch; JAX gives nan by y)"),
    Point("pow", (0.0, 2.0), 0.0, (0, 0), "PyTorch: 0 ** y is flat in y for y >= 0"),
    Point("pow", (0.0, 1.0), 0.0, (1, 0), LIMIT),
    Point("pow", (0.0, 0.5), 0.0, (inf, 0), LIMIT),
    Point("pow", (0.0, -1.0), inf, (-inf, -inf), f"{C99}: pow(±0, y) is ±inf for an odd whole y < 0"),
    Point("pow", (-0.0, -1.0), -inf, (-inf, inf), f"{C99}; by y: result · log(0)"),
    Point("pow", (-2.0, 0.5), nan, (nan, nan), f"{C99}: pow(x, y) is invalid for x < 0 and y not whole"),
    Point("pow", (-2.0, 3.0), -8.0, (12, nan), f"{C99}; log of a negative base is nan (PyTorch, JAX)"),
    Point("pow", (1.0, nan), 1.0, (nan, 0), f"{C99}: pow(1, y) = 1 even for nan"),
    Point("pow", (nan, 0.0), 1.0, (0, nan), f"{C99}: pow(x, 0) = 1 even for nan"),
    Point("pow", (inf, -1.0), 0.0, (-0.0, nan), f"{C99}; by y: 0·inf, undecided, and it says so"),
    Point("pow", (10.0, 400.0), inf, (inf, inf), f"{IEEE} §7.4"),
    # Exponential and logarithm: C99 F.9.3.
    Point("exp", (1000.0,), inf, (inf,), f"{IEEE} §7.4"),
    Point("exp", (-1000.0,), 0.0, (0,), f"{IEEE} §7.5"),
    Point("exp", (-inf,), 0.0, (0,), C99),
    Point("exp", (inf,), inf, (inf,), C99),
    Point("exp", (nan,), nan, (nan,), C99),
    Point("log", (0.0,), -inf, (inf,), f"{C99}: divide-by-zero"),
    Point("log", (-0.0,), -inf, (-inf,), f"{C99}; 1/-0 by IEEE 754"),
    Point("log", (-1.0,), nan, (-1,), f"{C99}: invalid; the slope is 1/x as in PyTorch (JAX too), though the value is nan"),
    Point("log", (inf,), inf, (0,), C99),
    Point("sqrt", (0.0,), 0.0, (inf,), LIMIT),
    Point("sqrt", (-0.0,), -0.0, (-inf,), f"{IEEE} §5.4.1: the root of -0 is -0; 1/(2·-0)"),
    Point("sqrt", (-1.0,), nan, (nan,), f"{IEEE} §7.2"),
    Point("sqrt", (inf,), inf, (0,), C99),
    # Trigonometry: C99 F.9.1.
    Point("sin", (inf,), nan, (nan,), f"{C99}: invalid"),
    Point("cos", (-inf,), nan, (nan,), f"{C99}: invalid"),
    Point("sin", (-0.0,), -0.0, (1,), C99),
    Point("cos", (0.0,), 1.0, (-0.0,), C99),
    # Functions with two asymptotes.
    Point("tanh", (inf,), 1.0, (0,), C99),
    Point("tanh", (-0.0,), -0.0, (1,), C99),
    Point("tanh", (20.0,), 1.0, (1.6993417021166355e-17,), "4 e⁻⁴⁰ / (1 + e⁻⁴⁰)²; 1 - tanh² would give 0"),
    Point("sigmoid", (-inf,), 0.0, (0,), LIMIT),
    Point("sigmoid", (inf,), 1.0, (0,), LIMIT),
    Point("sigmoid", (-1000.0,), 0.0, (0,), "no overflow"),
    Point("sigmoid", (40.0,), 1.0, (4.248354255291589e-18,), "e⁻⁴⁰ / (1 + e⁻⁴⁰)²; s·(1-s) would give 0"),
    Point("softplus", (-inf,), 0.0, (0,), LIMIT),
    Point("softplus", (1000.0,), 1000.0, (1,), "no overflow"),
    Point("softplus", (-40.0,), 4.248354255291589e-18, (4.248354255291589e-18,), "log1p keeps what log(1 + …) loses"),
    Point("sigmoid_prime", (0.0,), 0.25, (-0.0,), "e⁰ / (1 + e⁰)²"),
    Point("sigmoid_prime", (40.0,), 4.248354255291589e-18, (-4.248354255291589e-18,), "e⁻⁴⁰ / (1 + e⁻⁴⁰)²"),
    Point("sigmoid_prime", (-1000.0,), 0.0, (0,), "no overflow"),
    Point("sigmoid_prime", (inf,), 0.0, (-0.0,), LIMIT),
    # Kinks.
    Point("relu", (0.0,), 0.0, (0,), "PyTorch and JAX: relu'(0) = 0"),
    Point("relu", (-0.0,), 0.0, (0,), "max(x, 0)"),
    Point("relu", (nan,), nan, (0,), "nan is not positive: no gradient flows (JAX; PyTorch passes it on)"),
    Point("relu", (inf,), inf, (1,), LIMIT),
    Point("abs", (0.0,), 0.0, (0,), "PyTorch: abs'(0) = 0 (JAX gives 1): the middle of [-1, 1]"),
    Point("abs", (-inf,), inf, (-1,), LIMIT),
    Point("abs", (nan,), nan, (0,), "neither side: no gradient flows"),
    Point("where", (0.0, 1.0, 2.0), 2.0, (0, 0, 1), "positive means greater than 0"),
    Point("where", (nan, 1.0, 2.0), 2.0, (0, 0, 1), "nan is not positive"),
    Point("max", (1.0, 1.0), 1.0, (0.5, 0.5), "operands that tie share (PyTorch's amax and JAX)"),
    Point("max", (1.0, nan), nan, (0.5, 0.5), f"{IEEE} §9.6 maximum: nan wins"),
    Point("max", (inf, inf, 0.0), inf, (0.5, 0.5, 0), "operands that tie share"),
    Point("max", (-inf, -inf), -inf, (0.5, 0.5), "operands that tie share"),
    Point("min", (0.0, 0.0, 1.0), 0.0, (0.5, 0.5, 0), "operands that tie share"),
    Point("min", (nan, 1.0), nan, (0.5, 0.5), f"{IEEE} §9.6 minimum: nan wins"),
    Point("relu_dot", (1.0, -2.0, 2.0), 0.0, (0, 0, 0), "relu'(0) = 0"),
    # Several operands.
    Point("gather", (1.0, 5.0, 7.0), 7.0, (0, 0, 1), "the operand with that number, counted from 0"),
    Point("gather", (0.5, 5.0, 7.0), nan, (0, 0, 0), "halfway between two: undecided, and it says so"),
    Point("gather", (2.0, 5.0, 7.0), nan, (0, 0, 0), "there is no such operand"),
    Point("gather", (nan, 5.0, 7.0), nan, (0, 0, 0), "there is no such operand"),
    Point("sum", (inf, -inf, 1.0), nan, (1, 1, 1), f"{IEEE} §7.2"),
    Point("dot", (0.0, 1.0, inf), nan, (inf, 1, 0), f"{IEEE} §7.2"),
    Point("logsumexp", (-inf, -inf), -inf, (0, 0), "PyTorch: all masked, no influence"),
    Point("logsumexp", (-inf, 2.0), 2.0, (0, 1), LIMIT),
    Point("logsumexp", (1000.0, 1000.0), 1000.6931471805599, (0.5, 0.5), "no overflow"),
    Point("logsumexp", (inf, 2.0), inf, (nan, 0), "inf - inf: undecided, and it says so"),
]
# fmt: on


def document() -> str:
    lines = [
        "# Special points",
        "",
        "What every operation gives where arithmetic is decided by convention, and whose convention it is. The",
        "derivatives are those by each operand; 0 also stands where no gradient flows. Written by `make ulps`; the tests",
        "hold the library to every line.",
        "",
        "| operation | value | derivatives | source |",
        "|---|--:|---|---|",
    ]
    for point in POINTS:
        call = f"{point.operation}({', '.join(f'{x:g}' for x in point.operands)})"
        lines.append(
            f"| `{call}` | {point.value!r} | {', '.join(f'{d!r}' for d in point.derivatives)} | {point.source} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(document(), encoding="utf-8")
