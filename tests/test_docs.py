"""The site: it builds without a warning, works from the file system without a network, and leaves no public name out."""

from __future__ import annotations

import os
import pydoc
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from browser import REQUIRED, browser, opened  # noqa: F401 - `browser` is a fixture
from test_docstrings import public_names

ROOT = Path(__file__).parent.parent
WIDTHS = ((390, "dark"), (1024, "light"), (1440, "dark"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built once, also where several processes run tests; what they have executed of chapters is reused."""
    if os.environ.get(REQUIRED) != "required":
        pytest.importorskip("myst_nb", reason="the extra `docs` is not installed")
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "site"
    done = folder.with_name("site.done")
    try:
        folder.mkdir()
    except FileExistsError:  # another process builds it
        while not done.exists():
            time.sleep(0.5)
    else:
        command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet"]
        outcome = "the build was interrupted"
        try:
            built = subprocess.run([*command, "docs", str(folder)], cwd=ROOT, capture_output=True, text=True)
            outcome = built.stderr if built.returncode else ""
        finally:
            done.write_text(outcome, encoding="utf-8")
    complaints = [
        line for line in done.read_text(encoding="utf-8").splitlines() if "WARNING: " in line or "rror" in line
    ]
    assert not done.stat().st_size, "\n".join(complaints)
    return folder


def pages(site: Path) -> list[Path]:
    return sorted(path for path in site.rglob("*.html") if "_static" not in path.parts)


def test_every_page_works_without_a_network_and_fits_every_width(site: Path, browser: Any) -> None:  # noqa: F811
    found = pages(site)
    assert len(found) > 40
    too_wide = []
    for width, scheme in WIDTHS:
        # `opened` counts what a page asks for beyond the file system, and what it complains of: nothing.
        with opened(browser, viewport={"width": width, "height": 900}, color_scheme=scheme) as page:
            for path in found:
                page.goto(path.as_uri())
                # Live pages wait until they are looked at.
                for frame in page.locator("iframe").all() if width == WIDTHS[0][0] else ():
                    frame.scroll_into_view_if_needed()
                    frame.content_frame.locator("svg, canvas").first.wait_for(state="attached")
                beyond = page.evaluate("document.documentElement.scrollWidth - innerWidth")
                if beyond > 0:
                    too_wide.append((path.name, width, beyond))
                broken = page.evaluate(
                    "[...document.images].filter(x => x.complete && !x.naturalWidth).map(x => x.src)"
                )
                assert not broken, path.name
    assert not too_wide


def test_no_page_names_a_font_a_script_or_a_style_on_another_machine(site: Path) -> None:
    for path in [*pages(site), *site.rglob("*.css"), *site.rglob("*.js")]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"""<(?:script|link|img|iframe)[^>]+(?:src|href)=["']?(?:https?:)?//""", text), path.name
        assert not re.search(r"""(?:@import|url\()\s*["']?(?:https?:)?//""", text), path.name


def test_links_between_pages_lead_somewhere(site: Path) -> None:
    for path in pages(site):
        text = re.sub(r'srcdoc="[^"]*"', "", path.read_text(encoding="utf-8"))
        for link in re.findall(r'(?:href|src)="([^"#?]+)', text):
            if not re.match(r"\w+:", link):
                assert (path.parent / link).exists(), f"{path.relative_to(site)}: {link}"


def test_the_search_finds_what_is_looked_for(site: Path, browser: Any) -> None:  # noqa: F811
    with opened(browser) as page:
        page.goto((site / "search.html").as_uri() + "?q=curvature")
        found = page.locator("ul.search li", has_text="Shares that add up")
        found.wait_for()  # one after the other comes in
        assert found.is_visible()


def test_formulas_are_drawn_by_the_browser_itself(site: Path, browser: Any) -> None:  # noqa: F811
    with opened(browser, site / "how" / "shares.html") as page:
        boxes = page.evaluate("[...document.querySelectorAll('math')].map(x => x.getBoundingClientRect().width)")
        assert len(boxes) > 5
        assert all(width > 3 for width in boxes)
        assert page.locator("math merror").count() == 0
        assert "\\" not in page.locator("math").first.text_content()


def test_the_reference_has_every_public_name(site: Path) -> None:
    from sphinx.util.inventory import InventoryFile

    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    documented = {name for kind, entries in inventory.data.items() if kind.startswith("py:") for name in entries}
    # A name may be imported from several places; the reference has the thing under one of them.
    things = {id(pydoc.locate(name)) for name in documented}
    # A function may have the name of its module, which is what is found first.
    things |= {id(getattr(pydoc.locate(name.rpartition(".")[0]), name.rpartition(".")[2], None)) for name in documented}
    missing = [
        name
        for name, thing in public_names().items()
        if id(thing) not in things and name != "micrograd_like.__version__"
    ]
    assert not missing
