"""A chapter's state: every step starts from the state before it, in sleeping processes and by running again alike."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest
from tutor_chapter import CHAPTER, CLAIMS, COUNT, EXERCISE, MORE, RULE, WAY, write

from micrograd_like.tutor import script
from micrograd_like.tutor.reading import Reading
from micrograd_like.tutor.session import CRASHED, STOPPED, InterruptedStepError, Session, SessionClosedError

WAYS = [
    pytest.param(True, id="fork", marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")),
    pytest.param(False, id="rerun"),
]


@pytest.fixture(params=WAYS)
def session(tmp_path, request):
    found = Session(script.read(write(tmp_path)), forks=request.param)
    yield found
    found.close()


def test_repeating_a_step_starts_from_the_state_before_it(session):
    session.enter(MORE)
    assert [session.run().output for _ in range(3)] == ["the result is 42\nfolded 42\n"] * 3


def test_going_back_restores_the_state(session):
    session.enter(CLAIMS)
    assert session.value("w.data") == 2.0
    session.enter(RULE)
    assert session.value("w.data") == 3.0
    session.enter(COUNT)
    assert "NameError" in session.type("counter").value
    session.enter(CLAIMS)
    assert session.run().ok


def test_random_numbers_repeat_exactly(session):
    session.enter(MORE)
    first = session.value("drawn"), session.value("random.random()")
    session.enter(COUNT)
    session.run()
    session.enter(MORE)
    assert (session.value("drawn"), session.value("random.random()")) == first


def test_generators_class_attributes_and_closures_are_as_they_were(tmp_path):
    text = "# %%\nclass A:\n    n = 0\ng = iter(range(9))\ncount = [0]\n# %%\nA.n += 1\ncount[0] += next(g) + 1\nprint(A.n, count[0])\n"
    for forks in (True, False):
        session = Session(script.read(write(tmp_path, text)), forks)
        session.enter(1)
        assert [session.run().output for _ in range(3)] == ["1 1\n"] * 3
        session.close()


def test_the_reader_s_changes_are_made_again_and_can_be_forgotten(session):
    session.enter(MORE)
    assert session.type("counter").value == "40"
    assert session.type("counter = 70").ok
    assert session.run().output.startswith("the result is 72")
    entered = session.enter(MORE)
    assert (entered.made, entered.left_out) == (["counter = 70"], [])
    assert session.run().output.startswith("the result is 72")
    session.enter(COUNT)
    session.enter(CLAIMS)
    assert not session.run().ok
    assert session.forget() == ["counter = 70"]
    assert session.here == CLAIMS
    assert session.run().ok


def test_a_change_is_made_once_however_often_the_step_is_asked_for(session):
    session.enter(MORE)
    session.type("counter += 1")
    session.enter(MORE)
    assert session.value("counter") == 41
    session.run()
    session.enter(MORE)
    assert session.value("counter") == 41


def test_a_change_that_needs_later_names_is_left_out(session):
    session.enter(COUNT)
    session.run()
    session.type("counter = counter + 1")
    entered = session.enter(COUNT)
    assert (entered.made, entered.left_out) == ([], ["counter = counter + 1"])


def test_questions_to_python_are_no_changes(session):
    session.enter(RULE)
    for line in ("w.data", "print(w.grad)", "len([1, 2])", "1 / 0", "nothing"):
        session.type(line)
    assert session.changes() == []


def test_errors_come_in_a_line_and_with_the_file_s_own_line(tmp_path):
    path = write(tmp_path, CHAPTER.replace("counter += 2", "counter += nothing"))
    session = Session(script.read(path))
    session.enter(MORE)
    result = session.run()
    session.close()
    assert result.value == "NameError: name 'nothing' is not defined"
    assert f'File "{path}", line {CHAPTER.splitlines().index("counter += 2") + 1}' in result.trace
    assert "kernel.py" not in result.trace


def test_an_exercise_is_checked_by_running(session):
    session.enter(EXERCISE)
    wrong = session.run("def double(x):\n    return 4")
    assert not wrong.ok
    assert [(holds, words) for holds, words, _ in wrong.value] == [
        (True, "the double of 2 is 4"),
        (False, "the double of 0 is 0"),
        (False, "it holds for small numbers"),
    ]
    assert "SyntaxError" in session.run("def double(x: return").value
    assert session.run("double = lambda x: x + x").ok


def test_past_an_unsolved_exercise_the_chapter_s_solution_holds(session):
    session.enter(EXERCISE)
    session.run("def double(x):\n    return 4")
    session.enter(CLAIMS)
    assert session.value("double(4)") == 8


def test_a_reader_s_solution_is_kept(session):
    session.enter(EXERCISE)
    assert session.run("def double(x):\n    return x + x  # mine\nmine = True").ok
    session.enter(COUNT)
    session.enter(CLAIMS)
    assert session.value("mine") is True


def test_a_cell_that_ends_python_loses_nothing(session):
    session.enter(MORE)
    for line in (
        "import os; os._exit(1)",
        "import os; os._exit(200)",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    ):
        assert session.type(line).value == CRASHED
        assert session.here == MORE
        assert session.value("counter") == 40
    assert "SystemExit" in session.type("exit()").value


def _stop_soon(session, times=1):
    def stop():
        for _ in range(times):
            time.sleep(0.3)
            session.stop()

    thread = threading.Thread(target=stop)
    thread.start()
    return thread


def test_a_running_cell_is_stopped_and_nothing_else(session):
    session.enter(MORE)
    thread = _stop_soon(session)
    assert session.type("import time; time.sleep(60)").value == STOPPED
    thread.join()
    assert session.run().output.startswith("the result is 42")


def test_a_cell_that_will_not_stop_is_ended_the_second_time(session):
    session.enter(MORE)
    stubborn = "import time\nwhile True:\n    try:\n        time.sleep(60)\n    except KeyboardInterrupt:\n        pass"
    thread = _stop_soon(session, times=2)
    assert session.type(stubborn).value == CRASHED
    thread.join()
    assert session.value("counter") == 40


def test_an_interrupt_between_cells_does_nothing(session):
    session.enter(MORE)
    for _ in range(20):
        session.stopped_once = False
        session.stop()
    assert session.value("counter") == 40


def test_interrupts_at_any_moment_leave_the_session_usable(session):
    """A storm of interrupts while short cells run: each ends or is stopped, and messages stay whole."""
    session.enter(MORE)
    done = threading.Event()

    def storm():
        while not done.wait(0.002):
            session.stopped_once = False
            session.stop()

    thread = threading.Thread(target=storm)
    thread.start()
    outcomes = {session.type("for i in range(300): print(i)").value for _ in range(40)}
    done.set()
    thread.join()
    assert outcomes <= {None, STOPPED}
    session.forget()
    assert session.run().output.startswith("the result is 42")


def test_an_earlier_step_that_is_stopped_on_the_way_is_run_the_next_time(tmp_path):
    path = write(tmp_path, "# %%\nimport time\ntime.sleep(0.8)\nx = 1\n# %%\nprint(x)\n")
    session = Session(script.read(path))
    session.enter(0)
    thread = _stop_soon(session)
    with pytest.raises(InterruptedStepError):
        session.enter(1)
    thread.join()
    session.enter(1)
    assert session.run().output == "1\n"
    session.close()


def test_closing_ends_every_process_and_deletes_the_pictures(session):
    session.enter(CLAIMS)
    pids = [session.pid, session.process.pid]
    assert any(session.folder.iterdir())
    session.close()
    assert not session.folder.exists()
    for _ in range(1000):  # who is killed is gone a moment later
        if not any(map(_alive, pids)):
            break
        time.sleep(0.01)
    assert not any(map(_alive, pids))
    with pytest.raises(SessionClosedError):
        session.type("1")


def test_when_the_tutor_dies_its_kernel_and_the_sleepers_end(tmp_path):
    path = write(tmp_path)
    program = (
        "import sys, os, signal\nfrom pathlib import Path\nfrom micrograd_like.tutor import script\n"
        "from micrograd_like.tutor.session import Session\n"
        f"s = Session(script.read(Path({str(path)!r})))\ns.enter({MORE})\n"
        "print(s.process.pid, s.pid, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    pids = [int(word) for word in run.stdout.split()]
    assert len(pids) == 2
    for _ in range(100):
        if not any(_alive(pid) for pid in pids):
            return
        time.sleep(0.05)
    pytest.fail("a kernel outlived its tutor")


def _alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
    except OSError:
        return False


def test_what_the_reader_types_is_completed(session):
    session.enter(RULE)
    assert "counter" in session.complete("cou")
    assert "w.data" in session.complete("w.da")
    assert session.complete("nothing.") == []


def test_pictures_are_told_with_characters_and_words(session):
    session.enter(WAY)
    (picture,) = session.run().pictures
    assert picture.path.read_text().startswith("<?xml") or "<svg" in picture.path.read_text()
    assert "w 3 ▽4 ── loss 4 ▽1" in picture.characters
    assert picture.words == "w is 3, gradient 4\nloss is 4, gradient 1, from w"


# What a reader's line means


@pytest.fixture
def reading(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    found = Reading(script.read(write(tmp_path)))
    yield found
    found.close()


def test_enter_goes_on_what_is_typed_is_a_guess_or_python_and_a_colon_is_a_command(reading):
    reading.go(MORE)
    means = reading.meaning
    assert means("") == ("go", "")
    assert means("42") == ("guess", "42")
    assert means("counter") == ("python", "counter")
    assert [means(f":{word}")[0] for word in ("back", "b", "a", "again", "res", "x", "", "?")] == [
        "back", "back", "again", "again", "reset", "help", "help", "help",
    ]  # fmt: skip
    reading.run()
    assert means("42") == ("python", "42")


def said(reading, *kinds):
    return [(each.kind, each.what) for each in reading if not kinds or each.kind in kinds]


def test_a_guess_is_evaluated_before_the_step_and_the_answer_after_it(reading):
    reading.go(RULE)
    first = reading.run(guess="w.data - 0.25 * w.grad")[0]
    assert (first.kind, first.what, first.right) == ("verdict", "Yes: 2.", True)
    first = reading.run(guess="w.data + 0.25 * w.grad")[0]
    assert (first.what, first.right) == ("Not quite: it is 2; you said 4.", False)


def test_a_repeat_says_what_was_changed(reading):
    reading.go(MORE)
    assert said(reading.type("counter = 1"), "note") == [
        ("note", "Changed, for this step and what follows. :reset forgets it.")
    ]
    assert said(reading.run())[:2] == [
        ("note", "With your changes: counter = 1"),
        ("output", "the result is 3\nfolded 3"),
    ]
    assert "Forgotten: counter = 1." in reading.reset()[0].what
    assert reading.waiting
    assert said(reading.run()) == [("output", "the result is 42\nfolded 42")]


def test_three_hints_then_the_solution(reading):
    reading.go(EXERCISE)
    assert [reading.hint()[0].what[0] for _ in range(4)] == [
        "Hint 1 of 3",
        "Hint 2 of 3",
        "Hint 3 of 3",
        "One solution",
    ]


def test_progress_is_kept_and_a_chapter_is_done_when_its_claims_hold(reading):
    from micrograd_like.tutor import progress

    reading.go(MORE)
    reading.run(guess="3")
    reading.run(guess="42")
    assert progress.load()["09_small"] == {"at": MORE, "answered": {str(MORE): False}}  # the first guess counts
    assert progress.place("09_small", 7) == MORE
    reading.go(CLAIMS)
    assert said(reading.run(), "output") == [("output", "All of this chapter's claims hold.")]
    assert progress.load()["09_small"]["done"] is True
    assert progress.place("09_small", 7) == 0
    assert progress.load()["last"] == {"chapter": "09_small"}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"09_small": 3}', "\x00"])
def test_a_damaged_progress_file_counts_as_empty(reading, text):
    from micrograd_like.tutor import progress

    progress.file().write_text(text)
    assert progress.place("09_small", 7) == 0
    reading.go(COUNT)
    assert progress.place("09_small", 7) == COUNT


def test_where_nothing_can_be_written_the_tutor_still_works(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    reading = Reading(script.read(write(tmp_path)))
    reading.go(MORE)
    assert said(reading.run(), "output") == [("output", "the result is 42\nfolded 42")]
    reading.close()


def test_frames_of_a_graph_are_drawn_in_characters_too(tmp_path):
    text = (
        "# %%\nimport micrograd_like as mg\nw = mg.Value(2.0, label='w')\nloss = 3 * w\nloss.label = 'loss'\n"
        "states = [mg.draw_dot(loss)]\nloss.backward()\nstates.append(mg.draw_dot(loss))\n"
        "mg.show(mg.draw_frames(states), 'film')\nmg.show(mg.draw_frames(states)[1], 'frame')\n"
    )
    session = Session(script.read(write(tmp_path, text)))
    session.enter(0)
    drawn = [picture.characters for picture in session.run().pictures]
    session.close()
    assert drawn == ["w 2 ▽3 ── loss 6 ▽1"] * 2
