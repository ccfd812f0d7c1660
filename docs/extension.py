"""What the site needs beside Sphinx: formulas as MathML, operations from their rows, live pages as files."""

from __future__ import annotations

import inspect
import re
from functools import cached_property
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx

from micrograd_like import Value, gradient
from micrograd_like.ops import Operation
from micrograd_like.player import ready


def inline_formula(writer: Any, node: nodes.math) -> None:
    """Write a formula as MathML, which browsers draw by themselves."""
    writer.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def formula(writer: Any, node: nodes.math_block) -> None:
    """Write a formula on a line of its own."""
    writer.body.append(f'<div class="math">{tex2mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode


def operation(row: Operation) -> list[str]:
    """Describe a row of the table for the reference, with an example that is computed now."""
    names = {1: ["x"], 2: ["x", "y"], 3: ["condition", "x", "y"]}.get(row.arity or 0)
    if names is None:
        raise ValueError(f"{row.name} takes any number of operands: let a function with a docstring call it")
    operands = [Value([0.5, 2.0, -3.0][place], label=name) for place, name in enumerate(names)]
    result = row(*operands)
    numbers = ", ".join(f"{operand.data!r}" for operand in operands)
    lines = [
        f"``{row.name}({', '.join(names)})``: {row.doc}.",
        "",
        f">>> {row.name}({numbers})",
        repr(row(*[operand.data for operand in operands])),
    ]
    for operand in operands:
        slope = gradient(result, operand).data
        kept = ", ".join(operand.label if other is operand else repr(other.data) for other in operands)
        lines += [
            f">>> {operand.label} = Value({operand.data!r})",
            f">>> gradient({row.name}({kept}), {operand.label}).data",
            repr(slope),
        ]
    if row.switches:
        lines += ["", "It has a kink; what its derivative is there is in the table of special points."]
    return lines


def markup(text: str) -> str:
    """Turn a line of a docstring into reStructuredText: `names` become links or code, everything else is plain text."""
    parts = re.split(r"``([^`]+)``|`([^`]+)`", text)
    found = []
    for plain, literal, name in zip(parts[::3], [*parts[1::3], None], [*parts[2::3], None], strict=True):
        found.append(re.sub(r"([|*\\])", r"\\\1", plain))
        if name and re.fullmatch(r"[\w.]+", name):
            found.append(f"\\ :py:obj:`{name}`\\ ")
        elif code := literal or name:
            found.append(f"\\ ``{code}``\\ ")
    return "".join(found)


def plain_text(lines: list[str]) -> None:
    """Keep in place what a docstring sets apart by its layout: examples, and formulas that are indented."""
    lines[:] = "\n".join(lines).split("\n")  # napoleon's errors are several lines in one
    example = formula = fields = False
    for place, line in enumerate(lines):
        words = line.strip()
        example = words.startswith(">>>") or (example and bool(words))
        fields = fields or words.startswith(":")  # napoleon has made them of the arguments and errors, which come last
        formula = bool(words) and line.startswith("    ") and not fields
        if example or formula or not words:
            continue
        field = re.match(r"(\s*(?:\*|:\w+(?: [^:]*)?:) ?)?(.*)", line)
        assert field is not None
        lines[place] = (field[1] or "") + markup(field[2])
        following = lines[place + 1 : place + 3]
        if words.endswith(":") and len(following) == 2 and not following[0] and following[1].startswith("    "):
            lines[place] += ":"


def describe(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Give an operation its own text, for what Python finds is that of its class; others get theirs as it is meant."""
    if isinstance(thing, Operation):
        lines[:] = operation(thing)
        return
    if isinstance(thing, (property, cached_property)):  # napoleon takes what stands before a colon for a type
        lines[:] = [*(inspect.getdoc(thing) or "").split("\n"), ""]
    plain_text(lines)


def write_live_pages(app: Sphinx, failed: Exception | None) -> None:
    """Write the pages that are ready beside the others."""
    if failed is None and app.builder.format == "html":
        ready.write_all(Path(app.outdir) / "live")


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_html_math_renderer("mathml", (inline_formula, None), (formula, None))
    app.connect("autodoc-process-docstring", describe)
    app.connect("build-finished", write_live_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
