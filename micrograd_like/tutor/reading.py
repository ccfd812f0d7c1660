"""A reader in a chapter: what a typed line means, what happens then, and what is said; without a word on how it looks.

Enter goes on. What is typed is a guess or Python. A word after a colon is a command.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import Any

from micrograd_like.tutor import answers, progress
from micrograd_like.tutor.script import Chapter, Step
from micrograd_like.tutor.session import FORKS, Entered, Hear, Picture, Result, Session

COMMANDS = {
    "back": "to the step before",
    "again": "run this step once more, from the state before it",
    "hint": "a hint for the exercise, three of them",
    "solution": "one way to solve the exercise",
    "code": "show what is folded, or fold it again",
    "reset": "forget what you have changed",
    "pictures": "the pictures in the web browser",
    "menu": "all chapters",
    "light": "dark letters on white",
    "dark": "light letters on black",
    "quit": "leave; you can go on here next time",
}
SILENCE = "Done; it prints nothing. Its names are there for you."


@dataclass(frozen=True)
class Say:
    """Something to be shown. The kind says which part of a page it is:

    verdict, note, output, checks, error, trace, good, picture, hint, code, you.
    """

    kind: str
    what: Any
    right: bool | None = None


class Reading:
    """Where a reader is in a chapter. One thing happens at a time: what is asked for meanwhile waits."""

    def __init__(self, chapter: Chapter, place: int = 0, forks: bool = FORKS, keeps: bool = True) -> None:
        self.chapter, self.place, self.keeps = chapter, place, keeps
        self.waiting = True  # for the reader: the step's result has not been shown
        self.hints_given = 0
        self.session = Session(chapter, forks)
        self._turn = threading.RLock()
        self._keep()

    @property
    def step(self) -> Step:
        return self.chapter.steps[self.place]

    @property
    def is_last(self) -> bool:
        return self.place == len(self.chapter.steps) - 1

    def close(self) -> None:
        self.session.close()

    def meaning(self, line: str) -> tuple[str, str]:
        """(`go`, `guess`, `python`, `help` or the name of a command, what it is about)."""
        line = line.strip()
        if line.startswith(":"):
            word = line[1:].strip().lower()
            found = [name for name in COMMANDS if word and name.startswith(word)]
            return (found[0], "") if len(found) == 1 else ("help", "")
        if line in ("?", "help"):
            return "help", ""
        if not line:
            return "go", ""
        question = self.step.question
        if self.waiting and question is not None and answers.is_guess(question, line):
            return "guess", line
        return "python", line

    def catch_up(self) -> list[Say]:
        """Run the steps before this one, if they have not run: the numbers are those that the reader has seen."""
        with self._turn:
            found = self._entered(self.session.enter(self.place))
        return found  # noqa: RET504 - as in graph.py

    def go(self, place: int) -> list[Say]:
        """To another step."""
        with self._turn:
            entered = self.session.enter(place)
            self.place, self.waiting, self.hints_given = place, True, 0
            self._keep()
            found = self._entered(entered)
        return found  # noqa: RET504 - as in graph.py

    def run(self, guess: str = "", solution: str | None = None, hear: Hear | None = None) -> list[Say]:
        """The step, from the state before it; what came of it, and whether the guess was right."""
        with self._turn:
            said = self._entered(self.session.enter(self.place))
            question, mine = self.step.question, None
            if question is not None and question.answer and guess and not question.choices:
                mine = self.session.value(answers.as_python(guess))
            result = self.session.run(solution, hear)
            if question is not None and guess and result.ok:
                right = self.session.value(question.answer) if question.answer else None
                verdict = answers.judge(question, guess, mine, right)
                said.insert(0, Say("verdict", verdict.words, verdict.right))
                self._answered(verdict)
            self.waiting = self.step.is_exercise and not result.ok
            return said + self._results(result)

    def is_silent(self, said: list[Say]) -> bool:
        """Whether a step had nothing to show."""
        return self.step.question is None and [each.what for each in said] == [SILENCE]

    def type(self, line: str, hear: Hear | None = None) -> list[Say]:
        """A line of Python: its value or its error in a line."""
        with self._turn:
            question = self.step.question
            result = self.session.type(line, hear)
            said = [Say("you", line)]
            if not result.ok and self.waiting and question is not None and question.choices and _is_prose(line):
                return [*said, Say("note", f"To answer, type one of: {', '.join(question.choices)}.")]
            if result.output.strip():
                said.append(Say("output", result.output.rstrip("\n")))
            if not result.ok:
                said.append(Say("error", str(result.value)))
            elif result.value is not None:
                said.append(Say("output", result.value))
            elif not result.output.strip() and line in self.session.typed.get(self.place, ()):
                said.append(Say("note", "Changed, for this step and what follows. :reset forgets it."))
            return said + [Say("picture", picture) for picture in result.pictures]

    def reset(self) -> list[Say]:
        """Forget the reader's changes to this step, and be before it."""
        with self._turn:
            lines = self.session.forget()
            self.waiting = True
            if not lines:
                return [Say("note", "You had changed nothing. Enter runs the step as it is written.")]
            return [Say("note", f"Forgotten: {'; '.join(lines)}. Enter runs the step as it is written.")]

    def hint(self) -> list[Say]:
        """The next hint; after the last, the solution."""
        hints = self.step.hints
        if not hints:
            return [Say("note", "There is nothing to be solved in this step.")]
        if self.hints_given == len(hints):
            return self.solution()
        self.hints_given += 1
        return [Say("hint", (f"Hint {self.hints_given} of {len(hints)}", hints[self.hints_given - 1]))]

    def solution(self) -> list[Say]:
        cell = self.step.solution
        if cell is None:
            return [Say("note", "There is nothing to be solved in this step.")]
        return [Say("code", ("One solution", cell.source))]

    def complete(self, text: str) -> list[str]:
        """Names that begin with the text, unless something runs."""
        if self.session.process is None or not self._turn.acquire(blocking=False):
            return []
        try:
            return self.session.complete(text)
        finally:
            self._turn.release()

    def _entered(self, entered: Entered) -> list[Say]:
        said = []
        if entered.made:
            said.append(Say("note", f"With your changes: {'; '.join(entered.made)}"))
        if entered.left_out:
            said.append(Say("note", f"Left out, for it does not work here: {'; '.join(entered.left_out)}"))
        return said

    def _results(self, result: Result) -> list[Say]:
        said: list[Say] = []
        if result.output.strip():
            said.append(Say("output", result.output.rstrip("\n")))
        said += [Say("picture", picture) for picture in result.pictures]
        if isinstance(result.value, list):
            said.append(Say("checks", result.value, result.ok))
            if not result.ok and self.step.is_claims and (changes := self.session.changes()):
                said.append(Say("note", f"You have changed: {'; '.join(changes)}. :reset forgets it."))
        elif not result.ok:
            said += [
                Say("error", str(result.value)),
                *([Say("trace", result.trace)] if result.trace else []),
            ]
        if self.step.is_exercise:
            if result.ok:
                self._keep(solved=True)
                said.append(Say("good", "Solved. :solution shows one way to write it."))
            else:
                said.append(Say("note", "Not yet. Take a hint, or try again."))
        if result.ok and self.is_last:
            self._keep(done=True)
        if not said:
            said.append(Say("note", SILENCE))
        return said

    def _answered(self, verdict: answers.Verdict) -> None:
        known = progress.load().get(self.chapter.name, {}).get("answered", {})
        if isinstance(known, dict) and verdict.right is not None:
            self._keep(answered={str(self.place): verdict.right} | known)

    def _keep(self, **facts: Any) -> None:
        """How far the reader has come, unless nobody reads."""
        if self.keeps:
            progress.save(self.chapter.name, at=self.place, **facts)


def pictures_of(said: list[Say]) -> list[Picture]:
    """The pictures among what is said."""
    return [each.what for each in said if each.kind == "picture"]


def _is_prose(line: str) -> bool:
    return bool(re.fullmatch(r"[\w' ,.!?-]+", line))
