"""The page's engine in a real browser, against the library: every row, whole expressions, trainings, steps."""

import json
import math
import random
import re
from typing import Any

import pytest
from browser import CODEC, browser, decode, encode, opened, ulps
from hypothesis import given, settings
from row_cases import arity, sample, wide_sample
from special_points import POINTS

import micrograd_like as mg
from micrograd_like import Value, ops
from micrograd_like.order import shuffled
from micrograd_like.player.javascript import FORMS, LOOPS, PlayError, adjoints, kernel
from micrograd_like.player.layout import graph_layout
from micrograd_like.player.page import VIEWS, engine_source, part
from micrograd_like.player.program import Kernels, of_graph, of_model
from micrograd_like.testing import expressions

__all__ = ["browser"]

# The largest distance between the browser's number and Python's, in units in the last place: arithmetic has none.
VALUE_ULPS = {"exp": 1, "log": 1, "sin": 1, "cos": 1, "tanh": 2, "pow": 1, "sigmoid": 2, "softplus": 2, "logsumexp": 2}
SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    2.0,
    -2.5,
    5e-324,
    1e-8,
    709.0,
    -745.0,
    1e308,
    -1e308,
    math.inf,
    -math.inf,
    math.nan,
]


@pytest.fixture(scope="module")
def page(browser: Any) -> Any:
    with opened(browser) as found:
        found.add_script_tag(content=CODEC)
        yield found


def cases(op: ops.Operation) -> list[list[float]]:
    """The table's special points, special numbers against each other, and random operands."""
    rng, n = random.Random(op.name), arity(op)
    found = [list(point.operands) for point in POINTS if point.operation == op.name and len(point.operands) == n]
    found += [[rng.choice(SPECIAL) for _ in range(n)] for _ in range(200)] if n > 1 else [[x] for x in SPECIAL]
    found += [sample(op, rng) for _ in range(60)] + [wide_sample(op, rng) for _ in range(60)]
    return found


def in_browser(page: Any, op: ops.Operation, points: list[list[float]], g: float) -> list[list[str]]:
    """For each point the value, then for each operand its derivative, or "" where none arrived."""
    n = len(points[0])
    source = f"""
    const kernel = {kernel(op, n, [True] * n)};
    const answer = (texts) => {{
      const M = Float64Array.from(texts.map(decode)), D = new Float64Array(M.length), F = new Uint8Array(M.length);
      const a = Int32Array.from(M.keys()), out = kernel.f(M, a);
      kernel.b({g!r}, out, M, a, D, F);
      return [encode(out), ...[...D].map((d, i) => F[i] ? encode(d) : "")];
    }};
    """
    js = "(points) => {" + engine_source([]) + source + "return points.map(answer); }"
    return page.evaluate(js, [encode(xs) for xs in points])  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", list(ops.TABLE))
def test_every_row_has_python_s_value_and_derivatives(page: Any, name: str) -> None:
    op, g = ops.by_name(name), 1.5
    points = cases(op)
    for xs, (value, *derivatives) in zip(points, in_browser(page, op, points, g), strict=True):
        allowed = VALUE_ULPS.get(name, 0)
        # A composed row is its expansion, as the page has it.
        out = op.function(*xs) if op.expansion is None or name in LOOPS else op.expansion(*xs)
        assert ulps(decode([value])[0], out) <= allowed, (xs, out, decode([value])[0])
        for i, (got, want) in enumerate(zip(derivatives, adjoints(op, g, out, xs), strict=True)):
            flows = want is not None and type(want) is not int
            assert bool(got) == flows, (xs, i, got, want)
            if flows:
                # Where the values agree to the bit the derivatives differ by what their own functions may.
                assert near(decode([got])[0], want, allowed), (xs, i, decode([got])[0], want)


@pytest.mark.parametrize("name", [name for name, op in ops.TABLE.items() if op.switches])
def test_every_kink_is_where_the_table_has_it(page: Any, name: str) -> None:
    op = ops.by_name(name)
    assert op.switches is not None
    points = [xs for xs in cases(op) if all(map(math.isfinite, xs))]
    n = len(points[0])
    js = f"""(points) => {{ {engine_source([])} const kernel = {kernel(op, n, [True] * n)};
      return points.map((texts) => kernel.s(Float64Array.from(texts.map(decode)), Int32Array.from(texts.keys())).map(encode)); }}"""
    for xs, found in zip(points, page.evaluate(js, [encode(xs) for xs in points]), strict=True):
        assert all(ulps(a, float(b)) == 0 for a, b in zip(decode(found), op.switches(*xs), strict=True)), xs


