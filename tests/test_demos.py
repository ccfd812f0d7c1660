"""The chapters in demos/: each runs as a notebook, draws the committed pictures, and is listed in the table of contents."""

from __future__ import annotations

import os
import re
import sys
from importlib import metadata
from pathlib import Path

import jupytext
import pytest
from nbclient import NotebookClient

from micrograd_like import cli
from micrograd_like.compiler.native import CACHE_VARIABLE
from micrograd_like.drawing.show import FOLDER
from micrograd_like.tutor import script

DEMOS = Path(__file__).parent.parent / "demos"
PICTURES = DEMOS / "pictures"
CHAPTERS = sorted(DEMOS.glob("[0-9][0-9]_*.py"))
MEASURED = {"13_speed.svg"}  # drawn from measured times, which no picture repeats
LARGEST_PICTURE = 150_000  # bytes


def pinned() -> bool:
    """Whether the installed renderers are those with which the committed pictures were made."""
    pins = [
        match.groups()
        for requirement in metadata.requires("micrograd_like") or ()
        if (match := re.match(r"([\w-]+)(?:\[\w+\])?==([\w.]+) *; extra == [\"']pictures[\"']", requirement))
    ]
    assert len(pins) >= 3
    return all(metadata.version(name) == version for name, version in pins)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_executes_as_a_notebook_and_draws_the_committed_pictures(chapter: Path, tmp_path: Path) -> None:
    notebook = jupytext.read(chapter)
    # Without a PATH there is no system Graphviz, whose layouts differ from version to version.
    environment = os.environ | {FOLDER: str(tmp_path), "PATH": "", CACHE_VARIABLE: "off"}
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, kernel_name="python3", timeout=600, resources=resources).execute(env=environment)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    made = sorted(tmp_path.glob("*.svg"))
    assert all(picture.stat().st_size < LARGEST_PICTURE for picture in made)
    assert len(made) == sum("image/svg+xml" in output.get("data", {}) for output in outputs) > 0
    repeatable = [picture for picture in made if picture.name not in MEASURED]
    assert [p.name for p in repeatable] == sorted(p.name for p in PICTURES.glob(f"{chapter.stem[:2]}_*.svg"))
    assert "All of this chapter's claims hold." in "".join(output.get("text", "") for output in outputs)
    for picture in repeatable if pinned() else ():
        assert picture.read_bytes() == (PICTURES / picture.name).read_bytes(), f"make pictures: {picture.name}"


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_can_be_stepped_through(chapter: Path) -> None:
    found = script.read(chapter)
    assert found.steps[0].text
    assert all(step.code for step in found.steps)
    assert any(step.question for step in found.steps)
    last = found.steps[-1]
    assert "What this chapter claims" in last.title + last.text
    # A claim is an assertion, and each chapter makes several.
    assert last.code
    assert len(re.findall(r"^\s*assert ", last.code.source, re.MULTILINE)) >= 5


def test_all_thirteen_chapters_are_there_and_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert [path.stem[:2] for path in CHAPTERS] == [f"{n:02}" for n in range(1, 14)]
    assert cli.main(["demo", "--list"]) == 0
    listed = capsys.readouterr().out
    for path in CHAPTERS:
        assert re.search(rf"^{path.stem} +{int(path.stem[:2])}\. \w", listed, re.MULTILINE)


def test_the_table_of_contents_shows_every_chapter_with_a_picture_that_exists() -> None:
    contents = (DEMOS / "README.md").read_text(encoding="utf-8")
    for path in CHAPTERS:
        assert f"({path.name})" in contents
        assert re.search(rf"\(pictures/{path.stem[:2]}_\w+\.svg\)", contents)
    for link in re.findall(r"\]\(([\w/.-]+)\)", contents):
        assert (DEMOS / link).exists(), link


def test_every_committed_picture_is_small_and_belongs_to_a_chapter() -> None:
    numbers = {path.stem[:2] for path in CHAPTERS}
    for picture in PICTURES.glob("*.svg"):
        assert picture.name[:2] in numbers, picture.name
        assert picture.stat().st_size < LARGEST_PICTURE, picture.name


def test_a_chapter_runs_as_a_plain_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(FOLDER, raising=False)
    monkeypatch.setattr(sys, "stdin", None)
    assert cli.main(["demo", "01"]) == 0
    assert sorted(path.name for path in (tmp_path / "out/pictures").iterdir()) == ["01_line.svg", "01_neuron.svg"]
