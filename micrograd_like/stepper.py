"""A demo stepped through in the terminal, cell by cell: text, code, then (Enter) the result.

A demo is a script in the percent format: `# %%` begins a cell of code, `# %% [markdown]` a cell of text, which is one
string. A cell of text with `tags=["question"]` asks the reader to guess, before the code and its result are shown.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import io
import re
import sys
import traceback
import webbrowser
from code import InteractiveConsole
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from types import CodeType
from typing import Any, TextIO

from micrograd_like import pictures
from micrograd_like._extras import require

_MARKER = re.compile(r"^# %%(?P<header>.*)$", re.MULTILINE)
HELP = {
    "Enter": "run the code; after its result, the next step",
    "b": "back: the step before, as it was",
    "r": "repeat: run this step's code again, with what the prompt changed",
    "p": "a Python prompt among the demo's own names; Ctrl-D returns",
    "o": "open the step's pictures in the web browser",
    "q": "quit (so does Ctrl-C)",
}


@dataclass(frozen=True)
class Cell:
    """A cell of a script: its text or code, and the line of the file on which that begins."""

    kind: str  # "text", "question" or "code"
    source: str
    line: int


def cells(script: str) -> list[Cell]:
    """The cells of a script in the percent format.

    >>> [cell.kind for cell in cells('# %% [markdown]\\n"Some text."\\n# %%\\nx = 1\\n')]
    ['text', 'code']

    Raises:
        SyntaxError: a cell of text is not one string.
    """
    markers = [*_MARKER.finditer(script)]
    found = []
    for marker, following in zip_longest(markers, markers[1:]):
        body = script[marker.end() : following.start() if following else len(script)]
        source = body.strip("\n")
        line = script.count("\n", 0, marker.end()) + 1 + len(body) - len(body.lstrip("\n"))
        header = marker["header"]
        if "[markdown]" in header:
            kind = "question" if '"question"' in header else "text"
            source = _text(source, line)
        else:
            kind = "code"
        if source:
            found.append(Cell(kind, source, line))
    return found


def _text(source: str, line: int) -> str:
    tree = ast.parse(source)
    match tree.body:
        case [ast.Expr(ast.Constant(str() as text))]:
            return text.strip()
    raise SyntaxError(f"expected the cell of text at line {line} as one string, got {source[:40]!r}")


@dataclass
class Step:
    """Texts, then the code they lead to, which is missing only at a script's end; and what it has shown so far."""

    texts: list[Cell] = field(default_factory=list)
    code: Cell | None = None
    output: str | None = None  # None until it has run
    pictures: list[Path] = field(default_factory=list)

    @property
    def asks(self) -> bool:
        """Whether a question waits for the result."""
        return any(cell.kind == "question" for cell in self.texts)


def steps(script: str) -> list[Step]:
    """The cells of a script, grouped: each step ends with its code."""
    found = [Step()]
    for cell in cells(script):
        if found[-1].code is not None:
            found.append(Step())
        if cell.kind == "code":
            found[-1].code = cell
        else:
            found[-1].texts.append(cell)
    return found


