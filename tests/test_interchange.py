"""Models and programs for others: PyTorch computes the same, an ONNX runtime too, and C to the last bit."""

from __future__ import annotations

import ctypes
import math
import random
import re
import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiler_programs import PICKS, eager, growing_program, random_program, samples, values
from row_cases import sample
from safetensors.numpy import load_file, save_file
from test_compiler_special_points import applied, close, points, same

import micrograd_like as mg
from micrograd_like import Value, ops
from micrograd_like.compiler.pipeline import interpreted
from micrograd_like.compiler.trace import KEPT
from micrograd_like.interchange import c99, onnx_file
from micrograd_like.interchange.pytorch import ACTIVATIONS, torch_tensors
from micrograd_like.interchange.source import identifiers
from micrograd_like.transformer import GPT, next_token_loss

OURS = [ours for ours, _, _ in ACTIVATIONS] + [partial(mg.leaky_relu, negative_slope=0.2)]


def name_of(activation: Any) -> str:
    return activation if isinstance(activation, str) else getattr(activation, "__name__", "leaky_relu of 0.2")


# PyTorch


@pytest.mark.parametrize("activation", OURS, ids=name_of)
def test_pytorch_computes_the_same_outputs_and_gradients(activation: Any) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch, which the dev extra does not bring")
    model = mg.MLP(3, [5, 4, 2], activation=activation, rng=1)
    network = mg.to_torch(model)
    assert {name: tuple(p.shape) for name, p in network.named_parameters()} == {
        "0.weight": (5, 3), "0.bias": (5,), "2.weight": (4, 5), "2.bias": (4,), "4.weight": (2, 4), "4.bias": (2,),
    }  # fmt: skip
    for x in ([0.5, -1.0, 2.0], [-30.0, 40.0, 1.0], [0.0, 0.0, 0.0]):
        out = model(x)
        model.zero_grad()
        mg.sum([y * y for y in out]).backward()
        network.zero_grad()
        theirs = network(torch.tensor(x, dtype=torch.float64))
        (theirs * theirs).sum().backward()
        np.testing.assert_allclose([y.data for y in out], theirs.detach().numpy(), rtol=1e-13, atol=1e-14)
        gradients = {name: p.grad.numpy() for name, p in network.named_parameters()}
        for i, layer in enumerate(model.layers):
            for j, neuron in enumerate(layer.neurons):
                got = [w.grad for w in neuron.w] + [neuron.b.grad]
                expected = [*gradients[f"{2 * i}.weight"][j], gradients[f"{2 * i}.bias"][j]]
                np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("heads", "layers", "length"), [(1, 1, 1), (2, 1, 4), (4, 3, 5), (8, 2, 2)])
def test_pytorch_computes_the_same_scores_and_gradients_of_a_language_model(
    heads: int, layers: int, length: int
) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch, which the dev extra does not bring")
    model = GPT(7, block=5, width=8, heads=heads, layers=layers, rng=heads)
    for p in model.parameters():
        p.data *= 10.0  # so that attention is far from even
    network = mg.to_torch(model)
    texts = [[(3 * i + j * j) % 7 for j in range(length)] for i in range(3)]
    targets = [[(i + 2 * j) % 7 for j in range(length)] for i in range(3)]
    ours = [model(text) for text in texts]
    scores = network(torch.tensor(texts))
    np.testing.assert_allclose(scores.tolist(), [[[y.data for y in row] for row in text] for text in ours], rtol=1e-12)
    mg.mean([next_token_loss(text, target) for text, target in zip(ours, targets, strict=True)]).backward()
    torch.nn.functional.cross_entropy(scores.reshape(-1, 7), torch.tensor(targets).reshape(-1)).backward()
    found = {name: p.grad for name, p in network.named_parameters()}
    expected = torch_tensors(model)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        gradients = [[p.grad for p in row] for row in tensor]
        scale = np.abs(gradients).max()
        np.testing.assert_allclose(found[name].tolist(), gradients, rtol=1e-12, atol=1e-12 * scale)


