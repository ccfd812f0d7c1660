"""A language model of scalars is compiled as the loops that a programmer would have written."""

import pickle
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from compiler_programs import CHOICES, PICKS, sequence_program
from hypothesis import given, settings
from hypothesis import strategies as st
from test_compiler_stages import close, same

import micrograd_like as mg
from micrograd_like import Value
from micrograd_like.compiler import loops, pipeline, trace
from micrograd_like.transformer import GPT, next_token_loss

np = pytest.importorskip("numpy")

Rows = list[list[Any]]


def lines_of(function: Callable[..., Any], parameters: Sequence[Value], positions: int) -> int:
    recorded = trace.trace(function, parameters, {"x": (positions,), "y": (positions,)})
    return len(pipeline.build(recorded).text.splitlines())


@pytest.mark.parametrize("positions", [5, 6, 9])
def test_a_gpt_is_some_eighty_lines_whatever_its_length(positions: int) -> None:
    model = GPT(27, rng=0)
    assert lines_of(lambda x, y: next_token_loss(model(x), y), model.parameters(), positions) <= 90


def by_hand() -> tuple[Callable[..., Any], list[Value]]:
    """A transformer as a learner writes it: position after position, lists, Python's `sum`; (loss of x and y, weights)."""
    rng = random.Random(1)
    width, size = 16, 4

    def matrix(rows: int, columns: int) -> Rows:
        return [[Value(rng.gauss(0, 0.08)) for _ in range(columns)] for _ in range(rows)]

    names = ("tokens", "places", "head", "q", "k", "v", "o", "up", "down")
    shapes = [(27, width), (16, width), (27, width), *[(width, width)] * 4, (4 * width, width), (width, 4 * width)]
    w = {name: matrix(*shape) for name, shape in zip(names, shapes, strict=True)}

    def linear(x: list[Any], weights: Rows) -> list[Any]:
        return [sum(a * b for a, b in zip(row, x, strict=True)) for row in weights]

    def softmax(logits: list[Any]) -> list[Any]:
        largest = mg.max(logits)
        powers = [(x - largest).exp() for x in logits]
        total = sum(powers)
        return [power / total for power in powers]

    def norm(x: list[Any]) -> list[Any]:
        scale = (sum(a * a for a in x) / len(x) + 1e-5) ** -0.5
        return [a * scale for a in x]

    def loss(xs: Sequence[Any], ys: Sequence[Any]) -> Any:
        keys: Rows = []
        values: Rows = []
        losses = []
        for place, token, target in zip(w["places"], xs, ys, strict=False):
            embedded = [mg.gather(column, token) for column in zip(*w["tokens"], strict=True)]
            x = norm([t + p for t, p in zip(embedded, place, strict=True)])
            query = linear(norm(x), w["q"])
            keys.append(linear(norm(x), w["k"]))
            values.append(linear(norm(x), w["v"]))
            seen = []
            for h in range(0, width, size):
                part = slice(h, h + size)
                scores = [sum(a * b for a, b in zip(query[part], key[part], strict=True)) / size**0.5 for key in keys]
                shares = softmax(scores)
                seen += [sum(s * row[j] for s, row in zip(shares, values, strict=True)) for j in range(h, h + size)]
            x = [a + b for a, b in zip(x, linear(seen, w["o"]), strict=True)]
            hidden = [h.relu() for h in linear(norm(x), w["up"])]
            x = [a + b for a, b in zip(x, linear(hidden, w["down"]), strict=True)]
            losses.append(-mg.gather(softmax(linear(x, w["head"])), target).log())
        return sum(losses) / len(losses)

    return loss, [p for name in names for row in w[name] for p in row]


@pytest.mark.parametrize("positions", [5, 8])
def test_a_transformer_written_by_hand_is_some_seventy_lines(positions: int) -> None:
    assert lines_of(*by_hand(), positions) <= 70


def eager(function: Any, parameters: list[Value], x: Rows, k: list[float]) -> tuple[float, list[float]]:
    for p in parameters:
        p.grad = 0
    out = function([[Value(v) for v in row] for row in x], [Value(v) for v in k])
    out.backward()
    return out.data, [float(p.grad) for p in parameters]


