"""What the main module is told: fields of eight bytes each, and the writer of the functions that read them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from micrograd_like.compiler.writer import Writer

# What changes from call to call comes first.
CALL = (
    "mode", "samples", "whole", "batch", "steps", "steps_per_epoch", "stride", "rows", "inputs", "block", "lanes",
    "most", "chunk", "call", "update", "rates", "rates_stride", "state",
)  # fmt: skip
FIELDS = (
    *CALL, "params", "shared", "consts", "tables", "gradient", "outputs", "losses", "desks", "results", "meeting",
    "arrivals", "values", "data_offset", "type_offset", "number_offset", "float_type",
)  # fmt: skip
COUNTS = frozenset((
    "mode", "samples", "whole", "batch", "steps", "steps_per_epoch", "stride", "lanes", "most", "chunk", "call",
    "rates_stride", "data_offset", "type_offset", "number_offset",
))  # fmt: skip
FORWARD, GRADIENT, TRAIN = range(3)


class Entry(Writer):
    """Writes a function that is given the fields, and answers with an integer."""

    def __init__(self) -> None:
        super().__init__(1, contract=False)
        self.label("entry")

    def fields(self, *names: str) -> list[str]:
        """What these fields hold."""
        return [self.load("i64" if name in COUNTS else "ptr", "%fields", FIELDS.index(name)) for name in names]

    def load(self, kind: str, pointer: str, index: int | str = 0) -> str:
        """The index-th of the things of eight bytes that lie there."""
        return self.put(f"load {kind}, ptr {self.at('i64', pointer, index)}, align 8")

    def smallest(self, x: str, y: str) -> str:
        self.used.add("declare i64 @llvm.umin.i64(i64, i64)")
        return self.put(f"call i64 @llvm.umin.i64(i64 {x}, i64 {y})")

    def largest(self, x: str, y: str) -> str:
        self.used.add("declare i64 @llvm.umax.i64(i64, i64)")
        return self.put(f"call i64 @llvm.umax.i64(i64 {x}, i64 {y})")

    def integers_of(self, instruction: str, x: int | str, y: int | str) -> str:
        return self.put(f"{instruction} i64 {x}, {y}")

    def parts_of(self, count: str, size: int | str) -> str:
        """How many parts of that size there are, the last of which may be smaller."""
        return self.integers_of("udiv", self.integers_of("sub", self.integers_of("add", count, size), 1), size)

    def is_so(self, predicate: str, x: str, y: int | str, kind: str = "i64") -> str:
        return self.put(f"icmp {predicate} {kind} {x}, {y}")

    def both(self, x: str, y: str) -> str:
        return self.put(f"and i1 {x}, {y}")

    def again(self, carried: Sequence[tuple[str, str]], body: Callable[..., tuple[str, list[str]]]) -> list[str]:
        """A loop for as long as its body says so; body(values) returns (whether to go on, the next iteration's values)."""
        head, before = f"again{self.names}", self.block
        self.names += 1
        self.do(f"br label %{head}")
        self.label(head)
        place = len(self.lines)
        values = [self.new() for _ in carried]
        more, results = body(values)
        latch = self.block
        self.do(f"br i1 {more}, label %{head}, label %{head}.end")
        self.lines[place:place] = [
            f"  {value} = phi {kind} [ {start}, %{before} ], [ {result}, %{latch} ]"
            for (kind, start), value, result in zip(carried, values, results, strict=True)
        ]
        self.label(f"{head}.end")
        return results


__all__ = ["CALL", "FIELDS", "FORWARD", "GRADIENT", "TRAIN", "Entry"]