@pytest.mark.parametrize("activation", OURS, ids=name_of)
def test_to_pytorch_and_back_is_the_same_model_bit_for_bit(activation: Any) -> None:
    pytest.importorskip("torch", reason="needs PyTorch, which the dev extra does not bring")
    model = mg.MLP(2, [3, 1], activation=activation, rng=2)
    back = mg.from_torch(mg.to_torch(model))
    assert back.state_dict() == model.state_dict()
    assert repr(back) == repr(model)
    assert [p.label for p in back.parameters()] == [p.label for p in model.parameters()]
    assert back([1.0, -2.0]).data == model([1.0, -2.0]).data


def test_any_sequential_of_layers_and_activations_comes_from_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch, which the dev extra does not bring")
    nn = torch.nn
    network = nn.Sequential(
        nn.Linear(3, 4), nn.Linear(4, 4, bias=False), nn.Tanh(), nn.Linear(4, 2), nn.LeakyReLU(0.3), nn.Linear(2, 2), nn.Sigmoid()
    )  # fmt: skip
    model = mg.from_torch(network)
    x = [0.25, -1.5, 3.0]
    np.testing.assert_allclose([y.data for y in model(x)], network(torch.tensor(x)).tolist(), rtol=1e-5)
    np.testing.assert_allclose(
        [y.data for y in model(x)], network.double()(torch.tensor(x, dtype=torch.float64)).tolist(), rtol=1e-14
    )


def test_what_pytorch_or_we_lack_is_named() -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch, which the dev extra does not bring")
    nn = torch.nn
    with pytest.raises(ValueError, match="no module for the activation 'sin'; expected one of relu, tanh"):
        mg.to_torch(mg.MLP(2, [2, 1], activation="sin"))
    mixed = mg.Layer(2, 2)
    mixed.neurons[1].nonlin = False
    with pytest.raises(ValueError, match="one activation for all neurons of layer 0"):
        mg.to_torch(mixed)
    with pytest.raises(TypeError, match=r"an MLP, a Layer, a Neuron or a GPT, got Branches: .*save_weights"):
        mg.to_torch(Branches(0))
    for network, message in [
        (nn.Sequential(nn.Linear(2, 2), nn.GELU()), "approximate='tanh'"),
        (nn.Sequential(nn.Linear(2, 2), nn.Dropout()), "expected Linear or one of ReLU, .* as module 1, got Dropout"),
        (
            nn.Sequential(nn.Linear(2, 2), nn.Linear(3, 1)),
            "as many inputs of module 1 as the layer before has outputs, 2",
        ),
        (nn.Sequential(nn.Tanh()), "a Linear as the first module"),
        (nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Tanh()), "a Linear as module 2"),
        (nn.Sequential(nn.Linear(2, 2), nn.Softplus(beta=2)), "beta=1"),
        (nn.Sequential(), "an empty one"),
    ]:
        with pytest.raises(ValueError, match=message):
            mg.from_torch(network)
    with pytest.raises(TypeError, match=r"expected an nn\.Sequential, got Linear"):
        mg.from_torch(nn.Linear(2, 2))
    broken = nn.Sequential(nn.Linear(1, 1))
    broken[0].bias.data[0] = math.nan
    with pytest.raises(ValueError, match="finite numbers in layer 0"):
        mg.from_torch(broken)


def test_pytorch_reads_the_file_of_weights(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch, which the dev extra does not bring")
    from safetensors.torch import load_file as load_torch

    model = mg.MLP(3, [4, 2], rng=5)
    mg.save_weights(model, tmp_path / "w", layout="torch")
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2)).double()
    network.load_state_dict(load_torch(tmp_path / "w"))
    x = [1.0, 2.0, -3.0]
    expected = network(torch.tensor(x, dtype=torch.float64)).tolist()
    np.testing.assert_allclose([y.data for y in model(x)], expected, rtol=1e-14)


