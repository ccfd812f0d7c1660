"""The tutor at a real pseudo-terminal: in panes and as plain lines; and without one."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pexpect
import pytest
from tutor_chapter import CHAPTER, write

PROGRAM = (
    "import sys; from pathlib import Path; from micrograd_like import cli; path = Path(sys.argv.pop(1)); "
    "cli.demos = lambda: {'09_small': path}; sys.exit(cli.main(sys.argv[1:]))"
)


@pytest.fixture
def environment(tmp_path):
    kept = {
        name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR", "DISPLAY")
    }
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    return kept | {"TERM": "xterm-256color", "XDG_DATA_HOME": str(tmp_path / "data"), "PYTHONPATH": paths}


@pytest.fixture
def terminal(tmp_path, environment):
    """Start the command in a shell of so many columns, with the terminal's settings before and after."""
    children = []

    def start(*arguments, columns=80, lines=24, text=CHAPTER, **extra):
        words = " ".join(f"'{word}'" for word in (sys.executable, "-c", PROGRAM, write(tmp_path, text), *arguments))
        words = words.replace(f"'{PROGRAM}'", '"$PROGRAM"')
        child = pexpect.spawn(
            "/bin/sh", ["-c", f'trap : INT; stty -g; {words}; echo "status $?"; stty -g'],
            cwd=str(tmp_path), dimensions=(lines, columns), encoding="utf-8", timeout=60,
            env=environment | {"PROGRAM": PROGRAM} | extra,
        )  # fmt: skip
        children.append(child)
        return child, child.readline().strip()

    yield start
    for child in children:
        child.close(force=True)


def finish(child, status):
    """The settings of the terminal after the end are those before it; the alternate screen and the cursor are as before."""
    child.expect(rf"status {status}\r\n")
    sent = child.before
    child.expect(pexpect.EOF)
    return child.before.strip(), sent


def shown(child, text):
    child.expect(re.escape(text))


def test_ctrl_c_leaves_the_terminal_as_it_was(terminal):
    child, before = terminal("step", "9")
    shown(child, "Enter")
    child.sendintr()
    after, sent = finish(child, 130)
    assert after == before
    assert "\x1b[?1049l" in sent  # the alternate screen is left
    assert "\x1b[?25h" in sent  # and the cursor is there again
    assert "You can go on here next time." in sent


def test_ctrl_c_while_a_cell_trains_stops_the_cell_alone(terminal):
    text = "# %%\nimport time\nprint('be' + 'gins')\ntime.sleep(100)\n# %%\nprint('second')\n"
    child, before = terminal("step", "9", text=text)
    shown(child, "run")
    child.send("\r")
    shown(child, "begins")
    child.sendintr()
    shown(child, "Stopped.")
    child.sendintr()
    assert finish(child, 130)[0] == before


def test_resumed_at_a_later_step_a_single_ctrl_c_leaves(terminal):
    child, before = terminal(
        "step", "9", "--from", "7", text=CHAPTER.replace("counter = 40", "import time; time.sleep(30); counter = 40")
    )
    shown(child, "the steps before this one run")
    child.sendintr()
    assert finish(child, 130)[0] == before


def test_without_colour_no_colour_is_sent(terminal):
    child, _ = terminal("step", "9", "--from", "3", NO_COLOR="1", COLORTERM="truecolor")
    shown(child, "What is two more")
    child.send("\r")
    shown(child, "the result is 42")
    child.sendintr()
    _, sent = finish(child, 130)
    for red, green, blue in re.findall(r"[34]8;2;(\d+);(\d+);(\d+)", sent):
        assert red == green == blue


def test_a_terminal_that_is_light_gets_dark_letters(terminal):
    child, _ = terminal("step", "9", COLORFGBG="0;15", COLORTERM="truecolor")
    shown(child, "48;2;255;255;255")
    child.sendintr()
    finish(child, 130)


# As plain lines


