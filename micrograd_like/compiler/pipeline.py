"""The compiler in one page: its stages in their order, each with a printable form, an interpreter and a check.

trace → flow → loops → nests and their adjoint → rows → blocks → entry → machine code. Nests and adjoint are siblings:
both are made of the loops that were found. `build` goes from a trace to all that machine code is made from; `stages`
shows the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from micrograd_like.compiler import host, loops, native, nest
from micrograd_like.compiler.adjoint import both_ways
from micrograd_like.compiler.affine import by_length, refold, size
from micrograd_like.compiler.blocks import Parts, block_module
from micrograd_like.compiler.entry import main_module
from micrograd_like.compiler.flow import Flow, flow
from micrograd_like.compiler.loops import Term
from micrograd_like.compiler.memory import Shape
from micrograd_like.compiler.rows import split
from micrograd_like.compiler.spaces import (
    ADJOINT,
    CONST,
    INDEX,
    INPUT,
    NODE,
    NODES,
    PARAM,
    PARAM_GRADIENT,
    SHARED,
    SHARED_GRADIENT,
    TEMPORARY,
)
from micrograd_like.compiler.trace import Trace

IRREGULAR = 80  # statements and loops of a program that is folded a second time, with bounds that move
Found = tuple[tuple[Term, ...], tuple[Term, ...]]  # the loops of what is computed once, and of a sample


def build(recorded: Trace, *, always: bool = False) -> Parts:
    """All that machine code is made from. `always`: fold any program a second time, whatever comes of it."""
    flowing, found = folded(recorded, always=always)
    constants = flowing.constants
    inputs, outputs = dict(recorded.inputs), len(recorded.outputs)
    first, then = flowing.shared, flowing.sample
    shared = both_ways(found[0], constants, first.slots, first.outputs)
    numbers = sum(map(prod, inputs.values()))
    sample = both_ways(found[1], constants, then.slots, then.outputs, inputs=numbers, seed=then.outputs)
    gathers = sorted({pick for each in recorded.lengths or [recorded] for pick in each.gathers})
    once = split(shared, constants, None if inputs else outputs)
    parts = Parts(shared, sample, inputs, gathers, recorded.parameters, constants, outputs, once)
    parts.text = _pseudo_code(recorded, *[loops.show(terms, constants) for terms in found])
    return parts


def folded(recorded: Trace, *, always: bool = False) -> tuple[Flow, Found]:
    """The sections of a trace and the loops found in them; with bounds that move, where that makes them much shorter."""
    if recorded.lengths:
        return by_length(recorded.lengths, sum(map(prod, recorded.inputs.values())) - 1)
    flowing = flow(recorded)
    found = tuple(loops.recover(flowing.shared)), tuple(loops.recover(flowing.sample))
    written = sum(map(size, found))
    if always or written > IRREGULAR:
        again = refold(recorded, None if always else written)
        if again is not None:
            return again
    return flowing, found


@dataclass(frozen=True)
class Stage:
    """What one stage has made of a program."""

    name: str
    about: str
    text: str  # for a reader
    check: Callable[[], None]  # raises AssertionError where the stage has not kept its promise
    run: Callable[[Sequence[float], Sequence[float]], Any] | None = None  # of parameters and one sample's numbers

    def __str__(self) -> str:
        return f"# {self.name}: {self.about}\n{self.text}"


def stages(recorded: Trace, parts: Parts) -> list[Stage]:
    """Every stage of a program. What can be run in plain Python returns a sample's loss; the adjoint also the gradient."""
    flowing, found = folded(recorded)
    lanes = host.width()
    entry, block = main_module(parts, lanes, False), block_module(parts, Shape(lanes, 4), False)
    both = (parts.shared, parts.sample)
    forward = "\n".join(nest.show(nests.forward) for nests in both if nests.forward)
    backward = "\n".join(
        nest.show((*nests.backward.sweep, *nests.backward.contributions)) for nests in both[::-1] if nests.forward
    )
    outputs = (flowing.sample if recorded.inputs else flowing.shared).outputs

    def run_flow(parameters: Sequence[float], inputs: Sequence[float]) -> Any:
        shared, sample = flowing.interpret(parameters, inputs)
        return (sample if recorded.inputs else shared)[outputs]

    rows = parts.once.rows
    side_by_side = [] if rows is None else [
        Stage("rows", f"one of the {rows.count} samples written in the program, which run side by side",
              nest.show(rows.body.forward), lambda: _check_addresses(parts), lambda p, x: interpreted_rows(parts, p)),
    ]  # fmt: skip
    return [
        Stage("trace", "one sample, operation by operation", str(recorded), lambda: _check_trace(recorded),
              lambda p, x: recorded.interpret(p, x)[0]),
        Stage("flow", "what is needed, and which operations are one sum", str(flowing), lambda: _check_flow(flowing),
              run_flow),
        Stage("loops", "the loops that made them", parts.text, lambda: _check_loops(flowing, found)),
        Stage("nests", "assignments to memory", forward, lambda: _check_addresses(parts),
              lambda p, x: interpreted(parts, p, x)[0]),
        Stage("adjoint", "the nests run backwards with the table's rules", backward, lambda: _check_addresses(parts),
              lambda p, x: interpreted(parts, p, x)),
        *side_by_side,
        Stage("blocks", f"{lanes} samples side by side, as LLVM's text", block, lambda: native.verify(block)),
        Stage("entry", "what Python calls, as LLVM's text", entry, lambda: native.verify(entry)),
        Stage("machine code", "a block in this processor's instructions", native.assembly(block), lambda: None),
    ]  # fmt: skip


