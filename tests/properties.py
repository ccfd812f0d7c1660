"""What must hold for every program: the properties that the tests sample and that `make hunt` keeps looking at."""

import copy
import math
import pickle
import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath
from compiler_programs import (
    CHOICES,
    EXACT,
    PICKS,
    checked,
    growing_program,
    random_program,
    samples,
    sequence_program,
    written_program,
)

from micrograd_like import SGD, Adam, Value, compile, gradient, graph, mean, ops
from micrograd_like.compiler.pipeline import build
from micrograd_like.compiler.program import Program
from micrograd_like.compiler.trace import trace
from micrograd_like.order import shuffled
from micrograd_like.testing import Expression, assert_exact, gradcheck

RATIONAL = [
    ops.by_name(name)
    for name in ["add", "sub", "mul", "div", "neg", "relu", "abs", "where", "max", "min", "sum", "dot", "relu_dot"]
]


def first_derivatives_are_right(expression: Expression) -> None:
    assert gradcheck(expression, expression.values)


def second_derivatives_are_right(expression: Expression) -> None:
    assert gradcheck(expression, expression.values, order=2)


def third_derivatives_are_right(expression: Expression) -> None:
    """gradcheck's second derivatives, of a first derivative; away from kinks, where derivatives of all orders exist."""

    def slope(*xs: Value) -> Value:
        return gradient(expression(*xs), xs[0]) * 1.0

    if all(abs(s) > 1e-3 for s in switches(expression)):
        assert gradcheck(slope, expression.values, order=2)


def rational_programs_are_exact(expression: Expression) -> None:
    if all(op in RATIONAL for op, _ in expression.steps):
        assert_exact(expression, expression.values)


def carriers_record_the_same_graph_and_agree(expression: Expression) -> None:
    root = expression(*expression.values)
    shape = [node.op for node in graph.nodes(root)]
    with mpmath.workdps(50):
        for carrier in (mpmath.mpf, Fraction):
            other = expression(*[Value(carrier(v.data), label=v.label) for v in expression.values])
            assert [node.op for node in graph.nodes(other)] == shape
    exact = [bool(s > 0) for s in switches(expression, mpmath.mpf)]
    if exact == [bool(s > 0) for s in switches(expression)]:
        assert math.isclose(root.data, expression(*map(mpmath.mpf, expression.inputs)), rel_tol=1e-6, abs_tol=1e-6)


def duplicates_have_the_same_gradients(expression: Expression) -> None:
    root = expression(*expression.values)
    root.backward()
    expected = [(leaf.label, leaf.grad) for leaf in graph.leaves(root)]
    for twin in (copy.deepcopy(root), pickle.loads(pickle.dumps(root))):
        for leaf in graph.leaves(twin):
            leaf.zero_grad()
        twin.backward()
        assert [(leaf.label, leaf.grad) for leaf in graph.leaves(twin)] == expected


def two_roots_add_up(expression: Expression) -> None:
    """Two roots that share a subgraph, one after the other, give the gradient of their sum."""
    apart, together = expression.values, expression.values
    shared = expression(*apart)
    (shared * 2.0).backward()
    (shared * shared).backward()
    shared = expression(*together)
    (shared * 2.0 + shared * shared).backward()
    for a, b in zip(apart, together, strict=True):
        assert math.isclose(a.grad, b.grad, rel_tol=1e-9, abs_tol=1e-9 * (1 + shared.data**2))


def backward_agrees_with_gradient(expression: Expression) -> None:
    xs = expression.values
    root = expression(*xs)
    root.backward()
    for x, g in zip(xs, gradient(root, xs), strict=True):
        assert x.grad == g.data or math.isclose(x.grad, g.data, rel_tol=1e-6, abs_tol=1e-9)


def compiled_programs_are_eager_ones(expression: Expression) -> None:
    """Loss and gradient, with the numbers as parameters and as inputs, in one batch with others."""
    xs = expression.values
    root = expression(*xs)
    root.backward()
    loss, got = compile(lambda: expression(*xs), xs, cached=False).gradient()
    assert loss == root.data or math.isclose(loss, root.data, rel_tol=1e-12, abs_tol=1e-12)
    for x, g in zip(xs, got.tolist(), strict=True):
        assert x.grad == g or math.isclose(x.grad, g, rel_tol=1e-9, abs_tol=1e-9)
    scale = Value(1.0)
    shape = {f"x{k}": () for k in range(len(xs))}
    program = compile(lambda *inputs: expression(*[scale * x for x in inputs]), [scale], cached=False, **shape)
    rows = [[x.data] * 5 for x in xs]
    assert all(one == loss or math.isclose(one, loss, rel_tol=1e-12, abs_tol=1e-12) for one in program.losses(*rows))


