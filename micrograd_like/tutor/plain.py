"""The tutor as lines of text: for a screen reader, a pipe, a simple terminal. Nothing is drawn over.

Every line is said once, in the order in which it matters. Code is announced with its length, a picture in words, a check
as a sentence. Without a terminal to ask on, a chapter runs from top to bottom.
"""

from __future__ import annotations

import ast
import re
import shutil
import signal
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from micrograd_like.tutor import progress, script
from micrograd_like.tutor.page import Page
from micrograd_like.tutor.reading import COMMANDS, Reading, Say, pictures_of
from micrograd_like.tutor.script import Cell, Chapter
from micrograd_like.tutor.session import InterruptedStepError

NEXT_TIME = "You can go on here next time."


def words(markdown: str) -> str:
    """Text without its marks, wrapped to the terminal."""
    width = max(20, min(80, shutil.get_terminal_size().columns) - 1)
    text = re.sub(r"\*\*|(?<!\*)\*(?!\*)|`", "", markdown)
    lines: list[str] = []
    for block in re.split(r"\n{2,}", text):
        if block.startswith(("    ", "|", "```")):
            lines += block.split("\n")
        else:
            for item in re.split(r"\n(?=- |\d+\. )", block):
                indent = "  " if item.startswith("- ") else "   " if re.match(r"\d+\. ", item) else ""
                joined = " ".join(item.split())
                lines += textwrap.wrap(joined, width, subsequent_indent=indent, break_on_hyphens=False)
        lines.append("")
    return "\n".join(lines).rstrip()


def run(known: list[Chapter], chapter: Chapter | None, place: int | None = None) -> int:
    """Read chapters, from the menu or from one that is named. Returns the exit status: 130 after Ctrl-C."""
    asking = sys.stdin.isatty() and sys.stdout.isatty()
    if asking:
        with suppress(ImportError):
            import readline  # noqa: F401 - gives the prompt its history and its arrow keys
    try:
        chapter = chapter or _choose(known, asking)
        while chapter is not None:
            at = place if place is not None else progress.place(chapter.name, len(chapter.steps)) if asking else 0
            failed, following = _read(chapter, at, asking, known)
            if not asking:
                return int(failed)
            chapter, place = following, None
        return 0
    except EOFError:
        print(f"\n{NEXT_TIME}")
        return 0
    except (KeyboardInterrupt, InterruptedStepError):
        print(f"\n{NEXT_TIME}")
        return 130


def _choose(known: list[Chapter], asking: bool) -> Chapter | None:
    facts = progress.load()
    last = str(facts.get("last", {}).get("chapter", ""))
    for chapter in known:
        mine = facts.get(chapter.name, {})
        at = f"at step {progress.place(chapter.name, len(chapter.steps)) + 1} of {len(chapter.steps)}"
        state = "done" if mine.get("done") else at if mine.get("at") else "not begun"
        print(f"{chapter.number}. {chapter.title}, {chapter.minutes} minutes, {state}")
    begin = next((chapter for chapter in known if chapter.name == last), known[0])
    while asking:
        line = input(f"A number, or a word to look for (Enter: chapter {begin.number}; :quit): ").strip()
        if line in (":q", ":quit"):
            return None
        if not line:
            return begin
        try:
            return script.find(known, line)
        except LookupError:
            for chapter, place in script.search(known, line):
                print(f"{chapter.number}. {chapter.title}: {chapter.steps[place].title}")
    return None


def _read(chapter: Chapter, place: int, asking: bool, known: list[Chapter]) -> tuple[bool, Chapter | None]:
    """To the chapter's end. (whether a step has failed, the chapter to go on with)"""
    reading = Reading(chapter, place, keeps=asking)
    page = Page(reading.session.folder)
    _complete_with(reading)
    try:
        with _ctrl_c_stops(reading):
            _tell(reading.catch_up())
        while True:
            _present(reading)
            if not asking:
                said = reading.run() if reading.step.code else []
                _tell(said)
                failed = any(each.kind == "error" or (each.kind == "checks" and each.right is False) for each in said)
                if failed or reading.is_last:
                    return failed, None
                _tell(reading.go(reading.place + 1))
                continue
            target = _ask(reading, page)
            if target == "menu":
                return False, _choose(known, asking)
            if target == "next":
                following = script.following(known, chapter)
                if following is None:
                    print("\nThat was the last chapter.")
                return False, following
    finally:
        reading.close()


