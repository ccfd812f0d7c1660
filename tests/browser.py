"""A real browser for tests: the system's Chromium, driven by playwright (extra `browser`)."""

import os
import shutil
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

REQUIRED = "MICROGRAD_LIKE_BROWSER"  # set to "required" where a missing browser is a failure, as in CI
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
FLAGS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--force-color-profile=srgb", "--font-render-hinting=none"]


@contextmanager
def chromium() -> Iterator[Any]:
    """The browser, or a skip with the reason where there is none."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        _missing("playwright is not installed (extra browser)")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    flags = [*FLAGS, *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=path, args=flags)
        except Error as error:
            _missing(f"no Chromium or Chrome was found: {str(error).splitlines()[0]}")
        try:
            yield browser
        finally:
            browser.close()


def _missing(reason: str) -> None:
    if os.environ.get(REQUIRED) == "required":
        pytest.fail(f"{reason}, and {REQUIRED}=required")
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@contextmanager
def opened(browser: Any, path: Path | None = None, **options: Any) -> Iterator[Any]:
    """A page of its own that must neither send a request nor report an error.

    Options are playwright's: viewport, color_scheme, reduced_motion, has_touch, …
    """
    context = browser.new_context(**options)
    try:
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: message.type in ("error", "warning") and complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request", lambda r: r.url.startswith(("file:", "blob:", "data:")) or complaints.append(f"asked {r.url}")
        )
        if path is not None:
            page.goto(path.as_uri())
        yield page
        assert complaints == []
    finally:
        context.close()


def encode(xs: Sequence[float]) -> list[str]:
    """The bits of floats, as texts that pass through JSON unharmed."""
    return [struct.pack(">d", x).hex() for x in xs]


def decode(texts: Sequence[str]) -> list[float]:
    return [struct.unpack(">d", bytes.fromhex(text))[0] for text in texts]


# The same in JavaScript.
CODEC = """
const view = new DataView(new ArrayBuffer(8));
const decode = (text) => { view.setBigUint64(0, BigInt("0x" + text)); return view.getFloat64(0); };
const encode = (x) => { view.setFloat64(0, x); return view.getBigUint64(0).toString(16).padStart(16, "0"); };
"""


def ulps(x: float, y: float) -> float:
    """How many floats lie between two floats; 0 for two nans and for equal numbers of equal sign."""
    if x != x or y != y:
        return 0.0 if x != x and y != y else float("inf")

    def place(value: float) -> int:
        (bits,) = struct.unpack(">q", struct.pack(">d", value))
        return bits if bits >= 0 else -(2**63) - bits

    return abs(place(x) - place(y))
