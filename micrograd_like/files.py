"""A file that is old or new, never between, whatever interrupts its writing."""

from __future__ import annotations

import os
from contextlib import suppress
from secrets import token_hex
from stat import S_IMODE, S_ISREG


def replace_file(path: str | os.PathLike[str], content: bytes) -> None:
    """Make this the content of the file: all of it or, where that fails, none.

    The new file has the old one's mode, and a path that is a link stays one: the file that it leads to is replaced.

    Raises:
        ValueError: the path leads to what is no file.
        OSError: it cannot be written; an older file stays.
    """
    place = os.path.realpath(os.fsdecode(path))
    mode = None
    with suppress(FileNotFoundError):
        mode = os.stat(place).st_mode
    if mode is not None and not S_ISREG(mode):
        raise ValueError(f"expected the path of a file to write, got {place!r}, which is none")
    # Not by tempfile.mkstemp, whose files are their owner's alone: a new file is to have the mode that others have here.
    unfinished = os.path.join(os.path.dirname(place), f".{token_hex(8)}.unfinished")
    permissions = 0o666 if mode is None else S_IMODE(mode)
    try:
        with open(unfinished, "xb", opener=lambda name, flags: os.open(name, flags, permissions)) as file:
            file.write(content)
            if mode is not None:
                os.chmod(unfinished, permissions)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, place)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(unfinished)
        raise
