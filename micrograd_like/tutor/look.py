"""How the tutor looks: its colours on a light and on a dark ground, and everything that is said, as Rich draws it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.markdown import Markdown
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text
from rich.theme import Theme as RichTheme
from textual.app import App
from textual.theme import Theme

from micrograd_like.tutor.reading import Say
from micrograd_like.tutor.script import Question, Step


@dataclass(frozen=True)
class Ink:
    """Colours of letters on one of the two grounds; each has a contrast of at least 4.5 on it and on panels."""

    page: str
    letters: str
    quiet: str
    line: str
    blue: str
    gold: str
    green: str
    red: str
    orange: str
    code: str  # the name of a style of Pygments
    ground: str  # of panels


INKS = {
    "dark": Ink("#14171c", "#d7dce4", "#8f98a8", "#4a5364", "#8ab4f8", "#f5c26b", "#8fd19e", "#f28b82", "#f5a25b",
                "nord-darker", "#1c2027"),
    "light": Ink("#ffffff", "#1d2127", "#5a6372", "#b8c0cc", "#1a57b5", "#7d5200", "#1c6e36", "#b3261e", "#a04b00",
                 "friendly", "#f1f3f6"),
}  # fmt: skip
THEMES = [
    Theme(name, primary=ink.blue, secondary=ink.gold, success=ink.green, warning=ink.gold, error=ink.red,
          background=ink.page, surface=ink.page, panel=ink.ground, foreground=ink.letters, dark=name == "dark")
    for name, ink in INKS.items()
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


def paint(app: App[int], ground: str) -> None:
    """Put an app on a light or a dark ground."""
    ink = INKS[ground]
    styles = {"markdown.code": f"bold {ink.blue}", "markdown.item.bullet": ink.quiet, "markdown.h2": "bold"}
    app.console.push_theme(RichTheme(styles))
    app.theme = ground


def question(asked: Question, ink: Ink) -> RenderableType:
    rows: list[RenderableType] = [Markdown(asked.text)]
    if asked.choices:
        choices = "   ".join(f"{i} {choice}" for i, choice in enumerate(asked.choices, 1))
        rows += [Text(), Text(choices, style=f"bold {ink.gold}")]
    return Group(*rows)


def code(step: Step, ink: Ink, unfolded: bool) -> list[RenderableType]:
    """What a step runs, its plumbing as a line for each cell unless unfolded."""
    if step.code is None or step.is_exercise:
        return []
    if unfolded:
        return [syntax(cell.source, ink) for cell in (step.code, *step.folded)]
    parts: list[RenderableType] = []
    if step.is_claims:
        count = len(re.findall(r"^\s*assert ", step.code.source, re.MULTILINE))
        parts.append(Text(f"▸ {count} claims, each checked here (:code shows how)", style=ink.quiet))
    elif step.code.tagged("fold"):
        lines = step.code.source.count("\n") + 1
        parts.append(Text(f"▸ {step.code.title or 'plumbing'}, {lines} lines (:code shows them)", style=ink.quiet))
    else:
        parts.append(syntax(step.code.source, ink))
    return parts + [Text(f"▸ {cell.title or 'plumbing'} (:code shows it)", style=ink.quiet) for cell in step.folded]


def syntax(source: str, ink: Ink) -> RenderableType:
    return Syntax(source, "python", theme=ink.code, word_wrap=True, background_color=ink.ground, padding=(0, 1))


def characters(drawn: str, ink: Ink) -> Text:
    """A picture in characters, with its lines grey and its gradients in the colours of the drawings."""
    text = Text(drawn, no_wrap=True)
    text.highlight_regex(r"[─┬┴┼┤┘┐│└]+", ink.quiet)
    text.highlight_regex(r"[▘▝▀▖▌▞▛▗▚▐▜▄▙▟█]+", ink.blue)
    text.highlight_regex(r"▽−[\d.e+−]+", ink.blue)
    text.highlight_regex(r"▽[\d.e+]+", ink.orange)
    text.highlight_regex(r"[A-Za-z_]\w*(?= −?\d)", "bold")
    return text


def rendered(said: list[Say], ink: Ink) -> list[RenderableType]:
    """What is said, except the pictures."""
    return [each for each in (_rendered(say, ink) for say in said) if each is not None]


def _rendered(say: Say, ink: Ink) -> RenderableType | None:
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
            return Group(Text(title, style=f"bold {ink.gold}"), syntax(source, ink))
        case "you":
            return Text(f"› {say.what}", style=ink.blue)
        case "note":
            return Text(say.what, style=ink.quiet)
    return None