def _ask(reading: Reading, page: Page) -> str:
    """Until the reader goes to another page: `step`, `menu`, or `next` for the next chapter."""
    while True:
        kind, line = reading.meaning(input(_prompt(reading)))
        with _ctrl_c_stops(reading):
            match kind:
                case "go" if reading.waiting and reading.step.code and not reading.step.is_exercise:
                    said = reading.run()
                    if reading.is_silent(said) and not reading.is_last:
                        _tell(reading.go(reading.place + 1))
                        return "step"
                case "go" if reading.is_last:
                    return "next"
                case "go":
                    _tell(reading.go(reading.place + 1))
                    return "step"
                case "guess":
                    said = reading.run(guess=line)
                case "python" if reading.step.is_exercise and reading.waiting and not _is_expression(line):
                    said = reading.run(solution="\n".join([line, *iter(lambda: input("... ").rstrip(), "")]))
                case "python":
                    said = reading.type(line)
                case "back":
                    _tell(reading.go(max(0, reading.place - 1)))
                    return "step"
                case "again" if not reading.step.is_exercise:
                    said = reading.run()
                case "reset" | "hint" | "solution":
                    said = {"reset": reading.reset, "hint": reading.hint, "solution": reading.solution}[kind]()
                case "code":
                    _show_code(*(cell for cell in (reading.step.code, *reading.step.folded) if cell is not None))
                    continue
                case "pictures":
                    opened = page.open()
                    print(f"{'Opened' if opened else 'No browser here; the page is'} {page.file}")
                    continue
                case "menu":
                    return "menu"
                case "quit":
                    raise EOFError
                case _:
                    print("Enter goes on. What you type is a guess or Python. Commands, or their first letters:")
                    print(
                        "\n".join(
                            f"  :{name}  {meaning}"
                            for name, meaning in COMMANDS.items()
                            if name not in ("light", "dark")
                        )
                    )
                    continue
        _tell(said)
        page.tell(pictures_of(said))


def _prompt(reading: Reading) -> str:
    step = reading.step
    if step.is_exercise and reading.waiting:
        return "Your code, ended by an empty line; :hint; Enter skips it: "
    if reading.waiting and step.question:
        return "Your guess: "
    if reading.waiting and step.code:
        return "Enter: run. Python: "
    return "Enter: next chapter. Python: " if reading.is_last else "Enter: next. Python: "


def _present(reading: Reading) -> None:
    """A step's text, then its question, its task or its code."""
    chapter, step = reading.chapter, reading.step
    print(
        f"\nChapter {chapter.number}, step {reading.place + 1} of {len(chapter.steps)}: {step.title or chapter.title}\n"
    )
    if step.text:
        print(words(step.text))
    if step.question:
        print("\nQuestion. " + words(step.question.text))
        if step.question.choices:
            print("Choices: " + ", ".join(step.question.choices))
    elif step.is_exercise:
        print(f"\nBegin with:\n{step.start.rstrip()}" if step.start else "")
    elif step.code:
        if step.code.tagged("fold") or step.is_claims:
            print(f"\nFolded: {step.code.title or 'what was claimed'}, {_length(step.code)}. :code shows it.")
        else:
            _show_code(step.code)


def _show_code(*cells: Cell) -> None:
    for cell in cells:
        print(f"\nCode, {_length(cell)}:\n{cell.source}\nEnd of code.")


def _length(cell: Cell) -> str:
    count = cell.source.count("\n") + 1
    return f"{count} line{'s' if count > 1 else ''}"


def _tell(said: list[Say]) -> None:
    for each in said:
        match each.kind:
            case "checks":
                for holds, claim, why in each.what:
                    print(f"{'Holds' if holds else 'Does not hold'}: {claim}{f' ({why})' if why else ''}")
            case "picture":
                about = f": {each.what.title}" if each.what.title else ""
                kind = "Live page" if each.what.path.suffix == ".html" else "Picture"
                print(f"{kind} {each.what.name}{about}\n  file: {each.what.path}")
                if each.what.words:
                    print(textwrap.indent(each.what.words, "  "))
            case "hint":
                print(f"{each.what[0]}: {words(each.what[1])}")
            case "code":
                print("\n".join(each.what))
            case "you" | "error" if each.kind == "you" or any(other.kind == "trace" for other in said):
                pass  # the terminal has shown what was typed, and a traceback ends with its error
            case _:
                print(each.what)


def _is_expression(line: str) -> bool:
    try:
        ast.parse(line, mode="eval")
    except SyntaxError:
        return False
    return True


@contextmanager
def _ctrl_c_stops(reading: Reading) -> Iterator[None]:
    """Ctrl-C stops the code that runs, not the tutor."""
    try:
        before = signal.signal(signal.SIGINT, lambda *_: reading.session.stop())
    except ValueError:  # not in the main thread, which is where signals arrive
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _complete_with(reading: Reading) -> None:
    """Tab completes names of the chapter."""
    with suppress(ImportError):
        import readline

        found: list[str] = []

        def complete(text: str, state: int) -> str | None:
            if state == 0:
                found[:] = reading.complete(text)
            return found[state] if state < len(found) else None

        readline.set_completer(complete)
        readline.set_completer_delims(" \t\n`~!@#$%^&*()-=+[{]}\\|;:'\",<>/?")
        readline.parse_and_bind("tab: complete")
