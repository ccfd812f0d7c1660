"""Every stage of the compiler, interpreted in plain Python, is the eager engine's program: loss bit for bit."""

import math
import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import pytest
from compiler_programs import PICKS, growing_program, random_program, samples
from hypothesis import given, settings
from hypothesis import strategies as st

import micrograd_like as mg
from micrograd_like import Value, ops
from micrograd_like.compiler import adjoint, affine, flow, loops, nest, sums, trace
from micrograd_like.compiler.loops import For, Ref, Table
from micrograd_like.compiler.nest import Assign
from micrograd_like.compiler.spaces import (
    ADJOINT,
    CONST,
    INPUT,
    NODE,
    PARAM,
    PARAM_GRADIENT,
    SHARED,
    SHARED_GRADIENT,
    TEMPORARY,
    pack,
)

seeds = st.integers(0, 2**32)


def eager(function: Any, parameters: list[Value], *inputs: Sequence[float]) -> tuple[float, list[float]]:
    for p in parameters:
        p.grad = 0
    out = function(*[[Value(v) for v in x] for x in inputs])
    out.backward()
    return out.data, [float(p.grad) for p in parameters]


def close(a: Sequence[Any], b: Sequence[Any]) -> bool:
    scale = max([abs(x) for x in b if math.isfinite(x)], default=0.0)
    return all(x == y or abs(x - y) <= 1e-11 * scale + 1e-13 or (x != x and y != y) for x, y in zip(a, b, strict=True))


def same(a: float, b: float) -> bool:
    return a == b or (a != a and b != b)


STEPS: list[Callable[[Any, Any], Any]] = [
    lambda x, y: x + y, lambda x, y: x * y, lambda x, y: x - y, lambda x, y: x.tanh(), lambda x, y: x * 0.5,
    lambda x, y: mg.max(x, y),
]  # fmt: skip


def run_nests(
    function: Any, parameters: list[Value], *, again: bool = False, **inputs: Sequence[float]
) -> tuple[float, list[float]]:
    """Loss and gradient by the interpreter of the nests and of their adjoints."""
    recorded = trace.trace(function, parameters, {name: (len(x),) for name, x in inputs.items()})
    flowing, found = affine.refold(recorded, None) if again else (flow.flow(recorded), None)  # type: ignore[misc]
    x = [v for numbers in inputs.values() for v in numbers]
    p = [v.data for v in parameters]
    gradient = [0.0] * len(p)
    shared, node = [0.0] * flowing.shared.slots, [0.0] * flowing.sample.slots
    shared_adjoint, node_adjoint = [0.0] * flowing.shared.slots, [0.0] * flowing.sample.slots
    nests = []
    for k, (section, seed) in enumerate(((flowing.shared, None), (flowing.sample, flowing.sample.outputs))):
        terms = loops.recover(section) if found is None else found[k]
        assert loops.lines(terms) == section.lines
        nests.append((nest.lower(terms, flowing.constants), adjoint.adjoint(terms, flowing.constants, seed)))
    scratch = [0.0] * max(back.temporaries for _, back in nests)
    common = {PARAM: p, PARAM_GRADIENT: gradient, CONST: flowing.constants, TEMPORARY: scratch}
    outer = common | {NODE: shared, ADJOINT: shared_adjoint}
    inner = common | {NODE: node, ADJOINT: node_adjoint, INPUT: x, SHARED: shared, SHARED_GRADIENT: shared_adjoint}
    nest.interpret(nests[0][0], outer)
    nest.interpret(nests[1][0], inner)
    if (zeroed := nests[1][1].zeroed) is not None:  # what need not be zero is anything
        node_adjoint[:] = [0.0 if slot in zeroed else math.nan for slot in range(len(node_adjoint))]
    loss = node[flowing.sample.outputs]
    node_adjoint[flowing.sample.outputs] = 1.0
    for (_, back), memory in ((nests[1], inner), (nests[0], outer)):
        nest.interpret(back.sweep, memory)
        nest.interpret(back.contributions, memory)
    return loss, gradient


