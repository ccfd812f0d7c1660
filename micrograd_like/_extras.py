"""Optional libraries, imported where they are used, with an error that says how to get them."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from importlib import import_module
from importlib.util import find_spec
from typing import Any


class MissingExtraError(ImportError):
    """A library is not installed; the message is one sentence that names the extra which brings it."""

    def __init__(self, module: str, extra: str) -> None:
        library = module.partition(".")[0]
        super().__init__(f"this needs {library}, which is not installed: pip install 'micrograd_like[{extra}]'")


def require(module: str, extra: str) -> Any:
    """The module, imported. Raises MissingExtraError naming the extra that installs it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(module, extra) from error


def progress_bar(progress: bool | None, total: int, unit: str) -> Any:
    """A context that gives a tqdm bar (True), None (False), or a bar on a terminal that has tqdm (None)."""
    if progress is None:
        progress = sys.stderr.isatty() and find_spec("tqdm") is not None
    if not progress:
        return nullcontext()
    return require("tqdm", extra="training").tqdm(total=total, unit=unit, file=sys.stderr, dynamic_ncols=True)
