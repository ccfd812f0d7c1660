"""A page: one HTML file with everything in it, the style, the table's kernels, the engine, the views and the numbers."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import tempfile
import webbrowser
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

from micrograd_like.files import replace_file
from micrograd_like.player.javascript import HELPERS
from micrograd_like.player.program import Kernels


def part(name: str) -> str:
    """The text of one of the page's files."""
    return (files("micrograd_like.player") / "web" / name).read_text(encoding="utf-8")


def module(name: str) -> str:
    """A module's text for a script that holds all modules: without imports and exports, which it does not need."""
    text = re.sub(r"^import .*?;\n", "", part(name), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"^export (?=const|let|function|class|async)", "", text, flags=re.MULTILINE)


def engine_source(kernels: Iterable[Kernels]) -> str:
    """The engine as one script: what forms use, the kernels as KERNELS, and the module."""
    lists = "".join(f"const KERNELS = {each.to_javascript()};\n" for each in kernels)
    return HELPERS + lists + module("engine.js")


AHEAD = 200  # steps of the future that the page shows
CHECKPOINTS = (0, 1, 2, 5, 10)  # steps at which the page's numbers are compared with Python's
VIEWS = ("base", "state", "scene", "diagram", "story", "panels", "data", "controls")  # in the order of their needs


def views_source(names: Iterable[str] = VIEWS) -> str:
    """The views and controls as one script."""
    modules = "\n".join(module(f"{name}.js") for name in names)
    return f'(() => {{\n"use strict";\n{modules}\n}})();\n'


def script_json(x: Any) -> str:
    """JSON that can stand in a script element: no text of it is ever read as markup."""
    text = json.dumps(x, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return re.sub("[<>&\u2028\u2029\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)


def assemble(data: dict[str, Any], kernels: Kernels, optimizer: str) -> str:
    """The page as one text. Its policy allows the scripts that are in it, and no request of any kind."""
    return _assembled("page.html", data, part("style.css"), engine_source([kernels]) + optimizer, VIEWS)


def assemble_text(data: dict[str, Any], engine: str) -> str:
    """The page of a language model; `engine` defines LOOPS."""
    return _assembled("text.html", data, part("style.css") + part("text.css"), engine, ("base", "text"))


def _assembled(body: str, data: dict[str, Any], style: str, engine: str, views: Iterable[str]) -> str:
    parts = {
        "style": style,
        "body": part(body),
        "data": script_json(data),
        "engine": engine,
        "views": views_source(views),
    }
    scripts = " ".join(_hash(parts[name]) for name in ("engine", "views"))
    parts["policy"] = (
        f"default-src 'none'; script-src {scripts}; style-src {_hash(parts['style'])}; img-src data: blob:; "
        "worker-src blob:; base-uri 'none'; form-action 'none'"
    )
    return re.sub("⟦(\\w+)⟧", lambda found: parts[found[1]], part("frame.html"))


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def iframe(page: str, title: str) -> str:
    """A page inside of another one, such as a notebook: everything is in the element itself."""
    return (
        f'<iframe srcdoc="{html.escape(page)}" title="{html.escape(title)}" '
        'style="width: 100%; height: 860px; border: 0" loading="lazy"></iframe>'
    )


class Page:
    """Hold a live page: one HTML file that needs no network. `save` it, `show` it, or let a notebook show it.

    >>> from micrograd_like import Value, play
    >>> x = Value(3.0, label="x")
    >>> page = play((x - 1) ** 2)
    >>> page.html.startswith("<!doctype html>")
    True
    """

    def __init__(self, html: str, title: str) -> None:
        self.html = html
        self.title = title

    def save(self, path: str | Path) -> Path:
        """Write the page to a file, whole or not at all, and return its path.

        Raises:
            ValueError: the name does not end in .html or .htm, or leads to what is no file.
            OSError: the file cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"expected a name that ends in .html for a page, got {path.name!r:.60}")
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, self.html.encode())
        return path

    def show(self) -> Path:
        """Open the page in the browser, from a temporary file, whose path is returned."""
        folder = Path(tempfile.mkdtemp(prefix="micrograd_like-"))
        path = self.save(folder / "page.html")
        webbrowser.open(path.as_uri())
        return path

    def _repr_html_(self) -> str:
        return iframe(self.html, self.title)

    def __repr__(self) -> str:
        return f"Page({self.title!r}, {len(self.html.encode()) / 1000:.0f} kB): save(path), show()"