class _Tee(io.TextIOBase):
    """A stream that writes what it is given, and keeps it."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.kept = io.StringIO()

    def write(self, text: str) -> int:
        self.kept.write(text)
        return self.stream.write(text)

    def flush(self) -> None:
        self.stream.flush()


class Stepper:
    """Steps through a demo. With no terminal to ask on it runs from top to bottom.

    Raises:
        ImportError: rich is not installed (the extra `demos`).
        SyntaxError: the script is not in the percent format.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.steps = steps(path.read_text(encoding="utf-8"))
        if not any(step.code for step in self.steps):
            raise SyntaxError(f"{path.name} has no cells: expected the percent format, where `# %%` begins a cell")
        self.namespace: dict[str, Any] = {"__name__": "__main__", "__file__": str(path), "__builtins__": builtins}
        self.console: Any = require("rich.console", extra="demos").Console(highlight=False)
        self.asking = sys.stdin.isatty() and sys.stdout.isatty()
        self.failed = False

    def run(self) -> int:
        """Step to the end. Returns 0; 1 if the last cell to run has failed, at which a run without questions ends."""
        place = 0
        while place < len(self.steps):
            step = self.steps[place]
            self._present(place)
            if not self.asking:
                self._execute(step)
                if self.failed:
                    break
                place += 1
                continue
            place = self._ask(place)
        if self.asking and place == len(self.steps):
            self.console.rule("the end")
        return int(self.failed)

    def _ask(self, place: int) -> int:
        """Show the step's result when the reader wants it. Returns the place of the next step; len(steps) + 1 to quit."""
        step, guess = self.steps[place], ""
        waiting = step.code is not None
        while True:
            command = self._read(place, step, waiting)
            match command.lower():
                case "":
                    if not waiting:
                        return place + 1
                    waiting = False
                    if step.asks:
                        self._show_code(step)
                    if step.output is None:
                        self._execute(step)
                    else:
                        self._replay(step)
                    if guess:
                        self.console.print(f"You said: {guess}", style="italic", markup=False)
                    if not step.output:
                        return place + 1
                case "b":
                    return max(place - 1, 0)
                case "r":
                    self._execute(step)
                    waiting = False
                case "p":
                    self._prompt()
                case "o":
                    for picture in step.pictures:
                        webbrowser.open(picture.resolve().as_uri())
                    if not step.pictures:
                        self.console.print("This step has drawn no picture (yet).")
                case "q":
                    return len(self.steps) + 1
                case _ if waiting and step.asks and command != "?":
                    guess = command
                    self.console.print("Enter shows whether that is so.", style="italic")
                case _:
                    self._help()

    def _read(self, place: int, step: Step, waiting: bool) -> str:
        """What the reader types. Ctrl-D quits."""
        hint = "your guess, then Enter" if waiting and step.asks else "Enter: run" if waiting else "Enter: next"
        self.console.print(f"[{place + 1}/{len(self.steps)}] {hint} · b r p o q ?", style="dim", markup=False)
        try:
            return input("> ").strip()
        except EOFError:
            self.console.print()
            return "q"

    def _help(self) -> None:
        table = require("rich.table", extra="demos").Table.grid(padding=(0, 2))
        for key, meaning in HELP.items():
            table.add_row(key, meaning)
        self.console.print(table)

    def _present(self, place: int) -> None:
        """A step's text and, unless a guess comes first, its code."""
        step = self.steps[place]
        markdown = require("rich.markdown", extra="demos")
        self.console.rule(f"{self.path.stem}  {place + 1}/{len(self.steps)}")
        for cell in step.texts:
            self.console.print(markdown.Markdown(cell.source))
            self.console.print()
        if not (self.asking and step.asks):
            self._show_code(step)

    def _show_code(self, step: Step) -> None:
        if step.code is not None:
            syntax = require("rich.syntax", extra="demos")
            code = syntax.Syntax(step.code.source, "python", theme="ansi_dark", word_wrap=True, padding=(0, 1))
            self.console.print(code)
            self.console.print()

    def _replay(self, step: Step) -> None:
        sys.stdout.write(step.output or "")
        self.console.print()

    def _execute(self, step: Step) -> None:
        """Run a step's code in the demo's namespace, and keep what it prints and draws."""
        if step.code is None:
            return
        tee, before = _Tee(sys.stdout), len(pictures.written)
        self.failed = False
        with contextlib.redirect_stdout(tee), _as_main(self.namespace, self.path):
            try:
                exec(_compiled(step.code, self.path), self.namespace)
            except KeyboardInterrupt:
                if not self.asking:
                    raise
                print("\nstopped: r runs it again")
            except Exception as error:
                self.failed = True
                frames = error.__traceback__.tb_next if error.__traceback__ else None  # without this function's own
                print("".join(traceback.format_exception(type(error), error, frames)), end="")
        step.output = tee.kept.getvalue()
        step.pictures = pictures.written[before:]
        self.console.print()

    def _prompt(self) -> None:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 - gives the prompt its history and its arrow keys
        banner = "Python, among the demo's own names. Ctrl-D returns to the demo."
        with _exit_that_leaves_input_open(), contextlib.suppress(SystemExit):
            InteractiveConsole(self.namespace).interact(banner=banner, exitmsg="")
        self.console.print("Back in the demo.")


def _compiled(cell: Cell, path: Path) -> CodeType:
    """A cell's code, with the file's own line numbers."""
    tree = ast.parse(cell.source)
    ast.increment_lineno(tree, cell.line - 1)
    return compile(tree, str(path), "exec")


@contextlib.contextmanager
def _exit_that_leaves_input_open() -> Iterator[None]:
    """Python's own `exit()` and `quit()` close the standard input, from which the stepper reads on."""
    own = {name: getattr(builtins, name) for name in ("exit", "quit") if hasattr(builtins, name)}
    for name in own:
        setattr(builtins, name, sys.exit)
    try:
        yield
    finally:
        for name, function in own.items():
            setattr(builtins, name, function)


@contextlib.contextmanager
def _as_main(namespace: dict[str, Any], path: Path) -> Iterator[None]:
    """While a demo runs, its arguments are none and its folder is where it imports from, as if run by Python."""
    arguments, folders = sys.argv, list(sys.path)
    sys.argv, sys.path[0:0] = [str(path)], [str(path.parent)]
    try:
        yield
    finally:
        sys.argv, sys.path[:] = arguments, folders