class Branches(mg.Module):
    """A module with layers, a neuron, a matrix, and a list of both."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(seed)
        self.hidden = mg.Layer(2, 3, rng=rng)
        self.last = mg.Neuron(3, rng=rng)
        self.net = mg.MLP(2, [2, 1], rng=rng)
        self.matrix = [[Value(rng.random()) for _ in range(3)] for _ in range(2)]
        self.scale = Value(rng.random())
        self.mixed = [Value(rng.random()), mg.Neuron(1, rng=rng)]


def test_the_layout_of_pytorch_holds_every_parameter_and_is_read_back(tmp_path: Path) -> None:
    saved, loaded = Branches(0), Branches(1)
    mg.save_weights(saved, tmp_path / "w", layout="torch")
    tensors = load_file(tmp_path / "w")
    assert {name: t.shape for name, t in tensors.items()} == {
        "hidden.weight": (3, 2), "hidden.bias": (3,), "last.weight": (1, 3), "last.bias": (1,),
        "net.0.weight": (2, 2), "net.0.bias": (2,), "net.2.weight": (1, 2), "net.2.bias": (1,),
        "matrix": (2, 3), "scale": (), "mixed.0": (), "mixed.1.weight": (1, 1), "mixed.1.bias": (1,),
    }  # fmt: skip
    assert tensors["matrix"].tolist() == [[x.data for x in row] for row in saved.matrix]
    mg.load_weights(loaded, tmp_path / "w")
    assert loaded.state_dict() == saved.state_dict()
    save_file({name: t.astype(np.float32) for name, t in tensors.items()}, tmp_path / "w32")
    mg.load_weights(loaded, tmp_path / "w32")
    assert loaded.scale.data == float(np.float32(saved.scale.data))


def test_a_language_model_has_the_names_of_its_modules(tmp_path: Path) -> None:
    model = GPT(5, block=4, width=4, heads=2, layers=2, rng=0)
    mg.save_weights(model, tmp_path / "w", layout="torch")
    shapes = {name: t.shape for name, t in load_file(tmp_path / "w").items()}
    assert shapes["token.weight"] == (5, 4)
    assert shapes["blocks.1.attention.query.weight"] == (4, 4)
    assert sum(math.prod(shape) for shape in shapes.values()) == len(model.parameters())
    other = GPT(5, block=4, width=4, heads=2, layers=2, rng=1)
    mg.load_weights(other, tmp_path / "w")
    assert other.state_dict() == model.state_dict()


def test_a_file_of_another_shape_in_pytorchs_layout_changes_nothing(tmp_path: Path) -> None:
    mg.save_weights(mg.MLP(2, [4, 1], rng=0), tmp_path / "w", layout="torch")
    model = mg.MLP(3, [4, 1], rng=1)
    before = model.state_dict()
    with pytest.raises(
        ValueError, match=r"expected 0.weight as floats of shape \(4, 3\), got float64 of shape \(4, 2\)"
    ):
        mg.load_weights(model, tmp_path / "w")
    assert model.state_dict() == before
    with pytest.raises(ValueError, match="layout as 'micrograd_like' or 'torch', got 'jax'"):
        mg.save_weights(model, tmp_path / "w", layout="jax")  # type: ignore[arg-type]


# ONNX


def run_onnx(path: Path, *arrays: Any) -> list[Any]:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    given: list[Any] = session.run(None, dict(zip([x.name for x in session.get_inputs()], arrays, strict=True)))
    return given


def reference_onnx(path: Path, *arrays: Any) -> list[Any]:
    onnx = pytest.importorskip("onnx", reason="needs onnx")
    names = [x.name for x in onnx.load(path).graph.input]
    from onnx.reference import ReferenceEvaluator

    with np.errstate(all="ignore"):
        results: list[Any] = ReferenceEvaluator(str(path)).run(None, dict(zip(names, arrays, strict=True)))
    return results


@pytest.mark.parametrize("run", [run_onnx, reference_onnx])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ["relu", "tanh", mg.gelu, lambda x: mg.where(x, mg.log(1 + x * x), x.sin())])
def test_a_network_in_onnx_computes_the_same(tmp_path: Path, run: Any, dtype: Any, activation: Any) -> None:
    model = mg.MLP(3, [6, 4, 2], activation=activation, rng=1)
    mg.to_onnx(model, tmp_path / "m.onnx", dtype=dtype)
    rows = np.random.default_rng(0).normal(size=(7, 3)).astype(dtype)
    expected = [[y.data for y in model(row.astype(float).tolist())] for row in rows]
    (got,) = run(tmp_path / "m.onnx", rows)
    assert got.dtype == dtype
    assert got.shape == (7, 2)
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


def test_the_file_is_what_it_promises(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="needs onnx")
    model = mg.MLP(64, [32, 10], rng=1)
    for p in model.parameters():
        p.data += 0.25  # biases of 0 are left out
    mg.to_onnx(model, tmp_path / "m.onnx")
    graph = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(graph, full_check=True)
    assert graph.ir_version == 8
    assert [(opset.domain, opset.version) for opset in graph.opset_import] == [("", 18)]
    assert [node.op_type for node in graph.graph.node] == ["MatMul", "Add", "Relu", "MatMul", "Add", "Identity"]
    (x,), (y,) = graph.graph.input, graph.graph.output
    shape = [d.dim_param or d.dim_value for d in x.type.tensor_type.shape.dim]
    assert (x.name, shape) == ("x", ["batch", 64])
    assert (y.name, [d.dim_param or d.dim_value for d in y.type.tensor_type.shape.dim]) == ("output", ["batch", 10])
    for rows in (1, 3):
        assert run_onnx(tmp_path / "m.onnx", np.ones((rows, 64), np.float32))[0].shape == (rows, 10)


def test_every_row_of_the_table_is_exported_or_has_an_expansion_that_is() -> None:
    for op in ops.TABLE.values():
        assert op in onnx_file.FORMS or op in onnx_file.LISTS or op.expansion is not None, op
        assert op in c99.FORMS or op.pullback is not None or op.expansion is not None, op


@pytest.mark.parametrize("run", [run_onnx, reference_onnx])
@pytest.mark.parametrize("op", ops.TABLE.values(), ids=lambda op: op.name)
def test_every_row_in_onnx_is_the_row(tmp_path: Path, op: ops.Operation, run: Any) -> None:
    rng = random.Random(1)
    for rows in ([sample(op, rng) for _ in range(50)], points(op)):
        mg.to_onnx(mg.compile(lambda x: applied(op, x), [], x=len(rows[0])), tmp_path / "row.onnx", dtype="float64")
        (got,) = run(tmp_path / "row.onnx", np.array(rows, dtype=float))
        for row, x in zip(rows, got.tolist(), strict=True):
            if run is run_onnx and op in (ops.max, ops.min) and any(map(math.isnan, row)):
                continue  # onnxruntime's do not keep a nan, as to_onnx says
            largest = max([1.0, *map(abs, filter(math.isfinite, row))])
            lost = largest if op in (ops.sum, ops.dot, ops.relu_dot) and largest > 1e200 else 1.0
            assert close(x, op.function(*row), lost) or (lost > 1.0 and abs(x) <= 1e-15 * largest * largest), (row, x)


@pytest.mark.parametrize("kind", [random_program, growing_program])
@pytest.mark.parametrize("seed", range(10))
def test_any_program_in_onnx_and_c_computes_the_same(tmp_path: Path, seed: int, kind: Any) -> None:
    function, parameters, size = kind(seed)
    program = mg.compile(function, parameters, x=size, k=PICKS)
    xs, ks = samples(random.Random(seed), size, 4)
    rows = [(values(x), values(k)) for x, k in zip(xs, ks, strict=True)]
    losses, _, _, _ = eager(function, parameters, rows)
    mg.to_onnx(program, tmp_path / "p.onnx", dtype="float64")
    for run in (run_onnx, reference_onnx):
        np.testing.assert_allclose(
            run(tmp_path / "p.onnx", np.array(xs), np.array(ks))[0], losses, rtol=1e-9, atol=1e-12
        )
    library = compiled(tmp_path, mg.to_c(program, gradient=True))
    assert_c_is_the_interpreter(library, program, [[*x, *k] for x, k in zip(xs, ks, strict=True)])
    for x, k, row, expected in zip(xs, ks, rows, losses, strict=True):
        _, _, gradient, _ = eager(function, parameters, [row])
        loss, derivatives = gradient_of(library, program, [*x, *k])
        assert bits([loss]) == bits([expected])
        scale = max(np.abs(gradient).max(), 1e-300)
        assert np.abs(np.array(derivatives) - gradient).max() <= 1e-11 * scale + 1e-13


def test_a_language_model_is_exported(tmp_path: Path) -> None:
    model = GPT(6, block=4, width=4, heads=2, layers=1, rng=0)
    mg.to_onnx(model, tmp_path / "m.onnx", dtype="float64", tokens=4)
    texts = [[0, 3, 5, 1], [2, 2, 4, 0]]
    expected = [[[y.data for y in scores] for scores in model(text)] for text in texts]
    outputs = run_onnx(tmp_path / "m.onnx", np.array(texts, dtype=float))
    assert [x.shape for x in outputs] == [(2, 6)] * 4
    np.testing.assert_allclose(np.stack(outputs, axis=1), expected, rtol=1e-12)
    program = mg.compile(
        lambda tokens, following: next_token_loss(model(tokens), following), model.parameters(), tokens=4, following=4
    )
    assert_c_is_the_interpreter(
        compiled(tmp_path, mg.to_c(program, gradient=True)), program, [[0, 3, 5, 1, 3, 5, 1, 2]]
    )


def test_a_token_that_is_not_there_is_nan_in_onnx(tmp_path: Path) -> None:
    model = mg.compile(lambda i, x: (mg.gather([2.0, 3.0, 5.0], i), mg.gather(list(x), i)), [], i=(), x=3)
    mg.to_onnx(model, tmp_path / "m.onnx")
    index = np.array([0, 2, 3, -1, np.nan, 0.5, 1.2], np.float32)
    table = np.tile(np.array([2, 3, 5], np.float32), (7, 1))
    for got in (*run_onnx(tmp_path / "m.onnx", index, table), *reference_onnx(tmp_path / "m.onnx", index, table)):
        for column in got.T:
            np.testing.assert_array_equal(column, np.array([2, 5, np.nan, np.nan, np.nan, np.nan, 3], np.float32))


def test_outputs_keep_their_structure_in_onnx(tmp_path: Path) -> None:
    w = Value(2.0)
    program = mg.compile(
        lambda a, b: (a * w, [[a, b[0][1]], [b[1][2], w * b[1][0]]], [a + 1, b[0][0]]), [w], a=(), b=(2, 3)
    )
    mg.to_onnx(program, tmp_path / "m.onnx", dtype="float64")
    a, b = np.array([1.0, 2.0, 3.0]), np.arange(18.0).reshape(3, 2, 3)
    expected = [
        2 * a,
        np.stack([a, b[:, 0, 1]], 1),
        np.stack([b[:, 1, 2], 2 * b[:, 1, 0]], 1),
        np.stack([a + 1, b[:, 0, 0]], 1),
    ]
    for got in (run_onnx(tmp_path / "m.onnx", a, b), reference_onnx(tmp_path / "m.onnx", a, b)):
        assert len(got) == 4
        for x, y in zip(got, expected, strict=True):
            np.testing.assert_array_equal(x, y)


def test_a_large_finite_number_stays_finite_in_float32(tmp_path: Path) -> None:
    mg.to_onnx(mg.compile(lambda x: mg.logsumexp(x), [], x=2), tmp_path / "m.onnx")
    rows = np.array([[-np.inf, -np.inf], [1.0, 1.0], [1000.0, -1000.0]], np.float32)
    np.testing.assert_allclose(run_onnx(tmp_path / "m.onnx", rows)[0], [-np.inf, 1 + math.log(2), 1000], rtol=1e-6)


def test_what_cannot_be_exported_is_named_and_writes_nothing(tmp_path: Path) -> None:
    w, path = Value(1.0), tmp_path / "m"
    path.write_text("old")
    for export in (mg.to_onnx, mg.to_c):
        with pytest.raises(TypeError, match=r"a function is compiled first: mg.compile"):
            export(lambda x: x, path)
        with pytest.raises(ValueError, match=r"expected the shapes of .* inputs, such as x=2, got none"):
            export(Branches(0), path)
        with pytest.raises(TypeError, match="has its inputs already"):
            export(mg.compile(lambda x: w * x, [w], x=()), path, x=2)
    with pytest.raises(ValueError, match=r"samples of one shape: compile .* x=3 for x=UpTo\(3\)"):
        mg.to_onnx(mg.compile(lambda x: mg.mean(x) * w, [w], x=mg.UpTo(3)), path)
    with pytest.raises(ValueError, match="'float32' or 'float64', got 'float16'"):
        mg.to_onnx(mg.MLP(2, [1]), path, dtype="float16")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a program with inputs"):
        mg.to_onnx(mg.compile(lambda: w * w, [w]), path)
    with pytest.raises(TypeError, match="a program with a loss"):
        mg.to_c(mg.MLP(2, [2]), path, gradient=True)
    assert path.read_text() == "old"
    cube = ops.row("cube_test", "cube", lambda x: x * x * x, lambda g, out, x: g * 3 * x * x)
    try:
        for form, export in (("ONNX", mg.to_onnx), ("C", mg.to_c)):
            with pytest.raises(ValueError, match=f"ops.cube_test has no form in {form}; give it an expansion"):
                export(mg.Neuron(2, activation=lambda x: cube(x)), path)
    finally:
        del ops.TABLE["cube_test"]
    assert path.read_text() == "old"


def test_a_row_of_ones_own_with_an_expansion_is_exported(tmp_path: Path) -> None:
    square = ops.composed("square_test", "square", lambda x: x * x, lambda g, out, x: 2 * (g * x))
    try:
        model = mg.Neuron(1, activation=lambda x: square(x), rng=0)
        mg.to_onnx(model, tmp_path / "m.onnx", dtype="float64")
        expected = model([3.0]).data
        np.testing.assert_allclose(run_onnx(tmp_path / "m.onnx", np.array([[3.0]]))[0], [expected], rtol=1e-15)
        program = mg.compile(lambda x: model([x]), model.parameters(), x=())
        assert_c_is_the_interpreter(compiled(tmp_path, mg.to_c(program, gradient=True)), program, [[3.0]])
    finally:
        del ops.TABLE["square_test"]


# C

needs_c = pytest.mark.skipif(
    not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="no C compiler here: neither cc, gcc nor clang"
)
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O2"]


def compiled(folder: Path, text: str) -> Any:
    """The file as a library."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        pytest.skip("no C compiler here: neither cc, gcc nor clang")
    number = len(list(folder.glob("*.so")))
    source, library = folder / f"p{number}.c", folder / f"p{number}.so"
    source.write_text(text, encoding="utf-8")
    subprocess.run([compiler, *STRICT, "-shared", "-fPIC", "-o", library, source, "-lm"], check=True, timeout=120)
    return ctypes.CDLL(str(library))


