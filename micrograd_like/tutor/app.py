"""The tutor with panes: text and code left, what comes of them right, the prompt and the keys below. Built on Textual."""

from __future__ import annotations

import os
import re
import select
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

from micrograd_like._extras import MissingExtraError
from micrograd_like.tutor import page, progress, script
from micrograd_like.tutor.reading import COMMANDS, Reading, Say, pictures_of
from micrograd_like.tutor.script import Chapter, Step
from micrograd_like.tutor.session import InterruptedStepError, Picture, SessionClosedError

try:
    from rich.console import Group, RenderableType
    from rich.markdown import Markdown
    from rich.padding import Padding
    from rich.syntax import Syntax
    from rich.table import Table
    from rich.text import Text
    from rich.theme import Theme as RichTheme
    from textual import on, work
    from textual.app import App, ComposeResult
    from textual.binding import Binding
    from textual.containers import Horizontal, Vertical, VerticalScroll
    from textual.screen import Screen
    from textual.theme import Theme
    from textual.widget import Widget
    from textual.widgets import Input, OptionList, Static, TextArea
    from textual.widgets.option_list import Option
except ImportError as error:
    raise MissingExtraError("textual", "tutor") from error


@dataclass(frozen=True)
class Ink:
    """Colours of letters on one of the two grounds; each has a contrast of at least 4.5 on it."""

    quiet: str
    line: str
    blue: str
    gold: str
    green: str
    red: str
    orange: str
    code: str  # the name of a style of Pygments
    ground: str


INKS = {
    "dark": Ink("#8f98a8", "#4a5364", "#8ab4f8", "#f5c26b", "#8fd19e", "#f28b82", "#f5a25b", "nord-darker", "#1c2027"),
    "light": Ink("#5a6372", "#b8c0cc", "#1a57b5", "#7d5200", "#1c6e36", "#b3261e", "#a04b00", "friendly", "#f1f3f6"),
}
THEMES = [
    Theme("dark", primary="#8ab4f8", secondary="#f5c26b", success="#8fd19e", warning="#f5c26b", error="#f28b82",
          background="#14171c", surface="#14171c", panel="#1c2027", foreground="#d7dce4", dark=True),
    Theme("light", primary="#1a57b5", secondary="#7d5200", success="#1c6e36", warning="#7d5200", error="#b3261e",
          background="#ffffff", surface="#ffffff", panel="#f1f3f6", foreground="#1d2127", dark=False),
]  # fmt: skip


def gauge(at: int, of: int, ink: Ink, width: int = 10) -> Text:
    """How much of something is done, as a line."""
    full = round(width * at / of) if of else 0
    return Text("━" * full, style=ink.green if at >= of else ink.blue) + Text("─" * (width - full), style=ink.line)


def keys(pairs: list[tuple[str, str]], ink: Ink) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    for key, meaning in pairs:
        line += Text(f" {key}", style=f"bold {ink.blue}") + Text(f" {meaning} ", style=ink.quiet)
    return line


def first_sentences(text: str, length: int = 200) -> str:
    plain, found = re.sub(r"[*`]", "", " ".join(text.split("\n\n")[0].split())), ""
    for sentence in re.split(r"(?<=[.?:!]) ", plain):
        if found and len(found) + len(sentence) > length:
            break
        found += sentence + " "
    return found.strip()


class _TutorScreen(Screen[None]):
    """What both screens use."""

    @property
    def tutor(self) -> Tutor:
        assert isinstance(self.app, Tutor)
        return self.app

    @property
    def ink(self) -> Ink:
        return INKS[self.tutor.ground]


