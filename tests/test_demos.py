"""The chapters in demos/: each runs as a notebook, draws the committed pictures, and is listed in the table of contents."""

from __future__ import annotations

import ast
import os
import re
import sys
from importlib import metadata
from pathlib import Path

import pytest
from nbclient import NotebookClient

from docs import chapters
from micrograd_like import cli
from micrograd_like.drawing.show import FOLDER
from micrograd_like.tutor import script
from micrograd_like.tutor.answers import is_guess, judge
from micrograd_like.tutor.session import Session

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
    notebook = chapters.read(chapter.read_text(encoding="utf-8"))
    environment = os.environ | chapters.ENVIRONMENT | {FOLDER: str(tmp_path)}
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, record_timing=False, resources=resources).execute(env=environment)
    chapters.keep(notebook, chapter)  # the site shows what was executed here
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
def test_a_chapter_asks_and_ends_with_an_exercise_and_its_claims(chapter: Path) -> None:
    found = script.read(chapter)
    assert found.steps[0].text
    assert found.ideas
    assert all(step.code for step in found.steps)
    questions = [step.question for step in found.steps if step.question]
    assert questions
    assert all(question.answer for question in questions)
    exercise, claims = found.steps[-2:]
    assert exercise.is_exercise
    assert exercise.title == "Your turn"
    assert exercise.start
    assert exercise.solution
    assert len(exercise.hints) == 3
    assert exercise.code
    assert claims.is_claims
    assert claims.title == "What this chapter claims"
    assert claims.code
    # A claim is an assertion that says in words what must hold, and each chapter makes several.
    for cell, at_least in ((exercise.code, 2), (claims.code, 5)):
        asserts = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Assert)]
        assert len(asserts) >= at_least
        assert all(isinstance(node.msg, ast.Constant) for node in asserts)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_in_the_tutor_every_answer_is_right_and_no_exercise_is_solved_from_the_start(chapter: Path) -> None:
    found = script.read(chapter)
    session = Session(found)
    try:
        for place, step in enumerate(found.steps):
            session.enter(place)
            result = session.run()
            assert result.ok, (step.title, result.value, result.trace)
            if step.question:
                right = session.value(step.question.answer)
                assert right is not None, step.question
                guess = str(right)
                assert is_guess(step.question, guess)
                assert judge(step.question, guess, right, right).right is True
        session.enter(len(found.steps) - 2)  # what an exercise begins with does not solve it
        assert not session.run(found.steps[-2].start).ok
    finally:
        session.close()


def test_all_fourteen_chapters_are_there_and_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert [path.stem[:2] for path in CHAPTERS] == [f"{n:02}" for n in range(1, 15)]
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
    assert sorted(path.name for path in (tmp_path / "out/pictures").iterdir()) == [
        "01_chain.svg",
        "01_knobs.svg",
        "01_line.svg",
        "01_live.html",
        "01_neuron.svg",
        "01_order.svg",
    ]
