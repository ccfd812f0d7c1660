"""The properties of every program, on a fixed sample of random programs and on every counterexample ever found."""

import json
from pathlib import Path
from typing import Any

import pytest
from hunt import REGRESSIONS, hunt, takes_a_seed
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import PROPERTIES

from micrograd_like.testing import Expression, expressions

FOUND = json.loads(REGRESSIONS.read_text(encoding="utf-8"))


@pytest.mark.parametrize("prop", PROPERTIES, ids=lambda f: f.__name__)
def test_properties_hold(prop: Any) -> None:
    @settings(max_examples=40)
    @given(st.integers(0, 2**32) if takes_a_seed(prop) else expressions(max_nodes=5))
    def check(program: Any) -> None:
        prop(program)

    check()


@pytest.mark.parametrize("entry", FOUND, ids=lambda e: e["property"])
def test_what_was_found_once_stays_mended(entry: dict[str, Any]) -> None:
    prop = next(prop for prop in PROPERTIES if prop.__name__ == entry["property"])
    program = entry["program"]
    prop(program if isinstance(program, int) else Expression.from_json(program))


def test_a_hunt_keeps_the_smallest_program_it_finds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def no_tanh(expression: Expression) -> None:
        assert all(op.name != "tanh" for op, _ in expression.steps)

    file = tmp_path / "found.json"
    file.write_text("[]", encoding="utf-8")
    assert hunt([no_tanh], seconds=60, seed=0, file=file, most=1) == 1
    (entry,) = json.loads(file.read_text(encoding="utf-8"))
    assert entry["property"] == "no_tanh"
    smallest = Expression.from_json(entry["program"])
    assert [op.name for op, _ in smallest.steps] == ["tanh"]
    assert "v0 = ops.tanh(x0)" in capsys.readouterr().out


def test_a_short_hunt_with_a_fixed_seed_finds_nothing(tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    file.write_text("[]", encoding="utf-8")
    assert hunt(PROPERTIES, seconds=None, seed=1, file=file, examples=10) == 0
