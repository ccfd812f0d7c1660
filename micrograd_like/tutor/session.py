"""A chapter's state, before and after each of its steps; asked of a kernel."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from micrograd_like.drawing import show as pictures
from micrograd_like.tutor.kernel import Link
from micrograd_like.tutor.script import Chapter

FORKS = hasattr(os, "fork")
# The kernel finds modules where the tutor does.
_COMMAND = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); from micrograd_like.tutor.kernel import main; main()"
)
_ASKS_ONLY = {"abs", "dir", "float", "help", "len", "list", "max", "min", "print", "repr", "round", "sorted", "str", "sum", "type"}  # fmt: skip
STOPPED, CRASHED = "Stopped.", "This code has ended Python. The state before the step is kept."
LOST = (EOFError, OSError, ValueError)  # the whole kernel has ended, or its streams are closed
Hear = Callable[[str], None]


@dataclass
class Picture:
    """What `show` has shown: a file, and what it shows in characters and in words, where there are any."""

    name: str
    path: Path
    title: str = ""
    characters: str = ""
    words: str = ""


@dataclass
class Result:
    """What came of a piece of code."""

    ok: bool = True
    output: str = ""
    value: Any = None  # a last expression's value as text; what went wrong, in a line; of checks, their list
    trace: str = ""
    pictures: list[Picture] = field(default_factory=list)

    def add(self, more: Result) -> None:
        self.ok, self.value, self.trace = more.ok, more.value, more.trace
        self.output += more.output
        self.pictures += more.pictures


@dataclass
class Entered:
    """What of the reader's own changes could be made again, and what could not."""

    made: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


