"""`show`: a picture where its reader is, in the notebook as an output, elsewhere as a file."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from micrograd_like._extras import require
from micrograd_like.drawing.figure import figure_svg

FOLDER = "MICROGRAD_LIKE_PICTURES"  # the environment variable that says where pictures go
written: list[Path] = []  # the files that this process has written, in order
# Who shows the pictures instead of the line that names their file: called with the picture, its name and its file.
on_show: Callable[[Any, str, Path], None] | None = None


def to_svg(picture: Any) -> str:
    """A drawing, a report, a matplotlib figure or an SVG text as SVG. The same picture gives the same bytes.

    Raises:
        TypeError: it is none of these.
    """
    if hasattr(picture, "to_svg"):
        return str(picture.to_svg())
    if hasattr(picture, "pipe"):
        return str(picture.pipe("svg", encoding="utf-8"))
    if hasattr(picture, "savefig"):
        return figure_svg(picture)
    if isinstance(picture, str) and "<svg" in picture:
        return picture
    raise TypeError(
        f"expected a drawing, a report, a figure or an SVG text to show, got {type(picture).__name__}: {picture!r:.60}"
    )


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this program."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


def show(picture: Any, name: str) -> None:
    """Show a picture or a live page: in a notebook below the cell, elsewhere as `NAME.svg` or `NAME.html` in a folder.

    The folder is `out/pictures`, or what the environment variable MICROGRAD_LIKE_PICTURES says; where that is set, a
    notebook writes the file as well. The file's name is printed.

    >>> import micrograd_like as mg, os, tempfile
    >>> from unittest.mock import patch
    >>> with patch.dict(os.environ, {FOLDER: tempfile.mkdtemp()}):
    ...     show(mg.draw_dot(mg.Value(2.0) * 3.0), "product")  # doctest: +ELLIPSIS
    picture: ...product.svg

    Args:
        picture: a drawing (`draw_dot`), a report, a matplotlib figure, an SVG text, or a page (`play`).
        name: the name of the file, without its ending.

    Raises:
        TypeError: the picture is none of these.
        ValueError: the name is not one of a file: letters, digits, `_`, `-` and `.`.
    """
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*", name):
        raise ValueError(f"expected a name for a file, of letters, digits, _ - and ., got {name!r:.60}")
    page = hasattr(picture, "html") and hasattr(picture, "save")
    text = picture.html if page else to_svg(picture)
    notebook = _in_notebook()
    if notebook:
        display = require("IPython.display", extra="notebooks")
        display.display(picture if page else display.SVG(text))
    if FOLDER in os.environ or not notebook:
        path = Path(os.environ.get(FOLDER, "out/pictures")) / f"{name}.{'html' if page else 'svg'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        written.append(path)
        if on_show is not None:
            on_show(picture, name, path)
        elif not notebook:
            print(f"{'live page' if page else 'picture'}: {path}")
