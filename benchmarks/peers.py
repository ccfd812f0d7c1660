"""The same networks by other means: written by hand in NumPy, in JAX, in PyTorch, in CasADi, in C, and for micrograd.

A task is a multi-layer perceptron with ReLU layers and a linear last one, its loss, and samples. Every peer gives the
task's `gradient` (a call returns the mean loss and its gradient, flat, per neuron its weights and then its bias, or as
it is at hand: weights and biases layer by layer) and most of them `training` (a call runs SGD for some epochs over
mini-batches and returns the loss of every step). Each is written the way that was found fastest for it.
"""

from __future__ import annotations

import ctypes
import importlib
import math
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import micrograd_like as mg

PENALTY = 1e-4  # of the hinge loss, on the squares of all parameters
RATE = 1e-4  # the learning rate; small, so that the network stays what it is while it is timed

Gradient = Callable[[], tuple[Any, Any]]
Training = Callable[[], Any]


@dataclass
class Task:
    """What is to be computed. `y`: targets of -1 and 1 for one output (hinge loss), else one-hot (cross-entropy)."""

    sizes: tuple[int, ...]
    x: Any
    y: Any
    seed: int = 0

    def __post_init__(self) -> None:
        self.model = mg.MLP(self.sizes[0], list(self.sizes[1:]), rng=self.seed)
        self.start = np.array([p.data for p in self.model.parameters()])

    @property
    def hinge(self) -> bool:
        """Whether the loss is the hinge loss with a penalty."""
        return self.sizes[-1] == 1

    @property
    def operations(self) -> int:
        """Additions and multiplications of the matrix products of one sample, forward and backward."""
        return 6 * sum(a * b for a, b in pairwise(self.sizes)) - 2 * self.sizes[0] * self.sizes[1]

    def loss(self, x: Any, y: Any) -> Any:
        """One sample's loss, in this library's scalars."""
        return self.error(x, y) + self.penalty() if self.hinge else self.error(x, y)

    def error(self, x: Any, y: Any) -> Any:
        """The loss without its penalty."""
        return (mg.hinge_loss if self.hinge else mg.cross_entropy)(self.model(x), y)

    def penalty(self) -> Any:
        """The penalty of the hinge loss."""
        return PENALTY * mg.sum([p * p for p in self.model.parameters()])

    def compiled(self, cached: bool = False) -> mg.Program:
        """The loss as a program of this library."""
        shape: Any = () if self.hinge else self.sizes[-1]
        return mg.compile(self.loss, self.model.parameters(), cached=cached, x=self.sizes[0], y=shape)

    def layers(self, flat: Any) -> list[tuple[Any, Any]]:
        """Weights (outputs × inputs) and biases out of flat parameters."""
        found, start = [], 0
        for inputs, outputs in pairwise(self.sizes):
            both = flat[start : start + outputs * (inputs + 1)].reshape(outputs, inputs + 1)
            found.append((both[:, :-1], both[:, -1]))
            start += outputs * (inputs + 1)
        return found

    def flat(self, layers: list[tuple[Any, Any]]) -> Any:
        """The way back."""
        return np.concatenate([np.column_stack([np.asarray(w), np.asarray(b)]).ravel() for w, b in layers])

    def batches(self, size: int) -> list[slice]:
        """Mini-batches, in the samples' order."""
        return [slice(i, i + size) for i in range(0, len(self.x), size)]


class Ours:
    """This library's compiler; a call checks its inputs and reads the parameters."""

    name = "compiled"

    def __init__(self, task: Task) -> None:
        self.task, self.program = task, task.compiled()

    def gradient(self) -> Gradient:
        return lambda: self.program.gradient(self.task.x, self.task.y)

    def training(self, batch: int, epochs: int, shuffle: bool = False) -> Training:
        return lambda: self.program.sgd(
            self.task.x, self.task.y, lr=RATE, epochs=epochs, batch_size=batch, shuffle=shuffle
        )


