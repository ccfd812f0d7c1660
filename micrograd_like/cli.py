"""The command line: `micrograd-like demo [NAME]`, `micrograd-like step [NAME]`."""

from __future__ import annotations

import argparse
import ast
import runpy
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from micrograd_like import __version__
from micrograd_like.stepper import Stepper

DEFAULT_DEMO = "digits"


def demos() -> dict[str, Path]:
    """The demos by name: those of the checkout this package lies in, else the installed ones."""
    folders = [Path(__file__).parent.parent / "demos", Path(sysconfig.get_path("data")) / "share/micrograd_like/demos"]
    folder = next((folder for folder in folders if folder.is_dir()), folders[0])
    return {path.stem: path for path in sorted(folder.glob("*.py"))}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status: 0, 2 for bad arguments, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="micrograd-like", description="A scalar autograd engine made of glass.")
    parser.add_argument("--version", action="version", version=f"micrograd-like {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    demo = commands.add_parser("demo", help="run a demo; its own options pass through", add_help=False)
    demo.add_argument("name", nargs="?", metavar="NAME", help=f"which one ({DEFAULT_DEMO} if none is named)")
    demo.add_argument("--list", action="store_true", help="list the demos")
    step = commands.add_parser("step", help="step through a demo in the terminal, with questions and a Python prompt")
    step.add_argument("name", metavar="NAME", help="which one, or how it begins: 01")
    options, rest = parser.parse_known_args(arguments)
    try:
        if options.command == "step":
            return _step(parser, options, rest)
        return _demo(parser, options, rest)
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130


def _demo(parser: argparse.ArgumentParser, options: argparse.Namespace, rest: Sequence[str]) -> int:
    available = demos()
    if options.list:
        width = max(map(len, available), default=0)
        for name, path in available.items():
            print(f"{name:{width}}  {_summary(path)}")
        return 0
    path = _find(parser, options.name or DEFAULT_DEMO)
    before = sys.argv
    sys.argv = [str(path), *rest]
    try:
        runpy.run_path(str(path), run_name="__main__")
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
            return 1
        return stop.code or 0
    finally:
        sys.argv = before
    return 0


def _step(parser: argparse.ArgumentParser, options: argparse.Namespace, rest: Sequence[str]) -> int:
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    path = _find(parser, options.name)
    try:
        return Stepper(path).run()
    except SyntaxError as error:
        parser.error(str(error))


def _find(parser: argparse.ArgumentParser, name: str) -> Path:
    """The demo of that name, or the only one that begins with it."""
    available = demos()
    matches = [known for known in available if known == name] or [
        known for known in available if known.startswith(name)
    ]
    if len(matches) != 1:
        known = ", ".join(matches or available) or "none is installed"
        parser.error(f"{'several demos begin with' if matches else 'no demo named'} {name!r}; there are: {known}")
    return available[matches[0]]


def _summary(path: Path) -> str:
    """The first line of a script's docstring, which may be a heading."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0].lstrip("# ")