@given(seeds)
def test_each_stage_computes_what_the_engine_computes(seed: int) -> None:
    function, parameters, size = random_program(seed)
    (x,), (k,) = samples(random.Random(seed), size, 1)
    expected, gradient = eager(function, parameters, x, k)
    recorded = trace.trace(function, parameters, {"x": (size,), "k": (PICKS,)})
    p = [v.data for v in parameters]
    assert same(recorded.interpret(p, x + k)[0], expected)
    flowing = flow.flow(recorded)
    assert same(flowing.interpret(p, x + k)[1][flowing.sample.outputs], expected)
    loss, got = run_nests(function, parameters, x=x, k=k)
    assert same(loss, expected)
    assert close(got, gradient)


@given(seeds)
@settings(max_examples=15)
def test_the_same_is_true_of_programs_without_a_pattern(seed: int) -> None:
    rng = random.Random(seed)
    parameters = [Value(rng.uniform(-1, 1)) for _ in range(20)]
    plan = [(rng.randrange(6), rng.random(), rng.random()) for _ in range(900)]

    def function(x: Sequence[Any]) -> Any:
        v = [*x, *parameters]
        for kind, a, b in plan:
            left, right = v[-1 - int(a * min(len(v), 40))], v[int(b * len(v))]
            v.append(STEPS[kind](left, right))
        return mg.mean(v[-60:])

    x = [rng.gauss(0, 1) for _ in range(4)]
    expected, gradient = eager(function, parameters, x)
    loss, got = run_nests(function, parameters, x=x)
    assert loss == expected
    assert close(got, gradient)
    terms = loops.recover(flow.flow(trace.trace(function, parameters, {"x": (4,)})).sample)
    assert any(isinstance(term, Table) for term in terms)


@pytest.mark.parametrize("sizes", [(64, 32, 10), (5, 8, 8, 8, 8, 3)])
def test_a_network_folds_into_a_few_loops_whatever_its_size(sizes: tuple[int, ...]) -> None:
    from compiler_programs import ScalarNetwork

    network = ScalarNetwork(sizes, random.Random(0))
    recorded = trace.trace(lambda x: mg.sum(network(x)), network.parameters(), {"x": (sizes[0],)})
    flowing = flow.flow(recorded)
    text = loops.show(loops.recover(flowing.sample), flowing.constants)
    assert len(text.splitlines()) < 25
    assert f"for i in range({sizes[1]}):" in text
    assert f"for j in range({sizes[0]}))" in text


def test_a_loss_over_a_data_set_folds_into_a_loop_over_its_samples() -> None:
    model = mg.MLP(2, [4, 1], rng=0)
    data = [([float(i), i * 0.5], 1.0 if i % 3 else -1.0) for i in range(20)]
    recorded = trace.trace(lambda: mg.mean([mg.hinge_loss(model(x), y) for x, y in data]), model.parameters(), {})
    terms = loops.recover(flow.flow(recorded).shared)
    assert loops.lines(terms) == flow.flow(recorded).shared.lines
    assert isinstance(terms[0], For)
    assert terms[0].trips == 20


# ---- what may be reordered ----------------------------------------------------------------------------------------

small = st.integers(-3, 3)


@st.composite
def address_pairs(draw: st.DrawFn) -> Any:
    common = draw(st.integers(0, 2))
    ranges = [(0, draw(st.integers(0, 3))) for _ in range(common)]
    a_ranges = ranges + [(0, draw(st.integers(0, 3))) for _ in range(draw(st.integers(1, 2)))]
    b_ranges = [*ranges, a_ranges[common], *[(0, draw(st.integers(0, 3))) for _ in range(draw(st.integers(0, 1)))]]
    a = Ref(0, draw(st.integers(-8, 8)), tuple(draw(small) for _ in a_ranges))
    b = Ref(0, draw(st.integers(-8, 8)), tuple(draw(small) for _ in b_ranges))
    distance = draw(st.sampled_from([None, (1, 1), (1, 3), (-3, -1)]))
    return a, b, a_ranges, b_ranges, common, distance


def every(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, ...]]:
    import itertools

    return list(itertools.product(*[range(low, high + 1) for low, high in ranges]))


@given(address_pairs())
@settings(max_examples=500)
def test_addresses_that_are_said_never_to_meet_never_do(pair: Any) -> None:
    a, b, a_ranges, b_ranges, common, distance = pair
    meets = any(
        loops.at(a, i).base == loops.at(b, j).base
        for i in every(a_ranges)
        for j in every(b_ranges)
        if i[:common] == j[:common] and (distance is None or distance[0] <= j[common] - i[common] <= distance[1])
    )
    assert nest.may_alias(a, b, a_ranges, b_ranges, common, distance) >= meets


