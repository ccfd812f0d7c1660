"""The line on which a reader of a chapter types."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any, ClassVar

from textual.binding import Binding
from textual.widgets import Input


class Prompt(Input):
    """A line with a history. An empty one has nowhere to move to, so ← turns the page back, as Enter turns it on."""

    BINDINGS: ClassVar[list[Any]] = [
        Binding("up", "older"),
        Binding("down", "newer"),
        Binding("tab", "complete"),
        Binding("left", "left"),
    ]

    def __init__(self, turn_back: Callable[[], Any], complete: Callable[[str], Any], **options: Any) -> None:
        super().__init__(**options)
        self.turn_back, self.complete = turn_back, complete
        self.lines: list[str] = []
        self.at = 0

    def keep(self, line: str) -> None:
        if line and self.lines[-1:] != [line]:
            self.lines.append(line)
        self.at = len(self.lines)

    def _recall(self, at: int) -> None:
        self.at = max(0, min(at, len(self.lines)))
        self.value = self.lines[self.at] if self.at < len(self.lines) else ""
        self.cursor_position = len(self.value)

    def action_older(self) -> None:
        self._recall(self.at - 1)

    def action_newer(self) -> None:
        self._recall(self.at + 1)

    def action_left(self) -> None:
        if self.value:
            self.action_cursor_left()
        else:
            self.turn_back()

    def action_complete(self) -> None:
        before = self.value[: self.cursor_position]
        word = re.search(r"[\w.]*$", before)
        if word and word[0]:
            self.complete(word[0])

    def insert_completion(self, word: str, found: list[str]) -> None:
        """As far as all that fits agrees."""
        common = os.path.commonprefix(found)  # noqa: RUF071 - of names, letter by letter
        if len(common) > len(word):
            self.insert_text_at_cursor(common[len(word) :])
