"""Are the tests good enough? Change one place of the package at a time and see whether a test fails; `make mutants`.

First the whole suite runs once under coverage, which says which tests reach which line and how long each takes. Then a
sample of mutants, each a copy of one file with one change, is tried with the tests that reach that line, the quick ones
first, until one fails; that one is asked again without the change, and counts for nothing if it fails then, too. What
survives is listed with its change: a hole in the tests, or a change that changes nothing.
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
COPIED = ["micrograd_like", "tests", "demos", "docs", "benchmarks", "README.md", "CHANGELOG.md", "CONTRIBUTING.md",
          "setup.cfg", "setup.py", "MANIFEST.in", "pyproject.toml", "Makefile", "LICENSE"]  # fmt: skip
SECONDS = 60.0  # of tests, by what they took unchanged, that are spent on one mutant
FIRST = 25  # tests
SOUND = {""}  # tests that pass alone, without a change
PATIENCE = 5  # times what its tests took unchanged, and a mutant counts as one that never ends
MEMORY = 6 * 2**30  # bytes that a mutant may use
LOADED = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # the heavy libraries are, before pytest begins
HEAVY = ["numpy", "hypothesis", "mpmath", "llvmlite.binding", "matplotlib.figure", "sklearn.datasets", "IPython"]

# The places and the changes.

OTHER: dict[type, list[type]] = {
    ast.Add: [ast.Sub],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.Div],
    ast.Div: [ast.Mult],
    ast.FloorDiv: [ast.Mult],
    ast.Mod: [ast.FloorDiv],
    ast.Pow: [ast.Mult],
    ast.Lt: [ast.LtE, ast.Gt],
    ast.LtE: [ast.Lt, ast.Gt],
    ast.Gt: [ast.GtE, ast.Lt],
    ast.GtE: [ast.Gt, ast.Lt],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
    ast.In: [ast.NotIn],
    ast.NotIn: [ast.In],
    ast.And: [ast.Or],
    ast.Or: [ast.And],
    ast.BitAnd: [ast.BitOr],
    ast.BitOr: [ast.BitAnd],
    ast.LShift: [ast.RShift],
    ast.RShift: [ast.LShift],
}


@dataclass(frozen=True)
class Mutant:
    file: str  # relative to the root
    line: int
    start: int  # what is replaced, in characters of the file
    end: int
    text: str

    def of(self, source: str) -> str:
        return source[: self.start] + self.text + source[self.end :]

    def __str__(self) -> str:
        before = (ROOT / self.file).read_text(encoding="utf-8")[self.start : self.end]
        return f"{self.file}:{self.line}: {' '.join(before.split())[:100]}  ->  {' '.join(self.text.split())[:100]}"


def mutants(file: str, source: str) -> Iterator[Mutant]:
    """Every mutant of a file."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    lines = source.splitlines()

    def place(line: int, column: int) -> int:  # ast counts columns in bytes
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

    tree = ast.parse(source)
    skipped = _skipped(tree)
    for node in ast.walk(tree):
        if id(node) in skipped or not hasattr(node, "lineno"):
            continue
        old: Any = node.test if isinstance(node, (ast.If, ast.While)) else node
        for changed in _changes(node):
            start, end = place(old.lineno, old.col_offset), place(old.end_lineno, old.end_col_offset)
            text = ast.unparse(changed)
            if isinstance(changed, ast.expr) and not isinstance(changed, (ast.Constant, ast.Name, ast.Slice)):
                text = f"({text})"
            yield Mutant(file, old.lineno, start, end, text)


def _skipped(tree: ast.AST) -> set[int]:
    """What has no effect when the program runs, or says so in words alone: annotations, docstrings, messages of errors."""
    found: set[int] = set()

    def skip(node: ast.AST | None) -> None:
        if node is not None:
            found.update(id(each) for each in ast.walk(node))

    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            skip(node.returns)
            for decorator in node.decorator_list:
                skip(decorator)
        elif isinstance(node, (ast.arg, ast.AnnAssign)):
            skip(node.annotation)
        elif isinstance(node, ast.Raise):
            skip(node.exc)
        elif (
            (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
            or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
            or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("__all__", "__slots__"))
        ):
            skip(node)
        elif isinstance(node, ast.JoinedStr):  # a piece of an f-string has no place of its own in every Python
            found.update(id(each) for each in ast.walk(node) if each is not node)
    return found


