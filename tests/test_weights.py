"""Weights to file and back: exact, readable by others, and refused whole when anything does not fit."""

from __future__ import annotations

import json
import os
import stat
import struct
import threading
from pathlib import Path

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


@pytest.mark.parametrize("kind", ["BF16", "F8_E4M3", "F8_E5M2"])
def test_numbers_of_a_type_that_numpy_has_not_are_refused_by_its_name(tmp_path, kind):
    model, size = mg.MLP(2, [1], rng=0), 1 if kind.startswith("F8") else 2
    header = {
        "layers[0].neurons[0].w": {"dtype": kind, "shape": [2], "data_offsets": [0, 2 * size]},
        "layers[0].neurons[0].b": {"dtype": kind, "shape": [], "data_offsets": [2 * size, 3 * size]},
    }
    text = json.dumps(header).encode()
    (tmp_path / "w").write_bytes(struct.pack("<Q", len(text)) + text + bytes(3 * size))
    with pytest.raises(ValueError, match=f"(has numbers of the type|as floats of shape).*{kind}|got .*float"):
        mg.load_weights(model, tmp_path / "w")


def test_what_is_no_model_is_named(tmp_path):
    with pytest.raises(TypeError, match="expected a Module to save, got int: 3"):
        mg.save_weights(3, tmp_path / "w")
    (tmp_path / "w").touch()
    with pytest.raises(TypeError, match=r"expected a Module to load, got float: 1\.0"):
        mg.load_weights(1.0, tmp_path / "w")
    with pytest.raises(TypeError, match=r"os\.PathLike object, not int"):
        mg.save_weights(mg.Neuron(1), 3)


def test_a_new_file_has_the_mode_of_new_files_and_an_old_one_keeps_its_own(tmp_path):
    model, path = mg.Neuron(1), tmp_path / "w"
    (tmp_path / "other").touch()
    mg.save_weights(model, path)
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode
    for mode in (0o600, 0o640, 0o666):
        path.chmod(mode)
        mg.save_weights(model, path)
        assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_link_stays_a_link_and_the_file_it_leads_to_is_replaced(tmp_path):
    model = mg.Neuron(1, rng=0)
    (tmp_path / "folder").mkdir()
    link, file = tmp_path / "w", tmp_path / "folder" / "w"
    link.symlink_to(file)
    for seed in (1, 2):  # the first time it leads to nothing yet
        mg.save_weights(mg.Neuron(1, rng=seed), link)
        assert link.is_symlink()
        mg.load_weights(model, file)
        assert model.state_dict() == mg.Neuron(1, rng=seed).state_dict()
    assert [p.name for p in (tmp_path / "folder").iterdir()] == ["w"]


def test_a_name_as_long_as_names_may_be_is_written(tmp_path):
    path = tmp_path / ("w" * 255)
    mg.save_weights(mg.Neuron(1), path)
    assert path.exists()


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_is_not_replaced(tmp_path, make):
    make(tmp_path / "w")
    before = (tmp_path / "w").stat().st_mode
    with pytest.raises(ValueError, match="expected the path of a file to write"):
        mg.save_weights(mg.Neuron(1), tmp_path / "w")
    assert (tmp_path / "w").stat().st_mode == before
    assert [p.name for p in tmp_path.iterdir()] == ["w"]


@pytest.mark.parametrize("call", ["fsync", "replace", "open", "chmod"])
def test_a_failure_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, call):
    mg.save_weights(mg.Neuron(1, rng=1), tmp_path / "w")
    before = (tmp_path / "w").read_bytes()

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space"):
        mg.save_weights(mg.Neuron(1, rng=2), tmp_path / "w")
    assert (tmp_path / "w").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["w"]


def test_many_threads_save_to_one_path_and_every_reader_finds_one_of_theirs(tmp_path):
    path, seen, failures = tmp_path / "w", set(), []
    models = [mg.MLP(2, [2], rng=seed) for seed in range(4)]
    mg.save_weights(models[0], path)
    wanted = [tuple(model.state_dict().values()) for model in models]

    def run(work):
        try:
            for _ in range(40):
                work()
        except BaseException as error:
            failures.append(error)

    def read():
        reader = mg.MLP(2, [2], rng=9)
        mg.load_weights(reader, path)
        seen.add(tuple(reader.state_dict().values()))

    writers = [threading.Thread(target=run, args=(lambda m=m: mg.save_weights(m, path),)) for m in models]
    readers = [threading.Thread(target=run, args=(read,)) for _ in range(2)]
    for thread in (*writers, *readers):
        thread.start()
    for thread in (*writers, *readers):
        thread.join()
    assert not failures
    assert seen <= set(wanted)
    assert [p.name for p in tmp_path.iterdir()] == ["w"]
