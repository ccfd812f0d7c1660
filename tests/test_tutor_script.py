"""Chapters as scripts: their cells and headers, steps, questions and exercises; how one is found."""

from __future__ import annotations

import json

import jupytext
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tutor_chapter import CHAPTER, CLAIMS, COUNT, EXERCISE, MORE, RULE, SETUP, WAY, write

from micrograd_like.tutor import script


@pytest.fixture
def chapter(tmp_path):
    return script.read(write(tmp_path))


def test_a_chapter_has_a_title_a_number_minutes_and_ideas(chapter):
    assert (chapter.number, chapter.title, chapter.minutes) == (9, "Small numbers", 3)
    assert chapter.ideas == ("counting", "doubling")
    assert chapter.name == "09_small"


def test_a_step_is_text_and_the_code_it_leads_to(chapter):
    assert len(chapter.steps) == CLAIMS + 1
    titles = [step.title for step in chapter.steps]
    assert titles == ["", "Counting", "Counting", "Counting", "Counting", "Your turn", "What this chapter claims"]
    assert all(step.code for step in chapter.steps)
    assert chapter.steps[COUNT].text == "We begin at forty."


def test_code_keeps_the_line_of_the_file(chapter):
    lines = CHAPTER.splitlines()
    for step in chapter.steps:
        for cell in (step.code, step.solution, *step.folded):
            if cell is not None:
                assert lines[cell.line - 1] == cell.source.splitlines()[0]


def test_plumbing_runs_with_the_cell_before_it(chapter):
    assert chapter.steps[SETUP].code.tagged("fold")
    assert [cell.title for cell in chapter.steps[MORE].folded] == ["prints once more"]
    assert 'print(f"folded' in chapter.steps[MORE].source


def test_a_question_knows_how_it_is_answered(chapter):
    number, choice, formula = (chapter.steps[place].question for place in (MORE, WAY, RULE))
    assert (number.answer, number.tolerance, number.choices) == ("counter", 0.5, ())
    assert choice.choices == ("up", "down")
    assert formula.text.startswith("The learning rate is 0.25.")


def test_an_exercise_has_a_start_hints_a_solution_and_checks(chapter):
    step = chapter.steps[EXERCISE]
    assert step.is_exercise
    assert step.start == "def double(x):\n    ...\n"
    assert step.hints == ["One line.", "Use `*`.", "Return `2 * x`."]
    assert step.solution.source.startswith("def double")
    assert step.text == "Write the function."
    assert chapter.steps[CLAIMS].is_claims


def test_an_empty_cell_is_none():
    assert [cell.source for cell in script.cells("# %%\n\n# %%\nx = 1\n# %%\n")] == ["x = 1"]


def test_bad_cells_are_refused_with_their_line(tmp_path):
    with pytest.raises(SyntaxError, match="cell of text at line 2 as one string"):
        script.cells("# %% [markdown]\nprint('text')\n")
    with pytest.raises(SyntaxError, match="key=JSON in the header of the cell at line 1, got minutes=ten"):
        script.cells("# %% [markdown] minutes=ten\n'text'\n")
    with pytest.raises(SyntaxError, match=r"09_small.py has no cells: expected the percent format"):
        script.read(write(tmp_path, "print(1)\n"))


LINES = st.text(st.characters(codec="utf-8", exclude_characters='\r"\\%#', exclude_categories=["C"]), max_size=20)
HEADER_KEYS = ["answer", "tolerance", "choices", "minutes"]
HEADERS = st.dictionaries(
    st.sampled_from(HEADER_KEYS),
    st.one_of(st.integers(0, 9), st.lists(st.sampled_from(["a", "b c"]), max_size=2), st.sampled_from(["w1", 'a "b"'])),
    max_size=3,
)


@given(st.lists(st.tuples(st.booleans(), HEADERS, st.lists(LINES, min_size=1, max_size=4)), min_size=1, max_size=6))
def test_cells_agree_with_jupytext(drawn):
    bodies = [(is_text, meta, "\n".join(line.strip() + "." for line in body)) for is_text, meta, body in drawn]
    text = ""
    for is_text, meta, body in bodies:
        keys = "".join(f" {key}={json.dumps(value)}" for key, value in meta.items())
        text += f'# %% [markdown]{keys}\n"""\n{body}\n"""\n\n' if is_text else f"# %%{keys}\nx = {body!r}\n\n"
    notebook = jupytext.reads(text, fmt="py:percent")
    assert [(cell.markdown, cell.source, cell.metadata) for cell in script.cells(text)] == [
        (
            cell.cell_type == "markdown",
            cell.source.strip(),
            {k: v for k, v in cell.metadata.items() if k in HEADER_KEYS},
        )
        for cell in notebook.cells
    ]


@pytest.mark.parametrize("word", ["9", "09", "small", "SMALL NUM", "09_small"])
def test_a_chapter_is_found_by_its_number_or_a_word(chapter, word):
    assert script.find([chapter], word) is chapter


def test_what_is_not_found_is_said_with_what_there_is(chapter):
    for word in ("7", "large", ""):
        with pytest.raises(LookupError, match=r"no chapter has .* in the name; there are:\n +9  Small numbers"):
            script.find([chapter], word)
    with pytest.raises(LookupError, match="several chapters have"):
        script.find([chapter, chapter], "small")


def test_a_step_is_found_by_its_number_or_a_word_of_its_title(chapter):
    assert script.find_step(chapter, "your turn") == EXERCISE
    assert script.find_step(chapter, "2") == COUNT
    with pytest.raises(LookupError, match="no step of chapter 9 has 'nothing' in its title; there are:\n  Counting\n"):
        script.find_step(chapter, "nothing")


def test_search_puts_a_title_before_an_idea_before_a_text(tmp_path):
    for number, text in {1: "# 1. First\n\nIn black.", 2: "# 2. Second", 3: "# 3. The black box"}.items():
        ideas = ' ideas=["black and white"]' if number == 2 else ""
        (tmp_path / f"0{number}_x.py").write_text(f'# %% [markdown]{ideas}\n"""\n{text}\n"""\n# %%\nx = 1\n')
    known = script.chapters(tmp_path.iterdir())
    assert [chapter.number for chapter, _ in script.search(known, "Black")] == [3, 2, 1]


def test_search_finds_the_step_that_has_the_word(chapter):
    assert script.search([chapter], "") == [(chapter, 0)]
    assert script.search([chapter], "doubling") == [(chapter, 0)]
    assert script.search([chapter], "forty") == [(chapter, COUNT)]
    assert script.search([chapter], "learning rate") == [(chapter, RULE)]
    assert script.search([chapter], "nowhere") == []