def _changes(node: Any) -> Iterator[ast.AST]:
    def with_(**fields: Any) -> Any:
        changed = copy.copy(node)
        for name, value in fields.items():
            setattr(changed, name, value)
        return changed

    match node:
        case ast.BinOp():
            for kind in OTHER.get(type(node.op), []):
                yield with_(op=kind())
        case ast.BoolOp():
            yield with_(op=OTHER[type(node.op)][0]())
            for i in range(len(node.values)):
                rest = node.values[:i] + node.values[i + 1 :]
                yield rest[0] if len(rest) == 1 else with_(values=rest)
        case ast.Compare(ops=[op, *more]):
            for kind in OTHER.get(type(op), []):
                yield with_(ops=[kind(), *more])
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node.operand
        case ast.Constant(value=bool()):
            yield with_(value=not node.value)
        case ast.Constant(value=int()):
            yield with_(value=node.value + 1)
        case ast.Constant(value=float()):
            yield with_(value=node.value * 2 or 1.0)
        case ast.Constant(value=str()) if node.value.strip():
            yield with_(value=node.value + "X")
        case ast.IfExp():
            yield node.body
            yield node.orelse
        case ast.If() | ast.While():
            yield ast.UnaryOp(ast.Not(), node.test)
        case ast.Return(value=value) if value is not None and not isinstance(value, ast.Constant):
            yield with_(value=ast.Constant(None))
        case ast.Expr() | ast.AugAssign() | ast.Raise() | ast.Delete():
            yield ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield ast.Pass()
        case ast.Continue():
            yield ast.Break()
        case ast.Break():
            yield ast.Pass()
        case ast.Slice(lower=lower, upper=upper):
            if lower is not None:
                yield with_(lower=None)
            if upper is not None:
                yield with_(upper=None)
        case ast.Call(keywords=[_, *_]):
            for keyword in node.keywords:
                if keyword.arg is not None:
                    yield with_(keywords=[k for k in node.keywords if k is not keyword])


# One look at the suite, unchanged.


def survey(folder: Path, workers: int, tests: list[str]) -> None:
    """Run the tests once; which lines each reaches goes into a coverage file, how long it takes into `durations.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "coveragerc"
    configuration.write_text(f"[run]\nsource = {ROOT / 'micrograd_like'}\ndata_file = {folder / 'reached'}\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "mutants", "-n", str(workers),
               "--cov", "--cov-context=test", f"--cov-config={configuration}", "--cov-report=", *tests]  # fmt: skip
    environment = {**os.environ, "MUTANTS_DURATIONS": str(folder / "durations.json"), **_paths(ROOT)}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """As a plugin of the survey: keep how long each test took, its set-up included."""
    if path := os.environ.get("MUTANTS_DURATIONS"):
        took: Counter[str] = Counter()
        for report in terminalreporter.getreports("passed") + terminalreporter.getreports(""):
            took[report.nodeid] += getattr(report, "duration", 0.0)
        Path(path).write_text(json.dumps(took), encoding="utf-8")


def reached(folder: Path) -> dict[str, dict[int, set[str]]]:
    """For each file and line the tests that reach it."""
    with sqlite3.connect(folder / "reached") as base:
        contexts = {i: name.partition("|")[0] for i, name in base.execute("select id, context from context")}
        files = {i: os.path.relpath(path, ROOT) for i, path in base.execute("select id, path from file")}
        found: dict[str, dict[int, set[str]]] = {}
        for file, context, bits in base.execute("select file_id, context_id, numbits from line_bits"):
            for line in _numbers(bits):
                found.setdefault(files[file], {}).setdefault(line, set()).add(contexts[context])
    return found


def _numbers(bits: bytes) -> list[int]:
    return [8 * i + j for i, byte in enumerate(bits) for j in range(8) if byte >> j & 1]


def _paths(tree: Path) -> dict[str, str]:
    return {"PYTHONPATH": f"{tree}{os.pathsep}{tree / 'tests'}", "PYTHONHASHSEED": "0"}


# The trial of one mutant, in a fork of a process that has the heavy libraries loaded already.


def choose(tests: set[str], durations: dict[str, float], file: str, seconds: float) -> list[str]:
    """The tests for a mutant: of the file's own test files first, the quick ones first, until the time is used up."""
    own = f"test_{Path(file).stem}"
    order = sorted(
        (t for t in tests if t in durations), key=lambda t: (own not in t and durations[t] > 0.05, durations[t], t)
    )
    chosen, total = [], 0.0
    for test in order:
        total += durations[test] + 0.002
        if chosen and total > seconds:
            break
        chosen.append(test)
    return chosen


def verdict(mutant: Mutant, tree: Path, tests: list[str], durations: dict[str, float], log: Path) -> str:
    """What becomes of a mutant; a test that fails without the change is taken out of the durations, and kills nothing.

    At first some tests of one file are tried: most mutants fall by them, and to collect a file takes longer than those.
    """
    result, file = "not reached", tests[0].partition("::")[0]
    for some in ([test for test in tests if test.partition("::")[0] == file][:FIRST], tests):
        while chosen := [test for test in some if test in durations]:
            patience = 20 + PATIENCE * sum(durations[test] for test in chosen)
            result, killer = trial(mutant, tree, chosen, patience, log)
            if result == "survived":
                break
            if result == "slow" or killer in SOUND or _tried(tree, [killer], patience, log)[0] == "survived":
                SOUND.add(killer)
                return result
            print(f"      fails without a change: {killer}", flush=True)
            del durations[killer]
            result = "not reached"
    return result