def agrees_with_the_engine(program: Program, parameters: list[Value], losses: list[Value], *inputs: Any) -> None:
    """Whether a program's losses, and the gradient of their mean, are those of losses that the engine has computed."""
    mean(losses).backward()
    _, got = program.gradient(*inputs)
    used = {node.op.name for one in losses for node in graph.topological(one)}
    for one, expected in zip(program.losses(*inputs).tolist(), losses, strict=True):
        exact = one == expected.data or (one != one and expected.data != expected.data)
        assert exact or (not used <= EXACT and math.isclose(one, expected.data, rel_tol=1e-12, abs_tol=1e-12))
    largest = max(abs(float(p.grad)) for p in parameters)
    for p, g in zip(parameters, got.tolist(), strict=True):
        assert abs(p.grad - g) <= 1e-11 * largest + 1e-13


def loops_of_compiled_programs_are_eager_ones(seed: int) -> None:
    """The programs of compiler_programs.py: nests, shared weights, strides, recurrences, in batches of several sizes."""
    function, parameters, size = random_program(seed)
    rng = random.Random(seed)
    rows, picks = samples(rng, size, rng.choice([1, 2, 5, 8, 9, 40]))
    losses = [function([Value(x) for x in row], k) for row, k in zip(rows, picks, strict=True)]
    program = compile(function, parameters, cached=False, x=size, k=PICKS)
    agrees_with_the_engine(program, parameters, losses, rows, picks)


def steps_of_compiled_programs_are_eager_ones(seed: int) -> None:
    """`sgd` of the same programs, with every option that it has: the steps that `SGD` takes on the eager gradients."""
    function, parameters, size = random_program(seed)
    rng = random.Random(seed)
    rows, picks = samples(rng, size, rng.choice([1, 2, 5, 8, 9, 40]))
    rule: dict[str, Any] = {
        "lr": rng.choice([1e-3, lambda step: 1e-3 / (1 + step)]),
        "momentum": rng.choice([0.0, 0.0, 0.9]),
        "weight_decay": rng.choice([0.0, 0.0, 0.1]),
    }
    batch = rng.choice([None, 1, 2, 3, 8, 40])
    shuffle, epochs = rng.random() < 0.5, rng.randint(1, 2)
    before = [p.data for p in parameters]
    program = compile(function, parameters, cached=False, x=size, k=PICKS)
    order, rng = list(range(len(rows))), random.Random(3)
    optimizer, expected = SGD(parameters, **rule), []
    try:
        for _ in range(epochs):
            if shuffle and batch is not None and batch < len(rows):
                order = shuffled(len(rows), rng)
            for start in range(0, len(rows), batch or len(rows)):
                some = order[start : start + (batch or len(rows))]
                optimizer.zero_grad()
                loss = mean([function([Value(x) for x in rows[i]], picks[i]) for i in some])
                loss.backward()
                optimizer.step()
                expected.append(loss.data)
    except ValueError:  # what is not finite stops both
        expected = []
    after = [p.data for p in parameters]
    for p, x in zip(parameters, before, strict=True):
        p.data = x
    arguments = {"epochs": epochs, "batch_size": batch, "shuffle": shuffle, "seed": 3, **rule}
    try:
        losses = program.sgd(rows, picks, **arguments).tolist()
    except ValueError:
        losses = []
    assert all(math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9) for a, b in zip(losses, expected, strict=True))
    if losses:
        largest = max(abs(x - y) for x, y in zip(after, before, strict=True))
        for p, x in zip(parameters, after, strict=True):
            assert abs(p.data - x) <= 1e-9 * largest + 1e-13


