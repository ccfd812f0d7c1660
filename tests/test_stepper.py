"""Demos stepped through: their cells, a run without a terminal, and a reader at a real pseudo-terminal."""

from __future__ import annotations

import builtins
import os
import re
import sys

import jupytext
import pexpect
import pytest
from hypothesis import given
from hypothesis import strategies as st

from micrograd_like import cli
from micrograd_like.stepper import HELP, Stepper, cells, steps

DEMO = '''# %% [markdown]
"""
# 9. Small numbers

A text with **bold** words that is long enough to be wrapped when the window is only sixty columns wide.
"""

# %%
counter = 40

# %% [markdown] tags=["question"]
"""
> **Question.** What is two more than the counter?
"""

# %%
counter += 2
print(f"the result is {counter}")

# %%
print(f"at last {counter}, defined in {__name__}")

# %% [markdown]
"""
Nothing follows.
"""
'''


def demo(folder, text=DEMO):
    path = folder / "09_small.py"
    path.write_text(text, encoding="utf-8")
    return path


# What a script is made of


def test_cells_know_their_kind_and_line():
    found = cells(DEMO)
    assert [cell.kind for cell in found] == ["text", "code", "question", "code", "code", "text"]
    lines = DEMO.splitlines()
    for cell in found:
        if cell.kind == "code":
            assert lines[cell.line - 1] == cell.source.splitlines()[0]
    assert found[0].source.startswith("# 9. Small numbers")


def test_a_step_is_texts_and_the_code_they_lead_to():
    assert [(len(step.texts), step.code is not None, step.asks) for step in steps(DEMO)] == [
        (1, True, False),
        (1, True, True),
        (0, True, False),
        (1, False, False),
    ]


def test_an_empty_cell_is_none():
    assert [cell.source for cell in cells("# %%\n\n# %%\nx = 1\n# %%\n")] == ["x = 1"]


def test_a_text_that_is_not_one_string_is_refused_with_its_line():
    with pytest.raises(SyntaxError, match="cell of text at line 2 as one string"):
        cells("# %% [markdown]\nprint('text')\n")


LINES = st.text(st.characters(codec="utf-8", exclude_characters='\r"\\%#', exclude_categories=["C"]), max_size=20)


@given(st.lists(st.tuples(st.booleans(), st.lists(LINES, min_size=1, max_size=4)), min_size=1, max_size=6))
def test_cells_agree_with_jupytext(drawn):
    bodies = [(is_text, "\n".join(line.strip() + "." for line in body)) for is_text, body in drawn]
    script = "".join(
        f'# %% [markdown]\n"""\n{body}\n"""\n\n' if is_text else f"# %%\nx = {body!r}\n\n" for is_text, body in bodies
    )
    notebook = jupytext.reads(script, fmt="py:percent")
    kinds = {"markdown": "text", "code": "code"}
    assert [(cell.kind, cell.source) for cell in cells(script)] == [
        (kinds[cell.cell_type], cell.source.strip()) for cell in notebook.cells
    ]


# Without a terminal


def test_without_a_terminal_it_runs_through(tmp_path, capsys):
    assert Stepper(demo(tmp_path)).run() == 0
    printed = capsys.readouterr().out
    assert "the result is 42" in printed
    assert "at last 42, defined in __main__" in printed
    assert "Nothing follows." in printed
    assert "\x1b" not in printed


def test_a_failing_cell_ends_the_run_and_names_its_line(tmp_path, capsys):
    path = demo(tmp_path, DEMO.replace("counter += 2", "counter += nothing"))
    assert Stepper(path).run() == 1
    printed = capsys.readouterr().out
    line = DEMO.splitlines().index("counter += 2") + 1
    assert f'File "{path}", line {line}' in printed
    assert "NameError: name 'nothing' is not defined" in printed
    assert "stepper.py" not in printed
    assert "at last" not in printed


