"""An optimizer's step as machine code: its rule, called once with symbols, is one more nest, over the parameters.

Eight parameters move at a time. What the rule remembers lies behind one another, a stretch for each of its states, as
long as the parameters are with those that fill up the last eight. Products and sums are rounded one by one, as the rule
rounds them on Values, so that both take the same step to the last bit. The gradient is left empty for the next one.
"""

from __future__ import annotations

from typing import Any

from micrograd_like.compiler.machine import ATTRIBUTES, definitions, form
from micrograd_like.compiler.spaces import CONST, INPUT, NODE, WIDEST, pack, padded, unpack
from micrograd_like.compiler.trace import Trace, TraceError, trace_rule
from micrograd_like.compiler.writer import Writer
from micrograd_like.optim import Optimizer


def rule_of(optimizer: Optimizer, rates: int) -> Trace:
    """The rule as a program of p, g, the states and the rates, with the new p and the new states as its outputs.

    Raises:
        TraceError: the rule asks for what cannot be recorded, or returns something else than those.
    """

    def rule(*symbols: Any) -> tuple[Any, ...]:
        results = optimizer.rule(*symbols)
        if not isinstance(results, tuple) or len(results) != 1 + len(optimizer.STATE):
            states = "".join(f", {name}" for name in optimizer.STATE)
            raise TraceError(
                f"{type(optimizer).__name__}.rule returned {results!r:.60}; expected a tuple of the new p{states}"
            )
        return results

    return trace_rule(rule, 2 + len(optimizer.STATE) + rates)


def idle(rule: Trace, states: int) -> list[bool]:
    """For each state whether the rule neither reads nor changes it, as SGD without momentum does."""
    places = [pack(INPUT, 2 + k) for k in range(states)]
    read = {ref for operands in rule.operands for ref in operands} | {rule.outputs[0]}
    return [kept == place and place not in read for kept, place in zip(rule.outputs[1:], places, strict=True)]


def step_module(rule: Trace, parameters: int, states: int, rates: int) -> str:
    """The module with `update(params, gradient, state, rates)`."""
    w = Writer(WIDEST, contract=False)
    w.label("entry")
    arrays = ["%params", "%gradient", *[w.at("double", "%state", k * padded(parameters)) for k in range(states)]]
    common = [w.splat(w.put(f"load double, ptr {w.at('double', '%rates', k)}, align 8")) for k in range(rates)]

    def eight(first: str, _: Any) -> list[str]:
        places = [w.at("double", array, first) for array in arrays]
        inputs = [*[w.put(f"load {w.type}, ptr {place}, align 8") for place in places], *common]
        nodes: list[str] = []

        def load(ref: int) -> str:
            space, index = unpack(ref)
            return {INPUT: inputs, NODE: nodes}[space][index] if space != CONST else w.number(rule.constants[index])

        for op, refs in zip(rule.operations, rule.operands, strict=True):
            nodes.append(form(op)(w, *map(load, refs)))
        for k, ref in enumerate(rule.outputs):
            place = 0 if k == 0 else k + 1  # the gradient lies between
            if ref != pack(INPUT, place):  # what a rule returns as it came stays
                w.do(f"store {w.type} {load(ref)}, ptr {places[place]}, align 8")
        w.do(f"store {w.type} zeroinitializer, ptr {places[1]}, align 8")
        return []

    if parameters:
        w.loop(padded(parameters), [], eight, WIDEST)
    arguments = "ptr noalias %params, ptr noalias %gradient, ptr noalias %state, ptr noalias %rates"
    return "\n".join([w.function("update", arguments), *definitions(w.used), ATTRIBUTES])
