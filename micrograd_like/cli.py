"""The command line: `micrograd-like demo [NAME]`."""

from __future__ import annotations

import argparse
import ast
import runpy
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from micrograd_like import __version__

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
    options, rest = parser.parse_known_args(arguments)
    try:
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
    name = options.name or DEFAULT_DEMO
    matches = [known for known in available if known == name] or [
        known for known in available if known.startswith(name)
    ]
    if len(matches) != 1:
        known = ", ".join(matches or available) or "none is installed"
        parser.error(f"{'several demos begin with' if matches else 'no demo named'} {name!r}; there are: {known}")
    path = available[matches[0]]
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


def _summary(path: Path) -> str:
    """The first line of a script's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
