"""How LLVM's text is written: instructions on vectors of lanes, loops, conditions, and sums over lanes.

Everything that becomes machine code is written through a `Writer`: blocks, gradients, an optimizer's step, what Python
calls. It numbers results and labels, and gathers the declarations and helpers that a module then needs.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

# Which of the eight numbers of two vectors of four go side by side.
EVEN, ODD, LOW, HIGH = (0, 4, 2, 6), (1, 5, 3, 7), (0, 1, 4, 5), (2, 3, 6, 7)


def bits(x: float) -> int:
    """The 64 bits of a double."""
    return int(struct.unpack("<Q", struct.pack("<d", x))[0])


class Writer:
    """Instructions of one function, on vectors of `lanes` doubles (plain doubles for one lane)."""

    def __init__(self, lanes: int, contract: bool) -> None:
        self.lanes = lanes
        self.type = f"<{lanes} x double>" if lanes > 1 else "double"
        self.integers = f"<{lanes} x i64>" if lanes > 1 else "i64"
        self.mask = f"<{lanes} x i1>" if lanes > 1 else "i1"
        self.suffix = f"v{lanes}f64" if lanes > 1 else "f64"
        self.fast = "contract " if contract else ""  # may a product and a sum be rounded once?
        self.lines: list[str] = []
        self.names = 0
        self.block = "entry"
        self.used: set[Any] = set()  # declarations, and (helper, lanes) that the module must define
        self.scopes: list[dict[Any, str]] = [{}]  # what is known: in the function, and in each loop around

    @contextmanager
    def scope(self) -> Iterator[None]:
        """What becomes known inside is known inside only."""
        self.scopes.append({})
        yield
        self.scopes.pop()

    def known(self, key: Any) -> str | None:
        """What is known under a key in this scope or one around it."""
        return next((scope[key] for scope in reversed(self.scopes) if key in scope), None)

    def function(self, name: str, arguments: str, answer: str = "", kind: str = "void", linkage: str = "") -> str:
        """The function whose instructions were written."""
        body = "\n".join(self.lines)
        result = f"{kind} {answer}" if answer else kind
        return f"define {linkage}{kind} @{name}({arguments}) #0 {{\n{body}\n  ret {result}\n}}"

    def new(self) -> str:
        self.names += 1
        return f"%t{self.names}"

    def put(self, text: str) -> str:
        """An instruction; returns the name of its result."""
        name = self.new()
        self.lines.append(f"  {name} = {text}")
        return name

    def do(self, text: str) -> None:
        """An instruction without a result."""
        self.lines.append(f"  {text}")

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")
        self.block = name

    def number(self, x: float) -> str:
        """A constant in every lane."""
        literal = f"0x{bits(x):016X}"
        return f"splat (double {literal})" if self.lanes > 1 else literal

    def integer(self, n: int) -> str:
        n -= (n >> 63 & 1) << 64
        return f"splat (i64 {n})" if self.lanes > 1 else str(n)

    def splat(self, scalar: str) -> str:
        """A scalar in every lane."""
        if self.lanes == 1:
            return scalar
        one = self.put(f"insertelement {self.type} poison, double {scalar}, i64 0")
        return self.put(f"shufflevector {self.type} {one}, {self.type} poison, <{self.lanes} x i32> zeroinitializer")

    def lane(self, x: str, k: int) -> str:
        """The scalar in a lane."""
        return self.put(f"extractelement {self.type} {x}, i64 {k}") if self.lanes > 1 else x

    def lanewise(self, compute: Callable[[int], str]) -> str:
        """A vector whose scalars are computed one by one; compute(lane)."""
        if self.lanes == 1:
            return compute(0)
        vector = "poison"
        for k in range(self.lanes):
            vector = self.put(f"insertelement {self.type} {vector}, double {compute(k)}, i64 {k}")
        return vector

    def arithmetic(self, instruction: str, x: str, y: str) -> str:
        return self.put(f"{instruction} {self.fast}{self.type} {x}, {y}")

    def strict(self, instruction: str, x: str, y: str) -> str:
        return self.put(f"{instruction} {self.type} {x}, {y}")

    def negative(self, x: str) -> str:
        return self.put(f"fneg {self.type} {x}")

    def compare(self, predicate: str, x: str, y: str) -> str:
        return self.put(f"fcmp {predicate} {self.type} {x}, {y}")

    def select(self, condition: str, x: str, y: str) -> str:
        return self.put(f"select {self.mask} {condition}, {self.type} {x}, {self.type} {y}")

    def intrinsic(self, name: str, x: str) -> str:
        function = f"@llvm.{name}.{self.suffix}"
        self.used.add(f"declare {self.type} {function}({self.type})")
        return self.put(f"call {self.type} {function}({self.type} {x})")

    def helper(self, name: str, x: str) -> str:
        """One of the vector functions below."""
        self.used.add((name, self.lanes))
        return self.put(f"call {self.type} @vector_{name}_{self.lanes}({self.type} {x})")

    def fused(self, x: str, y: str, z: str) -> str:
        """x y + z, rounded once."""
        function = f"@llvm.fma.{self.suffix}"
        self.used.add(f"declare {self.type} {function}({', '.join([self.type] * 3)})")
        return self.put(f"call {self.type} {function}({self.type} {x}, {self.type} {y}, {self.type} {z})")

    def library(self, name: str, *args: str, unless: str = "", known: str = "") -> str:
        """A function of the C library, lane by lane. Where the mask `unless` is set, its value is `known` without a call."""
        self.used.add(f"declare double @library_{name}({', '.join(['double'] * len(args))})")

        def call(k: int) -> str:
            return self.put(f"call double @library_{name}({', '.join(f'double {self.lane(x, k)}' for x in args)})")

        def one(k: int) -> str:
            if not unless:
                return call(k)
            is_known = self.put(f"extractelement {self.mask} {unless}, i64 {k}") if self.lanes > 1 else unless
            return self.when(self.put(f"xor i1 {is_known}, true"), lambda: call(k), "double", self.lane(known, k))

        return self.lanewise(one)

    def cast(self, x: str, to_integers: bool) -> str:
        source, target = (self.type, self.integers) if to_integers else (self.integers, self.type)
        return self.put(f"bitcast {source} {x} to {target}")

    def polynomial(self, x: str, square: str, coefficients: Sequence[float]) -> str:
        """c0 + c1 x + c2 x² + …, in pairs and pairs of pairs (Estrin's scheme): few operations wait for one another."""
        terms = [self.number(c) for c in coefficients]
        power = x
        while len(terms) > 1:
            if power != x:
                square = self.strict("fmul", power, power)
            pairs = [
                self.arithmetic("fadd", low, self.arithmetic("fmul", high, power))
                for low, high in zip(terms[::2], terms[1::2], strict=False)
            ]
            terms = pairs + terms[len(pairs) * 2 :]
            power = square
        return terms[0]

    def bitwise(self, instruction: str, x: str, n: int) -> str:
        return self.put(f"{instruction} {self.integers} {x}, {self.integer(n)}")

    # Places in memory

    def at(self, unit: str, pointer: str, index: int | str) -> str:
        """The address of the index-th of the units that lie there."""
        return self.put(f"getelementptr {unit}, ptr {pointer}, i64 {index}")

    def clear(self, pointer: str, count: int | str) -> None:
        """So many bytes of zeros."""
        self.used.add("declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)")
        self.do(f"call void @llvm.memset.p0.i64(ptr {pointer}, i8 0, i64 {count}, i1 false)")

    # Loops and conditions

    def loop(
        self,
        count: int | str,
        carried: Sequence[tuple[str, str]],
        body: Callable[..., Sequence[str]],
        step: int = 1,
        *,
        may_be_empty: bool = False,
    ) -> list[str]:
        """A loop, which runs at least once or `may_be_empty`; body(counter, values) returns the next iteration's values.

        `carried`: the type of each value that goes from one iteration to the next, and what it is at first.
        """
        head, before = f"loop{self.names}", self.block
        self.do(f"br label %{head}")
        self.label(head)
        place = len(self.lines)
        counter = self.new()
        values = [self.new() for _ in carried]
        if may_be_empty:
            more = self.put(f"icmp slt i64 {counter}, {count}")
            self.do(f"br i1 {more}, label %{head}.body, label %{head}.end")
            self.label(f"{head}.body")
        with self.scope():
            results = list(body(counter, values))
        following = self.put(f"add nuw nsw i64 {counter}, {step}")
        latch = self.block
        if may_be_empty:
            self.do(f"br label %{head}")
        else:
            more = self.put(f"icmp ult i64 {following}, {count}")
            self.do(f"br i1 {more}, label %{head}, label %{head}.end")
        phis = [f"  {counter} = phi i64 [ 0, %{before} ], [ {following}, %{latch} ]"]
        for (kind, start), value, result in zip(carried, values, results, strict=True):
            phis.append(f"  {value} = phi {kind} [ {start}, %{before} ], [ {result}, %{latch} ]")
        self.lines[place:place] = phis
        self.label(f"{head}.end")
        return values if may_be_empty else results

    def when(self, condition: str, body: Callable[[], str | None], kind: str = "", otherwise: str = "") -> str:
        """Do the body where the condition holds. Returns what the body returns, of that type, or the other value."""
        name, before = f"when{self.names}", self.block
        self.names += 1
        self.do(f"br i1 {condition}, label %{name}, label %{name}.end")
        self.label(name)
        result = body()
        after = self.block
        self.do(f"br label %{name}.end")
        self.label(f"{name}.end")
        return self.put(f"phi {kind} [ {result}, %{after} ], [ {otherwise}, %{before} ]") if kind else ""

    # Sums over lanes

    def sum_of_lanes(self, x: str) -> str:
        """The sum of a vector's lanes, always in the same order."""
        lanes = self.lanes
        while lanes > 1:
            x, lanes = self.halved(x, lanes), lanes // 2
        return x if self.lanes == 1 else self.put(f"extractelement <1 x double> {x}, i64 0")

    def halved(self, x: str, lanes: int) -> str:
        half = lanes // 2
        parts = []
        for start in (0, half):
            mask = ", ".join(f"i32 {start + i}" for i in range(half))
            parts.append(
                self.put(f"shufflevector <{lanes} x double> {x}, <{lanes} x double> poison, <{half} x i32> <{mask}>")
            )
        return self.put(f"fadd <{half} x double> {parts[0]}, {parts[1]}")

    def paired(self, x: str, y: str, mask: Sequence[int]) -> str:
        """Four numbers out of two vectors of four."""
        chosen = ", ".join(f"i32 {i}" for i in mask)
        return self.put(f"shufflevector <4 x double> {x}, <4 x double> {y}, <4 x i32> <{chosen}>")

    def transposed(self, square: Sequence[str]) -> list[str]:
        """Four vectors of four numbers, their rows made columns."""
        a, b, c, d = square
        pairs = [(self.paired(a, b, mask), self.paired(c, d, mask)) for mask in (EVEN, ODD)]
        return [self.paired(ab, cd, mask) for mask in (LOW, HIGH) for ab, cd in pairs]
