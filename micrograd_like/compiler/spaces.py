"""Address spaces: where operands lie. An operand is one integer: its space in the high bits, an index below.

Arithmetic on an index is plain arithmetic on the operand, so that operands run in progressions as their indices do.
"""

from __future__ import annotations

from enum import IntEnum

SHIFT = 44
INDEX = (1 << SHIFT) - 1
NODES = 1 << SHIFT  # an operand below this is a node, and its own index


class Space(IntEnum):
    """A space, what it is called in pseudo-code, and whether each sample has one of its own."""

    symbol: str
    per_sample: bool

    NODE = 0, "v", True
    PARAM = 1, "p", False
    INPUT = 2, "x", True
    CONST = 3, "c", False
    SHARED = 4, "s", False  # nodes that are computed once for all samples
    INACTIVE = 5, "v", True  # nodes that depend on no parameter, so that no adjoint flows through them
    SHARED_INACTIVE = 6, "s", False
    ADJOINT = 7, "dv", True  # the gradient of the loss by a node
    TEMPORARY = 8, "t", True
    PARAM_GRADIENT = 9, "dp", False
    SHARED_GRADIENT = 10, "ds", False

    def __new__(cls, number: int, symbol: str, per_sample: bool) -> Space:
        self = int.__new__(cls, number)
        self._value_ = number
        self.symbol, self.per_sample = symbol, per_sample
        return self

    @property
    def storage(self) -> Space:
        """The space whose memory it is: inactive nodes lie among the others."""
        return {INACTIVE: NODE, SHARED_INACTIVE: SHARED}.get(self, self)

    @property
    def gradient(self) -> Space | None:
        """Where the gradients by what lies here are added up; None where there are none."""
        return {NODE: ADJOINT, PARAM: PARAM_GRADIENT, SHARED: SHARED_GRADIENT}.get(self)


WIDEST = 8  # doubles in the widest vectors
SPACES = tuple(Space)
(
    NODE, PARAM, INPUT, CONST, SHARED, INACTIVE, SHARED_INACTIVE, ADJOINT, TEMPORARY, PARAM_GRADIENT, SHARED_GRADIENT,
) = SPACES  # fmt: skip
ONCE = {NODE: SHARED, ADJOINT: SHARED_GRADIENT}  # where nodes lie in the section that no sample changes


def pack(space: int, index: int) -> int:
    """The operand at an index of a space."""
    return space << SHIFT | index


def space_of(operand: int) -> Space:
    """The space that an operand lies in."""
    return SPACES[operand >> SHIFT]


def unpack(operand: int) -> tuple[Space, int]:
    """(space, index) of an operand."""
    return SPACES[operand >> SHIFT], operand & INDEX


def padded(count: int) -> int:
    """The room for so many numbers, in whole vectors of any width."""
    return -(-count // WIDEST) * WIDEST