def test_arguments_and_import_path_are_as_before(tmp_path):
    before = list(sys.argv), list(sys.path)
    (tmp_path / "beside.py").write_text("x = 1\n")
    assert Stepper(demo(tmp_path, "# %%\nimport sys, beside\nassert len(sys.argv) == 1\n")).run() == 0
    assert (sys.argv, sys.path) == before


def test_ctrl_c_without_a_terminal_stops_it(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        Stepper(demo(tmp_path, "# %%\nraise KeyboardInterrupt\n")).run()


# A reader who types, without a terminal in between


@pytest.fixture
def type_in(tmp_path, monkeypatch, capsys):
    """Step through the demo with these answers; what was printed."""

    def typed(*answers, text=DEMO):
        left = iter(answers)

        def read(prompt=""):
            try:
                return next(left)
            except StopIteration:
                raise EOFError from None

        stepper = Stepper(demo(tmp_path, text))
        stepper.asking = True
        monkeypatch.setattr("builtins.input", read)
        status = stepper.run()
        return status, capsys.readouterr().out

    return typed


def test_enter_by_enter_to_the_end(type_in):
    status, printed = type_in("", "", "", "", "", "")
    assert status == 0
    assert printed.index("What is two more") < printed.index("the result is 42") < printed.index("at last 42")
    assert "the end" in printed


def test_a_result_waits_for_enter(type_in):
    assert "the result is 42" not in type_in("")[1]
    assert "the result is 42" in type_in("", "")[1]


def test_a_question_comes_before_the_code_that_answers_it(type_in):
    assert "counter += 2" not in type_in("")[1]
    printed = type_in("", "", "b", "b", "", "")[1]
    assert printed.index("What is two more") < printed.index("counter += 2") < printed.index("the result is 42")


def test_a_guess_is_kept_until_the_result(type_in):
    printed = type_in("", "[red]43?", "")[1]
    assert printed.index("Enter shows") < printed.index("the result is 42") < printed.index("You said: [red]43?")


def test_back_shows_and_does_not_run_again(type_in):
    printed = type_in("", "", "b", "", "", "", "")[1]
    assert printed.count("1/4") > 1
    assert printed.count("the result is 42") == 2
    assert "44" not in printed


def test_repeat_runs_again(type_in):
    printed = type_in("", "", "r", "", "")[1]
    assert "the result is 42" in printed
    assert "the result is 44" in printed
    assert "at last 44" in printed


def test_an_unknown_word_gives_the_help(type_in):
    printed = type_in("what?")[1]
    assert all(meaning in printed for meaning in HELP.values())


def test_a_question_mark_is_a_call_for_help_even_beside_a_question(type_in):
    assert HELP["b"] in type_in("", "?")[1]


def test_a_failed_cell_does_not_end_the_stepping(type_in):
    status, printed = type_in("", "", text='# %%\n1 / 0\n# %%\nprint("on")\n')
    assert "ZeroDivisionError" in printed
    status, printed = type_in("", "", "", text='# %%\n1 / 0\n# %%\nprint("on")\n')
    assert "on\n" in printed
    assert status == 0


def test_ctrl_c_stops_a_cell_alone(type_in):
    printed = type_in("", "", "", text='# %%\nraise KeyboardInterrupt\n# %%\nprint("on")\n')[1]
    assert "stopped: r runs it again" in printed
    assert "on\n" in printed


@pytest.mark.parametrize("leave", ["exit()", "quit()", None])
def test_the_prompt_shares_the_demo_s_names(type_in, leave):
    before = builtins.exit
    typed = ["", "p", "counter = 70", leave, "", ""] if leave else ["", "p", "counter = 70"]
    printed = type_in(*typed)[1]
    assert "Back in the demo." in printed
    if leave:
        assert "the result is 72" in printed
    assert builtins.exit is before


PICTURE = """# %%
from micrograd_like import show
print("drawn")
show("<svg xmlns='http://www.w3.org/2000/svg'/>", "dot")
"""


def test_pictures_are_named_and_opened(type_in, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    printed = type_in("o", "", "o", text=PICTURE)[1]
    assert "This step has drawn no picture" in printed
    assert "picture: out/pictures/dot.svg" in printed
    assert opened == [(tmp_path / "out/pictures/dot.svg").as_uri()]


# The command


def test_the_command_needs_a_known_demo_in_the_percent_format(tmp_path, monkeypatch, capsys):
    path = demo(tmp_path, "print(1)\n")
    monkeypatch.setattr(cli, "demos", lambda: {"09_small": path})
    for arguments, message in {
        ("step",): "the following arguments are required: NAME",
        ("step", "10"): "no demo named '10'; there are: 09_small",
        ("step", "09", "--fast"): "unrecognized arguments: --fast",
        ("step", "09"): "09_small.py has no cells: expected the percent format",
    }.items():
        with pytest.raises(SystemExit) as stop:
            cli.main(arguments)
        assert stop.value.code == 2
        assert message in capsys.readouterr().err


# At a real pseudo-terminal of 60 columns


def plain(text):
    """Without colours and other escapes."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


@pytest.fixture
def terminal(tmp_path):
    """A shell in a window of 60 columns that steps through chapter 1, with the terminal's settings before and after."""
    command = f'trap : INT; stty -g; "{sys.executable}" -m micrograd_like step 01; echo "status $?"; stty -g'
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    child = pexpect.spawn(
        "/bin/sh",
        ["-c", command],
        cwd=str(tmp_path),
        dimensions=(40, 60),
        encoding="utf-8",
        timeout=60,
        env=environment | {"TERM": "xterm-256color"},
    )
    yield child
    child.close(force=True)


def finish(child, status):
    """The settings of the terminal after the end are those before it."""
    child.expect(rf"status {status}\r\n")
    child.expect(pexpect.EOF)
    return child.before.strip()


def test_stepping_at_a_terminal(terminal):
    before = terminal.readline().strip()
    terminal.expect("A neuron holds a number")
    terminal.expect(r"\[1/\d+\] Enter: run")
    first_page = plain(terminal.before)
    assert max(map(len, first_page.splitlines())) <= 60
    terminal.sendline("")  # runs the imports, which print nothing: the next step comes at once
    terminal.expect(r"\[2/\d+\] Enter: run")
    terminal.sendline("")
    terminal.expect(r"\[2/\d+\] Enter: next")
    assert "y = m·x + n = 2 · 3 + (-1) = 5" in plain(terminal.before)
    terminal.sendline("b")
    terminal.expect(r"\[1/\d+\] Enter: run")
    assert "A neuron holds a number" in plain(terminal.before)
    terminal.sendline("")
    terminal.expect(r"\[2/\d+\] Enter: run")
    terminal.sendline("p")
    terminal.expect(">>> ")
    terminal.sendline("m.data = 10.0; print('m times x', (m * x).data)")
    terminal.expect("m times x 30.0")
    terminal.sendeof()
    terminal.expect(r"Back in the demo\.")
    terminal.expect(r"\[2/\d+\] Enter: run")
    terminal.sendline("q")
    assert finish(terminal, 0) == before


def test_ctrl_c_leaves_the_terminal_as_it_was(terminal):
    before = terminal.readline().strip()
    terminal.expect(r"\[1/\d+\] Enter: run")
    terminal.sendintr()
    terminal.expect("stopped")
    assert finish(terminal, 130) == before


def test_ctrl_c_in_the_prompt_stays_in_the_prompt(terminal):
    before = terminal.readline().strip()
    terminal.expect(r"\[1/\d+\] Enter: run")
    terminal.sendline("p")
    terminal.expect(">>> ")
    terminal.sendintr()
    terminal.expect("KeyboardInterrupt")
    terminal.expect(">>> ")
    terminal.sendline("exit()")
    terminal.expect(r"\[1/\d+\] Enter: run")
    terminal.sendeof()
    assert finish(terminal, 0) == before
