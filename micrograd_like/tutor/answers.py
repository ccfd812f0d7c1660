"""A guess compared with what came out, kindly."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from micrograd_like.tutor.script import Question

_TYPOGRAPHY = str.maketrans({"−": "-", "·": "*", "×": "*", "÷": "/", "^": " ** "})
_NUMBER = re.compile(r"[-+*/(). \d_eE]*\d[-+*/(). \d_eE]*")


@dataclass(frozen=True)
class Verdict:
    """Whether a guess was right (None: nobody can say), and what is said to it."""

    right: bool | None
    words: str


def as_python(guess: str) -> str:
    """What is typed as on paper: `2·3`, `−1`, `50 %`."""
    return re.sub(r"(\d) ?%", r"\1/100", guess.translate(_TYPOGRAPHY))


def is_guess(question: Question, line: str) -> bool:
    """Whether a line answers the question; otherwise it is Python."""
    if question.choices:
        return chosen(question, line) is not None
    if not question.answer:
        return True
    return bool(_NUMBER.fullmatch(as_python(line))) or (
        not re.search(r"(?<![=<>!])=(?!=)", line) and _is_formula(question)
    )


def _is_formula(question: Question) -> bool:
    return "`" in question.text  # it asks for Python, and shows the names to use


def chosen(question: Question, line: str) -> str | None:
    """The choice that a line names: in full, by its beginning, or by its number from 1."""
    word = line.strip().lower()
    exact = [choice for choice in question.choices if choice.lower() == word]
    begins = [choice for choice in question.choices if word and choice.lower().startswith(word)]
    if exact:
        return exact[0]
    if word.isdecimal() and 1 <= int(word) <= len(question.choices):
        return question.choices[int(word) - 1]
    return begins[0] if len(begins) == 1 else None


def judge(question: Question, guess: str, mine: Any, right: Any) -> Verdict:
    """Compare.

    Args:
        question: with its tolerance.
        guess: what the reader typed.
        mine: the guess's value, in the state before the step.
        right: the answer's value, in the state after it.
    """
    if question.choices:
        choice = chosen(question, guess)
        if choice == str(right):
            return Verdict(True, f"Yes: {right}.")
        return Verdict(False, f"Not this time: it is {right}; you said {choice}.")
    if not question.answer or not _is_number(right):
        return Verdict(None, f"You said: {guess}")
    if not _is_number(mine):
        return Verdict(None, f"It is {_number(right)}; you said {guess}.")
    off = abs(mine - right)
    exact = 1e-9 * max(1.0, abs(right)) if math.isfinite(right) else 0.0
    if off <= exact or mine == right:
        return Verdict(True, f"Yes: {_number(right)}.")
    if off <= question.tolerance * (1 + 1e-9):
        return Verdict(True, f"Yes, near enough: {_number(right)}.")
    if right and abs(mine + right) <= max(question.tolerance, exact):
        return Verdict(False, f"The size is right and the sign is the other one: {_number(right)}.")
    return Verdict(False, f"Not quite: it is {_number(right)}; you said {_number(mine)}.")


def _is_number(x: Any) -> bool:
    return isinstance(x, int | float) and not isinstance(x, bool) and not math.isnan(x)


def _number(x: float) -> str:
    return f"{x:.6g}".replace("-", "−")