class Menu(_TutorScreen):
    """All chapters; what is typed is looked for."""

    BINDINGS: ClassVar[list[Any]] = [
        Binding("escape,ctrl+c", "app.leave", "leave", priority=True),
        Binding("up", "move(-1)", priority=True),
        Binding("down", "move(1)", priority=True),
    ]

    def compose(self) -> ComposeResult:
        yield Static(id="head")
        with Horizontal(id="ask"):
            yield Static(id="label")
            yield Input(id="search", placeholder="type a word to look for it", compact=True)
        yield OptionList(id="chapters")
        yield Static(id="idea")
        yield Static(id="keys")

    def on_screen_resume(self) -> None:
        facts, known = progress.load(), self.tutor.known
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
        word = self.query_one("#search", Input).value
        facts, chapters = progress.load(), self.query_one(OptionList)
        self.found = script.search(self.tutor.known, word)
        chapters.clear_options()
        for chapter, place in self.found:
            mine, of = facts.get(chapter.name, {}), len(chapter.steps)
            at = of if mine.get("done") else progress.place(chapter.name, of)
            row = Table.grid(expand=True, padding=(0, 1))
            row.add_column(width=2, justify="right")
            row.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
            for width in (6, 10, 6):
                row.add_column(width=width, justify="right" if width == 6 else "left")
            state = (
                Text("done ✓", style=self.ink.green)
                if at == of
                else Text(f"{at}/{of}" if at else "", style=self.ink.quiet)
            )
            title = Text(chapter.title, style="bold" if 0 < at < of else "")
            if place:
                title.append(f" › {chapter.steps[place].title}", style=self.ink.gold)
            number, minutes = (
                Text(str(chapter.number), style=self.ink.quiet),
                Text(f"{chapter.minutes} min", style=self.ink.quiet),
            )
            row.add_row(number, title, minutes, gauge(at, of, self.ink), state)
            chapters.add_option(Option(row))
        if self.found:
            chapters.highlighted = 0
        else:
            self.query_one("#idea", Static).update(Text("Nothing has that word.", style=self.ink.quiet))

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
        self.app.push_screen(Reader(chapter, place or None))


class Prompt(Input):
    """A line with a history. An empty one has nowhere to move to, so ← turns the page back, as Enter turns it on."""

    BINDINGS: ClassVar[list[Any]] = [
        Binding("up", "older"),
        Binding("down", "newer"),
        Binding("tab", "complete"),
        Binding("left", "left"),
    ]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
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
            self.reader.action_back()

    def action_complete(self) -> None:
        before = self.value[: self.cursor_position]
        word = re.search(r"[\w.]*$", before)
        if word and word[0]:
            self.reader.complete(word[0])

    def insert_completion(self, word: str, found: list[str]) -> None:
        """As far as all that fits agrees."""
        common = os.path.commonprefix(found)  # noqa: RUF071 - of names, letter by letter
        if len(common) > len(word):
            self.insert_text_at_cursor(common[len(word) :])

    @property
    def reader(self) -> Reader:
        assert isinstance(self.screen, Reader)
        return self.screen