class Eager:
    """This library's engine, uncompiled."""

    name = "this engine, eager"

    def __init__(self, task: Task) -> None:
        self.task = task

    def gradient(self) -> Gradient:
        task = self.task
        rows = list(zip(task.x.tolist(), task.y.tolist(), strict=True))

        def call() -> tuple[float, Any]:
            task.model.zero_grad()
            total = mg.mean([task.error(x, y) for x, y in rows])
            total = total + task.penalty() if task.hinge else total
            total.backward()
            return total.data, [p.grad for p in task.model.parameters()]

        return call


class Micrograd:
    """PyPI's micrograd; what it lacks (exp and log) is added as its users have to."""

    name = "micrograd"

    def __init__(self, task: Task) -> None:
        engine, network = importlib.import_module("micrograd.engine"), importlib.import_module("micrograd.nn")
        random.seed(0)
        self.task, self.value = task, engine.Value
        self.model = network.MLP(task.sizes[0], list(task.sizes[1:]))
        for p, x in zip(self.model.parameters(), task.start.tolist(), strict=True):
            p.data = x

    def gradient(self) -> Gradient:
        rows = list(zip(self.task.x.tolist(), self.task.y.tolist(), strict=True))

        def call() -> tuple[float, Any]:
            self.model.zero_grad()
            outputs = [self.model([self.value(v) for v in x]) for x, _ in rows]
            if self.task.hinge:
                losses = [(1 + -y * score).relu() for score, (_, y) in zip(outputs, rows, strict=True)]
            else:
                losses = [self._cross_entropy(scores, y) for scores, (_, y) in zip(outputs, rows, strict=True)]
            total = sum(losses) * (1.0 / len(losses))
            if self.task.hinge:
                total = total + PENALTY * sum(p * p for p in self.model.parameters())
            total.backward()
            return total.data, [p.grad for p in self.model.parameters()]

        return call

    def _cross_entropy(self, scores: list[Any], y: list[float]) -> Any:
        exponentials = [self._function(math.exp, lambda x, out: out, score) for score in scores]
        chosen = exponentials[y.index(1.0)] / sum(exponentials)
        return -self._function(math.log, lambda x, out: 1 / x, chosen)

    def _function(self, function: Callable[[float], float], slope: Callable[[float, float], float], x: Any) -> Any:
        out = self.value(function(x.data), (x,), function.__name__)

        def backward() -> None:
            x.grad += slope(x.data, out.data) * out.grad

        out._backward = backward
        return out


class NumPy:
    """Forward and backward written by hand, a whole mini-batch at a time, into arrays that are there already."""

    name = "NumPy by hand"

    def __init__(self, task: Task) -> None:
        self.task = task
        parts = [part for layer in task.layers(task.start) for part in layer]
        self.p = np.concatenate([part.ravel() for part in parts])  # one vector, so that a step of SGD is one operation
        self.g = np.zeros_like(self.p)
        ends = np.cumsum([part.size for part in parts])[:-1]
        views = [
            [piece.reshape(part.shape) for piece, part in zip(np.split(flat, ends), parts, strict=True)]
            for flat in (self.p, self.g)
        ]
        self.layers, self.gradients = (list(zip(both[::2], both[1::2], strict=True)) for both in views)

    def step(self, x: Any, y: Any) -> Callable[[], float]:
        """What computes the loss of these samples and puts its gradient into `gradients`."""
        task, layers, last, n = self.task, self.layers, len(self.layers) - 1, len(x)
        values = [x, *(np.zeros((n, size)) for size in task.sizes[1:])]
        deltas, switched_on = [np.zeros_like(v) for v in values], [np.zeros(v.shape, bool) for v in values]
        share = -y / n

        def loss_and_delta(scores: Any, delta: Any) -> float:
            if task.hinge:
                margins = 1.0 + n * share * scores[:, 0]
                delta[:, 0] = np.where(margins > 0, share, 0.0)
                return float(np.maximum(margins, 0.0).sum() / n + PENALTY * (self.p @ self.p))
            scores -= scores.max(axis=1, keepdims=True)
            np.exp(scores, out=delta)
            sums = delta.sum(axis=1, keepdims=True)
            delta /= n * sums
            delta += share
            return float(np.log(sums).sum() / n + np.vdot(share, scores))

        def call() -> float:
            for k, (w, b) in enumerate(layers):
                z = np.matmul(values[k], w.T, out=values[k + 1])
                z += b
                if k < last:
                    np.maximum(z, 0.0, out=z)
            loss = loss_and_delta(values[-1], deltas[-1])
            for k in range(last, -1, -1):
                gw, gb = self.gradients[k]
                np.matmul(deltas[k + 1].T, values[k], out=gw)
                np.add.reduce(deltas[k + 1], axis=0, out=gb)
                if k:
                    np.matmul(deltas[k + 1], layers[k][0], out=deltas[k])
                    deltas[k] *= np.greater(values[k], 0.0, out=switched_on[k])
            if task.hinge:
                self.g += 2 * PENALTY * self.p
            return loss

        return call

    def gradient(self) -> Gradient:
        step = self.step(self.task.x, self.task.y)
        return lambda: (step(), self.gradients)

    def training(self, batch: int, epochs: int) -> Training:
        steps = [self.step(self.task.x[part], self.task.y[part]) for part in self.task.batches(batch)]

        def call() -> list[float]:
            losses = []
            for _ in range(epochs):
                for step in steps:
                    losses.append(step())
                    self.p -= RATE * self.g
            return losses

        return call


