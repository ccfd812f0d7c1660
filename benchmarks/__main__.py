"""`python -m benchmarks` runs them all; `eager`, `cluster`, `compiled`, `cores`, `language` or `player` behind it one of them."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    which = ("eager", "cluster", "compiled", "cores", "language", "player")
    parser.add_argument("which", nargs="?", choices=which, help="all by default")
    parser.add_argument("--write", type=Path, help="a folder for the reports and their pictures: docs")
    options = parser.parse_args()
    if options.which in (None, "eager"):
        from benchmarks import eager

        print(f"Python {sys.version.split()[0]} on {platform.machine()}, {os.cpu_count()} cores; one thread\n")
        eager.main()
    if options.which in (None, "player"):
        from benchmarks import player

        player.main(options.write)
    if options.which in (None, "cluster"):
        from benchmarks import cluster, local_steps

        cluster.main(options.write)
        local_steps.main(options.write)
    if options.which == "cores":
        from benchmarks import cores

        cores.main(options.write)
    elif options.which is None:  # in a process of its own, whose libraries may use all cores
        folder = [] if options.write is None else ["--write", str(options.write)]
        subprocess.run([sys.executable, "-m", "benchmarks", "cores", *folder], check=True)
    if options.which in (None, "compiled", "language"):
        from benchmarks.race import single_thread

        single_thread()  # before the peers are imported
        from benchmarks import compiled, language

        if options.which != "language":
            compiled.main(options.write)
        if options.which != "compiled":
            language.main()


if __name__ == "__main__":
    main()
