"""Pictures shown where their reader is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from micrograd_like import Value, draw_dot, play, show
from micrograd_like.drawing import show as pictures
from micrograd_like.drawing.show import FOLDER, to_svg, written

SVG = '<svg xmlns="http://www.w3.org/2000/svg"/>'


class Report:
    def to_svg(self):
        return SVG


@pytest.fixture(autouse=True)
def at_home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(FOLDER, raising=False)


def figure():
    pytest.importorskip("matplotlib").use("svg")
    from matplotlib.figure import Figure

    drawn = Figure()
    drawn.subplots().plot([1, 2, 4])
    return drawn


def test_a_picture_is_written_and_named(tmp_path, capsys):
    show(SVG, "one-2.x")
    assert (tmp_path / "out/pictures/one-2.x.svg").read_text() == SVG
    assert capsys.readouterr().out == "picture: out/pictures/one-2.x.svg\n"
    assert written[-1].samefile(tmp_path / "out/pictures/one-2.x.svg")


def test_the_folder_can_be_chosen(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path / "else" / "where"))
    show(Report(), "one")
    assert (tmp_path / "else/where/one.svg").read_text() == SVG


def test_each_kind_of_picture_has_an_svg():
    assert to_svg(SVG) == to_svg(Report()) == SVG
    assert "<svg" in to_svg(draw_dot(Value(1.0, label="x") * 2))
    assert "<svg" in to_svg(figure())


def test_a_figure_gives_the_same_bytes_each_time():
    assert to_svg(figure()) == to_svg(figure())
    assert "<dc:date>" not in to_svg(figure())


@pytest.mark.parametrize("picture", [None, 3, "text", b"<svg/>", Value(1.0)])
def test_what_is_no_picture_is_refused(picture, tmp_path):
    with pytest.raises(TypeError, match="expected a drawing, a report, a figure or an SVG text to show"):
        show(picture, "one")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["", "../up", "/top", ".hidden", "a/b", "a b"])
def test_what_is_no_file_name_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match="expected a name for a file"):
        show(SVG, name)
    assert not (tmp_path / "out").exists()


def test_in_a_notebook_it_is_an_output(monkeypatch, tmp_path, capsys):
    import IPython
    import IPython.display

    outputs = []
    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace(kernel="a kernel"))
    monkeypatch.setattr(IPython.display, "display", outputs.append)
    show(SVG, "one")
    assert [output.data for output in outputs] == [SVG]
    assert not (tmp_path / "out").exists()
    monkeypatch.setenv(FOLDER, str(tmp_path))
    show(SVG, "one")
    assert (tmp_path / "one.svg").exists()
    assert capsys.readouterr().out == ""


def test_matplotlib_is_not_needed_for_a_drawing():
    code = "import sys, micrograd_like as mg; mg.show(mg.draw_dot(mg.Value(1.0)), 'x'); assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_live_page_is_written_as_a_page(tmp_path, capsys):
    w = Value(2.0, label="w")
    show(play((w - 1.0) ** 2), "live")
    assert capsys.readouterr().out == f"live page: {Path('out/pictures/live.html')}\n"
    assert (tmp_path / "out/pictures/live.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_whoever_shows_pictures_is_told_instead_of_the_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    told = []
    monkeypatch.setattr(pictures, "on_show", lambda *what: told.append(what))
    show("<svg/>", "one")
    assert told == [("<svg/>", "one", tmp_path / "one.svg")]
    assert capsys.readouterr().out == ""