class Jax:
    """`jit` of value and gradient; for training, `scan` over all steps inside of one `jit`."""

    name = "JAX"

    def __init__(self, task: Task) -> None:
        self.jax: Any = importlib.import_module("jax")
        self.jax.config.update("jax_enable_x64", True)
        self.jax.config.update("jax_cpu_enable_async_dispatch", False)  # half the time of a brief call
        self.numpy = self.jax.numpy
        self.task = task
        self.start = [(self.numpy.array(w), self.numpy.array(b)) for w, b in task.layers(task.start)]

    def loss(self, layers: Any, x: Any, y: Any) -> Any:
        jnp, nn = self.numpy, self.jax.nn
        for w, b in layers[:-1]:
            x = nn.relu(x @ w.T + b)
        scores = x @ layers[-1][0].T + layers[-1][1]
        if not self.task.hinge:
            return -jnp.mean(jnp.sum(y * nn.log_softmax(scores), axis=1))
        penalty = sum(jnp.sum(w * w) + jnp.sum(b * b) for w, b in layers)
        return jnp.mean(nn.relu(1 - y * scores[:, 0])) + PENALTY * penalty

    def gradient(self) -> Gradient:
        both = self.jax.jit(self.jax.value_and_grad(self.loss))
        x, y = self.numpy.array(self.task.x), self.numpy.array(self.task.y)
        return lambda: self.jax.block_until_ready(both(self.start, x, y))

    def training(self, batch: int, epochs: int) -> Training:
        count = len(self.task.x) // batch
        x, y = (self.numpy.array(a).reshape(count, batch, *a.shape[1:]) for a in (self.task.x, self.task.y))

        def step(layers: Any, samples: Any) -> Any:
            loss, gradient = self.jax.value_and_grad(self.loss)(layers, *samples)
            return self.jax.tree.map(lambda p, g: p - RATE * g, layers, gradient), loss

        def epoch(layers: Any, _: Any) -> Any:
            return self.jax.lax.scan(step, layers, (x, y))

        run = self.jax.jit(lambda layers: self.jax.lax.scan(epoch, layers, None, length=epochs))
        return lambda: self.jax.block_until_ready(run(self.start))[1]


