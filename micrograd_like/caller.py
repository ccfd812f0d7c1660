"""The line of the user's program that asked: what an error names when it comes up deep inside of the library."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

PACKAGE = str(Path(__file__).parent) + os.sep  # with its end: a folder beside it may begin with the same name


def users_line() -> tuple[str, int]:
    """Return (file, line) of the innermost line that is not this package's, of those that are running now."""
    frame = _users_frame()
    return frame.f_code.co_filename, frame.f_lineno


def variables() -> dict[str, Any]:
    """Return the variables that the user's program sees at that line, its own before those of its file."""
    frame = _users_frame()
    return {**frame.f_locals, **{name: x for name, x in frame.f_globals.items() if name not in frame.f_locals}}


def _users_frame() -> Any:
    frame: Any = sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return frame
