"""A GPT of scalars in microgpt's sizes: compiled and eager, beside C by hand, JAX, PyTorch and plain Python, in this run.

- The gradient of the mean loss of one text of 8 letters, and of 32 of them; of 16 letters.
- Steps of Adam, a text each, inside of one call where a contestant can.
- A step of a program in microgpt's style, every number a scalar of its own: on the `Value` it brings along, on ours, and
  with the first on PyPy. Seven or so letters, whichever name comes next.

Numbers are 64-bit floats, tokens are inputs, and one compiled program serves texts of every length up to 16. Every
contestant has first computed the same loss and gradient.
"""

from __future__ import annotations

import ctypes
import importlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import micrograd_like as mg
from benchmarks.peers import built
from benchmarks.race import Contestant, Result, race
from benchmarks.report import Report, processor, versions
from micrograd_like.transformer import GPT, next_token_loss

TOKENS, BLOCK, WIDTH, HEADS = 27, 16, 16, 4
RATE, STEPS = 0.001, 320
PROGRAM = Path(__file__).parents[1] / "tests" / "microgpt_program.py"
Gradient = Callable[[], tuple[Any, Any]]


class Texts:
    """So many texts of so many letters, what follows each letter, and the model's first numbers."""

    def __init__(self, count: int, letters: int) -> None:
        self.count, self.letters = count, letters
        self.x, self.y = np.random.default_rng(count + letters).integers(0, TOKENS, (2, count, letters))
        self.model = GPT(TOKENS, block=BLOCK, width=WIDTH, heads=HEADS, rng=0)
        self.theta = np.array([p.data for p in self.model.parameters()])

    def loss(self, x: Any, y: Any) -> Any:
        return next_token_loss(self.model(list(x)), list(y))

    def weights(self, theta: Any) -> dict[str, Any]:
        """The parameters by name, as matrices."""
        shapes = {"token": TOKENS, "place": BLOCK, "query": WIDTH, "key": WIDTH, "value": WIDTH, "output": WIDTH}
        sizes = [(name, rows, WIDTH) for name, rows in (shapes | {"up": 4 * WIDTH}).items()]
        found, start = {}, 0
        for name, rows, columns in [*sizes, ("down", WIDTH, 4 * WIDTH), ("head", TOKENS, WIDTH)]:
            found[name] = theta[start : start + rows * columns].reshape(rows, columns)
            start += rows * columns
        return found


def compiled(texts: Texts) -> mg.Program:
    shape = mg.UpTo(BLOCK)
    return mg.compile(texts.loss, texts.model.parameters(), cached=False, x=shape, y=shape)


class Ours:
    name = "compiled"

    def __init__(self, texts: Texts, program: mg.Program | None = None) -> None:
        self.texts, self.program = texts, program or compiled(texts)

    def gradient(self) -> Gradient:
        step, theta = self.program.bind(self.texts.x, self.texts.y), self.texts.theta
        return lambda: step(theta)

    def training(self) -> Callable[[], object]:
        texts, optimizer = self.texts, mg.Adam(self.program.parameters, lr=RATE)
        epochs = STEPS // texts.count
        return lambda: self.program.train(
            texts.x, texts.y, optimizer=optimizer, epochs=epochs, batch_size=1, shuffle=False
        )


class Eager:
    name = "eager"

    def __init__(self, texts: Texts) -> None:
        self.texts = texts

    def gradient(self) -> Gradient:
        parameters, texts = self.texts.model.parameters(), self.texts
        rows = [([int(t) for t in x], [int(t) for t in y]) for x, y in zip(texts.x, texts.y, strict=True)]

        def call() -> tuple[Any, Any]:
            loss = mg.mean([texts.loss(x, y) for x, y in rows])
            for p in parameters:
                p.grad = 0
            loss.backward()
            return loss.data, [p.grad for p in parameters]

        return call


class C:
    """`gpt.c`, called by ctypes with addresses that are already known."""

    name = "C by hand"
    SOURCE = Path(__file__).with_name("gpt.c")

    def __init__(self, texts: Texts) -> None:
        self.library = built(self.SOURCE)
        pointer, count = ctypes.c_void_p, ctypes.c_long
        self.library.gradient.restype = self.library.train.restype = ctypes.c_double
        self.library.gradient.argtypes = [*[pointer] * 4, count, pointer]
        self.library.train.argtypes = [*[pointer] * 5, count, count, ctypes.c_double]
        self.x, self.y = (np.zeros((texts.count, BLOCK)) for _ in range(2))
        self.x[:, : texts.letters], self.y[:, : texts.letters] = texts.x, texts.y
        self.lengths = np.full(texts.count, float(texts.letters))
        self.p, self.g, self.state = texts.theta.copy(), np.zeros_like(texts.theta), np.zeros(2 * len(texts.theta))
        self.texts = texts

    def addresses(self, *arrays: Any) -> list[ctypes.c_void_p]:
        return [ctypes.c_void_p(array.ctypes.data) for array in arrays]

    def gradient(self) -> Gradient:
        p, x, y, lengths, g = self.addresses(self.p, self.x, self.y, self.lengths, self.g)
        function, count = self.library.gradient, self.texts.count
        return lambda: (function(p, x, y, lengths, count, g), self.g)

    def training(self) -> Callable[[], object]:
        self.p[:], self.state[:] = self.texts.theta, 0
        arrays = self.addresses(self.p, self.state, self.x, self.y, self.lengths)
        function, count = self.library.train, self.texts.count
        return lambda: function(*arrays, count, STEPS, RATE)


