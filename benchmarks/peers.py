"""The same networks by other means: written by hand in NumPy, in JAX, in PyTorch, in CasADi, in C, and for micrograd.

A task is a multi-layer perceptron with ReLU layers and a linear last one, its loss, and samples. Every peer gives the
task's `gradient` (a call returns the mean loss and its gradient, flat, per neuron its weights and then its bias) and most
of them `training` (a call runs SGD for some epochs over mini-batches, from the parameters where the last one stopped).
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

Gradient = Callable[[], tuple[float, Any]]
Training = Callable[[], object]


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
        if not self.hinge:
            return mg.cross_entropy(self.model(x), y)
        return mg.hinge_loss(self.model(x), y) + PENALTY * mg.sum([p * p for p in self.model.parameters()])

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

    def batches(self, size: int) -> list[tuple[Any, Any]]:
        """The samples in mini-batches, in their order."""
        return [(self.x[i : i + size], self.y[i : i + size]) for i in range(0, len(self.x), size)]


class Ours:
    """This library's compiler."""

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
            total = mg.mean([task.loss(x, y) for x, y in rows])
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
    """Forward and backward written by hand, a whole mini-batch at a time."""

    name = "NumPy by hand"

    def __init__(self, task: Task) -> None:
        self.task = task

    def value_and_gradient(self, layers: list[tuple[Any, Any]], x: Any, y: Any) -> tuple[float, list[tuple[Any, Any]]]:
        values = [x]
        for k, (w, b) in enumerate(layers):
            z = values[-1] @ w.T + b
            values.append(np.maximum(z, 0.0) if k < len(layers) - 1 else z)
        scores, n = values[-1], len(x)
        if self.task.hinge:
            margins = 1.0 - y * scores[:, 0]
            penalty = PENALTY * sum((w * w).sum() + (b * b).sum() for w, b in layers)
            loss = np.maximum(margins, 0.0).mean() + penalty
            delta = (np.where(margins > 0, -y, 0.0) / n)[:, None]
        else:
            shifted = scores - scores.max(axis=1, keepdims=True)
            exponentials = np.exp(shifted)
            sums = exponentials.sum(axis=1, keepdims=True)
            loss = (np.log(sums[:, 0]) - (y * shifted).sum(axis=1)).mean()
            delta = (exponentials / sums - y) / n
        gradients: list[tuple[Any, Any]] = []
        for k in reversed(range(len(layers))):
            w, b = layers[k]
            gw, gb = delta.T @ values[k], delta.sum(axis=0)
            if self.task.hinge:
                gw, gb = gw + 2 * PENALTY * w, gb + 2 * PENALTY * b
            gradients.append((gw, gb))
            if k:
                delta = (delta @ w) * (values[k] > 0)
        return float(loss), gradients[::-1]

    def gradient(self) -> Gradient:
        layers = [(w.copy(), b.copy()) for w, b in self.task.layers(self.task.start)]

        def call() -> tuple[float, Any]:
            loss, gradients = self.value_and_gradient(layers, self.task.x, self.task.y)
            return loss, gradients

        return call

    def training(self, batch: int, epochs: int) -> Training:
        layers = [(w.copy(), b.copy()) for w, b in self.task.layers(self.task.start)]

        def call() -> None:
            for _ in range(epochs):
                for x, y in self.task.batches(batch):
                    _, gradients = self.value_and_gradient(layers, x, y)
                    for (w, b), (gw, gb) in zip(layers, gradients, strict=True):
                        w -= RATE * gw
                        b -= RATE * gb

        return call


class Jax:
    """JAX: `jit` of value and gradient; for training, `scan` over all steps inside of one `jit`."""

    name = "JAX"

    def __init__(self, task: Task) -> None:
        self.jax: Any = importlib.import_module("jax")
        self.jax.config.update("jax_enable_x64", True)
        self.numpy = self.jax.numpy
        self.task = task
        self.start = [(self.numpy.array(w.T), self.numpy.array(b)) for w, b in task.layers(task.start)]

    def loss(self, layers: Any, x: Any, y: Any) -> Any:
        jnp, nn = self.numpy, self.jax.nn
        for w, b in layers[:-1]:
            x = nn.relu(x @ w + b)
        scores = x @ layers[-1][0] + layers[-1][1]
        if not self.task.hinge:
            return -jnp.mean(jnp.sum(y * nn.log_softmax(scores), axis=1))
        penalty = sum(jnp.sum(w * w) + jnp.sum(b * b) for w, b in layers)
        return jnp.mean(nn.relu(1 - y * scores[:, 0])) + PENALTY * penalty

    def gradient(self) -> Gradient:
        both = self.jax.jit(self.jax.value_and_grad(self.loss))
        x, y = self.numpy.array(self.task.x), self.numpy.array(self.task.y)

        def call() -> tuple[float, Any]:
            loss, layers = self.jax.block_until_ready(both(self.start, x, y))
            return loss, [(w.T, b) for w, b in layers]

        return call

    def training(self, batch: int, epochs: int) -> Training:
        count = len(self.task.x) // batch
        x, y = (self.numpy.array(a).reshape(count, batch, *a.shape[1:]) for a in (self.task.x, self.task.y))

        def step(layers: Any, samples: Any) -> Any:
            loss, gradient = self.jax.value_and_grad(self.loss)(layers, *samples)
            return self.jax.tree.map(lambda p, g: p - RATE * g, layers, gradient), loss

        def epoch(layers: Any, _: Any) -> Any:
            return self.jax.lax.scan(step, layers, (x, y))

        run = self.jax.jit(lambda layers: self.jax.lax.scan(epoch, layers, None, length=epochs))
        return lambda: self.jax.block_until_ready(run(self.start))