def trial(mutant: Mutant, tree: Path, tests: list[str], seconds: float, log: Path) -> tuple[str, str]:
    """Whether the tests find the mutant: "killed", "slow" (it never ends) or "survived"; and the test that did."""
    original = ROOT / mutant.file
    target = tree / mutant.file
    target.write_text(mutant.of(original.read_text(encoding="utf-8")), encoding="utf-8")
    trial.count += 1  # type: ignore[attr-defined]
    stamp = original.stat().st_mtime + trial.count  # type: ignore[attr-defined]
    os.utime(target, (stamp, stamp))  # or a cached byte code of the same second and size would be taken
    try:
        return _tried(tree, tests, seconds, log)
    finally:
        shutil.copy2(original, target)


trial.count = 0  # type: ignore[attr-defined]


def _tried(tree: Path, tests: list[str], seconds: float, log: Path) -> tuple[str, str]:
    killer = log.with_suffix(".killer")
    killer.write_text(tests[0], encoding="utf-8")  # where nothing can be imported, no test gets so far
    child = os.fork()
    if child == 0:
        os.setsid()
        with log.open("wb") as file:
            for descriptor in (1, 2):
                os.dup2(file.fileno(), descriptor)
        os.chdir(tree)
        os.environ.update(_paths(tree))
        sys.path[:0] = [str(tree), str(tree / "tests")]
        ours = {path.stem for path in tree.iterdir()}  # Hypothesis, for one, has imported what is installed
        for name in [name for name in sys.modules if name.partition(".")[0] in ours]:
            del sys.modules[name]
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        code = 3
        try:
            code = _pytest(tests, killer)
        finally:
            os._exit(code)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            found = "survived" if os.waitstatus_to_exitcode(status) == 0 else "killed"
            return found, killer.read_text(encoding="utf-8")
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "slow", ""


def _pytest(tests: list[str], killer: Path) -> int:
    import pytest

    class Chosen:
        @pytest.hookimpl(trylast=True)
        def pytest_collection_modifyitems(self, items: list[Any]) -> None:
            place = {test: i for i, test in enumerate(tests)}
            items[:] = sorted((item for item in items if item.nodeid in place), key=lambda item: place[item.nodeid])

        def pytest_runtest_logreport(self, report: Any) -> None:
            if report.failed:
                killer.write_text(report.nodeid, encoding="utf-8")

    files = sorted({test.partition("::")[0] for test in tests})
    arguments = ["-x", "-q", "-p", "no:cacheprovider", "--tb=line", *LOADED, *files]
    return int(pytest.main(arguments, plugins=[Chosen()]))


# The campaign.


def sample(count: int, seed: int, only: str) -> list[Mutant]:
    """So many mutants, from all files alike: each place of the package has the same chance."""
    every = []
    for path in sorted((ROOT / "micrograd_like").rglob("*.py")):
        file = str(path.relative_to(ROOT))
        if only in file:
            every += list(mutants(file, path.read_text(encoding="utf-8")))
    places: dict[tuple[str, int, int], list[Mutant]] = {}
    for mutant in every:
        places.setdefault((mutant.file, mutant.start, mutant.end), []).append(mutant)
    rng = random.Random(seed)
    chosen = rng.sample(sorted(places), min(count, len(places)))
    print(f"{len(every)} possible mutants in {len(places)} places; {len(chosen)} are tried", flush=True)
    return [rng.choice(places[place]) for place in chosen]


def campaign(chosen: list[Mutant], folder: Path, seconds: float) -> dict[str, list[str]]:
    """Try each mutant; the mutants by what became of them. Whatever is known is written down after each."""
    lines = reached(folder)
    durations: dict[str, float] = json.loads((folder / "durations.json").read_text(encoding="utf-8"))
    tree = folder / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (ROOT / name).exists():
            shutil.copy2(ROOT / name, tree / name)
    results: dict[str, list[str]] = {"killed": [], "slow": [], "survived": [], "not reached": []}
    for i, mutant in enumerate(chosen):
        of_file = lines.get(mutant.file, {})
        found = of_file.get(mutant.line, set()) & durations.keys()
        if not found and mutant.line in of_file:  # a default or a constant: it was run by the import, before any test
            found = set().union(*of_file.values())
        tests = choose(found, durations, mutant.file, seconds)
        result = "not reached"
        if tests:
            result = verdict(mutant, tree, tests, durations, folder / "last.log")
        results[result].append(str(mutant))
        print(f"{i + 1:5} {result:11} {len(tests):5} tests  {mutant}", flush=True)
        (folder / "results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="files whose path has this in it")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of tests for one mutant")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes of the survey")
    parser.add_argument("--folder", type=Path, default=ROOT / "out" / "mutants")
    parser.add_argument("--tests", nargs="*", default=[], help="those files alone")
    parser.add_argument("--surveyed", action="store_true", help="the survey in the folder is of these sources")
    options = parser.parse_args()
    folder = options.folder.absolute()
    if not options.surveyed:
        survey(folder, options.workers, options.tests)
    for library in HEAVY:
        __import__(library)
    results = campaign(sample(options.count, options.seed, options.only), folder, options.seconds)
    for name, found in results.items():
        print(f"{name}: {len(found)}")
    for text in results["survived"] + results["not reached"]:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
