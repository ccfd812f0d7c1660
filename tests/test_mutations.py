"""Is a wrong derivative rule found? Every row gets rules that are wrong on purpose; its own test must kill them all."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from row_cases import ROWS, arity, check_row, sample

from micrograd_like import ieee, ops

Mutation = Callable[..., Any]  # of the right adjoint, a function that gives it for other arguments, and the arguments

# One operand's rule made wrong. `again` calls the right rule with other arguments.
MUTATIONS: dict[str, Mutation] = {
    "sign": lambda right, again, i, g, out, *xs: -right,
    "half": lambda right, again, i, g, out, *xs: right * 0.5,
    "without g": lambda right, again, i, g, out, *xs: again(1.0, out, *xs),
    "g twice": lambda right, again, i, g, out, *xs: right * g,
    "plus a constant": lambda right, again, i, g, out, *xs: right + 0.001,
    "a power more": lambda right, again, i, g, out, *xs: right * xs[i],
    "a power less": lambda right, again, i, g, out, *xs: ieee.div(right, xs[i]),
    "times the result": lambda right, again, i, g, out, *xs: right * out,
    "operands swapped": lambda right, again, i, g, out, *xs: again(g, out, *reversed(xs)),
    "result for operand": lambda right, again, i, g, out, *xs: again(g, xs[i], *xs),
    "no gradient": lambda right, again, i, g, out, *xs: None,
    "nearly": lambda right, again, i, g, out, *xs: right * (1 + 1e-13),
}
# A whole list of adjoints made wrong.
LIST_MUTATIONS: dict[str, Callable[[list[Any]], list[Any]]] = {
    "in reverse": lambda adjoints: adjoints[::-1],
    "turned by one": lambda adjoints: adjoints[1:] + adjoints[:1],
}


def mutants(op: ops.Operation) -> dict[str, ops.Operation]:
    """The row with one rule wrong, by the name of what was done to which operand."""
    made = {}
    for name, mutation in MUTATIONS.items():
        for i in range(arity(op)):
            if op.pullback is None:
                wrong = [*op.partials]
                wrong[i] = mutated(op.partials[i], mutation, i)
                made[f"{name}, operand {i}"] = replace(op, partials=tuple(wrong))
            else:
                made[f"{name}, operand {i}"] = replace(op, pullback=mutated_list(op.pullback, mutation, i))
    if op.pullback is not None:
        for name, change in LIST_MUTATIONS.items():
            made[name] = replace(op, pullback=changed(op.pullback, change))
    return made


def mutated(rule: Any, mutation: Mutation, i: int) -> Any:
    def wrong(g: Any, out: Any, *xs: Any) -> Any:
        right = rule(g, out, *xs)
        return None if right is None else mutation(right, rule, i, g, out, *xs)

    return wrong


def mutated_list(pullback: Any, mutation: Mutation, i: int) -> Any:
    def one(g: Any, out: Any, *xs: Any) -> Any:
        return pullback(g, out, *xs)[i]

    return lambda g, out, *xs: [
        mutation(right, one, i, g, out, *xs) if j == i and right is not None else right
        for j, right in enumerate(pullback(g, out, *xs))
    ]


def changed(pullback: Any, change: Callable[[list[Any]], list[Any]]) -> Any:
    return lambda *arguments: change(list(pullback(*arguments)))


def is_equivalent(op: ops.Operation, mutant: ops.Operation) -> bool:
    """Whether the change changes nothing: the rule of x + y is the same with its operands swapped."""
    rng = random.Random(1)
    for _ in range(100):
        xs, g = sample(op, rng), rng.uniform(-3, 3)
        out = op.function(*xs)
        if [a or 0 for a in op.vjp(g, out, *xs)] != [a or 0 for a in mutant.vjp(g, out, *xs)]:
            return False
    return True


def is_killed(mutant: ops.Operation) -> bool:
    try:
        check_row(mutant)
    except (AssertionError, TypeError, ValueError):
        return True
    return False


def test_every_mutant_is_killed() -> None:
    print(f"\n{'operation':<12}{'mutants':>8}{'killed':>8}{'same':>6}  survivors")
    survivors = {}
    for op in ROWS:
        check_row(op)
        same = killed = 0
        alive = []
        for name, mutant in mutants(op).items():
            if is_equivalent(op, mutant):
                same += 1
            elif is_killed(mutant):
                killed += 1
            else:
                alive.append(name)
        print(f"{op.name:<12}{same + killed + len(alive):>8}{killed:>8}{same:>6}  {', '.join(alive) or '-'}")
        assert killed >= 4, f"hardly any rule of {op.name} was made wrong"
        if alive:
            survivors[op.name] = alive
    assert not survivors


@pytest.mark.parametrize("name", ["mul", "tanh", "max"])
def test_the_mutants_of_a_row_differ_from_it(name: str) -> None:
    """The mutator itself: a wrong rule is wrong, and the row in the table is untouched."""
    op = ops.by_name(name)
    before = op.vjp(1.5, op.function(*[2.0] * arity(op)), *[2.0] * arity(op))
    wrong = mutants(op)["sign, operand 0"].vjp(1.5, op.function(*[2.0] * arity(op)), *[2.0] * arity(op))
    assert wrong[0] == -before[0]
    assert op.vjp(1.5, op.function(*[2.0] * arity(op)), *[2.0] * arity(op)) == before
