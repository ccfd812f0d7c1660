"""One HTML file with everything in it: the style, the table's kernels, the engine, the views and the numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.resources import files

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