class Session:
    """The names of a chapter before and after its steps.

    Args:
        chapter: whose code runs.
        forks: keep the state before each step in a sleeping process; otherwise going back runs earlier steps again.
    """

    def __init__(self, chapter: Chapter, forks: bool = FORKS) -> None:
        self.chapter, self.forks = chapter, forks
        self.typed: dict[int, list[str]] = {}  # the reader's own changes, by step
        self.solved: dict[int, str] = {}  # the reader's solutions, by step
        self.columns = shutil.get_terminal_size().columns  # how wide a page is
        self.here, self.pid = 0, 0
        self.has_run = False  # since the step was entered
        self.succeeded = self.was_stopped = False  # in that
        self.stopped_once = self.closed = False
        self.in_doubt = False  # whether an answer of the kernel may be missing, as after a Ctrl-C: it begins anew then
        self.entered = Entered()
        self.process: subprocess.Popen[bytes] | None = None  # begins when a step is entered
        self.folder = Path(tempfile.mkdtemp(prefix="micrograd-like-"))

    def _start(self) -> None:
        command = [sys.executable, "-c", _COMMAND, json.dumps(sys.path), str(self.chapter.path)]
        environment = {pictures.FOLDER: str(self.folder), **os.environ}
        self.process = subprocess.Popen(
            [*command, "fork" if self.forks else "rerun"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, start_new_session=True,
        )  # fmt: skip
        self.link = Link(self.process.stdout, self.process.stdin)
        self._arrive()

    def _wait_until_here(self) -> None:
        while True:
            kind, *rest = self.link.receive()
            if kind == "here":
                self.here, self.pid = rest
                return

    def _end(self) -> None:
        """End the kernel and its sleepers, which are its process group."""
        if self.process is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            with suppress(OSError):
                if stream:
                    stream.close()

    def close(self) -> None:
        """End the kernel and delete the pictures. Whoever waits for it hears `SessionClosedError`."""
        self.closed = True
        self._end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def stop(self) -> None:
        """Interrupt the code that runs; asked a second time, end its process: the state before the step stays."""
        if not self.pid:
            return
        hard = self.stopped_once or not hasattr(os, "killpg")
        self.stopped_once = True
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL if hard and hasattr(signal, "SIGKILL") else signal.SIGINT)

    def enter(self, place: int, hear: Hear | None = None) -> Entered:
        """Be in the state before a step, with the reader's own changes made to it. Earlier steps that have not run, run."""
        if self.process is None or self.in_doubt:
            self._again(place)
        if place < self.here or (place == self.here and self.has_run):
            self._back(place)
        self._walk(place, hear)
        return self.entered

    def _back(self, place: int) -> None:
        if self.forks:
            self._move(place)
            return
        self._again(place)

    def _again(self, place: int) -> None:
        """In a new kernel, where every earlier step runs again."""
        self.in_doubt = True
        self._end()
        self._start()
        self.in_doubt = False
        self._walk(place, None)

    def _recover(self) -> None:
        if self.in_doubt:
            self._again(self.here)

    @contextmanager
    def _talk(self) -> Iterator[None]:
        """Be in doubt until the whole of it is said and heard."""
        before, self.in_doubt = self.in_doubt, True
        yield
        self.in_doubt = before

    def _walk(self, place: int, hear: Hear | None) -> None:
        while self.here < place:
            self._complete(hear)
            self._move(self.here + 1)

    def _move(self, place: int) -> None:
        try:
            with self._talk():
                self.link.send("enter", self.columns, place)
                self._arrive()
        except LOST:
            if self.closed:
                raise SessionClosedError from None
            self._again(place)

    def _arrive(self) -> None:
        """Before a step: the reader's own changes to it are made."""
        self._wait_until_here()
        self.has_run = self.succeeded = False
        self.entered = Entered()
        for line in list(self.typed.get(self.here, ())):
            done = self._ask("run", line, "<you>", 1)
            if done.value == CRASHED:
                self.typed[self.here].remove(line)
                return
            (self.entered.made if done.ok else self.entered.left_out).append(line)

    def _complete(self, hear: Hear | None) -> None:
        """Have the step done before the next begins: with the reader's solution if it holds, else as it is written."""
        step = self.chapter.steps[self.here]
        is_done = self.has_run and (self.succeeded or not (step.is_exercise or self.was_stopped))
        if step.code is None or is_done:
            return
        self.run(self.solved.get(self.here), hear)
        if self.was_stopped:
            raise InterruptedStepError

    def run(self, solution: str | None = None, hear: Hear | None = None) -> Result:
        """Run the step, always from the state before it; a reader's solution takes the place of the chapter's."""
        if self.has_run or self.in_doubt:
            self.enter(self.here)
        step = self.chapter.steps[self.here]
        path, result = str(self.chapter.path), Result()
        with self._talk():
            self.has_run, self.succeeded = True, False
            if solution is not None:
                result.add(self._ask("run", solution, "<you>", 1, hear=hear))
            elif step.solution is not None:
                result.add(self._ask("run", step.solution.source, path, step.solution.line, hear=hear))
            for cell in (step.code, *step.folded):
                if cell is not None and result.ok:
                    verb = "check" if cell.tagged("check") or cell.tagged("claims") else "run"
                    result.add(self._ask(verb, cell.source, path, cell.line, hear=hear))
            self.succeeded, self.was_stopped = result.ok, result.value == STOPPED
        if step.is_exercise and result.ok and solution is not None:
            self.solved[self.here] = solution
        return result

    def type(self, line: str, hear: Hear | None = None) -> Result:
        """Run a line of the reader's. What may change something is kept, and made again when the step is entered again."""
        self._recover()
        with self._talk():
            result = self._ask("run", line, "<you>", 1, hear=hear)
            if result.ok and _may_change(line):
                self.typed.setdefault(self.here, []).append(line)
                self.entered.made.append(line)
        return result

    def changes(self) -> list[str]:
        """All that the reader has changed in the chapter, in the order of its steps."""
        return [line for _, lines in sorted(self.typed.items()) for line in lines]

    def forget(self) -> list[str]:
        """Forget all that the reader has changed in the chapter so far, and be before the step without it. Returns it."""
        lines = self.changes()
        place, earliest = self.here, min([self.here, *self.typed])
        self.typed.clear()
        self._back(earliest)
        self._walk(place, None)
        return lines

    def value(self, expression: str) -> Any:
        """Of an expression over the chapter's names: a number, a truth or a text; None if it has none."""
        self._recover()
        text = f"(lambda v: getattr(v, 'data', v))({expression})"
        result = self._ask("run", f"(lambda v: v if isinstance(v, (bool, str)) else float(v))({text})", "<you>", 1)
        try:
            value = ast.literal_eval(result.value) if result.ok and result.value else None
        except ValueError:  # inf and nan are no literals
            value = float(result.value) if result.value in ("inf", "-inf", "nan") else None
        return value

    def complete(self, text: str) -> list[str]:
        """The names that begin with the text."""
        self._recover()
        return list(self._ask("complete", text).value)

    def _ask(self, verb: str, *arguments: Any, hear: Hear | None = None) -> Result:
        self.stopped_once = False
        result = Result()
        try:
            with self._talk():
                self.link.send(verb, self.columns, *arguments)
                self._listen(result, hear)
            return result
        except LOST:
            if self.closed:
                raise SessionClosedError from None
            self._again(self.here)
            result.ok, result.value = False, CRASHED
            return result

    def _listen(self, result: Result, hear: Hear | None) -> Result:
        while True:
            kind, *rest = self.link.receive()
            if kind == "done":
                result.ok, result.value, result.trace = rest
                return result
            if kind == "crashed":  # the cell has taken its process along; a new one has the state before the step
                self._arrive()
                result.ok, result.value = False, CRASHED
                return result
            if kind == "here":  # it left by `os._exit`, whose status was taken for an earlier step
                place, self.here, self.pid = self.here, *rest
                self.has_run = False
                self._walk(place, hear)
                result.ok, result.value = False, CRASHED
                return result
            if kind == "out":
                result.output += rest[0]
                if hear is not None:
                    hear(rest[0])
            elif kind == "picture":
                name, path, *said = rest
                result.pictures.append(Picture(name, Path(path), *said))


class InterruptedStepError(Exception):
    """An earlier step, run on the way to a later one, was stopped."""


class SessionClosedError(Exception):
    """The session was closed while something ran."""


def _may_change(line: str) -> bool:
    for node in ast.walk(ast.parse(line)):
        if isinstance(node, ast.stmt) and not isinstance(node, ast.Expr):
            return True
        if isinstance(node, ast.NamedExpr):
            return True
        if isinstance(node, ast.Call) and not (isinstance(node.func, ast.Name) and node.func.id in _ASKS_ONLY):
            return True
    return False