class Torch:
    """PyTorch: `nn.Linear`, `backward`, and its SGD."""

    name = "PyTorch"

    def __init__(self, task: Task) -> None:
        self.torch: Any = importlib.import_module("torch")
        self.torch.set_num_threads(1)
        self.task = task
        self.x, self.y = self.torch.from_numpy(task.x.copy()), self.torch.from_numpy(task.y.copy())
        modules: list[Any] = []
        for w, b in task.layers(task.start):
            linear = self.torch.nn.Linear(w.shape[1], w.shape[0], dtype=self.torch.float64)
            with self.torch.no_grad():
                linear.weight.copy_(self.torch.from_numpy(w.copy()))
                linear.bias.copy_(self.torch.from_numpy(b.copy()))
            modules += [linear, self.torch.nn.ReLU()]
        self.model = self.torch.nn.Sequential(*modules[:-1])

    def loss(self, x: Any, y: Any) -> Any:
        scores = self.model(x)
        if not self.task.hinge:
            return self.torch.nn.functional.cross_entropy(scores, y)
        penalty = sum((p * p).sum() for p in self.model.parameters())
        return (1 - y * scores[:, 0]).relu().mean() + PENALTY * penalty

    def gradient(self) -> Gradient:
        def call() -> tuple[float, Any]:
            self.model.zero_grad()
            loss = self.loss(self.x, self.y)
            loss.backward()
            parts = [p.grad for p in self.model.parameters()]
            return loss.item(), list(zip(parts[::2], parts[1::2], strict=True))

        return call

    def training(self, batch: int, epochs: int) -> Training:
        optimizer = self.torch.optim.SGD(self.model.parameters(), lr=RATE)

        def call() -> None:
            for _ in range(epochs):
                for i in range(0, len(self.x), batch):
                    optimizer.zero_grad()
                    self.loss(self.x[i : i + batch], self.y[i : i + batch]).backward()
                    optimizer.step()

        return call


class CasADi:
    """CasADi: scalars (SX) for a sample, its gradient by CasADi's own reverse mode, mapped over the samples."""

    name = "CasADi"

    def __init__(self, task: Task) -> None:
        ca: Any = importlib.import_module("casadi")
        self.task = task
        p, x = ca.SX.sym("p", len(task.start)), ca.SX.sym("x", task.sizes[0])
        y = ca.SX.sym("y", 1 if task.hinge else task.sizes[-1])
        start, z = 0, x
        for k, (inputs, outputs) in enumerate(pairwise(task.sizes)):
            both = ca.reshape(p[start : start + outputs * (inputs + 1)], inputs + 1, outputs).T
            z = both[:, :-1] @ z + both[:, -1]
            z = ca.fmax(z, 0) if k < len(task.sizes) - 2 else z
            start += outputs * (inputs + 1)
        loss = ca.fmax(1 - y * z, 0) + PENALTY * ca.sumsqr(p) if task.hinge else ca.logsumexp(z) * ca.sum1(y) - y.T @ z
        one = ca.Function("one", [p, x, y], [loss, ca.gradient(loss, p)])
        self.function = one.map(len(task.x))
        self.x, self.y = ca.DM(task.x.T), ca.DM(task.y.reshape(len(task.x), -1).T)
        self.p, self.ca = ca.repmat(ca.DM(task.start), 1, len(task.x)), ca

    def gradient(self) -> Gradient:
        def call() -> tuple[float, Any]:
            losses, gradients = self.function(self.p, self.x, self.y)
            n = len(self.task.x)
            return float(self.ca.sum2(losses)) / n, np.asarray(self.ca.sum2(gradients)).ravel() / n

        return call


class C:
    """`reference.c`, built for the task's network, called by ctypes with addresses that are already known."""

    name = "C by hand"
    SOURCE = Path(__file__).with_name("reference.c")

    def __init__(self, task: Task) -> None:
        compiler = next((path for name in ("gcc", "cc") if (path := shutil.which(name))), None)
        if compiler is None:
            raise ImportError("no C compiler")
        self.task = task
        kind = f"-DPENALTY={PENALTY}" if task.hinge else "-DCROSS_ENTROPY"
        options = ["-O3", "-march=native", "-ffast-math", "-w", "-fPIC", kind]
        sizes = f"-DSIZES={','.join(map(str, task.sizes))}"
        with tempfile.TemporaryDirectory() as folder:
            code, library = str(Path(folder) / "reference.o"), str(Path(folder) / "reference.so")
            subprocess.run([compiler, *options, sizes, "-c", str(self.SOURCE), "-o", code], check=True)
            # Linked without -ffast-math, which would switch off subnormal numbers for everybody in this process.
            subprocess.run([compiler, "-shared", code, "-o", library, "-lm"], check=True)
            self.library = ctypes.CDLL(library)
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
        return lambda: function(x, y, n, batch, epochs, RATE, p, g, losses)


def entered(task: Task, kinds: list[type]) -> dict[str, Any]:
    """Those of the peers that are installed, each held to the gradient of the first; what is missing is said."""
    peers: dict[str, Any] = {}
    expected: tuple[float, Any] | None = None
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
    return peers