def near(got: float, want: float, allowed: int) -> bool:
    """Equal to the bit where everything is arithmetic; else to a few units, or to the last bits of a tiny one."""
    if not allowed:
        return ulps(got, want) == 0
    return ulps(got, want) <= 8 or math.isclose(got, want, rel_tol=4e-15, abs_tol=1e-300)


def test_a_row_has_a_form_or_a_loop_or_an_expansion() -> None:
    for name, op in ops.TABLE.items():
        assert (name in FORMS) + (name in LOOPS) + (op.expansion is not None and name not in LOOPS) == 1, name
    assert set(FORMS) | set(LOOPS) <= set(ops.TABLE)


def test_a_row_without_a_form_is_refused_by_name() -> None:
    odd = ops.Operation("odd", "odd", math.cbrt, (lambda g, out, x: g,))
    with pytest.raises(PlayError, match="'odd' has no JavaScript form and no expansion"):
        kernel(odd, 1, [True])


def test_a_row_of_a_user_plays_by_its_expansion(page: Any) -> None:
    swish = ops.Operation(
        "swish",
        "swish",
        lambda x: ops.mul(x, ops.sigmoid(x)),
        (lambda g, out, x: g * (ops.sigmoid(x) + out * ops.sigmoid(-x)),),
        expansion=lambda x: x * ops.sigmoid(x),
    )
    ((value, derivative),) = in_browser(page, swish, [[0.7]], 1.0)
    assert math.isclose(decode([value])[0], 0.7 / (1 + math.exp(-0.7)), rel_tol=1e-15)
    s = 1 / (1 + math.exp(-0.7))
    assert math.isclose(decode([derivative])[0], s + 0.7 * s * (1 - s), rel_tol=1e-14)


def run(page: Any, program: Any, body: str, argument: Any = None) -> Any:
    """Run JavaScript beside a program, `P`, and its kernels."""
    kernels = Kernels()
    spec = program.to_json(kernels)
    js = f"(given) => {{ {engine_source([kernels])} const P = new Program({literal(spec)}, KERNELS); {body} }}"
    return page.evaluate(js, argument)


def literal(x: Any) -> str:
    return json.dumps(x)


@settings(max_examples=40)
@given(expressions())
def test_gradients_of_random_expressions_are_the_engine_s(page: Any, expression: Any) -> None:
    leaves = expression.values
    out = expression(*leaves)
    if not isinstance(out, Value):
        return
    out.backward()
    program, nodes = of_graph(out)
    texts = run(page, program, "P.forward(); P.clear(); P.backward(1); return [...P.M, ...P.D].map(encode);")
    found = decode(texts)
    values, gradients = found[: len(nodes)], found[len(nodes) :]
    exact = all(line.op.name not in VALUE_ULPS for line in program.lines)
    for node, value in zip(nodes, values, strict=True):
        if exact:
            assert ulps(value, float(node.data)) == 0
        assert value == pytest.approx(float(node.data), rel=1e-12, abs=1e-12, nan_ok=True)
    for leaf in leaves:
        if leaf in nodes:
            got = gradients[nodes.index(leaf)]
            assert got == pytest.approx(float(leaf.grad), rel=1e-11, abs=1e-9, nan_ok=True)


def spiral(n: int, seed: int) -> list[tuple[list[float], int]]:
    """Two classes around each other."""
    rng = random.Random(seed)
    found = []
    for i in range(n):
        angle, side = 3.5 * i / n, 1 if i % 2 else -1
        radius = 0.3 + angle / 3
        x = [side * radius * math.cos(angle) + rng.gauss(0, 0.1), side * radius * math.sin(angle) + rng.gauss(0, 0.1)]
        found.append((x, side))
    return found


def training(page: Any, model: Any, data: Any, loss: Any, steps: int, batch: int | None, seed: int, rate: float) -> Any:
    """The losses and the last parameters of a training in the page."""
    parameters = dict(model.named_parameters())
    shapes = ((len(data[0][0]),), ())
    program = of_model(model, parameters, loss, shapes)
    state = list(random.Random(seed).getstate()[1])
    body = f"""
    const rows = {json.dumps([[*x, y] for x, y in data])};
    const T = new Training(P, rows, P.spec.start, {{ rates: [[0, {rate}]], batch: {batch or 0}, seed: given,
        optimizer: {{ states: 0, columns: [{rate}], scaled: [true], rate: {rate}, step: (p, g, s, [r], moving, to) => {{ for (let i = 0; i < p.length; i++) to[i] = p[i] - r * g[i]; }} }} }});
    T.at({steps});
    return [T.losses.map(encode), [...T.past[{steps}].p].map(encode)];
    """
    losses, last = run(page, program, body, state)
    return decode(losses), decode(last)