@pytest.mark.parametrize(
    ("a", "b", "answer"),
    [
        (Ref(0, 0, (2,)), Ref(0, 1, (2,)), False),  # even and odd
        (Ref(0, 0, (1,)), Ref(0, 10, (1,)), False),  # apart
        (Ref(0, 0, (1,)), Ref(1, 0, (1,)), False),  # other spaces
        (Ref(0, 0, (1,)), Ref(0, 3, (-1,)), True),
    ],
)
def test_strides_offsets_and_spaces_tell_addresses_apart(a: Ref, b: Ref, answer: bool) -> None:
    assert nest.may_alias(a, b, [(0, 4)], [(0, 4)]) is answer


@given(st.data(), seeds)
@settings(max_examples=300)
def test_iterations_that_are_said_to_be_independent_can_be_interleaved(data: st.DataObject, seed: int) -> None:
    trips = data.draw(st.integers(2, 5))
    spot = st.builds(lambda b, c: Ref(NODE, b, (c,)), st.integers(6, 12), st.integers(-1, 2))
    statement = st.builds(
        lambda target, accumulate, x, y: Assign(target, accumulate, (x, y), ((ops.add, (0, 1)),)),
        spot, st.booleans(), spot, spot,
    )  # fmt: skip
    body = tuple(data.draw(st.lists(statement, min_size=1, max_size=3)))
    loop = For(trips, body)
    distance = data.draw(st.sampled_from([None, 1, 2]))
    if not nest.independent(loop, (), distance):
        return
    rng = random.Random(seed)
    start = [Fraction(rng.randrange(100)) for _ in range(40)]
    straight, mixed = {NODE: list(start)}, {NODE: list(start)}
    nest.interpret([loop], straight)
    group = trips if distance is None else distance + 1
    for first in range(0, trips, group):  # every iteration's statements in order, the iterations mixed
        waiting = {i: list(body) for i in range(first, min(first + group, trips))}
        while waiting:
            i = rng.choice(list(waiting))
            nest.interpret([waiting[i].pop(0)], mixed, (i,))
            if not waiting[i]:
                del waiting[i]
    assert straight == mixed


spots = st.builds(lambda b, c: Ref(ADJOINT, b, tuple(c)), st.integers(12, 24), st.tuples(*[st.integers(-2, 2)] * 2))
accumulations = st.builds(
    lambda target, x, y: Assign(target, True, (x, y), ((ops.mul, (0, 1)),)),
    spots, spots, st.builds(lambda b, c: Ref(PARAM, b, tuple(c)), st.integers(12, 24), st.tuples(*[st.integers(-2, 2)] * 2)),
)  # fmt: skip


@given(st.lists(accumulations, min_size=1, max_size=3), st.integers(1, 4), st.integers(1, 3), st.booleans(), seeds)
@settings(max_examples=300)
def test_accumulations_that_are_split_and_summed_in_registers_stay_the_same(
    body: list[Assign], outer: int, inner: int, nested: bool, seed: int
) -> None:
    loop = For(outer, (For(inner, tuple(body)),))
    if not nested:
        flat = [Assign(t.target, True, t.leaves, t.code) for t in body]
        loop = For(outer, tuple(For(inner, (t,)) for t in flat))
    rng = random.Random(seed)
    numbers = [Fraction(rng.randrange(-5, 6)) for _ in range(40)]
    start = [Fraction(rng.randrange(-5, 6)) for _ in range(40)]
    plain = {ADJOINT: list(start), PARAM: numbers}
    nest.interpret([loop], plain)
    for given_seed in (None, 39):
        settled, zeroed = sums.settle([loop], [], given_seed)
        if zeroed is None:
            memory = {ADJOINT: list(start), PARAM: numbers}
            nest.interpret(settled, memory)
            assert memory == plain
        else:
            from_zero = {ADJOINT: [Fraction(0)] * 39 + [Fraction(3)], PARAM: numbers}
            nest.interpret([loop], from_zero)
            got = {ADJOINT: [Fraction(0) if k in zeroed else Fraction(1, 7) for k in range(40)], PARAM: numbers}
            got[ADJOINT][39] = Fraction(3)
            touched = {a for access in nest.accesses([loop]) if access.ref.space == ADJOINT
                       for a in sums._addresses(access.ref, access.ranges)}  # fmt: skip
            nest.interpret(settled, got)
            assert all(got[ADJOINT][k] == from_zero[ADJOINT][k] for k in touched)


