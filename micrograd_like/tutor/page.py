"""Pictures as pixels, and a page in the browser that shows the picture of the moment."""

from __future__ import annotations

import io
import json
import os
import sys
import webbrowser
from pathlib import Path
from typing import Any

from micrograd_like._extras import require
from micrograd_like.tutor.session import Picture

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>micrograd-like: the pictures</title>
<style>
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1100px; padding: 0 1rem }
h1 { font-size: 1.1rem; font-weight: 600 }
img { display: block; width: 100%; height: auto; margin: 0 0 1.5rem }
iframe { width: 100%; height: 88vh; border: 0 }
</style>
<h1 id="title"></h1><main id="now"></main>
<script>
let seen = -1
function show(news) {
  if (news.number === seen) return
  seen = news.number
  title.textContent = news.title
  now.replaceChildren(...news.files.map(file => {
    const shown = document.createElement(file.endsWith(".html") ? "iframe" : "img")
    shown.src = file + "?" + news.number
    shown.title = shown.alt = news.title
    return shown
  }))
}
setInterval(() => {
  const news = document.createElement("script")
  news.src = "news.js?" + Date.now()
  news.onload = news.onerror = () => news.remove()
  document.head.append(news)
}, 400)
</script></html>
"""


class Page:
    """A page that shows what it is told, as it comes. No server: it reads again and again a script that lies beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.number = folder, 0
        self.file = folder / "pictures.html"
        self.file.write_text(_PAGE, encoding="utf-8", newline="\n")
        self.opened = False

    def tell(self, pictures: list[Picture]) -> None:
        """Show these, drawings or pages, if there are any; the newest gives the title."""
        if not pictures:
            return
        self.number += 1
        newest, files = pictures[-1], [picture.path.resolve().as_uri() for picture in pictures]
        news = {"number": self.number, "title": newest.title or newest.name, "files": files}
        new = self.folder / "news.js.new"
        new.write_text(f"show({json.dumps(news)})\n", encoding="utf-8", newline="\n")
        os.replace(new, self.folder / "news.js")

    def open(self) -> bool:
        """Open it, once: what comes later appears in the same tab. Whether there is a browser."""
        if not self.opened:
            self.opened = browser_here() and webbrowser.open(self.file.resolve().as_uri())
        return self.opened


def browser_here() -> bool:
    """Whether a browser would open where the reader sits: not over ssh, and not without a display."""
    if "SSH_CONNECTION" in os.environ:
        return False
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or os.environ.get("BROWSER"))


def raster(svg: Path, background: str, width: int = 1200) -> Any:
    """Pillow's image of an SVG. Its sizes are in points, which need a resolution: 96 dots per inch, as in a browser."""
    draw = require("resvg_py", extra="tutor").svg_to_bytes
    data = draw(svg_path=str(svg), width=width, dpi=96, background=background)
    return require("PIL.Image", extra="tutor").open(io.BytesIO(bytes(data))).convert("RGB")