@pytest.mark.parametrize("batch", [None, 12])
def test_200_steps_of_a_network_of_arithmetic_are_fit_s_to_the_bit(page: Any, batch: int | None) -> None:
    data = spiral(48, 3)
    model = mg.MLP(2, [6, 5, 1], rng=4)
    steps = 200
    losses, last = training(page, model, data, mg.hinge_loss, steps, batch, 7, 0.1)
    epochs = steps // (1 if batch is None else 4)
    history = mg.fit(model, data, mg.hinge_loss, mg.SGD(model.parameters(), lr=0.1), epochs, batch, rng=7)
    assert losses == history.losses
    assert last == [p.data for p in model.parameters()]


@pytest.mark.parametrize("loss", [mg.mse_loss, mg.binary_cross_entropy_with_logits])
def test_200_steps_with_tanh_are_fit_s_to_nine_digits(page: Any, loss: Any) -> None:
    data = [(x, max(y, 0)) for x, y in spiral(40, 5)]
    model = mg.MLP(2, [4, 1], activation="tanh", rng=2)
    losses, last = training(page, model, data, loss, 200, None, 0, 0.3)
    history = mg.fit(model, data, loss, mg.SGD(model.parameters(), lr=0.3), 200)
    assert losses == pytest.approx(history.losses, rel=1e-9)
    assert last == pytest.approx([p.data for p in model.parameters()], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("activation", "loss", "lr"),
    [
        ("tanh", mg.mse_loss, 0.3),
        ("relu", mg.hinge_loss, 0.4),
        ("relu", mg.mse_loss, 1.5),
        ("sigmoid", mg.mse_loss, 2.0),
    ],
)
def test_a_step_is_explained_as_by_explain_step(page: Any, activation: str, loss: Any, lr: float) -> None:
    data = spiral(24, 8)
    model = mg.MLP(2, [5, 3, 1], activation=activation, rng=11)
    total = loss([model(x) for x, _ in data], [y for _, y in data])
    report = mg.explain_step(total, model, lr)
    program = of_model(model, dict(model.named_parameters()), loss, ((2,), ()))
    found = run(
        page,
        program,
        f"""
        const rows = {json.dumps([[*x, y] for x, y in data])}, g = new Float64Array(P.count), p = Float64Array.from(P.spec.start);
        const before = P.gradientOf(p, rows, g), to = p.map((x, i) => x - {lr} * g[i]);
        const e = explain(P, p, g, to, rows, before);
        return [e.before, e.after, e.residual, [...e.predicted], [...e.alone], [...e.share]];
        """,
    )
    before, after, residual, predicted, alone, share = found
    scale = max(abs(report.change), abs(report.predicted))
    assert (before, after) == pytest.approx((report.before, report.after), rel=1e-12)
    assert abs(residual) <= 2e-9 * scale
    for i, entry in enumerate(report.parameters):
        assert predicted[i] == pytest.approx(entry.predicted, rel=1e-9, abs=1e-9 * scale)
        assert alone[i] == pytest.approx(entry.alone, rel=1e-9, abs=1e-9 * scale)
        assert share[i] == pytest.approx(entry.share, rel=1e-9, abs=2e-9 * scale)


def test_samples_are_shuffled_as_by_python(page: Any) -> None:
    rng = random.Random(42)
    state = list(rng.getstate()[1])
    expected = [shuffled(257, rng) for _ in range(5)]
    js = (
        "(state) => {"
        + engine_source([])
        + "const r = new Random(state); return [1,2,3,4,5].map(() => r.order(257)); }"
    )
    assert page.evaluate(js, state) == expected


def test_names_of_the_page_s_modules_differ() -> None:
    """They are put together into one script."""
    seen: dict[str, str] = {}
    for name in ("engine", *VIEWS):
        for found in re.findall(
            r"^(?:export )?(?:async )?(?:const|let|function|class) (\w+)", part(f"{name}.js"), re.M
        ):
            if found != "TASKS" or found not in seen:  # a worker has its own
                assert found not in seen, f"{found} is in {seen[found]}.js and in {name}.js"
                seen[found] = name


def test_a_graph_is_laid_out_from_left_to_right_for_a_desk_and_downwards_for_a_phone() -> None:
    a, b = Value(2.0, label="a"), Value(3.0, label="b")
    program, _ = of_graph((a * b + a).tanh())
    labels = [*program.names, *[""] * len(program.constants), *[""] * len(program.lines)]
    layout = graph_layout(program, labels)
    assert len(layout["wires"]) == 5
    for way, axis in (("across", 0), ("down", 1)):
        spots = dict(zip([box["place"] for box in layout["boxes"]], layout[way]["spots"], strict=True))
        assert all(spots[wire["from"]][axis] < spots[wire["to"]][axis] for wire in layout["wires"])
