"""Where a chapter's code runs: a process of its own, with a checkpoint before every step.

A checkpoint is a process that sleeps. Entering a step forks: the child works, its parent waits and *is* the state before
the step. To go back, the child leaves with the number of the wanted step as its exit status; each sleeper in turn passes
it on, until the one whose state it is forks anew. Values, functions, generators, random states and modules are all as
they were, because nothing was copied or undone. Where there is no fork (Windows), the session begins a new kernel and
runs the earlier steps again.

The tutor and the kernel exchange lines of JSON over the kernel's standard input and output.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import functools
import io
import json
import os
import random
import rlcompleter
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from micrograd_like.drawing import show as pictures
from micrograd_like.tutor import characters

QUIT = 255  # an exit status that is no step's number
Names = dict[str, Any]


class Link:
    """Both ends of a conversation."""

    def __init__(self, read: Any, write: Any) -> None:
        self.read, self.write = read, write

    def send(self, *message: Any) -> None:
        self.write.write(json.dumps(message).encode() + b"\n")
        self.write.flush()

    def receive(self) -> list[Any]:
        """The next message. Raises EOFError when the other end is gone."""
        line = self.read.readline()
        if not line.endswith(b"\n"):
            raise EOFError("the other end is gone")
        return list(json.loads(line))


class _Out(io.TextIOBase):
    """A stream that sends what is printed to the tutor."""

    encoding = "utf-8"

    def __init__(self, link: Link) -> None:
        self.link = link

    def write(self, text: str) -> int:
        if text:
            with interrupts.held():
                self.link.send("out", text)
        return len(text)


class _Interrupts:
    """Ctrl-C raises KeyboardInterrupt while a cell runs; between cells it does nothing, and a message is sent whole."""

    running = sending = wanted = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.sending:
            self.wanted = True
        elif self.running:
            self.running = False
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let an interrupt wait until the message is out."""
        self.wanted, self.sending = False, True
        try:
            yield
        finally:
            self.sending = False
        if self.wanted:
            self(signal.SIGINT, None)

    def guard(self, work: Callable[[], Any], stopped: Any) -> Any:
        try:
            self.running = True
            try:
                return work()
            finally:
                self.running = False
        except KeyboardInterrupt:
            self.running = False
            return stopped


interrupts = _Interrupts()


def serve(link: Link, names: Names, forks: bool) -> None:
    """Be the state before a step, and sleep while a child works from it."""
    here = 0
    while True:
        child = _fork() if forks else 0
        if child == 0:
            try:
                wanted = work(link, names, here)
            except BaseException:  # the tutor is gone, or this program is wrong: in no case a step's number
                wanted = QUIT
            if wanted != here + 1:
                os._exit(wanted)
            here = wanted  # what was done is kept: this process becomes the state before the next step
            continue
        wanted = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if wanted < 0:  # the cell has crashed Python, or was killed: the state before it is still here
            link.send("crashed")
        elif wanted != here:
            os._exit(wanted)


def _fork() -> int:
    state = random.getstate()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # libraries may have threads of their own, all of them idle
        child = os.fork()
    random.setstate(state)  # Python gives a child new random numbers; here it must have the same
    return child


def work(link: Link, names: Names, here: int) -> int:
    """Do what is asked, until another step is entered: returns its place."""
    verbs: dict[str, Callable[..., tuple[bool, Any, str]]] = {"run": run, "check": check, "complete": complete}
    link.send("here", here, os.getpid())
    while True:
        verb, columns, *rest = link.receive()
        if verb == "enter":
            return int(rest[0])
        os.environ["COLUMNS"] = str(columns)  # the width of a page, for what prints tables
        out = _Out(link)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            done = interrupts.guard(functools.partial(verbs[verb], names, *rest), (False, "Stopped.", ""))
        link.send("done", *done)


def run(names: Names, source: str, file: str, line: int) -> tuple[bool, Any, str]:
    """Execute. (whether it went well, the value of a last expression as text or the error in a line, its traceback)"""
    try:
        tree = ast.increment_lineno(ast.parse(source, file), line - 1)
        last = tree.body[-1] if tree.body else None
        if not isinstance(last, ast.Expr):
            exec(compile(tree, file, "exec"), names)
            return True, None, ""
        exec(compile(ast.Module(tree.body[:-1], []), file, "exec"), names)
        value = eval(compile(ast.Expression(last.value), file, "eval"), names)
        return True, None if value is None else repr(value), ""
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        frames = error.__traceback__.tb_next if error.__traceback__ else None  # without this function's own
        trace = "".join(traceback.format_exception(type(error), error, frames)).rstrip()
        return False, _in_a_line(error), trace


def _in_a_line(error: BaseException) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {text.partition(chr(10))[0]}"


def check(names: Names, source: str, file: str, line: int) -> tuple[bool, list[tuple[bool, str, str]], str]:
    """Each statement by itself. An assertion is a line of the list: (whether it holds, what must hold, why it fails)."""
    found: list[tuple[bool, str, str]] = []
    for node in ast.parse(source, file).body:
        if isinstance(node, ast.Expr) and not all(holds for holds, *_ in found):
            continue  # "all of it holds" is said only if it does
        asserts = [part for part in ast.walk(node) if isinstance(part, ast.Assert)]
        words = [_words(part) for part in asserts] or [ast.unparse(node).partition("\n")[0]]
        code = compile(ast.increment_lineno(ast.Module([node], []), line - 1), file, "exec")
        try:
            exec(code, names)
        except AssertionError as error:
            found.append((False, str(error) or words[0], ""))
        except Exception as error:
            found.append((False, words[0], _in_a_line(error)))
        else:
            found += [(True, each, "") for each in words if asserts]
    return all(holds for holds, *_ in found), found, ""


def _words(claim: ast.Assert) -> str:
    return str(claim.msg.value) if isinstance(claim.msg, ast.Constant) else ast.unparse(claim.test)


def complete(names: Names, text: str) -> tuple[bool, list[str], str]:
    """The names that begin with the text, as Python's own prompt completes them."""
    completer, found = rlcompleter.Completer(names), list[str]()
    with contextlib.suppress(Exception):
        while len(found) < 50 and (word := completer.complete(text, len(found))) is not None:
            found.append(word)
    return True, [word for word in dict.fromkeys(found) if word.strip()], ""


def _watch_pictures(link: Link) -> None:
    """What `show` shows is told to the tutor, with what it says in characters and in words."""
    roots = characters.remember_graphs()

    def tell(picture: Any, name: str, path: Path) -> None:
        drawn, words = characters.of(picture, roots)
        with interrupts.held():
            link.send("picture", name, str(path.resolve()), characters.title(path), drawn, words)

    pictures.on_show = tell


def main() -> None:
    """Serve a tutor at the other end of the standard streams. The arguments: a script, and `fork` or `rerun`."""
    script, how = sys.argv[1:]
    link = Link(os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb"))
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    signal.signal(signal.SIGINT, interrupts)
    sys.argv, sys.path[0:0] = [script], [str(Path(script).parent)]
    _watch_pictures(link)
    serve(link, {"__name__": "__main__", "__file__": script, "__builtins__": builtins}, forks=how == "fork")