def doubles(xs: Any) -> Any:
    return (ctypes.c_double * max(len(xs), 1))(*xs)


def memory(text: str) -> Any:
    found = re.search(r"_MEMORY = (\d+)", text)
    assert found is not None
    return doubles([math.nan] * int(found[1]))  # its contents do not matter


def outputs_of(library: Any, text: str, parameters: Any, x: Any, count: int, name: str = "program") -> list[float]:
    out = doubles([math.nan] * count)
    getattr(library, name)(doubles(parameters), doubles(x), out, memory(text))
    return list(out)[:count]


def gradient_of(library: Any, program: mg.Program, x: Any) -> tuple[float, list[float]]:
    text, numbers = mg.to_c(program, gradient=True), [p.data for p in program.parameters]
    gradient = doubles([0.0] * len(numbers))
    library.program_gradient.restype = ctypes.c_double
    loss = library.program_gradient(doubles(numbers), doubles(x), gradient, memory(text))
    return loss, list(gradient)[: len(numbers)]


def bits(xs: Any) -> list[str]:
    """Floats by their digits; all nans are one, and zeros have no sign."""
    return [(x + 0.0).hex() for x in xs]


def assert_c_is_the_interpreter(library: Any, program: mg.Program, rows: Any) -> None:
    for x in rows:
        loss, gradient = gradient_of(library, program, x)
        expected, derivatives = interpreted(program._parts.careful(), [p.data for p in program.parameters], x)
        assert bits([loss, *gradient]) == bits([expected, *derivatives])


