"""What is kept of compiled programs: their printed form, pickles, memory; and code for other processors."""

import gc
import pickle
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiler_programs import PICKS, assert_same, checked, random_program, samples

import micrograd_like as mg
from micrograd_like import Value
from micrograd_like.compiler import blocks, host, machine, native
from micrograd_like.compiler.memory import Shape


def test_a_printed_program_shows_the_loops() -> None:
    model = mg.MLP(3, [4, 2], rng=0)
    program = mg.compile(lambda x, y: mg.mse_loss(model(x), y), model.parameters(), x=3, y=2)
    text = str(program)
    assert text.startswith("# ")
    assert "# a sample's inputs: x is x[0] … x[2], y is x[3] … x[4]" in text
    assert "for i in range(4):\n    v[2*i] = p[4*i + 3] + sum(p[4*i + j] * x[j] for j in range(3))" in text
    assert repr(program) == "Program(26 parameters, x=(3,), y=(2,))"


def test_a_program_pickles_as_its_loops() -> None:
    function, parameters, size = random_program(7)
    program = mg.compile(function, parameters, x=size, k=PICKS)
    arrays = samples(random.Random(0), size, 6)
    loss = program(*arrays)
    copy = pickle.loads(pickle.dumps(program))
    assert copy(*arrays) == loss
    assert copy.parameters[0] is not program.parameters[0]
    assert str(copy) == str(program)


def test_a_pickled_table_still_runs() -> None:
    rng = random.Random(0)
    p = [Value(rng.random()) for _ in range(9)]
    plan = [(rng.random(), rng.random(), rng.random() < 0.5) for _ in range(1500)]

    def function(x: Any) -> Any:
        v = [*x, *p]
        for a, b, product in plan:
            left, right = v[-1 - int(a * min(len(v), 40))], v[int(b * len(v))]
            v.append((left * right if product else left - right).tanh())
        return mg.mean(v[-300:])

    program = checked(mg.compile(function, p, x=3))
    x = np.random.default_rng(0).normal(size=(13, 3))
    assert "without a pattern" in str(program)
    assert_same(program, function, p, x)
    assert pickle.loads(pickle.dumps(program))(x) == program(x)


def test_programs_that_are_gone_leave_no_memory_behind() -> None:
    """Hundreds of programs, compiled, run and freed, in a process of their own."""
    script = """
import gc, resource
import micrograd_like as mg
def used():
    gc.collect()
    return int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize()
def programs(n):
    for k in range(n):
        p = mg.Value(float(k))
        mg.compile(lambda x: (p * x).tanh(), [p], cached=False, x=()).gradient([1.0, 2.0])
programs(30)
grown = []
for _ in range(2):  # the first hundred may still find out how much room they need
    before = used()
    programs(100)
    grown.append(used() - before)
print(min(grown))
"""
    if not Path("/proc/self/statm").exists():
        pytest.skip("memory is read from /proc")
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(result.stdout) < 2_000_000


def test_a_program_that_is_gone_is_freed() -> None:
    import weakref

    program = mg.compile(lambda x: x * 2, [], x=())
    program([1.0])
    ghost = weakref.ref(program)
    del program
    gc.collect()
    assert ghost() is None


@pytest.mark.parametrize("width", [2, 4, 8])
def test_modules_for_any_width_of_vectors_are_well_formed(width: int) -> None:
    """Code for narrower and wider processors than this one: parsed, verified and translated by LLVM."""
    model = mg.MLP(4, [5, 3], rng=0)
    program = mg.compile(lambda x, y: mg.cross_entropy(model(x), y), model.parameters(), x=4, y=3)
    native.verify(blocks.block_module(program._parts, Shape(width, 4), False))
    assert machine.bits(1.0) == 0x3FF0000000000000
    assert host.width() in (2, 4, 8)


def test_any_width_of_vectors_computes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model = mg.MLP(4, [5, 3], rng=0)
    x = np.random.default_rng(0).normal(size=(27, 4))
    results = []
    for width in (2, 4, 8):
        monkeypatch.setattr(host, "width", lambda width=width: width)
        program = mg.compile(lambda x: mg.logsumexp(model(x)), model.parameters(), x=4)
        results.append((program.losses(x).tolist(), program.gradient(x)[1]))
    for losses, gradient in results[1:]:
        assert losses == results[0][0]
        np.testing.assert_allclose(gradient, results[0][1], rtol=1e-12, atol=1e-15)
