"""A chapter, read from its script: percent cells whose headers say what the tutor does with them.

    # %% [markdown] minutes=10 ideas=["forward", "backward"]      the first cell: title, minutes, ideas
    # %% Draws the graph tags=["fold"]                            runs with the cell before it, shown as one line
    # %% [markdown] tags=["question"] answer="loss" tolerance=0.1 compared with `loss` once the step's code has run
    # %% [markdown] tags=["exercise"]                             text; <details> are hints, a ```python block is the start
    # %% tags=["solution"]                                        what a script runs; a reader's code takes its place
    # %% tags=["check"]                                           asserts: the message is what must hold, in words
    # %% tags=["claims"]                                          the same, for what the chapter has claimed

Scripts and notebooks run the same cells from top to bottom; jupytext keeps the headers as metadata.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

_MARKER = re.compile(r"^# %%[ \t]*(?P<header>.*)$", re.MULTILINE)
_KEY = re.compile(r"(?:^|(?<=\s))(\w+)=(?=\S)")
_DETAILS = re.compile(r"<details><summary>(.*?)</summary>\s*(.*?)\s*</details>", re.DOTALL)
_FENCE = re.compile(r"```python\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Cell:
    """A cell of a script: its text or code, the line of the file on which that begins, and its header."""

    source: str
    line: int
    markdown: bool = False
    title: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)

    def tagged(self, tag: str) -> bool:
        return tag in self.metadata.get("tags", ())


@dataclass(frozen=True)
class Question:
    """What the reader guesses before a step runs. Without an answer anything may be said."""

    text: str
    answer: str = ""  # an expression over the chapter's names, evaluated when the step has run
    choices: tuple[str, ...] = ()
    tolerance: float = 0.0


@dataclass
class Step:
    """Text, then the code that it leads to, which is missing only at a script's end."""

    title: str = ""
    text: str = ""
    question: Question | None = None
    code: Cell | None = None  # of an exercise: its check
    folded: list[Cell] = field(default_factory=list)  # plumbing that runs with the code
    hints: list[str] = field(default_factory=list)
    start: str = ""  # what the editor of an exercise begins with
    solution: Cell | None = None

    @property
    def is_exercise(self) -> bool:
        return self.code is not None and self.code.tagged("check")

    @property
    def is_claims(self) -> bool:
        return self.code is not None and self.code.tagged("claims")

    @property
    def source(self) -> str:
        """All that the step runs."""
        cells = (self.solution, self.code, *self.folded)
        return "\n\n".join(cell.source for cell in cells if cell is not None)


@dataclass
class Chapter:
    """A script in steps."""

    path: Path
    title: str
    steps: list[Step]
    minutes: int = 10
    ideas: tuple[str, ...] = ()

    @property
    def number(self) -> int:
        digits = re.match(r"\d+", self.path.stem)
        return int(digits[0]) if digits else 0

    @property
    def name(self) -> str:
        """Of the script: what progress is kept under."""
        return self.path.stem


def cells(script: str) -> list[Cell]:
    """The cells of a script in the percent format; empty ones are none.

    >>> [(cell.markdown, cell.source) for cell in cells('# %% [markdown]\\n"Some text."\\n# %%\\nx = 1\\n')]
    [(True, 'Some text.'), (False, 'x = 1')]

    Raises:
        SyntaxError: a header cannot be read, or a cell of text is not one string.
    """
    markers = [*_MARKER.finditer(script)]
    found = []
    for marker, following in zip_longest(markers, markers[1:]):
        body = script[marker.end() : following.start() if following else len(script)]
        source = body.strip("\n")
        line = script.count("\n", 0, marker.end()) + 1 + len(body) - len(body.lstrip("\n"))
        title, markdown, metadata = _header(marker["header"], script.count("\n", 0, marker.start()) + 1)
        if markdown:
            source = _text(source, line)
        if source:
            found.append(Cell(source, line, markdown, title, metadata))
    return found


def _header(header: str, line: int) -> tuple[str, bool, dict[str, Any]]:
    """`Title [markdown] key=json key=json` → the title, whether it is text, the metadata."""
    first = _KEY.search(header)
    words, rest = (header[: first.start()], header[first.start() :]) if first else (header, "")
    metadata, decoder = {}, json.JSONDecoder()
    while rest:
        key = _KEY.match(rest)
        try:
            if key is None:
                raise ValueError(rest)
            metadata[key[1]], end = decoder.raw_decode(rest, key.end())
        except ValueError:
            raise SyntaxError(f"expected key=JSON in the header of the cell at line {line}, got {rest:.40}") from None
        rest = rest[end:].lstrip()
    return words.replace("[markdown]", "").strip(), "[markdown]" in words, metadata


def _text(source: str, line: int) -> str:
    match ast.parse(source).body:
        case [ast.Expr(ast.Constant(str() as text))]:
            return text.strip()
    raise SyntaxError(f"expected the cell of text at line {line} as one string, got {source[:40]!r}")


