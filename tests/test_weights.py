"""Weights to file and back: exact, readable by others, and refused whole when anything does not fit."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import micrograd_like as mg


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(0, 99))
def test_what_is_saved_comes_back_bit_for_bit(tmp_path_factory, sizes, seed):
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    saved, loaded = mg.MLP(3, sizes, rng=seed), mg.MLP(3, sizes, rng=seed + 1)
    mg.save_weights(saved, path)
    mg.load_weights(loaded, path)
    assert loaded.state_dict() == saved.state_dict()


def test_the_file_is_plain_safetensors_with_a_tensor_for_every_list_of_parameters(tmp_path):
    model = mg.MLP(2, [1], rng=0)
    mg.save_weights(model, tmp_path / "w.safetensors")
    tensors = load_file(tmp_path / "w.safetensors")
    assert {name: t.shape for name, t in tensors.items()} == {
        "layers[0].neurons[0].w": (2,),
        "layers[0].neurons[0].b": (),
    }
    assert tensors["layers[0].neurons[0].w"].tolist() == [w.data for w in model.layers[0].neurons[0].w]


def good(model: mg.Module) -> dict[str, np.ndarray]:
    neuron = model.layers[0].neurons[0]
    return {
        "layers[0].neurons[0].w": np.array([w.data + 1 for w in neuron.w]),
        "layers[0].neurons[0].b": np.array(0.5),
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers[0].neurons[0].w": np.zeros(3)}, r"floats of shape \(2,\), got float64 of shape \(3,\)"),
        ({"layers[0].neurons[0].w": np.zeros((2, 1))}, r"got float64 of shape \(2, 1\)"),
        ({"layers[0].neurons[0].w": np.array([1, 2])}, "got int64"),
        ({"layers[0].neurons[0].w": np.array([1.0, np.nan])}, "finite numbers, got nan in"),
        ({"layers[0].neurons[0].b": np.array(np.inf)}, "finite numbers, got inf in"),
        ({"other": np.zeros(1)}, "unknown"),
    ],
)
def test_a_file_that_does_not_fit_changes_nothing(tmp_path, change, message):
    model = mg.MLP(2, [1], rng=0)
    before = model.state_dict()
    save_file({**good(model), **change}, tmp_path / "w")
    with pytest.raises(ValueError, match=message):
        mg.load_weights(model, tmp_path / "w")
    assert model.state_dict() == before


def test_a_missing_tensor_is_named(tmp_path):
    model = mg.MLP(2, [1], rng=0)
    tensors = good(model)
    del tensors["layers[0].neurons[0].b"]
    save_file(tensors, tmp_path / "w")
    with pytest.raises(ValueError, match=r"missing \['layers\[0\].neurons\[0\].b'\]"):
        mg.load_weights(model, tmp_path / "w")


@pytest.mark.parametrize("content", [b"", b"not a file of weights", struct.pack("<Q", 10**9) + b"{}"])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(ValueError, match="is not a safetensors file"):
        mg.load_weights(mg.MLP(2, [1], rng=0), tmp_path / "w")


def test_single_precision_from_elsewhere_is_read(tmp_path):
    model = mg.MLP(2, [1], rng=0)
    save_file({name: t.astype(np.float32) for name, t in good(model).items()}, tmp_path / "w")
    mg.load_weights(model, tmp_path / "w")
    assert model.layers[0].neurons[0].b.data == 0.5


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), __import__("fractions").Fraction(1, 3)])
def test_only_finite_floats_are_saved_and_an_older_file_stays(tmp_path, bad):
    model = mg.MLP(2, [1], rng=0)
    mg.save_weights(model, tmp_path / "w")
    before = (tmp_path / "w").read_bytes()
    model.layers[0].neurons[0].b.data = bad
    with pytest.raises(ValueError, match="expected finite floats to save"):
        mg.save_weights(model, tmp_path / "w")
    assert (tmp_path / "w").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["w"]


def test_a_model_without_parameters_is_not_saved(tmp_path):
    with pytest.raises(ValueError, match="no parameters"):
        mg.save_weights(mg.Module(), tmp_path / "w")
