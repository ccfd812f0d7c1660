"""The one place for how pictures look: colours, text sizes, fonts, and how wide a text is.

Orange and blue are the Okabe–Ito pair that every kind of colour vision tells apart: orange raises the loss, blue lowers
it, and a sign or an arrow says the same without colour. What lies on the page itself (lines, notes, titles) has one tone
with a contrast of at least 4.5 to white and to black. What lies in a card is dark on a light tint, or light on a dark one
where the reader's system is dark.
"""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

# On the page: legible on white and on black.
RAISES = "#c75300"  # raising it raises the loss
LOWERS = "#1b7abe"  # raising it lowers the loss
NEUTRAL = "#767676"  # no effect, or none known; notes, axes and titles
FAILED = "#dc3040"  # a number that is not finite; nothing else
ACCENT = "#986d00"  # what is being computed right now; nothing else
POSITIVE, NEGATIVE = "#008472", "#a155c2"  # the two classes of a data set: never the loss's two colours
# Lines for experiments that are not about raising or lowering a loss, each with a dash pattern of its own.
SERIES = (("-", LOWERS), ("--", RAISES), ("-.", POSITIVE), (":", "#b0568c"), ((0, (5, 1, 1, 1, 1, 1)), ACCENT))

INK = "#1b1f24"  # text on a tint


class Shade(NamedTuple):
    """A colour on a light page and its partner on a dark one."""

    light: str
    dark: str


# In cards, whose background is their own.
TEXT = Shade(INK, "#e9ebee")
MUTED = Shade("#59626d", "#9ca6b3")
EDGE = Shade("#9aa1a9", "#59636f")  # the outline of a card
RAISES_TEXT = Shade("#a84300", "#ff9d57")
LOWERS_TEXT = Shade("#005fa3", "#6fc0ff")
FAILED_TEXT = Shade("#b3001b", "#ff8a8a")
# What a card is, by its tint.
TINTS = {
    "parameter": Shade("#fdf3c7", "#3d3518"),
    "input": Shade("#dcecf8", "#1b3346"),
    "loss": Shade("#f6e1ee", "#43283a"),
    "operation": Shade("#f3f4f1", "#242a33"),
}

# Colour scales, from negative over zero to positive: what a weight is, and what it does to the loss.
WEIGHTS = ("#0a0c0f", "#96989b", "#ffffff")  # light lets its input raise the neuron, dark lets it lower the neuron
EFFECTS = (LOWERS, "#fafaf7", RAISES)
PIXELS = ("#ffffff", "#ffffff", "#14181e")  # 0 is white, 1 is black

# Sizes in px where the picture is shown at its own width. At a page's 880 px nothing may be below 11.
PAGE_WIDTH, SMALLEST = 880, 11.0
SMALL, BODY, VALUE, CAPTION = 12, 13, 16, 17
FONT = '"DejaVu Sans",Verdana,Helvetica,Arial,sans-serif'

# Hundredths of an em in DejaVu Sans, from " " to "~"; the other fonts of the list are not wider.
_WIDTHS = (
    32, 40, 46, 84, 64, 95, 78, 27, 39, 39, 50, 84, 32, 36, 32, 34, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 34, 34, 84, 84,
    84, 53, 100, 68, 69, 70, 77, 63, 58, 77, 75, 29, 29, 66, 56, 86, 75, 79, 60, 79, 69, 63, 61, 73, 68, 99, 69, 61, 69, 39,
    34, 39, 84, 50, 50, 61, 63, 55, 63, 62, 35, 63, 63, 28, 28, 58, 28, 97, 63, 61, 63, 63, 41, 52, 39, 63, 59, 82, 59, 59,
    52, 64, 34, 64, 84,
)  # fmt: skip
_OTHERS = {
    **dict.fromkeys("−×≤≥≈=∞", 84),
    **dict.fromkeys("₀₁₂₃₄₅₆₇₈₉⁰¹²³⁴⁵⁶⁷⁸⁹", 40),
    "…": 100,
    "·": 32,
    "∂": 52,
    "⁻": 53,
}
_BOLD = 1.13  # how much wider bold text is


def measure(text: str, size: float = BODY, bold: bool = False) -> float:
    """How wide a text is, in px; rather too wide than too narrow.

    >>> round(measure("w₁·x₁"), 1)
    32.9
    """
    ems = sum(_WIDTHS[ord(c) - 32] if " " <= c <= "~" else _OTHERS.get(c) or _unknown_width(c) for c in text)
    return ems * size / 100 * (_BOLD if bold else 1)


def _unknown_width(c: str) -> int:
    if unicodedata.combining(c) or unicodedata.category(c) == "Cf":
        return 0
    return 110 if unicodedata.east_asian_width(c) in "WF" or ord(c) > 0xFFFF else 80


def blend(scale: tuple[str, str, str], x: float) -> str:
    """The colour of x on a scale, from −1 over 0 to 1; a number beyond gets the colour of the end, nan that of 0."""
    part = min(abs(x), 1.0) if x == x else 0.0
    start, end = scale[1], scale[2 if x > 0 else 0]
    channels = [(int(start[i : i + 2], 16), int(end[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * part):02x}" for a, b in channels)


def contrast(one: str, other: str) -> float:
    """The contrast of two colours (WCAG 2.2: from 1 to 21; text wants 4.5).

    >>> round(contrast("#ffffff", "#000000"), 6)
    21.0
    """
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
