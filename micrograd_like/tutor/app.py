"""The tutor with panes: the menu, and a chapter above it. Built on Textual."""

from __future__ import annotations

from micrograd_like._extras import MissingExtraError

try:
    from textual.app import App
except ImportError as error:
    raise MissingExtraError("textual", "tutor") from error

from micrograd_like.tutor import look, progress, terminal
from micrograd_like.tutor.menu import Menu
from micrograd_like.tutor.reader import Reader
from micrograd_like.tutor.script import Chapter


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
        for theme in look.THEMES:
            self.register_theme(theme)
        look.paint(self, self.ground)
        self.push_screen(Menu(self.known, self.pixels))
        if self.chapter:
            self.push_screen(Reader(self.known, self.chapter, self.place, self.pixels))

    def action_leave(self) -> None:
        self.exit(0)


def run(known: list[Chapter], chapter: Chapter | None, place: int | None = None) -> int:
    """Show the menu, or a chapter. Returns the exit status: 130 after Ctrl-C."""
    pixels = terminal.has_pixels()
    ground = progress.ground() or ("light" if terminal.is_light() else "dark")
    status = Tutor(known, chapter, place, ground, pixels).run()
    if status == 130:
        print("You can go on here next time.")
    return status or 0
