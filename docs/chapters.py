"""The chapters as the site reads them: percent scripts as notebooks, executed once, their results kept."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import jupytext
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn

from micrograd_like.tutor.script import asked

ROOT = Path(__file__).parent.parent
# Without a PATH there is no system Graphviz, whose layouts differ from version to version.
ENVIRONMENT = {"PATH": "", "MICROGRAD_LIKE_CACHE": "off"}


def stage(folder: Path) -> None:
    """Copy the chapters and their table of contents to where the site has its pages, those that have changed."""
    folder.mkdir(exist_ok=True)
    pages = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "demos").glob("[0-9]*.py"))}
    scripts = [name.removesuffix(".py") for name in pages]
    contents = (ROOT / "demos" / "README.md").read_text(encoding="utf-8").replace("pictures/", "../../demos/pictures/")
    pages["index.md"] = "\n".join([contents, "```{toctree}", ":hidden:", "", *scripts, "```", ""])
    for old in folder.iterdir():
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        page = folder / name
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def cache_folder() -> Path:
    """Where results are kept: a folder for each state of the library, for a chapter's text alone does not tell them."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "micrograd_like").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return ROOT / "out" / "executed" / digest.hexdigest()[:16]


def keep(notebook: Any, path: Path) -> None:
    """Keep an executed notebook, as `read` gave it before, so that a build need not execute the chapter again."""
    cache = get_cache(cache_folder())
    try:
        cache.cache_notebook_bundle(CacheBundleIn(notebook, str(path)), check_validity=False, overwrite=True)
    finally:
        cache.db.dispose()  # or its file stays open


def read(text: str) -> Any:
    """A chapter's script as a notebook: its plumbing, solutions and claims are folded, questions stand in a box."""
    notebook = jupytext.reads(text, fmt="py:percent")
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "code":
            folded = {"solution": "A solution", "check": "What checks it", "claims": "The claims, as assertions"}
            prompt = next((folded[tag] for tag in tags if tag in folded), cell.metadata.get("title", "The plumbing"))
            if {"fold", *folded} & set(tags):
                cell.metadata["tags"] = [*tags, "hide-input"]
                cell.metadata["mystnb"] = {"code_prompt_show": prompt, "code_prompt_hide": prompt}
        elif "question" in tags:
            cell.source = f":::{{admonition}} Question\n:class: question\n{asked(cell.source)}\n:::"
        elif "exercise" in tags:
            # Hints are Markdown inside of HTML: blank lines say so.
            cell.source = cell.source.replace("</summary>\n", "</summary>\n\n").replace("</details>", "\n</details>\n")
    return notebook
