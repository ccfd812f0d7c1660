"""The command line."""

from __future__ import annotations

import subprocess
import sys

import pytest

from micrograd_like import __version__, cli


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "one.py").write_text('"""The first.\n\nMore."""\nimport sys\nprint("one", *sys.argv[1:])\n')
    (tmp_path / "other.py").write_text("import sys\nsys.exit(sys.argv[1] if len(sys.argv) > 1 else 3)\n")
    (tmp_path / "stopped.py").write_text("raise KeyboardInterrupt\n")
    monkeypatch.setattr(cli, "demos", lambda: {path.stem: path for path in sorted(tmp_path.glob("*.py"))})
    return tmp_path


def test_a_demo_runs_with_its_own_options(folder, capsys):
    before = list(sys.argv)
    assert cli.main(["demo", "one", "--classes", "all", "-x"]) == 0
    assert capsys.readouterr().out == "one --classes all -x\n"
    assert sys.argv == before


def test_a_demo_is_found_by_how_it_begins(folder, capsys):
    assert cli.main(["demo", "on"]) == 0
    with pytest.raises(SystemExit):
        cli.main(["demo", "o"])
    assert "several demos begin with 'o'; there are: one, other" in capsys.readouterr().err


def test_the_list_says_what_each_is_about(folder, capsys):
    assert cli.main(["demo", "--list"]) == 0
    assert capsys.readouterr().out == "one      The first.\nother    \nstopped  \n"


def test_an_unknown_demo_is_refused_with_those_that_are_known(folder, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["demo", "nothing"])
    assert stop.value.code == 2
    assert "no demo named 'nothing'; there are: one, other, stopped" in capsys.readouterr().err


def test_a_demo_s_exit_status_is_passed_on(folder, capsys):
    assert cli.main(["demo", "other"]) == 3
    assert cli.main(["demo", "other", "went wrong"]) == 1
    assert capsys.readouterr().err == "went wrong\n"


def test_ctrl_c_stops_cleanly(folder, capsys):
    assert cli.main(["demo", "stopped"]) == 130
    assert capsys.readouterr().err == "\nstopped\n"


def test_python_m_is_the_same_command():
    run = [sys.executable, "-m", "micrograd_like", "--version"]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == f"micrograd-like {__version__}\n"


def test_the_default_demo_is_there():
    assert cli.DEFAULT_DEMO in cli.demos()


def test_without_a_command_the_usage_is_shown(capsys):
    with pytest.raises(SystemExit):
        cli.main([])
    assert "usage: micrograd-like" in capsys.readouterr().err
