"""A chapter on the screen: text and code left, what comes of them right, the prompt and the keys below."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar

from rich.console import Group, RenderableType
from rich.markdown import Markdown
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input, Static, TextArea

from micrograd_like.tutor import look, page, progress, script
from micrograd_like.tutor.prompt import Prompt
from micrograd_like.tutor.reading import COMMANDS, Reading, Say, pictures_of
from micrograd_like.tutor.script import Chapter, Step
from micrograd_like.tutor.session import InterruptedStepError, Picture, SessionClosedError

MARGINS = 5  # of a page: two columns on each side, and the bar that scrolls


class Reader(Screen[None]):
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

    def __init__(self, known: list[Chapter], chapter: Chapter, place: int | None, pixels: bool) -> None:
        super().__init__()
        self.known, self.pixels = known, pixels
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
            yield Prompt(self.action_back, self.complete, id="prompt", compact=True)
        yield Static(id="keys")

    @property
    def ink(self) -> look.Ink:
        return look.INKS[self.app.theme]

    @property
    def is_one_column(self) -> bool:
        return not self.has_class("-wide") or self.has_class("-stacked")

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
            self.show("question", look.question(step.question, ink))
            self.show("code")
        else:
            self.show("question")
            self.show_code()
        if step.is_exercise:
            self.fill_editor()
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

    def fill_editor(self) -> None:
        """The task's lines, or the reader's solution, with the cursor where there is something to be done."""
        editor, start = self.query_one("#editor", TextArea), self.step.start
        editor.text = self.reading.session.solved.get(self.reading.place, start)
        before, _, _ = start.partition("...")
        editor.move_cursor((before.count("\n"), len(before) - before.rfind("\n") - 1))

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
            look.gauge(place + 1, of, ink) + Text(f" {place + 1}/{of}", style=ink.quiet),
        )
        self.query_one("#head", Static).update(head)

    def _show_right(self, is_there: bool) -> None:
        """The pane for what comes of a step; in one column it is there only when something has come."""
        self.query_one("#right").display = is_there or not self.is_one_column

    def show_code(self) -> None:
        parts = look.code(self.step, self.ink, self.unfolded)
        self.show("code", Group(*parts) if parts else "")

    def shown(self, said: list[Say]) -> None:
        """A step that has run: what it printed, drew and checked."""
        self.said = said
        if self.step.question:
            self.show("question", look.question(self.step.question, self.ink))
            self.show_code()
        self.show("talk")
        self._lay_out()
        if not self.step.is_exercise or not self.reading.waiting:
            self.query_one("#prompt").focus()
        self.pictures = pictures_of(said)
        self.page.tell(self.pictures)
        self.show_keys()
        self._when_laid_out(self._to_result)

    def shown_or_passed(self, said: list[Say]) -> None:
        """A step that has nothing to show is not waited at."""
        if self.reading.is_silent(said) and not self.reading.is_last:
            self.enter(self.reading.place + 1)
        else:
            self.shown(said)

    def _lay_out(self) -> None:
        """What has come, in the right pane; below the code if it is too wide for that."""
        drawn = [each for each in self.said if each.kind == "picture"]
        printed = [line for each in self.said if each.kind == "output" for line in str(each.what).split("\n")]
        lines = [line for line in printed if "  " in line.strip()]  # of a table: prose may wrap
        lines += [line for each in drawn if not self.pixels for line in each.what.characters.split("\n")]
        widest = max(map(len, lines), default=0)
        self.set_class(self.has_class("-wide") and widest > self.size.width * 10 // 21 - 6, "-stacked")
        self._show_right(True)
        before = [
            each for each in self.said if each.kind in ("verdict", "note", "output") and not self.step.is_exercise
        ]
        after = [each for each in self.said if each.kind != "picture" and each not in before]
        self.show("result", Group(*look.rendered(before, self.ink)) if before else "")
        self.show("after", Group(*look.rendered(after, self.ink)) if after else "")
        box = self.query_one("#pictures")
        box.remove_children()
        for each in drawn:
            box.mount(*self._draw(each.what))

    def _when_laid_out(self, scroll: Callable[[], None]) -> None:
        """Scroll when the page has got its new height, which also a slow machine must have drawn."""
        self.call_after_refresh(self.set_timer, 0.05, scroll)

    def _to_result(self) -> None:
        if self.is_one_column:
            self.query_one("#page").scroll_to_widget(self.query_one("#right"), top=True, animate=False)

    def on_resize(self) -> None:
        self.reading.session.columns = self.size.width - MARGINS
        if self.said:
            self.call_after_refresh(self._lay_out)
            self._when_laid_out(self._to_result)
        else:
            self.call_after_refresh(self._show_right, False)

    def add(self, said: list[Say]) -> None:
        """What is said besides, below the rest."""
        if not said:
            return
        self._show_right(True)
        self.show("talk", Padding(Group(*look.rendered(said, self.ink)), (1, 0, 0, 0)))
        for each in pictures_of(said):
            self.query_one("#pictures").mount(*self._draw(each))
        self._when_laid_out(lambda: self._pane().scroll_end(animate=False))

    def _draw(self, picture: Picture) -> list[Any]:
        """Pixels where the terminal has them, else characters, else its title; and how to see it elsewhere."""
        ink = self.ink
        opens = "Ctrl-O: in the browser" if page.browser_here() else f"file: {picture.path}"
        live = "live page: " if picture.path.suffix == ".html" else ""
        caption = Static(Text(f"{live}{picture.title or picture.name}  ({opens})", style=ink.quiet), classes="caption")
        if self.pixels and picture.path.suffix == ".svg":
            from textual_image.widget import Image

            image = Image(page.raster(picture.path, "#ffffff"))
            image.styles.width, image.styles.height = "100%", "auto"
            return [image, caption]
        if not picture.characters:
            return [caption]
        legend = (
            "▽ is the gradient: how fast the result changes when this is raised" if "▽" in picture.characters else ""
        )
        legends = [Static(Text(legend, style=ink.quiet))] if legend else []
        return [Static(look.characters(picture.characters, ink)), *legends, caption]

    def show_keys(self) -> None:
        """What is asked for, and the keys that make sense now."""
        step, reading, ink = self.step, self.reading, self.ink
        label, hint = "python", "an expression over the chapter's names"
        if reading.waiting and step.question:
            label, hint = (
                "your guess",
                "one of the words above, or its number" if step.question.choices else "a number, or a formula",
            )
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
                following = script.following(self.known, reading.chapter)
                go = f"chapter {following.number}" if following else "the menu"
            pairs = [("Enter", go)] + [("Ctrl-R", "run again")] * (not reading.waiting)
        if not self.tasks:
            pairs += [("F2" if step.is_exercise else "←", "back")] * (reading.place > 0)
            pairs += [("Ctrl-O", "picture")] * bool(self.pictures) + [("Esc", "menu"), (":?", "help")]
        self.query_one("#keys", Static).update(look.keys(pairs, ink))

    # What the reader does.

    @on(Input.Submitted, "#prompt")
    def entered(self, event: Input.Submitted) -> None:
        prompt = self.query_one("#prompt", Prompt)
        line, prompt.value = event.value.strip(), ""
        prompt.keep(line)
        if self._is_running():
            prompt.value = line  # one thing at a time; what was typed stays
            return
        self.do(*self.reading.meaning(line))

    @on(TextArea.Changed, "#editor")
    def written(self, event: TextArea.Changed) -> None:
        if event.text_area.text.endswith("\n"):
            self.obey_editor()

    def obey_editor(self) -> bool:
        """Whether the editor's only line is a word after a colon: then that command is done, and the task's lines return."""
        editor = self.query_one("#editor", TextArea)
        line = editor.text.strip()
        if not line.startswith(":") or "\n" in line or self._is_running():
            return False
        self.fill_editor()
        self.do(*self.reading.meaning(line))
        return True

    def do(self, kind: str, line: str) -> None:
        """What a line asks for, as `Reading.meaning` has it."""
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
                look.paint(self.app, kind)
                self.repaint()
                progress.save_ground(kind)
            case "reset":
                self.reset()
            case "solution":
                self.add(self.reading.solution())
            case "quit":
                self.app.exit(0)
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
        self._when_laid_out(self._to_talk)

    def _to_talk(self) -> None:
        self._pane().scroll_to_widget(self.query_one("#talk"), top=True, animate=False)

    def _pane(self) -> Widget:
        """What scrolls: the whole page where it is one column, else its right half."""
        return self.query_one("#page" if self.is_one_column else "#right")

    def _is_running(self) -> bool:
        """Whether the step itself, or a line of the reader's, runs: not the steps before it, on the way here."""
        return self.running > 0 and self.reading.session.here == self.reading.place

    def go_on(self) -> None:
        if self.reading.waiting and self.step.code and not self.step.is_exercise:
            self.run_step(goes_on=True)
        else:
            self.action_next()

    def action_next(self) -> None:
        if not self.reading.is_last:
            self.enter(self.reading.place + 1)
        elif following := script.following(self.known, self.reading.chapter):
            self.leave_for(Reader(self.known, following, None, self.pixels))
        else:
            self.action_menu()

    def action_back(self) -> None:
        if self.reading.place:
            self.enter(self.reading.place - 1)

    def action_again(self) -> None:
        if self._is_running() or self.step.code is None or (self.step.is_exercise and self.obey_editor()):
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
            self.app.exit(130, return_code=130)

    def action_menu(self) -> None:
        self.leave_for(None)

    def leave_for(self, screen: Screen[None] | None) -> None:
        self.reading.close()
        if screen is not None:
            self.app.switch_screen(screen)
        else:
            self.app.pop_screen()  # the menu lies under it

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
