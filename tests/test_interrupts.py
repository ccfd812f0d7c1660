"""Ctrl-C anywhere: a sample of the places that `make hunt` tries, and the search itself held to a step that is torn."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from interrupts import CASES, check, interrupted

from micrograd_like import SGD, Value, optim
from micrograd_like.caller import PACKAGE

SAMPLE = 24


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # a file that was opened, and not yet in its block
@pytest.mark.parametrize("name", CASES)
def test_an_interrupt_anywhere_leaves_old_or_new_and_a_library_that_works(name: str) -> None:
    count = check(CASES[name], lambda size: range(0, size, max(size // SAMPLE, 1)))
    assert count >= SAMPLE


def torn() -> None:
    """An assignment as it must not be: one after the other."""
    code = "def assign(*changes):\n for several, name, new in changes:\n  for x, y in zip(several, new):\n   setattr(x, name, y)"
    space: dict[str, object] = {}
    exec(compile(code, PACKAGE + "torn.py", "exec"), space)
    optim.assign = space["assign"]  # type: ignore[assignment]


@pytest.mark.parametrize("name", ["SGD.step", "SGD.zero_grad", "compiled sgd"])
def test_an_assignment_that_can_be_torn_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optim, "assign", optim.assign)  # set back after the test
    torn()
    with pytest.raises(AssertionError, match=r"interrupted at instruction \d+ of \d+"):
        check(CASES[name], lambda size: range(size - 1, -1, -1))


def test_every_instruction_is_reached_once() -> None:
    def call() -> None:
        SGD([Value(1.0)], lr=0.1).step()

    size = interrupted(call, None, everywhere=True)
    assert size > 100
    assert [interrupted(call, at, everywhere=True) for at in (0, 1, size - 1, size)] == [0, 1, size - 1, size]
    assert 0 < interrupted(call, None, everywhere=False) < size


def test_ctrl_c_is_heard_where_a_script_has_started_the_tests_in_its_background() -> None:
    child = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); import conftest; signal.raise_signal(signal.SIGINT)"
    done = subprocess.run([sys.executable, "-c", child], cwd=Path(__file__).parent, capture_output=True, text=True)
    assert done.stderr.endswith("KeyboardInterrupt\n")
