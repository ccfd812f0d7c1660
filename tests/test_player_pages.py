"""The live page in a real browser: it opens from a file, asks for nothing, and everything in it answers."""

import json
import math
import os
import random
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import graphviz
import pytest
from browser import axe, browser, opened

import micrograd_like as mg
from micrograd_like import Value
from micrograd_like.drawing.render import Drawing
from micrograd_like.player import Page, play
from micrograd_like.player.javascript import PlayError
from micrograd_like.player.ready import READY, by_name, write_all
from micrograd_like.training import evaluate

__all__ = ["axe", "browser"]

NAMES = [ready.name for ready in READY if ready.name != "names"]  # a language model: see test_player_text.py
DESKTOP = {"width": 1440, "height": 900}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All ready pages, as `make play` writes them."""
    found = tmp_path_factory.mktemp("play")
    write_all(found)
    return found


FACTS = {  # title, view, target, samples, held out, parameters' names where they are few
    "neuron": ("One neuron: numbers run forward, slopes run back", "none", "real", 1, 0, {"w1", "w2", "b"}),
    "xor": ("XOR: four neurons bend the plane", "plane", "sign", 40, 0, None),
    "moons": ("Two moons: drag any of 337 weights", "plane", "sign", 100, 50, None),
    "digits": ("Digits: draw one, and see it read", "pictures", "class", 400, 200, None),
    "bias": ("A weight tilts, a bias shifts", "line", "real", 16, 0, None),
    "bounce": ("Why a large step bounces", "none", "real", 1, 0, {"w"}),
}


@pytest.mark.parametrize("ready", READY, ids=lambda ready: ready.name)
def test_what_a_ready_page_shows(folder: Path, ready: Any) -> None:
    text = (folder / f"{ready.name}.html").read_text(encoding="utf-8")
    data = json.loads(text.split('id="data">', 1)[1].split("</script>", 1)[0])
    assert len(data["hints"]) == 3
    if ready.name in FACTS:
        *facts, names = FACTS[ready.name]
        found = data["title"], data["view"], data["target"], len(data["rows"]), len(data["heldOut"])
        assert list(found) == facts
        program = data["programs"][0]
        if names is not None:
            moving = zip(program["names"], program["spec"]["moving"], strict=True)
            assert {name for name, moves in moving if moves} == names


@pytest.mark.parametrize(
    ("loss", "targets", "kind"),
    [
        (mg.binary_cross_entropy_with_logits, (0.0, 1.0), "binary"),
        (mg.hinge_loss, (-1.0, 1.0), "sign"),
        (mg.mse_loss, (0.0, 1.0), "real"),
        (mg.mse_loss, (-1.0, 1.0), "sign"),
        (mg.l1_loss, (0.5, 2.0), "real"),
        (mg.l1_loss, (0.0, 1.0), "binary"),
    ],
)
def test_what_targets_are_is_seen_from_them_and_from_the_loss(loss: Any, targets: Any, kind: str) -> None:
    model = mg.MLP(2, [1], rng=0)
    samples = [([0.1, 0.2], targets[0]), ([0.3, 0.1], targets[1])]
    page = play(model, samples, loss, mg.SGD(model.parameters(), lr=0.1))
    data = json.loads(page.html.split('id="data">', 1)[1].split("</script>", 1)[0])
    assert data["target"] == kind


def look(page: Any, expression: str, argument: Any = None) -> Any:
    """What a JavaScript expression gives when everything has been computed."""
    page.evaluate("player.quiet()")
    return page.evaluate(expression, argument)


def wait(page: Any, condition: str) -> None:
    """Until a JavaScript condition holds; playwright's own way needs an eval, which the page's policy forbids."""
    page.evaluate(f"async () => {{ while (!({condition})) await new Promise((go) => setTimeout(go, 20)); }}")


LOSS = "player.T.lossAt(player.S.step)"
PARAMETERS = "[...player.T.at(player.S.step)]"


def spread(seed: int, n: int = 20) -> list[tuple[list[float], int]]:
    rng = random.Random(seed)
    return [([round(rng.uniform(-1, 1), 3), round(rng.uniform(-1, 1), 3)], rng.choice([-1, 1])) for _ in range(n)]


# ---------- one file that needs nothing ----------


@pytest.mark.parametrize("name", NAMES)
def test_a_ready_page_opens_from_the_file_system_and_agrees_with_python(browser: Any, folder: Path, name: str) -> None:
    with opened(browser, folder / f"{name}.html", viewport=DESKTOP) as page:
        assert look(page, "player.S.agreement") in ("bits", "digits")
        before = look(page, LOSS)
        look(page, "player.edit('w', player.S.chosen, player.T.at(0)[player.S.chosen] + 0.25)")
        assert look(page, LOSS) != before
        assert page.evaluate("document.title")


def test_pages_are_small(folder: Path) -> None:
    size = {name: (folder / f"{name}.html").stat().st_size for name in NAMES}
    assert size["moons"] <= 400_000
    assert size["digits"] <= 2_000_000


def test_the_policy_lets_nothing_in(browser: Any, folder: Path) -> None:
    text = (folder / "bounce.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert "unsafe" not in text.split('content="', 1)[1].split('"')[0]
    assert "http://" not in text.replace("http://www.w3.org/", "")
    assert "https://" not in text
    context = browser.new_context()
    page = context.new_page()
    page.goto((folder / "bounce.html").as_uri())
    blocked = page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'let through', (e) => 'blocked')")
    ran = page.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s); return window.ran; }"
    )
    context.close()
    assert (blocked, ran) == ("blocked", None)


def test_a_page_lives_in_a_notebook_s_frame(browser: Any, folder: Path, tmp_path: Path) -> None:
    x = Value(3.0, label="x")
    inside = play((x - 1) ** 2)._repr_html_()
    assert inside.startswith("<iframe srcdoc=")
    path = tmp_path / "exported.html"
    path.write_text(f"<!doctype html><title>notebook</title>{inside}", encoding="utf-8")
    with opened(browser, path) as page:
        frame = page.frames[1]
        wait(frame, "window.player")
        assert frame.evaluate("player.quiet().then(() => player.T.lossAt(0))") == 4.0


NASTY = [
    "</script><img src=x onerror=window.ran=1>",
    "<svg onload=window.ran=1>",
    "⟦data⟧${window.ran=1}`",
    "\u2028\u2029\\u003cscript>window.ran=1</script>",
    "\"'><b>x</b>&lt;",
    "-->]]></title><script>window.ran=1</script>",
]


def test_labels_are_text_and_never_markup(browser: Any, tmp_path: Path) -> None:
    rng = random.Random(0)
    signs = "<>&\"'`$\\/=(){}[];⟦⟧\u2028\u0000\u202e\ud800"
    labels = NASTY + ["".join(rng.choice(signs) for _ in range(rng.randint(1, 12))) for _ in range(1000)]
    for k in range(0, len(labels), 190):
        total: Any = Value(0.5, label=NASTY[k % len(NASTY)])
        for label in labels[k : k + 190]:
            total = total + Value(0.25, label=label)
        total.label = labels[k]
        page = play(total, title=NASTY[0], hints=[NASTY[1]])
        path = page.save(tmp_path / "nasty.html")
        with opened(browser, path) as view:
            assert look(view, "window.ran") is None
            assert view.evaluate("document.querySelectorAll('main img, main b b').length") == 0
            view.evaluate("player.next(); player.code(); player.svg();")
            assert look(view, "window.ran") is None


# ---------- gestures ----------


def test_dragging_a_weight_changes_it_and_everything_answers(browser: Any, folder: Path) -> None:
    with opened(browser, folder / "xor.html", viewport=DESKTOP) as page:
        before = look(page, PARAMETERS)
        knob = page.locator("g.w[data-p='3']").first
        box = knob.bounding_box()
        x, y = box["x"] + 20, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 10, y)
        page.mouse.move(x + 50, y)
        page.mouse.up()
        after = look(page, PARAMETERS)
        assert after[3] == pytest.approx(before[3] + 0.5, abs=1e-6)
        assert [a for i, a in enumerate(after) if i != 3] == [b for i, b in enumerate(before) if i != 3]
        assert look(page, "player.S.ghost.length") > 100
        assert len(look(page, "player.S.edits")) == 1
        page.keyboard.press("Control+z")
        assert look(page, PARAMETERS) == before
        page.keyboard.press("Control+Shift+z")
        assert look(page, PARAMETERS) == after


def test_a_number_can_be_typed(browser: Any, folder: Path) -> None:
    with opened(browser, folder / "bias.html", viewport=DESKTOP) as page:
        look(page, "0")
        page.fill("#valueBox", "-1.25")
        page.keyboard.press("Enter")
        assert look(page, PARAMETERS)[look(page, "player.S.chosen")] == -1.25
        page.fill("#lrBox", "0.45")
        page.keyboard.press("Enter")
        assert look(page, "player.T.rateAt(0)") == 0.45
        page.fill("#valueBox", "no number")
        page.keyboard.press("Enter")
        assert look(page, PARAMETERS)[look(page, "player.S.chosen")] == -1.25


def test_keys_do_everything_without_a_mouse(browser: Any, folder: Path) -> None:
    with opened(browser, folder / "xor.html", viewport=DESKTOP) as page:
        look(page, "0")
        page.keyboard.press("3")
        page.keyboard.press("ArrowRight")
        assert look(page, "player.S.step") == 1
        page.keyboard.press("1")
        page.keyboard.press("ArrowRight")
        assert look(page, "player.S.ops[player.S.op].phase") == "move"
        page.keyboard.press("Home")
        before = look(page, PARAMETERS)
        page.keyboard.press("ArrowDown")
        chosen = look(page, "player.S.chosen")
        page.keyboard.press("+")
        assert look(page, PARAMETERS)[chosen] == pytest.approx(before[chosen] + 0.05)
        page.keyboard.press("a")
        assert look(page, "player.S.rows.length") == 41
        page.keyboard.press("Delete")
        assert look(page, "player.S.rows.length") == 40
        page.keyboard.press("?")
        assert page.locator("#keys").is_visible()
        page.keyboard.press("Escape")
        page.focus("g.w[data-p='0']")
        page.keyboard.press("Shift+ArrowUp")
        assert look(page, PARAMETERS)[0] == pytest.approx(before[0] + 0.25)


def test_points_can_be_dragged_added_and_removed(browser: Any, folder: Path) -> None:
    with opened(browser, folder / "xor.html", viewport=DESKTOP) as page:
        look(page, "0")
        box = page.locator("#points").bounding_box()
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        assert look(page, "player.S.rows.length") == 41
        assert look(page, "player.S.rows[40][2]") == 1
        before = look(page, "player.S.rows[0]")
        point = page.locator("#points g.pt").first.bounding_box()
        x, y = point["x"] + point["width"] / 2, point["y"] + point["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 8, y - 8)
        page.mouse.move(x + 30, y - 20)
        page.mouse.up()
        after = look(page, "player.S.rows[0]")
        assert after[0] > before[0]
        assert after[1] > before[1]
        page.click("#remove")
        assert look(page, "player.S.rows.length") == 40


def test_a_finger_drags_too(browser: Any, folder: Path) -> None:
    with opened(
        browser, folder / "xor.html", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    ) as page:
        before = look(page, PARAMETERS)
        knob = page.locator("g.w[data-p='0']").first
        knob.scroll_into_view_if_needed()
        box = knob.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        client = page.context.new_cdp_session(page)
        client.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
        for dx in (10, 20, 40):
            client.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x + dx, "y": y}]})
            page.wait_for_timeout(50)
        client.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        assert look(page, PARAMETERS)[0] == pytest.approx(before[0] + 0.4, abs=0.02)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


# ---------- time ----------


@pytest.mark.parametrize("name", ["moons", "digits", "neuron"])
def test_back_to_the_start_and_forward_again_gives_the_same_bits(browser: Any, folder: Path, name: str) -> None:
    with opened(browser, folder / f"{name}.html", viewport=DESKTOP) as page:
        there = "player.goto(30, 0); " + PARAMETERS
        first = look(page, there)
        start = look(page, "player.goto(0, 0); " + PARAMETERS)
        assert start != first
        assert look(page, there) == first
        look(
            page,
            "player.S.gran = 'op'; for (let k = 0; k < 60; k++) player.back(); for (let k = 0; k < 60; k++) player.next();",
        )
        assert look(page, there) == first


def test_a_link_restores_the_moment_with_its_changes(browser: Any, folder: Path, tmp_path: Path) -> None:
    with opened(browser, folder / "xor.html", viewport=DESKTOP) as page:
        look(
            page,
            "player.goto(12, 3); player.edit('w', 5, 1.5); player.edit('rate', 0.7); player.edit('add', 0.1, 0.2, -1); player.goto(20, 4)",
        )
        state = look(page, f"[{PARAMETERS}, {LOSS}, player.S.rows.length, player.S.step, player.S.op]")
        link = look(page, "player.link()")
    context = browser.new_context(viewport=DESKTOP)
    page = context.new_page()
    page.goto((folder / "xor.html").as_uri() + link)
    assert look(page, f"[{PARAMETERS}, {LOSS}, player.S.rows.length, player.S.step, player.S.op]") == state
    context.close()


@pytest.mark.parametrize(
    "link", ['#step=-4&op=9999&w=abc&edits=[["w",0,99,1]]', "#edits={&variant=77", '#edits=[["x",0]]&step=1e9']
)
def test_a_broken_link_opens_the_page_all_the_same(browser: Any, folder: Path, link: str) -> None:
    with opened(browser, folder / "bounce.html", viewport=DESKTOP) as page:
        page.goto((folder / "bounce.html").as_uri() + link)
        assert math.isfinite(look(page, LOSS))


def test_a_training_that_diverges_shows_where(browser: Any, folder: Path) -> None:
    with opened(browser, folder / "bounce.html", viewport=DESKTOP) as page:
        look(page, "player.edit('rate', 1e8)")
        look(page, "player.goto(0, 0)")
        assert "no number any more from step" in page.text_content("#curve")


def test_nothing_moves_for_those_who_want_no_motion(browser: Any, folder: Path) -> None:
    with opened(browser, folder / "xor.html", viewport=DESKTOP, reduced_motion="reduce") as page:
        look(page, "player.goto(0, 2)")
        assert page.evaluate("getComputedStyle(document.querySelector('.pulse.on')).animationName") == "none"


# ---------- the same numbers as the library ----------


def test_the_page_trains_as_fit_does(browser: Any, tmp_path: Path) -> None:
    data = spread(1, 24)
    model = mg.MLP(2, [5, 1], rng=2)
    path = play(model, data, mg.hinge_loss, mg.SGD(model.parameters(), lr=0.1), batch_size=8, rng=3).save(
        tmp_path / "p.html"
    )
    with opened(browser, path) as page:
        found = look(page, "player.goto(60, 0); " + PARAMETERS)
    mg.fit(model, data, mg.hinge_loss, mg.SGD(model.parameters(), lr=0.1), 20, 8, rng=3)
    assert found == [p.data for p in model.parameters()]


@pytest.mark.parametrize(
    "make",
    [
        lambda ps: mg.SGD(ps, lr=0.05, momentum=0.9, weight_decay=0.01),
        lambda ps: mg.Adam(ps, lr=0.02),
        lambda ps: mg.SGD(ps, lr=lambda step: 0.2 / (1 + step)),
    ],
    ids=["momentum", "Adam", "schedule"],
)
def test_every_optimizer_moves_as_in_python(browser: Any, tmp_path: Path, make: Any) -> None:
    data = spread(4, 12)
    model = mg.MLP(2, [3, 1], activation="tanh", rng=5)
    path = play(model, data, mg.mse_loss, make(model.parameters())).save(tmp_path / "p.html")
    with opened(browser, path) as page:
        found = look(page, "player.goto(30, 0); " + PARAMETERS)
    mg.fit(model, data, mg.mse_loss, make(model.parameters()), 30)
    assert found == pytest.approx([p.data for p in model.parameters()], rel=1e-9)


def test_the_step_panel_says_what_explain_step_says(browser: Any, tmp_path: Path) -> None:
    data = spread(6)
    model = mg.MLP(2, [4, 3, 1], rng=7)
    path = play(model, data, mg.hinge_loss, mg.SGD(model.parameters(), lr=0.3)).save(tmp_path / "p.html")
    with opened(browser, path) as page:
        found = look(
            page,
            "[...['predicted', 'alone', 'share'].map((key) => [...player.S.report[key]]), player.S.report.residual]",
        )
        rows = page.locator("#bars .row").count()
        step = look(page, "player.S.ops.length - 1")
    total = mg.hinge_loss([model(x) for x, _ in data], [y for _, y in data])
    report = mg.explain_step(total, model, 0.3)
    scale = max(abs(report.change), abs(report.predicted))
    for k, key in enumerate(("predicted", "alone", "share")):
        expected = [getattr(entry, key) for entry in report.parameters]
        assert found[k] == pytest.approx(expected, rel=1e-9, abs=2e-9 * scale)
    assert abs(found[3]) <= 1e-9 * scale
    assert rows == 13
    assert step > 5


def test_held_out_samples_are_measured_and_never_trained_on(browser: Any, tmp_path: Path) -> None:
    data, rest = spread(8), spread(9, 10)
    model = mg.MLP(2, [4, 1], activation="tanh", rng=1)
    path = play(model, data, mg.mse_loss, mg.SGD(model.parameters(), lr=0.1), held_out=rest).save(tmp_path / "p.html")
    with opened(browser, path) as page:
        look(page, "0")
        text = page.inner_text("#score")
    _, train = evaluate(model, data, mg.mse_loss, correct=lambda out, y: (out.data > 0) == (y > 0))
    _, held = evaluate(model, rest, mg.mse_loss, correct=lambda out, y: (out.data > 0) == (y > 0))
    shown = [float(part.split("%")[0].split(":")[-1]) for part in text.split("·")]
    assert shown == [pytest.approx(100 * train, abs=0.06), pytest.approx(100 * held, abs=0.06)]


def test_the_python_code_recreates_the_state(browser: Any, folder: Path) -> None:
    for name in ("neuron", "xor"):
        with opened(browser, folder / f"{name}.html", viewport=DESKTOP) as page:
            look(page, "player.edit('w', 0, 0.75); player.goto(3, 0)")
            loss, parameters, code = look(page, f"[{LOSS}, {PARAMETERS}, player.code()]")
        shown: list[Page] = []

        def remember(self: Page, into: list[Page] = shown) -> None:
            into.append(self)

        original = Page.show
        Page.show = remember  # type: ignore[method-assign, assignment]
        try:
            exec(code, {})
        finally:
            Page.show = original  # type: ignore[method-assign]
        again = json.loads(shown[0].html.split('id="data">', 1)[1].split("</script>", 1)[0])
        assert again["checkpoints"][0]["loss"] == pytest.approx(loss, rel=1e-12)
        assert sorted(again["programs"][0]["spec"]["start"]) == pytest.approx(sorted(parameters))


# ---------- for everyone ----------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", NAMES)
def test_an_accessibility_audit_finds_nothing(browser: Any, folder: Path, axe: str, name: str, scheme: str) -> None:
    context = browser.new_context(viewport=DESKTOP, color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    page.goto((folder / f"{name}.html").as_uri())
    look(page, "player.goto(1, player.S.ops.length - 2); document.getElementById('table').open = true;")
    look(page, "0")
    page.evaluate(axe)
    violations = page.evaluate("axe.run(document, {resultTypes: ['violations']}).then((r) => r.violations)")
    context.close()
    assert [(v["id"], v["nodes"][0]["html"][:160], v["nodes"][0]["failureSummary"]) for v in violations] == []


def test_pictures_of_two_classes_are_called_by_their_names(browser: Any, tmp_path: Path) -> None:
    rng = random.Random(3)
    data = [([rng.random() for _ in range(36)], k % 2) for k in range(6)]
    model = mg.MLP(36, [4, 1], rng=1)
    optimizer = mg.SGD(model.parameters(), lr=0.1)
    loss = mg.binary_cross_entropy_with_logits
    path = play(model, data, loss, optimizer, classes=["cat", "dog"]).save(tmp_path / "p.html")
    with opened(browser, path, viewport=DESKTOP) as page:
        look(page, "0")
        out = float(model(data[0][0]).data)
        certain = 1 / (1 + math.exp(-abs(out)))
        said = f"a cat, read as {'dog' if out > 0 else 'cat'}, certain to {100 * certain:.0f} %"
        assert page.inner_text("#reads").startswith(said)
        page.click("g[data-neuron='n0.1']")
        assert look(page, "document.querySelectorAll('#neuron .weight').length") == 37
        before = look(page, PARAMETERS)
        page.focus("#neuron .weight:nth-child(3)")
        page.keyboard.press("ArrowUp")
        after = look(page, PARAMETERS)
        assert sum(a != b for a, b in zip(before, after, strict=True)) == 1
        page.mouse.move(*(page.locator("#draw").bounding_box()[key] + 60 for key in ("x", "y")))
        page.mouse.down()
        page.mouse.move(*(page.locator("#draw").bounding_box()[key] + 120 for key in ("x", "y")))
        page.mouse.up()
        look(page, "0")
        assert page.inner_text("#reads").startswith("your drawing is read as")


def test_another_rate_start_and_activation_are_compared(browser: Any, folder: Path) -> None:
    with opened(browser, folder / "xor.html", viewport=DESKTOP) as page:
        look(page, "player.goto(5, 0)")
        found = {}
        for option in page.evaluate("[...document.querySelectorAll('#compare option')].map((o) => o.value)"):
            page.select_option("#compare", option)
            if option:
                wait(page, "player.S.compare.losses.length > 200 || player.S.compare.done")
                found[option] = look(page, "player.S.compare.losses[5]")
                assert "step 5: loss" in page.inner_text("#otherText")
        assert len(found) == 9
        assert len(set(found.values())) == 9


def test_shares_are_summed_over_a_training_and_moments_compared(browser: Any, folder: Path) -> None:
    with opened(browser, folder / "xor.html", viewport=DESKTOP) as page:
        look(page, "player.goto(3, 0)")
        page.click("#mark")
        look(page, "player.goto(9, 0)")
        page.click("#whoButton")
        wait(page, "document.querySelectorAll('#who tr').length")
        rows = page.evaluate("[...document.querySelectorAll('#who tr td:nth-child(2)')].map((td) => td.textContent)")
        total = sum(float(text.replace("−", "-")) for text in rows)
        change = look(page, "player.T.lossAt(9) - player.T.lossAt(3)")
        assert total == pytest.approx(change, abs=0.01)
        assert "from step 3 to 9" in page.text_content("#sinceMark")


def test_the_picture_can_be_taken_along_as_svg(browser: Any, folder: Path) -> None:
    for name in ("neuron", "moons"):
        with opened(browser, folder / f"{name}.html", viewport=DESKTOP) as page:
            text = look(page, "player.svg()")
        root = ElementTree.fromstring(text)
        assert root.tag.endswith("svg")
        assert float(root.attrib["width"]) > 300
        assert "prefers-color-scheme" in text


class Gate(mg.Module):
    """A model that is not made of neurons: one weight scales, another is multiplied by a sigmoid of the input."""

    def __init__(self) -> None:
        self.scale = Value(0.5)
        self.gate = Value(-0.25)

    def __call__(self, x: Any) -> Any:
        return self.scale * x[0] + self.gate * mg.sigmoid(x[1]) * x[1]


def test_any_small_model_plays_number_by_number(browser: Any, tmp_path: Path) -> None:
    model = Gate()
    data = spread(5, 8)
    path = play(model, data, mg.mse_loss, mg.SGD(model.parameters(), lr=0.1)).save(tmp_path / "p.html")
    with opened(browser, path, viewport=DESKTOP) as page:
        assert look(page, "player.S.depth") == "scalars"
        assert "scale" in page.text_content("#graph")
        page.keyboard.press("ArrowRight")
        found = look(page, "player.goto(20, 0); " + PARAMETERS)
    mg.fit(model, data, mg.mse_loss, mg.SGD(model.parameters(), lr=0.1), 20)
    assert found == pytest.approx([model.scale.data, model.gate.data], rel=1e-9)


def test_a_small_network_opens_to_every_number_of_a_sample(browser: Any, folder: Path) -> None:
    with opened(browser, folder / "xor.html", viewport=DESKTOP) as page:
        boxes = look(page, "document.querySelectorAll('#graph .box').length")
        page.click("[data-depth=scalars]")
        assert look(page, "document.querySelectorAll('#graph .box').length") > 2 * boxes
        for _ in range(40):
            page.keyboard.press("ArrowRight")
        link = look(page, "player.link()")
        assert "depth=scalars" in link
        page.click("[data-depth=neurons]")
        assert look(page, "document.querySelectorAll('#graph .box').length") == boxes


# ---------- what cannot be played is refused with its reason ----------


def test_what_cannot_be_played_is_refused() -> None:
    x = Value(1.0)
    model = mg.MLP(2, [2, 1], rng=0)
    optimizer = mg.SGD(model.parameters(), lr=0.1)
    data = spread(0, 4)
    with pytest.raises(TypeError, match="got a mixture"):
        play(x * 2, data)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"a recorded loss \(a Value\) or a model"):
        play("moons")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="play\\(model, data, loss, optimizer\\)"):
        play(model, data)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="at least one"):
        play(model, [], mg.mse_loss, optimizer)
    with pytest.raises(ValueError, match="2 inputs in every sample"):
        play(model, [*data, ([1.0], 1)], mg.mse_loss, optimizer)
    with pytest.raises(ValueError, match="all of the model's parameters"):
        play(model, data, mg.mse_loss, mg.SGD(model.parameters()[:3], lr=0.1))
    with pytest.raises(ValueError, match="batch_size as a whole number"):
        play(model, data, mg.mse_loss, optimizer, batch_size=0)
    with pytest.raises(ValueError, match=r"shape \(height, width\) of 2 pixels"):
        play(model, data, mg.mse_loss, optimizer, shape=(2, 2))
    with pytest.raises(ValueError, match=r"ends in \.html"):
        play(x * 2).save("page.svg")
    long = x
    for _ in range(500):
        long = long + 1
    with pytest.raises(PlayError, match="too large to be played"):
        play(long)
    with pytest.raises(ValueError, match=r"there are: neuron, xor"):
        by_name("nothing")


def test_a_network_plays_without_graphviz(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> Any:
        raise graphviz.ExecutableNotFound(["dot"])

    monkeypatch.setattr(Drawing, "pipe", missing)
    model = mg.MLP(2, [2, 1], rng=0)
    page = play(model, spread(1, 4), mg.mse_loss, mg.SGD(model.parameters(), lr=0.1))
    assert '"graph":null' in page.html
    with pytest.raises(graphviz.ExecutableNotFound):
        play(Value(1.0) * 2)


def test_playing_changes_nothing() -> None:
    model = mg.MLP(2, [3, 1], rng=0)
    optimizer = mg.SGD(model.parameters(), lr=0.1, momentum=0.5)
    rng = random.Random(4)
    state = rng.getstate()
    before = [(p.data, p.grad, p.label) for p in model.parameters()]
    first = play(model, spread(2), mg.mse_loss, optimizer, batch_size=4, rng=rng)
    assert [(p.data, p.grad, p.label) for p in model.parameters()] == before
    assert rng.getstate() == state
    assert optimizer.steps == 0
    assert first.html == play(model, spread(2), mg.mse_loss, optimizer, batch_size=4, rng=rng).html
    x = Value(2.0, label="x")
    loss = (x * 3 - 1) ** 2
    loss.backward()
    play(loss)
    assert (x.data, x.grad, loss.data) == (2.0, 30.0, 25.0)


def test_a_page_is_saved_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = play(Value(2.0, label="x") * 3)
    path = page.save(tmp_path / "deep" / "page.html")
    before = path.read_text(encoding="utf-8")

    def fail(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        page.save(path)
    assert path.read_text(encoding="utf-8") == before
    assert [p.name for p in path.parent.iterdir()] == ["page.html"]


# ---------- the command line ----------


def test_the_command_line_lists_and_writes_pages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from micrograd_like.cli import main

    assert main(["play"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [ready.name for ready in READY]
    assert main(["play", "bou", "--save", str(tmp_path / "bounce.html")]) == 0
    assert (tmp_path / "bounce.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(SystemExit, match="2"):
        main(["play", "nothing"])
    assert (
        "no page named 'nothing'; there are: neuron, xor, moons, digits, bias, bounce, names" in capsys.readouterr().err
    )
