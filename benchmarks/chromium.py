"""The system's Chromium or Chrome, driven by playwright (extra `browser`): for benchmarks and for tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
FLAGS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--force-color-profile=srgb", "--font-render-hinting=none"]


class NoBrowserError(RuntimeError):
    """There is no browser to drive; the message says what is missing."""


@contextmanager
def chromium() -> Iterator[Any]:
    """The browser. Raises NoBrowserError where playwright or a browser is missing."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        raise NoBrowserError("playwright is not installed: pip install 'micrograd_like[browser]'") from None
    path = next(filter(None, map(shutil.which, NAMES)), None)  # None: playwright's own
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(
                executable_path=path, args=[*FLAGS, *(["--no-sandbox"] if is_root else [])]
            )
        except Error as error:
            reason = str(error).splitlines()[0]
            raise NoBrowserError(f"no Chromium or Chrome was found, looked for {', '.join(NAMES)}: {reason}") from None
        try:
            yield browser
        finally:
            browser.close()