class Jax:
    """`jit` of value and gradient; for training, `scan` over all steps inside of one `jit`."""

    name = "JAX"

    def __init__(self, texts: Texts) -> None:
        self.jax: Any = importlib.import_module("jax")
        self.jax.config.update("jax_enable_x64", True)
        self.jax.config.update("jax_cpu_enable_async_dispatch", False)  # half the time of a brief call
        self.numpy, self.texts = self.jax.numpy, texts
        self.x, self.y, self.theta = map(self.numpy.array, (texts.x, texts.y, texts.theta))

    def loss(self, theta: Any, x: Any, y: Any) -> Any:
        jnp, nn, w, n = self.numpy, self.jax.nn, self.texts.weights(theta), self.texts.letters

        def norm(x: Any) -> Any:
            return x * (jnp.mean(x * x, axis=-1, keepdims=True) + 1e-5) ** -0.5

        def heads(x: Any) -> Any:
            return x.reshape(-1, n, HEADS, WIDTH // HEADS).transpose(0, 2, 1, 3)

        x = norm(w["token"][x] + w["place"][:n])
        q, k, v = (heads(norm(x) @ w[name].T) for name in ("query", "key", "value"))
        scores = q @ k.transpose(0, 1, 3, 2) / (WIDTH // HEADS) ** 0.5
        shares = nn.softmax(jnp.where(jnp.tril(jnp.ones((n, n), bool)), scores, -jnp.inf))
        x = x + (shares @ v).transpose(0, 2, 1, 3).reshape(-1, n, WIDTH) @ w["output"].T
        x = x + nn.relu(norm(x) @ w["up"].T) @ w["down"].T
        surprise = -nn.log_softmax(x @ w["head"].T)
        return jnp.mean(jnp.take_along_axis(surprise, y[..., None], axis=-1))

    def gradient(self) -> Gradient:
        both = self.jax.jit(self.jax.value_and_grad(self.loss))
        return lambda: self.jax.block_until_ready(both(self.theta, self.x, self.y))

    def training(self) -> Callable[[], object]:
        jnp = self.numpy

        def step(state: Any, k: Any) -> Any:
            p, m, v = state
            i = k % self.texts.count
            loss, g = self.jax.value_and_grad(self.loss)(p, self.x[i][None], self.y[i][None])
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            m_hat, v_hat = m / (1 - 0.9 ** (k + 1.0)), v / (1 - 0.999 ** (k + 1.0))
            return (p - RATE * m_hat / (jnp.sqrt(v_hat) + 1e-8), m, v), loss

        run = self.jax.jit(lambda p: self.jax.lax.scan(step, (p, 0 * p, 0 * p), jnp.arange(STEPS))[1])
        return lambda: self.jax.block_until_ready(run(self.theta))


class Torch:
    """Its functions and `autograd.grad`; for training its Adam, all parameters being one tensor."""

    name = "PyTorch"

    def __init__(self, texts: Texts) -> None:
        self.torch: Any = importlib.import_module("torch")
        self.torch.set_num_threads(1)
        self.texts = texts
        self.x, self.y = self.torch.tensor(texts.x), self.torch.tensor(texts.y)
        self.theta = self.torch.tensor(texts.theta, requires_grad=True)

    def loss(self, x: Any, y: Any) -> Any:
        functional, w, n = self.torch.nn.functional, self.texts.weights(self.theta), self.texts.letters

        def norm(x: Any) -> Any:
            return functional.rms_norm(x, (WIDTH,), eps=1e-5)

        x = norm(w["token"][x] + w["place"][:n])
        seen = norm(x)
        q, k, v = (
            (seen @ w[name].T).view(-1, n, HEADS, WIDTH // HEADS).transpose(1, 2) for name in ("query", "key", "value")
        )
        found = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + found.transpose(1, 2).reshape(-1, n, WIDTH) @ w["output"].T
        x = x + functional.relu(norm(x) @ w["up"].T) @ w["down"].T
        return functional.cross_entropy((x @ w["head"].T).flatten(0, 1), y.flatten())

    def gradient(self) -> Gradient:
        def call() -> tuple[Any, Any]:
            loss = self.loss(self.x, self.y)
            return loss.detach(), self.torch.autograd.grad(loss, self.theta)[0]

        return call

    def training(self) -> Callable[[], object]:
        optimizer = self.torch.optim.Adam([self.theta], lr=RATE)

        def call() -> None:
            for k in range(STEPS):
                i = k % self.texts.count
                optimizer.zero_grad()
                self.loss(self.x[i : i + 1], self.y[i : i + 1]).backward()
                optimizer.step()

        return call


def entered(texts: Texts, program: mg.Program | None = None) -> dict[str, Any]:
    """The contestants that are installed; each has computed the same loss and gradient as the eager engine."""
    loss, gradient = Eager(texts).gradient()()
    expected = np.array([float(g) for g in gradient])
    found: dict[str, Any] = {}
    for kind in (Ours, C, Jax, Torch, Eager):
        try:
            peer = Ours(texts, program) if kind is Ours else kind(texts)
        except ImportError as missing:
            print(f"(left out: {kind.name}: {missing})")
            continue
        own, slopes = peer.gradient()()
        assert abs(float(own) - loss) < 1e-12, f"{kind.name} has another loss: {own}, not {loss}"
        assert np.abs(np.asarray(slopes, dtype=float) - expected).max() < 1e-12, f"{kind.name} has another gradient"
        found[kind.name] = peer
    return found


def plain(imported: str) -> Callable[[], object]:
    """A step of the program in microgpt's style, on the scalars that this line imports."""
    text = PROGRAM.read_text(encoding="utf-8").replace("from plain_value import Value", imported)
    names: dict[str, Any] = {"__name__": "microgpt"}
    sys.path.insert(0, str(PROGRAM.parent))
    exec(compile(text, PROGRAM.name, "exec"), names)
    sys.path.pop(0)
    steps = names["train"](10**9)
    return lambda: next(steps)


def pypy() -> float | None:
    """Seconds of a step on PyPy, after it has warmed up; None where it is not installed."""
    if (interpreter := shutil.which("pypy3")) is None:
        return None
    code = (
        "import sys, time\nsys.path.insert(0, sys.argv[1])\nimport microgpt_program\ntimes = []\n"
        "steps = microgpt_program.train(60)\n"
        "for _ in range(60):\n    start = time.perf_counter()\n    next(steps)\n    times.append(time.perf_counter() - start)\n"
        "print(sorted(times[30:])[15])"
    )
    done = subprocess.run([interpreter, "-c", code, str(PROGRAM.parent)], check=True, capture_output=True, text=True)
    return float(done.stdout)


def main() -> None:
    report = Report()
    report.say("# A language model\n")
    report.say(f"{processor()}; {versions()}\n")
    first = Texts(1, 8)
    start = time.perf_counter()
    program = compiled(first)
    front = time.perf_counter() - start
    program.bind(first.x, first.y)
    report.say(
        f"Compiled for every length up to {BLOCK} in {time.perf_counter() - start:.1f} s, of which loops {front:.1f} s; "
        f"{len(str(program).splitlines())} lines."
    )
    for count, letters in ((1, 8), (32, 8), (1, 16), (32, 16)):
        texts = Texts(count, letters)
        peers = entered(texts, program)
        if count > 1:
            peers.pop(Eager.name, None)  # a text takes it as long as before
        contestants = {name: Contestant(peer.gradient(), count) for name, peer in peers.items()}
        title = f"The gradient of {'a text' if count == 1 else f'{count} texts'} of {letters} letters"
        report.table(title, race(contestants), "text")
    texts = Texts(32, 8)
    peers = entered(texts, program)
    trained = {name: Contestant(peer.training(), STEPS) for name, peer in peers.items() if hasattr(peer, "training")}
    report.table("A step of Adam on a text of 8 letters", race(trained), "step")
    for collector in (True, False):
        own, ours = plain("from plain_value import Value"), plain("from micrograd_like.engine import Value")
        results = race({
            "microgpt on our Value": Contestant(ours, collector=collector),
            "microgpt on its own": Contestant(own, collector=collector),
        })  # fmt: skip
        if collector and (seconds := pypy()) is not None:
            ratio = seconds / results["microgpt on our Value"].seconds
            results["microgpt on its own, PyPy"] = Result(seconds, ratio, ratio, ratio)
        report.table(
            f"A step of a program in microgpt's style, collector {'on' if collector else 'off'}", results, "step"
        )