class Reader(_TutorScreen):
    """A chapter, a step at a time."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012 - Textual declares it so
    BINDINGS: ClassVar[list[Any]] = [
        Binding("ctrl+r", "again", "run again", priority=True),
        Binding("ctrl+t", "hint", "hint", priority=True),
        Binding("ctrl+o", "pictures", "pictures", priority=True),
        Binding("ctrl+c", "stop", "stop", priority=True),
        Binding("escape", "menu", "menu", priority=True),
        Binding("f2", "back", "back", priority=True),
        Binding("f3", "next", "next", priority=True),
        Binding("f6", "other", "prompt or editor", priority=True),
        Binding("pageup", "page(-1)", priority=True),
        Binding("pagedown", "page(1)", priority=True),
    ]

    def __init__(self, chapter: Chapter, place: int | None = None) -> None:
        super().__init__()
        at = progress.place(chapter.name, len(chapter.steps)) if place is None else place
        self.reading = Reading(chapter, at)
        self.page = page.Page(self.reading.session.folder)
        self.pictures: list[Picture] = []
        self.unfolded = False
        self.tasks: list[str] = []  # what is being done, in words; the newest last
        self.running = 0  # of these, what the reader has begun
        self.said: list[Say] = []
        self.heard, self.shown_of_it = "", 0

    def compose(self) -> ComposeResult:
        yield Static(id="head")
        with Horizontal(id="page"):
            with VerticalScroll(id="left", can_focus=False):
                yield Static(id="text")
                yield Static(id="question")
                yield Static(id="code")
                yield TextArea("", id="editor", theme="css", tab_behavior="indent")
            with VerticalScroll(id="right", can_focus=False):
                yield Static(id="result")
                yield Vertical(id="pictures")
                yield Static(id="after")
                yield Static(id="talk")
        with Horizontal(id="ask"):
            yield Static(id="label")
            yield Prompt(id="prompt", compact=True)
        yield Static(id="keys")

    @property
    def step(self) -> Step:
        return self.reading.step

    def on_mount(self) -> None:
        self.query_one("#page").can_focus = False
        self.present([])
        self.set_interval(0.2, self.show_heard)
        self.catch_up()

    @work(thread=True)
    def catch_up(self) -> None:
        """The page is there at once; the steps before it run behind it."""
        self._do("the steps before this one run …" if self.reading.place else "…", self.reading.catch_up, self.add)

    def _do(self, task: str, work: Callable[[], Any], then: Callable[[Any], Any], running: int = 0) -> None:
        """In a thread: work, and then say what came of it, unless the reader has left meanwhile."""
        self.tasks.append(task)
        self.running += running
        with suppress(SessionClosedError, RuntimeError):  # the app is gone
            self.app.call_from_thread(self.show_keys)
            try:
                came = work()
            except InterruptedStepError:
                came = [Say("note", "Stopped. Enter tries again.")]
                then = self.add
            finally:
                self.tasks.remove(task)
                self.running -= running
            self.app.call_from_thread(then, came)
            self.app.call_from_thread(self.show_keys)

    def show(self, name: str, content: RenderableType = "") -> None:
        widget = self.query_one(f"#{name}", Static)
        widget.update(content)
        widget.display = bool(content)

    # The page before and after its step has run.

    def present(self, said: list[Say]) -> None:
        """A step before it has run: its text; its code, unless a question comes first; the prompt."""
        step, chapter, ink = self.step, self.reading.chapter, self.ink
        self.unfolded, self.pictures, self.said = False, [], []
        self.show_head()
        title = "" if step.title == chapter.title else step.title
        parts: list[RenderableType] = [Text(title, style=f"bold {ink.gold}"), Text()] if title else []
        if step.text:
            parts.append(Markdown(step.text, code_theme=ink.code))
        self.show("text", Group(*parts) if parts else "")
        for name in ("result", "talk", "after"):
            self.show(name)
        self.query_one("#pictures").remove_children()
        self.remove_class("-stacked")
        editor = self.query_one("#editor", TextArea)
        editor.display = step.is_exercise
        if step.question and self.reading.waiting:
            self.show("question", self._question())
            self.show("code")
        else:
            self.show("question")
            self.show_code()
        if step.is_exercise:
            editor.text = self.reading.session.solved.get(self.reading.place, step.start)
            before, _, _ = step.start.partition("...")
            editor.move_cursor((before.count("\n"), len(before) - before.rfind("\n") - 1))
            editor.focus()
        else:
            self.query_one("#prompt").focus()
        self._show_right(bool(said))
        if self.has_class("-wide") and not step.is_exercise:
            waits = "Enter shows it; or type your guess." if step.question else "Enter runs it."
            self.show("result", Text(waits, style=ink.quiet) if step.code else "")
        for pane in ("left", "right", "page"):
            self.query_one(f"#{pane}").scroll_home(animate=False)
        self.add(said)
        self.show_keys()

    def repaint(self) -> None:
        """The same in other colours."""
        said = self.said
        self.present([])
        if said:
            self.shown(said)

    def show_head(self) -> None:
        chapter, place, ink = self.reading.chapter, self.reading.place, self.ink
        head = Table.grid(expand=True)
        head.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        head.add_column(justify="right")
        of = len(chapter.steps)
        head.add_row(
            Text.assemble((f"{chapter.number} ", ink.quiet), (chapter.title, f"bold {ink.blue}")),
            gauge(place + 1, of, ink) + Text(f" {place + 1}/{of}", style=ink.quiet),
        )
        self.query_one("#head", Static).update(head)

    def _question(self) -> RenderableType:
        question = self.step.question
        assert question is not None
        rows: list[RenderableType] = [Markdown(question.text)]
        if question.choices:
            choices = "   ".join(f"{i} {choice}" for i, choice in enumerate(question.choices, 1))
            rows += [Text(), Text(choices, style=f"bold {self.ink.gold}")]
        return Group(*rows)

    def _show_right(self, is_there: bool) -> None:
        """The pane for what comes of a step; in one column it is there only when something has come."""
        self.query_one("#right").display = is_there or (self.has_class("-wide") and not self.has_class("-stacked"))

    def show_code(self) -> None:
        step, ink = self.step, self.ink
        if step.code is None or step.is_exercise:
            self.show("code")
            return
        if self.unfolded:
            self.show("code", Group(*(self._syntax(cell.source) for cell in (step.code, *step.folded))))
            return
        parts: list[RenderableType] = []
        if step.is_claims:
            count = len(re.findall(r"^\s*assert ", step.code.source, re.MULTILINE))
            parts.append(Text(f"▸ {count} claims, each checked here (:code shows how)", style=ink.quiet))
        elif step.code.tagged("fold"):
            lines = step.code.source.count("\n") + 1
            parts.append(Text(f"▸ {step.code.title or 'plumbing'}, {lines} lines (:code shows them)", style=ink.quiet))
        else:
            parts.append(self._syntax(step.code.source))
        parts += [Text(f"▸ {cell.title or 'plumbing'} (:code shows it)", style=ink.quiet) for cell in step.folded]
        self.show("code", Group(*parts))

    def _syntax(self, source: str) -> RenderableType:
        ink = self.ink
        return Syntax(source, "python", theme=ink.code, word_wrap=True, background_color=ink.ground, padding=(0, 1))

    def shown(self, said: list[Say]) -> None:
        """A step that has run: what it printed, drew and checked."""
        self.said = said
        if self.step.question:
            self.show("question", self._question())
            self.show_code()
        self.show("talk")
        self._lay_out()
        if not self.step.is_exercise or not self.reading.waiting:
            self.query_one("#prompt").focus()
        self.pictures = pictures_of(said)
        if self.pictures:
            newest = self.pictures[-1]
            self.page.tell(newest.title or newest.name, [picture.path for picture in self.pictures])
        self.show_keys()
        self.set_timer(0.05, self._to_result)

    def shown_or_passed(self, said: list[Say]) -> None:
        """A step that has nothing to show is not waited at."""
        if self.reading.is_silent(said) and not self.reading.is_last:
            self.enter(self.reading.place + 1)
        else:
            self.shown(said)

    def _lay_out(self) -> None:
        """What has come, in the right pane; below the code if it is too wide for that."""
        drawn = [each for each in self.said if each.kind == "picture"]
        texts = [str(each.what) for each in self.said if each.kind == "output"]
        texts += [each.what.characters for each in drawn if each.what.characters and not self.tutor.pixels]
        widest = max((len(line) for text in texts for line in text.split("\n") if "  " in line.strip()), default=0)
        self.set_class(self.has_class("-wide") and widest > self.size.width * 10 // 21 - 6, "-stacked")
        self._show_right(True)
        before = [
            each for each in self.said if each.kind in ("verdict", "note", "output") and not self.step.is_exercise
        ]
        after = [each for each in self.said if each.kind != "picture" and each not in before]
        self.show("result", Group(*self._all_rendered(before)) if before else "")
        self.show("after", Group(*self._all_rendered(after)) if after else "")
        box = self.query_one("#pictures")
        box.remove_children()
        for each in drawn:
            box.mount(*self._draw(each.what))

    def _to_result(self) -> None:
        if not self.has_class("-wide") or self.has_class("-stacked"):
            self.query_one("#page").scroll_to_widget(self.query_one("#right"), top=True, animate=False)

    def on_resize(self) -> None:
        if self.said:
            self.call_after_refresh(self._lay_out)
        else:
            self.call_after_refresh(self._show_right, False)

    def add(self, said: list[Say]) -> None:
        """What is said besides, below the rest."""
        if not said:
            return
        self._show_right(True)
        self.show("talk", Padding(Group(*self._all_rendered(said)), (1, 0, 0, 0)))
        for each in pictures_of(said):
            self.query_one("#pictures").mount(*self._draw(each))
        self.set_timer(0.05, lambda: self._pane().scroll_end(animate=False))  # when the page has got its new height

    def _all_rendered(self, said: list[Say]) -> list[RenderableType]:
        return [each for each in map(self._rendered, said) if each is not None]

    def _rendered(self, say: Say) -> RenderableType | None:
        ink = self.ink
        match say.kind:
            case "verdict":
                style = {True: ink.green, False: ink.gold, None: ink.quiet}[say.right]
                return Group(Text(f"{'✓' if say.right else '→'} {say.what}", style=f"bold {style}"), Text())
            case "output":
                return Text(say.what)
            case "checks":
                rows = Table.grid(padding=(0, 1))
                for holds, claim, why in say.what:
                    mark = Text("✓" if holds else "✗", style=f"bold {ink.green if holds else ink.red}")
                    rows.add_row(mark, Text.assemble(claim, (f"  ({why})" if why else "", ink.quiet)))
                return rows
            case "error":
                return Text(say.what, style=f"bold {ink.red}")
            case "trace":
                return Text(say.what, style=ink.quiet)
            case "good":
                return Padding(Text(say.what, style=f"bold {ink.green}"), (1, 0, 0, 0))
            case "hint":
                title, text = say.what
                return Group(Text(title, style=f"bold {ink.gold}"), Markdown(text, code_theme=ink.code))
            case "code":
                title, source = say.what
                return Group(Text(title, style=f"bold {ink.gold}"), self._syntax(source))
            case "you":
                return Text(f"› {say.what}", style=ink.blue)
            case "note":
                return Text(say.what, style=ink.quiet)
        return None

    def _draw(self, picture: Picture) -> list[Any]:
        """Pixels where the terminal has them, else characters, else its title; and how to see it elsewhere."""
        ink = self.ink
        opens = "Ctrl-O: in the browser" if page.browser_here() else f"file: {picture.path}"
        live = "live page: " if picture.path.suffix == ".html" else ""
        caption = Static(Text(f"{live}{picture.title or picture.name}  ({opens})", style=ink.quiet), classes="caption")
        if self.tutor.pixels and picture.path.suffix == ".svg":
            from textual_image.widget import Image

            image = Image(page.raster(picture.path, "#ffffff"))
            image.styles.width, image.styles.height = "100%", "auto"
            return [image, caption]
        if not picture.characters:
            return [caption]
        text = Text(picture.characters, no_wrap=True)
        text.highlight_regex(r"[─┬┴┼┤┘┐│└]+", ink.quiet)
        text.highlight_regex(r"[▘▝▀▖▌▞▛▗▚▐▜▄▙▟█]+", ink.blue)
        text.highlight_regex(r"▽−[\d.e+−]+", ink.blue)
        text.highlight_regex(r"▽[\d.e+]+", ink.orange)
        text.highlight_regex(r"[A-Za-z_]\w*(?= −?\d)", "bold")
        legend = (
            "▽ is the gradient: how fast the result changes when this is raised" if "▽" in picture.characters else ""
        )
        return [Static(text), *([Static(Text(legend, style=ink.quiet))] if legend else []), caption]

    def show_keys(self) -> None:
        """What is asked for, and the keys that make sense now."""
        step, reading, ink = self.step, self.reading, self.ink
        label, hint = "python", "an expression over the chapter's names"
        if reading.waiting and step.question:
            label, hint = "your guess", "one of the words above, or its number" if step.question.choices else "a number"
            if not step.question.answer:
                hint = "in your words"
        style = f"bold {ink.gold if label != 'python' else ink.blue}"
        self.query_one("#label", Static).update(Text(f" {label} › ", style=style))
        self.query_one("#prompt", Input).placeholder = hint
        if self.tasks:
            pairs = [("…", self.tasks[-1].strip("…")), ("Ctrl-C", "stop" if self.running else "leave")]
        elif step.is_exercise and reading.waiting:
            given, of = reading.hints_given, len(step.hints)
            pairs = [
                ("Ctrl-R", "check"),
                ("Ctrl-T", f"hint {given + 1} of {of}" if given < of else "solution"),
                ("F3", "skip"),
            ]
        else:
            go = "show it" if reading.waiting and step.question else "run" if reading.waiting and step.code else "next"
            if go == "next" and reading.is_last:
                following = self._following()
                go = f"chapter {following.number}" if following else "the menu"
            pairs = [("Enter", go)] + [("Ctrl-R", "run again")] * (not reading.waiting)
        if not self.tasks:
            pairs += [("F2" if step.is_exercise else "←", "back")] * (reading.place > 0)
            pairs += [("Ctrl-O", "picture")] * bool(self.pictures) + [("Esc", "menu"), (":?", "help")]
        self.query_one("#keys", Static).update(keys(pairs, ink))

    # What the reader does.

    @on(Input.Submitted, "#prompt")
    def entered(self, event: Input.Submitted) -> None:
        prompt = self.query_one("#prompt", Prompt)
        line, prompt.value = event.value.strip(), ""
        prompt.keep(line)
        if self._is_running():
            prompt.value = line  # one thing at a time; what was typed stays
            return
        kind, line = self.reading.meaning(line)
        match kind:
            case "go":
                self.go_on()
            case "guess":
                self.run_step(guess=line)
            case "python":
                self.type_line(line)
            case "help":
                self.help()
            case "light" | "dark":
                self.tutor.use_ground(kind)
            case "reset":
                self.reset()
            case "solution":
                self.add(self.reading.solution())
            case "quit":
                self.tutor.action_leave()
            case _:
                getattr(self, f"action_{kind}")()

    def help(self) -> None:
        rows = Table.grid(padding=(0, 2))
        for name, meaning in COMMANDS.items():
            rows.add_row(Text(f":{name}", style=self.ink.blue), meaning)
        intro = (
            "Enter goes on. What you type is your guess, or Python among the chapter's names. "
            "These are commands, or their first letters:"
        )
        self._show_right(True)
        self.show("talk", Padding(Group(Text(intro), rows), (1, 0, 0, 0)))
        self.set_timer(0.05, self._to_talk)  # when the page has got its new height

    def _to_talk(self) -> None:
        self._pane().scroll_to_widget(self.query_one("#talk"), top=True, animate=False)

    def _pane(self) -> Widget:
        """What scrolls: the whole page where it is one column, else its right half."""
        one_column = not self.has_class("-wide") or self.has_class("-stacked")
        return self.query_one("#page" if one_column else "#right")

    def _is_running(self) -> bool:
        """Whether the step itself, or a line of the reader's, runs: not the steps before it, on the way here."""
        return self.running > 0 and self.reading.session.here == self.reading.place

    def go_on(self) -> None:
        if self.reading.waiting and self.step.code and not self.step.is_exercise:
            self.run_step(goes_on=True)
        else:
            self.action_next()

    def _following(self) -> Chapter | None:
        return next((each for each in self.tutor.known if each.number > self.reading.chapter.number), None)

    def action_next(self) -> None:
        if not self.reading.is_last:
            self.enter(self.reading.place + 1)
        elif following := self._following():
            self.leave_for(Reader(following))
        else:
            self.action_menu()

    def action_back(self) -> None:
        if self.reading.place:
            self.enter(self.reading.place - 1)

    def action_again(self) -> None:
        if self._is_running() or self.step.code is None:
            return
        self.run_step(solution=self.query_one("#editor", TextArea).text if self.step.is_exercise else None)

    def action_hint(self) -> None:
        self.add(self.reading.hint())
        self.show_keys()

    def action_code(self) -> None:
        self.unfolded = not self.unfolded
        self.show_code()

    def action_pictures(self) -> None:
        if not self.pictures:
            self.add([Say("note", "This step has drawn no picture yet.")])
        elif self.page.open():
            self.add([
                Say("note", f"Opened in the browser: {self.page.file}. The tab follows you from picture to picture.")
            ])
        else:
            files = ", ".join(str(picture.path) for picture in self.pictures)
            self.add([Say("note", f"There is no browser here. The pictures are files: {files}")])

    def action_other(self) -> None:
        editor = self.query_one("#editor", TextArea)
        (self.query_one("#prompt") if editor.has_focus or not editor.display else editor).focus()

    def action_page(self, way: int) -> None:
        pane = self._pane()
        if not pane.max_scroll_y:
            pane = self.query_one("#left")
        pane.scroll_relative(y=way * max(1, pane.size.height - 2), animate=False)

    def action_stop(self) -> None:
        """Stop what the reader has begun; otherwise leave."""
        if self._is_running():
            self.reading.session.stop()
        else:
            self.tutor.action_leave(130)

    def action_menu(self) -> None:
        self.leave_for(None)

    def leave_for(self, screen: Screen[None] | None) -> None:
        self.reading.close()
        if screen is not None:
            self.app.switch_screen(screen)
        elif len(self.app.screen_stack) > 2:
            self.app.pop_screen()
        else:
            self.app.switch_screen(Menu())

    def on_unmount(self) -> None:
        self.reading.close()

    # What takes time, and is done in a thread.

    @work(thread=True)
    def enter(self, place: int) -> None:
        self._do("…", lambda: self.reading.go(place), self.present)

    @work(thread=True)
    def run_step(self, guess: str = "", solution: str | None = None, goes_on: bool = False) -> None:
        self.heard, self.shown_of_it = "", 0
        then = self.shown_or_passed if goes_on else self.shown
        self._do("it runs", lambda: self.reading.run(guess, solution, self.hear), then, running=1)

    @work(thread=True)
    def type_line(self, line: str) -> None:
        self._do("it runs", lambda: self.reading.type(line), self.add, running=1)

    @work(thread=True)
    def reset(self) -> None:
        self._do("…", self.reading.reset, self.present)

    @work(thread=True)
    def complete(self, word: str) -> None:
        with suppress(SessionClosedError, RuntimeError):
            found = self.reading.complete(word)
            self.app.call_from_thread(self.completed, word, found)

    def completed(self, word: str, found: list[str]) -> None:
        self.query_one("#prompt", Prompt).insert_completion(word, found)
        if len(found) > 1:
            self.add([Say("note", "  ".join(found[:40]))])

    def hear(self, text: str) -> None:
        """What a cell prints while it runs."""
        self.heard += text

    def show_heard(self) -> None:
        """It is shown as it comes, except where a guess is judged first."""
        if self.running and self.step.question is None and len(self.heard) > self.shown_of_it:
            self.shown_of_it = len(self.heard)
            self._show_right(True)
            self.show("result", Text(self.heard.rstrip("\n")))
            self._pane().scroll_end(animate=False)


