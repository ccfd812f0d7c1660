"""The tutor with panes, driven by Textual's pilot: what is visible at 80 by 24 and at 120 by 40."""

from __future__ import annotations

import asyncio

import pytest
from tutor_chapter import CHAPTER, CLAIMS, COUNT, EXERCISE, MORE, RULE, WAY, write

from micrograd_like.tutor import progress, script
from micrograd_like.tutor.app import Tutor
from micrograd_like.tutor.look import INKS
from micrograd_like.tutor.menu import Menu
from micrograd_like.tutor.prompt import Prompt
from micrograd_like.tutor.reader import Reader

SIZES = [pytest.param((80, 24), id="80x24"), pytest.param((120, 40), id="120x40")]


@pytest.fixture
def known(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "10_more.py").write_text('# %% [markdown]\n"# 10. More numbers"\n# %%\nprint("the second chapter")\n')
    write(tmp_path)
    return script.chapters(tmp_path.iterdir())


class Driver:
    """A reader at the keyboard."""

    def __init__(self, pilot, app):
        self.pilot, self.app = pilot, app

    async def settle(self):
        """Until nothing runs and everything is drawn."""
        for _ in range(400):
            await self.pilot.pause(0.03)
            if not self.app.workers._workers and not getattr(self.app.screen, "tasks", []):
                break
        await self.pilot.pause(0.15)

    async def press(self, *keys):
        for key in keys:
            await self.pilot.press(key)
        await self.settle()

    async def type(self, line):
        self.app.screen.query_one("#prompt" if isinstance(self.app.screen, Reader) else "#search").value = line
        await self.press("enter")

    @property
    def screen(self):
        """The characters that are visible now, line by line."""
        lines = self.app.screen._compositor.render_strips(self.app.screen.size)
        return "\n".join("".join(segment.text for segment in strip) for strip in lines)


def drive(known, story, size=(80, 24), chapter=0, place=None, **options):
    """Run a story: a coroutine function of a Driver."""

    async def run():
        app = Tutor(known, known[chapter] if chapter is not None else None, place, **options)
        async with app.run_test(size=size) as pilot:
            driver = Driver(pilot, app)
            await driver.settle()
            await story(driver)
            if isinstance(app.screen, Reader):
                app.screen.reading.close()
        return app

    return asyncio.run(run())


def alone(folder, text):
    """A chapter of a test's own, with no other beside it."""
    return [script.read(write(folder, text))]


@pytest.mark.parametrize("size", SIZES)
def test_a_chapter_from_start_to_end(known, size):
    async def story(reader):
        assert "Small numbers" in reader.screen
        assert "1/7" in reader.screen
        assert "What the chapter needs, 5 lines" in reader.screen  # folded
        await reader.press("enter")  # has nothing to show, so the next step comes
        assert "We begin at forty." in reader.screen
        assert "counter = 40" in reader.screen
        await reader.press("enter")
        assert "the counter is 40" in reader.screen
        await reader.press("enter")
        assert "What is two more than the counter?" in reader.screen
        assert "counter += 2" not in reader.screen  # the question comes before the code that answers it
        await reader.type("7")
        for visible in ("→ Not quite: it is 42; you said 7.", "the result is 42", "folded 42", "▸ prints once more"):
            assert visible in reader.screen
        await reader.press("enter")
        await reader.type("1")
        assert "✓ Yes: up." in reader.screen
        assert "w 3 ▽4 ── loss 4 ▽1" in reader.screen
        await reader.press("enter")
        await reader.type("w.data - 0.25 * w.grad")
        assert "✓ Yes: 2." in reader.screen
        await reader.press("enter")
        assert "def double(x):" in reader.screen
        await reader.press("ctrl+r")
        assert "✗ the double of 2 is 4" in reader.screen
        assert "Not yet." in reader.screen
        reader.app.screen.query_one("#editor").text = "def double(x):\n    return x + x"
        await reader.press("ctrl+r")
        assert "✓ the double of 2 is 4" in reader.screen
        assert "Solved." in reader.screen
        await reader.press("enter")
        assert "2 claims, each checked here" in reader.screen
        await reader.press("enter")
        assert "✓ the counter is 42" in reader.screen
        assert "All of this chapter's claims hold." in reader.screen
        await reader.press("enter")
        assert "More numbers" in reader.screen

    drive(known, story, size)
    assert progress.load()["09_small"] == {
        "at": CLAIMS, "answered": {str(MORE): False, str(WAY): True, str(RULE): True}, "solved": True, "done": True,
    }  # fmt: skip


