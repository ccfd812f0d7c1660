"""Several states of one graph in one layout: as pictures of their own, and as one that moves by CSS alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from test_drawing_layout import Page

from micrograd_like import MLP, SGD, Value, draw_dot, draw_frames
from micrograd_like.drawing import Drawing
from micrograd_like.drawing.style import PAGE_WIDTH, SMALLEST

SVG = "{http://www.w3.org/2000/svg}"
DOCS = Path(__file__).parent.parent / "docs"


def states(depth=None, steps=1, **options):
    """Forward, backward, the step, and forward again, of a small network."""
    model = MLP(2, [2, 1], activation="tanh", rng=1)
    optimizer = SGD(model.parameters(), lr=0.1)
    found = []

    def forward():
        loss = (model([1.0, -0.5]) - 0.5) ** 2
        loss.label = "loss"
        found.append(draw_dot(loss, depth=depth, **options))
        return loss

    loss = forward()
    for _ in range(steps):
        loss.backward()
        found.append(draw_dot(loss, depth=depth, **options))
        optimizer.step()
        found.append(draw_dot(loss, depth=depth, **options))
        optimizer.zero_grad()
        loss = forward()
    return found


def seen_without_motion(svg):
    """The texts of what has no class that hides it."""
    hidden = set()
    for element in svg.iter():
        if "o0" in element.get("class", "").split():
            hidden.update(element.iter())
    return ["".join(e.itertext()) for e in svg.iter(f"{SVG}text") if e not in hidden]


@pytest.mark.parametrize("depth", [None, "neurons", "layers"])
class TestOneLayout:
    def test_every_box_and_edge_is_where_it_is_in_the_others(self, depth):
        pages = [Page(drawing.to_svg()) for drawing in draw_frames(states(depth))]
        assert len(pages) == 4
        for page in pages[1:]:
            assert page.boxes == pages[0].boxes
            assert page.edges == pages[0].edges

    def test_each_frame_is_a_drawing(self, depth):
        frames = draw_frames(states(depth))
        assert all(isinstance(drawing, Drawing) for drawing in frames)
        assert [drawing.source.count(" -> ") for drawing in frames[:2]] == [frames[0].source.count(" -> ")] * 2

    def test_the_moving_picture_is_small_and_plays_without_a_script(self, depth):
        text = draw_frames(states(depth)).to_svg()
        assert len(text.encode()) < 60_000
        svg = ElementTree.fromstring(text)
        assert {element.tag.removeprefix(SVG) for element in svg.iter()} <= {
            "svg", "g", "title", "desc", "style", "text", "tspan", "rect", "path"
        }  # fmt: skip
        assert "prefers-reduced-motion" in text
        assert set(re.findall(r"@keyframes (\w+)", text)) == {
            name for e in svg.iter() for name in e.get("class", "").split() if re.fullmatch(r"m[0-9a-f]{6}k\d+", name)
        }

    def test_without_motion_it_is_the_picture_that_shows_most(self, depth):
        drawings = states(depth)
        seen = seen_without_motion(ElementTree.fromstring(draw_frames(drawings).to_svg()))
        still = ElementTree.fromstring(draw_frames(drawings)[1].to_svg())
        assert {"".join(e.itertext()) for e in still.iter(f"{SVG}text")} <= set(seen)
        assert "What each number does to the loss" in seen
        assert not any("forward" in text for text in seen)


def test_it_says_what_happened():
    frames = draw_frames(states("neurons", steps=2))
    assert [caption.split(":")[0] for caption in frames.captions] == [
        "1 · forward", "2 · backward", "3 · step", "4 · forward again", "5 · backward", "6 · step", "7 · forward again"
    ]  # fmt: skip
    assert re.fullmatch(r"4 · forward again: the loss falls from \S+ to \S+", frames.captions[3])
    assert draw_frames(states()[:2], captions=["one", "two"]).captions == ["one", "two"]


def test_every_form_of_a_number_is_in_the_moving_picture():
    drawings = states("neurons")
    texts = set(re.findall(r">([^<>\n]+)</text>", draw_frames(drawings).to_svg()))
    for drawing in drawings:
        assert set(re.findall(r">([^<>\n]+)</text>", drawing.to_svg())) - texts <= {"no gradient yet"}


def test_one_state_is_a_film_too():
    x = Value(2.0, label="x")
    frames = draw_frames([draw_dot(x * x)])
    ElementTree.fromstring(frames.to_svg())
    assert frames._repr_svg_() == frames.to_svg()


def test_saving_follows_the_suffix(tmp_path):
    frames = draw_frames(states())
    assert frames.save(tmp_path / "new" / "a.svg") == str(tmp_path / "new" / "a.svg")
    assert (tmp_path / "new" / "a.svg").read_text(encoding="utf-8") == frames.to_svg()
    with pytest.raises(ValueError, match=r"expected a name that ends in \.svg"):
        frames.save(tmp_path / "a.gif")


def test_what_are_no_states_is_named():
    x = Value(2.0, label="x")
    drawing = draw_dot(x * x)
    with pytest.raises(ValueError, match="expected states as a list of at least one drawing"):
        draw_frames([])
    with pytest.raises(ValueError, match="expected states as a list of at least one drawing"):
        draw_frames(drawing)
    with pytest.raises(TypeError, match=r"expected drawings of draw_dot, states\[1\] is Value"):
        draw_frames([drawing, x])
    with pytest.raises(ValueError, match="expected a caption for each of 1 states, got 2"):
        draw_frames([drawing], captions=["a", "b"])
    with pytest.raises(ValueError, match=r"states\[1\] shows another graph than states\[0\]"):
        draw_frames([drawing, draw_dot(x + x + x)])


def test_names_are_text_also_in_motion():
    x = Value(2.0, label="<script>alert(1)</script>")
    frames = draw_frames([draw_dot(x * 2.0)], captions=["</style><script>"])
    assert not any("script" in element.tag for element in ElementTree.fromstring(frames.to_svg()).iter())


def test_the_readmes_first_picture_is_what_the_library_draws(tmp_path):
    made = tmp_path / "hero.svg"
    subprocess.run([sys.executable, DOCS / "hero.py", made], env={**os.environ, "PATH": ""}, check=True)
    assert made.read_bytes() == (DOCS / "hero.svg").read_bytes()
    assert Page(made.read_text(encoding="utf-8")).width <= PAGE_WIDTH * 12 / SMALLEST
