"""A long search for programs that break a property; `make hunt` runs it. What it finds is kept in regressions.json."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from properties import PROPERTIES

from micrograd_like.testing import expressions

REGRESSIONS = Path(__file__).with_name("regressions.json")


def hunt(
    properties: Sequence[Callable[[Any], None]],
    seconds: float | None,
    seed: int,
    file: Path = REGRESSIONS,
    examples: int = 200,
    most: int = 10,
) -> int:
    """Try programs until the time is over (None: one round), a new seed each round. Returns how many were found."""
    end = time.monotonic() + (seconds or 0)
    found = rounds = 0
    while True:
        for prop in properties:
            failing = _search(prop, seed + rounds, examples)
            if failing is not None:
                found += 1
                print(f"{prop.__name__} does not hold for\n{failing!r}\n", flush=True)
                _keep(file, prop.__name__, failing)
        rounds += 1
        if found >= most or time.monotonic() >= end:
            print(f"{rounds} rounds of {len(properties)} properties, {found} counterexamples", flush=True)
            return found


def takes_a_seed(prop: Callable[[Any], None]) -> bool:
    """Whether a property is of the programs that a seed names, rather than of expressions."""
    return prop.__annotations__.get("seed") is int


def _search(prop: Callable[[Any], None], round_seed: int, examples: int) -> Any:
    """The smallest program found for which the property fails."""
    failing: list[Any] = []
    expression = expressions(max_nodes=10 if round_seed % 2 else 4)
    programs: st.SearchStrategy[Any] = st.integers(0, 2**32) if takes_a_seed(prop) else expression

    @seed(round_seed)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(programs)
    def check(program: Any) -> None:
        try:
            prop(program)
        except Exception:
            failing.append(program)
            raise

    try:
        check()
    except Exception:
        return failing[-1]  # Hypothesis runs the smallest one last
    return None


def _keep(file: Path, name: str, program: Any) -> None:
    entries: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    entry = {"property": name, "program": program if isinstance(program, int) else program.to_json()}
    if entry not in entries:
        entries.append(entry)
        file.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=None, help="of the first round; the clock's by default")
    options = parser.parse_args()
    start = int(time.time()) if options.seed is None else options.seed
    sys.exit(bool(hunt(PROPERTIES, options.seconds, start)))
