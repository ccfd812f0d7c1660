"""Every row is within 4 units in the last place for its value, 8 for its derivatives, 8 for second ones too; the docs say how near."""

import re
from pathlib import Path

import pytest
from ulps import DERIVATIVE_LIMIT, SCALES, SECOND_LIMIT, VALUE_LIMIT, measure

from micrograd_like import ops

DOCS = Path(__file__).parent.parent / "docs" / "ulps.md"


@pytest.mark.parametrize("op", ops.TABLE.values(), ids=lambda op: op.name)
def test_every_row_is_exact_to_a_few_units(op: ops.Operation) -> None:
    worst = measure(op, points=60)
    assert worst.value <= VALUE_LIMIT, worst
    assert worst.derivative <= DERIVATIVE_LIMIT, worst
    assert worst.second <= SECOND_LIMIT, worst


def test_the_published_table_has_every_row_and_keeps_the_limits() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*" + r"\| ([\d.]+) " * 3 + r"\|", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    assert [name for name, *_ in rows] == list(ops.TABLE)
    for _, *errors in rows:
        assert all(
            float(error) <= limit
            for error, limit in zip(errors, (VALUE_LIMIT, DERIVATIVE_LIMIT, SECOND_LIMIT), strict=True)
        )
    assert set(SCALES) <= set(ops.TABLE)
