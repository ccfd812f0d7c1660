"""Whatever the public API is called with, it answers with a value or with an error that says what was wrong."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import api_fuzz
import pytest
from api_fuzz import Target, World, prepared, required, run, targets

import micrograd_like as mg


def test_wrong_arguments_get_named_errors_and_change_nothing(tmp_path: Path) -> None:
    journal = tmp_path / "call"
    command = [sys.executable, api_fuzz.__file__, "--examples", "4", "--journal", str(journal)]
    paths = [str(Path(mg.__file__).parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1200)
    last = journal.read_text(encoding="utf-8")
    assert done.returncode == 0, (
        f"exit status {done.returncode}, last call {last}\n{done.stdout}\n{done.stderr[-3000:]}"
    )


def test_every_public_name_is_called() -> None:
    called = {target.name.split(".")[0] for target in targets()}
    if find_spec("torch") is None:
        called |= api_fuzz.OF_TORCH
    for name in mg.__all__:
        held = getattr(mg, name)
        if callable(held) and not (isinstance(held, type) and issubclass(held, BaseException)):
            kept = isinstance(held, type) and (name in api_fuzz.MADE or hasattr(held, "__dataclass_fields__"))
            assert name in called or kept, name


@pytest.mark.parametrize("target", targets(), ids=lambda target: target.name)
def test_every_good_argument_is_good(target: Target) -> None:
    """Or the fuzz would stop at the first argument, and never see what it does to the others."""
    if target.name.split(".")[0] == "Program":
        pytest.importorskip("llvmlite")
    world, args, options = prepared(target, dict.fromkeys(required(target), "good"))
    target.function(world, *args, **options)


def made(function: Callable[..., Any]) -> Target:
    parameters = tuple(inspect.signature(function).parameters.values())[1:]
    return Target("made", function, parameters)


def an_internal_error(world: World, x: Any) -> None:
    [][x]


def a_named_error(world: World, x: Any) -> None:
    mg.Neuron(x)


def an_error_that_comes_too_late(world: World, x: Any) -> None:
    world.parameters[0].data = 7.0
    mg.Neuron(x)


def a_call_that_never_ends(world: World, x: Any) -> None:
    while True:
        pass


@pytest.mark.parametrize(
    ("function", "found"),
    [
        (an_internal_error, "from inside: IndexError"),
        (a_named_error, None),
        (an_error_that_comes_too_late, "the parameters changed, and then: ValueError"),
        (a_call_that_never_ends, "still runs after 0.1 s"),
    ],
)
def test_the_fuzz_itself_finds(monkeypatch: pytest.MonkeyPatch, function: Any, found: str | None) -> None:
    monkeypatch.setattr(api_fuzz, "SECONDS", 0.1)
    wrong = run(made(function), {"x": "0"})
    assert wrong is None if found is None else wrong is not None and wrong.startswith(found), wrong
