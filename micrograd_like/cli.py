"""The command line: `micrograd-like` for the menu, `step CHAPTER`, `demo [NAME]`, `play [NAME]`."""

from __future__ import annotations

import argparse
import ast
import os
import runpy
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from micrograd_like import __version__
from micrograd_like._extras import MissingExtraError
from micrograd_like.tutor import script

DEFAULT_DEMO = "digits"


def demos() -> dict[str, Path]:
    """The demos by name: data of this package, wherever and however it is installed."""
    try:
        folder = Path(str(resources.files("micrograd_like.demos")))
    except ModuleNotFoundError:  # a checkout that is used without being installed has them beside the package
        folder = Path(__file__).parent.parent / "demos"
    return {path.stem: path for path in sorted(folder.glob("*.py")) if path.stem != "__init__"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit status: 0; 1 after an error in a demo; 2 for bad arguments; 130 after Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a console that cannot print a character gets another in its place
    try:
        status = _run(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever read the output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python's exit would complain
        return 0
    except MissingExtraError as error:
        print(f"micrograd-like: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130


def _run(arguments: Sequence[str] | None) -> int:
    parser = argparse.ArgumentParser(
        prog="micrograd-like",
        description="A scalar autograd engine made of glass. Without a command: the menu of the chapters.",
    )
    parser.add_argument("--version", action="version", version=f"micrograd-like {__version__}")
    plain = "lines of text, for screen readers and simple terminals"
    parser.add_argument("--plain", action="store_true", help=plain)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    step = commands.add_parser("step", help="step through a chapter: it asks, and answers what you type")
    step.add_argument("name", metavar="CHAPTER", nargs="?", help="its number, or a word of its name: 5, neuron")
    step.add_argument(
        "--from", dest="place", metavar="STEP", help="begin at a step: its number, or a word of its title"
    )
    step.add_argument("--plain", action="store_true", help=plain, default=argparse.SUPPRESS)
    demo = commands.add_parser("demo", help="run a demo; its own options pass through", add_help=False)
    demo.add_argument("name", nargs="?", metavar="NAME", help=f"which one ({DEFAULT_DEMO} if none is named)")
    demo.add_argument("--list", action="store_true", help="list the demos")
    play = commands.add_parser("play", help="open a live page in the browser; without a name, list them")
    play.add_argument("name", nargs="?", metavar="NAME", help="which one, or how it begins")
    play.add_argument(
        "--save", metavar="PATH", help="write it to this file instead; without a name, all into this folder"
    )
    options, rest = parser.parse_known_args(arguments)
    if options.command == "demo":
        return _demo(parser, options, rest)
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if options.command == "play":
        return _play(parser, options)
    return _tutor(parser, options)


def _tutor(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    name, word = getattr(options, "name", None), getattr(options, "place", None)
    try:
        known = script.chapters(demos().values())
        if not known:
            raise LookupError("no chapters are installed beside this package")
        chapter = script.find(known, name) if name is not None else None
        if word is not None and chapter is None:
            raise LookupError("--from needs a chapter: micrograd-like step CHAPTER --from STEP")
        place = script.find_step(chapter, word) if chapter and word is not None else None
    except (LookupError, SyntaxError) as error:
        parser.error(str(error))
    asking = sys.stdin.isatty() and sys.stdout.isatty()
    simple = sys.platform != "win32" and os.environ.get("TERM", "dumb") == "dumb"
    if options.plain or simple or not asking:
        from micrograd_like.tutor import plain

        return plain.run(known, chapter, place)
    from micrograd_like.tutor import app

    return app.run(known, chapter, place)


def _play(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    from micrograd_like.player import ready

    try:
        if options.name is None and options.save is None:
            print("\n".join(ready.listing()))
        elif options.name is None:
            print("\n".join(map(str, ready.write_all(options.save))))
        else:
            page = ready.by_name(options.name).make()
            print(page.show() if options.save is None else page.save(options.save))
    except ValueError as error:
        parser.error(str(error))
    return 0


def _demo(parser: argparse.ArgumentParser, options: argparse.Namespace, rest: Sequence[str]) -> int:
    available = demos()
    if options.list:
        width = max(map(len, available), default=0)
        for name, path in available.items():
            print(f"{name:{width}}  {_summary(path)}")
        return 0
    path = _find(parser, options.name or DEFAULT_DEMO)
    before = sys.argv, list(sys.path)
    sys.argv, sys.path[0:0] = [str(path), *rest], [str(path.parent)]
    try:
        runpy.run_path(str(path), run_name="__main__")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("micrograd_like"):
            raise
        raise MissingExtraError(error.name, "demos") from error
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
            return 1
        return stop.code or 0
    finally:
        sys.argv, sys.path[:] = before
    return 0


def _find(parser: argparse.ArgumentParser, name: str) -> Path:
    """The demo of that name, or the only one that begins with it; a chapter also by its number, or a word of its name."""
    available = demos()
    matches = [known for known in available if known == name] or [
        known for known in available if known.startswith(name)
    ]
    if not matches:
        with_number = [
            known for known in available if name.isdecimal() and known[:2].isdecimal() and int(known[:2]) == int(name)
        ]
        word = name.lower().replace(" ", "_")
        matches = with_number or [known for known in available if word in known]
    if len(matches) != 1:
        known = ", ".join(matches or available) or "none is installed"
        parser.error(f"{'several demos match' if matches else 'no demo named'} {name!r}; there are: {known}")
    return available[matches[0]]


def _summary(path: Path) -> str:
    """The first line of a script's docstring, which may be a heading."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0].lstrip("# ")