@pytest.mark.parametrize("key", ["enter", "ctrl+r"])
@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (":solution", "return 2 * x"),
        (":h", "Hint 1 of"),
        (" :?", "These are commands"),
        (":nonsense", "These are commands"),
    ],
)
def test_a_word_after_a_colon_is_a_command_in_an_exercises_editor_too(known, line, shown, key):
    async def story(reader):
        editor = reader.app.screen.query_one("#editor")
        start = editor.text
        editor.text = ""
        editor.insert(line)
        await reader.press(key)
        assert shown in reader.screen
        assert "SyntaxError" not in reader.screen
        assert editor.text == start

    drive(known, story, size=(120, 40), place=EXERCISE)


def test_code_that_has_a_colon_is_code(known):
    async def story(reader):
        editor = reader.app.screen.query_one("#editor")
        editor.text = ""
        editor.insert("def double(x):\n    return x + x")
        await reader.press("enter")
        assert "These are commands" not in reader.screen
        await reader.press("ctrl+r")
        assert "Solved." in reader.screen

    drive(known, story, size=(120, 40), place=EXERCISE)


def test_repeats_show_the_truth_and_what_was_changed(known):
    async def story(reader):
        await reader.press("enter")
        for _ in range(2):
            await reader.press("ctrl+r")
            assert "the result is 42" in reader.screen
        await reader.type("counter = 70")
        await reader.press("ctrl+r")
        assert "With your changes: counter = 70" in reader.screen
        assert "the result is 72" in reader.screen
        await reader.type(":reset")
        assert "Forgotten: counter = 70." in reader.screen
        await reader.press("enter")
        assert "the result is 42" in reader.screen

    drive(known, story, place=MORE)


def test_the_left_arrow_goes_back_in_text_and_in_state(known):
    async def story(reader):
        await reader.press("enter", "enter")
        assert "Which way" in reader.screen
        await reader.press("left")
        assert "What is two more" in reader.screen
        await reader.type("counter")
        assert "40" in reader.screen

    drive(known, story, place=MORE)


def test_python_shows_values_and_errors_in_one_line(known):
    async def story(reader):
        await reader.type("counter * 2")
        assert "› counter * 2" in reader.screen
        assert "80" in reader.screen
        await reader.type("nothing.at.all")
        assert "NameError: name 'nothing' is not defined" in reader.screen
        assert "Traceback" not in reader.screen
        prompt = reader.app.screen.query_one(Prompt)
        await reader.press("up", "up")
        assert prompt.value == "counter * 2"
        await reader.press("down")
        assert prompt.value == "nothing.at.all"
        prompt.value = "coun"
        prompt.cursor_position = 4
        await reader.press("tab")
        assert prompt.value == "counter"

    drive(known, story, place=MORE)


@pytest.mark.parametrize("size", SIZES)
def test_hints_and_the_solution_are_visible(known, size):
    async def story(reader):
        for hint in ("One line.", "Use *.", "Return 2 * x."):
            await reader.press("ctrl+t")
            assert hint in reader.screen
        await reader.press("ctrl+t")
        assert "One solution" in reader.screen
        assert "return 2 * x" in reader.screen
        await reader.press("f3")
        assert "What this chapter claims" in reader.screen

    drive(known, story, size, place=EXERCISE)


@pytest.mark.parametrize("size", SIZES)
def test_help_and_code_can_be_asked_for(known, size):
    async def story(reader):
        await reader.type(":?")
        assert "Enter goes on." in reader.screen
        assert ":again" in reader.screen
        await reader.press("enter")
        await reader.type(":code")
        assert 'print(f"folded {counter}")' in reader.screen

    drive(known, story, size, place=MORE)


def test_the_menu_lists_searches_and_goes_on(known):
    progress.save("09_small", at=WAY)

    async def story(reader):
        assert isinstance(reader.app.screen, Menu)
        for visible in ("Small numbers", "More numbers", "3 min", f"{WAY}/7", "0 of 2 chapters done"):
            assert visible in reader.screen
        await reader.type("")
        assert "Which way does it go?" in reader.screen
        await reader.press("escape")
        assert isinstance(reader.app.screen, Menu)
        reader.app.screen.query_one("#search").value = "learning rate"
        await reader.settle()
        assert "Small numbers › Counting" in reader.screen
        assert "More numbers" not in reader.screen
        await reader.press("enter")
        assert "The learning rate is 0.25." in reader.screen
        await reader.press("escape", "escape")

    assert drive(known, story, chapter=None).return_code == 0


def test_a_question_can_be_skipped_and_any_guess_at_a_choice_is_led_back(known):
    async def story(reader):
        await reader.type("sideways")
        assert "To answer, type one of: up, down." in reader.screen
        await reader.press("enter")
        assert "Not this time" not in reader.screen
        assert "way = " in reader.screen

    drive(known, story, place=WAY)


