"""`python -m benchmarks` runs them all."""

from __future__ import annotations

import os
import platform
import sys

from benchmarks import eager


def main() -> None:
    print(f"Python {sys.version.split()[0]} on {platform.machine()}, {os.cpu_count()} cores; one process, one thread\n")
    eager.main()


if __name__ == "__main__":
    main()