@needs_c
@pytest.mark.parametrize("op", ops.TABLE.values(), ids=lambda op: op.name)
def test_every_row_in_c_is_the_row_bit_for_bit(tmp_path: Path, op: ops.Operation) -> None:
    rows = points(op)
    text = mg.to_c(mg.compile(lambda x: applied(op, x), [], x=len(rows[0])))
    library = compiled(tmp_path, text)
    out, space = doubles([0.0]), memory(text)
    for row in rows:
        library.program(doubles([]), doubles(row), out, space)
        assert same(out[0], op.function(*row)), row


@needs_c
def test_a_network_in_c_is_the_network_bit_for_bit(tmp_path: Path) -> None:
    for activation in ("relu", "tanh", "sigmoid", "softplus", mg.gelu):
        model = mg.MLP(3, [6, 4, 2], activation=activation, rng=1)
        text = mg.to_c(model, tmp_path / "net.c", name="net")
        assert (tmp_path / "net.c").read_text() == text
        library = compiled(tmp_path, text)
        kept = (ctypes.c_double * len(model.parameters())).in_dll(library, "net_parameters")
        assert list(kept) == [p.data for p in model.parameters()]
        for x in ([0.5, -1.0, 2.0], [1e3, -1e3, 1e-3]):
            assert bits(outputs_of(library, text, kept, x, 2, "net")) == bits([y.data for y in model(x)])


