"""The command line."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from tutor_chapter import write

from micrograd_like import __version__, cli
from micrograd_like.tutor import script

ROOT = Path(__file__).parent.parent


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
    assert "several demos match 'o'; there are: one, other" in capsys.readouterr().err


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


def test_without_a_command_the_menu_is_shown(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert cli.main([]) == 0
    listed = capsys.readouterr().out
    for number in range(1, 15):
        assert re.search(rf"^{number}\. .*, \d+ minutes, not begun$", listed, re.MULTILINE)


def test_a_step_needs_a_chapter_that_is_there(tmp_path, monkeypatch, capsys):
    path = write(tmp_path)
    monkeypatch.setattr(cli, "demos", lambda: {"09_small": path})
    for arguments, message in {
        ("step", "10"): "no chapter has '10' in the name; there are:\n   9  Small numbers",
        ("step", "9", "--fast"): "unrecognized arguments: --fast",
        ("step", "9", "--from", "nothing"): "no step of chapter 9 has 'nothing' in its title; there are:\n  Counting",
        ("step", "--from", "1"): "--from needs a chapter",
    }.items():
        with pytest.raises(SystemExit) as stop:
            cli.main(arguments)
        assert stop.value.code == 2
        assert message in capsys.readouterr().err
    path.write_text("print(1)\n")
    with pytest.raises(SystemExit):
        cli.main(["step", "9"])
    assert "09_small.py has no cells: expected the percent format" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("1", "01_neuron"),
        ("01", "01_neuron"),
        ("neuron", "01_neuron"),
        ("black box", "10_black_box"),
        ("13", "13_compiled"),
    ],
)
def test_chapters_are_found_by_number_and_by_word(word, name):
    assert script.find(script.chapters(cli.demos().values()), word).name == name


@pytest.mark.parametrize(
    "imports", ["import nowhere_to_be_found", "from micrograd_like._extras import require; require('nowhere', 'demos')"]
)
def test_a_missing_library_is_one_sentence_that_names_the_extra(folder, capsys, imports):
    (folder / "one.py").write_text(imports + "\n")
    assert cli.main(["demo", "one"]) == 1
    said = capsys.readouterr().err
    assert re.fullmatch(
        r"micrograd-like: this needs nowhere\w*, which is not installed: pip install 'micrograd_like\[demos\]'\n", said
    )


def test_strategies_without_hypothesis_name_their_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    monkeypatch.delitem(sys.modules, "micrograd_like.testing.strategies", raising=False)
    with pytest.raises(ImportError, match=r"this needs hypothesis.*micrograd_like\[testing\]"):
        import micrograd_like.testing.strategies  # noqa: F401


def test_the_tutor_without_textual_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "textual.app", None)  # another test may have imported it
    monkeypatch.delitem(sys.modules, "micrograd_like.tutor.app", raising=False)
    with pytest.raises(ImportError, match=r"this needs textual.*micrograd_like\[tutor\]"):
        import micrograd_like.tutor.app  # noqa: F401


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_console_that_cannot_print_a_character_gets_another(folder, encoding):
    (folder / "one.py").write_text('print("w₁·x₁ − 2 ✓")\n', encoding="utf-8")
    program = f"from micrograd_like import cli; from pathlib import Path; cli.demos = lambda: {{'one': Path({str(folder / 'one.py')!r})}}; cli.main(['demo', 'one'])"
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment, check=True)
    assert done.stderr == b""
    assert done.stdout.startswith(b"w?")


def test_whoever_has_seen_enough_of_a_list_may_close_it():
    child = subprocess.Popen(
        [sys.executable, "-m", "micrograd_like", "demo", "--list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    child.stdout.close()
    assert child.stderr.read() == b""
    child.stderr.close()
    assert child.wait() == 0


# Installed from a wheel


@pytest.fixture
def checkout(tmp_path):
    """A copy of the project, to be built from: without what was built or installed before."""
    ignored = shutil.ignore_patterns(
        ".git", ".venv", "build", "dist", "out", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis"
    )
    return shutil.copytree(ROOT, tmp_path / "source", ignore=ignored)


def test_from_a_wheel_the_demos_are_found_and_no_others(checkout, tmp_path):
    target = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(checkout)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(target), str(wheel)], check=True)
    (target / "demos").mkdir()
    (target / "demos" / "unrelated.py").write_text("raise SystemExit('the wrong demo')\n")
    environment = os.environ | {"PYTHONPATH": str(target), "XDG_DATA_HOME": str(tmp_path / "data")}

    def run(*arguments):
        command = [sys.executable, "-m", "micrograd_like", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=True).stdout

    listed = run("demo", "--list")
    assert "01_neuron" in listed
    assert "digits" in listed
    assert "unrelated" not in listed
    assert "Holds:" in run("step", "1") or "claims hold" in run("step", "1")
    program = "from micrograd_like import cli; print(cli.demos()['01_neuron'])"
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    assert found.stdout.startswith(str(target))


def test_a_source_distribution_has_what_the_tests_and_the_readme_need(checkout, tmp_path):
    command = [sys.executable, "setup.py", "-q", "sdist", "-d", str(tmp_path)]
    subprocess.run(command, cwd=checkout, check=True, capture_output=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        names = {name.partition("/")[2] for name in files.getnames()}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    linked = {link for link in re.findall(r"\]\(([\w/.-]+)\)", readme) if not link.startswith("http")}
    tests = {f"tests/{path.name}" for path in (ROOT / "tests").iterdir() if path.is_file()}
    demos = {f"demos/{path.name}" for path in (ROOT / "demos").glob("*.py")}
    assert linked | tests | demos | {"Makefile", "setup.cfg", "setup.py", "pyproject.toml"} <= names


def test_the_digits_demo_tells_its_story_and_writes_one_page(tmp_path):
    command = [sys.executable, "-m", "micrograd_like", "demo", "digits", "--classes", "3,1,8", "--epochs", "1", "--out"]
    done = subprocess.run([*command, str(tmp_path / "out")], capture_output=True, text=True, check=True, cwd=tmp_path)
    index = tmp_path / "out" / "index.html"
    lines = done.stdout.splitlines()
    assert str(index) in lines[0]
    assert len([line for line in lines if line.startswith("epoch")]) == 2
    told = [
        "gets this",
        "It reads a",
        "it gives",
        "The score of",
        "of ink in row",
        "one step",
        "Now the network reads",
        "Done in",
    ]
    places = [done.stdout.index(part) for part in told]
    assert places == sorted(places)
    difference = float(re.search(r"Where do the ([+-]\d+\.\d+) for \d come from\?", done.stdout)[1])
    neurons, pixels = done.stdout.split("come from?")[1].split("Now one step")[0].split("And which pixels?")
    for part in (
        neurons,
        pixels,
    ):  # both lists add up to the difference of the scores, and no line says what another does
        found = re.findall(r"^ *([+-]\d+\.\d\d)  (.+)$", part, re.MULTILINE)
        assert len({words for _, words in found}) == 6
        assert abs(sum(float(number) for number, _ in found) - difference) < 0.04  # each is rounded to two digits
    page = index.read_text(encoding="utf-8")
    files = re.findall(r'src="([^"]+)"', page)
    assert "live.html" in files
    assert all((tmp_path / "out" / file).stat().st_size > 1000 for file in files)
    assert "http" not in page


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"\xff\xfe\xff", "expected text in UTF-8"),
        (b"a few words", "at least 20 different words"),
    ],
)
def test_a_text_to_learn_from_that_is_none_is_refused(content, message, tmp_path, capsys):
    pytest.importorskip("numpy")
    file = tmp_path / "words.txt"
    if content is not None:
        file.write_bytes(content)
    assert cli.main(["demo", "14", "--text", str(file)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "words.txt" in error