def test_the_adjoint_of_a_dot_product_is_a_sum_in_a_register_that_needs_no_zero_before() -> None:
    model = mg.MLP(3, [4, 3], rng=0)
    flowing = flow.flow(trace.trace(lambda x: mg.logsumexp(model(x)), model.parameters(), {"x": (3,)}))
    back = adjoint.adjoint(loops.recover(flowing.sample), flowing.constants, flowing.sample.outputs)
    text = nest.show(back.sweep)
    assert "= 0.0 + … (dv[j + 8] * p[i + 5*j + 16]) for j in range(3)" in text
    assert back.zeroed == ()


def test_a_recurrence_and_a_shared_destination_are_not_independent() -> None:
    step = Assign(Ref(NODE, 1, (1,)), False, (Ref(NODE, 0, (1,)),))
    assert not nest.independent(For(5, (step,)))
    one_place = Assign(Ref(NODE, 1, (0,)), False, (Ref(NODE, 9, (1,)),))
    assert not nest.independent(For(5, (one_place,)))
    adding = Assign(Ref(NODE, 1, (0,)), True, (Ref(NODE, 9, (1,)),))
    assert nest.independent(For(5, (adding,)))
    far = Assign(Ref(NODE, 3, (1,)), False, (Ref(NODE, 0, (1,)),))
    assert nest.independent(For(9, (far,)), (), 2)
    assert not nest.independent(For(9, (far,)), (), 3)


def test_a_loop_that_carries_a_dependence_is_reversed_for_its_adjoint() -> None:
    p = Value(0.5)

    def function(x: Sequence[Any]) -> Any:
        total = x[0]
        for v in x:
            total = (total * p).tanh() + v
        return total

    terms = loops.recover(flow.flow(trace.trace(function, [p], {"x": (20,)})).sample)
    text = nest.show(adjoint.adjoint(terms, []).sweep)
    assert "dv[-3*i" in text


# ---- the table's rules --------------------------------------------------------------------------------------------


def test_rules_of_lists_are_found_to_be_separable_or_not() -> None:
    weights, inputs, bias = (adjoint.separable_rules(ops.dot, 1, 2) or [])[1:] + (
        adjoint.separable_rules(ops.dot, 1, 2) or []
    )[:1]
    assert weights is not None
    assert inputs is not None
    assert bias is not None
    assert weights.code == inputs.code == ((ops.mul, (0, 1)),)
    assert bias.code == ()
    assert adjoint.separable_rules(ops.logsumexp, 0, 1) is None
    assert adjoint.separable_rules(ops.max, 0, 1) is None
    assert adjoint.separable_rules(ops.gather, 1, 1) is None


def test_every_stage_has_a_printable_form() -> None:
    model = mg.MLP(3, [4, 2], rng=0)
    recorded = trace.trace(lambda x: mg.logsumexp(model(x)), model.parameters(), {"x": (3,)})
    assert "node[0] = dot(param[0], param[1], param[2], param[3], input[0]" in str(recorded)
    flowing = flow.flow(recorded)
    assert "for each sample:\nv[0] = dot(p[3], p[0]+1*k0, x[0]+1*k0 for k0<3)" in str(flowing)
    terms = loops.recover(flowing.sample)
    assert "v[2*i] = p[4*i + 3] + sum(p[4*i + j] * x[j] for j in range(3))" in loops.show(terms, flowing.constants)
    nests = nest.show(nest.lower(terms, flowing.constants))
    assert "v[2*i] = p[4*i + 3] + … (p[4*i + j] * x[j]) for j in range(3)" in nests
    contributions = nest.show(adjoint.adjoint(terms, flowing.constants).contributions)
    assert "dp[4*i + j] += (dv[2*i] * x[j])" in contributions