def interpreted(parts: Parts, parameters: Sequence[float], inputs: Sequence[float]) -> tuple[float, list[float]]:
    """(loss, gradient) of one sample, by the nests and their adjoints in plain Python."""
    shared, sample = parts.shared, parts.sample
    gradient = [0.0] * len(parameters)
    scratch = [0.0] * max(shared.backward.temporaries, sample.backward.temporaries)
    common: dict[int, Any] = {PARAM: parameters, PARAM_GRADIENT: gradient, CONST: parts.constants, TEMPORARY: scratch}
    once = common | {NODE: [0.0] * shared.slots, ADJOINT: [0.0] * shared.slots}
    each = common | {
        NODE: [0.0] * sample.slots, ADJOINT: [0.0] * sample.slots, INPUT: inputs, SHARED: once[NODE],
        SHARED_GRADIENT: once[ADJOINT],
    }  # fmt: skip
    nest.interpret(shared.forward, once)
    nest.interpret(sample.forward, each)
    last, nests = (each, sample) if parts.shapes else (once, shared)
    if sample.backward.zeroed is not None:  # what need not be zero is anything
        each[ADJOINT][:] = [0.0 if k in sample.backward.zeroed else float("nan") for k in range(sample.slots)]
    loss = last[NODE][nests.outputs]
    last[ADJOINT][nests.outputs] = 1.0
    for backward, memory in ((sample.backward, each), (shared.backward, once)):
        nest.interpret(backward.sweep, memory)
        nest.interpret(backward.contributions, memory)
    return loss, gradient


def interpreted_rows(parts: Parts, parameters: Sequence[float]) -> tuple[float, list[float]]:
    """(loss, gradient) of a program without inputs, its samples as rows, in plain Python."""
    once, gradient = parts.once, [0.0] * len(parameters)
    memory: dict[int, Any] = {
        PARAM: parameters, PARAM_GRADIENT: gradient, CONST: parts.constants, TEMPORARY: [0.0] * once.temporaries,
        NODE: [0.0] * once.slots, ADJOINT: [0.0] * once.slots,
    }  # fmt: skip
    once.interpret(memory, parts.constants, backward=False)
    memory[ADJOINT][once.outputs] = 1.0
    once.interpret(memory, parts.constants, backward=True)
    return memory[NODE][once.outputs], gradient


def _check_trace(recorded: Trace) -> None:
    for n, refs in enumerate(recorded.operands):
        assert all(ref < n for ref in refs if ref < NODES), f"node {n} reads what comes after it"


def _check_flow(flowing: Flow) -> None:
    for section in (flowing.shared, *(flowing.lengths or [flowing.sample])):
        written = [line.out & INDEX for line in section.lines]
        assert len(set(written)) == len(written), "a slot is written twice"
        assert all(slot < section.slots for slot in written), "a slot lies beyond the last one"


def _check_loops(flowing: Flow, found: Found) -> None:
    lines = [line for section in flowing.lengths or [flowing.sample] for line in section.lines]
    for terms, expected in zip(found, (flowing.shared.lines, lines), strict=True):
        assert loops.lines(terms) == expected, "the loops unrolled are not the lines"


def _check_addresses(parts: Parts) -> None:
    """Every address of every iteration lies in its space: where bounds move, only the corners may lie beyond."""
    for section in (parts.shared, parts.sample, *parts.once.nests):
        sizes = parts.sizes(section)
        for terms in (section.forward, section.backward.sweep, section.backward.contributions):
            for ref, counters in _touched(terms, ()):
                place = loops.at(ref, counters).base
                assert 0 <= place < sizes[ref.space], f"{loops.address(ref)} at {counters} is outside of its space"


def _touched(terms: Sequence[Term], counters: tuple[int, ...]) -> Iterator[tuple[loops.Ref, tuple[int, ...]]]:
    for term in terms:
        if isinstance(term, loops.For):
            for i in range(loops.turns(term.trips, counters)):
                yield from _touched(term.body, (*counters, i))
        elif isinstance(term, loops.Table):
            for kind, *row in term.rows:
                yield from _touched(term.bodies[kind], (*counters, *row))
        else:
            yield term.target, counters


def _pseudo_code(recorded: Trace, shared: str, sample: str) -> str:
    """The loops with a heading that says what the names mean."""
    start, inputs = 0, []
    for name, shape in recorded.inputs.items():
        said = f"{name} is x[{start}]" if name else f"x[{start}] is how much longer it is than the shortest"
        inputs.append(said + (f" … x[{start + prod(shape) - 1}]" if prod(shape) > 1 else ""))
        start += prod(shape)
    count = len(recorded.operations)
    lines = [f"# {count} scalar operations; p: {recorded.parameters} parameters, v and s: values"]
    if inputs:
        lines.append(f"# a sample's inputs: {', '.join(inputs)}")
    if shared:
        lines += ["# once for all samples, with s for v" if inputs else "# once", shared]
    if sample:
        lines += ["# for each sample", sample]
    return "\n".join(lines)


__all__ = ["Stage", "build", "folded", "interpreted", "stages"]
