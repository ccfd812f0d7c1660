"""At every special point of the table the value and the derivatives are those written down, each with its source."""

import math
from pathlib import Path

import pytest
from special_points import POINTS, Point, document

from micrograd_like import Value, gradient, ops


def same(x: float, y: float) -> bool:
    if math.isnan(x) or math.isnan(y):
        return math.isnan(x) and math.isnan(y)
    return x == y or (math.isfinite(x) and math.isclose(x, y, rel_tol=1e-15))


def same_with_sign(x: float, y: float) -> bool:
    return same(x, y) and (x != 0 or math.copysign(1, x) == math.copysign(1, y))


@pytest.mark.parametrize("point", POINTS, ids=lambda p: f"{p.operation}{p.operands}")
def test_special_points(point: Point) -> None:
    operands = [Value(x) for x in point.operands]
    out = ops.by_name(point.operation)(*operands)
    assert same_with_sign(out.data, point.value), out
    out.backward()
    assert all(same(v.grad, d) for v, d in zip(operands, point.derivatives, strict=True)), operands
    assert all(same(g.data, d) for g, d in zip(gradient(out, operands), point.derivatives, strict=True))


def test_every_row_has_special_points() -> None:
    assert {point.operation for point in POINTS} == set(ops.TABLE)


def test_the_published_table_is_this_one() -> None:
    published = Path(__file__).parent.parent / "docs" / "special_points.md"
    assert published.read_text(encoding="utf-8") == document()