class Tutor(App[int]):
    """The menu and the chapters."""

    ENABLE_COMMAND_PALETTE = False
    TITLE = "micrograd-like"
    CSS = """
    Screen { background: $background; }
    #head { padding: 0 2; margin: 0 0 1 0; height: auto; }
    #ask { height: 1; background: $panel; }
    #label { width: auto; } #prompt, #search { background: $panel; width: 1fr; }
    #keys { dock: bottom; height: 1; padding: 0 1; }
    Menu #head { margin: 0; } Menu #ask { margin: 0 0 1 0; }
    #chapters { border: none; background: $background; padding: 0 1; height: 1fr; scrollbar-size-vertical: 1; }
    #chapters > .option-list--option-highlighted { background: $panel; text-style: bold; }
    #idea { padding: 1 3 0 3; height: 4; margin: 0 0 1 0; }
    Reader #ask { dock: bottom; margin: 0 0 1 0; }
    #page { height: 1fr; margin: 0 0 1 0; }
    #left, #right { padding: 0 2; scrollbar-size-vertical: 1; }
    #left { width: 11fr; } #right { width: 10fr; border-left: solid $panel; }
    #code { margin: 1 0 0 0; } #question { margin: 1 0; padding: 0 0 0 1; border-left: outer $secondary; }
    #editor { margin: 1 0; border: round $foreground 30%; background: $panel; height: auto; min-height: 6; max-height: 18;
              scrollbar-size-vertical: 1; }
    #editor:focus { border: round $primary; }
    #pictures { height: auto; } #pictures Static { height: auto; } .caption { margin: 0 0 1 0; }
    #after { margin: 1 0 0 0; }
    .-narrow #page, .-stacked #page { layout: vertical; overflow-y: auto; scrollbar-size-vertical: 1; }
    .-narrow #left, .-narrow #right, .-stacked #left, .-stacked #right { width: 100%; height: auto; overflow: hidden; }
    .-narrow #right, .-stacked #right { border-left: none; margin: 1 0 0 0; }
    """

    def __init__(
        self, known: list[Chapter], chapter: Chapter | None = None, place: int | None = None,
        ground: str = "dark", pixels: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.known, self.chapter, self.place = known, chapter, place
        self.ground, self.pixels = ground, pixels

    def on_mount(self) -> None:
        for theme in THEMES:
            self.register_theme(theme)
        self.use_ground(self.ground)
        self.push_screen(Reader(self.chapter, self.place) if self.chapter else Menu())

    def use_ground(self, ground: str) -> None:
        self.ground = ground
        ink = INKS[ground]
        styles = {"markdown.code": f"bold {ink.blue}", "markdown.item.bullet": ink.quiet, "markdown.h2": "bold"}
        self.console.push_theme(RichTheme(styles))
        self.theme = ground
        if isinstance(self.screen, Reader):
            self.screen.repaint()
            progress.save_ground(ground)

    def action_leave(self, status: int = 0) -> None:
        self.exit(status, return_code=status)


def light_terminal() -> bool:
    """Whether the terminal has a light background: it is asked (OSC 11), and says so within a fifth of a second or not."""
    with suppress(Exception):
        import termios
        import tty

        terminal = sys.stdin.fileno()
        before = termios.tcgetattr(terminal)
        try:
            tty.setcbreak(terminal)
            sys.stdout.write("\x1b]11;?\x1b\\")
            sys.stdout.flush()
            answer, end = b"", time.monotonic() + 0.2
            while not answer.endswith((b"\\", b"\a")) and (left := end - time.monotonic()) > 0:
                if select.select([terminal], [], [], left)[0]:
                    answer += os.read(terminal, 64)
        finally:
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        if found := re.search(rb"rgb:([0-9a-f]+)/([0-9a-f]+)/([0-9a-f]+)", answer.lower()):
            return sum(int(part, 16) / int(b"f" * len(part), 16) for part in found.groups()) > 1.5
    return os.environ.get("COLORFGBG", "").rpartition(";")[2] in ("7", "15")


def run(known: list[Chapter], chapter: Chapter | None, place: int | None = None) -> int:
    """Show the menu, or a chapter. Returns the exit status: 130 after Ctrl-C."""
    pixels = page.has_pixels()  # the terminal is asked before Textual owns it
    ground = progress.ground() or ("light" if light_terminal() else "dark")
    status = Tutor(known, chapter, place, ground, pixels).run()
    if status == 130:
        print("You can go on here next time.")
    return status or 0
