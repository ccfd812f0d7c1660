"""Hypothesis without clocks or dice: `ci` (the default) always tries the same examples, `hunt` looks for new ones.

And the compiler's tests keep no machine code on disk.
"""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

# In the background of a script Ctrl-C is ignored, which the tests' children would inherit, and be deaf to it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

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
