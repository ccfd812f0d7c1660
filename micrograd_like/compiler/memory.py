"""Stage 7, memory: where operands lie when the code runs, and loads that are done once.

Each group of `lanes` samples has a frame: inputs, nodes, adjoints, temporaries, one vector each. In rows (rows.py) a
slot's vectors of all groups lie side by side. Parameters, shared values and constants are scalars, the same for all
samples. What was loaded is known until the loop around it goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from micrograd_like.compiler.loops import Ref
from micrograd_like.compiler.nest import Leaf
from micrograd_like.compiler.spaces import Space
from micrograd_like.compiler.writer import Writer

POINTERS: dict[Space, str] = {
    Space.INPUT: "%in", Space.NODE: "%node", Space.ADJOINT: "%adj", Space.TEMPORARY: "%temp", Space.PARAM: "%params",
    Space.SHARED: "%shared", Space.CONST: "%consts", Space.PARAM_GRADIENT: "%gp", Space.SHARED_GRADIENT: "%gs",
}  # fmt: skip
ARGUMENTS = ", ".join([*[f"ptr noalias {p}" for p in (*POINTERS.values(), "%tables")], "i64 %groups"])

Counter = tuple[str, int]  # the name of an LLVM value ("" for none), and what is added to it
Environment = tuple[Counter, ...]  # one counter per level
Key = tuple[
    Space, int, tuple[tuple[str, int], ...]
]  # an address: constant part, moving part; equal keys, equal addresses


@dataclass(frozen=True)
class Shape:
    """How machine code is laid out: samples side by side, and how many iterations of a loop run side by side."""

    lanes: int  # as many as a register holds, or one
    jam: int  # independent iterations at once
    light: int = 2  # iterations at once of a loop that only calls functions such as exp


@dataclass(frozen=True)
class Layout:
    """Where a section's operands lie, and what its functions look like."""

    shape: Shape
    tables: dict[int, int]  # where each table's rows begin, by its id
    stride: int = 0  # doubles from one frame to the next; 0 where there is only one
    slot: int = 0  # doubles from one slot of a frame to the next; 0 for as many as there are lanes
    checked: dict[int, int] | None = None  # the size of each space, where every address is to be verified


class Memory(Writer):
    """Writes loads and stores of what lies in frames, a vector each, and of scalars."""

    def __init__(self, layout: Layout, contract: bool) -> None:
        super().__init__(layout.shape.lanes, contract)
        self.layout, self.checked = layout, layout.checked
        self.slot = layout.slot or self.lanes
        self.unit = f"[{self.slot} x double]"  # a slot of a frame: its vector, and in rows those of the others
        self.align = 8 * self.lanes
        self.pointers = dict(POINTERS)
        self.settled = False  # whether adjoints are final, so that a loaded one may be used again
        self.label("entry")

    def key(self, ref: Ref, env: Environment) -> Key:
        """An address at these counters."""
        constant = ref.base
        moving: dict[str, int] = {}
        for c, (name, offset) in zip(ref.coefs, env, strict=True):
            constant += c * offset
            if name and c:
                moving[name] = moving.get(name, 0) + c
        return ref.space, constant, tuple(sorted((n, c) for n, c in moving.items() if c))

    def pointer(self, key: Key) -> str:
        space, constant, moving = key
        if (known := self.known(("pointer", key))) is not None:
            return known
        unit = self.unit if space.per_sample else "double"
        pointer = self.pointers[space]
        if moving:
            index = self.known(("index", moving))
            if index is None:
                index = self.sum_of([self.scaled(n, c) for n, c in moving])
                self.scopes[-1]["index", moving] = index
            if self.checked is not None:
                self.check(self.put(f"add nsw i64 {index}, {constant}"), self.checked[space])
            pointer = self.at(unit, pointer, index)
        elif self.checked is not None:
            self.check(str(constant), self.checked[space])
        if constant:
            pointer = self.at(unit, pointer, constant)
        self.scopes[-1]["pointer", key] = pointer
        return pointer

    def scaled(self, counter: str, coefficient: int) -> str:
        return self.put(f"mul nsw i64 {counter}, {coefficient}") if coefficient != 1 else counter

    def sum_of(self, integers: list[str]) -> str:
        total = integers[0]
        for x in integers[1:]:
            total = self.put(f"add nsw i64 {total}, {x}")
        return total

    def check(self, index: str, size: int) -> None:
        """Trap on an address outside of its space."""
        self.used.add("declare void @llvm.trap()")
        inside = self.put(f"icmp ult i64 {index}, {size}")
        name = f"checked{self.names}"
        self.do(f"br i1 {inside}, label %{name}, label %{name}.outside")
        self.label(f"{name}.outside")
        self.do("call void @llvm.trap()")
        self.do("unreachable")
        self.label(name)

    def load(self, leaf: Leaf, env: Environment) -> str:
        if not isinstance(leaf, Ref):
            return self.number(leaf)
        key = self.key(leaf, env[: len(leaf.coefs)])
        if (known := self.known(key)) is not None:
            return known
        pointer = self.pointer(key)
        if leaf.space.per_sample:
            value = self.put(f"load {self.type}, ptr {pointer}, align {self.align}")
        else:
            value = self.splat(self.put(f"load double, ptr {pointer}, align 8"))
        if self.settled or leaf.space not in (Space.ADJOINT, Space.TEMPORARY):
            self.scopes[-1][key] = value  # a node is written once, before it is read
        return value

    def store(self, key: Key, value: str) -> None:
        self.do(f"store {self.type} {value}, ptr {self.pointer(key)}, align {self.align}")
        if key[0] == Space.NODE:
            self.scopes[-1][key] = value

    def add_to(self, kind: str, pointer: str, x: str) -> None:
        """Add a scalar, or a vector, to what is at an address."""
        old = self.put(f"load {kind}, ptr {pointer}, align 8")
        self.do(f"store {kind} {self.put(f'fadd {kind} {old}, {x}')}, ptr {pointer}, align 8")

    def each_frame(self, carried: Sequence[tuple[str, str]], body: Callable[[list[str]], Sequence[str]]) -> list[str]:
        """A loop over the frames; inside, addresses are those of a frame. `carried`, body(values): as of a loop."""
        values = [value for _, value in carried]
        if not self.layout.stride:
            return list(body(values))

        def one(counter: str, values: Sequence[str]) -> Sequence[str]:
            first = self.put(f"mul nuw nsw i64 {counter}, {self.layout.stride}")
            whole = self.pointers
            framed = {space: self.at("double", whole[space], first) for space in whole if space.per_sample}
            self.pointers = whole | framed
            results = body(list(values))
            self.pointers = whole
            return results

        return self.loop("%groups", carried, one)