@needs_c
@pytest.mark.parametrize("least", [1, 2, 4])
def test_samples_of_any_length_are_computed_in_c_as_by_the_function(tmp_path: Path, least: int) -> None:
    model, longest = GPT(5, block=4, width=4, heads=2, layers=1, rng=0), 4
    w = Value(0.5)

    def text(x: Any, y: Any) -> Any:
        return next_token_loss(model(list(x)), list(y))

    def guesses(x: Any, y: Any) -> Any:
        return mg.mse_loss([w * mg.mean(x[: t + 1]) for t in range(len(x))], y)

    for function, parameters in ((text, model.parameters()), (guesses, [w])):
        program = mg.compile(function, parameters, x=mg.UpTo(longest, least=least), y=mg.UpTo(longest, least=least))
        source = mg.to_c(program, gradient=True)
        assert f"x[8]: how many elements a sample has, less {least};" in source
        library = compiled(tmp_path, source)
        for length in range(least, longest + 1):
            x, y = [k % 5 for k in range(length)], [(2 * k + 1) % 5 for k in range(length)]
            behind = [math.nan] * (longest - length)
            row = [*map(float, x), *behind, *map(float, y), *behind, float(length - least)]
            assert_c_is_the_interpreter(library, program, [row])
            loss, gradient = gradient_of(library, program, row)
            for p in parameters:
                p.grad = 0
            expected = function(x, y)
            expected.backward()
            assert bits([loss]) == bits([expected.data])
            assert gradient == pytest.approx([p.grad for p in parameters], rel=1e-11, abs=1e-15)