@given(st.integers(0, 2**32))
@settings(max_examples=6)
def test_every_stage_computes_for_each_length_what_the_engine_computes(seed: int) -> None:
    function, parameters, shape = sequence_program(seed)
    program = mg.compile(function, parameters, x=shape, k=(PICKS,))
    rng, p, stages = random.Random(seed), [v.data for v in parameters], program.stages()
    for length in range(shape.least, shape.longest + 1):
        x = [[rng.uniform(-1, 1) for _ in range(*shape.rest)] for _ in range(length)]
        k = [float(rng.randrange(CHOICES)) for _ in range(PICKS)]
        expected, gradient = eager(function, parameters, x, k)
        numbers = [v for row in x for v in row]
        numbers += [0.0] * (shape.longest * shape.rest[0] - len(numbers))
        for stage in stages:
            if stage.run is None:
                continue
            found = stage.run(p, [*numbers, *k, float(length - shape.least)])
            if isinstance(found, tuple):
                assert close(found[1], gradient), stage.name
                found = found[0]
            assert same(found, expected), stage.name
    for stage in stages:
        stage.check()


@given(st.integers(0, 2**32))
@settings(max_examples=8)
def test_rows_of_different_lengths_in_one_call(seed: int) -> None:
    function, parameters, shape = sequence_program(seed)
    program = mg.compile(function, parameters, cached=False, x=shape, k=(PICKS,))
    rng = random.Random(seed)
    lengths = [rng.randint(shape.least, shape.longest) for _ in range(rng.choice([1, 3, 12]))]
    xs = [[[rng.uniform(-1, 1) for _ in range(*shape.rest)] for _ in range(n)] for n in lengths]
    ks = [[float(rng.randrange(CHOICES)) for _ in range(PICKS)] for _ in lengths]
    found = [eager(function, parameters, x, k) for x, k in zip(xs, ks, strict=True)]
    losses = [loss for loss, _ in found]
    assert program.losses(xs, ks) == pytest.approx(losses, rel=1e-12, abs=1e-12)
    mean, gradient = program.gradient(xs, ks)
    assert mean == pytest.approx(sum(losses) / len(losses), rel=1e-12, abs=1e-12)
    expected = [sum(each) / len(found) for each in zip(*[g for _, g in found], strict=True)]
    assert close(gradient.tolist(), expected)
    assert program.losses(xs[::-1], ks[::-1]).tolist() == program.losses(xs, ks).tolist()[::-1]
    step = program.bind(xs, ks)
    assert step()[0] == mean
    assert step()[1].tolist() == gradient.tolist()


def test_a_gpt_of_every_length_is_one_nest_whose_cost_falls_with_the_length() -> None:
    model = GPT(27, rng=0, block=7, width=4, heads=2)
    program = mg.compile(
        lambda x, y: next_token_loss(model(x), y), model.parameters(), cached=False, x=mg.UpTo(7), y=mg.UpTo(7)
    )
    (choice,) = program._parts.sample.terms
    assert len(choice.bodies) == 1
    assert len(choice.rows) == 7
    assert len(str(program).splitlines()) <= 105

    def turned(length: int) -> int:
        return sum(1 for _ in loops.unroll(choice.bodies[0], (length - 1,)))

    assert turned(7) > 2 * turned(3) > 4 * turned(1)
    rng = random.Random(0)
    for n in range(1, 8):
        x, y = ([rng.randrange(27) for _ in range(n)] for _ in range(2))
        model.zero_grad()
        loss = next_token_loss(model(x), y)
        loss.backward()
        found, gradient = program.gradient([x], [y])
        assert found == pytest.approx(loss.data, rel=1e-14)
        assert gradient.tolist() == pytest.approx([p.grad for p in model.parameters()], rel=1e-11, abs=1e-14)


def sums() -> mg.Program:
    w = Value(2.0)
    return mg.compile(lambda x, y: sum(w * v for v in x) * y, [w], cached=False, x=mg.UpTo(4, least=2), y=())


