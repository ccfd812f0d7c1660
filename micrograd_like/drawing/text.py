"""Texts that show just what they are: in DOT, in SVG, shortened, without what XML cannot hold."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

import graphviz


def plain_text(*lines: str) -> str:
    r"""Lines of any text as one DOT attribute that shows just that text.

    Graphviz reads `\N`, `&lt;` and `<b>` in a label as instructions; here each is what it is. Characters that XML
    cannot hold are shown as U+FFFD.

    >>> print(plain_text(r"\N", "<b> & more"))
    \\N\n<b> &amp; more
    """
    return _escaped(lines, "\\\\")


def tooltip_text(*lines: str) -> str:
    """The same for a tooltip, whose backslashes Graphviz reads twice."""
    return _escaped(lines, "\\\\\\\\")


def _escaped(lines: Iterable[str], backslash: str) -> str:
    escaped = [visible(line).replace("\\", backslash).replace("&", "&amp;").replace("\n", "\\n") for line in lines]
    text: str = graphviz.nohtml("\\n".join(escaped))
    return text


def elided(text: str, length: int = 40) -> str:
    """The text, shortened in its middle to at most that many characters."""
    if len(text) <= length:
        return text
    head = (length - 1) // 2
    return f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"


def visible(text: str) -> str:
    """The text with U+FFFD for what XML cannot hold, and one kind of line break."""
    if text.isprintable():
        return text
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c if c in "\n" or _is_printable(c) else " " if c == "\t" else "\ufffd" for c in text)


def _is_printable(c: str) -> bool:
    return unicodedata.category(c) not in ("Cc", "Cs") and ord(c) & 0xFFFE != 0xFFFE