class Torch:
    """Its functions and `autograd.grad`, without the modules and the optimizer, which take longer."""

    name = "PyTorch"

    def __init__(self, task: Task) -> None:
        self.torch: Any = importlib.import_module("torch")
        self.torch.set_num_threads(1)
        self.task = task
        self.x, self.y = self.torch.tensor(task.x), self.torch.tensor(task.y)
        if not task.hinge:
            self.y = self.y.argmax(dim=1)  # classes, which cost it less than rows of ones and zeros
        self.p = [self.torch.tensor(part, requires_grad=True) for layer in task.layers(task.start) for part in layer]

    def loss(self, x: Any, y: Any) -> Any:
        functional = self.torch.nn.functional
        for k in range(0, len(self.p), 2):
            x = functional.linear(x, self.p[k], self.p[k + 1])
            x = x.relu() if k < len(self.p) - 2 else x
        if not self.task.hinge:
            return functional.cross_entropy(x, y)
        return (1 - y * x[:, 0]).relu().mean() + PENALTY * sum((p * p).sum() for p in self.p)

    def gradient(self) -> Gradient:
        def call() -> tuple[Any, Any]:
            loss = self.loss(self.x, self.y)
            parts = self.torch.autograd.grad(loss, self.p)
            return loss.detach(), list(zip(parts[::2], parts[1::2], strict=True))

        return call

    def training(self, batch: int, epochs: int) -> Training:
        samples = [(self.x[part], self.y[part]) for part in self.task.batches(batch)]

        def call() -> list[Any]:
            losses = []
            for _ in range(epochs):
                for x, y in samples:
                    loss = self.loss(x, y)
                    gradients = self.torch.autograd.grad(loss, self.p)
                    with self.torch.no_grad():
                        for p, g in zip(self.p, gradients, strict=True):
                            p.sub_(g, alpha=RATE)
                    losses.append(loss.detach())
            return losses

        return call


class CasADi:
    """Scalars (SX) for a sample, their reverse mode, mapped and summed over the samples, and C made of that.

    Without a C compiler its own interpreter runs the same.
    """

    name = "CasADi"

    def __init__(self, task: Task) -> None:
        ca: Any = importlib.import_module("casadi")
        n, size, targets = len(task.x), len(task.start), 1 if task.hinge else task.sizes[-1]
        p, x, y = ca.SX.sym("p", size), ca.SX.sym("x", task.sizes[0]), ca.SX.sym("y", targets)
        z = x
        for k, (w, b) in enumerate(self.layers(ca, task, p)):
            z = w @ z + b
            z = ca.fmax(z, 0) if k < len(task.sizes) - 2 else z
        loss = ca.fmax(1 - y * z, 0) if task.hinge else ca.logsumexp(z) * ca.sum1(y) - y.T @ z
        one = ca.Function("one", [p, x, y], [loss, ca.gradient(loss, p)])
        p, x, y = ca.MX.sym("p", size), ca.MX.sym("x", task.sizes[0], n), ca.MX.sym("y", targets, n)
        losses, gradients = one.map(n, [True, False, False], [True, True])(p, x, y)
        penalty = PENALTY if task.hinge else 0.0
        outputs = [losses / n + penalty * ca.sumsqr(p), gradients / n + 2 * penalty * p]
        with tempfile.TemporaryDirectory() as folder:
            flags = {"compiler": c_compiler(), "flags": ["-O3", "-march=native", "-ffast-math"]}
            kept = {"directory": f"{folder}/", "cleanup": False}  # this folder cleans up
            jit = {"jit": True, "jit_cleanup": False, "compiler": "shell", "jit_options": flags | kept}
            self.function = ca.Function("mean", [p, x, y], outputs, jit if c_compiler() else {})
        self.arrays = [task.start.copy(), task.x.ravel(), task.y.ravel(), np.zeros(1), np.zeros(size)]
        self.buffer, self.evaluate = self.function.buffer()
        for k in range(3):
            self.buffer.set_arg(k, self.arrays[k])
        for k in range(2):
            self.buffer.set_res(k, self.arrays[3 + k])

    @staticmethod
    def layers(ca: Any, task: Task, p: Any) -> list[tuple[Any, Any]]:
        """Weights and biases out of flat parameters; CasADi's matrices go down their columns."""
        found, start = [], 0
        for inputs, outputs in pairwise(task.sizes):
            both = ca.reshape(p[start : start + outputs * (inputs + 1)], inputs + 1, outputs).T
            found.append((both[:, :-1], both[:, -1]))
            start += outputs * (inputs + 1)
        return found

    def gradient(self) -> Gradient:
        def call() -> tuple[Any, Any]:
            self.evaluate()
            return self.arrays[3][0], self.arrays[4]

        return call