def test_sequences_may_be_lists_arrays_or_one_array() -> None:
    program = sums()
    assert program.losses([[1, 2], [1, 2, 3, 4]], [1, 10]).tolist() == [6.0, 200.0]
    assert program.losses([np.array([1, 2]), np.array([1.0, 2.0, 3.0])], [1, 1]).tolist() == [6.0, 12.0]
    assert program.losses(np.ones((2, 3)), [1, 1]).tolist() == [6.0, 6.0]
    mixed = np.empty(2, dtype=object)
    mixed[:] = [[1, 2], [1, 2, 3]]
    assert program.losses(mixed, [1, 1]).tolist() == [6.0, 12.0]
    assert repr(program) == "Program(1 parameters, x=UpTo(4, least=2), y=())"
    again = pickle.loads(pickle.dumps(program))
    assert again.losses([[1, 2, 3]], y=[1]).tolist() == [12.0]


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([[1.0, 2.0], [1.0]], r"sample 1: expected x of the shape \(2 to 4\), got \(1,\)"),
        ([[1.0] * 5, [1.0] * 2], r"sample 0: expected x of the shape \(2 to 4\), got \(5,\)"),
        ([[[1.0], [2.0]], [1.0] * 2], r"sample 0: expected x of the shape \(2 to 4\), got \(2, 1\)"),
        (np.ones((2, 5)), r"sample 0: expected x of the shape \(2 to 4\), got \(5,\)"),
        ([[1.0, 2.0]], "expected as many samples in y as in x, 1; got 2"),
        ([1.0, 2.0], r"sample 0: expected x of the shape \(2 to 4\), got a number"),
        ([], "at least one sample"),
    ],
)
def test_a_sequence_that_does_not_fit_is_refused(x: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sums().losses(x, [1.0, 2.0])


@pytest.mark.parametrize("x", [3.0, "texts", ["ab", "cd"], [[1.0, "a"], [1.0, 2.0]], [None, [1.0, 2.0]]])
def test_what_is_no_sequence_of_numbers_is_refused(x: Any) -> None:
    with pytest.raises(TypeError, match="expected x"):
        sums().losses(x, [1.0, 2.0])


def test_sequences_of_a_sample_have_the_same_length() -> None:
    w = Value(2.0)

    def loss(x: Any, y: Any) -> Any:
        return sum(w * a * b for a, b in zip(x, y, strict=True))

    program = mg.compile(loss, [w], cached=False, x=mg.UpTo(3), y=mg.UpTo(3))
    assert program.losses([[1.0, 2.0], [3.0]], [[1.0, 1.0], [1.0]]).tolist() == [6.0, 6.0]
    with pytest.raises(ValueError, match="sample 1: expected x and y of the same length, got 1 and 2"):
        program.losses([[1.0, 2.0], [3.0]], [[1.0, 1.0], [1.0, 1.0]])
    with pytest.raises(ValueError, match="expected x and y of the same length in each sample"):
        mg.compile(loss, [w], x=mg.UpTo(3), y=mg.UpTo(4))


def test_a_function_that_returns_more_for_longer_sequences_is_refused() -> None:
    w = Value(2.0)
    with pytest.raises(mg.TraceError, match="returns something else for 1 elements than for 3"):
        mg.compile(lambda x: [w * v for v in x], [w], x=mg.UpTo(3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mg.UpTo(0), "longest"),
        (lambda: mg.UpTo(3, least=0), "least"),
        (lambda: mg.UpTo(3, least=4), "expected least as at most 3"),
        (lambda: mg.UpTo(3, 0), "a size of an element"),
    ],
)
def test_a_shape_that_makes_no_sense_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
    assert mg.UpTo(3, 2) == mg.UpTo(3, 2) != mg.UpTo(3)
    assert len({mg.UpTo(3), mg.UpTo(3)}) == 1


def test_training_on_sequences_is_the_eager_engines() -> None:
    def model() -> tuple[GPT, Callable[[Any, Any], Any]]:
        gpt = GPT(5, rng=0, block=4, width=4, heads=2)
        return gpt, lambda x, y: next_token_loss(gpt(x), y)

    rng = random.Random(3)
    texts = [[rng.randrange(5) for _ in range(rng.randint(2, 5))] for _ in range(6)]
    xs, ys = [t[:-1] for t in texts], [t[1:] for t in texts]
    gpt, loss = model()
    expected = []
    optimizer = mg.Adam(gpt.parameters(), lr=0.01)
    for _ in range(2):
        for x, y in zip(xs, ys, strict=True):
            optimizer.zero_grad()
            each = loss(x, y)
            each.backward()
            optimizer.step()
            expected.append(each.data)
    twin, loss = model()
    program = mg.compile(loss, twin.parameters(), cached=False, x=mg.UpTo(4), y=mg.UpTo(4))
    losses = program.train(xs, ys, optimizer=mg.Adam(twin.parameters(), lr=0.01), epochs=2, batch_size=1, shuffle=False)
    assert losses.tolist() == pytest.approx(expected, rel=1e-9)
    trained = [p.data for p in twin.parameters()]
    assert trained == pytest.approx([p.data for p in gpt.parameters()], rel=1e-7, abs=1e-9)
