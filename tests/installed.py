"""What an empty environment with the wheel alone must do: run by `make package`, outside of the source tree."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

import micrograd_like as mg

ROOT = Path(__file__).resolve().parent.parent
assert not Path(mg.__file__).is_relative_to(ROOT / "micrograd_like"), f"not the installed package: {mg.__file__}"
assert importlib.metadata.version("micrograd_like") == mg.__version__
installed = Path(mg.__file__).parent
# Python's files, the marker of types and the live page's parts, and the demos: all that the source has, and nothing else.
source = {p.relative_to(ROOT / "micrograd_like") for p in (ROOT / "micrograd_like").rglob("*") if p.is_file()}
source |= {p.relative_to(ROOT) for p in (ROOT / "demos").glob("*.py")}
wheel = {p.relative_to(installed) for p in installed.rglob("*") if p.is_file()}
source, wheel = ({p for p in files if "__pycache__" not in p.parts} for files in (source, wheel))
assert source == wheel, f"missing in the wheel: {source - wheel}; only in the wheel: {wheel - source}"

xor = [([0, 0], -1), ([0, 1], 1), ([1, 0], 1), ([1, 1], -1)]
model = mg.MLP(2, [8, 1], activation="tanh", rng=0)
history = mg.fit(model, xor, mg.hinge_loss, mg.Adam(model.parameters(), lr=0.1), epochs=60)
assert history.epochs[-1].accuracy == 1.0
loss = mg.mean([mg.hinge_loss(model(x), y) for x, y in xor])
loss.backward()
assert "digraph" in mg.draw_dot(loss, depth="neurons").source
assert "loss" in str(mg.explain_step(loss, model, lr=0.1))
assert mg.to_c(model, name="xor").endswith("}\n")
print(model.summary())
for call, extra in ((lambda: mg.compile(lambda x: x, [], x=1), "compiled"), (lambda: mg.to_torch(model), "torch")):
    message = ""
    try:
        call()
    except ImportError as error:
        message = str(error)
    assert f"micrograd_like[{extra}]" in message, f"expected an empty environment, without the extra {extra}"
command = shutil.which("micrograd-like", path=str(Path(sys.executable).parent))
assert command is not None
assert mg.__version__ in subprocess.run([command, "--version"], check=True, capture_output=True, text=True).stdout