def test_a_loop_is_turned_where_its_body_goes_on_with_a_loop() -> None:
    """a (b b b) a (b b b) a (b b b) a c is a, then three times (b b b) a, then c: so it looks like others before a c."""

    def line(op: ops.Operation, place: int) -> flow.Line:
        return flow.Line(op, (pack(PARAM, place),), (), (), (), place)

    lines = []
    for i in range(4):
        lines.append(line(ops.neg, 100 * i))
        if i < 3:
            lines += [line(ops.exp, 100 * i + 1 + k) for k in range(3)]
    lines.append(line(ops.log, 999))
    first, loop, last = loops.recover(flow.Section(lines, 1000, 999))
    assert (first.op, last.op) == (ops.neg, ops.log)
    assert loop.trips == 3
    inner, after = loop.body
    assert (inner.trips, inner.body[0].op, after.op) == (3, ops.exp, ops.neg)
    assert loops.lines([first, loop, last]) == lines
    lines[-1] = line(ops.exp, 301)  # what goes on with the begun iteration turns nothing
    loop, *_ = loops.recover(flow.Section(lines, 1000, 999))
    assert loop.body[0].op is ops.neg
    assert loops.lines(loops.recover(flow.Section(lines, 1000, 999))) == lines


@given(seeds)
@settings(max_examples=40)
def test_stages_with_bounds_that_move_compute_what_the_engine_computes(seed: int) -> None:
    function, parameters, size = (growing_program if seed % 4 else random_program)(seed)
    (x,), (k,) = samples(random.Random(seed), size, 1)
    expected, gradient = eager(function, parameters, x, k)
    flowing, terms = affine.refold(trace.trace(function, parameters, {"x": (size,), "k": (PICKS,)}), None)  # type: ignore[misc]
    assert loops.lines(terms[1]) == flowing.sample.lines
    p = [v.data for v in parameters]
    assert same(flowing.interpret(p, x + k)[1][flowing.sample.outputs], expected)
    loss, got = run_nests(function, parameters, again=True, x=x, k=k)
    assert same(loss, expected)
    assert close(got, gradient)


def causal(n: int, width: int) -> tuple[Callable[[Any], Any], list[Value]]:
    """Attention with a causal mask, as written for scalars."""
    p = [Value(math.sin(k)) for k in range(3 * width * width)]

    def project(row: Any, which: int) -> Any:
        start = which * width * width
        return [sum(p[start + i * width + d] * row[d] for d in range(width)) for i in range(width)]

    def function(x: Any) -> Any:
        keys, values, out = [], [], []
        for t in range(n):
            query, key, value = (project(x[t], which) for which in range(3))
            keys.append(key)
            values.append(value)
            scores = [sum(a * b for a, b in zip(query, k, strict=True)) for k in keys]
            largest = mg.max(scores)
            weights = [(s - largest).exp() for s in scores]
            total = sum(weights)
            out += [sum(w / total * v[d] for w, v in zip(weights, values, strict=True)) for d in range(width)]
        return sum(v * v for v in out)

    return function, p


def test_a_causal_mask_is_a_loop_whose_bound_moves_whatever_the_length() -> None:
    texts = []
    for n in (9, 12):
        function, p = causal(n, 4)
        program = mg.compile(function, p, x=(n, 4))
        texts.append(str(program))
        rows = [[math.cos(3 * t + d) for d in range(4)] for t in range(n)]
        expected, gradient = eager(
            lambda flat, f=function: f([flat[i : i + 4] for i in range(0, len(flat), 4)]),
            p,
            [x for row in rows for x in row],
        )
        for count in (1, 3, 11):
            loss, got = program.gradient([rows] * count)
            assert math.isclose(loss, expected, rel_tol=1e-14)
            assert close(got.tolist(), gradient)
    assert "for k in range(i + 1):" in texts[0] or "for j in range(i + 1):" in texts[0]
    assert len(texts[0].splitlines()) == len(texts[1].splitlines()) < 30


