"""The campaign of mutants is itself tried: on a small package it finds what its test finds, and nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PACKAGE = "def twice(x):\n    unused = 1\n    return x + x\n"
SUITE = """\
from package import twice

def test_twice():
    assert twice(3) == 6

def test_that_always_fails():
    assert False
"""
CAMPAIGN = """\
import sys
from pathlib import Path

import mutants

for library in ("numpy", "hypothesis"):  # loaded before pytest begins, as in a campaign
    __import__(library)
mutants.ROOT, tree = Path(sys.argv[1]), Path(sys.argv[2])
sys.path.append(sys.argv[1])
import package  # as it is installed: a trial imports its own
source = (mutants.ROOT / "package.py").read_text()
always = "tests/test_package.py::test_that_always_fails"
durations = {always: 0.0, "tests/test_package.py::test_twice": 0.0}
for mutant in mutants.mutants("package.py", source):
    print(mutants.verdict(mutant, tree, list(durations), durations, tree / "log"), mutant, always in durations)
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="a mutant is tried in a fork")
def test_a_mutant_is_killed_only_by_a_test_that_passes_without_it(tmp_path):
    for name in ("root", "tree"):
        (tmp_path / name / "tests").mkdir(parents=True)
        (tmp_path / name / "package.py").write_text(PACKAGE)
        (tmp_path / name / "tests" / "test_package.py").write_text(SUITE)
        (tmp_path / name / "setup.cfg").write_text("[tool:pytest]\nfilterwarnings = error\n")
    command = [sys.executable, "-c", CAMPAIGN, str(tmp_path / "root"), str(tmp_path / "tree")]
    out = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, check=True).stdout
    found = [line for line in out.splitlines() if not line.startswith("      fails without a change")]
    assert found == [
        "killed package.py:3: return x + x  ->  return None False",
        "survived package.py:2: 1  ->  2 False",
        "killed package.py:3: x + x  ->  (x - x) False",
    ]
    assert "fails without a change: tests/test_package.py::test_that_always_fails" in out
