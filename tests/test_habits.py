"""What people bring with them: arrays, columns, `forward`, gradients of None, names from variables, SciPy."""

from __future__ import annotations

import inspect
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import micrograd_like as mg
from micrograd_like import Value
from micrograd_like.testing import GradcheckError, assert_gradients_kept
from micrograd_like.transformer import GPT

X = np.random.default_rng(0).normal(size=(20, 2))
Y = np.where(X[:, 0] > X[:, 1], 1, -1)


class Columns:
    """What a table's columns are to us, as pandas has them: an array on request, and not a sequence."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __array__(self, *args: Any, **options: Any) -> Any:
        return np.asarray(self.array, *args, **options)

    def tolist(self) -> Any:
        return self.array.tolist()


PAIRS = [(list(map(float, x)), int(y)) for x, y in zip(X, Y, strict=True)]
SHAPES = {
    "arrays": lambda: (X, Y),
    "float32 targets": lambda: (X, Y.astype(np.float32)),
    "targets as a column": lambda: (X, Y.reshape(-1, 1)),
    "lists": lambda: (X.tolist(), Y.tolist()),
    "tuples": lambda: (tuple(map(tuple, X)), tuple(Y)),
    "an array and a tuple": lambda: (X, tuple(Y)),
    "rows of an array": lambda: (list(X), list(Y)),
    "zip": lambda: zip(X, Y, strict=True),
    "zip of columns": lambda: zip(X, Y.reshape(-1, 1), strict=True),
    "columns": lambda: (Columns(X), Columns(Y)),
}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_data_come_as_people_have_them(shape: str, compiled: bool) -> None:
    def trained(data: Any) -> Any:
        model = mg.MLP(2, [4, 1], activation="tanh", rng=0)
        history = mg.fit(model, data, mg.hinge_loss, mg.SGD(model.parameters(), 0.2), 3, 8, compiled=compiled)
        return model.state_dict(), history.losses, str(history.epochs[-1]), mg.evaluate(model, PAIRS, mg.hinge_loss)

    assert trained(SHAPES[shape]()) == trained(PAIRS)
    model = mg.MLP(2, [4, 1], rng=0)
    assert mg.evaluate(model, SHAPES[shape](), mg.hinge_loss) == mg.evaluate(model, PAIRS, mg.hinge_loss)


def test_pandas_columns_are_data() -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas, which the dev extra does not bring")
    table = pandas.DataFrame({"a": X[:, 0], "b": X[:, 1], "y": Y})
    model = mg.MLP(2, [4, 1], rng=0)
    assert mg.evaluate(model, (table[["a", "b"]], table["y"]), mg.hinge_loss) == mg.evaluate(
        model, PAIRS, mg.hinge_loss
    )
    assert model(table[["a", "b"]].iloc[0]).data == model(X[0]).data


def test_two_pairs_are_two_samples_and_not_two_columns() -> None:
    model = mg.Neuron(2, rng=0)
    pairs = ([1.0, 2.0], 1), ([3.0, 4.0], -1)
    assert mg.evaluate(model, pairs, mg.hinge_loss) == mg.evaluate(model, list(pairs), mg.hinge_loss)


def test_one_input_is_a_column_of_numbers() -> None:
    x = np.linspace(-1, 1, 9)
    model = mg.MLP(1, [3, 1], activation="tanh", rng=0)
    assert mg.evaluate(model, (x, np.sin(x)), mg.mse_loss) == mg.evaluate(model, (x[:, None], np.sin(x)), mg.mse_loss)
    history = mg.fit(model, (x, np.sin(x)), mg.mse_loss, mg.SGD(model.parameters(), 0.1), 2, compiled=True)
    assert len(history.losses) == 2


def test_probabilities_per_class_come_from_an_array() -> None:
    model = mg.MLP(2, [2], rng=0)
    onehot = np.eye(2)[(Y > 0).astype(int)]
    expected = mg.evaluate(model, [(x, (y + 1) // 2) for x, y in PAIRS], mg.cross_entropy)
    for data in ((X, onehot), zip(X, onehot, strict=True)):
        assert mg.evaluate(model, data, mg.cross_entropy) == pytest.approx(expected, rel=1e-12)


# Modules


class Own(mg.Module):
    def __init__(self) -> None:
        self.a = Value(2.0)

    def forward(self, x: Any, *, twice: bool = False) -> Any:
        return self.a * x * (2 if twice else 1)


class Residual(mg.MLP):
    def forward(self, x: Any) -> Any:
        return x[0] + mg.MLP.__call__(self, x)


def test_a_module_may_define_forward() -> None:
    assert Own()(3.0).data == 6.0
    assert Own()(3.0, twice=True).data == 12.0
    plain, residual = mg.MLP(2, [2, 1], rng=0), Residual(2, [2, 1], rng=0)
    assert residual([1.0, 2.0]).data == 1.0 + plain([1.0, 2.0]).data

    class Neither(mg.Module):
        pass

    with pytest.raises(TypeError, match="Neither defines neither forward nor __call__: expected one of them"):
        Neither()(1.0)


def test_a_summary_counts_what_there_is() -> None:
    model = mg.MLP(64, [32, 10], rng=0)
    text = model.summary()
    assert text.splitlines()[0] == "MLP: 2,410 parameters, 4,768 operations in a forward pass"
    assert 2 * 64 * 32 + 32 + 2 * 32 * 10 == 4768
    rows = [line.split() for line in text.splitlines()[3:]]
    assert rows == [
        ["layers[0]", "Layer,", "ReLU", "64", "→", "32", "2,080"],
        ["layers[1]", "Layer,", "linear", "32", "→", "10", "330"],
    ]


@pytest.mark.parametrize(
    ("model", "given"),
    [
        (mg.Neuron(3, rng=0), ()),
        (mg.MLP(3, [2, 2], activation=mg.gelu, rng=0), ()),
        (GPT(27, block=4, width=4, heads=2, layers=3, rng=0), ()),
        (GPT(27, block=4, width=4, heads=2, layers=3, rng=0), ([1, 2],)),
        (Own(), (1.0,)),
        (Own(), ()),
    ],
)
def test_a_summary_fits_the_page_and_adds_up(model: mg.Module, given: Any) -> None:
    title, _, head, *rows = model.summary(*given).splitlines()
    assert max(map(len, [title, head, *rows])) <= 80
    assert sum(int(row.split()[-1].replace(",", "")) for row in rows) == len(model.parameters())
    assert ("operations" in title) == (given != () or not isinstance(model, Own))


def test_the_operations_of_a_summary_are_those_of_its_graph_unfolded() -> None:
    class Mixed(mg.Module):
        def forward(self, x: Any) -> Any:
            return mg.max(x) * mg.gather(x, Value(1.0)) + mg.dot(x, x, 1.0)

    # of three: two comparisons, a pick, a product, three products and three additions, an addition
    assert ", 11 operations" in Mixed().summary([Value(1.0), Value(2.0), Value(3.0)])


# Gradients


def test_a_step_leaves_parameters_without_a_gradient_as_they_are() -> None:
    for optimizer in (mg.SGD, mg.Adam, mg.AdamW):
        p, q = Value(1.0), Value(1.0)
        moved = optimizer([p, q], lr=0.1, weight_decay=0.5)
        moved.zero_grad(set_to_none=True)
        assert p.grad is q.grad is None
        (p * p).backward()
        moved.step()
        assert p.data != 1.0
        assert q.data == 1.0  # with a gradient of 0 the weight decay would move it
    model = mg.Neuron(2, rng=0)
    model.zero_grad(set_to_none=True)
    assert {p.grad for p in model.parameters()} == {None}
    assert mg.draw_dot(model([1.0, 2.0])).source


def test_a_gradient_that_is_lost_is_found_at_its_line() -> None:
    x = Value(1.0, label="x")
    for lose in (math.sin, float, lambda v: np.array(v, dtype=float)):
        message = r"x = 1\.0 became a plain number here"
        with pytest.warns(mg.LostGradientWarning, match=message) as found, mg.detect_anomaly(lost_gradients=True):
            lose(x)
        assert found[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert math.sin(x) == math.sin(1.0)  # stays possible
        with mg.detect_anomaly():
            float(x)
        with mg.detect_anomaly(lost_gradients=True):
            mg.fit(mg.Neuron(1, rng=0), [([1.0], 1)], mg.hinge_loss, mg.SGD([Value(1.0)], 0.1), 1)  # this library's own
            assert x.data == 1.0
        float(x)
        with pytest.raises(mg.LostGradientWarning), mg.detect_anomaly(lost_gradients=True):
            math.exp(x * 2)


def test_a_check_finds_lost_gradients() -> None:
    assert_gradients_kept(lambda x, y: [x * y, mg.max(x, y)], [Value(1.0), Value(2.0)])
    assert_gradients_kept(lambda x: mg.where(x, 1.0, 2.0) * x, [Value(0.5)])
    assert_gradients_kept(lambda model, x: model([x]), [mg.Neuron(1, activation="tanh", rng=0), Value(1.0)])
    with pytest.raises(GradcheckError, match=r"test_habits.py:\d+: .*became a plain number") as found:
        assert_gradients_kept(lambda x: x + math.sin(x), [Value(1.0)])
    line = inspect.getsourcelines(test_a_check_finds_lost_gradients)[1] + 5
    assert f"test_habits.py:{line}:" in str(found.value)
    with pytest.raises(GradcheckError, match=r"the gradient by b is lost: moving it by 0\.002 moves output 1"):
        assert_gradients_kept(lambda x, y: [x * y, x * y.data], [Value(1.0, label="a"), Value(2.0, label="b")])


# Drawings


def test_names_come_from_the_callers_variables() -> None:
    w1, x1 = Value(2.0), Value(3.0, label="given")
    weights = [Value(0.5), Value(0.25)]
    _hidden = Value(7.0)
    out = w1 * x1 + weights[1] + _hidden
    plain = mg.draw_dot(out).source
    assert "w1" not in plain
    named = mg.draw_dot(out, names="caller").source
    assert "w1" in named
    assert "given" in named
    assert "weights[1]" in named
    assert (w1.label, x1.label, weights[0].label, weights[1].label, _hidden.label) == (
        "w1",
        "given",
        "",
        "weights[1]",
        "",
    )
    a = Value(1.0)
    mg.draw_dot(a + 1, names={"<b>": a, "other": out})
    assert a.label == "<b>"
    with pytest.raises(TypeError, match="names as 'caller' or as a mapping"):
        mg.draw_dot(out, names="callers")  # type: ignore[arg-type]


def test_a_drawing_is_one_file(tmp_path: Path) -> None:
    drawing = mg.draw_dot(Value(1.0, label="a") * 2)
    assert drawing.save(tmp_path / "x.svg") == str(tmp_path / "x.svg")
    drawing.render(tmp_path / "y")
    drawing.render("z", directory=tmp_path)
    drawing.save(tmp_path / "x.gv")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.gv", "x.svg", "y.svg", "z.svg"]
    assert (tmp_path / "x.gv").read_text().startswith("digraph")
    drawing.render(tmp_path / "kept", cleanup=False)
    assert (tmp_path / "kept").exists()


def test_a_history_plots_itself() -> None:
    pytest.importorskip("matplotlib")
    model = mg.Neuron(1, rng=0)
    history = mg.fit(model, [([1.0], 1)], mg.hinge_loss, mg.SGD(model.parameters(), 0.1), 2)
    assert "\n" not in repr(history)
    assert "<svg" in history.plot().to_svg()


def test_a_slice_takes_the_rate_of_an_optimizer() -> None:
    w = Value(1.0, label="w")
    loss = (w - 3.0) ** 2
    slope = mg.loss_slice(loss, w, lr=mg.SGD([w], lr=lambda step: 0.5 / (step + 1)))
    assert (slope.lr, slope.step) == (0.5, 2.0)


def test_a_report_is_a_list_of_its_parameters() -> None:
    w, b = Value(1.0, label="w"), Value(2.0, label="b")
    report = mg.explain_step((w * b) ** 2, [w, b], lr=0.01)
    assert [entry.name for entry in report] == ["w", "b"]
    assert len(report) == 2


# SciPy


def test_scipy_minimizes_a_compiled_loss() -> None:
    optimize = pytest.importorskip("scipy.optimize", reason="needs SciPy, which comes with scikit-learn")
    model = mg.MLP(2, [4, 1], activation="tanh", rng=3)
    program = mg.compile(lambda x, y: mg.mse_loss(model(x), y), model.parameters(), x=2, y=())
    target = np.sin(X[:, 0]) * X[:, 1]
    results = []
    for function in (program.bind(X, target), lambda theta: program.gradient(X, target, at=theta)):
        found = optimize.minimize(function, program.theta(), jac=True, method="L-BFGS-B", options={"maxiter": 50})
        results.append((found.fun, found.nit, found.x.tolist()))
    assert results[0] == results[1]  # also though a bound program gives the same array each time
    assert results[0][0] < 0.05 * program(X, target)
    model.load_state_dict(dict(zip(model.state_dict(), found.x, strict=True)))
    assert program(X, target) == pytest.approx(found.fun, rel=1e-12)
    assert (
        optimize.check_grad(
            lambda t: program(X, target, at=t), lambda t: program.gradient(X, target, at=t)[1], program.theta()
        )
        < 1e-5
    )


def test_scipy_finds_the_minimum_of_rosenbrocks_function() -> None:
    optimize = pytest.importorskip("scipy.optimize", reason="needs SciPy, which comes with scikit-learn")
    x, y = Value(-1.2), Value(1.0)
    program = mg.compile(lambda: (1 - x) ** 2 + 100 * (y - x * x) ** 2, [x, y])
    found = optimize.minimize(program.bind(), program.theta(), jac=True, method="L-BFGS-B", tol=1e-12)
    np.testing.assert_allclose(found.x, [1, 1], atol=1e-6)