def test_bounds_turn_with_a_loop_that_is_run_backwards() -> None:
    around = loops.bound(1, (1,), (5,))  # range(i + 1)
    inner = For(loops.bound(0, (1, 1), (5, 5)), (Assign(Ref(NODE, 0, (7, 3, 1)), False, (Ref(INPUT, 0, (0, 0, 0)),)),))
    outer = For(5, (For(around, (inner,)),))

    def order(term: Any) -> list[tuple[int, ...]]:
        """The addresses that are written, in their order."""
        found: list[Any] = []

        def walk(term: Any, counters: tuple[int, ...]) -> None:
            if isinstance(term, For):
                for i in range(loops.turns(term.trips, counters)):
                    for part in term.body:
                        walk(part, (*counters, i))
            else:
                found.append(loops.at(term.target, counters).base)

        walk(term, ())
        return found

    forward = order(outer)
    assert len(forward) == sum(i + j for i in range(5) for j in range(i + 1))
    flipped = adjoint.backwards(outer, 0)
    flipped = For(flipped.trips, tuple(adjoint.backwards(part, 1) for part in flipped.body))
    flipped = For(5, (For(flipped.body[0].trips, tuple(adjoint.backwards(part, 2) for part in flipped.body[0].body)),))
    assert order(flipped) == forward[::-1]


@given(seeds)
@settings(max_examples=12)
def test_the_pipeline_checks_and_runs_each_stage(seed: int) -> None:
    function, parameters, size = (growing_program if seed % 4 == 0 else random_program)(seed)
    (x,), (k,) = samples(random.Random(seed), size, 1)
    expected, gradient = eager(function, parameters, x, k)
    program = mg.compile(function, parameters, x=size, k=PICKS)
    numbers = [p.data for p in parameters]
    found = program.stages()
    for stage in found:
        assert stage.text or stage.name == "adjoint"  # of what depends on no parameter
        assert str(stage).startswith(f"# {stage.name}: {stage.about}\n")
        stage.check()
    for stage in found[:2] + found[3:4]:
        assert stage.run is not None
        assert same(stage.run(numbers, x + k), expected), stage.name
    assert found[4].run is not None
    loss, got = found[4].run(numbers, x + k)
    assert same(loss, expected)
    assert close(got, gradient)


def test_a_check_says_what_a_stage_has_got_wrong() -> None:
    p = [Value(1.0), Value(2.0)]
    wrong: list[tuple[str, str, Callable[[mg.Program], Any]]] = [
        ("trace", "reads what comes after it", lambda program: program._recorded.operands.__setitem__(0, (5,))),  # type: ignore[union-attr]
        ("nests", "outside of its space", lambda program: setattr(program._parts.sample, "slots", 0)),
    ]
    for name, message, change in wrong:
        program = mg.compile(lambda x: p[0] * x + p[1], p, x=())
        (stage,) = [stage for stage in program.stages() if stage.name == name]
        stage.check()
        change(program)
        with pytest.raises(AssertionError, match=message):
            stage.check()


def test_a_loss_over_constants_has_its_stages_too() -> None:
    p = Value(3.0)
    program = mg.compile(lambda: sum((p * k - 1) ** 2 for k in range(5)) * 0.2, [p])
    runs = [stage.run([3.0], []) for stage in program.stages() if stage.run is not None]
    assert runs == [program(), program(), program(), (program(), program.gradient()[1].tolist())]


@pytest.mark.parametrize("size", [2, 3, 10])
def test_the_way_back_through_a_composed_row_computes_no_power_again(size: int) -> None:
    parameters = [mg.Value(0.5 * k - 1) for k in range(size)]
    program = mg.compile(lambda y: mg.cross_entropy(parameters, y), parameters, y=())
    text = {stage.name: stage.text for stage in program.stages()}
    assert "exp(" in text["nests"]
    assert "exp(" not in text["adjoint"]
    for y in range(size):
        for p in parameters:
            p.grad = 0
        mg.cross_entropy(parameters, y).backward()
        gradient = program.gradient([y])[1]
        assert close(gradient.tolist(), [p.grad for p in parameters])


def test_what_a_loop_writes_at_one_place_is_not_steady_in_it() -> None:
    one_place = For(3, (Assign(Ref(NODE, 5, (0,)), False, (Ref(NODE, 0, (1,)),)),))
    moving = For(3, (Assign(Ref(NODE, 5, (1,)), False, (Ref(NODE, 0, (0,)),)),))
    assert not nest.steady(Ref(NODE, 5), [], one_place)
    assert nest.steady(Ref(NODE, 6), [], one_place)
    assert nest.steady(Ref(NODE, 0), [], moving)  # it is read, and never written
    assert not nest.steady(Ref(NODE, 6), [], moving)
