"""A real browser for tests: a page that may ask for nothing, and numbers that travel to it bit by bit."""

import os
import shutil
import struct
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.chromium import NoBrowserError, chromium

REQUIRED = "MICROGRAD_LIKE_BROWSER"  # set to "required" where a missing browser is a failure, as in CI


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    try:
        with chromium() as found:
            yield found
    except NoBrowserError as error:
        if os.environ.get(REQUIRED) == "required":
            pytest.fail(f"{error}, and {REQUIRED}=required")
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """axe-core's source, from npm."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed, which brings axe-core")
    target = tmp_path_factory.mktemp("axe")
    done = subprocess.run(["npm", "pack", "--silent", "axe-core@4.10"], cwd=target, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"npm cannot bring axe-core: {done.stderr.strip()[-200:]}")
    with tarfile.open(next(target.glob("*.tgz"))) as archive:
        source = archive.extractfile("package/axe.min.js")
        assert source is not None
        return source.read().decode("utf-8")


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
