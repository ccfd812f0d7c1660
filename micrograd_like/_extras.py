"""Optional libraries, imported where they are used, with an error that says how to get them."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def require(module: str, extra: str) -> Any:
    """The module, imported. Raises ImportError naming the extra that installs it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"this needs {module.partition('.')[0]}, which is not installed: pip install 'micrograd_like[{extra}]'"
        ) from error