def test_plain_lines_from_start_to_end(terminal):
    child, before = terminal("step", "9", "--plain", columns=60)
    shown(child, "Chapter 9, step 1 of 7: Small numbers")
    shown(child, "Folded: What the chapter needs, 5 lines. :code shows it.")
    shown(child, "Enter: run. Python: ")
    assert max(map(len, child.before.splitlines())) <= 60
    child.sendline("")
    shown(child, "Code, 3 lines:\r\ncounter = 40")
    child.sendline("")
    shown(child, "the counter is 40")
    child.sendline("")
    shown(child, "Question. What is two more than the counter?")
    shown(child, "Your guess: ")
    child.sendline("7")
    shown(child, "Not quite: it is 42; you said 7.\r\nthe result is 42")
    child.sendline("counter = 1")
    shown(child, ":reset forgets it.")
    child.sendline(":again")
    shown(child, "With your changes: counter = 1\r\nthe result is 3")
    child.sendline(":reset")
    shown(child, "Forgotten: counter = 1.")
    child.sendline("counter")
    shown(child, "40")
    child.sendline("counter +")
    shown(child, "SyntaxError: ")
    child.sendline("")
    shown(child, "the result is 42")
    child.sendline(":back")
    shown(child, "step 2 of 7: Counting")
    child.sendline(":quit")
    assert finish(child, 0)[0] == before
    child, _ = terminal("step", "9", "--plain")
    shown(child, "step 2 of 7")
    shown(child, "Enter: run. Python: ")  # readline misses a signal that comes while it begins
    child.sendintr()
    finish(child, 130)


def test_pictures_and_exercises_in_words(terminal):
    child, _ = terminal("step", "9", "--plain", "--from", "4")
    shown(child, "Choices: up, down")
    child.sendline("do")
    shown(child, "Not this time: it is up; you said down.")
    shown(child, "Picture 09_small")
    shown(child, "w is 3, gradient 4\r\n  loss is 4, gradient 1, from w")
    child.sendline("")
    child.sendline("")
    child.sendline("")
    shown(child, "Begin with:\r\ndef double(x):")
    child.sendline(":hint")
    shown(child, "Hint 1 of 3: One line.")
    child.sendline("def double(x):")
    child.sendline("    return 3 * x")
    child.sendline("")
    shown(child, "Does not hold: the double of 2 is 4")
    child.sendline("def double(x):")
    child.sendline("    return x + x")
    child.sendline("")
    shown(child, "Holds: it holds for small numbers")
    shown(child, "Solved.")
    child.sendline("")
    child.sendline("")
    shown(child, "Holds: the counter is 42")
    child.sendeof()
    finish(child, 0)


def test_the_plain_menu(terminal):
    child, _ = terminal("--plain")
    shown(child, "9. Small numbers, 3 minutes, not begun")
    child.sendline("forty")
    shown(child, "9. Small numbers: Counting")
    child.sendline("small")
    shown(child, "step 1 of 7")
    child.sendline(":menu")
    shown(child, "A number, or a word")
    child.sendline(":quit")
    finish(child, 0)


def test_a_simple_terminal_gets_plain_lines(terminal):
    child, _ = terminal("step", "9", TERM="dumb")
    shown(child, "Enter: run. Python: ")
    child.sendintr()
    finish(child, 130)


# Without a terminal


def run(tmp_path, environment, *arguments, text=CHAPTER):
    command = [sys.executable, "-c", PROGRAM, str(write(tmp_path, text)), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL, cwd=tmp_path
    )


def test_without_a_terminal_a_chapter_runs_through(tmp_path, environment):
    done = run(tmp_path, environment, "step", "9")
    assert (done.returncode, done.stderr) == (0, "")
    for said in ("the result is 42", "Holds: the double of 2 is 4", "Holds: the counter is 42", "claims hold."):
        assert said in done.stdout
    assert "\x1b" not in done.stdout
    assert not (tmp_path / "data").exists()  # nobody has read it, so no progress is kept


def test_without_a_terminal_a_failing_cell_ends_the_run_and_names_its_line(tmp_path, environment):
    done = run(tmp_path, environment, "step", "9", text=CHAPTER.replace("counter += 2", "counter += nothing"))
    assert done.returncode == 1
    line = CHAPTER.splitlines().index("counter += 2") + 1
    assert f'09_small.py", line {line}' in done.stdout
    assert done.stdout.count("NameError: name 'nothing' is not defined") == 1
    assert "Which way" not in done.stdout


def test_whoever_has_seen_enough_of_the_output_may_close_it(tmp_path, environment):
    command = [sys.executable, "-c", PROGRAM, str(write(tmp_path)), "step", "9"]
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, stdin=subprocess.DEVNULL
    )
    assert child.stdout.readline() == b"\n"
    child.stdout.close()
    assert child.stderr.read() == b""
    child.stderr.close()
    assert child.wait() == 0
