"""Hypothesis without clocks or dice: `ci` (the default) always tries the same examples, `hunt` looks for new ones.

And the compiler's tests keep no machine code on disk.
"""

import os

import pytest
from hypothesis import HealthCheck, settings

_SLOW_MACHINES_ARE_FINE = [HealthCheck.too_slow]
settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=100,
    suppress_health_check=_SLOW_MACHINES_ARE_FINE,
)
settings.register_profile(
    "hunt", deadline=None, max_examples=5000, print_blob=True, suppress_health_check=_SLOW_MACHINES_ARE_FINE
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(autouse=True)
def no_cache(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.path.name.startswith("test_compiler"):
        monkeypatch.setenv("MICROGRAD_LIKE_CACHE", "off")