@needs_c
def test_a_program_without_inputs_and_one_with_a_penalty_have_their_gradients_in_c(tmp_path: Path) -> None:
    model = mg.MLP(2, [3, 1], activation="tanh", rng=4)
    penalty = lambda: 0.01 * mg.sum([w * w for w in model.parameters()])  # noqa: E731
    fixed = mg.compile(lambda: mg.mse_loss(model([1.0, 2.0]), 3.0) + penalty(), model.parameters())
    assert_c_is_the_interpreter(compiled(tmp_path, mg.to_c(fixed, gradient=True)), fixed, [[]])
    each = mg.compile(lambda x, y: mg.mse_loss(model(x), y) + penalty(), model.parameters(), x=2, y=())
    library = compiled(tmp_path, mg.to_c(each, gradient=True))
    assert_c_is_the_interpreter(library, each, [[1.0, 2.0, 3.0]])
    assert gradient_of(library, each, [1.0, 2.0, 3.0])[1] == pytest.approx(
        each.gradient([[1.0, 2.0]], [3.0])[1].tolist(), rel=1e-12
    )


@needs_c
def test_an_irregular_program_is_a_table_in_c(tmp_path: Path) -> None:
    rng = random.Random(0)
    w = [Value(rng.uniform(-1, 1)) for _ in range(20)]

    def tangled(x: Any) -> Any:
        draw, known = random.Random(1), list(x)
        for _ in range(900):
            a, b = draw.choice(known), draw.choice(known)
            known.append(
                draw.choice([lambda a, b: a + b, lambda a, b: mg.tanh(a * b), lambda a, b: a - draw.choice(w)])(a, b)
            )
        return mg.mean(known[5:])

    program = mg.compile(tangled, w, x=5)
    assert "program_table_0" in mg.to_c(program, gradient=True)
    assert_c_is_the_interpreter(
        compiled(tmp_path, mg.to_c(program, gradient=True)), program, [[0.1, -0.2, 0.3, -0.4, 0.5]]
    )