def c_compiler() -> str | None:
    return next((path for name in ("gcc", "cc") if (path := shutil.which(name))), None)


def built(source: Path, *options: str) -> ctypes.CDLL:
    """A C file's functions, compiled as fast as they get. Raises ImportError where there is no compiler."""
    compiler = c_compiler()
    if compiler is None:
        raise ImportError("no C compiler")
    fast = ["-O3", "-march=native", "-ffast-math", "-w", "-fPIC"]
    with tempfile.TemporaryDirectory() as folder:
        code, library = str(Path(folder) / "code.o"), str(Path(folder) / "library.so")
        subprocess.run([compiler, *fast, *options, "-c", str(source), "-o", code], check=True)
        # Linked without -ffast-math, which would switch off subnormal numbers for everybody in this process.
        subprocess.run([compiler, "-shared", code, "-o", library, "-lm"], check=True)
        return ctypes.CDLL(library)


class C:
    """`reference.c`, built for the task's network, called by ctypes with addresses that are already known."""

    name = "C by hand"
    SOURCE = Path(__file__).with_name("reference.c")

    def __init__(self, task: Task) -> None:
        self.task = task
        options = [f"-DPENALTY={PENALTY}" if task.hinge else "-DCROSS_ENTROPY"]
        if max(task.sizes) > 2048:
            options.append(f"-DMOST={max(task.sizes) + 1}")
        self.library = built(self.SOURCE, *options, f"-DSIZES={','.join(map(str, task.sizes))}")
        pointer, number, size = ctypes.c_void_p, ctypes.c_double, ctypes.c_long
        self.library.gradient.restype = self.library.peak.restype = number
        self.library.gradient.argtypes = [pointer, pointer, size, pointer, pointer]
        self.library.sgd.argtypes = [pointer, pointer, size, size, size, number, pointer, pointer, pointer]
        self.p, self.g = task.start.copy(), np.zeros_like(task.start)

    def peak(self) -> float:
        """Floating point operations per second of fused multiply-adds that wait for nothing."""
        return float(self.library.peak())

    def gradient(self) -> Gradient:
        x, y, p, g = (ctypes.c_void_p(a.ctypes.data) for a in (self.task.x, self.task.y, self.p, self.g))
        n, function = len(self.task.x), self.library.gradient
        return lambda: (function(x, y, n, p, g), self.g)

    def training(self, batch: int, epochs: int) -> Training:
        self.losses = np.zeros(epochs * -(-len(self.task.x) // batch))
        arrays = (self.task.x, self.task.y, self.p, self.g, self.losses)
        x, y, p, g, losses = (ctypes.c_void_p(a.ctypes.data) for a in arrays)
        n, function = len(self.task.x), self.library.sgd
        return lambda: (function(x, y, n, batch, epochs, RATE, p, g, losses), self.losses)[1]


def entered(task: Task, kinds: list[type], batch: int | None = None) -> dict[str, Any]:
    """Those of the peers that are installed; what is missing is said.

    Each is held to the loss and the gradient of the first, and, with a size of mini-batches, to its losses over two
    epochs of training.
    """
    peers: dict[str, Any] = {}
    expected: tuple[Any, Any] | None = None
    for kind in kinds:
        try:
            peer = kind(task)
        except ImportError as error:
            print(f"(left out: {kind.name}: {error})")
            continue
        loss, gradient = peer.gradient()()
        if isinstance(gradient, list) and isinstance(gradient[0], tuple):
            gradient = task.flat(gradient)
        if expected is None:
            expected = loss, np.array(gradient)
        np.testing.assert_allclose(float(loss), expected[0], rtol=1e-9, err_msg=kind.name)
        np.testing.assert_allclose(gradient, expected[1], rtol=1e-6, atol=1e-10, err_msg=kind.name)
        peers[kind.name] = peer
    if batch is not None:
        losses = {name: peer.training(batch, 2)() for name, peer in peers.items() if hasattr(peer, "training")}
        for name, own in losses.items():
            first = next(iter(losses.values()))
            np.testing.assert_allclose(np.ravel(own), first, rtol=1e-9, err_msg=f"{name}, training")
    return peers
