"""The menu: all chapters, what has been done of them, and what is looked for in them."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from rich.table import Table
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.screen import Screen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from micrograd_like.tutor import progress, script
from micrograd_like.tutor.look import INKS, Ink, gauge, keys
from micrograd_like.tutor.reader import Reader
from micrograd_like.tutor.script import Chapter


class Menu(Screen[None]):
    """All chapters; what is typed is looked for."""

    BINDINGS: ClassVar[list[Any]] = [
        Binding("escape,ctrl+c", "app.leave", "leave", priority=True),
        Binding("up", "move(-1)", priority=True),
        Binding("down", "move(1)", priority=True),
    ]

    def __init__(self, known: list[Chapter], pixels: bool) -> None:
        super().__init__()
        self.known, self.pixels = known, pixels

    @property
    def ink(self) -> Ink:
        return INKS[self.app.theme]

    def compose(self) -> ComposeResult:
        yield Static(id="head")
        with Horizontal(id="ask"):
            yield Static(id="label")
            yield Input(id="search", placeholder="type a word to look for it", compact=True)
        yield OptionList(id="chapters")
        yield Static(id="idea")
        yield Static(id="keys")

    def on_screen_resume(self) -> None:
        facts, known = progress.load(), self.known
        done = sum(bool(facts.get(chapter.name, {}).get("done")) for chapter in known)
        head = Table.grid(expand=True)
        head.add_column(ratio=1)
        head.add_column(justify="right")
        head.add_row(
            Text("micrograd-like", style=f"bold {self.ink.blue}"),
            Text(f"{done} of {len(known)} chapters done", style=self.ink.quiet),
        )
        head.add_row(Text("Neural networks, explained with numbers that are true", style=self.ink.quiet), "")
        self.query_one("#head", Static).update(head)
        self.query_one("#label", Static).update(Text(" search › ", style=f"bold {self.ink.blue}"))
        pairs = [("↑ ↓", "choose"), ("Enter", "begin or go on"), ("Esc", "leave")]
        self.query_one("#keys", Static).update(keys(pairs, self.ink))
        self.list_chapters()
        last = facts.get("last", {}).get("chapter")
        places = [i for i, (chapter, _) in enumerate(self.found) if chapter.name == last]
        self.query_one(OptionList).highlighted = places[0] if places else 0
        self.query_one("#search").focus()

    @on(Input.Changed, "#search")
    def list_chapters(self) -> None:
        ink, chapters = self.ink, self.query_one(OptionList)
        self.found = script.search(self.known, self.query_one("#search", Input).value)
        chapters.clear_options()
        facts = progress.load()
        for chapter, place in self.found:
            of = len(chapter.steps)
            at = of if facts.get(chapter.name, {}).get("done") else progress.place(chapter.name, of)
            chapters.add_option(Option(self._row(chapter, place, at, of)))
        if self.found:
            chapters.highlighted = 0
        else:
            self.query_one("#idea", Static).update(Text("Nothing has that word.", style=ink.quiet))

    def _row(self, chapter: Chapter, place: int, at: int, of: int) -> Table:
        """A chapter's title, its minutes, and how much is done: as a line too where there is room for it."""
        ink, is_wide = self.ink, self.app.size.width >= 100
        row = Table.grid(expand=True, padding=(0, 1))
        row.add_column(width=2, justify="right")
        row.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        title = Text(chapter.title, style="bold" if 0 < at < of else "")
        if place:
            title.append(f" › {chapter.steps[place].title}", style=ink.gold)
        state = Text("done ✓", style=ink.green) if at == of else Text(f"{at}/{of}" if at else "", style=ink.quiet)
        cells = [Text(f"{chapter.minutes} min", style=ink.quiet), *([gauge(at, of, ink)] if is_wide else []), state]
        for _ in cells:
            row.add_column(justify="right")
        row.columns[-1].width = 6
        row.add_row(Text(str(chapter.number), style=ink.quiet), title, *cells)
        return row

    def on_resize(self) -> None:
        chapters = self.query_one(OptionList)
        at = chapters.highlighted
        self.list_chapters()
        chapters.highlighted = at if self.found else None

    def action_move(self, way: int) -> None:
        chapters = self.query_one(OptionList)
        (chapters.action_cursor_up if way < 0 else chapters.action_cursor_down)()

    @on(OptionList.OptionHighlighted)
    def tell_idea(self, event: OptionList.OptionHighlighted) -> None:
        if event.option_index < len(self.found):
            chapter, place = self.found[event.option_index]
            text = first_sentences(chapter.steps[place].text or chapter.steps[0].text)
            self.query_one("#idea", Static).update(Text(text, style=self.ink.quiet))

    @on(Input.Submitted, "#search")
    @on(OptionList.OptionSelected)
    def begin(self) -> None:
        at = self.query_one(OptionList).highlighted
        if at is None or at >= len(self.found):
            return
        chapter, place = self.found[at]
        self.query_one("#search", Input).value = ""
        self.app.push_screen(Reader(self.known, chapter, place or None, self.pixels))


def first_sentences(text: str, length: int = 200) -> str:
    plain, found = re.sub(r"[*`]", "", " ".join(text.split("\n\n")[0].split())), ""
    for sentence in re.split(r"(?<=[.?:!]) ", plain):
        if found and len(found) + len(sentence) > length:
            break
        found += sentence + " "
    return found.strip()