@needs_c
def test_a_derivative_that_does_not_count_is_not_nan_in_c(tmp_path: Path) -> None:
    w = Value(0.0)
    program = mg.compile(lambda x: mg.relu(mg.sqrt(w) - x), [w], x=())
    loss, gradient = gradient_of(compiled(tmp_path, mg.to_c(program, gradient=True)), program, [1.0])
    assert (loss, gradient) == (0.0, [0.0])


@needs_c
def test_names_from_users_are_made_safe(tmp_path: Path) -> None:
    nasty = ["*/ int x;", "a\\", "??/", "\n#error", "größe", "l[0]", ""]
    values = [Value(float(k), label=text) for k, text in enumerate(nasty)]
    program = mg.compile(lambda int, größe: mg.sum(values) * int + größe, values, int=(), größe=())
    for name in ("double", "p", "sin", "2x", "a b", "größe", "nan", "", "*/"):
        text = mg.to_c(program, name=name, gradient=True)
        (safe,) = identifiers([name], taken=[*c99.WORDS, *c99.HELPERS])
        library = compiled(tmp_path, text)
        assert outputs_of(library, text, [p.data for p in values], [1.0, 2.0], 1, safe) == [23.0]
    mg.to_onnx(program, tmp_path / "m.onnx", dtype="float64")
    assert run_onnx(tmp_path / "m.onnx", np.array([1.0]), np.array([2.0])) == [23.0]


def test_every_form_of_c_is_one_of_a_row() -> None:
    assert set(c99.FORMS) <= {*ops.TABLE.values(), KEPT}
    assert set(onnx_file.FORMS) | set(onnx_file.LISTS) <= set(ops.TABLE.values())