def all_ways_of_calling_a_program_agree(seed: int) -> None:
    """Several outputs, batches of 1 to 257, any number of threads, `at`, `bind`, parts that are added up, Adam in steps."""
    function, parameters, size = (growing_program if seed % 4 == 0 else random_program)(seed)
    rng = random.Random(seed)
    count = rng.choice([1, 2, 7, 8, 31, 32, 33, 64, 100, 255, 256, 257])
    rows, picks = samples(rng, size, count)

    def several(x: Any, k: Any) -> Any:
        loss = function(x, k)
        return loss, [loss * 2, [x[0] + loss]]

    one = compile(function, parameters, cached=False, x=size, k=PICKS)
    many = compile(several, parameters, cached=False, x=size, k=PICKS)
    loss, gradient = one.gradient(rows, picks)
    losses = one.losses(rows, picks)
    first, (second, third) = many.outputs(rows, picks)
    assert first.tobytes() == losses.tobytes()
    assert second.tobytes() == (losses * 2).tobytes()
    assert third[:, 0].tobytes() == ([row[0] for row in rows] + losses).tobytes()
    theta, elsewhere = one.theta(), [0.0] * len(parameters)
    bound = one.bind(rows, picks)
    for again in (
        one.gradient(rows, picks, n_jobs=2), one.gradient(rows, picks, at=theta), many.gradient(rows, picks),
        bound(), bound(theta), (bound(elsewhere), bound(theta))[1],
    ):  # fmt: skip
        assert math.isclose(again[0], loss, rel_tol=1e-12, abs_tol=1e-12)
        assert max(abs(again[1] - gradient)) <= 1e-11 * max(abs(gradient)) + 1e-13
    assert one.gradient(rows, picks, n_jobs=3)[1].tobytes() == gradient.tobytes()
    before = [p.data for p in parameters]
    batch, jobs = rng.randint(1, count), rng.choice([1, 2])
    ends = []
    for steps in ((2,), (1, 1)):  # at one go, and in two: what an optimizer remembers lives on
        optimizer = Adam(parameters, lr=1e-3)
        try:
            for n in steps:
                one.train(rows, picks, optimizer=optimizer, epochs=n, batch_size=batch, shuffle=False, n_jobs=jobs)
        except ValueError:  # a loss stopped being finite
            pass
        ends.append([p.data for p in parameters])
        for p, x in zip(parameters, before, strict=True):
            p.data = x
    assert ends[0] == ends[1] or losses.max() != losses.max() or not all(map(math.isfinite, losses))


def programs_folded_with_moving_bounds_are_eager_ones(seed: int) -> None:
    """Triangles above all, and any other program: the second folding, whether it makes them shorter or not."""
    function, parameters, size = (growing_program if seed % 4 else random_program)(seed)
    rng = random.Random(seed)
    rows, picks = samples(rng, size, rng.choice([1, 2, 9]))
    losses = [function([Value(x) for x in row], k) for row, k in zip(rows, picks, strict=True)]
    recorded = trace(function, parameters, {"x": (size,), "k": (PICKS,)})
    program = Program(build(recorded, always=True), recorded, parameters, cached=False)
    agrees_with_the_engine(program, parameters, losses, rows, picks)


def programs_for_every_length_are_eager_ones(seed: int) -> None:
    """Sequences of different lengths in one call, and every address inside of its space."""
    function, parameters, shape = sequence_program(seed)
    rng = random.Random(seed)
    lengths = [rng.randint(shape.least, shape.longest) for _ in range(rng.choice([1, 2, 5, 9, 20]))]
    rows = [[[rng.uniform(-1, 1) for _ in range(*shape.rest)] for _ in range(n)] for n in lengths]
    picks = [[float(rng.randrange(CHOICES)) for _ in range(PICKS)] for _ in lengths]
    losses = [function([[Value(v) for v in x] for x in row], k) for row, k in zip(rows, picks, strict=True)]
    program = checked(compile(function, parameters, cached=False, x=shape, k=PICKS))
    agrees_with_the_engine(program, parameters, losses, rows, picks)


def samples_written_in_a_program_are_eager_ones(seed: int) -> None:
    """A loss over a data set without inputs: the mean, and the rest of the program, to the last bit."""
    function, parameters = written_program(seed)
    try:
        loss = function()
    except AttributeError:  # of a plain number, which has no methods
        return
    agrees_with_the_engine(checked(compile(function, parameters, cached=False)), parameters, [loss])


def switches(expression: Expression, carrier: Callable[[float], Any] = float) -> list[Any]:
    """The numbers whose signs decide on which side of its kinks the program is."""
    root = expression(*[Value(carrier(x)) for x in expression.inputs])
    found: list[Any] = []
    for node in graph.topological(root):
        if node.op.switches:
            found += node.op.switches(*[x.data if isinstance(x, Value) else x for x in node.operands])
    return found


PROPERTIES = [
    first_derivatives_are_right,
    second_derivatives_are_right,
    third_derivatives_are_right,
    rational_programs_are_exact,
    carriers_record_the_same_graph_and_agree,
    duplicates_have_the_same_gradients,
    two_roots_add_up,
    backward_agrees_with_gradient,
    compiled_programs_are_eager_ones,
    loops_of_compiled_programs_are_eager_ones,
    steps_of_compiled_programs_are_eager_ones,
    programs_folded_with_moving_bounds_are_eager_ones,
    programs_for_every_length_are_eager_ones,
    samples_written_in_a_program_are_eager_ones,
    all_ways_of_calling_a_program_agree,
]
