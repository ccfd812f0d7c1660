"""The line of the user's program that asked: what an error names when it comes up deep inside of the library."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

PACKAGE = str(Path(__file__).parent) + os.sep  # with its end: a folder beside it may begin with the same name


def users_line() -> tuple[str, int]:
    """Return (file, line) of the innermost line that is not this package's, of those that are running now."""
    frame: Any = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno
