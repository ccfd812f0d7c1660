"""What the benchmarks say: tables in Markdown, and what was measured on which machine."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path

from benchmarks.peers import c_compiler
from benchmarks.race import Result, duration, times


class Report:
    """Tables, printed and kept as Markdown."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.goals: list[tuple[str, str, float]] = []  # (workload, against, how many times as fast)

    def say(self, text: str = "") -> None:
        print(text, flush=True)
        self.lines.append(text)

    def table(self, title: str, results: dict[str, Result], unit: str) -> None:
        """A race's results; the first row is ours."""
        self.say(f"\n### {title}\n")
        rows = [
            (name, duration(r.seconds), times(r.ratio), f"{r.low:.3g} – {r.high:.3g}") for name, r in results.items()
        ]
        self.grid(["", f"per {unit}", "compiled is faster", "half of the rounds"], rows)

    def grid(self, heads: list[str], rows: list[tuple[str, ...]]) -> None:
        """A table in Markdown, its columns aligned."""
        widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
        for row in (heads, ["-" * w for w in widths], *rows):
            self.say("| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |")

    def short(self) -> None:
        """All goals; those where another is faster say so."""
        lost = lambda ratio: f"**{times(ratio)}: slower**" if ratio < 1 else times(ratio)  # noqa: E731
        self.grid(
            ["workload", "against", "compiled is faster"],
            [(workload, against, lost(ratio)) for workload, against, ratio in self.goals],
        )

    def goal(self, workload: str, results: dict[str, Result], names: dict[str, str] | None = None) -> None:
        for name, result in list(results.items())[1:]:
            self.goals.append((workload, (names or {}).get(name, name), result.ratio))


def versions() -> str:
    found = []
    for package in ("micrograd_like", "llvmlite", "numpy", "jax", "torch", "casadi", "micrograd"):
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    if compiler := c_compiler():
        version = subprocess.run([compiler, "-dumpfullversion"], capture_output=True, text=True, check=False).stdout
        found.append(f"{Path(compiler).name} {version.strip()}")
    return ", ".join(found)


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    named = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return named or platform.processor() or platform.machine()