def test_ctrl_c_stops_what_runs_and_otherwise_leaves(known, tmp_path):
    text = "# %%\nimport time\nprint('begins', flush=True)\ntime.sleep(60)\n"

    async def story(reader):
        await reader.pilot.press("enter")
        for _ in range(100):
            await reader.pilot.pause(0.05)
            if "begins" in reader.screen:
                break
        await reader.press("ctrl+c")
        assert "Stopped." in reader.screen
        await reader.press("ctrl+c")

    assert drive(alone(tmp_path, text), story).return_code == 130


def test_ctrl_c_leaves_while_earlier_steps_run(known, tmp_path):
    (chapter,) = alone(tmp_path, '# %%\nimport time\ntime.sleep(60)\n# %% [markdown]\n"At once there."\n# %%\nx = 1\n')

    async def run():
        app = Tutor([chapter], chapter, 1)
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.pause(0.5)
            assert "At once there." in Driver(pilot, app).screen
            await pilot.press("ctrl+c")
        return app

    assert asyncio.run(run()).return_code == 130


def test_a_resize_keeps_everything_visible(known):
    async def story(reader):
        await reader.press("enter")
        for size in ((120, 40), (80, 24), (60, 20), (120, 40)):
            await reader.pilot.resize_terminal(*size)
            await reader.settle()
            assert "the result is 42" in reader.screen
            assert "Enter" in reader.screen

    drive(known, story, place=MORE)


def test_wide_output_is_not_squeezed_into_half_a_window(known, tmp_path):
    table = "a" + "  number" * 8

    async def story(reader):
        await reader.press("enter")
        assert table in reader.screen

    drive(alone(tmp_path, f"# %%\nprint('{table}')\n"), story, (120, 40))


def test_a_wide_graph_is_not_squeezed_either_and_a_resize_finds_the_result_again(known, tmp_path):
    chain = "".join(f"x = 2 * x\nx.label = 'number{i}'\n" for i in range(5))
    text = f"# %%\nimport micrograd_like as mg\nx = mg.Value(1.0, label='number')\n{chain}"
    text += "# more\n" * 30 + "mg.show(mg.draw_dot(x), 'chain')\n"
    graph = "number 1 ── number0 2 ── number1 4 ── number2 8 ── number3 16 ── number4 32"

    async def story(reader):
        await reader.press("enter")
        for size in ((120, 40), (80, 24), (120, 40)):
            await reader.pilot.resize_terminal(*size)
            await reader.settle()
            assert graph in reader.screen

    drive(alone(tmp_path, text), story, (120, 40))


@pytest.mark.parametrize("size", SIZES)
def test_a_cell_knows_how_wide_the_page_is(known, tmp_path, size):
    text = "# %%\nimport shutil\nprint('x' * (shutil.get_terminal_size().columns - 1) + '!')\n"

    async def story(reader):
        await reader.press("enter")
        assert "xxx!" in reader.screen.replace(" ", "")
        assert "\n!" not in reader.screen.replace(" ", "")

    drive(alone(tmp_path, text), story, size)


def test_the_menu_shows_fourteen_chapters_with_whole_titles(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    title = "Can the gradient be trusted? Let a machine look for mistakes"
    for number in range(1, 15):
        path = tmp_path / f"{number:02}_x.py"
        path.write_text(f'# %% [markdown] minutes=20\n"# {number}. {title}"\n# %%\nx = 1\n')

    async def story(reader):
        assert reader.screen.count(title) == 14
        assert "begin or go on" in reader.screen

    drive(script.chapters(tmp_path.iterdir()), story, chapter=None)


def test_light_and_dark(known):
    async def story(reader):
        assert reader.app.theme == "dark"
        await reader.type(":light")
        assert reader.app.theme == "light"
        assert progress.ground() == "light"

    drive(known, story, place=COUNT)


@pytest.mark.parametrize("ground", INKS)
def test_letters_have_contrast_on_their_ground(ground):
    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(weight * p for weight, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    ink, page = INKS[ground], {"dark": "#14171c", "light": "#ffffff"}[ground]
    for colour in (ink.quiet, ink.blue, ink.gold, ink.green, ink.red, ink.orange):
        for background in (page, ink.ground):
            low, high = sorted((luminance(colour), luminance(background)))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (colour, background)


def test_a_failing_cell_says_why_in_one_line_and_shows_where(known, tmp_path):
    async def story(reader):
        await reader.press("enter")
        assert "NameError: name 'nothing' is not defined" in reader.screen
        assert "line " in reader.screen
        await reader.press("enter")
        assert "Which way" in reader.screen

    text = CHAPTER.replace("counter += 2", "counter += nothing")
    drive(alone(tmp_path, text), story, place=MORE)
