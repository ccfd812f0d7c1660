"""The page of a language model in a real browser: its numbers are Python's, and everything in it answers."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from browser import axe, browser, opened
from compiler_programs import PICKS, random_program, samples

import micrograd_like as mg
from micrograd_like.compiler.pipeline import build, interpreted
from micrograd_like.compiler.trace import trace
from micrograd_like.player.javascript import HELPERS
from micrograd_like.player.nests import loops_source
from micrograd_like.player.ready import by_name

__all__ = ["axe", "browser"]

LETTERS = "·abcd<&"
DESKTOP = {"width": 1440, "height": 900}


def model() -> mg.GPT:
    """A small one, its weights so large that its heads make up their minds."""
    found = mg.GPT(len(LETTERS), block=6, width=8, heads=2, layers=2, rng=3)
    for p in found.parameters():
        p.data *= 6
    return found


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    page = mg.play(model(), "abca", letters=LETTERS, lr=0.1, hints=["<b>Type</b> letters."])
    return page.save(tmp_path_factory.mktemp("text") / "text.html")


@pytest.fixture
def page(browser: Any, path: Path) -> Any:
    with opened(browser, path, viewport=DESKTOP) as found:
        settled(found)
        yield found


def settled(page: Any) -> None:
    """Until what has changed is drawn."""
    page.evaluate("() => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))")


def in_python(text: str, gpt: mg.GPT, place: int | None = None) -> Any:
    tokens = [0, *map(LETTERS.index, text), 0]
    scores = gpt(tokens[:-1])
    if place is not None:
        return mg.cross_entropy(scores[place], tokens[place + 1])
    return mg.next_token_loss(scores, tokens[1:])


def assert_gradients(page: Any, loss: Any, gpt: mg.GPT) -> None:
    expected = [float(g.data) for g in mg.gradient(loss, gpt.parameters())]
    most = max(map(abs, expected))
    for mine, theirs in zip(page.evaluate("[...player.g]"), expected, strict=True):
        assert abs(mine - theirs) <= 1e-12 * most


@pytest.mark.parametrize("text", ["abca", "", "d", "dddd&", "<b<"])
def test_loss_and_every_gradient_are_pythons(page: Any, text: str) -> None:
    page.locator("#text").fill(text)
    settled(page)
    loss = in_python(text, gpt := model())
    assert page.evaluate("player.S.out[0]") == pytest.approx(loss.data, rel=1e-12)
    assert_gradients(page, loss, gpt)


def test_the_loss_of_one_place_alone_is_pythons(page: Any) -> None:
    page.locator("#tiles button").nth(2).click()
    page.locator("#only").click()
    settled(page)
    loss = in_python("abca", gpt := model(), 2)
    assert page.evaluate("player.S.out[0]") == pytest.approx(loss.data, rel=1e-12)
    assert_gradients(page, loss, gpt)
    assert [page.evaluate(f"player.back({t})") for t in (3, 4)] == [0, 0]  # what comes later cannot have mattered
    assert page.evaluate("player.back(1)") != 0


def test_what_comes_next_and_who_looks_at_whom_are_pythons(page: Any) -> None:
    gpt, tokens = model(), [0, *map(LETTERS.index, "abca")]
    for t, row in enumerate(gpt(tokens)):
        expected = [x.data for x in mg.softmax(row)]
        assert page.evaluate(f"player.shares({t})") == pytest.approx(expected, rel=1e-10)
    for layer, heads in enumerate(gpt.looks(tokens)):
        for head, rows in enumerate(heads):
            for t, shares in enumerate(rows):
                seen = page.evaluate(f"[...player.lookAt({layer}, {head}, {t})]")
                assert seen == pytest.approx([x.data for x in shares], rel=1e-10)


def test_the_gradient_back_to_a_letter_is_what_it_would_do_if_it_counted_more(page: Any) -> None:
    gpt, tokens = model(), [0, *map(LETTERS.index, "abca"), 0]

    def loss(more: dict[int, float]) -> float:
        """With the embedding of the letter at a place multiplied."""
        plain = gpt.token
        place = iter(range(5))
        try:
            gpt.token = lambda token: [x * more.get(t, 1.0) for t in [next(place)] for x in plain(token)]  # type: ignore[assignment]
            return float(mg.next_token_loss(gpt(tokens[:-1]), tokens[1:]).data)
        finally:
            gpt.token = plain

    for t in range(5):
        slope = (loss({t: 1 + 1e-5}) - loss({t: 1 - 1e-5})) / 2e-5
        assert page.evaluate(f"player.back({t})") == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_a_weight_is_dragged_in_its_table_and_everything_answers(page: Any) -> None:
    before = page.evaluate("[player.S.out[0], [...player.p]]")
    box = page.locator("#matrix").bounding_box()
    x, y = box["x"] + 22 + 3.5 * 13, box["y"] + 1.5 * 13  # row 1, number 3
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 30, y)
    page.mouse.move(x + 60, y)
    page.mouse.up()
    settled(page)
    loss, numbers = page.evaluate("[player.S.out[0], [...player.p]]")
    changed = [k for k, (a, b) in enumerate(zip(before[1], numbers, strict=True)) if a != b]
    assert changed == [8 + 3]
    assert numbers[11] - before[1][11] == pytest.approx(0.6, abs=0.02)
    gpt = model()
    gpt.parameters()[11].data = numbers[11]
    assert loss == pytest.approx(in_python("abca", gpt).data, rel=1e-12)
    assert loss != before[0]
    assert page.locator("#knobName").text_content() == "embedding of a, number 3"
    page.keyboard.press("Control+z")
    settled(page)
    assert page.evaluate("[player.S.out[0], [...player.p]]") == before


def test_a_step_is_gradient_descent_and_reset_takes_it_back(page: Any) -> None:
    gpt = model()
    in_python("abca", gpt).backward()
    mg.SGD(gpt.parameters(), lr=0.1).step()
    page.locator("#step").click()
    settled(page)
    assert page.evaluate("[...player.p]") == pytest.approx([p.data for p in gpt.parameters()], rel=1e-10, abs=1e-12)
    page.locator("#reset").click()
    settled(page)
    assert page.evaluate("[...player.p]") == [p.data for p in model().parameters()]


def test_letters_are_typed_clicked_and_left_out_where_the_model_has_none(page: Any) -> None:
    page.locator("#text").fill("aXB1b")
    settled(page)
    assert page.evaluate("player.S.text") == page.locator("#text").input_value() == "abb"
    page.locator("#next button").nth(5).click()
    settled(page)
    assert page.evaluate("player.S.text") == "abb<"
    assert page.locator("#tiles button b").all_text_contents() == ["·", "a", "b", "b", "<"]
    page.keyboard.press("ArrowLeft")
    settled(page)
    assert page.evaluate("player.S.at") == 3
    page.locator("#text").fill("abcdabcdabcd")
    settled(page)
    assert page.evaluate("player.S.text") == "abcda"  # the model's block holds no more


def test_the_table_is_for_keys_too(page: Any) -> None:
    page.locator("#group").select_option(label="blocks[1].attention.key")
    settled(page)
    page.locator("#matrix").focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "+"):
        page.keyboard.press(key)
    settled(page)
    names = [name for name, _ in model().named_parameters()]
    at = names.index("blocks[1].attention.key.weight[1][2]")
    assert page.evaluate("player.S.chosen") == at
    assert page.evaluate(f"player.p[{at}]") == pytest.approx(model().parameters()[at].data + 0.05)
    assert "key of 1, number 2" in page.locator("#matrix").get_attribute("aria-valuetext")


def test_invented_texts_are_the_same_on_every_page(browser: Any, path: Path) -> None:
    found = []
    for _ in range(2):
        with opened(browser, path) as view:
            texts = []
            for _ in range(5):
                view.locator("#invent").click()
                settled(view)
                texts.append(view.evaluate("player.S.text"))
            found.append(texts)
    assert found[0] == found[1]
    assert len(set(found[0])) > 1
    assert all(len(text) <= 5 for text in found[0])


def test_letters_and_hints_are_text_and_never_markup(page: Any) -> None:
    assert page.evaluate("document.querySelectorAll('#hints b').length") == 0
    assert page.locator("#hints").text_content() == "<b>Type</b> letters."


@pytest.mark.parametrize("width", [390, 1024, 1440])
def test_nothing_is_wider_than_the_window(browser: Any, path: Path, width: int) -> None:
    with opened(browser, path, viewport={"width": width, "height": 900}) as view:
        settled(view)
        view.locator("#group").select_option(label="blocks[0].down")
        settled(view)
        assert view.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_accessibility_audit_finds_nothing(browser: Any, path: Path, axe: str, scheme: str) -> None:
    context = browser.new_context(viewport=DESKTOP, color_scheme=scheme, bypass_csp=True)
    view = context.new_page()
    view.goto(path.as_uri())
    view.evaluate("document.getElementById('table').open = true")
    settled(view)
    view.evaluate(axe)
    violations = view.evaluate("axe.run(document, {resultTypes: ['violations']}).then((r) => r.violations)")
    context.close()
    assert [(v["id"], v["nodes"][0]["html"][:160], v["nodes"][0]["failureSummary"]) for v in violations] == []


def test_the_ready_page_is_trained_agrees_with_python_and_is_small(browser: Any, tmp_path: Path) -> None:
    pytest.importorskip("llvmlite")
    pytest.importorskip("faker")
    path = by_name("names").make().save(tmp_path / "names.html")
    assert path.stat().st_size < 250_000
    with opened(browser, path, viewport=DESKTOP) as view:
        settled(view)
        assert float(view.locator("#agrees").get_attribute("data-worst")) < 1e-9
        assert "are Python’s" in view.locator("#agrees").text_content()
        assert view.evaluate("player.forward('emma')") < 2.3 < math.log(27)
        shares = view.evaluate("player.write('q'), player.run(), player.shares(1)")
        assert max(range(27), key=shares.__getitem__) == "·abcdefghijklmnopqrstuvwxyz".index("u")


@pytest.mark.parametrize("seed", range(24))
def test_any_programs_loops_give_pythons_numbers_in_javascript(browser: Any, seed: int) -> None:
    function, parameters, size = random_program(seed)
    recorded = trace(function, parameters, {"x": (size,), "k": (PICKS,)})
    parts = build(recorded)
    (x,), (k,) = samples(random.Random(seed), size, 1)
    inputs = [*x, *k]
    numbers = [float(p.data) for p in parameters]
    loss, gradient = interpreted(parts.careful(), numbers, inputs)
    with opened(browser) as view:
        mine, slopes = view.evaluate(f"""() => {{ {HELPERS} const loops = {loops_source(parts)};
            const p = Float64Array.from({json.dumps(numbers)}), x = Float64Array.from({json.dumps(inputs)}), dp = new Float64Array(p.length);
            const loss = loops.forward(p, x)[0]; loops.backward(p, x, dp); return [loss, [...dp]]; }}""")
    most = max(map(abs, gradient))
    assert mine == pytest.approx(loss, rel=1e-12, abs=1e-300)
    assert all(abs(a - b) <= 1e-11 * most for a, b in zip(slopes, gradient, strict=True))


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda gpt: mg.play(gpt), "a GPT with a text to begin with, got NoneType"),
        (lambda gpt: mg.play(gpt, "ab", mg.mse_loss, letters=LETTERS), "a GPT with a text to begin with"),
        (lambda gpt: mg.play(gpt, "ab"), "letters as a character for each"),
        (lambda gpt: mg.play(gpt, "ab", letters="·ab"), "each of the model's 7 tokens, .*got 3"),
        (lambda gpt: mg.play(gpt, "ab", letters="·aabcde"), "expected each letter once"),
        (lambda gpt: mg.play(gpt, "xyz", letters=LETTERS), "a text of the model's letters, got 'xyz' in it"),
        (lambda gpt: mg.play(gpt, "abcabc", letters=LETTERS), "a text of at most 5 letters, got 6"),
        (lambda gpt: mg.play(gpt, "ab", letters=LETTERS, lr=-1.0), "lr"),
    ],
)
def test_what_cannot_be_played_is_refused(attempt: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        attempt(model())
