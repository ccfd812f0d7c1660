"""What the terminal can show: it is asked before Textual owns it."""

from __future__ import annotations

import os
import re
import select
import sys
import time
from contextlib import suppress

from micrograd_like._extras import require


def has_pixels() -> bool:
    """Whether the terminal has answered to a graphics protocol. It is asked once, before anything else owns it."""
    renderable = require("textual_image.renderable", extra="tutor")
    sixel = require("textual_image.renderable.sixel", extra="tutor").Image
    kitty = require("textual_image.renderable.tgp", extra="tutor").Image
    return bool(renderable.Image in (sixel, kitty))


def is_light() -> bool:
    """Whether the terminal has a light background: it is asked (OSC 11), and says so within a fifth of a second or not."""
    with suppress(Exception):
        import termios
        import tty

        terminal = sys.stdin.fileno()
        before = termios.tcgetattr(terminal)
        try:
            tty.setcbreak(terminal)
            sys.stdout.write("\x1b]11;?\x1b\\")
            sys.stdout.flush()
            answer, end = b"", time.monotonic() + 0.2
            while not answer.endswith((b"\\", b"\a")) and (left := end - time.monotonic()) > 0:
                if select.select([terminal], [], [], left)[0]:
                    answer += os.read(terminal, 64)
        finally:
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        if found := re.search(rb"rgb:([0-9a-f]+)/([0-9a-f]+)/([0-9a-f]+)", answer.lower()):
            return sum(int(part, 16) / int(b"f" * len(part), 16) for part in found.groups()) > 1.5
    return os.environ.get("COLORFGBG", "").rpartition(";")[2] in ("7", "15")