def asked(source: str) -> str:
    """What a cell asks, without its marks: `> **Question.** How much?` → `How much?`."""
    return re.sub(r"^> ?", "", source, flags=re.MULTILINE).replace("**Question.** ", "")


def _question(cell: Cell) -> Question:
    text, known = asked(cell.source), cell.metadata
    return Question(text, known.get("answer", ""), tuple(known.get("choices", ())), known.get("tolerance", 0.0))


def read(path: Path) -> Chapter:
    """A chapter from its script.

    Raises:
        SyntaxError: the script has no cells, or one that cannot be read.
    """
    found = cells(path.read_text(encoding="utf-8"))
    if not any(not cell.markdown for cell in found):
        raise SyntaxError(f"{path.name} has no cells: expected the percent format, where `# %%` begins a cell")
    chapter = Chapter(path, path.stem, [Step()])
    for cell in found:
        step = chapter.steps[-1]
        if cell.tagged("fold") and step.code is not None and not cell.markdown:
            step.folded.append(cell)
            continue
        if step.code is not None:
            step = Step(step.title)
            chapter.steps.append(step)
        if cell.markdown:
            _add_text(chapter, step, cell)
        elif cell.tagged("solution"):
            step.solution = cell
        else:
            step.code = cell
    return chapter


def _add_text(chapter: Chapter, step: Step, cell: Cell) -> None:
    if cell.tagged("question"):
        step.question = _question(cell)
        return
    text = cell.source
    if cell.tagged("exercise"):
        step.hints = [hint for _, hint in _DETAILS.findall(text)]
        text = _DETAILS.sub("", text)
        if start := _FENCE.search(text):
            step.start, text = start[1], _FENCE.sub("", text)
    if text.startswith("# "):
        title, _, text = text.partition("\n")
        chapter.title = re.sub(r"^# (\d+\. )?", "", title)
        chapter.minutes = cell.metadata.get("minutes", chapter.minutes)
        chapter.ideas = tuple(cell.metadata.get("ideas", ()))
    elif text.startswith("## "):
        title, _, text = text.partition("\n")
        step.title = title.removeprefix("## ")
    step.text = f"{step.text}\n\n{text.strip()}".strip()


def chapters(paths: Iterable[Path]) -> list[Chapter]:
    """The chapters among these files, in order: the scripts whose names begin with a number."""
    return [read(path) for path in sorted(paths) if path.suffix == ".py" and path.stem[0].isdecimal()]


def following(known: list[Chapter], chapter: Chapter) -> Chapter | None:
    """The chapter after this one, if it is not the last."""
    return next((each for each in known if each.number > chapter.number), None)


def find(known: list[Chapter], word: str) -> Chapter:
    """The chapter of that number, or with that word in its name, or else in its title.

    Raises:
        LookupError: there is none, or there are several.
    """
    word = word.strip().lower()
    if word.isdecimal():
        found = [chapter for chapter in known if chapter.number == int(word)]
    else:
        found = (
            [chapter for chapter in known if chapter.name.lower() == word]
            or [chapter for chapter in known if word in chapter.name.lower().replace("_", " ")]
            or [chapter for chapter in known if word in chapter.name.lower() or word in chapter.title.lower()]
        )
    if len(found) != 1 or not word:
        names = "\n".join(f"  {chapter.number:2}  {chapter.title}" for chapter in found or known)
        problem = "several chapters have" if found and word else "no chapter has"
        raise LookupError(f"{problem} {word!r} in the name; there are:\n{names}")
    return found[0]


def find_step(chapter: Chapter, word: str) -> int:
    """The place of the first step with that word in its title, or of that number, counted from 1.

    Raises:
        LookupError: there is none.
    """
    if word.isdecimal() and 1 <= int(word) <= len(chapter.steps):
        return int(word) - 1
    for place, step in enumerate(chapter.steps):
        if word.strip() and word.lower() in step.title.lower():
            return place
    titles = list(dict.fromkeys(step.title for step in chapter.steps if step.title))
    raise LookupError(
        f"no step of chapter {chapter.number} has {word!r} in its title; there are:\n"
        + "\n".join(f"  {title}" for title in titles)
    )


def search(known: list[Chapter], word: str) -> list[tuple[Chapter, int]]:
    """The chapters with that word, each with the place of the first step that has it: a title comes before a text.

    Of the chapters first those with the word in their titles, then in their ideas, in the title of a step, in a text.
    """
    word, found = word.strip().lower(), []
    for chapter in known:
        ranked = [
            (rank, place)
            for place, step in enumerate(chapter.steps)
            for rank, text in enumerate([
                f"{chapter.number}. {chapter.title}",
                " ".join(chapter.ideas),
                step.title,
                f"{step.text} {step.question.text if step.question else ''}",
            ])
            if word in text.lower()
        ]
        if ranked:
            found.append((*min(ranked), chapter))
    return [(chapter, place) for _, place, chapter in sorted(found, key=lambda each: each[0])]
